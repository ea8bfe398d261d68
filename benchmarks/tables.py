"""`python -m benchmarks.tables [ROWS]`: a large table beside bare reads and the plain script.

Each phase runs in its own process, and the phases take turns. Phases that only read are medians of
`ROUNDS`; the two complete runs are medians of `COMPLETE_ROUNDS`, or one run above `MANY_ROWS`. Time
is the processor time, user and system, of all processes of a phase; imports count only in the two
complete runs. Memory is the peak of the sum of their proportional set sizes. Linux only.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from benchmarks.speed import BLAS_THREADS, PIPELINE, ROOT

NUMBERS = 15
"""The number of columns of numbers."""
MISSING = 0.05
"""The share of missing values in them."""
CITIES = ("Bern", "Lyon", "Graz", "Brno", "Turin", "Porto", "Ghent", "Vilnius")
PLANS = ("basic", "family", "premium")
CHUNK = 250_000
"""The number of rows that are written at once."""

CONFIG = {
    "data": {"path": "table.csv", "target": "target"},
    "split": {"test_size": 0.2, "random_state": 42},
    "model": {
        "preprocess": "auto",
        "estimator": "sklearn.linear_model.LogisticRegression",
        "params": {"max_iter": 1000},
    },
}
_TIMED = """
import json, time, sys
import pandas, pyarrow.compute, pyarrow.csv, pyarrow.dataset, pyarrow.parquet
from artifact_pipeline.builder.config.resolved import TableData
from artifact_pipeline.builder.data import bundled, loader, table_csv, table_json
before, start = time.process_time(), time.perf_counter()
table = {expression}
print(json.dumps([time.process_time() - before, time.perf_counter() - start]))
"""
"""A reader. All import the same, as fresh memory may cost more a second after it was freed."""
CSV, PARQUET, SCRIPT = "pandas.read_csv", "pyarrow.parquet.read_table", "the plain script"
"""The phases to compare with."""
ROUNDS, COMPLETE_ROUNDS = 5, 3
MANY_ROWS = 2_000_000
READS = {
    name: _TIMED.format(expression=expression)
    for name, expression in {
        "pyarrow.csv.read_csv": 'pyarrow.csv.read_csv("table.csv")',
        CSV: 'pandas.read_csv("table.csv")',
        "CSV, read, typed and hashed": (
            'loader.load(TableData(path="table.csv", target="target"))'
        ),
        PARQUET: 'pyarrow.parquet.read_table("table.parquet")',
        "Parquet, read, typed and hashed": (
            'loader.load(TableData(path="table.parquet", target="target"))'
        ),
    }.items()
}
"""The phases that only read a table."""
_PLAIN = """
import joblib
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

table = pd.read_csv("table.csv", parse_dates=["joined"])
table["joined"] = table["joined"].astype("int64") / 86_400_000_000
X, y = table.drop(columns="target"), table["target"]
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=0.2, random_state=42, stratify=y
)
texts = ["city", "plan"]
numbers = [name for name in X if name not in texts]
columns = ColumnTransformer([
    ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
    ("texts", OneHotEncoder(handle_unknown="ignore", sparse_output=False), texts),
])
model = make_pipeline(columns, LogisticRegression(max_iter=1000, random_state=42))
joblib.dump(model.fit(X_train, y_train), "model.pkl")
print(accuracy_score(y_test, joblib.load("model.pkl").predict(X_test)))
"""
"""The script that no pipeline can beat: it reads, trains, writes the model and measures it."""


class Usage(NamedTuple):
    """The time and the memory of a phase."""

    cpu: float
    """Processor time in seconds."""
    wall: float
    """In seconds."""
    peak: float
    """In MiB."""


class Phase(NamedTuple):
    """A phase beside the one that it is compared with."""

    name: str
    usage: Usage
    floor: str
    """The name of the other phase; its own name if it is a floor."""


def make_chunks(rows: int) -> Iterator[pa.Table]:
    """Yield a seeded table in chunks."""
    random = np.random.default_rng(0)
    weights = random.normal(size=NUMBERS)
    for begin in range(0, rows, CHUNK):
        yield _chunk(random, weights, rows=min(rows - begin, CHUNK))


def make_table(folder: Path, rows: int) -> None:
    """Write a seeded table as `table.csv` and `table.parquet`."""
    chunks = make_chunks(rows)
    first = next(chunks)
    # Arrow's header has quotes, unlike that of pandas.
    plain = pa.csv.WriteOptions(include_header=False, quoting_style="none")
    with (
        (folder / "table.csv").open("wb") as file,
        pa.csv.CSVWriter(file, first.schema, write_options=plain) as text,
        pq.ParquetWriter(folder / "table.parquet", first.schema) as parquet,
    ):
        file.write(",".join(first.column_names).encode() + b"\n")
        for chunk in itertools.chain([first], chunks):
            text.write_table(chunk)
            parquet.write_table(chunk)


def _chunk(random: np.random.Generator, weights: np.ndarray, *, rows: int) -> pa.Table:
    values = random.normal(size=(rows, NUMBERS))
    logits = values @ weights + random.logistic(size=rows)
    columns: dict[str, pa.Array] = {}
    for index in range(NUMBERS):
        if index % 3:
            numbers = np.round(values[:, index] * 10**index % 9973, 3)
        else:
            numbers = np.round(values[:, index] * 1000).astype(np.int64)
        columns[f"n{index}"] = pa.array(numbers, mask=random.random(rows) < MISSING)
    columns["city"] = pa.array(CITIES).take(pa.array(random.integers(len(CITIES), size=rows)))
    columns["plan"] = pa.array(PLANS).take(pa.array(random.integers(len(PLANS), size=rows)))
    days = pa.array(random.integers(16_000, 20_000, size=rows).astype(np.int32)).cast(pa.date32())
    columns["joined"] = days
    columns["target"] = pa.array(np.where(logits > 0, "yes", "no"))
    return pa.table(columns)


def measure(folder: Path, rows: int) -> list[Phase]:
    """Return the phases for the table in a folder, which has so many rows."""
    rounds = [
        [
            run_measured([sys.executable, "-c", code], folder, timed_inside=True)
            for code in READS.values()
        ]
        for _ in range(ROUNDS)
    ]
    reads = dict(zip(READS, map(_median, zip(*rounds, strict=True)), strict=True))
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "plain.py").write_text(_PLAIN)
    plain, complete = [], []
    for _ in range(COMPLETE_ROUNDS if rows <= MANY_ROWS else 1):
        plain.append(run_measured([sys.executable, "plain.py"], folder))
        # With the artifact in the store, or the recipe in the state, nothing would be trained.
        for name in ("artifacts", "state"):
            shutil.rmtree(folder / name, ignore_errors=True)
        complete.append(run_measured([*PIPELINE, "run", "config.json"], folder))
    return [
        *(
            Phase(name, usage, PARQUET if "arquet" in name else CSV)
            for name, usage in reads.items()
        ),
        Phase(SCRIPT, _median(plain), SCRIPT),
        Phase("a complete run", _median(complete), SCRIPT),
    ]


def _median(usages: Iterable[Usage]) -> Usage:
    return Usage(*map(statistics.median, zip(*usages, strict=True)))


def report(phases: list[Phase], rows: int) -> str:
    """Return phases as a table for a terminal."""
    usages = {phase.name: phase.usage for phase in phases}
    lines = [f"{f'{rows:,} rows':<34}{'CPU':>9}{'wall':>9}{'peak':>11}{'CPU ×':>8}{'peak ×':>8}"]
    for name, usage, floor_name in phases:
        floor = usages[floor_name]
        ratios = f"{usage.cpu / floor.cpu:>8.2f}{usage.peak / floor.peak:>8.2f}"
        lines.append(
            f"{name:<34}{usage.cpu:>7.2f} s{usage.wall:>7.2f} s{usage.peak:>7.0f} MiB{ratios}"
        )
    return "\n".join(lines)


def run_measured(
    command: list[str], folder: Path, *, timed_inside: bool = False, quiet: bool = False
) -> Usage:
    """Run a command in its own session.

    Args:
        command: The command.
        folder: Its working folder.
        timed_inside: Whether it prints its processor time and wall time itself.
        quiet: Whether to drop its standard error.
    """
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
        **dict.fromkeys(BLAS_THREADS, "1"),
        "PYTHONPATH": str(ROOT / "src"),
        "XDG_STATE_HOME": str(folder / "state"),
    }
    before = os.times()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if quiet else None,
        start_new_session=True,
    )
    peaks = [0.0]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            peaks.append(_session_mib(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    output, _ = process.communicate()
    done.set()
    watcher.join()
    after = os.times()
    if process.returncode:
        raise SystemExit(f"{command[0]} ended with exit code {process.returncode}")
    cpu = sum(after[2:4]) - sum(before[2:4])
    wall = after.elapsed - before.elapsed
    if timed_inside:
        cpu, wall = json.loads(output)
    return Usage(cpu, wall, max(peaks))


def _session_mib(session: int) -> float:
    """Return the proportional set size of the processes in a session, in MiB."""
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            status = (process / "stat").read_text("utf-8").rpartition(")")[2].split()
            if int(status[3]) != session:
                continue
            rollup = (process / "smaps_rollup").read_text("utf-8")
        except OSError:  # it has ended
            continue
        total += sum(int(line.split()[1]) for line in rollup.splitlines() if line[:4] == "Pss:")
    return total / 1024


def main() -> None:
    """Measure and print; the argument is the number of rows."""
    rows = int(float(sys.argv[1])) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_table(folder, rows)
        print(report(measure(folder, rows), rows))


if __name__ == "__main__":
    main()
