"""Checks of an ONNX graph before onnxruntime reads it.

A graph is data, but possibly hostile data: it can name files to read, use operators that
other packages registered, double a tensor forty times, or loop forever. So it is read with a strict
reader (`onnx_protobuf`), may use only the operators that scikit-learn's estimators need, and must
have a bounded cost (`onnx_costs`). Memory and time are bounded again while it runs
(`onnx_format`).

The runtime must read what was checked, so bytes that are also a file of its own format are refused.

ONNX Runtime's own format: bytes 4 to 8 of a flatbuffer are its file identifier.
"""

from __future__ import annotations

from typing import Literal

from artifact_pipeline.builder.formats import onnx_costs
from artifact_pipeline.builder.formats.onnx_protobuf import (
    FLOAT_TYPES,
    INTEGER_TYPES,
    STRING_TYPE,
    GraphContent,
    GraphRefused,
    Node,
    Tensor,
    fields,
    read_graph,
    root,
    text,
)
from artifact_pipeline.errors import Location, VerificationError, quoted

MAX_NODES = 100_000
MAX_DEPTH = 8
"""Maximum levels of nested graphs, such as the body of a loop."""
MAX_MEMORY = 4 << 30
"""Maximum bytes of onnxruntime's arena, for all models of a process together."""
LOAD_SECONDS = 60.0
_MAX_CELLS = 1 << 24
"""Maximum elements of a value in a run; more rows are computed in parts."""
_MAX_STEPS = 1 << 34
"""Maximum steps of one operator in a run, which cannot be interrupted."""
_MAX_TEXT = 1 << 28
"""Maximum bytes that a run creates from text in the graph."""

OPERATORS = {
    "": frozenset(
        "Abs Add And ArgMax ArgMin Cast Ceil Clip Compress Concat Constant ConstantOfShape Cos "
        "CumSum Div Equal Erf Exp Expand Flatten Floor Gather GatherElements Gemm Greater "
        "GreaterOrEqual Identity IsInf IsNaN Less LessOrEqual Log MatMul Max Min Mod Mul Neg "
        "NonZero Not Or Pow Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax "
        "ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Round Scan "
        "ScatterElements Shape Sigmoid Sign Sin Slice Softmax Softplus Split Sqrt Squeeze "
        "StringNormalizer Sub Sum Tan Tanh TfIdfVectorizer Tile TopK Transpose Unsqueeze Where "
        "Xor".split()
    ),
    "ai.onnx.ml": frozenset(
        "ArrayFeatureExtractor Binarizer FeatureVectorizer Imputer LabelEncoder LinearClassifier "
        "LinearRegressor Normalizer OneHotEncoder SVMClassifier SVMRegressor Scaler TreeEnsemble "
        "TreeEnsembleClassifier TreeEnsembleRegressor".split()
    ),
    "com.microsoft": frozenset({"Tokenizer"}),
}
"""The operators that the converters use for scikit-learn's estimators. None of them reads a file,
calls a function by name, or loops forever."""
OPERATORS["ai.onnx"] = OPERATORS[""]
LOCALES = frozenset({"C", "C.UTF-8", "en_US", "en_US.UTF-8"})
"""Locales that a StringNormalizer may name: the runtime loads them from the system."""

Kind = Literal["float", "integer", "text", ""]
"""The kind of the elements of a value; empty if it is unknown."""
_KINDS: dict[int, Kind] = {
    **dict.fromkeys(FLOAT_TYPES, "float"),
    **dict.fromkeys(INTEGER_TYPES, "integer"),
    STRING_TYPE: "text",
}
_DIVIDING = frozenset({"Div", "Mod"})
_INTEGER = frozenset(
    "And ArgMax ArgMin Equal Greater GreaterOrEqual IsInf IsNaN Less LessOrEqual NonZero Not Or "
    "Shape Xor".split()
)
_FLOAT = frozenset(
    "FeatureVectorizer LinearRegressor Normalizer OneHotEncoder SVMRegressor Scaler "
    "TfIdfVectorizer TreeEnsembleRegressor".split()
)
_CLASSIFIERS = frozenset({"LinearClassifier", "SVMClassifier", "TreeEnsembleClassifier"})
_ALIKE = frozenset("Add Clip Concat Div Gemm MatMul Max Min Mul Sub Sum".split())
"""Operators whose inputs are all of one type."""
_SAME = _ALIKE | frozenset(
    "Abs ArrayFeatureExtractor Binarizer Ceil Compress CumSum Erf Exp Expand Flatten Floor Gather "
    "GatherElements Identity Imputer Log Mod Neg Pow Reciprocal ReduceL1 ReduceL2 "
    "ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum "
    "ReduceSumSquare Relu Reshape Round ScatterElements Sigmoid Sign Sin Cos Slice Softmax "
    "Softplus Split Sqrt Squeeze StringNormalizer Tan Tanh Tile Tokenizer TopK Transpose "
    "TreeEnsemble Unsqueeze".split()
)
_ORT_FORMAT = b"ORTM"


def check(data: bytes, *, location: Location | None) -> onnx_costs.Cost:
    """Check that an ONNX model contains only what an estimator needs; return the cost of a row.

    Raises:
        VerificationError: For operators, functions or domains beyond `OPERATORS`, data in other
            files, graphs too large or nested too deep, costs that are too high or cannot be
            bounded, and bytes that another reader could interpret differently.
    """
    try:
        return _check_model(data)
    except GraphRefused as refused:
        raise VerificationError(f"is not loaded: {refused}", location=location) from refused


def rows_per_run(cost: onnx_costs.Cost) -> int:
    """Return how many rows may be computed at once."""
    bounds = [onnx_costs.MANY_ROWS, _MAX_CELLS // cost.width, _MAX_STEPS // cost.work]
    if cost.text:
        bounds.append(_MAX_TEXT // cost.text)
    return max(1, min(bounds))


def seconds(rows: int) -> float:
    """Return how long a prediction of that many rows may take."""
    return 20.0 + 0.02 * rows


def _check_model(data: bytes) -> onnx_costs.Cost:
    if data[4:8] == _ORT_FORMAT:
        raise GraphRefused("it is a file of the runtime's own format")
    graph = GraphContent(inputs=[], outputs=[], constants=[], nodes=[])
    domains = []
    for field in fields(data, root(data), kind="model"):
        if field.number == 7:
            graph = read_graph(data, field)
        elif field.number == 8:
            opset = fields(data, field, kind="opset")
            domains += [text(data, part) for part in opset if part.number == 1]
    if _check_graph(graph, 0) > MAX_NODES:
        raise GraphRefused(f"it has more than {MAX_NODES} nodes")
    for domain in domains:
        if domain not in OPERATORS:
            raise GraphRefused(f"no estimator needs operators of the domain {quoted(domain)}")
    return onnx_costs.measure(graph)


def _check_graph(graph: GraphContent, depth: int) -> int:
    """Return the number of nodes in a graph and in its inner graphs."""
    if depth > MAX_DEPTH:
        raise GraphRefused(f"its graphs are nested more than {MAX_DEPTH} deep")
    count = len(graph.nodes)
    if count > MAX_NODES:
        raise GraphRefused(f"it has more than {MAX_NODES} nodes")
    for node in graph.nodes:
        if node.operator not in OPERATORS.get(node.domain, ()):
            name = f"{node.domain}.{node.operator}".lstrip(".")
            raise GraphRefused(f"no estimator needs the operator {quoted(name)}")
        for name, attribute in node.attributes.items():
            for field in fields(node.data, attribute, kind="attribute"):
                if field.number == 6:
                    count += _check_graph(read_graph(node.data, field), depth + 1)
                elif field.number == 5:
                    node.tensor(name)  # it is read only to be checked
                elif field.number in (4, 9):
                    value = text(node.data, field)
                    if name == "locale" and value not in LOCALES:
                        raise GraphRefused(f"it names the locale {quoted(value)}")
    _check_kinds(graph)
    return count


def _check_kinds(graph: GraphContent) -> None:
    """Refuse divisions that end the process.

    The processor ends a process that divides the smallest integer by -1, or any integer by 0. A
    value of unknown kind may be an integer. No name may be defined twice, because the runtime could
    use the other value.
    """
    kinds: dict[str, Kind] = {}
    divisors: set[str] = set()

    def define(name: str, kind: Kind, *, divides: bool = False) -> None:
        if name in kinds:
            raise GraphRefused(f"it defines the value {quoted(name)} twice")
        kinds[name] = kind
        if divides:
            divisors.add(name)

    for tensor in graph.constants:
        define(tensor.name, _kind(tensor), divides=_divides(tensor))
    for port in graph.inputs:
        define(port.name, _KINDS.get(port.element, ""))
    for node in graph.nodes:
        inputs = [kinds.get(name, "") for name in node.inputs]
        safe = len(inputs) == 2 and node.inputs[1] in divisors
        if node.operator in _DIVIDING and "float" not in inputs and not safe:
            raise GraphRefused(f"{node.operator} may divide an integer by 0 or -1")
        for place, name in enumerate(node.outputs):
            if name:
                value = node.tensor("value") if node.operator.startswith("Constant") else None
                divides = value is not None and _divides(value)
                define(name, _output_kind(node, place, inputs=inputs), divides=divides)


def _kind(tensor: Tensor) -> Kind:
    return _KINDS.get(tensor.element, "")


def _divides(tensor: Tensor) -> bool:
    """Return whether every integer can be divided by each value of a tensor."""
    values = tensor.integers
    return values is not None and len(values) > 0 and 0 not in values and -1 not in values


def _output_kind(node: Node, place: int, *, inputs: list[Kind]) -> Kind:
    """Return the kind of an operator's output at that place."""
    operator = node.operator
    if operator in ("Constant", "ConstantOfShape"):
        tensor = node.tensor("value")
        if tensor is not None:
            return _kind(tensor)
        initials: dict[str, Kind] = {"f": "float", "i": "integer", "s": "text"}
        for name in node.attributes:
            if name.startswith("value_"):
                return initials.get(name[6:7], "")
        return "float" if operator == "ConstantOfShape" else ""
    if operator == "Cast":
        return _KINDS.get(node.integer("to", 0), "")
    if operator == "Scan":
        body = node.graph("body")
        ends = body.outputs if body is not None else []
        return _KINDS.get(ends[place].element, "") if place < len(ends) else ""
    if operator in _INTEGER or (operator == "TopK" and place):
        return "integer"
    if operator in _FLOAT or (operator in _CLASSIFIERS and place):
        return "float"
    if operator in _ALIKE:
        return next((kind for kind in inputs if kind), "")
    if operator in _SAME:
        return inputs[0] if inputs else ""
    if operator == "Where":
        return next((kind for kind in inputs[1:] if kind), "")
    return _label_kind(node)


def _label_kind(node: Node) -> Kind:
    """Return the kind of the output of an operator on labels, from its list of labels."""
    lists: dict[Kind, tuple[str, ...]] = {
        "text": ("values_strings", "classlabels_strings"),
        "float": ("values_floats",),
        "integer": ("values_int64s", "classlabels_ints", "classlabels_int64s"),
    }
    kinds = [kind for kind, names in lists.items() for name in names if name in node.attributes]
    return kinds[0] if len(kinds) == 1 else ""
