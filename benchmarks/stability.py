"""Stability sweep: each estimator trained twice, and whether the bytes are the same.

    python -m benchmarks.stability [--log FILE] [NAME …]

The two trainings run in two processes, with other hash seeds, thread settings and BLAS kernels in
the environment around them. Without names, all estimators are tried, and the table goes into
docs/reproducibility.md. With --log, an interrupted sweep continues where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import sweep

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENTS = (
    {"PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    {"PYTHONHASHSEED": "2", "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2",
     "OPENBLAS_CORETYPE": "Nehalem", "NPY_DISABLE_CPU_FEATURES": "X86_V3"},
)  # fmt: skip
SMALL = ("GaussianProcessClassifier",)
"""Classifiers whose fit takes minutes on the digits. They are tried on iris, like those without
a form or a fit on the digits; regressors are tried on diabetes."""


class Row(NamedTuple):
    """The result of one estimator.

    Attributes:
        apart: The measured distance of the open form from the estimator, of a probability, or of
            a number as a share of their spread.
    """

    name: str
    dataset: str
    stable: str
    form: str
    apart: str


def measure(name: str) -> Row:
    """Train one estimator twice, and return the result."""
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
        first, second = (
            _train(place, f"store-{number}", environment)
            for number, environment in enumerate(ENVIRONMENTS)
        )
    if "error" in first:
        return Row(short, dataset, "-", "none", first["error"])
    stable = "yes" if first["digest"] == second["digest"] else "**no**"
    return Row(short, dataset, stable, first["form"], first["apart"])


def table(rows: list[Row]) -> str:
    """Return the rows as Markdown."""
    head = ["| estimator | data | same bytes | open form | apart by |",
            "| --- | --- | --- | --- | --- |"]  # fmt: skip
    return "\n".join([*head, *(f"| {' | '.join(row)} |" for row in rows)])


def _train(place: Path, store: str, environment: dict[str, str]) -> dict[str, Any]:
    process = subprocess.run(
        [sys.executable, "-m", "artifact_pipeline", "train", "config.json", "--json", "--store",
         store],
        cwd=place,
        env={**os.environ, **environment, "PYTHONPATH": str(ROOT / "src"),
             "XDG_STATE_HOME": str(place / "state")},
        capture_output=True,
        check=False,
    )  # fmt: skip
    answer: dict[str, Any] = json.loads(process.stdout)
    if process.returncode:
        message = answer["error"]["message"]
        reason = re.search(r"\((.*)\)$", message)
        return {"error": (reason[1] if reason else message)[:160].replace("|", "/")}
    manifest = json.loads((place / answer["artifact"] / "manifest.json").read_bytes())
    record = json.loads((place / answer["record"]).read_bytes())
    gives = manifest["interface"]["outputs"][-1]["name"] != "label"
    apart = f"{record['parity_measured']:.1e}" if gives else "labels only"
    return {"digest": answer["digest"], "form": manifest["parity"]["form"], "apart": apart}


def main() -> None:
    """Measure, print each row, and write the table if all were measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stability")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--log", type=Path, help="append results here, and skip those it holds")
    options = parser.parse_args()
    names = options.names or [*sweep.estimators("classifier"), *sweep.estimators("regressor")]
    rows = sweep.run([(name,) for name in names], lambda case: measure(*case), log=options.log)
    if not options.names:
        sweep.write_table("stability", table([Row(*row) for row in rows]))


if __name__ == "__main__":
    main()
