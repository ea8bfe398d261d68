"""A store: artifacts that are found by their recipe, by a reference or by their digest."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from artifact_pipeline.builder.artifact import describe
from artifact_pipeline.builder.artifact import manifest as manifests
from artifact_pipeline.builder.artifact.manifest import MANIFEST
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.errors import (
    ArtifactNotFound,
    CallError,
    Location,
    StoreError,
    VerificationError,
)
from artifact_pipeline.store.artifact_folder import ArtifactFolder
from artifact_pipeline.store.folder import REPAIR, StoreFolder
from artifact_pipeline.store.journal import Journal
from artifact_pipeline.store.models import ModelHistory, Models
from artifact_pipeline.store.pointers import LATEST, Pointers
from artifact_pipeline.store.policy import Policy
from artifact_pipeline.store.references import ArtifactLike, PathLike, Reference, parse
from artifact_pipeline.store.run_index import RunIndex, modified, note_run
from artifact_pipeline.verification.verify import Verified

LISTING = "artifact-pipeline list shows all artifacts"
_MAX_CHOICES = 5
"""How many choices an error lists."""


class ArtifactLocation(NamedTuple):
    """The path that a reference names, and the digest in the reference, if any."""

    folder: Path
    digest: Digest | None


class Store:
    """A folder of artifacts, run records, models and their aliases.

    Args:
        root: Its path; by default the environment variable `ARTIFACT_PIPELINE_STORE`, or else
            `artifacts` in the working folder. It does not have to exist.
    """

    def __init__(self, root: PathLike | None = None) -> None:
        self.folder = StoreFolder(root)
        self.artifacts = ArtifactFolder(self.folder)
        self.models = Models(self.folder)
        self.aliases = Pointers(self.folder, "aliases")
        """`latest` of the store, and the aliases of earlier releases, which had no names."""
        self.recipes = Pointers(self.folder, "recipes")
        """The index from recipes to artifacts. It may come from elsewhere and prove nothing."""
        self.journal = Journal(self.folder)
        self.run_index = RunIndex(self.folder, self.journal)
        self.policy = Policy(self.folder)

    @property
    def root(self) -> Path:
        """The store's folder."""
        return self.folder.root

    def add(self, files: Mapping[str, bytes]) -> Verified:
        """Write a sealed artifact, verify it in place, index it by its recipe, and return it.

        It becomes the next version of its name, unless it is a version already. If the recipe has
        an artifact already that verifies and differs, the index keeps that one.

        Args:
            files: The contents of its files by name, among them the manifest.

        Raises:
            StoreError: If it cannot be written.
            VerificationError: If the files break a rule of the format.
        """
        manifest = manifests.decode(files[MANIFEST], MANIFEST)
        self.models.assign(describe.model_name_of(manifest.recipe), manifests.digest(manifest))
        added = self.artifacts.add(files)
        self.index(added)
        return added

    def adopt(self, staged: Path, artifact: Verified, *, version: int | None = None) -> Verified:
        """Make a staged folder an artifact of the store, as `add` does, and return it.

        Args:
            staged: The folder, in `staging/`.
            artifact: The artifact that was verified there.
            version: The version that it gets if the number is free, instead of the next.

        Raises:
            StoreError, VerificationError: As `add`.
        """
        name = describe.model_name_of(artifact.manifest.recipe)
        self.models.assign(name, artifact.digest, preferred=version)
        self.artifacts.rename_in(staged, artifact.digest)
        adopted = artifact.moved_to(self.artifacts.path(artifact.digest))
        self.index(adopted)
        return adopted

    def index(self, artifact: Verified) -> None:
        """Index an artifact by its recipe, unless the recipe has one that verifies."""
        recipe_digest = artifact.manifest.recipe_digest
        try:
            indexed = self.find(recipe_digest)
        except (StoreError, VerificationError):
            indexed = None
        if indexed is None:
            self.recipes.set(recipe_digest, artifact.digest)

    def find(self, recipe_digest: Digest) -> Verified | None:
        """Return the artifact of a recipe, verified; None if the store has none.

        Raises:
            VerificationError: If the artifact does not verify.
            StoreError: If the entry of the index cannot be read.
        """
        digest = self.recipes.get(recipe_digest)
        if digest is None:
            return None
        verified = self.artifacts.open(digest)
        return verified if verified.manifest.recipe_digest == recipe_digest else None

    def write_run(self, run: str, record: Struct) -> None:
        """Write the record of a run. Raises StoreError if it cannot be written."""
        before = modified(self.folder)
        self.journal.write_run(run, record)
        note_run(self.folder, run, before=before)

    def import_run(self, run: str, data: bytes) -> None:
        """Write a run record of another store. Raises StoreError if it cannot be written."""
        self.folder.write(self.journal.run_path(run), data)

    def set_latest(self, artifact: Verified) -> None:
        """Point `latest`, of the store and of the artifact's name, to an artifact.

        Raises:
            StoreError: If it cannot be written.
        """
        self.models.set_latest(describe.model_name_of(artifact.manifest.recipe), artifact.digest)
        self.aliases.set(LATEST, artifact.digest)

    def alias(self, name: str, alias: str) -> Digest | None:
        """Return the digest that an alias of a model names, or None.

        An alias of an earlier release belongs to the name of its artifact, until it is moved.

        Raises:
            StoreError: If it cannot be read.
        """
        digest = self.models.latest(name) if alias == LATEST else None
        if digest is None and alias != LATEST:
            digest = self.models.history(name).aliases.get(alias)
        if digest is None:
            earlier = self.aliases.get(alias)
            if earlier is not None and self.name_of(earlier) == name:
                return earlier
        return digest

    def name_of(self, digest: Digest) -> str | None:
        """Return the name of an artifact's model; None if the store has no such manifest."""
        manifest = self.artifacts.manifest(digest)
        return None if manifest is None else describe.model_name_of(manifest.recipe)

    def aliases_by_model(
        self, histories: Mapping[str, ModelHistory] | None = None
    ) -> dict[str, dict[str, Digest]]:
        """Return all aliases of each name, with `latest`.

        Args:
            histories: The histories of all names, if they were read already.

        Raises:
            StoreError: If one cannot be read.
        """
        histories = self.models.histories() if histories is None else histories
        aliases: dict[str, dict[str, Digest]] = {}
        for name, history in histories.items():
            latest = self.models.latest(name)
            aliases[name] = {**({LATEST: latest} if latest else {}), **history.aliases}
        for alias, digest in self.aliases.all().items():
            named = self.name_of(digest)
            if named is not None:
                aliases.setdefault(named, {}).setdefault(alias, digest)
        return {name: own for name, own in sorted(aliases.items()) if own}

    def resolve(self, reference: ArtifactLike) -> ArtifactLocation:
        """Return the location of the artifact that a reference names.

        Args:
            reference: A string is `NAME@ALIAS`, `NAME:VERSION`, an alias that one name has, the
                first eight or more hex digits of a digest, or an existing folder, in this order.
                `latest` by itself is the artifact of the last run of the store. A path object is a
                folder, existing or not.

        Raises:
            ArtifactNotFound: If nothing has this name.
            CallError: If it is an alias of several names, or the start of several digests.
            StoreError: If it is an alias that cannot be read.
        """
        text = os.fspath(reference)
        if not isinstance(reference, str):
            return ArtifactLocation(Path(reference), None)
        parsed = parse(text)
        digest = self.digest_of(parsed)
        if digest is not None:
            return ArtifactLocation(self.artifacts.path(digest), digest)
        if text and os.path.isdir(text):  # noqa: PTH112  (takes names that Path.is_dir raises for)
            return ArtifactLocation(Path(text), None)
        problem, remedy = self._why_unknown(parsed)
        location = Location(ascii(text)[1:81].strip("'") or "artifact")
        raise ArtifactNotFound(problem, location=location, remedy=remedy)

    def digest_of(self, reference: Reference) -> Digest | None:
        """Return the digest that a reference names; None if it names none, or is a folder.

        Raises:
            CallError, StoreError: As `resolve`.
        """
        if reference.name is not None and reference.alias is not None:
            return self.alias(reference.name, reference.alias)
        if reference.name is not None:
            history = self.models.history(reference.name)
            digest = history.versions.get(reference.version or 0)
            return digest if digest and self.artifacts.path(digest).exists() else None
        if reference.alias is not None and (digest := self._alias_alone(reference.alias)):
            return digest
        return None if reference.digits is None else self._digest_by_start(reference)

    def _alias_alone(self, alias: str) -> Digest | None:
        """Return the digest that an alias names, if one model or the store has it."""
        named: dict[str, Digest] = {}
        if alias != LATEST:
            for name, history in self.models.histories().items():
                if (digest := history.aliases.get(alias)) is not None:
                    named[name] = digest
        earlier = self._earlier_alias(alias)
        if earlier is not None:
            owner = self.name_of(earlier) if named else None
            if not named:
                return earlier
            if owner is not None:
                named.setdefault(owner, earlier)
        if len(named) > 1:
            problem = f"{len(named)} models have this alias"
            choices = listed(f"{name}@{alias}" for name in sorted(named))
            raise CallError(problem, location=Location(alias), remedy=f"choose {choices}")
        return next(iter(named.values()), None)

    def _earlier_alias(self, alias: str) -> Digest | None:
        """Return the digest in a pointer in `aliases/`, or None without one."""
        if not self.aliases.exists(alias):
            return None
        if digest := self.aliases.get(alias):
            return digest
        location = Location(str(self.aliases.path(alias)))
        raise StoreError("contains no digest", location=location, remedy=REPAIR)

    def _digest_by_start(self, reference: Reference) -> Digest | None:
        start = f"sha256:{reference.digits}"
        digests = [digest for digest in self.artifacts.digests() if digest.startswith(start)]
        if len(digests) > 1:
            problem = f"the start of {len(digests)} digests"
            location = Location(reference.text)
            raise CallError(problem, location=location, remedy="give more digits")
        return digests[0] if digests else None

    def _why_unknown(self, reference: Reference) -> tuple[str, str]:
        """Return why a reference names nothing, and what to do."""
        nothing = f"no such folder, and no such digest or alias in the store {self.root}"
        histories: dict[str, ModelHistory] = {}
        with suppress(StoreError):  # an unreadable journal yields no proposals
            histories = self.models.histories()
        history = histories.get(reference.name or "")
        if history is not None and reference.version in history.versions:
            pruned = history.pruned.get(reference.version)
            problem = f"was pruned on {pruned.when[:10]}" if pruned else "is not in the store"
            return problem, LISTING
        if reference.text in histories:
            versions = histories[reference.text].versions
            problem = "names a model, expected one of its artifacts"
            choices = [f"{reference.text}@{LATEST}", f"{reference.text}:{max(versions, default=1)}"]
            return problem, f"choose {listed(choices)}"
        return nothing, self._nearest(reference, histories)

    def _nearest(self, reference: Reference, histories: Mapping[str, ModelHistory]) -> str:
        """Return a hint with the names closest to an unknown reference."""
        import difflib
        import re

        text = reference.text
        digits = text.removeprefix("sha256:").lower()
        digests = [name.removeprefix("sha256:")[:12] for name in self.artifacts.digests()]
        starts = [name for name in digests if re.fullmatch("[0-9a-f]{4,}", digits)
                  and name.startswith(digits[:12])]  # fmt: skip
        names: list[str] = []
        with suppress(StoreError):  # unreadable aliases are not proposed
            names += self.aliases.all()
            for name, aliases in self.aliases_by_model(histories).items():
                names += [f"{name}@{alias}" for alias in aliases]
                names += [alias for alias in aliases if alias not in names]
        names += [
            f"{name}:{version}" for name, own in histories.items() for version in own.versions
        ]
        close = starts or difflib.get_close_matches(text.lower()[:200], names, n=1, cutoff=0.6)
        close = close or difflib.get_close_matches(digits[:64], digests, n=1, cutoff=0.6)
        if close:
            return f"did you mean {close[0]!r}? {LISTING}"
        if not digests:
            return "the store has no artifacts; train one: artifact-pipeline run"
        return LISTING


def listed(choices: Iterable[str]) -> str:
    """Return choices in one sentence, only the first few if there are many.

    >>> listed(["a", "b", "c"])
    'a, b or c'
    """
    *first, last = choices
    if len(first) >= _MAX_CHOICES:
        first, last = first[: _MAX_CHOICES - 1], f"{len(first) - _MAX_CHOICES + 2} others"
    return f"{', '.join(first)} or {last}" if first else last
