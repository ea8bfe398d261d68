"""What a config comes to: its recipe, and a process that is ready to train it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

from artifact_pipeline.builder import canonical, numeric_profile, recipe
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.builder.config import loader
from artifact_pipeline.builder.config.loader import Source
from artifact_pipeline.builder.config.resolved import BundledData, ResolvedConfig, TableData
from artifact_pipeline.builder.data import bundled
from artifact_pipeline.builder.recipe import Recipe
from artifact_pipeline.builder.training.trainer import Resolved, Trainer
from artifact_pipeline.errors import ConfigError, DataError, Location
from artifact_pipeline.store import config_cache, machine
from artifact_pipeline.store.config_cache import CheckedConfig


class Plan(NamedTuple):
    """A config, checked, and the recipe that it comes to."""

    config: ResolvedConfig
    recipe: Recipe
    recipe_digest: Digest
    base: str
    """What its paths are relative to."""
    observed: dict[str, Any] | None
    trainer: Trainer | None
    """The process that checked it, ready to train; None where it was checked before."""
    warning: str | None = None
    """That the trainer is not under the numeric profile that this machine holds, and why."""


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
        where, base = "config", ""
        full = loader.parse(source, where)
        data = canonical.encode(source)
    else:
        where, base = os.fspath(source), str(Path(source).parent)
        data = loader.read(source)
    if (known := config_cache.lookup(data, base)) is not None:
        config, description = known.config, known.table
        if isinstance(config.data, BundledData):
            description = bundled.describe(config.data)
        assert description is not None
        made = recipe.make(known.model, config, description, machine.profile())
        return Plan(config, made, recipe.digest(made), base, None, None)
    if not isinstance(source, dict):
        full = loader.parse_bytes(data, where)
    profile = machine.profile()
    # Before the files are read: what changes while they are is another table the next time.
    fingerprint = config_cache.fingerprint_of(full, base)
    try:
        trainer = Trainer(full, where, profile, base)
    except ConfigError as error:
        if error.where and loader.is_short(data):  # where the same keys stand at the top
            for inner in ("model.params", "split"):
                error.location = Location(error.where.replace(f": {inner}.", ": "))
        raise
    resolved = trainer.resolved
    try:
        warning = check_profile(profile, resolved)
        made = recipe.make(resolved.model, full, resolved.data, resolved.profile)
        table = resolved.data if isinstance(full.data, TableData) else None
        checked = CheckedConfig(full, resolved.model, table)
        config_cache.store(data, checked, fingerprint=fingerprint)
    except BaseException:  # raised again, with no process left behind
        trainer.close()
        raise
    return Plan(full, made, recipe.digest(made), base, resolved.observed, trainer, warning)


def start(made: Plan, where: str) -> Trainer:
    """Return a trainer for a config that needed none to be checked; close it.

    Raises:
        DataError: if the rows are other than they were when the recipe was made.
    """
    trainer = Trainer(made.config, where, made.recipe.numerics.profile, made.base)
    if trainer.resolved.data != made.recipe.data:
        trainer.close()
        raise DataError("changed while it was read; run it again", where=made.recipe.data.title)
    return trainer


def check_profile(profile: str, resolved: Resolved) -> str | None:
    """Return a warning where a trainer is not under `profile` though this machine holds it.

    Where the machine does not hold it, that is remembered instead. So the machine is asked again:
    what one process was told to do must not change the recipes of others.

    Raises:
        StoreError: if the machine cannot be asked.
    """
    if resolved.profile == profile:
        return None
    if not numeric_profile.holds(profile):
        machine.remember_profile(resolved.profile)
        return None
    return (
        f"the numeric profile {profile}, which this machine holds, is not in force: "
        f"{numeric_profile.amiss(profile, resolved.observed)}. Something changes it in each Python "
        "process (a sitecustomize?); until that is gone, recipes have the profile "
        f"{resolved.profile}, and bytes are promised on this machine only."
    )


def revise(made: Plan, trainer: Trainer) -> Plan:
    """Return a plan for a trainer that computes under another profile than the plan had.

    Raises as `check_profile`.
    """
    resolved = trainer.resolved
    warning = check_profile(made.recipe.numerics.profile, resolved)
    new = recipe.make(resolved.model, made.config, resolved.data, resolved.profile)
    return made._replace(recipe=new, recipe_digest=recipe.digest(new), warning=warning)
