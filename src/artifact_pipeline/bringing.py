"""An estimator that was fitted elsewhere becomes a sealed artifact, measured and proven here.

    seal(estimator, X_test, y_test)

Everything works on it but making it again: its recipe says that it was brought, and by what.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, Struct, UnsetType

from artifact_pipeline import (
    __version__,
    canonical,
    checkout,
    loading,
    local_state,
    numerics,
    recipe,
)
from artifact_pipeline.artifact import manifest as manifests
from artifact_pipeline.artifact import seal as sealing
from artifact_pipeline.artifact.formats import parity, pickle
from artifact_pipeline.artifact.formats.form import Batch, Outputs
from artifact_pipeline.artifact.manifest import Label
from artifact_pipeline.artifact.open import verify
from artifact_pipeline.canonical import Digest
from artifact_pipeline.data import Column, Description, Schema, Target, batch
from artifact_pipeline.errors import CallError, DataError
from artifact_pipeline.estimators import outputs, parts_of
from artifact_pipeline.evaluation import evaluate
from artifact_pipeline.observation import observe
from artifact_pipeline.parameters import check_fitted
from artifact_pipeline.policy import Reference, trust_artifact
from artifact_pipeline.probing import probe
from artifact_pipeline.recipe import Brought, Recipe
from artifact_pipeline.settings import Data, Kind, Model
from artifact_pipeline.store import LATEST, Store
from artifact_pipeline.tables import checking
from artifact_pipeline.training import asking
from artifact_pipeline.wire import blobs

if TYPE_CHECKING:
    from numpy.typing import NDArray

_KINDS: dict[str, Kind] = {"b": "boolean", "i": "number", "u": "number", "f": "number", "M": "date"}


class Sealed(Struct, frozen=True):
    """An artifact of a model that was brought."""

    digest: Digest
    artifact: str
    """Its folder."""
    report: str
    metrics: manifests.Metrics


def seal(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    positive: Label | UnsetType = UNSET,
    examples: int = 0,
    store: Reference | None = None,
) -> Sealed:
    """Seal a fitted scikit-learn estimator, measured on held-out rows, and let `latest` name it.

    X is (n_rows, n_features) numbers, or a DataFrame of numbers, booleans, dates and text, as the
    estimator predicts them; y are the true labels or numbers. `positive` is the one of two labels
    that precision, recall and F1 speak of, `examples` how many rows the artifact shows.

    Raises:
        CallError: for what is no fitted classifier or regressor, or would open files for whoever
            uses it (`memory`, `input` other than content).
        DataError: for rows that it cannot be measured on.
        ConfigError: if it does not predict them, or has no open form that can be proven.
    """
    import numpy as np

    target = _target(estimator)
    _check_parameters(estimator)
    kinds, rows = _rows(X)
    truth = np.asarray(y)
    _check(truth, len(rows), target)
    with asking("predict with it", "estimator"):
        found = Outputs(*outputs(estimator, rows))
    labels = estimator.classes_.tolist() if target == "class" else []
    names = [str(label) for label in labels]
    if not set(truth.tolist()) <= set(labels) and target == "class":
        other = sorted(set(truth.tolist()) - set(labels), key=str)[0]
        raise DataError(f"holds {other!r}, and the estimator knows {', '.join(names)}", where="y")
    proven = batch(rows)
    features = list(kinds) if kinds else _features(estimator, rows)
    edges = _edges(estimator, rows, list(kinds.values()))
    candidates = parity.candidates(estimator, proven)
    data = pickle.dump(estimator)
    described = _description(proven, truth, kinds, features, target, positive)
    made = _recipe(estimator, data, described)
    form, model, proof = parity.prove(candidates, proven, found, "estimator", edges, recipe=made)
    # What it learned from is not known here, so no categories are listed.
    plain = [manifests.Column(name, kind, False, False, None) for name, kind in kinds.items()]
    columns = parity.taken(plain, proof, edges) if kinds else UNSET
    index = np.arange(len(truth))
    test = evaluate(truth, found.predicted, target, found.probabilities, labels, positive)
    metrics = manifests.Metrics(test=test)
    files = sealing.seal(
        made,
        manifests.SplitSummary(
            manifests.Parts(0, len(truth)), canonical.digest(index.astype("<i8").tobytes())
        ),
        metrics,
        parity.interface(form, proven, features, labels, names, found, None, columns),
        proof.parity,
        observe(estimator, rows, truth, index, names, target, examples),
        model,
        data,
    )
    return _keep(files, metrics, Store(store))


def seal_pickle(
    path: str | os.PathLike[str],
    digest: Digest,
    data: str | os.PathLike[str],
    target: str,
    *,
    positive: Label | UnsetType = UNSET,
    store: Reference | None = None,
) -> Sealed:
    """Seal the estimator in a pickle of that digest, measured on the rows of a table.

    Opening a pickle runs what it holds: the digest says that the caller knows where it is from.

    Raises:
        ArtifactNotFound, VerificationError: as `checkout.load_model`.
        DataError: as `loading.load`; else as `seal`.
    """
    from sklearn.base import is_classifier

    estimator = checkout.load_model(path, digest)
    kind: Target = "class" if is_classifier(estimator) else "number"
    rows = loading.load(Data(path=os.fspath(data), target=target, positive=positive), target=kind)
    X = rows.X
    names = getattr(estimator, "feature_names_in_", None)
    if names is None:  # it learned from an array
        X = X.to_numpy()
    elif missing := [name for name in names if name not in X.columns]:
        raise DataError(f"has no column {missing[0]!r}", where=os.fspath(data))
    else:
        X = X[list(names)]
    return seal(estimator, X, rows.y, positive=positive, store=store)


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


def _rows(X: Any) -> tuple[dict[str, Kind], Any]:
    """Return the columns of a DataFrame, none of an array, and X as a served model takes it."""
    import numpy as np

    if not hasattr(X, "columns"):
        try:
            matrix = np.asarray(X, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(f"is no matrix of numbers: {error}", where="X") from error
        if matrix.ndim != 2 or not matrix.size:
            raise DataError(f"has the shape {matrix.shape}, expected (rows, features)", where="X")
        return {}, matrix
    kinds: dict[str, Kind] = {
        str(name): _KINDS.get(np.asarray(X[name]).dtype.kind, "text") for name in X.columns
    }
    given = checking.columns_of(X, list(kinds.items()))
    return kinds, loading.frame(dict(zip(kinds, given, strict=True)))


def _check(truth: NDArray[Any], rows: int, target: Target) -> None:
    import numpy as np

    if truth.shape != (rows,):
        raise DataError(f"has the shape {truth.shape}, expected ({rows},)", where="y")
    if target == "number" and rows < 2:
        raise DataError("holds one number, and R² needs two", where="y")
    if target == "number" and not np.isfinite(truth.astype(np.float64)).all():
        raise DataError("holds a number that is not finite", where="y")


def _features(estimator: Any, matrix: Any) -> list[str]:
    known = getattr(estimator, "feature_names_in_", None)
    return (
        [str(one) for one in known]
        if known is not None
        else [f"x{index}" for index in range(matrix.shape[1])]
    )


def _edges(estimator: Any, rows: Any, kinds: list[Kind]) -> parity.Edges | None:
    if not kinds or not (found := probe(estimator, rows, kinds)).edges:
        return None
    with asking("predict with it", "estimator"):
        said = Outputs(*outputs(estimator, found.rows))
    return parity.Edges(found.edges, batch(found.rows), said)


def _description(
    rows: Batch,
    truth: NDArray[Any],
    kinds: dict[str, Kind],
    features: list[str],
    target: Target,
    positive: Label | UnsetType,
) -> Description:
    """Return what a recipe says of rows that were given: the digest of their values."""
    content = blobs("rows", rows, Outputs(truth.astype(str), None))
    digest = canonical.digest(
        canonical.encode({name: canonical.digest(one) for name, one in content.items()})
    )
    columns = [Column(name, "feature", kind) for name, kind in kinds.items()]
    dtype = "mixed" if "text" in kinds.values() else "float64"
    schema = Schema(dtype, len(features), len(truth), target, columns or UNSET)
    return Description(digest, schema, positive=positive)


def _recipe(estimator: Any, data: bytes, rows: Description) -> Recipe:
    kind = type(estimator)
    steps = getattr(estimator, "steps", None)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if steps:
        name = " → ".join(type(one).__name__ for _, one in steps)
    return recipe.brought(
        Model(estimator=name, params={}),
        rows,
        numerics.NATIVE,
        Brought(f"artifact-pipeline {__version__}", canonical.digest(data)),
    )


def _keep(files: dict[str, bytes], metrics: manifests.Metrics, store: Store) -> Sealed:
    from artifact_pipeline.report import page

    digest = store.add(files)
    verified = verify(store.folder(digest), digest)
    store.index(verified.manifest.recipe_digest, digest)
    trust_artifact(verified)
    report = page.write(verified).encode()
    local_state.trust(local_state.REPORT, canonical.digest(report))
    store.put_report(digest, report)
    store.set_alias(LATEST, digest)
    return Sealed(digest, str(store.folder(digest)), str(store.report(digest)), metrics)
