"""Progress of predictions for files: in rows if their number is known, otherwise in bytes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from artifact_pipeline.builder.data import remote_files
from artifact_pipeline.builder.progress import PhaseProgress, ReportProgress
from artifact_pipeline.inference.row_paths import RowPath

PHASE = "predict"


class FileMeter:
    """Reports the progress of predictions for files.

    Args:
        files: The files, as one table.
        report: Called after each batch.
        skipped_files: The number of files that were predicted before.
        skipped_rows: The number of rows that were predicted before.
    """

    def __init__(
        self,
        files: Sequence[RowPath],
        report: ReportProgress,
        *,
        skipped_files: int = 0,
        skipped_rows: int = 0,
    ) -> None:
        self._report = report
        self._sizes = [_size(file) for file in files]
        self._skipped_rows = skipped_rows
        self._skipped_bytes = sum(self._sizes[:skipped_files])

    def skip(self, file: int, stream: IO[bytes]) -> None:
        """Note that a batch was predicted before.

        Args:
            file: The number of files before the file of the batch.
            stream: That file.
        """
        self._skipped_bytes = self._bytes(file, stream)

    def _bytes(self, file: int, stream: IO[bytes]) -> int:
        done = sum(self._sizes[:file])
        with suppress(OSError, ValueError):  # a stream without positions
            done += min(stream.tell(), self._sizes[file])
        return done

    def batch(self, file: int, stream: IO[bytes], *, rows: int, known: int | None) -> None:
        """Report that a batch is written.

        Args:
            file: The number of files before the file of the batch.
            stream: That file.
            rows: The number of predicted rows of all files.
            known: The number of rows of that file, if it is known.
        """
        total = sum(self._sizes)
        if known is not None and len(self._sizes) == 1:
            progress = PhaseProgress(
                phase=PHASE, done=rows, total=known, unit="rows", resumed=self._skipped_rows
            )
        elif total:
            progress = PhaseProgress.of_bytes(
                PHASE,
                self._bytes(file, stream),
                total=total,
                note=f", {rows:,} rows",
                resumed=self._skipped_bytes,
            )
        else:
            progress = PhaseProgress(phase=PHASE, done=rows, unit="rows")
        self._report(progress)


def report_part(report: ReportProgress, parts: int, *, total: int, rows: int, resumed: int) -> None:
    """Report that another part of a folder is complete.

    Args:
        report: Called with the progress.
        parts: The number of complete parts.
        total: The number of all parts.
        rows: The number of rows in the complete ones.
        resumed: The number of parts that were complete before.
    """
    unit = f"parts, {rows:,} rows"
    report(PhaseProgress(phase=PHASE, done=parts, total=total, unit=unit, resumed=resumed))


def _size(file: RowPath) -> int:
    """Return the size of a file in bytes; 0 if it is unknown, as for a pipe."""
    if file.path == "-":
        return 0
    if remote_files.is_remote(file.path):
        remote = remote_files.stat(file.path)
        return 0 if remote is None else remote.size
    with suppress(OSError, ValueError):
        return Path(file.path).stat().st_size
    return 0
