"""Timings of complete commands, each in turns with a floor that no pipeline could beat."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PIPELINE = [sys.executable, "-m", "artifact_pipeline"]
CONFIG = str(ROOT / "config" / "config.json")
# On a busy machine more threads than free cores wait for each other, so both times are fair floors.
BLAS_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Timing(NamedTuple):
    """The time of a command beside that of its floor; medians in seconds."""

    name: str
    seconds: float
    floor_name: str
    floor: float
    goal: float
    """Maximum accepted ratio of the two."""

    @property
    def ratio(self) -> float:
        """The time as a multiple of the floor."""
        return self.seconds / self.floor


def measure(rounds: int) -> list[Timing]:
    """Return the timings.

    Args:
        rounds: The number of rounds; a cold run takes a third of them.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        environment = _environment(place)
        rows = place / "row.csv"
        rows.write_text(",".join(["0"] * 64))

        def cold() -> float:
            shutil.rmtree(place / "artifacts", ignore_errors=True)
            return _time([*PIPELINE, "run", CONFIG], place, environment=environment)

        def python(*command: str) -> float:
            return _time([sys.executable, *command], place, environment=environment)

        def pipeline(*words: str) -> float:
            return _time([*PIPELINE, *words], place, environment=environment)

        cold()  # compiles the modules, and detects the numeric profile
        plain = [sys.executable, str(ROOT / "benchmarks" / "plain.py")]
        one_thread = {**environment, **dict.fromkeys(BLAS_THREADS, "1")}
        trained = [
            (
                cold(),
                _time(plain, place, environment=environment),
                _time(plain, place, environment=one_thread),
            )
            for _ in range(max(rounds // 3, 3))
        ]
        pipeline("run", CONFIG)
        cached = [
            (pipeline("run", CONFIG), python("-c", "import json, hashlib")) for _ in range(rounds)
        ]
        first = [
            (pipeline("infer", "latest", str(rows)), python("-c", "import onnxruntime"))
            for _ in range(rounds)
        ]
    return [
        _timing(
            "the whole pipeline, cold",
            [(ours, default) for ours, default, _ in trained],
            floor="the plain script",
            goal=1.1,
        ),
        _timing(
            "the same",
            [(ours, one) for ours, _, one in trained],
            floor="… with one BLAS thread",
            goal=1.1,
        ),
        _timing("a run with nothing changed", cached, floor="import json, hashlib", goal=4.0),
        _timing("start to first verified prediction", first, floor="import onnxruntime", goal=1.4),
    ]


def table(timings: list[Timing], rounds: int) -> str:
    """Return timings as a table for a terminal or the README."""
    lines = [
        f"{'':<36}{'ours':>9}  {'floor':<22}{'':>9}{'ratio':>8}{'goal':>7}",
        *(
            f"{t.name:<36}{t.seconds * 1e3:>6.0f} ms  {t.floor_name:<22}{t.floor * 1e3:>6.0f} ms"
            f"{t.ratio:>8.2f}{t.goal:>7.1f}"
            for t in timings
        ),
        f"medians of {rounds} rounds in turns ({max(rounds // 3, 3)} for the cold run), "
        f"{os.cpu_count()} cores, Python {sys.version.split()[0]}",
    ]
    return "\n".join(lines)


def _timing(name: str, pairs: list[tuple[float, float]], *, floor: str, goal: float) -> Timing:
    seconds, floors = zip(*pairs, strict=True)
    return Timing(
        name=name,
        seconds=statistics.median(seconds),
        floor_name=floor,
        floor=statistics.median(floors),
        goal=goal,
    )


def _environment(place: Path) -> dict[str, str]:
    """Return the user's environment with default threads and the state in a scratch folder."""
    outer = {
        k: v for k, v in os.environ.items() if not k.startswith("PYTHON") and k not in BLAS_THREADS
    }
    return {**outer, "PYTHONPATH": str(ROOT / "src"), "XDG_STATE_HOME": str(place / "state")}


def _time(command: list[str], place: Path, *, environment: dict[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, cwd=place, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start
