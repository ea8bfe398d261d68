"""Is a store sound? What is wrong with it, what is to be done, and doing that.

Nothing that verifies is touched, and nothing is deleted but names that lead nowhere and what dead
writers left: a broken artifact or record is set aside, under `set-aside/`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from artifact_pipeline import canonical
from artifact_pipeline.artifact.open import Verified, verify
from artifact_pipeline.canonical import Digest
from artifact_pipeline.errors import StoreError, VerificationError
from artifact_pipeline.policy import Reference
from artifact_pipeline.store import KNOWN, Store

_HEX = re.compile("[0-9a-f]{64}")


class Finding(Struct, frozen=True):
    """One thing that is wrong with a store."""

    path: str
    """Where, from the store's folder on."""
    wrong: str
    remedy: str
    """What `repair` does about it, or what you can do."""
    repaired: bool


class Checkup(Struct, frozen=True):
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


def examine(store: Reference | None = None, *, repair: bool = False) -> Checkup:
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
    return Checkup(str(place.root), len(whole), findings)


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
    aside = "set it aside, under set-aside/; train its config again to have it back"
    for digest, error in broken.items():
        folder = store.folder(digest)
        file = Path(error.where or "").name
        wrong = f"does not verify: {file}: {error.message}"
        yield _Case(folder, wrong, aside, partial(store.set_aside, folder))
    yield from _names(store, whole)
    yield from _records(store)
    for path in store.entries("."):
        if path.suffix == ".html" and f"sha256:{path.stem}" not in whole:
            remedy = "set it aside, under set-aside/"
            wrong = "is the report of no artifact that verifies"
            yield _Case(path, wrong, remedy, partial(store.set_aside, path))
        elif path.name not in KNOWN and not _HEX.fullmatch(path.stem):
            yield _Case(path, "does not belong here", "look at it; it is left alone", None)
    for path in store.left_over():
        wrong, remedy = "was left by a writer that is gone", "remove it"
        yield _Case(path, wrong, remedy, store.sweep)
    try:
        store.signer()
    except StoreError as error:
        remedy = "write it again: artifact-pipeline trust; until then nothing is opened from here"
        yield _Case(store.root / "trust.json", error.message.partition(";")[0], remedy, None)


def _names(store: Store, whole: dict[Digest, Digest]) -> Iterator[_Case]:
    """Yield the aliases and the entries of the index that lead nowhere, and those that lack."""
    for path in store.entries("aliases"):
        if store.alias(path.name) not in whole:
            wrong = "names no artifact that verifies"
            yield _Case(path, wrong, "remove it", partial(store.forget, path))
    indexed = set()
    for path in store.entries("recipes"):
        digest = store.artifact_of(f"sha256:{path.name}")
        if digest is None or whole.get(digest) != f"sha256:{path.name}":
            wrong = "names no artifact of that recipe that verifies"
            yield _Case(path, wrong, "remove it", partial(store.forget, path))
        else:
            indexed.add(f"sha256:{path.name}")
    for digest, recipe in whole.items():
        if recipe not in indexed:
            indexed.add(recipe)
            path = store.root / "recipes" / recipe.removeprefix("sha256:")
            wrong = f"is missing: the recipe of {digest[7:19]}"
            index = partial(store.index, recipe, digest)
            yield _Case(path, wrong, "write it", index)


def _records(store: Store) -> Iterator[_Case]:
    moves = [path for one in store.entries("promotions") for path in sorted(one.glob("*.json"))]
    for path in [*store.entries("runs"), *moves]:
        try:
            value = canonical.decode(path.read_bytes())
            wrong = "" if isinstance(value, dict) else "is no record"
        except (OSError, canonical.NotCanonical) as error:
            wrong = f"is no record: {error}"
        if wrong:
            remedy = "set it aside, under set-aside/"
            yield _Case(path, wrong, remedy, partial(store.set_aside, path))
