"""Threads of a fit, for estimators whose bits do not depend on their number.

`python -m benchmarks.threads` found these estimators; see docs/reproducibility.md. The number of
threads is not part of a recipe.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from artifact_pipeline.builder.model.estimators import parts_of
from artifact_pipeline.builder.numeric_profile import THREADS_ENV_VAR

_OPENMP = ("HistGradientBoostingClassifier", "HistGradientBoostingRegressor")
"""The order in which they bin rows and add histograms does not depend on the number of threads.
Their bin mapper stores that number, and `estimators.strip_process_state` removes it."""
_FORESTS = (
    *("RandomForestClassifier", "RandomForestRegressor"),
    *("ExtraTreesClassifier", "ExtraTreesRegressor"),
)
"""Their trees are all seeded before the first one is fitted."""
_SEQUENTIAL = ("cluster", "manifold", "mixture", "neighbors")
"""Modules of scikit-learn whose order of addition depends on the OpenMP threads."""


def available() -> int:
    """Return how many threads a fit may use: the user's `OMP_NUM_THREADS`, or one per core."""
    import joblib

    limit = os.environ.get(THREADS_ENV_VAR, "")
    return int(limit) if limit.isdecimal() and int(limit) else int(joblib.cpu_count())


@contextmanager
def use(estimator: Any, n_jobs: int | None) -> Iterator[None]:
    """Make an estimator use all cores in a block if its bits do not depend on that.

    BLAS keeps its single thread.

    Args:
        estimator: An unfitted estimator.
        n_jobs: The number of joblib processes, if the config sets it.
    """
    from joblib import parallel_config

    parts = {type(part).__name__: type(part).__module__ for part in parts_of(estimator)}
    modules = {module.split(".")[1] for module in parts.values() if module.startswith("sklearn.")}
    count = 1 if n_jobs is not None else available()
    with ExitStack() as stack:
        if parts.keys() & {*_OPENMP} and not modules & {*_SEQUENTIAL}:
            stack.enter_context(_openmp(count))
        # A search would fit its candidates in parallel, with the memory of all of them.
        if count > 1 and parts.keys() & {*_FORESTS} and "model_selection" not in modules:
            stack.enter_context(parallel_config("threading", n_jobs=count))
        else:
            stack.enter_context(parallel_config(n_jobs=n_jobs))
        yield


@contextmanager
def _openmp(count: int) -> Iterator[None]:
    """Set the number of OpenMP threads, unless BLAS would use them as well."""
    import threadpoolctl

    pools = threadpoolctl.threadpool_info()
    if any(pool["user_api"] == "blas" and pool.get("threading_layer") != "pthreads"
           for pool in pools):  # fmt: skip
        yield
        return
    with threadpoolctl.threadpool_limits(count, user_api="openmp"):
        yield
