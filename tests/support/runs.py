"""Stores with invented run records, as many as a user's store has after months."""

import json
import os
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

SOLVERS = ["lbfgs", "saga", "newton-cg"]


def churn(index: int, chance: random.Random) -> dict[str, Any]:
    """Return a record of a classifier: solver and C vary, and C = 0.3 is best."""
    C = round(10 ** chance.uniform(-3, 2), 4)
    accuracy = 0.8 + 0.15 * chance.random() ** 0.3 - 0.02 * abs(C - 0.3) ** 0.2
    params = {"C": C, "solver": chance.choice(SOLVERS), "max_iter": 1000}
    return {
        "recipe": {
            "name": "churn",
            "data": {"digest": "sha256:" + "a1" * 32, "schema": {"target": "class"}},
            "model": {"estimator": "sklearn.linear_model.LogisticRegression", "params": params},
            "split": {"method": "random", "random_state": 42, "test_size": 0.2},
        },
        "data": "/home/asha/churn.csv",
        "config": "churn.json",
        "metrics": {
            "test": {"accuracy": accuracy, "f1_weighted": accuracy - 0.01,
                     "roc_auc": accuracy + 0.04, "log_loss": 1 - accuracy},
            "train": {"accuracy": accuracy + 0.02},
        },
        "gates": [{"metric": "test.accuracy", "bound": "min", "limit": 0.85, "value": accuracy,
                   "passed": accuracy >= 0.85}],
        "git": {"commit": f"{index // 7:07x}" + "c" * 33, "dirty": index % 5 == 0},
    }  # fmt: skip


def price(index: int, chance: random.Random) -> dict[str, Any]:
    """Return a record of a regression by a pipeline: depth and trees vary."""
    depth, trees = chance.choice([4, 8, 16, None]), chance.choice([50, 100, 200])
    r2 = 0.6 + 0.01 * (depth or 20) + 0.05 * chance.random()
    forest = "sklearn.ensemble.RandomForestRegressor"
    return {
        "recipe": {
            "name": "price",
            "data": {"digest": "sha256:" + "b2" * 32, "schema": {"target": "number"}},
            "model": {"steps": [
                {"name": "scale", "estimator": "sklearn.preprocessing.StandardScaler"},
                {"name": "model", "estimator": forest,
                 "params": {"max_depth": depth, "n_estimators": trees}}]},
            "split": {"method": "random", "random_state": index % 3, "test_size": 0.25},
        },
        "data": "prices.parquet",
        "config": "price.json",
        "metrics": {"test": {"r2": r2, "mae": 100 * (1 - r2), "rmse": 140 * (1 - r2)}},
    }  # fmt: skip


def write_runs(
    store: str | os.PathLike[str],
    count: int,
    *,
    kinds: Sequence[Callable[[int, random.Random], dict[str, Any]]] = (churn,),
    seed: int = 7,
    first: int = 0,
    **change: Any,
) -> list[str]:
    """Write `count` records into a store, an hour apart, and return their ids, oldest first.

    Args:
        store: The folder.
        count: The number of records.
        kinds: Functions that return the content of a record; each record uses one in turn.
        seed: The seed of the values.
        first: The number of the first record; a record of the same number is replaced.
        change: Fields that replace those of every record.
    """
    folder = Path(store) / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    chance = random.Random(seed)
    ids = []
    for index in range(first, first + count):
        started = datetime(2026, 1, 5, 8, tzinfo=UTC) + timedelta(hours=index)
        content = {
            "run": f"{started:%Y%m%dT%H%M%S.%f}Z-{index:06x}",
            "started": started.isoformat(),
            "seconds": round(chance.lognormvariate(2, 1), 3),
            "outcome": "done",
            "artifact": f"sha256:{index:064x}",
            "cached": False,
            **kinds[index % len(kinds)](index, chance),
            **change,
        }
        if any(not gate["passed"] for gate in content.get("gates", ())):
            content["outcome"] = "gate-missed"
        (folder / f"{content['run']}.json").write_text(json.dumps(content), "utf-8")
        ids.append(content["run"])
    return ids
