"""Metrics of predictions.

>>> evaluate([0, 0, 1, 1], [0, 0, 1, 0])["accuracy"]
0.75
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from artifact_pipeline.builder.config.messages import nearest
from artifact_pipeline.builder.config.values import Value
from artifact_pipeline.builder.metric_table import BY_NAME

if TYPE_CHECKING:
    from artifact_pipeline.builder.data.dataset import Target


def evaluate(
    y_true: Any,
    y_pred: Any,
    *,
    target: Target = "class",
    probabilities: Any = None,
    labels: Sequence[Any] = (),
    positive: Value | None = None,
) -> dict[str, float]:
    """Return the metrics of predicted labels or numbers.

    All are scikit-learn's. In averages over classes, a class that is never predicted counts as 0.
    The ROC AUC of more than two classes is that of each against the rest, weighted by their rows.
    A metric that is undefined on the rows is left out: the recall without a positive row, metrics
    of probabilities if a true class is not among `labels`, and R² of one row. Metrics of
    probabilities and of numbers are rounded to ten digits.

    Args:
        y_true: The true labels or numbers, (n_rows,).
        y_pred: The predicted ones, (n_rows,).
        target: What is predicted.
        probabilities: (n_rows, n_labels) in the order of `labels`, or None.
        labels: The labels of the model.
        positive: The positive label of two, for precision, recall and F1.
    """
    from sklearn import metrics

    if target == "number":
        return {
            # One row has no variance to explain.
            **({"r2": _rounded(metrics.r2_score(y_true, y_pred))} if len(y_true) > 1 else {}),
            "mae": _rounded(metrics.mean_absolute_error(y_true, y_pred)),
            "rmse": _rounded(metrics.root_mean_squared_error(y_true, y_pred)),
        }

    truth, predicted, positive_code = _as_codes(y_true, y_pred, positive=positive)

    def averages(average: str, **options: Any) -> tuple[float, float, float]:
        precision, recall, f1, _ = metrics.precision_recall_fscore_support(
            truth, predicted, average=average, zero_division=0.0, **options
        )
        return float(precision), float(recall), float(f1)

    precision, recall, f1 = averages("weighted")
    values = {
        "accuracy": float(metrics.accuracy_score(truth, predicted)),
        "balanced_accuracy": _balanced(truth, predicted),
        "f1_weighted": f1,
        "f1_macro": averages("macro")[2],
        "precision_weighted": precision,
        "recall_weighted": recall,
    }
    if positive is not None:
        scores = averages("binary", pos_label=positive_code)
        values |= dict(zip(("precision", "recall", "f1"), scores, strict=True))
        if not _holds(y_true, positive):
            del values["recall"]
            if not _holds(y_pred, positive):
                del values["f1"]
    if probabilities is not None:
        values |= _probability_metrics(y_true, probabilities, labels=labels)
    return values


def _as_codes(y_true: Any, y_pred: Any, *, positive: Value | None) -> tuple[Any, Any, Any]:
    """Return texts as their places in sorted order, which scikit-learn compares much faster.

    Other labels are returned as they are.
    """
    import numpy as np

    if any(getattr(getattr(y, "dtype", None), "kind", "") != "U" for y in (y_true, y_pred)):
        return y_true, y_pred, positive
    asked = [] if positive is None else [str(positive)]
    labels = np.unique(np.concatenate([np.unique(y_true), np.unique(y_pred), asked]))
    codes = [np.searchsorted(labels, texts) for texts in (y_true, y_pred, asked)]
    return codes[0], codes[1], codes[2][0] if asked else None


def _balanced(y_true: Any, y_pred: Any) -> float:
    """Return the mean recall of the true classes.

    scikit-learn's own `balanced_accuracy_score` warns about predicted classes without a true row.
    """
    from sklearn.metrics import recall_score

    present = sorted(set(y_true.tolist() if hasattr(y_true, "tolist") else y_true))
    return float(recall_score(y_true, y_pred, labels=present, average="macro", zero_division=0.0))


def _holds(labels: Any, label: Value) -> bool:
    import numpy as np

    return bool((np.asarray(labels) == label).any())


def _probability_metrics(
    y_true: Any, probabilities: Any, *, labels: Sequence[Any]
) -> dict[str, float]:
    import numpy as np
    from sklearn import metrics

    truth = np.asarray(y_true)[:, None] == np.asarray(labels)[None, :]
    # Undefined if the model knows one class only, or not the true one.
    if len(labels) < 2 or not truth.any(axis=1).all():
        return {}
    proba = np.asarray(probabilities, dtype=np.float64)
    sums = proba.sum(axis=1, keepdims=True)
    if not (sums > 0).all():  # one against the rest, and no estimator accepts the row
        return {}
    proba = proba / sums
    values = {
        "log_loss": _rounded(
            metrics.log_loss(truth.argmax(axis=1), proba, labels=range(len(labels)))
        ),
        "brier": _rounded(
            ((proba - truth) ** 2).sum(axis=1).mean() / (2 if len(labels) == 2 else 1)
        ),
    }
    if truth.any(axis=0).all():
        if len(labels) == 2:
            values["roc_auc"] = float(metrics.roc_auc_score(truth[:, 1], proba[:, 1]))
        else:
            values["roc_auc"] = float(metrics.roc_auc_score(truth, proba, average="weighted"))
    return values


def _rounded(value: Any) -> float:
    """Round to ten digits: the last bits of a graph's outputs depend on the CPU, and a manifest's
    bytes must not."""
    return float(f"{value:.10g}")


def why_missing(metric: str, found: Mapping[str, Any], *, train: Mapping[str, Any]) -> str:
    """Return why a metric was not measured on some rows.

    Args:
        metric: Its name.
        found: The metrics that were measured on those rows.
        train: The metrics of the training rows, which tell whether the model gives probabilities.
    """
    if not found:
        return "nothing was measured on these rows"
    known = BY_NAME.get(metric)
    if known is None or known.task != ("number" if "mae" in found else "class"):
        return f"this model has no such metric; {nearest(metric, sorted(found))}"
    missing = f"{known.title} was not measured on these rows"
    if metric == "r2":
        return f"{missing}: it needs two rows"
    if known.needs == "positive class":
        if "precision" not in found:
            return f"{missing}: it needs two classes, and data.positive to name one of them"
        predicted = " or was predicted to be" if metric == "f1" else ""
        return f"{missing}: none of them is{predicted} of the positive class"
    if known.needs == "probabilities":
        if "log_loss" in found:
            return f"{missing}: some class of the model has no row among them"
        if "log_loss" in train:
            return (
                f"{missing}: some row is of a class that the model did not learn, or all of its "
                "probabilities are 0"
            )
        return f"{missing}: the model gives no probabilities, or none for the class of some row"
    return missing
