"""Whether the files of a table fit into the memory of this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from artifact_pipeline.builder.data import table_files
from artifact_pipeline.builder.data.remote_files import RemotePath
from artifact_pipeline.errors import EnvironmentFailure, Location

COPIES = 3
"""A run takes at least as many times the size of its table's files: their bytes and the columns in
float64 while it reads them, then the columns, the rows of both sides and their preprocessed
features."""
_SIZE_BYTES = 4
"""A gzip file ends in the size of its content modulo 2^32 (RFC 1952)."""
_MAX_RATIO = 1032
"""By how much deflate packs at most."""


class _LimitFiles(NamedTuple):
    """The files of a control group that limit its memory.

    Attributes:
        controllers: The second field of its line in `/proc/self/cgroup`.
        root: The folder of the root group.
        limit: The file with the limit in bytes.
        usage: The file with the bytes in use, with those of cached files.
        cached: The rows of `memory.stat` with these, which are freed when memory is needed.
    """

    controllers: str
    root: str
    limit: str
    usage: str
    cached: tuple[str, str]


_CGROUPS = (
    _LimitFiles(
        controllers="",
        root=".",
        limit="memory.max",
        usage="memory.current",
        cached=("inactive_file", "active_file"),
    ),
    _LimitFiles(
        controllers="memory",
        root="memory",
        limit="memory.limit_in_bytes",
        usage="memory.usage_in_bytes",
        cached=("total_inactive_file", "total_active_file"),
    ),
)
"""Those of version 2 and of version 1, by cgroups(7)."""


def check_fits(files: Sequence[Path | RemotePath], location: Location) -> None:
    """Refuse a table that cannot be read into the free memory, before it is read.

    Raises:
        EnvironmentFailure: With the size of the files and the free memory.
    """
    size = sum(map(_size, files))
    free = available()
    if free is not None and COPIES * size > free:
        raise EnvironmentFailure(
            f"has {in_words(size)}, which takes at least {in_words(COPIES * size)} of memory to "
            f"read, and {in_words(free)} is free",
            location=location,
            remedy="take a sample of its rows, free memory, or use a machine with more",
        )


def _size(file: Path | RemotePath) -> int:
    """Return the size of a file, in Parquet before its pages were compressed."""
    if isinstance(file, RemotePath):
        return table_files.size(file)
    if file.suffix.lower() == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as arrow

        with suppress(pa.ArrowException, OSError):  # the reader says what is wrong with it
            groups = arrow.read_metadata(file)
            sizes = (groups.row_group(at).total_byte_size for at in range(groups.num_row_groups))
            return int(sum(sizes))
    try:
        return max(table_files.size(file), _unpacked_size(file))
    except OSError:  # the reader says so
        return 0


def _unpacked_size(file: Path) -> int:
    """Return the size of what a gzip or zip file holds; 0 for another file."""
    suffix = file.suffix.lower()
    if suffix == ".zip":
        import zipfile  # few tables are packed

        with suppress(zipfile.BadZipFile), zipfile.ZipFile(file) as archive:
            return sum(member.file_size for member in archive.infolist())
    if suffix == ".gz":
        packed = file.stat().st_size
        with file.open("rb") as stream:
            if stream.read(2) == b"\x1f\x8b" and packed > _SIZE_BYTES:
                stream.seek(-_SIZE_BYTES, os.SEEK_END)
                size = int.from_bytes(stream.read(_SIZE_BYTES), "little")
                return min(size, packed * _MAX_RATIO)
    return 0


def available(
    system: Path = Path("/proc/meminfo"),
    *,
    cgroup: Path = Path("/sys/fs/cgroup"),
    process: Path = Path("/proc/self"),
) -> int | None:
    """Return the bytes of memory that a process may still take, or None if that is unknown.

    Args:
        system: The system's memory, as of proc(5).
        cgroup: The control groups that may have a lower limit.
        process: The process, as of proc(5); its groups and its address space may be limited.
    """
    if sys.platform != "linux":
        return None
    try:
        lines = system.read_text("ascii").splitlines()
    except OSError:
        return None
    pairs = (line.partition(":")[::2] for line in lines)
    sizes = {name: int(value.split()[0]) * 1024 for name, value in pairs}
    free = [sizes.get("MemAvailable", 0) + sizes.get("SwapFree", 0)]
    for files in _CGROUPS:
        for group in _groups_of(process, files, root=cgroup / files.root):
            with suppress(OSError, ValueError):  # "max" is no limit
                free.append(_free_in(group, files))
    with suppress(OSError):
        if (addresses := _free_addresses(process)) is not None:
            free.append(addresses)
    return max(min(free), 0)


def _groups_of(process: Path, files: _LimitFiles, *, root: Path) -> list[Path]:
    """Return the folders of the control group of a process and of those around it."""
    groups = [root]
    with suppress(OSError):
        for line in (process / "cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == files.controllers:
                inner = root / path.lstrip("/")
                groups += [group for group in (inner, *inner.parents) if root in group.parents]
    return groups


def _free_in(group: Path, files: _LimitFiles) -> int:
    """Return the bytes that the processes of a control group may still take."""
    free = int((group / files.limit).read_text()) - int((group / files.usage).read_text())
    with suppress(OSError):
        rows = dict(line.split(" ", 1) for line in (group / "memory.stat").read_text().splitlines())
        free += sum(int(rows.get(name, 0)) for name in files.cached)
    return free


def _free_addresses(process: Path) -> int | None:
    """Return the bytes of addresses that a process may still take, if `ulimit -v` limits them."""
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return None
    pages = int((process / "statm").read_text("ascii").split()[0])
    return limit - pages * resource.getpagesize()


def oom_kills() -> int:
    """Return how many processes this system has killed for memory; 0 if that is unknown."""
    with suppress(OSError):
        for line in Path("/proc/vmstat").read_text("ascii").splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0


def in_words(size: int) -> str:
    """Return a size for a message.

    >>> in_words(3 << 30), in_words(5 << 20)
    ('3.0 GiB', '5 MiB')
    """
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
