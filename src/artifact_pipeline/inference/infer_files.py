"""Predictions for files of any size: read, predicted and written in batches."""

from __future__ import annotations

import io
import os
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, TypeVar

import msgspec
from msgspec import Struct, structs

from artifact_pipeline._version import __version__
from artifact_pipeline.builder import canonical, dask_cluster
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.builder.dask_cluster import Cluster
from artifact_pipeline.builder.data import remote_files
from artifact_pipeline.builder.formats import onnx_format
from artifact_pipeline.builder.progress import ReportProgress, ignore
from artifact_pipeline.disk import (
    check_folder_of,
    file_lock,
    remove,
    sync_folder,
    translate_os_errors,
    write_atomically,
)
from artifact_pipeline.errors import CallError, DataError, Location, PipelineError, StoreError
from artifact_pipeline.inference import file_progress, prediction_files, row_batches, row_paths
from artifact_pipeline.inference.file_progress import FileMeter
from artifact_pipeline.inference.prediction_files import TEXT_FORMATS, KeptColumn, OutputFormat
from artifact_pipeline.inference.predictor import Predictor, load_predictor
from artifact_pipeline.inference.row_batches import CheckedRows, Layout, Piece
from artifact_pipeline.inference.row_paths import RowPath
from artifact_pipeline.store.access import open_trusted
from artifact_pipeline.store.references import ArtifactLike, PathLike

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from artifact_pipeline.verification.signatures import Signer
    from artifact_pipeline.verification.verify import Verified

OnError: TypeAlias = Literal["fail", "skip"]
Engine: TypeAlias = Literal["local", "dask"]

MAX_SHOWN = 5
"""The number of skipped rows whose errors are kept."""
REMOTE_REPORTS = "_reports"
REPORTS = ".reports"
"""The folder with a report on each complete part, while others are written."""

T = TypeVar("T")


class Tally(Struct, frozen=True, kw_only=True):
    """The counts over the rows of a file or of several.

    Attributes:
        rows: The number of rows that were predicted.
        skipped: The number of rows that were skipped.
        first_skipped: The errors of the first of these.
        extra: Columns that the model does not use.
        unseen: The number of rows with a text that is not in the training data, by column.
        outside: The number of rows with a number outside the range of the training data, by column.
    """

    rows: int = 0
    skipped: int = 0
    first_skipped: list[str] = []
    extra: list[str] = []
    unseen: dict[str, int] = {}
    outside: dict[str, int] = {}

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            rows=self.rows + other.rows,
            skipped=self.skipped + other.skipped,
            first_skipped=[*self.first_skipped, *other.first_skipped][:MAX_SHOWN],
            extra=list(dict.fromkeys([*self.extra, *other.extra])),
            unseen=_sum(self.unseen, other.unseen),
            outside=_sum(self.outside, other.outside),
        )


def _sum(a: dict[str, int], b: dict[str, int]) -> dict[str, int]:
    return {name: a.get(name, 0) + b.get(name, 0) for name in dict.fromkeys([*a, *b])}


class FilePredictions(Struct, frozen=True, kw_only=True):
    """What was predicted for files of rows.

    Attributes:
        digest: The artifact.
        output: The file or folder with the predictions.
        parts: The number of files in that folder; 1 for a file.
        tally: The counts over all rows.
        restarted: Whether the output was written from the start although it was to be continued.
    """

    digest: Digest
    output: str
    parts: int
    tally: Tally
    restarted: bool = False


class Options(Struct, frozen=True, kw_only=True):
    """How rows are predicted.

    Attributes:
        keep: The columns to carry over.
        on_error: Whether rows that cannot be read end the work or are skipped.
        resume: Whether to continue what a killed process has begun.
    """

    keep: tuple[str, ...] = ()
    on_error: OnError = "fail"
    resume: bool = False


def infer_files(
    artifact: ArtifactLike,
    rows: PathLike,
    *,
    output: PathLike,
    keep: Sequence[str] = (),
    on_error: OnError = "fail",
    resume: bool = False,
    engine: Engine = "local",
    scheduler: str | None = None,
    digest: Digest | None = None,
    signed_by: Signer | None = None,
    store: PathLike | None = None,
    report: ReportProgress = ignore,
) -> FilePredictions:
    """Predict the rows in files of any size, in batches of a fixed number of rows.

    Args:
        artifact: As for `open_artifact`.
        rows: A file, a folder of parts, a pattern such as `parts/*.csv`, or `-` for standard
            input: CSV, Parquet, JSON lines or Arrow IPC.
        output: A file, whose extension is its format; a folder, for one file of predictions for
            each of several files of rows, in their format; or `-` for standard output.
        keep: Columns of the rows to carry over.
        on_error: `skip` leaves out rows that cannot be read or that the model does not take.
        resume: Continue what a killed process has written of the same output.
        engine: `dask` predicts the parts of a folder on a Dask cluster, with the same bytes.
        scheduler: The address of its scheduler; by default a cluster is started on this machine.
        digest: As for `open_artifact`.
        signed_by: As for `open_artifact`.
        store: As for `open_artifact`.
        report: Called after each batch, or for a folder as output after each part.

    Raises:
        ArtifactNotFound, CallError, VerificationError, StoreError: As `open_artifact`.
        MissingDependency, NetworkError, EnvironmentFailure: If the cluster cannot do it.
        CallError: If rows or output cannot be what they are.
        DataError: For rows that the model does not take; no output is written then.
        StoreError: If the output cannot be written.
    """
    cluster = dask_cluster.cluster_of(engine, scheduler)
    options = Options(keep=tuple(keep), on_error=on_error, resume=resume)
    source = row_paths.locate(str(rows))
    target = str(output)
    is_file = Path(target).suffix.lower() in prediction_files.OUTPUT_FORMATS
    if cluster is not None and (is_file or target == "-" or not source.is_many):
        raise CallError(
            "predicts a folder of parts into a folder",
            location=Location("--engine dask"),
            remedy="name a folder of rows and a folder for --output",
        )
    is_folder = _is_folder(target, source, resume=resume)
    onnx_format.preload()
    verified = open_trusted(artifact, digest, signed_by=signed_by, store=store)
    predictor = load_predictor(verified)
    layout = Layout.of(predictor.manifest, options.keep)
    if source.is_many:
        _check_parts(source.files, layout)
    restarted = False
    if is_folder:
        if cluster is not None:
            predict = _on_dask(verified, cluster, options=options)
        else:
            predict = _here(predictor, options)
        tally = _predict_folder(predict, source, options=options, folder=target, report=report)
    elif remote_files.is_remote(target):
        restarted = resume
        with TemporaryDirectory() as folder:
            local = Path(folder) / PurePosixPath(target).name
            tally = predict_file(
                predictor,
                source.files,
                output=local,
                options=structs.replace(options, resume=False),
                report=report,
            )
            _check_any(tally, source.files)
            remote_files.upload(local, target)
    elif target == "-":
        tally = _predict_to_stdout(predictor, source, options=options, report=report)
    else:
        restarted = resume and prediction_files.format_of(target) not in TEXT_FORMATS
        tally = predict_file(
            predictor, source.files, output=Path(target), options=options, report=report
        )
        _check_any(tally, source.files)
    return FilePredictions(
        digest=predictor.digest,
        output=target,
        parts=len(source.files) if is_folder else 1,
        tally=tally,
        restarted=restarted,
    )


def _is_folder(target: str, source: row_paths.RowPaths, *, resume: bool) -> bool:
    """Return whether the output is a folder of parts, after checking that it can be written."""
    if target == "-":
        return False
    path = Path(target)
    has_format = path.suffix.lower() in prediction_files.OUTPUT_FORMATS
    is_folder = source.is_many and not has_format
    if not is_folder:
        prediction_files.format_of(target)
    _check_apart(target, source)
    if remote_files.is_remote(target):
        if is_folder and not resume and remote_files.find(target.rstrip("/")):
            raise CallError(
                "is not an empty folder",
                location=Location(target),
                remedy="name a folder that does not exist",
            )
        return is_folder
    if is_folder:
        with translate_os_errors(path):
            if path.exists() and (not path.is_dir() or any(path.iterdir())):
                problem = "is not an empty folder" if path.is_dir() else "is not a folder"
                raise CallError(
                    problem, location=Location(target), remedy="name a folder that does not exist"
                )
    elif path.is_dir():
        raise StoreError(
            "is a folder, expected a file", location=Location(target), remedy="name a file in it"
        )
    with translate_os_errors(path):
        check_folder_of(path)
    return is_folder


def _check_apart(target: str, source: row_paths.RowPaths) -> None:
    """Check that the output is none of the files that are read, nor among them."""
    is_input = any(_is_same(target, file.path) for file in source.files if file.path != "-")
    if is_input:
        raise CallError(
            "is the input, and would be overwritten",
            location=Location(target),
            remedy="name another file with --output",
        )
    if source.folder is None:
        return
    inner, outer = PurePosixPath(target), PurePosixPath(source.folder)
    if not remote_files.is_remote(target):
        inner = PurePosixPath(Path(target).resolve().as_posix())
        outer = PurePosixPath(Path(source.folder).resolve().as_posix())
    if inner == outer or outer in inner.parents:
        where = "is" if inner == outer else "is in"
        raise CallError(
            f"{where} the folder of rows, and would be read as rows the next time",
            location=Location(target),
            remedy="name another place with --output",
        )


def _is_same(target: str, path: str) -> bool:
    if remote_files.is_remote(target) or remote_files.is_remote(path):
        return target == path
    with suppress(OSError, ValueError):  # one of the two does not exist
        return Path(target).samefile(path)
    return False


def _check_parts(files: Sequence[RowPath], layout: Layout) -> None:
    """Check that each file has the columns that the model takes, before any is predicted."""
    for file in files:
        with file.open() as stream, row_batches.opened(stream, file.name, layout=layout):
            pass


def _check_any(tally: Tally, files: Sequence[RowPath]) -> None:
    if tally.rows:
        return
    location = Location(files[0].name)
    if tally.skipped:
        problem = f"all {tally.skipped} rows were skipped; the first: {tally.first_skipped[0]}"
        raise DataError(problem, location=location)
    raise DataError("holds no rows", location=location)


def _predict_to_stdout(
    predictor: Predictor, source: row_paths.RowPaths, *, options: Options, report: ReportProgress
) -> Tally:
    """Write predictions to standard output, in the format of the rows."""
    if options.resume:
        raise CallError(
            "standard output cannot be continued",
            location=Location("--resume"),
            remedy="name a file with --output",
        )
    tally = Tally()
    with ExitStack() as stack:
        writer: prediction_files.Writer | None = None
        for step in steps(
            predictor, source.files, output_format=None, options=options, report=report
        ):
            if writer is None:
                opened = prediction_files.writer(sys.stdout.buffer, step.table)
                writer = stack.enter_context(opened)
            writer.write(step.rows)
            tally += step.tally
    _check_any(tally, source.files)
    return tally


PredictParts: TypeAlias = "Callable[[Sequence[RowPath], str], Iterator[Tally]]"
"""Predicts files into a folder, and yields the counts of each."""


def _predict_folder(
    predict: PredictParts,
    source: row_paths.RowPaths,
    *,
    options: Options,
    folder: str,
    report: ReportProgress,
) -> Tally:
    """Write a file of predictions for each file of rows into a folder.

    A local folder has another name until all of its files are complete. In an object store each
    file appears when it is complete, and the folder with reports goes when all are.
    """
    if remote_files.is_remote(folder):
        folder = folder.rstrip("/")
        tally = _total(predict(source.files, folder), len(source.files), report=report)
        _check_any(tally, source.files)
        remote_files.delete_folder(f"{folder}/{REMOTE_REPORTS}")
        return tally
    output = Path(folder).absolute()
    stage = output.parent / f".{output.name}.partial"
    with translate_os_errors(output):
        if not options.resume:
            remove(stage)
        (stage / REPORTS).mkdir(parents=True, exist_ok=True)
        with _locked(stage / ".lock"):
            tally = _total(predict(source.files, str(stage)), len(source.files), report=report)
            _check_any(tally, source.files)
            _publish(stage, output, parts=[file.part for file in source.files])
    return tally


def _total(tallies: Iterator[Tally], parts: int, *, report: ReportProgress) -> Tally:
    total = Tally()
    file_progress.report_part(report, 0, total=parts, rows=0)
    for done, tally in enumerate(tallies, 1):
        total += tally
        file_progress.report_part(report, done, total=parts, rows=total.rows)
    return total


def _here(predictor: Predictor, options: Options) -> PredictParts:
    """Return what predicts files in this process."""
    return lambda files, folder: (
        predict_part(predictor, file, folder=folder, options=options) for file in files
    )


def _on_dask(verified: Verified, cluster: Cluster, *, options: Options) -> PredictParts:
    """Return what predicts files on a Dask cluster."""
    from artifact_pipeline.inference.cluster import PartTask, package_versions, predict_parts

    def predict(files: Sequence[RowPath], folder: str) -> Iterator[Tally]:
        tasks = [
            PartTask(
                artifact=str(verified.folder.absolute()),
                digest=verified.digest,
                file=file.absolute(),
                folder=folder,
                # What an earlier run left is gone; what a lost worker wrote is continued.
                options=structs.replace(options, resume=True),
                packages=package_versions(),
            )
            for file in files
        ]
        return predict_parts(tasks, cluster)

    return predict


class _Report(Struct, frozen=True):
    """That a part is complete."""

    key: str
    bytes: int
    tally: Tally


def predict_part(predictor: Predictor, file: RowPath, *, folder: str, options: Options) -> Tally:
    """Write the predictions for a file into a folder, unless it has them already."""
    if remote_files.is_remote(folder):
        return _predict_remote_part(predictor, file, folder=folder, options=options)
    output = Path(folder, file.part)
    report = Path(folder, REPORTS, f"{file.part}.json")
    key = _key(predictor, [file], output=output, options=options)
    if options.resume and (known := _read_json(report, _Report)) is not None:
        with suppress(OSError):
            if known.key == key and output.stat().st_size == known.bytes:
                return known.tally
    for path in (output, report):
        path.parent.mkdir(parents=True, exist_ok=True)
    tally = predict_file(predictor, [file], output=output, options=options)
    done = _Report(key, output.stat().st_size, tally)
    write_atomically(report, msgspec.json.encode(done))
    return tally


def _predict_remote_part(
    predictor: Predictor, file: RowPath, *, folder: str, options: Options
) -> Tally:
    """Write the predictions for a file into an object store, unless it has them already."""
    target = f"{folder}/{file.part}"
    report = f"{folder}/{REMOTE_REPORTS}/{file.part}.json"
    with TemporaryDirectory() as temporary:
        output = Path(temporary) / PurePosixPath(file.part).name
        key = _key(predictor, [file], output=output, options=options)
        if options.resume and (data := remote_files.read(report)) is not None:
            with suppress(msgspec.DecodeError):
                known = msgspec.json.decode(data, type=_Report)
                written = remote_files.stat(target)
                if known.key == key and written is not None and written.size == known.bytes:
                    return known.tally
        tally = predict_file(
            predictor, [file], output=output, options=structs.replace(options, resume=False)
        )
        done = _Report(key, output.stat().st_size, tally)
        remote_files.upload(output, target)
        output.write_bytes(msgspec.json.encode(done))
        remote_files.upload(output, report)
    return tally


def _publish(stage: Path, folder: Path, *, parts: Sequence[str]) -> None:
    """Give a folder of complete parts its name."""
    remove(stage / REPORTS)
    expected = {stage / part for part in parts}
    for path in stage.rglob("*"):  # parts whose rows were removed before the work was continued
        if path.is_file() and path not in expected:
            path.unlink()
    if folder.is_dir():
        folder.rmdir()  # it is empty
    stage.replace(folder)
    sync_folder(folder.parent)


class Position(Struct, frozen=True, kw_only=True):
    """A position between two batches.

    Attributes:
        file: The number of files before the current one.
        pieces: The number of pieces before it in this file.
        file_rows: The number of rows before it in this file.
        rows: The number of rows before it in all files.
    """

    file: int = 0
    pieces: int = 0
    file_rows: int = 0
    rows: int = 0


class PredictedBatch(NamedTuple):
    """A batch of predictions.

    Attributes:
        table: The columns of the output.
        rows: The batch, as rows of the output; none when a file is opened.
        tally: The counts over the batch.
        after: The position after it.
    """

    table: prediction_files.PredictionTable
    rows: pa.Table
    tally: Tally
    after: Position


class _Journal(Struct, frozen=True, kw_only=True):
    """How far a partial file was written.

    Attributes:
        key: What decides its bytes.
        bytes: The bytes of its complete batches.
        crc: The CRC-32 of these.
        after: The position in the rows.
        tally: The counts over these batches.
    """

    key: str
    bytes: int
    crc: int
    after: Position
    tally: Tally


def predict_file(
    predictor: Predictor,
    files: Sequence[RowPath],
    *,
    output: Path,
    options: Options,
    report: ReportProgress = ignore,
) -> Tally:
    """Write the predictions for files into one file.

    The file has another name until it is complete. If the process is killed, a text file can be
    continued after its last complete batch.

    Args:
        predictor: The model.
        files: The files of rows.
        output: The file to write, whose extension is its format.
        options: How rows are predicted.
        report: Called after each batch.

    Raises:
        DataError, CallError: As `infer_files`.
        StoreError: If it cannot be written, or another process writes it.
    """
    output_format = prediction_files.format_of(str(output))
    partial = output.with_name(f".{output.name}.partial")
    journal = output.with_name(f".{output.name}.partial.json")
    write = _write_text if output_format in TEXT_FORMATS else _write_binary
    with translate_os_errors(output), _locked(output.with_name(f".{output.name}.lock")):
        try:
            tally = write(predictor, files, output=output, options=options, report=report)
        except PipelineError as error:
            if not isinstance(error, StoreError):  # what was written is not wanted
                partial.unlink(missing_ok=True)
                journal.unlink(missing_ok=True)
            raise
        except OSError as error:
            error.filename = str(output)  # the partial file is nothing that the user named
            raise
        partial.replace(output)
        journal.unlink(missing_ok=True)
        sync_folder(output.parent)
    return tally


def _write_text(
    predictor: Predictor,
    files: Sequence[RowPath],
    *,
    output: Path,
    options: Options,
    report: ReportProgress,
) -> Tally:
    """Write a partial file of text, and after each batch how far it is."""
    partial = output.with_name(f".{output.name}.partial")
    journal = output.with_name(f".{output.name}.partial.json")
    can_resume = all(file.path != "-" for file in files)
    if options.resume and not can_resume:
        raise CallError(
            "standard input cannot be continued",
            location=Location("--resume"),
            remedy="name a file of rows",
        )
    key = _key(predictor, files, output=output, options=options) if can_resume else ""
    done = _read_json(journal, _Journal) if options.resume else None
    if done is not None and (done.key != key or _crc(partial, done.bytes) != done.crc):
        done = None
    tally, after = (done.tally, done.after) if done else (Tally(), Position())
    with partial.open("r+b" if done else "wb") as file:
        size, crc = (done.bytes, done.crc) if done else (0, 0)
        file.truncate(size)
        file.seek(size)
        output_format = prediction_files.format_of(str(output))
        for step in steps(
            predictor,
            files,
            output_format=output_format,
            options=options,
            begin=after,
            report=report,
        ):
            batch = io.BytesIO()
            with prediction_files.writer(batch, step.table, header=size == 0) as writer:
                writer.write(step.rows)
            data = batch.getvalue()
            file.write(data)
            file.flush()
            size, crc, tally = size + len(data), zlib.crc32(data, crc), tally + step.tally
            if can_resume:
                state = _Journal(key=key, bytes=size, crc=crc, after=step.after, tally=tally)
                _replace(journal, msgspec.json.encode(state))
        os.fsync(file.fileno())
    return tally


def _write_binary(
    predictor: Predictor,
    files: Sequence[RowPath],
    *,
    output: Path,
    options: Options,
    report: ReportProgress,
) -> Tally:
    """Write a partial file of Parquet or Arrow IPC, which is of no use until it is complete."""
    partial = output.with_name(f".{output.name}.partial")
    output_format = prediction_files.format_of(str(output))
    tally = Tally()
    try:
        with partial.open("wb") as file:
            with ExitStack() as stack:
                writer: prediction_files.Writer | None = None
                for step in steps(
                    predictor, files, output_format=output_format, options=options, report=report
                ):
                    if writer is None:
                        opened = prediction_files.writer(file, step.table)
                        writer = stack.enter_context(opened)
                    if len(step.rows):
                        writer.write(step.rows)
                    tally += step.tally
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return tally


def steps(
    predictor: Predictor,
    files: Sequence[RowPath],
    *,
    output_format: OutputFormat | None,
    options: Options,
    begin: Position = Position(),  # noqa: B008  (frozen)
    report: ReportProgress = ignore,
) -> Iterator[PredictedBatch]:
    """Yield the predictions for files in batches, with an empty one as each file is opened.

    Args:
        predictor: The model.
        files: The files of rows, as one table.
        output_format: The format of the predictions; that of the rows by default.
        options: How rows are predicted.
        begin: Where to begin.
        report: Called after each batch.

    Raises:
        DataError, CallError: As `infer_files`.
    """
    layout = Layout.of(predictor.manifest, options.keep)
    table: prediction_files.PredictionTable | None = None
    position, meter = begin, FileMeter(files, report)
    for index, path in enumerate(files):
        if index < begin.file:
            continue
        with path.open() as stream, row_batches.opened(stream, path.name, layout=layout) as file:
            own = _table_of(predictor, file, layout=layout, output_format=output_format)
            if table is not None and own.schema != table.schema:
                raise DataError(
                    "has other columns to carry over than the files before it, or of other types",
                    location=Location(path.name),
                )
            table = table or own
            yield PredictedBatch(
                table=table, rows=table.schema.empty_table(), tally=Tally(), after=position
            )
            for number, piece in enumerate(file.pieces):
                if number < position.pieces:
                    continue
                step = _step(predictor, piece, table=table, position=position, options=options)
                position = step.after
                yield step
                meter.batch(index, stream, rows=position.rows, known=file.rows)
        position = Position(file=index + 1, rows=position.rows)


def _table_of(
    predictor: Predictor,
    file: row_batches.RowFile,
    *,
    layout: Layout,
    output_format: OutputFormat | None,
) -> prediction_files.PredictionTable:
    kept = [
        KeptColumn(name, dtype, file.kept_as_json)
        for name, dtype in zip(layout.keep, file.kept, strict=True)
    ]
    return prediction_files.PredictionTable.of(
        predictor.interface,
        layout.id if file.has_id else None,
        kept=kept,
        output_format=output_format or file.output_format,
    )


def _step(
    predictor: Predictor,
    piece: Piece,
    *,
    table: prediction_files.PredictionTable,
    position: Position,
    options: Options,
) -> PredictedBatch:
    """Return the predictions for a piece of a file."""
    import pyarrow as pa

    read = _read(piece, position.file_rows, on_error=options.on_error)
    rows = read.rows
    if rows is None:
        predicted = table.schema.empty_table()
        tally = Tally()
    else:
        ids: Any = rows.ids
        if ids is None:
            ids = pa.array(read.numbers + (position.rows + 1))
        predicted = table.rows(ids, rows.kept, outputs=predictor.run(rows.batch))
        tally = Tally(
            rows=len(read.numbers),
            extra=rows.extra,
            unseen=rows.unseen,
            outside=_outside(rows, predictor),
        )
    tally += Tally(skipped=read.total - len(read.numbers), first_skipped=read.first_skipped)
    after = Position(
        file=position.file,
        pieces=position.pieces + 1,
        file_rows=position.file_rows + read.total,
        rows=position.rows + read.total,
    )
    return PredictedBatch(table=table, rows=predicted, tally=tally, after=after)


class _PieceRows(NamedTuple):
    """The rows of a piece that a model takes.

    Attributes:
        rows: The rows; None if all were skipped.
        numbers: (n_rows,) their numbers in the piece, counted from 0.
        total: The number of all rows in it.
        first_skipped: The errors of the first rows that were skipped.
    """

    rows: CheckedRows | None
    numbers: NDArray[np.int64]
    total: int
    first_skipped: list[str]


def _read(piece: Piece, first_row: int, *, on_error: OnError) -> _PieceRows:
    """Read a piece of a file; halve it where it has rows to skip.

    Args:
        piece: The piece.
        first_row: The number of rows before it in the file.
        on_error: Whether to skip rows.

    Raises:
        DataError: If it has rows to refuse.
    """
    import numpy as np

    try:
        rows = piece.read()
    except DataError as error:
        location = error.location
        if location is not None and location.row is not None:
            location = structs.replace(location, row=location.row + first_row)
        if on_error == "fail":
            raise DataError(error.problem, location=location, remedy=error.remedy) from error
        if len(piece) == 1:
            shown = DataError(error.problem, location=location, remedy=error.remedy)
            return _PieceRows(
                rows=None,
                numbers=np.empty(0, dtype=np.int64),
                total=1,
                first_skipped=[str(shown)],
            )
    else:
        count = len(rows.batch[0]) if isinstance(rows.batch, list) else len(rows.batch)
        return _PieceRows(rows=rows, numbers=np.arange(count), total=count, first_skipped=[])
    half = len(piece) // 2
    before = _read(piece.slice(0, half), first_row, on_error=on_error)
    after = _read(piece.slice(half, len(piece)), first_row + before.total, on_error=on_error)
    parts = [part.rows for part in (before, after) if part.rows is not None]
    return _PieceRows(
        rows=row_batches.joined(parts) if parts else None,
        numbers=np.concatenate([before.numbers, after.numbers + before.total]),
        total=before.total + after.total,
        first_skipped=[*before.first_skipped, *after.first_skipped][:MAX_SHOWN],
    )


def _outside(rows: CheckedRows, predictor: Predictor) -> dict[str, int]:
    """Return the number of rows with a number outside the range of the training rows, by column."""
    import numpy as np

    interface = predictor.interface
    columns = rows.batch if isinstance(rows.batch, list) else list(rows.batch.T)
    counts = {}
    for name, values, known in zip(
        interface.features, columns, interface.training or (), strict=False
    ):
        if known.range is not None:
            low, high = known.range
            if count := int(np.count_nonzero((values < low) | (values > high))):
                counts[name] = count
    return counts


def _key(predictor: Predictor, files: Sequence[RowPath], *, output: Path, options: Options) -> str:
    """Return a digest of what decides the bytes of a file of predictions."""
    return canonical.digest(
        canonical.encode(
            {
                "artifact": predictor.digest,
                "batch_rows": Layout.of(predictor.manifest).rows,
                "format": output.suffix.lower(),
                "keep": list(options.keep),
                "on_error": options.on_error,
                "rows": [file.fingerprint() for file in files],
                "version": __version__,
            }
        )
    )


def _read_json(path: Path, struct: type[T]) -> T | None:
    """Return what a file holds, None if there is none or it is incomplete."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=struct)
    except (OSError, msgspec.DecodeError):
        return None


def _replace(path: Path, data: bytes) -> None:
    """Replace a file that a killed process may leave old, but not a failing disk: see `_crc`."""
    new = path.with_name(f"{path.name}.new")
    new.write_bytes(data)
    new.replace(path)


def _crc(path: Path, size: int) -> int | None:
    """Return the CRC-32 of the first bytes of a file, None if it has fewer."""
    crc = 0
    try:
        with path.open("rb") as file:
            while size and (block := file.read(min(size, 1 << 20))):
                crc, size = zlib.crc32(block, crc), size - len(block)
    except OSError:
        return None
    return None if size else crc


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Lock an output, so that only one process writes it."""
    with ExitStack() as stack:
        try:
            stack.enter_context(file_lock(path, "another process writes the same output"))
        except PipelineError:
            raise
        except OSError as error:
            error.filename = str(path.parent)  # the lock is nothing that the user named
            raise
        try:
            yield
        finally:
            with suppress(OSError):  # Windows removes no open file
                path.unlink()
