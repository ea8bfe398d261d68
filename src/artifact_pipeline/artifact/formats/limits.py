"""What an ONNX graph may hold, looked at before onnxruntime sees it.

A graph is data, but hostile data: it can name files to read, ask for operators that somebody
registered, double a tensor forty times, or loop for ever. So its protobuf is walked first, and
what is beyond the few things that an estimator needs is refused. While it runs, memory and time
are bounded too (`formats/onnx.py`).

Format: onnx.proto of ONNX 1.x; wire format: protobuf's encoding of varints, fixed and delimited
fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from artifact_pipeline.errors import VerificationError

MAX_NODES = 100_000
MAX_DEPTH = 8
"""Graphs within graphs, as a loop's body is."""
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

# Numbers of a list, one field each: a forest has millions, so they are stepped over at once.
_NUMBERS = re.compile(rb"(?:\x3d[\s\S]{4}|\x40[\x80-\xff]{0,9}[\x00-\x7f])+")
_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5


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
    for part in _fields(graph, 0, len(graph)):
        if part.number != 7:
            continue
        for field in _within(graph, part):
            if field.number == 5:
                found += _dimensions(graph, field)
            if field.number == 1:
                for attribute in (one for one in _within(graph, field) if one.number == 5):
                    found.append(sum(one.number == 9 for one in _within(graph, attribute)))
    return max(found)


def _dimensions(data: bytes, tensor: _Field) -> Iterator[int]:
    for field in _within(data, tensor):
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
    nodes = 0
    for field in _fields(data, 0, len(data)):
        if field.number == 7:
            nodes += _graph(data, field, 0)
        elif field.number in (20, 25):
            raise _Refused("it holds functions or a training of its own")
        if nodes > MAX_NODES:
            raise _Refused(f"it has more than {MAX_NODES} nodes")


def _graph(data: bytes, graph: _Field, depth: int) -> int:
    """Return how many nodes a graph has, those of inner graphs as well."""
    if depth > MAX_DEPTH:
        raise _Refused(f"its graphs are nested more than {MAX_DEPTH} deep")
    nodes = 0
    for field in _within(data, graph):
        if field.number == 1:
            nodes += 1 + _node(data, field, depth)
        elif field.number == 5:
            _tensor(data, field)
        elif field.number == 15:
            _sparse(data, field)
    return nodes


def _node(data: bytes, node: _Field, depth: int) -> int:
    nodes, name, domain = 0, "", ""
    for field in _within(data, node):
        if field.number == 4:
            name = _text(data, field)
        elif field.number == 7:
            domain = _text(data, field)
        elif field.number == 5:
            nodes += _attribute(data, field, depth)
    if name not in OPERATORS.get(domain, ()):
        raise _Refused(f"no estimator needs the operator {f'{domain}.{name}'.lstrip('.')[:60]!a}")
    return nodes


def _attribute(data: bytes, attribute: _Field, depth: int) -> int:
    nodes = 0
    for field in _within(data, attribute):
        if field.number in (6, 11):
            nodes += _graph(data, field, depth + 1)
        elif field.number in (5, 10):
            _tensor(data, field)
        elif field.number in (22, 23):
            _sparse(data, field)
        elif field.number in (4, 9):
            _text(data, field)
    return nodes


def _sparse(data: bytes, sparse: _Field) -> None:
    for field in _within(data, sparse):
        if field.number in (1, 2):
            _tensor(data, field)


def _tensor(data: bytes, tensor: _Field) -> None:
    for field in _within(data, tensor):
        if field.number in (13, 14):
            raise _Refused("its data lies in another file")
        if field.number == 6:
            _text(data, field)


def _text(data: bytes, field: _Field) -> str:
    if field.end - field.start > MAX_STRING:
        raise _Refused(f"it holds a text of more than {MAX_STRING} bytes")
    return data[field.start : field.end].decode("utf-8", "replace")


def _within(data: bytes, field: _Field) -> Iterator[_Field]:
    if field.wire != _DELIMITED:
        raise _Refused("its protobuf is not of ONNX's form")
    return _fields(data, field.start, field.end)


def _fields(data: bytes, at: int, end: int) -> Iterator[_Field]:
    """Yield the fields of the message that lies in data[at:end]."""
    while at < end:
        if skipped := _NUMBERS.match(data, at, end):
            at = skipped.end()
            continue
        # A decoder cuts a longer tag to 32 bits: what stands above them would hide a field.
        tag, at = _varint(data, at, end, 5)
        number, wire = tag >> 3, tag & 7
        if tag >= 1 << 32 or not number:
            raise _Refused("its protobuf is not of ONNX's form")
        start = at
        if wire == _VARINT:
            _, at = _varint(data, at, end, 10)
        elif wire == _DELIMITED:
            size, start = _varint(data, at, end, 5)
            at = start + size
        elif wire in (_FIXED64, _FIXED32):
            at += 8 if wire == _FIXED64 else 4
        else:
            raise _Refused("its protobuf is not of ONNX's form")
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
            return value, at + place + 1
    raise _Refused("its protobuf is not of ONNX's form")
