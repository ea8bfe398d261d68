"""The command that writes the board."""

from __future__ import annotations

import click

import artifact_pipeline as api
from artifact_pipeline.builder.escapes import write_out
from artifact_pipeline.cli import completion, options, output
from artifact_pipeline.cli.group import Command


@click.command(cls=Command)
@click.option("-o", "--output", "path", metavar="PATH", default="board.html", show_default=True,
              shell_complete=completion.file,
              help="HTML file to write, or folder for index.html and the reports.",
              )  # fmt: skip
@options.STORE_TO_READ
@options.JSON
def board(path: str, store: str | None, *, as_json: bool) -> None:
    """Write a page that compares all runs of a store.

    The page is one HTML file that needs no server or network.
    """
    written = api.write_board(path, store=store)
    if as_json:
        output.document(written)
    else:
        runs = f"{written.runs:,} run{'' if written.runs == 1 else 's'}"
        if written.of > written.runs:
            runs = f"the newest {written.runs:,} of {written.of:,} runs"
        reports = f", and {written.reports:,} of their reports" if written.reports else ""
        output.text(f"wrote {write_out(written.page)}: {runs}{reports}")
