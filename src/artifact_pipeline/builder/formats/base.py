"""The open forms, and the interface that an opened model of any form has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from artifact_pipeline.builder.artifact.manifest import MODEL_ONNX, MODEL_SKOPS, FormName

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Form(NamedTuple):
    """An open form of a model.

    Attributes:
        name: Its name in a manifest.
        file: The file that contains it.
        dtype: The type of its numbers. A graph may take float64 and be as precise as float32, such
            as that of a tree.
        bound: Maximum difference of its probabilities from those of the estimator.
    """

    name: FormName
    file: str
    dtype: str
    bound: float


FORMS = (
    Form(name="onnx-float64", file=MODEL_ONNX, dtype="float64", bound=1e-9),
    Form(name="onnx-float32", file=MODEL_ONNX, dtype="float32", bound=1e-5),
    Form(name="skops", file=MODEL_SKOPS, dtype="float64", bound=1e-9),
)
"""The forms, best first."""
BY_NAME = {form.name: form for form in FORMS}


class Outputs(NamedTuple):
    """The outputs of a model for rows."""

    predicted: NDArray[Any]
    """(n_rows,) labels, or floats: the numbers of a regressor."""
    probabilities: NDArray[np.floating[Any]] | None
    """(n_rows, n_labels), or None for a model without them."""
    scores: NDArray[np.float64] | None = None
    """The decision function of a classifier without probabilities, (n_rows,) or (n_rows, n).
    Scores are compared for the proof and never served."""


Batch: TypeAlias = "NDArray[np.float64] | list[NDArray[Any]]"
"""Rows: a matrix (n_rows, n_features), or the columns of a table, each (n_rows,) float64 or str."""


class PredictFunction(Protocol):
    """An opened model.

    A prediction ends after `seconds`, or after a time that no prediction of so many rows takes.
    """

    def __call__(self, rows: Batch, *, seconds: float | None = None) -> Outputs: ...


def names_of(rows: Batch) -> list[str]:
    """Return the names of the inputs that take rows."""
    return [f"c{index}" for index in range(len(rows))] if isinstance(rows, list) else ["X"]


def apart(a: Outputs, b: Outputs, *, spread_of: Outputs | None = None) -> NDArray[np.float64]:
    """Return how far apart predicted numbers are, (n_rows,), as shares of their spread.

    Args:
        a: Outputs of a regressor.
        b: Outputs of another for the same rows.
        spread_of: The outputs whose spread counts; by default `b`.
    """
    import numpy as np

    spread = float(np.ptp((spread_of or b).predicted)) or 1.0
    distance: NDArray[np.float64] = np.abs(a.predicted - b.predicted) / spread
    return distance


def differ(a: Outputs, b: Outputs, *, bound: float) -> NDArray[np.bool_]:
    """Return a mask of the rows, (n_rows,), whose labels differ, or whose numbers differ too much.

    Args:
        a: Outputs of a model.
        b: Outputs of another for the same rows.
        bound: Maximum difference of numbers, as a share of the spread of `b`.
    """
    if b.predicted.dtype.kind == "f":
        return apart(a, b) > bound
    other: NDArray[np.bool_] = a.predicted != b.predicted
    return other
