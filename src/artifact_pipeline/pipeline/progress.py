"""Progress of the jobs of a run in a notebook."""

from __future__ import annotations

import sys

from artifact_pipeline.builder.escapes import write_out
from artifact_pipeline.pipeline.record import Job, Listener


def notebook_listener() -> Listener | None:
    """Return a listener that prints jobs below a notebook's cell; None outside of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return _print if hasattr(shell, "kernel") else None


def _print(job: Job) -> None:
    if job.outcome == "running":
        # The line of the ended job replaces this one.
        sys.stdout.write(f"{job.name:<10} running\r")
    else:
        note = write_out(job.note)
        sys.stdout.write(f"{job.name:<10} {job.outcome:<7} {job.seconds:6.2f} s  {note}\n")
    sys.stdout.flush()
