"""Predictions of an artifact for rows in bytes, and for its held-out rows."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from artifact_pipeline.builder.artifact.manifest import ColumnSpec, Manifest
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.builder.config.values import Csv
from artifact_pipeline.builder.data import table_files
from artifact_pipeline.disk import write_atomically
from artifact_pipeline.errors import Location
from artifact_pipeline.inference import rows as row_files
from artifact_pipeline.inference.predictor import Predictor, load_predictor
from artifact_pipeline.store.access import open_trusted
from artifact_pipeline.store.references import ArtifactLike, PathLike

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from artifact_pipeline.builder.data.table_files import Format
    from artifact_pipeline.builder.formats.base import Batch
    from artifact_pipeline.inference.tables import TableRows
    from artifact_pipeline.verification.signatures import Signer


class Prediction(Struct, frozen=True, kw_only=True):
    """The predictions of an artifact. Truth, accuracy and error exist for held-out rows only."""

    digest: Digest
    labels: list[Any] | None
    """The labels that a classifier predicts."""
    predictions: list[float] | None
    """The numbers that a regressor predicts."""
    probabilities: list[list[float]] | None
    """For each row the probability of each of `classes`."""
    truth: list[Any] | None
    accuracy: float | None
    """The share of correct labels."""
    mae: float | None
    """The mean absolute error of numbers."""
    classes: list[Any] = []
    """All labels, in the order of the probabilities."""
    id: str | None = None
    """The name of a table's id column, if the rows have it."""
    ids: list[str] | None = None
    """The values of that column."""
    extra: list[str] = []
    """Columns of the rows that the model does not take."""
    unseen: dict[str, int] = {}
    """The number of rows with a text that is not in the training data, by column."""

    def __repr__(self) -> str:
        values = self.labels if self.labels is not None else self.predictions or []
        first = ", ".join(map(repr, values[:3])) + (", …" if len(values) > 3 else "")
        return f"Prediction({self.digest[7:19]}, {len(values)} rows: {first})"


def open_artifact(
    artifact: ArtifactLike,
    digest: Digest | None = None,
    *,
    signed_by: Signer | None = None,
    store: PathLike | None = None,
) -> Predictor:
    """Open the model of an artifact, after checking its integrity and required signatures.

    Nothing is unpickled. ONNX is opened whatever its origin. A skops archive is opened only if
    `digest` pins it, a required signature covers it, or this checkout made it.

    Args:
        artifact: A folder, an alias, or the first eight or more hex digits of a digest.
        digest: The digest that the artifact must have.
        signed_by: The signer whose signature is required.
        store: The store that aliases and digests are looked up in.

    Raises:
        ArtifactNotFound, CallError, VerificationError, StoreError: As `open_trusted`.
        UntrustedModel: For a skops archive of unknown origin.
    """
    from artifact_pipeline.builder.formats import onnx_format

    onnx_format.preload()
    return load_predictor(open_trusted(artifact, digest, signed_by=signed_by, store=store))


def infer(
    artifact: ArtifactLike,
    rows: bytes | None = None,
    *,
    name: str = "rows",
    digest: Digest | None = None,
    signed_by: Signer | None = None,
    store: PathLike | None = None,
    data: PathLike | None = None,
) -> Prediction:
    """Predict rows, or the held-out rows, with an artifact.

    Args:
        artifact: As for `open_artifact`.
        rows: The content of a file: CSV, JSON or .npy, for a model of a table CSV, Parquet or JSON
            lines. By default the held-out rows are predicted.
        name: The name of that file. Its ending decides the format; errors contain it.
        digest: As for `open_artifact`.
        signed_by: As for `open_artifact`.
        store: As for `open_artifact`.
        data: The table with the held-out rows; by default the one in the record of the run that
            made the artifact.

    Raises:
        ArtifactNotFound, CallError, VerificationError, StoreError: As `open_artifact`.
        DataError: If the rows are wrong, or the held-out rows are not those of the recipe.
    """
    if rows is not None:
        table_files.check_readable(name)
    predictor = open_artifact(artifact, digest, signed_by=signed_by, store=store)
    truth: NDArray[Any] | None = None
    table: TableRows | None = None
    batch: Batch
    columns = predictor.interface.columns
    if rows is None:
        from artifact_pipeline.inference import held_out

        batch, truth, _ = held_out.rows_of(
            predictor.manifest, predictor.digest, data=data, store=store
        )
    elif columns is None:
        features, limits = predictor.interface.features, predictor.interface.limits
        matrix = row_files.parse(rows, features, name=name)
        batch = row_files.check(matrix, features, location=Location(name), limits=limits)
    else:
        table = _read_table(rows, name, manifest=predictor.manifest, columns=columns)
        batch = table.columns
    outputs = predictor.run(batch)
    predicted, is_classifier = outputs.predicted, bool(predictor.interface.labels)
    accuracy = mae = None
    if truth is not None and is_classifier:
        accuracy = float((predicted == truth).mean())
    elif truth is not None:
        mae = float(abs(predicted - truth).mean())
    return Prediction(
        digest=predictor.digest,
        labels=predicted.tolist() if is_classifier else None,
        predictions=None if is_classifier else predicted.tolist(),
        probabilities=None if outputs.probabilities is None else outputs.probabilities.tolist(),
        truth=None if truth is None else truth.tolist(),
        accuracy=accuracy,
        mae=mae,
        classes=predictor.interface.labels,
        id=table.id if table else None,
        ids=table.ids if table else None,
        extra=table.extra if table else [],
        unseen=table.unseen if table else {},
    )


def write_predictions(prediction: Prediction, path: PathLike) -> None:
    """Write predictions as a table: the id or row number, the prediction, the probabilities.

    Args:
        prediction: The predictions.
        path: A file that ends in .csv, .tsv, .parquet or .jsonl.

    Raises:
        CallError: If the file has another ending.
        StoreError: If it cannot be written.
    """
    from artifact_pipeline.inference import output

    is_classifier = prediction.labels is not None
    values = prediction.labels if prediction.labels is not None else prediction.predictions or []
    ids: list[Any] = prediction.ids or [*range(1, len(values) + 1)]
    columns: dict[str, list[Any]] = {prediction.id or "row": ids}
    columns["label" if is_classifier else "prediction"] = values
    probabilities = prediction.probabilities or []
    for index, label in enumerate(prediction.classes if probabilities else ()):
        columns[f"probability_{label}"] = [row[index] for row in probabilities]
    write_atomically(Path(path), output.write(columns, str(path)))


def _read_table(
    rows: bytes, name: str, *, manifest: Manifest, columns: list[ColumnSpec]
) -> TableRows:
    """Return the rows of a table, read with the options of the training table."""
    from artifact_pipeline.builder.data import table_packaging
    from artifact_pipeline.inference import tables

    name, rows = table_packaging.unpack(rows, name)

    data = manifest.recipe.data
    options = data.table.csv if data.table and data.table.csv else Csv()
    ids = data.schema.named("id")
    return tables.read(
        rows,
        name,
        file_format=table_files.FORMATS.get(PurePath(name).suffix.lower()) or _guess_format(rows),
        csv=options,
        limits=columns,
        id_column=ids[0] if ids else None,
    )


def _guess_format(data: bytes) -> Format:
    if data.startswith(b"PAR1"):
        return "parquet"
    return "jsonl" if data.lstrip()[:1] == b"{" else "csv"
