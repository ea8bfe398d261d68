"""The parts of an HTML page: sections, tables and lists, with all text escaped."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from html import escape as escape_html
from pathlib import Path

from artifact_pipeline.builder.escapes import write_out
from artifact_pipeline.builder.metric_table import figure


def escape(text: str) -> str:
    """Escape markup and control characters."""
    return escape_html(write_out(text))


def style() -> str:
    """Return the style sheet of reports."""
    return Path(__file__).with_name("style.css").read_text("utf-8")


def hashes(*texts: str) -> str:
    """Return the hashes that allow these styles or scripts in a content security policy."""
    digests = (hashlib.sha256(text.encode()).digest() for text in texts)
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)


def section(title: str, content: str) -> str:
    """Return a section of a page; its content is HTML."""
    return f"<section>\n<h2>{escape(title)}</h2>\n{content}\n</section>"


def table(caption: str, head: Sequence[str], *, rows: Iterable[Sequence[str]]) -> str:
    """Return a table that scrolls; the first cell of each row is its heading."""
    columns = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body = "".join(
        f'<tr><th scope="row">{escape(first)}</th>'
        + "".join(f"<td>{escape(value)}</td>" for value in others)
        + "</tr>"
        for first, *others in rows
    )
    table = (
        f"<table><caption>{escape(caption)}</caption><thead><tr>{columns}</tr></thead>"
        f"<tbody>{body}</tbody></table>"
    )
    return scroll(caption, table)


def scroll(label: str, table: str) -> str:
    """Wrap a wide table so that it scrolls, also by keyboard, and the page does not."""
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(label)}">{table}</div>'
    )


def listing(fields: dict[str, str]) -> str:
    """Return a list of values, each after its name."""
    pairs = ((name, escape(value)) for name, value in fields.items())
    items = "".join(f"<dt>{name}</dt><dd><code>{value}</code></dd>" for name, value in pairs)
    return f"<dl>{items}</dl>"


def number(value: float | None) -> str:
    """Return a metric as tables show it, empty if there is none."""
    return "" if value is None else figure(value)
