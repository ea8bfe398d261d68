"""Which artifact is opened: one that verifies, and is signed where the caller or store asks for it.

verified("latest")                                      every byte is what its manifest says
trusted("latest", signed_by=public_key("model.pub"))    and this signer vouches for it
require_signature(public_key("model.pub"))              and so it must be from now on, here
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from artifact_pipeline.artifact.manifest import Manifest
from artifact_pipeline.artifact.open import Verified, check_pin, read_signature
from artifact_pipeline.artifact.open import verify as verify_folder
from artifact_pipeline.canonical import Digest
from artifact_pipeline.errors import VerificationError
from artifact_pipeline.store import FOLDERS, Store

if TYPE_CHECKING:
    from artifact_pipeline.artifact.signing import PathLike, Signer

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

    Raises:
        ArtifactNotFound, CallError: if the reference or the digest names nothing.
        VerificationError: if the artifact is not what its manifest, or `digest`, says.
    """
    check_pin(digest)
    place = Store(store).find(artifact)
    if digest and place.digest and digest != place.digest:
        raise VerificationError(
            f"this is not the artifact asked for: its digest is {place.digest}, expected {digest}",
            where=str(place.folder),
        )
    return verify_folder(place.folder, digest or place.digest)


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
    for signer in required_signers(found.folder, signed_by=signed_by, store=store):
        from artifact_pipeline.artifact import signing

        signing.check(found, read_signature(found.folder), signer)
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
    from artifact_pipeline.artifact import signing

    found = verified(artifact, store=store)
    data = signing.sign(found, key=key, certificate=certificate, chain=chain)
    Store(store).put_signature(found.folder, data)
    return found


def require_signature(signer: Signer, *, store: Reference | None = None) -> None:
    """Let a store open nothing from now on that this signer did not sign.

    Raises:
        StoreError: if the policy cannot be written.
    """
    Store(store).set_signer(signer)


def signer_of(store: Reference | None = None) -> Signer | None:
    """Return who must have signed what a store opens, or None if nobody must.

    Raises:
        StoreError: if its policy cannot be read.
    """
    return Store(store).signer()
