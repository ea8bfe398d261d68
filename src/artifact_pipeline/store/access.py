"""Which artifact is opened: one that verifies, and is signed where the caller or store asks for it.

verified("latest")                                      every byte is what its manifest says
trusted("latest", signed_by=public_key("model.pub"))    and this signer vouches for it
require_signature(public_key("model.pub"))              and so it must be from now on, here
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.artifact.manifest import MODEL_PICKLE, Manifest
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.builder.formats.origin import Origin
from artifact_pipeline.errors import VerificationError
from artifact_pipeline.store import local_state
from artifact_pipeline.store.store import FOLDERS, Store
from artifact_pipeline.verification.verify import Verified, check_pin, read_signature
from artifact_pipeline.verification.verify import verify as verify_folder

if TYPE_CHECKING:
    from artifact_pipeline.verification.signatures import PathLike, Signer

_MAX_LINKS = 40
"""As many as Linux follows."""

Reference = str | os.PathLike[str]
"""An artifact by its folder, its alias, or eight or more digits of its digest."""


def verified(
    artifact: Reference,
    digest: Digest | None = None,
    *,
    store: Reference | None = None,
) -> Verified:
    """Return the artifact that a reference names, if every rule of the format holds for it.

    `digest`, or a reference that is a whole digest in the store, pins it: its origin is known.

    Raises:
        ArtifactNotFound, CallError: if the reference or the digest names nothing.
        VerificationError: if the artifact is not what its manifest, or `digest`, says.
    """
    check_pin(digest)
    place = Store(store).find(artifact)
    named = isinstance(artifact, str) and re.fullmatch("(sha256:)?[0-9a-f]{64}", artifact)
    if digest and place.digest and digest != place.digest:
        raise VerificationError(
            f"this is not the artifact asked for: its digest is {place.digest}, expected {digest}",
            where=str(place.folder),
        )
    found = verify_folder(place.folder, digest or place.digest)
    # An alias, the start of a digest and the name of a folder are words of whoever wrote those.
    if digest is not None or (named and place.digest is not None):
        return found._replace(origin=Origin.PINNED)
    name = found.model_file
    if local_state.trusts(name, found.manifest.digest_of(name)):
        return found._replace(origin=Origin.MADE_HERE)
    return found


def trusted(
    artifact: Reference,
    digest: Digest | None = None,
    *,
    signed_by: Signer | None = None,
    store: Reference | None = None,
) -> Verified:
    """Return an artifact that verifies, and that each of `required_signers` signed.

    Raises:
        VerificationError: as `verified`; if a signature is asked for and there is none, or not
            one of this artifact by that signer.
        StoreError: if the policy of a store cannot be read.
    """
    signer_of(store)  # a policy that cannot be read is the first thing to know
    found = verified(artifact, digest, store=store)
    signers = required_signers(found.folder, signed_by=signed_by, store=store)
    for signer in signers:
        from artifact_pipeline.verification import signatures

        signatures.check(found, read_signature(found.folder), signer)
    # A policy came with the store, from whoever wrote that, unless it was set here.
    if signers and (signed_by is not None or is_ours(signers, found.folder, store=store)):
        return found._replace(origin=Origin.SIGNED)
    return found


def required_signers(
    path: Reference, *, signed_by: Signer | None = None, store: Reference | None = None
) -> list[Signer]:
    """Return everybody who must have signed the artifact at `path` before it is opened.

    That is whom the store demands in which the artifact lies, if it lies in one, however `path`
    leads there; and `signed_by`, or else whom the store in use demands.

    Raises:
        StoreError: if the policy of a store cannot be read.
    """
    signers = [signed_by or signer_of(store)]
    signers += [signer_of(folder) for folder in _stores(path)]
    return [one for i, one in enumerate(signers) if one is not None and one not in signers[:i]]


def _stores(path: Reference) -> list[Path]:
    """Return the folders whose policy `path` is under, whether they are stores or not.

    They are those that hold it, by its name, by each link that it leads through, and where it
    ends. What is set aside or staged is still in its store.
    """
    place = Path(os.path.abspath(path))  # noqa: PTH100  (Path.absolute keeps "..")
    found = [place.parent, Path(os.path.realpath(place)).parent]
    for _ in range(_MAX_LINKS):
        if not place.is_symlink():
            break
        place = place.parent / place.readlink()
        found.append(place.parent)
    found += [folder.parent for folder in found if folder.name in FOLDERS]
    return list(dict.fromkeys(found))


def verify(
    artifact: Reference,
    digest: Digest | None = None,
    *,
    signed_by: Signer | None = None,
    store: Reference | None = None,
) -> Manifest:
    """Return the manifest of an artifact that is to be trusted. Raises as `trusted`."""
    return trusted(artifact, digest, signed_by=signed_by, store=store).manifest


def sign(
    artifact: Reference,
    *,
    key: PathLike | None = None,
    certificate: PathLike | None = None,
    chain: Sequence[PathLike] = (),
    store: Reference | None = None,
) -> Verified:
    """Put a signature, `model.sig`, into an artifact that verifies, and return the artifact.

    Its digest stays what it was; a signature that was there before is replaced.

    Raises:
        VerificationError: as `verified`.
        CallError, StoreError: as `signing.sign`, and if the signature cannot be written.
    """
    from artifact_pipeline.verification import signatures

    found = verified(artifact, store=store)
    data = signatures.sign(found, key=key, certificate=certificate, chain=chain)
    Store(store).put_signature(found.folder, data)
    return found


def require_signature(signer: Signer, *, store: Reference | None = None) -> None:
    """Let a store open nothing from now on that this signer did not sign.

    This checkout remembers the policy: here its signatures also vouch for skops and pickles.

    Raises:
        StoreError: if the policy cannot be written.
    """
    Store(store).set_signer(signer)
    local_state.remember(_policy_name(Store(store).root), _digest(signer).encode())


def is_ours(signers: list[Signer], path: Reference | None, *, store: Reference | None) -> bool:
    """Return whether this checkout set the policy of a store that asks for one of the signers.

    The stores are the one in use and, with a `path`, those that it is under. Somebody else's
    policy limits what is opened, but is no evidence of where that is from: who can write the store
    can write both. They can also put back a policy that was replaced because its key was lost, so
    what counts is the last policy that was set here for that very store.
    """
    folders = [Store(store).root, *([] if path is None else _stores(path))]
    ours = {local_state.recall(_policy_name(folder)) for folder in folders}
    return any(_digest(signer).encode() in ours for signer in signers)


def _policy_name(store: Path) -> str:
    place = canonical.digest(os.fsencode(os.path.realpath(store)))
    return f"policies/{place.removeprefix('sha256:')}"


def _digest(signer: Signer) -> Digest:
    from artifact_pipeline.verification import signatures

    return canonical.digest(signatures.encode(signer))


def trust_artifact(verified: Verified) -> Verified:
    """Remember that this checkout made an artifact, and return it with that origin."""
    for name in (MODEL_PICKLE, verified.model_file):
        local_state.trust(name, verified.manifest.digest_of(name))
    return verified._replace(origin=Origin.MADE_HERE)


def signer_of(store: Reference | None = None) -> Signer | None:
    """Return who must have signed what a store opens, or None if nobody must.

    Raises:
        StoreError: if its policy cannot be read.
    """
    return Store(store).signer()
