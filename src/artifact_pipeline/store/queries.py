"""Queries: the artifacts and runs of a store, the details of one artifact, differences of two."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from artifact_pipeline.builder.artifact import describe
from artifact_pipeline.builder.artifact.manifest import Manifest, Metrics
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.errors import VerificationError
from artifact_pipeline.store.access import Reference, check_integrity
from artifact_pipeline.store.journal import PastRun, Promotion
from artifact_pipeline.store.promotion import promotions
from artifact_pipeline.store.store import Store


class Shown(Struct, frozen=True, kw_only=True):
    """The details of an artifact."""

    digest: Digest
    folder: str
    manifest: Manifest
    chosen: dict[str, Any] | None
    """The parameters that a search chose, if there was a search."""
    aliases: list[str]
    record: PastRun | None
    """The record of the run that made it, if the store has one."""
    promotions: list[Promotion]
    """The moves of aliases to it or away from it."""


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
    dataset: str | None = None
    estimator: str | None = None
    metrics: Metrics | None = None
    broken: str | None = None


def show(artifact: Reference, *, store: Reference | None = None) -> Shown:
    """Check an artifact's integrity and return its details. Raises as `check_integrity`."""
    verified = check_integrity(artifact, store=store)
    digest = verified.digest
    return Shown(
        digest=digest,
        folder=str(verified.folder),
        manifest=verified.manifest,
        chosen=verified.evaluation().chosen(),
        aliases=[name for name, named in Store(store).aliases.all().items() if named == digest],
        record=record_of(digest, store=store),
        promotions=[
            promotion
            for promotion in promotions(store=store)
            if digest in (promotion.digest, promotion.instead_of)
        ],
    )


def record_of(digest: Digest, *, store: Reference | None = None) -> PastRun | None:
    """Return the newest record of a run that trained an artifact, or else one that reused it."""
    records = [run for run in runs(store=store) if run.artifact == digest]
    trained = [run for run in records if not run.cached] or records
    return trained[0] if trained else None


def differences(a: Manifest, b: Manifest) -> list[Difference]:
    """Return where the recipes and metrics of two manifests differ."""
    left, right = _fields(a), _fields(b)
    return [
        Difference(field, left.get(field), right.get(field))
        for field in sorted(left.keys() | right.keys())
        if (field in left, left.get(field)) != (field in right, right.get(field))
    ]


def runs(*, store: Reference | None = None) -> list[PastRun]:
    """Return the records of all runs, newest first; a broken one has the outcome `unreadable`."""
    return Store(store).journal.runs()


def artifacts(*, store: Reference | None = None) -> list[Listed]:
    """Verify and return all artifacts of a store, with the errors of broken ones."""
    listed = Store(store)
    aliases = listed.aliases.all()
    return [
        _list_one(listed, digest, aliases=[name for name in aliases if aliases[name] == digest])
        for digest in listed.artifacts.digests()
    ]


def _list_one(store: Store, digest: Digest, *, aliases: list[str]) -> Listed:
    try:
        manifest = store.artifacts.open(digest).manifest
    except VerificationError as error:
        return Listed(digest=digest, aliases=aliases, broken=str(error))
    return Listed(
        digest=digest,
        aliases=aliases,
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
