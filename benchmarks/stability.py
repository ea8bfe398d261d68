"""`python -m benchmarks.stability [NAME …]`: is every estimator trained twice to the same bytes?

Twice means in two processes, with other hash seeds, thread settings and BLAS kernels in the
environment around them. Without names all are tried, and the table goes into
docs/reproducibility.md.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reproducibility.md"
START, END = "<!-- python -m benchmarks.stability -->", "<!-- end -->"
OUTER = (
    {"PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    {"PYTHONHASHSEED": "2", "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2",
     "OPENBLAS_CORETYPE": "Nehalem", "NPY_DISABLE_CPU_FEATURES": "X86_V3"},
)  # fmt: skip
SMALL = ("GaussianProcessClassifier",)
"""Classifiers whose fit takes minutes on the digits: they are tried on iris, as are those that have
no form, or no fit, on the digits. Regressors are tried on diabetes."""


class Row(NamedTuple):
    """What came of one estimator."""

    name: str
    dataset: str
    stable: str
    form: str
    apart: str
    """How far the open form was measured from the estimator: a probability, or a number as a share
    of their spread."""


def names() -> Iterator[str]:
    """Yield the public names of scikit-learn's estimators that predict and need no other."""
    from sklearn.utils import all_estimators

    for name, cls in [*all_estimators("classifier"), *all_estimators("regressor")]:
        with warnings.catch_warnings(action="ignore"):
            try:
                cls()
            except TypeError:
                continue
        yield f"{cls.__module__.partition('._')[0]}.{name}"


def measure(name: str) -> Row:
    """Return what comes of training one estimator twice."""
    from sklearn.utils import all_estimators

    short = name.rpartition(".")[2]
    if short in dict(all_estimators("regressor")):
        return _measure(name, short, "diabetes")
    on_digits = None if short in SMALL else _measure(name, short, "digits")
    if on_digits is not None and on_digits.form != "none":
        return on_digits
    on_iris = _measure(name, short, "iris")
    return on_digits if on_digits is not None and on_iris.form == "none" else on_iris


def _measure(name: str, short: str, dataset: str) -> Row:
    config = {"data": {"dataset": dataset}, "model": {"estimator": name, "params": {}}}
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        (place / "config.json").write_text(json.dumps(config))
        first, second = (_train(place, f"store-{i}", outer) for i, outer in enumerate(OUTER))
    if "error" in first:
        return Row(short, dataset, "-", "none", first["error"])
    stable = "yes" if first["digest"] == second["digest"] else "**no**"
    return Row(short, dataset, stable, first["form"], first["apart"])


def table(rows: list[Row]) -> str:
    """Return the rows as Markdown."""
    head = ["| estimator | data | same bytes | open form | apart by |",
            "| --- | --- | --- | --- | --- |"]  # fmt: skip
    return "\n".join([*head, *(f"| {' | '.join(row)} |" for row in rows)])


def _train(place: Path, store: str, outer: dict[str, str]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "artifact_pipeline", "train", "config.json", "--json", "--store",
         store],
        cwd=place,
        env={**os.environ, **outer, "PYTHONPATH": str(ROOT / "src"),
             "XDG_STATE_HOME": str(place / "state")},
        capture_output=True,
        check=False,
    )  # fmt: skip
    answer: dict[str, Any] = json.loads(done.stdout)
    if done.returncode:
        said = answer["error"]["message"]
        refused = re.search(r"\((.*)\)$", said)
        return {"error": (refused[1] if refused else said)[:160].replace("|", "/")}
    manifest = json.loads((place / answer["artifact"] / "manifest.json").read_bytes())
    record = json.loads((place / answer["record"]).read_bytes())
    gives = manifest["interface"]["outputs"][-1]["name"] != "label"
    apart = f"{record['parity_measured']:.1e}" if gives else "labels alone"
    return {"digest": answer["digest"], "form": manifest["parity"]["form"], "apart": apart}


def main() -> None:
    """Measure, print each row, and write the table where all were measured."""
    chosen = sys.argv[1:] or list(names())
    rows = []
    for name in chosen:
        rows.append(measure(name))
        print(" | ".join(rows[-1]), flush=True)
    if not sys.argv[1:]:
        page = PAGE.read_text("utf-8")
        before, _, rest = page.partition(START)
        after = rest.partition(END)[2]
        PAGE.write_text(f"{before}{START}\n\n{table(rows)}\n\n{END}{after}", "utf-8")


if __name__ == "__main__":
    main()
