"""The command that predicts rows."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

import artifact_pipeline as api
from artifact_pipeline.builder.data import remote_files
from artifact_pipeline.builder.data.table_files import check_is_file
from artifact_pipeline.cli import completion, options, output
from artifact_pipeline.cli.group import Command
from artifact_pipeline.cli.render.predictions import (
    file_remarks,
    predicted,
    remarks,
    written,
    written_files,
)
from artifact_pipeline.errors import CallError, Location


@click.command(cls=Command)
@options.ARTIFACT
@click.argument("rows", required=False, shell_complete=completion.file)
@click.option("-o", "--output", "path", metavar="FILE", shell_complete=completion.file,
              help="Write a table: .csv, .parquet, .jsonl or .arrow; a folder for a folder of "
              "rows; - for standard output.")  # fmt: skip
@click.option("--keep", metavar="COLUMN", multiple=True,
              help="Column of ROWS to carry over; repeatable.")  # fmt: skip
@click.option("--on-error", type=click.Choice(["fail", "skip"]), default="fail",
              show_default=True, help="What to do with rows that cannot be read.")  # fmt: skip
@click.option("--resume", is_flag=True,
              help="Continue an output that was interrupted.")  # fmt: skip
@options.engine("predict the parts of a folder")
@options.SCHEDULER
@options.DATA
@options.trust_options
@options.STORE_TO_READ
@options.JSON
def infer(
    artifact: str,
    rows: str | None,
    *,
    path: str | None,
    keep: tuple[str, ...],
    on_error: str,
    resume: bool,
    engine: str,
    scheduler: str | None,
    data: str | None,
    store: str | None,
    as_json: bool,
    **trusted: Any,
) -> None:
    """Predict the rows in the file ROWS, or the held-out rows.

    ROWS is a .csv, .json or .npy file; for a model of a table, a .csv, .parquet or .jsonl file.
    - reads standard input. With --output, ROWS can have any size, and can also be .arrow, a folder
    of parts, or a pattern such as 'parts/*.csv'.
    """
    from artifact_pipeline.inference.output import check_name

    settings: dict[str, Any] = {"keep": keep, "on_error": on_error, "resume": resume}
    settings |= {"engine": engine, "scheduler": scheduler}
    if rows is not None and path is not None:
        settings |= options.trust(trusted, store)
        _infer_files(artifact, rows, path=path, as_json=as_json, options=settings)
        return
    defaults = {"keep": (), "on_error": "fail", "resume": False}
    defaults |= {"engine": "local", "scheduler": None}
    for option, value in settings.items():
        if value != defaults[option]:
            name = f"--{option.replace('_', '-')}"
            raise CallError("needs ROWS and --output", location=Location(name))
    name = "standard input" if rows == "-" else rows or ""
    if path is not None:
        check_name(path)
        inputs = [data]
        if data is None and os.path.lexists(path):
            record = api.show(artifact, store=store).record
            inputs.append(record.data if record else None)
        options.check_not_input(path, inputs)
    content = None if rows is None else _read(rows)
    result = api.infer(artifact, content, name=name, data=data, **options.trust(trusted, store))
    for remark in remarks(result):
        output.say(remark)
    if path is not None:
        api.write_predictions(result, path)
    if as_json or path is None:
        output.answer(result, predicted, as_json=as_json)
    else:
        output.text(written(result, path))


def _infer_files(
    artifact: str, rows: str, *, path: str, as_json: bool, options: dict[str, Any]
) -> None:
    if path == "-" and as_json:
        problem = "both write to standard output"
        raise CallError(problem, location=Location("--output - and --json"))
    is_free = path != "-" or sys.stdout is None or not sys.stdout.isatty()
    with output.progress("infer", is_free=is_free) as report:
        result = api.infer_files(artifact, rows, output=path, report=report, **options)
    for remark in file_remarks(result):
        output.say(remark)
    if as_json:
        output.document(result)
    elif path == "-":
        output.say(written_files(result))
    else:
        output.text(written_files(result))


def _read(rows: str) -> bytes:
    if rows == "-" and sys.stdin is None:
        problem = "rows cannot be read: it is closed"
        raise CallError(problem, location=Location("standard input"))
    if rows == "-":
        return sys.stdin.buffer.read()
    if remote_files.is_remote(rows):
        with remote_files.open_file(rows) as file:
            return file.read()
    check_is_file(rows)
    try:
        return Path(rows).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CallError(f"rows cannot be read: {reason}", location=Location(rows)) from error
