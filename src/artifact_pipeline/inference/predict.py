"""Predictions of a verified artifact for rows in files, tables or memory."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from msgspec import Struct, UnsetType

from artifact_pipeline.builder.artifact import manifest as manifests
from artifact_pipeline.builder.artifact.manifest import Manifest
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.builder.config.schema import Csv
from artifact_pipeline.disk import write_atomically
from artifact_pipeline.inference import rows
from artifact_pipeline.inference.predictor import Predictor, load_predictor
from artifact_pipeline.store.access import Reference, open_trusted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from artifact_pipeline.builder.formats.base import Batch
    from artifact_pipeline.inference.tables import Given
    from artifact_pipeline.verification.signatures import Signer


class Prediction(Struct, frozen=True):
    """What an artifact says of rows; truth is there for held-out rows only."""

    digest: Digest
    labels: list[Any] | None
    predictions: list[float] | None
    """The numbers of a regressor, in the place of labels."""
    probabilities: list[list[float]] | None
    truth: list[Any] | None
    accuracy: float | None
    """The share of right labels."""
    mae: float | None
    """The mean absolute error of numbers."""
    classes: list[Any] = []
    """The labels in the order of the probabilities."""
    id: str | None = None
    """The id column of a table, where the rows have it."""
    ids: list[str] | None = None
    """What it says of each row."""
    extra: list[str] = []
    """Columns that the model does not take."""
    unseen: dict[str, int] = {}
    """How many rows hold a text that the model did not learn from, by column."""


def open_artifact(
    artifact: Reference,
    digest: Digest | None = None,
    *,
    signed_by: Signer | None = None,
    store: Reference | None = None,
) -> Predictor:
    """Return the predictor of an artifact that is to be trusted; nothing is unpickled.

    Raises as `open_trusted`, and UntrustedModel for a skops archive unless `digest` pins it, a
    signer vouches for it, or this checkout made it.
    """
    from artifact_pipeline.builder.formats import onnx_format

    onnx_format.preload()
    return load_predictor(open_trusted(artifact, digest, signed_by=signed_by, store=store))


def infer(
    artifact: Reference,
    given: bytes | None = None,
    where: str = "rows",
    *,
    digest: Digest | None = None,
    signed_by: Signer | None = None,
    store: Reference | None = None,
    data: Reference | None = None,
) -> Prediction:
    """Return what an artifact says of rows in bytes, or of the held-out rows.

    `where` names the rows in errors, and by its ending their format: CSV, JSON or .npy, of a
    table CSV, Parquet or JSON lines. The held-out rows of a table are in the files of `data`, or
    else where the run that made it found them.

    Raises:
        DataError: if the rows are wrong, or the held-out rows are not those of the recipe.
        VerificationError: as `open_trusted`.
    """
    predictor = open_artifact(artifact, digest, signed_by=signed_by, store=store)
    truth: NDArray[Any] | None = None
    table: Given | None = None
    batch: Batch
    columns = predictor.interface.columns
    if given is None:
        from artifact_pipeline.inference import held_out

        batch, truth = held_out.rows_of(predictor.manifest, predictor.digest, data, store)
    elif isinstance(columns, UnsetType):
        features, limits = predictor.interface.features, predictor.interface.limits
        batch = rows.check(rows.parse(given, features, where), features, where, limits)
    else:
        batch = (table := _table(given, where, predictor.manifest, columns)).columns
    outputs = predictor.run(batch)
    said, of_labels = outputs.predicted, bool(predictor.interface.labels)
    right = None if truth is None or not of_labels else float((said == truth).mean())
    wrong = None if truth is None or of_labels else float(abs(said - truth).mean())
    return Prediction(
        digest=predictor.digest,
        labels=said.tolist() if of_labels else None,
        predictions=None if of_labels else said.tolist(),
        probabilities=None if outputs.probabilities is None else outputs.probabilities.tolist(),
        truth=None if truth is None else truth.tolist(),
        accuracy=right,
        mae=wrong,
        classes=predictor.interface.labels,
        id=table.id if table else None,
        ids=table.ids if table else None,
        extra=table.extra if table else [],
        unseen=table.unseen if table else {},
    )


def write_predictions(found: Prediction, path: Reference) -> None:
    """Write predictions as a table, .csv, .parquet or .jsonl: the id or row, what was predicted,
    and a column of probabilities for each class.

    Raises:
        CallError: for another ending.
        StoreError: if it cannot be written.
    """
    from artifact_pipeline.inference import output

    said = found.labels if found.labels is not None else found.predictions or []
    ids: list[Any] = found.ids or [*range(1, len(said) + 1)]
    columns: dict[str, list[Any]] = {found.id or "row": ids}
    columns["label" if found.labels is not None else "prediction"] = said
    for index, label in enumerate(found.classes if found.probabilities else ()):
        columns[f"probability_{label}"] = [row[index] for row in found.probabilities or ()]
    write_atomically(Path(path), output.write(columns, str(path)))


def _table(
    given: bytes, where: str, manifest: Manifest, columns: list[manifests.ColumnSpec]
) -> Given:
    """Return rows of a table, read as the one was that the model learned from."""
    from artifact_pipeline.builder.data.table_files import FORMATS
    from artifact_pipeline.inference import tables

    made = manifest.recipe.data
    how = made.table.csv if made.table and made.table.csv else Csv()
    form = FORMATS.get(PurePath(where).suffix.lower()) or _guess(given)
    ids = made.schema.named("id")
    return tables.read(given, where, form, how, columns, ids[0] if ids else None)


def _guess(data: bytes) -> str:
    if data.startswith(b"PAR1"):
        return "parquet"
    return "jsonl" if data.lstrip()[:1] == b"{" else "csv"
