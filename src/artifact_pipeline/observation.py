"""What was seen of a model on the held-out rows: the content of `evaluation.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, Struct, UnsetType

from artifact_pipeline.escapes import write_out
from artifact_pipeline.evaluation import Searched
from artifact_pipeline.settings import Value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from artifact_pipeline.data import Target

EXAMPLES = 100
"""How many held-out rows an evaluation shows at the most."""
_AVERAGED = ("precision", "recall", "f1")
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


class Evaluation(Struct, frozen=True, forbid_unknown_fields=True):
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


def observe(
    estimator: Any,
    X: Any,
    y: NDArray[Any],
    index: NDArray[np.int64],
    label_names: list[str],
    target: Target = "class",
    most: int = EXAMPLES,
) -> Evaluation:
    """Return what is seen of an estimator on the held-out rows.

    X is (n_rows, n_features) float64 or a DataFrame, y (n_rows,), and `index` says where in the
    data set each row stands. `most` example rows are kept.
    """
    import numpy as np

    from artifact_pipeline.estimators import as_labels, outputs

    predicted, proba = outputs(estimator, X)
    worst = np.abs(predicted - y) if target == "number" else (predicted != y).astype(float)
    examples = [
        Example(
            row=int(index[i]),
            truth=y[i].item(),
            label=predicted[i].item(),
            probabilities=None if proba is None else proba[i].tolist(),
            values=_values(X, i),
        )
        for i in np.argsort(-worst, kind="stable")[:most]
    ]
    weights = _weights(estimator, X.shape[1])
    if target == "number":
        errors = np.quantile(predicted - y, QUANTILES).tolist()
        return Evaluation(len(y), [], [], None, examples, weights, errors)
    from sklearn.metrics import precision_recall_fscore_support

    labels = as_labels(estimator.classes_)
    strange = sorted(set(y.tolist()) - set(labels.tolist()))
    unlearned = [
        Unlearned(
            label,
            str(label),
            int((y == label).sum()),
            [int(((y == label) & (predicted == one)).sum()) for one in labels],
        )
        for label in strange
    ]
    scores = precision_recall_fscore_support(y, predicted, labels=labels, zero_division=0.0)
    return Evaluation(
        rows=len(y),
        per_class=[
            ClassScores(label, name, float(precision), float(recall), float(f1), int(support))
            for label, name, precision, recall, f1, support in zip(
                labels.tolist(), label_names, *scores, strict=True
            )
        ],
        confusion=_confusion(y, predicted, labels),
        calibration=None if proba is None else _calibration(proba, predicted == y),
        examples=examples,
        weights=weights,
        unlearned=unlearned or UNSET,
    )


def _confusion(y: NDArray[Any], predicted: NDArray[Any], labels: NDArray[Any]) -> list[list[int]]:
    from sklearn.metrics import confusion_matrix

    if not set(y.tolist()) & set(labels.tolist()):  # which scikit-learn refuses
        return [[0] * len(labels) for _ in labels]
    counts: list[list[int]] = confusion_matrix(y, predicted, labels=labels).tolist()
    return counts


def classification_report(evaluation: Evaluation, metrics: Mapping[str, float]) -> str:
    """Return the table that scikit-learn prints under that name, from a sealed evaluation."""
    strange = [
        ClassScores(one.label, one.name, 0.0, 0.0, 0.0, one.support)
        for one in evaluation.unlearned or []
    ]
    classes = sorted([*evaluation.per_class, *strange], key=lambda one: one.label)
    numbers = "{:>14}{:>10.4f}{:>10.4f}{:>10.4f}{:>10}"
    rows = evaluation.rows
    macro = [sum(getattr(c, k) for c in classes) / len(classes) for k in _AVERAGED]
    weighted = [metrics[f"{k}_weighted"] for k in _AVERAGED]
    return "\n".join(
        [
            f"{'':>14}{'precision':>10}{'recall':>10}{'f1-score':>10}{'support':>10}",
            "",
            *(
                numbers.format(write_out(c.name)[:13], c.precision, c.recall, c.f1, c.support)
                for c in classes
            ),
            "",
            f"{'accuracy':>14}{'':>20}{metrics['accuracy']:>10.4f}{rows:>10}",
            numbers.format("macro avg", *macro, rows),
            numbers.format("weighted avg", *weighted, rows),
        ]
    )


def _values(X: Any, row: int) -> list[float | str | None]:
    if not hasattr(X, "iloc"):
        return list(X[row].tolist())
    values = (value.item() if hasattr(value, "item") else value for value in X.iloc[row])
    return [None if value != value else value for value in values]


def _calibration(proba: NDArray[np.float64], right: NDArray[np.bool_]) -> list[Bin]:
    import numpy as np

    confidence = proba.max(axis=1)
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return [
        Bin(
            low=k / BINS,
            high=(k + 1) / BINS,
            rows=int((bins == k).sum()),
            confidence=float(confidence[bins == k].mean()),
            accuracy=float(right[bins == k].mean()),
        )
        for k in range(BINS)
        if (bins == k).any()
    ]


def _weights(estimator: Any, features: int) -> Weights | None:
    coef: Any = getattr(estimator, "coef_", None)
    if getattr(coef, "ndim", 0) != 2 or coef.shape[1] != features:
        return None
    return Weights(coef.tolist(), estimator.intercept_.tolist())
