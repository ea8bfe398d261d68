"""The state of this checkout on this machine, in a folder of the user outside every store.

It is keyed by the path of the package. It is outside the store, so that a store from a cache or
another machine cannot introduce trusted models or a trusted policy.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

from artifact_pipeline import disk
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.disk import staged, translate_os_errors, write_new
from artifact_pipeline.errors import Location, StoreError

REPORT = "report.html"
"""The name under which the digests of reports are remembered."""

_MAX_ENTRY = 16 << 20
"""Bytes of an entry; a larger file was not written by this package."""
_REMEDY = "remove it, or set XDG_STATE_HOME to a folder that can be written"
_PACKAGE = Path(__file__).resolve().parents[1]


def folder() -> Path:
    """Return the state folder of this checkout, which does not have to exist.

    Raises:
        StoreError: If the user has no home folder.
    """
    key = hashlib.sha256(os.fsencode(_PACKAGE)).hexdigest()[:16]
    return _state_home() / "artifact-pipeline" / key


def record_written(name: str, digest: Digest) -> None:
    """Remember that this checkout wrote a file of this name and digest.

    The name decides which reader opens the file, and another reader can interpret the same bytes
    differently: a label in a graph may contain a complete skops archive.

    Raises:
        StoreError: If the state folder cannot be written.
    """
    remember(_written(name, digest), b"")


def wrote(name: str, digest: Digest) -> bool:
    """Return whether this checkout wrote a file of this name and digest."""
    return recall(_written(name, digest)) is not None


def _written(name: str, digest: Digest) -> str:
    return f"written/{name}/{digest.removeprefix('sha256:')}"


def recall(name: str) -> bytes | None:
    """Return an entry, or None if there is none.

    Raises:
        StoreError: If it cannot be read.
    """
    return disk.read_file(folder() / name, limit=_MAX_ENTRY, remedy=_REMEDY)


def remember(name: str, data: bytes) -> None:
    """Write an entry, replacing an earlier one.

    Raises:
        StoreError: If the state folder cannot be written.
    """
    path = folder() / name
    with translate_os_errors(path, "set XDG_STATE_HOME to a folder that can be written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with staged(folder() / "staging") as new:
            write_new(new, data)
            new.replace(path)


def sweep() -> None:
    """Remove the staged entries whose writers have ended."""
    disk.sweep(folder() / "staging")


def _state_home() -> Path:
    if os.name == "nt":
        return _absolute("LOCALAPPDATA") or _home() / "AppData" / "Local"
    if sys.platform == "darwin":
        return _home() / "Library" / "Application Support"
    return _absolute("XDG_STATE_HOME") or _home() / ".local" / "state"


def _absolute(variable: str) -> Path | None:
    """Return the folder that an environment variable names.

    A relative path is ignored, as the XDG Base Directory Specification requires: the working folder
    may belong to anyone.
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
            "no home folder was found",
            location=Location("the state folder"),
            remedy="set HOME, or XDG_STATE_HOME, to a folder that can be written",
        )
    return home
