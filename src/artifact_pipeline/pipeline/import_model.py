"""Importing an estimator that was fitted elsewhere: measured, proven and stored here.

    seal(estimator, X_test, y_test)

The artifact supports everything except `reproduce`: its recipe records that it was imported.
"""

from __future__ import annotations

import hashlib
import os
import time
import warnings
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.artifact import describe
from artifact_pipeline.builder.artifact import manifest as manifests
from artifact_pipeline.builder.artifact.manifest import MANIFEST, Label
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.builder.config import model_name
from artifact_pipeline.builder.config.messages import show
from artifact_pipeline.builder.config.model_name import ModelDescription
from artifact_pipeline.builder.config.resolved import TableData
from artifact_pipeline.builder.data import frames, loader
from artifact_pipeline.builder.data.dataset import Rows, Target
from artifact_pipeline.builder.imported import build_imported
from artifact_pipeline.builder.missing_texts import learned_empty_text
from artifact_pipeline.disk import translate_os_errors
from artifact_pipeline.errors import (
    ArtifactNotFound,
    CallError,
    ConfigError,
    DataError,
    Location,
    PipelineError,
    UntrustedModel,
)
from artifact_pipeline.pipeline.record import Record, begin
from artifact_pipeline.report.write import publish_report
from artifact_pipeline.store import pickles, provenance
from artifact_pipeline.store.access import mark_made_here
from artifact_pipeline.store.references import PathLike
from artifact_pipeline.store.store import Store
from artifact_pipeline.verification.verify import Verified, check_pin


class Sealed(Struct, frozen=True, kw_only=True):
    """The artifact of an imported model."""

    name: str
    """The name of the model."""
    version: int
    """The version of the artifact."""
    digest: Digest
    artifact: str
    """The folder of the artifact."""
    report: str
    """The HTML report."""
    metrics: manifests.Metrics

    def __repr__(self) -> str:
        from artifact_pipeline.inference.notebook import headlines

        scores = headlines(self.metrics.test)
        return f"Sealed({self.name}:{self.version}, {self.digest[7:19]}, {scores})"

    def _repr_html_(self) -> str:
        from artifact_pipeline.inference.notebook import document

        fields = {
            "version": f"{self.name}:{self.version}",
            "digest": self.digest,
            "folder": self.artifact,
            "report": self.report,
        }
        return document("Sealed model", fields, metrics=self.metrics)


def seal(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    name: str | None = None,
    description: str | None = None,
    positive: Label | None = None,
    examples: int = 0,
    store: PathLike | None = None,
) -> Sealed:
    """Seal a fitted scikit-learn estimator, measured on held-out rows, and move `latest` to it.

    Args:
        estimator: A fitted classifier or regressor.
        X: Rows that it was not fitted to: (n_rows, n_features) numbers, or a DataFrame or a list
            of dicts of numbers, booleans, dates and text.
        y: The true labels or numbers, (n_rows,).
        name: The name of the model; by default that of its class.
        description: A text for the model card and the report.
        positive: The positive one of two labels, for precision, recall and F1.
        examples: How many of the rows the artifact contains.
        store: The store to write to; by default $ARTIFACT_PIPELINE_STORE or `artifacts`.

    Raises:
        CallError: If `name` or `description` is not valid, or `estimator` is not a fitted
            classifier or regressor, or would open files when it is used (`memory`, or `input`
            other than content).
        DataError: If it cannot be measured on the rows.
        ConfigError: If it cannot predict them, or no open form of it can be proven.
        StoreError: If the store cannot be written.
    """
    record, start = begin("(sealed)"), time.perf_counter()
    if frames.are_records(X):
        import pandas as pd

        X = pd.DataFrame(frames.columns_of_records(X))
    _check_names(name, description)
    files, metrics = build_imported(
        estimator,
        X,
        y,
        name=name,
        description=description,
        positive=positive,
        examples=examples,
    )
    target = Store(store)
    sealed = _add(files, metrics, store=target, record=record)
    record.seconds = time.perf_counter() - start
    target.write_run(record.run, record)
    return sealed


def seal_pickle(
    path: str | os.PathLike[str],
    digest: Digest,
    *,
    data: str | os.PathLike[str],
    target: str,
    name: str | None = None,
    description: str | None = None,
    positive: Label | None = None,
    columns: list[str] | None = None,
    store: PathLike | None = None,
) -> Sealed:
    """Seal the estimator in a pickle, measured on the rows of a table.

    Opening a pickle runs the code in it. The digest states that you know where it comes from.

    Args:
        path: The pickle.
        digest: Its digest.
        data: The table of rows that the estimator was not fitted to.
        target: The column with the true labels or numbers.
        name: The name of the model; by default the stem of the table's path, or else as for
            `seal`.
        description: As for `seal`.
        positive: As for `seal`.
        columns: The columns of the table that an estimator without names was fitted to, in their
            order; by default all except the target.
        store: As for `seal`.

    Raises:
        ArtifactNotFound, VerificationError: As `load_model`.
        CallError, DataError, ConfigError, StoreError: As `seal`.
    """
    from sklearn.base import is_classifier

    _check_names(name, description)
    estimator = pickles.load_model(path, digest)
    kind: Target = "class" if is_classifier(estimator) else "number"
    rows = _read_rows(TableData(path=os.fspath(data), target=target), kind)
    if isinstance(positive, str):  # a command line has no numbers and no booleans
        positive = next(
            (label for label in rows.labels() if positive in (show(label), str(label))), positive
        )
    X = rows.X
    learned = getattr(estimator, "feature_names_in_", None)
    names = columns if learned is None else list(learned)
    if names is None:  # it was fitted to an array
        X = X.to_numpy()
    elif missing := [name for name in names if name not in X.columns]:
        raise DataError(f"has no column {missing[0]!r}", location=Location(os.fspath(data)))
    else:
        X = _with_missing_texts(estimator, X[names])
    with warnings.catch_warnings():
        if learned is None:
            warnings.filterwarnings("ignore", message="X has feature names, but")
        return seal(
            estimator,
            X,
            rows.y,
            name=name or model_name.from_path(os.fspath(data)),
            description=description,
            positive=positive,
            store=store,
        )


def seal_saved(
    source: str,
    digest: Digest | None,
    *,
    data: str | os.PathLike[str],
    target: str,
    name: str | None = None,
    description: str | None = None,
    positive: Label | None = None,
    tracking_uri: str | None = None,
    store: PathLike | None = None,
) -> Sealed:
    """Seal a saved estimator, from a file or an MLflow model.

    Args:
        source: A file of pickle, joblib or skops, the folder of an MLflow model, or the address of
            one: `mlflow:models:/NAME/VERSION`, `mlflow:models:/NAME@ALIAS`, `mlflow:runs:/ID/PATH`.
        digest: The digest of the estimator's file.
        data: As for `seal_pickle`.
        target: As for `seal_pickle`.
        name: As for `seal_pickle`; a model in a registry has its name there by default.
        description: As for `seal`.
        positive: As for `seal`.
        tracking_uri: The MLflow server; by default that of the variable `MLFLOW_TRACKING_URI`.
        store: As for `seal`.

    Raises:
        UntrustedModel: Without a digest; the error has that of the file, to be compared.
        CallError, MissingDependency, NetworkError, VerificationError: As `mlflow_source.find`.
        ArtifactNotFound, DataError, ConfigError, StoreError: As `seal_pickle`.
    """
    from artifact_pipeline.pipeline import mlflow_source

    check_pin(digest)
    with mlflow_source.find(source, tracking_uri=tracking_uri) as saved:
        if digest is None:
            raise _untrusted(saved.path, source)
        return seal_pickle(
            saved.path,
            digest,
            data=data,
            target=target,
            name=name or saved.name,
            description=description,
            positive=positive,
            columns=saved.columns,
            store=store,
        )


def _untrusted(path: Path, source: str) -> PipelineError:
    """Return the error for a file without a digest."""
    location = Location(source)
    if not path.is_file():
        return ArtifactNotFound("no such file", location=Location(str(path)))
    with translate_os_errors(path), path.open("rb") as file:
        digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    return UntrustedModel(
        f"opening {path.name} can run code, and its digest is not pinned: it is {digest}",
        location=location,
        remedy=f"compare it with that of {path.name} where the model was saved (sha256sum), and "
        "add --digest",
    )


def _check_names(name: str | None, description: str | None) -> None:
    """Check the name and the description of a model. Raises CallError if one is not valid."""
    if name is not None and not model_name.is_valid(name):
        problem = f"found {show(name)}, expected {model_name.EXPECTED}"
        raise CallError(problem, location=Location("name"))
    if description is not None:
        try:
            msgspec.convert(description, ModelDescription)
            description.encode()
        except (msgspec.ValidationError, UnicodeEncodeError) as error:
            problem = f"found {show(description)}, expected a text of 1 to 1000 characters"
            raise CallError(problem, location=Location("description")) from error


def _read_rows(data: TableData, target: Target) -> Rows:
    """Return the rows of a table, with remedies that work without a config."""
    try:
        return loader.load(data, target=target)
    except (DataError, ConfigError) as error:
        if error.remedy is None or "data." not in error.remedy:
            raise
        raise type(error)(
            error.problem,
            location=error.location,
            remedy="correct the table (this command takes no config), or call "
            "artifact_pipeline.seal in Python with these rows as a DataFrame",
        ) from error


def _with_missing_texts(estimator: Any, X: Any) -> Any:
    """Return rows of a table with NaN for a missing text, as pandas reads them.

    The text stays empty if the estimator learned the empty text, or refuses a missing one.
    """
    texts = [name for name in X.columns if X[name].dtype == object and (X[name] == "").any()]
    if not texts or learned_empty_text(estimator):
        return X
    missing = X.copy()
    missing[texts] = missing[texts].where(missing[texts] != "", float("nan"))
    try:
        estimator.predict(missing)
    except Exception:  # noqa: BLE001  (an estimator may raise anything)
        return X
    return missing


def _add(
    files: dict[str, bytes], metrics: manifests.Metrics, *, store: Store, record: Record
) -> Sealed:
    """Add a sealed model to the store, and complete its run record."""
    git = provenance.GitStatus(Path.cwd())
    record.cached = store.artifacts.path(canonical.digest(files[MANIFEST])).exists()
    artifact = mark_made_here(store.add(_readable(files)))
    publish_report(artifact, store)
    store.set_latest(artifact)
    record.name = name = describe.model_name_of(artifact.manifest.recipe)
    record.version = version = store.models.assign(name, artifact.digest)
    record.recipe = artifact.manifest.recipe
    record.recipe_digest = artifact.manifest.recipe_digest
    record.artifact, record.metrics, record.outcome = artifact.digest, metrics, "done"
    record.host, record.git = provenance.host(), git.result()
    return Sealed(
        name=name,
        version=version,
        digest=artifact.digest,
        artifact=str(artifact.folder),
        report=str(store.artifacts.report_path(artifact.digest)),
        metrics=metrics,
    )


def _readable(files: dict[str, bytes]) -> dict[str, bytes]:
    """Return `files`, once their manifest and evaluation can be read again."""
    manifest = manifests.decode(files[MANIFEST], MANIFEST)
    digest = canonical.digest(files[MANIFEST])
    Verified(
        folder=Path(MANIFEST).parent,
        digest=digest,
        manifest=manifest,
        files=files,
        sealed=files[MANIFEST],
    ).evaluation()
    return files
