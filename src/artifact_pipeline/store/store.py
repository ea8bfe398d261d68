"""A store: artifacts that are found by their recipe, by an alias or by their digest."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

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
from artifact_pipeline.store.pointers import ALIAS, Pointers
from artifact_pipeline.store.policy import Policy
from artifact_pipeline.verification.verify import Verified


class ArtifactLocation(NamedTuple):
    """The place that a reference names, and the digest that it promises there, if any."""

    folder: Path
    digest: Digest | None


class Store:
    """A folder of artifacts, run records and aliases.

    Args:
        root: Its path; by default the environment variable `ARTIFACT_PIPELINE_STORE`, or else
            `artifacts` in the working folder. It does not have to exist.
    """

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        self.folder = StoreFolder(root)
        self.artifacts = ArtifactFolder(self.folder)
        self.aliases = Pointers(self.folder, "aliases")
        self.recipes = Pointers(self.folder, "recipes")
        """The index: which artifact a recipe gave. It may come from elsewhere and prove nothing."""
        self.journal = Journal(self.folder)
        self.policy = Policy(self.folder)

    @property
    def root(self) -> Path:
        """The store's folder."""
        return self.folder.root

    def add(self, files: Mapping[str, bytes]) -> Verified:
        """Write a sealed artifact, verify it where it lies, index it by its recipe, and return it.

        If the recipe has an artifact already that verifies and differs, the index keeps that one.

        Args:
            files: The contents of its files by name, among them the manifest.

        Raises:
            StoreError: If it cannot be written.
            VerificationError: If the files break a rule of the format.
        """
        added = self.artifacts.add(files)
        recipe_digest = added.manifest.recipe_digest
        try:
            indexed = self.find(recipe_digest)
        except (StoreError, VerificationError):
            indexed = None
        if indexed is None:
            self.recipes.set(recipe_digest, added.digest)
        return added

    def find(self, recipe_digest: Digest) -> Verified | None:
        """Return the artifact that a recipe gave, verified; None if it gave none here.

        Raises:
            VerificationError: If the artifact does not verify.
            StoreError: If the entry of the index cannot be read.
        """
        digest = self.recipes.get(recipe_digest)
        if digest is None:
            return None
        verified = self.artifacts.open(digest)
        return verified if verified.manifest.recipe_digest == recipe_digest else None

    def resolve(self, reference: str | os.PathLike[str]) -> ArtifactLocation:
        """Return the location of the artifact that a reference names.

        Args:
            reference: A string is an alias, the first eight or more hex digits of a digest, or an
                existing folder, in this order. A path object is a folder, existing or not.

        Raises:
            ArtifactNotFound: If nothing has this name.
            CallError: If it is the start of several digests.
            StoreError: If it is an alias that cannot be read.
        """
        text = os.fspath(reference)
        if not isinstance(reference, str):
            return ArtifactLocation(Path(reference), None)
        if ALIAS.fullmatch(text) and self.aliases.exists(text):
            if digest := self.aliases.get(text):
                return ArtifactLocation(self.artifacts.path(digest), digest)
            location = Location(str(self.aliases.path(text)))
            raise StoreError("holds no digest", location=location, remedy=REPAIR)
        digits = text.removeprefix("sha256:")
        if re.fullmatch("[0-9a-f]{8,64}", digits):
            start = f"sha256:{digits}"
            digests = [name for name in self.artifacts.digests() if name.startswith(start)]
            if len(digests) > 1:
                problem = f"the start of {len(digests)} digests"
                raise CallError(problem, location=Location(text), remedy="give more digits")
            if digests:
                return ArtifactLocation(self.artifacts.path(digests[0]), digests[0])
        if text and os.path.isdir(text):  # noqa: PTH112  (takes names that Path.is_dir raises for)
            return ArtifactLocation(Path(text), None)
        raise ArtifactNotFound(
            f"no such folder, and no such digest or alias in the store {self.root}",
            location=Location(ascii(text)[1:81].strip("'") or "artifact"),
            remedy=self._nearest(text),
        )

    def _nearest(self, text: str) -> str:
        """Return the hint that names the alias or digest nearest to an unknown reference."""
        digits = text.removeprefix("sha256:").lower()
        names = [name.removeprefix("sha256:")[:12] for name in self.artifacts.digests()]
        starts = [name for name in names if re.fullmatch("[0-9a-f]{4,}", digits)
                  and name.startswith(digits[:12])]  # fmt: skip
        with suppress(StoreError):  # aliases that cannot be read are not proposed
            names = [*self.aliases.all(), *names]
        import difflib

        close = starts or difflib.get_close_matches(digits[:64], names, n=1, cutoff=0.6)
        listed = "artifact-pipeline list shows what there is"
        if close:
            return f"did you mean {close[0]!r}? {listed}"
        if not names:
            return "the store has no artifacts; train one: artifact-pipeline run"
        return listed
