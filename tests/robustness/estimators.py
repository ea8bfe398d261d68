"""Every public estimator of scikit-learn, fitted to a few rows; and what its attributes can do.

`attributes_that` finds, for a fitted estimator, the attributes through which its methods call a
method of any name, open a file of any name, or call what they find.
"""

from __future__ import annotations

import copy
import inspect
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import is_classifier, is_regressor
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import LabelPropagation
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import all_estimators

CANARY = "zz_canary"
METHODS = ("predict", "predict_proba", "decision_function", "transform", "score_samples")
X, Y = (rows[::5] for rows in load_iris(return_X_y=True))
NUMBERS = X[:, 0] + X[:, 1]
FRAME = pd.DataFrame({"text": [f"{'ab' * (i % 3 + 1)} c{i % 3}" for i in range(len(Y))]})


class Found(NamedTuple):
    """What an attribute of an estimator can do."""

    estimator: str
    attribute: str
    power: str
    """`names a method`, `names a file` or `is called`."""
    by: str
    """The method of the estimator that does it."""


def all_fitted(share: float, random: Random) -> Iterator[tuple[str, Any]]:
    """Yield each classifier and regressor, fitted, with its name; transformers in a pipeline.

    Those that cannot be fitted to numbers of four columns are left out.

    Args:
        share: How many of all estimators are taken, at random.
        random: Draws them.
    """
    known = all_estimators()
    for name, cls in random.sample(known, max(int(len(known) * share), 5)):
        made = instance(cls)
        if made is None:
            continue
        final: Any = made
        if not is_classifier(made) and not is_regressor(made):
            if not hasattr(made, "transform"):
                continue
            final = make_pipeline(made, DecisionTreeClassifier(max_depth=2))
        truth = NUMBERS if is_regressor(final) else Y
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                final.fit(np.abs(X), truth)
                final.predict(X[:2])
            except Exception:  # noqa: BLE001  (of text, of several targets, of one column)
                continue
        yield name, final


def instance(cls: type[Any]) -> Any:
    """Return an estimator of a class with whatever parameters it requires, or None."""
    regresses = "Regressor" in cls.__name__ or cls.__name__.endswith(("RegressorCV", "Chain"))
    inner: Any = LinearRegression() if regresses else LogisticRegression()
    tree: Any = DecisionTreeRegressor(max_depth=2) if regresses else DecisionTreeClassifier()
    several = [("a", inner), ("b", tree)]
    required: dict[str, Any] = {
        "estimator": inner,
        "base_estimator": inner,
        "estimators": several,
        "steps": [("s", StandardScaler()), ("m", inner)],
        "transformers": [("s", StandardScaler(), [0, 1])],
        "transformer_list": [("s", StandardScaler())],
        "param_grid": {"C": [1.0]},
        "param_distributions": {"C": [1.0]},
        "dictionary": np.eye(4),
    }
    fast = {"n_estimators": 3, "max_iter": 30, "cv": 2, "n_iter": 1}
    known = inspect.signature(cls).parameters
    given = {name: value for name, value in fast.items() if name in known}
    for name, parameter in known.items():
        if parameter.default in (inspect.Parameter.empty, None) and name in required:
            given[name] = required[name]
    try:
        return cls(**given)
    except Exception:  # noqa: BLE001  (it requires what is not known here)
        return None


def texts() -> Any:
    """Return a fitted pipeline that reads text, whose attributes open and call the most."""
    first = ColumnTransformer([("t", CountVectorizer(), "text")], sparse_threshold=0)
    return make_pipeline(first, LabelPropagation()).fit(FRAME, Y)


def attributes_that(name: str, fitted: Any, opened: Callable[[], list[str]]) -> Iterator[Found]:
    """Yield what the attributes of a fitted estimator and of its parts can do.

    Each attribute is replaced in turn: by the name of a method that nothing has, alone and in a
    list; by the path of a file; and by an object that notes when it is called.

    Args:
        name: What it is called in what is found.
        fitted: The estimator, which is copied and not changed.
        opened: Returns the paths that Python opened since it was last called.
    """
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = Path(scratch) / CANARY
        file.write_text("a b", "utf-8")
        rows = FRAME[:3].assign(text=str(file)) if name == "text" else X[:3]
        for index, part in enumerate(_parts(fitted)):
            for attribute, value in list(vars(part).items()):
                for gadget in _gadgets(value, str(file)):
                    changed = copy.deepcopy(fitted)
                    setattr(_parts(changed)[index], attribute, gadget)
                    opened()
                    for method, power in _tried(changed, rows, opened):
                        yield Found(f"{name}: {type(part).__name__}", attribute, power, method)


class Called(Exception):
    """Raised by a canary that is called."""


class Canary:
    """Raises when it is called."""

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise Called


def _gadgets(value: Any, path: str) -> Iterator[Any]:
    yield CANARY
    yield path
    yield "filename"
    yield Canary()
    if isinstance(value, (list, tuple)) and value:
        yield [CANARY] * len(value)
        yield [Canary()] * len(value)


def _tried(changed: Any, rows: Any, opened: Callable[[], list[str]]) -> Iterator[tuple[str, str]]:
    for method in METHODS:
        if not hasattr(type(changed), method):
            continue
        try:
            getattr(changed, method)(rows)
        except Called:
            yield method, "is called"
        except Exception as error:  # noqa: BLE001  (what an estimator of nonsense raises)
            said = str(error)
            if isinstance(error, AttributeError) and f"attribute '{CANARY}'" in said:
                yield method, "names a method"
        if any(place.endswith(CANARY) for place in opened()):
            yield method, "names a file"


def _parts(estimator: Any) -> list[Any]:
    from artifact_pipeline.builder.model.estimators import parts_of

    return list(parts_of(estimator))
