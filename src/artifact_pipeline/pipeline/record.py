"""Run records: what one execution did, stored beside the artifact and never in it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from artifact_pipeline.builder.artifact.manifest import Metrics
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.builder.metric_table import title
from artifact_pipeline.builder.numeric_profile import Inspection
from artifact_pipeline.builder.progress import Estimator, PhaseProgress
from artifact_pipeline.builder.recipe import Recipe
from artifact_pipeline.errors import PipelineError
from artifact_pipeline.pipeline.gates import Verdict
from artifact_pipeline.store.journal import printable
from artifact_pipeline.store.provenance import GitState

if TYPE_CHECKING:
    from artifact_pipeline.store.queries import HeadlineMetric
    from artifact_pipeline.verification.verify import Verified


class Job(Struct, frozen=True, kw_only=True):
    """One job of a run: how it ended and how long it took."""

    name: str
    outcome: str
    """`running`, `done` or `failed`."""
    seconds: float = 0.0
    note: str = ""
    """What it did, in a sentence."""


class Previous(Struct, frozen=True):
    """The artifact that `latest` named before this run."""

    digest: Digest
    metrics: Metrics


class Run(Struct, frozen=True, kw_only=True):
    """The result of `run` and `train`."""

    run: str
    """The id of the run record."""
    name: str
    """The name of the model."""
    version: int
    """The version of the artifact."""
    digest: Digest
    recipe_digest: Digest
    artifact: str
    """The folder of the artifact."""
    report: str
    """The HTML report."""
    record: str
    """The file of the run record."""
    cached: bool
    """Whether the store already held the artifact, so that nothing was trained."""
    metrics: Metrics
    gates: list[Verdict]
    previous: Previous | None
    warnings: list[str]
    jobs: list[Job]

    def __repr__(self) -> str:
        from artifact_pipeline.inference.notebook import headlines

        cached = ", cached" if self.cached else ""
        scores = headlines(self.metrics.test)
        return f"Run({self.name}:{self.version}, {self.digest[7:19]}, {scores}{cached})"

    def _repr_html_(self) -> str:
        from artifact_pipeline.inference.notebook import document

        head, lead = "", {}
        verified = self._verified()
        if verified is not None:
            head, headline = _head(verified), _headline(verified)
            if headline is not None:
                lead[f"held-out {title(headline.metric)}"] = headline.summary()
        gates = {f"gate {verdict.metric}": str(verdict) for verdict in self.gates}
        warnings = {"warnings": "; ".join(self.warnings)} if self.warnings else {}
        fields = {
            **lead,
            **gates,
            "version": f"{self.name}:{self.version}",
            "digest": self.digest,
            "trained": "no, the store had the artifact" if self.cached else "yes",
            **warnings,
            "folder": self.artifact,
            "report": self.report,
        }
        return head + document(f"Run {self.run}", fields, metrics=self.metrics)

    def _verified(self) -> Verified | None:
        from artifact_pipeline.store.access import check_integrity

        try:
            return check_integrity(self.artifact, self.digest)
        except PipelineError:  # it was removed or changed since; the table of metrics remains
            return None


def _headline(verified: Verified) -> HeadlineMetric | None:
    from artifact_pipeline.store.queries import headline_of

    return headline_of(verified.evaluation(), verified.manifest)


def _head(verified: Verified) -> str:
    """Return the head of the report in a frame, which keeps its style apart from the notebook's."""
    from artifact_pipeline.inference.notebook import frame
    from artifact_pipeline.report.write import head_of

    return frame(head_of(verified), title="Head of the report")


Listener = Callable[[Job], None]
"""Called when a job starts, after each of its fits if it has several, and when it ends."""


class Record(Struct, kw_only=True):
    """The content of `runs/<id>.json`."""

    run: str
    started: str
    config: str
    config_text: str | None = None
    """The config as it was written."""
    by: str | None = None
    """The user and the machine."""
    data: str | None = None
    """The path of the table, if the config names one; an artifact does not contain it."""
    seconds: float = 0.0
    outcome: str = "failed"
    """`done`, `gate-missed` or `failed`."""
    error: dict[str, str | None] | None = None
    cached: bool = False
    recipe: Recipe | None = None
    recipe_digest: Digest | None = None
    artifact: Digest | None = None
    name: str | None = None
    version: int | None = None
    metrics: Metrics | None = None
    jobs: list[Job] = []
    gates: list[Verdict] = []
    previous: Previous | None = None
    parity_measured: float | None = None
    warnings: list[str] = []
    observed: Inspection | None = None
    host: dict[str, str] = {}
    git: GitState | None = None


def begin(config: str) -> Record:
    """Return the record of a run that starts now; its id sorts by time."""
    now = datetime.now(UTC)
    run = f"{now:%Y%m%dT%H%M%S.%fZ}-{os.urandom(3).hex()}"
    return Record(run=run, started=now.isoformat(), config=printable(config))


def failure(error: PipelineError) -> dict[str, str | None]:
    """Return an error as a run record stores it."""
    details = error.to_dict()
    return {key: value if value is None else printable(value) for key, value in details.items()}


class JobLog:
    """The jobs of one run in order; reports each to `listener` when it starts and ends."""

    def __init__(self, listener: Listener | None) -> None:
        self.jobs: list[Job] = []
        self._listener = listener

    @contextmanager
    def job(self, name: str, *, shown_by: str | None = None) -> Iterator[RunningJob]:
        """Time a job and log how it ended.

        Args:
            name: Its name.
            shown_by: A later job under whose name its progress is reported, if it has no line of
                its own; then it is logged only if it fails.
        """
        start = time.perf_counter()
        report = self._listener or (lambda _: None)
        running = RunningJob(shown_by or name, report)
        if shown_by is None:
            report(Job(name=name, outcome="running"))
        outcome = "failed"
        try:
            yield running
            outcome = "done"
        finally:
            seconds = time.perf_counter() - start
            ended = Job(name=name, outcome=outcome, seconds=seconds, note=running.note)
            if shown_by is None or outcome == "failed":
                self.jobs.append(ended)
            if shown_by is None:
                report(ended)
            elif outcome == "failed" and running.was_reported:
                report(Job(name=shown_by, outcome=outcome, seconds=seconds))


class RunningJob:
    """A job that has not ended; its line and the run record show its `note`."""

    note = ""
    was_reported = False

    def __init__(self, name: str, report: Listener) -> None:
        self._name, self._report = name, report
        self._start = time.perf_counter()
        self._estimator = Estimator(self._start)

    def progress(self, progress: PhaseProgress) -> None:
        """Report how far the job is, and estimate the time for the rest of the phase."""
        now = time.perf_counter()
        note = self._estimator.text(progress, now)
        self.was_reported = True
        self._report(Job(name=self._name, outcome="running", seconds=now - self._start, note=note))
