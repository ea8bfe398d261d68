"""The evaluation of an estimator on the held-out rows, for `evaluation.json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from artifact_pipeline.builder.artifact.evaluation import (
    BINS,
    EXAMPLES,
    QUANTILES,
    Bin,
    ClassScores,
    EvaluationReport,
    Example,
    Unlearned,
    Weights,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from artifact_pipeline.builder.data.dataset import Target
    from artifact_pipeline.builder.evaluation.weighted_metrics import PredictedRows


def observe(
    estimator: Any,
    X: Any,
    *,
    rows: PredictedRows,
    index: NDArray[np.int64],
    label_names: list[str],
    examples: int = EXAMPLES,
) -> EvaluationReport:
    """Evaluate an estimator on the held-out rows.

    Args:
        estimator: A fitted classifier or regressor.
        X: (n_rows, n_features) float64, or a DataFrame.
        rows: The true values of the rows, and the predictions of the estimator.
        index: The index of each row in the data set, (n_rows,).
        label_names: The name of each label of the estimator.
        examples: How many rows to show.
    """
    import numpy as np

    from artifact_pipeline.builder.evaluation.metrics import count_pairs
    from artifact_pipeline.builder.model.estimators import as_labels

    y, predicted, proba, target = rows.truth, rows.predicted, rows.probabilities, rows.target
    worst = np.abs(predicted - y) if target == "number" else (predicted != y).astype(float)
    shown = [
        Example(
            row=int(index[i]),
            truth=y[i].item(),
            label=predicted[i].item(),
            probabilities=None if proba is None else proba[i].tolist(),
            values=_values(X, i),
        )
        for i in _shown(worst, examples, target=target)
    ]
    weights = _weights(estimator, X.shape[1])
    if target == "number":
        return EvaluationReport(
            rows=len(y),
            per_class=[],
            confusion=[],
            calibration=None,
            examples=shown,
            weights=weights,
            errors=np.quantile(predicted - y, QUANTILES).tolist(),
        )
    from sklearn.metrics import precision_recall_fscore_support

    labels = as_labels(estimator.classes_)
    pairs = count_pairs(y, predicted)
    counted = pairs.labels[pairs.truth], pairs.labels[pairs.predicted]
    unlearned = [
        Unlearned(
            label=truth,
            name=str(truth),
            support=int((y == truth).sum()),
            predicted=[int(((y == truth) & (predicted == label)).sum()) for label in labels],
        )
        for truth in sorted(set(counted[0].tolist()) - set(labels.tolist()))
    ]
    scores = precision_recall_fscore_support(
        *counted, labels=labels, sample_weight=pairs.rows, zero_division=0.0
    )
    return EvaluationReport(
        rows=len(y),
        per_class=[
            ClassScores(
                label=label,
                name=name,
                precision=float(precision),
                recall=float(recall),
                f1=float(f1),
                support=int(support),
            )
            for label, name, precision, recall, f1, support in zip(
                labels.tolist(), label_names, *scores, strict=True
            )
        ],
        confusion=_confusion(*counted, rows=pairs.rows, labels=labels),
        calibration=None if proba is None else _calibration(proba, predicted == y),
        examples=shown,
        weights=weights,
        unlearned=unlearned or None,
    )


def _shown(worst: NDArray[Any], count: int, *, target: Target) -> NDArray[np.intp]:
    """Return the rows to show: wrong labels before right ones, or the worst numbers.

    A third is kept for rows with right labels, so that the examples of a poor model have some.
    """
    import numpy as np

    order = np.argsort(-worst, kind="stable")
    if target == "number":
        return order[:count]
    wrong = int(worst.sum())
    right = min(len(worst) - wrong, max(count - wrong, count // 3))
    return np.concatenate([order[: min(wrong, count - right)], order[wrong : wrong + right]])


def _confusion(
    y: NDArray[Any], predicted: NDArray[Any], *, rows: NDArray[np.int64], labels: NDArray[Any]
) -> list[list[int]]:
    from sklearn.metrics import confusion_matrix

    if not set(y.tolist()) & set(labels.tolist()):  # scikit-learn refuses such rows
        return [[0] * len(labels) for _ in labels]
    counts: list[list[int]] = confusion_matrix(
        y, predicted, labels=labels, sample_weight=rows
    ).tolist()
    return counts


def _values(X: Any, row: int) -> list[float | str | None]:
    if not hasattr(X, "iloc"):
        return list(X[row].tolist())
    values = (value.item() if hasattr(value, "item") else value for value in X.iloc[row])
    return [None if value != value else value for value in values]


def _calibration(proba: NDArray[np.floating[Any]], correct: NDArray[np.bool_]) -> list[Bin]:
    import numpy as np

    confidence = proba.max(axis=1)
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return [
        Bin(
            low=k / BINS,
            high=(k + 1) / BINS,
            rows=int((bins == k).sum()),
            confidence=float(confidence[bins == k].mean()),
            accuracy=float(correct[bins == k].mean()),
        )
        for k in range(BINS)
        if (bins == k).any()
    ]


def _weights(estimator: Any, features: int) -> Weights | None:
    coef: Any = getattr(estimator, "coef_", None)
    if getattr(coef, "ndim", 0) != 2 or coef.shape[1] != features:
        return None
    return Weights(coef.tolist(), estimator.intercept_.tolist())
