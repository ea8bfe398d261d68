"""Text that fits 80 columns: fields, tables and short digests.

>>> print(field("digest", "sha256:7edbcfd0c416"))
  digest     sha256:7edbcfd0c416
>>> print(table([["a", "1"], ["long name", "22"]], numbers=1))
  a           1
  long name  22
>>> short("sha256:7edbcfd0c4166c17aef3d3ee83797b458ce963f5c150601c9e8fafbd1a662cdf")
'7edbcfd0c416'
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from textwrap import wrap

import click

from artifact_pipeline.builder.escapes import write_out

WIDTH = 80
_LABEL = 10
_DIGEST = re.compile(r"sha256:([0-9a-f]{12})[0-9a-f]{52}\b")


def short(text: str) -> str:
    """Return `text` with each digest in it shortened to the 12 digits that name an artifact."""
    return _DIGEST.sub(r"\1", text)


def field(name: str, value: str) -> str:
    """Return a labelled value; a word that is too long goes on a line of its own."""
    label, value = write_out(name), write_out(value)
    start = max(_LABEL, len(label)) + 3
    lines = _wrapped(value, WIDTH - start)
    if start > WIDTH // 2 or any(len(line) > WIDTH - start for line in lines):
        start = 4
        lines = ["", *_wrapped(value, WIDTH - start)]
    # A path or a digest stays in one piece.
    rest = [" " * min(start, max(0, WIDTH - width_of(line))) + line for line in lines[1:]]
    return "\n".join([f"  {label:<{start - 2}}{lines[0] if lines else ''}".rstrip(), *rest])


def paragraph(text: str, *, indent: str = "  ", hanging: str | None = None) -> str:
    """Return `text` wrapped, `indent` before the first line and `hanging` before the others."""
    return "\n".join(
        wrap(
            text,
            WIDTH,
            initial_indent=indent,
            subsequent_indent=indent if hanging is None else hanging,
            break_long_words=False,
            break_on_hyphens=False,
        )
    )


def table(rows: Sequence[Sequence[str]], *, numbers: int = 0, gap: int = 2) -> str:
    """Return rows as columns as wide as their cells.

    Args:
        rows: The cells, which can be coloured.
        numbers: How many of the last columns are aligned to the right.
        gap: The spaces between two columns.
    """
    columns = max(map(len, rows), default=0)
    widths = [
        max(width_of(row[index]) for row in rows if index < len(row)) for index in range(columns)
    ]
    lines = []
    for row in rows:
        cells = []
        for index, cell in enumerate(row):
            space = " " * (widths[index] - width_of(cell))
            cells.append(space + cell if index >= columns - numbers else cell + space)
        lines.append("  " + (" " * gap).join(cells).rstrip())
    return "\n".join(lines)


def truncated(text: str, width: int) -> str:
    """Return `text`, or as much of it as fits `width` columns and an ellipsis."""
    if width_of(text) <= width:
        return text
    while width_of(text) > width - 1:
        text = text[:-1]
    return text + "…"


def width_of(text: str) -> int:
    """Return how many columns of a terminal `text` takes, without its colours."""
    text = click.unstyle(text)
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1
        for sign in text
    )


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless it is 1."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def size(count: int) -> str:
    """Return a number of bytes in the unit that makes it short."""
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB"):
        if value >= 1024:
            value, unit = value / 1024, larger
    return f"{value:.3g} {unit}" if value < 1000 else f"{value:,.0f} {unit}"


def _wrapped(value: str, width: int) -> list[str]:
    return wrap(value, max(width, 20), break_long_words=False, break_on_hyphens=False)
