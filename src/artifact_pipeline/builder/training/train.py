"""Training: split the rows, search or fit, cross-validate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from artifact_pipeline.builder.artifact.evaluation import Searched
from artifact_pipeline.builder.config.resolved import (
    EvaluationConfig,
    ModelConfig,
    ResolvedConfig,
    Search,
)
from artifact_pipeline.builder.data import leakage, split
from artifact_pipeline.builder.data.dataset import Rows, take
from artifact_pipeline.builder.data.split import Fold, TrainTestSplit
from artifact_pipeline.builder.evaluation.metrics import evaluate
from artifact_pipeline.builder.metric_table import default_scoring
from artifact_pipeline.builder.model import construction, fit
from artifact_pipeline.builder.model import search as searching
from artifact_pipeline.builder.model.estimators import predict_with_proba
from artifact_pipeline.builder.model.fit import Fitted
from artifact_pipeline.builder.training.protocol import FitProgress
from artifact_pipeline.errors import ConfigError, Location

Report = Callable[[FitProgress], None]
"""Called when one of several fits is done."""


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


def train(prepared: Prepared, report: Report = lambda _: None) -> TrainedEstimator:
    """Fit the estimator, or search for the best one.

    Args:
        prepared: The config with its rows.
        report: Called when one of several fits is done.

    Raises:
        ConfigError: If an estimator refuses the rows or its combination of parameters.
    """
    config, rows, parts = prepared.config, prepared.rows, prepared.parts
    n_jobs = construction.requested_n_jobs(config.model)
    if config.search is not None and n_jobs is None:  # other processes would not report
        searching.report_fits(
            prepared.estimator,
            lambda done, total: report(FitProgress(phase="fit", done=done, total=total)),
        )
    fitted = fit.fit(
        prepared.estimator,
        parts.X_train,
        parts.y_train,
        n_jobs=n_jobs,
        location=Location(prepared.name, key="model"),
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
        cv = _cross_validate(fitted.estimator, prepared, n_jobs=n_jobs, report=report)
    return TrainedEstimator(
        prepared=prepared,
        fitted=fitted,
        leaks=leakage.find(rows, parts),
        search=search,
        cv=cv,
    )


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
    estimator: Any, prepared: Prepared, *, n_jobs: int | None, report: Report
) -> dict[str, list[float]]:
    from sklearn.base import clone

    rows, parts = prepared.rows, prepared.parts
    metrics: list[dict[str, float]] = []
    location = Location(prepared.name, key="evaluation.cv")
    folds = prepared.folds or []
    for done, (train, test) in enumerate(folds):
        report(FitProgress(phase="cross-validate", done=done, total=len(folds)))
        X, y = take(parts.X_train, train), parts.y_train[train]
        fold = fit.fit(clone(estimator), X, y, n_jobs=n_jobs, location=location).estimator
        predicted, proba = predict_with_proba(fold, take(parts.X_train, test))
        labels = fold.classes_.tolist() if rows.target == "class" else ()
        positive = rows.description.positive
        metrics.append(
            evaluate(
                parts.y_train[test],
                predicted,
                target=rows.target,
                probabilities=proba,
                labels=labels,
                positive=positive,
            )
        )
    # A metric that is undefined on a fold is left out for that fold only.
    names = dict.fromkeys(name for values in metrics for name in values)
    return {name: [values[name] for values in metrics if name in values] for name in names}
