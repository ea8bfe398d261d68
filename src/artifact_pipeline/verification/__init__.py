"""Verification: bytes are read once, hashed, compared, and only then parsed."""
