"""What a fitted estimator takes beside what it learned from: a missing number, an unseen text.

Each is tried on a held-out row, so that rows can be checked before they are predicted; and what
is taken is kept as an edge, on which an open form must agree with the estimator, too.

>>> import numpy as np
>>> import pandas as pd
>>> from sklearn.ensemble import HistGradientBoostingClassifier
>>> X = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0]})
>>> probe(HistGradientBoostingClassifier().fit(X, [0, 0, 1, 1]), X, ["number"]).nullable
[True]
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from artifact_pipeline.settings import Kind

if TYPE_CHECKING:
    import pandas as pd

ODD = "Ünseen é 日本 x 1"
"""A text that nothing was learned from, with letters and words of many kinds."""
MAX_EDGES = 200


class Probe(NamedTuple):
    """What an estimator takes, column by column, and the rows that showed it."""

    nullable: list[bool]
    """Whether it predicts a row that misses a value there."""
    unseen: list[bool]
    """Whether it predicts a row with a text that it did not learn from."""
    edges: pd.DataFrame
    """The rows that it predicted, `MAX_EDGES` at the most."""


def probe(estimator: Any, X: pd.DataFrame, kinds: Sequence[Kind]) -> Probe:
    """Return what `estimator` takes in each column of X, tried on its first row."""
    import pandas as pd

    taken: list[Any] = []

    def takes(column: int, value: Any) -> bool:
        row = X.iloc[[0]].copy()
        row.isetitem(column, pd.Series([value], index=row.index, dtype=X.dtypes.iloc[column]))
        try:
            with warnings.catch_warnings(action="ignore"):
                estimator.predict(row)
        except Exception:  # noqa: BLE001  (an estimator may raise anything: then it does not)
            return False
        taken.append(row)
        return True

    nullable = [takes(i, "" if kind == "text" else float("nan")) for i, kind in enumerate(kinds)]
    unseen = [kind == "text" and takes(i, ODD) for i, kind in enumerate(kinds)]
    edges = pd.concat(taken[:MAX_EDGES], ignore_index=True) if taken else X.iloc[:0]
    return Probe(nullable, unseen, edges)
