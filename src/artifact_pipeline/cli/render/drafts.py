"""Drafted configs as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from artifact_pipeline.builder.escapes import write_out
from artifact_pipeline.cli.layout import paragraph

if TYPE_CHECKING:
    from artifact_pipeline.pipeline.draft_config import Draft

_MAX_LINE = 80
_MAX_NAME = 20


def drafted(draft: Draft) -> str:
    """Return the columns of the table of a draft, and the choices."""
    header = ("column", "kind", "missing", "distinct", "range or examples", "becomes")
    rows = [header]
    for column in draft.columns:
        kind, missing, distinct = column.kind or "", f"{column.missing:,}", f"{column.distinct:,}"
        rows.append((column.name, kind, missing, distinct, column.values, column.use))
    lines = [f"{draft.rows:,} rows, {len(draft.columns)} columns", "", *_table(rows), ""]
    lines += [
        paragraph(write_out(choice), indent="  · ", hanging="    ") for choice in draft.choices
    ]
    return "\n".join(lines)


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return the columns of a table as lines of up to 80 characters."""
    cells = [tuple(write_out(cell) for cell in row) for row in rows]
    widths = [max(len(row[index]) for row in cells) for index in range(6)]
    widths[0] = min(widths[0], _MAX_NAME)
    widths[4] = min(widths[4], _MAX_LINE - 2 - 2 * 5 - sum(widths[:4]) - widths[5])
    lines = []
    for row in cells:
        name, kind, missing, distinct, values, use = (
            cell if len(cell) <= width else f"{cell[: width - 1]}…"
            for cell, width in zip(row, widths, strict=True)
        )
        line = (
            f"  {name:<{widths[0]}}  {kind:<{widths[1]}}  {missing:>{widths[2]}}  "
            f"{distinct:>{widths[3]}}  {values:<{widths[4]}}  {use}"
        )
        lines.append(line.rstrip())
    return lines


def ambiguous(draft: Draft) -> str:
    """Return which dates of a draft may have the day or the month first, with an example."""
    examples = {column.name: column.values.partition(",")[0] for column in draft.columns}
    names = draft.ambiguous_dates
    listed = ", ".join(f"{write_out(name)} ({write_out(examples[name])})" for name in names)
    return f"Dates with the day or the month first: {listed}."


def wrote(path: str) -> str:
    """Return that a config was written, and the command that runs it."""
    path = write_out(path)
    return f"wrote {path}; next: artifact-pipeline run {path}"
