"""The numbers that a model takes in a feature.

>>> import numpy as np
>>> class Codes:
...     numbers, range = [0.0, 1.0, 2.0], None
>>> outside(np.array([1.0, 1.5]), Codes())
(1, 'is 1.5, and the model knows 0, 1, 2')
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from numpy.typing import NDArray


class NumberLimits(Protocol):
    """The numbers that a model takes in a feature; see `manifest.ColumnSpec`."""

    @property
    def numbers(self) -> list[float] | None: ...
    @property
    def range(self) -> tuple[float, float] | None: ...


def outside(values: NDArray[Any], limits: NumberLimits) -> tuple[int, str] | None:
    """Return the first row whose number a model does not take, and why.

    Args:
        values: (n_rows,) numbers; NaN is always within the limits.
        limits: Those of the feature.
    """
    import numpy as np

    if limits.numbers is not None:
        wrong = ~np.isnan(values) & ~np.isin(values, limits.numbers)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            known = ", ".join(f"{value:g}" for value in limits.numbers[:5])
            return row, f"is {values[row]:.17g}, and the model knows {known}"
    if limits.range is not None:
        low, high = limits.range
        wrong = (values < low) | (values > high)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            return row, f"is {values[row]:g}, and the model takes numbers from {low:g} to {high:g}"
    return None
