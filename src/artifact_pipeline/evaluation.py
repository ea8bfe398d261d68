"""How good a model is on given rows, and whether that is good enough.

>>> evaluate([0, 0, 1, 1], [0, 0, 1, 0])["accuracy"]
0.75
>>> from artifact_pipeline.settings import Gate
>>> [verdict] = judge({"test": {"accuracy": 0.75}}, {"test.accuracy": Gate(min=0.9)})
>>> verdict.passed, str(verdict)
(False, 'test.accuracy is 0.7500, below the least of 0.9')
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import UNSET, Struct, UnsetType

from artifact_pipeline.errors import ConfigError
from artifact_pipeline.explain import nearest
from artifact_pipeline.settings import Gate, Value

if TYPE_CHECKING:
    from artifact_pipeline.data import Target

TITLES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "f1_weighted": "weighted F1",
    "f1_macro": "macro F1",
    "precision_weighted": "weighted precision",
    "recall_weighted": "weighted recall",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "roc_auc": "ROC AUC",
    "log_loss": "log loss",
    "brier": "Brier score",
    "r2": "R²",
    "mae": "MAE",
    "rmse": "RMSE",
}
"""What a person calls each metric, in the order in which they are shown."""


FIRST = ("accuracy", "f1_weighted", "r2", "mae")
"""The metrics that are shown where there is room for few."""
LOWER_IS_BETTER = ("log_loss", "brier", "mae", "rmse")


class Rival(NamedTuple):
    """What an alias names, to compare with."""

    digest: str | None
    """None where it names nothing yet."""
    metrics: Mapping[str, Any]
    """`test` and `slices`, as a manifest has them."""
    why_not: str | None
    """Why it cannot be compared with, if so."""


class Candidate(Struct, frozen=True, forbid_unknown_fields=True):
    """One combination of settings, and its score over the folds."""

    params: dict[str, Any]
    mean: float
    std: float
    rank: int


class Searched(Struct, frozen=True, forbid_unknown_fields=True):
    """What a search found; the candidates in the order in which they were tried."""

    scoring: str
    best: dict[str, Any]
    candidates: list[Candidate]


class Verdict(Struct, frozen=True):
    """What a gate says of one metric and one bound."""

    metric: str
    bound: str
    """`min`, `max` or `not_worse_than`."""
    limit: float | None
    """None where there was nothing to compare with."""
    value: float
    passed: bool
    margin: float
    """How far inside the bound the value lies; negative where it lies outside."""
    alias: str | None = None
    """Of a comparison: the name of the other artifact."""
    against: str | None = None
    """Its digest."""
    note: str | None = None

    def __str__(self) -> str:
        if self.note:
            return f"{self.metric} is {self.value:.4f}: {self.note}"
        limit = self.limit or 0.0
        if self.bound == "not_worse_than":
            way = "within" if self.passed else "worse than"
            return f"{self.metric} is {self.value:.4f}, {way} the {limit:.4f} asked by {self.alias}"
        side = {"min": ("above", "below", "least"), "max": ("under", "above", "most")}[self.bound]
        if self.passed:
            return f"{self.metric} is {self.value:.4f}, {self.margin:.4f} {side[0]} the {side[2]}"
        return f"{self.metric} is {self.value:.4f}, {side[1]} the {side[2]} of {limit:g}"


def evaluate(
    y_true: Any,
    y_pred: Any,
    target: Target = "class",
    probabilities: Any = None,
    labels: Sequence[Any] = (),
    positive: Value | UnsetType = UNSET,
) -> dict[str, float]:
    """Return the metrics of predicted labels, or numbers, against the true ones, both (n_rows,).

    `probabilities` are (n_rows, n_labels) in the order of `labels`; `positive` is the one of two
    labels that precision, recall and F1 speak of. All are scikit-learn's; in the averages a class
    never predicted counts as 0, and the ROC AUC of more than two is that of each against the
    rest, weighted. One that is not defined on these rows is left out: recall without a positive
    row, what is measured of probabilities where a true class is not among `labels`, R² of one row.
    Those of probabilities and of numbers are rounded to ten digits.
    """
    from sklearn import metrics

    if target == "number":
        return {
            # Of one row there is no variance to explain.
            **({"r2": _rounded(metrics.r2_score(y_true, y_pred))} if len(y_true) > 1 else {}),
            "mae": _rounded(metrics.mean_absolute_error(y_true, y_pred)),
            "rmse": _rounded(metrics.root_mean_squared_error(y_true, y_pred)),
        }

    def averages(average: str, **of: Any) -> tuple[float, float, float]:
        found = metrics.precision_recall_fscore_support(
            y_true, y_pred, average=average, zero_division=0.0, **of
        )
        return float(found[0]), float(found[1]), float(found[2])

    precision, recall, f1 = averages("weighted")
    found = {
        "accuracy": float(metrics.accuracy_score(y_true, y_pred)),
        "balanced_accuracy": _balanced(y_true, y_pred),
        "f1_weighted": f1,
        "f1_macro": averages("macro")[2],
        "precision_weighted": precision,
        "recall_weighted": recall,
    }
    if positive is not UNSET:
        of = averages("binary", pos_label=positive)
        found |= dict(zip(("precision", "recall", "f1"), of, strict=True))
        if not _holds(y_true, positive):  # nothing could be found
            del found["recall"]
            if not _holds(y_pred, positive):
                del found["f1"]
    if probabilities is not None:
        found |= _of_probabilities(y_true, probabilities, labels)
    return found


def _balanced(y_true: Any, y_pred: Any) -> float:
    """The mean over the true classes of the share of their rows that was found."""
    from sklearn.metrics import recall_score

    present = sorted(set(y_true.tolist() if hasattr(y_true, "tolist") else y_true))
    return float(recall_score(y_true, y_pred, labels=present, average="macro", zero_division=0.0))


def _holds(labels: Any, label: Value) -> bool:
    import numpy as np

    return bool((np.asarray(labels) == label).any())


def _of_probabilities(y_true: Any, probabilities: Any, labels: Sequence[Any]) -> dict[str, float]:
    import numpy as np
    from sklearn import metrics

    truth = np.asarray(y_true)[:, None] == np.asarray(labels)[None, :]
    # There is nothing to compare where one class was learned, or not the true one.
    if len(labels) < 2 or not truth.any(axis=1).all():
        return {}
    proba = np.asarray(probabilities, dtype=np.float64)
    sums = proba.sum(axis=1, keepdims=True)
    if not (sums > 0).all():  # one against the rest: a row of which every estimator says no
        return {}
    proba = proba / sums
    found = {
        "log_loss": _rounded(
            metrics.log_loss(truth.argmax(axis=1), proba, labels=range(len(labels)))
        ),
        "brier": _rounded(
            ((proba - truth) ** 2).sum(axis=1).mean() / (2 if len(labels) == 2 else 1)
        ),
    }
    if truth.any(axis=0).all():
        if len(labels) == 2:
            found["roc_auc"] = float(metrics.roc_auc_score(truth[:, 1], proba[:, 1]))
        else:
            found["roc_auc"] = float(metrics.roc_auc_score(truth, proba, average="weighted"))
    return found


def _rounded(value: Any) -> float:
    """Return a figure to ten digits: the last bits of what a graph gives follow the CPU, and a
    manifest's bytes must not."""
    return float(f"{value:.10g}")


def evaluate_model(model: Any, X: Any, y: Any) -> dict[str, float]:
    """Return the metrics of a fitted estimator on X (n_rows, n_features) and y (n_rows,)."""
    from sklearn.base import is_regressor

    from artifact_pipeline.estimators import as_labels, outputs

    predicted, proba = outputs(model, X)
    if is_regressor(model):
        return evaluate(y, predicted, "number")
    return evaluate(y, predicted, "class", proba, as_labels(model.classes_).tolist())


def judge(
    metrics: Mapping[str, Any],
    gates: Mapping[str, Gate],
    rivals: Mapping[str, Rival] = MappingProxyType({}),
) -> list[Verdict]:
    """Return what each bound of each gate says of `metrics` (`train`, `test` and `slices`).

    `rivals` are what the aliases of comparisons name.

    Raises:
        ConfigError: for a gate on a metric that was not measured.
    """
    verdicts = []
    for name, gate in gates.items():
        value = _value(metrics, name)
        for bound, sign in (("min", 1), ("max", -1)):
            limit = getattr(gate, bound)
            if isinstance(limit, float):
                margin = sign * (value - limit)
                verdicts.append(Verdict(name, bound, limit, value, margin >= 0, margin))
        if isinstance(gate.not_worse_than, str):
            rival = rivals[gate.not_worse_than]
            verdicts.append(_compare(name, value, gate.not_worse_than, gate.tolerance, rival))
    return verdicts


def _value(metrics: Mapping[str, Any], name: str) -> float:
    """Return a metric by the name that a gate calls it, such as `test.accuracy[pune]`."""
    rows, _, rest = name.partition(".")
    metric, _, within = rest.partition("[")
    found = metrics.get(rows) or {}
    if within:
        slices = metrics.get("slices") or {}
        if within[:-1] not in slices:
            hint = nearest(within[:-1], sorted(slices)) if slices else "it has none"
            raise ConfigError(f"this model has no such slice; {hint}", where=f"gates.{name}")
        found = slices[within[:-1]]["metrics"]
    if metric not in found:
        said = _why_missing(metric, found, metrics.get("train") or {})
        raise ConfigError(said, where=f"gates.{name}")
    return float(found[metric])


def _why_missing(metric: str, found: Mapping[str, Any], train: Mapping[str, Any]) -> str:
    """Return why `metric` is not among those that were `found` on some rows.

    `train` are the metrics of the training rows, which tell whether the model gives probabilities.
    """
    of_numbers = ("r2", "mae", "rmse")
    of_probabilities = ("roc_auc", "log_loss", "brier")
    of_positive = ("precision", "recall", "f1")
    if found and metric in TITLES and (metric in of_numbers) == ("mae" in found):
        was_not = f"{TITLES[metric]} was not measured on these rows"
        if metric == "r2":
            return f"{was_not}: it needs two rows"
        if metric in of_positive:
            if "precision" not in found:
                return f"{was_not}: it needs two classes, and data.positive to name one of them"
            nor = " or was predicted to be" if metric == "f1" else ""
            return f"{was_not}: none of them is{nor} of the positive class"
        if metric in of_probabilities:
            if "log_loss" in found:
                return f"{was_not}: some class of the model has no row among them"
            if "log_loss" in train:
                return (
                    f"{was_not}: some row is of a class that the model did not learn, or all of "
                    "its probabilities are 0"
                )
            return f"{was_not}: the model gives no probabilities, or none of some row's class"
        return was_not
    if not found:
        return "nothing was measured on these rows"
    return f"this model has no such metric; {nearest(metric, sorted(found))}"


def _compare(
    name: str, value: float, alias: str, tolerance: float | UnsetType, rival: Rival
) -> Verdict:
    bound = "not_worse_than"
    if rival.digest is None:
        note = f"there is no {alias} yet to compare with"
        return Verdict(name, bound, None, value, True, 0.0, alias, None, note)
    why = rival.why_not
    if why is None:
        try:
            other = _value(rival.metrics, name)
        except ConfigError:
            why = "it was not measured by that"
    if why is not None:
        note = f"not comparable with {alias}: {why}"
        return Verdict(name, bound, None, value, False, 0.0, alias, rival.digest, note)
    allowed = 0.0 if isinstance(tolerance, UnsetType) else tolerance
    lower = name.partition(".")[2].partition("[")[0] in LOWER_IS_BETTER
    limit = other + allowed if lower else other - allowed
    margin = limit - value if lower else value - limit
    return Verdict(name, bound, limit, value, margin >= 0, margin, alias, rival.digest)
