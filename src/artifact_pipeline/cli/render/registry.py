"""Aliases, tags and their history as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from artifact_pipeline.builder.escapes import write_out
from artifact_pipeline.cli.layout import counted, paragraph, short
from artifact_pipeline.cli.render.metrics import headlines

if TYPE_CHECKING:
    from artifact_pipeline.store.events import Evidence, Promotion, RemovedAlias, TagChange
    from artifact_pipeline.store.history import AliasAt, HistoryEntry


def promoted(move: Promotion) -> str:
    """Return what an alias names now and named before."""
    before, adverb = "", "again" if move.rollback else "now"
    if move.instead_of == move.digest:
        adverb = "still"
    elif move.instead_of:
        version = "" if move.instead_of_version is None else f"version {move.instead_of_version}, "
        before = f"; it was {version}{short(move.instead_of)}"
    lines = [f"{move.name}@{move.alias} is {adverb} version {move.version}, "
             f"{short(move.digest)}{before}"]  # fmt: skip
    if len(over := move.went_back_over) > 1:
        lines.append(f"undone: versions {', '.join(map(str, over))}")
    return "\n".join(lines)


def alias_removed(removal: RemovedAlias) -> str:
    """Return which alias was removed, and what it named."""
    version = f"version {removal.version}, " if removal.version else ""
    return f"removed {removal.name}@{removal.alias}, which named {version}{short(removal.digest)}"


def tagged(changes: list[TagChange]) -> str:
    """Return the tags that were set and removed."""
    return "\n".join(map(_tag_change, changes)) or "nothing changed"


def tag_lines(tags: Mapping[str, str]) -> list[str]:
    """Return a line for each tag."""
    return [write_out(f"{key}={value}") for key, value in tags.items()] or ["no tags"]


def _tag_change(change: TagChange) -> str:
    before = "" if change.before is None else f", before {change.before}"
    if change.value is None:
        return write_out(f"removed {change.key}{before}")
    return write_out(f"{change.key}={change.value}{before}")


def past_events(entries: list[HistoryEntry]) -> str:
    """Return a line for each event, with its message and its evidence."""
    if not entries:
        return "no events"
    lines = []
    for entry in entries:
        when = entry.when[:19].replace("T", " ")
        by = f", by {entry.by}" if entry.by else ""
        lines.append(paragraph(write_out(f"{when}  {_event(entry)}{by}"), hanging=" " * 23))
        if entry.message:
            lines.append(paragraph(write_out(entry.message), indent=" " * 23))
        if entry.evidence is not None:
            lines.append(paragraph(write_out(_evidence(entry.evidence)), indent=" " * 23))
        for move in entry.moves:
            lines.append(paragraph(write_out(_remote_move(move)), indent=" " * 23))
    return "\n".join(line for line in lines if line)


def _event(entry: HistoryEntry) -> str:
    version = f"version {entry.version}" if entry.version else short(entry.digest)
    if entry.event == "moved":
        verb = "rolled back" if entry.rollback else "moved"
        before = f", from {entry.instead_of_version}" if entry.instead_of_version else ""
        if len(over := entry.went_back_over) > 1:
            before += f", undoing {', '.join(map(str, over))}"
        return f"{entry.alias} {verb} to {version}{before}"
    if entry.event == "tagged":
        if entry.value is None:
            return f"{version} is no longer tagged {entry.key}={entry.before}"
        return f"{version} was tagged {entry.key}={entry.value}"
    if entry.event == "removed":
        reason = "" if entry.is_wanted else ", which did not verify"
        return f"{entry.alias} was removed from {version}{reason}"
    if entry.event == "pulled":
        return f"{version} was pulled from {entry.remote}"
    return f"{version} was {entry.event}"


def _remote_move(move: Promotion) -> str:
    message = f": {move.message}" if move.message else ""
    return f"in the remote, {move.alias} moved to it on {move.when[:10]}, by {move.by}{message}"


def _evidence(evidence: Evidence) -> str:
    parts = headlines(evidence.metrics)
    if evidence.gates:
        passed = sum(isinstance(gate, dict) and gate.get("passed") is True
                     for gate in evidence.gates)  # fmt: skip
        parts.append(f"{passed} of {counted(len(evidence.gates), 'gate')} passed")
    if evidence.signature is not None:
        parts.append("signed by the required signer" if evidence.signers else "signed")
    return ", ".join(parts)


def named_at(results: list[AliasAt]) -> str:
    """Return what each alias named at a time."""
    lines = []
    for result in results:
        label = f"{result.name}@{result.alias}"
        if result.digest is None:
            lines.append(f"{label} named no version on {result.at}")
            continue
        version = f"version {result.version}, " if result.version else ""
        span = f"since {result.since}" + (f" until {result.until}" if result.until else "")
        lines.append(f"{label} was {version}{short(result.digest)}, {span}")
    return "\n".join(lines) or "no alias was moved"
