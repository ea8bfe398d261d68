"""Pickles of estimators, opened only if their origin is known.

The origin is known if this checkout wrote the bytes, if the caller pins their digest, or if a
signature that the caller or a policy set here requires covers them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.artifact.manifest import MANIFEST, MODEL_PICKLE
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.builder.config.messages import first_line
from artifact_pipeline.builder.formats.origin import Origin
from artifact_pipeline.disk import translate_os_errors, write_atomically
from artifact_pipeline.errors import (
    ArtifactNotFound,
    CallError,
    Location,
    UntrustedModel,
    VerificationError,
)
from artifact_pipeline.store.access import open_trusted
from artifact_pipeline.store.local_state import record_written, wrote
from artifact_pipeline.store.policy import required_signers
from artifact_pipeline.verification.verify import check_pin

if TYPE_CHECKING:
    from artifact_pipeline.verification.signatures import Signer

_PROTOCOL = b"\x80"
"""The first byte of pickles since protocol 2, and of uncompressed joblib files."""
_ZIP = b"PK\x03\x04"
"""The first bytes of a zip archive, which skops writes."""
_MLFLOW_FILES = ("model.skops", "model.pkl", MODEL_PICKLE)
"""Names of estimators in the folders of MLflow models and of artifacts."""
_JOBLIB = b"joblib.numpy_pickle"
"""The module that a joblib file with arrays names."""


def save_model(model: Any, path: str | os.PathLike[str]) -> Digest:
    """Write a fitted estimator as a pickle that `load_model` opens, and return its digest.

    Args:
        model: A fitted scikit-learn estimator.
        path: The file to write; an existing one is replaced.

    Raises:
        StoreError: If it cannot be written.
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
    """Return the estimator in a pickle, if the origin of the pickle is known.

    The same rules apply to joblib and skops files. A pickle is signed as part of the artifact
    whose folder contains it. Signatures are required as by `open_trusted`.

    Args:
        path: The pickle.
        digest: The digest that the pickle must have. Opening a pickle runs code, so give one only
            if you know where the pickle comes from.
        signed_by: The signer whose signature of the artifact is required.

    Raises:
        ArtifactNotFound: If there is no such file.
        CallError: If it is a folder, or `digest` is malformed.
        UntrustedModel: If its origin is unknown.
        VerificationError: If its digest or a required signature is wrong, or it does not open.
    """
    from artifact_pipeline.builder.formats import pickle_format

    name = os.fspath(path)
    location = Location(name)
    check_pin(digest)
    if Path(path).is_dir():
        raise CallError("is a folder, expected a file", location=location, remedy=_file_in(path))
    if not Path(path).is_file():
        raise ArtifactNotFound(
            "no such file", location=location, remedy="make it with: python src/train.py"
        )
    place = Path(path).absolute()
    signers = required_signers(place.parent, signed_by=signed_by)
    signers += required_signers(Path(os.path.realpath(place)).parent, signed_by=signed_by)
    data, is_signed = _read_signed(place, signed_by) if signers else (_read(place), False)
    actual = canonical.digest(data)
    if digest is not None and actual != digest:
        raise VerificationError(f"has the digest {actual}, expected {digest}", location=location)
    if digest is None and not is_signed and not wrote(MODEL_PICKLE, actual):
        raise UntrustedModel(
            f"this checkout did not write this pickle ({actual}), and opening a pickle runs the "
            "code in it",
            location=location,
            remedy="train it here, or pin the digest if you know its origin: "
            f"load_model({name!r}, digest={actual!r})",
        )
    if data.startswith(_ZIP):
        return _load_skops(data, location)
    if data.startswith(_PROTOCOL) and _JOBLIB not in data:
        return pickle_format.load(data, location)
    return _load_joblib(data, location)


def _load_joblib(trusted: bytes, location: Location) -> Any:
    """Return the estimator in a joblib file whose origin is known.

    It is a pickle with the bytes of arrays between the instructions, and may be compressed.

    Raises:
        VerificationError: If it does not open.
    """
    import io
    import pickle
    import zlib

    import joblib

    try:
        return joblib.load(io.BytesIO(trusted))
    except (
        pickle.UnpicklingError, EOFError, ImportError, AttributeError, ValueError, KeyError,
        TypeError, IndexError, OSError, zlib.error,
    ) as error:  # fmt: skip
        raise VerificationError(f"cannot be unpickled here: {error}", location=location) from error


def _load_skops(trusted: bytes, location: Location) -> Any:
    """Return the estimator in a skops archive whose origin is known.

    Raises:
        VerificationError: If it does not open.
    """
    import skops.io

    try:
        types = skops.io.get_untrusted_types(data=trusted)
        return skops.io.loads(trusted, trusted=types)
    except Exception as error:  # skops may raise anything for other archives
        problem = f"cannot be opened here as a skops archive: {first_line(error)[:200]}"
        raise VerificationError(problem, location=location) from error


def _file_in(path: str | os.PathLike[str]) -> str:
    """Return the remedy for a folder in place of a file, which may be an MLflow model."""
    for name in _MLFLOW_FILES:
        if (Path(path) / name).is_file():
            return f"name the file in it, {Path(path) / name}"
    return "name a file of pickle, joblib or skops"


def _read(path: Path) -> bytes:
    with translate_os_errors(path):
        return path.read_bytes()


def _read_signed(path: Path, signed_by: Signer | None) -> tuple[bytes, bool]:
    """Return the bytes of a file in a signed artifact, and whether the signatures vouch for it."""
    location = Location(str(path))
    if not (path.parent / MANIFEST).exists():
        raise VerificationError(
            "a signature is required, but this file is not in an artifact",
            location=location,
            remedy="open the pickle in the artifact's own folder",
        )
    verified = open_trusted(path.parent, signed_by=signed_by)
    if path.name not in verified.files:
        raise VerificationError("is not a file of the signed artifact", location=location)
    return verified.files[path.name], verified.origin is Origin.SIGNED
