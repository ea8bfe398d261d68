"""A repository of a registry as a remote.

An artifact is a ModelPack (see `modelpack`); aliases and versions are tags; its attachments are
referrers. A registry has no condition for writing a tag: it is read before and after the write,
and the later of two writers wins.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Generator, Iterator
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import msgspec

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.artifact.manifest import MANIFEST, MAX_MANIFEST, File
from artifact_pipeline.builder.canonical import DIGEST, Digest
from artifact_pipeline.errors import Location, NetworkError, VerificationError
from artifact_pipeline.remote.address import RemoteAddress, is_label
from artifact_pipeline.remote.protocol import (
    ATTACHMENT_KINDS,
    MAX_ENTRIES,
    Attachment,
    Pieces,
    Pointer,
    SeenPointer,
)
from artifact_pipeline.remote.registry import modelpack
from artifact_pipeline.remote.registry.client import RegistryClient
from artifact_pipeline.remote.registry.modelpack import (
    INDEX_TYPE,
    MANIFEST_TYPE,
    MAX_MANIFEST_SIZE,
    Descriptor,
    ModelPack,
)
from artifact_pipeline.remote.transfer import in_threads
from artifact_pipeline.verification.verify import Verified

_SINGLE = 1 << 20
"""Maximum bytes of a file that is uploaded again from its start if the connection breaks."""
_ATTEMPTS = 4
_ANY_MANIFEST = ", ".join(
    [
        MANIFEST_TYPE,
        INDEX_TYPE,
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    ]
)
"""The kinds of manifests that a tag can name. Registries return 404 for a kind not accepted."""
_NEXT = re.compile(r'<([^>]*)>\s*;\s*rel="?next"?')


class _Tags(msgspec.Struct):
    tags: list[str] | None = None


class RegistryRemote:
    """A repository of a registry."""

    def __init__(self, address: RemoteAddress, *, write: bool) -> None:
        self._client = RegistryClient(address, "pull,push" if write else "pull")
        self.address = self._client.address
        self._packs: dict[Digest, ModelPack] = {}

    def pointer(self, label: str) -> SeenPointer | None:
        """See `Remote`."""
        data = self._manifest(label)
        return None if data is None else self._decode(data, label)

    def pointers(self) -> dict[str, Pointer]:
        """See `Remote`. Tags that name no artifact are left out."""
        labels = [tag for tag in self._tags() if is_label(tag)]
        found = in_threads([partial(self._ours, label) for label in labels], threading.Event())
        return {label: pointer for label, pointer in zip(labels, found, strict=True) if pointer}

    def set_pointer(self, label: str, pointer: Pointer, *, seen: SeenPointer | None) -> bool:
        """See `Remote`. Another process can write the tag between the check and the write."""
        data = self._pack(pointer.digest).data
        current = self._manifest(label)
        before = None if current is None else canonical.digest(current)
        if before != (None if seen is None else seen.tag):
            return False
        self._put_manifest(label, data, media_type=MANIFEST_TYPE)
        return self._manifest(label) == data

    def manifest(self, digest: Digest) -> bytes | None:
        """See `Remote`."""
        return self._blob(digest, limit=MAX_MANIFEST)

    def has(self, file: File) -> bool:
        """See `Remote`."""
        with self._client.request("HEAD", self._client.url(f"blobs/{file.sha256}")) as response:
            if response.status_code == 404:
                return False
            if response.status_code != 200:
                raise self._client.failure(response, f"for {file.path}")
            length = response.headers.get("content-length")
        if length is not None and length != str(file.bytes):
            problem = f"has {length[:20]} bytes for {file.sha256}, expected {file.bytes}"
            raise VerificationError(problem, location=self._client.location)
        return True

    def upload(self, file: File, pieces: Pieces) -> None:
        """See `Remote`.

        A large file is sent in one request of its own, as Docker does. If the connection breaks,
        the upload continues after the bytes that the registry has, or starts again if the registry
        dropped them, as docker-registry 2 does.
        """
        url, sent = self._start_upload(), 0
        if file.bytes <= _SINGLE:
            self._finish_upload(url, file.sha256, pieces=pieces, size=file.bytes)
            return
        for attempt in range(_ATTEMPTS):
            try:
                response = self._send(url, file, pieces=pieces, start=sent)
            except NetworkError:
                if attempt == _ATTEMPTS - 1:
                    raise
                response = None
            if response is not None and response.status_code == 202:
                url = self._client.same_origin(response.headers.get("location", ""), base=url)
                break
            if response is not None and response.status_code not in (416, 500, 502, 503, 504):
                raise self._client.failure(response, "to an upload")
            url, sent = self._status_of_upload(url) or (self._start_upload(), 0)
            if sent >= file.bytes:
                break
        else:
            raise NetworkError("does not accept uploads", location=self._client.location)
        self._finish_upload(url, file.sha256, pieces=None, size=0)

    def publish(self, artifact: Verified, name: str) -> bool:
        """See `Remote`."""
        pack = self._pack(artifact.digest, sealed=artifact.sealed)
        with self._client.request(
            "HEAD", self._client.url(f"manifests/{pack.digest}"), headers={"Accept": MANIFEST_TYPE}
        ) as response:
            if response.status_code == 200:
                return False
        for data in (artifact.sealed, pack.config):
            self._upload_bytes(data)
        self._put_manifest(pack.digest, pack.data, media_type=MANIFEST_TYPE)
        return True

    def ignores_conditions(self, artifact: Verified) -> bool:
        """See `Remote`. A registry has no conditions to ignore."""
        return False

    def download(self, file: File, *, start: int) -> Generator[bytes]:
        """See `Remote`."""
        url = self._client.url(f"blobs/{file.sha256}")
        headers = {"Range": f"bytes={start}-{file.bytes - 1}"} if start else {}
        with self._client.request("GET", url, headers=headers) as response:
            if response.status_code not in (200, 206):
                raise self._client.failure(response, f"for {file.path}")
            skipped = start if response.status_code == 200 else 0
            expected = file.bytes if response.status_code == 200 else file.bytes - start
            length = response.headers.get("content-length")
            if length is not None and length != str(expected):
                problem = f"offers {length[:20]} bytes for {file.path}, expected {expected}"
                raise VerificationError(problem, location=self._client.location)
            for piece in self._client.pieces(response, limit=expected):
                rest = piece[skipped:]
                skipped -= len(piece) - len(rest)
                if rest:
                    yield rest

    def attachments(self, digest: Digest) -> list[Attachment]:
        """See `Remote`."""
        kinds = {modelpack.type_of(kind): kind for kind in ATTACHMENT_KINDS}
        found = []
        for descriptor in self._referrers(self._pack(digest))[1]:
            kind = kinds.get(descriptor.artifact_type or "")
            content = modelpack.content_of(descriptor)
            if kind and content and DIGEST.fullmatch(content):
                found.append(Attachment(kind, content, 0))
        return found

    def attachment(self, digest: Digest, attachment: Attachment, *, limit: int) -> bytes:
        """See `Remote`."""
        data = self._blob(attachment.digest, limit=limit)
        if data is None:
            problem = f"does not have {attachment.kind} {attachment.digest}"
            raise NetworkError(problem, location=self._client.location)
        return data

    def attach(self, digest: Digest, kind: str, *, data: bytes) -> None:
        """See `Remote`."""
        subject = self._pack(digest)
        referrer = modelpack.referrer(data, kind, subject=subject)
        descriptor = modelpack.descriptor_of_referrer(referrer)
        if descriptor in self._referrers(subject)[1]:
            return
        for content in (data, modelpack.EMPTY):
            self._upload_bytes(content)
        listed = self._put_manifest(descriptor.digest, referrer, media_type=MANIFEST_TYPE)
        for _ in range(0 if listed else _ATTEMPTS):
            # A registry without the referrers API: its clients keep the index under a tag.
            _, known = self._referrers(subject)
            if descriptor in known:
                return
            index = modelpack.write_index([*known, descriptor])
            self._put_manifest(_index_tag(subject), index, media_type=INDEX_TYPE)
        if not listed and descriptor not in self._referrers(subject)[1]:
            problem = "other processes keep writing the list of referrers"
            raise NetworkError(problem, location=self._client.location, remedy="try again")

    def _ours(self, label: str) -> Pointer | None:
        data = self._manifest(label)
        try:
            return None if data is None else self._decode(data, label).pointer
        except VerificationError:
            return None  # another kind of image

    def _decode(self, data: bytes, label: str) -> SeenPointer:
        named = modelpack.unpack(data, location=Location(f"{self.address}:{label}"))
        return SeenPointer(Pointer(digest=named.digest, name=named.name), canonical.digest(data))

    def _tags(self) -> list[str]:
        """Return all tags, from all pages."""
        tags: list[str] = []
        url, seen = self._client.url("tags/list?n=1000"), set[str]()
        while url not in seen:
            seen.add(url)
            with self._client.request("GET", url) as response:
                if response.status_code == 404:
                    return []
                if response.status_code != 200:
                    raise self._client.failure(response, "for the tags")
                data = self._client.read(response, limit=MAX_MANIFEST_SIZE)
                following = _NEXT.search(response.headers.get("link", ""))
            try:
                tags += msgspec.json.decode(data, type=_Tags).tags or []
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                problem = "sent a list of tags that is malformed"
                raise VerificationError(problem, location=self._client.location) from error
            if following is None:
                return tags
            if len(tags) > MAX_ENTRIES or len(seen) > MAX_ENTRIES // 100:
                break
            url = self._client.same_origin(following[1], base=url)
        raise NetworkError("returns an endless list of tags", location=self._client.location)

    def _manifest(self, reference: str, *, accept: str = _ANY_MANIFEST) -> bytes | None:
        """Return a manifest by its tag; its content is not checked."""
        url = self._client.url(f"manifests/{reference}")
        with self._client.request("GET", url, headers={"Accept": accept}) as response:
            if response.status_code == 404:
                return None
            if response.status_code != 200:
                raise self._client.failure(response, f"for {reference}")
            return self._client.read(response, limit=MAX_MANIFEST_SIZE)

    def _put_manifest(self, reference: str, data: bytes, *, media_type: str) -> bool:
        """Write a manifest; return whether the registry has listed it as a referrer."""
        url = self._client.url(f"manifests/{reference}")
        headers = {"Content-Type": media_type}
        with self._client.request("PUT", url, headers=headers, content=data) as response:
            if response.status_code not in (200, 201):
                raise self._client.failure(response, f"to {reference}")
            return "oci-subject" in response.headers

    def _blob(self, digest: Digest, *, limit: int) -> bytes | None:
        with self._client.request("GET", self._client.url(f"blobs/{digest}")) as response:
            if response.status_code == 404:
                return None
            if response.status_code != 200:
                raise self._client.failure(response, f"for {digest}")
            data = self._client.read(response, limit=limit)
        if (actual := canonical.digest(data)) != digest:
            problem = f"returned other bytes: {actual}, expected {digest}"
            raise VerificationError(problem, location=self._client.location)
        return data

    def _pack(self, digest: Digest, *, sealed: bytes | None = None) -> ModelPack:
        """Return the OCI manifest of an artifact."""
        if digest not in self._packs:
            data = self.manifest(digest) if sealed is None else sealed
            if data is None:
                problem = f"has no {MANIFEST} of {digest}"
                raise VerificationError(problem, location=self._client.location)
            self._packs[digest] = modelpack.pack(data)
        return self._packs[digest]

    def _referrers(self, subject: ModelPack) -> tuple[bool, list[Descriptor]]:
        """Return whether the registry lists referrers itself, and the referrers of a manifest."""
        url = self._client.url(f"referrers/{subject.digest}")
        with self._client.request("GET", url, headers={"Accept": INDEX_TYPE}) as response:
            data: bytes | None = None
            if response.status_code == 200:
                data = self._client.read(response, limit=MAX_MANIFEST_SIZE)
            elif response.status_code not in (404, 405):
                raise self._client.failure(response, "for the referrers")
        has_api = data is not None
        if data is None:
            data = self._manifest(_index_tag(subject), accept=INDEX_TYPE)
        if data is None:
            return has_api, []
        return has_api, modelpack.read_index(data, location=self._client.location)

    def _upload_bytes(self, data: bytes) -> None:
        digest = canonical.digest(data)
        file = File(path="document", sha256=digest, bytes=len(data), media_type="")
        if not self.has(file):
            self.upload(file, lambda: iter([data]))

    def _start_upload(self) -> str:
        url = self._client.url("blobs/uploads/")
        with self._client.request("POST", url, content=b"") as response:
            if response.status_code != 202:
                raise self._client.failure(response, "to an upload")
            return self._client.same_origin(response.headers.get("location", ""), base=url)

    def _finish_upload(self, url: str, digest: Digest, *, pieces: Pieces | None, size: int) -> None:
        url += ("&" if urlsplit(url).query else "?") + f"digest={digest}"
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        content = b"" if pieces is None else pieces
        with self._client.request("PUT", url, headers=headers, content=content) as response:
            if response.status_code != 201:
                raise self._client.failure(response, "to an upload")

    def _send(self, url: str, file: File, *, pieces: Pieces, start: int) -> Any:
        """Send a file from a position, and return the response."""
        headers = {
            "Content-Length": str(file.bytes - start),
            "Content-Range": f"{start}-{file.bytes - 1}",
            "Content-Type": "application/octet-stream",
        }
        rest = partial(_from, pieces, start)
        with self._client.request("PATCH", url, headers=headers, content=rest) as response:
            return response

    def _status_of_upload(self, url: str) -> tuple[str, int] | None:
        """Return the URL to continue an upload, and the received bytes; None if it was dropped."""
        with self._client.request("GET", url) as response:
            if response.status_code != 204:
                return None
            location = self._client.same_origin(response.headers.get("location", url), base=url)
            last = re.fullmatch(r"(?:bytes=)?0-(\d{1,15})", response.headers.get("range", ""))
        # The range 0-0 can mean no byte or a single one.
        return location, int(last[1]) + 1 if last and last[1] != "0" else 0


def _from(pieces: Pieces, start: int) -> Iterator[bytes]:
    """Yield the content of a file from a position."""
    for piece in pieces():
        skipped = min(start, len(piece))
        start -= skipped
        if skipped < len(piece):
            yield piece[skipped:] if skipped else piece


def _index_tag(subject: ModelPack) -> str:
    return subject.digest.replace(":", "-")
