"""The counts over predicted rows, and the options that decide them."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from artifact_pipeline.errors import DataError, Location

OnError: TypeAlias = Literal["fail", "skip"]

MAX_SHOWN = 5
"""Maximum skipped rows whose errors are kept."""


class Tally(Struct, frozen=True, kw_only=True):
    """The counts over the rows of a file or of several.

    Attributes:
        rows: The number of rows that were predicted.
        skipped: The number of rows that were skipped.
        first_skipped: The errors of the first of these.
        extra: Columns that the model does not use.
        unseen: The number of rows with a text that is not in the training data, by column.
        outside: The number of rows with a number outside the range of the training data, by column.
    """

    rows: int = 0
    skipped: int = 0
    first_skipped: list[str] = []
    extra: list[str] = []
    unseen: dict[str, int] = {}
    outside: dict[str, int] = {}

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            rows=self.rows + other.rows,
            skipped=self.skipped + other.skipped,
            first_skipped=[*self.first_skipped, *other.first_skipped][:MAX_SHOWN],
            extra=list(dict.fromkeys([*self.extra, *other.extra])),
            unseen=_sum(self.unseen, other.unseen),
            outside=_sum(self.outside, other.outside),
        )

    def check_any(self, name: str) -> None:
        """Check that a row was predicted.

        Args:
            name: The name of the rows.

        Raises:
            DataError: If none was.
        """
        if self.rows:
            return
        problem = "has no rows"
        if self.skipped:
            problem = f"all {self.skipped} rows were skipped; the first: {self.first_skipped[0]}"
        raise DataError(problem, location=Location(name))


def _sum(a: dict[str, int], b: dict[str, int]) -> dict[str, int]:
    return {name: a.get(name, 0) + b.get(name, 0) for name in dict.fromkeys([*a, *b])}


class Options(Struct, frozen=True, kw_only=True):
    """The options of the prediction of rows.

    Attributes:
        keep: The columns to carry over.
        on_error: Whether rows that cannot be read stop the work or are skipped.
        resume: Whether to continue the output of a killed process.
    """

    keep: tuple[str, ...] = ()
    on_error: OnError = "fail"
    resume: bool = False
