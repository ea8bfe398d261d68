"""Recipe resolution: from a config to the recipe that decides an artifact's bytes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from artifact_pipeline.builder import canonical, numeric_profile, recipe
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.builder.config.resolved import BundledData, ResolvedConfig, TableData
from artifact_pipeline.builder.config.source import Source, read
from artifact_pipeline.builder.data import bundled
from artifact_pipeline.builder.numeric_profile import Inspection
from artifact_pipeline.builder.progress import ReportProgress, ignore
from artifact_pipeline.builder.recipe import Recipe
from artifact_pipeline.errors import CallError, ConfigError, DataError, Location
from artifact_pipeline.log import Log
from artifact_pipeline.store import config_cache, machine
from artifact_pipeline.store.config_cache import CheckedConfig
from artifact_pipeline.store.references import PathLike

if TYPE_CHECKING:
    from artifact_pipeline.builder.training.protocol import Resolved
    from artifact_pipeline.builder.training.trainer import Trainer

# A config that is cached imports neither the loader nor the trainer.
log = Log(__name__)


class Plan(Struct, frozen=True, kw_only=True):
    """A checked config and its recipe."""

    config: ResolvedConfig
    name: str
    """The config's path, as errors name it."""
    text: str
    """The config as it was written."""
    base: str
    """The folder that paths in the config are relative to."""
    recipe: Recipe
    recipe_digest: Digest
    observed: Inspection | None = None
    """BLAS, CPU features and threads of the trainer process, if one was started."""
    warning: str | None = None
    """Why the trainer process is not under the numeric profile that this machine supports."""


@contextmanager
def planned(
    source: Source, *, data: PathLike | None = None, report: ReportProgress = ignore
) -> Iterator[tuple[Plan, Trainer | None]]:
    """Resolve the recipe of the config at a path or of a dict, without training.

    A config that is not cached is checked by a trainer process with scikit-learn. That process is
    ready to train until the `with` block ends.

    Args:
        source: The config.
        data: Where to read the table instead of at `data.path`; the recipe contains no path.
        report: Called when part of the table is read.

    Raises:
        CallError: If `data` is given and the config reads no table.
        ConfigError, DataError: If the config or its rows are wrong.
        StoreError: If the state folder cannot be read or written.
        TrainerDied: If the trainer process ends.
    """
    if isinstance(source, dict):
        from artifact_pipeline.builder.config import loader

        name, base = "config", ""
        config = loader.parse(source, name)
        written = canonical.encode(source)
    else:
        name, base = os.fspath(source), str(Path(source).parent)
        written = read(source)
    table = None if data is None else _table_path(os.fspath(data))
    if table is not None:
        base = ""
    # Another table has another entry in the cache.
    key = written if table is None else b"\0".join([written, os.fsencode(table)])
    with log.timed("look up %s in the cache of checked configs", name):
        cached = config_cache.lookup(key, base)
    if cached is not None:
        config, rows = cached.config, cached.table
        if isinstance(config.data, BundledData):
            rows = bundled.describe(config.data)
        assert rows is not None
        known = recipe.make(cached.model, config, rows=rows, profile=machine.profile())
        yield _plan(config, name, data=written, base=base, resolved_recipe=known), None
        return
    from artifact_pipeline.builder.config import loader
    from artifact_pipeline.builder.training.trainer import Trainer

    if not isinstance(source, dict):
        config = loader.parse_bytes(written, name)
    if table is not None:
        config = _with_table(config, table, name=name)
    profile = machine.profile()
    # Taken before the files are read, so that a change meanwhile is a miss the next time.
    fingerprint = config_cache.fingerprint_of(config, base)
    try:
        with log.timed("check %s in a trainer process, profile %s", name, profile):
            trainer = Trainer(config, name, profile=profile, base=base, report=report)
    except ConfigError as error:
        if error.location is not None and loader.is_short(written):
            error.location = _in_short_form(error.location)
        raise
    with trainer:
        plan = _resolved(
            config, name, data=written, base=base, profile=profile, resolved=trainer.resolved
        )
        rows = plan.recipe.data if isinstance(config.data, TableData) else None
        checked = CheckedConfig(config, plan.recipe.model, rows)
        config_cache.store(key, checked, fingerprint=fingerprint)
        yield plan, trainer


@contextmanager
def started(plan: Plan, *, report: ReportProgress = ignore) -> Iterator[tuple[Plan, Trainer]]:
    """Start the trainer process of a plan that needed none, for the `with` block.

    The plan may change to a lesser numeric profile, if the process has one.

    Args:
        plan: The plan.
        report: Called when part of the table is read.

    Raises:
        DataError: If the rows changed since the plan was made.
        StoreError, TrainerDied: As `planned`.
    """
    from artifact_pipeline.builder.training.trainer import Trainer

    profile = plan.recipe.numerics.profile
    with Trainer(plan.config, plan.name, profile=profile, base=plan.base, report=report) as trainer:
        resolved = trainer.resolved
        if resolved.data != plan.recipe.data:
            raise DataError(
                "changed while it was read",
                location=Location(plan.recipe.data.title),
                remedy="run it again",
            )
        config, name, base, data = plan.config, plan.name, plan.base, plan.text.encode()
        yield (
            _resolved(config, name, data=data, base=base, profile=profile, resolved=resolved),
            trainer,
        )


def recipe_of(source: Source, *, data: PathLike | None = None) -> Recipe:
    """Return the recipe of a config, without training.

    Args:
        source: The path of a config file, or the dict that its JSON would give.
        data: Where to read the table instead of at `data.path`.

    Raises:
        CallError: If `data` is given and the config reads no table.
        ConfigError, DataError: If the config or its rows are wrong.
        StoreError: If the state folder cannot be read or written.
        TrainerDied: If the process that checks the config ends.
    """
    with planned(source, data=data) as (plan, _):
        return plan.recipe


def _resolved(
    config: ResolvedConfig,
    name: str,
    *,
    data: bytes,
    base: str,
    profile: str,
    resolved: Resolved,
) -> Plan:
    """Return the plan of a config that a trainer process resolved under `profile`."""
    resolved_recipe = recipe.make(
        resolved.model, config, rows=resolved.data, profile=resolved.profile
    )
    warning = _check_profile(profile, resolved)
    plan = _plan(config, name, data=data, base=base, resolved_recipe=resolved_recipe)
    return replace(plan, observed=resolved.observed, warning=warning)


def _plan(
    config: ResolvedConfig, name: str, *, data: bytes, base: str, resolved_recipe: Recipe
) -> Plan:
    return Plan(
        config=config,
        name=name,
        text=data.decode(errors="replace"),
        base=base,
        recipe=resolved_recipe,
        recipe_digest=recipe.digest(resolved_recipe),
    )


def _table_path(path: str) -> str:
    """Return the path of a table that a caller named, relative to the working folder."""
    if not path:
        raise CallError("is empty, expected a path", location=Location("--data"))
    return path if "://" in path else str(Path(path).absolute())


def _with_table(config: ResolvedConfig, path: str, *, name: str) -> ResolvedConfig:
    """Return a config that reads its table from another path."""
    if not isinstance(config.data, TableData):
        raise CallError(
            f"replaces data.path, and {name} reads the bundled data set {config.data.dataset}",
            location=Location("--data"),
        )
    return replace(config, data=replace(config.data, path=path))


def _in_short_form(location: Location) -> Location:
    """Return the location in the short form, which has the full form's keys at its top level."""
    key = location.key or ""
    for prefix in ("model.params.", "split."):
        key = key.removeprefix(prefix)
    return replace(location, key=key or None)


def _check_profile(profile: str, resolved: Resolved) -> str | None:
    """Return a warning if a trainer is not under `profile` although this machine supports it.

    If the machine does not support it, the lesser profile is remembered instead. The machine is
    inspected by another process for that: the settings of one must not change later recipes.

    Raises:
        StoreError: If the machine cannot be inspected.
    """
    if resolved.profile == profile:
        return None
    if not numeric_profile.holds(profile):
        machine.remember_profile(resolved.profile)
        return None
    return (
        f"the numeric profile {profile}, which this machine supports, is not in force: "
        f"{numeric_profile.deviation(profile, resolved.observed)}. Something changes it in each "
        "Python process (a sitecustomize?); until that is removed, recipes have the profile "
        f"{resolved.profile}, and identical bytes are promised on this machine only."
    )
