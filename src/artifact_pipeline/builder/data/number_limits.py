"""The numbers that a float64 holds, and those that a model takes in a feature.

>>> import numpy as np
>>> class Codes:
...     numbers, range = [0.0, 1.0, 2.0], None
>>> outside(np.array([1.0, 1.5]), Codes())
(1, 'is 1.5, but the model accepts only 0, 1, 2')
>>> is_rounded("9007199254740993.0"), is_rounded("9007199254740992.5"), is_rounded("1e300")
(True, False, False)
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from numpy.typing import NDArray

EXACT = 2**53
"""A float64 holds every integer up to this one."""
_DIGITS = 17
"""As many digits distinguish all float64."""


def is_rounded(literal: str) -> bool:
    """Return whether a number is an integer that a float64 rounds, or one beyond `EXACT` without a
    point and an exponent, as identifiers are written.

    The digits that programs write for a float64 are not one: the fewest that distinguish it, or 17
    and an exponent.

    Args:
        literal: The number as text, with a decimal point.
    """
    plain = literal.strip().lower()
    if plain.lstrip("+-").isdigit():
        # Python refuses to convert thousands of digits.
        return len(plain.lstrip("+-0")) > _DIGITS or abs(int(plain)) > EXACT
    value = float(plain)
    if abs(value) < EXACT or ("e" in plain and abs(value) >= 10**_DIGITS):
        return False
    number = Decimal(plain)
    return number == number.to_integral_value() and number not in (
        Decimal(value),
        Decimal(repr(value)),
    )


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
            return row, f"is {values[row]:.17g}, but the model accepts only {known}"
    if limits.range is not None:
        low, high = limits.range
        wrong = (values < low) | (values > high)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            return row, f"is {values[row]:g}, and the model takes numbers from {low:g} to {high:g}"
    return None
