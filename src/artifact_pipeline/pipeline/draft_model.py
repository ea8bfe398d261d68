"""The model of a drafted config: an estimator, and preprocessing that fits the columns."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from artifact_pipeline.builder.config.messages import nearest, show
from artifact_pipeline.builder.data.dataset import Target
from artifact_pipeline.builder.data.table_columns import ColumnData
from artifact_pipeline.builder.model.preprocess import target_encoding
from artifact_pipeline.errors import CallError, Location
from artifact_pipeline.pipeline import draft_columns, draft_trial
from artifact_pipeline.pipeline.draft_roles import Roles

_BRANCH_NAMES = {"scaled": "numbers", "one-hot": "categories", "encoded": "encoded"}
_CLASSIFIER = "sklearn.linear_model.LogisticRegression"
_REGRESSOR = "sklearn.linear_model.Ridge"
_FOREST_CLASSIFIER = "sklearn.ensemble.RandomForestClassifier"
_FOREST_REGRESSOR = "sklearn.ensemble.RandomForestRegressor"
_TRANSFORMERS: dict[str, dict[str, Any]] = {
    "scaled": {
        "steps": [
            {"estimator": "sklearn.impute.SimpleImputer", "params": {"strategy": "median"}},
            {"estimator": "sklearn.preprocessing.StandardScaler"},
        ]
    },
    "one-hot": {
        "estimator": "sklearn.preprocessing.OneHotEncoder",
        "params": {"handle_unknown": "ignore", "sparse_output": False},
    },
}


class DraftedModel(NamedTuple):
    """The section `model` of a config, and the reasons for it."""

    section: dict[str, Any]
    choices: list[str]


def find_estimator(name: str) -> str:
    """Return the public name of an estimator.

    Args:
        name: That name, or only the name of the class.

    Raises:
        CallError: If there is no such estimator.
    """
    if "." in name:
        return name
    from artifact_pipeline.builder.model.estimators import public_names

    known = public_names()
    if name not in known:
        raise CallError(
            f"found {show(name)}, expected a classifier or regressor of scikit-learn",
            location=Location("--model"),
            remedy=nearest(name, list(known)),
        )
    return known[name]


def task_of(estimator: str) -> Literal["class", "number"]:
    """Return what an estimator predicts.

    Raises:
        CallError: If it predicts nothing, or needs parameters that only a config can give.
    """
    from artifact_pipeline.builder.config.resolved import ModelConfig
    from artifact_pipeline.builder.model.construction import target_type

    location = Location("--model")
    task = target_type(ModelConfig(estimator=estimator, params={}), location)
    if task is None:
        problem = f"{estimator} predicts neither classes nor numbers"
        raise CallError(problem, location=location)
    return task


def draft_and_try(
    features: dict[str, ColumnData],
    section: dict[str, Any],
    *,
    roles: Roles,
    is_class: bool,
) -> DraftedModel:
    """Return a linear model, or a forest if that learns clearly more from the table.

    Args:
        features: The columns to predict from.
        section: The section `data` of the config.
        roles: The split.
        is_class: Whether the target is a class.
    """
    linear = draft_for(features, _CLASSIFIER if is_class else _REGRESSOR, is_class=is_class)
    name = _FOREST_CLASSIFIER if is_class else _FOREST_REGRESSOR
    forest = draft_for(features, name, is_class=is_class)
    name = "LogisticRegression" if is_class else "Ridge"
    fast = f"{name} is fast, and a baseline for other models"
    config = {"name": "draft", "data": section, "split": roles.split}
    trial = draft_trial.run({**config, "model": linear.section})
    other = draft_trial.run({**config, "model": forest.section})
    if trial is None or other is None:
        return linear._replace(choices=[fast, *linear.choices])
    folds = f"in {draft_trial.FOLDS} folds of the training rows its {trial.metric} is"
    if draft_trial.is_clearly_better(other, than=trial):
        reason = (
            f"RandomForest{'Classifier' if is_class else 'Regressor'} learns more than {name}: "
            f"{folds} {other.score:.2f}, that of {name} {trial.score:.2f}"
        )
        return forest._replace(choices=[reason, *forest.choices])
    against = "the most frequent class" if is_class else "always predicting the mean"
    measured = (
        f"{folds} {trial.score:.2f}, that of a random forest {other.score:.2f} and of {against} "
        f"{trial.baseline:.2f}"
    )
    doubt = "" if trial.learns else ", so the columns may not predict the target"
    return linear._replace(choices=[f"{fast}: {measured}{doubt}", *linear.choices])


def draft_for(features: dict[str, ColumnData], name: str, *, is_class: bool) -> DraftedModel:
    """Return an estimator with the preprocessing that the columns need.

    Args:
        features: The columns to predict from.
        name: The estimator.
        is_class: Whether it predicts classes.
    """
    params = {"max_iter": 1000} if name == _CLASSIFIER else {}
    choices = []
    uses = {feature: draft_columns.use_of(column) for feature, column in features.items()}
    if {*uses.values()} <= {"scaled", "one-hot"}:
        choices.append("numbers are imputed and scaled, text is one-hot: model.preprocess is auto")
        section = {"preprocess": "auto", "estimator": name}
        return DraftedModel(section | ({"params": params} if params else {}), choices)
    transformers = _TRANSFORMERS | {"encoded": _encoder("class" if is_class else "number")}
    branches = []
    for use, branch in _BRANCH_NAMES.items():
        if names := [feature for feature in uses if uses[feature] == use]:
            branches.append({"name": branch, "columns": names, **transformers[use]})
    for feature in uses:
        if uses[feature] == "encoded":
            choices.append(
                f"{show(feature)} has {len(set(features[feature].values.tolist()))} texts, too "
                "many for a column each: each text becomes the mean of its targets (TargetEncoder)"
            )
    prose = [feature for feature in uses if uses[feature] == "words"]
    for number, feature in enumerate(prose, start=1):
        choices.append(f"{show(feature)} is prose: its words are counted (TfidfVectorizer)")
        counter = "sklearn.feature_extraction.text.TfidfVectorizer"
        branches.append({"name": f"prose-{number}", "column": feature, "estimator": counter})
    last = {"name": "model", "estimator": name} | ({"params": params} if params else {})
    return DraftedModel({"steps": [{"name": "prep", "branches": branches}, last]}, choices)


def _encoder(target: Target) -> dict[str, Any]:
    """Return the steps of a branch that encodes texts by the target."""
    encoder: dict[str, Any] = {"estimator": "sklearn.preprocessing.TargetEncoder"}
    if params := target_encoding(target):
        encoder["params"] = params
    return {"steps": [encoder, {"estimator": "sklearn.preprocessing.StandardScaler"}]}
