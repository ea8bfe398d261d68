"""Hyperparameter search: scikit-learn's own, over folds of the training rows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

from artifact_pipeline.builder.artifact.evaluation import SearchCandidate, Searched
from artifact_pipeline.builder.config.messages import nearest, show
from artifact_pipeline.builder.config.resolved import Search
from artifact_pipeline.builder.model.estimators import make_value, resolve_value
from artifact_pipeline.builder.model.parameters import check_not_callable
from artifact_pipeline.errors import ConfigError, Location

DISTRIBUTIONS = ("uniform", "loguniform", "randint")
"""Distributions of scipy.stats between two bounds."""


def build_search(
    estimator: Any,
    search: Search,
    *,
    folds: list[Any],
    scoring: str,
    random_state: int,
    location: Location,
) -> Any:
    """Return an unfitted GridSearchCV or RandomizedSearchCV.

    Args:
        estimator: The estimator whose parameters are searched.
        search: The search of a config.
        folds: Pairs of indices into the training rows.
        scoring: The name of a scikit-learn scorer.
        random_state: The seed.
        location: The search's location in the config.

    Raises:
        ConfigError: If the estimator has no such parameter, its values are not a list or a
            distribution, or scikit-learn or `parameters.check` refuses a value.
    """
    from sklearn import metrics, model_selection

    known = estimator.get_params()
    space = {}
    for name in search.params:
        place = location.inside("params").inside(name)
        if name not in known:
            raise ConfigError(
                "the model has no such parameter",
                location=place,
                remedy=_nearest_parameter(name, sorted(known)),
            )
        space[name] = _candidates(name, search, random_state=random_state, location=place)
    if scoring not in metrics.get_scorer_names():
        raise ConfigError(
            f"found {show(scoring)}",
            location=location.inside("scoring"),
            remedy=nearest(scoring, metrics.get_scorer_names()),
        )
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
        random_state=random_state,
        error_score="raise",
    )


def report_fits(search: Any, report: Callable[[int, int], None]) -> None:
    """Make an unfitted search report each of its fits, in place.

    Args:
        search: A search whose fits run in this process.
        report: Called with the number of completed fits and that of all fits.
    """
    from sklearn.metrics import get_scorer

    total = count_candidates(search) * len(search.cv)
    scorer, fits = get_scorer(search.scoring), itertools.count(1)

    def counted(*fitted_and_rows: Any) -> float:
        score: float = scorer(*fitted_and_rows)
        report(next(fits), total)
        return score

    search.scoring = counted


def count_candidates(search: Any) -> int:
    """Return the number of candidates of a search; for a random one, an upper bound."""
    from sklearn.model_selection import ParameterGrid

    grid = getattr(search, "param_grid", None)
    return int(search.n_iter) if grid is None else len(ParameterGrid(grid))


def summarize_search(
    fitted: Any, search: Search, *, scoring: str, random_state: int, location: Location
) -> Searched:
    """Return the candidates of a fitted search, without times, which differ between runs.

    Args:
        fitted: The fitted search.
        search: The search of a config.
        scoring: As for `build_search`.
        random_state: As for `build_search`.
        location: As for `build_search`.

    Raises:
        ConfigError: If a score is undefined on a fold, as is R² of one row, so that the candidates
            cannot be compared.
    """
    results = fitted.cv_results_
    undefined = sum(not math.isfinite(score) for score in results["mean_test_score"])
    if undefined:
        raise ConfigError(
            f"{scoring} is not defined on each fold for {undefined} of "
            f"{len(results['mean_test_score'])} candidates, so they cannot be compared",
            location=location.inside("scoring"),
            remedy="make fewer folds with cv, or name another score",
        )
    parameters = [
        dict(zip(params, _as_written(params, search, random_state=random_state), strict=True))
        for params in results["params"]
    ]
    columns = (results["mean_test_score"], results["std_test_score"], results["rank_test_score"])
    return Searched(
        scoring=scoring,
        best=parameters[fitted.best_index_],
        candidates=[
            SearchCandidate(params=params, mean=float(mean), std=float(std), rank=int(rank))
            for params, mean, std, rank in zip(parameters, *columns, strict=True)
        ],
    )


def _nearest_parameter(name: str, known: list[str]) -> str:
    """Return a hint for an unknown parameter, which may only lack the name of its step.

    >>> _nearest_parameter("C", ["model", "model__C", "scale__copy"])
    "did you mean 'model__C'?"
    >>> _nearest_parameter("model__C", ["C", "tol"])
    "did you mean 'C'?"
    """
    _, _, last = name.rpartition("__")
    same = [path for path in known if path.rpartition("__")[2] == last]
    # The last step is the model, whose parameters are searched most.
    same.sort(key=lambda path: (path.count("__"), not path.startswith("model__"), path))
    return f"did you mean {show(same[0])}?" if same else nearest(name, known)


def _candidates(name: str, search: Search, *, random_state: int, location: Location) -> Any:
    """Return the values of a parameter to try: a list, or a distribution."""
    values = search.params[name]
    if isinstance(values, list) and values:
        return [
            _argument(name, value, random_state=random_state, location=location.inside(index))
            for index, value in enumerate(values)
        ]
    if search.method == "random" and isinstance(values, dict) and len(values) == 1:
        [(distribution, bounds)] = values.items()
        if distribution in DISTRIBUTIONS and _are_bounds(bounds):
            from scipy import stats

            low, high = bounds
            if distribution == "uniform":  # scipy takes the lower bound and the width
                return stats.uniform(low, high - low)
            return getattr(stats, distribution)(low, high)
    expected = "a list of values"
    if search.method == "random":
        expected += ', or {"uniform": [low, high]}, or loguniform or randint in its place'
    raise ConfigError(f"found {show(values)}, expected {expected}", location=location)


def _argument(name: str, value: Any, *, random_state: int, location: Location) -> Any:
    """Return a value to try as the estimator takes it, checked like the model's own values."""
    resolved = resolve_value(name, value, random_state=random_state, location=location)
    argument = make_value(name, resolved)
    check_not_callable(name, argument, location=location)
    return argument


def _are_bounds(bounds: Any) -> bool:
    numbers = isinstance(bounds, list) and all(type(bound) in (int, float) for bound in bounds)
    return numbers and len(bounds) == 2 and bounds[0] < bounds[1]


def _as_written(params: dict[str, Any], search: Search, *, random_state: int) -> Iterator[Any]:
    """Yield the values in the config, instead of the objects constructed from them."""
    for name, value in params.items():
        written = search.params[name]
        if isinstance(written, list):
            location = Location(key=name)
            same = (
                candidate
                for candidate in written
                if _are_same(
                    _argument(name, candidate, random_state=random_state, location=location), value
                )
            )
            yield next(itertools.chain(same, [str(value)]))
        else:
            yield value.item() if hasattr(value, "item") else value


def _are_same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and repr(a) == repr(b)
