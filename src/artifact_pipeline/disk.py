"""Reading and writing files that other processes may change or replace.

Writes are atomic: after a crash a file has either its old content or its new. Reads are bounded and
never block: in a folder that others can write, a name may be a link, a pipe, a device or a file of
a terabyte, and `read_file` opens none of these.
"""

from __future__ import annotations

import errno
import os
import platform
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import IO

from artifact_pipeline.errors import Location, PipelineError, StoreError

_STALE_SECONDS = 24 * 3600
"""Age after which a staged entry of another machine is stale."""
_LOCK_POLL_SECONDS = 0.02
_BLOCK = 1 << 16
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
    path: str | os.PathLike[str],
    remedy: str = "check the path, its permissions and the free space",
) -> Iterator[None]:
    """Translate `OSError` into `StoreError` with a remedy.

    Args:
        path: The location of an error that does not name a file itself.
        remedy: The remedy of the error.

    Raises:
        StoreError: For an `OSError` that is not a PipelineError.
    """
    try:
        yield
    except PipelineError:
        raise
    except OSError as error:
        location = Location(str(error.filename or path))
        problem = error.strerror or str(error)
        raise StoreError(problem, location=location, remedy=remedy) from error


def kind_of(path: Path) -> str | None:
    """Return the kind of an entry ("a file", "a folder", "a link", …), or None if there is none.

    Raises:
        OSError: If its folder cannot be accessed.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return None
    return _KINDS.get(stat.S_IFMT(mode), "a device")


def read_file(path: Path, *, limit: int, remedy: str) -> bytes | None:
    """Return the content of a regular file, or None if there is none at `path`.

    Args:
        path: The file. A link, a pipe or a device is not opened.
        limit: Maximum size in bytes.
        remedy: The remedy of the error.

    Raises:
        StoreError: If it is not a regular file, is larger than `limit`, or cannot be read.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    flags |= getattr(os, "O_BINARY", 0)
    location = Location(str(path))
    with translate_os_errors(path, remedy):
        # Checked before it is opened, because opening a device can have effects, and again below.
        kind = kind_of(path)
        if kind is None:
            return None
        if kind != "a file":
            raise StoreError(f"is {kind}, expected a file", location=location, remedy=remedy)
        try:
            handle = os.open(path, flags)
        except FileNotFoundError:  # removed in the meantime
            return None
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):  # replaced in the meantime
                raise StoreError("is not a regular file", location=location, remedy=remedy)
            data = file.read(limit + 1) if status.st_size <= limit else b""
            if max(status.st_size, len(data)) > limit:
                raise StoreError(f"has more than {limit} bytes", location=location, remedy=remedy)
            return data


@contextmanager
def open_regular(path: Path) -> Iterator[IO[bytes]]:
    """Open a regular file for reading, never through a link.

    Raises:
        StoreError: If it is not a regular file, or cannot be read.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    flags |= getattr(os, "O_BINARY", 0)
    with translate_os_errors(path):
        kind = kind_of(path)
        if kind not in (None, "a file"):
            raise StoreError(f"is {kind}, expected a file", location=Location(str(path)))
        with os.fdopen(os.open(path, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # replaced in the meantime
                raise StoreError("is not a regular file", location=Location(str(path)))
            yield file


def check_folder_of(path: Path) -> None:
    """Check that the folder of a file to write exists.

    Raises:
        StoreError: If it does not.
    """
    if not path.parent.is_dir():
        is_missing = kind_of(path.parent) is None
        raise StoreError(
            "no such folder" if is_missing else "is not a folder",
            location=Location(str(path.parent)),
            remedy=f"create it to write {path.name} there, or name another file",
        )


def write_atomically(path: Path, data: bytes, *, staging: Path | None = None) -> None:
    """Write `data` to `path`, replacing an existing file.

    Args:
        path: The file to write.
        data: Its new content.
        staging: The folder for a temporary file, on the same file system as `path`; by default
            the folder of `path`.

    Raises:
        StoreError: If it cannot be written; an existing file stays unchanged.
    """
    staged = (staging or path.parent) / f".{path.name}.{os.urandom(4).hex()}"
    with translate_os_errors(path):
        check_folder_of(path)
        _check_replaceable(path)
        try:
            write_new(staged, data)
            staged.replace(path)
        except OSError as error:
            error.filename = str(path)  # the user did not name the temporary file
            raise
        finally:
            with suppress(OSError):  # a read-only file system refuses this too
                staged.unlink(missing_ok=True)


def _check_replaceable(path: Path) -> None:
    """Check that a rename to `path` replaces only a file or a link to one."""
    location = Location(str(path))
    if path.is_dir():
        raise StoreError("is a folder, expected a file", location=location,
                         remedy="name a file in it")  # fmt: skip
    # /dev/stdout links to a stream of the process, which may be a file, a pipe or a terminal.
    is_stream = path.is_symlink() and str(path.readlink()).startswith("/proc/")
    if is_stream or (path.exists() and not path.is_file()):
        raise StoreError("is a device or a pipe, expected a file", location=location,
                         remedy="name another file")  # fmt: skip


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Yield a new path in `folder`, and remove it afterwards if it still exists.

    The name contains the machine and the process of the writer, so that `stale_entries` can check
    whether it has ended.
    """
    path = folder / f"{platform.node()}~{os.getpid()}~{os.urandom(4).hex()}"
    with translate_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            yield path
        finally:
            if os.path.lexists(path):
                remove(path)


def _is_stale(path: Path) -> bool:
    """Return whether the writer of a staged entry has ended; on another machine, after a day."""
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
        return time.time() - path.lstat().st_mtime > _STALE_SECONDS
    except FileNotFoundError:  # removed by another run in the meantime
        return False


def stale_entries(folder: Path) -> list[Path]:
    """Return the staged entries whose writers have ended."""
    try:
        paths = sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    return [path for path in paths if _is_stale(path)]


def sweep(folder: Path) -> None:
    """Remove the staged entries whose writers have ended."""
    with translate_os_errors(folder):
        for path in stale_entries(folder):
            remove(path)


def write_new(path: Path, data: bytes) -> None:
    """Write a file that must not exist yet, and flush it to the disk."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def remove(path: Path) -> None:
    """Remove a file or a folder, if it exists."""
    import shutil

    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        if path.exists():  # an ending thread has created another file meanwhile
            shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def file_lock(path: Path, problem: str, *, wait: float = 0.0) -> Iterator[None]:
    """Lock a file exclusively; the operating system unlocks it when the process ends.

    Args:
        path: The file, which is created if it does not exist.
        problem: The message of the error if another process holds the lock.
        wait: Seconds to wait for another process.

    Raises:
        StoreError: If another process still holds the lock, or the path is not a file.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    location = Location(str(path))
    if kind_of(path) not in (None, "a file"):
        raise StoreError(f"is {kind_of(path)}, expected a file", location=location)
    end = time.monotonic() + wait
    while True:
        with os.fdopen(os.open(path, flags, 0o666), "r+b", buffering=0) as file:
            try:
                _lock(file.fileno())
            except OSError as error:
                if time.monotonic() >= end:
                    raise StoreError(problem, location=location, remedy="try again") from error
                time.sleep(_LOCK_POLL_SECONDS)
            else:
                if _is_at(path, file.fileno()):
                    yield
                    return
                # The process that held the lock has removed the file: another one may be there.


def _is_at(path: Path, handle: int) -> bool:
    """Return whether an open file is still the one at a path."""
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except OSError:
        return False


def _lock(handle: int) -> None:
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def append_line(path: Path, line: bytes) -> None:
    """Append a line to a file and flush it to the disk; the caller holds the file's lock.

    An incomplete line from an earlier append is removed first. After a crash, the line is complete
    or has no line end.

    Args:
        path: The file, which is created if it does not exist.
        line: The line, without its end.

    Raises:
        StoreError: If it cannot be written; the file stays unchanged.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    flags |= getattr(os, "O_BINARY", 0)
    with translate_os_errors(path):
        kind = kind_of(path)
        if kind not in (None, "a file"):
            raise StoreError(f"is {kind}, expected a file", location=Location(str(path)))
        with os.fdopen(os.open(path, flags, 0o666), "r+b", buffering=0) as file:
            end = _end_of_lines(file)
            file.truncate(end)
            file.seek(end)
            try:
                if file.write(line + b"\n") != len(line) + 1:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
                os.fsync(file.fileno())
            except OSError:
                file.truncate(end)
                raise
        if kind is None:
            sync_folder(path.parent)


def _end_of_lines(file: FileIO) -> int:
    """Return the position after the last line end of a file, 0 if it has none."""
    position = file.seek(0, os.SEEK_END)
    while position > 0:
        start = max(0, position - _BLOCK)
        file.seek(start)
        index = (file.read(position - start) or b"").rfind(b"\n")
        if index >= 0:
            return start + index + 1
        position = start
    return 0


def sync_folder(path: Path) -> None:
    """Flush the names in a folder to the disk."""
    if os.name != "nt":  # Windows cannot open a folder
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
