"""Which files a path means, and what names their content.

The digest of a table is that of its files in order, so that it costs reading and hashing alone.
"""

from __future__ import annotations

import glob
import itertools
import os
import time
from collections.abc import Sequence
from pathlib import Path

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.builder.config.messages import show
from artifact_pipeline.errors import DataError

FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
"""The format of a table by the ending of its name."""

_RACY = 2 * 10**9
"""Nanoseconds: a file that was changed so lately may change again under the same times."""


def locate(path: str, base: str | os.PathLike[str]) -> list[Path]:
    """Return the files that `path` means, in the order of their names; it is relative to `base`.

    Raises:
        DataError: if there is none, one is of no known format, or they are of several formats.
    """
    place = Path(base) / path
    try:
        if place.is_dir():
            files = [
                found
                for found in sorted(place.rglob("*"), key=lambda one: one.as_posix())
                if found.suffix.lower() in FORMATS and found.is_file() and not _hidden(found, place)
            ]
        elif place.is_file() or not glob.has_magic(path):
            files = [place]
        else:
            # A pattern may be absolute, which pathlib's glob does not take.
            names = sorted(glob.glob(str(place), recursive=True))  # noqa: PTH207
            files = [Path(name) for name in names if Path(name).is_file()]
        missing = not files or not all(file.is_file() for file in files)
    except (OSError, ValueError) as error:  # a path with a NUL, or too long
        said = getattr(error, "strerror", None) or str(error)
        raise DataError(f"cannot be read: {said}", where=str(place)) from error
    if missing:
        kinds = ", ".join(FORMATS)
        why = f"holds no file that ends in {kinds}" if place.is_dir() else "no such file"
        raise DataError(f"{why}; data.path is relative to the config", where=str(place))
    for file in files:
        if file.suffix.lower() not in FORMATS:
            raise DataError(
                f"is no table; expected a name in {', '.join(FORMATS)}", where=str(file)
            )
    if len({form(file) for file in files}) > 1:
        raise DataError("holds tables of several formats, expected one", where=str(place))
    return files


def check_keys(
    files: Sequence[Path], path: str, base: str | os.PathLike[str], columns: Sequence[str]
) -> None:
    """Refuse a partitioned folder, such as `year=2024/`, whose keys are in no column.

    Where files lie is no part of their digest, so a key cannot be a value of the rows.

    Raises:
        DataError: for a key between what `path` names and a file.
    """
    root = Path(base) / path
    if root.is_file():
        return
    if not root.is_dir():
        plain = itertools.takewhile(lambda part: not glob.has_magic(part), Path(path).parts)
        root = Path(base, *plain)
    for file in files:
        for part in file.relative_to(root).parts[:-1]:
            key, equals, _ = part.partition("=")
            if equals and key and key not in columns:
                raise DataError(
                    f"lies in the folder {show(part)}, and its rows have no column {show(key)}; "
                    "write the table with that column in its files",
                    where=str(file),
                )


def form(file: Path) -> str:
    """Return the format of a file: csv, parquet or jsonl."""
    return FORMATS[file.suffix.lower()]


def read(file: Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        DataError: if it cannot be read.
    """
    try:
        return file.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(file)) from error


def digest(digests: Sequence[Digest]) -> Digest:
    """Return the digest of files by theirs: of one its own, of several that of the list."""
    if len(digests) == 1:
        return digests[0]
    return canonical.digest(canonical.encode(list(digests)))


def fingerprint(files: Sequence[Path]) -> list[list[str | int]] | None:
    """Return what changes when a file does (place, size, times, inode), without reading any.

    None where a file was changed just now: it could change again and look the same, as with git.
    """
    now = time.time_ns()
    found: list[list[str | int]] = []
    for file in files:
        try:
            seen = file.stat()
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}", where=str(file)) from error
        if max(seen.st_mtime_ns, seen.st_ctime_ns) > now - _RACY:
            return None
        times = (seen.st_mtime_ns, seen.st_ctime_ns)
        found.append([str(file.absolute()), seen.st_size, *times, seen.st_ino])
    return found


def _hidden(file: Path, root: Path) -> bool:
    return any(part[0] in "._" for part in file.relative_to(root).parts)
