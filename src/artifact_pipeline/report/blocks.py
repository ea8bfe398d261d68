"""The parts of an HTML page: sections, tables and lists, with all text escaped."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from html import escape as escape_html
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from artifact_pipeline.builder.escapes import write_out
from artifact_pipeline.builder.metric_table import figure

Width: TypeAlias = Literal["single", "double", "wide"]
"""How much of a row a panel takes: one column, two, or all of it."""


class Drawing(NamedTuple):
    """A drawing in the cell of a table: markup that is not escaped again."""

    svg: str


def escape(text: str) -> str:
    """Escape markup and control characters."""
    return escape_html(write_out(text))


def style() -> str:
    """Return the style sheet that all pages begin with."""
    return Path(__file__).with_name("style.css").read_text("utf-8")


def report_style() -> str:
    """Return the style sheet of reports."""
    return style() + Path(__file__).with_name("report.css").read_text("utf-8")


def hashes(*texts: str) -> str:
    """Return the hashes that allow these styles or scripts in a content security policy."""
    digests = (hashlib.sha256(text.encode()).digest() for text in texts)
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)


class Section(NamedTuple):
    """A section of a report; its content is HTML."""

    name: str
    """Its anchor."""
    title: str
    content: str


def section(part: Section) -> str:
    """Return a section of a page."""
    return (
        f'<section id="{part.name}" aria-labelledby="{part.name}-title">'
        f'<h2 id="{part.name}-title">{escape(part.title)}</h2>\n{part.content}\n</section>'
    )


def grid(*panels: str) -> str:
    """Return panels beside each other, as many as fit."""
    return f'<div class="grid">{"".join(panels)}</div>'


def panel(title: str, content: str, *, note: str = "", width: Width = "single") -> str:
    """Return a part of a section with a title of its own; its content is HTML."""
    text = f'<p class="soft">{escape(note)}</p>' if note else ""
    kind = "panel" if width == "single" else f"panel {width}"
    return f'<div class="{kind}"><h3>{escape(title)}</h3>{text}{content}</div>'


def figure_panel(title: str, svg: str, *, note: str, numbers: str, legend: str = "") -> str:
    """Return a figure with a title, a note, and its numbers as a table that unfolds."""
    return (
        f'<figure class="panel"><figcaption><h3>{escape(title)}</h3>'
        f'<p class="soft">{escape(note)}</p>{legend}</figcaption>{svg}'
        f"{unfold('Numbers', numbers)}</figure>"
    )


def legend(*entries: tuple[str, str]) -> str:
    """Return the meaning of styles: the class of each, and its text."""
    items = "".join(
        f'<li><svg class="key" viewBox="0 0 16 10" aria-hidden="true">'
        f'<rect class="swatch {kind}" y="2" width="16" height="6"/></svg>{escape(text)}</li>'
        for kind, text in entries
    )
    return f'<ul class="legend">{items}</ul>'


def unfold(summary: str, content: str) -> str:
    """Return content that is shown on demand."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def table(
    caption: str, head: Sequence[str], *, rows: Iterable[Sequence[str | Drawing]], kind: str = ""
) -> str:
    """Return a table that scrolls; the first cell of each row is its heading."""
    columns = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body = "".join(
        f'<tr><th scope="row">{_cell(first)}</th>'
        + "".join(
            f'<td class="drawn">{value.svg}</td>'
            if isinstance(value, Drawing)
            else f"<td>{escape(value)}</td>"
            for value in others
        )
        + "</tr>"
        for first, *others in rows
    )
    kind = f' class="{kind}"' if kind else ""
    table = (
        f"<table{kind}><caption>{escape(caption)}</caption><thead><tr>{columns}</tr></thead>"
        f"<tbody>{body}</tbody></table>"
    )
    return scroll(caption, table)


def _cell(value: str | Drawing) -> str:
    return value.svg if isinstance(value, Drawing) else escape(value)


def scroll(label: str, table: str) -> str:
    """Wrap a wide table so that it scrolls, also by keyboard, and the page does not."""
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(label)}">{table}</div>'
    )


def listing(fields: dict[str, str]) -> str:
    """Return a list of values, each after its name."""
    pairs = ((name, escape(value)) for name, value in fields.items())
    items = "".join(
        f"<dt>{escape(name)}</dt><dd><code>{value}</code></dd>" for name, value in pairs
    )
    return f"<dl>{items}</dl>"


def number(value: float | None) -> str:
    """Return a metric as tables show it, empty if there is none."""
    return "" if value is None else figure(value)
