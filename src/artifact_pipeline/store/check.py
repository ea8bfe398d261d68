"""Health checks of a store: what is wrong with it, the remedy, and on request the repair.

A repair never touches an artifact that verifies. It deletes only pointers that lead nowhere and
leftovers of writers that have ended; other broken entries are moved to `set-aside/`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from artifact_pipeline import disk
from artifact_pipeline.builder.artifact.manifest import SIGNATURE
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.errors import StoreError, VerificationError
from artifact_pipeline.store.access import Reference
from artifact_pipeline.store.artifact_folder import MAX_REPORT
from artifact_pipeline.store.folder import FOLDERS, QUARANTINE, RESERVED_NAMES, TRUST
from artifact_pipeline.store.journal import (
    ALIAS_LOCK,
    PROMOTION_FILE,
    Journal,
    PastRun,
    Promotion,
)
from artifact_pipeline.store.pointers import ALIAS, Pointers
from artifact_pipeline.store.store import Store
from artifact_pipeline.verification.verify import read_signature

_SET_ASIDE = f"set it aside, under {QUARANTINE}/"
_HEX = re.compile("[0-9a-f]{64}")

_Recipes = Mapping[Digest, Digest]
"""The artifacts that verify, each with the digest of its recipe."""


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that is wrong with a store."""

    path: str
    """Relative to the store's folder."""
    wrong: str
    remedy: str
    """What a repair does about it, or what you can do."""
    repaired: bool


class HealthReport(Struct, frozen=True):
    """The result of a health check."""

    store: str
    artifacts: int
    """The number of artifacts that verify."""
    findings: list[Finding]

    @property
    def healthy(self) -> bool:
        """Whether everything that was found is repaired."""
        return all(finding.repaired for finding in self.findings)


class _Damage(Struct, frozen=True, kw_only=True):
    """Something wrong, with the function that repairs it, if there is one."""

    path: Path
    wrong: str
    remedy: str
    repair: Callable[[Store], None] | None


def examine(store: Reference | None = None, *, repair: bool = False) -> HealthReport:
    """Check the health of a store, and repair it on request.

    Args:
        store: The store's folder.
        repair: Whether to repair what can be repaired.

    Raises:
        StoreError: If the store cannot be read or, with `repair`, be written.
    """
    checked = Store(store)
    recipes, broken = _verify_all(checked)
    findings = []
    for damage in _damages(checked, recipes, broken=broken):
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
    return HealthReport(str(checked.root), len(recipes), findings)


def _verify_all(store: Store) -> tuple[_Recipes, Mapping[Digest, VerificationError]]:
    """Return the artifacts that verify with their recipes, and the others with their errors."""
    recipes: dict[Digest, Digest] = {}
    broken: dict[Digest, VerificationError] = {}
    for digest in store.artifacts.digests():
        try:
            recipes[digest] = store.artifacts.open(digest).manifest.recipe_digest
        except VerificationError as error:
            broken[digest] = error
    return recipes, broken


def _damages(
    store: Store, recipes: _Recipes, *, broken: Mapping[Digest, VerificationError]
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
    for digest in recipes:
        yield from _check_signature(store.artifacts.path(digest))
    yield from _check_aliases(store, recipes)
    yield from _check_index(store, recipes)
    yield from _check_runs(store)
    yield from _check_promotions(store)
    yield from _check_root(store, recipes)
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

    Without permission to read it, it may be intact: then it stays.
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
    """Return the digest that a pointer holds, or what is wrong with the pointer."""
    try:
        digest = pointers.get(path.name)
    except StoreError as error:
        return _unreadable(path, error)
    return digest or _quarantined(path, "names no artifact: it holds no digest")


def _dangling(pointers: Pointers, path: Path, *, wrong: str) -> _Damage:
    """Return damage that is repaired by removing the pointer."""
    return _Damage(
        path=path,
        wrong=wrong,
        remedy="remove it",
        repair=lambda _: pointers.remove(path.name),
    )


def _check_aliases(store: Store, recipes: _Recipes) -> Iterator[_Damage]:
    for path in _entries(store, "aliases"):
        if not ALIAS.fullmatch(path.name):
            yield _quarantined(path, "is not the name of an alias")
            continue
        digest = _digest_or_damage(store.aliases, path)
        if isinstance(digest, _Damage):
            yield digest
        elif digest not in recipes:
            yield _dangling(store.aliases, path, wrong="names no artifact that verifies")


def _check_index(store: Store, recipes: _Recipes) -> Iterator[_Damage]:
    """Yield the damaged entries of the index, and the missing ones."""
    indexed = set()
    for path in _entries(store, "recipes"):
        if not _HEX.fullmatch(path.name):
            yield _quarantined(path, "is not the digest of a recipe")
            continue
        digest = _digest_or_damage(store.recipes, path)
        if isinstance(digest, _Damage):
            yield digest
        elif recipes.get(digest) != f"sha256:{path.name}":
            wrong = "names no artifact of that recipe that verifies"
            yield _dangling(store.recipes, path, wrong=wrong)
        else:
            indexed.add(f"sha256:{path.name}")
    for digest, recipe in recipes.items():
        if recipe not in indexed:
            indexed.add(recipe)
            yield _unindexed(store, digest, recipe=recipe)


def _unindexed(store: Store, digest: Digest, *, recipe: Digest) -> _Damage:
    """Return the damage of an artifact that the index lacks."""
    return _Damage(
        path=store.root / "recipes" / recipe.removeprefix("sha256:"),
        wrong=f"is missing: the recipe of {digest[7:19]}",
        remedy="write it",
        repair=lambda store: store.recipes.set(recipe, digest),
    )


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
            elif path.name != ALIAS_LOCK or disk.kind_of(path) != "a file" or path.lstat().st_size:
                yield _quarantined(path, "is not a record of a promotion")


def _check_record(journal: Journal, path: Path, *, kind: type[Struct]) -> Iterator[_Damage]:
    try:
        journal.read(path, kind)
    except StoreError as error:
        yield _unreadable(path, error)


def _check_root(store: Store, recipes: _Recipes) -> Iterator[_Damage]:
    """Yield reports without an artifact, and entries that do not belong in a store."""
    for path in store.folder.entries():
        if path.suffix == ".html" and f"sha256:{path.stem}" not in recipes:
            yield _quarantined(path, "is the report of no artifact that verifies")
        elif path.suffix == ".html":
            try:
                disk.read_file(path, limit=MAX_REPORT, remedy="")
            except StoreError as error:
                yield _unreadable(path, error)
        elif path.name not in RESERVED_NAMES and not _HEX.fullmatch(path.name):
            remedy = "inspect it; a repair leaves it as it is"
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
