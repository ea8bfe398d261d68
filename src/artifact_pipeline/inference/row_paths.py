"""The files of rows that a path names, and the files of their predictions."""

from __future__ import annotations

import glob
import itertools
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath, PurePosixPath
from typing import IO, NamedTuple

from artifact_pipeline.builder.data import remote_files
from artifact_pipeline.builder.data.table_files import check_is_file, check_readable
from artifact_pipeline.errors import CallError, DataError, Location
from artifact_pipeline.inference.prediction_files import OUTPUT_FORMATS
from artifact_pipeline.inference.row_files import ROW_FORMATS

STDIN = "standard input"


class RowPath(NamedTuple):
    """A file of rows.

    Attributes:
        path: Its path; `-` for standard input.
        part: The name of its predictions in a folder of parts.
    """

    path: str
    part: str

    @property
    def name(self) -> str:
        """Its name in errors."""
        return STDIN if self.path == "-" else self.path

    def absolute(self) -> RowPath:
        """Return the file by a path that does not depend on the working folder."""
        if remote_files.is_remote(self.path):
            return self
        return self._replace(path=os.fspath(Path(self.path).absolute()))

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Open the file.

        Raises:
            CallError: If it cannot be read.
        """
        if remote_files.is_remote(self.path):
            with remote_files.open_file(self.path) as remote:
                yield remote
            return
        if self.path == "-":
            if sys.stdin is None:
                problem = "rows cannot be read: it is closed"
                raise CallError(problem, location=Location(STDIN))
            stream: IO[bytes] = sys.stdin.buffer
        else:
            try:
                stream = Path(self.path).open("rb")  # noqa: SIM115
            except (OSError, ValueError) as error:
                raise unreadable(self.path, error) from error
        try:
            yield stream
        except OSError as error:
            raise unreadable(self.name, error) from error
        finally:
            if self.path != "-":
                stream.close()

    def version(self) -> tuple[int, int] | None:
        """Return the size and the time of the last change; None if it is a pipe or gone."""
        if remote_files.is_remote(self.path):
            remote = remote_files.stat(self.path)
            return None if remote is None else (remote.size, remote.changed)
        with suppress(OSError, ValueError):
            status = Path(self.path).stat()
            if self.path != "-" and stat.S_ISREG(status.st_mode):
                return status.st_size, status.st_mtime_ns
        return None

    def fingerprint(self) -> list[str | int]:
        """Return a value that changes when the file does, from its path, size and times.

        Raises:
            CallError: If it cannot be read.
        """
        if remote_files.is_remote(self.path):
            if (remote := remote_files.stat(self.path)) is None:
                raise CallError("no such file", location=Location(self.path))
            return list(remote)
        try:
            status = Path(self.path).stat()
        except (OSError, ValueError) as error:
            raise unreadable(self.path, error) from error
        times = [status.st_mtime_ns, status.st_ctime_ns]  # the first can be set to any time
        return [os.fspath(Path(self.path).absolute()), status.st_size, *times]


def unreadable(path: str, error: Exception) -> CallError:
    """Return the error for a file of rows that cannot be read."""
    reason = getattr(error, "strerror", None) or str(error)
    return CallError(f"rows cannot be read: {reason}", location=Location(path))


class RowPaths(NamedTuple):
    """The files of rows that a path names.

    Attributes:
        files: The files, sorted by name.
        is_many: Whether the path is a folder or a pattern.
        folder: The path if it is a folder.
    """

    files: list[RowPath]
    is_many: bool
    folder: str | None = None


def locate(rows: str) -> RowPaths:
    """Return the files that a path names.

    Args:
        rows: A file, a folder of parts, a pattern such as `parts/*.csv`, or `-`.

    Raises:
        CallError: If there is no file.
        DataError: If it is not a table, or the files in a folder have several formats.
    """
    if remote_files.is_remote(rows):
        return _locate_remote(rows)
    check_is_file(rows)
    root = Path(rows)
    try:
        is_folder = root.is_dir()
        is_pattern = not is_folder and glob.has_magic(rows) and not os.path.lexists(rows)
    except (OSError, ValueError) as error:
        raise unreadable(rows, error) from error
    if rows == "-" or not (is_folder or is_pattern):
        if root.suffix.lower() not in ROW_FORMATS:
            check_readable(rows)
        return RowPaths([RowPath(rows, PurePath(rows).name)], is_many=False)
    if is_folder:
        names = [str(path) for path in root.rglob("*")]
    else:
        # A pattern may be absolute, which pathlib's glob does not take.
        names = glob.glob(rows, recursive=True)  # noqa: PTH207
        plain = itertools.takewhile(lambda part: not glob.has_magic(part), root.parts)
        root = Path(*plain)
    parts = {
        part: path
        for path in names
        if not is_hidden(part := Path(path).relative_to(root).as_posix())
        and (is_pattern or PurePath(_unpacked(path)).suffix.lower() in OUTPUT_FORMATS)
        and Path(path).is_file()
    }
    return RowPaths(checked(parts, rows), is_many=True, folder=rows if is_folder else None)


def _locate_remote(url: str) -> RowPaths:
    """Return the files that an address in an object store names."""
    is_pattern = remote_files.is_pattern(url)
    if not is_pattern and remote_files.stat(url) is not None:
        return RowPaths([RowPath(url, PurePosixPath(url).name)], is_many=False)
    folder = url.rstrip("/")
    if is_pattern:
        plain = itertools.takewhile(lambda part: not glob.has_magic(part), url.split("/"))
        folder = "/".join(plain)
    files = remote_files.find(url if is_pattern else folder)
    if not files:
        raise CallError("no such file or folder", location=Location(url))
    parts = {
        part: file.url
        for file in files
        if not is_hidden(part := file.url.removeprefix(f"{folder}/"))
        and (is_pattern or PurePosixPath(_unpacked(part)).suffix.lower() in OUTPUT_FORMATS)
    }
    return RowPaths(checked(parts, url), is_many=True, folder=None if is_pattern else folder)


def checked(parts: dict[str, str], rows: str) -> list[RowPath]:
    """Return the files in a folder in the order of their names.

    Args:
        parts: Their paths by their names in the folder.
        rows: The folder or pattern.

    Raises:
        CallError: If there are none.
        DataError: If they have several formats.
    """
    if not parts:
        extensions = ", ".join(OUTPUT_FORMATS)
        problem = f"has no file that ends in {extensions}"
        raise CallError(problem, location=Location(rows))
    formats = {ROW_FORMATS.get(PurePosixPath(_unpacked(part)).suffix.lower()) for part in parts}
    if len(formats) > 1:
        problem = "has files of several formats, expected one"
        raise DataError(problem, location=Location(rows))
    return [RowPath(parts[part], _unpacked(part)) for part in sorted(parts)]


def check_distinct(files: Sequence[RowPath], folder: str) -> None:
    """Check that no two files have the same part for their predictions.

    Args:
        files: The files, in the order of their names.
        folder: The folder of parts.

    Raises:
        CallError: If two do, such as `a.csv` and `a.csv.gz`.
    """
    paths: dict[str, str] = {}
    for file in files:
        if file.part in paths:
            raise CallError(
                f"{paths[file.part]} and {file.path} would both be written to {file.part}",
                location=Location(folder),
                remedy="rename one of them, or name a file with --output",
            )
        paths[file.part] = file.path


def is_hidden(part: str) -> bool:
    """Return whether a file is ignored because a name in its path begins with `.` or `_`."""
    return any(name[:1] in "._" for name in PurePosixPath(part).parts)


def _unpacked(part: str) -> str:
    return part[:-3] if part.lower().endswith(".gz") else part
