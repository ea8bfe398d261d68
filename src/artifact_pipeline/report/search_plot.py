"""The candidates of a search: plots of their scores, and a table."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from artifact_pipeline.builder.artifact.diagnostics import ConfidenceInterval
from artifact_pipeline.builder.artifact.digits import decimals_of
from artifact_pipeline.builder.artifact.evaluation import SearchCandidate, Searched
from artifact_pipeline.builder.metric_table import figure
from artifact_pipeline.report import blocks, figures
from artifact_pipeline.report.blocks import Drawing
from artifact_pipeline.report.figures import Axis, Dot

CANDIDATES = 20
"""The number of a search's candidates that the table shows."""
_PLOTS = 3
"""The number of parameters that have a plot."""
_RATIO = 20.0
"""Ratio of a parameter's largest to its smallest value from which its axis is logarithmic."""
_TITLE = 40
"""The characters of a parameter's name that fit below an axis."""
_NAMED_TICKS = 6


def search_plot(search: Searched) -> str:
    """Return a panel with the scores of the candidates against each varied number, or by rank."""
    ranked = sorted(search.candidates, key=lambda candidate: candidate.rank)
    varied = _varied(ranked)
    numbers = [name for name in varied if _numbers(ranked, name) is not None][:_PLOTS]
    low = min(candidate.mean - candidate.std for candidate in ranked)
    high = max(candidate.mean + candidate.std for candidate in ranked)
    margin = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    y = Axis(search.scoring, low - margin, high + margin)
    plots = [_against(name, ranked, y=y, is_only=varied == [name]) for name in numbers]
    plots = plots or [_by_rank(ranked, y)]
    more = f" The table has the best {CANDIDATES}." if len(ranked) > CANDIDATES else ""
    note = (
        f"{len(ranked):,} candidates were tried; the best one, which is marked, was refitted and "
        "sealed. Points are mean scores over folds of the training rows; bars are one standard "
        f"deviation over the folds on each side.{more}"
    )
    table = _table(ranked[:CANDIDATES], varied=varied, scoring=search.scoring)
    content = f'<div class="plots">{"".join(plots)}<div class="beside">{table}</div></div>'
    return blocks.panel("Search", content, note=note, width="wide")


def _varied(candidates: Sequence[SearchCandidate]) -> list[str]:
    """Return the parameters that have several values, or all if none has."""
    names = list(dict.fromkeys(name for candidate in candidates for name in candidate.params))
    varied = [
        name
        for name in names
        if len({json.dumps(candidate.params.get(name)) for candidate in candidates}) > 1
    ]
    return varied or names


def _numbers(candidates: Sequence[SearchCandidate], name: str) -> list[float] | None:
    """Return the value of a parameter in each candidate; None unless it is a number in all."""
    values = [candidate.params.get(name) for candidate in candidates]
    numbers = [
        float(value)
        for value in values
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    is_varied = len(set(numbers)) > 1 and all(map(math.isfinite, numbers))
    return numbers if is_varied and len(numbers) == len(values) else None


def _against(name: str, ranked: Sequence[SearchCandidate], *, y: Axis, is_only: bool) -> str:
    values = _numbers(ranked, name) or []
    is_log = min(values) > 0 and max(values) / min(values) >= _RATIO
    places = [math.log10(value) for value in values] if is_log else values
    low, high = min(places), max(places)
    margin = (high - low) * 0.06
    distinct = dict(sorted(zip(places, values, strict=True)))
    marks: tuple[tuple[float, str], ...] = ()
    if len(distinct) <= _NAMED_TICKS:
        marks = tuple((place, f"{value:.6g}") for place, value in distinct.items())
    elif is_log:
        decades = range(math.ceil(low), math.floor(high) + 1)
        step = max(1, len(decades) // _NAMED_TICKS)
        marks = tuple((float(k), f"{10.0**k:g}") for k in decades[::step])
        marks = marks if len(marks) > 1 else ((low, f"{10**low:.2g}"), (high, f"{10**high:.2g}"))
    short = name if len(name) <= _TITLE else f"…{name[-_TITLE:]}"
    x = Axis(f"{short}{' (log scale)' if is_log else ''}", low - margin, high + margin)
    what = "" if is_only else "; the other parameters vary too"
    best = ranked[0]
    return figures.chart(
        x,
        y,
        dots=_dots(places, ranked),
        marks=marks,
        label=f"{y.title} of {len(ranked):,} candidates by {name}, best {figure(best.mean)} at "
        f"{json.dumps(best.params.get(name))}{what}; numbers below",
    )


def _by_rank(ranked: Sequence[SearchCandidate], y: Axis) -> str:
    places = [float(k) for k in range(1, len(ranked) + 1)]
    return figures.chart(
        Axis("Candidate, best first", 0.5, len(ranked) + 0.5),
        y,
        dots=_dots(places, ranked),
        label=f"{y.title} of {len(ranked):,} candidates, best first; numbers below",
    )


def _dots(places: Sequence[float], ranked: Sequence[SearchCandidate]) -> list[Dot]:
    """Return the points of the candidates, that of the best one on top."""
    dots = [
        Dot(
            x=place,
            y=candidate.mean,
            radius=4.5 if k else 6.0,
            style="dot" if k else "chosen",
            bar=(candidate.mean - candidate.std, candidate.mean + candidate.std),
        )
        for k, (place, candidate) in enumerate(zip(places, ranked, strict=True))
    ]
    return dots[::-1]


def _table(shown: Sequence[SearchCandidate], *, varied: list[str], scoring: str) -> str:
    low = min(candidate.mean - candidate.std for candidate in shown)
    high = max(candidate.mean + candidate.std for candidate in shown)
    span = (high - low) or 1.0
    rows: list[list[str | Drawing]] = [
        [
            str(candidate.rank),
            *(_written(candidate.params[name]) if name in candidate.params else ""
              for name in varied),
            Drawing(
                figures.bar(
                    (candidate.mean - candidate.std - low) / span,
                    (candidate.mean + candidate.std - low) / span,
                    mark=(candidate.mean - low) / span,
                )
            ),
            _with_spread(candidate),
        ]
        for candidate in shown
    ]  # fmt: skip
    head = ["Rank", *varied, f"{low:.3g} to {high:.3g}", scoring]
    return blocks.table("Candidates, best first", head, rows=rows, kind="search")


def _written(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)


def _with_spread(candidate: SearchCandidate) -> str:
    mean, std = candidate.mean, candidate.std
    decimals = decimals_of(ConfidenceInterval(mean - std, mean + std))
    if decimals is None or decimals > 6:
        return f"{figure(mean)} ± {figure(std)}"
    return f"{mean:,.{decimals}f} ± {std:,.{decimals}f}"
