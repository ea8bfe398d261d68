"""Is a store sound? What is wrong with it, what is to be done, and doing that.

Nothing that verifies is touched, and nothing is deleted but names that lead nowhere and what dead
writers left: a broken artifact or record is set aside, under `set-aside/`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from artifact_pipeline import disk
from artifact_pipeline.builder.artifact.manifest import SIGNATURE
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.errors import StoreError, VerificationError
from artifact_pipeline.store.access import Reference
from artifact_pipeline.store.records import PastRun
from artifact_pipeline.store.store import (
    ALIAS,
    FOLDERS,
    MAX_REPORT,
    MOVE,
    QUARANTINE,
    RESERVED_NAMES,
    TRUST,
    TURN,
    Promotion,
    Store,
)
from artifact_pipeline.verification.verify import Verified, read_signature, verify

_ASIDE = f"set it aside, under {QUARANTINE}/"
_HEX = re.compile("[0-9a-f]{64}")


class Finding(Struct, frozen=True):
    """One thing that is wrong with a store."""

    path: str
    """Where, from the store's folder on."""
    wrong: str
    remedy: str
    """What `repair` does about it, or what you can do."""
    repaired: bool


class HealthReport(Struct, frozen=True):
    """What came of looking at a store."""

    store: str
    artifacts: int
    """How many verify."""
    findings: list[Finding]

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong, or nothing any more."""
        return all(finding.repaired for finding in self.findings)


class _Case(NamedTuple):
    """A finding with what would mend it, if anything here can."""

    path: Path
    wrong: str
    remedy: str
    mend: Callable[[], None] | None


def examine(store: Reference | None = None, *, repair: bool = False) -> HealthReport:
    """Return what is wrong with a store; with `repair`, mend what can be mended.

    Raises:
        StoreError: if the store cannot be read, or with `repair` not be written.
    """
    place = Store(store)
    whole, broken = _artifacts(place)
    findings = []
    for case in _cases(place, whole, broken):
        if repair and case.mend is not None:
            case.mend()
        found = str(case.path.relative_to(place.root))
        mended = repair and case.mend is not None
        findings.append(Finding(found, case.wrong, case.remedy, mended))
    return HealthReport(str(place.root), len(whole), findings)


def _artifacts(store: Store) -> tuple[dict[Digest, Digest], dict[Digest, VerificationError]]:
    """Return the artifacts that verify, each with the digest of its recipe, and the others."""
    whole: dict[Digest, Digest] = {}
    broken: dict[Digest, VerificationError] = {}
    for digest in store.artifacts():
        try:
            found: Verified = verify(store.folder(digest), digest)
        except VerificationError as error:
            broken[digest] = error
        else:
            whole[digest] = found.manifest.recipe_digest
    return whole, broken


def _cases(
    store: Store, whole: dict[Digest, Digest], broken: dict[Digest, VerificationError]
) -> Iterator[_Case]:
    for name in FOLDERS:  # first of all: what is broken is set aside in one of them
        kind = disk.kind_of(store.root / name)
        if kind not in (None, "a folder"):
            yield _aside(store, store.root / name, f"is {kind}, expected a folder")
    again = f"{_ASIDE}; train its config again to have it back"
    for digest, error in broken.items():
        folder = store.folder(digest)
        file = Path(error.where or "").name
        yield _aside(store, folder, f"does not verify: {file}: {error.message}", again)
    for digest in whole:
        yield from _signature(store, digest)
    yield from _aliases(store, whole)
    yield from _index(store, whole)
    for path in _listed(store, "runs"):
        yield from _record(store, path, PastRun)
    yield from _moves(store)
    yield from _root(store, whole)
    if disk.kind_of(store.root / "staging") in (None, "a folder"):
        for path in store.left_over():
            wrong, remedy = "was left by a writer that is gone", "remove it"
            yield _Case(path, wrong, remedy, store.sweep)
    try:
        store.signer()
    except StoreError as error:
        remedy = "write it again: artifact-pipeline trust; until then nothing is opened from here"
        yield _Case(store.root / TRUST, _wrong(error), remedy, None)


def _aside(store: Store, path: Path, wrong: str, remedy: str = _ASIDE) -> _Case:
    return _Case(path, wrong, remedy, partial(store.set_aside, path))


def _unreadable(store: Store, path: Path, error: StoreError) -> _Case:
    """Return the finding of a name that cannot be read; it may be right for whoever can."""
    if isinstance(error.__cause__, PermissionError):
        return _Case(path, _wrong(error), "give yourself the right to read it", None)
    return _aside(store, path, _wrong(error))


def _wrong(error: StoreError) -> str:
    return error.message.partition(";")[0]


def _listed(store: Store, *names: str) -> list[Path]:
    """Return what lies in a folder of the store, nothing where the folder itself is a finding."""
    if disk.kind_of(store.root / names[0]) not in (None, "a folder"):
        return []
    return store.entries(*names)


def _signature(store: Store, digest: Digest) -> Iterator[_Case]:
    path = store.folder(digest) / SIGNATURE
    if os.path.lexists(path):
        try:
            read_signature(path.parent)
        except VerificationError as error:
            yield _aside(store, path, error.message, f"{_ASIDE}; sign it again")


def _digest_in(store: Store, path: Path) -> Digest | _Case:
    """Return the digest that an alias or an entry of the index holds, or what is wrong with it."""
    try:
        digest = store.pointer(path)
    except StoreError as error:
        return _unreadable(store, path, error)
    return digest or _aside(store, path, "names no artifact: it holds no digest")


def _aliases(store: Store, whole: dict[Digest, Digest]) -> Iterator[_Case]:
    """Yield the aliases that are none, or name nothing."""
    for path in _listed(store, "aliases"):
        if not ALIAS.fullmatch(path.name):
            yield _aside(store, path, "is not the name of an alias")
            continue
        digest = _digest_in(store, path)
        if isinstance(digest, _Case):
            yield digest
        elif digest not in whole:
            wrong = "names no artifact that verifies"
            yield _Case(path, wrong, "remove it", partial(store.forget, path))


def _index(store: Store, whole: dict[Digest, Digest]) -> Iterator[_Case]:
    """Yield the entries of the index that are none, or lead nowhere, and those that lack."""
    indexed = set()
    for path in _listed(store, "recipes"):
        if not _HEX.fullmatch(path.name):
            yield _aside(store, path, "is not the digest of a recipe")
            continue
        digest = _digest_in(store, path)
        if isinstance(digest, _Case):
            yield digest
        elif whole.get(digest) != f"sha256:{path.name}":
            wrong = "names no artifact of that recipe that verifies"
            yield _Case(path, wrong, "remove it", partial(store.forget, path))
        else:
            indexed.add(f"sha256:{path.name}")
    for digest, recipe in whole.items():
        if recipe not in indexed:
            indexed.add(recipe)
            path = store.root / "recipes" / recipe.removeprefix("sha256:")
            wrong = f"is missing: the recipe of {digest[7:19]}"
            yield _Case(path, wrong, "write it", partial(store.index, recipe, digest))


def _moves(store: Store) -> Iterator[_Case]:
    """Yield what is no record of a move of an alias."""
    for folder in _listed(store, "promotions"):
        kind = disk.kind_of(folder)
        if kind != "a folder" or not ALIAS.fullmatch(folder.name):
            wrong = "is not the name of an alias" if kind == "a folder" else f"is {kind}"
            yield _aside(store, folder, f"{wrong}, expected a folder of an alias's moves")
            continue
        for path in store.entries("promotions", folder.name):
            if MOVE.fullmatch(path.name):
                yield from _record(store, path, Promotion)
            elif path.name != TURN or disk.kind_of(path) != "a file" or path.lstat().st_size:
                yield _aside(store, path, "is no record of a move")


def _record(store: Store, path: Path, kind: type[Struct]) -> Iterator[_Case]:
    if kind is PastRun and path.suffix != ".json":
        yield _aside(store, path, "is no record of a run")
        return
    try:
        store.read_record(path, kind)
    except StoreError as error:
        yield _unreadable(store, path, error)


def _root(store: Store, whole: dict[Digest, Digest]) -> Iterator[_Case]:
    """Yield the reports of nothing, and what does not belong into a store."""
    for path in store.entries():
        if path.suffix == ".html" and f"sha256:{path.stem}" not in whole:
            yield _aside(store, path, "is the report of no artifact that verifies")
        elif path.suffix == ".html":
            try:
                disk.read_file(path, limit=MAX_REPORT, remedy="")
            except StoreError as error:
                yield _unreadable(store, path, error)
        elif path.name not in RESERVED_NAMES and not _HEX.fullmatch(path.name):
            yield _Case(path, "does not belong here", "look at it; it is left alone", None)
