"""Questions about what is in a store: what is there, what made it, where do two differ."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from artifact_pipeline.builder.artifact import describe
from artifact_pipeline.builder.artifact.manifest import Manifest, Metrics
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.errors import VerificationError
from artifact_pipeline.store.access import Reference, check_integrity
from artifact_pipeline.store.promotion import promotions
from artifact_pipeline.store.records import PastRun, read_past
from artifact_pipeline.store.store import Promotion, Store
from artifact_pipeline.verification.verify import verify


class Shown(Struct, frozen=True):
    """All that is known of an artifact."""

    digest: Digest
    folder: str
    manifest: Manifest
    chosen: dict[str, Any] | None
    """The parameters that a search chose, where there was one."""
    aliases: list[str]
    record: PastRun | None
    """The record of the run that made it, where the store has one."""
    promotions: list[Promotion]
    """The moves of aliases to it, or away from it."""


class Difference(Struct, frozen=True):
    """Where two artifacts differ: `recipe.split.test_size` and the two values (None: absent)."""

    field: str
    a: Any
    b: Any


class Listed(Struct, frozen=True):
    """One artifact of a store; a broken one has a reason and no metrics."""

    digest: Digest
    aliases: list[str]
    dataset: str | None
    estimator: str | None
    metrics: Metrics | None
    broken: str | None


def show(artifact: Reference, *, store: Reference | None = None) -> Shown:
    """Return all that is known of an artifact, once it is verified. Raises as `check_integrity`."""
    place = Store(store)
    found = check_integrity(artifact, store=store)
    return Shown(
        digest=found.digest,
        folder=str(found.folder),
        manifest=found.manifest,
        chosen=found.evaluation().chosen(),
        aliases=[name for name, digest in place.aliases().items() if digest == found.digest],
        record=record_of(found.digest, store=store),
        promotions=[
            one for one in promotions(store=store) if found.digest in (one.digest, one.instead_of)
        ],
    )


def record_of(digest: Digest, *, store: Reference | None = None) -> PastRun | None:
    """Return the newest record of a run that made the artifact, or else of one that found it."""
    records = [run for run in read_past(Store(store)) if run.artifact == digest]
    trained = [run for run in records if not run.cached] or records
    return trained[0] if trained else None


def diff(a: Reference, b: Reference, *, store: Reference | None = None) -> list[Difference]:
    """Return where recipe and metrics of two artifacts differ. Raises as `check_integrity`."""
    return differences(*(check_integrity(one, store=store).manifest for one in (a, b)))


def differences(a: Manifest, b: Manifest) -> list[Difference]:
    """Return where recipe and metrics of two manifests differ."""
    left, right = _fields(a), _fields(b)
    return [
        Difference(field, left.get(field), right.get(field))
        for field in sorted(left.keys() | right.keys())
        if (field in left, left.get(field)) != (field in right, right.get(field))
    ]


def runs(*, store: Reference | None = None) -> list[PastRun]:
    """Return the records of all runs, the newest first."""
    return read_past(Store(store))


def artifacts(*, store: Reference | None = None) -> list[Listed]:
    """Return all artifacts of a store, each verified."""
    place = Store(store)
    names = place.aliases()
    found = []
    for digest in place.artifacts():
        aliases = [name for name, target in names.items() if target == digest]
        try:
            manifest = verify(place.folder(digest), digest).manifest
        except VerificationError as error:
            found.append(Listed(digest, aliases, None, None, None, str(error)))
        else:
            made = manifest.recipe
            name = describe.title(made)
            found.append(Listed(digest, aliases, made.data.title, name, manifest.metrics, None))
    return found


def _fields(manifest: Manifest) -> dict[str, Any]:
    whole = msgspec.to_builtins(manifest)
    return dict(_flatten({key: whole[key] for key in ("recipe", "metrics")}, ""))


def _flatten(value: Any, path: str) -> list[tuple[str, Any]]:
    """Return the leaves of nested objects and lists by their paths."""
    if isinstance(value, dict) and value:
        items = [(f"{path}.{key}" if path else key, inner) for key, inner in value.items()]
    elif isinstance(value, list) and value:
        items = [(f"{path}[{index}]", inner) for index, inner in enumerate(value)]
    else:
        return [(path, value)]
    return [leaf for name, inner in items for leaf in _flatten(inner, name)]
