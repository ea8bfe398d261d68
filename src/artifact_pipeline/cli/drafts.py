"""The commands that help to write a config."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

import artifact_pipeline as api
from artifact_pipeline.builder.config.source import DEFAULT_PATH, check_extension
from artifact_pipeline.cli import completion, options, output
from artifact_pipeline.cli.group import Command
from artifact_pipeline.cli.render.drafts import ambiguous, drafted, wrote


@click.command(cls=Command)
@click.argument("data", shell_complete=completion.file)
@click.option("-t", "--target", metavar="COLUMN", required=True, shell_complete=completion.column,
              help="Column to predict.")  # fmt: skip
@click.option("-m", "--model", metavar="NAME",
              help="Estimator, such as RandomForestClassifier [default: linear, or a "
              "random forest if clearly better].")  # fmt: skip
@click.option("--id", metavar="COLUMN", shell_complete=completion.column,
              help="Column that identifies a row.")  # fmt: skip
@click.option("--group", metavar="COLUMN", shell_complete=completion.column,
              help="Keep its values on one side of the split.")  # fmt: skip
@click.option("--time", metavar="COLUMN", shell_complete=completion.column,
              help="Hold out the latest rows by this column.")  # fmt: skip
@click.option("--day-first/--month-first", default=None, help="How to read 03/04/2026.")
@click.option("-o", "--output", "path", metavar="FILE", default=DEFAULT_PATH, show_default=True,
              shell_complete=completion.file,
              help="Config to write; - for standard output.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace the config if it exists.")
@options.JSON
def init(
    data: str, target: str, *, path: str, overwrite: bool, as_json: bool, **arguments: Any
) -> None:
    """Draft a config for the table DATA and explain each choice.

    DATA is a .csv, .parquet or .jsonl file, which may be packed, or a folder of them. The
    output shows each column and how the config uses it.
    """
    to_stdout = path == "-"
    if not to_stdout:
        check_extension(path)
        options.check_not_input(path, [data])
    folder = Path() if to_stdout else Path(path).parent
    draft = api.draft(data, target, base=folder, **arguments)
    if draft.ambiguous_dates and not as_json and _is_interactive():
        question = f"{ambiguous(draft)} Is the day first?"
        arguments["day_first"] = click.confirm(question, err=True)
        draft = api.draft(data, target, base=folder, **arguments)
    if not to_stdout:
        folder.mkdir(parents=True, exist_ok=True)
        api.write_config(draft, path, overwrite=overwrite)
    if as_json:
        output.document(
            {
                "config": draft.config if to_stdout else path,
                "rows": draft.rows,
                "columns": draft.columns,
                "choices": draft.choices,
            }
        )
    elif to_stdout:
        output.document(draft.config)
        for line in drafted(draft).splitlines():
            output.say(line)
    else:
        output.text(f"{drafted(draft)}\n\n{wrote(path)}")


@click.command(cls=Command)
@click.option("--json", "as_json", is_flag=True, help="No effect: a schema is always JSON.")
def schema(as_json: bool) -> None:
    """Print the JSON Schema of configs."""
    output.document(api.schema())


def _is_interactive() -> bool:
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))
