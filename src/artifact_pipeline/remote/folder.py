"""Objects in a folder, which may be shared by several machines.

A write goes to `staging/` and is renamed. Conditions are checked under a lock, which other
machines see if the file system shares locks, as NFS 4 and SMB do.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from artifact_pipeline import disk
from artifact_pipeline.builder import canonical
from artifact_pipeline.disk import staged, sync_folder, translate_os_errors
from artifact_pipeline.errors import ArtifactNotFound, Location, StoreError
from artifact_pipeline.remote.protocol import MAX_ENTRIES, PIECE, ObjectEntry, Stored

_REMEDY = "inspect it; a remote has only regular files"
_LOCK_WAIT = 30.0


class FolderObjects:
    """The objects of a folder."""

    def __init__(self, folder: Path, address: str) -> None:
        self._root = folder
        self.address = address

    def check_exists(self) -> None:
        """Raise ArtifactNotFound if there is no folder."""
        if not self._root.is_dir():
            raise ArtifactNotFound(
                "no such folder",
                location=Location(self.address),
                remedy="check the path; push creates it",
            )

    def get(self, key: str, *, limit: int) -> Stored | None:
        """See `ObjectStore`."""
        data = disk.read_file(self._path(key), limit=limit, remedy=_REMEDY)
        return None if data is None else Stored(data, canonical.digest(data))

    def size(self, key: str) -> int | None:
        """See `ObjectStore`."""
        path = self._path(key)
        with translate_os_errors(path):
            try:
                status = path.lstat()
            except (FileNotFoundError, NotADirectoryError):
                return None
        if not stat.S_ISREG(status.st_mode):
            problem = "is not a regular file"
            raise StoreError(problem, location=Location(str(path)), remedy=_REMEDY)
        return status.st_size

    def read(self, key: str, *, start: int, end: int) -> Generator[bytes]:
        """See `ObjectStore`."""
        with disk.open_regular(self._path(key)) as file:
            file.seek(start)
            while start < end and (piece := file.read(min(PIECE, end - start))):
                start += len(piece)
                yield piece

    def create(self, key: str, data: bytes) -> bool:
        """See `ObjectStore`."""
        with self._lock():
            if self.size(key) is not None:
                return False
            self.upload(key, [data], size=len(data))
            return True

    def replace(self, key: str, data: bytes, *, tag: str) -> bool:
        """See `ObjectStore`."""
        with self._lock():
            stored = self.get(key, limit=max(PIECE, len(data)))
            if stored is None or stored.tag != tag:
                return False
            self.upload(key, [data], size=len(data))
            return True

    def upload(self, key: str, pieces: Iterable[bytes], *, size: int) -> None:
        """See `ObjectStore`."""
        path = self._path(key)
        with translate_os_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with staged(self._root / "staging") as new:
                with new.open("xb") as file:
                    for piece in pieces:
                        file.write(piece)
                    file.flush()
                    os.fsync(file.fileno())
                new.replace(path)
            sync_folder(path.parent)

    def entries(self, prefix: str) -> list[ObjectEntry]:
        """See `ObjectStore`."""
        root = self._root / prefix
        found: list[ObjectEntry] = []
        with translate_os_errors(root):
            for folder, _, names in os.walk(root):
                for name in names:
                    path = Path(folder) / name
                    status = path.lstat()
                    if stat.S_ISREG(status.st_mode):
                        key = path.relative_to(self._root).as_posix()
                        found.append(ObjectEntry(key, status.st_size, status.st_mtime))
                if len(found) > MAX_ENTRIES:
                    problem = f"has more than {MAX_ENTRIES} entries"
                    raise StoreError(problem, location=Location(str(root)))
        return found

    def sweep(self) -> None:
        """Remove the entries of `staging/` whose writers have ended."""
        disk.sweep(self._root / "staging")

    def _path(self, key: str) -> Path:
        """Return the path of an object. Links above it are followed."""
        return self._root / key

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with translate_os_errors(self._root):
            self._root.mkdir(parents=True, exist_ok=True)
            problem = "is locked by another process"
            with disk.file_lock(self._root / "lock", problem, wait=_LOCK_WAIT):
                yield
