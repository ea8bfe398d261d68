"""A config's model: its steps and branches written out in full, and the estimator made of them.

>>> tree = ModelConfig(estimator="sklearn.tree.DecisionTreeClassifier", params={"max_depth": 2})
>>> resolve(tree, random_state=7).params
{'max_depth': 2, 'random_state': 7}
>>> plain = ModelConfig(estimator="sklearn.linear_model.Ridge", preprocess="auto")
>>> [step.name for step in resolve(plain, 7, target="number").steps]
['impute', 'scale', 'model']
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from artifact_pipeline.builder.config.messages import nearest, show
from artifact_pipeline.builder.config.resolved import Branch, Inner, ModelConfig, Step
from artifact_pipeline.builder.config.schema import Kind
from artifact_pipeline.builder.model.estimators import class_of, make, resolve_params
from artifact_pipeline.errors import ConfigError

if TYPE_CHECKING:
    from artifact_pipeline.builder.data.dataset import Target

PASSTHROUGH = "passthrough"
"""What scikit-learn calls columns that are left as they are."""
_OF_TARGETS = tuple(
    f"sklearn.preprocessing.{name}"
    for name in ("LabelEncoder", "LabelBinarizer", "MultiLabelBinarizer")
)
_TRANSFORMERS = (
    Inner("sklearn.impute.SimpleImputer", {"strategy": "median"}, "impute"),
    Inner("sklearn.preprocessing.StandardScaler", {}, "scale"),
)
_ONE_HOT = ("sklearn.preprocessing.OneHotEncoder",
            {"handle_unknown": "ignore", "sparse_output": False})  # fmt: skip


def resolve(
    model: ModelConfig,
    random_state: int,
    where: str = "model",
    target: Target = "class",
    columns: Mapping[str, Kind] | None = None,
    labels: Collection[Any] = (),
) -> ModelConfig:
    """Return `model` as a recipe says it: in the long form, seeded, checked by scikit-learn.

    `columns` are the features of a table and what they hold; None where the rows are a matrix.
    `labels` are the distinct ones to learn, where they are known.

    Raises:
        ConfigError: as `estimators.arguments`; for a column that is no feature, a step that does
            not transform, and a last step that does not predict the target.
    """
    whole = _automatic(model, columns) if model.preprocess is not None else model
    places = [where]
    if isinstance(model.steps, list):
        places = [f"{where}.steps[{index}]" for index in range(len(model.steps))]
    elif whole is not model:
        places = [where] * len(whole.as_steps())
    steps = []
    for step, place in zip(whole.as_steps(), places, strict=True):
        if isinstance(step.branches, list):
            steps.append(_resolve_branches(step, step.branches, random_state, place, columns))
        else:
            name = _named(step)
            params = resolve_params(name, step.params or {}, random_state, place)
            steps.append(Step(step.name, name, params))
    for step, place in zip(steps[:-1], places, strict=False):
        if isinstance(step.estimator, str):
            _check_transforms(step.estimator, place, "rows; only the last step predicts")
    _check_last(steps[-1], places[-1], target)
    steps[-1] = _encoded(steps[-1], labels)
    if isinstance(whole.steps, list):
        return ModelConfig(steps=steps)
    return ModelConfig(estimator=steps[0].estimator, params=steps[0].params)


def _encoded(last: Step, labels: Collection[Any]) -> Step:
    """Return the last step, in a vote of one where it does not take the labels as they are.

    XGBoost's classifiers take 0, 1, … alone; a vote encodes them, and predicts the same.
    """
    name = _named(last)
    numbered = [*labels] == [*range(len(labels))] and not any(type(one) is bool for one in labels)
    if numbered or not (name.startswith("xgboost.") and name.endswith("Classifier")):
        return last
    voter = {"estimator": name, "params": last.params or {}}
    params = {"estimators": [["xgboost", voter]], "voting": "soft"}
    return Step(last.name, "sklearn.ensemble.VotingClassifier", params)


def target_type(model: ModelConfig, where: str = "model") -> Target | None:
    """Return what the last step predicts, or None where it predicts neither or cannot be made."""
    last = model.as_steps()[-1]
    if not isinstance(last.estimator, str):
        return None
    place = f"{where}.steps[{len(model.as_steps()) - 1}]" if model.steps is not None else where
    return _kind(make(last.estimator, resolve_params(last.estimator, last.params or {}, 0, place)))


def build(model: ModelConfig) -> Any:
    """Return the unfitted estimator, or Pipeline, that a recipe's `model` describes."""
    if not isinstance(model.steps, list):
        [step] = model.as_steps()
        return make(_named(step), step.params or {})
    from sklearn.pipeline import Pipeline

    return Pipeline([(step.name, _build_step(step)) for step in model.steps])


def requested_n_jobs(model: ModelConfig) -> int | None:
    """Return the most `n_jobs` that the config asks for, or None if it asks for none."""
    asked = [n for step in _all(model) for n in _asked(step.params or {})]
    return -1 if -1 in asked else max(asked, default=None)


def _all(model: ModelConfig) -> Iterator[Step | Inner]:
    for step in model.as_steps():
        if isinstance(step.branches, list):
            for branch in step.branches:
                yield from branch.as_steps()
        else:
            yield step


def _asked(params: Any) -> Iterator[int]:
    """Yield each `n_jobs` in parameters, those of nested estimators as well."""
    if isinstance(params, dict):
        for key, value in params.items():
            if key == "n_jobs" and value is not None:
                yield value
            yield from _asked(value)
    elif isinstance(params, list):
        for value in params:
            yield from _asked(value)


def _named(step: Step) -> str:
    assert isinstance(step.estimator, str)
    return step.estimator


def _check_last(last: Step, where: str, target: Target) -> None:
    if not isinstance(last.estimator, str):
        raise ConfigError("the last step predicts, and branches do not", where=f"{where}.branches")
    if _kind(make(last.estimator, last.params or {})) != target:
        kind = {"class": "classifier", "number": "regressor"}[target]
        raise ConfigError(
            f"{last.estimator} is no {kind}, and the target is a {target}",
            where=f"{where}.estimator",
        )


def _kind(estimator: Any) -> Target | None:
    from sklearn.base import is_classifier, is_regressor

    if is_classifier(estimator):
        return "class"
    return "number" if is_regressor(estimator) else None


def _automatic(model: ModelConfig, columns: Mapping[str, Kind] | None) -> ModelConfig:
    """Return the long form of `preprocess: auto`."""
    last = Step("model", model.estimator, model.params)
    if columns is None:
        before = [Step(str(one.name), one.estimator, one.params) for one in _TRANSFORMERS]
        return ModelConfig(steps=[*before, last])
    texts = [name for name, kind in columns.items() if kind == "text"]
    numbers = [name for name in columns if name not in texts]
    branches = []
    if numbers:
        branches.append(Branch(name="numbers", columns=numbers, steps=list(_TRANSFORMERS)))
    if texts:
        branches.append(
            Branch(name="text", columns=texts, estimator=_ONE_HOT[0], params=_ONE_HOT[1])
        )
    return ModelConfig(steps=[Step("prep", branches=branches, remainder="drop"), last])


def _resolve_branches(
    step: Step,
    branches: list[Branch],
    random_state: int,
    where: str,
    columns: Mapping[str, Kind] | None,
) -> Step:
    if columns is None:
        raise ConfigError(
            "a bundled data set is one matrix; branches need the columns of a table",
            where=f"{where}.branches",
        )
    resolved = []
    for index, branch in enumerate(branches):
        place = f"{where}.branches[{index}]"
        for name in branch.names():
            if name not in columns:
                raise ConfigError(
                    f"{show(name)} is no feature; {nearest(name, list(columns))}", where=place
                )
        if branch.estimator == PASSTHROUGH:
            resolved.append(replace(branch, params=None))
            continue
        steps = _resolve_inner(branch, random_state, place)
        if branch.steps is not None:
            resolved.append(replace(branch, steps=steps))
        else:
            resolved.append(replace(branch, params=steps[0].params))
    return Step(step.name, branches=resolved, remainder=step.remainder)


def _check_transforms(name: str, where: str, what: str) -> None:
    if name in _OF_TARGETS:
        raise ConfigError(
            f"{name} encodes the target, which classifiers take as it is; to encode features use "
            "sklearn.preprocessing.OrdinalEncoder or OneHotEncoder",
            where=f"{where}.estimator",
        )
    if not hasattr(class_of(name, where), "transform"):
        raise ConfigError(f"{name} cannot transform {what}", where=f"{where}.estimator")


def _resolve_inner(branch: Branch, random_state: int, where: str) -> list[Inner]:
    found = []
    for index, inner in enumerate(branch.as_steps()):
        place = f"{where}.steps[{index}]" if isinstance(branch.steps, list) else where
        params = resolve_params(inner.estimator, inner.params or {}, random_state, place)
        _check_transforms(inner.estimator, place, "columns")
        found.append(Inner(inner.estimator, params, inner.name))
    names = [str(one.name) for one in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError(
            f"two steps are called {twice[0]!r}; give them names of their own",
            where=f"{where}.steps",
        )
    return found


def _build_step(step: Step) -> Any:
    if not isinstance(step.branches, list):
        return make(_named(step), step.params or {})
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
    made = [(str(one.name), make(one.estimator, one.params or {})) for one in branch.as_steps()]
    if not isinstance(branch.steps, list):
        return made[0][1]
    from sklearn.pipeline import Pipeline

    return Pipeline(made)
