"""The fourth section of a report: what the model was trained on."""

from __future__ import annotations

import math

from artifact_pipeline.builder.artifact.diagnostics import ColumnProfile
from artifact_pipeline.builder.config.messages import show
from artifact_pipeline.report import blocks, figures
from artifact_pipeline.report.blocks import Drawing, Section, escape
from artifact_pipeline.report.figures import Axis
from artifact_pipeline.report.numbers import date, rounded, share
from artifact_pipeline.report.report_data import ReportData

_SHIFT = 0.1
"""Difference between training and held-out rows from which a column is marked."""


def training_data(data: ReportData) -> Section:
    """Return the section on what the model was trained on."""
    panels = [_leaks(data), _rows(data), _target(data), _columns(data)]
    return Section("data", "What was it trained on?", blocks.grid(*filter(None, panels)))


def _rows(data: ReportData) -> str:
    manifest = data.manifest
    recipe, rows = manifest.recipe, manifest.split.rows
    schema = recipe.data.schema
    fields = {
        "data": recipe.data.title,
        "target": data.target,
        "training rows": f"{rows.train:,}" if rows.train else "not known: fitted elsewhere",
        "held-out rows": f"{rows.test:,}",
        "features": f"{len(manifest.interface.features):,}",
        "split": recipe.split.settings(),
    }
    if recipe.data.dropped:
        fields["left out"] = f"{recipe.data.dropped:,} rows without a target"
    others = [c.name for c in schema.columns or () if c.role in ("id", "split", "unused")]
    if others:
        fields["not features"] = ", ".join(others)
    return blocks.panel("Rows", blocks.listing(fields))


def _leaks(data: ReportData) -> str:
    """Return the warnings about no single column; the others are beside their column."""
    leaks = data.evaluation.leaks or []
    if not leaks:
        return ""
    items = "".join(f"<li>{escape(leak)}</li>" for leak in leaks)
    return (
        f'<div class="panel wide warning"><h3>Likely leaks</h3>'
        f'<p class="soft">Only the owner of the data can decide.</p><ul>{items}</ul></div>'
    )


def _target(data: ReportData) -> str:
    diagnostics = data.diagnostics
    if not data.manifest.interface.labels:
        profile = None if diagnostics is None else diagnostics.target
        if profile is None or profile.train is None or profile.test is None:
            return ""
        return _distribution(data, profile)
    train = None if diagnostics is None else diagnostics.class_rows
    test = [scores.support for scores in data.evaluation.per_class]
    train = train or [0] * len(test)
    all_train, all_test = sum(train), sum(test)
    shares = [(a or b) / ((all_train or all_test) or 1) for a, b in zip(train, test, strict=True)]
    largest = max(shares, default=0.0) or 1.0
    rows: list[list[str | Drawing]] = [
        [
            name,
            Drawing(figures.bar(0.0, part / largest)),
            f"{a:,}" if all_train else "",
            share(a, all_train),
            f"{b:,}",
            share(b, all_test),
        ]
        for name, part, a, b in zip(data.names(), shares, train, test, strict=True)
    ]
    head = ["Class", "Balance", "Training", "Share", "Held-out", "Share"]
    table = blocks.table("Rows of each class", head, rows=rows)
    is_long = max(map(len, data.names()), default=0) > 12
    return blocks.panel(f"Classes of {data.target}", table, width="double" if is_long else "single")


def _distribution(data: ReportData, profile: ColumnProfile) -> str:
    assert profile.train is not None and profile.test is not None
    assert profile.low is not None and profile.high is not None
    train, test = sum(profile.train), sum(profile.test)
    width = (profile.high - profile.low) / len(profile.train)
    limits = {"low": profile.low, "high": profile.high}
    rows = [
        [
            f"{rounded(profile.low + k * width, **limits)} to "
            f"{rounded(profile.low + (k + 1) * width, **limits)}",
            f"{a:,}",
            f"{b:,}",
        ]
        for k, (a, b) in enumerate(zip(profile.train, profile.test, strict=True))
    ]
    low, high = profile.low, profile.high
    if low == high:
        low, high = low - 0.5, high + 0.5
    return blocks.figure_panel(
        f"Distribution of {data.target}",
        figures.bars(
            Axis(data.target, low, high),
            "Share of the rows",
            filled=[count / (train or 1) for count in profile.train],
            outlined=[count / (test or 1) for count in profile.test],
            label=f"Histograms of {data.target} in training and held-out rows; numbers below",
        ),
        note="What the model learned to predict, and what it was measured on.",
        legend=blocks.legend(("fill", "training rows"), ("s1", "held-out rows")),
        numbers=blocks.table("Rows by target", ["Range", "Training", "Held-out"], rows=rows),
    )


def _columns(data: ReportData) -> str:
    profiles = None if data.diagnostics is None else data.diagnostics.columns
    if not profiles:
        return ""
    leaks = data.evaluation.leaks or []
    rows: list[list[str | Drawing]] = []
    for profile in profiles:
        marks = [
            "likely leak" for leak in leaks if leak.startswith(f"the feature {show(profile.name)} ")
        ]
        if _shift(profile) > _SHIFT:
            marks.append(f"shift {_shift(profile):.0%}")
        badges = "".join(f' <span class="badge">{escape(mark)}</span>' for mark in marks)
        rows.append(
            [
                Drawing(f"{escape(profile.name)}{badges}"),
                profile.kind,
                _missing(profile),
                f"{profile.distinct:,}",
                _values(profile),
                _drawing(profile),
            ]
        )
    first = profiles[0]
    sampled = data.manifest.split.rows
    seen = ""
    if max(first.train_rows, first.test_rows) < max(sampled.train, sampled.test):
        seen = (
            f" Counts are of a sample: {first.train_rows:,} training and {first.test_rows:,} "
            "held-out rows."
        )
    note = (
        "Training rows are filled, held-out rows outlined. A shift is marked if over "
        f"{_SHIFT:.0%} of the held-out rows, beyond chance, are in other bins than the training "
        f"rows. Ranges end on round numbers, and texts of few rows are not shown.{seen}"
    )
    head = ["Column", "Kind", "Missing", "Distinct", "Range or most frequent", "Rows by value"]
    table = blocks.table("The features", head, rows=rows, kind="texts columns")
    return blocks.panel(f"Columns: {len(profiles)}", table, note=note, width="wide")


def _missing(profile: ColumnProfile) -> str:
    if not profile.train_missing and not profile.test_missing:
        return "none"
    train = share(profile.train_missing, profile.train_rows)
    test = share(profile.test_missing, profile.test_rows)
    return f"{train}, held-out {test}" if train else test


def _values(profile: ColumnProfile) -> str:
    if profile.top is not None:
        whole = profile.train_rows or profile.test_rows
        texts = [
            f"{value.value} {share(value.train if profile.train_rows else value.test, whole)}"
            for value in profile.top[:4]
        ]
        more = profile.distinct - len(texts)
        return ", ".join(texts) + (f" and {more:,} more" if more > 0 and texts else "")
    if profile.low is None or profile.high is None or profile.median is None:
        return ""
    if profile.kind == "date":
        low, median, high = map(date, (profile.low, profile.median, profile.high))
        return f"{low} to {high}, median {median}"
    ends = profile.low, profile.high
    if profile.low % 1 == 0.5 and len(profile.train or []) == profile.high - profile.low:
        ends = profile.low + 0.5, profile.high - 0.5  # a bin for each whole number
        return f"{ends[0]:,.0f} to {ends[1]:,.0f}, median {profile.median:,.10g}"
    limits = {"low": profile.low, "high": profile.high}
    low, median, high = (rounded(value, **limits) for value in (ends[0], profile.median, ends[1]))
    if profile.low == profile.high:
        return f"always {low}"
    return f"{low} to {high}, median {median}"


def _drawing(profile: ColumnProfile) -> str | Drawing:
    if profile.top is not None:
        if not profile.top:
            return ""
        train, test = [v.train for v in profile.top], [v.test for v in profile.top]
        what = ", ".join(f"{v.value} {v.train:,}" for v in profile.top)
    elif profile.train is not None and profile.test is not None:
        train, test = profile.train, profile.test
        what = ", ".join(f"{count:,}" for count in (train if any(train) else test))
    else:
        return ""
    label = f"Rows of {profile.name} by value: {what}"
    scales = profile.train_rows or 1, profile.test_rows or 1
    return Drawing(
        figures.spark(
            [count / scales[0] for count in train],
            [count / scales[1] for count in test],
            label=label,
        )
    )


def _shift(profile: ColumnProfile) -> float:
    """Return the share of held-out rows in other bins than training rows, minus that by chance.

    The share is the total variation distance. By chance it is about sqrt(bins / rows) / 2.5,
    the mean of a sum of half-normal deviations.
    """
    if profile.top is not None:
        train, test = [v.train for v in profile.top], [v.test for v in profile.top]
    else:
        train, test = profile.train or [], profile.test or []
    a, b = sum(train), sum(test)
    if not a or not b or profile.train_rows == 0:
        return 0.0
    distance = sum(abs(x / a - y / b) for x, y in zip(train, test, strict=True)) / 2
    chance = math.sqrt(len(train) / min(a, b)) / 2.5
    return max(0.0, distance - 1.5 * chance)
