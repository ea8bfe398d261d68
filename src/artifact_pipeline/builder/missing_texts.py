"""Missing texts of a model that was fitted elsewhere.

A served row has an empty text in their place. If the estimator's outputs then differ, it gets
another text that replaces missing ones, for which the outputs are the same.
"""

from __future__ import annotations

import copy
from typing import Any

from artifact_pipeline.builder.config.messages import sentence
from artifact_pipeline.builder.config.values import Kind
from artifact_pipeline.builder.evaluation import edge_answers
from artifact_pipeline.builder.formats.base import Outputs
from artifact_pipeline.builder.model.estimators import parts_of
from artifact_pipeline.errors import ConfigError, Location

_ESTIMATOR = Location("estimator")
MARKER = "\ue000missing"
"""The text that replaces a missing one in encoders and imputers. It begins with a character of
private use, so that no other text is equal to it."""
MAX_TRIED = 1000
"""Maximum texts to try as a replacement of missing ones."""


class ServedEstimator:
    """An estimator that takes rows as they are served, with missing texts empty.

    Attributes:
        texts: The text that replaces missing ones, by column, if it is not the empty text.
    """

    def __init__(self, estimator: Any, texts: dict[str, str | None]) -> None:
        self.estimator = estimator
        self.texts = {name: text for name, text in texts.items() if text is not None}
        self._unknown = [name for name, text in texts.items() if text is None]
        if hasattr(estimator, "predict_proba"):
            self.predict_proba = lambda X: estimator.predict_proba(self.mapped(X))
        if hasattr(estimator, "decision_function"):
            self.decision_function = lambda X: estimator.decision_function(self.mapped(X))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.estimator, name)

    def predict(self, X: Any) -> Any:
        return self.estimator.predict(self.mapped(X))

    def mapped(self, X: Any) -> Any:
        """Return rows as the estimator takes them.

        Raises:
            ValueError: For a missing text without a replacement.
        """
        rows = X.copy() if self.texts else X
        for name, text in self.texts.items():
            rows[name] = rows[name].where(rows[name] != "", text).astype(object)
        for name in self._unknown:
            if (rows[name] == "").any():
                raise ValueError(f"no text can replace a missing {name!r}")
        return rows


def with_marker(estimator: Any) -> Any:
    """Return a copy whose encoders and imputers of text treat `MARKER` as a missing text.

    A graph has no missing texts.
    """
    import numpy as np
    from sklearn.impute import SimpleImputer

    def marked_categories(categories: Any) -> Any:
        known = np.asarray(categories)
        if known.dtype != object or not any(isinstance(category, str) for category in known):
            return categories
        return np.array(
            [category if isinstance(category, str) else MARKER for category in known], dtype=object
        )

    marked = copy.deepcopy(estimator)
    for part in parts_of(marked):
        if isinstance(categories := getattr(part, "categories_", None), list):
            part.categories_ = [marked_categories(column) for column in categories]
        if isinstance(part, SimpleImputer) and _fills_texts(part):
            part.missing_values = MARKER
            if part.indicator_ is not None:
                part.indicator_.missing_values = MARKER
    return marked


def learned_empty_text(estimator: Any) -> bool:
    """Return whether an encoder or imputer in a fitted estimator knows the empty text."""
    for part in parts_of(estimator):
        if getattr(part, "missing_values", None) == "":
            return True
        categories = getattr(part, "categories_", None)
        if isinstance(categories, list) and any("" in column.tolist() for column in categories):
            return True
    return False


def _fills_texts(imputer: Any) -> bool:
    """Return whether a fitted imputer fills missing texts only."""
    missing = imputer.missing_values
    return not isinstance(missing, str) and all(
        isinstance(value, str) for value in getattr(imputer, "statistics_", [None])
    )


def find_texts(
    estimator: Any, marked: Any, *, X: Any, rows: Any, kinds: dict[str, Kind]
) -> dict[str, str | None]:
    """Return the text that replaces missing ones in each column of text.

    It is a text for which the estimator's outputs are the same, or None without one. A column is
    left out if the empty text is such a text, if it has empty texts but no missing ones, or if the
    estimator refuses its missing texts.
    """
    import pandas as pd

    texts: dict[str, str | None] = {}
    for name in (name for name, kind in kinds.items() if kind == "text"):
        missing = X.copy()
        absent = X[name][X[name].isna()]
        if not len(absent) and (X[name] == "").any():  # the given rows have empty texts
            continue
        marker = absent.iloc[0] if len(absent) else float("nan")
        missing[name] = pd.Series([marker] * len(X), index=X.index, dtype=object)
        try:
            expected = Outputs(*edge_answers.outputs_of(estimator, missing))
        except Exception:  # noqa: BLE001  (it refuses a missing text: an empty one is a text)
            continue
        seen = rows[name].value_counts().index.tolist()
        for text in ["", MARKER, *(text for text in seen if text != "")][:MAX_TRIED]:
            replaced = missing.copy()
            replaced[name] = [text] * len(X)
            try:
                same = _same(Outputs(*edge_answers.outputs_of(marked, replaced)), expected)
            except Exception:  # noqa: BLE001  (it refuses the empty text)
                same = False
            if same:
                texts |= {} if text == "" else {name: text}
                break
        else:
            texts[name] = None
    return texts


def _same(a: Outputs, b: Outputs) -> bool:
    import numpy as np

    if (a.predicted != b.predicted).any():
        return False
    pairs = ((a.probabilities, b.probabilities), (a.scores, b.scores))
    return all(
        left is None or right is None or np.allclose(left, right, rtol=1e-12, atol=1e-12)
        for left, right in pairs
    )


def outputs_as_served(served: ServedEstimator, rows: Any, *, direct: Outputs) -> Outputs:
    """Return the outputs for rows in their served form.

    Raises:
        ConfigError: If they differ from the outputs for the given rows.
    """
    import numpy as np

    remedy = "fill missing texts before it is fitted, or give them a text of their own"
    try:
        outputs = Outputs(*edge_answers.outputs_of(served, rows))
    except Exception as error:  # an estimator may raise anything
        raise ConfigError(
            "it rejects these rows as they would be served, with missing texts empty and "
            f"categories as text ({sentence(str(error))[:150]})",
            location=_ESTIMATOR,
            remedy=remedy + "; encode categories in a Pipeline",
        ) from error
    differs = outputs.predicted != direct.predicted
    if outputs.probabilities is not None and direct.probabilities is not None:
        distance = np.abs(outputs.probabilities - direct.probabilities).max(axis=1)
        differs |= ~(distance <= 1e-9)
    if differs.any():
        raise ConfigError(
            f"its prediction for row {np.flatnonzero(differs)[0] + 1} changes when the row is "
            "passed as it would be served, numbers as float64 and missing texts empty",
            location=_ESTIMATOR,
            remedy=remedy,
        )
    return outputs
