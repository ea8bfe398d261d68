"""Runs as a table that fits the terminal, as CSV and as Markdown."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Callable, Sequence

import click
from msgspec import Struct

from artifact_pipeline.builder.artifact.card import plain
from artifact_pipeline.builder.escapes import write_out
from artifact_pipeline.builder.metric_table import figure, title
from artifact_pipeline.cli.layout import WIDTH, field, short, table, truncated, width_of
from artifact_pipeline.store.run_fields import (
    GROUPS,
    METRIC_GROUPS,
    PLAIN,
    is_lower_better,
    known_fields,
    param_title,
    value_of,
)
from artifact_pipeline.store.run_rows import RunRow, Scalar

_VARIABLE = ("name", "commit", "estimator", "data", "data_digest", "config")
"""Plain fields that are shown above the table if all runs have the same value."""
_MAX_CELL = 24
_DROPPED_FIRST = ("config", "data_digest", "commit", "search.", "split.", "data", "estimator",
                  "params.")  # fmt: skip
"""Fields that are left out in a narrow terminal, in this order."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""Characters that begin a formula in a spreadsheet."""


class TableColumn(Struct, frozen=True, kw_only=True):
    """A column of the table."""

    heading: str
    cell: Callable[[RunRow], str]
    is_number: bool = False
    field: str | None = None
    """The field that it shows, if it can be left out in a narrow terminal."""


def as_table(rows: Sequence[RunRow], *, extra: Sequence[str], columns: Sequence[str] | None) -> str:
    """Return runs as a table, below the fields that are the same in all of them.

    Args:
        rows: The runs, at least one.
        extra: Fields to show besides the usual ones.
        columns: The fields to show in place of the usual ones.
    """
    width = max(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns)
    if columns is not None:
        return _aligned(rows, [_plain_column(name, rows) for name in columns])
    same, differing = _same(rows)
    shown = _usual(rows, differing, extra=extra)
    left_out: list[str] = []
    while _width(rows, shown) > width and (dropped := _droppable(shown)) is not None:
        left_out.append(str(dropped.field))
        shown = [column for column in shown if column is not dropped]
    lines = []
    if same:
        lines = [field("same", _said_once(same)), ""]
    lines.append(_aligned(rows, shown))
    if left_out:
        lines += ["", field("left out", ", ".join(reversed(left_out)) + "; see --columns")]
    return "\n".join(lines)


def as_markdown(
    rows: Sequence[RunRow], *, extra: Sequence[str], columns: Sequence[str] | None
) -> str:
    """Return runs as a Markdown table. The arguments are those of `as_table`."""
    same, differing = _same(rows)
    if columns is not None:
        same, shown = {}, [_plain_column(name, rows) for name in columns]
    else:
        shown = _usual(rows, differing, extra=extra)
    head = [plain(column.heading) for column in shown]
    rules = ["---:" if column.is_number else "---" for column in shown]
    body = [[plain(click.unstyle(column.cell(row))) for column in shown] for row in rows]
    lines = [f"| {' | '.join(cells)} |" for cells in (head, rules, *body)]
    return "\n".join([*([f"Same in all runs: {plain(_said_once(same))}.", ""] if same else []),
                      *lines])  # fmt: skip


def as_csv(rows: Sequence[RunRow], columns: Sequence[str] | None) -> str:
    """Return runs as CSV with all digits, by default with all fields.

    A text that a spreadsheet would read as a formula gets a leading apostrophe.
    """
    names = columns or known_fields(rows)
    buffer = io.StringIO()
    writer = csv.writer(buffer, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writerow([_harmless(name) for name in names])
    writer.writerows([_csv_cell(value_of(row, name)) for name in names] for row in rows)
    return buffer.getvalue().removesuffix("\n")


def _csv_cell(value: Scalar | None) -> str | int | float:
    if isinstance(value, bool):
        return str(value).lower()
    return _harmless(value or "") if value is None or isinstance(value, str) else value


def _harmless(text: str) -> str:
    text = write_out(text)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text


def _same(rows: Sequence[RunRow]) -> tuple[dict[str, Scalar], list[str]]:
    """Return the fields that are the same in all runs, and those that differ."""
    names = [*_VARIABLE, *(name for name in known_fields(rows)
                           if name.partition(".")[0] in ("params", "search", "split"))]  # fmt: skip
    same: dict[str, Scalar] = {}
    differing = []
    for name in names:
        values = {_key(value_of(row, name)) for row in rows}
        value = value_of(rows[0], name)
        if len(values) > 1:
            differing.append(name)
        elif value is not None:
            same[name] = value
    return same, [name for name in differing if name != "name"]


def _key(value: Scalar | None) -> tuple[type, Scalar | None]:
    return type(value), value


def _said_once(same: dict[str, Scalar]) -> str:
    names = {name: name.removeprefix("params.") for name in same}
    return ", ".join(f"{names[name]} {_text(value, name)}" for name, value in same.items())


def _usual(
    rows: Sequence[RunRow], differing: Sequence[str], *, extra: Sequence[str]
) -> list[TableColumn]:
    metrics = {row.metric for row in rows if row.metric is not None}
    headline = title(metrics.pop()) if len(metrics) == 1 else "headline"
    shown = [
        TableColumn(heading="when (UTC)", cell=_when(rows)),
        TableColumn(heading="took", cell=_took, is_number=True, field="seconds"),
        TableColumn(heading="version", cell=_version),
        *(_plain_column(name, rows, names=differing) for name in differing if name != "commit"),
        *(_plain_column(name, rows) for name in extra
          if name in PLAIN or name.partition(".")[0] in METRIC_GROUPS),
        TableColumn(heading=headline, cell=lambda row: _headline(row, named=bool(metrics)),
               is_number=True),
        TableColumn(heading="change", cell=_change, is_number=True),
        TableColumn(heading="gates", cell=_verdict),
        *([TableColumn(heading="commit", cell=_commit, field="commit")] if "commit" in differing
          else []),
    ]  # fmt: skip
    return [column for column in shown if column.heading not in ("change", "gates")
            or any(column.cell(row) for row in rows)]  # fmt: skip


def _plain_column(name: str, rows: Sequence[RunRow], *, names: Sequence[str] = ()) -> TableColumn:
    values = [value_of(row, name) for row in rows]
    is_number = all(
        value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))
        for value in values
    )
    group, _, rest = name.partition(".")
    heading = title(rest) if group == "test" else param_title(name, names)
    return TableColumn(
        heading=truncated(write_out(heading), _MAX_CELL),
        cell=lambda row: _text(value_of(row, name), name),
        is_number=is_number,
        field=name,
    )


def _text(value: Scalar | None, name: str) -> str:
    """Return a value as the table shows it."""
    if value is None:
        return ""
    if isinstance(value, float) and (name.partition(".")[0] in METRIC_GROUPS or name in
                                     ("value", "change")):  # fmt: skip
        return figure(value)
    if name == "started":
        return str(value)[:19].replace("T", " ")
    if isinstance(value, str):
        text = value[:7] if name == "commit" else short(value)
        return truncated(write_out(text), _MAX_CELL)
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if len(str(value)) <= 8 else f"{value:.6g}"


def _when(rows: Sequence[RunRow]) -> Callable[[RunRow], str]:
    years = {row.started[:4] for row in rows if row.started}
    start = 5 if len(years) == 1 else 0
    return lambda row: row.started[start:16].replace("T", " ")


def _took(row: RunRow) -> str:
    if row.cached:
        return "cached"
    if row.seconds >= 5400:
        return f"{row.seconds / 3600:.1f} h"
    return f"{row.seconds / 60:.0f} min" if row.seconds >= 90 else f"{row.seconds:.1f} s"


def _version(row: RunRow) -> str:
    name = truncated(row.name or "–", _MAX_CELL)
    reference = f"{name}:{row.version}" if row.version else name
    return click.style(reference, bold=True) if row.is_champion else reference


def _headline(row: RunRow, *, named: bool) -> str:
    if row.value is None:
        return ""
    return f"{title(row.metric or '')} {figure(row.value)}" if named else figure(row.value)


def _change(row: RunRow) -> str:
    if row.is_champion:
        return "champion"
    if row.change is None:
        return ""
    is_better = row.change < 0 if is_lower_better(f"test.{row.metric}") else row.change > 0
    colour = None if row.change == 0 else "green" if is_better else "red"
    return click.style(("+" if row.change >= 0 else "") + figure(row.change), fg=colour)


def _verdict(row: RunRow) -> str:
    if row.outcome in ("failed", "unreadable"):
        return click.style(row.outcome, fg="red")
    colour = {"passed": "green", "missed": "red"}.get(row.gates or "")
    return click.style(row.gates or "", fg=colour) if row.gates else ""


def _commit(row: RunRow) -> str:
    """Return the commit; a star marks uncommitted changes."""
    return write_out((row.commit or "")[:7]) + ("*" if row.dirty else "")


def _droppable(columns: Sequence[TableColumn]) -> TableColumn | None:
    """Return the column to leave out next."""
    for start in (*_DROPPED_FIRST, *GROUPS, ""):
        for column in reversed(columns):
            if column.field is not None and column.field.startswith(start):
                return column
    return None


def _width(rows: Sequence[RunRow], columns: Sequence[TableColumn]) -> int:
    return max(map(width_of, _aligned(rows, columns).splitlines()))


def _aligned(rows: Sequence[RunRow], columns: Sequence[TableColumn]) -> str:
    cells = [
        [click.style(column.heading, dim=True), *(column.cell(row) for row in rows)]
        for column in columns
    ]
    padded = []
    for column, texts in zip(columns, cells, strict=True):
        widest = max(map(width_of, texts))
        padded.append(
            [" " * (widest - width_of(text)) + text for text in texts]
            if column.is_number
            else texts
        )
    return table(list(zip(*padded, strict=True)))
