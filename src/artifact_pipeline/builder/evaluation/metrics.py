"""Metrics of predictions.

>>> evaluate([0, 0, 1, 1], [0, 0, 1, 0])["accuracy"]
0.75
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from artifact_pipeline.builder.config.messages import nearest
from artifact_pipeline.builder.config.values import Value
from artifact_pipeline.builder.metric_table import BY_NAME

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from artifact_pipeline.builder.data.dataset import Target


class LabelPairs(NamedTuple):
    """The distinct pairs of a true and a predicted label.

    scikit-learn's metrics of the pairs, weighted by their rows, equal those of all rows to the last
    bit, and take a fraction of the time.
    """

    labels: NDArray[Any]
    """All labels, sorted."""
    truth: NDArray[np.int64]
    """(n_pairs,) the index of each true label in `labels`."""
    predicted: NDArray[np.int64]
    """(n_pairs,) the index of each predicted label."""
    rows: NDArray[np.int64]
    """(n_pairs,) the number of rows with each pair."""


def count_pairs(y_true: Any, y_pred: Any, *, positive: Value | None = None) -> LabelPairs:
    """Count the rows with each pair of a true and a predicted label.

    Args:
        y_true: The true labels, (n_rows,).
        y_pred: The predicted ones, (n_rows,).
        positive: A label to list even if no row has it.
    """
    import numpy as np

    columns = np.asarray(y_true), np.asarray(y_pred)
    listed = [] if positive is None else [np.array([positive])]
    labels = np.unique(np.concatenate([*map(np.unique, columns), *listed]))
    truth, predicted = (np.searchsorted(labels, column) for column in columns)
    pairs, rows = np.unique(truth * len(labels) + predicted, return_counts=True)
    return LabelPairs(
        labels=labels, truth=pairs // len(labels), predicted=pairs % len(labels), rows=rows
    )


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
        positive: The positive one of two labels, for precision, recall and F1.
    """
    from sklearn import metrics

    if target == "number":
        return {
            # One row has no variance to explain.
            **({"r2": _rounded(metrics.r2_score(y_true, y_pred))} if len(y_true) > 1 else {}),
            "mae": _rounded(metrics.mean_absolute_error(y_true, y_pred)),
            "rmse": _rounded(metrics.root_mean_squared_error(y_true, y_pred)),
        }

    pairs = count_pairs(y_true, y_pred, positive=positive)
    counted = pairs.truth, pairs.predicted

    def averages(average: str, **options: Any) -> tuple[float, float, float]:
        precision, recall, f1, _ = metrics.precision_recall_fscore_support(
            *counted, average=average, sample_weight=pairs.rows, zero_division=0.0, **options
        )
        return float(precision), float(recall), float(f1)

    precision, recall, f1 = averages("weighted")
    values = {
        "accuracy": float(metrics.accuracy_score(*counted, sample_weight=pairs.rows)),
        "balanced_accuracy": _balanced(pairs),
        "f1_weighted": f1,
        "f1_macro": averages("macro")[2],
        "precision_weighted": precision,
        "recall_weighted": recall,
    }
    if positive is not None:
        code = pairs.labels.tolist().index(positive)
        scores = averages("binary", pos_label=code)
        values |= dict(zip(("precision", "recall", "f1"), scores, strict=True))
        if not _holds(y_true, positive):
            del values["recall"]
            if not _holds(y_pred, positive):
                del values["f1"]
    if probabilities is not None:
        values |= _probability_metrics(y_true, probabilities, labels=labels)
    return values


def _balanced(pairs: LabelPairs) -> float:
    """Return the mean recall of the true classes.

    scikit-learn's own `balanced_accuracy_score` warns about predicted classes without a true row.
    """
    from sklearn.metrics import recall_score

    return float(
        recall_score(
            pairs.truth,
            pairs.predicted,
            labels=sorted(set(pairs.truth.tolist())),
            average="macro",
            sample_weight=pairs.rows,
            zero_division=0.0,
        )
    )


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
    if not (sums > 0).all():  # one against the rest, where no estimator accepts the row
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


def why_missing(metric: str, measured: Mapping[str, Any], *, train: Mapping[str, Any]) -> str:
    """Return why a metric was not measured on some rows.

    Args:
        metric: Its name.
        measured: The measured metrics of those rows.
        train: The metrics of the training rows, which show whether the model has probabilities.
    """
    if not measured:
        return "nothing was measured on these rows"
    known = BY_NAME.get(metric)
    if known is None or known.task != ("number" if "mae" in measured else "class"):
        return f"this model has no such metric; {nearest(metric, sorted(measured))}"
    missing = f"{known.title} was not measured on these rows"
    if metric == "r2":
        return f"{missing}: it needs two rows"
    if known.needs == "positive class":
        if "precision" not in measured:
            return f"{missing}: it needs two classes, and data.positive to name one of them"
        predicted = " or was predicted to be" if metric == "f1" else ""
        return f"{missing}: none of them is{predicted} of the positive class"
    if known.needs == "probabilities":
        if "log_loss" in measured:
            return f"{missing}: some class of the model has no row among them"
        if "log_loss" in train:
            return (
                f"{missing}: some row is of a class that the model did not learn, or all of its "
                "probabilities are 0"
            )
        return f"{missing}: the model gives no probabilities, or none for the class of some row"
    return missing
