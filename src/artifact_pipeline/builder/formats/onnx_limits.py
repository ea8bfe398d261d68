"""What an ONNX graph may hold, looked at before onnxruntime sees it.

A graph is data, but hostile data: it can name files to read, ask for operators that somebody
registered, double a tensor forty times, or loop for ever. So its protobuf is walked first, and
every field is refused that is not one of the few that an estimator needs (`_MESSAGES`). While it
runs, memory and time are bounded too (`formats/onnx.py`).

The runtime must read what was walked: bytes that are a file of its own format as well (a
flatbuffer, marked `ORTM`) are refused, and so is protobuf that a writer would not produce (long
varints, groups, a singular field twice), which readers may take in different ways.

Format: onnx.proto of ONNX 1.x; wire format: protobuf's encoding of varints, fixed and delimited
fields. ONNX Runtime's own format: bytes 4 to 8 of a flatbuffer are its file identifier.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from artifact_pipeline.errors import VerificationError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_NODES = 100_000
MAX_DEPTH = 8
"""Graphs within graphs, as a loop's body is."""
MAX_TREE_DEPTH = 1000
"""Nodes from a tree's root to a leaf: the runtime calls itself for each while it loads, and the
process ends where its stack does (between 2,000 and 3,000 nodes on a stack of 2 MiB)."""
MAX_STRING = 1 << 16
"""Bytes of one label or category: a graph may copy it into every row."""
MAX_MEMORY = 4 << 30
"""Bytes that onnxruntime's arena may hold, of all models in a process together."""
LOAD_SECONDS = 60.0
MAX_CELLS = 1 << 24
"""Values of one tensor: more rows are computed in parts, so that what a model makes of them fits
into memory."""

OPERATORS = {
    "": frozenset(
        "Abs Add And ArgMax ArgMin Cast Ceil Clip Compress Concat Constant ConstantOfShape CumSum "
        "Div Equal Erf Exp Expand Flatten Floor Gather GatherElements GatherND Gemm Greater "
        "GreaterOrEqual Identity IsInf IsNaN Less LessOrEqual Log MatMul Max Min Mod Mul Neg "
        "NonZero Not Or Pow Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax "
        "ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Round Scan "
        "ScatterElements Shape Sigmoid Sign Sin Cos Slice Softmax Softplus Split Sqrt Squeeze "
        "StringNormalizer Sub Sum Tan Tanh TfIdfVectorizer Tile TopK Transpose Unsqueeze Where "
        "Xor".split()
    ),
    "ai.onnx.ml": frozenset(
        "ArrayFeatureExtractor Binarizer CastMap CategoryMapper DictVectorizer FeatureVectorizer "
        "Imputer LabelEncoder LinearClassifier LinearRegressor Normalizer OneHotEncoder "
        "SVMClassifier SVMRegressor Scaler TreeEnsemble TreeEnsembleClassifier "
        "TreeEnsembleRegressor".split()
    ),
    "com.microsoft": frozenset({"Tokenizer"}),
}
"""What skl2onnx makes of scikit-learn's estimators: all linear in their input and output but the
products, and none that reads a file, calls a name or repeats without end."""
OPERATORS["ai.onnx"] = OPERATORS[""]

_KINDS = {1: "float", 10: "float", 11: "float", 8: "text"} | dict.fromkeys(
    (2, 3, 4, 5, 6, 7, 9, 12, 13), "integer"
)
"""What may be made of the values of a tensor, by the number of its type in ONNX."""
_DIVIDING = frozenset({"Div", "Mod"})
_REPEATING = frozenset({"Expand", "GatherElements", "GatherND", "ScatterElements", "Tile"})
_INTEGER = frozenset(
    "And ArgMax ArgMin Equal Greater GreaterOrEqual IsInf IsNaN Less LessOrEqual NonZero Not Or "
    "Shape Xor".split()
)
_FLOAT = frozenset(
    "DictVectorizer FeatureVectorizer LinearRegressor Normalizer OneHotEncoder SVMRegressor Scaler "
    "TfIdfVectorizer TreeEnsembleRegressor".split()
)
_CLASSIFIERS = frozenset({"LinearClassifier", "SVMClassifier", "TreeEnsembleClassifier"})
_ALIKE = frozenset("Add Clip Concat Div Gemm MatMul Max Min Mul Sub Sum".split())
"""Operators whose inputs are all of one type."""
_SAME = _ALIKE | frozenset(
    "Abs ArrayFeatureExtractor Binarizer Ceil Compress CumSum Erf Exp Expand Flatten Floor Gather "
    "GatherElements GatherND Identity Imputer Log Mod Neg Pow Reciprocal ReduceL1 ReduceL2 "
    "ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum "
    "ReduceSumSquare Relu Reshape Round ScatterElements Sigmoid Sign Sin Cos Slice Softmax "
    "Softplus Split Sqrt Squeeze StringNormalizer Tan Tanh Tile Tokenizer TopK Transpose "
    "TreeEnsemble Unsqueeze".split()
)
_TREES = frozenset({"TreeEnsembleClassifier", "TreeEnsembleRegressor"})
_ORT_FORMAT = b"ORTM"
LOCALES = frozenset({"C", "C.UTF-8", "en_US", "en_US.UTF-8"})
"""What a StringNormalizer may name; the runtime has the C library load a locale by its name."""

# Numbers of a list, one field each: a forest has millions, so they are stepped over at once.
_NUMBERS = re.compile(rb"(?:\x3d[\s\S]{4}|\x40[\x80-\xff]{0,9}[\x00-\x7f])+")
_INTEGERS = re.compile(rb"(?:\x40[\x80-\xff]{0,9}[\x00-\x7f])+")
_FLOATS = re.compile(rb"(?:\x3d[\s\S]{4})+")
_MODES = re.compile(rb"(?:\x4a(?:\x04LEAF|\x09BRANCH_(?:LT|GT|EQ)|\x0aBRANCH_(?:LEQ|GTE|NEQ)))+")
_MODE = re.compile(rb"LEAF|BRANCH_(?:LEQ|GTE|NEQ|LT|GT|EQ)")
_FORM = "its protobuf is not of ONNX's form"
_UNKNOWN = {
    ("model", 14): "it holds settings for the runtime",
    ("model", 20): "it holds functions or a training of its own",
    ("model", 25): "it holds functions or a training of its own",
    ("tensor", 13): "its data lies in another file",
    ("tensor", 14): "its data lies in another file",
}
"""What is said of some fields that are refused."""
_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5
_PACKED = {"v": _VARINT, "f": _FIXED32, "d": _FIXED64}


def _message(fields: str) -> dict[int, tuple[frozenset[int], bool]]:
    """Return the wire types of each field, and whether it repeats, from `1v 2m 5m*`.

    `v` is a varint, `m` a message, text or bytes, `f` a float; `*` repeats. Of repeated numbers
    (`4f*`) a writer may pack many into one delimited field; `d` is a double, always repeated.
    """
    known = {}
    for word in fields.split():
        repeats = word.endswith("*")
        kind = word.rstrip("*")[-1]
        number = int(word.rstrip("*")[:-1])
        wires = {_DELIMITED} if kind == "m" else {_PACKED[kind]}
        if repeats and kind != "m":
            wires.add(_DELIMITED)
        known[number] = (frozenset(wires), repeats)
    return known


_MESSAGES = {
    # ir_version, producer (name, version), domain, model_version, doc_string, graph, opset_import
    "model": _message("1v 2m 3m 4m 5v 6m 7m 8m*"),
    # domain, version
    "opset": _message("1m 2v"),
    # node, name, initializer, doc_string, input, output, value_info
    "graph": _message("1m* 2m 5m* 10m 11m* 12m* 13m*"),
    # input, output, name, op_type, attribute, doc_string, domain
    "node": _message("1m* 2m* 3m 4m 5m* 6m 7m"),
    # name, f, i, s, t, g, floats, ints, strings, doc_string, type
    "attribute": _message("1m 2f 3v 4m 5m 6m 7f* 8v* 9m* 13m 20v"),
    # dims, data_type, float, int32, string, int64 data, name, raw, double, uint64 data, doc_string
    "tensor": _message("1v* 2v 4f* 5v* 6m* 7v* 8m 9m 10d* 11v* 12m"),
    # name, type, doc_string
    "value": _message("1m 2m 3m"),
    # tensor_type: no sequences, maps or sparse tensors; denotation
    "type": _message("1m 6m"),
    # elem_type, shape
    "tensor type": _message("1v 2m"),
    "shape": _message("1m*"),
    # dim_value, dim_param, denotation
    "dimension": _message("1v 2m 3m"),
}
"""The fields that a message may have. Not among them: functions, training, metadata, devices,
quantization, sparse tensors, data in another file, and what a later version of ONNX adds."""


class _Field(NamedTuple):
    """A field of a message: its number, its wire type, and where its content lies."""

    number: int
    wire: int
    start: int
    end: int


class _Refused(Exception):
    """Why a graph is not loaded."""


def check(graph: bytes, where: str) -> None:
    """Do nothing if `graph` is an ONNX model that holds nothing but what an estimator needs.

    Raises:
        VerificationError: for operators, functions or domains beyond `OPERATORS`, data that lies
            in another file, more than `MAX_NODES` nodes, strings beyond `MAX_STRING`, graphs
            nested beyond `MAX_DEPTH`, and bytes that are no plain protobuf.
    """
    try:
        _model(graph)
    except _Refused as refused:
        raise VerificationError(f"is not loaded: {refused}", where=where) from refused


def width(graph: bytes) -> int:
    """Return about how many values a checked graph makes of one row: as many as the longest of its
    constants, such as the categories that become a column each, or the rows of its neighbours."""
    found = [1]
    for part in _fields(graph, _Field(0, _DELIMITED, 0, len(graph)), "model"):
        if part.number != 7:
            continue
        for field in _fields(graph, part, "graph"):
            if field.number == 5:
                found += _dimensions(graph, field)
            if field.number == 1:
                for attribute in _fields(graph, field, "node"):
                    if attribute.number == 5:
                        texts = _fields(graph, attribute, "attribute")
                        found.append(sum(one.number == 9 for one in texts))
    return max(found)


def _dimensions(data: bytes, tensor: _Field) -> Iterator[int]:
    for field in _fields(data, tensor, "tensor"):
        if field.number != 1:
            continue
        at = field.start
        while at < field.end:  # packed or not
            value, at = _varint(data, at, field.end, 10)
            yield value


def seconds(rows: int) -> float:
    """Return how long a prediction of that many rows may take."""
    return 20.0 + 0.02 * rows


def _model(data: bytes) -> None:
    if data[4:8] == _ORT_FORMAT:
        raise _Refused("it is a file of the runtime's own format")
    nodes = 0
    for field in _fields(data, _Field(0, _DELIMITED, 0, len(data)), "model"):
        if field.number == 7:
            nodes += _graph(data, field, 0)
        elif field.number == 8:
            _opset(data, field)
        if nodes > MAX_NODES:
            raise _Refused(f"it has more than {MAX_NODES} nodes")


def _opset(data: bytes, opset: _Field) -> None:
    for field in _fields(data, opset, "opset"):
        if field.number == 1 and (domain := _text(data, field)) not in OPERATORS:
            raise _Refused(f"no estimator needs operators of the domain {domain[:60]!a}")


def _graph(data: bytes, graph: _Field, depth: int) -> int:
    """Return how many nodes a graph has, those of inner graphs as well."""
    if depth > MAX_DEPTH:
        raise _Refused(f"its graphs are nested more than {MAX_DEPTH} deep")
    nodes = 0
    for field in _fields(data, graph, "graph"):
        if field.number == 1:
            nodes += 1 + _node(data, field, depth)
        elif field.number == 5:
            _tensor(data, field)
        elif field.number in (11, 12, 13):
            _value(data, field)
    _check_kinds(data, graph)
    return nodes


def _check_kinds(data: bytes, graph: _Field) -> None:
    """Refuse operators that end the process, or outgrow all bounds, on values of their kind.

    The processor ends a process that divides the least integer by -1, or any by 0; the characters
    of text lie outside of the runtime's arena. A value whose kind cannot be told is taken for the
    worse. Each name may be defined once, so that the runtime cannot take it for another value.
    """
    fields = list(_fields(data, graph, "graph"))
    kinds: dict[str, str] = {}
    divisors: set[str] = set()
    for field in fields:
        if field.number == 5:
            name, kind, divides = _constant(data, field)
            _define(kinds, name, kind)
            if divides:
                divisors.add(name)
        elif field.number == 11:
            name, kind = _declared(data, field)
            _define(kinds, name, kind)
    for field in fields:
        if field.number == 1:
            inputs, outputs, operator, attributes = _parts(data, field)
            given = [kinds.get(name, "") for name in inputs]
            safe = len(inputs) == 2 and inputs[1] in divisors
            if operator in _DIVIDING and "float" not in given and not safe:
                raise _Refused(f"{operator} may divide an integer by 0 or -1")
            if operator in _REPEATING and (not given or given[0] in ("", "text")):
                raise _Refused(f"{operator} may repeat text without a bound")
            for place, name in enumerate(outputs):
                if name:
                    kind, divides = _made(data, operator, place, given, attributes)
                    _define(kinds, name, kind)
                    if divides:
                        divisors.add(name)


def _define(kinds: dict[str, str], name: str, kind: str) -> None:
    if name in kinds:
        raise _Refused(f"it defines the value {name[:60]!a} twice")
    kinds[name] = kind


def _parts(data: bytes, node: _Field) -> tuple[list[str], list[str], str, dict[str, _Field]]:
    """Return a node's inputs, outputs, operator and attributes."""
    inputs, outputs, operator = [], [], ""
    attributes: dict[str, _Field] = {}
    for field in _fields(data, node, "node"):
        if field.number == 1:
            inputs.append(data[field.start : field.end].decode("utf-8", "replace"))
        elif field.number == 2:
            outputs.append(data[field.start : field.end].decode("utf-8", "replace"))
        elif field.number == 4:
            operator = _text(data, field)
        elif field.number == 5:
            for part in _fields(data, field, "attribute"):
                if part.number == 1:
                    name = _text(data, part)
                    if name in attributes:
                        raise _Refused(f"it has the attribute {name[:60]!a} twice")
                    attributes[name] = field
    return inputs, outputs, operator, attributes


def _made(
    data: bytes, operator: str, place: int, given: list[str], attributes: dict[str, _Field]
) -> tuple[str, bool]:
    """Return the kind of an operator's output, and whether it is a safe divisor."""
    if operator in ("Constant", "ConstantOfShape"):
        for name, field in attributes.items():
            for part in _fields(data, field, "attribute"):
                if part.number == 5:
                    _, kind, divides = _constant(data, part)
                    return kind, divides
            if name.startswith("value_"):
                kind = {"f": "float", "i": "integer", "s": "text"}.get(name[6:7], "")
                return kind, False
        return ("float" if operator == "ConstantOfShape" else ""), False
    if operator == "Cast":
        to = attributes.get("to")
        numbers = [one for one in _fields(data, to, "attribute") if one.number == 3] if to else []
        kind = (
            _KINDS.get(_varint(data, numbers[0].start, numbers[0].end, 10)[0], "")
            if numbers
            else ""
        )
        return kind, False
    if operator == "Scan":
        for part in _fields(data, attributes["body"], "attribute") if "body" in attributes else ():
            if part.number == 6:
                ends = [one for one in _fields(data, part, "graph") if one.number == 12]
                return (_declared(data, ends[place])[1] if place < len(ends) else ""), False
        return "", False
    if operator in _INTEGER or (operator == "TopK" and place):
        return "integer", False
    if operator in _FLOAT or (operator in _CLASSIFIERS and place):
        return "float", False
    if operator in _SAME:
        known = [kind for kind in given if kind]
        return (known[0] if operator in _ALIKE and known else (given[:1] or [""])[0]), False
    if operator == "Where":
        return next((kind for kind in given[1:] if kind), ""), False
    return _labels(attributes), False


def _labels(attributes: dict[str, _Field]) -> str:
    """Return the kind of what an operator on labels makes, by the one list of them it holds."""
    lists = {
        "text": ("values_strings", "classlabels_strings", "cats_strings"),
        "float": ("values_floats",),
        "integer": ("values_int64s", "classlabels_ints", "classlabels_int64s"),
    }
    kinds = [kind for kind, names in lists.items() for name in names if name in attributes]
    return kinds[0] if len(kinds) == 1 else ""


def _declared(data: bytes, value: _Field) -> tuple[str, str]:
    name = kind = ""
    for field in _fields(data, value, "value"):
        if field.number == 1:
            name = data[field.start : field.end].decode("utf-8", "replace")
        elif field.number == 2:
            for part in _fields(data, field, "type"):
                if part.number == 1:
                    for one in _fields(data, part, "tensor type"):
                        if one.number == 1:
                            kind = _KINDS.get(_varint(data, one.start, one.end, 10)[0], "")
    return name, kind


def _constant(data: bytes, tensor: _Field) -> tuple[str, str, bool]:
    """Return a tensor's name and kind, and whether integers can be divided by all its values."""
    name, number, found = "", 0, []
    for field in _fields(data, tensor, "tensor"):
        if field.number == 8:
            name = data[field.start : field.end].decode("utf-8", "replace")
        elif field.number == 2:
            number = _varint(data, field.start, field.end, 10)[0]
        elif field.number not in (1, 12):
            found.append(field)
    safe = False
    if number in (6, 7) and len(found) == 1 and found[0].number == 9:
        [field] = found
        size = 4 if number == 6 else 8
        content = data[field.start : field.end]
        if content and len(content) % size == 0:
            values = array("i" if number == 6 else "q", content)
            safe = 0 not in values and -1 not in values
    elif number in (6, 7) and len(found) == 1 and found[0].number == (5 if number == 6 else 7):
        # The field may be one number or many packed: only one small positive number is taken.
        content = data[found[0].start : found[0].end]
        safe = len(content) == 1 and 0 < content[0] < 0x80
    return name, _KINDS.get(number, ""), safe


def _node(data: bytes, node: _Field, depth: int) -> int:
    nodes, name, domain = 0, "", ""
    for field in _fields(data, node, "node"):
        if field.number == 4:
            name = _text(data, field)
        elif field.number == 7:
            domain = _text(data, field)
        elif field.number == 5:
            nodes += _attribute(data, field, depth)
    if name in _TREES:
        _tree(data, node)
    if name not in OPERATORS.get(domain, ()):
        raise _Refused(f"no estimator needs the operator {f'{domain}.{name}'.lstrip('.')[:60]!a}")
    return nodes


def _tree(data: bytes, node: _Field) -> None:
    """Refuse trees that are deeper than `MAX_TREE_DEPTH`, or whose nodes are no trees at all."""
    import numpy as np

    found: dict[str, Any] = {}
    for field in _fields(data, node, "node"):
        if field.number == 5:
            name, values = _listed(data, field)
            if name in found:
                raise _Refused(f"it has the attribute {name[:60]!a} twice")
            found[name] = values
    keys = ("treeids", "nodeids", "modes", "truenodeids", "falsenodeids")
    trees, numbers, modes, *children = (np.array(found.get(f"nodes_{key}", [])) for key in keys)
    if len({len(one) for one in (trees, numbers, modes, *children)}) > 1:
        raise _Refused("the nodes of its trees are not of one length")
    if not len(modes):
        return
    inner = np.flatnonzero(modes != b"LEAF") if modes.dtype.kind == "S" else np.arange(len(modes))
    ids = (trees, numbers, *(one[inner] for one in children))
    if any(one.dtype.kind != "u" or (one >= 1 << 31).any() for one in ids):
        raise _Refused("the nodes of its trees are not numbered")
    trees = trees << np.uint64(32)
    places = trees | numbers
    order = np.argsort(places)
    below = np.full((2, len(modes)), -1)
    for side in (0, 1):
        wanted = trees[inner] | children[side][inner]
        at = np.searchsorted(places, wanted, sorter=order).clip(max=len(places) - 1)
        if (places[order[at]] != wanted).any():
            raise _Refused("a tree leads to a node that it has not")
        below[side, inner] = order[at]
    if len(np.unique(places)) < len(modes):
        raise _Refused("a node is in its trees twice")
    # Several nodes may lead to one (a set of categories is a chain that does), but none to itself.
    waits = np.bincount(below[below >= 0], minlength=len(modes))
    level, reached = np.flatnonzero(waits == 0), 0
    for _ in range(MAX_TREE_DEPTH + 1):
        reached += len(level)
        led_to = below[:, level].ravel()
        led_to, times = np.unique(led_to[led_to >= 0], return_counts=True)
        waits[led_to] -= times
        level = led_to[waits[led_to] == 0]
    if reached < len(modes):
        raise _Refused(f"a tree of it is more than {MAX_TREE_DEPTH} deep, or has no end")


def _listed(data: bytes, attribute: _Field) -> tuple[str, Any]:
    """Return an attribute's name, and its integers as an array or its texts as a list."""
    import numpy as np

    name, at = "", attribute.start
    texts: list[bytes] = []
    varints = [np.array([], np.uint64)]
    while at < attribute.end:
        if run := _INTEGERS.match(data, at, attribute.end):
            varints.append(_varints(data[at : run.end()])[1::2])  # without the tags
            at = run.end()
        elif run := _MODES.match(data, at, attribute.end):
            texts += _MODE.findall(run[0])
            at = run.end()
        elif run := _FLOATS.match(data, at, attribute.end):
            at = run.end()
        else:
            tag, at = _varint(data, at, attribute.end, 5)
            size = {_FIXED64: 8, _FIXED32: 4}.get(tag & 7, 0)
            if tag & 7 == _DELIMITED:
                size, at = _varint(data, at, attribute.end, 5)
            elif tag & 7 == _VARINT:
                _, at = _varint(data, at, attribute.end, 10)
            content = data[at : at + size]
            if tag >> 3 == 1:
                name = content.decode("utf-8", "replace")
            elif tag >> 3 == 8:
                varints.append(_varints(content))
            elif tag >> 3 == 9:
                texts.append(content)
            at += size
    return name, texts or np.concatenate(varints)


def _varints(data: bytes) -> NDArray[np.uint64]:
    """Return the numbers of varints that follow one another."""
    import numpy as np

    content = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(content < 0x80)
    starts = np.r_[0, ends[:-1] + 1][: len(ends)]
    values = np.zeros(len(ends), np.uint64)
    for place in range(10):
        here = starts + place
        part = (content[here.clip(max=len(content) - 1)] & 0x7F).astype(np.uint64)
        values |= np.where(here <= ends, part << np.uint64(7 * place), np.uint64(0))
    return values


def _attribute(data: bytes, attribute: _Field, depth: int) -> int:
    nodes, name, value = 0, "", ""
    for field in _fields(data, attribute, "attribute"):
        if field.number == 6:
            nodes += _graph(data, field, depth + 1)
        elif field.number == 5:
            _tensor(data, field)
        elif field.number == 1:
            name = _text(data, field)
        elif field.number in (4, 9):
            value = _text(data, field)
    if name == "locale" and value not in LOCALES:
        raise _Refused(f"it names the locale {value[:60]!a}")
    return nodes


def _tensor(data: bytes, tensor: _Field) -> None:
    for field in _fields(data, tensor, "tensor"):
        if field.number == 6:
            _text(data, field)


def _value(data: bytes, value: _Field) -> None:
    for field in _fields(data, value, "value"):
        if field.number == 2:
            for kind in _fields(data, field, "type"):
                if kind.number == 1:
                    _shape(data, kind)


def _shape(data: bytes, kind: _Field) -> None:
    for field in _fields(data, kind, "tensor type"):
        if field.number == 2:
            for dimension in _fields(data, field, "shape"):
                for _ in _fields(data, dimension, "dimension"):
                    pass


def _text(data: bytes, field: _Field) -> str:
    if field.end - field.start > MAX_STRING:
        raise _Refused(f"it holds a text of more than {MAX_STRING} bytes")
    return data[field.start : field.end].decode("utf-8", "replace")


def _fields(data: bytes, message: _Field, kind: str) -> Iterator[_Field]:
    """Yield the fields of a message of that kind; lists of numbers are stepped over.

    Raises:
        _Refused: for a field that such a message may not have, or one time too often.
    """
    at, end, known = message.start, message.end, _MESSAGES[kind]
    seen: set[int] = set()
    while at < end:
        if kind == "attribute" and (skipped := _NUMBERS.match(data, at, end)):
            at = skipped.end()
            continue
        tag, at = _varint(data, at, end, 5)
        number, wire = tag >> 3, tag & 7
        wires, repeats = known.get(number, (frozenset(), False))
        if wire not in wires:
            raise _Refused(_UNKNOWN.get((kind, number), f"{_FORM}: field {number} of a {kind}"))
        if not repeats and number in seen:
            raise _Refused(f"{_FORM}: field {number} of a {kind} twice")
        seen.add(number)
        start = at
        if wire == _VARINT:
            _, at = _varint(data, at, end, 10)
        elif wire == _DELIMITED:
            size, start = _varint(data, at, end, 5)
            at = start + size
        else:
            at += 8 if wire == _FIXED64 else 4
        if at > end:
            raise _Refused("its protobuf is cut")
        yield _Field(number, wire, start, at)


def _varint(data: bytes, at: int, end: int, most: int) -> tuple[int, int]:
    """Return the varint at `at`, and where it ends; it may have `most` bytes."""
    value = 0
    for place in range(most):
        if at + place >= end:
            raise _Refused("its protobuf is cut")
        byte = data[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            if place and not byte:
                raise _Refused(_FORM)
            return value, at + place + 1
    raise _Refused(_FORM)
