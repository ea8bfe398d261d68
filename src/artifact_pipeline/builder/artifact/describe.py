"""Short descriptions of the model in a recipe."""

import json
from collections.abc import Mapping
from typing import Any

from artifact_pipeline.builder.config import model_name
from artifact_pipeline.builder.config.resolved import Inner, Step
from artifact_pipeline.builder.recipe import Recipe


def title(recipe: Recipe) -> str:
    """Return the class names of a recipe's model."""
    return " → ".join(
        step.estimator.rpartition(".")[2]
        if isinstance(step.estimator, str)
        else "ColumnTransformer"
        for step in recipe.model.as_steps()
    )


def model_name_of(recipe: Recipe) -> str:
    """Return the name of a recipe's model; recipes of earlier releases have that of the data."""
    return recipe.name or model_name.from_text(recipe.data.title) or "model"


def headline(recipe: Recipe) -> str:
    """Return the name of a recipe's model and its class names."""
    if recipe.name is None:
        return f"{title(recipe)} on {recipe.data.title}"
    return f"{recipe.name}: {title(recipe)}"


def estimators(
    recipe: Recipe, chosen: Mapping[str, Any] | None = None, *, columns: int | None = None
) -> list[str]:
    """Return a line for each step of a recipe's model, and for each branch of a step.

    Args:
        recipe: The recipe.
        chosen: The parameters that a search chose, by their names in the search. They replace the
            recipe's own, and the last line lists them.
        columns: Maximum columns of a branch to name; None names all.
    """
    lines = []
    is_pipeline = recipe.model.steps is not None
    for step in recipe.model.as_steps():
        own = _below(chosen or {}, step.name) if is_pipeline else dict(chosen or {})
        for branch in step.branches or ():
            branch_own = _below(own, branch.name)
            if branch.steps is None:
                calls = [_call(inner, branch_own) for inner in branch.as_steps()]
            else:
                calls = [
                    _call(inner, _below(branch_own, str(inner.name))) for inner in branch.steps
                ]
            names = branch.names()
            if columns is not None and len(names) > columns:
                names = [*names[:columns], f"and {len(names) - columns:,} more"]
            lines.append(f"{branch.name} [{', '.join(names)}]: {' → '.join(calls)}")
        if isinstance(step.estimator, str):
            lines.append(_call(step, own))
    if chosen is not None and recipe.search is not None:
        parameters = ", ".join(f"{name}={json.dumps(value)}" for name, value in chosen.items())
        lines.append(f"chosen by a {recipe.search.method} search: {parameters}")
    return lines


def _below(chosen: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the chosen parameters of one step; `""` has the estimator that replaces it."""
    parameters = {
        key.removeprefix(f"{name}__"): value
        for key, value in chosen.items()
        if key.startswith(f"{name}__")
    }
    return parameters | ({"": chosen[name]} if name in chosen else {})


def _call(step: Step | Inner, chosen: Mapping[str, Any]) -> str:
    estimator, params = step.estimator, dict(step.params or {})
    own = dict(chosen)
    if (other := own.pop("", None)) is not None:
        if not isinstance(other, dict) or "estimator" not in other:
            return str(other)
        estimator, params = other["estimator"], dict(other.get("params", {}))
    arguments = ", ".join(f"{k}={json.dumps(v)}" for k, v in sorted({**params, **own}.items()))
    return f"{estimator}({arguments})"
