"""The metrics of an estimator on the folds of the training rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from artifact_pipeline.builder.config.values import Value
from artifact_pipeline.builder.data.dataset import Target, take
from artifact_pipeline.builder.data.split import Fold
from artifact_pipeline.builder.evaluation.metrics import evaluate
from artifact_pipeline.builder.model import fit
from artifact_pipeline.builder.model.estimators import predict_with_proba
from artifact_pipeline.errors import Location


class FoldFit(NamedTuple):
    """The options for fitting and measuring the estimator of a fold.

    Attributes:
        estimator: The estimator; a copy of it is fitted.
        target: The kind of its predictions.
        positive: The positive one of two labels.
        n_jobs: As for `fit.fit`.
        location: The folds' location in the config.
    """

    estimator: Any
    target: Target
    positive: Value | None
    n_jobs: int | None
    location: Location


def measure_fold(X: Any, y: Any, *, fold: Fold, fold_fit: FoldFit) -> dict[str, float]:
    """Fit an estimator to one part of a fold and return its metrics on the other.

    Args:
        X: The training rows.
        y: Their labels or numbers.
        fold: The indices of both parts.
        fold_fit: The options.

    Raises:
        ConfigError: If the estimator refuses the rows.
    """
    from sklearn.base import clone

    train, test = fold
    unfitted = clone(fold_fit.estimator)
    fitted: Any = fit.fit(
        unfitted, take(X, train), y[train], n_jobs=fold_fit.n_jobs, location=fold_fit.location
    ).estimator
    predicted, proba = predict_with_proba(fitted, take(X, test))
    return evaluate(
        y[test],
        predicted,
        target=fold_fit.target,
        probabilities=proba,
        labels=fitted.classes_.tolist() if fold_fit.target == "class" else (),
        positive=fold_fit.positive,
    )


def by_metric(folds: Iterable[dict[str, float]]) -> dict[str, list[float]]:
    """Return the values of each metric on the folds where it is defined."""
    folds = list(folds)
    names = dict.fromkeys(name for metrics in folds for name in metrics)
    return {name: [metrics[name] for metrics in folds if name in metrics] for name in names}
