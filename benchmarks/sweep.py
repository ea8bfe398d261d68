"""The loop of the sweeps over scikit-learn's estimators, and the table that each writes."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reproducibility.md"

Case = tuple[str, ...]
Row = tuple[str, ...]


def estimators(kind: Literal["classifier", "regressor"]) -> Iterator[str]:
    """Yield the public paths of scikit-learn's estimators that need no other estimator."""
    from sklearn.utils import all_estimators

    for name, cls in all_estimators(kind):
        with warnings.catch_warnings(action="ignore"):
            try:
                cls()
            except TypeError:
                continue
        yield f"{cls.__module__.partition('._')[0]}.{name}"


def run(
    cases: Sequence[Case], measure: Callable[[Case], Row], *, log: Path | None = None
) -> list[Row]:
    """Measure each case, print its row, and return the rows.

    Rows are appended to `log`, a file of JSON lines, and cases that it contains are not
    measured again, so an interrupted sweep continues where it stopped.
    """
    known: dict[Case, Row] = {}
    if log is not None and log.exists():
        for line in log.read_text("utf-8").splitlines():
            case, row = json.loads(line)
            known[tuple(case)] = tuple(row)
    rows = []
    for case in cases:
        row = known.get(case)
        if row is None:
            row = measure(case)
            print(" | ".join(row), flush=True)
            if log is not None:
                with log.open("a", encoding="utf-8") as file:
                    file.write(json.dumps([case, row]) + "\n")
        rows.append(row)
    return rows


def write_table(name: str, table: str) -> None:
    """Replace the table of the sweep `name` in docs/reproducibility.md."""
    start, end = f"<!-- python -m benchmarks.{name} -->", f"<!-- end of {name} -->"
    before, _, rest = PAGE.read_text("utf-8").partition(start)
    after = rest.partition(end)[2]
    PAGE.write_text(f"{before}{start}\n\n{table}\n\n{end}{after}", "utf-8")
