"""Fitting an estimator to rows.

>>> from artifact_pipeline.builder.model.construction import build
>>> from artifact_pipeline.builder.config.resolved import ModelConfig
>>> tree = build(ModelConfig(estimator="sklearn.tree.DecisionTreeClassifier"))
>>> fitted = fit(tree, [[0], [1], [2]], [0, 0, 1])
>>> fitted.estimator.predict([[2]]), fitted.warnings
(array([1]), ())
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from artifact_pipeline.builder.config.messages import sentence
from artifact_pipeline.builder.model import threads
from artifact_pipeline.builder.model.estimators import parts_of
from artifact_pipeline.errors import ConfigError, Location, PipelineError

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


class Fitted(NamedTuple):
    """A fitted estimator, and the warnings of its fit, a sentence each."""

    estimator: BaseEstimator
    warnings: tuple[str, ...]


def fit(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    n_jobs: int | None = None,
    location: Location = Location(key="model"),  # noqa: B008  (frozen)
    fit_in_place: Callable[[Any], None] | None = None,
) -> Fitted:
    """Fit an estimator.

    Args:
        estimator: An unfitted estimator; it is fitted in place.
        X: (n_rows, n_features), an array or a DataFrame.
        y: Labels or numbers, (n_rows,).
        n_jobs: The number of processes, -1 for all processors; by default as for `threads.use`.
        location: The model's location in the config.
        fit_in_place: Called with the estimator instead of its method `fit`.

    Raises:
        ConfigError: If the estimator refuses its combination of parameters, or the rows.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        # `resolve_params` sets random_state, without which a fit is random.
        warnings.filterwarnings("ignore", r".*TargetEncoder\.random_state", FutureWarning)
        with estimator_errors("fit", location), threads.use(estimator, n_jobs):
            if fit_in_place is None:
                estimator.fit(X, y)
            else:
                fit_in_place(estimator)
    _compute_distances_exactly(estimator)
    texts = (_text(warning, estimator) for warning in caught)
    return Fitted(estimator, tuple(dict.fromkeys(texts)))


def _compute_distances_exactly(estimator: Any) -> None:
    """Make brute-force neighbors compute distances from differences.

    For the metric `euclidean` scikit-learn computes them from matrix products, whose last bits
    depend on BLAS and on the other rows: another machine might choose the other one of two
    neighbors at the same distance.
    """
    for part in parts_of(estimator):
        brute = getattr(part, "_fit_method", None) == "brute"
        if brute and getattr(part, "effective_metric_", None) == "euclidean":
            part.effective_metric_, part.effective_metric_params_ = "minkowski", {"p": 2}


_REMEDIES = {
    "could not convert string to float": 'encode text in a step, or with model.preprocess: "auto"',
    "contains NaN": 'impute them in a step, or with model.preprocess: "auto"',
}
"""Remedies for columns that an estimator of numbers does not accept."""


@contextmanager
def estimator_errors(verb: str, location: Location) -> Iterator[None]:
    """Translate any exception of an estimator into a ConfigError.

    Args:
        verb: The operation, such as `fit` or `predict`.
        location: The model's location in the config.

    Raises:
        ConfigError: For any exception that is not a PipelineError.
    """
    try:
        yield
    except PipelineError:
        raise
    except Exception as error:  # an estimator may raise anything
        message = str(error)
        reason = _reason(message) or type(error).__name__
        remedy = next((remedy for text, remedy in _REMEDIES.items() if text in message), None)
        raise ConfigError(
            f"scikit-learn cannot {verb}: {reason}", location=location, remedy=remedy
        ) from error


def _reason(message: str) -> str:
    """Return an estimator's message in one line.

    A search or a cross-validation ends its message with the traceback of the last fit that failed.
    XGBoost begins it with the time and a place in its source, and ends it with a stack trace.
    """
    located = re.match(r"\s*\[\d\d:\d\d:\d\d\] \S+:\d+: ", message)
    if located:
        return sentence(message[located.end() :].splitlines()[0])
    failed = re.match(r"\s*All the \d+ fits failed\.", message)
    return f"{failed[0].strip()} {message.splitlines()[-1]}" if failed else sentence(message)


def _text(warning: warnings.WarningMessage, estimator: Any) -> str:
    from sklearn.exceptions import ConvergenceWarning

    if issubclass(warning.category, ConvergenceWarning):
        return f"{_unconverged(estimator)}; raise max_iter, or scale the features."
    return f"{warning.category.__name__}: {sentence(str(warning.message))}"


def _unconverged(estimator: Any) -> str:
    is_search = hasattr(estimator, "cv_results_")
    steps = list(_steps(estimator.estimator if is_search else estimator))
    step = next((step for step in reversed(steps) if hasattr(step, "max_iter")), steps[-1])
    name = step.__class__.__name__
    if is_search:  # the limit may be one of the parameters that it tries
        return f"{name} did not converge in some fits of the search"
    limit = getattr(step, "max_iter", None)
    return f"{name} did not converge" + ("" if limit is None else f" within max_iter={limit}")


def _steps(estimator: Any) -> Iterator[Any]:
    if hasattr(estimator, "steps"):
        for _, step in estimator.steps:
            yield from _steps(step)
    else:
        yield estimator
