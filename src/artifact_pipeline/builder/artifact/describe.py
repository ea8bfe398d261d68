"""Short descriptions of the model in a recipe."""

import json
from collections.abc import Mapping
from typing import Any

from artifact_pipeline.builder.config.resolved import Inner, Step
from artifact_pipeline.builder.recipe import Recipe, _under


def title(recipe: Recipe) -> str:
    """Return what a person calls a recipe's model: the names of its classes."""
    return " → ".join(
        step.estimator.rpartition(".")[2]
        if isinstance(step.estimator, str)
        else "ColumnTransformer"
        for step in recipe.model.as_steps()
    )


def estimators(recipe: Recipe, chosen: Mapping[str, Any] | None = None) -> list[str]:
    """Return the steps of a recipe's model, one line each, branches as lines of their own.

    `chosen` are the parameters that a search chose, by the names that the search has for them:
    the lines are those of the estimator that was sealed, and one more says so.
    """
    lines = []
    named = recipe.model.steps is not None
    for step in recipe.model.as_steps():
        own = _under(chosen or {}, step.name) if named else dict(chosen or {})
        for branch in step.branches or ():
            inner_own = _under(own, branch.name)
            several = branch.steps is not None
            inner = " → ".join(
                _call(one, _under(inner_own, str(one.name)) if several else inner_own)
                for one in branch.as_steps()
            )
            lines.append(f"{branch.name} [{', '.join(branch.names())}]: {inner}")
        if isinstance(step.estimator, str):
            lines.append(_call(step, own))
    if chosen is not None and recipe.search is not None:
        said = ", ".join(f"{name}={json.dumps(value)}" for name, value in chosen.items())
        lines.append(f"chosen by a {recipe.search.method} search: {said}")
    return lines


def _call(step: Step | Inner, chosen: Mapping[str, Any]) -> str:
    estimator, params = step.estimator, dict(step.params or {})
    own = dict(chosen)
    if (other := own.pop("", None)) is not None:
        if not isinstance(other, dict) or "estimator" not in other:
            return str(other)
        estimator, params = other["estimator"], dict(other.get("params", {}))
    said = ", ".join(f"{k}={json.dumps(v)}" for k, v in sorted({**params, **own}.items()))
    return f"{estimator}({said})"
