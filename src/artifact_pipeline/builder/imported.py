"""Recipe, rows and checks of a model that was fitted elsewhere."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from artifact_pipeline._version import __version__
from artifact_pipeline.builder import canonical, recipe
from artifact_pipeline.builder.artifact import manifest as manifests
from artifact_pipeline.builder.artifact import seal as sealing
from artifact_pipeline.builder.artifact.manifest import Label
from artifact_pipeline.builder.config.messages import sentence
from artifact_pipeline.builder.config.resolved import ModelConfig
from artifact_pipeline.builder.config.schema import Kind
from artifact_pipeline.builder.data import frames
from artifact_pipeline.builder.data.dataset import ColumnRole, Description, Schema, Target, batch
from artifact_pipeline.builder.evaluation import edge_cases
from artifact_pipeline.builder.evaluation.evaluate import observe
from artifact_pipeline.builder.evaluation.metrics import evaluate
from artifact_pipeline.builder.formats import parity, pickle_format
from artifact_pipeline.builder.formats.base import Batch, Outputs
from artifact_pipeline.builder.model.estimators import (
    as_labels,
    boosters_of,
    decision_scores,
    parts_of,
    predict_with_proba,
)
from artifact_pipeline.builder.model.fit import estimator_errors
from artifact_pipeline.builder.model.parameters import check_fitted
from artifact_pipeline.builder.recipe import ImportedFrom, Recipe
from artifact_pipeline.builder.training.protocol import pack
from artifact_pipeline.errors import CallError, ConfigError, DataError, Location

if TYPE_CHECKING:
    from numpy.typing import NDArray

_KINDS: dict[str, Kind] = {"b": "boolean", "i": "number", "u": "number", "f": "number", "M": "date"}


MARKER = "\ue000missing"
"""The category that stands for a missing text: private use, so that no text is like it."""
MAX_TRIED = 1000
"""How many texts are tried for what may stand for a missing one."""


def build_imported(
    estimator: Any, X: Any, y: Any, *, positive: Label | None, examples: int
) -> tuple[dict[str, bytes], manifests.Metrics]:
    """Return the files of an artifact of a fitted estimator, and its metrics on these rows.

    Arguments and errors are those of `seal`.
    """
    import numpy as np

    estimator = _best(estimator)
    target = _target(estimator)
    _check_parameters(estimator)
    labels = _labels(estimator) if target == "class" else []
    names = [str(label) for label in labels]
    X = _with_names(X)
    kinds, rows = _rows(X)
    truth = _truth(y, len(rows), labels)
    with estimator_errors("predict", Location("estimator")):
        taken = X if kinds else rows
        given = Outputs(*predict_with_proba(estimator, taken), decision_scores(estimator, taken))
    if given.predicted.shape != truth.shape:
        raise CallError(
            f"predicts {given.predicted.shape[1:]} values for a row, expected one; seal a model "
            "of each target",
            where="estimator",
        )
    marked = _with_marker(estimator) if kinds else estimator
    served = _Served(marked, _missing_texts(estimator, marked, X, rows, kinds))
    found = _as_served(served, rows, given)
    proven = batch(served.mapped(rows))
    features = list(kinds) if kinds else _features(estimator, rows)
    edges = _edges(served, rows, list(kinds.values()))
    candidates = parity.candidates(marked, proven)
    data = pickle_format.dump(estimator)
    described = _description(proven, truth, kinds, features, target, positive)
    made = _recipe(estimator, data, described)
    form, model, proof = parity.prove(candidates, proven, found, "estimator", edges, recipe=made)
    # What it learned from is not known here, so no categories are listed.
    plain = [
        manifests.ColumnSpec(
            name, kind, False, False, None, missing_text=served.texts.get(name, UNSET)
        )
        for name, kind in kinds.items()
    ]
    columns = parity.taken(plain, proof, edges) if kinds else UNSET
    index = np.arange(len(truth))
    sealed = proof.outputs
    test = evaluate(truth, sealed.predicted, target, sealed.probabilities, labels, positive)
    metrics = manifests.Metrics(test=test)
    files = sealing.seal(
        made,
        manifests.SplitSummary(
            manifests.RowCounts(0, len(truth)), canonical.digest(index.astype("<i8").tobytes())
        ),
        metrics,
        parity.interface(
            form,
            proven,
            features,
            labels,
            names,
            found,
            None,
            columns,
            UNSET if kinds else parity.limits(proof, edges),
        ),
        proof.parity,
        observe(served, rows, truth, index, names, target, examples),
        model,
        data,
    )
    return files, metrics


def _target(estimator: Any) -> Target:
    from sklearn.base import is_classifier, is_regressor
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(estimator)
    except (NotFittedError, TypeError) as error:
        raise CallError("expected a fitted scikit-learn estimator", where="estimator") from error
    if is_classifier(estimator):
        return "class"
    if is_regressor(estimator):
        return "number"
    raise CallError("expected a classifier or a regressor", where="estimator")


def _check_parameters(estimator: Any) -> None:
    for part in parts_of(estimator):
        if why := check_fitted(part.get_params(deep=False)):
            name = type(part).__name__
            raise CallError(f"its {name} {why}; fit it without", where="estimator")


def _with_names(X: Any) -> Any:
    """Return a DataFrame whose columns are called by texts, or anything else as it is.

    An estimator that was fitted to columns with other names knows them by their places.
    """
    if not hasattr(X, "set_axis") or all(isinstance(name, str) for name in X.columns):
        return X
    return X.set_axis([str(name) for name in X.columns], axis=1)


def _rows(X: Any) -> tuple[dict[str, Kind], Any]:
    """Return the columns of a DataFrame, none of an array, and X as a served model takes it."""
    import numpy as np

    if hasattr(X, "toarray"):  # scipy's sparse matrices
        X = X.toarray()
    if not hasattr(X, "columns"):
        try:
            matrix = np.asarray(X, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(f"is no matrix of numbers: {error}", where="X") from error
        if matrix.ndim != 2 or not matrix.size:
            raise DataError(f"has the shape {matrix.shape}, expected (rows, features)", where="X")
        if not np.isfinite(matrix).all():
            row, column = np.argwhere(~np.isfinite(matrix))[0]
            raise DataError(
                f"found {matrix[row, column]} in column {column}, and the rows of a matrix are "
                "finite numbers; a DataFrame may miss values",
                where=f"X, row {row + 1}",
            )
        return {}, matrix
    kinds: dict[str, Kind] = {str(name): _kind(X, name) for name in X.columns}
    if not kinds:
        raise DataError(f"has the shape {X.shape}, expected (rows, features)", where="X")
    given = frames.columns_of(X, list(kinds.items()))
    return kinds, frames.frame(dict(zip(kinds, given, strict=True)))


def _kind(X: Any, name: Any) -> Kind:
    dtype: Any = getattr(X[name], "dtype", None)
    kind = dtype.kind if hasattr(dtype, "na_value") else frames.values_of(X[name]).dtype.kind
    return "text" if kind == "O" else _KINDS.get(kind, "text")


def _best(estimator: Any) -> Any:
    """Return an estimator, of a search the best one that it found."""
    from sklearn.model_selection._search import BaseSearchCV

    if not isinstance(estimator, BaseSearchCV):
        return estimator
    if not hasattr(estimator, "best_estimator_"):
        said = "has no best estimator; expected a fitted search with refit=True"
        raise CallError(said, where="estimator")
    return estimator.best_estimator_


def _labels(estimator: Any) -> list[Label]:
    classes = getattr(estimator, "classes_", None)
    if not hasattr(classes, "dtype"):
        several = isinstance(classes, list)
        said = "predicts several targets, expected one" if several else "has no classes_"
        raise CallError(said, where="estimator")
    labels = as_labels(classes)
    if labels.dtype.kind not in "biuU":
        said = f"its labels are {labels.dtype}, expected text, booleans or integers"
        raise CallError(said, where="estimator")
    found: list[Label] = labels.tolist()
    return found


def _truth(y: Any, rows: int, labels: list[Label]) -> NDArray[Any]:
    """Return the true labels, each as the estimator has it, or else float64 numbers: (n_rows,)."""
    import numpy as np

    given = frames.values_of(y)
    truth = given[:, 0] if given.ndim == 2 and given.shape[1] == 1 else given
    if truth.shape != (rows,):
        raise DataError(f"has the shape {given.shape}, expected ({rows},)", where="y")
    if labels:
        known: dict[Any, Label] = {label: label for label in labels}
        for index, value in enumerate(truth.tolist()):
            if value not in known:
                names = ", ".join(map(str, labels))
                raise DataError(
                    f"holds {value!r} in row {index + 1}, and the estimator knows {names}",
                    where="y",
                )
        return np.array([known[value] for value in truth.tolist()])
    if rows < 2:
        raise DataError("holds one number, and R² needs two", where="y")
    try:
        numbers = truth.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"does not hold numbers: {error}", where="y") from error
    if not np.isfinite(numbers).all():
        raise DataError("holds a number that is not finite", where="y")
    return numbers


def _features(estimator: Any, matrix: Any) -> list[str]:
    known = getattr(estimator, "feature_names_in_", None)
    return (
        [str(one) for one in known]
        if known is not None
        else [f"x{index}" for index in range(matrix.shape[1])]
    )


class _Served:
    """An estimator that is given rows as they will be served: a missing text is empty."""

    def __init__(self, estimator: Any, texts: dict[str, str | None]) -> None:
        self.estimator = estimator
        self.texts = {name: text for name, text in texts.items() if text is not None}
        """What stands for a missing text, where that is not the empty one."""
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
            ValueError: for a missing text that no text stands for.
        """
        found = X.copy() if self.texts else X
        for name, text in self.texts.items():
            found[name] = found[name].where(found[name] != "", text).astype(object)
        for name in self._unknown:
            if (found[name] == "").any():
                raise ValueError(f"no text stands for a missing {name!r}")
        return found


def _with_marker(estimator: Any) -> Any:
    """Return an estimator whose encoders know a missing text as a category of its own by `MARKER`;
    a graph has no missing text."""
    import numpy as np

    def marked(categories: Any) -> Any:
        known = np.asarray(categories)
        if known.dtype != object or not any(isinstance(one, str) for one in known):
            return categories
        texts = [one if isinstance(one, str) else MARKER for one in known]
        return np.array(texts, dtype=object)

    found = copy.deepcopy(estimator)
    for part in parts_of(found):
        if isinstance(categories := getattr(part, "categories_", None), list):
            part.categories_ = [marked(one) for one in categories]
    return found


def _missing_texts(
    estimator: Any, marked: Any, X: Any, rows: Any, kinds: dict[str, Kind]
) -> dict[str, str | None]:
    """Return what stands for a missing text in each column where the estimator takes a missing
    text for something else than the empty one: a text that it answers alike, or None."""
    import pandas as pd

    found: dict[str, str | None] = {}
    for name in (name for name, kind in kinds.items() if kind == "text"):
        missing = X.copy()
        absent = X[name][X[name].isna()]
        marker = absent.iloc[0] if len(absent) else float("nan")
        missing[name] = pd.Series([marker] * len(X), index=X.index, dtype=object)
        try:
            expected = Outputs(*edge_cases.outputs_of(estimator, missing))
        except Exception:  # noqa: BLE001  (it refuses a missing text: an empty one is a text)
            continue
        seen = rows[name].value_counts().index.tolist()
        for text in ["", MARKER, *(text for text in seen if text != "")][:MAX_TRIED]:
            replaced = missing.copy()
            replaced[name] = [text] * len(X)
            try:
                same = _same(Outputs(*edge_cases.outputs_of(marked, replaced)), expected)
            except Exception:  # noqa: BLE001  (it refuses the empty text)
                same = False
            if same:
                found |= {} if text == "" else {name: text}
                break
        else:
            found[name] = None
    return found


def _same(a: Outputs, b: Outputs) -> bool:
    import numpy as np

    if (a.predicted != b.predicted).any():
        return False
    pairs = ((a.probabilities, b.probabilities), (a.scores, b.scores))
    return all(
        left is None or right is None or np.allclose(left, right, rtol=1e-12, atol=1e-12)
        for left, right in pairs
    )


def _as_served(served: _Served, rows: Any, given: Outputs) -> Outputs:
    """Return what an estimator says of rows as they will be served.

    Raises:
        ConfigError: if that is not what it says of them as they are given.
    """
    import numpy as np

    remedy = "fill missing texts before it is fitted, or give them a text of their own"
    try:
        found = Outputs(*edge_cases.outputs_of(served, rows))
    except Exception as error:  # an estimator may raise anything
        raise ConfigError(
            f"it does not take these rows as they would be served, with missing texts empty "
            f"({sentence(str(error))[:150]}); {remedy}",
            where="estimator",
        ) from error
    other = np.flatnonzero(found.predicted != given.predicted)
    if not len(other) and found.probabilities is not None and given.probabilities is not None:
        apart = np.abs(found.probabilities - given.probabilities).max(axis=1)
        other = np.flatnonzero(~(apart <= 1e-9))
    if len(other):
        raise ConfigError(
            f"it answers row {other[0] + 1} otherwise when it is given as it would be served, "
            f"numbers as float64 and missing texts empty; {remedy}",
            where="estimator",
        )
    return found


def _edges(served: _Served, rows: Any, kinds: list[Kind]) -> parity.Edges:
    cases = edge_cases.make(served.estimator, rows, rows, kinds or None)
    found = edge_cases.answer(served, cases)
    return parity.Edges(
        rows=batch(served.mapped(found.rows)),
        outputs=Outputs(*found.outputs),
        kinds=found.kinds,
        flaws=found.flaws,
        columns=found.columns,
        refused=found.refused,
        made=found.made,
        lowercase=found.lowercase,
    )


def _description(
    rows: Batch,
    truth: NDArray[Any],
    kinds: dict[str, Kind],
    features: list[str],
    target: Target,
    positive: Label | None,
) -> Description:
    """Return what a recipe says of rows that were given: the digest of their values."""
    content = pack("rows", rows, Outputs(truth.astype(str), None))
    digest = canonical.digest(
        canonical.encode({name: canonical.digest(one) for name, one in content.items()})
    )
    columns = [ColumnRole(name=name, role="feature", kind=kind) for name, kind in kinds.items()]
    dtype = "mixed" if "text" in kinds.values() else "float64"
    schema = Schema(
        dtype=dtype,
        features=len(features),
        rows=len(truth),
        target=target,
        columns=columns or None,
    )
    return Description(digest=digest, schema=schema, positive=positive)


def _recipe(estimator: Any, data: bytes, rows: Description) -> Recipe:
    kind = type(estimator)
    steps = getattr(estimator, "steps", None)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if steps:
        name = " → ".join(type(one).__name__ for _, one in steps)
    return recipe.make_imported(
        ModelConfig(estimator=name, params={}),
        rows,
        imported_from=ImportedFrom(f"artifact-pipeline {__version__}", canonical.digest(data)),
        boosters=boosters_of(estimator),
    )
