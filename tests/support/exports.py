"""Artifacts to export: of a matrix and a table, with labels and with numbers."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, NamedTuple

from tests.support import churn
from tests.support.command import call
from tests.support.configs import write


class Churn(NamedTuple):
    """The artifact of `churn.CHURN`, with new rows in two forms."""

    folder: Path
    run: dict[str, Any]
    records: list[dict[str, Any]]
    """The rows, as in JSON."""

    @property
    def artifact(self) -> Path:
        return self.folder / self.run["artifact"]

    def frame(self) -> Any:
        """Return the rows as scikit-learn's pipeline takes them, dates as days since 1970."""
        import pandas as pd

        frame = pd.DataFrame(self.records)
        days = pd.to_datetime(frame["since"]) - pd.Timestamp(0)
        return frame.assign(since=days / pd.Timedelta(days=1), age=frame["age"].astype(float))


def make_churn(folder: Path) -> Churn:
    """Train the artifact of `churn.CHURN` in a folder."""
    churn.table(folder / "churn.csv")
    done = call("run", write(folder, churn.CHURN), "--json", cwd=folder)
    assert done.code == 0, done.err
    records = []
    for row in churn.rows(60, seed=11):
        income = row["a b/€"]
        records.append(
            {
                "since": row["since"],
                "age": None if row["age"] == "" else row["age"],
                "a b/€": None if income == "NA" else float(income.replace(",", ".")),
                "label": row["label"],
                "zip": row["zip"],
                "review": row["review"].upper(),
            }
        )
    return Churn(folder, done.json, records)


def estimator(artifact: Path) -> Any:
    """Return the scikit-learn estimator of an artifact that these tests made."""
    return pickle.loads((artifact / "model_train.pkl").read_bytes())
