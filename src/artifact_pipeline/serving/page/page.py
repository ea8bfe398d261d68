"""The page, its data about a model, and the report of a model.

The page is one HTML file that sends requests only to its own server. It contains nothing about a
model and so needs no token; it requests what it shows afterwards. Its style and scripts are inline,
and its content security policy lists their hashes.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from artifact_pipeline.builder.artifact import describe
from artifact_pipeline.builder.artifact.manifest import ColumnSpec
from artifact_pipeline.builder.data import table_columns
from artifact_pipeline.builder.metric_table import headline_metrics
from artifact_pipeline.report import blocks
from artifact_pipeline.report import page as report_page
from artifact_pipeline.serving.http.response import Header
from artifact_pipeline.serving.registry import ServedModel

EXAMPLES = 12
"""Maximum number of held-out rows on the page."""
SCRIPTS = ("pad", "form", "prediction", "examples", "try")
HTML = b"text/html; charset=utf-8"
_HERE = Path(__file__).parent

_HEADERS = (
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


@cache
def document() -> tuple[bytes, tuple[Header, ...]]:
    """Return the page and its headers."""
    style = blocks.style() + (_HERE / "style.css").read_text("utf-8")
    scripts = [(_HERE / f"{name}.js").read_text("utf-8") for name in SCRIPTS]
    html = (_HERE / "index.html").read_text("utf-8")
    modules = "".join(f'<script type="module">{script}</script>\n' for script in scripts)
    html = html.replace("{style}", style).replace("{modules}", modules)
    # A report opened from the page in a tab of its own keeps the page's policy.
    policy = (
        "default-src 'none'; connect-src 'self'; "
        f"style-src {blocks.hashes(style, blocks.report_style())}; "
        f"script-src {blocks.hashes(*scripts)}; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    return html.encode(), (*_HEADERS, (b"content-security-policy", policy.encode()))


def report(model: ServedModel, *, examples: bool) -> tuple[bytes, tuple[Header, ...]]:
    """Return the report of a model, with or without its held-out rows, and its headers."""
    styles = blocks.hashes(blocks.report_style())
    policy = f"default-src 'none'; style-src {styles}; frame-ancestors 'none'"
    html = report_page.write(model.verified, examples=examples)
    return html.encode(), (*_HEADERS, (b"content-security-policy", policy.encode()))


def model_data(model: ServedModel, models: list[str], *, examples: bool) -> dict[str, Any]:
    """Return what the page shows about a model.

    Args:
        model: The model.
        models: The names of all models of the server.
        examples: Whether to include held-out rows.
    """
    manifest, interface = model.predictor.manifest, model.interface
    test = manifest.metrics.test
    headline = headline_metrics(manifest.recipe.data.schema.target)
    held_out = model.verified.evaluation().examples if examples else []
    columns = interface.columns or ()
    numbers = [{"name": name, "kind": "number"} for name in interface.features]
    return {
        "name": model.name,
        "models": models,
        "digest": model.digest,
        "title": describe.headline(manifest.recipe),
        "metrics": [(f"Held-out {metric.title}", test[metric.name]) for metric in headline],
        "image": interface.image,
        "labels": interface.labels,
        "label_names": interface.label_names,
        "fields": [msgspec.to_builtins(column) for column in columns] or numbers,
        "row": _write_dates(held_out[0].values if held_out else _first_row(model), columns),
        "examples": [
            msgspec.structs.replace(row, values=_write_dates(row.values, columns))
            for row in held_out[:EXAMPLES]
        ],
    }


def _write_dates(
    values: Sequence[float | str | None], columns: Sequence[ColumnSpec]
) -> list[float | str | None]:
    """Return a row with each date in the format of its column, as `/predict` reads it."""
    row = list(values)
    for index, column in enumerate(columns):
        days, column_format = row[index], column.format
        if isinstance(days, float) and column_format is not None and column_format.date is not None:
            with suppress(OverflowError):  # Parquet has dates beyond Python's years
                date = table_columns.EPOCH.replace(tzinfo=UTC) + timedelta(days=days)
                row[index] = date.strftime(column_format.date)
    return row


def _first_row(model: ServedModel) -> list[float | str]:
    """Return a made-up row that the model takes."""
    columns = model.interface.columns
    if columns is None:
        return [0.0] * len(model.interface.features)
    return [(column.categories or [""])[0] if column.kind == "text" else 0.0 for column in columns]
