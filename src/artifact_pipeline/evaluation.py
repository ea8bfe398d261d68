"""How good a model is on given rows, and whether that is good enough.

>>> evaluate([0, 0, 1, 1], [0, 0, 1, 0])["accuracy"]
0.75
>>> from artifact_pipeline.settings import Gate
>>> [verdict] = judge({"test": {"accuracy": 0.75}}, {"test.accuracy": Gate(min=0.9)})
>>> verdict.passed, str(verdict)
(False, 'test.accuracy is 0.7500, below the least of 0.9')
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from artifact_pipeline.settings import Gate
from artifact_pipeline.errors import ConfigError
from artifact_pipeline.explain import nearest

if TYPE_CHECKING:
    from artifact_pipeline.data import Target

TITLES = {
    "accuracy": "accuracy",
    "f1_weighted": "weighted F1",
    "f1_macro": "macro F1",
    "precision_weighted": "weighted precision",
    "recall_weighted": "weighted recall",
    "r2": "R²",
    "mae": "MAE",
    "rmse": "RMSE",
}
"""What a person calls each metric, in the order in which they are shown."""


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


def evaluate(y_true: Any, y_pred: Any, target: Target = "class") -> dict[str, float]:
    """Return the metrics of predicted labels, or numbers, against the true ones, both (n_rows,).

    All are scikit-learn's; in the averages a class never predicted counts as 0.
    """
    if target == "number":
        from sklearn import metrics

        return {
            "r2": float(metrics.r2_score(y_true, y_pred)),
            "mae": float(metrics.mean_absolute_error(y_true, y_pred)),
            "rmse": float(metrics.root_mean_squared_error(y_true, y_pred)),
        }
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
    """Return the metrics of a fitted estimator on X (n_rows, n_features) and y (n_rows,)."""
    from sklearn.base import is_regressor

    return evaluate(y, model.predict(X), "number" if is_regressor(model) else "class")


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
