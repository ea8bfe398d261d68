"""The model of a config: resolved to its full form, and built as an estimator.

>>> tree = ModelConfig(estimator="sklearn.tree.DecisionTreeClassifier", params={"max_depth": 2})
>>> resolve(tree, random_state=7).params
{'max_depth': 2, 'random_state': 7}
>>> plain = ModelConfig(estimator="sklearn.linear_model.Ridge", preprocess="auto")
>>> [step.name for step in resolve(plain, random_state=7, target="number").steps]
['impute', 'scale', 'model']
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from artifact_pipeline.builder.config.messages import nearest, show
from artifact_pipeline.builder.config.resolved import Branch, Inner, ModelConfig, Step
from artifact_pipeline.builder.config.values import Kind
from artifact_pipeline.builder.model import preprocess
from artifact_pipeline.builder.model.estimators import (
    class_of,
    make,
    resolve_params,
    takes_sparse,
)
from artifact_pipeline.errors import ConfigError, Location

if TYPE_CHECKING:
    from artifact_pipeline.builder.data.dataset import Rows, Target

PASSTHROUGH = "passthrough"
"""scikit-learn's name for columns that are passed on unchanged."""
_TARGET_ENCODERS = tuple(
    f"sklearn.preprocessing.{name}"
    for name in ("LabelEncoder", "LabelBinarizer", "MultiLabelBinarizer")
)


def resolve(
    model: ModelConfig,
    random_state: int,
    *,
    location: Location = Location(key="model"),  # noqa: B008  (frozen)
    target: Target = "class",
    columns: Mapping[str, Kind] | None = None,
    labels: Collection[Any] = (),
    distinct: Mapping[str, int] = MappingProxyType({}),
) -> ModelConfig:
    """Return a model in full form, as a recipe contains it: with seeds, checked by scikit-learn.

    Args:
        model: The model of a config.
        random_state: The seed.
        location: Its location in the config.
        target: The kind of its predictions.
        columns: The kinds of a table's features by name; None if the rows are a matrix.
        labels: The distinct labels to learn, if they are known.
        distinct: The number of distinct texts in each text column, for `preprocess: auto`.

    Raises:
        ConfigError: If scikit-learn refuses an estimator or its parameters, a column is not a
            feature, a step does not transform, or the last step does not predict the target.
    """
    full = model
    if model.preprocess is not None:
        full = _preprocessed(model, columns, distinct=distinct, target=target, location=location)
    places = [location] * len(full.as_steps())
    if model.steps is not None:
        places = [location.inside("steps").inside(index) for index in range(len(model.steps))]
    steps = []
    for step, place in zip(full.as_steps(), places, strict=True):
        if step.branches is not None:
            branches = _resolve_branches(
                step.branches,
                random_state,
                location=place.inside("branches"),
                columns=columns,
            )
            steps.append(Step(name=step.name, branches=branches, remainder=step.remainder))
        else:
            name = _estimator(step)
            params = resolve_params(
                name, step.params or {}, random_state=random_state, location=place
            )
            steps.append(Step(name=step.name, estimator=name, params=params))
    for step, place in zip(steps[:-1], places, strict=False):
        if step.estimator is not None:
            _check_transforms(step.estimator, "rows; only the last step predicts", location=place)
    _check_predicts(steps[-1], target, location=places[-1])
    steps[-1] = _with_encoded_labels(steps[-1], labels)
    if full.steps is not None:
        return ModelConfig(steps=steps)
    return ModelConfig(estimator=steps[0].estimator, params=steps[0].params)


def resolve_for(
    model: ModelConfig,
    rows: Rows,
    *,
    random_state: int,
    location: Location = Location(key="model"),  # noqa: B008  (frozen)
) -> tuple[ModelConfig, Rows]:
    """Return a model in full form for rows, and the rows with the columns that it learns from.

    Args:
        model: The model of a config.
        rows: The rows of the config.
        random_state: The seed.
        location: The model's location in the config.

    Raises:
        ConfigError: As `resolve`.
        DataError: If `preprocess: auto` leaves no feature.
    """
    if model.preprocess is not None:
        rows = preprocess.without_unique_texts(rows)
    resolved = resolve(
        model,
        random_state,
        location=location,
        target=rows.target,
        columns=rows.columns(),
        labels=rows.labels(),
        distinct={} if model.preprocess is None else preprocess.distinct_texts(rows),
    )
    return resolved, rows


def _with_encoded_labels(last: Step, labels: Collection[Any]) -> Step:
    """Return the last step, inside a VotingClassifier of one if it does not accept the labels.

    XGBoost's classifiers only accept 0, 1, …; VotingClassifier encodes the labels.
    """
    name = _estimator(last)
    are_indices = [*labels] == [*range(len(labels))]
    are_booleans = any(type(label) is bool for label in labels)
    if not (name.startswith("xgboost.") and name.endswith("Classifier")):
        return last
    if are_indices and not are_booleans:
        return last
    voter = {"estimator": name, "params": last.params or {}}
    params = {"estimators": [["xgboost", voter]], "voting": "soft"}
    return Step(name=last.name, estimator="sklearn.ensemble.VotingClassifier", params=params)


def target_type(
    model: ModelConfig,
    location: Location = Location(key="model"),  # noqa: B008  (frozen)
) -> Target | None:
    """Return what the last step predicts, or None if it predicts neither classes nor numbers.

    Args:
        model: The model of a config.
        location: Its location in the config.

    Raises:
        ConfigError: As `resolve`, for the last step.
    """
    last = model.as_steps()[-1]
    if last.estimator is None:
        return None
    if model.steps is not None:
        location = location.inside("steps").inside(len(model.steps) - 1)
    params = resolve_params(last.estimator, last.params or {}, random_state=0, location=location)
    return _predicted_by(make(last.estimator, params))


def build(model: ModelConfig) -> Any:
    """Return the unfitted estimator or Pipeline of a model in full form."""
    if model.steps is None:
        [step] = model.as_steps()
        return make(_estimator(step), step.params or {})
    from sklearn.pipeline import Pipeline

    return Pipeline([(step.name, _build_step(step)) for step in model.steps])


def requested_n_jobs(model: ModelConfig) -> int | None:
    """Return the largest `n_jobs` in a model, -1 if any is -1, or None without any."""
    requests = [n_jobs for step in _all_steps(model) for n_jobs in _n_jobs(step.params or {})]
    return -1 if -1 in requests else max(requests, default=None)


def _all_steps(model: ModelConfig) -> Iterator[Step | Inner]:
    for step in model.as_steps():
        if step.branches is not None:
            for branch in step.branches:
                yield from branch.as_steps()
        else:
            yield step


def _n_jobs(params: Any) -> Iterator[int]:
    """Yield each `n_jobs` in parameters, including those of nested estimators."""
    if isinstance(params, dict):
        for key, value in params.items():
            if key == "n_jobs" and value is not None:
                yield value
            yield from _n_jobs(value)
    elif isinstance(params, list):
        for value in params:
            yield from _n_jobs(value)


def _estimator(step: Step) -> str:
    assert step.estimator is not None
    return step.estimator


def _check_predicts(last: Step, target: Target, *, location: Location) -> None:
    if last.estimator is None:
        raise ConfigError(
            "the last step must predict, and branches do not",
            location=location.inside("branches"),
        )
    predicted = _predicted_by(make(last.estimator, last.params or {}))
    if predicted != target:
        kind, example = {
            "class": ("classifier", "LogisticRegression"),
            "number": ("regressor", "Ridge"),
        }[target]
        outputs = {"class": "classes", "number": "numbers", None: "nothing"}[predicted]
        raise ConfigError(
            f"{last.estimator} predicts {outputs}: it is not a {kind}, and the target is a "
            f"{target}",
            location=location.inside("estimator"),
            remedy=f"use a {kind}, such as sklearn.linear_model.{example}",
        )


def _predicted_by(estimator: Any) -> Target | None:
    from sklearn.base import is_classifier, is_regressor

    if is_classifier(estimator):
        return "class"
    return "number" if is_regressor(estimator) else None


def _preprocessed(
    model: ModelConfig,
    columns: Mapping[str, Kind] | None,
    *,
    distinct: Mapping[str, int],
    target: Target,
    location: Location,
) -> ModelConfig:
    """Return a model with `preprocess: auto` as steps."""
    name = str(model.estimator)
    params = resolve_params(name, model.params or {}, random_state=0, location=location)
    return preprocess.steps(
        model,
        columns,
        distinct=distinct,
        target=target,
        sparse=takes_sparse(make(name, params)),
    )


def _resolve_branches(
    branches: list[Branch],
    random_state: int,
    *,
    location: Location,
    columns: Mapping[str, Kind] | None,
) -> list[Branch]:
    if columns is None:
        raise ConfigError(
            "a bundled data set is one matrix; branches need the columns of a table",
            location=location,
        )
    resolved = []
    for index, branch in enumerate(branches):
        place = location.inside(index)
        for name in branch.names():
            if name not in columns:
                raise ConfigError(
                    f"{show(name)} is not a feature",
                    location=place,
                    remedy=nearest(name, list(columns)),
                )
        if branch.estimator == PASSTHROUGH:
            resolved.append(replace(branch, params=None))
            continue
        steps = _resolve_inner(branch, random_state, location=place)
        if branch.steps is not None:
            resolved.append(replace(branch, steps=steps))
        else:
            resolved.append(replace(branch, params=steps[0].params))
    return resolved


def _check_transforms(name: str, what: str, *, location: Location) -> None:
    place = location.inside("estimator")
    if name in _TARGET_ENCODERS:
        raise ConfigError(
            f"{name} encodes the target, which classifiers accept as it is",
            location=place,
            remedy="to encode features use sklearn.preprocessing.OrdinalEncoder or OneHotEncoder",
        )
    if not hasattr(class_of(name, location=location), "transform"):
        raise ConfigError(f"{name} cannot transform {what}", location=place)


def _resolve_inner(branch: Branch, random_state: int, *, location: Location) -> list[Inner]:
    steps = []
    for index, step in enumerate(branch.as_steps()):
        place = location if branch.steps is None else location.inside("steps").inside(index)
        params = resolve_params(
            step.estimator, step.params or {}, random_state=random_state, location=place
        )
        _check_transforms(step.estimator, "columns", location=place)
        steps.append(Inner(step.estimator, params, step.name))
    names = [str(step.name) for step in steps]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise ConfigError(
            f"two steps are called {repeated[0]!r}",
            location=location.inside("steps"),
            remedy="give each its own name",
        )
    return steps


def _build_step(step: Step) -> Any:
    if step.branches is None:
        return make(_estimator(step), step.params or {})
    from sklearn.compose import ColumnTransformer

    return ColumnTransformer(
        [
            (branch.name, _build_branch(branch), branch.columns or branch.column)
            for branch in step.branches
        ],
        remainder=step.remainder,
    )


def _build_branch(branch: Branch) -> Any:
    if branch.estimator == PASSTHROUGH:
        return PASSTHROUGH
    steps = [
        (str(step.name), make(step.estimator, step.params or {})) for step in branch.as_steps()
    ]
    if branch.steps is None:
        return steps[0][1]
    from sklearn.pipeline import Pipeline

    return Pipeline(steps)
