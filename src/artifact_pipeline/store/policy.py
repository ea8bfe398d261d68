"""The policy of a store: the signer whose signature is required to open its artifacts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from artifact_pipeline import disk
from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.store import local_state
from artifact_pipeline.store.folder import FOLDERS, TRUST, StoreFolder

if TYPE_CHECKING:
    from artifact_pipeline.verification.signatures import PathLike, Signer

_MAX_POLICY = 1 << 20
"""Bytes of a policy; a larger file was not written by this package."""
_MAX_LINKS = 40
"""Maximum symbolic links to follow, as in Linux."""


class Policy:
    """The policy of one store, in its file `trust.json`."""

    def __init__(self, folder: StoreFolder) -> None:
        self._folder = folder

    def signer(self) -> Signer | None:
        """Return the required signer, or None without a policy.

        Raises:
            StoreError: If there is a policy that cannot be read, even if it is a dangling link.
        """
        path = self._folder.root / TRUST
        remedy = "inspect it, and write it again: artifact-pipeline trust"
        data = disk.read_file(path, limit=_MAX_POLICY, remedy=remedy)
        if data is None:
            return None
        from artifact_pipeline.verification import signatures

        return signatures.decode(data, path)

    def set_signer(self, signer: Signer) -> None:
        """Require the signature of this signer.

        Raises:
            StoreError: If the policy cannot be written.
        """
        from artifact_pipeline.verification import signatures

        self._folder.write(self._folder.root / TRUST, signatures.encode(signer))


def signer_of(store: PathLike | None = None) -> Signer | None:
    """Return the signer that a store's policy requires, or None without a policy.

    Raises:
        StoreError: If the policy cannot be read.
    """
    return Policy(StoreFolder(store)).signer()


def require_signature(signer: Signer, *, store: PathLike | None = None) -> None:
    """Make a store open only artifacts that `signer` has signed.

    This checkout remembers the policy, so here the signatures also vouch for pickles and skops
    archives.

    Raises:
        StoreError: If the policy cannot be written.
    """
    folder = StoreFolder(store)
    Policy(folder).set_signer(signer)
    local_state.remember(_name(folder.root), _digest(signer).encode())


def required_signers(
    path: PathLike, *, signed_by: Signer | None = None, store: PathLike | None = None
) -> list[Signer]:
    """Return every signer whose signature is required to open the artifact at `path`.

    These are `signed_by`, or else the signer required by the store in use, and the signers
    required by the stores that contain `path`, through any links.

    Args:
        path: The artifact.
        signed_by: The signer that the caller requires.
        store: The store in use.

    Raises:
        StoreError: If the policy of a store cannot be read.
    """
    candidates = [signed_by or signer_of(store), *map(signer_of, _containing_folders(path))]
    signers: list[Signer] = []
    for signer in candidates:
        if signer is not None and signer not in signers:
            signers.append(signer)
    return signers


def is_set_here(signers: list[Signer], path: PathLike | None, *, store: PathLike | None) -> bool:
    """Return whether this checkout last set the policy that requires one of the signers.

    The policies are those of the store in use and of the stores that contain `path`, if given. A
    policy from elsewhere restricts what is opened, but it does not show where an artifact comes
    from: anyone who can write the store can replace both, or restore the policy of a key that was
    lost since.

    Args:
        signers: The signers that are required.
        path: The artifact.
        store: The store in use.
    """
    folders = [StoreFolder(store).root, *([] if path is None else _containing_folders(path))]
    remembered = {local_state.recall(_name(folder)) for folder in folders}
    return any(_digest(signer).encode() in remembered for signer in signers)


def _containing_folders(path: PathLike) -> list[Path]:
    """Return the folders whose policy applies to `path`, if they are stores.

    They contain `path` itself, a link on the way, or its target. Staged and
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


def _name(store: Path) -> str:
    """Return the name under which this checkout remembers a store's policy."""
    place = canonical.digest(os.fsencode(os.path.realpath(store)))
    return f"policies/{place.removeprefix('sha256:')}"


def _digest(signer: Signer) -> Digest:
    from artifact_pipeline.verification import signatures

    return canonical.digest(signatures.encode(signer))
