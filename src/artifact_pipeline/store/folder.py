"""The folder of a store: paths that never lead out of it, and writes that survive a crash.

artifacts/
    <64 hex digits>/    an artifact, named by its digest
    <64 hex>.html       the report of an artifact
    recipes/<hex>       the digest of the artifact of a recipe
    runs/<id>.json      the record of a run
    models/<name>/      versions, aliases, tags and history of a model
    aliases/latest      the digest of the artifact of the last run
    aliases/<name>      an alias of an earlier release, which belonged to the store
    promotions/<name>/  the records of its moves
    trust.json          the signer whose signature is required, if any
    staging/            files that are being written
    set-aside/          quarantine: broken entries, which are never opened
"""

from __future__ import annotations

import os
import re
from contextlib import AbstractContextManager
from pathlib import Path

from artifact_pipeline import disk
from artifact_pipeline.disk import staged, sync_folder, translate_os_errors, write_new
from artifact_pipeline.errors import Location, StoreError
from artifact_pipeline.log import Log

log = Log(__name__)

STORE_ENV_VAR = "ARTIFACT_PIPELINE_STORE"
DEFAULT_STORE = "artifacts"
TRUST = "trust.json"
QUARANTINE = "set-aside"
FOLDERS = (QUARANTINE, "aliases", "models", "promotions", "recipes", "runs", "staging")
RESERVED_NAMES = (*FOLDERS, TRUST)
"""Names in a store that belong to neither an artifact nor a report."""

_HEX = re.compile(r"[0-9a-f]{64}")
"""The name of an artifact's folder."""

REPAIR = "artifact-pipeline doctor --repair sets it aside"
"""Remedy for a broken entry."""


class StoreFolder:
    """The folder of a store.

    Args:
        root: Its path; by default the environment variable `ARTIFACT_PIPELINE_STORE`, or else
            `artifacts` in the working folder. It does not have to exist.
    """

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        self.root = Path(root or os.environ.get(STORE_ENV_VAR) or DEFAULT_STORE)

    def folder(self, *names: str) -> Path:
        """Return the path of a folder in the store, which does not have to exist.

        Raises:
            StoreError: If it or a folder above it is a link or not a folder. The target of a
                link does not belong to the store.
        """
        folder = self.root
        for name in names:
            folder = folder / name
            with translate_os_errors(folder):
                kind = disk.kind_of(folder)
            if kind not in (None, "a folder"):
                raise StoreError(
                    f"is {kind}, expected a folder of the store",
                    location=Location(str(folder)),
                    remedy=REPAIR,
                )
        return folder

    def is_store(self) -> bool:
        """Return whether the folder is empty, missing, or has an artifact or a store's own entry.

        Raises:
            StoreError: If it cannot be listed.
        """
        names = [path.name for path in self.entries()]
        return not names or any(name in RESERVED_NAMES or _HEX.fullmatch(name) for name in names)

    def path(self, *names: str) -> Path:
        """Return the path of a file in the store. Raises as `folder`."""
        return self.folder(*names[:-1]) / names[-1]

    def entries(self, *names: str) -> list[Path]:
        """Return the entries of a folder in the store, sorted; none if it does not exist.

        Raises:
            StoreError: As `folder`, or if the folder cannot be listed.
        """
        folder = self.folder(*names)
        with translate_os_errors(folder):
            try:
                return sorted(folder.iterdir())
            except FileNotFoundError:
                return []

    def write(self, path: Path, data: bytes) -> None:
        """Write a file in the store atomically.

        Raises:
            StoreError: If it cannot be written; an existing file stays unchanged.
        """
        self.path(*path.relative_to(self.root).parts)
        with translate_os_errors(path):
            if disk.kind_of(path) == "a folder":
                raise StoreError(
                    "is a folder, expected a file",
                    location=Location(str(path)),
                    remedy="run artifact-pipeline doctor",
                )
        with self.staging() as new:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_new(new, data)
            new.replace(path)
            sync_folder(path.parent)
        log.debug("wrote %s", path)

    def staging(self) -> AbstractContextManager[Path]:
        """Yield a new path in `staging/`, and remove it afterwards if it still exists."""
        return staged(self.folder("staging"))

    def stale_entries(self) -> list[Path]:
        """Return the entries of `staging/` whose writers have ended."""
        with translate_os_errors(self.root):
            return disk.stale_entries(self.folder("staging"))

    def sweep(self) -> None:
        """Remove the entries of `staging/` whose writers have ended."""
        disk.sweep(self.folder("staging"))

    def quarantine(self, path: Path) -> None:
        """Move a broken entry to `set-aside/`, where nothing is opened.

        Raises:
            StoreError: If it cannot be moved.
        """
        name = os.fsdecode(os.fsencode(path.name)[:200]) + f"~{os.urandom(4).hex()}"
        quarantine = self.root / QUARANTINE
        with translate_os_errors(path):
            if path == quarantine:  # it is not a folder: make room for one
                path = path.rename(self.root / name)
            quarantine.mkdir(exist_ok=True)
            path.rename(self.path(QUARANTINE, name))
