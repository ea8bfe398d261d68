"""What a config comes to: its recipe, and a process that is ready to train it."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from artifact_pipeline import canonical, checkout, config, recipe
from artifact_pipeline.canonical import Digest
from artifact_pipeline.config import Config, Model, Source
from artifact_pipeline.errors import ConfigError
from artifact_pipeline.recipe import Recipe
from artifact_pipeline.trainer import Trainer


class Plan(NamedTuple):
    """A config, checked, and the recipe that it comes to."""

    config: Config
    recipe: Recipe
    recipe_digest: Digest
    observed: dict[str, Any] | None
    trainer: Trainer | None
    """The process that checked it, ready to train; None where it was checked before."""


class _Checked(Struct, frozen=True):
    """What is remembered of a config: its full form, and the model as scikit-learn resolved it."""

    config: Config
    model: Model


def recipe_of(source: Source) -> Recipe:
    """Return the recipe that a config comes to. Raises as `plan`."""
    made = plan(source)
    if made.trainer:
        made.trainer.close()
    return made.recipe


def plan(source: Source) -> Plan:
    """Return the recipe that a config comes to, without training.

    What scikit-learn must check is checked by a trainer process, and remembered by the config's
    bytes: a config that was checked before needs no scikit-learn. Close the trainer, if any.

    Raises:
        ConfigError, DataError: if the config or its rows are wrong.
        StoreError: if this machine cannot run it.
    """
    if isinstance(source, dict):
        where = "config"
        full = config.parse(source, where)
        data = canonical.encode(source)
    else:
        where = os.fspath(source)
        data = config.read(source)
    if (known := _recall(data)) is not None:
        made = recipe.make(known.model, known.config.split, known.config.data, checkout.profile())
        return Plan(known.config, made, recipe.digest(made), None, None)
    if not isinstance(source, dict):
        full = config.parse_bytes(data, where)
    profile = checkout.profile()
    try:
        trainer = Trainer(full, where, profile)
    except ConfigError as error:
        if error.where and config.is_short(data):  # where the same keys stand at the top
            for inner in ("model.params", "split"):
                error.where = error.where.replace(f": {inner}.", ": ")
        raise
    resolved = trainer.resolved
    try:
        if resolved.profile != profile:
            checkout.remember_profile(resolved.profile)
        made = recipe.make(resolved.model, full.split, full.data, resolved.profile)
        checked = _Checked(full, resolved.model)
        checkout.remember_config(data, msgspec.to_builtins(checked))
    except BaseException:  # raised again, with no process left behind
        trainer.close()
        raise
    return Plan(full, made, recipe.digest(made), resolved.observed, trainer)


def _recall(config: bytes) -> _Checked | None:
    try:
        return msgspec.convert(checkout.recall_config(config), _Checked | None)
    except msgspec.ValidationError:  # a spoilt memory is no memory: the config is checked again
        return None
