"""Pairs of keys to sign with."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def pair(folder: Path, name: str, key: Any = None, lock: Any = None) -> Any:
    """Write a private and a public key, by default an elliptic one, and return it."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    pem, lock = serialization.Encoding.PEM, lock or serialization.NoEncryption()
    key = key or ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, lock)
    (folder / f"{name}.pem").write_bytes(private)
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / f"{name}.pub").write_bytes(public)
    return key
