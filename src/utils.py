"""Loading and saving configs, data and models, as the course assignment names it."""

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
    """Load and split the digits.

    Args:
        config: A config's values; by default those of config/config.json.
        test_size: The share of rows to hold out, in place of the config's.
        random_state: The seed of the split, in place of the config's.

    Returns:
        X_train, X_test, y_train and y_test. X are (n_rows, 64) float64, y are (n_rows,) int64.
    """
    values = load_config(CONFIG) if config is None else config
    arguments = {"test_size": test_size, "random_state": random_state}
    changed = {name: value for name, value in arguments.items() if value is not None}
    if "model" in values:  # the full form
        return load_data({**values, "split": {**values.get("split", {}), **changed}})
    return load_data({**values, **changed})
