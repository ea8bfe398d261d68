"""Transfers and the artifacts of a remote as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from artifact_pipeline.builder.escapes import write_out
from artifact_pipeline.cli.layout import counted, field, short, size, table

if TYPE_CHECKING:
    from artifact_pipeline.remote.listing import RemoteArtifact
    from artifact_pipeline.remote.pull import Pulled
    from artifact_pipeline.remote.push import Pushed


def pushed(result: Pushed) -> str:
    """Return where an artifact is now, and what was transferred."""
    transfer = (
        f"{counted(result.uploaded, 'file')}, {size(result.bytes)}"
        if result.uploaded
        else "nothing; the remote already has every file"
    )
    lines = [
        field("artifact", f"{result.name}:{result.version}, {short(result.digest)}"),
        field("remote", result.remote),
        field("aliases", ", ".join(result.aliases)),
        field("uploaded", transfer),
    ]
    return "\n".join(lines)


def pulled(result: Pulled) -> str:
    """Return what was pulled, and how the store names it."""
    transfer = (
        f"{counted(result.downloaded, 'file')}, {size(result.bytes)}"
        if result.downloaded
        else "nothing; the store already has it"
    )
    alias = "" if result.alias is None else f", {result.name}@{result.alias}"
    signed = "; signed by the required signer" if result.signed else ""
    lines = [
        field("artifact", f"{result.name}:{result.version}{alias}, {short(result.digest)}"),
        field("downloaded", f"{transfer}{signed}"),
        field("folder", result.artifact),
    ]
    return "\n".join(lines)


def remote_artifacts(artifacts: list[RemoteArtifact]) -> str:
    """Return a table of the artifacts of a remote."""
    rows = [
        [f"{item.name}:{item.version or '?'}", short(item.digest), ", ".join(item.aliases)]
        for item in artifacts
    ]
    return write_out(table(rows)) if rows else "no artifacts"
