"""The operations of a remote, the same for all services."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Protocol, TypeAlias

from msgspec import Struct

from artifact_pipeline.builder.artifact.manifest import File, Sha256
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.store.events import Promotion, Version
from artifact_pipeline.verification.verify import Verified

MAX_POINTER = 1 << 20
"""Maximum bytes of the document of an alias or a version."""
MAX_ENTRIES = 100_000
"""Maximum aliases and versions of a remote, or attachments of an artifact, to list."""
PIECE = 1 << 20
"""Bytes that are read, hashed and sent at a time."""

ATTACHMENT_KINDS = ("signature", "run", "report", "move")
"""The documents attached to an artifact: signatures, run records, report, moves of aliases."""

Pieces: TypeAlias = Callable[[], Iterator[bytes]]
"""Returns the content of a file from the start, in pieces."""


class Pointer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An alias or a version of a remote."""

    digest: Sha256
    """The artifact."""
    name: str
    """Its model."""
    version: Version | None = None
    """Its version on the remote, if the pointer contains it."""
    move: Promotion | None = None
    """The record of the move that set it, if the pointer contains it."""


class SeenPointer(Struct, frozen=True):
    """A pointer as it was read."""

    pointer: Pointer
    tag: str
    """The service's identifier of this content, for a write that requires it to be unchanged."""


class Attachment(Struct, frozen=True):
    """A document that belongs to an artifact."""

    kind: str
    digest: Digest
    size: int


class Remote(Protocol):
    """A remote. Its objects are immutable and named by digests; only pointers move.

    All methods raise NetworkError if the service cannot be reached, refuses or disconnects, and
    VerificationError if it returns wrong bytes.
    """

    address: str

    def pointer(self, label: str) -> SeenPointer | None:
        """Return an alias or a version, or None if the remote has none of this name."""

    def pointers(self) -> dict[str, Pointer]:
        """Return all aliases and versions."""

    def set_pointer(self, label: str, pointer: Pointer, *, seen: SeenPointer | None) -> bool:
        """Set a pointer unless it has changed since it was read; return whether it was set."""

    def manifest(self, digest: Digest) -> bytes | None:
        """Return the manifest of an artifact, compared with its digest; None without one."""

    def has(self, file: File) -> bool:
        """Return whether the remote has a file."""

    def upload(self, file: File, pieces: Pieces) -> None:
        """Store a file that the remote does not have."""

    def publish(self, artifact: Verified, name: str) -> bool:
        """Store the manifest of an artifact after its files; return False if it already exists."""

    def ignores_conditions(self, artifact: Verified) -> bool:
        """Return whether the service overwrites a manifest that it was asked to create.

        The manifest is the one that `publish` has just written, so no byte changes.
        """

    def download(self, file: File, *, start: int) -> Generator[bytes]:
        """Yield the bytes of a file from a position, at most as many as it has."""

    def attachments(self, digest: Digest) -> list[Attachment]:
        """Return the attachments of an artifact, oldest first if their times are known."""

    def attachment(self, digest: Digest, attachment: Attachment, *, limit: int) -> bytes:
        """Return an attachment of at most `limit` bytes, compared with its digest."""

    def attach(self, digest: Digest, kind: str, *, data: bytes) -> None:
        """Attach a document to a published artifact, unless it is attached already."""


class Stored(Struct, frozen=True):
    """An object that was read completely."""

    data: bytes
    tag: str


class ObjectEntry(Struct, frozen=True):
    """An object in a listing."""

    key: str
    size: int
    modified: float
    """Seconds since the epoch."""


class ObjectStore(Protocol):
    """Objects by key, in a folder or a bucket."""

    address: str

    def get(self, key: str, *, limit: int) -> Stored | None:
        """Return an object of at most `limit` bytes, or None if it does not exist."""

    def size(self, key: str) -> int | None:
        """Return the bytes of an object, or None if it does not exist."""

    def read(self, key: str, *, start: int, end: int) -> Generator[bytes]:
        """Yield a range of an object; fewer bytes if it is shorter."""

    def create(self, key: str, data: bytes) -> bool:
        """Write an object that must not exist; return False if it does."""

    def replace(self, key: str, data: bytes, *, tag: str) -> bool:
        """Write an object if its tag is unchanged; return whether it was."""

    def upload(self, key: str, pieces: Iterable[bytes], *, size: int) -> None:
        """Write an object in pieces; readers see all of it or nothing."""

    def entries(self, prefix: str) -> list[ObjectEntry]:
        """Return the objects below a prefix."""
