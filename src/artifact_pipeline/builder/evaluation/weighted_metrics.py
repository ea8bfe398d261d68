"""Metrics of rows with weights, for many sets of weights at once.

A bootstrap measures thousands of samples of the same rows. A row that is twice in a sample has the
weight 2, so each metric is a few matrix operations for all samples, where scikit-learn's functions
would be called for each. The values are those of `builder.evaluation.metrics.evaluate`; a metric
that is undefined on a sample is NaN.

>>> import numpy as np
>>> rows = PredictedRows(np.array([0, 0, 1, 1]), predicted=np.array([0, 0, 1, 0]))
>>> prepare(rows, ["accuracy"])(np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 1.0], [1.0, 3.0]]))
{'accuracy': array([0.75, 0.25])}
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from artifact_pipeline.builder.metric_table import BY_NAME

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from artifact_pipeline.builder.config.values import Value
    from artifact_pipeline.builder.data.dataset import Target

Weights: TypeAlias = "NDArray[np.float64]"
"""(n_rows, n_samples); in this order, rows are sorted and added up without jumps in memory."""
Measure: TypeAlias = "Callable[[Weights], dict[str, NDArray[np.float64]]]"
"""Returns each metric for each sample, (n_samples,)."""


class PredictedRows(NamedTuple):
    """The true values of rows, and the predictions of one model."""

    truth: NDArray[Any]
    """(n_rows,)"""
    predicted: NDArray[Any]
    """(n_rows,)"""
    probabilities: NDArray[np.floating[Any]] | None = None
    """(n_rows, n_labels), in the order of `labels`."""
    labels: Sequence[Any] = ()
    """The labels of the model."""
    positive: Value | None = None
    """The positive one of two labels."""
    target: Target = "class"


def prepare(rows: PredictedRows, names: Collection[str]) -> Measure:
    """Return a function that measures some metrics of rows with weights.

    Args:
        rows: The rows.
        names: The names of metrics that are defined for all rows with equal weights.
    """
    parts = list(_parts(rows, {BY_NAME[name].needs for name in names}, names=names))

    def measure(weights: Weights) -> dict[str, NDArray[np.float64]]:
        values = {name: value for part in parts for name, value in part(weights).items()}
        return {name: values[name] for name in names}

    return measure


def _parts(rows: PredictedRows, needs: set[str], *, names: Collection[str]) -> Iterator[Measure]:
    if rows.target == "number":
        yield _numbers(rows)
        return
    if needs & {"predictions", "positive class"}:
        yield _labels(rows)
    if "probabilities" in needs:
        truth, proba = _normalized(rows)
        yield _losses(truth, proba)
        if "roc_auc" in names:
            yield _roc_auc(truth, proba)


def _numbers(rows: PredictedRows) -> Measure:
    import numpy as np

    errors = np.asarray(rows.predicted, dtype=np.float64) - rows.truth
    centred = rows.truth - rows.truth.mean()

    def measure(weights: Weights) -> dict[str, NDArray[np.float64]]:
        total = weights.sum(axis=0)
        squares = errors**2 @ weights
        variance = centred**2 @ weights - (centred @ weights) ** 2 / total
        # Samples of equal numbers have no variance to explain; rounding leaves a little of it.
        defined = variance > 1e-12 * (centred**2 @ weights)
        return {
            "mae": np.abs(errors) @ weights / total,
            "rmse": np.sqrt(squares / total),
            "r2": np.where(defined, 1 - squares / np.where(defined, variance, 1), np.nan),
        }

    return measure


def _labels(rows: PredictedRows) -> Measure:
    import numpy as np
    from scipy import sparse

    count = len(rows.truth)
    extra = [] if rows.positive is None else [np.array([rows.positive])]
    values = np.concatenate([rows.truth, rows.predicted, *extra])
    labels, codes = np.unique(values, return_inverse=True)
    true, predicted = codes[:count], codes[count : 2 * count]
    positive = None if rows.positive is None else int(codes[-1])

    def adder(codes: NDArray[np.int64], index: NDArray[np.int64]) -> Any:
        """Return the matrix (n_labels, n_rows) that adds up the weights of rows by label."""
        ones = np.ones(len(index))
        return sparse.csr_array((ones, (codes[index], index)), shape=(len(labels), count))

    everywhere = np.arange(count)
    by_true, by_predicted = adder(true, everywhere), adder(predicted, everywhere)
    by_hit = adder(true, np.flatnonzero(true == predicted))

    def measure(weights: Weights) -> dict[str, NDArray[np.float64]]:
        support, claimed, hits = by_true @ weights, by_predicted @ weights, by_hit @ weights
        total = support.sum(axis=0)
        recall, precision = _ratio(hits, support), _ratio(hits, claimed)
        f1 = _ratio(2 * hits, support + claimed)
        known = support + claimed > 0
        values = {
            "accuracy": hits.sum(axis=0) / total,
            "balanced_accuracy": recall.sum(axis=0) / (support > 0).sum(axis=0),
            "f1_weighted": (support * f1).sum(axis=0) / total,
            "f1_macro": f1.sum(axis=0) / known.sum(axis=0),
            "precision_weighted": (support * precision).sum(axis=0) / total,
            "recall_weighted": hits.sum(axis=0) / total,
        }
        if positive is not None:
            has_rows = support[positive] > 0
            values["precision"] = precision[positive]
            values["recall"] = np.where(has_rows, recall[positive], np.nan)
            values["f1"] = np.where(known[positive], f1[positive], np.nan)
        return values

    return measure


def _normalized(rows: PredictedRows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return which label is the true one, and the probabilities, both (n_rows, n_labels)."""
    import numpy as np

    truth = np.asarray(rows.truth)[:, None] == np.asarray(rows.labels)[None, :]
    proba = np.asarray(rows.probabilities, dtype=np.float64)
    return truth.astype(np.float64), proba / proba.sum(axis=1, keepdims=True)


def _losses(truth: NDArray[np.float64], proba: NDArray[np.float64]) -> Measure:
    import numpy as np

    # As sklearn.metrics.log_loss does it.
    epsilon = np.finfo(np.float64).eps
    losses = -np.log(np.clip((truth * proba).sum(axis=1), epsilon, 1 - epsilon))
    squares = ((proba - truth) ** 2).sum(axis=1) / (2 if truth.shape[1] == 2 else 1)

    def measure(weights: Weights) -> dict[str, NDArray[np.float64]]:
        total = weights.sum(axis=0)
        return {"log_loss": losses @ weights / total, "brier": squares @ weights / total}

    return measure


def _roc_auc(truth: NDArray[np.float64], proba: NDArray[np.float64]) -> Measure:
    """Return the measure of the area under the ROC curve, of each class against the rest.

    The area is the share of pairs of a positive and a negative row in which the positive one has
    the higher score; equal scores count half (Hanley and McNeil 1982).
    """
    import numpy as np

    classes = [1] if truth.shape[1] == 2 else list(range(truth.shape[1]))
    ranked = []
    for k in classes:
        positive, negative = np.flatnonzero(truth[:, k] > 0), np.flatnonzero(truth[:, k] == 0)
        negative = negative[np.argsort(proba[negative, k], kind="stable")]
        scores = proba[negative, k], proba[positive, k]
        below, not_above = (np.searchsorted(*scores, side=side) for side in ("left", "right"))
        ranked.append((positive, negative, below, not_above))

    def measure(weights: Weights) -> dict[str, NDArray[np.float64]]:
        areas, shares = [], []
        for positive, negative, below, not_above in ranked:
            counts = np.zeros((len(negative) + 1, weights.shape[1]))
            np.cumsum(weights[negative], axis=0, out=counts[1:])
            share = weights[positive].sum(axis=0)
            pairs = share * counts[-1]
            wins = (counts[below] + counts[not_above]) / 2
            area = np.einsum("ij,ij->j", weights[positive], wins) / np.where(pairs > 0, pairs, 1)
            areas.append(np.where(pairs > 0, area, np.nan))
            shares.append(share)
        if len(classes) == 1:
            return {"roc_auc": areas[0]}
        # A class without a row leaves the average undefined, as in `evaluate`.
        average = (np.array(areas) * shares).sum(axis=0) / np.sum(shares, axis=0)
        return {"roc_auc": average}

    return measure


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return part / whole, and 0 where both are 0."""
    import numpy as np

    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
