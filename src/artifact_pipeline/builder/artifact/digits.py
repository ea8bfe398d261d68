"""Metrics with the digits that their intervals justify, and the headline in a sentence.

>>> justified(33400.5495, ConfidenceInterval(31200.0, 35700.0))
'33,401'
>>> justified(0.958333, ConfidenceInterval(0.936, 0.978))
'0.958'
"""

from __future__ import annotations

import math

from artifact_pipeline.builder.artifact.diagnostics import ConfidenceInterval
from artifact_pipeline.builder.artifact.evaluation import EvaluationReport
from artifact_pipeline.builder.artifact.manifest import Metrics
from artifact_pipeline.builder.metric_table import figure, title

_DIGITS = 2
"""The shown digits of the half width of an interval."""


def headline_sentence(metrics: Metrics, evaluation: EvaluationReport) -> str | None:
    """Return the headline with its interval and the baseline; None for earlier releases."""
    diagnostics = evaluation.diagnostics
    if diagnostics is None or diagnostics.headline not in metrics.test:
        return None
    name = diagnostics.headline
    interval = diagnostics.intervals.get(name)
    parts = []
    if interval is not None:
        parts.append(f"{diagnostics.resampling.level:.0%} interval {between(interval)}")
    if evaluation.baseline is not None and name in evaluation.baseline.test:
        parts.append(f"baseline {justified(evaluation.baseline.test[name], interval)}")
    more = f" ({'; '.join(parts)})" if parts else ""
    return f"Held-out {title(name)} {justified(metrics.test[name], interval)}{more}"


def justified(value: float, interval: ConfidenceInterval | None) -> str:
    """Return a number without the digits that its interval makes uncertain."""
    decimals = decimals_of(interval)
    return figure(value) if decimals is None else f"{value:,.{decimals}f}"


def between(interval: ConfidenceInterval | None) -> str:
    """Return the ends of an interval, or nothing."""
    decimals = decimals_of(interval)
    if interval is None:
        return ""
    if decimals is None:
        return f"{figure(interval.low)} to {figure(interval.high)}"
    return f"{interval.low:,.{decimals}f} to {interval.high:,.{decimals}f}"


def decimals_of(interval: ConfidenceInterval | None) -> int | None:
    """Return how many decimals an interval justifies; None if it justifies none in plain digits."""
    if interval is None:
        return None
    half = (interval.high - interval.low) / 2
    largest = max(abs(interval.low), abs(interval.high))
    if not 0 < half < math.inf or half < 1e-8 or largest >= 1e12:
        return None
    return max(0, _DIGITS - 1 - math.floor(math.log10(half)))
