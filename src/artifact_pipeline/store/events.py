"""The events of a model, each a line of its journal."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from msgspec import Meta, Struct

from artifact_pipeline.builder.artifact.manifest import Sha256
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.store.references import MAX_VERSION

Version: TypeAlias = Annotated[int, Meta(ge=1, le=MAX_VERSION)]


class SealedVersion(Struct, frozen=True, kw_only=True):
    """An artifact that became a version of its name."""

    version: Version
    digest: Sha256
    when: str
    """UTC, in ISO 8601."""


class PrunedVersion(Struct, frozen=True, kw_only=True):
    """A version whose artifact was removed; the number is not used again."""

    version: Version
    digest: Sha256
    by: str
    when: str


class Evidence(Struct, frozen=True, kw_only=True):
    """What was known about an artifact when an alias moved to it."""

    run: str | None = None
    """The run that trained it."""
    metrics: dict[str, float] = {}
    """On the held-out rows."""
    gates: list[Any] = []
    """The verdicts in the record of that run."""
    signature: Sha256 | None = None
    """The digest of its signature, if it has one."""
    signers: list[str] = []
    """The signers that were required and whose signatures were verified."""


class Promotion(Struct, frozen=True, kw_only=True):
    """One move of an alias."""

    alias: str
    digest: Digest
    """The artifact that the alias names after the move."""
    instead_of: Digest | None = None
    """The artifact that it named before, if any."""
    by: str
    """The user and the machine."""
    when: str
    """UTC, in ISO 8601."""
    name: str | None = None
    """The model; None in records of earlier releases, whose aliases belonged to the store."""
    version: Version | None = None
    instead_of_version: Version | None = None
    message: str | None = None
    evidence: Evidence | None = None
    went_back_over: list[Version] = []
    """For a rollback, the versions that the alias named after this one, newest first."""
    rollback: bool = False

    def __repr__(self) -> str:
        alias = f"{self.name}@{self.alias}" if self.name else self.alias
        return f"Promotion({self.when[:19]}, {alias} is {self.version or self.digest[7:19]})"


class RemovedAlias(Struct, frozen=True, kw_only=True):
    """An alias that was removed: by a user, or by a repair because its artifact did not verify."""

    alias: str
    digest: Sha256
    """The artifact that it named."""
    version: Version | None = None
    by: str
    when: str
    name: str | None = None
    """The model; None if a repair removed it."""
    message: str | None = None
    is_wanted: bool = False
    """Whether a user removed it."""


class TagChange(Struct, frozen=True, kw_only=True):
    """A tag that was set or removed."""

    digest: Sha256
    version: Version
    key: str
    value: str | None = None
    """None if it was removed."""
    before: str | None = None
    by: str
    when: str
    message: str | None = None


class PulledVersion(Struct, frozen=True, kw_only=True):
    """An artifact that was pulled from a remote, and the history that it has there."""

    digest: Sha256
    version: Version
    remote: str
    """The address, without credentials."""
    moves: list[Promotion] = []
    """The moves of the remote's aliases to the artifact, oldest first, as the remote lists them."""
    by: str
    when: str


Event: TypeAlias = (
    SealedVersion | Promotion | RemovedAlias | TagChange | PrunedVersion | PulledVersion
)
KINDS: dict[str, type[Event]] = {
    "sealed": SealedVersion,
    "moved": Promotion,
    "removed": RemovedAlias,
    "tagged": TagChange,
    "pruned": PrunedVersion,
    "pulled": PulledVersion,
}
"""The events of a journal by the name in its lines."""
NAMES = {kind: name for name, kind in KINDS.items()}
