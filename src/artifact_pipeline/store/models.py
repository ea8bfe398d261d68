"""The models of a store: versions, aliases and tags of each name, with their history.

    models/<name>/journal.jsonl    an event per line: an artifact sealed, moved to, tagged or pruned
    models/<name>/latest           the digest of the artifact of the last run
    models/<name>/lock             locked while an event is appended

The journal is the only record; everything else is computed from it. An event is one line, appended
under a lock, so a writer that is killed leaves the complete event or none, and two writers get
different versions. The version of an artifact is appended before the artifact is renamed into
place: if its writer is killed in between, sealing the artifact again gives it the same version.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from artifact_pipeline import disk
from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.builder.config import model_name
from artifact_pipeline.disk import translate_os_errors
from artifact_pipeline.errors import Location, StoreError
from artifact_pipeline.store.events import (
    KINDS,
    NAMES,
    Event,
    Promotion,
    PrunedVersion,
    RemovedAlias,
    SealedVersion,
    TagChange,
)
from artifact_pipeline.store.folder import REPAIR, StoreFolder
from artifact_pipeline.store.journal import is_deep
from artifact_pipeline.store.pointers import LATEST, Pointers
from artifact_pipeline.store.references import MAX_VERSION

MODELS = "models"
JOURNAL = "journal.jsonl"
LOCK = "lock"
SEAL_WAIT = 30.0
"""Seconds that a new version waits for other writers."""
MOVE_WAIT = 1.0
"""Seconds that a move or a tag waits for other writers."""
MAX_JOURNAL = 64 << 20
"""Bytes of a journal; a larger file was not written by this package."""

_FOLDER = re.compile("(?:[a-z0-9._-]|![a-z])+")


class ModelHistory(Struct, frozen=True, dict=True):
    """The content of the journal of a name. Events are in the order in which they happened."""

    name: str
    events: list[Event]

    @cached_property
    def versions(self) -> dict[int, Digest]:
        """The digest of each version, also of those that were pruned."""
        sealed = (event for event in self.events if isinstance(event, SealedVersion))
        return {event.version: event.digest for event in sealed}

    @cached_property
    def numbers(self) -> dict[Digest, int]:
        """The version of each artifact."""
        return {digest: version for version, digest in self.versions.items()}

    @cached_property
    def moves(self) -> list[Promotion]:
        """The moves of all aliases."""
        return [event for event in self.events if isinstance(event, Promotion)]

    @cached_property
    def aliases(self) -> dict[str, Digest]:
        """The digest that each alias names, without `latest`, which runs move."""
        aliases: dict[str, Digest] = {}
        for event in self.events:
            if isinstance(event, Promotion):
                aliases[event.alias] = event.digest
            elif isinstance(event, RemovedAlias):
                aliases.pop(event.alias, None)
        return aliases

    @cached_property
    def tags(self) -> dict[Digest, dict[str, str]]:
        """The tags of each artifact that has some."""
        tags: dict[Digest, dict[str, str]] = {}
        for event in self.events:
            if isinstance(event, TagChange):
                own = tags.setdefault(event.digest, {})
                own.pop(event.key, None)
                if event.value is not None:
                    own[event.key] = event.value
        return {digest: own for digest, own in tags.items() if own}

    @cached_property
    def pruned(self) -> dict[int, PrunedVersion]:
        """The versions that were removed and not sealed again since."""
        pruned: dict[int, PrunedVersion] = {}
        for event in self.events:
            if isinstance(event, PrunedVersion):
                pruned[event.version] = event
        return pruned


class Models:
    """The models of a store, each with a folder."""

    def __init__(self, folder: StoreFolder) -> None:
        self._folder = folder

    def names(self) -> list[str]:
        """Return the names of all models, sorted."""
        names = (name_of(path.name) for path in self._folder.entries(MODELS))
        return sorted(name for name in names if name is not None)

    def journal_path(self, name: str) -> Path:
        """Return the journal of a name, which does not have to exist."""
        return self._folder.path(MODELS, folder_of(name), JOURNAL)

    def history(self, name: str) -> ModelHistory:
        """Return the history of a name; a name without a journal has no events.

        Raises:
            StoreError: If the journal cannot be read or is damaged.
        """
        path = self.journal_path(name)
        data = disk.read_file(path, limit=MAX_JOURNAL, remedy=REPAIR)
        return ModelHistory(name, decode(data or b"", name, location=Location(str(path))))

    def histories(self) -> dict[str, ModelHistory]:
        """Return the history of each name. Raises as `history`."""
        return {name: self.history(name) for name in self.names()}

    def latest(self, name: str) -> Digest | None:
        """Return the artifact of the last run of a name. Raises as `Pointers.get`."""
        return self._pointers(name).get(LATEST)

    def set_latest(self, name: str, digest: Digest) -> None:
        """Point `NAME@latest` to an artifact. Raises as `Pointers.set`."""
        self._pointers(name).set(LATEST, digest)

    def _pointers(self, name: str) -> Pointers:
        return Pointers(self._folder, MODELS, folder_of(name))

    def assign(self, name: str, digest: Digest, *, preferred: int | None = None) -> int:
        """Return the version of an artifact; one that has none gets the next number.

        Args:
            name: The name.
            digest: The artifact.
            preferred: The number that it gets if no version has it.

        Raises:
            StoreError: If the journal is damaged or cannot be written, or another process holds
                its lock for `SEAL_WAIT` seconds.
        """
        history = self.history(name)
        if digest not in history.numbers:
            with self.lock(name, wait=SEAL_WAIT):
                history = self.history(name)
                if digest not in history.numbers:
                    version = next_version(history.versions)
                    if preferred is not None and preferred not in history.versions:
                        version = preferred
                    self.append(name, SealedVersion(version=version, digest=digest, when=now()))
                    return version
        return history.numbers[digest]

    @contextmanager
    def lock(self, name: str, *, wait: float = MOVE_WAIT) -> Iterator[None]:
        """Keep other processes from appending to the journal of a name.

        Args:
            name: The name.
            wait: Seconds to wait for another process.

        Raises:
            StoreError: If another process still holds the lock.
        """
        path = self._folder.path(MODELS, folder_of(name), LOCK)
        problem = f"model {name!r} is locked by another process"
        with translate_os_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with disk.file_lock(path, problem, wait=wait):
                yield

    def append(self, name: str, event: Event) -> None:
        """Append an event to the journal of a name, whose lock the caller holds.

        Raises:
            StoreError: If it cannot be written, or would have more than `MAX_JOURNAL` bytes; the
                journal stays unchanged.
        """
        path, line = self.journal_path(name), encode(event)
        with translate_os_errors(path):
            size = path.stat().st_size if path.exists() else 0
        if size + len(line) >= MAX_JOURNAL:
            problem = f"would have more than {MAX_JOURNAL} bytes"
            raise StoreError(problem, location=Location(str(path)), remedy="use another store")
        disk.append_line(path, line)


def next_version(taken: Collection[int]) -> int:
    """Return the number after the highest one, or the lowest free one if that is the last.

    >>> next_version([1, 4]), next_version([1, MAX_VERSION])
    (5, 2)
    """
    version = max(taken, default=0) + 1
    if version > MAX_VERSION:
        version = next(number for number in range(1, MAX_VERSION) if number not in taken)
    return version


def folder_of(name: str) -> str:
    """Return the name of a model's folder: upper-case letters are written as in Go's module cache.

    File systems that ignore case would store `Churn` and `churn` in one folder.

    >>> folder_of("Churn-2")
    '!churn-2'
    """
    return re.sub("[A-Z]", lambda match: f"!{match[0].lower()}", name)


def name_of(folder: str) -> str | None:
    """Return the name of the model that has a folder, or None if the folder is not of a model."""
    if not _FOLDER.fullmatch(folder):
        return None
    name = re.sub("!([a-z])", lambda match: match[1].upper(), folder)
    return name if model_name.is_valid(name) else None


def encode(event: Event) -> bytes:
    """Return an event as a line of a journal, without the line end."""
    return canonical.encode({"event": NAMES[type(event)], **msgspec.to_builtins(event)})


def decode(data: bytes, name: str, *, location: Location) -> list[Event]:
    """Return the events in the content of a journal.

    A last line without its end comes from an interrupted append, and is ignored.

    Args:
        data: The content.
        name: The model.
        location: The journal, for errors.

    Raises:
        StoreError: If a line is not an event, or a version or a digest is repeated.
    """
    events: list[Event] = []
    versions: set[int] = set()
    digests: set[str] = set()
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        try:
            event = decode_line(line, name)
            if isinstance(event, SealedVersion):
                if event.version in versions or event.digest in digests:
                    raise ValueError("the version or the digest is repeated")
                versions.add(event.version)
                digests.add(event.digest)
        except ValueError as error:
            problem = f"is not an event of a model: {error}"
            raise StoreError(problem, location=location.at(line=number), remedy=REPAIR) from error
        events.append(event)
    return events


def decode_line(line: bytes, name: str) -> Event:
    """Return the event in a line of the journal of a name.

    Raises:
        ValueError: If it is not an event.
    """
    value = canonical.decode(line)
    if not isinstance(value, dict) or is_deep(value):
        raise ValueError("expected an object that is not nested deep")
    kind = KINDS.get(str(value.pop("event", None)))
    if kind is None:
        raise ValueError("unknown kind of event")
    event: Event = msgspec.convert(value, kind)
    parse_time(event.when)
    return replace(event, name=name) if isinstance(event, Promotion) else event


def now() -> str:
    """Return the time in UTC, in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def parse_time(text: str) -> datetime:
    """Return a time with its zone.

    Raises:
        ValueError: If it is not in ISO 8601, or has no zone.
    """
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("a time without its zone")
    return time


def in_utc(time: datetime) -> datetime:
    """Return a time in UTC; the first or the last one if the calendar ends before it."""
    try:
        return time.astimezone(UTC)
    except OverflowError:
        return (datetime.min if time.year == 1 else datetime.max).replace(tzinfo=UTC)
