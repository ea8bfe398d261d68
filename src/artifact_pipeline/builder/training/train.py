"""Training: split the rows, search or fit, cross-validate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from artifact_pipeline.builder import numeric_profile
from artifact_pipeline.builder.artifact.evaluation import Searched
from artifact_pipeline.builder.config.resolved import (
    EvaluationConfig,
    ModelConfig,
    ResolvedConfig,
    Search,
)
from artifact_pipeline.builder.dask_cluster import Cluster
from artifact_pipeline.builder.data import leakage, split
from artifact_pipeline.builder.data.dataset import Rows
from artifact_pipeline.builder.data.split import Fold, TrainTestSplit
from artifact_pipeline.builder.metric_table import default_scoring
from artifact_pipeline.builder.model import construction, fit
from artifact_pipeline.builder.model import search as searching
from artifact_pipeline.builder.model.fit import Fitted
from artifact_pipeline.builder.progress import PhaseProgress, ReportProgress, ignore
from artifact_pipeline.builder.training.cross_validation import FoldFit, by_metric, measure_fold
from artifact_pipeline.errors import ConfigError, Location

if TYPE_CHECKING:
    from artifact_pipeline.builder.training.cluster_fits import FitCluster


class Prepared(NamedTuple):
    """A checked config with its rows, ready to train."""

    config: ResolvedConfig
    model: ModelConfig
    """In full form; see `construction.resolve`."""
    rows: Rows
    parts: TrainTestSplit
    estimator: Any
    """Not fitted; a search if the config has one."""
    folds: list[Fold] | None
    """The folds of the cross-validation, if the config has one."""
    name: str
    """The config's name in errors."""


class TrainedEstimator(NamedTuple):
    """A fitted estimator, and the findings of its training."""

    prepared: Prepared
    fitted: Fitted
    leaks: list[str]
    search: Searched | None
    cv: dict[str, list[float]] | None
    """Each metric on the folds where it is defined."""


def slice_columns(evaluation: EvaluationConfig | None) -> list[str]:
    """Return the columns that the slices of an evaluation use."""
    if evaluation is None or evaluation.slices is None:
        return []
    columns = (column for conditions in evaluation.slices.values() for column in conditions)
    return list(dict.fromkeys(columns))


def prepare(config: ResolvedConfig, model: ModelConfig, *, rows: Rows, name: str) -> Prepared:
    """Split the rows and build the estimator.

    Args:
        config: The config.
        model: Its model in full form.
        rows: Its rows.
        name: Its name in errors.

    Raises:
        ConfigError: If the split, the search or the folds are impossible.
        DataError: If the rows cannot be split.
    """
    if slice_columns(config.evaluation) and not hasattr(rows.X, "columns"):
        raise ConfigError(
            "a bundled data set has no such columns",
            location=Location(name, key="evaluation.slices"),
        )
    parts = split.split(rows, config.split, location=Location(name, key="split"))
    estimator = construction.build(model)
    if config.search is not None:
        place = Location(name, key="search")
        folds = _folds(
            config, config.search.cv, rows=rows, parts=parts, location=place.inside("cv")
        )
        seed = config.split.random_state
        scoring = _scoring(config.search, rows)
        estimator = searching.build_search(
            estimator,
            config.search,
            folds=folds,
            scoring=scoring,
            random_state=seed,
            location=place,
        )
    cv_folds = None
    if config.evaluation is not None and config.evaluation.cv is not None:
        place = Location(name, key="evaluation.cv")
        cv_folds = _folds(config, config.evaluation.cv, rows=rows, parts=parts, location=place)
    return Prepared(
        config=config,
        model=model,
        rows=rows,
        parts=parts,
        estimator=estimator,
        folds=cv_folds,
        name=name,
    )


def train(
    prepared: Prepared,
    report: ReportProgress = ignore,
    *,
    profile: str = numeric_profile.NATIVE,
    cluster: Cluster | None = None,
) -> TrainedEstimator:
    """Fit the estimator, or search for the best one.

    Args:
        prepared: The config with its rows.
        report: Called after each of several fits.
        profile: The numeric profile of this process.
        cluster: A Dask cluster for the fits of a search and of a cross-validation.

    Raises:
        ConfigError: If an estimator refuses the rows or its combination of parameters.
        NetworkError: If the cluster cannot be reached.
        EnvironmentFailure: If a worker would compute other bits, or the workers are lost.
    """
    config, rows, parts = prepared.config, prepared.rows, prepared.parts
    n_jobs = construction.requested_n_jobs(config.model)
    with _connected(cluster, prepared, profile=profile) as connected:
        fitted = fit.fit(
            prepared.estimator,
            parts.X_train,
            parts.y_train,
            n_jobs=n_jobs,
            location=Location(prepared.name, key="model"),
            fit_in_place=_search_of(prepared, connected, n_jobs=n_jobs, report=report),
        )
        search: Searched | None = None
        if config.search is not None:
            scoring, seed = _scoring(config.search, rows), config.split.random_state
            place = Location(prepared.name, key="search")
            search = searching.summarize_search(
                fitted.estimator, config.search, scoring=scoring, random_state=seed, location=place
            )
            fitted = Fitted(fitted.estimator.best_estimator_, fitted.warnings)
        cv: dict[str, list[float]] | None = None
        if prepared.folds is not None:
            fold_fit = FoldFit(
                estimator=fitted.estimator,
                target=rows.target,
                positive=rows.description.positive,
                n_jobs=n_jobs,
                location=Location(prepared.name, key="evaluation.cv"),
            )
            cv = _cross_validate(fold_fit, prepared, cluster=connected, report=report)
    return TrainedEstimator(
        prepared=prepared,
        fitted=fitted,
        leaks=leakage.find(rows, parts),
        search=search,
        cv=cv,
    )


def _search_of(
    prepared: Prepared, cluster: FitCluster | None, *, n_jobs: int | None, report: ReportProgress
) -> Callable[[Any], None] | None:
    """Return the function that fits the search on a cluster; None to fit it in this process."""
    if prepared.config.search is None:
        return None

    def count(done: int, total: int) -> None:
        report(PhaseProgress(phase="fit", done=done, total=total))

    if cluster is None:
        if n_jobs is None:  # other processes would not report
            searching.report_fits(prepared.estimator, count)
        return None
    from artifact_pipeline.builder.training import cluster_fits

    return partial(cluster_fits.search, cluster, n_jobs=n_jobs, report=count)


def _scoring(search: Search, rows: Rows) -> str:
    return search.scoring or default_scoring(rows.target)


def _folds(
    config: ResolvedConfig, count: int, *, rows: Rows, parts: TrainTestSplit, location: Location
) -> list[Fold]:
    try:
        return split.folds(parts, rows, config=config.split, count=count)
    except ValueError as error:
        raise ConfigError(f"{count} folds cannot be made: {error}", location=location) from error


def _cross_validate(
    fold_fit: FoldFit, prepared: Prepared, *, cluster: FitCluster | None, report: ReportProgress
) -> dict[str, list[float]]:
    """Return each metric on the folds where it is defined."""
    parts, folds = prepared.parts, prepared.folds or []

    def count(done: int, total: int) -> None:
        report(PhaseProgress(phase="cross-validate", done=done, total=total))

    if cluster is not None:
        from artifact_pipeline.builder.training import cluster_fits

        count(0, len(folds))
        return by_metric(cluster_fits.cross_validate(cluster, fold_fit, report=count))
    metrics = []
    for done, fold in enumerate(folds):
        count(done, len(folds))
        metrics.append(measure_fold(parts.X_train, parts.y_train, fold=fold, fold_fit=fold_fit))
    return by_metric(metrics)


@contextmanager
def _connected(
    cluster: Cluster | None, prepared: Prepared, *, profile: str
) -> Iterator[FitCluster | None]:
    """Connect to a cluster for the `with` block, if there is one and it has fits to run."""
    search = prepared.estimator.cv if prepared.config.search is not None else []
    cv = prepared.folds or []
    if cluster is None or not (search or cv):
        yield None
        return
    from artifact_pipeline.builder.training import cluster_fits
    from artifact_pipeline.builder.training.cluster_fits import SharedRows

    parts = prepared.parts
    candidates = searching.count_candidates(prepared.estimator) if search else 0
    with cluster_fits.connected(
        cluster,
        SharedRows(parts.X_train, parts.y_train, search=search, cv=cv),
        fits=max(len(search) * candidates, len(cv)),
        profile=profile,
    ) as connected:
        yield connected
