"""Health checks of a store: problems, their remedies, and on request their repair.

A repair never touches an artifact that verifies. It deletes only pointers that lead nowhere and
leftovers of writers that have ended; other broken entries are moved to `set-aside/`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Set
from functools import partial
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from artifact_pipeline import disk
from artifact_pipeline.builder.artifact import describe
from artifact_pipeline.builder.artifact.manifest import SIGNATURE
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.errors import StoreError, VerificationError
from artifact_pipeline.store.artifact_folder import MAX_REPORT
from artifact_pipeline.store.events import Event, Promotion, RemovedAlias, SealedVersion
from artifact_pipeline.store.folder import FOLDERS, QUARANTINE, RESERVED_NAMES, TRUST
from artifact_pipeline.store.journal import (
    ALIAS_LOCK,
    PROMOTION_FILE,
    Journal,
    PastRun,
)
from artifact_pipeline.store.models import (
    JOURNAL,
    MAX_JOURNAL,
    MODELS,
    ModelHistory,
    decode_line,
    encode,
    folder_of,
    name_of,
    now,
)
from artifact_pipeline.store.models import LOCK as MODEL_LOCK
from artifact_pipeline.store.pointers import ALIAS, LATEST, Pointers
from artifact_pipeline.store.provenance import user
from artifact_pipeline.store.references import PathLike
from artifact_pipeline.store.store import Store
from artifact_pipeline.verification.verify import read_signature

_SET_ASIDE = f"set it aside, under {QUARANTINE}/"
_HEX = re.compile("[0-9a-f]{64}")


class _Intact(NamedTuple):
    """An artifact that verifies."""

    recipe: Digest
    """The digest of its recipe."""
    name: str
    """The name of its model."""


_Artifacts = Mapping[Digest, _Intact]
"""The artifacts that verify."""


class Finding(Struct, frozen=True, kw_only=True):
    """One problem of a store."""

    path: str
    """Relative to the store's folder."""
    wrong: str
    remedy: str
    """What a repair does, or what the user can do."""
    repaired: bool


class HealthReport(Struct, frozen=True, kw_only=True):
    """The result of a health check."""

    store: str
    artifacts: int
    """The number of artifacts that verify."""
    findings: list[Finding]
    runs: int = 0
    """The number of run records."""

    @property
    def healthy(self) -> bool:
        """Whether all findings are repaired."""
        return all(finding.repaired for finding in self.findings)


class _Damage(Struct, frozen=True, kw_only=True):
    """A problem, with the function that repairs it, if there is one."""

    path: Path
    wrong: str
    remedy: str
    repair: Callable[[Store], None] | None


def examine(store: PathLike | None = None, *, repair: bool = False) -> HealthReport:
    """Check the health of a store, and repair it on request.

    Args:
        store: The store's folder.
        repair: Whether to repair what can be repaired.

    Raises:
        StoreError: If the store cannot be read or, with `repair`, be written.
    """
    checked = Store(store)
    artifacts, broken = _verify_all(checked)
    findings = []
    for damage in _damages(checked, artifacts, broken=broken):
        if repair and damage.repair is not None:
            damage.repair(checked)
        findings.append(
            Finding(
                path=str(damage.path.relative_to(checked.root)),
                wrong=damage.wrong,
                remedy=damage.remedy,
                repaired=repair and damage.repair is not None,
            )
        )
    try:
        runs = checked.run_index.count()
    except StoreError:  # one of the findings has the reason
        runs = 0
    return HealthReport(
        store=str(checked.root), artifacts=len(artifacts), findings=findings, runs=runs
    )


def _verify_all(store: Store) -> tuple[_Artifacts, Mapping[Digest, VerificationError]]:
    """Return the artifacts that verify, and the others with their errors."""
    intact: dict[Digest, _Intact] = {}
    broken: dict[Digest, VerificationError] = {}
    for digest in store.artifacts.digests():
        try:
            manifest = store.artifacts.open(digest).manifest
            intact[digest] = _Intact(
                manifest.recipe_digest, describe.model_name_of(manifest.recipe)
            )
        except VerificationError as error:
            broken[digest] = error
    return intact, broken


def _damages(
    store: Store, artifacts: _Artifacts, *, broken: Mapping[Digest, VerificationError]
) -> Iterator[_Damage]:
    for name in FOLDERS:  # first, because the quarantine is one of them
        kind = disk.kind_of(store.root / name)
        if kind not in (None, "a folder"):
            yield _quarantined(store.root / name, f"is {kind}, expected a folder")
    for digest, error in broken.items():
        file = Path(error.location.file or "").name if error.location else ""
        yield _quarantined(
            store.artifacts.path(digest),
            f"does not verify: {file}: {error.message}",
            remedy=f"{_SET_ASIDE}; train its config again to have it back",
        )
    for digest in artifacts:
        yield from _check_signature(store.artifacts.path(digest))
    yield from _check_aliases(store, artifacts)
    yield from _check_index(store, artifacts)
    yield from _check_models(store, artifacts)
    yield from _check_runs(store)
    yield from _check_promotions(store)
    yield from _check_root(store, artifacts)
    yield from _check_staging(store)
    yield from _check_policy(store)


def _quarantined(path: Path, wrong: str, *, remedy: str = _SET_ASIDE) -> _Damage:
    """Return damage that is repaired by moving the entry to the quarantine."""
    return _Damage(
        path=path,
        wrong=wrong,
        remedy=remedy,
        repair=lambda store: store.folder.quarantine(path),
    )


def _unreadable(path: Path, error: StoreError) -> _Damage:
    """Return the damage of an entry that cannot be read.

    If the permission to read it is missing, it may be intact and stays.
    """
    if isinstance(error.__cause__, PermissionError):
        remedy = "give yourself permission to read it"
        return _Damage(path=path, wrong=error.problem, remedy=remedy, repair=None)
    return _quarantined(path, error.problem)


def _entries(store: Store, name: str) -> list[Path]:
    """Return the entries of one of the store's folders; none if it is not a folder."""
    if disk.kind_of(store.root / name) not in (None, "a folder"):
        return []
    return store.folder.entries(name)


def _check_signature(artifact: Path) -> Iterator[_Damage]:
    path = artifact / SIGNATURE
    if os.path.lexists(path):
        try:
            read_signature(artifact)
        except VerificationError as error:
            yield _quarantined(path, error.message, remedy=f"{_SET_ASIDE}; sign it again")


def _digest_or_damage(pointers: Pointers, path: Path) -> Digest | _Damage:
    """Return the digest in a pointer, or the damage of the pointer."""
    try:
        digest = pointers.get(path.name)
    except StoreError as error:
        return _unreadable(path, error)
    return digest or _quarantined(path, "names no artifact: it contains no digest")


def _dangling(pointers: Pointers, path: Path, *, wrong: str) -> _Damage:
    """Return damage that is repaired by removing the pointer."""
    return _Damage(
        path=path,
        wrong=wrong,
        remedy="remove it",
        repair=lambda _: pointers.remove(path.name),
    )


def _check_aliases(store: Store, artifacts: _Artifacts) -> Iterator[_Damage]:
    for path in _entries(store, "aliases"):
        if not ALIAS.fullmatch(path.name):
            yield _quarantined(path, "is not the name of an alias")
            continue
        yield from _check_pointer(store.aliases, path, artifacts=artifacts)


def _check_index(store: Store, artifacts: _Artifacts) -> Iterator[_Damage]:
    """Yield the damaged entries of the index, and the missing ones."""
    indexed = set()
    for path in _entries(store, "recipes"):
        if not _HEX.fullmatch(path.name):
            yield _quarantined(path, "is not the digest of a recipe")
            continue
        digest = _digest_or_damage(store.recipes, path)
        if isinstance(digest, _Damage):
            yield digest
        elif digest not in artifacts or artifacts[digest].recipe != f"sha256:{path.name}":
            wrong = "names no artifact of that recipe that verifies"
            yield _dangling(store.recipes, path, wrong=wrong)
        else:
            indexed.add(f"sha256:{path.name}")
    for digest, intact in artifacts.items():
        if intact.recipe not in indexed:
            indexed.add(intact.recipe)
            yield _unindexed(store, digest, recipe=intact.recipe)


def _unindexed(store: Store, digest: Digest, *, recipe: Digest) -> _Damage:
    """Return the damage of an artifact that the index lacks."""
    return _Damage(
        path=store.root / "recipes" / recipe.removeprefix("sha256:"),
        wrong=f"is missing: the recipe of {digest[7:19]}",
        remedy="write it",
        repair=lambda store: store.recipes.set(recipe, digest),
    )


def _check_models(store: Store, artifacts: _Artifacts) -> Iterator[_Damage]:
    """Yield the damaged entries of models, and the artifacts that are not versions of one."""
    numbered: set[Digest] = set()
    for folder in _entries(store, MODELS):
        kind, name = disk.kind_of(folder), name_of(folder.name)
        if kind != "a folder" or name is None:
            wrong = "is not the name of a model" if kind == "a folder" else f"is {kind}"
            yield _quarantined(folder, f"{wrong}, expected a folder of a model")
            continue
        for path in store.folder.entries(MODELS, folder.name):
            if path.name == LATEST:
                pointers = Pointers(store.folder, MODELS, folder.name)
                yield from _check_pointer(pointers, path, artifacts=artifacts)
            elif path.name == JOURNAL:
                history = _history_or_damage(store, name, path=path)
                if isinstance(history, _Damage):
                    yield history
                    history = ModelHistory(name, _salvage(path, name))
                numbered.update(history.numbers)
                yield from _check_journal_aliases(history, path, artifacts=artifacts)
            elif path.name != MODEL_LOCK or not _is_empty_file(path):
                yield _quarantined(path, "does not belong to a model")
    for digest in _in_order(store, artifacts.keys() - numbered):
        yield _unnumbered(store, digest, name=artifacts[digest].name)


def _check_pointer(pointers: Pointers, path: Path, *, artifacts: _Artifacts) -> Iterator[_Damage]:
    digest = _digest_or_damage(pointers, path)
    if isinstance(digest, _Damage):
        yield digest
    elif digest not in artifacts:
        yield _dangling(pointers, path, wrong="names no artifact that verifies")


def _history_or_damage(store: Store, name: str, *, path: Path) -> ModelHistory | _Damage:
    """Return the history of a model, or the damage of its journal."""
    try:
        return store.models.history(name)
    except StoreError as error:
        damage = _unreadable(path, error)
        events = _salvage(path, name)
        if damage.repair is None or not events:
            return damage

        def rewrite(store: Store) -> None:
            store.folder.quarantine(path)
            store.folder.write(path, b"".join(encode(event) + b"\n" for event in events))

        line = f"line {error.location.line} " if error.location and error.location.line else ""
        return _Damage(
            path=path,
            wrong=f"{line}{error.problem}",
            remedy=f"{_SET_ASIDE}, and keep its {len(events)} intact events",
            repair=rewrite,
        )


def _salvage(path: Path, name: str) -> list[Event]:
    """Return the events in the intact lines of a damaged journal."""
    try:
        data = disk.read_file(path, limit=MAX_JOURNAL, remedy="") or b""
    except StoreError:
        return []
    events: list[Event] = []
    numbers: set[int | str] = set()
    for line in data.split(b"\n"):
        try:
            event = decode_line(line, name)
        except ValueError:
            continue
        if isinstance(event, SealedVersion):
            if event.version in numbers or event.digest in numbers:
                continue
            numbers |= {event.version, event.digest}
        events.append(event)
    return events


def _check_journal_aliases(
    history: ModelHistory, path: Path, *, artifacts: _Artifacts
) -> Iterator[_Damage]:
    for alias, digest in history.aliases.items():
        if digest not in artifacts:
            removal = RemovedAlias(
                alias=alias,
                digest=digest,
                version=history.numbers.get(digest),
                by=user(),
                when=now(),
            )
            yield _Damage(
                path=path,
                wrong=f"{history.name}@{alias} names no artifact that verifies",
                remedy="remove the alias; train the config again, or promote another version",
                repair=partial(_append, name=history.name, event=removal),
            )


def _append(store: Store, name: str, *, event: Event) -> None:
    with store.models.lock(name):
        store.models.append(name, event)


def _unnumbered(store: Store, digest: Digest, *, name: str) -> _Damage:
    """Return the damage of an artifact that is not a version of its name."""
    return _Damage(
        path=store.root / MODELS / folder_of(name) / JOURNAL,
        wrong=f"has no version for {digest[7:19]}, which was copied here or sealed by an earlier "
        "release",
        remedy="give it the next version",
        repair=partial(_number, name=name, digest=digest),
    )


def _number(store: Store, name: str, *, digest: Digest) -> None:
    store.models.assign(name, digest)


def _in_order(store: Store, digests: Set[Digest]) -> list[Digest]:
    """Return artifacts in the order of the runs that made them; those without a run come last."""
    runs = store.run_index.artifacts() if digests else []
    order = {digest: position for position, digest in enumerate(runs)}
    return sorted(digests, key=lambda digest: (order.get(digest, len(runs)), digest))


def _is_empty_file(path: Path) -> bool:
    return disk.kind_of(path) == "a file" and path.lstat().st_size == 0


def _check_runs(store: Store) -> Iterator[_Damage]:
    for path in _entries(store, "runs"):
        if path.suffix != ".json":
            yield _quarantined(path, "is not a record of a run")
        else:
            yield from _check_record(store.journal, path, kind=PastRun)


def _check_promotions(store: Store) -> Iterator[_Damage]:
    for folder in _entries(store, "promotions"):
        kind = disk.kind_of(folder)
        if kind != "a folder" or not ALIAS.fullmatch(folder.name):
            wrong = "is not the name of an alias" if kind == "a folder" else f"is {kind}"
            yield _quarantined(folder, f"{wrong}, expected a folder of an alias's records")
            continue
        for path in store.folder.entries("promotions", folder.name):
            if PROMOTION_FILE.fullmatch(path.name):
                yield from _check_record(store.journal, path, kind=Promotion)
            elif path.name != ALIAS_LOCK or not _is_empty_file(path):
                yield _quarantined(path, "is not a record of a promotion")


def _check_record(journal: Journal, path: Path, *, kind: type[Struct]) -> Iterator[_Damage]:
    try:
        journal.read(path, kind)
    except StoreError as error:
        yield _unreadable(path, error)


def _check_root(store: Store, artifacts: _Artifacts) -> Iterator[_Damage]:
    """Yield reports without an artifact, and entries that do not belong in a store."""
    for path in store.folder.entries():
        is_report = path.suffix == ".html" and _HEX.fullmatch(path.stem)
        if is_report and f"sha256:{path.stem}" not in artifacts:
            yield _quarantined(path, "belongs to no artifact that verifies")
        elif is_report:
            try:
                disk.read_file(path, limit=MAX_REPORT, remedy="")
            except StoreError as error:
                yield _unreadable(path, error)
        elif path.name not in RESERVED_NAMES and not _HEX.fullmatch(path.name):
            remedy = "inspect it; a repair does not change it"
            yield _Damage(path=path, wrong="does not belong here", remedy=remedy, repair=None)


def _check_staging(store: Store) -> Iterator[_Damage]:
    if disk.kind_of(store.root / "staging") in (None, "a folder"):
        for path in store.folder.stale_entries():
            yield _Damage(
                path=path,
                wrong="was left by a writer that ended",
                remedy="remove it",
                repair=lambda store: store.folder.sweep(),
            )


def _check_policy(store: Store) -> Iterator[_Damage]:
    try:
        store.policy.signer()
    except StoreError as error:
        yield _Damage(
            path=store.root / TRUST,
            wrong=error.problem,
            remedy="write it again: artifact-pipeline trust; until then nothing is opened from "
            "here",
            repair=None,
        )
