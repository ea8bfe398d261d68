"""Writing the report of an artifact to a file, or into its store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.disk import write_atomically
from artifact_pipeline.store import local_state
from artifact_pipeline.store.access import check_integrity
from artifact_pipeline.store.references import ArtifactLike, PathLike
from artifact_pipeline.store.store import Store
from artifact_pipeline.verification.verify import Verified

if TYPE_CHECKING:
    from artifact_pipeline.report.context import RunContext

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
    from artifact_pipeline.report import page

    verified = check_integrity(artifact, store=store)
    write_atomically(Path(path), page.write(verified, run=_run_of(verified)).encode())
    return verified.digest


def head_of(artifact: Verified) -> str:
    """Return the head of an artifact's report: its headline, gates and metrics, as HTML."""
    from artifact_pipeline.report import page

    return page.write_head(artifact, run=_run_of(artifact))


def _run_of(artifact: Verified) -> RunContext | None:
    """Return the run that made an artifact, if the artifact is in a store that has its record."""
    from artifact_pipeline.report import context

    home = Path(artifact.folder).parent
    return context.find(artifact, Store(home)) if (home / RUNS).is_dir() else None


def publish_report(artifact: Verified, store: Store, *, run: RunContext | None = None) -> None:
    """Write the report of an artifact beside it, and remember that this checkout wrote it.

    Args:
        artifact: The artifact.
        store: Its store.
        run: The run to describe.

    Raises:
        StoreError: If the report cannot be written.
    """
    from artifact_pipeline.report import page

    data = page.write(artifact, run=run).encode()
    local_state.record_written(local_state.REPORT, canonical.digest(data))
    store.artifacts.write_report(artifact.digest, data)
