"""Where artifacts, run records and aliases live: a folder, written so that it is always whole.

artifacts/
    <64 hex digits>/    an artifact, named by its digest
    <64 hex>.html       its report
    recipes/<hex>       which artifact a recipe gave
    runs/<id>.json      run records
    aliases/<name>      movable names for an artifact
    promotions/<name>/  who moved an alias, when, from what
    trust.json          who must have signed what is opened from here, if somebody must
    staging/            what is being written; swept when its writer is gone
    set-aside/          what was broken; nothing is opened from there
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec
from msgspec import Struct

from artifact_pipeline import disk
from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.artifact.manifest import MANIFEST, SIGNATURE
from artifact_pipeline.builder.canonical import DIGEST, Digest
from artifact_pipeline.disk import (
    file_lock,
    staged,
    sync_folder,
    translate_os_errors,
    write_atomically,
    write_new,
)
from artifact_pipeline.errors import ArtifactNotFound, CallError, StoreError, VerificationError
from artifact_pipeline.verification.verify import verify

if TYPE_CHECKING:
    from artifact_pipeline.verification.signatures import Signer

STORE_ENV_VAR = "ARTIFACT_PIPELINE_STORE"
DEFAULT = "artifacts"
LATEST = "latest"
TRUST = "trust.json"
QUARANTINE = "set-aside"
FOLDERS = (QUARANTINE, "aliases", "promotions", "recipes", "runs", "staging")
RESERVED_NAMES = (*FOLDERS, TRUST)
"""What lies in a store beside artifacts and their reports."""

ALIAS = re.compile(r"[a-z][a-z0-9-]{0,62}")
MOVE = re.compile(r"[0-9]{6,9}\.json")
"""The file of one move of an alias, in the alias's folder of promotions."""
TURN = "turn"
"""The file in that folder that is locked while the alias moves."""

MAX_POINTER = 256
MAX_RECORD = 8 << 20
MAX_REPORT = 64 << 20
MAX_POLICY = 1 << 20
"""Bytes; what is larger was not written by this package."""
_MAX_DEPTH = 50
"""Nesting of a record: far more than any has, and far less than Python's stack bears."""

POLICY_REMEDY = "look at it, and write it again: artifact-pipeline trust"
_REPAIR = "artifact-pipeline doctor --repair sets it aside"

T = TypeVar("T")


class Place(NamedTuple):
    """Where an artifact lies, and the digest that it was asked for by, if by one."""

    folder: Path
    digest: Digest | None


class Promotion(Struct, frozen=True):
    """One move of an alias."""

    alias: str
    digest: Digest
    """What it names since then."""
    instead_of: Digest | None
    """What it named before, if anything."""
    by: str
    """The user and the machine."""
    when: str
    """UTC, in ISO 8601."""


class Store:
    """A folder of artifacts, run records and aliases."""

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        self.root = Path(root or os.environ.get(STORE_ENV_VAR) or DEFAULT)

    def folder(self, digest: Digest) -> Path:
        """Return where the artifact of that digest lies, or would lie."""
        return self.root / digest.removeprefix("sha256:")

    def add(self, files: dict[str, bytes]) -> Digest:
        """Put a sealed artifact into the store, whole or not at all, and return its digest.

        Raises:
            StoreError: if it cannot be written; the store is as it was.
        """
        digest = canonical.digest(files[MANIFEST])
        target = self.folder(digest)
        with self._staged() as new:
            new.mkdir()
            for name, data in files.items():
                write_new(new / name, data)
            sync_folder(new)
            try:
                new.rename(target)
            except OSError:
                if not os.path.lexists(target):
                    raise
                try:
                    verify(target, digest)  # the same bytes are there already
                except VerificationError:
                    with self._staged() as broken:
                        target.rename(broken)
                        new.rename(target)
            sync_folder(self.root)
        return digest

    def report(self, digest: Digest) -> Path:
        """Return where the report of that artifact lies, or would lie: beside its folder."""
        return self.folder(digest).with_suffix(".html")

    def find(self, reference: str | os.PathLike[str]) -> Place:
        """Return the artifact that a folder, an alias, or eight or more hex digits name.

        A path object is a folder, whether it is there or not; a string may be any of the three.

        Raises:
            ArtifactNotFound: if nothing has that name.
            CallError: if the digits are the start of more than one digest.
            StoreError: if an alias of that name is there and cannot be read.
        """
        text = os.fspath(reference)
        if not isinstance(reference, str):
            return Place(Path(reference), None)
        if ALIAS.fullmatch(text) and self._has(path := self.inside("aliases", text)):
            if digest := self.pointer(path):
                return Place(self.folder(digest), digest)
            raise StoreError(f"holds no digest; {_REPAIR}", where=str(path))
        digits = text.removeprefix("sha256:")
        if re.fullmatch("[0-9a-f]{8,64}", digits):
            found = [d for d in self.artifacts() if d.startswith(f"sha256:{digits}")]
            if len(found) > 1:
                raise CallError(f"the start of {len(found)} digests; give more digits", where=text)
            if found:
                return Place(self.folder(found[0]), found[0])
        if text and os.path.isdir(text):  # noqa: PTH112  (takes names that Path.is_dir raises for)
            return Place(Path(text), None)
        raise ArtifactNotFound(
            f"no such folder, and no digest or alias in the store {self.root}; "
            "artifact-pipeline list shows what there is",
            where=ascii(text)[1:81].strip("'") or "artifact",
        )

    def artifacts(self) -> list[Digest]:
        """Return the digests of the artifacts, sorted."""
        names = (path.name for path in self.entries())
        return sorted(f"sha256:{name}" for name in names if re.fullmatch("[0-9a-f]{64}", name))

    def artifact_of(self, recipe_digest: Digest) -> Digest | None:
        """Return the artifact that the recipe gave, or None if it gave none here."""
        return self.pointer(self._recipe(recipe_digest))

    def index(self, recipe_digest: Digest, digest: Digest) -> None:
        """Remember which artifact the recipe gave."""
        self._write(self._recipe(recipe_digest), f"{digest}\n".encode())

    def alias(self, name: str) -> Digest | None:
        """Return the artifact that an alias names, or None."""
        return self.pointer(self.inside("aliases", name))

    def set_alias(self, name: str, digest: Digest) -> None:
        """Move an alias to an artifact, at once for every reader."""
        try:
            if self.alias(name) == digest:
                return
        except StoreError:
            pass  # what cannot be read is replaced, or else the writing fails
        self._write(self.root / "aliases" / name, f"{digest}\n".encode())

    @contextmanager
    def turn(self, name: str) -> Iterator[None]:
        """Let nobody else move an alias meanwhile.

        Raises:
            StoreError: if somebody does.
        """
        turn = self.inside("promotions", name, TURN)
        with translate_os_errors(str(turn)):
            turn.parent.mkdir(parents=True, exist_ok=True)
            with file_lock(turn, f"somebody else moves {name} at this moment"):
                yield

    def record_move(self, name: str, move: Promotion) -> None:
        """Keep what is to be known of a move of an alias."""
        kept = [int(path.stem) for path in self._move_files(name)]
        path = self.root / "promotions" / name / f"{max(kept, default=0) + 1:06}.json"
        self._write(path, canonical.encode(msgspec.to_builtins(move)))

    def moves(self) -> list[Promotion]:
        """Return what was kept of all moves, by alias, the newest first.

        Raises:
            StoreError: if one cannot be read, or is none.
        """
        names = [path.name for path in self.entries("promotions")]
        paths = [path for name in names for path in self._move_files(name)]
        return [self.read_record(path, Promotion) for path in paths]

    def _move_files(self, name: str) -> list[Path]:
        """Return the files of the moves of an alias, the newest first."""
        found = [p for p in self.entries("promotions", name) if MOVE.fullmatch(p.name)]
        return sorted(found, key=lambda path: int(path.stem), reverse=True)

    def aliases(self) -> dict[str, Digest]:
        """Return all aliases that name an artifact."""
        names = [path.name for path in self.entries("aliases")]
        return {name: digest for name in names if (digest := self.alias(name))}

    def record(self, run: dict[str, Any]) -> Path:
        """Write a run record, which holds its id under `run`."""
        path = self.root / "runs" / f"{run['run']}.json"
        self._write(path, canonical.encode(run))
        return path

    def put_report(self, digest: Digest, data: bytes) -> None:
        """Write the report of an artifact beside its folder."""
        self._write(self.report(digest), data)

    def put_signature(self, folder: Path, data: bytes) -> None:
        """Write the signature of an artifact into its folder, here or elsewhere.

        It is written beside the folder first: a file that no manifest lists must never lie in it.
        """
        if folder.parent.absolute() == self.root.absolute():
            self._write(self.root / folder.name / SIGNATURE, data)
        else:
            write_atomically(folder / SIGNATURE, data, staging=folder.absolute().parent)

    def signer(self) -> Signer | None:
        """Return who must have signed what is opened from here, or None if nobody must.

        Raises:
            StoreError: if there is a policy that cannot be read, be it a link that leads nowhere.
        """
        path = self.root / TRUST
        data = disk.read_file(path, limit=MAX_POLICY, remedy=POLICY_REMEDY)
        if data is None:
            return None
        from artifact_pipeline.verification import signatures

        return signatures.decode(data, str(path))

    def set_signer(self, signer: Signer) -> None:
        """Let nothing be opened from here that this signer did not sign."""
        from artifact_pipeline.verification import signatures

        self._write(self.root / TRUST, signatures.encode(signer))

    def run_records(self) -> list[Path]:
        """Return the files of the run records, the newest first."""
        return [path for path in reversed(self.entries("runs")) if path.suffix == ".json"]

    def read_record(self, path: Path, kind: type[T]) -> T:
        """Return a record of a run or a move, checked against a struct.

        Raises:
            StoreError: if it cannot be read, or is none.
        """
        data = disk.read_file(path, limit=MAX_RECORD, remedy=_REPAIR)
        if data is None:
            raise StoreError("is gone", where=str(path))
        try:
            value = canonical.decode(data)
            if _is_deep(value):
                raise canonical.NotCanonical("the JSON is nested too deep")
            return msgspec.convert(value, kind)
        except (canonical.NotCanonical, msgspec.ValidationError) as error:
            raise StoreError(f"is no record: {error}; {_REPAIR}", where=str(path)) from error

    def left_over(self) -> list[Path]:
        """Return what writers that are gone have left in staging."""
        with translate_os_errors(str(self.root)):
            return disk.stale_entries(self.inside("staging", "*").parent)

    def sweep(self) -> None:
        """Remove what writers that are gone have left in staging."""
        disk.sweep(self.inside("staging", "*").parent)

    def forget(self, path: Path) -> None:
        """Remove a name, of the aliases or of the index; what it named stays."""
        with translate_os_errors(str(path)):
            path.unlink(missing_ok=True)

    def set_aside(self, path: Path) -> None:
        """Move what is broken out of the way, to where nothing is opened from."""
        aside = self.root / QUARANTINE
        name = os.fsdecode(os.fsencode(path.name)[:200]) + f"~{os.urandom(4).hex()}"
        with translate_os_errors(str(path)):
            if path == aside:  # what has this name is no folder
                path = path.rename(self.root / name)
            aside.mkdir(exist_ok=True)
            path.rename(self.inside(QUARANTINE, name))

    def inside(self, *names: str) -> Path:
        """Return a path in the store, once each folder on its way is one and no link out of it.

        Raises:
            StoreError: if one is a link or no folder: what lies behind it is not the store's.
        """
        folder = self.root
        for name in names[:-1]:
            folder = folder / name
            with translate_os_errors(str(folder)):
                kind = disk.kind_of(folder)
            if kind not in (None, "a folder"):
                said = f"is {kind}, expected a folder of the store; {_REPAIR}"
                raise StoreError(said, where=str(folder))
        return folder / names[-1]

    def entries(self, *names: str) -> list[Path]:
        """Return what lies in a folder of the store, sorted; nothing where the folder is not."""
        folder = self.inside(*names, "*").parent
        with translate_os_errors(str(folder)):
            try:
                return sorted(folder.iterdir())
            except FileNotFoundError:
                return []

    def pointer(self, path: Path) -> Digest | None:
        """Return the digest in the file of an alias or of the index; None if it is not there or
        holds none.

        Raises:
            StoreError: if it is no file of a few bytes, or cannot be read.
        """
        data = disk.read_file(path, limit=MAX_POINTER, remedy=_REPAIR)
        text = (data or b"").decode("ascii", "replace").strip()
        return text if DIGEST.fullmatch(text) else None

    def _has(self, path: Path) -> bool:
        with translate_os_errors(str(path)):
            return disk.kind_of(path) is not None

    def _recipe(self, recipe_digest: Digest) -> Path:
        return self.inside("recipes", recipe_digest.removeprefix("sha256:"))

    def _write(self, path: Path, data: bytes) -> None:
        self.inside(*path.relative_to(self.root).parts)
        with translate_os_errors(str(path)):
            if disk.kind_of(path) == "a folder":
                said = "is a folder, expected a file; artifact-pipeline doctor says what to do"
                raise StoreError(said, where=str(path))
        with self._staged() as new:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_new(new, data)
            new.replace(path)
            sync_folder(path.parent)

    def _staged(self) -> AbstractContextManager[Path]:
        return staged(self.inside("staging", "*").parent)


def _is_deep(value: Any) -> bool:
    """Return whether JSON is nested deeper than `_MAX_DEPTH`."""
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [
            inner
            for one in level
            if isinstance(one, (dict, list))
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return False
    return True
