"""HTML that a notebook shows for a model or a run.

>>> print(document("a <b>", {"digest": "7edb"}))
<div><strong>a &lt;b&gt;</strong>
<table><tr><th style="text-align:left">digest</th><td>7edb</td></tr></table>
</div>
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from artifact_pipeline.builder.artifact.manifest import Metrics
from artifact_pipeline.builder.escapes import write_out
from artifact_pipeline.builder.metric_table import BY_NAME, METRICS, figure, heading

_LEFT = ' style="text-align:left"'


def headlines(metrics: Mapping[str, float]) -> str:
    """Return the one or two most important metrics."""
    return ", ".join(
        f"{metric.title} {figure(metrics[metric.name])}"
        for metric in METRICS
        if metric.headline and metric.name in metrics
    )


def document(title: str, fields: Mapping[str, str], *, metrics: Metrics | None = None) -> str:
    """Return a title, a table of fields and a table of metrics. All text is escaped."""
    rows = [
        f"<tr><th{_LEFT}>{_text(name)}</th><td>{_text(value)}</td></tr>"
        for name, value in fields.items()
    ]
    parts = [f"<div><strong>{_text(title)}</strong>", f"<table>{''.join(rows)}</table>"]
    if metrics is not None:
        parts.append(_metrics(metrics))
    return "\n".join([*parts, "</div>"])


def section(title: str, *parts: str, texts: Sequence[str] = ()) -> str:
    """Return a title, parts that are HTML, and paragraphs of text, which is escaped."""
    paragraphs = [f"<p>{_text(text)}</p>" for text in texts]
    return "\n".join([f"<div><strong>{_text(title)}</strong>", *parts, *paragraphs, "</div>"])


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table with a head; nothing without rows. All text is escaped."""
    if not rows:
        return ""
    titles = "".join(f"<th{_LEFT}>{_text(name)}</th>" for name in head)
    body = "".join(
        f"<tr>{''.join(f'<td{_LEFT}>{_text(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    return f"<table><tr>{titles}</tr>{body}</table>"


def frame(html: str, *, title: str) -> str:
    """Return a page as a frame that runs no scripts and shares no style with the notebook."""
    page, style = escape(html), "width:100%;height:40rem;border:0"
    return f'<iframe sandbox srcdoc="{page}" title="{_text(title)}" style="{style}"></iframe>\n'


def listed(names: Sequence[object], limit: int = 10) -> str:
    """Return the first names, and how many more there are."""
    more = f", … ({len(names)} in all)" if len(names) > limit else ""
    return ", ".join(map(str, names[:limit])) + more


def _metrics(metrics: Metrics) -> str:
    train, test = metrics.train or {}, metrics.test
    head = "".join(f"<th>{name}</th>" for name in ("", "training rows", "held-out rows"))
    rows = [
        f"<tr><th{_LEFT}>{_text(heading(name))}</th>"
        + "".join(
            f"<td>{figure(part[name]) if name in part else ''}</td>" for part in (train, test)
        )
        + "</tr>"
        for name in BY_NAME
        if name in test
    ]
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def _text(text: str) -> str:
    return escape(write_out(text))
