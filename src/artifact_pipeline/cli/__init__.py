"""The command line: parse the arguments, call one function, print its result."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import click

from artifact_pipeline.cli import github, output
from artifact_pipeline.cli.commands import group
from artifact_pipeline.errors import CallError, Location, PipelineError, StoreError
from artifact_pipeline.log import Log

log = Log(__name__)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    # The trainer process computes; here BLAS would only start idle threads.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _drop_empty_variables()
    with exit_on_error(as_json="--json" in words):
        try:
            code = group.main(words, prog_name="artifact-pipeline", standalone_mode=False)
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx else "artifact-pipeline"
            problem, hint = _in_our_words(error.format_message())
            raise CallError(
                problem, location=Location(command), remedy=f"{hint}see {command} --help"
            ) from error
        except click.exceptions.Exit as request:
            code = request.exit_code
        if code:  # of the help that is shown without arguments
            output.flush()
            sys.exit(code)


def _drop_empty_variables() -> None:
    """Remove empty variables of object stores, which their clients would use as values.

    A workflow that passes on an unset secret creates such a variable.
    """
    for name in [name for name, value in os.environ.items() if not value]:
        if name.startswith(("AWS_", "AZURE_", "GOOGLE_")):
            del os.environ[name]


def _in_our_words(message: str) -> tuple[str, str]:
    """Return the problem and the hint of a click message, in the package's own wording."""
    message = re.sub(r"\. Choose from:\s+(.*)", _listed, message, flags=re.DOTALL)
    problem, _, hint = message.rstrip(".").partition(" (Did you mean")
    problem = re.sub(r"not a valid (integer|float) range", "not a number", problem.rstrip("."))
    return problem, f"did you mean{hint.replace(' of:', ' of').rstrip(')')} " if hint else ""


def _listed(match: re.Match[str]) -> str:
    return ": expected one of " + ", ".join(re.findall(r"[^,\s]+", match[1]))


@contextmanager
def exit_on_error(as_json: bool = False) -> Iterator[None]:
    """Print an error in one line, or as JSON, and exit with its code."""
    try:
        with _signals_raise(), log.timed("finished"):
            output.set_up()
            # Before any work whose result could not be printed, or would go to the wrong place.
            output.check_standard_output()
            _check_working_folder()
            yield
            output.flush()
    except PipelineError as error:
        _fail(error, as_json=as_json)
    except BrokenPipeError:  # the reader of the output has closed it, as `head` does
        output.drop()
        sys.exit(1)
    except (click.Abort, KeyboardInterrupt):
        output.say("interrupted; stored artifacts are unchanged")
        output.drop()
        sys.exit(130)
    except _Terminated as terminated:
        output.say("terminated; stored artifacts are unchanged")
        output.drop()
        sys.exit(128 + terminated.signal)
    except UnicodeEncodeError as error:
        problem = f"{ascii(error.object)[:80]} is not valid UTF-8"
        _fail(CallError(problem, location=Location("a name"), remedy="rename it"), as_json=as_json)
    except OSError as error:
        _fail(_translated(error), as_json=as_json)


class _Terminated(BaseException):
    """A signal that ends the process; it unwinds the stack as Ctrl-C does."""

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.signal = signal


@contextmanager
def _signals_raise() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into exceptions, so that no trainer or half-written file is left."""

    handled: list[int] = []

    def terminate(number: int, _: object) -> None:
        for other in handled:  # nothing interrupts the clean-up
            signal.signal(other, signal.SIG_IGN)
        raise _Terminated(number)

    if threading.current_thread() is not threading.main_thread():  # only it can set handlers
        yield
        return
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # Under nohup, SIGHUP stays ignored.
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            handled.append(number)
            signal.signal(number, terminate)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, signal.SIG_DFL)


def _fail(error: PipelineError, *, as_json: bool) -> NoReturn:
    output.error(error, as_json=as_json)
    github.annotate(error)
    output.drop()
    sys.exit(error.exit_code)


def _check_working_folder() -> None:
    try:
        Path.cwd()
    except OSError as error:
        raise StoreError(
            f"cannot be found: {error.strerror}",
            location=Location("the working folder"),
            remedy="change to another folder",
        ) from error


def _translated(error: OSError) -> StoreError:
    """Translate `OSError` into `StoreError`."""
    location = None if error.filename is None else Location(os.fsdecode(error.filename))
    return StoreError(error.strerror or str(error), location=location)
