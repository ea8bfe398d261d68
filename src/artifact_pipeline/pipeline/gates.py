"""Gates: thresholds on metrics, and comparisons with what an alias names."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from artifact_pipeline.builder.artifact.manifest import Manifest
from artifact_pipeline.builder.config.messages import nearest
from artifact_pipeline.builder.config.resolved import Gate
from artifact_pipeline.builder.evaluation.metrics import why_missing
from artifact_pipeline.builder.metric_table import BY_NAME
from artifact_pipeline.errors import ConfigError, VerificationError
from artifact_pipeline.store.access import Reference
from artifact_pipeline.store.store import Store


class Baseline(NamedTuple):
    """What an alias names, to compare with."""

    digest: str | None
    """None where it names nothing yet."""
    metrics: Mapping[str, Any]
    """`test` and `slices`, as a manifest has them."""
    why_not: str | None
    """Why it cannot be compared with, if so."""


class Verdict(Struct, frozen=True):
    """What a gate says of one metric and one bound."""

    metric: str
    bound: str
    """`min`, `max` or `not_worse_than`."""
    limit: float | None
    """None where there was nothing to compare with."""
    value: float
    passed: bool
    margin: float
    """How far inside the bound the value lies; negative where it lies outside."""
    alias: str | None = None
    """Of a comparison: the name of the other artifact."""
    against: str | None = None
    """Its digest."""
    note: str | None = None

    def __str__(self) -> str:
        if self.note:
            return f"{self.metric} is {self.value:.4f}: {self.note}"
        limit = self.limit or 0.0
        if self.bound == "not_worse_than":
            way = "within" if self.passed else "worse than"
            return f"{self.metric} is {self.value:.4f}, {way} the {limit:.4f} asked by {self.alias}"
        side = {"min": ("above", "below", "least"), "max": ("under", "above", "most")}[self.bound]
        if self.passed:
            return f"{self.metric} is {self.value:.4f}, {self.margin:.4f} {side[0]} the {side[2]}"
        return f"{self.metric} is {self.value:.4f}, {side[1]} the {side[2]} of {limit:g}"


def judge(
    metrics: Mapping[str, Any],
    gates: Mapping[str, Gate],
    rivals: Mapping[str, Baseline] = MappingProxyType({}),
) -> list[Verdict]:
    """Return what each bound of each gate says of `metrics` (`train`, `test` and `slices`).

    `rivals` are what the aliases of comparisons name.

    Raises:
        ConfigError: for a gate on a metric that was not measured.
    """
    verdicts = []
    for name, gate in gates.items():
        value = _value(metrics, name)
        for bound, sign in (("min", 1), ("max", -1)):
            limit = getattr(gate, bound)
            if limit is not None:
                margin = sign * (value - limit)
                verdicts.append(Verdict(name, bound, limit, value, margin >= 0, margin))
        if gate.not_worse_than is not None:
            rival = rivals[gate.not_worse_than]
            verdicts.append(_compare(name, value, gate.not_worse_than, gate.tolerance, rival))
    return verdicts


def _value(metrics: Mapping[str, Any], name: str) -> float:
    """Return a metric by the name that a gate calls it, such as `test.accuracy[pune]`."""
    rows, _, rest = name.partition(".")
    metric, _, within = rest.partition("[")
    found = metrics.get(rows) or {}
    if within:
        slices = metrics.get("slices") or {}
        if within[:-1] not in slices:
            hint = nearest(within[:-1], sorted(slices)) if slices else "it has none"
            raise ConfigError(f"this model has no such slice; {hint}", where=f"gates.{name}")
        found = slices[within[:-1]]["metrics"]
    if metric not in found:
        said = why_missing(metric, found, train=metrics.get("train") or {})
        raise ConfigError(said, where=f"gates.{name}")
    return float(found[metric])


def _compare(name: str, value: float, alias: str, tolerance: float, rival: Baseline) -> Verdict:
    bound = "not_worse_than"
    if rival.digest is None:
        note = f"there is no {alias} yet to compare with"
        return Verdict(name, bound, None, value, True, 0.0, alias, None, note)
    why = rival.why_not
    if why is None:
        try:
            other = _value(rival.metrics, name)
        except ConfigError:
            why = "it was not measured by that"
    if why is not None:
        note = f"not comparable with {alias}: {why}"
        return Verdict(name, bound, None, value, False, 0.0, alias, rival.digest, note)
    lower = BY_NAME[name.partition(".")[2].partition("[")[0]].lower_is_better
    limit = other + tolerance if lower else other - tolerance
    margin = limit - value if lower else value - limit
    return Verdict(name, bound, limit, value, margin >= 0, margin, alias, rival.digest)


def baselines(
    gates: Mapping[str, Gate], manifest: Manifest, store: Reference | None
) -> dict[str, Baseline]:
    """Return what each alias in the gates names, and whether it was measured on the same rows."""
    names = {gate.not_worse_than for gate in gates.values() if gate.not_worse_than is not None}
    return {name: _rival(name, manifest, Store(store)) for name in names}


def _rival(alias: str, manifest: Manifest, store: Store) -> Baseline:
    digest = store.aliases.get(alias)
    if digest is None:
        return Baseline(None, {}, None)
    try:
        other = store.artifacts.open(digest).manifest
    except VerificationError as error:
        return Baseline(digest, {}, f"it does not verify ({error})")
    return Baseline(digest, msgspec.to_builtins(other.metrics), _why_not(manifest, other))


def _why_not(manifest: Manifest, other: Manifest) -> str | None:
    if other.recipe.data.digest != manifest.recipe.data.digest:
        return "it was made from other rows"
    if other.split.indices_digest != manifest.split.indices_digest:
        return "it was measured on other held-out rows"
    if _slices(other) != _slices(manifest):
        return "its slices are others"
    return None


def _slices(manifest: Manifest) -> object:
    evaluation = manifest.recipe.evaluation
    return None if evaluation is None else evaluation.slices
