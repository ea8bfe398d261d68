"""A Dask cluster of processes, started as users start it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from tests.support.command import environment
from tests.support.configs import ROOT
from tests.support.waiting import HANG, until

PRELOAD = ("--preload-nanny", "artifact_pipeline.builder.dask_worker")


class Worker(NamedTuple):
    """A nanny, and the addresses of the scheduler and of its worker."""

    process: subprocess.Popen[bytes]
    scheduler: str


@contextmanager
def scheduler(folder: Path) -> Iterator[str]:
    """Start a scheduler for the `with` block, and return its address."""
    words = ("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
    with _started(words, folder / "scheduler.log") as process:
        pattern = re.compile(r"Scheduler at: +(tcp://\S+)")
        log = folder / "scheduler.log"
        match = until(lambda: pattern.search(log.read_text()) or process.poll() is not None)
        yield match[1]


@contextmanager
def worker(
    address: str,
    folder: Path,
    *words: str,
    name: str,
    path: tuple[Path, ...] = (),
    env: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a worker for the `with` block, once the scheduler knows it.

    Args:
        address: The address of the scheduler.
        folder: The folder of its log.
        words: More options.
        name: Its name.
        path: Folders to search for its modules first.
        env: More variables of its environment.
    """
    command = ("worker", address, "--name", name, "--no-dashboard", *words)
    log = folder / f"{name}.log"
    with _started(command, log, path=path, env=env) as process:
        until(lambda: "Registered to" in log.read_text() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield process


@contextmanager
def _started(
    words: tuple[str, ...],
    log: Path,
    *,
    path: tuple[Path, ...] = (),
    env: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[subprocess.Popen[bytes]]:
    # Without the hook that ends a process which unpickles: Dask's messages are pickles.
    joined = ":".join(map(str, (*path, ROOT / "src", ROOT)))
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *words],
            cwd=log.parent,
            env=environment() | {"PYTHONPATH": joined, **env},
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(HANG)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def spawned(is_wanted: Callable[[list[str]], bool]) -> list[int]:
    """Return the processes that Dask spawned, by the fields of their state. Linux only."""
    pids = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if is_wanted(fields) and b"spawn_main" in (entry / "cmdline").read_bytes():
                pids.append(int(entry.name))
        except OSError:
            continue
    return pids
