"""Summaries of the columns in the training and held-out rows.

A summary shows no single cell: ranges end on round numbers, medians are rounded, and only texts
that several rows have are shown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from artifact_pipeline.builder.artifact.diagnostics import (
    MIN_COUNT,
    ColumnProfile,
    ValueCount,
)
from artifact_pipeline.builder.config.values import Kind
from artifact_pipeline.builder.data.dataset import sample_index, take
from artifact_pipeline.builder.evaluation.residuals import round_range, round_step

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_ROWS = 20_000
"""Maximum training rows, and maximum held-out rows, to summarize."""
MAX_COLUMNS = 300
"""Maximum columns; with more, none is summarized."""
MIN_ROWS = 10
"""Minimum numbers for a range."""
BINS = 16
TOP = 8
"""Maximum texts of a column to show."""
MAX_TEXT = 80
"""Longer texts are not shown."""
_FEW = 12
"""A range with at most this many whole numbers has a bin for each."""
_ROUNDED = 50
"""A median is rounded to about this part of the range."""


def summarize(
    X_train: Any | None, X_test: Any, *, features: list[str], kinds: Mapping[str, Kind] | None
) -> list[ColumnProfile] | None:
    """Return a summary of each feature; None if there are too many.

    Args:
        X_train: The training rows; None if they are not known.
        X_test: The held-out rows.
        features: The names of the features.
        kinds: The kinds of a table's columns; None for a matrix.
    """
    if len(features) > MAX_COLUMNS:
        return None
    test = _sample(X_test)
    train = test if X_train is None else _sample(X_train)
    summaries = []
    for position, name in enumerate(features):
        kind = "number" if kinds is None else kinds[name]
        own, other = _values(train, position), _values(test, position)
        if X_train is None:
            own = own[:0]
        every = _values(X_test if X_train is None else X_train, position)
        summaries.append(column(name, kind, train=own, test=other, every=every))
    return summaries


def column(
    name: str, kind: Kind, *, train: NDArray[Any], test: NDArray[Any], every: NDArray[Any]
) -> ColumnProfile:
    """Return the summary of one column.

    Args:
        name: Its name.
        kind: Its kind.
        train: A sample of its values in the training rows: objects for text, else float64.
        test: A sample of its values in the held-out rows.
        every: All values that its range is taken from.
    """
    summary = _texts if every.dtype.kind == "O" else _numbers
    return summary(name, kind, train=train, test=test, every=every)


def _sample(X: Any) -> Any:
    return X if len(X) <= MAX_ROWS else take(X, sample_index(len(X), MAX_ROWS))


def _values(X: Any, position: int) -> NDArray[Any]:
    values: NDArray[Any] = X.iloc[:, position].to_numpy() if hasattr(X, "iloc") else X[:, position]
    return values


def _texts(
    name: str, kind: Kind, *, train: NDArray[Any], test: NDArray[Any], every: NDArray[Any]
) -> ColumnProfile:
    import pandas as pd

    # A missing text is an empty one.
    counts, others = (pd.Series(part[part != ""]).value_counts() for part in (train, test))
    known = counts if len(train) else others
    # By count, then by text: the order of equal counts must not depend on that of the rows.
    often = sorted((-int(count), str(text)) for text, count in known[known >= MIN_COUNT].items())
    return ColumnProfile(
        name=name,
        kind=kind,
        train_rows=len(train),
        test_rows=len(test),
        train_missing=int((train == "").sum()),
        test_missing=int((test == "").sum()),
        distinct=len(known),
        top=[
            ValueCount(value=text, train=int(counts.get(text, 0)), test=int(others.get(text, 0)))
            for _, text in often
            if len(text) <= MAX_TEXT
        ][:TOP],
    )


def _numbers(
    name: str, kind: Kind, *, train: NDArray[Any], test: NDArray[Any], every: NDArray[Any]
) -> ColumnProfile:
    import numpy as np

    own, other = (part[np.isfinite(part)] for part in (train, test))
    known = own if len(train) else other
    every = every[np.isfinite(every)]
    summary = ColumnProfile(
        name=name,
        kind=kind,
        train_rows=len(train),
        test_rows=len(test),
        train_missing=len(train) - len(own),
        test_missing=len(test) - len(other),
        distinct=len(np.unique(known)),
    )
    if len(known) < MIN_ROWS or not math.isfinite(least := float(every.min())):
        return summary
    greatest = float(every.max())
    with np.errstate(over="ignore"):
        is_wide = not np.isfinite(np.float64(greatest) - least)
    if is_wide:
        return summary
    is_whole = bool((known == np.floor(known)).all()) and abs(least) + abs(greatest) < 1e15
    low, high, bins = _bins(least, greatest, values=known, is_whole=is_whole)
    step = round_step((high - low) / _ROUNDED)
    step = max(step, 1.0) if is_whole else step
    median = float(np.median(known))
    if step > 0:
        median = min(max(float(f"{round(median / step) * step:.10g}"), low), high)
    return _with_bins(summary, train=own, test=other, low=low, high=high, bins=bins, median=median)


def _with_bins(
    summary: ColumnProfile,
    *,
    train: NDArray[Any],
    test: NDArray[Any],
    low: float,
    high: float,
    bins: int,
    median: float,
) -> ColumnProfile:
    import msgspec
    import numpy as np

    def counts(values: NDArray[Any]) -> list[int]:
        if low == high:
            return [len(values)]
        width = (high - low) / bins
        position = np.floor((np.clip(values, low, high) - low) / width).astype(np.int64)
        by_bin = np.bincount(np.minimum(position, bins - 1), minlength=bins)
        return [int(count) for count in by_bin]

    return msgspec.structs.replace(
        summary, low=low, high=high, median=median, train=counts(train), test=counts(test)
    )


def _bins(
    least: float, greatest: float, *, values: NDArray[Any], is_whole: bool
) -> tuple[float, float, int]:
    """Return the ends of a range with round ends, and the number of its bins.

    A bin of one whole number reveals that number, so each must have `MIN_COUNT` rows or
    none; otherwise bins are wider.
    """
    import numpy as np

    if least == greatest:
        return least, greatest, 1
    if is_whole and greatest - least <= _FEW:
        counts = np.bincount((values - least).astype(np.int64))
        if counts[counts > 0].min() >= MIN_COUNT:
            return least - 0.5, greatest + 0.5, round(greatest - least) + 1
    low, high = round_range(least, greatest, steps=4)
    if not is_whole:
        return low, high, BINS
    span = round(high - low)
    return low, high, max(1, min(BINS, span // 2))
