"""Write the report of an artifact to a file."""

from __future__ import annotations

from pathlib import Path

from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.disk import write_atomically
from artifact_pipeline.store.access import Reference, check_integrity


def write_report(artifact: Reference, path: Reference, *, store: Reference | None = None) -> Digest:
    """Write the report of an artifact to `path`, one HTML file, and return the artifact's digest.

    Raises as `check_integrity`, and StoreError if it cannot be written.
    """
    from artifact_pipeline.report import page

    found = check_integrity(artifact, store=store)
    write_atomically(Path(path), page.write(found).encode())
    return found.digest
