"""Warnings about features that may leak the target. Only the owner of the data can decide."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from artifact_pipeline.builder.config.messages import show
from artifact_pipeline.builder.data.dataset import Rows, Target, sample_index
from artifact_pipeline.builder.data.split import TrainTestSplit

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

MIN_ROWS = 20
"""With fewer rows, any feature may seem to give the target."""
MIN_CORRELATION = 0.999
"""The rank correlation from which a feature is probably a function of the target."""
FEW_VALUES = 10
"""With fewer distinct values most ranks are ties, so all of them must agree."""
SAMPLE_ROWS = 20_000
"""The number of rows to rank, or to look at first; of a larger table, a seeded sample."""


def find(rows: Rows, parts: TrainTestSplit) -> list[str]:
    """Return a sentence for each likely leak.

    A leak is a feature that gives the target on its own, an id among the features, or a held-out
    row with the features of a training row. A matrix is not checked.
    """
    if not hasattr(rows.X, "columns"):
        return []
    warnings, kinds = [], rows.columns() or {}
    if len(rows.y) >= MIN_ROWS:
        sample = sample_index(len(rows.y), SAMPLE_ROWS)
        for name in rows.feature_names:
            values = rows.X[name].to_numpy()
            # Few features pass on a sample, and these are checked on all rows.
            may_give_target = rows.target == "number" or _may_give_class(
                values[sample], rows.y[sample]
            )
            if may_give_target and _gives_target(values, rows.y, target=rows.target):
                warnings.append(
                    f"the feature {show(name)} gives the target on its own; is it known when a "
                    "prediction is made?"
                )
            # The dates of a time series are consecutive as well.
            elif kinds.get(name) != "date" and is_id(values):
                warnings.append(
                    f"the feature {show(name)} has a different value in each row, like an id; "
                    "name it in data.id or data.drop unless it is meaningful"
                )
    if shared := _count_shared(parts.X_train, parts.X_test):
        warnings.append(
            f"{shared} of {len(parts.y_test)} held-out rows have the features of a training row, "
            "so the held-out metrics are too good; a split by group can keep such rows on one side"
        )
    return warnings


def is_id(values: NDArray[Any]) -> bool:
    """Return whether values look like ids.

    These are texts without a space that never repeat, and consecutive integers.

    Args:
        values: (n_rows,) objects or float64.
    """
    import numpy as np

    count = len(values)
    if values.dtype.kind == "O":
        if len(set(values[:SAMPLE_ROWS])) < min(count, SAMPLE_ROWS):
            return False
        return len(set(values)) == count and not any(" " in text for text in values)
    # A missing number makes the range NaN.
    if values.max() - values.min() + 1 != count or (values != np.floor(values)).any():
        return False
    return len(np.unique(values)) == count


def _may_give_class(values: NDArray[Any], y: NDArray[Any]) -> bool:
    """Return whether a feature may give the class in all rows, judging by a sample of them.

    It does not if a value has several classes. If no value repeats, the classes must differ in
    their ranges, or in having a value.

    Args:
        values: (n_sample,) objects or float64.
        y: (n_sample,) labels.
    """
    import numpy as np
    import pandas as pd

    labels, names = pd.factorize(y)
    known = values != "" if values.dtype.kind == "O" else ~np.isnan(values)
    values, labels = values[known], labels[known]
    codes, distinct = pd.factorize(values)
    if len(np.unique(codes * len(names) + labels)) > len(distinct):
        return False
    if len(distinct) < len(values):
        return True
    return len(np.unique(labels)) < 2 if values.dtype.kind == "O" else _are_apart(values, labels)


def _gives_target(values: NDArray[Any], y: NDArray[Any], *, target: Target) -> bool:
    """Return whether a feature gives the target.

    Args:
        values: (n_rows,) objects or float64.
        y: (n_rows,) labels or numbers.
        target: Which of both.
    """
    import numpy as np
    import pandas as pd

    if target == "number":
        return values.dtype.kind != "O" and _is_monotone(values, y)
    # Hashing takes a fraction of the time that sorting a large column does.
    labels, names = pd.factorize(y)
    codes, distinct = pd.factorize(values, use_na_sentinel=False)
    if 1 < len(distinct) <= len(y) / 2:
        pairs = np.unique(codes * len(names) + labels)
        return len(pairs) == len(distinct)
    if _is_given_by_missing_values(values, labels):
        return True
    return values.dtype.kind != "O" and _separates(values, labels, classes=len(names))


def _is_monotone(values: NDArray[Any], y: NDArray[Any]) -> bool:
    """Return whether numbers rise or fall with the target, as its logarithm does.

    This is Spearman's rank correlation over the rows that have a value.
    """
    import numpy as np
    from scipy.stats import rankdata

    known = np.flatnonzero(~np.isnan(values))
    if len(known) > SAMPLE_ROWS:
        known = np.random.default_rng(0).choice(known, SAMPLE_ROWS, replace=False)
    x, y = values[known], y[known]
    distinct = min(len(np.unique(x)), len(np.unique(y)))
    if len(known) < MIN_ROWS or distinct < 2:
        return False
    minimum = MIN_CORRELATION if distinct >= FEW_VALUES else 1 - 1e-9
    return bool(abs(np.corrcoef(rankdata(x), rankdata(y))[0, 1]) >= minimum)


def _is_given_by_missing_values(values: NDArray[Any], label_codes: NDArray[Any]) -> bool:
    """Return whether the rows without a value are one class, and those with one the other."""
    import numpy as np

    missing = values == "" if values.dtype.kind == "O" else np.isnan(values)
    without, known = set(label_codes[missing].tolist()), set(label_codes[~missing].tolist())
    return len(without) == len(known) == 1 and without != known


def _separates(values: NDArray[Any], label_codes: NDArray[Any], *, classes: int) -> bool:
    """Return whether the ranges of the classes do not overlap, so that the ROC AUC is 1."""
    import numpy as np

    known = ~np.isnan(values)
    values, label_codes = values[known], label_codes[known]
    if len(values) < MIN_ROWS or len(np.unique(label_codes)) < classes:
        return False
    return _are_apart(values, label_codes)


def _are_apart(values: NDArray[Any], label_codes: NDArray[Any]) -> bool:
    """Return whether the ranges of the classes do not overlap."""
    import numpy as np

    ranges = sorted(
        (values[label_codes == code].min(), values[label_codes == code].max())
        for code in np.unique(label_codes)
    )
    return all(upper < lower for (_, upper), (lower, _) in itertools.pairwise(ranges))


def _count_shared(train: pd.DataFrame, test: pd.DataFrame) -> int:
    """Return how many test rows have the features of a training row."""
    from pandas.util import hash_pandas_object

    def hashes(rows: pd.DataFrame) -> pd.Series[Any]:
        return hash_pandas_object(rows, index=False)

    # Texts take longest, and few rows share the numbers.
    numbers = [name for name in train.columns if train[name].dtype.kind != "O"]
    if 0 < len(numbers) < len(train.columns):
        seen, wanted = hashes(train[numbers]), hashes(test[numbers])
        is_shared = wanted.isin(seen).to_numpy()
        train, test = train[seen.isin(wanted[is_shared]).to_numpy()], test[is_shared]
    return int(hashes(test).isin(hashes(train)).sum())
