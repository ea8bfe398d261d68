"""Writing the report of an artifact to a file."""

from __future__ import annotations

from pathlib import Path

from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.disk import write_atomically
from artifact_pipeline.store.access import check_integrity
from artifact_pipeline.store.references import ArtifactLike, PathLike
from artifact_pipeline.store.store import Store

RUNS = "runs"
"""The folder of a store with its run records."""


def write_report(
    artifact: ArtifactLike, path: PathLike, *, store: PathLike | None = None
) -> Digest:
    """Write the report of an artifact as one HTML file, and return the artifact's digest.

    Args:
        artifact: A folder, an alias, or the first eight or more hex digits of a digest.
        path: The file to write.
        store: The store that aliases and digests are looked up in.

    Raises:
        ArtifactNotFound, CallError, VerificationError: As `check_integrity`.
        StoreError: If the file cannot be written.
    """
    from artifact_pipeline.report import context, page

    verified = check_integrity(artifact, store=store)
    home = Path(verified.folder).parent
    run = context.find(verified, Store(home)) if (home / RUNS).is_dir() else None
    write_atomically(Path(path), page.write(verified, run=run).encode())
    return verified.digest
