"""Gates: bounds on metrics, and comparisons with another artifact and with a baseline.

The artifact that an alias names is the incumbent; the baseline is scikit-learn's dummy model, whose
metrics are in the evaluation of each artifact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from msgspec import Struct
from msgspec.structs import replace

from artifact_pipeline.builder.artifact.manifest import Metrics
from artifact_pipeline.builder.config.messages import nearest
from artifact_pipeline.builder.config.resolved import Gate
from artifact_pipeline.builder.evaluation.metrics import why_missing
from artifact_pipeline.builder.metric_table import BY_NAME, figure
from artifact_pipeline.errors import ConfigError, Location
from artifact_pipeline.pipeline.incumbents import Incumbent, PairedRows
from artifact_pipeline.verification.verify import Verified


class Verdict(Struct, frozen=True, kw_only=True):
    """The result of one bound of a gate."""

    metric: str
    bound: str
    """`min`, `max`, `not_worse_than` or `better_than`."""
    limit: float | None = None
    """None if there was nothing to compare with."""
    value: float
    passed: bool
    judged: bool = True
    """False if it passed because there was nothing to compare with."""
    margin: float = 0.0
    """How far the value is inside the bound; negative if it is outside."""
    alias: str | None = None
    """The alias of a comparison."""
    against: str | None = None
    """The digest that the alias names."""
    confidence: float | None = None
    """The confidence with which a paired test must find the metric worse for a miss."""
    p_value: float | None = None
    """The p-value of the paired test; 1 − confidence and below is a miss."""
    note: str | None = None

    @property
    def comparison(self) -> str | None:
        """What the metric must be, beside another model; None for `min` and `max`."""
        if self.bound == "not_worse_than":
            level = "" if self.confidence is None else f" ({100 * self.confidence:g}% confidence)"
            return f"not worse than {self.alias}{level}"
        return "better than the baseline" if self.bound == "better_than" else None

    def __str__(self) -> str:
        if self.note:
            return f"{self.metric} is {figure(self.value)}: {self.note}"
        limit = self.limit or 0.0
        if self.bound == "better_than":
            relation = "better" if self.passed else "not better"
            return (
                f"{self.metric} is {figure(self.value)}, {relation} than the {figure(limit)} of "
                "the baseline"
            )
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
    incumbents: Mapping[str, Incumbent] = MappingProxyType({}),
    baseline: Metrics | None = None,
    config: str | None = None,
) -> list[Verdict]:
    """Return a verdict for each bound of each gate.

    Args:
        metrics: The metrics of the model.
        gates: By the name of the metric, such as `test.accuracy` or `test.accuracy[pune]`.
        incumbents: The artifacts to compare with, by alias.
        baseline: The metrics of the baseline on the same rows, if they are known.
        config: The name of the config of the gates in errors.

    Raises:
        ConfigError: If a metric was not measured.
    """
    verdicts = []
    for name, gate in gates.items():
        value = _value(metrics, name, location=Location(config, key=f"gates.{name}"))
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
            verdicts.append(_compare(name, value, gate=gate, incumbent=incumbents[alias]))
        if gate.better_than is not None:
            verdicts.append(_compare_with_baseline(name, value, baseline=baseline))
    return verdicts


def unjudged(verdicts: Sequence[Verdict]) -> list[str]:
    """Return a warning for each comparison that passed without an artifact to compare with."""
    return [
        f"the gate {verdict.metric} {verdict.comparison} was not judged: {verdict.note}; promote "
        'an artifact, or set "required": true to fail without one'
        for verdict in verdicts
        if not verdict.judged
    ]


def _value(metrics: Metrics, name: str, *, location: Location) -> float:
    """Return a metric by the name that gates give it, such as `test.accuracy[pune]`."""
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


def _compare(name: str, value: float, *, gate: Gate, incumbent: Incumbent) -> Verdict:
    alias = gate.not_worse_than
    verdict = Verdict(
        metric=name, bound="not_worse_than", value=value, passed=False, alias=alias,
        against=incumbent.digest,
    )  # fmt: skip
    if incumbent.digest is None:
        note = f"there is no {alias} to compare with yet"
        if gate.required:
            return replace(verdict, note=f"{note}, and the gate requires one")
        return replace(verdict, passed=True, judged=False, note=note)
    problem = incumbent.problem
    if problem is None:
        assert incumbent.metrics is not None
        try:
            other = _value(incumbent.metrics, name, location=Location(alias))
        except ConfigError:
            problem = "the metric was not measured for it"
    if problem is not None:
        note = f"not comparable with {alias}: {problem}"
        return replace(verdict, note=note)
    sign = _sign(name)
    limit = other - sign * gate.tolerance
    margin = sign * (value - limit)
    verdict = replace(verdict, limit=limit, passed=margin >= 0, margin=margin)
    if gate.confidence is None:
        return verdict
    return _test(verdict, gate.confidence, tolerance=gate.tolerance, paired=incumbent.paired)


def _test(
    verdict: Verdict, confidence: float, *, tolerance: float, paired: PairedRows | str | None
) -> Verdict:
    """Return a verdict that misses only if a paired test finds the metric worse.

    McNemar's test judges an accuracy without a tolerance, and the bootstrap all else. The p-value
    is one-sided: for McNemar's test the probability of so few rows in favour of the candidate if
    both artifacts are equally good, for the bootstrap the share of samples on which the metric is
    not worse by more than the tolerance.
    """
    from artifact_pipeline.pipeline.paired_tests import (
        SAMPLES,
        bootstrap,
        flips,
        mcnemar,
        share_worse,
    )

    verdict = replace(verdict, confidence=confidence)
    if not isinstance(paired, PairedRows):
        note = f"no paired test with {verdict.alias}: {paired}"
        return replace(verdict, passed=False, note=note)
    metric = verdict.metric.removeprefix("test.")
    if metric == "accuracy" and not tolerance:
        p_value, test = mcnemar(*flips(*paired), alternative="worse"), "McNemar's test"
    else:
        differences = bootstrap(*paired, names=[metric])[metric]
        if len(differences) < SAMPLES / 2:
            note = f"no paired test with {verdict.alias}: too few samples of the rows define it"
            return replace(verdict, passed=False, note=note)
        lower = BY_NAME[metric].lower_is_better
        p_value = 1 - share_worse(differences, tolerance, lower_is_better=lower)
        test = "bootstrap"
    is_worse = verdict.margin < 0 and p_value <= 1 - confidence
    change = tolerance - verdict.margin
    note = "not worse"
    if change > 0:
        link = "and" if is_worse else "but not"
        extent = f"by more than {tolerance:g} " if tolerance else ""
        level = f"{100 * confidence:g}% confidence"
        note = f"worse by {figure(change)}, {link} {extent}with {level}"
    return replace(
        verdict, passed=not is_worse, p_value=p_value, note=f"{note} ({test}, p = {p_value:.2g})"
    )


def _compare_with_baseline(name: str, value: float, *, baseline: Metrics | None) -> Verdict:
    verdict = Verdict(metric=name, bound="better_than", value=value, passed=False)
    if baseline is None:
        note = "not comparable with the baseline: the artifact has no baseline metrics"
        return replace(verdict, note=note)
    try:
        limit = _value(baseline, name, location=Location("the baseline"))
    except ConfigError:
        note = "not comparable with the baseline: the metric is not defined for it"
        return replace(verdict, note=note)
    margin = _sign(name) * (value - limit)
    return replace(verdict, limit=limit, passed=margin > 0, margin=margin)


def _sign(name: str) -> int:
    """Return 1 if a higher value of a gate's metric is better, and -1 if a lower one is."""
    return -1 if BY_NAME[name.partition(".")[2].partition("[")[0]].lower_is_better else 1


def baseline_of(gates: Mapping[str, Gate], artifact: Verified) -> Metrics | None:
    """Return the metrics of the baseline on an artifact's held-out rows, if a gate needs them.

    Raises:
        VerificationError: If the artifact's evaluation is invalid.
    """
    is_needed = any(gate.better_than is not None for gate in gates.values())
    return artifact.evaluation().baseline if is_needed else None
