"""Rows and an estimator make a fitted estimator.

>>> from artifact_pipeline.builder.model.construction import build
>>> from artifact_pipeline.builder.config.resolved import ModelConfig
>>> tree = build(ModelConfig(estimator="sklearn.tree.DecisionTreeClassifier"))
>>> fitted = fit(tree, [[0], [1], [2]], [0, 0, 1])
>>> fitted.estimator.predict([[2]]), fitted.warnings
(array([1]), ())
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from artifact_pipeline.builder.config.messages import sentence
from artifact_pipeline.builder.model.estimators import parts_of
from artifact_pipeline.errors import ConfigError, PipelineError

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


class Fitted(NamedTuple):
    """An estimator that has learned, and what it warned of, each as a sentence."""

    estimator: BaseEstimator
    warnings: tuple[str, ...]


def fit(estimator: Any, X: Any, y: Any, n_jobs: int | None = None, where: str = "model") -> Fitted:
    """Return `estimator` fitted to X (n_rows, n_features), array or DataFrame, and y (n_rows,).

    Raises:
        ConfigError: if the estimator refuses its parameters together, or these rows.
    """
    from joblib import parallel_config

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with estimator_errors("fit it", where), parallel_config(n_jobs=n_jobs):
            estimator.fit(X, y)
    _measure_distances_exactly(estimator)
    return Fitted(estimator, tuple(dict.fromkeys(_warning(w, estimator) for w in caught)))


def _measure_distances_exactly(estimator: Any) -> None:
    """Let neighbors that are found by trying all rows be told apart by their differences.

    Under the name `euclidean` scikit-learn computes distances from products of matrices, whose last
    bits depend on BLAS and on the other rows: of two neighbors at one distance it would choose
    another on another machine.
    """
    for part in parts_of(estimator):
        brute = getattr(part, "_fit_method", None) == "brute"
        if brute and getattr(part, "effective_metric_", None) == "euclidean":
            part.effective_metric_, part.effective_metric_params_ = "minkowski", {"p": 2}


@contextmanager
def estimator_errors(what: str, where: str) -> Iterator[None]:
    """Say what an estimator raises as a ConfigError: that scikit-learn cannot do `what`."""
    try:
        yield
    except PipelineError:  # which says what it is
        raise
    except Exception as error:  # an estimator may raise anything; the user is told what
        said = sentence(str(error)) or type(error).__name__
        raise ConfigError(f"scikit-learn cannot {what}: {said}", where=where) from error


def _warning(caught: warnings.WarningMessage, estimator: Any) -> str:
    from sklearn.exceptions import ConvergenceWarning

    if issubclass(caught.category, ConvergenceWarning):
        limits = [
            f"{step.__class__.__name__} did not converge within max_iter={step.max_iter}"
            for step in _steps(estimator)
            if hasattr(step, "max_iter")
        ]
        name = limits[-1] if limits else f"{estimator.__class__.__name__} did not converge"
        return f"{name}; raise max_iter, or scale the features."
    return f"{caught.category.__name__}: {sentence(str(caught.message))}"


def _steps(estimator: Any) -> Iterator[Any]:
    if hasattr(estimator, "steps"):
        for _, step in estimator.steps:
            yield from _steps(step)
    else:
        yield estimator
