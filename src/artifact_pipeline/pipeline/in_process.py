"""Loading, training and evaluating in this process, as the course assignment names them."""

from __future__ import annotations

from typing import Any

from artifact_pipeline.builder.config import loader as configs
from artifact_pipeline.builder.config.loader import SHORT_KEYS
from artifact_pipeline.builder.config.messages import nearest, show
from artifact_pipeline.builder.config.resolved import ModelConfig
from artifact_pipeline.builder.data.loader import load
from artifact_pipeline.builder.data.split import split
from artifact_pipeline.builder.evaluation.metrics import evaluate
from artifact_pipeline.builder.model.construction import build, resolve, resolve_for, target_type
from artifact_pipeline.builder.model.fit import fit
from artifact_pipeline.errors import ConfigError, Location


def evaluate_model(model: Any, X: Any, y: Any) -> dict[str, float]:
    """Return the metrics of a fitted estimator on labelled rows.

    Args:
        model: A fitted scikit-learn classifier or regressor.
        X: The rows, (n_rows, n_features), as the estimator takes them.
        y: The true labels or numbers, (n_rows,).
    """
    from sklearn.base import is_regressor

    from artifact_pipeline.builder.model.estimators import as_labels, predict_with_proba

    predicted, probabilities = predict_with_proba(model, X)
    if is_regressor(model):
        return evaluate(y, predicted, target="number")
    labels = as_labels(model.classes_).tolist()
    return evaluate(y, predicted, probabilities=probabilities, labels=labels)


def train_model(X: Any, y: Any, config: dict[str, Any]) -> Any:
    """Fit the estimator of a config to X and y, in this process, and return it.

    Args:
        X: The rows, (n_rows, n_features).
        y: The labels or numbers, (n_rows,).
        config: A config's values. In the short form, keys that fitting does not need are optional.

    Raises:
        ConfigError: If the config is wrong, or the estimator rejects its parameters or the rows.
        DataError: If the data that a full form names cannot be loaded.
    """
    if "model" in config:
        full = configs.parse(config, "config")
        rows = load(full.data, full.split, target=target_type(full.model))
        resolved, _ = resolve_for(full.model, rows, random_state=full.split.random_state)
    else:
        for key in config:
            if key not in (*SHORT_KEYS, "gates"):
                raise ConfigError(
                    f"unknown key {show(key)}",
                    location=Location("config"),
                    remedy=nearest(key, SHORT_KEYS),
                )
        params = {k: v for k, v in config.items() if k not in ("test_size", "gates")}
        model = ModelConfig(estimator="sklearn.linear_model.LogisticRegression", params=params)
        resolved = resolve(model, params.get("random_state", 0))
    return fit(build(resolved), X, y).estimator


def load_data(config: dict[str, Any]) -> tuple[Any, Any, Any, Any]:
    """Load and split the data of a config.

    Args:
        config: A config's values; a path in it is relative to the working folder.

    Returns:
        X_train, X_test, y_train and y_test. X are (n_rows, n_features) float64, or DataFrames for
        a table; y are (n_rows,) labels, or float64 numbers.

    Raises:
        ConfigError: If the config is wrong.
        DataError: If the rows cannot be read or split.
    """
    full = configs.parse(config, "config")
    parts = split(load(full.data, full.split, target=target_type(full.model)), full.split)
    return parts.X_train, parts.X_test, parts.y_train, parts.y_test
