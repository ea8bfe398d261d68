"""The cost of a row in a graph: an upper bound on its work and on the text that it creates.

onnxruntime's arena bounds the memory of numbers, and a deadline ends a graph between two operators.
Neither limits the work of a single operator on many rows, nor the characters of text, which are
outside the arena. So the shape of every value is bounded before a graph is loaded, for one row
and for many, and:

- An operator whose work is more than a pass over its values (a matrix product, trees, a support
  vector machine) must have inputs of known shape, and do at most `MAX_WORK` per row.
- Text of a row may be copied at most `MAX_COPIES` times, and not as often as a value decides.
- The number of copies of text in the graph, such as labels, must be known, with at most `MAX_TEXT`
  bytes per row.

An unknown shape is None; only the arena then limits its value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from artifact_pipeline.builder.formats import onnx_trees, onnx_values
from artifact_pipeline.builder.formats.onnx_protobuf import (
    STRING_TYPE,
    GraphContent,
    GraphRefused,
    Node,
    product,
)
from artifact_pipeline.builder.formats.onnx_values import (
    MAX_COPIES,
    Value,
    axis_of,
    broadcast,
    clamped,
    constant_value,
    rows_of,
)

MAX_WORK = 1 << 28
"""Steps of one operator for one row. A step is a multiplication and an addition, or the like."""
MAX_FIXED_WORK = 1 << 34
"""Steps of one operator that do not depend on the number of rows: they took 3.4 seconds in a matrix
product of float64 and 19 seconds in trees, on a loaded core."""
MAX_TEXT = 1 << 20
"""Maximum bytes that a graph may create for one row from text in the graph."""
MANY_ROWS = 1 << 20
"""Rows for which the cost is computed and divided: so many that costs independent of rows hardly
count. No more rows are computed at once."""
_TOKENS = 1 << 16
"""Stands for the number of words in a text."""
_TREE_STEP = 16
"""Steps that a node of a tree counts as, because it waits for memory."""


class Cost(NamedTuple):
    """The cost of one row in a graph.

    Attributes:
        width: Elements of its largest value of known shape.
        work: Steps of its most expensive operator.
        text: Bytes of text that it creates from text in the graph.
    """

    width: int
    work: int
    text: int


def measure(graph: GraphContent) -> Cost:
    """Return the cost of one row in a graph.

    Raises:
        GraphRefused: If a row may cost too much, or its cost cannot be determined.
    """
    trees: dict[str, onnx_trees.Trees] = {}
    single, many = _Pass(1, trees), _Pass(MANY_ROWS, trees)
    single.run(graph, {})
    many.run(graph, {})
    if single.work > MAX_FIXED_WORK:
        raise GraphRefused(f"one of its operators takes more than {MAX_FIXED_WORK} steps")
    cost = Cost(*(-(-total // MANY_ROWS) for total in (many.width, many.work, many.text)))
    if cost.work > MAX_WORK:
        raise GraphRefused(f"one of its operators takes more than {MAX_WORK} steps per row")
    if max(cost.text, single.text) > MAX_TEXT:
        raise GraphRefused(f"it makes more than {MAX_TEXT} bytes of text per row")
    return Cost(max(cost.width, 1), max(cost.work, 1), cost.text)


class _Pass:
    """A walk through a graph that bounds the shapes of its values for a number of rows."""

    def __init__(self, rows: int, trees: dict[str, onnx_trees.Trees]) -> None:
        self.rows = rows
        self._trees = trees
        self.width = 0
        self.work = 0
        self.text = 0
        self.copies: Counter[str] = Counter()

    def run(self, graph: GraphContent, outer: dict[str, Value]) -> dict[str, Value]:
        """Return the known facts about each value of a graph, given those of the outer graph."""
        values = dict(outer)
        values |= {tensor.name: constant_value(tensor) for tensor in graph.constants}
        for port in graph.inputs:
            if port.name not in values:
                is_text = port.element == STRING_TYPE
                shape = None
                if port.shape is not None:
                    shape = tuple(self.rows if size is None else size for size in port.shape)
                values[port.name] = Value(shape=shape, is_text=is_text)
                if is_text:
                    values[port.name] = self._rows_of_text(port.name, shape)
        for node in graph.nodes:
            if node.operator == "Scan":
                outputs = self._scan(node, values)
            else:
                inputs = [values.get(name, Value()) for name in node.inputs]
                loose = node.operator in _LOOSE or any(value.loose for value in inputs)
                outputs = [
                    value._replace(loose=loose or value.loose)
                    for value in self._outputs(node, inputs)
                ]
            for name, value in zip(node.outputs, outputs, strict=False):
                values[name] = clamped(value)
                self._account(values[name], inner=bool(outer))
        return values

    def _rows_of_text(self, name: str, shape: tuple[int, ...] | None) -> Value:
        if shape is None or len(shape) != 2:
            raise GraphRefused("an input of text has no width")
        if shape[1] > _MAX_COLUMNS:
            raise GraphRefused(f"an input has more than {_MAX_COLUMNS} columns of text")
        columns = tuple(f"{name}\0{column}" for column in range(shape[1]))
        return Value(shape=shape, is_text=True, columns=columns, ordered=True)

    def _account(self, value: Value, *, inner: bool) -> None:
        count = product(value.shape) if value.shape is not None else 0
        if not value.is_text:
            self.width = max(self.width, count)
            return
        if inner:
            raise GraphRefused("it makes text in a loop")
        if value.shape is None:
            raise GraphRefused("it makes an unknown number of texts")
        if not value.columns or value.longest:
            self.text += count * (value.longest + _STRING_OBJECT)
        self.copies.update(value.columns)
        if value.columns and max(self.copies[column] for column in value.columns) > MAX_COPIES:
            raise GraphRefused(f"it copies a text more than {MAX_COPIES} times")

    def spend(self, *factors: int) -> None:
        """Count the steps of an operator: the product of these factors."""
        self.work = max(self.work, product(factors))

    def trees(self, node: Node) -> onnx_trees.Trees:
        """Return the size of a tree ensemble, checked once."""
        name = node.outputs[0] if node.outputs else ""
        if name not in self._trees:
            self._trees[name] = onnx_trees.check(node)
        return self._trees[name]

    def _outputs(self, node: Node, inputs: list[Value]) -> list[Value]:
        """Return the known facts about the outputs of an operator.

        Raises:
            GraphRefused: If it makes text in a way that no estimator needs, or works on shapes that
                cannot be determined.
        """
        fewest, most = _INPUTS.get(node.operator, (1, len(inputs)))
        if not fewest <= len(inputs) <= most:
            raise GraphRefused(f"{node.operator} has the wrong number of inputs")
        if any(value.is_text for value in inputs) and node.operator not in _ON_TEXT:
            raise GraphRefused(f"no estimator needs {node.operator} of text")
        if work := _RULES.get(node.operator):
            return work(self, node, inputs)
        if rule := onnx_values.RULES.get(node.operator):
            return rule(node, inputs)
        return [Value()] * len(node.outputs)

    def _scan(self, node: Node, values: dict[str, Value]) -> list[Value]:
        body = node.graph("body")
        scanned = node.integer("num_scan_inputs", 0)
        if body is None or not 0 < scanned <= len(node.inputs) or len(body.inputs) < scanned:
            raise GraphRefused("a Scan has no body or scans nothing")
        states = len(node.inputs) - scanned
        axes = node.integers("scan_input_axes") or (0,) * scanned
        inner, rounds = dict(values), None
        for place, (name, port) in enumerate(zip(node.inputs, body.inputs, strict=False)):
            value = values.get(name, Value())
            if value.is_text:
                raise GraphRefused("no estimator needs Scan of text")
            shape = value.shape
            if place >= states and shape is not None:
                axis = (
                    axis_of(axes[place - states], len(shape)) if place - states < len(axes) else -1
                )
                if axis < 0:
                    raise GraphRefused("a Scan names an axis that its input does not have")
                rounds = min(shape[axis], shape[axis] if rounds is None else rounds)
                shape = shape[:axis] + shape[axis + 1 :]
            inner[port.name] = Value(shape=shape)
        results = self.run(body, inner)
        outputs = []
        for place, port in enumerate(body.outputs):
            value = results.get(port.name, Value())
            if value.is_text:
                raise GraphRefused("no estimator needs Scan of text")
            shape = value.shape
            if place >= states:
                plain = not any(node.integers("scan_output_axes") or ())
                if shape is not None:
                    shape = (rounds, *shape) if plain and rounds is not None else None
            outputs.append(Value(shape=shape))
        return outputs


def _matmul(walk: _Pass, node: Node, inputs: list[Value]) -> list[Value]:
    a, b = _matrices(*inputs)
    if not a or not b:
        raise GraphRefused("it multiplies matrices that have no dimensions")
    left, right = a if len(a) > 1 else (1, *a), b if len(b) > 1 else (*b, 1)
    batch = broadcast([left[:-2], right[:-2]]) or ()
    walk.spend(product(batch), left[-2], max(left[-1], 1), right[-1])
    rows = (left[-2],) if len(a) > 1 else ()
    columns = (right[-1],) if len(b) > 1 else ()
    return [Value(shape=batch + rows + columns)]


def _gemm(walk: _Pass, node: Node, inputs: list[Value]) -> list[Value]:
    a, b = _matrices(*inputs[:2])
    if len(a) != 2 or len(b) != 2:
        raise GraphRefused("it multiplies matrices that do not have two dimensions")
    rows, inner = a[::-1] if node.integer("transA", 0) else a
    columns = b[0] if node.integer("transB", 0) else b[1]
    walk.spend(rows, max(inner, 1), columns)
    return [Value(shape=(rows, columns))]


def _linear(walk: _Pass, node: Node, inputs: list[Value]) -> list[Value]:
    rows = rows_of(node, inputs)
    walk.spend(rows, max(node.floats("coefficients"), 1))
    if node.operator == "LinearRegressor":
        return [Value(shape=(rows, node.integer("targets", 1)))]
    classes, label = _labels(node)
    scores = max(classes, node.floats("intercepts"), 2)
    return [label._replace(shape=(rows,)), Value(shape=(rows, scores))]


def _support_vectors(walk: _Pass, node: Node, inputs: list[Value]) -> list[Value]:
    rows = rows_of(node, inputs)
    classes, label = _labels(node)
    pairs = max(classes * (classes - 1) // 2, classes, 2)
    numbers = node.floats("support_vectors") + node.floats("coefficients")
    walk.spend(rows, max(numbers, 1) + pairs * 2)
    if node.operator == "SVMRegressor":
        return [Value(shape=(rows, 1))]
    return [label._replace(shape=(rows,)), Value(shape=(rows, pairs))]


def _tree_ensemble(walk: _Pass, node: Node, inputs: list[Value]) -> list[Value]:
    rows, size = rows_of(node, inputs), walk.trees(node)
    if size.features > (inputs[0].shape or (0,))[-1]:
        raise GraphRefused("a tree reads a feature that its rows do not have")
    walk.spend(rows, size.trees, size.depth, _TREE_STEP)
    if node.operator != "TreeEnsembleClassifier":
        return [Value(shape=(rows, node.integer("n_targets", 1)))]
    classes, label = _labels(node)
    if classes < 2:
        raise GraphRefused("trees classify into fewer than two classes")
    return [label._replace(shape=(rows,)), Value(shape=(rows, classes))]


def _word_counts(walk: _Pass, node: Node, inputs: list[Value]) -> list[Value]:
    shape = inputs[0].shape
    if shape is None:
        raise GraphRefused("it counts words in an unknown number of rows")
    skips, longest = node.integer("max_skip_count", 0), node.integer("max_gram_length", 1)
    walk.spend(product(shape), max(skips, 0) + 1, max(longest, 1))
    width = max(node.integers("ngram_indexes") or (0,)) + 1
    return [Value(shape=(*shape[:-1], width))]


def _tokenizer(walk: _Pass, node: Node, inputs: list[Value]) -> list[Value]:
    value = inputs[0]
    if any(len(text) > _SHORT for text in node.texts("pad_value")):
        raise GraphRefused(f"it pads words with a text of more than {_SHORT} bytes")
    if value.shape is None:
        raise GraphRefused("it splits text in an unknown number of rows")
    walk.spend(product(value.shape), _TOKENS, len(node.texts("separators")) + 1)
    return [value._replace(shape=(*value.shape, _TOKENS), ordered=False)]


def _matrices(*values: Value) -> list[tuple[int, ...]]:
    shapes = [value.shape for value in values if value.shape is not None]
    if len(shapes) < len(values):
        raise GraphRefused("it multiplies matrices of unknown shape")
    return shapes


def _labels(node: Node) -> tuple[int, Value]:
    """Return the number of classes of a classifier, and the value of its labels without a shape."""
    texts = node.texts("classlabels_strings")
    if texts:
        return len(texts), Value(is_text=True, longest=max(map(len, texts)))
    numbers = node.integers("classlabels_ints") or node.integers("classlabels_int64s") or ()
    return len(numbers), Value()


_STRING_OBJECT = 32
"""Bytes of a C++ string without its characters."""
_MAX_COLUMNS = 1 << 16
_SHORT = 15
"""Bytes of text that every C++ library stores inside the string object."""
_LOOSE = frozenset("Compress NonZero Slice Split Tokenizer".split())
"""Operators whose output size depends on the values of their inputs."""
_INPUTS = {
    "Constant": (0, 0),
    **dict.fromkeys(("Cast", "ConstantOfShape", "Flatten"), (1, 1)),
    **dict.fromkeys(("Identity", "Shape", "Transpose"), (1, 1)),
    **dict.fromkeys(("Squeeze", "TopK", "Unsqueeze"), (1, 2)),
    **dict.fromkeys(("ArrayFeatureExtractor", "Expand", "Gather", "GatherElements"), (2, 2)),
    **dict.fromkeys(("MatMul", "Reshape", "Tile"), (2, 2)),
    "Gemm": (2, 3),
    "Where": (3, 3),
}
"""The minimum and maximum inputs of operators whose rules rely on them."""
_ON_TEXT = frozenset(
    "ArrayFeatureExtractor Cast Concat Equal Flatten Gather Identity LabelEncoder OneHotEncoder "
    "Reshape Shape Slice Split Squeeze StringNormalizer TfIdfVectorizer Tokenizer Transpose "
    "Unsqueeze Where".split()
)
"""Operators that may take text."""
_RULES: dict[str, Callable[[_Pass, Node, list[Value]], list[Value]]] = {
    "Gemm": _gemm,
    "LinearClassifier": _linear,
    "LinearRegressor": _linear,
    "MatMul": _matmul,
    "SVMClassifier": _support_vectors,
    "SVMRegressor": _support_vectors,
    "TfIdfVectorizer": _word_counts,
    "Tokenizer": _tokenizer,
    "TreeEnsemble": _tree_ensemble,
    "TreeEnsembleClassifier": _tree_ensemble,
    "TreeEnsembleRegressor": _tree_ensemble,
}
"""Operators whose work is more than a pass over their values."""
