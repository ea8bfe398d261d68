"""Two artifacts row by row: which one predicts better, and whether that may be chance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from artifact_pipeline.builder.config.values import Value
from artifact_pipeline.builder.metric_table import figure
from artifact_pipeline.pipeline.paired_tests import SAMPLES, Interval, flips, mcnemar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from artifact_pipeline.builder.evaluation.weighted_metrics import PredictedRows

LEVEL = 0.95
"""The confidence of intervals, and of the verdict that two artifacts differ."""


class FlippedRow(Struct, frozen=True, kw_only=True):
    """A held-out row that only one of two artifacts labels correctly."""

    row: int
    """Its index in the data set."""
    truth: Value
    labels: tuple[Value, Value]
    """The labels by `a` and by the other one."""


class PairComparison(Struct, frozen=True, kw_only=True):
    """The predictions of `a` and of another artifact, row by row."""

    letter: str
    """The letter of the other artifact."""
    verdict: str
    """A sentence with the result of the paired test, or on why there is none."""
    is_different: bool | None = None
    """Whether the test found a difference; None without a test."""
    rows: int | None = None
    """How many rows were compared; None, like all fields below, if none were."""
    lost: int | None = None
    """Rows that only `a` labels correctly, or predicts closer."""
    gained: int | None = None
    """Rows that only the other one labels correctly, or predicts closer."""
    test: Literal["mcnemar", "bootstrap"] | None = None
    p_value: float | None = None
    """Of McNemar's test, two-sided; a bootstrap has an interval instead."""
    flipped: list[FlippedRow] = []
    """Some of these rows, as many as both configs allow to show (`data.examples`)."""


def compare_labels(
    first: PredictedRows,
    second: PredictedRows,
    *,
    letter: str,
    indices: NDArray[np.int64],
    shown: int,
) -> PairComparison:
    """Compare labels by McNemar's exact test.

    Args:
        first: The labels of `a` for the held-out rows.
        second: The labels of the other artifact for the same rows.
        letter: The letter of the other artifact.
        indices: The indices of the rows in the data set, shape (rows,).
        shown: The maximum number of rows to show.
    """
    import numpy as np

    is_right = [rows.predicted == rows.truth for rows in (first, second)]
    flipped = np.flatnonzero(is_right[0] != is_right[1])
    lost, gained = flips(first, second)
    p_value = mcnemar(lost, gained)
    is_different = p_value <= 1 - LEVEL
    if is_different:
        winner, loser, most = ("a", letter, lost) if lost > gained else (letter, "a", gained)
        verdict = (
            f"{winner} is better than {loser}: of the {len(flipped)} rows that only one of them "
            f"labels correctly, {winner} has {most} (exact McNemar test, p {_p(p_value)})."
        )
    elif len(flipped):
        verdict = (
            f"The difference between a and {letter} may be chance: of the {len(flipped)} rows that "
            f"only one of them labels correctly, {letter} has {gained} (exact McNemar test, "
            f"p {_p(p_value)})."
        )
    else:
        verdict = f"a and {letter} label the same rows correctly."
    return PairComparison(
        letter=letter,
        verdict=verdict,
        is_different=is_different,
        rows=len(indices),
        lost=lost,
        gained=gained,
        test="mcnemar",
        p_value=p_value,
        flipped=[
            FlippedRow(
                row=int(indices[row]),
                truth=first.truth[row : row + 1].tolist()[0],
                labels=(
                    first.predicted[row : row + 1].tolist()[0],
                    second.predicted[row : row + 1].tolist()[0],
                ),
            )
            for row in flipped[:shown].tolist()
        ],
    )


def compare_numbers(
    first: PredictedRows, second: PredictedRows, *, letter: str, mae: Interval | None
) -> PairComparison:
    """Compare numbers by the bootstrap interval of the difference of the mean absolute error.

    Args:
        first: The numbers of `a` for the held-out rows.
        second: The numbers of the other artifact for the same rows.
        letter: The letter of the other artifact.
        mae: The interval.
    """
    import numpy as np

    errors = [np.abs(rows.predicted - rows.truth) for rows in (first, second)]
    change = float(errors[1].mean() - errors[0].mean())
    assert mae is not None  # the mean absolute error is defined on all samples
    is_different = mae.low > 0 or mae.high < 0
    samples = f"on {LEVEL:.0%} of {SAMPLES:,} bootstrap samples of the rows"
    if is_different:
        winner, loser = ("a", letter) if change > 0 else (letter, "a")
        low, high = sorted(map(abs, mae))
        verdict = (
            f"{winner} is better than {loser}: its MAE is lower by {figure(abs(change))}, and by "
            f"{figure(low)} to {figure(high)} {samples}."
        )
    else:
        verdict = (
            f"The difference between a and {letter} may be chance: the MAE of {letter} differs by "
            f"{_signed(change)}, and by {_signed(mae.low)} to {_signed(mae.high)} {samples}."
        )
    return PairComparison(
        letter=letter,
        verdict=verdict,
        is_different=is_different,
        rows=len(first.truth),
        lost=int((errors[0] < errors[1]).sum()),
        gained=int((errors[1] < errors[0]).sum()),
        test="bootstrap",
    )


def _p(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"= {value:.2g}"


def _signed(value: float) -> str:
    return f"+{figure(value)}" if value >= 0 else f"−{figure(-value)}"
