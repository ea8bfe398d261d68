"""Access to artifacts: checks of their bytes and of their signatures.

check_integrity("latest")                                    compares the bytes with the manifest
open_trusted("latest", signed_by=public_key("model.pub"))    and checks the signature
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from artifact_pipeline.builder.artifact.manifest import MODEL_PICKLE
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.builder.formats.origin import Origin
from artifact_pipeline.errors import Location, VerificationError
from artifact_pipeline.store import local_state
from artifact_pipeline.store.policy import is_set_here, required_signers, signer_of
from artifact_pipeline.store.references import ArtifactLike, PathLike, parse
from artifact_pipeline.store.store import Store
from artifact_pipeline.verification.verify import Verified, check_pin, read_signature, verify

if TYPE_CHECKING:
    from artifact_pipeline.verification.signatures import Signer


def check_integrity(
    artifact: ArtifactLike, digest: Digest | None = None, *, store: PathLike | None = None
) -> Verified:
    """Check every file of an artifact against its manifest, and return the artifact.

    Signatures are not checked: see `open_trusted`.

    Args:
        artifact: `NAME@ALIAS`, `NAME:VERSION`, an alias, the first eight or more hex digits of a
            digest, or a folder. A complete digest that the store has pins the artifact, as
            `digest` does.
        digest: The digest that the artifact must have.
        store: The store that aliases and digests are looked up in.

    Raises:
        ArtifactNotFound: If nothing has this name.
        CallError: If `digest` is malformed, or `artifact` is the start of several digests.
        VerificationError: If a file is missing, changed or not listed, or the digest differs.
    """
    return _check_integrity(artifact, digest, store=store, contents=True)


def _check_integrity(
    artifact: ArtifactLike, digest: Digest | None, *, store: PathLike | None, contents: bool
) -> Verified:
    check_pin(digest)
    location = Store(store).resolve(artifact)
    by_digest = isinstance(artifact, str) and parse(artifact).is_complete_digest
    if digest and location.digest and digest != location.digest:
        raise VerificationError(
            f"is another artifact: its digest is {location.digest}, expected {digest}",
            location=Location(str(location.folder)),
        )
    verified = verify(location.folder, digest or location.digest, contents=contents)
    # Anyone who can write the store can change what an alias, a folder or a short digest names.
    if digest is not None or (by_digest and location.digest is not None):
        return verified._replace(origin=Origin.PINNED)
    name = verified.model_file
    if local_state.wrote(name, verified.manifest.digest_of(name)):
        return verified._replace(origin=Origin.MADE_HERE)
    return verified


def open_trusted(
    artifact: ArtifactLike,
    digest: Digest | None = None,
    *,
    signed_by: Signer | None = None,
    store: PathLike | None = None,
) -> Verified:
    """Check an artifact's integrity and its required signatures, and return the artifact.

    A signature is required from `signed_by`, and from the signer that a store's policy names:
    the store in use, if `signed_by` is not given, and each store that contains the artifact.

    Args:
        artifact: As for `check_integrity`.
        digest: As for `check_integrity`.
        signed_by: The signer whose signature is required.
        store: As for `check_integrity`.

    Raises:
        ArtifactNotFound, CallError: As `check_integrity`.
        VerificationError: As `check_integrity`, or if a required signature is missing or wrong.
        StoreError: If the policy of a store cannot be read.
    """
    return _open_trusted(artifact, digest, signed_by=signed_by, store=store, contents=True)


def open_to_send(artifact: ArtifactLike, *, store: PathLike | None = None) -> Verified:
    """Open an artifact as `open_trusted` does, but hash no file: the caller hashes what it sends.

    Raises:
        ArtifactNotFound, CallError, VerificationError, StoreError: As `open_trusted`.
    """
    return _open_trusted(artifact, None, signed_by=None, store=store, contents=False)


def _open_trusted(
    artifact: ArtifactLike,
    digest: Digest | None,
    *,
    signed_by: Signer | None,
    store: PathLike | None,
    contents: bool,
) -> Verified:
    signer_of(store)  # report an unreadable policy before anything else
    verified = _check_integrity(artifact, digest, store=store, contents=contents)
    signers = required_signers(verified.folder, signed_by=signed_by, store=store)
    for signer in signers:
        from artifact_pipeline.verification import signatures

        signatures.check(verified, read_signature(verified.folder), signer=signer)
    # A policy from elsewhere proves nothing: its author may have signed the artifact too.
    if signers and (signed_by is not None or is_set_here(signers, verified.folder, store=store)):
        return verified._replace(origin=Origin.SIGNED)
    return verified


def sign(
    artifact: ArtifactLike,
    *,
    key: PathLike | None = None,
    certificate: PathLike | None = None,
    chain: Sequence[PathLike] = (),
    store: PathLike | None = None,
) -> Verified:
    """Check an artifact's integrity, sign it, and return it.

    The signature is the file `model.sig`, which replaces an earlier one. The artifact's digest
    does not change.

    Args:
        artifact: As for `check_integrity`.
        key: An unencrypted private key in PEM, on the curve P-256, P-384 or P-521. Without a key,
            Sigstore signs with the identity of the CI job or of a log-in in the browser.
        certificate: The certificate of the key, in PEM.
        chain: Intermediate certificates, in PEM.
        store: As for `check_integrity`.

    Raises:
        VerificationError: As `check_integrity`.
        CallError: If a key or certificate cannot be read or used.
        MissingDependency: If the package `model-signing` is not installed.
        NetworkError: If Sigstore cannot be reached or has no identity for this process.
        StoreError: If the signature cannot be written.
    """
    from artifact_pipeline.verification import signatures

    verified = check_integrity(artifact, store=store)
    data = signatures.sign(verified, key=key, certificate=certificate, chain=chain)
    Store(store).artifacts.write_signature(verified.folder, data)
    return verified


def mark_made_here(verified: Verified) -> Verified:
    """Remember that this checkout made an artifact, and return it with that origin."""
    for name in (MODEL_PICKLE, verified.model_file):
        local_state.record_written(name, verified.manifest.digest_of(name))
    return verified._replace(origin=Origin.MADE_HERE)
