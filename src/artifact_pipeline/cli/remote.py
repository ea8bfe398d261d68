"""The commands that copy artifacts to and from remotes."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

import artifact_pipeline as api
from artifact_pipeline.cli import completion, options, output
from artifact_pipeline.cli.group import Command, Group
from artifact_pipeline.cli.render.remotes import pulled, pushed, remote_artifacts

if TYPE_CHECKING:
    from artifact_pipeline.remote.transfer import Progress

REMOTE = click.argument("remote", metavar="REMOTE")


@click.command(cls=Command)
@options.ARTIFACT
@REMOTE
@click.option("-t", "--tag", "tags", metavar="ALIAS", multiple=True,
              shell_complete=completion.alias_name,
              help="Also move this alias of REMOTE; repeatable.")  # fmt: skip
@options.STORE_TO_READ
@options.JSON
def push(
    artifact: str, remote: str, *, tags: tuple[str, ...], store: str | None, as_json: bool
) -> None:
    """Copy ARTIFACT to REMOTE.

    The signature, run record and report are copied too. Files that REMOTE already has are not
    transferred again. REMOTE is file:///folder, s3://bucket/prefix, gs://, az:// or
    oci://host/repository.
    """
    with _progress() as progress:
        result = api.push(artifact, remote, tags=tags, store=store, progress=progress)
    output.answer(result, pushed, as_json=as_json)


@click.command(cls=Command)
@click.argument("reference", metavar="REMOTE[@ALIAS|:VERSION|@sha256:…]")
@options.trust_options
@options.STORE
@options.JSON
def pull(reference: str, store: str | None, *, as_json: bool, **trusted: Any) -> None:
    """Verify an artifact of REMOTE and copy it into the store.

    Without an alias, version or digest, pull the artifact that was pushed last. Pulling an alias
    also moves the alias of the same name in the store.
    """
    with _progress() as progress:
        result = api.pull(reference, **options.trust(trusted, store), progress=progress)
    output.answer(result, pulled, as_json=as_json)


@click.group(cls=Group)
def remote() -> None:
    """List what a remote contains."""


@remote.command(name="list")
@REMOTE
@options.JSON
def list_(remote: str, as_json: bool) -> None:
    """List the versions and aliases of REMOTE.

    No artifact is downloaded.
    """
    output.answer(api.list_remote(remote), remote_artifacts, as_json=as_json)


@contextmanager
def _progress() -> Iterator[Progress | None]:
    """Yield a callback that shows the bytes transferred on a terminal, or None without one."""
    if not output.coloured(sys.stderr):
        yield None
        return
    lock = threading.Lock()
    total = shown = 0

    def progress(count: int) -> None:
        nonlocal total, shown
        with lock:
            total += count
            if total - shown >= 1 << 20:
                shown = total
                click.echo(f"\r\x1b[K  {total / 1e6:.0f} MB", err=True, nl=False)

    try:
        yield progress
    finally:
        if shown:
            click.echo("\r\x1b[K", err=True, nl=False)
