"""The first section of a report: the headline, what it is compared with, and the gates."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from artifact_pipeline.builder.artifact.diagnostics import ConfidenceInterval
from artifact_pipeline.builder.artifact.digits import between, justified
from artifact_pipeline.builder.metric_table import BY_NAME, figure, heading
from artifact_pipeline.report import blocks, figures
from artifact_pipeline.report.blocks import Drawing, Section, escape
from artifact_pipeline.report.report_data import ReportData, worded

_UNIT_METRICS = ("mae", "rmse")
"""Metrics in the unit of the target."""


_OUTCOMES = ("missed", "passed", "not judged")


class _ComparedModel(NamedTuple):
    name: str
    value: float
    interval: ConfidenceInterval | None
    style: str


def quality(data: ReportData) -> Section:
    """Return the section on whether the model is good enough."""
    content = blocks.grid(_headline(data), _gates(data), _metrics(data))
    return Section("quality", "Is it good enough?", content)


def _headline(data: ReportData) -> str:
    metric, interval = data.headline, data.interval(data.headline)
    test = data.manifest.metrics.test
    unit = data.unit if metric in _UNIT_METRICS else ""
    value = f"{justified(test[metric], interval)}{unit}"
    rows = data.manifest.split.rows.test
    certain = ""
    if interval is not None and data.diagnostics is not None:
        resampling = data.diagnostics.resampling
        certain = (
            f'<p class="range">{between(interval)} '
            f'<span class="soft">with {resampling.level:.0%} confidence</span></p>'
        )
    reason = (
        "" if data.diagnostics is None else f'<p class="soft">{escape(data.diagnostics.reason)}</p>'
    )
    return (
        '<div class="panel headline"><div>'
        f'<p class="metric">Held-out {escape(BY_NAME[metric].title)}</p>'
        f'<p class="figure">{escape(value)}</p>{certain}'
        f'<p class="soft">on {rows:,} rows that the model was not fitted to</p>{reason}'
        f"</div><div>{_compared_models(data, metric)}{_without_gates(data)}</div></div>"
    )


def _without_gates(data: ReportData) -> str:
    """Return why no gates are shown, or nothing if some are."""
    if data.run is None:
        text = "Gates are not shown, because there is no run record beside this artifact."
    elif not data.run.gates:
        text = "The config has no gates: nothing decides whether this is good enough."
    else:
        return ""
    return f'<p class="soft">{text}</p>'


def _compared_models(data: ReportData, metric: str) -> str:
    """Return the headline beside the baseline and the champion, on one scale."""
    models = [
        _ComparedModel(
            name="this model",
            value=data.manifest.metrics.test[metric],
            interval=data.interval(metric),
            style="fill",
        )
    ]
    champion = None if data.run is None else data.run.champion
    note = ""
    if champion is not None:
        version = "" if champion.version is None else f", version {champion.version}"
        if champion.is_this:
            note = f"This artifact is the champion{version}."
        elif champion.metrics is not None and metric in champion.metrics.test:
            models.append(
                _ComparedModel(
                    name=f"champion{version}",
                    value=champion.metrics.test[metric],
                    interval=None,
                    style="other",
                )
            )
        else:
            note = "The champion was measured on other held-out rows."
    baseline = data.evaluation.baseline
    if baseline is not None and metric in baseline.test:
        models.append(
            _ComparedModel(
                name="baseline", value=baseline.test[metric], interval=None, style="other"
            )
        )
    low, high = _scale(models)
    own = data.interval(metric)
    rows: list[list[str | Drawing]] = [
        [
            model.name,
            _mark(model, low=low, high=high),
            justified(model.value, model.interval or own),
        ]
        for model in models
    ]
    words = "The baseline ignores the features." if len(models) > 1 and baseline else ""
    text = " ".join(part for part in (words, note) if part)
    about = f'<p class="soft">{escape(text)}</p>' if text else ""
    head = ["Model", f"{low:g} to {high:g}", heading(metric)]
    return blocks.table(worded(metric), head, rows=rows, kind="rivals") + about


def _scale(models: list[_ComparedModel]) -> tuple[float, float]:
    values = [model.value for model in models]
    for model in models:
        if model.interval is not None:
            values += [model.interval.low, model.interval.high]
    low, high = min(values), max(values)
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    from artifact_pipeline.builder.evaluation.residuals import round_range

    return (
        round_range(min(low, 0.0), max(high, 0.0)) if low < high else (min(low, 0.0), high or 1.0)
    )


def _mark(model: _ComparedModel, *, low: float, high: float) -> Drawing:
    def at(value: float) -> float:
        return (value - low) / ((high - low) or 1.0)

    zero = at(0.0)
    value = at(model.value)
    if model.interval is not None:
        ends = at(model.interval.low), at(model.interval.high)
        return Drawing(figures.bar(*ends, mark=value, style=model.style))
    return Drawing(figures.bar(min(zero, value), max(zero, value), mark=value, style=model.style))


def _gates(data: ReportData) -> str:
    gates = [] if data.run is None else data.run.gates
    if not gates:
        return ""
    outcomes = Counter(gate.outcome for gate in gates)
    kind = "bad" if outcomes["missed"] else "soft" if outcomes["not judged"] else "good"
    count = "1 gate" if len(gates) == 1 else f"{len(gates)} gates"
    parts = [f"{outcomes[name]} {name}" for name in _OUTCOMES if outcomes[name]]
    text = f"{count} {parts[0].partition(' ')[2]}" if len(parts) == 1 else ", ".join(parts)
    verdict = f'<p class="verdict {kind}">{text}</p>'
    signs = {"passed": "✓ passed", "missed": "✗ missed", "not judged": "– not judged"}
    kinds = {"passed": "good", "missed": "bad", "not judged": "soft"}
    rows: list[list[str | Drawing]] = [
        [
            Drawing(
                f"{escape(gate.heading)} {escape(gate.rule)}"
                f'<br><small class="soft">{escape(gate.detail)}</small>'
            ),
            figure(gate.value),
            Drawing(f'<span class="{kinds[gate.outcome]}">{signs[gate.outcome]}</span>'),
        ]
        for gate in gates
    ]
    head = ["Gate", "Measured", "Verdict"]
    table = blocks.table("What this model must reach", head, rows=rows, kind="gates")
    return f'<div class="panel"><h3>Gates</h3>{verdict}{table}</div>'


def _metrics(data: ReportData) -> str:
    metrics, baseline = data.manifest.metrics, data.evaluation.baseline
    train, test, cv = metrics.train or {}, metrics.test, metrics.cv or {}
    has_intervals = data.diagnostics is not None and bool(data.diagnostics.intervals)
    head = ["Metric", "Held-out"]
    head += ["95% interval"] if has_intervals else []
    head += ["Baseline"] if baseline is not None else []
    head += ["Training"] if train else []
    if cv:
        head.append(f"Over {max(len(spread.folds) for spread in cv.values())} folds")
    rows = []
    for name in dict.fromkeys([*BY_NAME, *test, *train]):
        if name not in train and name not in test:
            continue
        interval = data.interval(name)

        def shown(value: float | None, interval: ConfidenceInterval | None = interval) -> str:
            return "" if value is None else justified(value, interval)

        row = [worded(name) + (data.unit and f",{data.unit}" if name in _UNIT_METRICS else "")]
        row.append(shown(test.get(name)))
        row += [between(interval)] if has_intervals else []
        row += [shown(baseline.test.get(name))] if baseline is not None else []
        row += [shown(train.get(name))] if train else []
        if cv:
            spread = cv.get(name)
            row.append("" if spread is None else f"{shown(spread.mean)} ± {shown(spread.std)}")
        rows.append(row)
    note = ""
    if has_intervals and data.diagnostics is not None:
        resampling = data.diagnostics.resampling
        note = (
            f"Intervals are from {resampling.samples:,} bootstrap samples of the held-out rows, "
            "and numbers have the digits that they justify. Lower is better for metrics marked ↓."
        )
    if metrics.train_rows is not None:
        total = data.manifest.split.rows.train
        note += (
            f" Metrics of training rows are of a random sample of {metrics.train_rows:,} of "
            f"{total:,} rows."
        )
    table = blocks.table("All metrics", head, rows=rows, kind="metrics")
    return blocks.panel("Metrics", table, note=note, width="double")
