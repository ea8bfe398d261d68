"""Rows and an estimator make a fitted estimator.

>>> from artifact_pipeline.assembly import build
>>> from artifact_pipeline.settings import Model
>>> tree = build(Model(estimator="sklearn.tree.DecisionTreeClassifier", params={"max_depth": 2}))
>>> fitted = fit(tree, [[0], [1], [2]], [0, 0, 1])
>>> fitted.estimator.predict([[2]]), fitted.warnings
(array([1]), ())
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from artifact_pipeline import config as configs
from artifact_pipeline.assembly import build, predicts, resolve
from artifact_pipeline.config import SHORT_KEYS
from artifact_pipeline.errors import ConfigError, PipelineError
from artifact_pipeline.explain import nearest, sentence, show
from artifact_pipeline.loading import load
from artifact_pipeline.settings import Model
from artifact_pipeline.splitting import split

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
        with asking("fit it", where), parallel_config(n_jobs=n_jobs):
            estimator.fit(X, y)
    return Fitted(estimator, tuple(dict.fromkeys(_warning(w, estimator) for w in caught)))


@contextmanager
def asking(what: str, where: str) -> Iterator[None]:
    """Say what an estimator raises as a ConfigError: that scikit-learn cannot do `what`."""
    try:
        yield
    except PipelineError:  # which says what it is
        raise
    except Exception as error:  # an estimator may raise anything; the user is told what
        said = sentence(str(error)) or type(error).__name__
        raise ConfigError(f"scikit-learn cannot {what}: {said}", where=where) from error


def train_model(X: Any, y: Any, config: dict[str, Any]) -> Any:
    """Return the estimator that a config's values describe, fitted to X and y in this process.

    A short form gives a LogisticRegression; keys that the fit does not need may be missing.
    """
    if "model" in config:
        full = configs.parse(config, "config")
        rows = load(full.data, full.split, predicts(full.model))
        resolved = resolve(
            full.model,
            full.split.random_state,
            target=rows.target,
            columns=rows.columns(),
            labels=rows.labels(),
        )
    else:
        for key in config:
            if key not in (*SHORT_KEYS, "gates"):
                hint = nearest(key, SHORT_KEYS)
                raise ConfigError(f"unknown key {show(key)}; {hint}", where="config")
        params = {k: v for k, v in config.items() if k not in ("test_size", "gates")}
        model = Model(estimator="sklearn.linear_model.LogisticRegression", params=params)
        resolved = resolve(model, params.get("random_state", 0))
    return fit(build(resolved), X, y).estimator


def load_data(config: dict[str, Any]) -> tuple[Any, Any, Any, Any]:
    """Return X_train, X_test, y_train, y_test of a config's values.

    X are (n_rows, n_features) float64, of a table DataFrames; y are (n_rows,) labels, or float64
    numbers. A path is relative to the working folder.

    Raises:
        ConfigError, DataError: as `load` and `split`, and for a config that is wrong.
    """
    full = configs.parse(config, "config")
    parts = split(load(full.data, full.split, predicts(full.model)), full.split)
    return parts.X_train, parts.X_test, parts.y_train, parts.y_test


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
