"""A folder of predictions with a part for each file of rows, on disk or in an object store."""

from __future__ import annotations

import filecmp
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from msgspec import Struct, structs

from artifact_pipeline.builder.data import remote_files
from artifact_pipeline.disk import (
    remove,
    sync_folder,
    write_atomically,
)
from artifact_pipeline.errors import CallError, Location
from artifact_pipeline.inference.predictor import Predictor
from artifact_pipeline.inference.resumable_output import (
    crc_of,
    decode_state,
    encode_state,
    key_of,
    predict_file,
    read_state,
)
from artifact_pipeline.inference.row_paths import RowPath
from artifact_pipeline.inference.tally import Options, Tally

REMOTE_REPORTS = "_reports"

REPORTS = ".reports"
"""The folder with a report on each complete part, until all are complete."""


class _Report(Struct, frozen=True, kw_only=True):
    """The record of a complete part.

    Attributes:
        key: What decides its bytes.
        bytes: Its size.
        crc: Its CRC-32.
        tally: The counts over its rows.
    """

    key: str
    bytes: int
    crc: int | None
    tally: Tally

    @classmethod
    def of(cls, output: Path, *, key: str, tally: Tally) -> _Report:
        """Return the report on a file that is complete."""
        size = output.stat().st_size
        return cls(key=key, bytes=size, crc=crc_of(output, size), tally=tally)


class PartResult(Struct, frozen=True):
    """The result for a part.

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
    key = key_of(predictor, [file], output=output, options=options)
    if options.resume and (known := read_state(report, _Report)) is not None:
        with suppress(OSError):
            is_same = known.key == key and output.stat().st_size == known.bytes
            if is_same and crc_of(output, known.bytes) == known.crc:
                return PartResult(known.tally, is_resumed=True)
    for path in (output, report):
        path.parent.mkdir(parents=True, exist_ok=True)
    tally = predict_file(predictor, [file], output=output, options=options, may_be_empty=True)
    write_atomically(report, encode_state(_Report.of(output, key=key, tally=tally)))
    return PartResult(tally)


def _predict_remote_part(
    predictor: Predictor, file: RowPath, *, folder: str, options: Options
) -> PartResult:
    """Write the predictions for a file into an object store, unless it has them already."""
    target = f"{folder}/{file.part}"
    report = f"{folder}/{REMOTE_REPORTS}/{file.part}.json"
    with TemporaryDirectory() as temporary:
        output = Path(temporary) / PurePosixPath(file.part).name
        key = key_of(predictor, [file], output=output, options=options)
        if options.resume and (data := remote_files.read(report)) is not None:
            known, written = decode_state(data, _Report), remote_files.stat(target)
            is_same = known is not None and written is not None and written.size == known.bytes
            if known is not None and is_same and known.key == key:
                return PartResult(known.tally, is_resumed=True)
        tally = predict_file(
            predictor,
            [file],
            output=output,
            options=structs.replace(options, resume=False),
            may_be_empty=True,
        )
        done = _Report.of(output, key=key, tally=tally)
        remote_files.upload(output, target)
        output.write_bytes(encode_state(done))
        remote_files.upload(output, report)
    return PartResult(tally)


def publish(stage: Path, folder: Path, *, parts: Sequence[str]) -> None:
    """Give a folder of complete parts its name.

    A folder with these parts has that name already where the process was killed after this.

    Raises:
        CallError: If its parts are others.
    """
    remove(stage / REPORTS)
    expected = {stage / part for part in parts}
    for path in stage.rglob("*"):  # parts whose rows were removed before the work continued
        if path.is_file() and path not in expected:
            path.unlink()
    if folder.is_dir() and any(folder.iterdir()):
        is_same = all(filecmp.cmp(stage / part, folder / part, shallow=False) for part in parts)
        remove(stage)
        if not is_same:
            raise CallError(
                "has other predictions",
                location=Location(str(folder)),
                remedy="name a folder that does not exist",
            )
        return
    if folder.is_dir():
        folder.rmdir()
    stage.replace(folder)
    sync_folder(folder.parent)
