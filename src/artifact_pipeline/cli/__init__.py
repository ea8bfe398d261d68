"""The command line: parse, call one function, print. Nothing else prints or exits."""

from __future__ import annotations

import os
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
from artifact_pipeline.errors import CallError, PipelineError, StoreError


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    # The trainer computes in a process of its own; here BLAS would only start idle threads.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with exit_on_error(as_json="--json" in words):
        try:
            group.main(words, prog_name="artifact-pipeline", standalone_mode=False)
        except click.UsageError as error:
            context = error.ctx.command_path if error.ctx else "artifact-pipeline"
            message = f"{error.format_message()} See {context} --help."
            raise CallError(message, where=context) from error
        except click.exceptions.Exit as asked:
            sys.exit(asked.exit_code)


@contextmanager
def exit_on_error(as_json: bool = False) -> Iterator[None]:
    """Say an error in one line, or as JSON, and exit with its code."""
    try:
        with _signals_raise():
            output.set_up()
            # Before anything is done that could not be told, or in the wrong place.
            output.check_standard_output()
            _check_working_folder()
            yield
            output.flush()
    except PipelineError as error:
        _fail(error, as_json)
    except BrokenPipeError:  # the reader of the output has seen enough, as `head` does
        output.drop()
        sys.exit(1)
    except (click.Abort, KeyboardInterrupt):
        output.say("interrupted; what was stored before is as it was")
        output.drop()
        sys.exit(130)
    except _Ended as ended:
        output.say("terminated; what was stored before is as it was")
        output.drop()
        sys.exit(128 + ended.signal)
    except UnicodeEncodeError as error:
        said = f"{ascii(error.object)[:80]} is not valid UTF-8; rename it"
        _fail(CallError(said, where="a name"), as_json)
    except OSError as error:
        _fail(_translated(error), as_json)


class _Ended(BaseException):
    """A signal that asks the process to end; it unwinds the stack as Ctrl-C does."""

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.signal = signal


@contextmanager
def _signals_raise() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the work in order, so that no trainer and nothing half is left."""

    ours: list[int] = []

    def end(number: int, _: object) -> None:
        for one in ours:  # what it unwinds is not interrupted again
            signal.signal(one, signal.SIG_IGN)
        raise _Ended(number)

    if threading.current_thread() is not threading.main_thread():  # only it may set handlers
        yield
        return
    for name in ("SIGTERM", "SIGHUP"):
        one = getattr(signal, name, None)
        if one is not None and signal.getsignal(one) is signal.SIG_DFL:
            ours.append(one)  # and not where it is ignored, as under nohup
            signal.signal(one, end)
    try:
        yield
    finally:
        for one in ours:
            signal.signal(one, signal.SIG_DFL)


def _fail(error: PipelineError, as_json: bool) -> NoReturn:
    output.error(error, as_json)
    github.annotate(error)
    output.drop()
    sys.exit(error.exit_code)


def _check_working_folder() -> None:
    try:
        Path.cwd()
    except OSError as error:
        said = f"cannot be found: {error.strerror}; change to another"
        raise StoreError(said, where="the working folder") from error


def _translated(error: OSError) -> StoreError:
    """Return an error of the operating system as one of the package."""
    said, where = error.strerror or str(error), error.filename
    return StoreError(said, where=None if where is None else os.fsdecode(where))
