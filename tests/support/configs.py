"""The checkout, and configs that train quickly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SHORT = {"C": 1.0, "solver": "lbfgs", "max_iter": 1000, "random_state": 42, "test_size": 0.2}
FIXTURES = ROOT / "tests" / "fixtures"
FOREST = {
    "data": {"dataset": "iris"},
    "model": {
        "estimator": "sklearn.ensemble.RandomForestClassifier",
        "params": {"n_estimators": 9},
    },
}
# Naive Bayes fits fast, for tests of the pipeline rather than of the model.
QUICK = {
    "data": {"dataset": "iris"},
    "model": {"estimator": "sklearn.naive_bayes.GaussianNB", "params": {}},
}


def write(folder: Path, config: Any, name: str = "config.json") -> Path:
    """Write a config, or the text or bytes of one, and return its path."""
    path = folder / name
    if isinstance(config, bytes):
        path.write_bytes(config)
    else:
        path.write_text(config if isinstance(config, str) else json.dumps(config), "utf-8")
    return path
