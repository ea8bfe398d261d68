"""Pushing an artifact to a remote, and moving an alias there."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import msgspec
from msgspec import Struct

from artifact_pipeline import disk
from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.artifact import describe
from artifact_pipeline.builder.artifact.manifest import File
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.errors import CallError, Location, StoreError, VerificationError
from artifact_pipeline.log import Log
from artifact_pipeline.remote import address as addresses
from artifact_pipeline.remote.connect import connect
from artifact_pipeline.remote.protocol import Pointer, Remote
from artifact_pipeline.remote.transfer import Progress, in_threads, pieces_of
from artifact_pipeline.report import page
from artifact_pipeline.store.access import open_to_send
from artifact_pipeline.store.events import Promotion
from artifact_pipeline.store.folder import REPAIR
from artifact_pipeline.store.journal import MAX_RECORD
from artifact_pipeline.store.models import next_version, now
from artifact_pipeline.store.pointers import CHAMPION, LATEST
from artifact_pipeline.store.promotion import check_move, evidence_of
from artifact_pipeline.store.provenance import user
from artifact_pipeline.store.references import ArtifactLike, PathLike
from artifact_pipeline.store.store import Store
from artifact_pipeline.verification.verify import Verified, check_file, read_signature

log = Log(__name__)

_ATTEMPTS = 20
"""Attempts to set a version or `latest` while other processes set it too."""


class Pushed(Struct, frozen=True, kw_only=True):
    """The result of `push`."""

    remote: str
    digest: Digest
    name: str
    version: int
    """The version on the remote, which is the store's unless another artifact has it there."""
    aliases: list[str]
    """The aliases that were set on the remote."""
    uploaded: int
    """The number of files that the remote did not have."""
    bytes: int
    """The size of these files."""
    warnings: list[str]
    """Faults of the remote; also logged."""


def push(
    artifact: ArtifactLike,
    remote: str,
    *,
    tags: Sequence[str] = (),
    store: PathLike | None = None,
    progress: Progress | None = None,
) -> Pushed:
    """Copy an artifact to a remote, with its signature, run record and report.

    Files that the remote already has are not transferred. The alias `latest` of the remote moves to
    the artifact.

    Args:
        artifact: As for `open_trusted`, which checks it first.
        remote: The address of the remote.
        tags: Aliases of the remote to move to the artifact as well.
        store: The store of the artifact.
        progress: Called as bytes are transferred.

    Raises:
        ArtifactNotFound, VerificationError: As `open_trusted`.
        CallError: If the address or a tag is not valid, or the remote contains another model.
        NetworkError: If the remote cannot be reached or refuses.
        StoreError: If a tag was moved by another process at the same moment.
        MissingDependency: If a package that the remote needs is not installed.
    """
    address = addresses.parse_remote(remote)
    for tag in tags:
        check_move(tag, None)
    target = Store(store)
    verified = open_to_send(artifact, store=store)
    connection = connect(address, create=True)
    pushed = _push(target, verified, remote=connection, progress=progress or (lambda _: None))
    for tag in tags:
        _move(target, verified, remote=connection, alias=tag, version=pushed.version, message=None)
    return msgspec.structs.replace(pushed, aliases=[*pushed.aliases, *tags])


def promote_remote(
    artifact: ArtifactLike,
    remote: str,
    *,
    alias: str = CHAMPION,
    message: str | None = None,
    store: PathLike | None = None,
) -> Promotion:
    """Push an artifact, move an alias of the remote to it, and return the record of the move.

    In a folder or a bucket, one of two moves at the same moment fails. A registry has no such
    condition: the later one wins.

    Args:
        artifact: As for `open_trusted`, which checks it first.
        remote: The address of the remote.
        alias: As for `promote`.
        message: The reason.
        store: The store of the artifact.

    Raises:
        CallError, NetworkError, MissingDependency, ArtifactNotFound, VerificationError: As `push`.
        StoreError: If another process moved the alias at the same moment.
    """
    check_move(alias, message)
    address = addresses.parse_remote(remote)
    target = Store(store)
    verified = open_to_send(artifact, store=store)
    connection = connect(address, create=True)
    pushed = _push(target, verified, remote=connection, progress=lambda _: None)
    return _move(
        target,
        verified,
        remote=connection,
        alias=alias,
        version=pushed.version,
        message=message,
    )


def _push(store: Store, artifact: Verified, *, remote: Remote, progress: Progress) -> Pushed:
    name = describe.model_name_of(artifact.manifest.recipe)
    latest = remote.pointer(LATEST)
    if latest is not None and latest.pointer.name != name:
        raise CallError(
            f"has the model {latest.pointer.name}, and this is {name}",
            location=Location(remote.address),
            remedy=f"push it to {remote.address}/{name.lower()}: a remote has one model",
        )
    missing = _upload(artifact, remote=remote, progress=progress)
    warnings = []
    if remote.publish(artifact, name) and remote.ignores_conditions(artifact):
        warnings.append(
            f"{remote.address} ignores If-None-Match and If-Match: "
            "the later of two promotions at the same moment wins"
        )
        log.warning("warning: %s", warnings[0])
    _attach(store, artifact, remote=remote)
    version = _claim_version(store, remote, pointer=Pointer(digest=artifact.digest, name=name))
    _set_latest(remote, Pointer(digest=artifact.digest, name=name, version=version))
    return Pushed(
        remote=remote.address,
        digest=artifact.digest,
        name=name,
        version=version,
        aliases=[LATEST],
        uploaded=len(missing),
        bytes=sum(file.bytes for file in missing),
        warnings=warnings,
    )


def _upload(artifact: Verified, *, remote: Remote, progress: Progress) -> list[File]:
    """Upload the files that a remote does not have, and return them."""
    stopping = threading.Event()
    # Files of the same content are one object.
    files = {file.sha256: file for file in artifact.manifest.files}

    def upload(file: File) -> File | None:
        if remote.has(file):
            check_file(artifact, file)
            return None
        remote.upload(file, pieces_of(artifact, file, progress=progress, stopping=stopping))
        return file

    uploaded = in_threads([partial(upload, file) for file in files.values()], stopping)
    return [file for file in uploaded if file is not None]


def _attach(store: Store, artifact: Verified, *, remote: Remote) -> None:
    """Attach the documents that the store has and the remote lacks."""
    documents = {"report": page.write(artifact).encode()}
    with suppress(VerificationError):  # there is no signature
        documents["signature"] = read_signature(artifact.folder)
    record = store.run_index.record_of(artifact.digest)
    if record is not None:
        data = disk.read_file(store.journal.run_path(record.run), limit=MAX_RECORD, remedy=REPAIR)
        if data is not None:
            documents["run"] = data
    attached = {
        (attachment.kind, attachment.digest) for attachment in remote.attachments(artifact.digest)
    }
    for kind, data in documents.items():
        if (kind, canonical.digest(data)) not in attached:
            remote.attach(artifact.digest, kind, data=data)


def _claim_version(store: Store, remote: Remote, *, pointer: Pointer) -> int:
    """Return the version of an artifact on a remote; one that has none gets the store's number.

    If another artifact has that number there, it gets the next free one.
    """
    own = store.models.history(pointer.name).numbers.get(pointer.digest, 1)
    seen = remote.pointer(str(own))
    if seen is not None and seen.pointer.digest == pointer.digest:
        return own
    for _ in range(_ATTEMPTS):
        versions = {
            int(label): known.digest
            for label, known in remote.pointers().items()
            if label.isdecimal()
        }
        for version, digest in versions.items():
            if digest == pointer.digest:
                return version
        version = own if own not in versions else next_version(versions)
        if remote.set_pointer(str(version), pointer, seen=None):
            return version
    raise _contended(remote, "versions")


def _set_latest(remote: Remote, pointer: Pointer) -> None:
    for _ in range(_ATTEMPTS):
        seen = remote.pointer(LATEST)
        if seen is not None and seen.pointer.digest == pointer.digest:
            return
        if remote.set_pointer(LATEST, pointer, seen=seen):
            return
    raise _contended(remote, LATEST)


def _move(
    store: Store,
    artifact: Verified,
    *,
    remote: Remote,
    alias: str,
    version: int,
    message: str | None,
) -> Promotion:
    """Move an alias of a remote to an artifact that was pushed, and record the move there."""
    name = describe.model_name_of(artifact.manifest.recipe)
    seen = remote.pointer(alias)
    before = None if seen is None else seen.pointer
    if before is not None and before.name != name:
        raise CallError(
            f"names an artifact of the model {before.name}",
            location=Location(f"{remote.address}@{alias}"),
            remedy="choose another alias or remote",
        )
    if before is not None and before.move is not None:
        # A process may have been killed after it set the alias and before it recorded the move.
        remote.attach(before.digest, "move", data=_encode(before.move))
    move = Promotion(
        alias=alias,
        digest=artifact.digest,
        instead_of=None if before is None else before.digest,
        by=user(),
        when=now(),
        name=name,
        version=version,
        message=message,
        evidence=evidence_of(store, artifact),
    )
    pointer = Pointer(digest=artifact.digest, name=name, version=version, move=move)
    if before is not None and before.digest == artifact.digest and message is None:
        return before.move or move
    if not remote.set_pointer(alias, pointer, seen=seen):
        raise StoreError(
            "was moved by another process at the same moment",
            location=Location(f"{remote.address}@{alias}"),
            remedy="see where it is now, and try again: artifact-pipeline remote list",
        )
    remote.attach(artifact.digest, "move", data=_encode(move))
    return move


def _encode(move: Promotion) -> bytes:
    return canonical.encode(msgspec.to_builtins(move))


def _contended(remote: Remote, what: str) -> StoreError:
    problem = f"other processes keep writing the {what}"
    return StoreError(problem, location=Location(remote.address), remedy="try again")
