"""Verified before it is opened, opened from the bytes that were verified.

Verifying hashes every file, a piece in memory at a time. A file whose bytes are needed is read when
it is opened; those bytes are hashed, compared with the manifest, and parsed: what happens to
the folder between or afterwards changes nothing, or is noticed.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

import msgspec
from msgspec import UnsetType

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.artifact import manifest as manifests
from artifact_pipeline.builder.artifact.evaluation import EvaluationReport
from artifact_pipeline.builder.artifact.manifest import (
    EVALUATION,
    MANIFEST,
    MAX_FILE,
    MAX_MANIFEST,
    MAX_SIGNATURE,
    MODEL_FILES,
    SIGNATURE,
    File,
    Manifest,
)
from artifact_pipeline.builder.canonical import DIGEST, Digest
from artifact_pipeline.builder.formats.origin import Origin
from artifact_pipeline.errors import CallError, VerificationError

if TYPE_CHECKING:
    from artifact_pipeline.builder.formats.base import Batch

_PIECE = 1 << 20


class Files(Mapping[str, bytes]):
    """The files that a manifest lists; each is read, and compared with it, when it is looked up.

    Raises, when one is looked up:
        VerificationError: if it is not what the manifest says, or not any more.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._folder = folder
        self._listed = {file.path: file for file in manifest.files}

    def __getitem__(self, name: str) -> bytes:
        file = self._listed[name]
        data = _read(self._folder, name, file.bytes, "the manifest says")
        _compare(self._folder, file, len(data), canonical.digest(data))
        return data

    def __iter__(self) -> Iterator[str]:
        return iter(self._listed)

    def __len__(self) -> int:
        return len(self._listed)


class Verified(NamedTuple):
    """An artifact that is what its manifest says."""

    folder: Path
    digest: Digest
    manifest: Manifest
    files: Mapping[str, bytes]
    """What the manifest lists; the bytes are read when they are needed, see `Files`."""
    sealed: bytes
    """The manifest's own bytes, whose digest it is."""
    origin: Origin = Origin.UNKNOWN
    """Integrity alone says nothing about it, so whoever knows it has to set it."""

    @property
    def model_file(self) -> str:
        """The file of the form that predicts."""
        return MODEL_FILES[self.manifest.parity.form]

    def evaluation(self) -> EvaluationReport:
        """Return what was seen on the held-out rows when the artifact was made.

        Raises:
            VerificationError: if it is of another form, or does not fit the interface.
        """
        where = str(self.folder / EVALUATION)
        try:
            value = canonical.decode(self.files[EVALUATION])
            found = msgspec.convert(value, EvaluationReport)
        except (canonical.NotCanonical, msgspec.ValidationError) as error:
            raise VerificationError(f"is no evaluation: {error}", where=where) from error
        interface = self.manifest.interface
        texts = [one.kind == "text" for one in interface.columns or ()]
        if not found.fits(len(interface.labels), texts or [False] * len(interface.features)) or (
            interface.image and interface.image.pixels != len(interface.features)
        ):
            raise VerificationError("does not fit the manifest's interface", where=where)
        return found


def verify(folder: str | os.PathLike[str], digest: Digest | None = None) -> Verified:
    """Return the artifact in `folder`, if every rule of the format holds for it.

    A `digest` pins the artifact; a folder that is named by 64 hex digits is held to its name.

    Raises:
        CallError: if `digest` is no digest.
        VerificationError: naming the file and what is wrong with it: missing, changed, not
            listed, a link or a device, a manifest that breaks a rule, another digest.
    """
    root = Path(folder)
    check_pin(digest)
    names = _names(root)
    if MANIFEST not in names:
        raise VerificationError("is missing; is this an artifact?", where=str(root / MANIFEST))
    data = _read(root, MANIFEST, MAX_MANIFEST, "the manifest may have")
    found = canonical.digest(data)
    by_name = f"sha256:{root.name}"
    expected = digest or (by_name if DIGEST.fullmatch(by_name) else None)
    if expected not in (None, found):
        raise VerificationError(
            f"this is not the artifact asked for: its digest is {found}, expected {expected}",
            where=str(root / MANIFEST),
        )
    manifest = manifests.decode(data, str(root / MANIFEST))
    listed = {file.path for file in manifest.files}
    if extra := sorted(names - listed - {MANIFEST, SIGNATURE}):
        raise VerificationError(
            "is not listed in the manifest", where=str(root / ascii(extra[0]).strip("'"))
        )
    for file in manifest.files:
        if file.path not in names:
            raise VerificationError("is missing", where=str(root / file.path))
        _hash(root, file)
    return Verified(root, found, manifest, Files(root, manifest), data)


def copy_file(verified: Verified, name: str, target: Path) -> None:
    """Copy a file that the manifest lists, a piece in memory at a time.

    Raises:
        VerificationError: if it is not any more what the manifest says.
        OSError: if `target` cannot be written.
    """
    [file] = [one for one in verified.manifest.files if one.path == name]
    with target.open("wb") as copy:
        _hash(verified.folder, file, copy)


def read_signature(folder: Path) -> bytes:
    """Return the signature in an artifact's folder.

    Raises:
        VerificationError: if there is none, or what is there is no file of at most a megabyte.
    """
    if SIGNATURE not in _names(folder):
        raise VerificationError(
            "is missing, and a signature is asked for; was it removed, or never made? "
            "artifact-pipeline sign makes one",
            where=str(folder / SIGNATURE),
        )
    return _read(folder, SIGNATURE, MAX_SIGNATURE, "a signature may have")


def check_pin(digest: Digest | None) -> None:
    """Do nothing if `digest` is one, or None.

    Raises:
        CallError: otherwise.
    """
    if digest is not None and not DIGEST.fullmatch(digest):
        found = digest[:80]
        raise CallError(f"found {found!r}, expected sha256: and 64 hex digits", where="digest")


def _names(root: Path) -> set[str]:
    try:
        return {entry.name for entry in os.scandir(root)}
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise VerificationError(f"cannot be read: {said}", where=str(root)) from error


def _read(root: Path, name: str, most: int, whose: str) -> bytes:
    """Return a file's bytes, one more than `most` at the most."""
    with _opened(root, name, most, whose) as file:
        # Not `most + 1` alone: memory is set aside for all that could come.
        return file.read(min(most, os.fstat(file.fileno()).st_size) + 1)


def _hash(root: Path, file: File, copy: IO[bytes] | None = None) -> None:
    """Compare a file with what the manifest says of it, and write what was read to `copy`."""
    found, size = hashlib.sha256(), 0
    for piece in _pieces(root, file):
        found.update(piece)
        size += len(piece)
        if copy is not None:
            copy.write(piece)
    _compare(root, file, size, f"sha256:{found.hexdigest()}")


def _pieces(root: Path, file: File) -> Iterator[bytes]:
    """Yield a file's bytes, one more than the manifest says at the most."""
    left = file.bytes + 1
    with _opened(root, file.path, file.bytes, "the manifest says") as opened:
        while piece := opened.read(min(_PIECE, left)):
            left -= len(piece)
            yield piece


def _compare(root: Path, file: File, size: int, found: Digest) -> None:
    if (size, found) != (file.bytes, file.sha256):
        raise VerificationError(
            f"was changed: it has {found}, the manifest says {file.sha256}",
            where=str(root / file.path),
        )


@contextmanager
def _opened(root: Path, name: str, most: int, whose: str) -> Iterator[IO[bytes]]:
    """Give a file of at most `most` bytes, to be read; never through a link or a pipe."""
    path = root / name
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    flags |= getattr(os, "O_BINARY", 0)
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise VerificationError("is a link, folder or device", where=str(path))
        with os.fdopen(os.open(path, flags), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise VerificationError("is no regular file", where=str(path))
            if status.st_size > min(most, MAX_FILE):
                raise VerificationError(
                    f"was changed: it has {status.st_size} bytes, {whose} {most}", where=str(path)
                )
            yield file
    except OSError as error:
        raise VerificationError(f"cannot be read: {error.strerror}", where=str(path)) from error


def _prepared(rows: Batch, index: int, column: manifests.ColumnSpec) -> Batch:
    """Return rows with the texts of a column as the form takes them."""
    import numpy as np

    assert isinstance(rows, list)
    texts = rows[index].tolist()
    if not isinstance(column.missing_text, UnsetType):
        texts = [text or column.missing_text for text in texts]
    if column.lowercase is True:
        texts = [text.lower() for text in texts]
    return [*rows[:index], np.array(texts, dtype=object), *rows[index + 1 :]]
