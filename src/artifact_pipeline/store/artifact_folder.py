"""The artifacts of a store, and their reports."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from artifact_pipeline import disk
from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.artifact import manifest as manifests
from artifact_pipeline.builder.artifact.manifest import (
    MANIFEST,
    MAX_MANIFEST,
    SIGNATURE,
    Manifest,
)
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.disk import (
    sync_folder,
    translate_os_errors,
    write_atomically,
    write_new,
)
from artifact_pipeline.errors import StoreError, VerificationError
from artifact_pipeline.store.folder import StoreFolder
from artifact_pipeline.verification.verify import Verified, verify

MAX_REPORT = 64 << 20
"""Bytes of a report; a larger file was not written by this package."""


class ArtifactFolder:
    """The artifacts of a store, each in a folder that is named by its digest."""

    def __init__(self, folder: StoreFolder) -> None:
        self._folder = folder

    def path(self, digest: Digest) -> Path:
        """Return the folder of an artifact, which does not have to exist."""
        return self._folder.root / digest.removeprefix("sha256:")

    def report_path(self, digest: Digest) -> Path:
        """Return the path of an artifact's report, which is beside the artifact's folder."""
        return self.path(digest).with_suffix(".html")

    def digests(self) -> list[Digest]:
        """Return the digests of all artifacts, sorted; they are not verified."""
        names = (path.name for path in self._folder.entries())
        return sorted(f"sha256:{name}" for name in names if re.fullmatch("[0-9a-f]{64}", name))

    def open(self, digest: Digest) -> Verified:
        """Verify and return an artifact of the store.

        Raises:
            VerificationError: If it is missing or broken.
        """
        return verify(self.path(digest), digest)

    def manifest(self, digest: Digest) -> Manifest | None:
        """Return the manifest of an artifact, which its digest proves; None if it is not intact.

        The other files of the artifact are not checked.
        """
        path = self.path(digest) / MANIFEST
        try:
            data = disk.read_file(path, limit=MAX_MANIFEST, remedy="")
            if data is None or canonical.digest(data) != digest:
                return None
            return manifests.decode(data, str(path))
        except (StoreError, VerificationError):
            return None

    def add(self, files: Mapping[str, bytes]) -> Verified:
        """Write a sealed artifact atomically, verify it in place, and return it.

        A broken artifact of the same digest is replaced.

        Args:
            files: The contents of its files by name, among them the manifest.

        Raises:
            StoreError: If it cannot be written; the store stays unchanged.
            VerificationError: If the files break a rule of the format.
        """
        digest = canonical.digest(files[MANIFEST])
        with self._folder.staging() as new:
            new.mkdir()
            for name, data in files.items():
                write_new(new / name, data)
            self.rename_in(new, digest)
        return self.open(digest)

    def rename_in(self, staged: Path, digest: Digest) -> None:
        """Make a staged folder the artifact of this digest, unless one exists and verifies.

        A broken artifact of the same digest is replaced.

        Raises:
            StoreError: If it cannot be renamed; the store stays unchanged.
        """
        target = self.path(digest)
        with translate_os_errors(target):
            sync_folder(staged)
            try:
                staged.rename(target)
            except OSError:
                if not os.path.lexists(target):
                    raise
                try:
                    self.open(digest)
                except VerificationError:
                    with self._folder.staging() as broken:
                        target.rename(broken)
                        staged.rename(target)
            sync_folder(self._folder.root)

    def remove(self, digest: Digest) -> None:
        """Remove an artifact and its report; after a crash, each of them is complete or gone.

        Raises:
            StoreError: If it cannot be removed.
        """
        for path in (self.report_path(digest), self.path(digest)):
            if os.path.lexists(path):
                with translate_os_errors(path), self._folder.staging() as staged:
                    path.rename(staged)

    def write_report(self, digest: Digest, data: bytes) -> None:
        """Write the report of an artifact. Raises StoreError if it cannot be written."""
        self._folder.write(self.report_path(digest), data)

    def write_signature(self, folder: Path, data: bytes) -> None:
        """Write the signature of an artifact, in this store or elsewhere.

        It is staged beside the artifact's folder, because an artifact that contains an unlisted
        file does not verify.

        Raises:
            StoreError: If it cannot be written.
        """
        root = self._folder.root
        if folder.parent.absolute() == root.absolute():
            self._folder.write(root / folder.name / SIGNATURE, data)
        else:
            write_atomically(folder / SIGNATURE, data, staging=folder.absolute().parent)
