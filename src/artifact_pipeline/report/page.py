"""The report: a self-contained HTML file.

It has no scripts, makes no requests, and has one style sheet, allowed by its hash. All text is
escaped.
"""

from __future__ import annotations

from msgspec import structs

from artifact_pipeline.builder.artifact import describe
from artifact_pipeline.builder.artifact.manifest import SplitSummary
from artifact_pipeline.report import blocks
from artifact_pipeline.report.blocks import Section, escape
from artifact_pipeline.report.context import RunContext
from artifact_pipeline.report.influences import influences
from artifact_pipeline.report.origin import origin
from artifact_pipeline.report.quality import quality
from artifact_pipeline.report.report_data import ReportData
from artifact_pipeline.report.training_data import training_data
from artifact_pipeline.report.weaknesses import weaknesses
from artifact_pipeline.verification.verify import Verified


def write(artifact: Verified, *, run: RunContext | None = None, examples: bool = True) -> str:
    """Return the report of a verified artifact as HTML; the same arguments give the same text.

    Args:
        artifact: The artifact.
        run: The run to describe; without one, the report has no gates, date or config.
        examples: Whether to show held-out rows.

    Raises:
        VerificationError: If its evaluation is invalid.
    """
    data = _data(artifact, run)
    if not examples:
        data = data._replace(evaluation=structs.replace(data.evaluation, examples=[]))
    parts = (quality(data), weaknesses(data), influences(data), training_data(data), origin(data))
    sections = [part for part in parts if part is not None]
    return _document(
        data,
        f"""<div class="page">
{_navigation(sections)}
<main>
{"".join(map(blocks.section, sections))}
</main>
</div>""",
    )


def write_head(artifact: Verified, *, run: RunContext | None = None) -> str:
    """Return the head of the report, on whether the model is good enough, as HTML.

    Args:
        artifact: The artifact.
        run: The run to describe.

    Raises:
        VerificationError: If its evaluation is invalid.
    """
    data = _data(artifact, run)
    return _document(data, f'<main class="head">\n{blocks.section(quality(data))}\n</main>')


def _data(artifact: Verified, run: RunContext | None) -> ReportData:
    evaluation = artifact.evaluation()
    return ReportData(
        digest=artifact.digest,
        manifest=artifact.manifest,
        evaluation=evaluation,
        diagnostics=evaluation.diagnostics,
        run=run,
    )


def _document(data: ReportData, content: str) -> str:
    style, recipe = blocks.report_style(), data.manifest.recipe
    title = describe.headline(recipe)
    policy = (
        f"default-src 'none'; style-src {blocks.hashes(style)}; base-uri 'none'; form-action 'none'"
    )
    text = recipe.description
    description = "" if text is None else f"<p>{escape(text)}</p>\n"
    run = data.run
    digest = "" if run is None else f'<meta name="run" content="{run.fingerprint()}">\n'
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
{digest}<title>{escape(title)}</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>{escape(title)}</h1>
{description}<p class="soft">{_subtitle(data)}</p>
</header>
{content}
</body>
</html>
"""


def _subtitle(data: ReportData) -> str:
    manifest, run = data.manifest, data.run
    labels = len(manifest.interface.labels)
    what = f"{labels} classes of" if labels else "Regression of"
    parts = [f"{what} {data.target}, {manifest.interface.width()}, {_row_counts(manifest.split)}"]
    if run is not None:
        if run.name and run.version is not None:
            parts.append(f"{run.name}:{run.version}")
        parts.append(run.started[:10])
        if run.commit:
            parts.append(f"commit {run.commit[:7]}{'*' if run.dirty else ''}")
    parts.append(data.digest[7:19])
    return escape(" · ".join(parts))


def _row_counts(split: SplitSummary) -> str:
    rows = split.rows
    if not rows.train:
        return f"fitted elsewhere, measured on {rows.test:,} rows"
    return f"{rows.train:,} training rows, {rows.test:,} held-out rows"


def _navigation(sections: list[Section]) -> str:
    items = "".join(
        f'<li><a href="#{part.name}">{escape(part.title)}</a></li>' for part in sections
    )
    return f'<nav aria-label="Sections"><ul>{items}</ul></nav>'
