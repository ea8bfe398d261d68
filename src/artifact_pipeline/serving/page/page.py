"""The page, its data about a model, and the report of a model.

The page is one HTML file that sends requests only to its own server. It contains nothing about a
model and so needs no token; it requests what it shows afterwards. Its style and scripts are inline,
and its content security policy lists their hashes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from artifact_pipeline.builder.artifact import describe
from artifact_pipeline.builder.artifact.evaluation import EvaluationReport, Example
from artifact_pipeline.builder.artifact.manifest import ColumnSpec, Interface, TrainingValues
from artifact_pipeline.builder.metric_table import figure, headline_metrics
from artifact_pipeline.inference import training_bounds
from artifact_pipeline.report import blocks
from artifact_pipeline.report import page as report_page
from artifact_pipeline.serving.http.response import Header
from artifact_pipeline.serving.options import ServerOptions, is_local
from artifact_pipeline.serving.protocols import explanation
from artifact_pipeline.serving.registry import ServedModel

EXAMPLES = 12
"""Maximum number of held-out rows on the page."""
MIN_OF_EACH = 2
"""Minimum of right and of wrong predictions on the page, if there are as many."""
CHOICES = 4
"""Maximum number of known texts beside a field; its suggestions list all."""
SCRIPTS = ("elements", "pad", "form", "prediction", "examples", "file", "try")
"""The parts of the page's one script, in order."""
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
    style = (_HERE / "style.css").read_text("utf-8")
    script = "\n".join((_HERE / f"{name}.js").read_text("utf-8") for name in SCRIPTS)
    html = (_HERE / "index.html").read_text("utf-8")
    html = html.replace("{style}", style)
    html = html.replace("{modules}", f'<script type="module">{script}</script>')
    # A report opened from the page in a tab of its own keeps the page's policy.
    policy = (
        "default-src 'none'; connect-src 'self'; "
        f"style-src {blocks.hashes(style, blocks.report_style())}; "
        f"script-src {blocks.hashes(script)}; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    return html.encode(), (*_HEADERS, (b"content-security-policy", policy.encode()))


def report(model: ServedModel, *, examples: bool) -> tuple[bytes, tuple[Header, ...]]:
    """Return the report of a model, with or without its held-out rows, and its headers."""
    styles = blocks.hashes(blocks.report_style())
    policy = f"default-src 'none'; style-src {styles}; frame-ancestors 'none'"
    html = report_page.write(model.verified, examples=examples)
    return html.encode(), (*_HEADERS, (b"content-security-policy", policy.encode()))


def model_data(model: ServedModel, models: list[str], *, options: ServerOptions) -> dict[str, Any]:
    """Return what the page shows about a model.

    Args:
        model: The model.
        models: The names of all models of the server.
        options: The options of the server.
    """
    manifest, interface = model.predictor.manifest, model.interface
    recipe, test = manifest.recipe, manifest.metrics.test
    headline = headline_metrics(recipe.data.schema.target)
    columns = interface.columns or ()
    may_show = options.show_examples or is_local(options.host)
    evaluation = model.verified.evaluation() if may_show else None
    examples = evaluation.examples if evaluation is not None else []
    typical = explanation.typical_of(interface)
    if typical is None:
        typical = examples[0].values if examples else _made_up_row(model)
    row = [None if value != value else value for value in typical]
    target = next((c for c in recipe.data.schema.columns or () if c.role == "target"), None)
    summary = f"{interface.target()} from {len(interface.features)} columns"
    return {
        "name": model.name,
        "models": models,
        "digest": model.digest,
        "title": describe.headline(recipe),
        "about": ". ".join([*filter(None, [recipe.description]), summary]) + ".",
        "target": None if target is None else target.name,
        "unit": None if target is None or target.format is None else target.format.unit,
        "metrics": [(metric.title, figure(test[metric.name])) for metric in headline],
        "image": interface.image,
        "labels": interface.labels,
        "label_names": interface.label_names,
        "fields": _fields(interface),
        "row": _write_dates(row, columns),
        "explains": explanation.typical_of(interface) is not None
        and (not interface.labels or len(interface.outputs) > 1),
        "examples": {"groups": [], "note": ""}
        if evaluation is None
        else _examples(evaluation, columns, labels=bool(interface.labels)),
        "limits": {"rows": options.max_rows, "bytes": options.max_body},
    }


def _fields(interface: Interface) -> list[dict[str, Any]]:
    """Return the fields of the form: each feature with the values of its training rows in words."""
    columns: Sequence[ColumnSpec | None] = interface.columns or [None] * len(interface.features)
    training = interface.training or [TrainingValues()] * len(columns)
    fields = []
    for name, column, values in zip(interface.features, columns, training, strict=True):
        field: dict[str, Any] = {"name": name, "kind": "number"}
        if column is not None:
            field = msgspec.to_builtins(column)
            field["unit"] = None if column.format is None else column.format.unit
        fields.append({**field, "hint": _hint(column, values)})
    return fields


def _hint(column: ColumnSpec | None, values: TrainingValues) -> str:
    parts = []
    if values.range is not None:
        low, high = (training_bounds.write_value(value, column) for value in values.range)
        parts.append(f"{low} to {high}" if low != high else f"always {low}")
    known = [text for text in (column.categories if column else None) or () if text]
    if known and column is not None and column.unseen:
        more = ", …" if len(known) > CHOICES else ""
        parts.append(f"{len(known)} known: {', '.join(known[:CHOICES])}{more}")
    if column is not None and column.nullable:
        parts.append("may be empty")
    return "; ".join(parts)


def _examples(
    evaluation: EvaluationReport, columns: Sequence[ColumnSpec], *, labels: bool
) -> dict[str, Any]:
    """Return held-out rows in groups, and how they were drawn."""
    sealed, count = evaluation.examples, evaluation.rows
    note = "Rows that were not used for training. Choose one to try it."
    if not sealed:
        return {"groups": [], "note": ""}
    if not labels:
        if count > len(sealed):
            note += f" They are from the {len(sealed)} of {count:,} with the largest errors."
        return {"groups": [_group("", _spread(sealed, EXAMPLES), columns=columns)], "note": note}
    wrong = [row for row in sealed if row.truth != row.label]
    right = [row for row in sealed if row.truth == row.label]
    hits = sum(counts[place] for place, counts in enumerate(evaluation.confusion))
    shown = max(MIN_OF_EACH, round(EXAMPLES * (count - hits) / count))
    shown = min(
        len(wrong), max(shown, EXAMPLES - len(right)), EXAMPLES - min(len(right), MIN_OF_EACH)
    )
    if wrong and right:
        note += (
            " Right and wrong ones are drawn about as often as they are among all held-out rows, "
            f"at least {MIN_OF_EACH} of each."
        )
    elif hits and not right:
        note += " The artifact has no example of a right prediction."
    groups = [
        _group(f"{title}: {total:,} of {count:,}", rows, columns=columns)
        for title, total, rows in (
            ("Predicted right", hits, _spread(right, EXAMPLES - shown)),
            ("Predicted wrong", count - hits, _spread(wrong, shown)),
        )
        if rows
    ]
    return {"groups": groups, "note": note}


def _group(title: str, rows: list[Example], *, columns: Sequence[ColumnSpec]) -> dict[str, Any]:
    written = [
        msgspec.structs.replace(row, values=_write_dates(row.values, columns)) for row in rows
    ]
    return {"title": title, "rows": written}


def _spread(rows: list[Example], count: int) -> list[Example]:
    """Return up to `count` rows at equal distances."""
    count = min(count, len(rows))
    return [rows[index * len(rows) // count] for index in range(count)]


def _write_dates(
    values: Sequence[float | str | None], columns: Sequence[ColumnSpec]
) -> list[float | str | None]:
    """Return a row with each date as `/predict` reads it."""
    row = list(values)
    for index, column in enumerate(columns):
        days = row[index]
        if isinstance(days, float) and column.kind == "date":
            row[index] = training_bounds.write_value(days, column)
    return row


def _made_up_row(model: ServedModel) -> list[float | str]:
    """Return a row that most models take."""
    columns = model.interface.columns
    if columns is None:
        return [0.0] * len(model.interface.features)
    return [(column.categories or [""])[0] if column.kind == "text" else 0.0 for column in columns]
