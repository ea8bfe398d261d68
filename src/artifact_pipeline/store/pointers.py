"""Pointers: movable names of artifacts, each a file that contains a digest."""

from __future__ import annotations

import re
from pathlib import Path

from artifact_pipeline import disk
from artifact_pipeline.builder.canonical import DIGEST, Digest
from artifact_pipeline.disk import translate_os_errors
from artifact_pipeline.errors import StoreError
from artifact_pipeline.store.folder import REPAIR, StoreFolder

CHAMPION = "champion"
LATEST = "latest"
"""The alias that each run moves."""
ALIAS = re.compile(r"[a-z][a-z0-9-]{0,62}")

_MAX_POINTER = 256
"""Bytes of a pointer; a larger file was not written by this package."""


class Pointers:
    """The pointers in one folder of a store, such as `aliases` or `recipes`.

    Names are aliases or the digests of recipes; the prefix `sha256:` is not part of a file's name.
    """

    def __init__(self, folder: StoreFolder, *names: str) -> None:
        self._folder = folder
        self._names = names

    def path(self, name: str) -> Path:
        """Return the file of a pointer, which does not have to exist.

        Raises:
            StoreError: If the pointers' folder is a link.
        """
        return self._folder.path(*self._names, name.removeprefix("sha256:"))

    def files(self) -> list[Path]:
        """Return the files of all pointers, sorted."""
        return self._folder.entries(*self._names)

    def exists(self, name: str) -> bool:
        """Return whether there is a pointer of this name, readable or not."""
        path = self.path(name)
        with translate_os_errors(path):
            return disk.kind_of(path) is not None

    def get(self, name: str) -> Digest | None:
        """Return the digest in a pointer; None if it is missing or contains no digest.

        Raises:
            StoreError: If it is not a small file, or cannot be read.
        """
        data = disk.read_file(self.path(name), limit=_MAX_POINTER, remedy=REPAIR)
        text = (data or b"").decode("ascii", "replace").strip()
        return text if DIGEST.fullmatch(text) else None

    def all(self) -> dict[str, Digest]:
        """Return all pointers that contain a digest."""
        names = [path.name for path in self.files()]
        return {name: digest for name in names if (digest := self.get(name))}

    def set(self, name: str, digest: Digest) -> None:
        """Point a name to an artifact; readers see either the old digest or the new one.

        Raises:
            StoreError: If it cannot be written.
        """
        try:
            if self.get(name) == digest:
                return
        except StoreError:
            pass  # an unreadable pointer is replaced, or the write below fails
        self._folder.write(self.path(name), f"{digest}\n".encode())

    def remove(self, name: str) -> None:
        """Remove a pointer; the artifact stays.

        Raises:
            StoreError: If it cannot be removed.
        """
        path = self.path(name)
        with translate_os_errors(path):
            path.unlink(missing_ok=True)
