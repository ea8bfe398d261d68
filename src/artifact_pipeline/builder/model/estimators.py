"""scikit-learn's estimators by their public names: checked, seeded, and made.

>>> resolve_params("sklearn.tree.DecisionTreeClassifier", {"max_depth": 2}, 7, "model")
{'max_depth': 2, 'random_state': 7}
>>> inner = {"estimator": "sklearn.svm.SVC", "params": {"C": 2}}
>>> bagging = "sklearn.ensemble.BaggingClassifier"
>>> make(bagging, resolve_params(bagging, {"estimator": inner}, 7, "model")).estimator
SVC(C=2, random_state=7)
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

from artifact_pipeline.builder.config.messages import nearest, sentence, show
from artifact_pipeline.builder.model.parameters import FUNCTION_PARAMETERS, check, check_made
from artifact_pipeline.errors import ConfigError

# Public names alone: `sklearn.package.Class`, no part of it private.
_NAME = re.compile(r"sklearn(\.[a-z][a-z0-9_]*)+\.[A-Z][A-Za-z0-9]*")
# Modules that would be imported only to run their tests, or to change what others hold.
_CLOSED = frozenset({"conftest", "estimator_checks", "experimental", "externals", "tests"})
_EXPERIMENTAL = {
    "sklearn.impute.IterativeImputer": "sklearn.experimental.enable_iterative_imputer",
    "sklearn.model_selection.HalvingGridSearchCV": "sklearn.experimental.enable_halving_search_cv",
    "sklearn.model_selection.HalvingRandomSearchCV": (
        "sklearn.experimental.enable_halving_search_cv"
    ),
}
"""Estimators that scikit-learn shows only once another module was imported."""


BOOSTERS: dict[str, tuple[str, ...]] = {
    "lightgbm": ("LGBMClassifier", "LGBMRegressor"),
    "xgboost": ("XGBClassifier", "XGBRegressor", "XGBRFClassifier", "XGBRFRegressor"),
}
"""The estimators of other packages that a config may name."""
_DETERMINISTIC: dict[str, dict[str, Any]] = {
    "lightgbm": {"deterministic": True, "force_row_wise": True, "n_jobs": 1, "verbosity": -1},
    "xgboost": {"n_jobs": 1},
}
"""Settings without which other runs might give other bits. The number of threads is among them,
since both packages write it into the model."""


def resolve_params(
    name: str, params: dict[str, Any], random_state: int, where: str, nested: bool = False
) -> dict[str, Any]:
    """Return the parameters of an estimator as a recipe says them: every random state filled in,
    and what makes a booster deterministic.

    `n_jobs` is left out: how many processes compute decides no result of scikit-learn.

    Raises:
        ConfigError: for an estimator that is not scikit-learn's, a parameter that it does not
            have, or a value that it refuses, or that `parameters.check` does.
    """
    cls = class_of(name, f"{where}.estimator", nested)
    own = {
        key: resolve_value(key, value, random_state, f"{where}.params.{key}")
        for key, value in params.items()
        if key != "n_jobs"
    }
    if missing := [key for key in _required(cls) if key not in own]:
        raise ConfigError(f"{name} needs the parameter {missing[0]!r}", where=f"{where}.params")
    given = {
        key: value
        for key, value in own.items()
        if (key in _required(cls) or isinstance(value, (dict, list))) and "__" not in key
    }
    try:
        known = cls(**_values(cls, given)).get_params()
    except (ValueError, TypeError, AttributeError) as error:  # no such key, or no estimators
        known = _known(cls)
        if known is None or set(own) <= set(known):
            said = f"{name} refuses it: {sentence(str(error))}"
            raise ConfigError(said, where=f"{where}.params") from error
    fixed = _DETERMINISTIC.get(name.partition(".")[0], {})
    _check_keys(name, params, {**known, **fixed}, where)
    unset = [k for k, v in known.items() if k.rpartition("__")[2] == "random_state" and v is None]
    filled = {**dict.fromkeys(unset, random_state), **fixed, **own}
    values = _values(cls, filled)
    for key, value in values.items():
        check_made(key, value, f"{where}.params.{key}")
    _ask_the_estimator(cls(**values), where)
    return dict(sorted(filled.items()))


def resolve_value(name: str, value: Any, random_state: int, where: str) -> Any:
    """Return the value of the parameter `name`, estimators that are nested in it resolved.

    Raises:
        ConfigError: as `arguments`.
    """
    check(name, value, where)
    return _resolve_nested(value, random_state, where)


def _resolve_nested(value: Any, random_state: int, where: str) -> Any:
    if isinstance(value, list):
        return [
            _resolve_nested(one, random_state, f"{where}[{index}]")
            for index, one in enumerate(value)
        ]
    if not _is_nested(value):
        return value
    if extra := [key for key in value if key not in ("estimator", "params")]:
        hint = nearest(extra[0], ["estimator", "params"])
        raise ConfigError(f"unknown key {show(extra[0])}; {hint}", where=where)
    params = value.get("params", {})
    if not isinstance(params, dict):
        raise ConfigError(f"found {show(params)}, expected an object", where=f"{where}.params")
    name = value["estimator"]
    return {"estimator": name, "params": resolve_params(name, params, random_state, where, True)}


def _is_nested(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("estimator"), str)


def _check_keys(name: str, params: dict[str, Any], known: dict[str, Any], where: str) -> None:
    for key, value in params.items():
        if key not in known:
            names = sorted(known)
            raise ConfigError(
                f"{name} has no parameter {show(key)}; {nearest(key, names)}",
                where=f"{where}.params",
            )
        if "__" in key:
            raise ConfigError(
                "belongs to a nested estimator; write it into that one's own params",
                where=f"{where}.params.{key}",
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


def _known(cls: type[Any]) -> dict[str, Any] | None:
    """Return the parameters of a class that is made without any, or None if it is not."""
    return None if _required(cls) else dict(cls().get_params())


def make(name: str, params: dict[str, Any]) -> Any:
    """Return the unfitted estimator of that name with parameters as `arguments` gives them."""
    cls = class_of(name, "model.estimator", nested=True)
    return cls(**_values(cls, params))


def _values(cls: type[Any], params: dict[str, Any]) -> dict[str, Any]:
    """Return parameters as the class wants them: estimators made, tuples and dicts as such."""
    constraints = getattr(cls, "_parameter_constraints", {})
    return {key: make_value(key, value, constraints.get(key)) for key, value in params.items()}


def make_value(name: str, value: Any, constraints: Any = None) -> Any:
    """Return the value of the parameter `name` as an estimator takes it: functions, estimators,
    tuples and dictionaries made of what JSON can say."""
    if name.rpartition("__")[2] in FUNCTION_PARAMETERS and isinstance(value, str):
        module, _, function = value.rpartition(".")
        return getattr(importlib.import_module(module), function)
    return value_of(value, constraints)


def value_of(value: Any, constraints: Any) -> Any:
    if _is_nested(value):
        return make(value["estimator"], value.get("params", {}))
    if not isinstance(value, list):
        return value
    kinds = constraints if isinstance(constraints, list) else []
    if dict in kinds and value and all(_is_pair(one) for one in value):
        return {key: value_of(one, None) for key, one in value}  # JSON's own keys are all strings
    made = [value_of(one, None) for one in value]
    if any(_is_nested(one) for one in value):
        return tuple(made)  # a name and its estimator, or its columns too
    return tuple(made) if tuple in kinds and list not in kinds else made


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and not isinstance(value[0], (dict, list))


def _ask_the_estimator(estimator: Any, where: str) -> None:
    ask = getattr(estimator, "_validate_params", None)  # what its own fit calls first
    if ask is None or not hasattr(estimator, "_parameter_constraints"):  # a kernel, FeatureUnion
        return
    try:
        ask()
    except ValueError as error:
        said = sentence(str(error))
        found = re.match(r"The '(\w+)' parameter of \w+ must be (.*?)\. Got (.*) instead", said)
        if found:
            key, expected, got = found.groups()
            raise ConfigError(
                f"found {got[:60]}, expected {expected}", where=f"{where}.params.{key}"
            ) from error
        raise ConfigError(said, where=f"{where}.params") from error


def class_of(name: str, where: str, nested: bool = False) -> type[Any]:
    """Return the class of that name, scikit-learn's or one of `BOOSTERS`; nothing is imported for
    any other name.

    A nested one may be a kernel, too: what has parameters and no fit.
    """
    if name.partition(".")[0] in BOOSTERS:
        return _booster(name, where)
    if not _NAME.fullmatch(name) or _CLOSED.intersection(name.split(".")):
        raise ConfigError(
            f"found {show(name)}, expected the public name of a scikit-learn class, such as "
            "sklearn.linear_model.LogisticRegression, or of one of LightGBM or XGBoost, such as "
            "lightgbm.LGBMClassifier",
            where=where,
        )
    package, _, cls = name.rpartition(".")
    try:
        if name in _EXPERIMENTAL:
            importlib.import_module(_EXPERIMENTAL[name])
        module = importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(f"scikit-learn has no {package}", where=where) from error
    from sklearn.base import BaseEstimator
    from sklearn.gaussian_process.kernels import Kernel

    found = getattr(module, cls, None)
    kinds = (BaseEstimator, Kernel) if nested else (BaseEstimator,)
    if (
        not (isinstance(found, type) and issubclass(found, kinds))
        or inspect.isabstract(found)
        or not (hasattr(found, "fit") or issubclass(found, Kernel))
    ):
        public = [n for n in getattr(module, "__all__", ()) if n[:1].isupper()]
        hint = nearest(cls, public) if public else "it holds none"
        raise ConfigError(f"{package} has no estimator {cls!r}; {hint}", where=where)
    return found


def _booster(name: str, where: str) -> type[Any]:
    package, _, cls = name.partition(".")
    if cls not in BOOSTERS[package]:
        known = [f"{package}.{one}" for one in BOOSTERS[package]]
        raise ConfigError(f"found {show(name)}; {nearest(name, known)}", where=where)
    try:
        found: type[Any] = getattr(importlib.import_module(package), cls)
    except ImportError as error:
        raise ConfigError(
            f"{package} is not installed; pip install 'artifact-pipeline[boosting]'", where=where
        ) from error
    return found


def boosters_of(estimator: Any) -> set[str]:
    """Return the packages among `BOOSTERS` that an estimator, or one that it holds, is from."""
    return {type(one).__module__.partition(".")[0] for one in parts_of(estimator)} & {*BOOSTERS}


def _required(cls: type[Any]) -> list[str]:
    """Return the constructor's arguments that have no default."""
    arguments = inspect.signature(cls).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [a.name for a in arguments if a.default is a.empty and a.kind in kinds]


def predict_with_proba(estimator: Any, X: Any) -> tuple[Any, Any]:
    """Return what a fitted estimator predicts of X, and its probabilities or None.

    Labels are (n_rows,) text, booleans or integers, also where the estimator learned whole floats
    or objects; numbers and probabilities are float64.
    """
    import numpy as np
    from sklearn.base import is_classifier

    predicted = np.asarray(estimator.predict(X))
    if predicted.ndim == 2 and predicted.shape[1] == 1:  # it learned y of that shape
        predicted = predicted[:, 0]
    served = as_labels(predicted) if is_classifier(estimator) else predicted.astype(np.float64)
    if not hasattr(estimator, "predict_proba"):
        return served, None
    return served, np.asarray(estimator.predict_proba(X), dtype=np.float64)


def decision_scores(estimator: Any, X: Any) -> Any:
    """Return the float64 decision function of a classifier that gives no probabilities, else None.

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
    """Return an array of labels as text, booleans or integers, which whole floats become.

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
    """Remove what differs from process to process in a fitted estimator: addresses and times.

    The id of a vectorizer's stop words tells it that it has looked at them; it looks again. A
    search records how long its fits took.
    """
    for part in parts_of(estimator):
        vars(part).pop("_stop_words_id", None)
        vars(part).pop("refit_time_", None)
        if isinstance(found := getattr(part, "cv_results_", None), dict):
            part.cv_results_ = {k: v for k, v in found.items() if not k.endswith("_time")}
        if type(tree := getattr(part, "tree_", None)).__name__ == "Tree":
            _clear_padding(tree)


def _clear_padding(tree: Any) -> None:
    """Write zeros between the fields of a compiled tree's nodes, where nobody wrote anything."""
    import numpy as np

    state = tree.__getstate__()
    nodes = np.zeros(len(state["nodes"]), state["nodes"].dtype)  # zeros_like writes fields only
    for field in nodes.dtype.names:
        nodes[field] = state["nodes"][field]
    tree.__setstate__({**state, "nodes": nodes})


def parts_of(estimator: Any) -> Iterator[Any]:
    """Yield an estimator and those that it holds, however deep."""
    from sklearn.base import BaseEstimator

    seen: set[int] = set()
    waiting = [estimator]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, BaseEstimator):
            yield one
            waiting += vars(one).values()
        elif isinstance(one, dict):
            waiting += one.values()
        elif type(one).__module__.startswith("sklearn.") and hasattr(one, "__dict__"):
            waiting += vars(one).values()  # what a calibrated classifier holds, for one
        elif isinstance(one, (list, tuple, set)):
            waiting += one
        elif getattr(getattr(one, "dtype", None), "kind", "") == "O":
            waiting += one.ravel().tolist()
