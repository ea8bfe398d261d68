"""The result of `compare` as text: one screen of 80 columns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import click

from artifact_pipeline.builder.escapes import write_out
from artifact_pipeline.builder.metric_table import BY_NAME, figure, title
from artifact_pipeline.cli.layout import WIDTH, field, paragraph, table, truncated, width_of
from artifact_pipeline.pipeline.compare import Comparison, MetricComparison, shown
from artifact_pipeline.pipeline.pair_comparison import PairComparison

FIELDS = 12
"""The number of differences of the recipes that are shown."""
ROWS = 5
"""The number of flipped rows that are shown."""
_NAME = 26
_SHORT_NAME = 20
_ESTIMATOR = re.compile(r"(sklearn|lightgbm|xgboost)(\.\w+)+")


def compared(result: Comparison) -> str:
    """Return the differences of artifacts: recipes, metrics, rows, size and speed, verdicts."""
    return "\n".join(
        [
            table(list(_heads(result))),
            "",
            *_recipe(result),
            "",
            _metrics(result),
            "",
            *_rows(result),
            field("size", _size(result)),
            field("speed", _speed(result)),
            "",
            *(click.style(paragraph(write_out(pair.verdict), indent=""), bold=True)
              for pair in result.pairs),
        ]
    )  # fmt: skip


def _heads(result: Comparison) -> Iterator[list[str]]:
    references = []
    for artifact in result.artifacts:
        reference = write_out(artifact.reference)
        digits = reference.removeprefix("sha256:")
        is_digest = artifact.digest.removeprefix("sha256:").startswith(digits)
        is_known = is_digest or reference == artifact.label
        references.append("" if is_known else truncated(reference[::-1], 24)[::-1])
    versions = [
        f"{truncated(write_out(artifact.name), 20)}:{artifact.version}" if artifact.version else ""
        for artifact in result.artifacts
    ]
    room = WIDTH - 2 - len("a  7edbcfd0c416  ") - 2 - max(map(width_of, references))
    room -= max(map(width_of, versions)) + 2
    for artifact, version, reference in zip(result.artifacts, versions, references, strict=True):
        title = artifact.title.removeprefix(f"{artifact.name}: ") if version else artifact.title
        title = truncated(write_out(title), room)
        yield [artifact.letter, artifact.digest[7:19], version, title, reference]


def _recipe(result: Comparison) -> list[str]:
    if not result.recipe:
        return ["  the recipes are the same"]
    letters = [artifact.letter for artifact in result.artifacts]
    rows = [["what differs", "", *letters]]
    for row in result.recipe[:FIELDS]:
        rows.append([row.part, row.field, *_values(row.values)])
    names = min(_NAME, max(width_of(row[1]) for row in rows))
    parts = max(width_of(row[0]) for row in rows)
    room = (WIDTH - 2 - parts - 2 - names) // len(letters) - 2
    cells = [
        [part, truncated(write_out(name), names), *(truncated(cell, room) for cell in values)]
        for part, name, *values in rows
    ]
    more = len(result.recipe) - FIELDS
    return [table(cells), *([f"  … and {more} more; --json shows all"] if more > 0 else [])]


def _values(values: Sequence[Any]) -> list[str]:
    """Return the values of a field; classes without modules if their names differ."""
    texts = [write_out(shown(value)) for value in values]
    if all(value is None or _ESTIMATOR.fullmatch(str(value)) for value in values):
        classes = [text.rpartition(".")[2] for text in texts]
        if len(set(classes)) == len(set(texts)):
            return classes
    return texts


def _metrics(result: Comparison) -> str:
    """Return the table of metrics, with intervals if there are some and they fit."""
    is_pair = len(result.artifacts) == 2
    has_intervals = is_pair and any(row.intervals[1] for row in result.metrics)
    text = ""
    for width, with_intervals in ((_NAME, True), (_SHORT_NAME, True), (_NAME, False)):
        if has_intervals or not with_intervals:
            text = _metric_table(result, width, is_pair=is_pair, has_intervals=with_intervals)
            if max(map(width_of, text.splitlines())) <= WIDTH:
                break
    return text


def _metric_table(result: Comparison, width: int, *, is_pair: bool, has_intervals: bool) -> str:
    letters = [artifact.letter for artifact in result.artifacts]
    rows_title = (
        f"{result.rows:,} held-out rows" if result.is_same_rows else "different held-out rows"
    )
    head = [rows_title, *letters]
    head += ["b − a"] if is_pair else []
    head += ["95% interval"] if has_intervals else []
    best = "better" if is_pair else "best"
    rows = [[*head, best if result.is_same_rows else ""]]
    named = [(title(row.metric), row) for row in result.metrics]
    for part in result.slices:
        for row in part.metrics:
            if BY_NAME[row.metric].headline:
                metric = f" ({part.rows:,}): {title(row.metric)}"
                name = truncated(write_out(part.name), max(2, width - len(metric)))
                named.append((name + metric, row))
    for name, row in named:
        cells = [name, *map(_figure, row.values)]
        cells += [_difference(row)] if is_pair else []
        if has_intervals:
            bounds = row.intervals[1]
            cells.append("" if bounds is None else " to ".join(map(_signed, bounds)))
        rows.append([*cells, click.style(row.best, fg="green", bold=True) if row.best else ""])
    return table(rows, numbers=len(rows[0]) - 1)


def _rows(result: Comparison) -> Iterator[str]:
    for pair in result.pairs:
        if pair.rows is None or pair.lost is None or pair.gained is None:
            continue
        same = pair.rows - pair.lost - pair.gained
        if pair.test == "mcnemar":
            text = (
                f"{pair.lost:,} right in a and wrong in {pair.letter}, {pair.gained:,} wrong in a "
                f"and right in {pair.letter}, {same:,} unchanged"
            )
        else:
            text = (
                f"a is closer on {pair.lost:,}, {pair.letter} on {pair.gained:,}, both the same on "
                f"{same:,}"
            )
        yield field("rows", text)
        if pair.flipped:
            yield from _flipped(pair)


def _flipped(pair: PairComparison) -> Iterator[str]:
    cells = [["", "row", "true", "a", pair.letter]]
    for flipped in pair.flipped[:ROWS]:
        values = (str(flipped.row), *map(str, (flipped.truth, *flipped.labels)))
        cells.append(["", *(truncated(write_out(value), 14) for value in values)])
    yield table(cells, numbers=4)
    if (more := (pair.lost or 0) + (pair.gained or 0) - ROWS) > 0:
        yield f"             … and {more:,} more"


def _size(result: Comparison) -> str:
    files = {artifact.model_file for artifact in result.artifacts}
    texts = [
        f"{artifact.model_bytes:,} bytes" + (f" ({artifact.model_file})" if len(files) > 1 else "")
        for artifact in result.artifacts
    ]
    return _listed(result, texts)


def _speed(result: Comparison) -> str:
    times = [artifact.microseconds_per_row for artifact in result.artifacts]
    if all(value is None for value in times):
        return "not measured, since no model was opened"
    texts = ["not measured" if value is None else _microseconds(value) for value in times]
    return f"{_listed(result, texts)} per row, measured just now"


def _microseconds(value: float) -> str:
    return f"{value:,.2f} µs" if value < 10 else f"{value:,.0f} µs"


def _listed(result: Comparison, texts: Sequence[str]) -> str:
    return ", ".join(
        f"{artifact.letter} {text}" for artifact, text in zip(result.artifacts, texts, strict=True)
    )


def _difference(row: MetricComparison) -> str:
    first, second = row.values
    return "" if first is None or second is None else _signed(second - first)


def _signed(value: float) -> str:
    return f"+{figure(value)}" if value >= 0 else f"−{figure(-value)}"


def _figure(value: float | None) -> str:
    return "" if value is None else figure(value)
