"""What in a table may give the answer away: a warning, since only its owner can know."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from artifact_pipeline.builder.config.messages import show
from artifact_pipeline.builder.data.dataset import Rows, Target
from artifact_pipeline.builder.data.split import TrainTestSplit

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

MIN_ROWS = 20
"""Rows below which anything may look like anything."""
MONOTONE = 0.999
"""The rank correlation from which a feature is likely to be a function of the target."""
FEW = 10
"""Distinct values below which ranks are mostly ties, so that they have to agree in each."""
SAMPLE = 20_000
"""How many rows are ranked; of a larger table a seeded sample."""


def find(rows: Rows, parts: TrainTestSplit) -> list[str]:
    """Return a sentence for each likely leak: a feature that alone gives the target, an id among
    the features, rows that are both in training and held out."""
    if not hasattr(rows.X, "columns"):
        return []
    said, kinds = [], rows.columns() or {}
    if len(rows.y) >= MIN_ROWS:
        for name in rows.feature_names:
            values = rows.X[name].to_numpy()
            # The days of a series follow one another as well.
            if kinds.get(name) != "date" and is_id(values):
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
    """Return whether a feature alone gives the target."""
    import numpy as np

    if target == "number":
        return values.dtype.kind != "O" and _is_monotone(values, y)
    _, value = np.unique(values, return_inverse=True)
    labels, label = np.unique(y, return_inverse=True)
    if value.max() and 2 * (value.max() + 1) <= len(y):
        pairs = np.unique(value * len(labels) + label)
        return bool(len(pairs) == value.max() + 1)
    return values.dtype.kind != "O" and _separates(values, label, len(labels))


def _is_monotone(values: NDArray[Any], y: NDArray[Any]) -> bool:
    """Return whether numbers rise or fall with the target, such as the logarithm of it.

    Spearman's rank correlation, over the rows that have a value.
    """
    import numpy as np
    from scipy.stats import rankdata

    known = np.flatnonzero(~np.isnan(values))
    if len(known) > SAMPLE:
        known = np.random.default_rng(0).choice(known, SAMPLE, replace=False)
    x, of = values[known], y[known]
    distinct = min(len(np.unique(x)), len(np.unique(of)))
    if len(known) < MIN_ROWS or distinct < 2:
        return False
    least = MONOTONE if distinct >= FEW else 1 - 1e-9
    return bool(abs(np.corrcoef(rankdata(x), rankdata(of))[0, 1]) >= least)


def _separates(values: NDArray[Any], label: NDArray[Any], classes: int) -> bool:
    """Return whether each class has a range of its own, as with an area under the curve of 1."""
    import numpy as np

    known = ~np.isnan(values)
    values, label = values[known], label[known]
    if len(values) < MIN_ROWS or len(np.unique(label)) < classes:
        return False
    bounds = sorted(
        (values[label == one].min(), values[label == one].max()) for one in range(classes)
    )
    return all(upper < lower for (_, upper), (lower, _) in itertools.pairwise(bounds))


def _in_both(train: pd.DataFrame, test: pd.DataFrame) -> int:
    import numpy as np
    from pandas.util import hash_pandas_object

    seen = hash_pandas_object(train, index=False).to_numpy()
    return int(np.isin(hash_pandas_object(test, index=False).to_numpy(), seen).sum())
