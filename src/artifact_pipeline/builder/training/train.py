"""What a trainer does with a config and its rows: split, search or fit, cross-validate."""

from __future__ import annotations

from typing import Any, NamedTuple

from msgspec import UNSET, UnsetType

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
from artifact_pipeline.errors import ConfigError


class Prepared(NamedTuple):
    """A config that was checked, and its rows, parted."""

    config: ResolvedConfig
    rows: Rows
    parts: TrainTestSplit
    estimator: Any
    """Not fitted yet; a search where the config asks for one."""
    cv: list[Fold] | None
    """The folds to cross-validate over, where the config asks for it."""
    where: str


class Learned(NamedTuple):
    """What came of it."""

    prepared: Prepared
    fitted: Fitted
    leaks: list[str]
    search: Searched | UnsetType
    cv: dict[str, list[float]] | UnsetType
    """Each metric over the folds on which it is defined."""


def columns_of(evaluation: EvaluationConfig | None) -> list[str]:
    """Return the columns that slices speak of."""
    if evaluation is None or evaluation.slices is None:
        return []
    return list(dict.fromkeys(name for one in evaluation.slices.values() for name in one))


def prepare(full: ResolvedConfig, model: ModelConfig, rows: Rows, where: str) -> Prepared:
    """Return rows parted and an estimator ready to fit. Raises as `splitting.split`, and
    ConfigError for a search or folds that cannot be."""
    if columns_of(full.evaluation) and not hasattr(rows.X, "columns"):
        raise ConfigError(
            "a bundled data set has no such columns", where=f"{where}: evaluation.slices"
        )
    parts = split.split(rows, full.split, f"{where}: split")
    estimator = construction.build(model)
    if full.search is not None:
        folds = _folds(full, full.search.cv, rows, parts, f"{where}: search.cv")
        place, seed = f"{where}: search", full.split.random_state
        scoring = _scoring(full.search, rows)
        estimator = searching.searcher(estimator, full.search, folds, scoring, seed, place)
    cv = None
    if full.evaluation is not None and full.evaluation.cv is not None:
        cv = _folds(full, full.evaluation.cv, rows, parts, f"{where}: evaluation.cv")
    return Prepared(full, rows, parts, estimator, cv, where)


def learn(prepared: Prepared) -> Learned:
    """Return the fitted estimator, the best one where a search was asked for.

    Raises:
        ConfigError: if an estimator refuses the rows or its parameters together.
    """
    full, rows, parts = prepared.config, prepared.rows, prepared.parts
    where, jobs = f"{prepared.where}: model", construction.requested_n_jobs(full.model)
    fitted = fit.fit(prepared.estimator, parts.X_train, parts.y_train, jobs, where)
    search: Searched | UnsetType = UNSET
    if full.search is not None:
        scoring, seed = _scoring(full.search, rows), full.split.random_state
        place = f"{prepared.where}: search"
        search = searching.searched(fitted.estimator, full.search, scoring, seed, place)
        fitted = Fitted(fitted.estimator.best_estimator_, fitted.warnings)
    cv: dict[str, list[float]] | UnsetType = UNSET
    if prepared.cv is not None:
        cv = _cross_validate(fitted.estimator, prepared, prepared.cv, jobs)
    return Learned(prepared, fitted, leakage.find(rows, parts), search, cv)


def _scoring(search: Search, rows: Rows) -> str:
    return search.scoring or default_scoring(rows.target)


def _folds(
    full: ResolvedConfig, count: int, rows: Rows, parts: TrainTestSplit, where: str
) -> list[Fold]:
    try:
        return split.folds(parts, rows, full.split, count)
    except ValueError as error:
        raise ConfigError(f"{count} folds cannot be made: {error}", where=where) from error


def _cross_validate(
    estimator: Any, prepared: Prepared, folds: list[Fold], jobs: int | None
) -> dict[str, list[float]]:
    from sklearn.base import clone

    rows, parts = prepared.rows, prepared.parts
    found: list[dict[str, float]] = []
    where = f"{prepared.where}: evaluation.cv"
    for learned, held in folds:
        X, y = take(parts.X_train, learned), parts.y_train[learned]
        fold = fit.fit(clone(estimator), X, y, jobs, where).estimator
        predicted, proba = predict_with_proba(fold, take(parts.X_train, held))
        labels = fold.classes_.tolist() if rows.target == "class" else ()
        positive = rows.description.positive
        found.append(evaluate(parts.y_train[held], predicted, rows.target, proba, labels, positive))
    # A metric that is not defined on a fold is left out of that fold only.
    names = dict.fromkeys(name for one in found for name in one)
    return {name: [one[name] for one in found if name in one] for name in names}
