"""Writing to disk so that a crash at any point leaves the old state or the new, never half."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from artifact_pipeline.errors import PipelineError, StoreError


@contextmanager
def failing(
    where: str, remedy: str = "check the path, its rights and the space left"
) -> Iterator[None]:
    """Say an error of the operating system as a StoreError with a remedy."""
    try:
        yield
    except PipelineError:
        raise
    except OSError as error:
        said = error.strerror or str(error)
        raise StoreError(f"{said}; {remedy}", where=str(error.filename or where)) from error


def write_atomically(path: Path, data: bytes, staging: Path | None = None) -> None:
    """Write `data` to `path`, whole or not at all, by way of `staging`, or of the same folder.

    Raises:
        StoreError: if it cannot be written; what was there before still is.
    """
    staged = (staging or path.parent) / f".{path.name}.{os.urandom(4).hex()}"
    with failing(str(path)):
        try:
            write_new(staged, data)
            staged.replace(path)
        finally:
            staged.unlink(missing_ok=True)


def write_new(path: Path, data: bytes) -> None:
    """Write `data` to a path where nothing is yet, and flush it to the disk."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def remove(path: Path) -> None:
    """Remove a file or a folder; what is gone already is no error."""
    import shutil

    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def sync_folder(path: Path) -> None:
    """Flush the names in a folder to the disk."""
    if os.name != "nt":  # Windows has no handle on a folder to flush
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
