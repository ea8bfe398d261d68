"""What GitHub Actions reads of a run: the job's summary, the step's outputs, annotations.

Each is written where the runner's own variable says; outside of a workflow, nothing is.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from artifact_pipeline.builder.escapes import write_out
from artifact_pipeline.errors import ConfigError, GateMissed, PipelineError, StoreError

if TYPE_CHECKING:
    from artifact_pipeline.pipeline.record import Run

_DIGEST = r"sha256:[0-9a-f]{64}"
_OUTPUTS = {
    "digest": _DIGEST,
    "recipe-digest": _DIGEST,
    "artifact-path": r"[^\x00-\x1f\x7f]{1,4096}",
    "report-path": r"[^\x00-\x1f\x7f]{1,4096}",
    "record-path": r"[^\x00-\x1f\x7f]{1,4096}",
    "accuracy": r"[0-9.e-]{1,24}",
    "cached": r"true|false",
}
"""The outputs, each with the pattern that its value must have."""


def tell(run: Run) -> None:
    """Append a run to the job's summary and to the step's outputs, where a workflow asks."""
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        from artifact_pipeline.cli import job_summary
        from artifact_pipeline.verification.verify import verify

        previous = (run.previous.digest, run.previous.metrics) if run.previous else None
        found = verify(run.artifact, run.digest)
        _append(path, job_summary.write(found, run.gates, previous, run.cached))
    outputs(
        {
            "digest": run.digest,
            "recipe-digest": run.recipe_digest,
            "artifact-path": run.artifact,
            "report-path": run.report,
            "record-path": run.record,
            "cached": str(run.cached).lower(),
        }
    )
    if (accuracy := run.metrics.test.get("accuracy")) is not None:
        outputs({"accuracy": repr(accuracy)})


def outputs(values: dict[str, str]) -> None:
    """Append outputs of the step, each checked against its pattern, where a workflow asks.

    Raises:
        StoreError: for a value that could be read as another output.
    """
    path = os.environ.get("GITHUB_OUTPUT")
    if not path:
        return
    for name, value in values.items():
        if not re.fullmatch(_OUTPUTS[name], value):
            raise StoreError(
                f"its value {ascii(value)[:80]} is not written", where=f"output {name}"
            )
    _append(path, "".join(f"{name}={value}\n" for name, value in values.items()))


def annotate(error: PipelineError) -> None:
    """Print the workflow command that shows an error at its file and line, in a workflow."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return
    message = error.message
    properties = {"title": f"artifact-pipeline: {error.kind}"}
    if isinstance(error, ConfigError) and error.where:
        file, _, key = error.where.partition(": ")
        message = f"{key}: {message}" if key else message
        if Path(file).is_file():
            properties |= {"file": file, "line": str(_line(file, key, error.message))}
    elif isinstance(error, GateMissed):
        properties["title"] = "artifact-pipeline: gate missed"
    told = ",".join(f"{name}={_escape(value, ':,')}" for name, value in properties.items())
    click.echo(f"::error {told}::{_escape(message)}", err=True)


def _line(file: str, key: str, message: str) -> int:
    from artifact_pipeline.builder.config.messages import line_of

    if found := re.search(r"\bline (\d+) column \d+", message):
        return int(found[1])
    return line_of(Path(file).read_text("utf-8", "replace"), key) if key else 1


def _append(path: str, text: str) -> None:
    from artifact_pipeline.disk import translate_os_errors

    with translate_os_errors(path), Path(path).open("a", encoding="utf-8") as file:
        file.write(text)


def _escape(text: str, more: str = "") -> str:
    """Return `text` as a workflow command quotes it (GitHub's `toolkit`, command.ts)."""
    text = write_out(text)
    for sign in "%\r\n" + more:
        text = text.replace(sign, f"%{ord(sign):02X}")
    return text
