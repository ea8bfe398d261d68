"""How good a model is on given rows, and whether that is good enough.

>>> evaluate([0, 0, 1, 1], [0, 0, 1, 0])["accuracy"]
0.75
>>> from artifact_pipeline.config import Gate
>>> [verdict] = judge({"test": {"accuracy": 0.75}}, {"test.accuracy": Gate(min=0.9)})
>>> verdict.passed, str(verdict)
(False, 'test.accuracy is 0.7500, below the least of 0.9')
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from artifact_pipeline.config import Gate
from artifact_pipeline.errors import ConfigError
from artifact_pipeline.explain import nearest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TITLES = {
    "accuracy": "accuracy",
    "f1_weighted": "weighted F1",
    "f1_macro": "macro F1",
    "precision_weighted": "weighted precision",
    "recall_weighted": "weighted recall",
}
"""What a person calls each metric, in the order in which they are shown."""
EXAMPLES = 100
"""How many held-out rows an evaluation shows at the most."""
_AVERAGED = ("precision", "recall", "f1")
BINS = 10
"""How many bins of confidence the calibration has."""


class Verdict(Struct, frozen=True):
    """What a gate says of one metric and one bound."""

    metric: str
    bound: str
    """`min` or `max`."""
    limit: float
    value: float
    passed: bool
    margin: float
    """How far inside the bound the value lies; negative where it lies outside."""

    def __str__(self) -> str:
        side = {"min": ("above", "below", "least"), "max": ("under", "above", "most")}[self.bound]
        if self.passed:
            return f"{self.metric} is {self.value:.4f}, {self.margin:.4f} {side[0]} the {side[2]}"
        return f"{self.metric} is {self.value:.4f}, {side[1]} the {side[2]} of {self.limit:g}"


class ClassScores(Struct, frozen=True, forbid_unknown_fields=True):
    """How good a model is on the held-out rows of one class."""

    label: bool | int | str
    name: str
    precision: float
    recall: float
    f1: float
    support: int


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
    truth: bool | int | str
    label: bool | int | str
    probabilities: list[float] | None
    values: list[float]


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
    """The wrong ones first."""
    weights: Weights | None

    def fits(self, labels: int, features: int) -> bool:
        """Return whether every table in it has the size that so many labels and features give."""
        coef = self.weights.coef if self.weights else []
        return (
            labels > 0
            and len(self.per_class) == len(self.confusion) == labels
            and all(len(row) == labels for row in self.confusion)
            and all(one.rows > 0 for one in self.calibration or [])
            and all(len(one.values) == features for one in self.examples)
            and all(len(one.probabilities or [0] * labels) == labels for one in self.examples)
            and all(len(row) == features for row in coef)
        )


def evaluate(y_true: Any, y_pred: Any) -> dict[str, float]:
    """Return the metrics of predicted labels against the true ones, both (n_rows,).

    Weighted and macro averages are scikit-learn's; a class never predicted counts as 0.
    """
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support

    def averages(average: str) -> tuple[float, float, float]:
        found = precision_recall_fscore_support(y_true, y_pred, average=average, zero_division=0.0)
        return float(found[0]), float(found[1]), float(found[2])

    precision, recall, f1 = averages("weighted")
    return {
        "accuracy": float(accuracy_score(y_true, y_pred)),
        "f1_weighted": f1,
        "f1_macro": averages("macro")[2],
        "precision_weighted": precision,
        "recall_weighted": recall,
    }


def evaluate_model(model: Any, X: Any, y: Any) -> dict[str, float]:
    """Return the metrics of a fitted classifier on X (n_rows, n_features) and y (n_rows,)."""
    return evaluate(y, model.predict(X))


def judge(metrics: Mapping[str, Mapping[str, float]], gates: Mapping[str, Gate]) -> list[Verdict]:
    """Return what each bound of each gate says of `metrics` (`train` and `test`).

    Raises:
        ConfigError: for a gate on a metric that the model does not have.
    """
    verdicts = []
    for name, gate in gates.items():
        rows, _, metric = name.partition(".")
        if metric not in metrics[rows]:
            hint = nearest(metric, sorted(metrics[rows]))
            raise ConfigError(f"this model has no such metric; {hint}", where=f"gates.{name}")
        value = metrics[rows][metric]
        for bound, sign in (("min", 1), ("max", -1)):
            limit = getattr(gate, bound)
            if isinstance(limit, float):
                margin = sign * (value - limit)
                verdicts.append(Verdict(name, bound, limit, value, margin >= 0, margin))
    return verdicts


def observe(
    estimator: Any,
    X: NDArray[np.float64],
    y: NDArray[Any],
    index: NDArray[np.int64],
    label_names: list[str],
) -> Evaluation:
    """Return what is seen of an estimator on the held-out rows.

    X is (n_rows, n_features) float64, y (n_rows,), and `index` says where in the data set each
    row stands.
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    labels = estimator.classes_
    predicted = estimator.predict(X)
    proba = estimator.predict_proba(X) if hasattr(estimator, "predict_proba") else None
    scores = precision_recall_fscore_support(y, predicted, labels=labels, zero_division=0.0)
    wrong_first = sorted(range(len(y)), key=lambda i: (predicted[i] == y[i], i))
    return Evaluation(
        rows=len(y),
        per_class=[
            ClassScores(label, name, float(precision), float(recall), float(f1), int(support))
            for label, name, precision, recall, f1, support in zip(
                labels.tolist(), label_names, *scores, strict=True
            )
        ],
        confusion=confusion_matrix(y, predicted, labels=labels).tolist(),
        calibration=None if proba is None else _calibration(proba, predicted == y),
        examples=[
            Example(
                row=int(index[i]),
                truth=y[i].item(),
                label=predicted[i].item(),
                probabilities=None if proba is None else proba[i].tolist(),
                values=X[i].tolist(),
            )
            for i in wrong_first[:EXAMPLES]
        ],
        weights=_weights(estimator, X.shape[1]),
    )


def classification_report(evaluation: Evaluation, metrics: Mapping[str, float]) -> str:
    """Return the table that scikit-learn prints under that name, from a sealed evaluation."""
    classes = evaluation.per_class
    numbers = "{:>14}{:>10.4f}{:>10.4f}{:>10.4f}{:>10}"
    rows = evaluation.rows
    macro = [sum(getattr(c, k) for c in classes) / len(classes) for k in _AVERAGED]
    weighted = [metrics[f"{k}_weighted"] for k in _AVERAGED]
    return "\n".join(
        [
            f"{'':>14}{'precision':>10}{'recall':>10}{'f1-score':>10}{'support':>10}",
            "",
            *(numbers.format(c.name[:13], c.precision, c.recall, c.f1, c.support) for c in classes),
            "",
            f"{'accuracy':>14}{'':>20}{metrics['accuracy']:>10.4f}{rows:>10}",
            numbers.format("macro avg", *macro, rows),
            numbers.format("weighted avg", *weighted, rows),
        ]
    )


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
