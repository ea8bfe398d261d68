"""Signatures of artifacts, in the format of OpenSSF Model Signing.

    data = sign(verified, key="model.pem")                         # the content of model.sig
    check(verified, data, signer=public_key("model.pub"))          # or VerificationError

The library `model-signing` works on folders. It gets a private copy of the verified bytes, so that
the bytes that are signed, checked and opened are the same.

Source: https://github.com/sigstore/model-transparency
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.artifact.manifest import MANIFEST, SIGNATURE
from artifact_pipeline.builder.config.messages import first_line
from artifact_pipeline.disk import translate_os_errors
from artifact_pipeline.errors import (
    CallError,
    Location,
    MissingDependency,
    NetworkError,
    StoreError,
    VerificationError,
)
from artifact_pipeline.verification.verify import Verified, copy_file

PathLike: TypeAlias = "str | os.PathLike[str]"


class PublicKey(Struct, frozen=True, forbid_unknown_fields=True, tag_field="by", tag="key"):
    """The signer that holds the private half of an elliptic-curve key.

    Attributes:
        pem: The public key, in PEM.
    """

    pem: str


class Certificates(Struct, frozen=True, forbid_unknown_fields=True, tag_field="by", tag="ca"):
    """Any signer with a signing certificate that chains up to one of these roots.

    Attributes:
        pem: The root certificates, in PEM, one after the other.
    """

    pem: str


class Identity(Struct, frozen=True, forbid_unknown_fields=True, tag_field="by", tag="identity"):
    """The signer with an OpenID Connect identity, as certified by Sigstore.

    Attributes:
        identity: An e-mail address, or the URL of a CI workflow.
        oidc_issuer: The URL of the issuer that confirmed it.
    """

    identity: str
    oidc_issuer: str


Signer: TypeAlias = PublicKey | Certificates | Identity
_InFile = TypeVar("_InFile", PublicKey, Certificates)

_PRIVATE_KEY = "PRIVATE KEY-----"
_CERTIFICATE = "-----BEGIN CERTIFICATE-----"


def encode(signer: Signer) -> bytes:
    """Return a signer in the format of a store's `trust.json`."""
    return canonical.encode(msgspec.to_builtins(signer))


def decode(data: bytes, path: Path) -> Signer:
    """Return the signer in the content of a store's `trust.json`.

    Args:
        data: The content.
        path: The file, for the location of an error.

    Raises:
        StoreError: If it is malformed. An unreadable policy never counts as no policy.
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
    """Return the signer whose public key, in PEM, is at `path`.

    Raises:
        CallError: If the file cannot be read, or does not contain a usable public key.
    """
    pem = _read(path)
    if _PRIVATE_KEY in pem:  # it would be copied into `trust.json`, which others read
        raise CallError(
            "is a private key, expected the public one",
            location=Location(os.fspath(path)),
            remedy="openssl ec -in model.pem -pubout -out model.pub writes it",
        )
    return _checked(PublicKey(pem), path)


def certificates(paths: Sequence[PathLike]) -> Certificates:
    """Return the signers that the root certificates at `paths`, in PEM, certify.

    Raises:
        CallError: If a file cannot be read, or does not contain certificates.
    """
    pems = []
    for path in paths:
        pem = _read(path)
        if _CERTIFICATE not in pem or _PRIVATE_KEY in pem:
            raise CallError("is not a certificate", location=Location(os.fspath(path)))
        pems.append(_checked(Certificates(pem), path).pem)
    return Certificates("".join(pems))


def sign(
    verified: Verified,
    *,
    key: PathLike | None = None,
    certificate: PathLike | None = None,
    chain: Sequence[PathLike] = (),
) -> bytes:
    """Return the signature of a verified artifact.

    Args:
        verified: The artifact.
        key: An unencrypted private key in PEM, on the curve P-256, P-384 or P-521. Without a key,
            Sigstore signs with the identity of the CI job or of a log-in in the browser.
        certificate: The certificate of the key, in PEM.
        chain: Intermediate certificates, in PEM.

    Raises:
        CallError: If a key or certificate cannot be read or used.
        MissingDependency: If `model-signing` is not installed.
        NetworkError: If Sigstore cannot be reached or has no identity for this process.
    """
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
    except Exception as error:  # the library's errors have no other common parent
        raise _sigstore_error(error) if key is None else _key_error(error, str(key)) from error
    config.set_hashing_config(_library("hashing").Config().set_ignored_paths(paths=[SIGNATURE]))
    with _copy(verified) as folder, redirect_stdout(sys.stderr):
        signature = folder.with_name(SIGNATURE)
        try:
            config.sign(folder, signature)
        except Exception as error:  # as above
            raise _sigstore_error(error) if key is None else _key_error(error, str(key)) from error
        return signature.read_bytes()


def check(verified: Verified, signature: bytes, *, signer: Signer) -> None:
    """Check a signature of a verified artifact.

    Args:
        verified: The artifact.
        signature: The bytes of a Sigstore bundle.
        signer: The required signer.

    Raises:
        VerificationError: If another signer made it, or it does not cover the manifest.
        CallError: If the signer's key or certificates cannot be used.
        MissingDependency: If `model-signing` is not installed.
        NetworkError: If Sigstore's root of trust cannot be fetched.
    """
    location = Location(str(verified.folder / SIGNATURE))
    with _copy(verified) as folder, redirect_stdout(sys.stderr):
        file = folder.with_name(SIGNATURE)
        file.write_bytes(signature)
        config = _verifier(signer, folder.with_name("signer.pem"))
        if refusal := _refusal(config, folder, signature=file):
            raise VerificationError(
                f"does not vouch for this artifact: {refusal}", location=location
            )
        # A signature lists the files that it covers. To show that it covers the manifest, which
        # lists all others, the same signature must be refused with another manifest.
        (folder / MANIFEST).write_bytes(b"{}")
        if not _refusal(config, folder, signature=file):
            raise VerificationError(f"does not cover {MANIFEST}", location=location)


def _checked(signer: _InFile, path: PathLike) -> _InFile:
    """Return a signer after checking its key or certificates, if the library is installed."""
    import importlib.util
    import tempfile

    if importlib.util.find_spec("model_signing") is not None:
        with translate_os_errors("scratch folder"), tempfile.TemporaryDirectory() as scratch:
            _verifier(signer, Path(scratch) / "signer.pem", name=os.fspath(path))
    return signer


def _verifier(signer: Signer, scratch: Path, *, name: str = "the signer") -> Any:
    """Return the library's verifier for a signer, whose keys are written to `scratch`.

    Raises:
        CallError: If they cannot be used, located at `name`.
    """
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
    except Exception as error:  # the library's errors have no other common parent
        if isinstance(signer, Identity):
            raise _sigstore_error(error) from error
        raise _key_error(error, name) from error


def _refusal(config: Any, folder: Path, *, signature: Path) -> str | None:
    """Return the library's reason to refuse a signature, or None if it accepts it."""
    try:
        config.verify(folder, signature)
    except Exception as error:  # noqa: BLE001  (a hostile signature may make it raise anything)
        return ascii(first_line(error))[1:161].rstrip("'\"")
    return None


def _sigstore_error(error: Exception) -> NetworkError:
    return NetworkError(
        first_line(error),
        location=Location("Sigstore"),
        remedy="a CI job needs the permission id-token: write, and the network",
    )


def _key_error(error: Exception, name: str) -> CallError:
    return CallError(
        f"is not a usable key or certificate ({first_line(error)})",
        location=Location(name),
        remedy="expected PEM, an elliptic curve P-256, P-384 or P-521, and no password",
    )


@contextmanager
def _copy(verified: Verified) -> Iterator[Path]:
    """Yield a folder with only the verified bytes, named by the artifact's digest."""
    import tempfile

    with translate_os_errors("scratch folder"), tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / verified.digest.removeprefix("sha256:")
        folder.mkdir()
        (folder / MANIFEST).write_bytes(verified.sealed)
        for name in verified.files:
            copy_file(verified, name, target=folder / name)
        yield folder


def _library(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(f"model_signing.{name}")
    except ImportError as error:
        raise MissingDependency(
            str(error),
            location=Location("signatures"),
            remedy="pip install model-signing pyOpenSSL",
        ) from error


def _read(path: PathLike) -> str:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "is not a PEM file"
        problem = f"cannot be read: {reason}"
        raise CallError(problem, location=Location(os.fspath(path))) from error
    if "-----BEGIN " not in text:
        raise CallError("is not a PEM file", location=Location(os.fspath(path)))
    return text
