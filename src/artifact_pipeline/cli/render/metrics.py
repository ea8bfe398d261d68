"""Metrics and gates as lines of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from artifact_pipeline.builder.artifact.manifest import Metrics
from artifact_pipeline.builder.escapes import write_out
from artifact_pipeline.builder.metric_table import BY_NAME, METRICS, figure, title
from artifact_pipeline.cli.layout import paragraph, short, table, truncated

if TYPE_CHECKING:
    from artifact_pipeline.pipeline.gates import Verdict


def metric_lines(metrics: Metrics, *, baseline: Metrics | None = None) -> list[str]:
    """Return a table of metrics, with a column for each kind, and a line for each slice."""
    train, test, cv = metrics.train or {}, metrics.test, metrics.cv or {}
    dummy = {} if baseline is None else baseline.test
    folds = max(len(spread.folds) for spread in cv.values()) if cv else 0
    optional = [*([f"{folds} folds"] if cv else []), *(["baseline"] if dummy else [])]
    rows = [["", *(["training"] if train else []), "held-out", *optional]]
    for name in [*BY_NAME, *sorted((train.keys() | test.keys()) - BY_NAME.keys())]:
        values = (train.get(name), test.get(name))
        left, right = ("" if value is None else figure(value) for value in values)
        if left or right:
            spread = f"{figure(cv[name].mean)} ± {figure(cv[name].std)}" if name in cv else ""
            row = [truncated(write_out(title(name)), 24), *([left] if train else []),
                   click.style(right, bold=True)]  # fmt: skip
            below = figure(dummy[name]) if name in dummy else ""
            rows.append([*row, *([spread] if cv else []), *([below] if dummy else [])])
    lines = table(rows, numbers=len(rows[0]) - 1, gap=4).splitlines()
    for name, part in (metrics.slices or {}).items():
        scores = ", ".join(headlines(part.metrics))
        text = f"slice {write_out(name)}, {part.rows} held-out rows: {scores}"
        lines.append(paragraph(text, hanging="    "))
    return lines


def headlines(metrics: Mapping[str, float]) -> list[str]:
    """Return the metrics that fit into a line of a list, with their titles."""
    return [
        f"{metric.title} {figure(metrics[metric.name])}"
        for metric in METRICS
        if metric.headline and metric.name in metrics
    ]


def gate_lines(verdicts: list[Verdict]) -> list[str]:
    """Return a line for each gate, after an empty one."""
    lines = [""] if verdicts else []
    for verdict in verdicts:
        word, colour = ("passed", "green") if verdict.passed else ("MISSED", "red")
        if not verdict.judged:
            word, colour = "NOT JUDGED", "yellow"
        outcome = click.style(word, fg=colour, bold=word != "passed")
        note = short(verdict.note or "")
        sign = "+" if verdict.margin >= 0 else ""
        by = f": {note}" if note else f" by {sign}{figure(verdict.margin)}"
        rule = f"gate  {write_out(_rule(verdict))}  {figure(verdict.value)}  "
        lines.append(paragraph(rule + outcome + write_out(by), hanging=" " * 8))
    return lines


def _rule(verdict: Verdict) -> str:
    if verdict.comparison is not None:
        return f"{verdict.metric} {verdict.comparison}"
    sign = {"min": "≥", "max": "≤"}[verdict.bound]
    return f"{verdict.metric} {sign} {verdict.limit:,.10g}"
