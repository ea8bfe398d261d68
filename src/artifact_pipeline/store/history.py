"""The history of a model, and what its aliases named at a time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time

from msgspec import Struct
from msgspec.structs import replace

from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.errors import ArtifactNotFound, CallError, Location, quoted
from artifact_pipeline.store.events import (
    NAMES,
    Event,
    Evidence,
    Promotion,
    PulledVersion,
    RemovedAlias,
    SealedVersion,
    TagChange,
)
from artifact_pipeline.store.models import ModelHistory, in_utc, parse_time
from artifact_pipeline.store.pointers import ALIAS, LATEST
from artifact_pipeline.store.references import PathLike, parse
from artifact_pipeline.store.store import LISTING, Store, listed


class HistoryEntry(Struct, frozen=True, kw_only=True):
    """One event in the history of a model."""

    event: str
    """`sealed`, `moved`, `removed` (an alias), `tagged`, `pruned` or `pulled`."""
    name: str
    digest: Digest
    version: int | None = None
    when: str
    """UTC, in ISO 8601."""
    by: str | None = None
    alias: str | None = None
    """For a move, the alias."""
    instead_of: Digest | None = None
    instead_of_version: int | None = None
    rollback: bool = False
    went_back_over: list[int] = []
    is_wanted: bool = False
    """For an alias that was removed, whether a user removed it, and not a repair."""
    key: str | None = None
    """For a tag, its key."""
    value: str | None = None
    """The text of the tag; None if it was removed."""
    before: str | None = None
    message: str | None = None
    evidence: Evidence | None = None
    remote: str | None = None
    """For an artifact that was pulled, the address of the remote."""
    moves: list[Promotion] = []
    """The moves of the remote's aliases to it."""

    def __repr__(self) -> str:
        subject = f"{self.name}@{self.alias}" if self.alias else self.name
        tag = f", {self.key}={self.value}" if self.key else ""
        version = self.version or self.digest[7:19]
        return f"HistoryEntry({self.when[:19]}, {self.event} {subject}:{version}{tag})"


class AliasAt(Struct, frozen=True, kw_only=True):
    """What an alias named at a time."""

    name: str
    alias: str
    at: str
    """The time, UTC, in ISO 8601."""
    digest: Digest | None = None
    """None if it named nothing at that time."""
    version: int | None = None
    since: str | None = None
    until: str | None = None
    """None if it still names that."""
    by: str | None = None
    message: str | None = None


def history(reference: str, *, store: PathLike | None = None) -> list[HistoryEntry]:
    """Return the history of a model, or of one of its aliases, newest first.

    Args:
        reference: `NAME` or `NAME@ALIAS`, or an alias by itself if one name has it.
        store: The store.

    Raises:
        ArtifactNotFound: If the store has no such name or alias.
        CallError: If it is an alias of several names.
        StoreError: If the history cannot be read.
    """
    target = Store(store)
    own, alias = _find(target, reference)
    events: list[Event] = [*_earlier_moves(target, own), *own.events]
    if alias is not None:
        events = [event for event in events if _moves(event, alias)]
    return [_entry(event, own) for event in reversed(events)]


def alias_at(reference: str, at: str, *, store: PathLike | None = None) -> list[AliasAt]:
    """Return what an alias, or each alias of a model, named at a time.

    Args:
        reference: As for `history`.
        at: A date, which means its end in UTC, or a time with its zone, both in ISO 8601:
            `2026-03-03`, `2026-03-03T14:00+01:00`.
        store: The store.

    Raises:
        ArtifactNotFound, StoreError: As `history`.
        CallError: As `history`, or if `at` is not a date or a time with its zone.
    """
    moment = _moment(at)
    target = Store(store)
    own, alias = _find(target, reference)
    events: list[Event] = [*_earlier_moves(target, own), *own.events]
    moves = [event for event in events if isinstance(event, Promotion | RemovedAlias)]
    aliases = sorted({move.alias for move in moves}) if alias is None else [alias]
    return [
        _at([move for move in moves if move.alias == each], moment, name=own.name, alias=each)
        for each in aliases
    ]


def _moves(event: Event, alias: str) -> bool:
    return isinstance(event, Promotion | RemovedAlias) and event.alias == alias


def _at(
    moves: list[Promotion | RemovedAlias], moment: datetime, *, name: str, alias: str
) -> AliasAt:
    time_text = in_utc(moment).isoformat(timespec="seconds")
    current = AliasAt(name=name, alias=alias, at=time_text)
    for move in moves:
        if parse_time(move.when) > moment:
            return replace(current, until=move.when) if current.digest else current
        current = AliasAt(name=name, alias=alias, at=time_text)
        if isinstance(move, RemovedAlias):
            continue
        current = replace(
            current,
            digest=move.digest,
            version=move.version,
            since=move.when,
            by=move.by,
            message=move.message,
        )
    return current


def _find(store: Store, reference: str) -> tuple[ModelHistory, str | None]:
    """Return the history that a reference names, and the alias in it, if any."""
    parsed = parse(reference)
    if reference in store.models.names() and parsed.name is None:
        return store.models.history(reference), None
    name = parsed.name
    if parsed.alias is not None and name is None:
        digest = store.digest_of(parsed)
        name = None if digest is None else store.name_of(digest)
    if parsed.alias == LATEST:
        raise CallError(
            "is moved by each run, and has no history",
            location=Location(reference),
            remedy="artifact-pipeline runs lists the runs",
        )
    if name is not None and parsed.alias is not None:
        own = store.models.history(name)
        moved = any(move.alias == parsed.alias for move in own.moves)
        if moved or store.alias(name, parsed.alias) is not None:
            return own, parsed.alias
    known = [f"{name}@{alias}" for name, own in store.aliases_by_model().items() for alias in own
             if alias != LATEST]  # fmt: skip
    raise ArtifactNotFound(
        "no such model or alias",
        location=Location(quoted(reference).strip("'") or "history"),
        remedy=_nearest(reference, [*store.models.names(), *known]),
    )


def _nearest(text: str, known: list[str]) -> str:
    import difflib

    close = difflib.get_close_matches(text[:200], known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}? {LISTING}"
    return f"choose {listed(known)}" if known else LISTING


def _earlier_moves(store: Store, own: ModelHistory) -> list[Promotion]:
    """Return the moves that earlier releases recorded of this model's artifacts, oldest first."""
    moves = [
        replace(move, name=own.name, version=own.numbers.get(move.digest))
        for move in store.journal.promotions()
        if store.name_of(move.digest) == own.name and ALIAS.fullmatch(move.alias)
    ]
    return [move for move in reversed(moves) if _is_time(move.when)]


def _is_time(text: str) -> bool:
    try:
        parse_time(text)
    except ValueError:
        return False
    return True


def _moment(text: str) -> datetime:
    """Return the time in a text; for a date, its last moment in UTC."""
    problem = f"found {quoted(text)}, expected a date or a time with its zone"
    remedy = "such as 2026-03-03, which means its end in UTC, or 2026-03-03T14:00+01:00"
    try:
        moment = datetime.fromisoformat(text)
        if re.fullmatch(r"\d{4}-?\d\d-?\d\d", text, re.ASCII):
            return datetime.combine(moment.date(), time.max, UTC)
        return parse_time(text)
    except ValueError as error:
        raise CallError(problem, location=Location("--at"), remedy=remedy) from error


def _entry(event: Event, own: ModelHistory) -> HistoryEntry:
    entry = HistoryEntry(
        event=NAMES[type(event)],
        name=own.name,
        digest=event.digest,
        version=event.version,
        when=event.when,
    )
    if isinstance(event, Promotion):
        return replace(
            entry,
            by=event.by,
            alias=event.alias,
            instead_of=event.instead_of,
            instead_of_version=event.instead_of_version,
            rollback=event.rollback,
            went_back_over=event.went_back_over,
            message=event.message,
            evidence=event.evidence,
        )
    if isinstance(event, TagChange):
        return replace(
            entry,
            by=event.by,
            key=event.key,
            value=event.value,
            before=event.before,
            message=event.message,
        )
    if isinstance(event, RemovedAlias):
        return replace(
            entry,
            by=event.by,
            alias=event.alias,
            message=event.message,
            is_wanted=event.is_wanted,
        )
    if isinstance(event, PulledVersion):
        return replace(entry, by=event.by, remote=event.remote, moves=event.moves)
    return entry if isinstance(event, SealedVersion) else replace(entry, by=event.by)
