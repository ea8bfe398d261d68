"""What a new artifact leaves in a store beside itself."""

from __future__ import annotations

from artifact_pipeline.builder import canonical
from artifact_pipeline.store import local_state
from artifact_pipeline.store.store import Store
from artifact_pipeline.verification.verify import Verified


def publish_report(verified: Verified, store: Store) -> None:
    """Write the report of an artifact beside it, and remember that this checkout wrote it.

    Raises:
        StoreError: if it cannot be written.
    """
    from artifact_pipeline.report import page

    data = page.write(verified).encode()
    local_state.record_written(local_state.REPORT, canonical.digest(data))
    store.artifacts.write_report(verified.digest, data)
