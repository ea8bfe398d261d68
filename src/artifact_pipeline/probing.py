"""What a fitted estimator takes beside what it learned from: a missing number, an unseen text.

Each is tried on a held-out row, so that rows can be checked before they are predicted; and what
is taken is kept as an edge, on which an open form must agree with the estimator, too.

>>> import numpy as np
>>> import pandas as pd
>>> from sklearn.ensemble import HistGradientBoostingClassifier
>>> X = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0]})
>>> probe(HistGradientBoostingClassifier().fit(X, [0, 0, 1, 1]), X, ["number"]).edges
[Edge(column=0, what='nullable', needed=False)]
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from artifact_pipeline.settings import Kind

if TYPE_CHECKING:
    import pandas as pd

ODD = "Ünseen é 日本 x 1"
"""A text that nothing was learned from, with letters and words of many kinds."""
MAX_COLUMNS = 200
"""How many columns are tried; no other is taken without its value."""


class Edge(NamedTuple):
    """A row that an estimator takes although it lacks something in a column."""

    column: int
    what: Literal["nullable", "unseen"]
    """Whether the row misses the value there, or has a text that was not learned from."""
    needed: bool
    """Whether rows like it were learned from, so that an open form must take them, too."""


class Probe(NamedTuple):
    """The rows that an estimator took, and what each of them tries."""

    edges: list[Edge]
    rows: pd.DataFrame


def probe(estimator: Any, X: pd.DataFrame, kinds: Sequence[Kind], learned: Any = None) -> Probe:
    """Return what `estimator` takes in each column of X, tried on its first row.

    `learned` are the rows that it learned from, if they are known.
    """
    import pandas as pd

    edges: list[Edge] = []
    taken: list[Any] = []

    def attempt(column: int, what: Literal["nullable", "unseen"], value: Any, needed: bool) -> None:
        row = X.iloc[[0]].copy()
        row.isetitem(column, pd.Series([value], index=row.index, dtype=X.dtypes.iloc[column]))
        try:
            with warnings.catch_warnings(action="ignore"):
                estimator.predict(row)
        except Exception:  # noqa: BLE001  (an estimator may raise anything: then it does not)
            return
        taken.append(row)
        edges.append(Edge(column, what, needed))

    for index, kind in enumerate(kinds[:MAX_COLUMNS]):
        values = None if learned is None else learned.iloc[:, index]
        missing = "" if kind == "text" else float("nan")
        seen = values is not None and bool(
            (values == "").any() if kind == "text" else values.isna().any()
        )
        attempt(index, "nullable", missing, seen)
        if kind == "text":
            attempt(index, "unseen", ODD, False)
    return Probe(edges, pd.concat(taken, ignore_index=True) if taken else X.iloc[:0])
