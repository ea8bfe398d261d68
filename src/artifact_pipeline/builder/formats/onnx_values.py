"""Bounds of the values in an ONNX graph: their shapes, sizes in their content, and their text.

An unknown shape is None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from artifact_pipeline.builder.formats.onnx_protobuf import (
    STRING_TYPE,
    GraphRefused,
    Node,
    Tensor,
    product,
)

MAX_COPIES = 64
"""Maximum copies of each text of a row in all values of a graph together."""
_NUMBER = 24
"""Bytes of the longest number as text."""
_HUGE = 1 << 62
_MAX_RANK = 16
_MAX_SIZES = 1 << 10


class Value(NamedTuple):
    """The known facts about a value.

    Attributes:
        shape: Upper bounds of its dimensions; None if the rank or a bound is not known.
        integers: Its content, if it is a constant.
        sizes: Upper bounds of its content, if it was made from shapes and constants.
        is_text: Whether its elements are text.
        columns: The text columns of the input that it contains copies of, in the order of its
            second dimension if `ordered`.
        ordered: See `columns`.
        longest: Bytes of the longest text from the graph in it.
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


def clamped(value: Value) -> Value:
    """Return a value whose shape and sizes are small enough to continue.

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


def constant_value(tensor: Tensor) -> Value:
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


def axis_of(axis: int, rank: int) -> int:
    """Return an axis counted from the first, -1 if there is no such axis."""
    axis += rank if axis < 0 else 0
    return axis if 0 <= axis < rank else -1


def rows_of(node: Node, inputs: list[Value]) -> int:
    shape = inputs[0].shape
    if not shape:
        raise GraphRefused(f"the number of rows for {node.operator} is unknown")
    return shape[0]


def _same_shape(node: Node, inputs: list[Value]) -> list[Value]:
    return [inputs[0]._replace(integers=None, sizes=None)] * len(node.outputs)


def _broadcast(node: Node, inputs: list[Value]) -> list[Value]:
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
    return [Value(shape=shape, sizes=sizes)]


def _constant_node(node: Node, inputs: list[Value]) -> list[Value]:
    tensor = node.tensor("value")
    if tensor is not None:
        return [constant_value(tensor)]
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


def _constant_of_shape(node: Node, inputs: list[Value]) -> list[Value]:
    shape, tensor = _sizes(inputs[0]), node.tensor("value")
    return [
        constant_value(tensor)._replace(shape=shape, integers=None)
        if tensor
        else Value(shape=shape)
    ]


def _identity(node: Node, inputs: list[Value]) -> list[Value]:
    return [inputs[0]]


def _cast(node: Node, inputs: list[Value]) -> list[Value]:
    [value] = inputs
    if node.integer("to", 0) == STRING_TYPE:
        return [value if value.is_text else Value(shape=value.shape, is_text=True, longest=_NUMBER)]
    return [Value(shape=value.shape, integers=value.integers, sizes=value.sizes)]


def _shape(node: Node, inputs: list[Value]) -> list[Value]:
    shape = inputs[0].shape
    if shape is None:
        return [Value()]
    plain = not node.attributes
    return [Value(shape=(len(shape),), sizes=shape if plain else None)]


def _reshape(node: Node, inputs: list[Value]) -> list[Value]:
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


def _flatten(node: Node, inputs: list[Value]) -> list[Value]:
    [value] = inputs
    if value.shape is None:
        return [value]
    axis = node.integer("axis", 1)
    axis += len(value.shape) if axis < 0 else 0
    return [_moved(value, (product(value.shape[:axis]), product(value.shape[axis:])))]


def _squeeze(node: Node, inputs: list[Value]) -> list[Value]:
    value, axes = inputs[0], _axes(node, inputs)
    if value.shape is None or not axes:
        return [_moved(value, None)]
    dropped = {axis_of(axis, len(value.shape)) for axis in axes}
    shape = tuple(size for place, size in enumerate(value.shape) if place not in dropped)
    return [_moved(value, shape)._replace(integers=value.integers, sizes=value.sizes)]


def _unsqueeze(node: Node, inputs: list[Value]) -> list[Value]:
    value, axes = inputs[0], _axes(node, inputs)
    if value.shape is None or not axes or len(axes) > 8:
        return [_moved(value, None)]
    rank = len(value.shape) + len(axes)
    places, rest = {axis_of(axis, rank) for axis in axes}, iter(value.shape)
    shape = tuple(1 if place in places else next(rest, 1) for place in range(rank))
    return [_moved(value, shape)._replace(integers=value.integers, sizes=value.sizes)]


def _transpose(node: Node, inputs: list[Value]) -> list[Value]:
    [value] = inputs
    if value.shape is None:
        return [value]
    order = node.integers("perm") or range(len(value.shape))[::-1]
    if sorted(order) != list(range(len(value.shape))):
        return [_moved(value, None)]
    return [_moved(value, tuple(value.shape[axis] for axis in order))._replace(ordered=False)]


def _concat(node: Node, inputs: list[Value]) -> list[Value]:
    columns = tuple(column for value in inputs for column in value.columns)
    longest = max(value.longest for value in inputs)
    text = inputs[0].is_text
    shapes = [value.shape for value in inputs if value.shape is not None]
    sizes = [_sizes(value) for value in inputs]
    joined = [size for some in sizes for size in some or ()] if None not in sizes else None
    if len(shapes) < len(inputs) or len({len(shape) for shape in shapes}) != 1:
        return [Value(is_text=text, columns=columns, longest=longest)]
    rank = len(shapes[0])
    axis = axis_of(node.integer("axis", 0), rank)
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


def _gather(node: Node, inputs: list[Value]) -> list[Value]:
    value, indices = inputs
    rank = len(value.shape or ())
    axis = axis_of(node.integer("axis", 0), rank)
    text = _picked(value, indices, along_columns=axis == 1) if value.is_text else Value()
    if value.shape is None or indices.shape is None or axis < 0:
        return [text]
    shape = value.shape[:axis] + indices.shape + value.shape[axis + 1 :]
    sizes, known = None, _sizes(value)
    if rank == 1 and known is not None and indices.integers is not None:
        if not all(-len(known) <= index < len(known) for index in indices.integers):
            raise GraphRefused("it selects a size that does not exist")
        sizes = tuple(known[index] for index in indices.integers)
    return [text._replace(shape=shape, sizes=sizes, ordered=text.ordered and len(shape) == 2)]


def _feature_extractor(node: Node, inputs: list[Value]) -> list[Value]:
    value, indices = inputs
    rank = len(value.shape or ())
    text = _picked(value, indices, along_columns=rank == 2) if value.is_text else Value()
    if value.shape is None or indices.shape is None:
        return [text]
    return [text._replace(shape=(*(value.shape[:-1] or (1,)), product(indices.shape)))]


def _where(node: Node, inputs: list[Value]) -> list[Value]:
    shape = broadcast([value.shape for value in inputs])
    _, yes, no = inputs
    if any(value.columns and value.shape != shape for value in (yes, no)):
        raise GraphRefused("it repeats texts of rows")
    columns = yes.columns + no.columns
    longest = max(yes.longest, no.longest)
    return [Value(shape=shape, is_text=yes.is_text or no.is_text, columns=columns, longest=longest)]


def _split(node: Node, inputs: list[Value]) -> list[Value]:
    value = inputs[0]._replace(integers=None, sizes=None, ordered=False)
    return [value] * len(node.outputs)


def _slice(node: Node, inputs: list[Value]) -> list[Value]:
    value, shape = inputs[0], inputs[0].shape
    part = value._replace(integers=None, sizes=None, ordered=False)
    bounds = [value.integers for value in inputs[1:4] if value.integers is not None]
    if shape is None or len(bounds) < 3:
        return [part]
    sizes = list(shape)
    for start, end, axis in zip(*bounds, strict=False):
        place = axis_of(axis, len(shape))
        if place >= 0 and (start < 0) == (end < 0):
            sizes[place] = min(sizes[place], max(end - start, 0))
    return [part._replace(shape=tuple(sizes))]


def _top(node: Node, inputs: list[Value]) -> list[Value]:
    shape = inputs[0].shape
    count = _sizes(inputs[1]) if len(inputs) > 1 else (node.integer("k", 0),)
    axis = axis_of(node.integer("axis", -1), len(shape or ()))
    if shape is None or not count or axis < 0:
        return [Value(shape=shape, loose=True)] * 2
    return [Value(shape=(*shape[:axis], min(count[0], shape[axis]), *shape[axis + 1 :]))] * 2


def _feature_vectorizer(node: Node, inputs: list[Value]) -> list[Value]:
    """Bound the joined columns. The runtime crashes if there are none to join."""
    widths = node.integers("inputdimensions") or ()
    shapes = [value.shape for value in inputs]
    if any(value.loose or not value.shape or min(value.shape) < 1 for value in inputs):
        raise GraphRefused("it joins an unknown number of columns")
    if [shape[-1] for shape in shapes if shape] != list(widths):
        raise GraphRefused("it joins the wrong number of columns")
    return [Value(shape=(rows_of(node, inputs), sum(widths)))]


def _expand(node: Node, inputs: list[Value]) -> list[Value]:
    return [Value(shape=broadcast([inputs[0].shape, _sizes(inputs[1])]))]


def _tile(node: Node, inputs: list[Value]) -> list[Value]:
    shape, repeats = inputs[0].shape, _sizes(inputs[1])
    if shape is None or repeats is None or len(shape) != len(repeats):
        return [Value()]
    return [Value(shape=tuple(size * times for size, times in zip(shape, repeats, strict=True)))]


def _compress(node: Node, inputs: list[Value]) -> list[Value]:
    shape = inputs[0].shape
    if "axis" in node.attributes or shape is None:
        return [Value(shape=shape)]
    return [Value(shape=(product(shape),))]


def _nonzero(node: Node, inputs: list[Value]) -> list[Value]:
    shape = inputs[0].shape
    return [Value(shape=None if shape is None else (len(shape), product(shape)))]


def _gather_elements(node: Node, inputs: list[Value]) -> list[Value]:
    return [Value(shape=inputs[1].shape)]


def _reduce(node: Node, inputs: list[Value]) -> list[Value]:
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
    reduced = {axis_of(axis, len(shape)) for axis in axes} if axes else set(range(len(shape)))
    if keeps:
        return [Value(shape=tuple(1 if at in reduced else size for at, size in enumerate(shape)))]
    return [Value(shape=tuple(size for at, size in enumerate(shape) if at not in reduced))]


def _label_encoder(node: Node, inputs: list[Value]) -> list[Value]:
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


def _one_hot(node: Node, inputs: list[Value]) -> list[Value]:
    shape = inputs[0].shape
    count = len(node.texts("cats_strings")) or len(node.integers("cats_int64s") or ())
    return [Value(shape=None if shape is None else (*shape, count))]


def _normalizer(node: Node, inputs: list[Value]) -> list[Value]:
    return [inputs[0]._replace(ordered=False)]


def _axes(node: Node, inputs: list[Value]) -> Sequence[int] | None:
    """Return the axes that an attribute or the second input names, None if they are unknown."""
    if len(inputs) > 1 and node.inputs[1]:
        return inputs[1].integers
    return node.integers("axes") or ()


def _moved(value: Value, shape: tuple[int, ...] | None) -> Value:
    """Return the same elements in another shape."""
    same = shape == value.shape
    return value._replace(shape=shape, ordered=value.ordered and same)


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
        raise GraphRefused("it selects a text column that does not exist")
    return Value(is_text=True, columns=columns, ordered=ordered, longest=value.longest)


_SAME_SHAPE = frozenset(
    "Abs Binarizer Ceil Clip Cos CumSum Erf Exp Floor Imputer IsInf IsNaN Log Neg Normalizer Not "
    "Reciprocal Relu Round Scaler ScatterElements Sigmoid Sign Sin Softmax Softplus Sqrt Tan "
    "Tanh".split()
)
_BROADCAST = frozenset(
    "Add And Div Equal Greater GreaterOrEqual Less LessOrEqual Max Min Mod Mul Or Pow Sub Sum "
    "Xor".split()
)
_REDUCE = (
    "ArgMax ArgMin ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin "
    "ReduceProd ReduceSum ReduceSumSquare"
).split()
RULES: dict[str, Callable[[Node, list[Value]], list[Value]]] = {
    **dict.fromkeys(_SAME_SHAPE, _same_shape),
    **dict.fromkeys(_BROADCAST, _broadcast),
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
    "Identity": _identity,
    "LabelEncoder": _label_encoder,
    "NonZero": _nonzero,
    "OneHotEncoder": _one_hot,
    "Reshape": _reshape,
    "Shape": _shape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "StringNormalizer": _normalizer,
    "Tile": _tile,
    "TopK": _top,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Where": _where,
}
"""The rules that derive facts about an operator's outputs from those about its inputs."""
