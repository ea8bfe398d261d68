"""Completion in a shell: the command that prints a shell's script, and the completions."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

import click

from artifact_pipeline.cli import output
from artifact_pipeline.cli.group import Command
from artifact_pipeline.errors import PipelineError
from artifact_pipeline.store.pointers import LATEST

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from artifact_pipeline.store.models import ModelHistory

Items: TypeAlias = "list[CompletionItem]"
VARIABLE = "_ARTIFACT_PIPELINE_COMPLETE"


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    It completes commands, options, files, and the store's aliases and digests. Put the line
    below for your shell into ~/.bashrc, ~/.zshrc or ~/.config/fish/config.fish.
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    root = click.get_current_context().find_root().command
    script = kind(root, {}, "artifact-pipeline", VARIABLE)
    output.text(script.source_template % script.source_vars())


def _item(value: str, *, kind: str = "plain", note: str | None = None) -> CompletionItem:
    from click.shell_completion import CompletionItem  # only a shell that completes needs it

    return CompletionItem(value, type=kind, help=note)


def file(_: click.Context, __: click.Parameter, incomplete: str) -> Items:
    """Complete the path of a file."""
    return [_item(incomplete, kind="file")]


def folder(_: click.Context, __: click.Parameter, incomplete: str) -> Items:
    """Complete the path of a folder."""
    return [_item(incomplete, kind="dir")]


def alias_name(context: click.Context, _: click.Parameter, incomplete: str) -> Items:
    """Complete an alias without the name of its model."""
    names = sorted({alias for own in _aliases(context).values() for alias in own})
    return [_item(name) for name in names if name.startswith(incomplete)]


def alias(context: click.Context, _: click.Parameter, incomplete: str) -> Items:
    """Complete an alias of a model: `NAME@ALIAS`."""
    return [item for item in _labels(context) if item.value.startswith(incomplete)]


def model(context: click.Context, _: click.Parameter, incomplete: str) -> Items:
    """Complete the name of a model, or an alias of one."""
    items = [_item(name) for name in _histories(context)] + _labels(context)
    return [item for item in items if item.value.startswith(incomplete)]


def artifact(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Complete a reference to an artifact of the store, or else the path of a folder.

    Versions are completed once the name is complete, digests after their first characters.
    """
    items = [_item(LATEST)] if _has_latest(context) else []
    items += _labels(context)
    items = [item for item in items if item.value.startswith(incomplete)]
    name, colon, _ = incomplete.partition(":")
    if colon and name in (histories := _histories(context)):
        versions = [f"{name}:{version}" for version in histories[name].versions]
        items += [_item(word) for word in versions if word.startswith(incomplete)]
    prefix = "sha256:" if incomplete.startswith("sha256:") else ""
    # The prefix announces an exact digest; otherwise 12 digits name an artifact.
    end = None if prefix else 12
    items += [
        _item(value)
        for digest in _digests(context)
        if (value := prefix + digest.removeprefix("sha256:")[:end]).startswith(incomplete)
    ]
    return items or folder(context, parameter, incomplete)


def digest(context: click.Context, _: click.Parameter, incomplete: str) -> Items:
    """Complete a full digest of the store."""
    return [_item(name) for name in _digests(context) if name.startswith(incomplete)]


def served(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Complete an artifact, with or without the name that it is served by."""
    name, equals, reference = incomplete.partition("=")
    if not equals:
        return artifact(context, parameter, incomplete)
    items = artifact(context, parameter, reference)
    return [_item(f"{name}={item.value}") for item in items if item.type == "plain"]


def column(context: click.Context, _: click.Parameter, incomplete: str) -> Items:
    """Complete a column of the table that the command names, if it is a CSV."""
    import csv
    import itertools
    from pathlib import Path

    # An option without a value ends parsing early, and leaves the arguments unparsed.
    path, names = str(context.params.get("data") or next(iter(context.args), "")), []
    with suppress(OSError, ValueError, csv.Error), Path(path).open(encoding="utf-8-sig") as file:
        head = "".join(itertools.islice(file, 1))[: 1 << 16]
        delimiter = max(",;\t|", key=head.count)
        names = next(csv.reader([head], delimiter=delimiter), [])
    return [_item(name) for name in names if name.startswith(incomplete)]


def _labels(context: click.Context) -> Items:
    return [
        _item(f"{name}@{alias}", note=digest[7:19])
        for name, own in _aliases(context).items()
        for alias, digest in own.items()
    ]


def _aliases(context: click.Context) -> dict[str, dict[str, str]]:
    from artifact_pipeline.store.store import Store

    # A store that cannot be read completes nothing; the command itself reports why.
    with suppress(PipelineError, OSError):
        return Store(context.params.get("store")).aliases_by_model()
    return {}


def _has_latest(context: click.Context) -> bool:
    from artifact_pipeline.store.store import Store

    with suppress(PipelineError, OSError):
        return Store(context.params.get("store")).aliases.get(LATEST) is not None
    return False


def _histories(context: click.Context) -> dict[str, ModelHistory]:
    from artifact_pipeline.store.store import Store

    with suppress(PipelineError, OSError):
        return Store(context.params.get("store")).models.histories()
    return {}


def _digests(context: click.Context) -> list[str]:
    from artifact_pipeline.store.store import Store

    with suppress(PipelineError, OSError):
        return Store(context.params.get("store")).artifacts.digests()
    return []
