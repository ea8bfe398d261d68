"""What a row costs a graph: an upper bound on its work and on the text that it makes.

onnxruntime's arena bounds the memory of numbers, and a deadline ends a graph between two operators.
Neither bounds what a single operator does with many rows, nor the characters of text, which are
outside of the arena. So the shape of every value is bounded before a graph is loaded, for one row
and for many, and:

- An operator whose work is more than a pass over its values (a matrix product, trees, a support
  vector machine) must have inputs of known shape, and do at most `MAX_WORK` per row.
- Text of a row may be copied at most `MAX_COPIES` times, and never as often as a number says.
- Text that a graph holds, such as labels, must be made in a known number, of at most
  `MAX_TEXT` bytes per row.

A shape that is not known is None; what it holds is then bounded by the arena only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from artifact_pipeline.builder.formats import onnx_trees
from artifact_pipeline.builder.formats.onnx_protobuf import (
    STRING_TYPE,
    GraphContent,
    GraphRefused,
    Node,
    Tensor,
    product,
)

MAX_WORK = 1 << 28
"""Steps of one operator for one row. A step is a multiplication and an addition, or the like."""
MAX_FIXED_WORK = 1 << 34
"""Steps of one operator that do not depend on the number of rows: they took 3.4 seconds in a matrix
product of float64 and 19 seconds in trees, on a loaded core."""
MAX_COPIES = 64
"""How often each text of a row may occur in all values of a graph together."""
MAX_TEXT = 1 << 20
"""Bytes of text that a graph may make for one row out of text that it holds."""
MANY_ROWS = 1 << 20
"""Rows for which a row's share of the cost is measured: so many that a cost that does not depend
on rows hardly counts. No more rows are computed at once."""
_TOKENS = 1 << 16
"""Stands for the number of words in a text."""
_TREE_STEP = 16
"""Steps that a node of a tree counts for: it waits for memory."""


class Cost(NamedTuple):
    """What one row costs a graph.

    Attributes:
        width: Elements of its largest value of known shape.
        work: Steps of its most expensive operator.
        text: Bytes of the text it makes out of text it holds.
    """

    width: int
    work: int
    text: int


class Value(NamedTuple):
    """What is known of a value.

    Attributes:
        shape: Upper bounds of its dimensions; None if the rank or a bound is not known.
        integers: Its content, if it is a constant.
        sizes: Upper bounds of its content, if it was made from shapes and constants.
        is_text: Whether its elements are text.
        columns: The text columns of the input that it holds copies of, in the order of its second
            dimension while `ordered`.
        ordered: See `columns`.
        longest: Bytes of the longest text of the graph that it holds.
        loose: Whether a dimension may be smaller than its bound.
    """

    shape: tuple[int, ...] | None = None
    integers: Sequence[int] | None = None
    sizes: tuple[int, ...] | None = None
    is_text: bool = False
    columns: tuple[str, ...] = ()
    ordered: bool = False
    longest: int = 0
    loose: bool = False


def measure(graph: GraphContent) -> Cost:
    """Return what one row costs a graph.

    Raises:
        GraphRefused: If a row may cost more than it should, or its cost cannot be told.
    """
    trees: dict[str, onnx_trees.Trees] = {}
    one, many = _Pass(1, trees), _Pass(MANY_ROWS, trees)
    one.run(graph, {})
    many.run(graph, {})
    if one.work > MAX_FIXED_WORK:
        raise GraphRefused(f"one of its operators takes more than {MAX_FIXED_WORK} steps")
    cost = Cost(*(-(-total // MANY_ROWS) for total in (many.width, many.work, many.text)))
    if cost.work > MAX_WORK:
        raise GraphRefused(f"one of its operators takes more than {MAX_WORK} steps per row")
    if max(cost.text, one.text) > MAX_TEXT:
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
        """Return what is known of each value of a graph. `outer` has those of an outer graph."""
        values = dict(outer)
        values |= {tensor.name: _constant(tensor) for tensor in graph.constants}
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
                values[name] = _clamped(value)
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
            raise GraphRefused("it makes text in a number that cannot be told")
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
        """Return what is known of the outputs of an operator.

        Raises:
            GraphRefused: If it makes text in a way that no estimator needs, or works on shapes that
                cannot be told.
        """
        fewest, most = _INPUTS.get(node.operator, (1, len(inputs)))
        if not fewest <= len(inputs) <= most:
            raise GraphRefused(f"{node.operator} takes another number of inputs than it should")
        if any(value.is_text for value in inputs) and node.operator not in _ON_TEXT:
            raise GraphRefused(f"no estimator needs {node.operator} of text")
        if node.operator in _SAME_SHAPE:
            return [inputs[0]._replace(integers=None, sizes=None)] * len(node.outputs)
        if node.operator in _BROADCAST:
            return [self._broadcast(node, inputs)]
        rule = _RULES.get(node.operator)
        return [Value()] * len(node.outputs) if rule is None else rule(self, node, inputs)

    def _broadcast(self, node: Node, inputs: list[Value]) -> Value:
        shape = broadcast([value.shape for value in inputs])
        sizes = None
        if node.operator in ("Add", "Mul") and len(inputs) == 2:
            a, b = (_sizes(value) for value in inputs)
            if a and b and 1 in (len(a), len(b)) and min(*a, *b) >= 0:
                a, b = (a * len(b), b) if len(a) == 1 else (a, b * len(a))
                combine: Callable[[int, int], int] = (
                    (lambda x, y: x + y) if node.operator == "Add" else (lambda x, y: x * y)
                )
                sizes = tuple(map(combine, a, b))
        return Value(shape=shape, sizes=sizes)

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
                axis = _axis(axes[place - states], len(shape)) if place - states < len(axes) else -1
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


def broadcast(shapes: Sequence[tuple[int, ...] | None]) -> tuple[int, ...] | None:
    """Return the shape of an operation that broadcasts its inputs."""
    rank = max((len(shape) for shape in shapes if shape is not None), default=0)
    sizes = [1] * rank
    for shape in shapes:
        if shape is None:
            return None
        for place, size in enumerate(reversed(shape), 1):
            sizes[-place] = 0 if 0 in (size, sizes[-place]) else max(sizes[-place], size)
    return tuple(sizes)


def _clamped(value: Value) -> Value:
    """Return a value whose shape and sizes are small enough to go on with.

    Raises:
        GraphRefused: If it has too many dimensions.
    """
    shape, sizes = value.shape, value.sizes
    if shape is not None:
        if len(shape) > _MAX_RANK:
            raise GraphRefused(f"one of its values has more than {_MAX_RANK} dimensions")
        shape = tuple(min(size, _HUGE) for size in shape)
    if sizes is not None:
        sizes = tuple(min(size, _HUGE) for size in sizes) if len(sizes) <= _MAX_SIZES else None
    return value._replace(shape=shape, sizes=sizes)


def _constant(tensor: Tensor) -> Value:
    return Value(
        shape=tensor.shape,
        integers=tensor.integers,
        is_text=tensor.element == STRING_TYPE,
        longest=tensor.longest_text,
    )


def _sizes(value: Value) -> tuple[int, ...] | None:
    """Return upper bounds of the content of a value."""
    if value.integers is not None and len(value.integers) <= _MAX_SIZES:
        return tuple(value.integers)
    return value.sizes


def _axis(axis: int, rank: int) -> int:
    """Return an axis counted from the first, -1 if there is no such axis."""
    axis += rank if axis < 0 else 0
    return axis if 0 <= axis < rank else -1


def _axes(node: Node, inputs: list[Value]) -> Sequence[int] | None:
    """Return the axes that an attribute or the second input names, None if it cannot be told."""
    if len(inputs) > 1 and node.inputs[1]:
        return inputs[1].integers
    return node.integers("axes") or ()


def _constant_node(walk: _Pass, node: Node, inputs: list[Value]) -> list[Value]:
    tensor = node.tensor("value")
    if tensor is not None:
        return [_constant(tensor)]
    integers = node.integers("value_ints")
    if integers is not None:
        return [Value(shape=(len(integers),), integers=integers)]
    if "value_int" in node.attributes:
        return [Value(shape=(), integers=(node.integer("value_int", 0),))]
    texts = node.texts("value_strings") or node.texts("value_string")
    if texts:
        shape = (len(texts),) if "value_strings" in node.attributes else ()
        return [Value(shape=shape, is_text=True, longest=max(map(len, texts)))]
    return [
        Value(shape=(node.floats("value_floats"),) if "value_floats" in node.attributes else ())
    ]


def _constant_of_shape(walk: _Pass, node: Node, inputs: list[Value]) -> list[Value]:
    shape, tensor = _sizes(inputs[0]), node.tensor("value")
    return [
        _constant(tensor)._replace(shape=shape, integers=None) if tensor else Value(shape=shape)
    ]


def _identity(walk: _Pass, node: Node, inputs: list[Value]) -> list[Value]:
    return [inputs[0]]


def _cast(walk: _Pass, node: Node, inputs: list[Value]) -> list[Value]:
    [value] = inputs
    if node.integer("to", 0) == STRING_TYPE:
        return [value if value.is_text else Value(shape=value.shape, is_text=True, longest=_NUMBER)]
    return [Value(shape=value.shape, integers=value.integers, sizes=value.sizes)]


def _shape(walk: _Pass, node: Node, inputs: list[Value]) -> list[Value]:
    shape = inputs[0].shape
    if shape is None:
        return [Value()]
    plain = not node.attributes
    return [Value(shape=(len(shape),), sizes=shape if plain else None)]


def _moved(value: Value, shape: tuple[int, ...] | None) -> Value:
    """Return the same elements in another shape."""
    same = shape == value.shape
    return value._replace(shape=shape, ordered=value.ordered and same)


def _reshape(walk: _Pass, node: Node, inputs: list[Value]) -> list[Value]:
    value, target = inputs[0], _sizes(inputs[1])
    if value.shape is None or target is None:
        return [_moved(value, None)]
    copied = [*value.shape, *[0] * len(target)]
    if inputs[1].loose:  # each size may be smaller, also 0, which copies
        rest = product(value.shape)
        bounds = [max(size, copied[place]) for place, size in enumerate(target)]
    else:
        bounds = [size or copied[place] for place, size in enumerate(target)]
        rest = -(-product(value.shape) // max(product([size for size in bounds if size > 0]), 1))
    shape = (rest if size < 0 else bound for size, bound in zip(target, bounds, strict=True))
    return [_moved(value, tuple(shape))]


def _flatten(walk: _Pass, node: Node, inputs: list[Value]) -> list[Value]:
    [value] = inputs
    if value.shape is None:
        return [value]
    axis = node.integer("axis", 1)
    axis += len(value.shape) if axis < 0 else 0
    return [_moved(value, (product(value.shape[:axis]), product(value.shape[axis:])))]


def _squeeze(walk: _Pass, node: Node, inputs: list[Value]) -> list[Value]:
    value, axes = inputs[0], _axes(node, inputs)
    if value.shape is None or not axes:
        return [_moved(value, None)]
    dropped = {_axis(axis, len(value.shape)) for axis in axes}
    shape = tuple(size for place, size in enumerate(value.shape) if place not in dropped)
    return [_moved(value, shape)._replace(integers=value.integers, sizes=value.sizes)]


def _unsqueeze(walk: _Pass, node: Node, inputs: list[Value]) -> list[Value]:
    value, axes = inputs[0], _axes(node, inputs)
    if value.shape is None or not axes or len(axes) > 8:
        return [_moved(value, None)]
    rank = len(value.shape) + len(axes)
    places, rest = {_axis(axis, rank) for axis in axes}, iter(value.shape)
    shape = tuple(1 if place in places else next(rest, 1) for place in range(rank))
    return [_moved(value, shape)._replace(integers=value.integers, sizes=value.sizes)]


def _transpose(walk: _Pass, node: Node, inputs: list[Value]) -> list[Value]:
    [value] = inputs
    if value.shape is None:
        return [value]
    order = node.integers("perm") or range(len(value.shape))[::-1]
    if sorted(order) != list(range(len(value.shape))):
        return [_moved(value, None)]
    return [_moved(value, tuple(value.shape[axis] for axis in order))._replace(ordered=False)]


def _concat(walk: _Pass, node: Node, inputs: list[Value]) -> list[Value]:
    columns = tuple(column for value in inputs for column in value.columns)
    longest = max(value.longest for value in inputs)
    text = inputs[0].is_text
    shapes = [value.shape for value in inputs if value.shape is not None]
    sizes = [_sizes(value) for value in inputs]
    joined = [size for some in sizes for size in some or ()] if None not in sizes else None
    if len(shapes) < len(inputs) or len({len(shape) for shape in shapes}) != 1:
        return [Value(is_text=text, columns=columns, longest=longest)]
    rank = len(shapes[0])
    axis = _axis(node.integer("axis", 0), rank)
    if axis < 0:
        raise GraphRefused("a Concat names an axis that its inputs do not have")
    shape = tuple(
        sum(shape[place] for shape in shapes)
        if place == axis
        else max(shape[place] for shape in shapes)
        for place in range(rank)
    )
    return [
        Value(
            shape=shape,
            sizes=tuple(joined) if joined is not None and rank == 1 else None,
            is_text=text,
            columns=columns,
            ordered=rank == 2 and axis == 1 and all(value.ordered for value in inputs),
            longest=longest,
        )
    ]


def _picked(value: Value, indices: Value, *, along_columns: bool) -> Value:
    """Return the text that indices pick of a value, without its shape."""
    if not value.columns:
        return Value(is_text=value.is_text, longest=value.longest)
    if indices.integers is None:
        raise GraphRefused("it copies texts of rows by numbers that it computes")
    count = len(value.columns)
    ordered = along_columns and value.ordered
    if len(indices.integers) > MAX_COPIES * (count if ordered else 1):
        raise GraphRefused(f"it copies a text more than {MAX_COPIES} times")
    if not ordered:
        columns = value.columns * len(indices.integers)
    elif all(-count <= index < count for index in indices.integers):
        columns = tuple(value.columns[index] for index in indices.integers)
    else:
        raise GraphRefused("it takes a column of text that there is not")
    return Value(is_text=True, columns=columns, ordered=ordered, longest=value.longest)


def _gather(walk: _Pass, node: Node, inputs: list[Value]) -> list[Value]:
    value, indices = inputs
    rank = len(value.shape or ())
    axis = _axis(node.integer("axis", 0), rank)
    text = _picked(value, indices, along_columns=axis == 1) if value.is_text else Value()
    if value.shape is None or indices.shape is None or axis < 0:
        return [text]
    shape = value.shape[:axis] + indices.shape + value.shape[axis + 1 :]
    sizes, known = None, _sizes(value)
    if rank == 1 and known is not None and indices.integers is not None:
        if not all(-len(known) <= index < len(known) for index in indices.integers):
            raise GraphRefused("it takes a size that there is not")
        sizes = tuple(known[index] for index in indices.integers)
    return [text._replace(shape=shape, sizes=sizes, ordered=text.ordered and len(shape) == 2)]


def _feature_extractor(walk: _Pass, node: Node, inputs: list[Value]) -> list[Value]:
    value, indices = inputs
    rank = len(value.shape or ())
    text = _picked(value, indices, along_columns=rank == 2) if value.is_text else Value()
    if value.shape is None or indices.shape is None:
        return [text]
    return [text._replace(shape=(*(value.shape[:-1] or (1,)), product(indices.shape)))]


def _where(walk: _Pass, node: Node, inputs: list[Value]) -> list[Value]:
    shape = broadcast([value.shape for value in inputs])
    _, yes, no = inputs
    if any(value.columns and value.shape != shape for value in (yes, no)):
        raise GraphRefused("it repeats texts of rows")
    columns = yes.columns + no.columns
    longest = max(yes.longest, no.longest)
    return [Value(shape=shape, is_text=yes.is_text or no.is_text, columns=columns, longest=longest)]


def _split(walk: _Pass, node: Node, inputs: list[Value]) -> list[Value]:
    value = inputs[0]._replace(integers=None, sizes=None, ordered=False)
    return [value] * len(node.outputs)


def _slice(walk: _Pass, node: Node, inputs: list[Value]) -> list[Value]:
    value, shape = inputs[0], inputs[0].shape
    part = value._replace(integers=None, sizes=None, ordered=False)
    bounds = [value.integers for value in inputs[1:4] if value.integers is not None]
    if shape is None or len(bounds) < 3:
        return [part]
    sizes = list(shape)
    for start, end, axis in zip(*bounds, strict=False):
        place = _axis(axis, len(shape))
        if place >= 0 and (start < 0) == (end < 0):
            sizes[place] = min(sizes[place], max(end - start, 0))
    return [part._replace(shape=tuple(sizes))]


def _top(walk: _Pass, node: Node, inputs: list[Value]) -> list[Value]:
    shape = inputs[0].shape
    count = _sizes(inputs[1]) if len(inputs) > 1 else (node.integer("k", 0),)
    axis = _axis(node.integer("axis", -1), len(shape or ()))
    if shape is None or not count or axis < 0:
        return [Value(shape=shape, loose=True)] * 2
    return [Value(shape=(*shape[:axis], min(count[0], shape[axis]), *shape[axis + 1 :]))] * 2


def _feature_vectorizer(walk: _Pass, node: Node, inputs: list[Value]) -> list[Value]:
    """Bound the joined columns. The runtime ends the process where there are none to join."""
    widths = node.integers("inputdimensions") or ()
    shapes = [value.shape for value in inputs]
    if any(value.loose or not value.shape or min(value.shape) < 1 for value in inputs):
        raise GraphRefused("it joins columns whose number cannot be told")
    if [shape[-1] for shape in shapes if shape] != list(widths):
        raise GraphRefused("it joins another number of columns than it has")
    return [Value(shape=(_rows_of(node, inputs), sum(widths)))]


def _expand(walk: _Pass, node: Node, inputs: list[Value]) -> list[Value]:
    return [Value(shape=broadcast([inputs[0].shape, _sizes(inputs[1])]))]


def _tile(walk: _Pass, node: Node, inputs: list[Value]) -> list[Value]:
    shape, repeats = inputs[0].shape, _sizes(inputs[1])
    if shape is None or repeats is None or len(shape) != len(repeats):
        return [Value()]
    return [Value(shape=tuple(size * times for size, times in zip(shape, repeats, strict=True)))]


def _compress(walk: _Pass, node: Node, inputs: list[Value]) -> list[Value]:
    shape = inputs[0].shape
    if "axis" in node.attributes or shape is None:
        return [Value(shape=shape)]
    return [Value(shape=(product(shape),))]


def _nonzero(walk: _Pass, node: Node, inputs: list[Value]) -> list[Value]:
    shape = inputs[0].shape
    return [Value(shape=None if shape is None else (len(shape), product(shape)))]


def _gather_elements(walk: _Pass, node: Node, inputs: list[Value]) -> list[Value]:
    return [Value(shape=inputs[1].shape)]


def _reduce(walk: _Pass, node: Node, inputs: list[Value]) -> list[Value]:
    shape = inputs[0].shape
    if shape is None:
        return [Value()]
    if node.operator in ("ArgMax", "ArgMin"):
        axes: Sequence[int] | None = (node.integer("axis", 0),)
    else:
        axes = _axes(node, inputs)
    keeps = node.integer("keepdims", 1) != 0
    if axes is None:
        return [Value(shape=shape if keeps else None)]
    if not axes and node.integer("noop_with_empty_axes", 0):
        return [Value(shape=shape)]
    reduced = {_axis(axis, len(shape)) for axis in axes} if axes else set(range(len(shape)))
    if keeps:
        return [Value(shape=tuple(1 if at in reduced else size for at, size in enumerate(shape)))]
    return [Value(shape=tuple(size for at, size in enumerate(shape) if at not in reduced))]


def _matrices(*values: Value) -> list[tuple[int, ...]]:
    shapes = [value.shape for value in values if value.shape is not None]
    if len(shapes) < len(values):
        raise GraphRefused("it multiplies matrices whose shape cannot be told")
    return shapes


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
        raise GraphRefused("it multiplies matrices that have other than two dimensions")
    rows, inner = a[::-1] if node.integer("transA", 0) else a
    columns = b[0] if node.integer("transB", 0) else b[1]
    walk.spend(rows, max(inner, 1), columns)
    return [Value(shape=(rows, columns))]


def _rows_of(node: Node, inputs: list[Value]) -> int:
    shape = inputs[0].shape
    if not shape:
        raise GraphRefused(f"the number of rows that {node.operator} takes cannot be told")
    return shape[0]


def _labels(node: Node) -> tuple[int, Value]:
    """Return the number of classes of a classifier, and the value of its labels without a shape."""
    texts = node.texts("classlabels_strings")
    if texts:
        return len(texts), Value(is_text=True, longest=max(map(len, texts)))
    numbers = node.integers("classlabels_ints") or node.integers("classlabels_int64s") or ()
    return len(numbers), Value()


def _linear(walk: _Pass, node: Node, inputs: list[Value]) -> list[Value]:
    rows = _rows_of(node, inputs)
    walk.spend(rows, max(node.floats("coefficients"), 1))
    if node.operator == "LinearRegressor":
        return [Value(shape=(rows, node.integer("targets", 1)))]
    classes, label = _labels(node)
    scores = max(classes, node.floats("intercepts"), 2)
    return [label._replace(shape=(rows,)), Value(shape=(rows, scores))]


def _support_vectors(walk: _Pass, node: Node, inputs: list[Value]) -> list[Value]:
    rows = _rows_of(node, inputs)
    classes, label = _labels(node)
    pairs = max(classes * (classes - 1) // 2, classes, 2)
    numbers = node.floats("support_vectors") + node.floats("coefficients")
    walk.spend(rows, max(numbers, 1) + pairs * 2)
    if node.operator == "SVMRegressor":
        return [Value(shape=(rows, 1))]
    return [label._replace(shape=(rows,)), Value(shape=(rows, pairs))]


def _tree_ensemble(walk: _Pass, node: Node, inputs: list[Value]) -> list[Value]:
    rows, size = _rows_of(node, inputs), walk.trees(node)
    if size.features > (inputs[0].shape or (0,))[-1]:
        raise GraphRefused("a tree reads a feature that its rows do not have")
    walk.spend(rows, size.trees, size.depth, _TREE_STEP)
    if node.operator != "TreeEnsembleClassifier":
        return [Value(shape=(rows, node.integer("n_targets", 1)))]
    classes, label = _labels(node)
    if classes < 2:
        raise GraphRefused("trees classify into fewer than two classes")
    return [label._replace(shape=(rows,)), Value(shape=(rows, classes))]


def _label_encoder(walk: _Pass, node: Node, inputs: list[Value]) -> list[Value]:
    texts = node.texts("values_strings")
    tensor = node.tensor("values_tensor")
    default = node.texts("default_string") + node.texts("values_string")
    shape = inputs[0].shape
    if tensor is not None and tensor.element == STRING_TYPE:
        fallback = node.tensor("default_tensor")
        longest = max(tensor.longest_text, fallback.longest_text if fallback else 0)
        return [Value(shape=shape, is_text=True, longest=longest)]
    if texts or "classes_strings" in node.attributes:
        texts = [*texts, *default, *node.texts("classes_strings"), b""]
        return [Value(shape=shape, is_text=True, longest=max(map(len, texts)))]
    return [Value(shape=shape)]


def _one_hot(walk: _Pass, node: Node, inputs: list[Value]) -> list[Value]:
    shape = inputs[0].shape
    count = len(node.texts("cats_strings")) or len(node.integers("cats_int64s") or ())
    return [Value(shape=None if shape is None else (*shape, count))]


def _word_counts(walk: _Pass, node: Node, inputs: list[Value]) -> list[Value]:
    shape = inputs[0].shape
    if shape is None:
        raise GraphRefused("it counts words in a number of rows that cannot be told")
    skips, longest = node.integer("max_skip_count", 0), node.integer("max_gram_length", 1)
    walk.spend(product(shape), max(skips, 0) + 1, max(longest, 1))
    width = max(node.integers("ngram_indexes") or (0,)) + 1
    return [Value(shape=(*shape[:-1], width))]


def _normalizer(walk: _Pass, node: Node, inputs: list[Value]) -> list[Value]:
    return [inputs[0]._replace(ordered=False)]


def _tokenizer(walk: _Pass, node: Node, inputs: list[Value]) -> list[Value]:
    value = inputs[0]
    if any(len(text) > _SHORT for text in node.texts("pad_value")):
        raise GraphRefused(f"it pads words with a text of more than {_SHORT} bytes")
    if value.shape is None:
        raise GraphRefused("it splits text in a number of rows that cannot be told")
    walk.spend(product(value.shape), _TOKENS, len(node.texts("separators")) + 1)
    return [value._replace(shape=(*value.shape, _TOKENS), ordered=False)]


_STRING_OBJECT = 32
"""Bytes of a C++ string without its characters."""
_NUMBER = 24
"""Bytes of the longest number as text."""
_HUGE = 1 << 62
_MAX_RANK = 16
_MAX_SIZES = 1 << 10
_MAX_COLUMNS = 1 << 16
_SHORT = 15
"""Bytes of text that every C++ library holds without memory of its own."""
_SAME_SHAPE = frozenset(
    "Abs Binarizer Ceil Clip Cos CumSum Erf Exp Floor Imputer IsInf IsNaN Log Neg Normalizer Not "
    "Reciprocal Relu Round Scaler ScatterElements Sigmoid Sign Sin Softmax Softplus Sqrt Tan "
    "Tanh".split()
)
_LOOSE = frozenset("Compress NonZero Slice Split Tokenizer".split())
"""Operators whose outputs have a size that depends on what they take."""
_BROADCAST = frozenset(
    "Add And Div Equal Greater GreaterOrEqual Less LessOrEqual Max Min Mod Mul Or Pow Sub Sum "
    "Xor".split()
)
_REDUCE = (
    "ArgMax ArgMin ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin "
    "ReduceProd ReduceSum ReduceSumSquare"
).split()
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
"""The fewest and the most inputs of an operator whose rule relies on them."""
_ON_TEXT = frozenset(
    "ArrayFeatureExtractor Cast Concat Equal Flatten Gather Identity LabelEncoder OneHotEncoder "
    "Reshape Shape Slice Split Squeeze StringNormalizer TfIdfVectorizer Tokenizer Transpose "
    "Unsqueeze Where".split()
)
"""Operators that may take text."""
_RULES: dict[str, Callable[[_Pass, Node, list[Value]], list[Value]]] = {
    **dict.fromkeys(_REDUCE, _reduce),
    "ArrayFeatureExtractor": _feature_extractor,
    "Cast": _cast,
    "Compress": _compress,
    "Concat": _concat,
    "Constant": _constant_node,
    "ConstantOfShape": _constant_of_shape,
    "Expand": _expand,
    "FeatureVectorizer": _feature_vectorizer,
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "Gemm": _gemm,
    "Identity": _identity,
    "LabelEncoder": _label_encoder,
    "LinearClassifier": _linear,
    "LinearRegressor": _linear,
    "MatMul": _matmul,
    "NonZero": _nonzero,
    "OneHotEncoder": _one_hot,
    "Reshape": _reshape,
    "SVMClassifier": _support_vectors,
    "SVMRegressor": _support_vectors,
    "Shape": _shape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "StringNormalizer": _normalizer,
    "TfIdfVectorizer": _word_counts,
    "Tile": _tile,
    "Tokenizer": _tokenizer,
    "TopK": _top,
    "Transpose": _transpose,
    "TreeEnsemble": _tree_ensemble,
    "TreeEnsembleClassifier": _tree_ensemble,
    "TreeEnsembleRegressor": _tree_ensemble,
    "Unsqueeze": _unsqueeze,
    "Where": _where,
}
