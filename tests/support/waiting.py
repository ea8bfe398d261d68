"""Waiting for a condition; the limit only ends a test that would hang forever."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

HANG = 300.0
"""Seconds after which a test has hung; the busiest machine needs far fewer."""


def until(condition: Callable[[], T], reason: str = "the condition never held") -> T:
    """Call `condition` until it returns a true value, and return the value."""
    end = time.monotonic() + HANG
    while not (result := condition()):
        assert time.monotonic() < end, reason
        time.sleep(0.02)
    return result


def alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not. Linux only."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def blocked(pid: int) -> bool:
    """Return whether all threads of a process wait for something. True without /proc."""
    try:
        stats = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    except OSError:  # a thread has just ended
        return False
    return all(stat.rpartition(")")[2].split()[0] == "S" for stat in stats)
