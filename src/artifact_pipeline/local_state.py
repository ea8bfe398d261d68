"""What this checkout of the code remembers on this machine, outside every store.

It lies in the user's state folder, by the checkout's own place, and not in the store: a store that
came from a cache or another machine brings no trusted models and no trusted policy.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

from artifact_pipeline import disk
from artifact_pipeline.canonical import Digest
from artifact_pipeline.disk import failing, staged, write_new


def folder() -> Path:
    """Return where this checkout's memory lies: one folder for each place of the code."""
    place = hashlib.sha256(os.fsencode(Path(__file__).resolve().parent)).hexdigest()[:16]
    return _state_home() / "artifact-pipeline" / place


def trust(digest: Digest) -> None:
    """Remember that this checkout wrote a file of that digest."""
    remember(f"written/{digest.removeprefix('sha256:')}", b"")


def trusts(digest: Digest) -> bool:
    """Return whether this checkout wrote a file of that digest."""
    return recall(f"written/{digest.removeprefix('sha256:')}") is not None


def sweep() -> None:
    """Remove what writers that are gone have left half written here."""
    disk.sweep(folder() / "staging")


def recall(name: str) -> bytes | None:
    """Return what was remembered under a name, or None."""
    with failing(name):
        try:
            return (folder() / name).read_bytes()
        except FileNotFoundError:
            return None


def remember(name: str, data: bytes) -> None:
    """Remember data under a name, in place of what was there.

    Raises:
        StoreError: if the state folder cannot be written.
    """
    path = folder() / name
    with failing(str(path), "set XDG_STATE_HOME to a folder that can be written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with staged(folder() / "staging") as new:
            write_new(new, data)
            new.replace(path)


def _state_home() -> Path:
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
