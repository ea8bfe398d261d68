"""What in a table may give the answer away: a warning, since only its owner can know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from artifact_pipeline.data import Rows, Target
from artifact_pipeline.explain import show
from artifact_pipeline.splitting import Parts

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

LEAST = 20
"""Rows below which anything may look like anything."""
CORRELATED = 0.9999


def find(rows: Rows, parts: Parts) -> list[str]:
    """Return a sentence for each likely leak: a feature that alone gives the target, an id among
    the features, rows that are both in training and held out."""
    if not hasattr(rows.X, "columns"):
        return []
    said = []
    if len(rows.y) >= LEAST:
        for name in rows.feature_names:
            values = rows.X[name].to_numpy()
            if is_id(values):
                said.append(
                    f"the feature {show(name)} has another value in each row, like an id; name it "
                    "in data.id or data.drop unless it means something"
                )
            elif _gives(values, rows.y, rows.target):
                said.append(
                    f"the feature {show(name)} alone gives the target; would it be known at the "
                    "time of a prediction?"
                )
    if both := _in_both(parts.X_train, parts.X_test):
        said.append(
            f"{both} of {len(parts.y_test)} held-out rows have the features of a training row, so "
            "the held-out figures flatter; a split by group may keep them on one side"
        )
    return said


def is_id(values: NDArray[Any]) -> bool:
    """Texts without a space that never repeat, or integers that count without a gap."""
    import numpy as np

    if values.dtype.kind == "O":
        return len(set(values)) == len(values) and not any(" " in one for one in values)
    if np.isnan(values).any() or (values != np.floor(values)).any():
        return False
    return bool(len(np.unique(values)) == len(values) == values.max() - values.min() + 1)


def _gives(values: NDArray[Any], y: NDArray[Any], target: Target) -> bool:
    import numpy as np

    if target == "number":
        if values.dtype.kind == "O" or np.isnan(values).any() or np.ptp(values) == 0:
            return False
        return bool(abs(np.corrcoef(values, y)[0, 1]) >= CORRELATED)
    _, value = np.unique(values, return_inverse=True)
    labels, label = np.unique(y, return_inverse=True)
    if value.max() and 2 * (value.max() + 1) <= len(y):
        pairs = np.unique(value * len(labels) + label)
        return bool(len(pairs) == value.max() + 1)
    if values.dtype.kind == "O" or len(labels) != 2 or np.isnan(values).any():
        return False
    first, second = values[label == 0], values[label == 1]
    return bool(first.max() < second.min() or second.max() < first.min())


def _in_both(train: pd.DataFrame, test: pd.DataFrame) -> int:
    import numpy as np
    from pandas.util import hash_pandas_object

    seen = hash_pandas_object(train, index=False).to_numpy()
    return int(np.isin(hash_pandas_object(test, index=False).to_numpy(), seen).sum())
