"""The files that a path stands for, and their digest.

The digest of a table is that of its files in order, so computing it only takes reading them.
"""

from __future__ import annotations

import glob
import io
import itertools
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, BinaryIO, Literal, TypeAlias

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.builder.config.messages import show
from artifact_pipeline.builder.data import remote_files
from artifact_pipeline.builder.data.remote_files import RemotePath
from artifact_pipeline.errors import DataError, Location

if TYPE_CHECKING:
    import pyarrow as pa

Format: TypeAlias = Literal["csv", "parquet", "jsonl"]

TablePath: TypeAlias = Path | RemotePath

FORMATS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
"""The format of a table by the extension of its file."""

PACKAGED = (".json", ".csv.gz", ".tsv.gz", ".jsonl.gz", ".ndjson.gz", ".json.gz", ".zip")
"""Endings of further files that are read where they are named; in folders they are not tables."""
_REMEDIES = {
    ".xlsx": "save the sheet as CSV",
    ".xls": "save the sheet as CSV",
    ".ods": "save the sheet as CSV",
    ".feather": "write it as Parquet",
    ".arrow": "write it as Parquet",
    ".sqlite": "export the table as CSV",
    ".db": "export the table as CSV",
    ".dta": "write it as Parquet or CSV",
    ".sav": "write it as Parquet or CSV",
    ".txt": "name it .csv if it is one",
    ".gz": "name it for its format, such as table.csv.gz",
    ".yaml": "write its rows as CSV or JSON lines",
    ".yml": "write its rows as CSV or JSON lines",
    ".xml": "write its rows as CSV or JSON lines",
}
"""What to do with files that are often tables."""
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_RACY = 2 * 10**9
"""Nanoseconds: a file that changed so recently may change again without changing its times."""


def locate(path: str, base: str | os.PathLike[str]) -> Sequence[TablePath]:
    """Return the files that a path stands for, sorted by name.

    Args:
        path: A file, a folder of files, or a pattern such as `parts/*.csv`; on disk, or in an
            object store such as `s3://bucket/table.csv`.
        base: The folder that `path` is relative to.

    Raises:
        DataError: If there is no file, one is not a table, or they are of several formats.
        NetworkError: If an object store cannot be reached, or refuses it.
    """
    if remote_files.is_remote(path):
        found = _locate_remote(path)
        _check_tables(found, path)
        return found
    check_is_file(path)
    root = Path(base) / path
    try:
        if root.is_dir():
            files = [
                file
                for file in sorted(root.rglob("*"), key=Path.as_posix)
                if file.suffix.lower() in FORMATS and file.is_file() and not _is_hidden(file, root)
            ]
        elif root.is_file() or not glob.has_magic(path):
            files = [root]
        else:
            # A pattern may be absolute, which pathlib's glob does not take.
            names = sorted(glob.glob(str(root), recursive=True))  # noqa: PTH207
            files = [Path(name) for name in names if Path(name).is_file()]
        missing = not files or not all(file.is_file() for file in files)
    except (OSError, ValueError) as error:  # a path with a NUL, or too long
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"cannot be read: {reason}", location=Location(str(root))) from error
    extensions = ", ".join(FORMATS)
    if missing:
        is_folder = root.is_dir()
        raise DataError(
            f"has no file that ends in {extensions}" if is_folder else "no such file",
            location=Location(str(root)),
            remedy="data.path is relative to the config" if os.fspath(base) else None,
        )
    _check_tables(files, str(root))
    return files


def _locate_remote(url: str) -> list[RemotePath]:
    """Return the files that an address in an object store stands for."""
    is_pattern = remote_files.is_pattern(url)
    if not is_pattern and remote_files.stat(url) is not None:
        return [RemotePath(url)]
    files = [RemotePath(file.url) for file in remote_files.find(url)]
    if not is_pattern:
        root = RemotePath(url)
        files = [
            file for file in files if file.suffix.lower() in FORMATS and not _is_hidden(file, root)
        ]
    if not files:
        raise DataError("no such file", location=Location(url))
    return files


def _check_tables(files: Sequence[TablePath], root: str) -> None:
    """Check that files are tables of one format."""
    extensions = ", ".join(FORMATS)
    for file in files:
        if not file.name.lower().endswith((*FORMATS, *PACKAGED)):
            remedy = _REMEDIES.get(file.suffix.lower(), f"expected a name in {extensions}")
            raise DataError("is not a table", location=Location(str(file)), remedy=remedy)
    if len({format_of(file) for file in files}) > 1:
        raise DataError(
            "has tables of several formats, expected one",
            location=Location(root),
            remedy=f"name a file, or a pattern such as *{files[0].suffix}",
        )


def check_is_file(path: str) -> None:
    """Check that a path is not a URL.

    Raises:
        DataError: If it is one.
    """
    if _URL.match(path):
        raise DataError(
            "is a URL; tables are read from disk, so that a run does not depend on the network",
            location=Location(path),
            remedy="download it first",
        )


def check_readable(name: str) -> None:
    """Check that the name of a file is not that of a format which nothing here reads.

    Raises:
        DataError: If its extension is one of `_REMEDIES`; the text in a .txt may be a CSV.
    """
    suffix = PurePath(name).suffix.lower()
    if suffix in _REMEDIES and suffix != ".txt" and not name.lower().endswith(PACKAGED):
        raise DataError("is not a table", location=Location(name), remedy=_REMEDIES[suffix])


def check_keys(
    files: Sequence[TablePath], path: str, *, base: str | os.PathLike[str], columns: Sequence[str]
) -> None:
    """Check that the keys of a partitioned folder, such as `year=2024/`, are columns.

    The folders of files are not part of their digest, so a key cannot be a value of the rows.

    Args:
        files: The files of a table.
        path: The path that stands for them.
        base: The folder that `path` is relative to.
        columns: The columns of the table.

    Raises:
        DataError: If a folder between `path` and a file has a key that is not a column.
    """
    root = _root_of(path, base)
    if root is None:
        return
    for file in files:
        for part in file.relative_to(root).parts[:-1]:
            key, equals, _ = part.partition("=")
            if equals and key and key not in columns:
                raise DataError(
                    f"is in the folder {show(part)}, and its rows have no column {show(key)}",
                    location=Location(str(file)),
                    remedy="write the table with that column in its files",
                )


def _root_of(path: str, base: str | os.PathLike[str]) -> TablePath | None:
    """Return the folder below which a path has files, None if the path is a file."""
    plain = itertools.takewhile(lambda part: not glob.has_magic(part), PurePath(path).parts)
    if remote_files.is_remote(path):
        root = RemotePath(*plain)
        return None if root.name.lower().endswith((*FORMATS, *PACKAGED)) else root
    folder = Path(base) / path
    if folder.is_file():
        return None
    return folder if folder.is_dir() else Path(base, *plain)


def format_of(file: TablePath) -> Format:
    """Return the format of a file by its extension, or by that of the file packed in it.

    Raises:
        DataError: If a zip file does not hold one table.
    """
    name = file.stem if file.suffix.lower() == ".gz" else file.name
    if file.suffix.lower() == ".zip":
        # Imports gzip, bz2, lzma and zipfile, and few tables are packed.
        from artifact_pipeline.builder.data import table_packaging

        name = table_packaging.zip_member(file)
    suffix = PurePath(name).suffix.lower()
    if suffix == ".json":
        return "jsonl"
    if suffix not in FORMATS:
        raise DataError(
            f"contains {show(name)}, which is not a table",
            location=Location(str(file)),
            remedy=f"expected a name in {', '.join(FORMATS)}",
        )
    return FORMATS[suffix]


def size(file: TablePath) -> int:
    """Return the size of a file in bytes; 0 if it cannot be read."""
    if isinstance(file, RemotePath):
        remote = remote_files.stat(str(file))
        return 0 if remote is None else remote.size
    try:
        return file.stat().st_size
    except OSError:
        return 0


@contextmanager
def opened(content: bytes | Path) -> Iterator[BinaryIO]:
    """Open bytes or a file to read.

    Raises:
        DataError: If the file cannot be read.
    """
    try:
        with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as stream:
            yield stream
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise DataError(problem, location=Location(str(content))) from error


def read(file: TablePath) -> bytes | pa.Buffer:
    """Return the bytes of a file; of Parquet in memory of Arrow, which takes half the time.

    Raises:
        DataError: If it cannot be read.
    """
    try:
        if isinstance(file, Path) and file.suffix.lower() == ".parquet":
            import pyarrow as pa

            with file.open("rb") as stream:
                content = pa.allocate_buffer(os.fstat(stream.fileno()).st_size)
                return content.slice(0, stream.readinto(content))
        return file.read_bytes()
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise DataError(problem, location=Location(str(file))) from error


def digest(digests: Sequence[Digest]) -> Digest:
    """Return the digest of several files from theirs; that of a single file is its own."""
    if len(digests) == 1:
        return digests[0]
    return canonical.digest(canonical.encode(list(digests)))


def fingerprint(files: Sequence[TablePath]) -> list[list[str | int]] | None:
    """Return a value that changes when a file does, from its path, size, times and inode.

    None if a file changed just now: as in git, it could change again and look the same.

    Raises:
        DataError: If a file cannot be read.
    """
    now = time.time_ns()
    values: list[list[str | int]] = []
    for file in files:
        if isinstance(file, RemotePath):
            if (remote := remote_files.stat(str(file))) is None:
                raise DataError("no such file", location=Location(str(file)))
            if remote.changed > now - _RACY:
                return None
            values.append([*remote])
            continue
        try:
            status = file.stat()
        except OSError as error:
            problem = f"cannot be read: {error.strerror}"
            raise DataError(problem, location=Location(str(file))) from error
        times = (status.st_mtime_ns, status.st_ctime_ns)
        if max(times) > now - _RACY:
            return None
        values.append([str(file.absolute()), status.st_size, *times, status.st_ino])
    return values


def _is_hidden(file: TablePath, root: TablePath) -> bool:
    return any(part[0] in "._" for part in file.relative_to(root).parts)
