"""Where recipes differ, the likeliest cause of a difference in predictions first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from artifact_pipeline.builder.config.resolved import Branch, Inner, Step
from artifact_pipeline.builder.recipe import Recipe


class RecipeDifference(Struct, frozen=True, kw_only=True):
    """A field that is not the same in all of some recipes."""

    part: str
    """The part of the recipe, such as `model` or `packages`."""
    field: str
    """The name of a parameter as scikit-learn writes it, such as `model__C`, or a path."""
    values: list[Any]
    """Its value in each recipe; None where it is absent."""


def differences(
    recipes: Sequence[Recipe], chosen: Sequence[Mapping[str, Any] | None]
) -> list[RecipeDifference]:
    """Return the fields that are not the same in all recipes.

    Args:
        recipes: The recipes.
        chosen: For each recipe, the parameters that its search chose, or None.
    """
    parts = [_parts(recipe, best) for recipe, best in zip(recipes, chosen, strict=True)]
    rows = []
    for part in parts[0]:
        fields = [recipe_parts[part] for recipe_parts in parts]
        for field in dict.fromkeys(name for values in fields for name in values):
            values = [values.get(field) for values in fields]
            # 1 and 1.0 are different parameters to scikit-learn.
            if any((type(value), value) != (type(values[0]), values[0]) for value in values):
                rows.append(RecipeDifference(part=part, field=field, values=values))
    return rows


def _parts(recipe: Recipe, chosen: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """Return the fields of a recipe by part, in the order in which differences are listed."""
    schema = recipe.data.schema
    data = msgspec.to_builtins(recipe.data)
    columns = {
        f"column {column.name}": " ".join(
            [column.role, *([] if column.kind is None else [column.kind])]
        )
        for column in schema.columns or ()
    }
    data["schema"].pop("columns", None)
    imported = None if recipe.brought is None else msgspec.to_builtins(recipe.brought)
    return {
        "model": dict(_model_fields(recipe)),
        "search": {
            **_flat(recipe.search),
            **{f"chosen {name}": value for name, value in (chosen or {}).items()},
        },
        "data": {**_flat(data), **columns},
        "split": _flat(recipe.split),
        "packages": dict(recipe.packages),
        "code": {"builder": recipe.code},
        "platform": {**_flat(recipe.platform), **_flat(recipe.numerics), **_flat(imported)},
        "evaluation": _flat(recipe.evaluation),
        "name": {"name": recipe.name, "description": recipe.description},
    }


def _model_fields(recipe: Recipe) -> Iterator[tuple[str, Any]]:
    model = recipe.model
    if model.steps is None:
        yield "estimator", model.estimator
        yield from _parameters("", model.params)
        return
    for step in model.steps:
        yield from _step_fields(step.name, step)
        for branch in step.branches or ():
            name = f"{step.name}__{branch.name}"
            yield f"{name} columns", branch.names()
            for inner in branch.as_steps():
                inner_name = name if branch.steps is None else f"{name}__{inner.name}"
                yield from _step_fields(inner_name, inner)
        if step.remainder is not None:
            yield f"{step.name}__remainder", step.remainder


def _step_fields(name: str, step: Step | Inner | Branch) -> Iterator[tuple[str, Any]]:
    if step.estimator is not None:
        yield name, step.estimator
    yield from _parameters(f"{name}__", step.params)


def _parameters(prefix: str, params: Mapping[str, Any] | None) -> Iterator[tuple[str, Any]]:
    for name, value in sorted((params or {}).items()):
        if isinstance(value, dict) and "estimator" in value:  # an estimator in a parameter
            yield f"{prefix}{name}", value["estimator"]
            yield from _parameters(f"{prefix}{name}__", value.get("params"))
        else:
            yield f"{prefix}{name}", value


def _flat(value: Any) -> dict[str, Any]:
    """Return the leaves of a struct or of nested dicts by their paths; lists are leaves."""
    leaves: dict[str, Any] = {}
    for key, inner in (msgspec.to_builtins(value) or {}).items():
        if isinstance(inner, dict) and inner:
            leaves |= {f"{key}.{name}": leaf for name, leaf in _flat(inner).items()}
        else:
            leaves[key] = inner
    return leaves
