"""Config, data and model files, by the names that the assignment gives them."""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from artifact_pipeline import load_config, load_data, load_model, save_model

__all__ = ["load_config", "load_data", "load_digits_data", "load_model", "save_model"]

CONFIG = Path(__file__).resolve().parents[1] / "config" / "config.json"


def load_digits_data(config: dict[str, Any] | None = None) -> tuple[Any, Any, Any, Any]:
    """Return X_train, X_test, y_train, y_test of the digits; without a config, split by the file.

    X are (n_rows, 64) float64, y are (n_rows,) int64.
    """
    return load_data(load_config(CONFIG) if config is None else config)
