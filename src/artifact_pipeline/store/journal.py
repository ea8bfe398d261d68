"""The records of a store: of each run, and of each promotion by an earlier release."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from artifact_pipeline import disk
from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.numeric_profile import Inspection
from artifact_pipeline.errors import Location, StoreError
from artifact_pipeline.store.events import Promotion
from artifact_pipeline.store.folder import REPAIR, StoreFolder
from artifact_pipeline.store.provenance import GitState

PROMOTION_FILE = re.compile(r"[0-9]{6,9}\.json")
"""The name of a promotion's record, in the folder `promotions/<alias>`."""
ALIAS_LOCK = "turn"
"""The file in that folder that was locked while the alias moved."""

MAX_RECORD = 8 << 20
"""Bytes of a record; a larger file was not written by this package."""
_MAX_DEPTH = 50
"""Nested levels of a record; more could exhaust Python's stack."""

T = TypeVar("T")


class PastRun(Struct, frozen=True, kw_only=True):
    """The record of a run, read back. Fields that commands use are checked; others are kept."""

    run: str
    """Its id, from the file's name."""
    outcome: str
    """As in the record that the run wrote, or `unreadable`."""
    started: str = ""
    config: str = ""
    config_text: str | None = None
    by: str | None = None
    data: str | None = None
    seconds: float = 0.0
    error: Any = None
    cached: bool = False
    recipe: Any = None
    recipe_digest: str | None = None
    artifact: str | None = None
    name: str | None = None
    version: int | None = None
    metrics: Any = None
    jobs: list[Any] = []
    gates: list[Any] = []
    previous: Any = None
    parity_measured: float | None = None
    warnings: list[str] = []
    observed: Inspection | None = None
    host: dict[str, str] = {}
    git: GitState | None = None

    def __repr__(self) -> str:
        version = f", {self.name}:{self.version}" if self.name and self.version else ""
        return f"PastRun({self.run}, {self.outcome}{version})"


class Journal:
    """The records of a store, each a file."""

    def __init__(self, folder: StoreFolder) -> None:
        self._folder = folder

    def run_path(self, run: str) -> Path:
        """Return the file of a run's record, by the id of the run."""
        return self._folder.root / "runs" / f"{run}.json"

    def write_run(self, run: str, record: Struct) -> None:
        """Write the record of a run. Raises StoreError if it cannot be written."""
        self._folder.write(self.run_path(run), canonical.encode(msgspec.to_builtins(record)))

    def run_files(self) -> list[Path]:
        """Return the files of the run records, newest first."""
        return [path for path in reversed(self._folder.entries("runs")) if path.suffix == ".json"]

    def read_run(self, path: Path) -> PastRun:
        """Return the record in a file; the outcome of a broken one is `unreadable`."""
        run = printable(path.stem)
        try:
            return msgspec.structs.replace(self.read(path, PastRun), run=run)
        except StoreError:
            return PastRun(run=run, outcome="unreadable")

    def promotion_files(self, alias: str) -> list[Path]:
        """Return the files of the promotions of an earlier release's alias, newest first."""
        paths = self._folder.entries("promotions", alias)
        records = [path for path in paths if PROMOTION_FILE.fullmatch(path.name)]
        return sorted(records, key=lambda path: int(path.stem), reverse=True)

    def promotions(self) -> list[Promotion]:
        """Return all promotions that earlier releases recorded, by alias, newest first.

        Raises:
            StoreError: If a record cannot be read.
        """
        aliases = [path.name for path in self._folder.entries("promotions")]
        paths = [path for alias in aliases for path in self.promotion_files(alias)]
        return [self.read(path, Promotion) for path in paths]

    def read(self, path: Path, kind: type[T]) -> T:
        """Return the record in a file.

        Raises:
            StoreError: If it cannot be read, or is not a record of this kind.
        """
        location = Location(str(path))
        data = disk.read_file(path, limit=MAX_RECORD, remedy=REPAIR)
        if data is None:
            raise StoreError("no longer exists", location=location)
        try:
            return decode_record(data, kind)
        except (canonical.NotCanonical, msgspec.ValidationError) as error:
            raise StoreError(
                f"is not a record: {error}", location=location, remedy=REPAIR
            ) from error


def decode_record(data: bytes, kind: type[T]) -> T:
    """Return the record in canonical JSON.

    Raises:
        NotCanonical: If it is not canonical JSON, or nested too deep.
        msgspec.ValidationError: If it is not a record of this kind.
    """
    value = canonical.decode(data)
    if is_deep(value):
        raise canonical.NotCanonical("the JSON is nested too deep")
    return msgspec.convert(value, kind)


def printable(path: str) -> str:
    """Return a path with each byte that is not UTF-8 as an escape, so that JSON can contain it."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def is_deep(value: Any) -> bool:
    """Return whether JSON is nested deeper than `_MAX_DEPTH`."""
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True
