"""Whole commands, timed from start to end, the pipeline and its floor in turns."""

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


class Figure(NamedTuple):
    """One figure of the design: ours beside the floor, medians in seconds."""

    what: str
    ours: float
    floor_name: str
    floor: float
    goal: float
    """The most that ours may take, as a multiple of the floor."""

    @property
    def ratio(self) -> float:
        return self.ours / self.floor


def measure(rounds: int) -> list[Figure]:
    """Return the figures, each the median of `rounds`; a cold run takes a third of them."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        environment = _environment(place)
        rows = place / "row.csv"
        rows.write_text(",".join(["0"] * 64))

        def cold() -> float:
            shutil.rmtree(place / "artifacts", ignore_errors=True)
            return _time([*PIPELINE, "run", CONFIG], place, environment)

        def timed(*command: str) -> float:
            return _time([sys.executable, *command], place, environment)

        def ours(*words: str) -> float:
            return _time([*PIPELINE, *words], place, environment)

        cold()  # compiles the modules, and asks the machine for its numeric profile
        plain = str(ROOT / "benchmarks" / "plain.py")
        runs = [(cold(), timed(plain)) for _ in range(max(rounds // 3, 3))]
        ours("run", CONFIG)
        cached = [(ours("run", CONFIG), timed("-c", "import json, hashlib")) for _ in range(rounds)]
        first = [
            (ours("infer", "latest", str(rows)), timed("-c", "import onnxruntime"))
            for _ in range(rounds)
        ]
    return [
        _figure("the whole pipeline, cold", runs, "the plain script", 1.1),
        _figure("a run with nothing changed", cached, "import json, hashlib", 4.0),
        _figure("start to first verified prediction", first, "import onnxruntime", 1.4),
    ]


def table(figures: list[Figure], rounds: int) -> str:
    """Return the figures as a table for a terminal or a README."""
    lines = [
        f"{'':<36}{'ours':>9}  {'floor':<22}{'':>9}{'ratio':>8}{'goal':>7}",
        *(
            f"{f.what:<36}{f.ours * 1e3:>6.0f} ms  {f.floor_name:<22}{f.floor * 1e3:>6.0f} ms"
            f"{f.ratio:>8.2f}{f.goal:>7.1f}"
            for f in figures
        ),
        f"medians of {rounds} rounds in turns ({max(rounds // 3, 3)} for the cold run), "
        f"{os.cpu_count()} cores, Python {sys.version.split()[0]}",
    ]
    return "\n".join(lines)


def _figure(what: str, pairs: list[tuple[float, float]], floor: str, goal: float) -> Figure:
    ours, floors = zip(*pairs, strict=True)
    return Figure(what, statistics.median(ours), floor, statistics.median(floors), goal)


def _environment(place: Path) -> dict[str, str]:
    """The user's own, with the state in a scratch folder and compiled modules kept."""
    outer = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return {**outer, "PYTHONPATH": str(ROOT / "src"), "XDG_STATE_HOME": str(place / "state")}


def _time(command: list[str], place: Path, environment: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, cwd=place, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began
