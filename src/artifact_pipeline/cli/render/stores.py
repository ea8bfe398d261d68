"""The state of a store as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from artifact_pipeline.builder.escapes import write_out
from artifact_pipeline.cli.layout import counted, paragraph, short, size, table

if TYPE_CHECKING:
    from artifact_pipeline.store.check import HealthReport
    from artifact_pipeline.store.prune import PruneReport


def examined(report: HealthReport) -> str:
    """Return the findings in a store."""
    lines = [f"{report.store}: {counted(report.artifacts, 'artifact')} verified, "
             f"{counted(report.runs, 'run')} recorded"]  # fmt: skip
    for finding in report.findings:
        done = (
            click.style("done", fg="green") if finding.repaired else click.style("to do", fg="red")
        )
        lines.append(paragraph(f"{write_out(finding.path)}: {write_out(finding.wrong)}"))
        lines.append(paragraph(f"{done}: {write_out(finding.remedy)}", indent="    "))
    return "\n".join(lines if report.findings else [*lines, "  no problems found"])


def pruned(report: PruneReport) -> str:
    """Return the artifacts that were removed, and how much that frees."""
    rows = [
        [f"{item.name}:{item.version or '?'}", short(item.digest), size(item.bytes)]
        for item in report.removed
    ]
    verb = "would free" if report.dry_run else "freed"
    artifacts = counted(len(report.removed), "artifact")
    summary = f"{artifacts} {verb} {size(report.bytes)}, {report.kept} kept"
    return "\n".join([*([table(rows, numbers=1)] if rows else []), summary])
