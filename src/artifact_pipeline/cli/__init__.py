"""The command line: parse, call one function, print. Nothing else prints or exits."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click

from artifact_pipeline.cli import github, output
from artifact_pipeline.cli.commands import group
from artifact_pipeline.errors import CallError, PipelineError


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
    output.set_up()
    try:
        yield
    except PipelineError as error:
        output.error(error, as_json)
        github.annotate(error)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader of the output has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (click.Abort, KeyboardInterrupt):
        output.say("interrupted; what was stored before is as it was")
        sys.exit(130)
