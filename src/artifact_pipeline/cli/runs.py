"""The command that lists runs."""

from __future__ import annotations

import click

from artifact_pipeline.cli import options, output
from artifact_pipeline.cli.group import Command
from artifact_pipeline.errors import CallError, Location

SHOWN = 20
"""The number of runs that a table shows by default."""


@click.command(cls=Command)
@click.option("--name", metavar="NAME", help="Only runs of this model.")
@click.option("--sort", metavar="FIELD", help="Sort by a metric, best first, or another field.")
@click.option("--best", metavar="METRIC", help="Only the best run of each model.")
@click.option("--where", metavar="CONDITION",
              help="Only runs that match, such as 'test.roc_auc > 0.8 and params.C < 1'.",
              )  # fmt: skip
@click.option("--since", metavar="DATE", help="Only runs since a date (UTC), or a time and zone.")
@click.option("--limit", metavar="N", type=click.IntRange(1),
              help=f"Show at most N runs [default: {SHOWN} in a table, else all].")  # fmt: skip
@click.option("--columns", metavar="FIELDS",
              help="Fields to show, such as started,params.C,test.accuracy.")  # fmt: skip
@click.option("--format", "form", type=click.Choice(["table", "csv", "json", "md"]),
              help="Format of the output [default: table].")  # fmt: skip
@options.STORE_TO_READ
@options.JSON
def runs(
    name: str | None,
    sort: str | None,
    *,
    best: str | None,
    where: str | None,
    since: str | None,
    limit: int | None,
    columns: str | None,
    form: str | None,
    store: str | None,
    as_json: bool,
) -> None:
    """List runs, newest first, with what differs between them.

    The change of the headline metric is against the model's champion. Fields are those of
    --json: name, seconds, cached, params.C, split.test_size, test.accuracy, cv.accuracy, …
    """
    from artifact_pipeline.cli.render import run_table
    from artifact_pipeline.store.run_fields import value_of
    from artifact_pipeline.store.run_query import RunQuery, select

    if as_json and form not in (None, "json"):
        problem = f"expected one of --json and --format {form}"
        raise CallError(problem, location=Location("--format"))
    form = "json" if as_json else form or "table"
    most = limit or SHOWN + 1 if form == "table" else limit
    selection = select(
        RunQuery(name=name, where=where, since=since, sort=sort, best=best, limit=most),
        columns=None if columns is None else [column.strip() for column in columns.split(",")],
        store=store,
    )
    has_more = limit is None and form == "table" and len(selection.rows) > SHOWN
    rows = selection.rows[:SHOWN] if has_more else selection.rows
    fields, extra = selection.columns, selection.ordered_by
    if form == "json" and fields is None:
        output.document({"runs": rows})
    elif form == "json":
        output.document({"runs": [{name: value_of(row, name) for name in fields or ()}
                                  for row in rows]})  # fmt: skip
    elif form == "csv":
        output.text(run_table.as_csv(rows, fields))
    elif not rows:
        filters = (name, where, since, best)
        is_empty = all(option is None for option in filters)
        output.text("0 runs; train a model: artifact-pipeline run" if is_empty else "0 runs match")
    elif form == "md":
        output.text(run_table.as_markdown(rows, extra=extra, columns=fields))
    else:
        output.text(run_table.as_table(rows, extra=extra, columns=fields))
        if has_more:
            output.text("  … and more; --limit N shows N of them")
