"""The assignment's functions: load, train and evaluate in this process."""

from __future__ import annotations

from typing import Any

from artifact_pipeline.builder.config import loader as configs
from artifact_pipeline.builder.config.loader import SHORT_KEYS
from artifact_pipeline.builder.config.messages import nearest, show
from artifact_pipeline.builder.config.resolved import ModelConfig
from artifact_pipeline.builder.data.loader import load
from artifact_pipeline.builder.data.split import split
from artifact_pipeline.builder.evaluation.metrics import evaluate
from artifact_pipeline.builder.model.construction import build, resolve, target_type
from artifact_pipeline.builder.model.fit import fit
from artifact_pipeline.errors import ConfigError


def evaluate_model(model: Any, X: Any, y: Any) -> dict[str, float]:
    """Return the metrics of a fitted estimator on X (n_rows, n_features) and y (n_rows,)."""
    from sklearn.base import is_regressor

    from artifact_pipeline.builder.model.estimators import as_labels, predict_with_proba

    predicted, proba = predict_with_proba(model, X)
    if is_regressor(model):
        return evaluate(y, predicted, "number")
    return evaluate(y, predicted, "class", proba, as_labels(model.classes_).tolist())


def train_model(X: Any, y: Any, config: dict[str, Any]) -> Any:
    """Return the estimator that a config's values describe, fitted to X and y in this process.

    A short form gives a LogisticRegression; keys that the fit does not need may be missing.
    """
    if "model" in config:
        full = configs.parse(config, "config")
        rows = load(full.data, full.split, target_type(full.model))
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
        model = ModelConfig(estimator="sklearn.linear_model.LogisticRegression", params=params)
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
    parts = split(load(full.data, full.split, target_type(full.model)), full.split)
    return parts.X_train, parts.X_test, parts.y_train, parts.y_test
