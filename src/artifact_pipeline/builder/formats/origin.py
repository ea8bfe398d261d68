"""The origin of an artifact, which decides whether a skops archive is opened.

A digest in a manifest proves that bytes did not change since they were sealed, but not who sealed
them.
"""

from __future__ import annotations

from enum import Enum

from artifact_pipeline.errors import Location, UntrustedModel


class Origin(Enum):
    """How the maker of an artifact is known."""

    UNKNOWN = "the origin is unknown"
    PINNED = "the caller named the digest"
    SIGNED = "a signature that the caller or the store requires covers the bytes"
    MADE_HERE = "this checkout wrote the bytes"


def require_known(origin: Origin, *, location: Location) -> None:
    """Check that the origin of a skops archive is known.

    Raises:
        UntrustedModel: If it is not; the remedy names the three ways to make it known.
    """
    if origin is Origin.UNKNOWN:
        raise UntrustedModel(
            "skops archives of unknown origin are not opened, because one can run code or read "
            "files",
            location=location,
            remedy="pin its digest (--digest sha256:…), require a signature (--public-key FILE), "
            "or make the model here (artifact-pipeline run CONFIG --force)",
        )
