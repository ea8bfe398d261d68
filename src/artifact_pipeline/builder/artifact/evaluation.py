"""The evaluation of a model on the held-out rows: the content of `evaluation.json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from artifact_pipeline.builder.artifact.diagnostics import Diagnostics
from artifact_pipeline.builder.artifact.manifest import Metrics
from artifact_pipeline.builder.config.values import Value


class SearchCandidate(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A combination of parameters, and its score on the folds."""

    params: dict[str, Any]
    mean: float
    std: float
    rank: int


class Searched(Struct, frozen=True, forbid_unknown_fields=True):
    """The result of a search, with the candidates in the order in which they were tried."""

    scoring: str
    best: dict[str, Any]
    candidates: list[SearchCandidate]


EXAMPLES = 100
"""Maximum number of held-out rows in an evaluation."""
AVERAGED = ("precision", "recall", "f1")
"""The scores of a class that are averaged over classes."""
BINS = 10
"""The number of bins of the calibration."""
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
"""The quantiles of the errors of predicted numbers."""


class ClassScores(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The scores of a model for one class."""

    label: bool | int | str
    name: str
    precision: float
    recall: float
    f1: float
    support: int


class Unlearned(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A class that has held-out rows but no training rows, so each of its rows counts as wrong."""

    label: bool | int | str
    name: str
    support: int
    predicted: list[int]
    """How many of its rows were predicted as each label."""


class Bin(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The rows whose largest probability is in [low, high)."""

    low: float
    high: float
    rows: int
    confidence: float
    """The mean of their largest probabilities."""
    accuracy: float
    """The share of rows with the correct label."""


class Example(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One held-out row."""

    row: int
    """Its index in the data set."""
    truth: Value
    label: Value
    """The predicted label or number."""
    probabilities: list[float] | None
    values: list[float | str | None]
    """None for a missing number."""


class Weights(Struct, frozen=True, forbid_unknown_fields=True):
    """The coefficients of a linear model of the features themselves."""

    coef: list[list[float]]
    intercept: list[float]


class EvaluationReport(
    Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """The evaluation of a model on the held-out rows."""

    rows: int
    per_class: list[ClassScores]
    confusion: list[list[int]]
    """Rows are the true classes, columns the predicted ones."""
    calibration: list[Bin] | None
    examples: list[Example]
    """Wrong labels first, or the numbers farthest from the truth."""
    weights: Weights | None
    errors: list[float] | None = None
    """For numbers: the `QUANTILES` of predicted minus true."""
    search: Searched | None = None
    leaks: list[str] | None = None
    """Warnings about rows or features that may leak the target, a sentence each."""
    unlearned: list[Unlearned] | None = None
    """Classes that only held-out rows have; None without any."""
    baseline: Metrics | None = None
    """The metrics of a dummy model fitted to the same rows; None if they are not known, because the
    model was fitted elsewhere."""
    diagnostics: Diagnostics | None = None
    """None in artifacts of earlier releases."""

    def chosen(self) -> dict[str, Any] | None:
        """Return the parameters that a search chose, or None without a search."""
        return None if self.search is None else self.search.best

    def fits(self, labels: int, texts: Sequence[bool]) -> bool:
        """Return whether all its tables have the right size for a model.

        Args:
            labels: The number of the model's labels; 0 if it predicts numbers.
            texts: For each feature, whether it is text.
        """
        features = len(texts)
        coef = self.weights.coef if self.weights else []
        has_numbers = (
            isinstance(self.errors, list)
            and len(self.errors) == len(QUANTILES)
            and not any(isinstance(v, str) for e in self.examples for v in (e.truth, e.label))
        )
        return (
            (labels > 0 or has_numbers)
            and len(self.per_class) == len(self.confusion) == labels
            and all(len(row) == labels for row in self.confusion)
            and all(
                len(scores.predicted) == labels and sum(scores.predicted) == scores.support
                for scores in self.unlearned or []
            )
            and all(group.rows > 0 for group in self.calibration or [])
            and (self.diagnostics is None or self.diagnostics.fits(labels))
            and all(
                [isinstance(value, str) for value in example.values] == list(texts)
                for example in self.examples
            )
            and all(len(e.probabilities or [0] * labels) == labels for e in self.examples)
            and all(len(row) == features for row in coef)
        )
