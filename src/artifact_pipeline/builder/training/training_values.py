"""Summaries of the training values of each feature, for the interface."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from artifact_pipeline.builder.artifact.manifest import MAX_CATEGORIES, TrainingValues
from artifact_pipeline.builder.config.values import Kind
from artifact_pipeline.builder.evaluation.edge_columns import sample_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MIN_ROWS = 10
"""Minimum rows with a text for it to be typical in a column with many texts. With fewer rows, it
could identify one of them."""


def summarize(
    X: Any, kinds: Mapping[str, Kind] | None, *, texts: Mapping[str, Counter[str]]
) -> list[TrainingValues]:
    """Return the summary of each feature of the training rows.

    Args:
        X: The training rows: (n_rows, n_features) float64, or a DataFrame.
        kinds: The kind of each column of the DataFrame.
        texts: The counts of texts in each column of text.
    """
    if kinds is None:
        return [_of_numbers(column) for column in X.T]
    return [
        _of_texts(texts[name])
        if kind == "text"
        else _of_numbers(X[name].to_numpy(), is_boolean=kind == "boolean")
        for name, kind in kinds.items()
    ]


def _of_texts(counts: Counter[str]) -> TrainingValues:
    known = {text: count for text, count in counts.items() if text}
    # Of equally frequent texts, take the first in alphabetical order, for any order of the rows.
    typical = min(known, key=lambda text: (-known[text], text), default=None)
    is_listed = len(counts) <= MAX_CATEGORIES
    if typical is not None and not is_listed and known[typical] < MIN_ROWS:
        typical = None
    return TrainingValues(typical=typical, missing="" in counts)


def _of_numbers(values: NDArray[np.float64], *, is_boolean: bool = False) -> TrainingValues:
    """Return the range of numbers, and the lower median of a sample, which is one of them."""
    import numpy as np

    absent = np.isnan(values)
    missing = bool(absent.any())
    known = values[~absent] if missing else values
    if not len(known):
        return TrainingValues(missing=True)
    if is_boolean:
        return TrainingValues(typical=float(2 * known.sum() > len(known)), missing=missing)
    sample = sample_of(known)
    middle = (len(sample) - 1) // 2
    # Adding zero turns -0.0 into 0.0: which of the two comes first depends on the processor.
    low, typical, high = (
        float(value) + 0.0
        for value in (known.min(), np.partition(sample, middle)[middle], known.max())
    )
    return TrainingValues(typical=typical, range=(low, high), missing=missing)
