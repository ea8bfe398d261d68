"""Signed documents: DSSE envelopes, signed with an elliptic-curve key.

    envelope = sign(statement, key="model.pem")          # the bytes of a JSON file
    statement = payload_of(envelope, "file", signers=[public_key("model.pub")])

Source: https://github.com/secure-systems-lab/dsse (protocol.md, envelope.md)
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from artifact_pipeline.builder import canonical
from artifact_pipeline.errors import CallError, Location, MissingDependency, VerificationError
from artifact_pipeline.verification.signatures import PathLike, PublicKey, Signer

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

IN_TOTO = "application/vnd.in-toto+json"
_EXPECTED = "expected PEM, an elliptic curve P-256, P-384 or P-521, and no password"
_MAX_SIGNATURES = 16


class EnvelopeSignature(Struct, frozen=True, kw_only=True):
    """A signature of an envelope, in base64."""

    sig: str
    keyid: str = ""


class Envelope(Struct, frozen=True, kw_only=True, rename="camel"):
    """An envelope: a document in base64, its type, and its signatures."""

    payload: str
    payload_type: str
    signatures: list[EnvelopeSignature]


def sign(payload: bytes, key: PathLike) -> bytes:
    """Return an envelope with an in-toto statement and its signature.

    Args:
        payload: The statement.
        key: An unencrypted private key in PEM, on the curve P-256, P-384 or P-521.

    Raises:
        CallError: If the key cannot be read or used.
        MissingDependency: If `cryptography` is not installed.
    """
    private = _load_key(key)
    ec = _library("asymmetric.ec")
    algorithm = ec.ECDSA(_hash_for(private.curve.key_size))
    signature = private.sign(_encoded(IN_TOTO, payload), algorithm)
    envelope = Envelope(
        payload=base64.b64encode(payload).decode(),
        payload_type=IN_TOTO,
        signatures=[
            EnvelopeSignature(
                sig=base64.b64encode(signature).decode(), keyid=_key_id(private.public_key())
            )
        ],
    )
    return canonical.encode(msgspec.to_builtins(envelope)) + b"\n"


def payload_of(data: bytes, name: str, *, signers: Sequence[Signer]) -> bytes:
    """Return the document in an envelope, or the data itself if it is not an envelope.

    Args:
        data: The bytes of a file.
        name: Its name in errors.
        signers: The signers whose signatures are required; without any, no signature is checked.

    Raises:
        VerificationError: If a required signature is missing or wrong, or a required signer is
            not a public key, or the envelope is malformed.
        CallError: If a public key cannot be used.
        MissingDependency: If a signature is required and `cryptography` is not installed.
    """
    location = Location(name)
    try:
        value = canonical.decode(data)
        if not (isinstance(value, dict) and "payloadType" in value):
            if signers:
                raise VerificationError("is not signed, but a signature is required",
                                        location=location)  # fmt: skip
            return data
        envelope = msgspec.convert(value, Envelope)
        payload = base64.b64decode(envelope.payload, validate=True)
        signatures = [
            base64.b64decode(signature.sig, validate=True) for signature in envelope.signatures
        ]
    except (canonical.NotCanonical, msgspec.ValidationError, binascii.Error, ValueError) as error:
        reason = ascii(str(error))[1:-1][:120]
        problem = f"is neither a statement nor an envelope with one: {reason}"
        raise VerificationError(problem, location=location) from error
    if envelope.payload_type != IN_TOTO or len(signatures) > _MAX_SIGNATURES:
        raise VerificationError("is not an envelope of an in-toto statement", location=location)
    message = _encoded(envelope.payload_type, payload)
    for signer in signers:
        if not isinstance(signer, PublicKey):
            raise VerificationError(
                "the required signer is not a public key, and a provenance is signed with a key",
                location=location,
                remedy="name the key with --public-key",
            )
        if not any(_is_by(signer, message, signature=signature) for signature in signatures):
            raise VerificationError("is not signed by the required signer", location=location)
    return payload


def _encoded(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes to sign: DSSE's pre-authentication encoding."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _is_by(signer: PublicKey, message: bytes, *, signature: bytes) -> bool:
    ec, exceptions = _library("asymmetric.ec"), _library("exceptions")
    location = Location("the signer")
    try:
        key = _library("serialization").load_pem_public_key(signer.pem.encode())
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise ValueError("another kind of key")  # noqa: TRY004  (as of a wrong curve)
        algorithm = ec.ECDSA(_hash_for(key.curve.key_size))
    except (ValueError, exceptions.UnsupportedAlgorithm) as error:
        raise CallError("is not a usable key", location=location, remedy=_EXPECTED) from error
    try:
        key.verify(signature, message, algorithm)
    except exceptions.InvalidSignature:
        return False
    return True


def _load_key(path: PathLike) -> Any:
    ec, exceptions = _library("asymmetric.ec"), _library("exceptions")
    location = Location(str(path))
    try:
        with open(path, "rb") as file:  # noqa: PTH123  (a path may be bytes)
            data = file.read(1 << 20)
        key = _library("serialization").load_pem_private_key(data, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("another kind of key")  # noqa: TRY004  (as of a wrong curve)
        _hash_for(key.curve.key_size)
    except OSError as error:
        raise CallError(f"cannot be read: {error.strerror}", location=location) from error
    except (TypeError, ValueError, exceptions.UnsupportedAlgorithm) as error:
        raise CallError("is not a usable key", location=location, remedy=_EXPECTED) from error
    return key


def _hash_for(key_size: int) -> Any:
    """Return the hash that belongs to a curve, as in OpenSSF Model Signing."""
    hashes = _library("hashes")
    known = {256: hashes.SHA256, 384: hashes.SHA384, 521: hashes.SHA512}
    if key_size not in known:
        raise ValueError(f"a curve of {key_size} bits")
    return known[key_size]()


def _key_id(key: EllipticCurvePublicKey) -> str:
    """Return a hint at a key: the SHA-256 of its PEM, as in OpenSSF Model Signing."""
    serialization = _library("serialization")
    pem = key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(pem).hexdigest()


def _library(name: str) -> Any:
    import importlib

    prefix = "" if name == "exceptions" else "hazmat.primitives."
    try:
        return importlib.import_module(f"cryptography.{prefix}{name}")
    except ImportError as error:
        raise MissingDependency(
            str(error), location=Location("signatures"), remedy="pip install cryptography"
        ) from error
