"""The fits of a search and of a cross-validation, on the workers of a Dask cluster.

The training rows and the folds are sent to each worker once, and a task names one of the folds. A
worker must compute under the numeric profile of the trainer, with its packages and one thread, or
it is refused. So each score has the same bits as in one process.
"""

from __future__ import annotations

import os
import pickle
import platform
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple, TypeVar

from artifact_pipeline._version import __version__
from artifact_pipeline.builder import dask_cluster, dask_worker, numeric_profile, recipe
from artifact_pipeline.builder.dask_cluster import Cluster
from artifact_pipeline.builder.data.split import Fold
from artifact_pipeline.builder.environment import PACKAGES, TABLE_PACKAGES, libc, versions
from artifact_pipeline.builder.model import threads
from artifact_pipeline.builder.numeric_profile import Inspection
from artifact_pipeline.builder.training import cross_validation
from artifact_pipeline.builder.training.cross_validation import FoldFit
from artifact_pipeline.errors import (
    EnvironmentFailure,
    MissingDependency,
)

T = TypeVar("T")
Fit = TypeVar("Fit")
Count = Callable[[int, int], None]
"""Called with the number of completed fits and that of all fits."""

_START = (
    "start it with: dask worker ADDRESS --nworkers -1 --nthreads 1 --preload-nanny "
    + dask_worker.__name__
)
_MORE_MEMORY = "give them more memory, or start more of them"
_ATTEMPTS = 5
"""Maximum number of times that the rows are sent: lost workers lose their copies."""


class SharedRows:
    """The training rows and their folds, as stored on a worker.

    They are a pickle within Dask's: arrays that Dask itself receives may begin at any address and
    be read-only, and numpy adds up such arrays in another order.

    Attributes:
        X: (n_rows, n_features), an array or a DataFrame.
        y: Labels or numbers, (n_rows,).
        search: The folds of the search.
        cv: The folds of the cross-validation.
    """

    def __init__(self, X: Any, y: Any, *, search: Sequence[Fold], cv: Sequence[Fold]) -> None:
        self.X, self.y, self.search, self.cv = X, y, search, cv

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpacked, (pickle.dumps((self.X, self.y, self.search, self.cv), protocol=4),)


def _unpacked(data: bytes) -> SharedRows:
    X, y, search, cv = pickle.loads(data)  # noqa: S301  (Dask unpickles the bytes around it)
    return SharedRows(X, y, search=search, cv=cv)


class Requirements(NamedTuple):
    """The requirements for a worker to compute the same bits as this process.

    Attributes:
        properties: Versions and the like by name; see `_properties`.
        profile: The numeric profile.
        inspection: This process; a worker must equal it if the profile is `native`.
    """

    properties: dict[str, str]
    profile: str
    inspection: Inspection


class CandidateFit(NamedTuple):
    """A fit of a search.

    Attributes:
        estimator: The estimator with the parameters of a candidate, not fitted.
        fold: The index of the fold.
        scoring: The name of a scikit-learn scorer.
    """

    estimator: Any
    fold: int
    scoring: str


class Score(NamedTuple):
    """The score of a candidate on a fold, and the warnings of its fit."""

    score: float
    warnings: list[tuple[type[Warning], str]]


class FitCluster:
    """A connected cluster whose workers fit estimators to rows. See `connected`.

    Attributes:
        rows: The rows.
    """

    def __init__(self, client: Any, rows: SharedRows, *, requirements: Requirements) -> None:
        self.rows, self._client, self._requirements = rows, client, requirements
        self._sent: Any = None

    def run(
        self, task: Callable[[SharedRows, Fit], T], fits: Sequence[Fit], *, report: Count
    ) -> list[T]:
        """Return the results of a function for several fits, computed on the workers.

        Args:
            task: A function of this module, which takes the rows and a fit.
            fits: The fits.
            report: Called after each fit.

        Raises:
            EnvironmentFailure: If a worker is refused, or workers are lost repeatedly.
            NetworkError: If the connection to the scheduler is lost.
        """
        results: dict[int, T] = {}
        for _ in range(_ATTEMPTS):
            waiting = {index: fit for index, fit in enumerate(fits) if index not in results}
            for index, result in self._results(task, waiting):
                results[index] = result
                report(len(results), len(fits))
            if len(results) == len(fits):
                return [results[index] for index in range(len(fits))]
            self._sent = None  # the last worker with the rows was lost
        raise dask_cluster.workers_lost(_MORE_MEMORY)

    def _results(
        self, task: Callable[[SharedRows, Fit], T], fits: dict[int, Fit]
    ) -> Iterator[tuple[int, T]]:
        """Yield the results as they are computed, until the workers have lost the rows."""
        from distributed import CancelledError, KilledWorker, as_completed

        sent = self._send()
        futures = {
            self._client.submit(
                _run_task, self._requirements, task, rows=sent, fit=fit, pure=False
            ): index
            for index, fit in fits.items()
        }
        try:
            for future in as_completed(futures):  # type: ignore[no-untyped-call]
                yield futures[future], future.result()
        except KilledWorker as error:
            raise dask_cluster.workers_lost(_MORE_MEMORY) from error
        except CancelledError as error:
            self._check_connection(error)
        finally:
            self._client.cancel(list(futures))

    def _send(self) -> Any:
        """Return the rows on the workers; they are sent if no worker has them."""
        if self._sent is None:
            try:
                self._sent = self._client.scatter(
                    self.rows, broadcast=True, hash=False, timeout=dask_cluster.WORKER_SECONDS
                )
            except TimeoutError as error:
                raise dask_cluster.no_workers(self._client.scheduler.address) from error
            except OSError as error:
                self._check_connection(error)
                raise
        return self._sent

    def _check_connection(self, error: BaseException) -> None:
        if self._client.status != "running":
            remedy = "run it again when the scheduler runs"
            raise dask_cluster.connection_lost(self._client, remedy) from error


@contextmanager
def connected(
    cluster: Cluster, rows: SharedRows, *, fits: int, profile: str
) -> Iterator[FitCluster]:
    """Connect to a cluster, or start one, for the `with` block.

    Args:
        cluster: The cluster.
        rows: The rows that estimators are fitted to.
        fits: The approximate number of fits.
        profile: The requested numeric profile.

    Raises:
        NetworkError: If the scheduler cannot be reached.
        EnvironmentFailure: If it has no workers, or an unsuitable one.
    """
    boosters = [name for name in ("lightgbm", "xgboost") if name in sys.modules]
    inspection = numeric_profile.inspect_process()
    in_force = numeric_profile.in_force(profile, inspection)
    requirements = Requirements(
        properties=_properties([*PACKAGES, *TABLE_PACKAGES, *boosters]),
        profile=profile if in_force else numeric_profile.NATIVE,
        inspection=inspection,
    )
    with (
        _silent_children() if cluster.scheduler is None else nullcontext(),
        dask_cluster.connect(cluster, fits, profile=profile) as client,
    ):
        dask_cluster.check_workers(client, check_worker, requirements=requirements)
        yield FitCluster(client, rows, requirements=requirements)


@contextmanager
def _silent_children() -> Iterator[None]:
    """Drop the standard error of processes that are started in the `with` block.

    Ctrl-C kills this process, and the workers of a starting cluster would print a traceback. Output
    of estimators still goes to standard output.
    """
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)


def search(cluster: FitCluster, unfitted: Any, *, n_jobs: int | None, report: Count) -> None:
    """Fit a search in place, with the fits of its candidates on a cluster.

    scikit-learn then compares the candidates in a search with known scores.

    Args:
        cluster: The cluster, with the rows.
        unfitted: A GridSearchCV or RandomizedSearchCV.
        n_jobs: As for `fit.fit`, for the last fit, to all rows.
        report: Called after each fit.
    """
    import numpy as np
    from sklearn.model_selection import ParameterGrid, ParameterSampler

    if hasattr(unfitted, "param_grid"):
        candidates = list(ParameterGrid(unfitted.param_grid))
    else:
        candidates = list(
            ParameterSampler(
                unfitted.param_distributions, unfitted.n_iter, random_state=unfitted.random_state
            )
        )
    fits = [
        CandidateFit(_with(unfitted.estimator, params), fold, unfitted.scoring)
        for params in candidates
        for fold in range(len(unfitted.cv))
    ]
    scores = cluster.run(_score, fits, report=report)
    for score in scores:
        for category, message in score.warnings:
            warnings.warn(message, category, stacklevel=2)
    known = iter(scores)
    comparison = type(unfitted)(
        **{
            **unfitted.get_params(deep=False),
            "estimator": _candidate(),
            "scoring": lambda *_: next(known).score,
            "n_jobs": 1,  # the scores are in the order of the candidates
            "refit": False,
        }
    )
    rows = cluster.rows
    comparison.fit(np.empty((len(rows.y), 0)), rows.y)
    for name in ("cv_results_", "best_index_", "best_params_"):
        setattr(unfitted, name, getattr(comparison, name))
    best = _with(unfitted.estimator, comparison.best_params_)
    with threads.use(best, n_jobs):
        unfitted.best_estimator_ = best.fit(rows.X, rows.y)


def cross_validate(
    cluster: FitCluster, fold_fit: FoldFit, *, report: Count
) -> list[dict[str, float]]:
    """Return the metrics on each fold of the cross-validation; see `measure_fold`."""
    from sklearn.base import clone

    fold_fit = fold_fit._replace(
        estimator=clone(fold_fit.estimator)
    )  # without the state of its fit
    folds = [(fold_fit._replace(n_jobs=1), fold) for fold in range(len(cluster.rows.cv))]
    return cluster.run(_measure, folds, report=report)


def check_worker(requirements: Requirements, dask_worker: Any) -> None:
    """Check that this process, a worker, computes the same bits as the client.

    Args:
        requirements: The requirements.
        dask_worker: The worker; `Client.run` passes it to a parameter of this name.

    Raises:
        EnvironmentFailure: If it does not, with its name.
    """
    import scipy.linalg  # noqa: F401  (loads its BLAS, which is inspected as well)
    import sklearn  # noqa: F401  (loads OpenMP)

    location = dask_cluster.location_of(dask_worker)
    expected = requirements.properties
    own = _properties(())
    try:
        own |= versions(name for name in expected if name not in own)
    except MissingDependency as error:
        raise EnvironmentFailure(
            f"{error.problem}, and the trainer has it",
            location=location,
            remedy=dask_cluster.SAME_VERSIONS,
        ) from error
    for name, value in expected.items():
        if own[name] != value:
            raise EnvironmentFailure(
                f"has {name} {own[name]}, and the trainer has {value}",
                location=location,
                remedy=dask_cluster.SAME_VERSIONS,
            )
    if dask_worker.state.nthreads != 1:
        raise EnvironmentFailure(
            f"has {dask_worker.state.nthreads} threads, and a fit needs a process of its own",
            location=location,
            remedy=_START,
        )
    if deviation := _deviation(requirements):
        raise EnvironmentFailure(
            f"does not compute as the trainer, which has the numeric profile "
            f"{requirements.profile}: {deviation}",
            location=location,
            remedy=_START,
        )


def _run_task(
    requirements: Requirements,
    task: Callable[[SharedRows, Fit], T],
    *,
    rows: SharedRows,
    fit: Fit,
) -> T:
    """Check a worker, which may have just joined the cluster, and call a function on it."""
    from distributed import get_worker

    check_worker(requirements, get_worker())
    return task(rows, fit)


def _score(rows: SharedRows, fit: CandidateFit) -> Score:
    """Return the score of an estimator on a fold, from a search with a single candidate."""
    from sklearn.model_selection import GridSearchCV

    search = GridSearchCV(
        fit.estimator,
        {},
        scoring=fit.scoring,
        cv=[rows.search[fit.fold]],
        refit=False,
        error_score="raise",
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with threads.use(fit.estimator, 1):
            search.fit(rows.X, rows.y)
    [score] = search.cv_results_["split0_test_score"]
    return Score(float(score), [(warning.category, str(warning.message)) for warning in caught])


def _measure(rows: SharedRows, fit: tuple[FoldFit, int]) -> dict[str, float]:
    fold_fit, fold = fit
    return cross_validation.measure_fold(rows.X, rows.y, fold=rows.cv[fold], fold_fit=fold_fit)


def _with(estimator: Any, params: dict[str, Any]) -> Any:
    """Return a copy of an estimator with other parameters, as a search makes it."""
    from sklearn.base import clone

    return clone(estimator).set_params(**clone(params, safe=False))


def _candidate() -> Any:
    """Return an estimator that takes any parameters and whose fit does nothing."""
    from sklearn.base import BaseEstimator

    class AnyParameters(BaseEstimator):  # type: ignore[misc]
        def set_params(self, **_: Any) -> AnyParameters:
            return self

        def fit(self, *_: Any) -> AnyParameters:
            return self

    return AnyParameters()


def _properties(packages: Sequence[str]) -> dict[str, str]:
    """Return what decides this process's bits besides the numeric profile, by name."""
    return {
        "artifact-pipeline": f"{__version__} (code {recipe.code_digest()[7:19]})",
        "Python": f"{sys.version_info[0]}.{sys.version_info[1]}",
        "the system": f"{platform.system()} {numeric_profile.machine()} {libc()}",
        **versions(packages),
    }


def _deviation(requirements: Requirements) -> str | None:
    """Return how this process deviates from the numeric profile of the trainer, or None."""
    profile, inspection = requirements.profile, numeric_profile.inspect_process()
    if profile == numeric_profile.NATIVE:
        return None if inspection == requirements.inspection else "it has another CPU or BLAS"
    if not numeric_profile.in_force(profile, inspection):
        return numeric_profile.deviation(profile, inspection)
    settings = numeric_profile.environment(profile, os.environ)
    tunables = "GLIBC_TUNABLES"
    if os.environ.get(tunables) != settings.get(tunables):
        return f"{tunables} is not {settings.get(tunables) or 'empty'}"
    if sys.flags.hash_randomization:
        return "PYTHONHASHSEED is not 0"
    return None
