"""The fifth section of a report: how the model was made, and how to verify and use it."""

from __future__ import annotations

from datetime import datetime

from artifact_pipeline.builder.artifact import describe
from artifact_pipeline.report import blocks
from artifact_pipeline.report.blocks import Section, escape
from artifact_pipeline.report.report_data import ReportData
from artifact_pipeline.report.search_plot import search_plot

_COLUMNS = 8
"""Maximum columns of a branch to name; the others are counted."""


def origin(data: ReportData) -> Section:
    """Return the section on how the model was made."""
    panels = [
        _steps(data),
        _run(data),
        "" if (search := data.evaluation.search) is None else search_plot(search),
        _config(data),
        _commands(data),
        _digests(data),
    ]
    return Section("origin", "How was it made?", blocks.grid(*filter(None, panels)))


def _steps(data: ReportData) -> str:
    lines = describe.estimators(data.manifest.recipe, data.evaluation.chosen(), columns=_COLUMNS)
    items = "".join(f"<li><code>{escape(line)}</code></li>" for line in lines)
    note = "The steps, with the parameters of the sealed model."
    return blocks.panel("Model", f'<ol class="steps">{items}</ol>', note=note)


def _run(data: ReportData) -> str:
    run = data.run
    if run is None:
        return ""
    fields = {"run": run.run, "date": _date(run.started)}
    if run.by:
        fields["by"] = run.by
    if run.commit:
        fields["commit"] = run.commit + (" with uncommitted changes" if run.dirty else "")
    if run.name and run.version is not None:
        fields["version"] = f"{run.name}:{run.version}"
    fields["config"] = run.config
    note = "From the run record in the store; not part of the artifact."
    return blocks.panel("Run", blocks.listing(fields), note=note)


def _date(text: str) -> str:
    try:
        return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M %Z}".strip()
    except ValueError:
        return text


def _config(data: ReportData) -> str:
    text = None if data.run is None else data.run.config_text
    if not text:
        return ""
    lines = "\n".join(escape(line) for line in text.strip().splitlines())
    pre = f"<pre><code>{lines}</code></pre>"
    return blocks.panel("Config as written", blocks.scroll("Config", pre))


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
    note = "The 12 digits name the artifact in its store. Click a command to select it."
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
