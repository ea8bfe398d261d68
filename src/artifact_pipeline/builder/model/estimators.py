"""scikit-learn's estimators by their public names: checked, seeded and constructed.

>>> tree = "sklearn.tree.DecisionTreeClassifier"
>>> model = Location(key="model")
>>> resolve_params(tree, {"max_depth": 2}, random_state=7, location=model)
{'max_depth': 2, 'random_state': 7}
>>> inner = {"estimator": "sklearn.svm.SVC", "params": {"C": 2}}
>>> bagging = "sklearn.ensemble.BaggingClassifier"
>>> params = resolve_params(bagging, {"estimator": inner}, random_state=7, location=model)
>>> make(bagging, params).estimator
SVC(C=2, random_state=7)
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
import warnings
from collections.abc import Iterator
from typing import Any

from artifact_pipeline.builder.config.messages import nearest, sentence, show
from artifact_pipeline.builder.model.parameters import (
    FUNCTION_PARAMETERS,
    check,
    check_not_callable,
)
from artifact_pipeline.errors import ConfigError, Location

# A public name: `sklearn.package.Class`, no part of it private.
_NAME = re.compile(r"sklearn(\.[a-z][a-z0-9_]*)+\.[A-Z][A-Za-z0-9]*")
# Modules that run tests or change other modules when they are imported.
_CLOSED = frozenset({"conftest", "estimator_checks", "experimental", "externals", "tests"})
_EXPERIMENTAL = {
    "sklearn.impute.IterativeImputer": "sklearn.experimental.enable_iterative_imputer",
    "sklearn.model_selection.HalvingGridSearchCV": "sklearn.experimental.enable_halving_search_cv",
    "sklearn.model_selection.HalvingRandomSearchCV": (
        "sklearn.experimental.enable_halving_search_cv"
    ),
}
"""Estimators that scikit-learn only provides after the import of another module."""


BOOSTERS: dict[str, tuple[str, ...]] = {
    "lightgbm": ("LGBMClassifier", "LGBMRegressor"),
    "xgboost": ("XGBClassifier", "XGBRegressor", "XGBRFClassifier", "XGBRFRegressor"),
}
"""The estimators of other packages that a config may name."""
_DETERMINISTIC: dict[str, dict[str, Any]] = {
    "lightgbm": {"deterministic": True, "force_row_wise": True, "n_jobs": 1, "verbosity": -1},
    "xgboost": {"n_jobs": 1},
}
"""Settings that make the bytes of runs the same. They include the number of threads, because both
packages write it into the model."""


def resolve_params(
    name: str,
    params: dict[str, Any],
    *,
    random_state: int,
    location: Location,
    nested: bool = False,
) -> dict[str, Any]:
    """Return the parameters of an estimator in full form, checked by the estimator itself.

    Random states and the settings that make a booster deterministic are filled in. `n_jobs` is
    left out, because the number of processes does not change scikit-learn's results.

    Args:
        name: The estimator's public name.
        params: Its parameters in the config.
        random_state: The seed.
        location: The estimator's location in the config.
        nested: Whether it is the parameter of another estimator.

    Raises:
        ConfigError: If there is no such estimator, it has no such parameter, or the estimator or
            `parameters.check` refuses a value.
    """
    cls = class_of(name, location=location.inside("estimator"), nested=nested)
    inside = location.inside("params")
    own = {
        key: resolve_value(key, value, random_state=random_state, location=inside.inside(key))
        for key, value in params.items()
        if key != "n_jobs"
    }
    if missing := [key for key in _required(cls) if key not in own]:
        raise ConfigError(f"{name} needs the parameter {missing[0]!r}", location=inside)
    needed = {
        key: value
        for key, value in own.items()
        if (key in _required(cls) or isinstance(value, (dict, list))) and "__" not in key
    }
    try:
        known = cls(**_values(cls, needed)).get_params()
    except (ValueError, TypeError, AttributeError) as error:  # no such key, or no estimators
        known = _known(cls)
        if known is None or set(own) <= set(known):
            problem = f"{name} refuses it: {sentence(str(error))}"
            raise ConfigError(problem, location=inside) from error
    fixed = _DETERMINISTIC.get(name.partition(".")[0], {})
    _check_keys(name, params, known={**known, **fixed}, location=inside)
    # TargetEncoder's is "deprecated", and it shuffles.
    unset = [
        key
        for key, value in known.items()
        if key.rpartition("__")[2] == "random_state" and value in (None, "deprecated")
    ]
    filled = {**dict.fromkeys(unset, random_state), **fixed, **own}
    values = _values(cls, filled)
    for key, value in values.items():
        check_not_callable(key, value, location=inside.inside(key))
    _validate(cls(**values), inside)
    return dict(sorted(filled.items()))


def resolve_value(name: str, value: Any, *, random_state: int, location: Location) -> Any:
    """Return the value of a parameter with the estimators nested in it in full form.

    Args:
        name: The parameter's name.
        value: Its value in the config.
        random_state: The seed.
        location: Its location in the config.

    Raises:
        ConfigError: As `resolve_params`.
    """
    check(name, value, location=location)
    return _resolve_nested(value, random_state, location=location)


def _resolve_nested(value: Any, random_state: int, *, location: Location) -> Any:
    if isinstance(value, list):
        return [
            _resolve_nested(element, random_state, location=location.inside(index))
            for index, element in enumerate(value)
        ]
    if not _is_nested(value):
        return value
    if extra := [key for key in value if key not in ("estimator", "params")]:
        hint = nearest(extra[0], ["estimator", "params"])
        raise ConfigError(f"unknown key {show(extra[0])}", location=location, remedy=hint)
    params = value.get("params", {})
    if not isinstance(params, dict):
        problem = f"found {show(params)}, expected an object"
        raise ConfigError(problem, location=location.inside("params"))
    name = value["estimator"]
    resolved = resolve_params(
        name, params, random_state=random_state, location=location, nested=True
    )
    return {"estimator": name, "params": resolved}


def _is_nested(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("estimator"), str)


def _check_keys(
    name: str, params: dict[str, Any], *, known: dict[str, Any], location: Location
) -> None:
    for key, value in params.items():
        if key not in known:
            raise ConfigError(
                f"{name} has no parameter {show(key)}",
                location=location,
                remedy=nearest(key, sorted(known)),
            )
        if "__" in key:
            raise ConfigError(
                "belongs to a nested estimator",
                location=location.inside(key),
                remedy="set it in that estimator's params",
            )
        if key == "n_jobs" and not (value is None or (type(value) is int and value)):
            raise ConfigError(
                f"found {show(value)}, expected a number of processes, or -1 for all",
                location=location.inside(key),
            )
        if key.rpartition("__")[2] == "random_state" and value is None:
            raise ConfigError(
                "found null, expected an integer: a model without a seed cannot be reproduced",
                location=location.inside(key),
            )


def _known(cls: type[Any]) -> dict[str, Any] | None:
    """Return the parameters of a class, or None if it cannot be constructed without any."""
    return None if _required(cls) else dict(cls().get_params())


def make(name: str, params: dict[str, Any]) -> Any:
    """Return the unfitted estimator of that name, with parameters from `resolve_params`."""
    cls = class_of(name, location=Location(key="model.estimator"), nested=True)
    return cls(**_values(cls, params))


def _values(cls: type[Any], params: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a class for parameters in full form."""
    constraints = getattr(cls, "_parameter_constraints", {})
    return {
        key: make_value(key, value, constraints=constraints.get(key))
        for key, value in params.items()
    }


def make_value(name: str, value: Any, *, constraints: Any = None) -> Any:
    """Return the value of a parameter as an estimator takes it.

    JSON values become functions, estimators, tuples and dictionaries if those are expected.

    Args:
        name: The parameter's name.
        value: Its value in full form.
        constraints: Its entry in scikit-learn's `_parameter_constraints`, if there is one.
    """
    if name.rpartition("__")[2] in FUNCTION_PARAMETERS and isinstance(value, str):
        module, _, function = value.rpartition(".")
        return getattr(importlib.import_module(module), function)
    return _make_value(value, constraints)


def _make_value(value: Any, constraints: Any) -> Any:
    if _is_nested(value):
        return make(value["estimator"], value.get("params", {}))
    if not isinstance(value, list):
        return value
    kinds = constraints if isinstance(constraints, list) else []
    if dict in kinds and value and all(_is_pair(element) for element in value):
        return {key: _make_value(item, None) for key, item in value}  # keys in JSON are strings
    elements = [_make_value(element, None) for element in value]
    if any(_is_nested(element) for element in value):
        return tuple(elements)  # a name and its estimator, and sometimes its columns
    return tuple(elements) if tuple in kinds and list not in kinds else elements


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and not isinstance(value[0], (dict, list))


def _validate(estimator: Any, location: Location) -> None:
    """Check the parameters of an estimator like the first step of its own `fit`."""
    validate = getattr(estimator, "_validate_params", None)
    if validate is None or not hasattr(
        estimator, "_parameter_constraints"
    ):  # a kernel, FeatureUnion
        return
    try:
        validate()
    except ValueError as error:
        text = sentence(str(error))
        match = re.match(r"The '(\w+)' parameter of \w+ must be (.*?)\. Got (.*) instead", text)
        if match:
            key, expected, got = match.groups()
            problem = f"found {got[:60]}, expected {expected}"
            raise ConfigError(problem, location=location.inside(key)) from error
        raise ConfigError(text, location=location) from error


def class_of(name: str, *, location: Location, nested: bool = False) -> type[Any]:
    """Return the class of that name: scikit-learn's, or one of `BOOSTERS`.

    Args:
        name: The public name.
        location: Its location in the config.
        nested: Whether it may be a kernel, which has parameters but no `fit`.

    Raises:
        ConfigError: If there is no such class. No module of another package is imported.
    """
    if name.partition(".")[0] in BOOSTERS:
        return _booster(name, location)
    if not _NAME.fullmatch(name) or _CLOSED.intersection(name.split(".")):
        raise ConfigError(
            f"found {show(name)}, expected the public name of a scikit-learn class, such as "
            "sklearn.linear_model.LogisticRegression, or of one of LightGBM or XGBoost, such as "
            "lightgbm.LGBMClassifier",
            location=location,
            remedy=_nearest_public_name(name),
        )
    package, _, cls = name.rpartition(".")
    try:
        if name in _EXPERIMENTAL:
            importlib.import_module(_EXPERIMENTAL[name])
        module = importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(f"scikit-learn has no {package}", location=location) from error
    from sklearn.base import BaseEstimator
    from sklearn.gaussian_process.kernels import Kernel

    value = getattr(module, cls, None)
    kinds = (BaseEstimator, Kernel) if nested else (BaseEstimator,)
    if (
        not (isinstance(value, type) and issubclass(value, kinds))
        or inspect.isabstract(value)
        or not (hasattr(value, "fit") or issubclass(value, Kernel))
    ):
        public = [n for n in getattr(module, "__all__", ()) if n[:1].isupper()]
        hint = nearest(cls, public) if public else "it has none"
        problem = f"{package} has no estimator {cls!r}"
        raise ConfigError(problem, location=location, remedy=hint)
    return value


def public_names() -> dict[str, str]:
    """Return the public name of each classifier and regressor that a config may name, by class."""
    from sklearn.utils import all_estimators

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = {
            cls: f"{value.__module__.partition('._')[0]}.{cls}"
            for kind in ("classifier", "regressor")
            for cls, value in all_estimators(kind)
        }
    boosters = {cls: f"{package}.{cls}" for package in BOOSTERS for cls in BOOSTERS[package]}
    return names | boosters


def _nearest_public_name(name: str) -> str | None:
    names, word = public_names(), name.rpartition(".")[2][:100]
    begun = sorted(known for known in names if word and known.lower().startswith(word.lower()))
    close = begun or difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return f"did you mean {names[close[0]]}?" if close else None


def _booster(name: str, location: Location) -> type[Any]:
    package, _, cls = name.partition(".")
    if cls not in BOOSTERS[package]:
        known = [f"{package}.{estimator}" for estimator in BOOSTERS[package]]
        raise ConfigError(f"found {show(name)}", location=location, remedy=nearest(name, known))
    try:
        booster: type[Any] = getattr(importlib.import_module(package), cls)
    except ImportError as error:
        raise ConfigError(
            f"{package} is not installed",
            location=location,
            remedy=f"pip install {package}",
        ) from error
    return booster


def takes_sparse(estimator: Any) -> bool:
    """Return whether an estimator takes sparse matrices and still has the same forms.

    Neighbors keep the matrix, which no form supports, and XGBoost treats a zero that a sparse
    matrix leaves out as a missing value.
    """
    from sklearn.utils import get_tags

    modules = [type(part).__module__ for part in parts_of(estimator)]
    if any(module.startswith(("sklearn.neighbors.", *BOOSTERS)) for module in modules):
        return False
    return bool(get_tags(estimator).input_tags.sparse)


def boosters_of(estimator: Any) -> set[str]:
    """Return the packages among `BOOSTERS` that an estimator or its parts come from."""
    return {type(part).__module__.partition(".")[0] for part in parts_of(estimator)} & {*BOOSTERS}


def _required(cls: type[Any]) -> list[str]:
    """Return the names of the constructor's parameters without a default."""
    parameters = inspect.signature(cls).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [p.name for p in parameters if p.default is p.empty and p.kind in kinds]


def predict_with_proba(estimator: Any, X: Any) -> tuple[Any, Any]:
    """Return the predictions of a fitted estimator, and its probabilities or None.

    Args:
        estimator: A classifier or a regressor.
        X: (n_rows, n_features), an array or a DataFrame.

    Returns:
        Labels as from `as_labels`, or float64 numbers, (n_rows,); and float64 probabilities,
        (n_rows, n_labels), if the estimator has them.
    """
    import numpy as np
    from sklearn.base import is_classifier

    estimator, X = _last_step(estimator, X)
    predicted = np.asarray(estimator.predict(X))
    if predicted.ndim == 2 and predicted.shape[1] == 1:  # y had that shape in training
        predicted = predicted[:, 0]
    values = as_labels(predicted) if is_classifier(estimator) else predicted.astype(np.float64)
    if not hasattr(estimator, "predict_proba"):
        return values, None
    return values, np.asarray(estimator.predict_proba(X), dtype=np.float64)


def _last_step(estimator: Any, X: Any) -> tuple[Any, Any]:
    """Return the last step of a Pipeline and the rows that it takes, transformed once."""
    from sklearn.pipeline import Pipeline

    if type(estimator) is not Pipeline or len(estimator.steps) < 2:
        return estimator, X
    return estimator.steps[-1][1], estimator[:-1].transform(X)


def decision_scores(estimator: Any, X: Any) -> Any:
    """Return the float64 decision function of a classifier without probabilities, else None.

    The shape is (n_rows,) for two classes, else (n_rows, n_scores).
    """
    import numpy as np
    from sklearn.base import is_classifier

    if hasattr(estimator, "predict_proba") or not is_classifier(estimator):
        return None
    if not hasattr(estimator, "decision_function"):
        return None
    return np.asarray(estimator.decision_function(X), dtype=np.float64)


def as_labels(values: Any) -> Any:
    """Return an array of labels as text, booleans or integers. Whole floats become integers.

    >>> import numpy as np
    >>> as_labels(np.array([0.0, 1.0])), as_labels(np.array(["a", "b"], dtype=object))
    (array([0, 1]), array(['a', 'b'], dtype='<U1'))
    """
    import numpy as np

    if values.dtype.kind == "O":
        values = np.array(values.tolist())
    whole = values.dtype.kind == "f" and (values == np.floor(values)).all()
    return values.astype(np.int64) if whole else values


def strip_process_state(estimator: Any) -> None:
    """Remove the state of a fitted estimator that differs between processes, such as addresses.

    A vectorizer keeps the id of the stop words that it has checked; without the id, it checks them
    again. A search records the time of its fits, and HistGradientBoosting its number of threads.
    """
    for part in parts_of(estimator):
        vars(part).pop("_stop_words_id", None)
        vars(part).pop("refit_time_", None)
        if "n_threads" in vars(part):
            part.n_threads = 1
        if isinstance(results := getattr(part, "cv_results_", None), dict):
            part.cv_results_ = {k: v for k, v in results.items() if not k.endswith("_time")}
        if type(tree := getattr(part, "tree_", None)).__name__ == "Tree":
            _clear_padding(tree)


def _clear_padding(tree: Any) -> None:
    """Write zeros to the padding of a compiled tree's nodes, which is uninitialised memory."""
    import numpy as np

    state = tree.__getstate__()
    nodes = np.zeros(
        len(state["nodes"]), state["nodes"].dtype
    )  # zeros_like does not write the padding
    for field in nodes.dtype.names:
        nodes[field] = state["nodes"][field]
    tree.__setstate__({**state, "nodes": nodes})


def parts_of(estimator: Any) -> Iterator[Any]:
    """Yield an estimator and all estimators inside it."""
    from sklearn.base import BaseEstimator

    seen: set[int] = set()
    waiting = [estimator]
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, BaseEstimator):
            yield part
            waiting += vars(part).values()
        elif isinstance(part, dict):
            waiting += part.values()
        elif type(part).__module__.startswith("sklearn.") and hasattr(part, "__dict__"):
            waiting += vars(part).values()  # such as the parts of a calibrated classifier
        elif isinstance(part, (list, tuple, set)):
            waiting += part
        elif getattr(getattr(part, "dtype", None), "kind", "") == "O":
            waiting += part.ravel().tolist()
