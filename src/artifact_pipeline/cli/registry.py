"""The commands for names, versions, aliases and tags."""

from __future__ import annotations

import click

import artifact_pipeline as api
from artifact_pipeline.cli import completion, options, output
from artifact_pipeline.cli.group import Command
from artifact_pipeline.cli.render.registry import (
    alias_removed,
    named_at,
    past_events,
    promoted,
    tag_lines,
    tagged,
)
from artifact_pipeline.cli.render.stores import pruned
from artifact_pipeline.errors import CallError, Location

MESSAGE = click.option("-m", "--message", metavar="TEXT", help="Reason, for the history.")


@click.command(cls=Command)
@click.argument("artifact", required=False, shell_complete=completion.artifact)
@click.option("-a", "--as", "alias", metavar="ALIAS", default="champion", show_default=True,
              shell_complete=completion.alias_name, help="Alias to move.")  # fmt: skip
@click.option("--remote", metavar="REMOTE",
              help="Push to this remote and move its alias first.")  # fmt: skip
@click.option("--remove", metavar="NAME@ALIAS", shell_complete=completion.alias,
              help="Remove this alias instead.")  # fmt: skip
@MESSAGE
@options.STORE_TO_READ
@options.JSON
def promote(
    artifact: str | None,
    alias: str,
    *,
    remote: str | None,
    remove: str | None,
    message: str | None,
    store: str | None,
    as_json: bool,
) -> None:
    """Move an alias of a model to ARTIFACT.

    The history records who moved it, when, why, and with what evidence.
    """
    if (artifact is None) == (remove is None):
        problem = "expected either ARTIFACT or --remove NAME@ALIAS"
        raise CallError(problem, location=Location("promote"))
    if remove is not None:
        if remote is not None:
            problem = "removes an alias of the store only"
            raise CallError(problem, location=Location("--remove"), remedy="leave out --remote")
        removal = api.remove_alias(remove, message=message, store=store)
        output.answer(removal, alias_removed, as_json=as_json)
        return
    assert artifact is not None
    if remote is not None:
        api.promote_remote(artifact, remote, alias=alias, message=message, store=store)
    move = api.promote(artifact, alias, message=message, store=store)
    output.answer(move, promoted, as_json=as_json)


@click.command(cls=Command)
@click.argument("alias", metavar="NAME@ALIAS", shell_complete=completion.alias)
@click.option("--to", metavar="VERSION", type=click.IntRange(1),
              help="Version to go back to [default: the previous one].")  # fmt: skip
@MESSAGE
@options.STORE_TO_READ
@options.JSON
def rollback(
    alias: str, to: int | None, *, message: str | None, store: str | None, as_json: bool
) -> None:
    """Move an alias back to a version that it named before.

    The artifact is verified before the alias moves.
    """
    move = api.rollback(alias, to=to, message=message, store=store)
    output.answer(move, promoted, as_json=as_json)


@click.command(cls=Command)
@click.argument("reference", metavar="NAME[@ALIAS]", shell_complete=completion.model)
@click.option("--at", metavar="DATE",
              help="Show what the alias named at a date (its end in UTC) or a time with "
              "zone.")  # fmt: skip
@options.STORE_TO_READ
@options.JSON
def history(reference: str, at: str | None, *, store: str | None, as_json: bool) -> None:
    """Show the events of a model or of an alias, newest first."""
    if at is not None:
        named = api.alias_at(reference, at, store=store)
        output.answer(named, named_at, as_json=as_json)
    else:
        entries = api.history(reference, store=store)
        output.answer(entries, past_events, as_json=as_json)


@click.command(cls=Command)
@click.option("--keep-last", metavar="N", type=click.IntRange(0), default=0, show_default=True,
              help="Number of last runs of each model to keep.")  # fmt: skip
@click.option("--keep-days", metavar="D", type=click.FloatRange(0, 365_000), default=30.0,
              show_default=True,
              help="Keep artifacts that were in use within this many days.")  # fmt: skip
@click.option("-n", "--dry-run", is_flag=True, help="Only show what would be removed.")
@options.STORE_TO_READ
@options.JSON
def prune(
    keep_last: int, keep_days: float, *, dry_run: bool, store: str | None, as_json: bool
) -> None:
    """Remove artifacts that no alias, tag or recent run names.

    Artifacts that an alias named within --keep-days are kept too. Run records stay.
    """
    report = api.prune(keep_last=keep_last, keep_days=keep_days, dry_run=dry_run, store=store)
    output.answer(report, pruned, as_json=as_json)


@click.command(cls=Command)
@options.ARTIFACT
@click.argument("tags", metavar="[KEY=VALUE]...", nargs=-1)
@click.option("--remove", metavar="KEY", multiple=True, help="Remove a tag; repeatable.")
@MESSAGE
@options.STORE_TO_READ
@options.JSON
def tag(
    artifact: str,
    tags: tuple[str, ...],
    *,
    remove: tuple[str, ...],
    message: str | None,
    store: str | None,
    as_json: bool,
) -> None:
    """Set and remove tags of ARTIFACT, or print them.

    A tag is a key with a text, such as reviewed-by=asha.
    """
    pairs = {}
    for word in tags:
        key, equals, value = word.partition("=")
        if not equals:
            problem = f"found {word[:100]!a}, expected KEY=VALUE"
            raise CallError(problem, location=Location("tag"))
        pairs[key] = value
    if pairs or remove:
        changes = api.tag(artifact, pairs, remove=remove, message=message, store=store)
        output.answer(changes, tagged, as_json=as_json)
        return
    own = api.show(artifact, store=store).tags
    if as_json:
        output.document(own)
    else:
        output.text("\n".join(tag_lines(own)))
