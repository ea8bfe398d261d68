"""Numbers as the report shows them: on axes, in ranges, as shares and as dates.

>>> ticks(0.0, 1.0), ticks(-3.0, 11.0)
([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [-2.5, 0.0, 2.5, 5.0, 7.5, 10.0])
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

_LARGEST = 1e12
"""Larger numbers are shown as powers of ten."""
_THOUSANDS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
"""The prefixes of numbers from 10,000 on an axis."""


def share(part: float, whole: float) -> str:
    """Return a part as a percentage, empty if the whole is 0."""
    return f"{part / whole:.1%}" if whole else ""


def ticks(low: float, high: float, *, count: int = 5) -> list[float]:
    """Return about `count` round numbers from `low` to `high`."""
    span = high - low
    if not 0 < span < math.inf:
        return [low]
    rough = span / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = min((k * power for k in (1, 2, 2.5, 5, 10)), key=lambda size: abs(size - rough))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    if last - first > 4 * count:  # next to numbers with many digits
        return [low, high]
    return [float(f"{k * step:.10g}") for k in range(first, last + 1)]


def tick_labels(values: Sequence[float]) -> list[str]:
    """Return the labels of ticks, all with the same number of decimals."""
    largest = max(map(abs, values), default=0.0)
    if largest >= _LARGEST or 0 < largest < 1e-3:
        return [f"{value:.3g}" for value in values]
    for size, prefix in _THOUSANDS if largest >= 10_000 else ():
        short = tick_labels([value / size for value in values])
        if largest >= size and len(short[0].partition(".")[2]) <= 1:
            return [
                text if value == 0 else text + prefix
                for text, value in zip(short, values, strict=True)
            ]
    for decimals in range(7):
        labels = [f"{value:,.{decimals}f}" for value in values]
        exact = all(
            math.isclose(float(label.replace(",", "")), value, rel_tol=1e-9, abs_tol=largest * 1e-9)
            for label, value in zip(labels, values, strict=True)
        )
        if exact:
            break
    return labels


def rounded(value: float, *, low: float, high: float) -> str:
    """Return a number with the decimals that matter in a range."""
    span = high - low
    if not 0 < span < math.inf or max(abs(low), abs(high)) >= _LARGEST or span < 1e-4:
        return f"{value:,.6g}"
    return f"{value:,.{max(0, 2 - math.floor(math.log10(span)))}f}"


def date(days: float) -> str:
    """Return the date that is so many days after 1970-01-01, or the number if no calendar has it.

    >>> date(18000.0), date(1e9)
    ('2019-04-14', '1e+09')
    """
    try:
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=days)).date().isoformat()
    except (OverflowError, ValueError):
        return f"{days:.6g}"
