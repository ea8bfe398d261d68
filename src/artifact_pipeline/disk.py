"""Files whose names others may have written: read within bounds, written whole or not at all.

A crash at any point leaves the old state or the new, never half. A name in a folder that others can
write may be a link, a pipe, a device or a terabyte: `read_file` opens none of these.
"""

from __future__ import annotations

import os
import platform
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from artifact_pipeline.errors import Location, PipelineError, StoreError

_STALE = 24 * 3600
"""Seconds after which what another machine left is taken for left over."""
_PID = re.compile("[1-9][0-9]{0,8}")
_KINDS = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}


@contextmanager
def translate_os_errors(
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


def kind_of(path: Path) -> str | None:
    """Return what has this name ("a file", "a folder", "a link", …), or None if nothing has.

    Raises:
        OSError: if the folder that it lies in cannot be looked at.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return None
    return _KINDS.get(stat.S_IFMT(mode), "a device")


def read_file(path: Path, *, limit: int, remedy: str) -> bytes | None:
    """Return the content of a regular file, or None if nothing has this name.

    Follows no link at `path` itself, waits for no pipe, opens no device, and reads no more than
    `limit` bytes. `remedy` ends the error's message.

    Raises:
        StoreError: if it is no regular file, is larger than `limit`, or cannot be read.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    flags |= getattr(os, "O_BINARY", 0)
    with translate_os_errors(str(path), remedy):
        # Before it is opened, because opening a device can have effects; see below for after.
        kind = kind_of(path)
        if kind is None:
            return None
        if kind != "a file":
            raise StoreError(f"is {kind}, expected a file; {remedy}", where=str(path))
        try:
            handle = os.open(path, flags)
        except FileNotFoundError:  # removed since
            return None
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):  # exchanged since
                raise StoreError(f"is not a regular file; {remedy}", where=str(path))
            data = file.read(limit + 1) if status.st_size <= limit else b""
            if max(status.st_size, len(data)) > limit:
                raise StoreError(f"has more than {limit} bytes; {remedy}", where=str(path))
            return data


def write_atomically(path: Path, data: bytes, staging: Path | None = None) -> None:
    """Write `data` to `path`, whole or not at all, by way of `staging`, or of the same folder.

    Raises:
        StoreError: if it cannot be written; what was there before still is.
    """
    staged = (staging or path.parent) / f".{path.name}.{os.urandom(4).hex()}"
    with translate_os_errors(str(path)):
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
    with translate_os_errors(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            yield path
        finally:
            if os.path.lexists(path):
                remove(path)


def _is_left_over(path: Path) -> bool:
    """Return whether who wrote at this path is gone; of another machine, after a day."""
    host, _, rest = path.name.partition("~")
    pid = rest.partition("~")[0]
    if host == platform.node() and _PID.fullmatch(pid) and os.name != "nt":
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False
    try:
        return time.time() - path.lstat().st_mtime > _STALE
    except FileNotFoundError:  # swept by another run meanwhile
        return False


def stale_entries(folder: Path) -> list[Path]:
    """Return what writers that are gone have left in a folder of what is being written."""
    try:
        paths = sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    return [path for path in paths if _is_left_over(path)]


def sweep(folder: Path) -> None:
    """Remove what writers that are gone have left in a folder of what is being written."""
    with translate_os_errors(str(folder)):
        for path in stale_entries(folder):
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

    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def file_lock(path: Path, problem: str) -> Iterator[None]:
    """Lock a file exclusively; the operating system unlocks it when the process ends.

    Args:
        path: The file, which is created if it does not exist.
        problem: The message of the error if another process holds the lock.

    Raises:
        StoreError: If another process holds the lock, or the path is not a file.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    if kind_of(path) not in (None, "a file"):
        raise StoreError(f"is {kind_of(path)}, expected a file", where=str(path))
    with os.fdopen(os.open(path, flags, 0o666), "r+b", buffering=0) as file:
        try:
            if os.name == "nt":
                import msvcrt

                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
            else:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StoreError(problem, location=Location(str(path)), remedy="try again") from error
        yield


def sync_folder(path: Path) -> None:
    """Flush the names in a folder to the disk."""
    if os.name != "nt":  # Windows has no handle on a folder to flush
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
