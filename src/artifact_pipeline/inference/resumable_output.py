"""A file of predictions that another process can continue if its writer is killed."""

from __future__ import annotations

import errno
import io
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
from msgspec import Struct

from artifact_pipeline._version import __version__
from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.progress import ReportProgress, ignore
from artifact_pipeline.disk import (
    file_lock,
    sync_folder,
    translate_os_errors,
)
from artifact_pipeline.errors import (
    CallError,
    EnvironmentFailure,
    Location,
    PipelineError,
    StoreError,
)
from artifact_pipeline.inference import prediction_files
from artifact_pipeline.inference.predicted_batches import Position, predict_batches
from artifact_pipeline.inference.prediction_files import TEXT_FORMATS, OutputFormat
from artifact_pipeline.inference.predictor import Predictor
from artifact_pipeline.inference.row_layout import Layout
from artifact_pipeline.inference.row_paths import RowPath
from artifact_pipeline.inference.tally import Options, Tally

T = TypeVar("T")


class _Journal(Struct, frozen=True, kw_only=True):
    """The progress of a partial file.

    Attributes:
        key: A digest of everything that decides its bytes.
        bytes: The bytes of its complete batches.
        crc: The CRC-32 of these bytes.
        after: The position in the rows.
        tally: The counts over these batches.
    """

    key: str
    bytes: int
    crc: int
    after: Position
    tally: Tally


class OutputFile(NamedTuple):
    """A file of predictions, and the files beside it while it is written.

    Attributes:
        path: Its path, whose extension is its format.
    """

    path: Path

    @property
    def format(self) -> OutputFormat:
        return prediction_files.format_of(str(self.path))

    @property
    def partial(self) -> Path:
        """The file until it is complete."""
        return self.path.with_name(f".{self.path.name}.partial")

    @property
    def journal(self) -> Path:
        """The file with its progress."""
        return self.path.with_name(f".{self.path.name}.partial.json")

    @property
    def lock(self) -> Path:
        return self.path.with_name(f".{self.path.name}.lock")


class _Work(Struct, frozen=True, kw_only=True):
    """The arguments of `predict_file`."""

    predictor: Predictor
    files: Sequence[RowPath]
    output: OutputFile
    options: Options
    report: ReportProgress


def predict_file(
    predictor: Predictor,
    files: Sequence[RowPath],
    *,
    output: Path,
    options: Options,
    report: ReportProgress = ignore,
    may_be_empty: bool = False,
) -> Tally:
    """Write the predictions for files into one file.

    The file has another name until it is complete. If the process is killed, a text file can be
    continued after its last complete batch.

    Args:
        predictor: The model.
        files: The files of rows.
        output: The file to write, whose extension is its format.
        options: The options of the prediction.
        report: Called after each batch.
        may_be_empty: Whether it may have no predictions, as a part may.

    Raises:
        DataError, CallError: As `infer_files`.
        StoreError: If it cannot be written, or another process writes it.
    """
    file = OutputFile(output)
    work = _Work(predictor=predictor, files=files, output=file, options=options, report=report)
    with translate_os_errors(output), locked(file.lock, output):
        try:
            tally = (_write_text if file.format in TEXT_FORMATS else _write_binary)(work)
            if not may_be_empty:
                tally.check_any(files[0].name)
        except PipelineError as error:
            if not isinstance(error, EnvironmentFailure):  # the partial file is useless
                file.partial.unlink(missing_ok=True)
                file.journal.unlink(missing_ok=True)
            raise
        except OSError as error:
            error.filename = str(output)  # the user did not name the partial file
            raise
        file.partial.replace(output)
        file.journal.unlink(missing_ok=True)
        sync_folder(output.parent)
    return tally


def _write_text(work: _Work) -> Tally:
    """Write a partial file of text, and its progress after each batch."""
    files, options, output = work.files, work.options, work.output
    can_resume = all(file.path != "-" for file in files)
    if options.resume and not can_resume:
        raise CallError(
            "standard input cannot be continued",
            location=Location("--resume"),
            remedy="name a file of rows",
        )
    key = ""
    if can_resume:
        key = key_of(work.predictor, files, output=output.path, options=options)
    done = read_state(output.journal, _Journal) if options.resume else None
    if done is not None and (done.key != key or crc_of(output.partial, done.bytes) != done.crc):
        done = None
    tally, begin = (done.tally, done.after) if done else (Tally(), Position())
    with output.partial.open("r+b" if done else "wb") as file:
        size, crc = (done.bytes, done.crc) if done else (0, 0)
        file.truncate(size)
        file.seek(size)
        for step in predict_batches(
            work.predictor,
            files,
            output_format=output.format,
            options=options,
            begin=begin,
            report=work.report,
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
                _replace(output.journal, encode_state(state))
        os.fsync(file.fileno())
    return tally


def _write_binary(work: _Work) -> Tally:
    """Write a partial file of Parquet or Arrow IPC, which is useless until it is complete."""
    partial = work.output.partial
    tally = Tally()
    try:
        with partial.open("wb") as file:
            with ExitStack() as stack:
                writer: prediction_files.Writer | None = None
                for step in predict_batches(
                    work.predictor,
                    work.files,
                    output_format=work.output.format,
                    options=work.options,
                    report=work.report,
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


def key_of(
    predictor: Predictor, files: Sequence[RowPath], *, output: Path, options: Options
) -> str:
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


def encode_state(state: Struct) -> bytes:
    """Return the bytes of a file with the progress of work, which `decode_state` checks."""
    data = msgspec.json.encode(state)
    return data + b"\n%08x\n" % zlib.crc32(data)


def decode_state(data: bytes, struct: type[T]) -> T | None:
    """Return the progress in bytes of `encode_state`, None if they are damaged."""
    text, _, crc = data.removesuffix(b"\n").rpartition(b"\n")
    if crc != b"%08x" % zlib.crc32(text):
        return None
    try:
        return msgspec.json.decode(text, type=struct)
    except msgspec.DecodeError:
        return None


def read_state(path: Path, struct: type[T]) -> T | None:
    """Return the progress in such a file, None if it is missing or damaged."""
    try:
        return decode_state(path.read_bytes(), struct)
    except OSError:
        return None


def _replace(path: Path, data: bytes) -> None:
    """Replace a file without flushing it: a lost write is harmless, see `crc_of`."""
    new = path.with_name(f"{path.name}.new")
    new.write_bytes(data)
    new.replace(path)


def crc_of(path: Path, size: int) -> int | None:
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
def locked(path: Path, output: Path) -> Iterator[None]:
    """Lock an output, so that only one process writes it.

    Args:
        path: The file to lock.
        output: The output in errors, because the user did not name the lock.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(file_lock(path, "another process writes the same output"))
        except StoreError as error:
            location = Location(str(output))
            raise StoreError(error.problem, location=location, remedy=error.remedy) from error
        except OSError as error:
            is_long = error.errno == errno.ENAMETOOLONG  # with the suffix of the partial file
            error.filename = str(output if is_long else path.parent)
            raise
        try:
            yield
        finally:
            with suppress(OSError):  # Windows cannot remove an open file
                path.unlink()
