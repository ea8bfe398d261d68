"""Whether the files of a table fit into the memory of this machine."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from artifact_pipeline.builder.data import table_files
from artifact_pipeline.builder.data.table_files import TablePath
from artifact_pipeline.errors import EnvironmentFailure, Location

COPIES = 3
"""A run takes at least as many times the size of its table's files: their bytes and the columns in
float64 while it reads them, then the columns, the rows of both sides and their preprocessed
features."""
_CGROUPS = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)


def check_fits(files: Sequence[TablePath], location: Location) -> None:
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


def _size(file: TablePath) -> int:
    """Return the size of a file, in Parquet before its pages were compressed."""
    if isinstance(file, Path) and file.suffix.lower() == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as arrow

        with suppress(pa.ArrowException, OSError):  # the reader says what is wrong with it
            groups = arrow.read_metadata(file)
            sizes = (groups.row_group(at).total_byte_size for at in range(groups.num_row_groups))
            return int(sum(sizes))
    return table_files.size(file)


def available(
    system: Path = Path("/proc/meminfo"), *, cgroup: Path = Path("/sys/fs/cgroup")
) -> int | None:
    """Return the bytes of memory that a process may still take, or None if that is unknown.

    Args:
        system: The system's memory, as of proc(5).
        cgroup: The control group that may have a lower limit.
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
    for limit, usage in _CGROUPS:
        with suppress(OSError, ValueError):  # "max" is no limit
            free.append(int((cgroup / limit).read_text()) - int((cgroup / usage).read_text()))
    return max(min(free), 0)


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
