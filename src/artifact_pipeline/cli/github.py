"""The files and lines that GitHub Actions reads: job summary, step outputs, annotations.

The runner's environment variables name the files; outside a workflow nothing is written.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from artifact_pipeline.builder.escapes import write_out
from artifact_pipeline.errors import ConfigError, GateMissed, Location, PipelineError, StoreError

if TYPE_CHECKING:
    from artifact_pipeline.pipeline.record import Run

_DIGEST = r"sha256:[0-9a-f]{64}"
_PATH = r"[^\x00-\x1f\x7f]{1,4096}"
_OUTPUTS = {
    "digest": _DIGEST,
    "recipe-digest": _DIGEST,
    "version": r"[A-Za-z0-9._-]{1,100}:[0-9]{1,9}",
    "artifact-path": _PATH,
    "report-path": _PATH,
    "record-path": _PATH,
    "accuracy": r"[0-9.e-]{1,24}",
    "cached": r"true|false",
}
"""The outputs, and the pattern that each value must match."""


def publish(run: Run) -> None:
    """Append a run to the job summary and to the step outputs, inside a workflow."""
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        from artifact_pipeline.cli import job_summary
        from artifact_pipeline.verification.verify import verify

        _append(path, job_summary.write(verify(run.artifact, run.digest), run))
    outputs(
        {
            "digest": run.digest,
            "recipe-digest": run.recipe_digest,
            "version": f"{run.name}:{run.version}",
            "artifact-path": run.artifact,
            "report-path": run.report,
            "record-path": run.record,
            "cached": str(run.cached).lower(),
        }
    )
    if (accuracy := run.metrics.test.get("accuracy")) is not None:
        outputs({"accuracy": repr(accuracy)})


def summarize(markdown: str) -> None:
    """Append Markdown to the job summary, inside a workflow."""
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        _append(path, f"{markdown}\n")


def warn(message: str, *, title: str) -> None:
    """Print the workflow command that shows a warning, inside a workflow."""
    if os.environ.get("GITHUB_ACTIONS") == "true":
        _workflow_command("warning", message, title=f"artifact-pipeline: {title}")


def outputs(values: dict[str, str]) -> None:
    """Append step outputs, inside a workflow.

    Raises:
        StoreError: If a value does not match its pattern: it could be read as another output.
    """
    path = os.environ.get("GITHUB_OUTPUT")
    if not path:
        return
    for name, value in values.items():
        if not re.fullmatch(_OUTPUTS[name], value):
            raise StoreError(
                f"its value {ascii(value)[:80]} is not written", location=Location(f"output {name}")
            )
    _append(path, "".join(f"{name}={value}\n" for name, value in values.items()))


def annotate(error: PipelineError) -> None:
    """Print the workflow command that shows an error at its file and line, inside a workflow."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return
    message = error.message
    properties = {"title": f"artifact-pipeline: {error.kind}"}
    if isinstance(error, ConfigError) and (location := error.location) is not None:
        message = f"{location.key}: {message}" if location.key else message
        if location.file is not None and Path(location.file).is_file():
            properties |= {
                "file": location.file,
                "line": str(_line(location.file, location)),
            }
    elif isinstance(error, GateMissed):
        properties["title"] = "artifact-pipeline: gate missed"
    _workflow_command("error", message, **properties)


def _workflow_command(command: str, message: str, **properties: str) -> None:
    quoted = ",".join(f"{name}={_escape(value, ':,')}" for name, value in properties.items())
    click.echo(f"::{command} {quoted}::{_escape(message)}", err=True)


def _line(file: str, location: Location) -> int:
    from artifact_pipeline.builder.config.messages import line_of

    if location.line is not None or location.key is None:
        return location.line or 1
    return line_of(Path(file).read_text("utf-8", "replace"), location.key)


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
