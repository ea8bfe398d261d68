"""How output reaches a person or a program: plain in pipes, coloured on a terminal, one JSON."""

from __future__ import annotations

import errno
import io
import os
import re
import select
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any

import click

from artifact_pipeline.builder.escapes import write_out, write_out_json
from artifact_pipeline.errors import CheckFailed, PipelineError, StoreError, VerificationError

if TYPE_CHECKING:
    from artifact_pipeline.pipeline.record import Job

# What GitHub's runner would take for a command, where a user's text begins a line of the log.
_COMMAND = re.compile(r"(?m)^(?=\s*::)|##(?=\[)")


def set_up() -> None:
    """Let no character be unprintable: a terminal without it gets a question mark.

    A standard stream that is closed becomes /dev/null for what is opened or started from here on:
    a file under its descriptor would be written as output is.
    """
    with suppress(OSError):
        while (handle := os.open(os.devnull, os.O_RDWR)) < 3:
            os.set_inheritable(handle, True)
        os.close(handle)
    if isinstance(getattr(sys.stdout, "buffer", None), io.RawIOBase):
        # As PYTHONUNBUFFERED has it; what a full disk did not take would be dropped silently.
        whole = io.BufferedWriter(sys.stdout.buffer)
        sys.stdout = io.TextIOWrapper(whole, sys.stdout.encoding, line_buffering=True)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


def check_standard_output() -> None:
    """Do nothing if standard output can be written, as far as that can be known before.

    Called before a command does anything, so that none is done whose answer is lost.

    Raises:
        StoreError: if it is closed, or the disk behind it is full.
        BrokenPipeError: if nobody reads it.
    """
    where = "standard output"
    if sys.stdout is None:
        raise StoreError("is closed; send it to /dev/null if nobody is to read it", where=where)
    try:
        handle = sys.stdout.fileno()
    except (OSError, ValueError):  # no file but an object, as in a notebook
        return
    try:
        os.write(handle, b"")
        status = os.fstat(handle)
        if stat.S_ISREG(status.st_mode) and hasattr(os, "fstatvfs"):
            disk = os.fstatvfs(handle)
            free = disk.f_bavail if os.geteuid() else disk.f_bfree
            if disk.f_blocks and not free:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        elif stat.S_ISFIFO(status.st_mode) and sys.platform == "linux":
            poll = select.poll()
            poll.register(handle, 0)
            if any(events & select.POLLERR for _, events in poll.poll(0)):
                raise BrokenPipeError
    except BrokenPipeError:
        raise
    except OSError as error:
        raise StoreError(f"cannot be written: {error.strerror}", where=where) from error


def flush() -> None:
    """Write out what is still held back, so that a failure shows now and not at the end.

    Raises:
        StoreError: if it cannot be written.
    """
    with _printing():
        if sys.stdout is not None:
            sys.stdout.flush()


@contextmanager
def _printing() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        said = f"cannot be written: {error.strerror}; what the command had to do is done"
        raise StoreError(said, where="standard output") from error


def drop() -> None:
    """Drop what standard output holds and cannot write, which Python would try again at its end."""
    for stream in (sys.stdout, sys.stderr):
        if stream is None:
            continue
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def document(value: Any) -> None:
    """Print one JSON document on standard output."""
    import msgspec

    try:
        data = msgspec.json.encode(value)
    except UnicodeEncodeError:  # a file's name that is not UTF-8
        data = msgspec.json.encode(_printable(msgspec.to_builtins(value)))
    data = msgspec.json.format(data, indent=2)
    with _printing():
        # `##[` would be a command to GitHub's runner; in JSON it can be written otherwise.
        click.echo(write_out_json(data.decode()).replace("##[", "#\\u0023["))


def text(content: str) -> None:
    """Print for a person, on standard output."""
    with _printing():
        click.echo(harmless(content), color=coloured(sys.stdout))


def say(message: str) -> None:
    """Print a message, on standard error."""
    with suppress(OSError):  # nothing is left to say that on
        click.echo(harmless(write_out(message)), err=True)


def error(failure: PipelineError, as_json: bool) -> None:
    """Print an error: one line on standard error, or a JSON document on standard output."""
    if as_json:
        told = {"kind": failure.kind, "message": failure.message, "where": failure.where}
        answer = {"error": told, "exit_code": failure.exit_code}
        if isinstance(failure, VerificationError):
            answer["verified"] = False
        run = failure.run if isinstance(failure, CheckFailed) else None
        with suppress(OSError):  # the line below is left to say it
            document({**(_builtins(run) if run else {}), **answer})
    line = " ".join(write_out(str(failure)).split())
    with suppress(OSError):
        click.echo(
            click.style("error: ", fg="red", bold=True) + line,
            err=True,
            color=coloured(sys.stderr),
        )


def _printable(value: Any) -> Any:
    """Return JSON's values with each byte of a text that is not UTF-8 written out."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if isinstance(value, dict):
        return {_printable(key): _printable(inner) for key, inner in value.items()}
    return [_printable(inner) for inner in value] if isinstance(value, list) else value


def _builtins(value: Any) -> dict[str, Any]:
    import msgspec

    found: dict[str, Any] = msgspec.to_builtins(value)
    return found


def harmless(content: str) -> str:
    """Return `content` such that no line of it is a command to GitHub's runner."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return content
    return _COMMAND.sub(lambda found: "# " if found[0] else ".", content)


def coloured(stream: IO[str] | None) -> bool:
    """Return whether a stream is a terminal, of a person who has not asked for plain text."""
    if stream is None:  # it was closed before Python began
        return False
    plain = "NO_COLOR" in os.environ or os.environ.get("CI") or os.environ.get("TERM") == "dumb"
    return stream.isatty() and not plain


def job_line(job: Job) -> str:
    """Return what a person reads of a job."""
    colour = {"done": "green", "failed": "red"}.get(job.outcome, "yellow")
    outcome = click.style(f"{job.outcome:<8}", fg=colour)
    seconds = f"{job.seconds:6.2f} s" if job.outcome != "running" else " " * 8
    return f"  {job.name:<10} {outcome}{seconds}  {write_out(job.note)}".rstrip()


class Progress:
    """Shows each job: while it runs, on a terminal alone; once it has ended, everywhere.

    A line that cannot be printed stops no job; the answer at the end meets the same failure.
    """

    def __init__(self, stream: IO[str] | None) -> None:
        self._stream = stream
        self._live = coloured(stream)

    def __call__(self, job: Job) -> None:
        with suppress(OSError):
            self._show(job)

    def _show(self, job: Job) -> None:
        if job.outcome == "running":
            if self._live:
                click.echo(job_line(job), file=self._stream, nl=False, color=True)
            return
        begin = "\r\x1b[K" if self._live else ""
        click.echo(begin + job_line(job), file=self._stream, color=self._live)
