"""Gates: bounds on metrics, and comparisons with the artifact that an alias names."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct
from msgspec.structs import replace

from artifact_pipeline.builder.artifact import describe
from artifact_pipeline.builder.artifact.manifest import Manifest, Metrics
from artifact_pipeline.builder.config.messages import nearest
from artifact_pipeline.builder.config.resolved import Gate
from artifact_pipeline.builder.evaluation.metrics import why_missing
from artifact_pipeline.builder.metric_table import BY_NAME, figure
from artifact_pipeline.errors import ConfigError, Location, VerificationError
from artifact_pipeline.store.references import PathLike, parse
from artifact_pipeline.store.store import Store


class Baseline(Struct, frozen=True):
    """The artifact that an alias names, as a gate compares with it."""

    digest: str | None
    """None if the alias names nothing yet."""
    metrics: Metrics | None
    """None if they are not known."""
    problem: str | None
    """Why it cannot be compared with; None if it can."""


class Verdict(Struct, frozen=True, kw_only=True):
    """The result of one bound of a gate."""

    metric: str
    bound: str
    """`min`, `max` or `not_worse_than`."""
    limit: float | None = None
    """None if there was nothing to compare with."""
    value: float
    passed: bool
    margin: float = 0.0
    """How far the value is inside the bound; negative if it is outside."""
    alias: str | None = None
    """The alias of a comparison."""
    against: str | None = None
    """The digest that the alias names."""
    note: str | None = None

    def __str__(self) -> str:
        if self.note:
            return f"{self.metric} is {figure(self.value)}: {self.note}"
        limit = self.limit or 0.0
        if self.bound == "not_worse_than":
            relation = "within" if self.passed else "worse than"
            required = f"{relation} the {figure(limit)} required by {self.alias}"
            return f"{self.metric} is {figure(self.value)}, {required}"
        inside, outside, bound = {
            "min": ("above", "below", "minimum"),
            "max": ("below", "above", "maximum"),
        }[self.bound]
        if self.passed:
            return (
                f"{self.metric} is {figure(self.value)}, {figure(self.margin)} {inside} the {bound}"
            )
        return f"{self.metric} is {figure(self.value)}, {outside} the {bound} of {limit:,.10g}"


def judge(
    metrics: Metrics,
    gates: Mapping[str, Gate],
    *,
    baselines: Mapping[str, Baseline] = MappingProxyType({}),
) -> list[Verdict]:
    """Return a verdict for each bound of each gate.

    Args:
        metrics: The metrics of the model.
        gates: By the name of the metric, such as `test.accuracy` or `test.accuracy[pune]`.
        baselines: The artifacts to compare with, by alias.

    Raises:
        ConfigError: If a metric was not measured.
    """
    verdicts = []
    for name, gate in gates.items():
        value = _value(metrics, name)
        for bound, sign in (("min", 1), ("max", -1)):
            limit = getattr(gate, bound)
            if limit is not None:
                margin = sign * (value - limit)
                verdicts.append(
                    Verdict(
                        metric=name, bound=bound, limit=limit, value=value, passed=margin >= 0,
                        margin=margin,
                    )
                )  # fmt: skip
        if (alias := gate.not_worse_than) is not None:
            baseline = baselines[alias]
            verdicts.append(
                _compare(name, value, alias=alias, tolerance=gate.tolerance, baseline=baseline)
            )
    return verdicts


def _value(metrics: Metrics, name: str) -> float:
    """Return a metric by the name that gates give it, such as `test.accuracy[pune]`."""
    location = Location(key=f"gates.{name}")
    rows, _, rest = name.partition(".")
    metric, _, slice_name = rest.partition("[")
    measured = (metrics.train or {}) if rows == "train" else metrics.test
    if slice_name:
        slices = metrics.slices or {}
        slice_name = slice_name[:-1]
        if slice_name not in slices:
            hint = nearest(slice_name, sorted(slices)) if slices else "it has none"
            problem = "this model has no such slice"
            raise ConfigError(problem, location=location, remedy=hint)
        measured = slices[slice_name].metrics
    if metric not in measured:
        problem = why_missing(metric, measured, train=metrics.train or {})
        raise ConfigError(problem, location=location)
    return measured[metric]


def _compare(
    name: str, value: float, *, alias: str, tolerance: float, baseline: Baseline
) -> Verdict:
    verdict = Verdict(
        metric=name, bound="not_worse_than", value=value, passed=False, alias=alias,
        against=baseline.digest,
    )  # fmt: skip
    if baseline.digest is None:
        note = f"{alias} names no artifact yet to compare with"
        return replace(verdict, passed=True, note=note)
    problem = baseline.problem
    if problem is None:
        assert baseline.metrics is not None
        try:
            other = _value(baseline.metrics, name)
        except ConfigError:
            problem = "the metric was not measured for it"
    if problem is not None:
        note = f"not comparable with {alias}: {problem}"
        return replace(verdict, note=note)
    lower = BY_NAME[name.partition(".")[2].partition("[")[0]].lower_is_better
    limit = other + tolerance if lower else other - tolerance
    margin = limit - value if lower else value - limit
    return replace(verdict, limit=limit, passed=margin >= 0, margin=margin)


def baselines(
    gates: Mapping[str, Gate], manifest: Manifest, *, store: PathLike | None
) -> dict[str, Baseline]:
    """Return the artifact that each reference in gates names.

    An alias by itself is that of the model's own name.

    Args:
        gates: By the name of the metric.
        manifest: The manifest of the artifact to compare with them.
        store: The store that they are looked up in.
    """
    aliases = {gate.not_worse_than for gate in gates.values() if gate.not_worse_than is not None}
    return {alias: _baseline(alias, manifest, store=Store(store)) for alias in aliases}


def _baseline(alias: str, manifest: Manifest, *, store: Store) -> Baseline:
    reference = parse(alias)
    if reference.alias is not None and reference.name is None:
        digest = store.alias(describe.model_name_of(manifest.recipe), reference.alias)
    else:
        digest = store.digest_of(reference)
    if digest is None:
        return Baseline(None, None, None)
    try:
        other = store.artifacts.open(digest).manifest
    except VerificationError as error:
        return Baseline(digest, None, f"it does not verify ({error})")
    return Baseline(digest, other.metrics, _why_not(manifest, other))


def _why_not(manifest: Manifest, other: Manifest) -> str | None:
    if other.recipe.data.digest != manifest.recipe.data.digest:
        return "it was trained on other data"
    if other.split.indices_digest != manifest.split.indices_digest:
        return "it was measured on other held-out rows"
    if _slices(other) != _slices(manifest):
        return "it has other slices"
    return None


def _slices(manifest: Manifest) -> object:
    evaluation = manifest.recipe.evaluation
    return None if evaluation is None else evaluation.slices
