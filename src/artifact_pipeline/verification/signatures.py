"""Who vouches for an artifact: signatures in the OpenSSF Model Signing format.

    data = sign(verified, key="model.pem")          # the bytes of model.sig
    check(verified, data, public_key("model.pub"))  # or a VerificationError

The library `model-signing` signs and checks folders. It is given a private copy of the very bytes
that were verified, so that what is signed, what is checked and what is opened are one thing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.artifact.manifest import MANIFEST, SIGNATURE
from artifact_pipeline.builder.config.messages import first_line
from artifact_pipeline.disk import translate_os_errors
from artifact_pipeline.errors import CallError, Location, StoreError, VerificationError
from artifact_pipeline.verification.verify import Verified, copy_file

PathLike: TypeAlias = "str | os.PathLike[str]"


class PublicKey(Struct, frozen=True, forbid_unknown_fields=True, tag_field="by", tag="key"):
    """A signer: whoever holds the private half of this elliptic-curve key."""

    pem: str


class Certificates(Struct, frozen=True, forbid_unknown_fields=True, tag_field="by", tag="ca"):
    """A signer: whoever holds a signing certificate that leads up to one of these roots."""

    pem: str


class Identity(Struct, frozen=True, forbid_unknown_fields=True, tag_field="by", tag="identity"):
    """A signer: whom Sigstore knows by this name, as this OpenID Connect issuer said it."""

    identity: str
    oidc_issuer: str


Signer: TypeAlias = PublicKey | Certificates | Identity


def encode(signer: Signer) -> bytes:
    """Return a signer as the bytes of a store's `trust.json`."""
    return canonical.encode(msgspec.to_builtins(signer))


def decode(data: bytes, path: Path) -> Signer:
    """Return the signer that a store's `trust.json` names.

    Raises:
        StoreError: if it names none: a policy that cannot be read is not taken for no policy.
    """
    try:
        signer: Signer = msgspec.convert(canonical.decode(data), type=Signer)
    except (canonical.NotCanonical, msgspec.ValidationError) as error:
        raise StoreError(
            f"is not a policy: {error}",
            location=Location(str(path)),
            remedy="write it again: artifact-pipeline trust",
        ) from error
    return signer


def public_key(path: PathLike) -> PublicKey:
    """Return the signer whose public key lies at `path`, in PEM. Raises CallError without one."""
    return PublicKey(_read(path))


def certificates(paths: Sequence[PathLike]) -> Certificates:
    """Return the signer of whom these root certificates vouch, in PEM. Raises as `public_key`."""
    return Certificates("".join(map(_read, paths)))


def sign(
    verified: Verified,
    *,
    key: PathLike | None = None,
    certificate: PathLike | None = None,
    chain: Sequence[PathLike] = (),
) -> bytes:
    """Return the signature of an artifact that was verified.

    `key` is a private key in PEM, on the curve P-256, P-384 or P-521; `certificate` and `chain`
    say whose it is. Without a key Sigstore vouches for who runs this, by the identity of the CI
    job or of a browser's log-in.

    Raises:
        CallError: for a key or certificate that is not to be had, or not to be used.
        StoreError: if Sigstore cannot be reached, or knows no identity here.
    """
    from_key = key is not None
    for path in (key, certificate, *chain):
        if path is not None:
            _read(path)
    config = _library("signing").Config()
    try:
        if key is not None and certificate is not None:
            config.use_certificate_signer(
                private_key=key, signing_certificate=certificate, certificate_chain=chain
            )
        elif key is not None:
            config.use_elliptic_key_signer(private_key=key)
        else:
            config.use_sigstore_signer(use_ambient_credentials=True)
    except Exception as error:  # the library's errors share no other parent
        raise _unusable(error, str(key) if from_key else None) from error
    config.set_hashing_config(_library("hashing").Config().set_ignored_paths(paths=[SIGNATURE]))
    with _copy(verified) as folder, redirect_stdout(sys.stderr):
        beside = folder.with_name(SIGNATURE)
        try:
            config.sign(folder, beside)
        except Exception as error:  # as above
            raise _unusable(error, str(key) if from_key else None) from error
        return beside.read_bytes()


def check(verified: Verified, signature: bytes, signer: Signer) -> None:
    """Do nothing if `signature` is the signer's, and of this very artifact.

    Raises:
        VerificationError: if it is not, or does not cover the manifest.
        CallError: for a key or certificate that is not to be used.
        StoreError: if Sigstore's roots of trust cannot be had.
    """
    where = str(verified.folder / SIGNATURE)
    with _copy(verified) as folder, redirect_stdout(sys.stderr):
        beside = folder.with_name(SIGNATURE)
        beside.write_bytes(signature)
        config = _checker(signer, folder.with_name("signer.pem"))
        if said := _refusal(config, folder, beside):
            raise VerificationError(f"does not vouch for this artifact: {said}", where=where)
        # A signature names the files that it covers, and may leave some out. It must cover the
        # manifest, which vouches for all others: so another manifest must be refused.
        (folder / MANIFEST).write_bytes(b"{}")
        if not _refusal(config, folder, beside):
            raise VerificationError(f"does not cover {MANIFEST}", where=where)


def _checker(signer: Signer, scratch: Path) -> Any:
    config = _library("verifying").Config()
    try:
        if isinstance(signer, Identity):
            return config.use_sigstore_verifier(
                identity=signer.identity, oidc_issuer=signer.oidc_issuer
            )
        scratch.write_text(signer.pem, encoding="utf-8")
        if isinstance(signer, PublicKey):
            return config.use_elliptic_key_verifier(public_key=scratch)
        return config.use_certificate_verifier(certificate_chain=[scratch])
    except Exception as error:  # the library's errors share no other parent
        raise _unusable(error, None if isinstance(signer, Identity) else "the signer") from error


def _refusal(config: Any, folder: Path, signature: Path) -> str | None:
    """Return why the library refuses the signature, or None if it does not."""
    try:
        config.verify(folder, signature)
    except Exception as error:  # noqa: BLE001  (a hostile signature may make it raise anything)
        return ascii(first_line(error))[1:161].rstrip("'\"")
    return None


def _unusable(error: Exception, key: str | None) -> CallError | StoreError:
    said = first_line(error)
    if key is None:
        return StoreError(
            f"{said}; a CI job needs the permission id-token: write, and the network",
            where="Sigstore",
        )
    return CallError(
        f"is no key or certificate that can be used ({said}); expected PEM, an elliptic curve "
        "P-256, P-384 or P-521, and no password",
        where=key,
    )


@contextmanager
def _copy(verified: Verified) -> Iterator[Path]:
    """Give a folder of the verified bytes alone, named by the artifact's digest."""
    import tempfile

    with translate_os_errors("scratch folder"), tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / verified.digest.removeprefix("sha256:")
        folder.mkdir()
        (folder / MANIFEST).write_bytes(verified.sealed)
        for name in verified.files:
            copy_file(verified, name, folder / name)
        yield folder


def _library(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(f"model_signing.{name}")
    except ImportError as error:
        raise CallError(
            f"{error}; install it: pip install 'artifact-pipeline[sign]'", where="signatures"
        ) from error


def _read(path: PathLike) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or "is no PEM file"
        raise CallError(f"cannot be read: {said}", where=os.fspath(path)) from error
