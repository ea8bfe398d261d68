"""Queries: the artifacts and runs of a store, the details of one artifact, differences of two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from artifact_pipeline.builder.artifact import describe
from artifact_pipeline.builder.artifact.diagnostics import ConfidenceInterval
from artifact_pipeline.builder.artifact.evaluation import EvaluationReport
from artifact_pipeline.builder.artifact.manifest import Manifest, Metrics
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.builder.metric_table import figure
from artifact_pipeline.errors import VerificationError
from artifact_pipeline.store.access import check_integrity
from artifact_pipeline.store.events import Promotion, RemovedAlias
from artifact_pipeline.store.journal import PastRun
from artifact_pipeline.store.models import ModelHistory
from artifact_pipeline.store.references import ArtifactLike, PathLike
from artifact_pipeline.store.store import Store


class HeadlineMetric(Struct, frozen=True, kw_only=True):
    """The metric to judge a model by, on the held-out rows."""

    metric: str
    value: float
    interval: ConfidenceInterval | None
    """The 95% confidence interval; None if all samples have the same value."""
    baseline: float | None
    """The value of the dummy model; None for a model that was fitted elsewhere."""

    def summary(self) -> str:
        """Return the value with its interval and its baseline."""
        text = figure(self.value)
        if self.interval is not None:
            low, high = figure(self.interval.low), figure(self.interval.high)
            text += f" ({low} to {high} with 95% confidence)"
        return text if self.baseline is None else f"{text}; baseline {figure(self.baseline)}"


class Shown(Struct, frozen=True, kw_only=True):
    """The details of an artifact."""

    digest: Digest
    folder: str
    manifest: Manifest
    headline: HeadlineMetric | None
    """None in artifacts of earlier releases."""
    chosen: dict[str, Any] | None
    """The parameters that a search chose, if there was a search."""
    baseline: Metrics | None
    """The metrics of scikit-learn's dummy model on the same rows; None in earlier artifacts."""
    name: str
    """The name of its model."""
    version: int | None
    """None if it was copied into the store, or an earlier release sealed it."""
    aliases: list[str]
    tags: dict[str, str]
    record: PastRun | None
    """The record of the run that made it, if the store has one."""
    promotions: list[Promotion]
    """The moves of aliases to it or away from it, newest first."""
    removals: list[RemovedAlias] = []
    """The removals of aliases that named it, newest first."""

    def __repr__(self) -> str:
        return (
            f"Shown({self.name}:{self.version or '?'}, {self.digest[7:19]}{_named(self.aliases)})"
        )


class Difference(Struct, frozen=True):
    """A field that differs between two artifacts, such as `recipe.split.test_size`.

    A value that one artifact does not have is None.
    """

    field: str
    a: Any
    b: Any


class Listed(Struct, frozen=True, kw_only=True):
    """One artifact of a store. A broken artifact has an error in place of metrics."""

    digest: Digest
    aliases: list[str]
    name: str | None = None
    version: int | None = None
    """None if it was copied into the store, or an earlier release sealed it."""
    tags: dict[str, str] = {}
    dataset: str | None = None
    estimator: str | None = None
    metrics: Metrics | None = None
    broken: str | None = None

    def __repr__(self) -> str:
        if self.broken is not None:
            return f"Listed({self.digest[7:19]}, broken: {self.broken})"
        version = f"{self.name}:{self.version or '?'}"
        return f"Listed({version}, {self.digest[7:19]}{_named(self.aliases)})"


def _named(aliases: Sequence[str]) -> str:
    return f", {', '.join(aliases)}" if aliases else ""


def show(artifact: ArtifactLike, *, store: PathLike | None = None) -> Shown:
    """Check an artifact's integrity and return its details. Raises as `check_integrity`."""
    verified = check_integrity(artifact, store=store)
    digest, target = verified.digest, Store(store)
    report = verified.evaluation()
    name = describe.model_name_of(verified.manifest.recipe)
    own = target.models.history(name)
    moves = [*target.journal.promotions()[::-1], *own.moves]
    return Shown(
        digest=digest,
        folder=str(verified.folder),
        manifest=verified.manifest,
        headline=headline_of(report, verified.manifest),
        chosen=report.chosen(),
        baseline=report.baseline,
        name=name,
        version=own.numbers.get(digest),
        aliases=_aliases(target.aliases_by_model().get(name, {}), digest),
        tags=own.tags.get(digest, {}),
        record=record_of(digest, store=store),
        promotions=[move for move in reversed(moves) if digest in (move.digest, move.instead_of)],
        removals=[
            event
            for event in reversed(own.events)
            if isinstance(event, RemovedAlias) and event.digest == digest
        ],
    )


def headline_of(evaluation: EvaluationReport, manifest: Manifest) -> HeadlineMetric | None:
    """Return the metric to judge a model by; None in artifacts of earlier releases."""
    diagnostics, test = evaluation.diagnostics, manifest.metrics.test
    if diagnostics is None or diagnostics.headline not in test:
        return None
    metric = diagnostics.headline
    return HeadlineMetric(
        metric=metric,
        value=test[metric],
        interval=diagnostics.intervals.get(metric),
        baseline=evaluation.baseline.test.get(metric) if evaluation.baseline else None,
    )


def record_of(digest: Digest, *, store: PathLike | None = None) -> PastRun | None:
    """Return the newest record of a run that trained an artifact, or else reused it."""
    return Store(store).run_index.record_of(digest)


def differences(a: Manifest, b: Manifest) -> list[Difference]:
    """Return where the recipes and metrics of two manifests differ."""
    left, right = _fields(a), _fields(b)
    return [
        Difference(field, left.get(field), right.get(field))
        for field in sorted(left.keys() | right.keys())
        if (field in left, left.get(field)) != (field in right, right.get(field))
    ]


def runs(
    *, name: str | None = None, limit: int | None = None, store: PathLike | None = None
) -> list[PastRun]:
    """Return the records of runs, newest first; a broken one has the outcome `unreadable`.

    Args:
        name: The model; by default all.
        limit: Maximum number of records.
        store: The store.

    Raises:
        StoreError: If the records cannot be listed.
    """
    return Store(store).run_index.runs(name=name, limit=limit)


def artifacts(*, store: PathLike | None = None) -> list[Listed]:
    """Verify and return all artifacts of a store, with the errors of broken ones.

    They are sorted by name and version; those without a version come last.
    """
    target = Store(store)
    histories = target.models.histories()
    aliases = target.aliases_by_model(histories)
    listed = [
        _list_one(target, digest, histories=histories, aliases=aliases)
        for digest in target.artifacts.digests()
    ]
    return sorted(
        listed,
        key=lambda artifact: (
            artifact.version is None,
            artifact.name or "",
            artifact.version or 0,
            artifact.digest,
        ),
    )


def promotions(*, store: PathLike | None = None) -> list[Promotion]:
    """Return the moves of all aliases, newest first within each name.

    Raises:
        StoreError: If a record cannot be read.
    """
    target = Store(store)
    moves = [history.moves[::-1] for history in target.models.histories().values()]
    return [*(move for own in moves for move in own), *target.journal.promotions()]


def _aliases(aliases: Mapping[str, Digest], digest: Digest) -> list[str]:
    return sorted(alias for alias, named in aliases.items() if named == digest)


def _list_one(
    store: Store,
    digest: Digest,
    *,
    histories: Mapping[str, ModelHistory],
    aliases: Mapping[str, Mapping[str, Digest]],
) -> Listed:
    try:
        manifest = store.artifacts.open(digest).manifest
    except VerificationError as error:
        names = [name for name, own in histories.items() if digest in own.numbers]
        own_aliases = [alias for own in aliases.values() for alias in _aliases(own, digest)]
        return Listed(
            digest=digest,
            aliases=own_aliases,
            name=names[0] if names else None,
            version=histories[names[0]].numbers[digest] if names else None,
            broken=str(error),
        )
    name = describe.model_name_of(manifest.recipe)
    own = histories.get(name, ModelHistory(name, []))
    return Listed(
        digest=digest,
        aliases=_aliases(aliases.get(name, {}), digest),
        name=name,
        version=own.numbers.get(digest),
        tags=own.tags.get(digest, {}),
        dataset=manifest.recipe.data.title,
        estimator=describe.title(manifest.recipe),
        metrics=manifest.metrics,
    )


def _fields(manifest: Manifest) -> dict[str, Any]:
    """Return the leaves of recipe and metrics by their paths."""
    values = msgspec.to_builtins(manifest)
    return dict(_flatten({key: values[key] for key in ("recipe", "metrics")}, ""))


def _flatten(value: Any, path: str) -> list[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        items = [(f"{path}.{key}" if path else key, inner) for key, inner in value.items()]
    elif isinstance(value, list) and value:
        items = [(f"{path}[{index}]", inner) for index, inner in enumerate(value)]
    else:
        return [(path, value)]
    return [leaf for name, inner in items for leaf in _flatten(inner, name)]
