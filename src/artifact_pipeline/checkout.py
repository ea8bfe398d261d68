"""What this checkout remembers of the machine and of configs, and the pickles that it opens.

Which numeric profile the machine holds, and what a config that was checked before comes to: see
`local_state` for where that is kept.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artifact_pipeline import canonical, numerics, recipe
from artifact_pipeline.artifact.manifest import MANIFEST, MODEL_PICKLE
from artifact_pipeline.artifact.open import check_pin
from artifact_pipeline.artifact.origin import Origin
from artifact_pipeline.canonical import Digest
from artifact_pipeline.disk import failing, write_atomically
from artifact_pipeline.errors import ArtifactNotFound, UntrustedModel, VerificationError
from artifact_pipeline.local_state import recall, remember, trust, trusts
from artifact_pipeline.policy import required_signers, trusted

if TYPE_CHECKING:
    from artifact_pipeline.artifact.signing import Signer


def profile() -> str:
    """Return the numeric profile that this machine holds; numpy is asked the first time."""
    found = (recall(_profile_name()) or b"").decode("ascii", "replace")
    known = found in (*numerics.PROFILES, numerics.NATIVE)
    return found if known else remember_profile(numerics.ask())


def remember_profile(name: str) -> str:
    """Remember and return the profile that this machine was seen to hold."""
    remember(_profile_name(), name.encode())
    return name


def recall_config(config: bytes) -> Any:
    """Return what `remember_config` was given for these bytes; None if it was not, or is lost."""
    found = recall(_config_name(config))
    try:
        return None if found is None else canonical.decode(found)
    except canonical.NotCanonical:  # a spoilt memory is no memory: the config is checked again
        return None


def remember_config(config: bytes, checked: Any) -> None:
    """Remember what the bytes of a config come to: that needs scikit-learn, this does not."""
    remember(_config_name(config), canonical.encode(checked))


def save_model(model: Any, path: str | os.PathLike[str]) -> Digest:
    """Write a fitted estimator to `path` as a pickle that `load_model` opens; return its digest.

    Raises:
        StoreError: if it cannot be written.
    """
    from artifact_pipeline.artifact.formats import pickle

    data = pickle.dump(model)
    digest = canonical.digest(data)
    trust(MODEL_PICKLE, digest)
    write_atomically(Path(path), data)
    return digest


def load_model(
    path: str | os.PathLike[str], digest: Digest | None = None, *, signed_by: Signer | None = None
) -> Any:
    """Return the estimator in a pickle that this checkout wrote, `digest` pins, or one signed.

    A pickle is signed with the artifact in whose folder it lies. Each of
    `policy.required_signers` of that artifact must have signed it.

    Raises:
        ArtifactNotFound: if there is no such file.
        UntrustedModel: if this checkout did not write it and no digest was given.
        VerificationError: if it is not what `digest` or the signature says, or does not open.
    """
    from artifact_pipeline.artifact.formats import pickle

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
    if digest is None and not vouched and not trusts(MODEL_PICKLE, found):
        raise UntrustedModel(
            f"this checkout did not write this pickle ({found}), and opening one runs whatever "
            "it holds; train it here, or pin the digest if you know where it is from: "
            f"load_model({where!r}, digest={found!r})",
            where=where,
        )
    return pickle.load(data, where)


def _read(path: Path) -> bytes:
    with failing(str(path)):
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
    found = trusted(folder, signed_by=signed_by)
    if path.name not in found.files:
        raise VerificationError("is no file of the artifact that was signed", where=str(path))
    return found.files[path.name], found.origin is Origin.SIGNED


def _profile_name() -> str:
    # Another interpreter may be an emulator, another numpy may bring another BLAS.
    asked = [sys.executable, numerics.machine(), numerics.cpu_model()]
    asked += [f"{k} {v}" for k, v in recipe.versions(("numpy", "scipy", "scikit-learn")).items()]
    # Not under profiles/: what earlier versions kept there can be one process's settings.
    return "machine-profiles/" + hashlib.sha256("\0".join(asked).encode()).hexdigest()[:32]


def _config_name(config: bytes) -> str:
    decides = [recipe.code_digest(), sys.version, *recipe.versions(("scikit-learn",)).values()]
    head = "\0".join(decides).encode()
    return "configs/" + hashlib.sha256(head + b"\0" + config).hexdigest()
