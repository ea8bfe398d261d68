"""Config, data and model files, by the names that the assignment gives them."""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from artifact_pipeline import load_config, load_data, load_model, save_model

__all__ = ["load_config", "load_data", "load_digits_data", "load_model", "save_model"]

CONFIG = Path(__file__).resolve().parents[1] / "config" / "config.json"


def load_digits_data(
    config: dict[str, Any] | None = None,
    test_size: float | None = None,
    random_state: int | None = None,
) -> tuple[Any, Any, Any, Any]:
    """Return X_train, X_test, y_train, y_test of the digits.

    The file config/config.json says how they are split, or `config` in its place; `test_size` (the
    share of rows held out) and `random_state` override it. X are (n_rows, 64) float64, y are
    (n_rows,) int64.
    """
    values = load_config(CONFIG) if config is None else config
    asked = {"test_size": test_size, "random_state": random_state}
    changed = {name: value for name, value in asked.items() if value is not None}
    if "model" in values:  # the config's full form
        return load_data({**values, "split": {**values.get("split", {}), **changed}})
    return load_data({**values, **changed})
