"""The error for rows with values that are refused, which names all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from artifact_pipeline.errors import DataError, Location

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class WrongRows(DataError):
    """A column has values that are refused; the message is about the first one.

    Attributes:
        rows: (n_wrong,) the rows with such a value, counted from 0.
    """

    def __init__(
        self,
        problem: str,
        *,
        location: Location | None = None,
        remedy: str | None = None,
        rows: NDArray[np.int64] | None = None,
    ) -> None:
        super().__init__(problem, location=location, remedy=remedy)
        self.rows = rows
