"""`python -m benchmarks.threads`: whether a fit depends on the number of threads.

Each estimator is fitted with 1, 2, 3 and 4 OpenMP threads and as many threads of joblib, and the
bytes of its pickle are compared. The table goes into docs/reproducibility.md. Estimators that are
not in it use no threads.
"""

from __future__ import annotations

import os
import warnings
from typing import Any, NamedTuple

import numpy as np

from benchmarks import sweep

COUNTS = (1, 2, 3, 4)
ROWS = 5_000
FEATURES = 12


class Row(NamedTuple):
    """The result of one estimator."""

    name: str
    openmp: str
    """Whether its bytes are the same with any number of OpenMP threads."""
    jobs: str
    """The same with any number of joblib's threads."""


def estimators() -> dict[str, Any]:
    """Return the estimators that use OpenMP or joblib, by their names in the table."""
    from sklearn import cluster, ensemble, linear_model, neighbors

    seeded = {"random_state": 0}
    neighbor = {"n_neighbors": 5, "algorithm": "brute"}
    return {
        "HistGradientBoostingClassifier": ensemble.HistGradientBoostingClassifier(**seeded),
        "HistGradientBoostingClassifier, early stopping": ensemble.HistGradientBoostingClassifier(
            early_stopping=True, learning_rate=0.3, **seeded
        ),
        "HistGradientBoostingClassifier, missing values": ensemble.HistGradientBoostingClassifier(
            max_features=0.5, l2_regularization=1.0, **seeded
        ),
        "HistGradientBoostingRegressor": ensemble.HistGradientBoostingRegressor(**seeded),
        "HistGradientBoostingRegressor, absolute error": ensemble.HistGradientBoostingRegressor(
            loss="absolute_error", **seeded
        ),
        "RandomForestClassifier": ensemble.RandomForestClassifier(20, oob_score=True, **seeded),
        "RandomForestRegressor": ensemble.RandomForestRegressor(20, max_depth=8, **seeded),
        "ExtraTreesClassifier": ensemble.ExtraTreesClassifier(20, **seeded),
        "ExtraTreesRegressor": ensemble.ExtraTreesRegressor(20, max_depth=8, **seeded),
        "BaggingClassifier": ensemble.BaggingClassifier(n_estimators=8, **seeded),
        "BaggingRegressor": ensemble.BaggingRegressor(n_estimators=8, **seeded),
        "LogisticRegression": linear_model.LogisticRegression(),
        "SGDClassifier": linear_model.SGDClassifier(**seeded),
        "PoissonRegressor": linear_model.PoissonRegressor(),
        "GammaRegressor": linear_model.GammaRegressor(),
        "TweedieRegressor": linear_model.TweedieRegressor(power=1.5),
        "KNeighborsClassifier": neighbors.KNeighborsClassifier(**neighbor),
        "KNeighborsRegressor": neighbors.KNeighborsRegressor(**neighbor),
        "KMeans": cluster.KMeans(8, n_init=1, **seeded),
        "MiniBatchKMeans": cluster.MiniBatchKMeans(8, n_init=1, **seeded),
        "BisectingKMeans": cluster.BisectingKMeans(8, **seeded),
    }


def measure(name: str) -> Row:
    """Fit an estimator with each number of threads, and return the result."""
    import joblib
    import sklearn
    import threadpoolctl

    from artifact_pipeline.builder.formats import pickle_format

    estimator = estimators()[name]
    X, y = _rows(name)
    openmp, jobs = set(), set()
    with threadpoolctl.threadpool_limits(limits=1), warnings.catch_warnings(action="ignore"):
        for count in COUNTS:
            with threadpoolctl.threadpool_limits(limits=count, user_api="openmp"):
                openmp.add(pickle_format.dump(sklearn.clone(estimator).fit(X, y)))
            with joblib.parallel_config("threading", n_jobs=count):
                jobs.add(pickle_format.dump(sklearn.clone(estimator).fit(X, y)))
    same = ["yes" if len(dumps) == 1 else "**no**" for dumps in (openmp, jobs)]
    return Row(name, *same)


def _rows(name: str) -> tuple[Any, Any]:
    random = np.random.default_rng(0)
    X = random.normal(size=(ROWS, FEATURES))
    signal = X @ random.normal(size=FEATURES) + random.logistic(size=ROWS)
    if "missing" in name:
        X[random.random(X.shape) < 0.1] = np.nan
    is_number = "Regressor" in name
    return X, np.exp(signal / 4) if is_number else np.digitize(signal, [-2, 2])


def main() -> None:
    """Measure, print each row, and write the table."""
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # as in a trainer process
    rows = sweep.run([(name,) for name in estimators()], lambda case: measure(*case), log=None)
    head = ["| estimator | same bytes, OpenMP | same bytes, `n_jobs` |",
            "| --- | --- | --- |"]  # fmt: skip
    body = [f"| {' | '.join(Row(*row))} |" for row in rows]
    sweep.write_table("threads", "\n".join([*head, *body]))


if __name__ == "__main__":
    main()
