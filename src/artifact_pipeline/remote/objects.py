"""A remote of objects by key, in a folder or a bucket.

    blobs/sha256/<hex>                  a file or a manifest, named by its digest; never replaced
    names/<alias or version>            the artifact that it names; replaced conditionally
    attached/<hex>/<kind>/<hex>         a document that belongs to the artifact <hex>

The manifest is written after the files that it lists, so an artifact is complete or missing.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from functools import partial

import msgspec

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.artifact.manifest import MAX_MANIFEST, File
from artifact_pipeline.builder.canonical import DIGEST, Digest
from artifact_pipeline.errors import Location, NetworkError, VerificationError
from artifact_pipeline.remote.address import is_label
from artifact_pipeline.remote.protocol import (
    ATTACHMENT_KINDS,
    MAX_POINTER,
    Attachment,
    ObjectStore,
    Pieces,
    Pointer,
    SeenPointer,
)
from artifact_pipeline.remote.transfer import in_threads
from artifact_pipeline.store.journal import decode_record
from artifact_pipeline.verification.verify import Verified


class ObjectRemote:
    """A remote in a folder or a bucket."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self.address = objects.address

    def pointer(self, label: str) -> SeenPointer | None:
        """See `Remote`."""
        stored = self._objects.get(f"names/{label}", limit=MAX_POINTER)
        if stored is None:
            return None
        return SeenPointer(self._decode(stored.data, label), stored.tag)

    def pointers(self) -> dict[str, Pointer]:
        """See `Remote`."""
        labels = [entry.key.removeprefix("names/") for entry in self._objects.entries("names/")]
        # A shared drive may have files such as .DS_Store beside them.
        labels = sorted(label for label in labels if is_label(label))
        found = in_threads([partial(self.pointer, label) for label in labels], threading.Event())
        return {
            label: seen.pointer
            for label, seen in zip(labels, found, strict=True)
            if seen is not None
        }

    def set_pointer(self, label: str, pointer: Pointer, *, seen: SeenPointer | None) -> bool:
        """See `Remote`."""
        data = canonical.encode(msgspec.to_builtins(pointer))
        if seen is None:
            return self._objects.create(f"names/{label}", data)
        return self._objects.replace(f"names/{label}", data, tag=seen.tag)

    def manifest(self, digest: Digest) -> bytes | None:
        """See `Remote`."""
        stored = self._objects.get(_blob(digest), limit=MAX_MANIFEST)
        return None if stored is None else self._checked(stored.data, digest)

    def has(self, file: File) -> bool:
        """See `Remote`."""
        size = self._objects.size(_blob(file.sha256))
        if size is not None and size != file.bytes:
            raise VerificationError(
                f"has {size} bytes for {file.sha256}, expected {file.bytes}",
                location=Location(self.address),
                remedy="the remote is damaged; remove that object",
            )
        return size is not None

    def upload(self, file: File, pieces: Pieces) -> None:
        """See `Remote`."""
        self._objects.upload(_blob(file.sha256), pieces(), size=file.bytes)

    def publish(self, artifact: Verified, name: str) -> bool:
        """See `Remote`."""
        return self._objects.create(_blob(artifact.digest), artifact.sealed)

    def ignores_conditions(self, artifact: Verified) -> bool:
        """See `Remote`."""
        return self._objects.create(_blob(artifact.digest), artifact.sealed)

    def download(self, file: File, *, start: int) -> Generator[bytes]:
        """See `Remote`."""
        return self._objects.read(_blob(file.sha256), start=start, end=file.bytes)

    def attachments(self, digest: Digest) -> list[Attachment]:
        """See `Remote`."""
        found = []
        entries = self._objects.entries(f"attached/{_hex(digest)}/")
        for entry in sorted(entries, key=lambda entry: (entry.modified, entry.key)):
            kind, _, name = entry.key.split("/", 2)[2].partition("/")
            if kind in ATTACHMENT_KINDS and DIGEST.fullmatch(f"sha256:{name}"):
                found.append(Attachment(kind, f"sha256:{name}", entry.size))
        return found

    def attachment(self, digest: Digest, attachment: Attachment, *, limit: int) -> bytes:
        """See `Remote`."""
        key = _attached(digest, attachment.kind, name=attachment.digest)
        stored = self._objects.get(key, limit=limit)
        if stored is None:
            raise NetworkError(f"does not have {key}", location=Location(self.address))
        return self._checked(stored.data, attachment.digest)

    def attach(self, digest: Digest, kind: str, *, data: bytes) -> None:
        """See `Remote`."""
        key = _attached(digest, kind, name=canonical.digest(data))
        if self._objects.size(key) is None:
            self._objects.create(key, data)

    def _checked(self, data: bytes, digest: Digest) -> bytes:
        if (actual := canonical.digest(data)) != digest:
            raise VerificationError(
                f"returned other bytes: {actual}, expected {digest}",
                location=Location(self.address),
            )
        return data

    def _decode(self, data: bytes, label: str) -> Pointer:
        try:
            return decode_record(data, Pointer)
        except (canonical.NotCanonical, msgspec.ValidationError) as error:
            raise VerificationError(
                f"{label} does not name an artifact: {error}", location=Location(self.address)
            ) from error


def _hex(digest: Digest) -> str:
    return digest.removeprefix("sha256:")


def _blob(digest: Digest) -> str:
    return f"blobs/sha256/{_hex(digest)}"


def _attached(digest: Digest, kind: str, *, name: Digest) -> str:
    return f"attached/{_hex(digest)}/{kind}/{_hex(name)}"
