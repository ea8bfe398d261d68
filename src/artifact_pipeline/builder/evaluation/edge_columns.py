"""The columns of training rows: known values, ranges, and how other values differ from them.

A difference that the interface of an artifact can state is a `Flaw`, so that rows with it can be
refused by row and column.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from artifact_pipeline.builder.config.values import Kind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FEW = 100
"""Integers with at most this many distinct values may act as categories."""
LONG = 200_000
"""Maximum rows; in longer columns, a sample shows whether numbers may act as categories."""
LISTED = 100_000
"""Maximum values of a column that an interface lists because the model takes no others."""
FLOAT32_MAX = 3.4028234663852886e38
YEARS = (-719162.0, 2932896.0)
"""The days of 0001-01-01 and 9999-12-31, counted from 1970-01-01."""
SIDES = ("below", "above")
FlawKind = Literal["missing", "unseen", "other", "below", "above"]


class Flaw(NamedTuple):
    """A difference of a row from the known ones in one column.

    Attributes:
        column: The number of the column.
        kind: `missing` for a missing value, `unseen` for an unknown text, `other` for a number
            that is not one of the known numbers, `below` or `above` for one outside their range.
        level: How far outside the number is; see `Column.below`.
    """

    column: int
    kind: FlawKind
    level: int = 0


class Column(NamedTuple):
    """The known values of a column.

    Attributes:
        needed: The kinds of flaws that training or held-out rows have, so that every form must
            take them.
        texts: The known texts, sorted, if they may act as categories.
        numbers: The known numbers, sorted, if they may act as categories.
        below: The lower bound of each level, from the known range outward. A flaw of level n is
            below the n-th bound, and not below the next.
        above: The upper bounds likewise.
    """

    kind: Kind
    needed: list[str]
    texts: list[str] | None
    numbers: list[float] | None
    below: list[float]
    above: list[float]


def describe(
    kinds: Sequence[Kind],
    known: Sequence[NDArray[Any]],
    *,
    held_out: Sequence[NDArray[Any]],
    estimator: Any,
) -> list[Column]:
    """Return the properties of each column that edge cases need.

    Args:
        kinds: The types of the columns.
        known: The columns of the training rows, each (n_rows,) float64 or str.
        held_out: The columns of the held-out rows.
        estimator: The fitted estimator, whose encoders may know more texts.
    """
    encoded = _categories(estimator)
    return [
        _column(kind, training, held_out=held, encoders=encoded)
        for kind, training, held in zip(kinds, known, held_out, strict=True)
    ]


def flaws_of(column: Column, value: Any, *, index: int) -> list[Flaw]:
    """Return the flaws of a value: why an interface may refuse a row that has it.

    Args:
        column: The column of the value.
        value: A float, NaN if it is missing, or a text, empty if it is missing.
        index: The position of the column among the features.
    """
    if column.kind == "text":
        if value == "":
            return [Flaw(index, "missing")]
        known = column.texts is not None and _holds(column.texts, value)
        return [] if known else [Flaw(index, "unseen")]
    if value != value:
        return [Flaw(index, "missing")]
    flaws = []
    if column.below and value < column.below[0]:
        flaws.append(Flaw(index, "below", sum(value < bound for bound in column.below) - 1))
    if column.above and value > column.above[0]:
        flaws.append(Flaw(index, "above", sum(value > bound for bound in column.above) - 1))
    if column.numbers is not None and not _holds(column.numbers, value):
        flaws.append(Flaw(index, "other"))
    return flaws


def _holds(ordered: list[Any], value: Any) -> bool:
    place = bisect.bisect_left(ordered, value)
    return bool(place < len(ordered) and ordered[place] == value)


def _column(
    kind: Kind, known: NDArray[Any], *, held_out: NDArray[Any], encoders: list[set[Any]]
) -> Column:
    import numpy as np

    if kind == "text":
        texts = set(known.tolist())
        needed = ["missing"] if "" in texts or "" in held_out else []
        if not set(held_out.tolist()) <= texts:
            needed.append("unseen")
        encoded = _shared(encoders, texts)
        few = _act_as_categories(len(texts), len(known)) or bool(encoded)
        return Column(
            kind=kind,
            needed=needed,
            texts=sorted(texts | encoded) if few else None,
            numbers=None,
            below=[],
            above=[],
        )
    needed = ["missing"] if np.isnan(known).any() or np.isnan(held_out).any() else []
    if kind == "boolean":
        return Column(kind=kind, needed=needed, texts=None, numbers=[0.0, 1.0], below=[], above=[])
    finite = [column[np.isfinite(column)] for column in (known, held_out)]
    values = _distinct(finite[0])
    if values is None or not np.isin(finite[1], values).all():
        needed.append("other")
    # The held-out rows must be taken as well.
    spans = [(column.min(), column.max()) for column in finite if len(column)] or [(0.0, 0.0)]
    low, high = float(min(least for least, _ in spans)), float(max(most for _, most in spans))
    numbers = None
    if values is not None and _act_as_categories(len(values), len(known)):
        encoded = _shared(encoders, set(values.tolist()))
        numbers = np.union1d(values, sorted(encoded)).astype(np.float64).tolist()
    wide = max(high - low, abs(low), abs(high), 1.0)
    near = YEARS if kind == "date" else (low - 10 * wide, high + 10 * wide)
    far = 1e6 * wide
    below = [low, *([0.0] if low > 0 else []), near[0], -far, -FLOAT32_MAX]
    above = [high, *([0.0] if high < 0 else []), near[1], far, FLOAT32_MAX]
    return Column(
        kind=kind,
        needed=needed,
        texts=None,
        numbers=numbers,
        below=_outward(below, -1),
        above=_outward(above, 1),
    )


def _distinct(finite: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return the distinct numbers, sorted; None if a sample of a long column shows no codes."""
    import numpy as np

    sample = sample_of(finite)
    distinct = np.unique(sample)
    if len(sample) == len(finite):
        return distinct
    if not _act_as_categories(len(distinct), len(sample)):
        return None
    import pandas as pd

    # Hashing takes a fraction of the time that sorting a long column does.
    return np.sort(pd.unique(finite))


def sample_of(column: NDArray[Any]) -> NDArray[Any]:
    """Return a long column's values in some of its rows, at equal distances."""
    return column[:: len(column) // LONG + 1] if len(column) > LONG else column


def _act_as_categories(values: int, rows: int) -> bool:
    return values <= FEW or (values <= LISTED and 2 * values <= rows)


def _outward(bounds: list[float], sign: int) -> list[float]:
    """Return the bounds that are beyond all bounds before them."""
    kept = bounds[:1]
    for bound in bounds[1:]:
        if sign * bound > sign * kept[-1]:
            kept.append(bound)
    return kept


def _categories(estimator: Any) -> list[set[Any]]:
    """Return the categories of each column of each encoder, texts or numbers."""
    import numpy as np

    from artifact_pipeline.builder.model.estimators import parts_of

    columns = []
    for part in parts_of(estimator):
        for values in getattr(part, "categories_", None) or ():
            known = {value for value in np.asarray(values).tolist() if value == value} - {None}
            if len({isinstance(value, str) for value in known}) == 1:
                columns.append(known)
    return columns


def _shared(encoders: list[set[Any]], seen: set[Any]) -> set[Any]:
    """Return the categories of the encoders that share one with a column."""
    return set().union(*(known for known in encoders if not seen.isdisjoint(known)))
