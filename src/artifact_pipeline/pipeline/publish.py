"""Writing the report of an artifact into its store."""

from __future__ import annotations

from artifact_pipeline.builder import canonical
from artifact_pipeline.store import local_state
from artifact_pipeline.store.store import Store
from artifact_pipeline.verification.verify import Verified


def publish_report(artifact: Verified, store: Store) -> None:
    """Write the report of an artifact beside it, and remember that this checkout wrote it.

    Raises:
        StoreError: If the report cannot be written.
    """
    from artifact_pipeline.report import page

    data = page.write(artifact).encode()
    local_state.record_written(local_state.REPORT, canonical.digest(data))
    store.artifacts.write_report(artifact.digest, data)
