"""Sealing an estimator that was fitted elsewhere: measured and proven here, and stored.

    seal(estimator, X_test, y_test)

Everything works on the artifact except `reproduce`: its recipe says that it was imported, and by
which release.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from msgspec import Struct

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.artifact import manifest as manifests
from artifact_pipeline.builder.artifact.manifest import MANIFEST, Label
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.builder.config.resolved import TableData
from artifact_pipeline.builder.data import loader
from artifact_pipeline.builder.data.dataset import Target
from artifact_pipeline.builder.imported import build_imported
from artifact_pipeline.errors import DataError
from artifact_pipeline.pipeline.publish import publish_report
from artifact_pipeline.store import pickles
from artifact_pipeline.store.access import Reference, mark_made_here
from artifact_pipeline.store.pointers import LATEST
from artifact_pipeline.store.store import Store
from artifact_pipeline.verification.verify import Verified


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
    positive: Label | None = None,
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
    files, metrics = build_imported(estimator, X, y, positive=positive, examples=examples)
    return _keep(files, metrics, Store(store))


def seal_pickle(
    path: str | os.PathLike[str],
    digest: Digest,
    data: str | os.PathLike[str],
    target: str,
    *,
    positive: Label | None = None,
    store: Reference | None = None,
) -> Sealed:
    """Seal the estimator in a pickle of that digest, measured on the rows of a table.

    Opening a pickle runs what it holds: the digest says that the caller knows where it is from.

    Raises:
        ArtifactNotFound, VerificationError: as `checkout.load_model`.
        DataError: as `loading.load`; else as `seal`.
    """
    from sklearn.base import is_classifier

    estimator = pickles.load_model(path, digest)
    kind: Target = "class" if is_classifier(estimator) else "number"
    rows = loader.load(
        TableData(path=os.fspath(data), target=target, positive=positive), target=kind
    )
    X = rows.X
    names = getattr(estimator, "feature_names_in_", None)
    if names is None:  # it learned from an array
        X = X.to_numpy()
    elif missing := [name for name in names if name not in X.columns]:
        raise DataError(f"has no column {missing[0]!r}", where=os.fspath(data))
    else:
        X = X[list(names)]
    return seal(estimator, X, rows.y, positive=positive, store=store)


def _keep(files: dict[str, bytes], metrics: manifests.Metrics, store: Store) -> Sealed:
    verified = mark_made_here(store.add(_readable(files)))
    digest = verified.digest
    publish_report(verified, store)
    store.aliases.set(LATEST, digest)
    return Sealed(digest, str(verified.folder), str(store.artifacts.report_path(digest)), metrics)


def _readable(files: dict[str, bytes]) -> dict[str, bytes]:
    """Return files whose manifest and evaluation can be read again: others are not stored."""
    manifest = manifests.decode(files[MANIFEST], MANIFEST)
    digest = canonical.digest(files[MANIFEST])
    Verified(Path(MANIFEST).parent, digest, manifest, files, files[MANIFEST]).evaluation()
    return files
