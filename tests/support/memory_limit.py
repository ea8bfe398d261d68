"""A control group with a memory limit, above which the kernel kills. Linux only, and as root."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.waiting import until

_ROOT = Path("/sys/fs/cgroup")
_OLD = _ROOT / "memory"


def is_possible() -> bool:
    """Return whether this process may limit the memory of others."""
    if (_OLD / "memory.limit_in_bytes").exists():
        return os.access(_OLD, os.W_OK)
    try:
        controllers = (_ROOT / "cgroup.subtree_control").read_text()
    except OSError:
        return False
    return "memory" in controllers and os.access(_ROOT, os.W_OK)


@contextmanager
def limited(size: int) -> Iterator[Path]:
    """Make a group for the `with` block, and return the file by which a process joins it.

    Args:
        size: The memory of all of its processes, in bytes.
    """
    is_old = (_OLD / "memory.limit_in_bytes").exists()
    folder = (_OLD if is_old else _ROOT) / f"artifact-pipeline-{os.getpid()}"
    folder.mkdir()
    try:
        limit = "memory.limit_in_bytes" if is_old else "memory.max"
        (folder / limit).write_text(str(size))
        swap = folder / "memory.swap.max"
        if swap.exists():
            swap.write_text("0")
        yield folder / "cgroup.procs"
    finally:
        until(lambda: _is_removed(folder), "a process stays in the group")


def _is_removed(folder: Path) -> bool:
    """Remove a group, and return whether its last process had ended by then."""
    try:
        folder.rmdir()
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True
