"""Runs as text: what they measured, and the list of a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from artifact_pipeline.builder.escapes import write_out
from artifact_pipeline.cli.layout import (
    WIDTH,
    counted,
    field,
    paragraph,
    short,
    table,
    truncated,
    width_of,
)
from artifact_pipeline.cli.render.metrics import gate_lines, headlines, metric_lines

if TYPE_CHECKING:
    from artifact_pipeline.pipeline.evaluate import Evaluated
    from artifact_pipeline.pipeline.record import Run
    from artifact_pipeline.store.journal import PastRun
    from artifact_pipeline.store.queries import Listed

RUNS = 20
"""The number of runs that `list` shows."""


def ran(run: Run) -> str:
    """Return the metrics, gates and paths of a run."""
    return "\n".join(
        [
            "",
            *metric_lines(run.metrics),
            *gate_lines(run.gates),
            "",
            field("artifact", f"{run.name}:{run.version}, {short(run.digest)}"),
            field("recipe", short(run.recipe_digest)),
            *report_lines(run.report),
        ]
    )


def evaluated(result: Evaluated) -> str:
    """Return the metrics that were measured again, and the gates."""
    lines = [field("artifact", short(result.digest)), ""]
    lines += metric_lines(result.metrics)
    return "\n".join([*lines, *gate_lines(result.gates)])


def report_lines(path: str) -> list[str]:
    """Return the path of a report on a line of its own, unbroken so that it can be copied."""
    return ["", "report:", write_out(path)]


def listed(artifacts: list[Listed], runs: list[PastRun], *, count: int) -> str:
    """Return a line for each artifact, and for each of the newest of `count` runs."""
    if not artifacts and not runs:
        return "0 artifacts; train one: artifact-pipeline run"
    lines = [counted(len(artifacts), "artifact")]
    rows = []
    for artifact in artifacts:
        if artifact.metrics is not None:
            [score, *_] = headlines(artifact.metrics.test)
            name = truncated(write_out(artifact.name or ""), 16)
            version = f"{name}:{artifact.version or '?'}"
            # The last step of a pipeline predicts.
            estimator = write_out((artifact.estimator or "").rpartition(" → ")[2])
            aliases = truncated(", ".join(artifact.aliases), 20)
            rows.append([artifact.digest[7:19], version, estimator, score, aliases])
    # The indent and the gaps between five columns take ten more.
    taken = 10 + sum(max((width_of(row[i]) for row in rows), default=0) for i in (0, 1, 3, 4))
    rows = [[*row[:2], truncated(row[2], max(8, WIDTH - taken)), *row[3:]] for row in rows]
    lines += [table(rows)] if rows else []
    lines += [
        paragraph(
            f"{artifact.digest[7:19]}  broken: {short(write_out(artifact.broken or ''))}",
            hanging=" " * 16,
        )
        for artifact in artifacts
        if artifact.metrics is None
    ]
    lines += ["", f"{counted(count, 'run')}, newest first"]
    rows = [
        [
            truncated(write_out(run.run), 30),
            truncated(write_out(run.outcome), 11),
            write_out((run.artifact or "")[7:19]),
            "cached" if run.cached else "",
            # The end of a path is more informative than its start.
            truncated(write_out(run.config)[::-1], 13)[::-1],
        ]
        for run in runs
    ]
    lines += [table(rows, gap=1)] if rows else []
    if count > len(runs):
        lines.append(f"  … and {count - len(runs)} more; --json shows all")
    return "\n".join(lines)
