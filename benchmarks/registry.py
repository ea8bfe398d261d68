"""Times of commands that search runs, in stores with 10, 1,000 and 100,000 run records.

    python -m benchmarks.registry [--counts 10 1000 100000] [--rounds 5]

Times are CPU times, which other processes affect less. They should not grow with the number of
records; the ratio is that of the largest store to the smallest. `indexing` is the first command in
a store whose index is not built yet.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PIPELINE = [sys.executable, "-m", "artifact_pipeline"]
CONFIG = str(ROOT / "config" / "config.json")
COMMANDS = {
    "show latest": ["show", "latest"],
    "list": ["list"],
    "history": ["history", "digits"],
    "run, nothing changed": ["run", CONFIG],
    "show after that run": ["show", "latest"],
    "runs": ["runs"],
    "runs --where, many match": ["runs", "--where", "test.accuracy > 0.7 and params.C < 5"],
    "runs --where, few match": ["runs", "--where", "test.accuracy > 0.8999 and not cached"],
    "runs --sort": ["runs", "--sort", "accuracy"],
    "runs --best": ["runs", "--best", "accuracy"],
    "runs --since, few": ["runs", "--since", "2025-12-31"],
    "runs --limit 5": ["runs", "--name", "digits", "--limit", "5"],
    "board": ["board", "--output", "board.html"],
}


def main() -> None:
    """Print the times."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[10, 1000, 100_000])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    times = {count: measure(count, arguments.rounds) for count in arguments.counts}
    first, last = arguments.counts[0], arguments.counts[-1]
    print(f"{'':26}" + "".join(f"{count:>12,}" for count in times) + f"{'ratio':>9}")
    for name in times[first]:
        row = "".join(f"{times[count][name] * 1000:>9.0f} ms" for count in times)
        print(f"{name:26}{row}{times[last][name] / times[first][name]:>9.2f}")


def measure(count: int, rounds: int) -> dict[str, float]:
    """Return the median time of each command in a store with so many run records, in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT / "src"),
            "XDG_STATE_HOME": str(place / "state"),
        }

        def timed(words: list[str]) -> float:
            process = subprocess.Popen(
                [*PIPELINE, *words],
                cwd=place,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                raise subprocess.CalledProcessError(process.returncode, process.args)
            return usage.ru_utime + usage.ru_stime

        timed(["run", CONFIG])
        _fill(place / "artifacts" / "runs", count)
        times = {"indexing": timed(["show", "latest"])}
        rows = [{name: timed(words) for name, words in COMMANDS.items()} for _ in range(rounds)]
        times |= {name: statistics.median(row[name] for row in rows) for name in COMMANDS}
        shutil.rmtree(place / "artifacts")
        return times


def _fill(runs: Path, count: int) -> None:
    """Copy the only record until there are `count`; every second one has a new artifact.

    Parameters and metrics vary. Records are up to 3 kB, like those of tables.
    """
    [path] = runs.iterdir()
    record = json.loads(path.read_bytes())
    chance = random.Random(7)
    first = datetime(2020, 1, 1, tzinfo=UTC)
    for number in range(count - 1):
        started = first + timedelta(minutes=number)
        accuracy = 0.6 + 0.3 * chance.random()
        model = {**record["recipe"]["model"]}
        model["params"] = {**model["params"], "C": round(10 ** chance.uniform(-3, 2), 4)}
        metrics = {
            **record["metrics"],
            "test": dict.fromkeys(record["metrics"]["test"], accuracy),
        }
        run = f"{started:%Y%m%dT%H%M%S.%f}Z-{number:06x}"
        copy = {
            **record,
            "run": run,
            "started": started.isoformat(),
            "seconds": number / 7,
            "cached": number % 2 == 0,
            "artifact": record["artifact"] if number % 2 == 0 else f"sha256:{number:064x}",
            "recipe": {**record["recipe"], "model": model},
            "metrics": metrics,
        }
        (runs / f"{run}.json").write_text(json.dumps(copy))


if __name__ == "__main__":
    main()
