"""Verification of artifacts: their bytes are read once, hashed, compared, and only then parsed.

Verifying hashes every file in pieces. A file whose bytes are needed is read again when it is
opened: those bytes are hashed, compared with the manifest and parsed, so a change in between is
detected.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import msgspec

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
from artifact_pipeline.errors import CallError, Location, VerificationError
from artifact_pipeline.log import Log

log = Log(__name__)

_PIECE = 1 << 20
"""Bytes that are read and hashed at a time."""


class Files(Mapping[str, bytes]):
    """The files that a manifest lists, each read and compared with it when it is looked up.

    Looking up a file raises VerificationError if it has changed since.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._folder = folder
        self._listed = {file.path: file for file in manifest.files}

    def __getitem__(self, name: str) -> bytes:
        file = self._listed[name]
        data = _read(self._folder, name, limit=file.bytes, source="expected")
        _compare(self._folder, file, size=len(data), digest=canonical.digest(data))
        return data

    def __iter__(self) -> Iterator[str]:
        return iter(self._listed)

    def __len__(self) -> int:
        return len(self._listed)


class Verified(NamedTuple):
    """An artifact whose files match its manifest."""

    folder: Path
    digest: Digest
    manifest: Manifest
    files: Mapping[str, bytes]
    """The files that the manifest lists, read when they are looked up; see `Files`."""
    sealed: bytes
    """The bytes of the manifest, whose digest is `digest`."""
    origin: Origin = Origin.UNKNOWN
    """How it is known who made the artifact. Integrity does not show that; the caller sets it."""

    def __repr__(self) -> str:
        return f"Verified({self.folder}, {self.manifest!r})"

    @property
    def model_file(self) -> str:
        """The name of the file that predictions are made with."""
        return MODEL_FILES[self.manifest.parity.form]

    def moved_to(self, folder: Path) -> Verified:
        """Return the artifact after its folder was renamed; its files are not hashed again."""
        return self._replace(folder=folder, files=Files(folder, self.manifest))

    def evaluation(self) -> EvaluationReport:
        """Return the evaluation on the held-out rows, from when the artifact was made.

        Raises:
            VerificationError: If it is malformed, or does not fit the manifest's interface.
        """
        location = Location(str(self.folder / EVALUATION))
        try:
            value = canonical.decode(self.files[EVALUATION])
            report = canonical.convert(value, EvaluationReport)
        except (canonical.NotCanonical, msgspec.ValidationError) as error:
            raise VerificationError(f"is not an evaluation: {error}", location=location) from error
        interface = self.manifest.interface
        are_texts = [column.kind == "text" for column in interface.columns or ()]
        are_texts = are_texts or [False] * len(interface.features)
        if not report.fits(len(interface.labels), are_texts) or (
            interface.image and interface.image.pixels != len(interface.features)
        ):
            raise VerificationError("does not fit the manifest's interface", location=location)
        return report


def verify(
    folder: str | os.PathLike[str], digest: Digest | None = None, *, contents: bool = True
) -> Verified:
    """Check that an artifact follows every rule of the format, and return it.

    Signatures are not checked, and only the manifest is parsed.

    Args:
        folder: The artifact's folder. If its name is 64 hex digits, they must be its digest.
        digest: The digest that the artifact must have.
        contents: Whether the files are hashed. Without it only their sizes are compared, for a
            caller that hashes each file itself as it writes or reads it.

    Raises:
        CallError: If `digest` is malformed.
        VerificationError: If a file is missing, changed, not listed, a link or a device, if the
            manifest breaks a rule, or if the digest differs.
    """
    root = Path(folder)
    check_pin(digest)
    names = _names(root)
    location = Location(str(root / MANIFEST))
    if MANIFEST not in names:
        raise VerificationError("is missing; is this an artifact?", location=location)
    data = _read(root, MANIFEST, limit=MAX_MANIFEST, source="expected at most")
    actual = canonical.digest(data)
    digest_in_name = f"sha256:{root.name}"
    expected = digest or (digest_in_name if DIGEST.fullmatch(digest_in_name) else None)
    if expected not in (None, actual):
        raise VerificationError(
            f"is another artifact: its digest is {actual}, expected {expected}",
            location=location,
        )
    manifest = manifests.decode(data, str(root / MANIFEST))
    listed = {file.path for file in manifest.files}
    if extra := sorted(names - listed - {MANIFEST, SIGNATURE}):
        path = root / ascii(extra[0]).strip("'")
        raise VerificationError("is not listed in the manifest", location=Location(str(path)))
    for file in manifest.files:
        if file.path not in names:
            raise VerificationError("is missing", location=Location(str(root / file.path)))
        if contents:
            _hash(root, file)
        else:
            _compare_size(root, file)
    log.debug("verified %s: %d files", root, len(listed) + 1)
    return Verified(
        folder=root,
        digest=actual,
        manifest=manifest,
        files=Files(root, manifest),
        sealed=data,
    )


def check_file(verified: Verified, file: File) -> None:
    """Compare a file with the manifest. Raises VerificationError if it has changed."""
    _hash(verified.folder, file)


def copy_file(verified: Verified, name: str, *, target: Path) -> None:
    """Copy a file that the manifest lists, in pieces, and compare it with the manifest.

    Args:
        verified: The artifact.
        name: The name of the file.
        target: The path of the copy.

    Raises:
        VerificationError: If it has changed since it was verified.
        OSError: If `target` cannot be written.
    """
    [file] = [listed for listed in verified.manifest.files if listed.path == name]
    with target.open("wb") as copy:
        _hash(verified.folder, file, copy=copy)


def read_signature(folder: Path) -> bytes:
    """Return the signature in an artifact's folder.

    Raises:
        VerificationError: If it is missing, not a regular file, or larger than a megabyte.
    """
    if SIGNATURE not in _names(folder):
        raise VerificationError(
            "is missing, but a signature is required",
            location=Location(str(folder / SIGNATURE)),
            remedy="sign the artifact with artifact-pipeline sign, unless the file was removed",
        )
    return _read(folder, SIGNATURE, limit=MAX_SIGNATURE, source="expected at most")


def check_pin(digest: Digest | None) -> None:
    """Check the form of a digest, if there is one.

    Raises:
        CallError: If it is malformed.
    """
    if digest is not None and not DIGEST.fullmatch(digest):
        problem = f"found {digest[:80]!r}, expected sha256: and 64 hex digits"
        raise CallError(problem, location=Location("digest"))


def _names(root: Path) -> set[str]:
    try:
        return {entry.name for entry in os.scandir(root)}
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise VerificationError(
            f"cannot be read: {reason}", location=Location(str(root))
        ) from error


def _read(root: Path, name: str, *, limit: int, source: str) -> bytes:
    """Return a file's bytes, at most one more than `limit`; see `_open`."""
    with _open(root, name, limit=limit, source=source) as file:
        # The size of the file bounds the read, because memory is allocated for all of it at once.
        return file.read(min(limit, os.fstat(file.fileno()).st_size) + 1)


def _hash(root: Path, file: File, *, copy: IO[bytes] | None = None) -> None:
    """Compare a file with the manifest in pieces, and write them to `copy`."""
    digest, size = hashlib.sha256(), 0
    for piece in _pieces(root, file):
        digest.update(piece)
        size += len(piece)
        if copy is not None:
            copy.write(piece)
    _compare(root, file, size=size, digest=f"sha256:{digest.hexdigest()}")


def _compare_size(root: Path, file: File) -> None:
    with _open(root, file.path, limit=file.bytes, source="expected") as opened:
        size = os.fstat(opened.fileno()).st_size
    if size != file.bytes:
        raise VerificationError(
            f"was changed: it has {size} bytes, expected {file.bytes}",
            location=Location(str(root / file.path)),
        )


def _pieces(root: Path, file: File) -> Iterator[bytes]:
    """Yield a file's bytes, at most one more than the manifest lists."""
    left = file.bytes + 1
    with _open(root, file.path, limit=file.bytes, source="expected") as opened:
        while piece := opened.read(min(_PIECE, left)):
            left -= len(piece)
            yield piece


def _compare(root: Path, file: File, *, size: int, digest: Digest) -> None:
    if (size, digest) != (file.bytes, file.sha256):
        raise VerificationError(
            f"was changed: its digest is {digest}, expected {file.sha256}",
            location=Location(str(root / file.path)),
        )


@contextmanager
def _open(root: Path, name: str, *, limit: int, source: str) -> Iterator[IO[bytes]]:
    """Open a regular file of at most `limit` bytes; `source` introduces the limit in the error."""
    path = root / name
    location = Location(str(path))
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    flags |= getattr(os, "O_BINARY", 0)
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise VerificationError("is a link, folder or device", location=location)
        with os.fdopen(os.open(path, flags), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):  # replaced in the meantime
                raise VerificationError("is not a regular file", location=location)
            if status.st_size > min(limit, MAX_FILE):
                raise VerificationError(
                    f"was changed: it has {status.st_size} bytes, {source} {limit}",
                    location=location,
                )
            yield file
    except OSError as error:
        raise VerificationError(f"cannot be read: {error.strerror}", location=location) from error
