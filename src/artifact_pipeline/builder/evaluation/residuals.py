"""Binned residuals of a regression, and ranges with round ends for bins.

>>> round_range(0.13, 9.2)
(0.0, 10.0)
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from artifact_pipeline.builder.artifact.diagnostics import (
    RESIDUAL_SHARES,
    Density,
    Histogram,
    Residuals,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BINS = 24
"""Bins of a histogram, and of each side of a density."""
_TAIL = 0.005
"""The share of rows on each side that may be left out of a density, so that an outlier does not
squeeze all other rows into one bin."""
_WIDE = 3.0
"""How many times wider than the other rows a range may be before its tails are left out."""


def residuals(y: NDArray[np.float64], predicted: NDArray[np.float64]) -> Residuals | None:
    """Return the residuals of all rows in bins; None if a number is too large to subtract."""
    import numpy as np

    with np.errstate(over="ignore"):
        errors = predicted - y
        finite = np.isfinite(errors).all() and np.isfinite(np.ptp(np.append(y, predicted)))
    if not finite or not np.isfinite(np.ptp(errors)):
        return None
    numbers = _range(np.append(y, predicted))
    sides = _symmetric(_range(errors))
    return Residuals(
        predicted_by_true=_density(y, predicted, x_range=numbers, y_range=numbers),
        residual_by_predicted=_density(predicted, errors, x_range=_range(predicted), y_range=sides),
        histogram=histogram(errors, sides, bins=BINS),
        quantiles=[_rounded(value) for value in np.quantile(errors, RESIDUAL_SHARES)],
    )


def histogram(values: NDArray[np.float64], limits: tuple[float, float], *, bins: int) -> Histogram:
    """Return the counts of values in equally wide bins."""
    import numpy as np

    low, high = limits
    counts, _ = np.histogram(values, bins=bins, range=limits)
    return Histogram(
        low=low, high=high, counts=counts.tolist(), outside=len(values) - int(counts.sum())
    )


def round_range(low: float, high: float, *, steps: int = 10) -> tuple[float, float]:
    """Return a range around another whose ends are multiples of 1, 2 or 5 times a power of ten.

    Args:
        low: The smallest value.
        high: The largest value; their difference is finite.
        steps: About how many of those multiples the range has.
    """
    if low == high:
        return low, high
    step = round_step((high - low) / steps)
    if not 0 < step < math.inf or not math.isfinite(max(abs(low), abs(high)) / step):
        return low, high
    first, last = (
        float(f"{bound * step:.10g}") for bound in (math.floor(low / step), math.ceil(high / step))
    )
    # Next to a number with many digits, the step may vanish or the product overflow.
    if not first < last or not math.isfinite(last - first):
        return low, high
    return min(first, low), max(last, high)


def round_step(size: float) -> float:
    """Return the smallest of 1, 2 and 5 times a power of ten that is at least `size`."""
    if not 0 < size < math.inf:
        return 0.0
    power = 10.0 ** math.floor(math.log10(size))
    return next((k * power for k in (1, 2, 5) if k * power >= size), 10 * power)


def _range(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return a range of values with round ends, without far tails."""
    import numpy as np

    low, high = float(values.min()), float(values.max())
    inner_low, inner_high = np.quantile(values, [_TAIL, 1 - _TAIL]).tolist()
    if high - low > _WIDE * (inner_high - inner_low) > 0:
        low, high = inner_low, inner_high
    return _widened(round_range(low, high))


def _widened(limits: tuple[float, float]) -> tuple[float, float]:
    """Return a range that is not empty."""
    low, high = limits
    if low < high:
        return limits
    margin = abs(low) / 10 or 1.0
    return low - margin, low + margin


def _symmetric(limits: tuple[float, float]) -> tuple[float, float]:
    bound = max(abs(limits[0]), abs(limits[1]))
    return -bound, bound


def _density(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    *,
    x_range: tuple[float, float],
    y_range: tuple[float, float],
) -> Density:
    import numpy as np

    counts, _, _ = np.histogram2d(y, x, bins=BINS, range=[y_range, x_range])
    return Density(
        x_low=x_range[0],
        x_high=x_range[1],
        y_low=y_range[0],
        y_high=y_range[1],
        counts=counts.astype(np.int64).tolist(),
        outside=len(x) - int(counts.sum()),
    )


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
