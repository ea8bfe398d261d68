"""Predictions for a folder of parts on one Dask worker and on two, for `benchmarks.scoring`.

The rounds are in turns. The workers are processes with one thread. A round before the first one
warms them up, so that they have verified and opened the artifact.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.scoring_figures import DaskFigures, WorkerRound
from benchmarks.speed import PIPELINE, ROOT
from benchmarks.tables import CHUNK, make_chunks

_TICKS = os.sysconf("SC_CLK_TCK")


def measure(folder: Path, artifact: Path, *, rows: int, rounds: int) -> DaskFigures:
    """Return the figures of a folder of parts with `CHUNK` rows each."""
    parts = folder / "parts"
    parts.mkdir()
    for index, chunk in enumerate(make_chunks(rows)):
        pq.write_table(chunk, parts / f"{index:04}.parquet")
    measured: list[WorkerRound] = []
    with ExitStack() as stack:
        clusters = {count: stack.enter_context(_cluster(folder, count)) for count in (1, 2)}
        for number in range(rounds + 1):
            for workers, address in clusters.items():
                one = _round(folder, artifact, workers=workers, address=address)
                if number:
                    measured.append(one)
    return DaskFigures(rows=rows, parts=-(-rows // CHUNK), rounds=measured)


def report(figures: DaskFigures) -> str:
    """Return figures as lines for a terminal."""
    lines = [
        f"{each.workers} worker{'s' * (each.workers > 1):<2}{each.wall:>8.2f} s wall"
        f"{each.cpu:>8.2f} s CPU, {each.busiest:.2f} s the busiest   load {each.load:.1f}"
        for each in figures.rounds
    ]
    return "\n".join([f"{figures.rows:,} rows, {figures.parts} parts", *lines, ratios(figures)])


def ratios(figures: DaskFigures) -> str:
    """Return the ratio of the medians of one worker and of two."""
    one, two = ([each for each in figures.rounds if each.workers == workers] for workers in (1, 2))
    wall, cpu, busiest = (
        statistics.median(getattr(each, name) for each in one)
        / statistics.median(getattr(each, name) for each in two)
        for name in ("wall", "cpu", "busiest")
    )
    return (
        f"two workers: {wall:.2f} x as fast, with {1 / cpu:.2f} x the processor time; "
        f"one has {busiest:.2f} x that of the busiest"
    )


def _round(folder: Path, artifact: Path, *, workers: int, address: str) -> WorkerRound:
    output = folder / "scored"
    command = [*PIPELINE, "infer", str(artifact), "parts", "--output", str(output)]
    command += ["--engine", "dask", "--scheduler", address]
    load, before, start = os.getloadavg()[0], _cpu(folder), time.perf_counter()
    subprocess.run(
        command, cwd=folder, env=_environment(folder), stdout=subprocess.DEVNULL, check=True
    )
    wall = time.perf_counter() - start
    spent = [cpu - before.get(process, 0.0) for process, cpu in _cpu(folder).items()]
    shutil.rmtree(output)
    return WorkerRound(workers=workers, wall=wall, cpu=sum(spent), busiest=max(spent), load=load)


def _cpu(folder: Path) -> dict[str, float]:
    """Return the processor time of each worker process, in seconds."""
    seconds = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            is_ours = (process / "cwd").resolve() == folder.resolve()
            fields = (process / "stat").read_text("utf-8").rpartition(")")[2].split()
        except OSError:  # it has ended, or belongs to another user
            continue
        if is_ours and b"spawn_main" in command:
            seconds[process.name] = (int(fields[11]) + int(fields[12])) / _TICKS
    return seconds


@contextmanager
def _cluster(folder: Path, workers: int) -> Iterator[str]:
    """Start a scheduler and workers for the `with` block, and return its address."""
    with ExitStack() as stack:
        log = folder / f"scheduler-{workers}.log"
        words = ["scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
        stack.enter_context(_started(words, folder, log=log))
        [address] = _wait_for(r"Scheduler at: +(tcp://\S+)", log, count=1)
        log = folder / f"workers-{workers}.log"
        words = ["worker", address, "--nworkers", str(workers), "--nthreads", "1"]
        stack.enter_context(_started([*words, "--no-dashboard"], folder, log=log))
        _wait_for(r"Registered to: +(\S+)", log, count=workers)
        yield address


@contextmanager
def _started(words: list[str], folder: Path, *, log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *words],
            cwd=folder,
            env=_environment(folder),
            stdout=output,
            stderr=output,
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def _wait_for(pattern: str, log: Path, *, count: int) -> list[str]:
    while len(matches := re.findall(pattern, log.read_text("utf-8"))) < count:
        time.sleep(0.1)
    return matches


def _environment(folder: Path) -> dict[str, str]:
    path = {"PYTHONPATH": str(ROOT / "src"), "XDG_STATE_HOME": str(folder / "state")}
    return {**os.environ, **path}
