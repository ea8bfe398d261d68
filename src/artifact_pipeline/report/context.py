"""The run behind a report: who made the artifact and when, its gates, and the champion.

An artifact contains nothing about its run. The report is stored beside the artifact, so it can.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.artifact import describe
from artifact_pipeline.builder.artifact.manifest import Manifest, Metrics
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.builder.metric_table import BY_NAME, figure, title
from artifact_pipeline.errors import StoreError, VerificationError
from artifact_pipeline.store.journal import PastRun
from artifact_pipeline.store.pointers import CHAMPION
from artifact_pipeline.store.store import Store
from artifact_pipeline.verification.verify import Verified


class GateResult(Struct, frozen=True, kw_only=True):
    """A gate, and the run's verdict on it."""

    metric: str
    bound: str
    value: float
    passed: bool
    limit: float | None = None
    judged: bool = True
    margin: float = 0.0
    alias: str | None = None
    note: str | None = None

    @property
    def rule(self) -> str:
        """What the gate requires."""
        if self.bound == "not_worse_than":
            return f"not worse than {self.alias}"
        if self.bound == "better_than":
            return "better than the baseline"
        words = {"min": "at least", "max": "at most"}
        return f"{words.get(self.bound, self.bound)} {self.limit or 0.0:,.10g}"

    @property
    def outcome(self) -> str:
        """`passed`, `missed` or `not judged`."""
        if not self.judged:
            return "not judged"
        return "passed" if self.passed else "missed"

    @property
    def detail(self) -> str:
        """How far the value is from the bound, or why it is not compared."""
        if self.note:
            return self.note
        side = "inside" if self.margin >= 0 else "outside"
        return f"{figure(abs(self.margin))} {side}"

    @property
    def heading(self) -> str:
        """The metric in words, such as `held-out ROC AUC, slice family`."""
        rows, _, rest = self.metric.partition(".")
        metric, _, part = rest.partition("[")
        words = {"test": "held-out", "train": "training"}
        text = f"{words.get(rows, rows)} {title(metric)}"
        return f"{text}, slice {part[:-1]}" if part else text


class Champion(Struct, frozen=True, kw_only=True):
    """The artifact that the alias `champion` named at the time of the run."""

    digest: Digest
    version: int | None
    metrics: Metrics | None
    """None if it was measured on other held-out rows."""
    is_this: bool


class RunContext(Struct, frozen=True, kw_only=True):
    """The information about a run in a report."""

    run: str
    started: str
    name: str | None
    version: int | None
    by: str | None
    commit: str | None
    dirty: bool
    config: str
    """The path of the config."""
    config_text: str | None
    gates: list[GateResult]
    champion: Champion | None

    def fingerprint(self) -> Digest:
        """Return the digest of what another run of the same recipe may change."""
        return canonical.digest(canonical.encode(msgspec.to_builtins((self.gates, self.champion))))


def make(made_by: PastRun, judged_by: PastRun, *, artifact: Verified, store: Store) -> RunContext:
    """Return the context of a report.

    Args:
        made_by: The record of the run that made the artifact.
        judged_by: The record of the run whose gates are shown.
        artifact: The artifact.
        store: Its store.
    """
    git = made_by.git
    return RunContext(
        run=made_by.run,
        started=made_by.started,
        name=judged_by.name,
        version=judged_by.version,
        by=made_by.by,
        commit=None if git is None else git.commit,
        dirty=git is not None and git.dirty,
        config=made_by.config,
        config_text=made_by.config_text,
        gates=[gate for gate in map(_gate, judged_by.gates) if gate is not None],
        champion=_champion(artifact, store),
    )


def find(artifact: Verified, store: Store) -> RunContext | None:
    """Return the context of an artifact from the records of its store, or None without any."""
    try:
        made_by = store.run_index.record_of(artifact.digest)
        judged_by = store.run_index.last_record_of(artifact.digest)
        if made_by is None or judged_by is None:
            return None
        return make(made_by, judged_by, artifact=artifact, store=store)
    except StoreError:
        return None  # the artifact is intact, so it gets a report without its run


def _gate(value: Any) -> GateResult | None:
    try:
        gate = msgspec.convert(value, GateResult)
    except msgspec.ValidationError:
        return None
    return gate if gate.metric.partition(".")[2].partition("[")[0] in BY_NAME else None


def _champion(artifact: Verified, store: Store) -> Champion | None:
    name = describe.model_name_of(artifact.manifest.recipe)
    digest = store.alias(name, CHAMPION)
    if digest is None:
        return None
    version = store.models.history(name).numbers.get(digest)
    if digest == artifact.digest:
        return Champion(digest=digest, version=version, metrics=None, is_this=True)
    try:
        other = store.artifacts.open(digest).manifest
    except VerificationError:
        return None
    return Champion(
        digest=digest,
        version=version,
        metrics=other.metrics if _same_rows(artifact.manifest, other) else None,
        is_this=False,
    )


def _same_rows(manifest: Manifest, other: Manifest) -> bool:
    return manifest.split == other.split and manifest.recipe.data.digest == other.recipe.data.digest
