"""Pickles: written, and opened only from bytes whose origin is known.

This checkout wrote them, the caller pins their digest, or a verified signature covers them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.artifact.manifest import MANIFEST, MODEL_PICKLE
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.builder.formats.origin import Origin
from artifact_pipeline.disk import translate_os_errors, write_atomically
from artifact_pipeline.errors import ArtifactNotFound, UntrustedModel, VerificationError
from artifact_pipeline.store.access import open_trusted
from artifact_pipeline.store.local_state import record_written, wrote
from artifact_pipeline.store.policy import required_signers
from artifact_pipeline.verification.verify import check_pin

if TYPE_CHECKING:
    from artifact_pipeline.verification.signatures import Signer


def save_model(model: Any, path: str | os.PathLike[str]) -> Digest:
    """Write a fitted estimator to `path` as a pickle that `load_model` opens; return its digest.

    Raises:
        StoreError: if it cannot be written.
    """
    from artifact_pipeline.builder.formats import pickle_format

    data = pickle_format.dump(model)
    digest = canonical.digest(data)
    record_written(MODEL_PICKLE, digest)
    write_atomically(Path(path), data)
    return digest


def load_model(
    path: str | os.PathLike[str], digest: Digest | None = None, *, signed_by: Signer | None = None
) -> Any:
    """Return the estimator in a pickle that this checkout wrote, `digest` pins, or one signed.

    A pickle is signed with the artifact in whose folder it lies. Each of
    `required_signers` of that artifact must have signed it.

    Raises:
        ArtifactNotFound: if there is no such file.
        UntrustedModel: if this checkout did not write it and no digest was given.
        VerificationError: if it is not what `digest` or the signature says, or does not open.
    """
    from artifact_pipeline.builder.formats import pickle_format

    where = os.fspath(path)
    check_pin(digest)
    if not Path(path).is_file():
        raise ArtifactNotFound("no such file; make it with: python src/train.py", where=where)
    place = Path(path).absolute()
    signers = required_signers(place.parent, signed_by=signed_by)
    signers += required_signers(Path(os.path.realpath(place)).parent, signed_by=signed_by)
    data, vouched = _signed(place, signed_by) if signers else (_read(place), False)
    found = canonical.digest(data)
    if digest is not None and found != digest:
        raise VerificationError(f"has the digest {found}, expected {digest}", where=where)
    if digest is None and not vouched and not wrote(MODEL_PICKLE, found):
        raise UntrustedModel(
            f"this checkout did not write this pickle ({found}), and opening one runs whatever "
            "it holds; train it here, or pin the digest if you know where it is from: "
            f"load_model({where!r}, digest={found!r})",
            where=where,
        )
    return pickle_format.load(data, where)


def _read(path: Path) -> bytes:
    with translate_os_errors(str(path)):
        return path.read_bytes()


def _signed(path: Path, signed_by: Signer | None) -> tuple[bytes, bool]:
    """Return the bytes of a file in an artifact that is signed by whom it must be.

    The second value says whether those signatures vouch for the file, too.
    """
    folder = path.parent
    if not (folder / MANIFEST).exists():
        raise VerificationError(
            "lies in no artifact, and a signature is asked for, which is an artifact's; open the "
            "pickle in the artifact's own folder",
            where=str(path),
        )
    found = open_trusted(folder, signed_by=signed_by)
    if path.name not in found.files:
        raise VerificationError("is no file of the artifact that was signed", where=str(path))
    return found.files[path.name], found.origin is Origin.SIGNED
