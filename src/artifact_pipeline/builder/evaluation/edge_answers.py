"""Outputs of an estimator for edge cases, and the flaws for which it refuses a row.

>>> import pandas as pd
>>> from sklearn.ensemble import HistGradientBoostingClassifier
>>> from artifact_pipeline.builder.evaluation import edge_cases
>>> X = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0]})
>>> estimator = HistGradientBoostingClassifier().fit(X, [0, 0, 1, 1])
>>> answers = answer(estimator, edge_cases.make(estimator, X, held_out=X, kinds=["number"]))
>>> len(answers.rows) > 50, Flaw(0, "missing") in answers.refused
(True, False)
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from artifact_pipeline.builder.evaluation.edge_cases import EdgeCases
from artifact_pipeline.builder.evaluation.edge_columns import FEW, SIDES, Column, Flaw
from artifact_pipeline.builder.evaluation.lowercase import lowercase

CALLS = 3000
"""Maximum calls to find the refused rows; the remaining rows count as refused."""

BATCH = 256
"""Maximum rows in a call: a transformer may make a million columns of each."""

Answer = tuple[Any, Any, Any]
"""Labels or numbers, probabilities or None, and decision scores or None, for the same rows."""


class Answers(NamedTuple):
    """The rows that an estimator takes, and its outputs.

    Attributes:
        outputs: The outputs for all rows, stacked.
        refused: The flaws that the estimator refuses. A flaw whose outputs are not numbers counts
            as refused if `may_refuse` allows it; otherwise its rows are kept.
        counts: The number of rows, by kind.
        lowercase: The columns of text that the estimator first converts to lower case.
    """

    rows: Any
    kinds: list[str]
    flaws: list[list[Flaw]]
    columns: list[Column]
    outputs: Answer
    refused: list[Flaw]
    counts: dict[str, int]
    lowercase: list[int]


def answer(estimator: Any, cases: EdgeCases) -> Answers:
    """Return the outputs of an estimator for edge cases, and the flaws that it refuses."""
    import numpy as np

    refused: set[Flaw] = set()
    calls = iter(range(CALLS))
    taken: dict[int, Answer] = {}

    def accepts(rows: list[int]) -> bool:
        """Keep the outputs for rows, and return whether the estimator takes them."""
        if next(calls, None) is None:
            return False
        batches = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
        try:
            outputs = [outputs_of(estimator, _take(cases.rows, batch)) for batch in batches]
        except Exception:  # noqa: BLE001  (an estimator may raise anything; that is a refusal)
            return False
        for batch, parts in zip(batches, outputs, strict=True):
            for place, row in enumerate(batch):
                predicted, *others = (None if part is None else part[place] for part in parts)
                taken[row] = (predicted, others[0], others[1])
        return True

    def try_rows(rows: Iterable[int]) -> None:
        groups: dict[Any, list[int]] = {}
        for row in rows:
            flaws = cases.flaws[row]
            if row not in taken and refused.isdisjoint(flaws):
                groups.setdefault(tuple(flaws) if flaws else row, []).append(row)
        for group in _refusals(list(groups.values()), accepts):
            for row in group:
                taken.pop(row, None)
            refused.update(guilty(cases.flaws[group[0]]))

    order = range(len(cases.kinds))
    mixed = ("several missing", "combinations", "equal numbers")
    single = [row for row in order if cases.kinds[row] not in mixed]
    try_rows(row for row in single if not any(flaw.kind in SIDES for flaw in cases.flaws[row]))
    try_rows(single)
    try_rows(order)
    for row, parts in list(taken.items()):
        if any(part is not None and np.any(part != part) for part in parts):
            nameable = [
                flaw
                for flaw in guilty(cases.flaws[row])
                if may_refuse(flaw, cases.columns[flaw.column])
            ]
            refused.update(nameable)
            if nameable:
                del taken[row]
    refused = with_outer(refused, cases.columns)
    kept = [row for row in sorted(taken) if refused.isdisjoint(cases.flaws[row])]
    answers = [taken[row] for row in kept]
    gives = [bool(answers) and answers[0][place] is not None for place in (1, 2)]
    return Answers(
        rows=_take(cases.rows, kept),
        kinds=[cases.kinds[row] for row in kept],
        flaws=[cases.flaws[row] for row in kept],
        columns=cases.columns,
        outputs=(
            np.array([predicted for predicted, _, _ in answers]),
            np.stack([proba for _, proba, _ in answers]) if gives[0] else None,
            np.stack([scores for _, _, scores in answers]) if gives[1] else None,
        ),
        refused=sorted(refused),
        counts={kind: cases.kinds.count(kind) for kind in dict.fromkeys(cases.kinds)},
        lowercase=sorted(lowercase(estimator)[0]),
    )


def guilty(flaws: Sequence[Flaw]) -> list[Flaw]:
    """Return the flaws for which a row is refused.

    A number outside the known range is also not a known number; only the range is the reason.
    """
    beyond = {flaw.column for flaw in flaws if flaw.kind in SIDES}
    return [flaw for flaw in flaws if flaw.kind != "other" or flaw.column not in beyond]


def may_refuse(flaw: Flaw, column: Column) -> bool:
    """Return whether rows with a flaw in a column may be refused although the estimator takes them.

    They may not if training or held-out rows have the flaw, or if only a list of numbers that are
    not codes would remain.
    """
    if flaw.kind in column.needed:
        return False
    if flaw.kind == "unseen":
        return column.texts is not None
    if flaw.kind == "other":
        numbers = column.numbers or []
        return 0 < len(numbers) <= FEW and all(map(float.is_integer, numbers))
    return flaw.kind == "missing" or flaw.level > 0


def with_outer(refused: Iterable[Flaw], columns: Sequence[Column]) -> set[Flaw]:
    """Return refused flaws, with those farther out in the same column."""
    flaws = set(refused)
    for flaw in list(flaws):
        if flaw.kind in SIDES:
            bounds: list[float] = getattr(columns[flaw.column], flaw.kind)
            flaws.update(flaw._replace(level=n) for n in range(flaw.level, len(bounds)))
    return flaws


def outputs_of(estimator: Any, rows: Any) -> Answer:
    """Return the outputs of an estimator for rows that it takes, without its warnings."""
    import numpy as np

    from artifact_pipeline.builder.model.estimators import decision_scores, predict_with_proba

    with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):
        return (*predict_with_proba(estimator, rows), decision_scores(estimator, rows))


def _refusals(groups: list[list[int]], accepts: Callable[[list[int]], bool]) -> Iterator[list[int]]:
    """Yield the groups of rows that are refused, halving those that fail."""
    waiting = [groups] if groups else []
    while waiting:
        part = waiting.pop()
        if accepts([row for group in part for row in group]):
            continue
        if len(part) == 1:
            yield part[0]
            continue
        middle = len(part) // 2
        waiting += [part[middle:], part[:middle]]


def _take(rows: Any, index: Sequence[int]) -> Any:
    if hasattr(rows, "iloc"):
        return rows.iloc[list(index)].reset_index(drop=True)
    return rows[list(index)]
