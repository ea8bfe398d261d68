"""Predictions written in batches to a file or a part, with a journal to continue from."""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, TypeVar

import msgspec
from msgspec import Struct, structs

from artifact_pipeline._version import __version__
from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.data import remote_files
from artifact_pipeline.builder.progress import ReportProgress, ignore
from artifact_pipeline.disk import (
    file_lock,
    remove,
    sync_folder,
    translate_os_errors,
    write_atomically,
)
from artifact_pipeline.errors import CallError, DataError, Location, PipelineError, StoreError
from artifact_pipeline.inference import prediction_files, row_batches
from artifact_pipeline.inference.file_progress import FileMeter
from artifact_pipeline.inference.prediction_files import TEXT_FORMATS, KeptColumn, OutputFormat
from artifact_pipeline.inference.predictor import Predictor
from artifact_pipeline.inference.row_batches import CheckedRows, Layout, Piece
from artifact_pipeline.inference.row_paths import RowPath

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray


OnError: TypeAlias = Literal["fail", "skip"]

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


class _Report(Struct, frozen=True):
    """That a part is complete."""

    key: str
    bytes: int
    tally: Tally


class PartResult(Struct, frozen=True):
    """What was done for a part.

    Attributes:
        tally: The counts over its rows.
        is_resumed: Whether it was complete before.
    """

    tally: Tally
    is_resumed: bool = False


def predict_part(
    predictor: Predictor, file: RowPath, *, folder: str, options: Options
) -> PartResult:
    """Write the predictions for a file into a folder, unless it has them already."""
    if remote_files.is_remote(folder):
        return _predict_remote_part(predictor, file, folder=folder, options=options)
    output = Path(folder, file.part)
    report = Path(folder, REPORTS, f"{file.part}.json")
    key = _key(predictor, [file], output=output, options=options)
    if options.resume and (known := _read_json(report, _Report)) is not None:
        with suppress(OSError):
            if known.key == key and output.stat().st_size == known.bytes:
                return PartResult(known.tally, is_resumed=True)
    for path in (output, report):
        path.parent.mkdir(parents=True, exist_ok=True)
    tally = predict_file(predictor, [file], output=output, options=options)
    done = _Report(key, output.stat().st_size, tally)
    write_atomically(report, msgspec.json.encode(done))
    return PartResult(tally)


def _predict_remote_part(
    predictor: Predictor, file: RowPath, *, folder: str, options: Options
) -> PartResult:
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
                    return PartResult(known.tally, is_resumed=True)
        tally = predict_file(
            predictor, [file], output=output, options=structs.replace(options, resume=False)
        )
        done = _Report(key, output.stat().st_size, tally)
        remote_files.upload(output, target)
        output.write_bytes(msgspec.json.encode(done))
        remote_files.upload(output, report)
    return PartResult(tally)


def publish(stage: Path, folder: Path, *, parts: Sequence[str]) -> None:
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
    with translate_os_errors(output), locked(output.with_name(f".{output.name}.lock")):
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
    position = begin
    meter = FileMeter(files, report, skipped_files=begin.file, skipped_rows=begin.rows)
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
                    meter.skip(index, stream)
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
def locked(path: Path) -> Iterator[None]:
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
