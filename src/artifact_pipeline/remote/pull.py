"""Pulling an artifact from a remote into a store.

Every byte is compared with a digest before it is used. Files are downloaded into `staging/` of the
store, verified there together with the signature that the store's policy requires, and renamed
into place. After any failure, the store has the complete artifact or nothing of it.
"""

from __future__ import annotations

import re
import stat
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import msgspec
from msgspec import Struct

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.artifact import describe
from artifact_pipeline.builder.artifact import manifest as manifests
from artifact_pipeline.builder.artifact.manifest import MANIFEST, MAX_SIGNATURE, SIGNATURE, Manifest
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.disk import translate_os_errors, write_new
from artifact_pipeline.errors import (
    ArtifactNotFound,
    Location,
    VerificationError,
)
from artifact_pipeline.remote import address as addresses
from artifact_pipeline.remote.address import RemoteReference
from artifact_pipeline.remote.connect import connect
from artifact_pipeline.remote.protocol import Attachment, Remote
from artifact_pipeline.remote.transfer import Progress, download, in_threads
from artifact_pipeline.report.write import publish_report
from artifact_pipeline.store import models
from artifact_pipeline.store.events import Promotion, PulledVersion
from artifact_pipeline.store.journal import MAX_RECORD, PastRun, decode_record
from artifact_pipeline.store.models import MOVE_WAIT, now, parse_time
from artifact_pipeline.store.pointers import ALIAS, LATEST
from artifact_pipeline.store.policy import required_signers, signer_of
from artifact_pipeline.store.promotion import MAX_TEXT, promote_verified
from artifact_pipeline.store.provenance import user
from artifact_pipeline.store.references import PathLike
from artifact_pipeline.store.store import Store
from artifact_pipeline.verification.verify import Verified, check_pin, read_signature, verify

if TYPE_CHECKING:
    from artifact_pipeline.verification.signatures import Signer

MAX_ATTACHMENTS = 200
"""Maximum attachments of each kind to read, the newest ones."""
_MAX_BYTES = {"signature": MAX_SIGNATURE, "run": MAX_RECORD, "move": 1 << 20}
"""Bytes of an attachment of each kind."""
_MAX_TOTAL = 64 << 20
"""Bytes of all attachments of a kind that are kept; older ones are left out."""
_MAX_MOVES = 2 << 20
"""Bytes of the moves that a pull adds to the history; older ones are left out."""
_RUN = re.compile(r"[0-9]{8}T[0-9]{6}\.[0-9]{6}Z-[0-9a-f]{6,16}")


class Pulled(Struct, frozen=True, kw_only=True):
    """The result of `pull`."""

    remote: str
    digest: Digest
    name: str
    version: int
    """The version in the store, which is the remote's unless another artifact has it there."""
    artifact: str
    """The folder of the artifact."""
    alias: str | None
    """The alias of the store that moved to the artifact, if the reference names an alias."""
    downloaded: int
    """The number of files that were transferred, 0 if the store had the artifact."""
    bytes: int
    """The size of these files."""
    signed: bool
    """Whether required signers signed it."""


class RemoteTarget(Struct, frozen=True):
    """The artifact that a reference names on a remote."""

    digest: Digest
    version: int | None
    """Its version there, if it has one."""


class _Documents(Struct, frozen=True):
    """The documents attached to an artifact on a remote."""

    signatures: list[bytes]
    runs: dict[str, bytes]
    moves: list[Promotion]


def pull(
    reference: str,
    *,
    digest: Digest | None = None,
    signed_by: Signer | None = None,
    store: PathLike | None = None,
    progress: Progress | None = None,
) -> Pulled:
    """Copy an artifact from a remote into a store, with its signature, run record and history.

    The policy of the store applies. If the reference names an alias, the alias of that name in the
    store moves to the artifact; without one it is `latest`.

    Args:
        reference: `REMOTE`, `REMOTE@ALIAS`, `REMOTE:VERSION` or `REMOTE@sha256:…`.
        digest: The digest that the artifact must have.
        signed_by: The signer whose signature is required.
        store: The store.
        progress: Called as bytes are transferred.

    Raises:
        ArtifactNotFound: If the remote has no such artifact.
        CallError: If the reference is malformed.
        VerificationError: If the remote returns bytes that do not match the digests, or a
            required signature is missing or wrong.
        NetworkError: If the remote cannot be reached, refuses or disconnects.
        StoreError: If the store cannot be written.
        MissingDependency: If a package that the remote needs is not installed.
    """
    check_pin(digest)
    parsed = addresses.parse(reference)
    target = Store(store)
    signer_of(store)  # report an unreadable policy before anything else
    remote = connect(parsed.address)
    resolved = resolve(remote, parsed)
    if digest not in (None, resolved.digest):
        raise VerificationError(
            f"names {resolved.digest}, expected {digest}", location=Location(str(parsed))
        )
    digest = resolved.digest
    manifest = _manifest(remote, digest, location=Location(str(parsed)))
    name = describe.model_name_of(manifest.recipe)
    documents = _documents(remote, digest)
    artifact, fetched, signed = _fetch(
        target,
        remote,
        resolved=resolved,
        manifest=manifest,
        documents=documents,
        signed_by=signed_by,
        progress=progress or (lambda _: None),
    )
    number = target.models.assign(name, digest, preferred=resolved.version)
    for run, data in documents.runs.items():
        if not target.journal.run_path(run).exists():
            target.import_run(run, data)
    publish_report(artifact, target)
    _record(target, name, remote=remote, digest=digest, moves=documents.moves, version=number)
    alias = None if _is_fixed(parsed) else parsed.label or LATEST
    if alias == LATEST:
        target.set_latest(artifact)
    elif alias is not None and target.alias(name, alias) != digest:
        message = f"pulled from {parsed}"[:MAX_TEXT]
        promote_verified(target, artifact, alias=alias, message=message)
    return Pulled(
        remote=remote.address,
        digest=digest,
        name=name,
        version=number,
        artifact=str(artifact.folder),
        alias=alias,
        downloaded=len(manifest.files) if fetched else 0,
        bytes=sum(file.bytes for file in manifest.files) if fetched else 0,
        signed=signed,
    )


def pull_to_serve(
    remote: Remote,
    reference: RemoteReference,
    *,
    signed_by: Signer | None = None,
    store: PathLike | None = None,
) -> Path:
    """Copy the artifact that a reference names into a store, and return its folder.

    Aliases, history, run records and the report are left out. Raises as `pull`.
    """
    resolved = resolve(remote, reference)
    target = Store(store)
    _fetch(
        target,
        remote,
        resolved=resolved,
        manifest=_manifest(remote, resolved.digest, location=Location(str(reference))),
        documents=_documents(remote, resolved.digest, kinds=("signature",)),
        signed_by=signed_by,
        progress=lambda _: None,
    )
    return target.artifacts.path(resolved.digest)


def current_digest(remote: Remote, reference: RemoteReference) -> Digest:
    """Return the digest that a reference names on its remote now. Raises as `resolve`."""
    if reference.digest is not None:
        return reference.digest
    label = reference.label or LATEST
    seen = remote.pointer(label)
    return _missing(remote, label) if seen is None else seen.pointer.digest


def resolve(remote: Remote, reference: RemoteReference) -> RemoteTarget:
    """Return the artifact that a reference names on its remote.

    Raises:
        ArtifactNotFound: If it names nothing there.
        NetworkError, VerificationError: As `Remote.pointer`.
    """
    if reference.digest is not None:
        return RemoteTarget(reference.digest, _version_of(remote, reference.digest))
    label = reference.label or LATEST
    seen = remote.pointer(label)
    if seen is not None:
        pointer = seen.pointer
        if label.isdecimal():
            return RemoteTarget(pointer.digest, int(label))
        return RemoteTarget(pointer.digest, pointer.version or _version_of(remote, pointer.digest))
    _missing(remote, label)


def _missing(remote: Remote, label: str) -> NoReturn:
    labels = sorted(remote.pointers(), key=lambda label: (label.isdecimal(), label))
    known = ", ".join(labels[:5]) + (", …" if len(labels) > 5 else "")
    raise ArtifactNotFound(
        f"has no alias or version {label}",
        location=Location(remote.address),
        remedy=f"it has {known}" if labels else "push an artifact to it",
    )


def _is_fixed(reference: RemoteReference) -> bool:
    """Return whether a reference names a version or a digest, which never moves."""
    return reference.label is not None and not ALIAS.fullmatch(reference.label)


def _manifest(remote: Remote, digest: Digest, *, location: Location) -> Manifest:
    data = remote.manifest(digest)
    if data is None:
        problem = f"has no artifact {digest}"
        raise ArtifactNotFound(problem, location=location, remedy="push it again")
    return manifests.decode(data, f"{remote.address}: {MANIFEST}")


def _version_of(remote: Remote, digest: Digest) -> int | None:
    """Return the version of an artifact on a remote, if it has one."""
    return min(
        (
            int(label)
            for label, pointer in remote.pointers().items()
            if label.isdecimal() and pointer.digest == digest
        ),
        default=None,
    )


def _fetch(
    store: Store,
    remote: Remote,
    *,
    resolved: RemoteTarget,
    manifest: Manifest,
    documents: _Documents,
    signed_by: Signer | None,
    progress: Progress,
) -> tuple[Verified, bool, bool]:
    """Copy an artifact into a store unless it has it, with the required signature.

    Returns:
        The artifact, whether files were downloaded, and whether required signers signed it.
    """
    try:
        artifact: Verified | None = store.artifacts.open(resolved.digest)
    except VerificationError:
        artifact = None
    if artifact is not None:
        signature, signed = _signature(artifact, documents, signed_by=signed_by, store=store)
        if signature is not None:
            store.artifacts.write_signature(artifact.folder, signature)
        store.index(artifact)  # a killed pull may have skipped this
        return artifact, False, signed
    stopping = threading.Event()
    # The names of stale entries show which processes have ended.
    leftovers = store.folder.stale_entries()
    with store.folder.staging() as staged, translate_os_errors(staged):
        staged.mkdir()
        for file in manifest.files:
            _reuse(leftovers, staged / file.path, size=file.bytes)
        in_threads(
            [
                partial(download, remote, file, folder=staged, progress=progress, stopping=stopping)
                for file in manifest.files
            ],
            stopping,
        )
        write_new(staged / MANIFEST, manifests.encode(manifest))
        # Each file was hashed as it was written.
        artifact = verify(staged, resolved.digest, contents=False)
        signature, signed = _signature(artifact, documents, signed_by=signed_by, store=store)
        if signature is not None:
            write_new(staged / SIGNATURE, signature)
        adopted = store.adopt(staged, artifact, version=resolved.version)
    return adopted, True, signed


def _reuse(leftovers: list[Path], path: Path, *, size: int) -> None:
    """Move the part of a file from a killed pull to `path`; its bytes are compared later."""
    for folder in leftovers:
        with suppress(OSError):  # it has no such file, or another pull has taken it
            status = (folder / path.name).lstat()
            if stat.S_ISREG(status.st_mode) and status.st_size <= size:
                (folder / path.name).rename(path)
                return


def _signature(
    artifact: Verified, documents: _Documents, *, signed_by: Signer | None, store: Store
) -> tuple[bytes | None, bool]:
    """Return the signature to keep with an artifact, and whether required signers signed it.

    Raises:
        VerificationError: If a required signer has signed neither on the remote nor in the store.
    """
    signers = required_signers(artifact.folder, signed_by=signed_by, store=store.root)
    existing: list[bytes] = []
    with suppress(VerificationError):  # it has no signature
        existing = [read_signature(artifact.folder)]
    candidates = [*existing, *reversed(documents.signatures)]
    if not signers:
        return (None if existing else next(iter(candidates), None)), False
    from artifact_pipeline.verification import signatures

    failure = VerificationError(
        "has no signature, but one is required",
        location=Location(str(artifact.digest)),
        remedy="sign it where it was made, and push it again",
    )
    for candidate in candidates:
        try:
            for signer in signers:
                signatures.check(artifact, candidate, signer=signer)
        except VerificationError as error:
            failure = error
        else:
            return (None if candidate in existing else candidate), True
    raise failure


def _documents(
    remote: Remote, digest: Digest, *, kinds: tuple[str, ...] = ("signature", "run", "move")
) -> _Documents:
    """Return the documents attached to an artifact; its report is written anew.

    Raises:
        VerificationError: If a document is malformed.
    """
    attached = remote.attachments(digest)
    signatures: list[bytes] = []
    runs: dict[str, bytes] = {}
    moves: list[Promotion] = []
    for kind in kinds:
        own = [attachment for attachment in attached if attachment.kind == kind]
        for location, data in _contents(remote, digest, attachments=own):
            if kind == "signature":
                signatures.append(data)
            elif kind == "run":
                runs[_run_id(data, digest, location=location)] = data
            else:
                moves.append(_move(data, digest, location=location))
    moves.sort(key=lambda move: parse_time(move.when))
    return _Documents(signatures, runs, moves)


def _contents(
    remote: Remote, digest: Digest, *, attachments: list[Attachment]
) -> list[tuple[Location, bytes]]:
    """Return the attachments of a kind, the oldest first, without those that are too many.

    Raises:
        VerificationError: If one is larger than its kind may be.
    """
    contents: list[tuple[Location, bytes]] = []
    total = 0
    # A champion that each commit promotes can have more moves than are useful.
    for attachment in reversed(attachments[-MAX_ATTACHMENTS:]):
        limit = _MAX_BYTES[attachment.kind]
        location = Location(f"{remote.address}: {attachment.kind} {attachment.digest}")
        if attachment.size > limit:
            problem = f"has {attachment.size} bytes, more than {limit}"
            raise VerificationError(problem, location=location)
        data = remote.attachment(digest, attachment, limit=limit)
        total += len(data)
        if total > _MAX_TOTAL:
            break
        contents.append((location, data))
    return contents[::-1]


def _run_id(data: bytes, digest: Digest, *, location: Location) -> str:
    """Return the id of a run record of an artifact."""
    try:
        record = decode_record(data, PastRun)
    except (canonical.NotCanonical, msgspec.ValidationError) as error:
        raise VerificationError(f"is not a run record: {error}", location=location) from error
    if record.artifact != digest or not _RUN.fullmatch(record.run):
        raise VerificationError("is the record of another run", location=location)
    return record.run


def _move(data: bytes, digest: Digest, *, location: Location) -> Promotion:
    """Return the record of a move of an alias to an artifact."""
    try:
        move = decode_record(data, Promotion)
        parse_time(move.when)
        # Its event must fit the limits with which the history is read.
        event = _pulled(digest, [move], remote="", version=1)
        models.decode_line(models.encode(event), "")
    except (canonical.NotCanonical, msgspec.ValidationError, ValueError) as error:
        raise VerificationError(f"is not a move: {error}", location=location) from error
    if move.digest != digest or not ALIAS.fullmatch(move.alias):
        raise VerificationError("is the move to another artifact", location=location)
    return move


def _record(
    store: Store,
    name: str,
    *,
    remote: Remote,
    digest: Digest,
    moves: list[Promotion],
    version: int,
) -> None:
    """Append to the history that an artifact was pulled, with the moves that are new there."""
    with store.models.lock(name, wait=MOVE_WAIT):
        pulls = [
            event
            for event in store.models.history(name).events
            if isinstance(event, PulledVersion)
            and (event.digest, event.remote) == (digest, remote.address)
        ]
        known = {_encode(move) for event in pulls for move in event.moves}
        fresh: list[Promotion] = []
        size = 0
        for move in reversed(moves):
            data = _encode(move)
            size += len(data)
            if data not in known and size <= _MAX_MOVES:
                fresh.insert(0, move)
        if fresh or not pulls:
            event = _pulled(digest, fresh, remote=remote.address, version=version)
            store.models.append(name, event)


def _encode(move: Promotion) -> bytes:
    return canonical.encode(msgspec.to_builtins(move))


def _pulled(digest: Digest, moves: list[Promotion], *, remote: str, version: int) -> PulledVersion:
    return PulledVersion(
        digest=digest, version=version, remote=remote, moves=moves, by=user(), when=now()
    )
