"""How it is known who made an artifact, which decides whether a skops archive is opened.

A digest in a manifest proves that bytes were not changed since they were sealed. It does not say
who sealed them.
"""

from __future__ import annotations

from enum import Enum

from artifact_pipeline.errors import UntrustedModel


class Origin(Enum):
    """How it is known who made the bytes of an artifact."""

    UNKNOWN = "nobody vouches for them"
    PINNED = "the caller named their digest"
    SIGNED = "a signature that the caller or the store requires covers them"
    MADE_HERE = "this checkout wrote them"


def require_known(origin: Origin, *, where: str) -> None:
    """Do nothing if the origin of a skops archive is known.

    Raises:
        UntrustedModel: otherwise, with the three ways to make it known.
    """
    if origin is Origin.UNKNOWN:
        raise UntrustedModel(
            "skops archives of unknown origin are not opened, because one can run code or read "
            "files; pin its digest (--digest sha256:…), require a signature (--public-key FILE), "
            "or make the model here (artifact-pipeline run CONFIG --force)",
            where=where,
        )
