"""Rows and a config make a fitted estimator.

>>> from artifact_pipeline.config import Model
>>> tree = Model(estimator="sklearn.tree.DecisionTreeClassifier", params={"max_depth": 2})
>>> resolve(tree, random_state=7).params
{'max_depth': 2, 'random_state': 7}
>>> fitted = fit(build(resolve(tree, random_state=7)), [[0], [1], [2]], [0, 0, 1])
>>> fitted.estimator.predict([[2]]), fitted.warnings
(array([1]), ())
"""

from __future__ import annotations

import importlib
import inspect
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from artifact_pipeline.config import SHORT_KEYS, Model, Step
from artifact_pipeline.errors import ConfigError
from artifact_pipeline.explain import nearest, show

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

# Public names alone: `sklearn.package.Class`, no part of it private.
_NAME = re.compile(r"sklearn(\.[a-z][a-z0-9_]*)+\.[A-Z][A-Za-z0-9]*")
_CLOSED = ("sklearn.externals", "sklearn.tests", "sklearn.conftest", "sklearn.experimental")


class Fitted(NamedTuple):
    """An estimator that has learned, and what it warned of, each as a sentence."""

    estimator: BaseEstimator
    warnings: tuple[str, ...]


def resolve(model: Model, random_state: int, where: str = "model") -> Model:
    """Return `model` as a recipe says it: every random state filled in, checked by scikit-learn.

    `n_jobs` is left out: how many processes compute decides no result (see `jobs`).

    Raises:
        ConfigError: for an estimator that is not scikit-learn's, a parameter that it does not
            have, a value that it refuses, or a last step that is no classifier.
    """
    places = [where]
    if isinstance(model.steps, list):
        places = [f"{where}.steps[{index}]" for index in range(len(model.steps))]
    steps = [
        Step(step.name, step.estimator, _resolve_params(step, random_state, place))
        for step, place in zip(model.as_steps(), places, strict=True)
    ]
    for step, place in zip(steps[:-1], places, strict=False):
        if not hasattr(_class(step.estimator, place), "transform"):
            raise ConfigError(
                f"{step.estimator} cannot transform rows; only the last step predicts",
                where=f"{place}.estimator",
            )
    if not _is_classifier(_build_step(steps[-1])):
        raise ConfigError(
            f"{steps[-1].estimator} is no classifier, and the target is a class",
            where=f"{places[-1]}.estimator",
        )
    if isinstance(model.steps, list):
        return Model(steps=steps)
    return Model(estimator=steps[0].estimator, params=steps[0].params)


def jobs(model: Model) -> int | None:
    """Return the most `n_jobs` that the config asks for, or None if it asks for none."""
    asked = [step.params.get("n_jobs") for step in model.as_steps()]
    numbers = [n for n in asked if n is not None]
    return -1 if -1 in numbers else max(numbers, default=None)


def build(model: Model) -> Any:
    """Return the unfitted estimator, or Pipeline, that a recipe's `model` describes."""
    if not isinstance(model.steps, list):
        return _build_step(model.as_steps()[0])
    from sklearn.pipeline import Pipeline

    return Pipeline([(step.name, _build_step(step)) for step in model.steps])


def fit(estimator: Any, X: Any, y: Any, n_jobs: int | None = None, where: str = "model") -> Fitted:
    """Return `estimator` fitted to X (n_rows, n_features) and y (n_rows,).

    Raises:
        ConfigError: if the estimator refuses its parameters together, or these rows.
    """
    from joblib import parallel_config

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with asking("fit it", where), parallel_config(n_jobs=n_jobs):
            estimator.fit(X, y)
    return Fitted(estimator, tuple(dict.fromkeys(_warning(w, estimator) for w in caught)))


@contextmanager
def asking(what: str, where: str) -> Iterator[None]:
    """Say what an estimator raises as a ConfigError: that scikit-learn cannot do `what`."""
    try:
        yield
    except Exception as error:  # an estimator may raise anything; the user is told what
        said = _sentence(str(error)) or type(error).__name__
        raise ConfigError(f"scikit-learn cannot {what}: {said}", where=where) from error


def train_model(X: Any, y: Any, config: dict[str, Any]) -> Any:
    """Return the estimator that a config's values describe, fitted to X and y in this process.

    A short form gives a LogisticRegression; keys that the fit does not need may be missing.
    """
    if "model" in config:
        from artifact_pipeline.config import parse

        full = parse(config, "config")
        resolved = resolve(full.model, full.split.random_state)
    else:
        for key in config:
            if key not in (*SHORT_KEYS, "gates"):
                hint = nearest(key, SHORT_KEYS)
                raise ConfigError(f"unknown key {show(key)}; {hint}", where="config")
        params = {k: v for k, v in config.items() if k not in ("test_size", "gates")}
        model = Model(estimator="sklearn.linear_model.LogisticRegression", params=params)
        resolved = resolve(model, params.get("random_state", 0))
    return fit(build(resolved), X, y).estimator


def _build_step(step: Step) -> Any:
    return _class(step.estimator, "model.estimator")(**step.params)


def _resolve_params(step: Step, random_state: int, where: str) -> dict[str, Any]:
    name, params = step.estimator, step.params
    cls = _class(name, f"{where}.estimator")
    own = {key: value for key, value in params.items() if key != "n_jobs"}
    if missing := [key for key in _required(cls) if key not in own]:
        raise ConfigError(f"{name} needs the parameter {missing[0]!r}", where=f"{where}.params")
    try:
        known = cls(**{key: own[key] for key in _required(cls)}).get_params()
    except (ValueError, TypeError, AttributeError) as error:  # a composite of no estimators
        said = f"{name} refuses it: {_sentence(str(error))}"
        raise ConfigError(said, where=f"{where}.params") from error
    for key, value in params.items():
        if key not in known:
            names = sorted(known)
            raise ConfigError(
                f"{name} has no parameter {show(key)}; {nearest(key, names)}",
                where=f"{where}.params",
            )
        if key == "n_jobs" and not (value is None or (type(value) is int and value)):
            raise ConfigError(
                f"found {show(value)}, expected a number of processes, or -1 for all",
                where=f"{where}.params.n_jobs",
            )
        if key.rpartition("__")[2] == "random_state" and value is None:
            raise ConfigError(
                "found null, expected an integer: a model without a seed cannot be made again",
                where=f"{where}.params.{key}",
            )
    unset = [k for k, v in known.items() if k.rpartition("__")[2] == "random_state" and v is None]
    filled = {**dict.fromkeys(unset, random_state), **own}
    _ask_the_estimator(cls(**filled), where)
    return dict(sorted(filled.items()))


def _ask_the_estimator(estimator: Any, where: str) -> None:
    try:
        estimator._validate_params()  # what its own fit calls first
    except ValueError as error:
        said = _sentence(str(error))
        found = re.match(r"The '(\w+)' parameter of \w+ must be (.*?)\. Got (.*) instead", said)
        if found:
            key, expected, got = found.groups()
            raise ConfigError(
                f"found {got[:60]}, expected {expected}", where=f"{where}.params.{key}"
            ) from error
        raise ConfigError(said, where=f"{where}.params") from error


def _class(name: str, where: str) -> type[Any]:
    """Return scikit-learn's class of that name; nothing is imported for any other name."""
    if not _NAME.fullmatch(name) or name.startswith(_CLOSED):
        raise ConfigError(
            f"found {show(name)}, expected the public name of a scikit-learn class, such as "
            "sklearn.linear_model.LogisticRegression",
            where=where,
        )
    package, _, cls = name.rpartition(".")
    try:
        module = importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(f"scikit-learn has no {package}", where=where) from error
    from sklearn.base import BaseEstimator

    found = getattr(module, cls, None)
    if (
        not (isinstance(found, type) and issubclass(found, BaseEstimator))
        or inspect.isabstract(found)
        or not hasattr(found, "fit")
    ):
        public = [n for n in getattr(module, "__all__", ()) if n[:1].isupper()]
        hint = nearest(cls, public) if public else "it holds none"
        raise ConfigError(f"{package} has no estimator {cls!r}; {hint}", where=where)
    return found


def _required(cls: type[Any]) -> list[str]:
    """Return the constructor's arguments that have no default."""
    arguments = inspect.signature(cls).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [a.name for a in arguments if a.default is a.empty and a.kind in kinds]


def _is_classifier(estimator: Any) -> bool:
    from sklearn.base import is_classifier

    return bool(is_classifier(estimator))


def _warning(caught: warnings.WarningMessage, estimator: Any) -> str:
    from sklearn.exceptions import ConvergenceWarning

    if issubclass(caught.category, ConvergenceWarning):
        limits = [
            f"{step.__class__.__name__} did not converge within max_iter={step.max_iter}"
            for step in _steps(estimator)
            if hasattr(step, "max_iter")
        ]
        name = limits[-1] if limits else f"{estimator.__class__.__name__} did not converge"
        return f"{name}; raise max_iter, or scale the features."
    return f"{caught.category.__name__}: {_sentence(str(caught.message))}"


def _steps(estimator: Any) -> Iterator[Any]:
    if hasattr(estimator, "steps"):
        for _, step in estimator.steps:
            yield from _steps(step)
    else:
        yield estimator


def _sentence(text: str) -> str:
    """Return the first paragraph of `text` on one line."""
    return " ".join(text.strip().split("\n\n")[0].split())
