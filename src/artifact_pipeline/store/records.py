"""Run records that are read back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from artifact_pipeline.errors import StoreError
from artifact_pipeline.store.store import Store


class PastRun(Struct, frozen=True):
    """A run record that was read back: what commands use of it is checked, the rest is kept."""

    run: str
    """Its id, from the file's name."""
    outcome: str
    """As in `Record`, or `unreadable`."""
    started: str = ""
    config: str = ""
    data: str | None = None
    seconds: float = 0.0
    error: Any = None
    cached: bool = False
    recipe: Any = None
    recipe_digest: str | None = None
    artifact: str | None = None
    metrics: Any = None
    jobs: list[Any] = []
    gates: list[Any] = []
    previous: Any = None
    parity_measured: float | None = None
    warnings: list[str] = []
    observed: dict[str, Any] | None = None
    host: dict[str, str] = {}
    git: dict[str, Any] | None = None


def read_past(store: Store) -> list[PastRun]:
    """Return the run records of a store, the newest first; one that cannot be read says so."""
    return [_read(store, path) for path in store.run_records()]


def _read(store: Store, path: Path) -> PastRun:
    try:
        return msgspec.structs.replace(store.read_record(path, PastRun), run=printable(path.stem))
    except StoreError:
        return PastRun(run=printable(path.stem), outcome="unreadable")


def printable(path: str) -> str:
    """Return a path as JSON can hold it: bytes of a name that are not UTF-8 are written out."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
