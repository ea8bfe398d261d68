"""Writing the report of an artifact into its store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from artifact_pipeline.builder import canonical
from artifact_pipeline.store import local_state
from artifact_pipeline.store.store import Store
from artifact_pipeline.verification.verify import Verified

if TYPE_CHECKING:
    from artifact_pipeline.report.context import RunContext


def publish_report(artifact: Verified, store: Store, *, run: RunContext | None = None) -> None:
    """Write the report of an artifact beside it, and remember that this checkout wrote it.

    Args:
        artifact: The artifact.
        store: Its store.
        run: The run that the report tells of.

    Raises:
        StoreError: If the report cannot be written.
    """
    from artifact_pipeline.report import page

    data = page.write(artifact, run=run).encode()
    local_state.record_written(local_state.REPORT, canonical.digest(data))
    store.artifacts.write_report(artifact.digest, data)
