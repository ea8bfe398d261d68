"""Opening artifacts: checks of integrity, of signers and of a store's policy.

check_integrity("latest")                                    compares the bytes with the manifest
open_trusted("latest", signed_by=public_key("model.pub"))    and checks the signature
require_signature(public_key("model.pub"))                   makes every later call check it
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.artifact.manifest import MODEL_PICKLE
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.builder.formats.origin import Origin
from artifact_pipeline.errors import Location, VerificationError
from artifact_pipeline.store import local_state
from artifact_pipeline.store.store import FOLDERS, Store
from artifact_pipeline.verification.verify import Verified, check_pin, read_signature, verify

if TYPE_CHECKING:
    from artifact_pipeline.verification.signatures import PathLike, Signer

_MAX_LINKS = 40
"""Symbolic links that are followed, as many as Linux follows."""

Reference = str | os.PathLike[str]
"""A folder, an alias, or the first eight or more hex digits of a digest."""


def check_integrity(
    artifact: Reference, digest: Digest | None = None, *, store: Reference | None = None
) -> Verified:
    """Check every file of an artifact against its manifest, and return the artifact.

    Signatures are not checked: see `open_trusted`.

    Args:
        artifact: A folder, an alias, or the first eight or more hex digits of a digest. A
            complete digest that the store has pins the artifact, as `digest` does.
        digest: The digest that the artifact must have.
        store: The store that aliases and digests are looked up in.

    Raises:
        ArtifactNotFound: If nothing has this name.
        CallError: If `digest` is malformed, or `artifact` is the start of several digests.
        VerificationError: If a file is missing, changed or not listed, or the digest differs.
    """
    check_pin(digest)
    place = Store(store).find(artifact)
    by_digest = isinstance(artifact, str) and re.fullmatch("(sha256:)?[0-9a-f]{64}", artifact)
    if digest and place.digest and digest != place.digest:
        raise VerificationError(
            f"this is not the artifact asked for: its digest is {place.digest}, expected {digest}",
            location=Location(str(place.folder)),
        )
    verified = verify(place.folder, digest or place.digest)
    # An alias, a shortened digest or a folder's name can be changed by anyone who can write them.
    if digest is not None or (by_digest and place.digest is not None):
        return verified._replace(origin=Origin.PINNED)
    name = verified.model_file
    if local_state.wrote(name, verified.manifest.digest_of(name)):
        return verified._replace(origin=Origin.MADE_HERE)
    return verified


def open_trusted(
    artifact: Reference,
    digest: Digest | None = None,
    *,
    signed_by: Signer | None = None,
    store: Reference | None = None,
) -> Verified:
    """Check an artifact's integrity and its required signatures, and return the artifact.

    A signature is required from `signed_by`, and from the signer that a store's policy names:
    the store in use, if `signed_by` is not given, and each store that the artifact lies in.

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
    signer_of(store)  # report an unreadable policy before anything else
    verified = check_integrity(artifact, digest, store=store)
    signers = required_signers(verified.folder, signed_by=signed_by, store=store)
    for signer in signers:
        from artifact_pipeline.verification import signatures

        signatures.check(verified, read_signature(verified.folder), signer)
    # A policy from elsewhere vouches for nothing: its author may have signed the artifact too.
    if signers and (signed_by is not None or is_ours(signers, verified.folder, store=store)):
        return verified._replace(origin=Origin.SIGNED)
    return verified


def required_signers(
    path: Reference, *, signed_by: Signer | None = None, store: Reference | None = None
) -> list[Signer]:
    """Return every signer whose signature is required to open the artifact at `path`.

    These are `signed_by`, or else the signer required by the store in use, and the signers
    required by the stores that contain `path`, by whatever links it leads there.

    Raises:
        StoreError: If the policy of a store cannot be read.
    """
    candidates = [signed_by or signer_of(store), *map(signer_of, _containing_folders(path))]
    signers: list[Signer] = []
    for signer in candidates:
        if signer is not None and signer not in signers:
            signers.append(signer)
    return signers


def _containing_folders(path: Reference) -> list[Path]:
    """Return the folders whose policy applies to `path`, if they are stores.

    They contain `path` itself, each link that it leads through, or its target. Staged and
    quarantined artifacts belong to their store too.
    """
    place = Path(os.path.abspath(path))  # noqa: PTH100  (Path.absolute keeps "..")
    folders = [place.parent, Path(os.path.realpath(place)).parent]
    for _ in range(_MAX_LINKS):
        if not place.is_symlink():
            break
        place = place.parent / place.readlink()
        folders.append(place.parent)
    folders += [folder.parent for folder in folders if folder.name in FOLDERS]
    return list(dict.fromkeys(folders))


def sign(
    artifact: Reference,
    *,
    key: PathLike | None = None,
    certificate: PathLike | None = None,
    chain: Sequence[PathLike] = (),
    store: Reference | None = None,
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
    Store(store).put_signature(verified.folder, data)
    return verified


def require_signature(signer: Signer, *, store: Reference | None = None) -> None:
    """Make a store open only artifacts that `signer` has signed.

    This checkout remembers the policy, so here the signatures also vouch for pickles and skops
    archives.

    Raises:
        StoreError: If the policy cannot be written.
    """
    Store(store).set_signer(signer)
    local_state.remember(_policy_name(Store(store).root), _digest(signer).encode())


def is_ours(signers: list[Signer], path: Reference | None, *, store: Reference | None) -> bool:
    """Return whether this checkout last set the policy that requires one of the signers.

    The policies are those of the store in use and of the stores that contain `path`. A policy from
    elsewhere restricts what is opened, but it does not tell where an artifact comes from: anyone
    who can write the store can replace both, or restore the policy of a key that was lost since.
    """
    folders = [Store(store).root, *([] if path is None else _containing_folders(path))]
    ours = {local_state.recall(_policy_name(folder)) for folder in folders}
    return any(_digest(signer).encode() in ours for signer in signers)


def _policy_name(store: Path) -> str:
    place = canonical.digest(os.fsencode(os.path.realpath(store)))
    return f"policies/{place.removeprefix('sha256:')}"


def _digest(signer: Signer) -> Digest:
    from artifact_pipeline.verification import signatures

    return canonical.digest(signatures.encode(signer))


def mark_made_here(verified: Verified) -> Verified:
    """Remember that this checkout made an artifact, and return it with that origin."""
    for name in (MODEL_PICKLE, verified.model_file):
        local_state.record_written(name, verified.manifest.digest_of(name))
    return verified._replace(origin=Origin.MADE_HERE)


def signer_of(store: Reference | None = None) -> Signer | None:
    """Return the signer that a store's policy requires, or None without a policy.

    Raises:
        StoreError: If the policy cannot be read.
    """
    return Store(store).signer()
