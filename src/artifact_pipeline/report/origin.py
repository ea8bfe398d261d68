"""The fifth section of a report: how the model was made, and how to verify and use it."""

from __future__ import annotations

import json
from datetime import datetime

from artifact_pipeline.builder.artifact import describe
from artifact_pipeline.builder.metric_table import figure
from artifact_pipeline.report import blocks, figures
from artifact_pipeline.report.blocks import Drawing, Section, escape
from artifact_pipeline.report.report_data import ReportData

CANDIDATES = 20
"""The number of a search's candidates that are shown."""


def origin(data: ReportData) -> Section:
    """Return the section that tells how the model was made."""
    panels = [
        _steps(data),
        _run(data),
        _search(data),
        _config(data),
        _commands(data),
        _digests(data),
    ]
    return Section("origin", "How was it made?", blocks.grid(*filter(None, panels)))


def _steps(data: ReportData) -> str:
    lines = describe.estimators(data.manifest.recipe, data.evaluation.chosen())
    items = "".join(f"<li><code>{escape(line)}</code></li>" for line in lines)
    note = "The steps with the parameters that the sealed model has."
    return blocks.panel("Model", f'<ol class="steps">{items}</ol>', note=note)


def _run(data: ReportData) -> str:
    run = data.run
    if run is None:
        return ""
    fields = {"run": run.run, "date": _date(run.started)}
    if run.by:
        fields["by"] = run.by
    if run.commit:
        fields["commit"] = run.commit + (
            " with changes that are not committed" if run.dirty else ""
        )
    if run.name and run.version is not None:
        fields["version"] = f"{run.name}:{run.version}"
    fields["config"] = run.config
    note = "From the run record in the store. The artifact holds nothing of it."
    return blocks.panel("Run", blocks.listing(fields), note=note)


def _date(text: str) -> str:
    try:
        return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M %Z}".strip()
    except ValueError:
        return text


def _search(data: ReportData) -> str:
    search = data.evaluation.search
    if search is None:
        return ""
    best = sorted(search.candidates, key=lambda candidate: candidate.rank)
    shown = best[:CANDIDATES]
    low = min(candidate.mean - candidate.std for candidate in shown)
    high = max(candidate.mean + candidate.std for candidate in shown)
    span = (high - low) or 1.0
    rows: list[list[str | Drawing]] = [
        [
            str(candidate.rank),
            json.dumps(candidate.params),
            Drawing(
                figures.bar(
                    (candidate.mean - candidate.std - low) / span,
                    (candidate.mean + candidate.std - low) / span,
                    mark=(candidate.mean - low) / span,
                )
            ),
            f"{figure(candidate.mean)} ± {figure(candidate.std)}",
        ]
        for candidate in shown
    ]
    more = f" The best {CANDIDATES} are shown." if len(best) > CANDIDATES else ""
    note = (
        f"{len(best):,} candidates were tried; the best one was refitted and sealed.{more} Bars "
        "are one standard deviation over the folds on each side of the mean."
    )
    head = ["Rank", "Parameters", f"{low:.3g} to {high:.3g}", search.scoring]
    table = blocks.table(
        "Candidates, by mean score over folds of the training rows", head, rows=rows, kind="texts"
    )
    return blocks.panel("Search", table, note=note, width="wide")


def _config(data: ReportData) -> str:
    text = None if data.run is None else data.run.config_text
    if not text:
        return ""
    lines = "\n".join(escape(line) for line in text.strip().splitlines())
    pre = f"<pre><code>{lines}</code></pre>"
    return blocks.panel("Config, as it was written", blocks.scroll("Config", pre))


def _commands(data: ReportData) -> str:
    short = data.digest.removeprefix("sha256:")[:12]
    parts = ""
    for what, command in (
        ("Verify every file", f"artifact-pipeline verify FOLDER --digest {data.digest}"),
        ("Train it again and compare", f"artifact-pipeline reproduce {short}"),
        (
            "Predict rows",
            f"artifact-pipeline infer {short} rows.csv -o predictions.csv",
        ),
    ):
        parts += f'<dt>{what}</dt><dd><code class="command">{escape(command)}</code></dd>'
    note = "The 12 digits name the artifact in its store. A click selects a command."
    return blocks.panel("Use it", f'<dl class="commands">{parts}</dl>', note=note)


def _digests(data: ReportData) -> str:
    manifest = data.manifest
    recipe, parity = manifest.recipe, manifest.parity
    fields = {
        "artifact": data.digest,
        "recipe": manifest.recipe_digest,
        "data": recipe.data.digest,
        "code": recipe.code,
        "parity": parity.claim(bool(manifest.interface.labels)),
    }
    if parity.reason is not None:
        fields["reason for this form"] = parity.reason
    if (cases := parity.edge_cases) is not None:
        fields["edge cases"] = ", ".join(f"{count} {kind}" for kind, count in cases.rows.items())
        refused = ", ".join(f"{count} {kind}" for kind, count in cases.refused.items())
        fields["refused"] = refused or "none"
    platform = recipe.platform
    fields["packages"] = ", ".join(f"{name} {version}" for name, version in recipe.packages.items())
    fields["platform"] = (
        f"{platform.system} {platform.machine}, {platform.libc}, Python {platform.python}, "
        f"profile {recipe.numerics.profile}"
    )
    note = "The same recipe gives the same artifact, byte for byte."
    return blocks.panel("Verification", blocks.listing(fields), note=note, width="wide")
