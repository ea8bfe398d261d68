"""How output reaches a person or a program: plain in pipes, coloured on a terminal, one JSON."""

from __future__ import annotations

import os
import re
import sys
from typing import IO, TYPE_CHECKING, Any

import click

from artifact_pipeline.errors import AnswerIsNo, PipelineError, VerificationError
from artifact_pipeline.escapes import write_out, write_out_json

if TYPE_CHECKING:
    from artifact_pipeline.record import Job

# What GitHub's runner would take for a command, where a user's text begins a line of the log.
_COMMAND = re.compile(r"(?m)^(?=\s*::)|##(?=\[)")


def set_up() -> None:
    """Let no character be unprintable: a terminal without it gets a question mark."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


def document(value: Any) -> None:
    """Print one JSON document on standard output."""
    import msgspec

    data = msgspec.json.format(msgspec.json.encode(value), indent=2)
    # `##[` would be a command to GitHub's runner; in JSON it can be written otherwise.
    click.echo(write_out_json(data.decode()).replace("##[", "#\\u0023["))


def text(content: str) -> None:
    """Print for a person, on standard output."""
    click.echo(harmless(content), color=coloured(sys.stdout))


def say(message: str) -> None:
    """Print a message, on standard error."""
    click.echo(harmless(write_out(message)), err=True)


def error(failure: PipelineError, as_json: bool) -> None:
    """Print an error: one line on standard error, or a JSON document on standard output."""
    if as_json:
        told = {"kind": failure.kind, "message": failure.message, "where": failure.where}
        answer = {"error": told, "exit_code": failure.exit_code}
        if isinstance(failure, VerificationError):
            answer["verified"] = False
        run = failure.run if isinstance(failure, AnswerIsNo) else None
        document({**(_builtins(run) if run else {}), **answer})
    line = " ".join(write_out(str(failure)).split())
    click.echo(
        click.style("error: ", fg="red", bold=True) + line,
        err=True,
        color=coloured(sys.stderr),
    )


def _builtins(value: Any) -> dict[str, Any]:
    import msgspec

    found: dict[str, Any] = msgspec.to_builtins(value)
    return found


def harmless(content: str) -> str:
    """Return `content` such that no line of it is a command to GitHub's runner."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return content
    return _COMMAND.sub(lambda found: "# " if found[0] else ".", content)


def coloured(stream: IO[str]) -> bool:
    """Return whether a stream is a terminal, of a person who has not asked for plain text."""
    plain = "NO_COLOR" in os.environ or os.environ.get("CI") or os.environ.get("TERM") == "dumb"
    return stream.isatty() and not plain


def job_line(job: Job) -> str:
    """Return what a person reads of a job."""
    colour = {"done": "green", "failed": "red"}.get(job.outcome, "yellow")
    outcome = click.style(f"{job.outcome:<8}", fg=colour)
    seconds = f"{job.seconds:6.2f} s" if job.outcome != "running" else " " * 8
    return f"  {job.name:<10} {outcome}{seconds}  {write_out(job.note)}".rstrip()


class Progress:
    """Shows each job: while it runs, on a terminal alone; once it has ended, everywhere."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._live = coloured(stream)

    def __call__(self, job: Job) -> None:
        if job.outcome == "running":
            if self._live:
                click.echo(job_line(job), file=self._stream, nl=False, color=True)
            return
        begin = "\r\x1b[K" if self._live else ""
        click.echo(begin + job_line(job), file=self._stream, color=self._live)
