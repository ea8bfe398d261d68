"""Run records: what one execution did, kept beside the artifact and never in it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from artifact_pipeline.builder.artifact.manifest import Metrics
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.builder.recipe import Recipe
from artifact_pipeline.pipeline.gates import Verdict
from artifact_pipeline.store.journal import printable


class Job(Struct, frozen=True):
    """One job of a run: how it ended and how long it took."""

    name: str
    outcome: str
    """`running`, `done` or `failed`."""
    seconds: float
    note: str
    """What it did, in a sentence."""


class Previous(Struct, frozen=True):
    """The artifact that was the latest before, to compare metrics with."""

    digest: Digest
    metrics: Metrics


class Run(Struct, frozen=True):
    """One execution, and which artifact came of it."""

    run: str
    """The id of its record in the store."""
    digest: Digest
    recipe_digest: Digest
    artifact: str
    """The artifact's folder."""
    report: str
    """The page that shows how good it is."""
    record: str
    """The file of the run record."""
    cached: bool
    """Whether the artifact was in the store already, so that nothing was trained."""
    metrics: Metrics
    gates: list[Verdict]
    previous: Previous | None
    warnings: list[str]
    jobs: list[Job]


Listener = Callable[[Job], None]
"""Told when a job begins and when it ends."""


class Record(Struct):
    """The content of `runs/<id>.json`, filled in while the run goes on."""

    run: str
    started: str
    config: str
    data: str | None = None
    """Where the table lies, if it is one: here and never in an artifact."""
    seconds: float = 0.0
    outcome: str = "failed"
    """`done`, `gate-missed` or `failed`."""
    error: dict[str, Any] | None = None
    cached: bool = False
    recipe: Recipe | None = None
    recipe_digest: Digest | None = None
    artifact: Digest | None = None
    metrics: Metrics | None = None
    jobs: list[Job] = []
    gates: list[Verdict] = []
    previous: Previous | None = None
    parity_measured: float | None = None
    warnings: list[str] = []
    observed: dict[str, Any] | None = None
    host: dict[str, str] = {}
    git: dict[str, Any] | None = None


def begin(config: str) -> Record:
    """Return the record of a run that begins now; its id sorts by time."""
    now = datetime.now(UTC)
    run = f"{now:%Y%m%dT%H%M%S.%fZ}-{os.urandom(3).hex()}"
    return Record(run=run, started=now.isoformat(), config=printable(config))


@contextmanager
def job(name: str, shown: bool, record: Record, listener: Listener | None) -> Iterator[list[str]]:
    """Time a job, keep it in the record, and tell the listener; the list becomes its note."""
    began = time.perf_counter()
    note: list[str] = []
    tell = listener if listener and shown else lambda _: None
    tell(Job(name, "running", 0.0, ""))
    outcome = "failed"
    try:
        yield note
        outcome = "done"
    finally:
        job = Job(name, outcome, time.perf_counter() - began, "".join(note))
        if shown or outcome == "failed":
            record.jobs = [*record.jobs, job]
        tell(job)
