"""The best of many settings, by scikit-learn's own search over folds of the training rows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

from artifact_pipeline.builder.artifact.evaluation import SearchCandidate, Searched
from artifact_pipeline.builder.config.messages import nearest, show
from artifact_pipeline.builder.config.resolved import Search
from artifact_pipeline.builder.model.estimators import make_value, resolve_value
from artifact_pipeline.builder.model.parameters import check_made
from artifact_pipeline.errors import ConfigError

DISTRIBUTIONS = ("uniform", "loguniform", "randint")
"""Of scipy.stats, each between its two bounds."""


def searcher(
    estimator: Any,
    search: Search,
    folds: list[Any],
    scoring: str,
    seed: int,
    where: str,
) -> Any:
    """Return what, once fitted, holds the best estimator and the scores of all candidates.

    Raises:
        ConfigError: for a parameter that the estimator does not have, no list of values, and
            values that `estimators.arguments` would refuse.
    """
    from sklearn import metrics, model_selection

    known = estimator.get_params()
    space = {}
    for name, values in search.params.items():
        place = f"{where}.params.{name}"
        if name not in known:
            hint = nearest(name, sorted(known))
            raise ConfigError(f"the model has no such parameter; {hint}", where=place)
        space[name] = _values(name, values, search.method, seed, place)
    if scoring not in metrics.get_scorer_names():
        hint = nearest(scoring, metrics.get_scorer_names())
        raise ConfigError(f"found {show(scoring)}; {hint}", where=f"{where}.scoring")
    if search.method == "grid":
        return model_selection.GridSearchCV(
            estimator, space, cv=folds, scoring=scoring, error_score="raise"
        )
    return model_selection.RandomizedSearchCV(
        estimator,
        space,
        n_iter=search.n_iter,
        cv=folds,
        scoring=scoring,
        random_state=seed,
        error_score="raise",
    )


def searched(done: Any, search: Search, scoring: str, seed: int, where: str) -> Searched:
    """Return the candidates of a fitted search, without times: those are never the same.

    Raises:
        ConfigError: if a score is not defined on each fold, as R² of one row: the candidates
            cannot be compared then.
    """
    found = done.cv_results_
    undefined = sum(not math.isfinite(score) for score in found["mean_test_score"])
    if undefined:
        raise ConfigError(
            f"{scoring} is not defined on each fold for {undefined} of "
            f"{len(found['mean_test_score'])} candidates, so they cannot be compared; make fewer "
            "folds with cv, or name another score",
            where=f"{where}.scoring",
        )
    said = [
        dict(zip(params, _said(params, search, seed), strict=True)) for params in found["params"]
    ]
    columns = (found["mean_test_score"], found["std_test_score"], found["rank_test_score"])
    return Searched(
        scoring=scoring,
        best=said[done.best_index_],
        candidates=[
            SearchCandidate(params, float(mean), float(std), int(rank))
            for params, mean, std, rank in zip(said, *columns, strict=True)
        ],
    )


def _values(name: str, values: Any, method: str, seed: int, where: str) -> Any:
    if isinstance(values, list) and values:
        return [_made(name, value, seed, f"{where}[{index}]") for index, value in enumerate(values)]
    if method == "random" and isinstance(values, dict) and len(values) == 1:
        [(name, bounds)] = values.items()
        if name in DISTRIBUTIONS and _are_bounds(bounds):
            from scipy import stats

            low, high = bounds
            if name == "uniform":  # scipy's takes where it begins and how wide it is
                return stats.uniform(low, high - low)
            return getattr(stats, name)(low, high)
    expected = "a list of values"
    if method == "random":
        expected += ', or {"uniform": [low, high]}, or so loguniform or randint'
    raise ConfigError(f"found {show(values)}, expected {expected}", where=where)


def _made(name: str, value: Any, seed: int, where: str) -> Any:
    """Return a value to try as the estimator takes it, checked and seeded like the model's own."""
    found = make_value(name, resolve_value(name, value, seed, where))
    check_made(name, found, where)
    return found


def _are_bounds(bounds: Any) -> bool:
    numbers = isinstance(bounds, list) and all(type(one) in (int, float) for one in bounds)
    return numbers and len(bounds) == 2 and bounds[0] < bounds[1]


def _said(params: dict[str, Any], search: Search, seed: int) -> Iterator[Any]:
    """Yield values as the config says them, not as the objects that were made of them."""
    for name, value in params.items():
        written = search.params[name]
        if isinstance(written, list):
            made = (_made(name, one, seed, name) for one in written)
            same = (one for one, other in zip(written, made, strict=True) if _same(other, value))
            yield next(itertools.chain(same, [str(value)]))
        else:
            yield value.item() if hasattr(value, "item") else value


def _same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and repr(a) == repr(b)
