"""Pruning a store: unreferenced artifacts are removed, and version numbers are not reused."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec import Struct

from artifact_pipeline.builder.artifact import describe
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.disk import translate_os_errors
from artifact_pipeline.errors import CallError, Location
from artifact_pipeline.store.events import Event, Promotion, PrunedVersion, RemovedAlias
from artifact_pipeline.store.journal import PastRun
from artifact_pipeline.store.models import SEAL_WAIT, ModelHistory, now, parse_time
from artifact_pipeline.store.provenance import user
from artifact_pipeline.store.references import PathLike
from artifact_pipeline.store.store import Store

KEEP_DAYS = 30
_ID_TIME = re.compile(r"(\d{8}T\d{6}\.\d{6})Z-", re.ASCII)


class PrunedArtifact(Struct, frozen=True, kw_only=True):
    """An artifact that `prune` removed, or would remove."""

    digest: Digest
    name: str
    version: int | None
    bytes: int
    """The size of its files and its report."""


class PruneReport(Struct, frozen=True, kw_only=True):
    """The artifacts that `prune` removed, or would remove."""

    store: str
    removed: list[PrunedArtifact]
    kept: int
    """The number of artifacts that stay."""
    bytes: int
    """The size of everything that was removed."""
    dry_run: bool

    def __repr__(self) -> str:
        removed = f"{'would remove' if self.dry_run else 'removed'}: {len(self.removed)}"
        return f"PruneReport({self.store!r}, {removed}, kept: {self.kept}, bytes: {self.bytes})"


def prune(
    *,
    keep_last: int = 0,
    keep_days: float = KEEP_DAYS,
    dry_run: bool = False,
    store: PathLike | None = None,
) -> PruneReport:
    """Remove the artifacts of a store that nothing refers to.

    Artifacts are kept if an alias names them or named them within `keep_days`, if they have a tag,
    if they were sealed or used by a run within these days, if they are the result of one of the
    last runs of their model, or if they do not verify. Run records stay.

    Args:
        keep_last: How many of the last runs of each model keep their artifacts.
        keep_days: The days of the retention.
        dry_run: Whether to only return what would be removed.
        store: The store.

    Raises:
        CallError: If a number is negative.
        StoreError: If the store cannot be read or written.
    """
    if keep_last < 0 or not 0 <= keep_days <= 365_000:
        raise CallError("expected a number of at least 0", location=Location("prune"))
    target = Store(store)
    since = _time() - timedelta(days=keep_days)
    recent = _of_runs(target.run_index.iterate(), since=since, keep_last=keep_last)
    kept, removed = 0, []
    for digest in target.artifacts.digests():
        manifest = target.artifacts.manifest(digest)
        name = None if manifest is None else describe.model_name_of(manifest.recipe)
        if manifest is None or name is None or digest in recent:
            kept += 1
            continue
        artifact = _prune(
            target, digest, name=name, recipe=manifest.recipe_digest, since=since, dry_run=dry_run
        )
        if artifact is None:
            kept += 1
        else:
            removed.append(artifact)
    return PruneReport(
        store=str(target.root),
        removed=sorted(removed, key=lambda artifact: (artifact.name, artifact.version or 0)),
        kept=kept,
        bytes=sum(artifact.bytes for artifact in removed),
        dry_run=dry_run,
    )


def _prune(
    store: Store, digest: Digest, *, name: str, recipe: Digest, since: datetime, dry_run: bool
) -> PrunedArtifact | None:
    """Remove an artifact, or return None if something refers to it."""
    history = store.models.history(name)
    if _is_named(store, history, digest=digest, since=since):
        return None
    version = history.numbers.get(digest)
    size = _size(store.artifacts.path(digest)) + _size(store.artifacts.report_path(digest))
    artifact = PrunedArtifact(digest=digest, name=name, version=version, bytes=size)
    if dry_run:
        return artifact
    with store.models.lock(name, wait=SEAL_WAIT):
        if _is_named(store, store.models.history(name), digest=digest, since=since):
            return None  # something has referred to it since the check above
        if version is not None:
            event = PrunedVersion(version=version, digest=digest, by=user(), when=now())
            store.models.append(name, event)
        if store.recipes.get(recipe) == digest:
            store.recipes.remove(recipe)
        store.artifacts.remove(digest)
    return artifact


def _is_named(store: Store, history: ModelHistory, *, digest: Digest, since: datetime) -> bool:
    """Return whether an alias names an artifact or did so recently, or it has tags or is new."""
    if digest in history.tags or digest in _recently_named(history.events, since=since):
        return True
    if digest in store.aliases_by_model({history.name: history}).get(history.name, {}).values():
        return True
    sealed = [event.when for event in history.events
              if not isinstance(event, Promotion | RemovedAlias)
              and not isinstance(event, PrunedVersion) and event.digest == digest]  # fmt: skip
    is_back = history.numbers.get(digest, 0) in history.pruned
    if sealed and not is_back:
        return any(parse_time(when) >= since for when in sealed)
    modified = (
        store.artifacts.path(digest).lstat().st_mtime
    )  # it may have been copied here, or sealed again
    return datetime.fromtimestamp(modified, UTC) >= since


def _recently_named(events: Iterable[Event], *, since: datetime) -> set[Digest]:
    """Return the artifacts that aliases named at some time since then."""
    named: set[Digest] = set()
    current: dict[str, Digest] = {}
    for event in events:
        if isinstance(event, Promotion | RemovedAlias):
            # Only `instead_of` has the first artifact of an alias of an earlier release.
            earlier = event.instead_of if isinstance(event, Promotion) else None
            before = current.pop(event.alias, earlier)
            if before is not None and parse_time(event.when) >= since:
                named.add(before)
            if isinstance(event, Promotion):
                current[event.alias] = event.digest
    return named | set(current.values())


def _of_runs(runs: Iterator[PastRun], *, since: datetime, keep_last: int) -> set[str]:
    """Return the artifacts of runs that are recent, or among the last ones of their model."""
    artifacts: set[str] = set()
    counts: Counter[str | None] = Counter()
    for run in runs:
        if run.artifact is None:
            continue
        counts[run.name] += 1
        if counts[run.name] <= keep_last or _started(run) >= since:
            artifacts.add(run.artifact)
    return artifacts


def _started(run: PastRun) -> datetime:
    """Return when a run started; now if its record does not contain it, so that it is kept."""
    try:
        return parse_time(run.started)
    except ValueError:
        match = _ID_TIME.match(run.run)
        try:
            time = datetime.strptime(match[1] if match else "", "%Y%m%dT%H%M%S.%f")
        except ValueError:
            return _time()
        return time.replace(tzinfo=UTC)


def _time() -> datetime:
    return datetime.now(UTC)


def _size(path: Path) -> int:
    """Return the bytes of a file, or of the files in a folder."""
    with translate_os_errors(path):
        if path.is_symlink() or not path.exists():
            return 0
        if path.is_file():
            return path.lstat().st_size
        return sum(file.lstat().st_size for file in path.rglob("*") if file.is_file())
