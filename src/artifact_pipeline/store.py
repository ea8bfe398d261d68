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
from typing import TYPE_CHECKING, Any, NamedTuple

from artifact_pipeline import canonical, disk
from artifact_pipeline.artifact.manifest import MANIFEST, SIGNATURE
from artifact_pipeline.artifact.open import verify
from artifact_pipeline.canonical import DIGEST, Digest
from artifact_pipeline.disk import (
    exclusive,
    failing,
    staged,
    sync_folder,
    write_atomically,
    write_new,
)
from artifact_pipeline.errors import ArtifactNotFound, CallError, StoreError, VerificationError

if TYPE_CHECKING:
    from artifact_pipeline.artifact.signing import Signer

VARIABLE = "ARTIFACT_PIPELINE_STORE"
DEFAULT = "artifacts"
LATEST = "latest"
TRUST = "trust.json"
ASIDE = "set-aside"
KNOWN = ("aliases", "promotions", "recipes", "runs", "staging", TRUST, ASIDE)
"""What lies in a store beside artifacts and their reports."""

ALIAS = re.compile(r"[a-z][a-z0-9-]{0,62}")


class Place(NamedTuple):
    """Where an artifact lies, and the digest that it was asked for by, if by one."""

    folder: Path
    digest: Digest | None


class Store:
    """A folder of artifacts, run records and aliases."""

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        self.root = Path(root or os.environ.get(VARIABLE) or DEFAULT)

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
                if not target.is_dir():
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
        """
        text = os.fspath(reference)
        if not isinstance(reference, str):
            return Place(Path(reference), None)
        if ALIAS.fullmatch(text) and (digest := self.alias(text)):
            return Place(self.folder(digest), digest)
        digits = text.removeprefix("sha256:")
        if re.fullmatch("[0-9a-f]{8,64}", digits):
            found = [d for d in self.artifacts() if d.startswith(f"sha256:{digits}")]
            if len(found) > 1:
                raise CallError(f"the start of {len(found)} digests; give more digits", where=text)
            if found:
                return Place(self.folder(found[0]), found[0])
        if text and "\0" not in text and Path(text).is_dir():
            return Place(Path(text), None)
        raise ArtifactNotFound(
            f"no such folder, and no digest or alias in the store {self.root}; "
            "artifact-pipeline list shows what there is",
            where=ascii(text)[1:81].strip("'") or "artifact",
        )

    def artifacts(self) -> list[Digest]:
        """Return the digests of the artifacts, sorted."""
        names = (path.name for path in self.entries("."))
        return sorted(f"sha256:{name}" for name in names if re.fullmatch("[0-9a-f]{64}", name))

    def artifact_of(self, recipe_digest: Digest) -> Digest | None:
        """Return the artifact that the recipe gave, or None if it gave none here."""
        return self._pointer(self._recipe(recipe_digest))

    def index(self, recipe_digest: Digest, digest: Digest) -> None:
        """Remember which artifact the recipe gave."""
        self._write(self._recipe(recipe_digest), f"{digest}\n".encode())

    def alias(self, name: str) -> Digest | None:
        """Return the artifact that an alias names, or None."""
        return self._pointer(self.root / "aliases" / name)

    def set_alias(self, name: str, digest: Digest) -> None:
        """Move an alias to an artifact, at once for every reader."""
        if self.alias(name) == digest:
            return
        self._write(self.root / "aliases" / name, f"{digest}\n".encode())

    @contextmanager
    def turn(self, name: str) -> Iterator[None]:
        """Let nobody else move an alias meanwhile.

        Raises:
            StoreError: if somebody does.
        """
        folder = self.root / "promotions" / name
        with failing(str(folder)):
            folder.mkdir(parents=True, exist_ok=True)
            with exclusive(folder / "turn", f"somebody else moves {name} at this moment"):
                yield

    def record_move(self, name: str, move: dict[str, Any]) -> None:
        """Keep what is to be known of a move of an alias."""
        folder = self.root / "promotions" / name
        kept = [path for path in self.entries(f"promotions/{name}") if path.stem.isdecimal()]
        number = int(kept[-1].stem) + 1 if kept else 1
        self._write(folder / f"{number:06}.json", canonical.encode(move))

    def moves(self) -> list[Any]:
        """Return what was kept of all moves, by alias, the newest first, or raise StoreError."""
        names = [path.name for path in self.entries("promotions")]
        paths = [p for name in names for p in reversed(self.entries(f"promotions/{name}"))]
        return [self._decoded(path) for path in paths if path.suffix == ".json"]

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
            self._write(folder / SIGNATURE, data)
        else:
            write_atomically(folder / SIGNATURE, data, staging=folder.absolute().parent)

    def signer(self) -> Signer | None:
        """Return who must have signed what is opened from here, or None if nobody must."""
        path = self.root / TRUST
        with failing(str(path)):
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                return None
        from artifact_pipeline.artifact import signing

        return signing.decode(data, str(path))

    def set_signer(self, signer: Signer) -> None:
        """Let nothing be opened from here that this signer did not sign."""
        from artifact_pipeline.artifact import signing

        self._write(self.root / TRUST, signing.encode(signer))

    def runs(self) -> list[dict[str, Any]]:
        """Return the run records, the newest first; one that cannot be read says so."""
        records = []
        for path in reversed(self.entries("runs")):
            if path.suffix != ".json":
                continue
            try:
                record = canonical.decode(path.read_bytes())
            except (OSError, canonical.NotCanonical):
                record = None
            if not isinstance(record, dict):
                record = {"outcome": "unreadable"}
            records.append({**record, "run": path.stem})
        return records

    def left_over(self) -> list[Path]:
        """Return what writers that are gone have left in staging."""
        with failing(str(self.root)):
            return disk.left_over(self.root / "staging")

    def sweep(self) -> None:
        """Remove what writers that are gone have left in staging."""
        disk.sweep(self.root / "staging")

    def forget(self, path: Path) -> None:
        """Remove a name, of the aliases or of the index; what it named stays."""
        with failing(str(path)):
            path.unlink(missing_ok=True)

    def set_aside(self, path: Path) -> None:
        """Move what is broken out of the way, to where nothing is opened from."""
        aside = self.root / ASIDE
        with failing(str(path)):
            aside.mkdir(exist_ok=True)
            path.rename(aside / f"{path.name}~{os.urandom(4).hex()}")

    def _recipe(self, recipe_digest: Digest) -> Path:
        return self.root / "recipes" / recipe_digest.removeprefix("sha256:")

    def entries(self, name: str) -> list[Path]:
        """Return what lies in a folder of the store, sorted; nothing where the folder is not."""
        with failing(str(self.root / name)):
            try:
                return sorted((self.root / name).iterdir())
            except FileNotFoundError:
                return []

    def _pointer(self, path: Path) -> Digest | None:
        with failing(str(path)):
            try:
                text = path.read_bytes()[:80].decode("ascii", "replace").strip()
            except FileNotFoundError:
                return None
        return text if DIGEST.fullmatch(text) else None

    def _decoded(self, path: Path) -> Any:
        with failing(str(path)):
            data = path.read_bytes()
        try:
            return canonical.decode(data)
        except canonical.NotCanonical as error:
            said = f"is not JSON: {error}; artifact-pipeline doctor --repair sets it aside"
            raise StoreError(said, where=str(path)) from error

    def _write(self, path: Path, data: bytes) -> None:
        with self._staged() as new:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_new(new, data)
            new.replace(path)
            sync_folder(path.parent)

    def _staged(self) -> AbstractContextManager[Path]:
        return staged(self.root / "staging")
