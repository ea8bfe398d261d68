"""The commands that show, list and compare artifacts."""

from __future__ import annotations

import click

import artifact_pipeline as api
from artifact_pipeline.cli import completion, options, output
from artifact_pipeline.cli.group import Command
from artifact_pipeline.cli.layout import short
from artifact_pipeline.cli.render.artifacts import shown
from artifact_pipeline.cli.render.comparison import compared
from artifact_pipeline.cli.render.runs import RUNS, listed


@click.command(cls=Command)
@options.ARTIFACT
@options.STORE_TO_READ
@options.JSON
def show(artifact: str, store: str | None, *, as_json: bool) -> None:
    """Show the recipe, metrics, checks and history of ARTIFACT."""
    output.answer(api.show(artifact, store=store), shown, as_json=as_json)


@click.command(cls=Command)
@options.ARTIFACT
@click.option("-o", "--output", "path", metavar="FILE", default="report.html", show_default=True,
              shell_complete=completion.file, help="File to write.")  # fmt: skip
@options.STORE_TO_READ
@options.JSON
def report(artifact: str, path: str, *, store: str | None, as_json: bool) -> None:
    """Write the report of ARTIFACT as one self-contained HTML file."""
    digest = api.write_report(artifact, path, store=store)
    if as_json:
        output.document({"digest": digest, "report": path})
    else:
        output.text(f"wrote {path}: the report of {short(digest)}")


@click.command(name="list", cls=Command)
@options.STORE_TO_READ
@options.JSON
def list_(store: str | None, as_json: bool) -> None:
    """List the artifacts and runs of a store."""
    artifacts = api.artifacts(store=store)
    if as_json:
        output.document({"artifacts": artifacts, "runs": api.runs(store=store)})
    else:
        from artifact_pipeline.store.store import Store

        records = api.runs(limit=RUNS, store=store)
        count = Store(store).run_index.count()
        output.text(listed(artifacts, records, count=count))


@click.command(cls=Command)
@click.argument("a", shell_complete=completion.artifact)
@click.argument("b", shell_complete=completion.artifact)
@click.argument("others", metavar="[C]...", nargs=-1, shell_complete=completion.artifact)
@options.DATA
@options.STORE_TO_READ
@options.JSON
def compare(
    a: str,
    b: str,
    *,
    others: tuple[str, ...],
    data: str | None,
    store: str | None,
    as_json: bool,
) -> None:
    """Compare the recipes, metrics and predictions of artifacts.

    A paired test decides whether B and each C differ from A by more than chance.
    """
    result = api.compare(a, b, *others, store=store, data=data)
    output.answer(result, compared, as_json=as_json)
