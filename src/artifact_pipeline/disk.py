"""Writing to disk so that a crash at any point leaves the old state or the new, never half."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from artifact_pipeline.errors import PipelineError, StoreError

_STALE = 24 * 3600
"""Seconds after which what another machine left is taken for left over."""


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


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Give a free path in a folder of what is being written; what is left at it is removed.

    The name says who writes, so that what a dead writer left can be told: see `left_over`.
    """
    path = folder / f"{platform.node()}~{os.getpid()}~{os.urandom(4).hex()}"
    with failing(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            yield path
        finally:
            if path.exists():
                remove(path)


def _is_left_over(path: Path) -> bool:
    """Return whether who wrote at this path is gone; of another machine, after a day."""
    host, _, rest = path.name.partition("~")
    pid = rest.partition("~")[0]
    if host == platform.node() and pid.isdigit() and os.name != "nt":
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            return True
        except (PermissionError, OverflowError):
            return False
        return False
    try:
        return time.time() - path.stat().st_mtime > _STALE
    except FileNotFoundError:  # swept by another run meanwhile
        return False


def left_over(folder: Path) -> list[Path]:
    """Return what writers that are gone have left in a folder of what is being written."""
    try:
        paths = sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    return [path for path in paths if _is_left_over(path)]


def sweep(folder: Path) -> None:
    """Remove what writers that are gone have left in a folder of what is being written."""
    with failing(str(folder)):
        for path in left_over(folder):
            remove(path)


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


@contextmanager
def exclusive(path: Path, otherwise: str) -> Iterator[None]:
    """Hold a file for this process alone; the system lets it go when the process ends.

    Raises:
        StoreError: saying `otherwise`, if another process holds it.
    """
    with path.open("ab") as file:
        try:
            if os.name == "nt":
                import msvcrt

                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
            else:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StoreError(f"{otherwise}; look, and try again", where=str(path)) from error
        yield


def sync_folder(path: Path) -> None:
    """Flush the names in a folder to the disk."""
    if os.name != "nt":  # Windows has no handle on a folder to flush
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
