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
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.disk import staged, translate_os_errors, write_new
from artifact_pipeline.errors import StoreError

REPORT = "report.html"
"""The name that reports are remembered under."""
MAX_ENTRY = 16 << 20
"""Bytes of what is remembered under one name."""


def folder() -> Path:
    """Return where this checkout's memory lies: one folder for each place of the code."""
    place = hashlib.sha256(os.fsencode(Path(__file__).resolve().parents[1])).hexdigest()[:16]
    return _state_home() / "artifact-pipeline" / place


def record_written(name: str, digest: Digest) -> None:
    """Remember that this checkout wrote a file of that name and digest.

    The name says which reader the bytes were written for. Another reader may find something else
    in them: a label in a graph may hold a whole skops archive.
    """
    remember(_written(name, digest), b"")


def wrote(name: str, digest: Digest) -> bool:
    """Return whether this checkout wrote a file of that name and digest."""
    return recall(_written(name, digest)) is not None


def _written(name: str, digest: Digest) -> str:
    return f"written/{name}/{digest.removeprefix('sha256:')}"


def sweep() -> None:
    """Remove what writers that are gone have left half written here."""
    disk.sweep(folder() / "staging")


def recall(name: str) -> bytes | None:
    """Return what was remembered under a name, or None."""
    return disk.read_file(folder() / name, limit=MAX_ENTRY, remedy="remove it")


def remember(name: str, data: bytes) -> None:
    """Remember data under a name, in place of what was there.

    Raises:
        StoreError: if the state folder cannot be written.
    """
    path = folder() / name
    with translate_os_errors(str(path), "set XDG_STATE_HOME to a folder that can be written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with staged(folder() / "staging") as new:
            write_new(new, data)
            new.replace(path)


def _state_home() -> Path:
    if os.name == "nt":
        return _absolute("LOCALAPPDATA") or _home() / "AppData" / "Local"
    if sys.platform == "darwin":
        return _home() / "Library" / "Application Support"
    return _absolute("XDG_STATE_HOME") or _home() / ".local" / "state"


def _absolute(variable: str) -> Path | None:
    """Return the folder that a variable of the environment names.

    A relative path is ignored, as the XDG Base Directory Specification has it: what lies in the
    working folder may be anybody's.
    """
    path = Path(os.environ.get(variable, ""))
    return path if path.is_absolute() else None


def _home() -> Path:
    try:
        home = Path.home()
    except RuntimeError:  # no HOME, and a user id without an account
        home = Path()
    if not home.is_absolute():
        raise StoreError(
            "there is no home folder to keep it in; set HOME, or XDG_STATE_HOME, to a folder that "
            "can be written",
            where="what this checkout remembers",
        )
    return home
