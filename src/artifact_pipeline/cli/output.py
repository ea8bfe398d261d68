"""Output for people and programs: plain in pipes, coloured on a terminal, or one JSON document."""

from __future__ import annotations

import errno
import io
import os
import re
import select
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any

import click
import msgspec

from artifact_pipeline.builder.escapes import write_out, write_out_json
from artifact_pipeline.builder.progress import Estimator, ReportProgress
from artifact_pipeline.cli import layout
from artifact_pipeline.errors import (
    CheckFailed,
    Location,
    PipelineError,
    StoreError,
    VerificationError,
)
from artifact_pipeline.log import VERBOSE_ENV_VAR, is_verbose, scrub

if TYPE_CHECKING:
    from artifact_pipeline.pipeline.record import Job

# GitHub's runner executes log lines that begin like this.
_COMMAND = re.compile(r"(?m)^(?=\s*::)|##(?=\[)")


_QUIET_SECONDS = 30.0
"""The time between the lines of a running job where the stream is not a terminal."""
_NOTE = 31
"""The column at which the note of a job begins."""
_STANDARD_OUTPUT = Location("standard output")


def set_up() -> None:
    """Prepare the standard streams.

    A character that a terminal cannot show becomes a question mark. A standard stream that is
    closed becomes /dev/null for files and processes opened later: a file that got its descriptor
    would receive output.
    """
    with suppress(OSError):
        while (handle := os.open(os.devnull, os.O_RDWR)) < 3:
            os.set_inheritable(handle, True)
        os.close(handle)
    if isinstance(getattr(sys.stdout, "buffer", None), io.RawIOBase):
        # With PYTHONUNBUFFERED, Python silently drops what a full disk did not take.
        buffer = io.BufferedWriter(sys.stdout.buffer)
        sys.stdout = io.TextIOWrapper(buffer, sys.stdout.encoding, line_buffering=True)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
    if is_verbose():
        be_verbose()


def be_verbose() -> None:
    """Print the package's log on standard error, here and in processes started from here."""
    import logging

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            module = record.name.removeprefix("artifact_pipeline.")
            say(f"{record.relativeCreated / 1000:8.3f} s  {module}: {record.getMessage()}")

    os.environ[VERBOSE_ENV_VAR] = "1"
    logger = logging.getLogger("artifact_pipeline")
    if not any(isinstance(handler, Handler) for handler in logger.handlers):
        logger.addHandler(Handler())
    logger.setLevel(logging.DEBUG)
    logger.propagate = False


def check_standard_output() -> None:
    """Check that standard output can be written, as far as that can be known in advance.

    Called before a command does any work whose result could not be printed.

    Raises:
        StoreError: If standard output is closed, or on a full disk.
        BrokenPipeError: If its reader is gone.
    """
    if sys.stdout is None:
        raise StoreError(
            "is closed",
            location=_STANDARD_OUTPUT,
            remedy="redirect it to /dev/null if you do not need the output",
        )
    try:
        handle = sys.stdout.fileno()
    except (OSError, ValueError):  # an object in place of a file, as in a notebook
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
        problem = f"cannot be written: {error.strerror}"
        raise StoreError(problem, location=_STANDARD_OUTPUT) from error


def flush() -> None:
    """Flush standard output, so that a failure shows now and not when Python exits.

    Raises:
        StoreError: If it cannot be written.
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
        problem = f"cannot be written: {error.strerror}; the command itself succeeded"
        raise StoreError(problem, location=_STANDARD_OUTPUT) from error


def drop() -> None:
    """Discard buffered output that cannot be written; Python would retry when it exits."""
    for stream in (sys.stdout, sys.stderr):
        if stream is None:
            continue
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def answer(result: Any, view: Callable[[Any], str], *, as_json: bool) -> None:
    """Print a result as JSON, or as the text that `view` makes of it."""
    if as_json:
        document(result)
    else:
        text(view(result))


def document(value: Any) -> None:
    """Print one JSON document on standard output."""
    try:
        data = msgspec.json.encode(value)
    except UnicodeEncodeError:  # a file name that is not UTF-8
        data = msgspec.json.encode(_printable(msgspec.to_builtins(value)))
    data = msgspec.json.format(data, indent=2)
    with _printing():
        # `##[` is a command to GitHub's runner; JSON can escape it.
        click.echo(write_out_json(data.decode()).replace("##[", "#\\u0023["))


def text(content: str) -> None:
    """Print text on standard output."""
    with _printing():
        click.echo(harmless(content), color=coloured(sys.stdout))


def say(message: str) -> None:
    """Print a message on standard error."""
    with suppress(OSError):  # there is nowhere left to report it
        click.echo(harmless(scrub(write_out(message))), err=True)


def error(failure: PipelineError, *, as_json: bool) -> None:
    """Print an error: one line on standard error and, `as_json`, a document on standard output.

    In verbose mode, the traceback comes first.
    """
    if is_verbose():
        import traceback

        for line in "".join(traceback.format_exception(failure)).splitlines():
            say(line)
    if as_json:
        answer: dict[str, Any] = {"error": failure.to_dict(), "exit_code": failure.exit_code}
        if isinstance(failure, VerificationError):
            answer["verified"] = False
        run = failure.run if isinstance(failure, CheckFailed) else None
        with suppress(OSError):  # the one-line error is printed anyway
            document({**(_builtins(run) if run else {}), **answer})
    line = scrub(" ".join(write_out(str(failure)).split()))
    with suppress(OSError):
        click.echo(
            click.style("error: ", fg="red", bold=True) + line,
            err=True,
            color=coloured(sys.stderr),
        )


def _printable(value: Any) -> Any:
    """Return a JSON value with the bytes of its texts that are not UTF-8 escaped."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if isinstance(value, dict):
        return {_printable(key): _printable(inner) for key, inner in value.items()}
    return [_printable(inner) for inner in value] if isinstance(value, list) else value


def _builtins(value: Any) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(value)
    return fields


def harmless(content: str) -> str:
    """Return `content` without anything that GitHub's runner would execute."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return content
    return _COMMAND.sub(lambda match: "# " if match[0] else ".", content)


def coloured(stream: IO[str] | None) -> bool:
    """Return whether to colour a stream: it is a terminal, and its user wants colours."""
    if stream is None:  # it was closed before Python started
        return False
    plain = "NO_COLOR" in os.environ or os.environ.get("CI") or os.environ.get("TERM") == "dumb"
    return stream.isatty() and not plain


def job_line(job: Job) -> str:
    """Return the line that shows a job."""
    return _line(job.name, job.outcome, seconds=job.seconds, note=job.note)


def _line(name: str, outcome: str, *, seconds: float, note: str) -> str:
    colour = {"done": "green", "failed": "red"}.get(outcome, "yellow")
    styled = click.style(f"{outcome:<8}", fg=colour)
    digits = 0 if outcome == "running" else 2
    duration = f"{seconds:6.{digits}f} s" if seconds else " " * 8
    line = f"  {name:<10} {styled}{duration}"
    if not note:
        return line.rstrip()
    if outcome == "running":  # it is drawn again in place, which takes a single line
        return f"{line}  {' '.join(write_out(note).split())}"
    return f"{line}  {layout.paragraph(write_out(note), indent=' ' * _NOTE).lstrip()}"


class LiveLine:
    """A line that shows what running work does and for how long, until it ends.

    A terminal has one line, which is drawn again each second; any other stream gets a line every
    half minute. A line that cannot be printed does not stop the work, because printing the result
    fails in the same way.

    Args:
        stream: Where to show it.
        is_free: Whether nothing else writes to the same terminal meanwhile.
    """

    def __init__(self, stream: IO[str] | None, *, is_free: bool = True) -> None:
        self._stream = stream
        # A log on the same terminal would overwrite the line.
        self._live = is_free and coloured(stream) and not is_verbose()
        self._interval = 1.0 if self._live else _QUIET_SECONDS
        self._lock = threading.Lock()
        self._name: str | None = None
        self._note = ""
        self._start = self._due = 0.0
        self._is_drawn = self._is_repeated = False

    @property
    def name(self) -> str | None:
        """The name of the work that runs, None if there is none."""
        return self._name

    def begin(self, name: str, note: str = "", *, late: bool = False) -> None:
        """Show the line of some work, `late` after the first second."""
        with self._lock:
            self._name, self._note, self._start = name, note, time.monotonic()
            self._due = self._start + self._interval
            if self._live and not late:
                self._draw(0.0)
        if (
            not self._is_repeated
        ):  # one thread for all work: quick work takes less time than a start
            self._is_repeated = True
            threading.Thread(target=self._repeat, daemon=True).start()

    def change(self, note: str) -> None:
        """Show another note from the next line on."""
        self._note = note

    def end(self, last: str | None = None) -> None:
        """Remove the line, and print another one in its place."""
        with self._lock:
            self._name = None
            if last is not None:
                self._print(last, ends=True)
            elif self._live and self._is_drawn:
                self._print("", ends=False)
            self._is_drawn = False

    def _repeat(self) -> None:
        """Draw the line of running work whenever it is due."""
        while True:
            time.sleep(max(self._due - time.monotonic(), 0.0))
            with self._lock:
                now = time.monotonic()
                if now < self._due:  # other work has begun meanwhile
                    continue
                if self._name is not None:
                    self._draw(now - self._start)
                self._due = now + self._interval

    def _draw(self, seconds: float) -> None:
        assert self._name is not None
        self._is_drawn = True
        note = self._note
        if self._live:
            import shutil  # it takes milliseconds, and quick commands show no running work

            columns = shutil.get_terminal_size().columns
            note = layout.truncated(note, max(columns - _NOTE - 1, 1))
        line = _line(self._name, "running", seconds=seconds, note=note)
        self._print(line, ends=not self._live)

    def _print(self, line: str, *, ends: bool) -> None:
        with suppress(OSError, ValueError):  # ValueError: the stream was closed
            begin = "\r\x1b[K" if self._live else ""
            click.echo(begin + line, file=self._stream, nl=ends, color=coloured(self._stream))


class Progress:
    """Shows each job: in a `LiveLine` while it runs, and in its own line when it has ended."""

    def __init__(self, stream: IO[str] | None) -> None:
        self._line = LiveLine(stream)

    def __call__(self, job: Job) -> None:
        if job.outcome != "running":
            self._line.end(job_line(job))
        elif self._line.name == job.name:
            self._line.change(job.note)
        else:
            self._line.begin(job.name, job.note)


@contextmanager
def progress(name: str, *, is_free: bool) -> Iterator[ReportProgress]:
    """Show the progress of some work on standard error while the `with` block runs.

    Args:
        name: The name of the work.
        is_free: As for `LiveLine`.
    """
    line, estimator = LiveLine(sys.stderr, is_free=is_free), Estimator(time.monotonic())
    line.begin(name, late=True)
    try:
        yield lambda phase: line.change(estimator.text(phase, time.monotonic()))
    finally:
        line.end()
