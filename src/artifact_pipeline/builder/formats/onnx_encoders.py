"""Converters of encoders that compute exactly as scikit-learn; those of skl2onnx approximate.

- Encoders of numbers compare them; skl2onnx would cast 1.5 to 1.
- Encoders of text group infrequent categories, and encode by the target in float64.
- Binarizer compares with `>`; skl2onnx treats a number at the threshold as greater.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from artifact_pipeline.builder.formats.onnx_graph import ML, Graph, give, wide_input

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def binarize(scope: Any, operator: Any, container: Any) -> None:
    """Convert Binarizer: whether a number is greater than the threshold."""
    import numpy as np

    graph = Graph(scope, container)
    threshold = graph.constant(np.array(float(operator.raw_operator.threshold)))
    greater = graph.add("Greater", wide_input(graph, operator), threshold)
    give(graph, graph.cast(greater, "float64"), variable=operator.outputs[0])


def one_hot(fallback: Callable[[Any, Any, Any], None], *where: Any) -> None:
    """Convert a OneHotEncoder: numbers by comparing them; text as skl2onnx does."""
    import numpy as np

    scope, operator, container = where
    if not _of_numbers(operator):
        fallback(scope, operator, container)
        return
    graph, encoder, parts = Graph(scope, container), operator.raw_operator, []
    X = _encoded_numbers(graph, operator)
    for index, categories in enumerate(encoder.categories_):
        kept = np.asarray(categories, dtype=np.float64)
        if encoder.drop_idx_ is not None and encoder.drop_idx_[index] is not None:
            kept = np.delete(kept, encoder.drop_idx_[index])
        if len(kept):
            parts.append(_matches(graph, X, index=index, categories=kept))
    _give_number(graph, _joined(graph, parts), variable=operator.outputs[0])


def grouped_one_hot(scope: Any, operator: Any, container: Any) -> None:
    """Convert a OneHotEncoder of text that groups infrequent categories.

    An unknown text is in the group, if there is one, as in scikit-learn.

    Raises:
        RuntimeError: If it drops categories, or refuses unknown ones.
    """
    import numpy as np

    encoder = operator.raw_operator
    if encoder.drop is not None or encoder.handle_unknown not in ("ignore", "infrequent_if_exist"):
        raise RuntimeError("infrequent categories of which some are dropped or refused")
    graph, parts = Graph(scope, container), []
    for index, (categories, column) in enumerate(
        zip(encoder.categories_, _columns(graph, operator), strict=True)
    ):
        mapping = encoder._default_to_infrequent_mappings[index]
        codes = np.arange(len(categories)) if mapping is None else mapping
        groups = mapping is not None and encoder.handle_unknown == "infrequent_if_exist"
        unknown = int(codes.max()) if groups else -1
        parts.append(
            graph.add(
                "OneHotEncoder",
                _codes(graph, column, categories=categories, codes=codes, unknown=unknown),
                op_domain=ML,
                op_version=1,
                cats_int64s=list(range(int(codes.max()) + 1)),
                zeros=1,
            )
        )
    # The encoder adds an axis: (n_rows, 1, n_codes).
    flat = [graph.add("Flatten", part, axis=1) for part in parts]
    _give_number(graph, _joined(graph, flat), variable=operator.outputs[0])


def target_encoder(scope: Any, operator: Any, container: Any) -> None:
    """Convert a TargetEncoder of text; an unknown text has the mean of the target."""
    import numpy as np

    encoder = operator.raw_operator
    graph, parts = Graph(scope, container), []
    means = np.atleast_1d(np.asarray(encoder.target_mean_, dtype=np.float64))
    for index, (categories, column) in enumerate(
        zip(encoder.categories_, _columns(graph, operator), strict=True)
    ):
        # (n_categories + 1, n_means), the encodings of a feature are next to each other.
        encodings = encoder.encodings_[index * len(means) : (index + 1) * len(means)]
        table = np.vstack([np.column_stack(encodings), means])
        codes = np.arange(len(categories))
        place = _codes(graph, column, categories=categories, codes=codes, unknown=len(categories))
        flat = graph.add("Reshape", place, graph.constant(np.array([-1])))
        parts.append(graph.add("Gather", graph.constant(table), flat, axis=0))
    _give_number(graph, _joined(graph, parts), variable=operator.outputs[0])


def ordinal(fallback: Callable[[Any, Any, Any], None], *where: Any) -> None:
    """Convert an OrdinalEncoder: numbers by comparing them; text as skl2onnx does."""
    import numpy as np

    scope, operator, container = where
    if not _of_numbers(operator):
        fallback(scope, operator, container)
        return
    graph, encoder, parts = Graph(scope, container), operator.raw_operator, []
    X = _encoded_numbers(graph, operator)
    for index, categories in enumerate(encoder.categories_):
        kept = np.asarray(categories, dtype=np.float64)
        codes = np.arange(len(kept), dtype=np.float64)
        codes[np.isnan(kept)] = encoder.encoded_missing_value
        hot = _matches(graph, X, index=index, categories=kept)
        axes = graph.constant(np.array([1]))
        # A NaN code would make the sum NaN, so a Where inserts it.
        plain = np.nan_to_num(codes)
        code = graph.add("MatMul", hot, graph.constant(plain.reshape(-1, 1)))
        known = graph.add("ReduceSum", hot, axes, keepdims=1)
        nothing = graph.add("Equal", known, graph.constant(np.array(0.0)))
        other = np.nan if encoder.unknown_value is None else float(encoder.unknown_value)
        code = graph.add("Where", nothing, graph.constant(np.array(other)), code)
        if np.isnan(codes).any():
            column = graph.add("Gather", X, graph.constant(np.array([index])), axis=1)
            gap = graph.add("IsNaN", column)
            code = graph.add("Where", gap, graph.constant(np.array(np.nan)), code)
        parts.append(code)
    _give_number(graph, _joined(graph, parts), variable=operator.outputs[0])


def _encoded_numbers(graph: Graph, operator: Any) -> Any:
    """Return the joined inputs of an encoder of numbers.

    Raises:
        RuntimeError: If it groups infrequent categories, which is not implemented.
    """
    if operator.raw_operator._infrequent_enabled:
        raise RuntimeError("an encoder of numbers with infrequent categories")
    return _joined(graph, [str(variable.full_name) for variable in operator.inputs])


def _columns(graph: Graph, operator: Any) -> Iterator[str]:
    """Yield the columns of an operator's inputs, (n_rows, 1) each."""
    import numpy as np

    for variable in operator.inputs:
        width = variable.type.shape[1]
        if width == 1:
            yield str(variable.full_name)
            continue
        for index in range(width):
            place = graph.constant(np.array([index]))
            yield graph.add("Gather", variable.full_name, place, axis=1)


def _codes(
    graph: Graph,
    column: str,
    *,
    categories: NDArray[Any],
    codes: NDArray[np.int64],
    unknown: int,
) -> str:
    """Add the code of each text in a column, (n_rows, 1)."""
    return graph.add(
        "LabelEncoder",
        column,
        op_domain=ML,
        op_version=2,
        keys_strings=[str(category).encode() for category in categories],
        values_int64s=codes.tolist(),
        default_int64=unknown,
    )


def _of_numbers(operator: Any) -> bool:
    from skl2onnx.common.data_types import DoubleTensorType

    return all(isinstance(variable.type, DoubleTensorType) for variable in operator.inputs)


def _joined(graph: Graph, columns: Sequence[str]) -> str:
    return graph.add("Concat", *columns, axis=1) if len(columns) > 1 else columns[0]


def _matches(graph: Graph, X: str, *, index: int, categories: NDArray[np.float64]) -> str:
    """Add the one-hot encoding of a column, (n_rows, n_categories) of 0 and 1."""
    import numpy as np

    column = graph.add("Gather", X, graph.constant(np.array([index])), axis=1)
    same = graph.add("Equal", column, graph.constant(categories.reshape(1, -1)))
    if np.isnan(categories).any():
        gap = graph.add("IsNaN", column)
        place = np.isnan(categories).astype(np.float64).reshape(1, -1)
        wanted = graph.add("Greater", graph.constant(place), graph.constant(np.array(0.5)))
        same = graph.add("Or", same, graph.add("And", gap, wanted))
    return graph.cast(same, "float64")


def _give_number(graph: Graph, value: str, *, variable: Any) -> None:
    from skl2onnx.common.data_types import Int64TensorType

    if isinstance(variable.type, Int64TensorType):
        graph.cast(value, "int64", output=variable.full_name)
    else:
        give(graph, value, variable=variable)
