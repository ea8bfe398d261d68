"""Rewriting of pipelines whose first steps are imputers and encoders of a mixed table.

A graph has no matrix of both numbers and text. These steps treat each column on its own, so the
same steps applied to one column each, in the same order, return the same features.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

_COLUMNWISE = (SimpleImputer, OneHotEncoder, OrdinalEncoder)


def split(estimator: Any, texts: list[bool]) -> Any | None:
    """Return the same fitted pipeline with a branch for each column in place of its first steps.

    Args:
        estimator: Any fitted estimator.
        texts: Whether each column is text.

    Returns:
        None for an estimator that does not begin with imputers and encoders of all columns.
    """
    steps = getattr(estimator, "steps", [])
    count = next(
        (at for at, (_, step) in enumerate(steps) if not isinstance(step, _COLUMNWISE)), len(steps)
    )
    first = [step for _, step in steps[:count]]
    if not first or count == len(steps) or not all(map(_is_plain, first)):
        return None
    columns = ColumnTransformer([], sparse_threshold=0.0)
    columns.transformers_ = []
    for at, text in enumerate(texts):
        parts = [(f"s{n}", _of_column(step, at, text=text)) for n, step in enumerate(first)]
        columns.transformers_.append((f"c{at}", Pipeline(parts), [at]))
    columns.n_features_in_, columns.sparse_output_ = len(texts), False
    return Pipeline([("columns", columns), *steps[count:]])


def _is_plain(part: Any) -> bool:
    """Return whether a step treats each column independently of the others."""
    if isinstance(part, SimpleImputer):
        return not (part.add_indicator or any(value != value for value in part.statistics_))
    infrequent = getattr(part, "_infrequent_enabled", False)
    return getattr(part, "drop", None) is None and not infrequent


def _of_column(part: Any, at: int, *, text: bool) -> Any:
    dtype = object if text else np.float64
    single = copy.copy(part)
    single.n_features_in_ = 1
    vars(single).pop("feature_names_in_", None)
    if isinstance(part, SimpleImputer):
        single.statistics_ = np.array([part.statistics_[at]], dtype=dtype)
        return single
    single.categories_ = [np.array(part.categories_[at].tolist(), dtype=dtype)]
    if isinstance(part, OneHotEncoder):
        single.drop_idx_ = single._drop_idx_after_grouping = None
        single._n_features_outs = [len(single.categories_[0])]
        single.sparse_output = False
    elif hasattr(part, "_missing_indices"):
        single._missing_indices = (
            {0: part._missing_indices[at]} if at in part._missing_indices else {}
        )
    return single
