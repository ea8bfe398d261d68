"""What was seen of a model on the held-out rows: the content of `evaluation.json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from artifact_pipeline.builder.config.schema import Value


class SearchCandidate(Struct, frozen=True, forbid_unknown_fields=True):
    """One combination of settings, and its score over the folds."""

    params: dict[str, Any]
    mean: float
    std: float
    rank: int


class Searched(Struct, frozen=True, forbid_unknown_fields=True):
    """What a search found; the candidates in the order in which they were tried."""

    scoring: str
    best: dict[str, Any]
    candidates: list[SearchCandidate]


EXAMPLES = 100
"""How many held-out rows an evaluation shows at the most."""
AVERAGED = ("precision", "recall", "f1")
BINS = 10
"""How many bins of confidence the calibration has."""
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
"""Of the errors of predicted numbers."""


class ClassScores(Struct, frozen=True, forbid_unknown_fields=True):
    """How good a model is on the held-out rows of one class."""

    label: bool | int | str
    name: str
    precision: float
    recall: float
    f1: float
    support: int


class Unlearned(Struct, frozen=True, forbid_unknown_fields=True):
    """A class of held-out rows that no training row has: each of its rows is missed."""

    label: bool | int | str
    name: str
    support: int
    predicted: list[int]
    """How many of its rows were predicted as each label."""


class Bin(Struct, frozen=True, forbid_unknown_fields=True):
    """The rows whose most probable label had a probability in [low, high)."""

    low: float
    high: float
    rows: int
    confidence: float
    """The mean of those probabilities."""
    accuracy: float
    """How often the label was right."""


class Example(Struct, frozen=True, forbid_unknown_fields=True):
    """One held-out row."""

    row: int
    """Where it stands in the data set."""
    truth: Value
    label: Value
    """What was predicted: a label, or a number."""
    probabilities: list[float] | None
    values: list[float | str | None]
    """None where a number is missing."""


class Weights(Struct, frozen=True, forbid_unknown_fields=True):
    """The coefficients of a linear model that sees the features as they are."""

    coef: list[list[float]]
    intercept: list[float]


class EvaluationReport(Struct, frozen=True, forbid_unknown_fields=True):
    """What was seen on the held-out rows: the content of `evaluation.json`."""

    rows: int
    per_class: list[ClassScores]
    confusion: list[list[int]]
    """Rows are the true classes, columns the predicted ones."""
    calibration: list[Bin] | None
    examples: list[Example]
    """The wrong ones first; of numbers those that lie farthest from the truth."""
    weights: Weights | None
    errors: list[float] | UnsetType = UNSET
    """Of numbers: the `QUANTILES` of predicted minus true."""
    search: Searched | UnsetType = UNSET
    """What was tried, and how good it was over folds of the training rows."""
    leaks: list[str] | UnsetType = UNSET
    """What in the rows may give the answer away, a sentence each."""
    unlearned: list[Unlearned] | UnsetType = UNSET
    """Classes that only held-out rows have; absent where there are none."""

    def chosen(self) -> dict[str, Any] | None:
        """Return the parameters that a search chose, where there was one."""
        return None if isinstance(self.search, UnsetType) else self.search.best

    def fits(self, labels: int, texts: Sequence[bool]) -> bool:
        """Return whether every table in it has the size that labels and features give.

        `texts` says of each feature whether it is text, and no number.
        """
        features = len(texts)
        coef = self.weights.coef if self.weights else []
        of_numbers = (
            isinstance(self.errors, list)
            and len(self.errors) == len(QUANTILES)
            and not any(isinstance(v, str) for one in self.examples for v in (one.truth, one.label))
        )
        return (
            (labels > 0 or of_numbers)
            and len(self.per_class) == len(self.confusion) == labels
            and all(len(row) == labels for row in self.confusion)
            and all(
                len(one.predicted) == labels and sum(one.predicted) == one.support
                for one in self.unlearned or []
            )
            and all(one.rows > 0 for one in self.calibration or [])
            and all(
                [isinstance(value, str) for value in one.values] == list(texts)
                for one in self.examples
            )
            and all(len(one.probabilities or [0] * labels) == labels for one in self.examples)
            and all(len(row) == features for row in coef)
        )
