"""Values of rows that no training row has: numbers out of range, unseen texts, missing values.

A model takes them, but its predictions for them were never measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct

from artifact_pipeline.builder.artifact.manifest import ColumnSpec, Interface

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from artifact_pipeline.builder.formats.base import Batch

MAX_LISTED = 100_000
"""Maximum row numbers in all warnings of a request."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNSEEN = "not among the training values"
_MISSING = "missing, and no training row lacks it"


class ValueWarning(Struct, frozen=True, kw_only=True):
    """Values of a column that no training row has."""

    column: str
    problem: str
    count: int
    """The number of rows with such a value."""
    rows: list[int]
    """These rows, counted from 1; fewer than `count` beyond `MAX_LISTED`."""


class TrainingBounds(Struct, frozen=True, kw_only=True):
    """The training values of a model's features, prepared to compare rows with them.

    Attributes:
        features: The names of the features.
        numbers: The indices of the features that are numbers or dates.
        low: The smallest training value of each of them, (n_numbers, 1).
        high: The largest.
        texts: The known texts of each feature of text whose texts are listed, by its index; with
            the empty text if a training row lacks the feature.
        ranges: The range of each number in words.
        may_be_missing: Whether a training row lacks it, (n_numbers, 1).
    """

    features: list[str]
    numbers: list[int]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    texts: dict[int, frozenset[str]]
    ranges: list[str]
    may_be_missing: NDArray[np.bool_]


def prepare(interface: Interface) -> TrainingBounds | None:
    """Return the bounds of a model, or None if its training rows are not known.

    An image has no bounds, because the range of a single pixel means little.
    """
    training = interface.training
    if training is None or interface.image is not None:
        return None
    columns = interface.columns
    numbers = [index for index, values in enumerate(training) if values.range is not None]
    ranges = [training[index].range or (0.0, 0.0) for index in numbers]
    specs = [None if columns is None else columns[index] for index in numbers]
    missing = [training[index].missing for index in numbers]
    return TrainingBounds(
        features=interface.features,
        numbers=numbers,
        low=np.array([[low] for low, _ in ranges], dtype=np.float64).reshape(-1, 1),
        high=np.array([[high] for _, high in ranges], dtype=np.float64).reshape(-1, 1),
        texts={
            index: frozenset(
                [*(column.categories or ()), *([""] if training[index].missing else [])]
            )
            for index, column in enumerate(columns or ())
            if column.kind == "text" and column.categories is not None
        },
        ranges=[
            f"{write_value(low, spec)} to {write_value(high, spec)}"
            for (low, high), spec in zip(ranges, specs, strict=True)
        ],
        may_be_missing=np.array(missing, dtype=bool).reshape(-1, 1),
    )


def write_value(value: float, column: ColumnSpec | None) -> str:
    """Return a number, or a date as `/predict` reads it."""
    if column is not None and column.kind == "date":
        form = column.format.date if column.format is not None else None
        with suppress(OverflowError, ValueError):  # Parquet has dates beyond Python's years
            moment = _EPOCH + timedelta(days=value)
            if form is not None:
                return moment.strftime(form)
            is_day = value == int(value)
            return (
                moment.date().isoformat() if is_day else moment.isoformat().removesuffix("+00:00")
            )
    return f"{value:.0f}" if value == int(value) and abs(value) < 1e15 else f"{value:.6g}"


def find(rows: Batch, bounds: TrainingBounds | None) -> list[ValueWarning]:
    """Return the warnings for rows, column by column.

    Args:
        rows: A matrix of (n_rows, n_features), or the columns of a table, each (n_rows,).
        bounds: The training values of the model, if they are known.
    """
    if bounds is None:
        return []
    if isinstance(rows, list):
        numbers = np.array([rows[index] for index in bounds.numbers], dtype=np.float64)
    else:
        numbers = rows.T if rows.shape[1] == len(bounds.numbers) else rows.T[bounds.numbers]
    # NaN fails both comparisons, so they also find missing values.
    inside = (numbers >= bounds.low) & (numbers <= bounds.high)
    is_usual = np.count_nonzero(inside) == inside.size
    unseen = {
        index: texts
        for index, known in bounds.texts.items()
        if not known.issuperset(texts := rows[index].tolist())
    }
    if is_usual and not unseen:
        return []
    return _listed([*_number_warnings(numbers, bounds), *_text_warnings(unseen, bounds)], bounds)


_Found = tuple[str, str, "NDArray[np.int64]"]
"""A column, the problem with its values, and the indices of the rows."""


def _number_warnings(numbers: NDArray[np.float64], bounds: TrainingBounds) -> Iterator[_Found]:
    missing = np.isnan(numbers)
    with np.errstate(invalid="ignore"):
        outside = (numbers < bounds.low) | (numbers > bounds.high)
    absent = missing & ~bounds.may_be_missing
    for place in np.flatnonzero((outside | absent).any(axis=1)).tolist():
        name = bounds.features[bounds.numbers[place]]
        problem = f"outside the training range, {bounds.ranges[place]}"
        yield name, problem, np.flatnonzero(outside[place])
        yield name, _MISSING, np.flatnonzero(absent[place])


def _text_warnings(unseen: dict[int, list[str]], bounds: TrainingBounds) -> Iterator[_Found]:
    for index, texts in unseen.items():
        known, name = bounds.texts[index], bounds.features[index]
        new = np.array([text not in known for text in texts])
        empty = np.array([text == "" for text in texts])
        yield name, _UNSEEN, np.flatnonzero(new & ~empty)
        yield name, _MISSING, np.flatnonzero(new & empty)


def _listed(problems: list[_Found], bounds: TrainingBounds) -> list[ValueWarning]:
    warnings, left = [], MAX_LISTED
    order = {name: place for place, name in enumerate(bounds.features)}
    for name, problem, rows in sorted(problems, key=lambda item: order[item[0]]):
        if len(rows):
            listed = (rows[:left] + 1).tolist()
            left -= len(listed)
            warnings.append(
                ValueWarning(column=name, problem=problem, count=len(rows), rows=listed)
            )
    return warnings
