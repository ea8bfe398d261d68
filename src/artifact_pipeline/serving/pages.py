"""The page on which a person tries a model: one file that asks this server alone.

It is the same for everybody and says nothing of a model, so it needs no token; what it shows it
asks for afterwards. Its style and scripts are in it, and its content policy names their hashes.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UnsetType

from artifact_pipeline.builder.artifact import describe
from artifact_pipeline.builder.artifact.manifest import ColumnSpec
from artifact_pipeline.builder.data import table_columns
from artifact_pipeline.builder.metric_table import headline_metrics
from artifact_pipeline.report import blocks
from artifact_pipeline.report import page as report
from artifact_pipeline.serving.registry import ServedModel

EXAMPLES = 12
"""How many held-out rows are offered."""
MODULES = ("pad", "form", "said", "examples", "try")
HTML = b"text/html; charset=utf-8"
_HERE = Path(__file__).with_name("page")


@cache
def page() -> tuple[bytes, tuple[tuple[bytes, bytes], ...]]:
    """Return the page and the headers that go with it."""
    style = blocks.style() + (_HERE / "style.css").read_text("utf-8")
    scripts = [(_HERE / f"{name}.js").read_text("utf-8") for name in MODULES]
    text = (_HERE / "index.html").read_text("utf-8")
    modules = "".join(f'<script type="module">{script}</script>\n' for script in scripts)
    text = text.replace("{style}", style).replace("{modules}", modules)
    # A report opened from the page in a tab of its own keeps the page's policy.
    policy = (
        "default-src 'none'; connect-src 'self'; "
        f"style-src {blocks.hashes(style, blocks.style())}; "
        f"script-src {blocks.hashes(*scripts)}; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    return text.encode(), (*_SAFE, (b"content-security-policy", policy.encode()))


def report_of(model: ServedModel, examples: bool) -> tuple[bytes, tuple[tuple[bytes, bytes], ...]]:
    """Return a model's report, with or without its held-out rows, and the headers to go with it."""
    policy = (
        f"default-src 'none'; style-src {blocks.hashes(blocks.style())}; frame-ancestors 'none'"
    )
    text = report.write(model.verified, examples=examples)
    return text.encode(), (*_SAFE, (b"content-security-policy", policy.encode()))


def of_model(model: ServedModel, models: list[str], examples: bool) -> dict[str, Any]:
    """Return what the page shows of a model; its held-out rows only if they may be shown."""
    manifest, interface = model.predictor.manifest, model.interface
    test = manifest.metrics.test
    shown = headline_metrics(manifest.recipe.data.schema.target)
    seen = model.verified.evaluation().examples if examples else []
    columns = () if isinstance(interface.columns, UnsetType) else interface.columns
    plain = [{"name": name, "kind": "number"} for name in interface.features]
    return {
        "name": model.name,
        "models": models,
        "digest": model.digest,
        "title": f"{describe.title(manifest.recipe)} on {manifest.recipe.data.title}",
        "metrics": [(f"Held-out {metric.title}", test[metric.name]) for metric in shown],
        "image": interface.image,
        "labels": interface.labels,
        "label_names": interface.label_names,
        "fields": [msgspec.to_builtins(one) for one in columns] or plain,
        "row": _write_dates(seen[0].values if seen else _row(model), columns),
        "examples": [
            msgspec.structs.replace(one, values=_write_dates(one.values, columns))
            for one in seen[:EXAMPLES]
        ],
    }


def _write_dates(
    values: Sequence[float | str | None], columns: Sequence[ColumnSpec]
) -> list[float | str | None]:
    """Return a row with each date in the format of its column, as `/predict` reads it."""
    found = list(values)
    for at, column in enumerate(columns):
        days, form = found[at], column.format
        if isinstance(days, float) and form is not None and form.date is not None:
            with suppress(OverflowError):  # a date of Parquet may be beyond Python's years
                moment = table_columns.EPOCH.replace(tzinfo=UTC) + timedelta(days=days)
                found[at] = moment.strftime(form.date)
    return found


def _row(model: ServedModel) -> list[float | str]:
    """Return a row that the model takes, which is nobody's."""
    columns = model.interface.columns
    if isinstance(columns, UnsetType):
        return [0.0] * len(model.interface.features)
    return [(one.categories or [""])[0] if one.kind == "text" else 0.0 for one in columns]


_SAFE = (
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
