"""Verified before it is opened, opened from the bytes that were verified.

Each file is read once, hashed, compared with the manifest, and only then parsed, from the same
bytes in memory: what happens to the folder afterwards changes nothing.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from artifact_pipeline import canonical
from artifact_pipeline.artifact import manifest as manifests
from artifact_pipeline.artifact.manifest import (
    EVALUATION,
    MANIFEST,
    MAX_FILE,
    MAX_MANIFEST,
    MAX_SIGNATURE,
    MODEL_FILES,
    SIGNATURE,
    Interface,
    Manifest,
)
from artifact_pipeline.artifact.origin import Origin
from artifact_pipeline.canonical import DIGEST, Digest
from artifact_pipeline.errors import CallError, DataError, VerificationError
from artifact_pipeline.observation import Evaluation

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from artifact_pipeline.artifact.formats.form import Batch, Outputs, Run


class Verified(NamedTuple):
    """An artifact that is what its manifest says, and the bytes that were compared."""

    folder: Path
    digest: Digest
    manifest: Manifest
    files: dict[str, bytes]
    """What the manifest lists."""
    sealed: bytes
    """The manifest's own bytes, whose digest it is."""
    origin: Origin = Origin.UNKNOWN
    """Integrity alone says nothing about it, so whoever knows it has to set it."""

    @property
    def model_file(self) -> str:
        """The file of the form that predicts."""
        return MODEL_FILES[self.manifest.parity.form]

    def evaluation(self) -> Evaluation:
        """Return what was seen on the held-out rows when the artifact was made.

        Raises:
            VerificationError: if it is of another form, or does not fit the interface.
        """
        where = str(self.folder / EVALUATION)
        try:
            value = canonical.decode(self.files[EVALUATION])
            found = msgspec.convert(value, Evaluation)
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
    files = {}
    for file in manifest.files:
        where = str(root / file.path)
        if file.path not in names:
            raise VerificationError("is missing", where=where)
        content = _read(root, file.path, file.bytes, "the manifest says")
        if len(content) != file.bytes or canonical.digest(content) != file.sha256:
            raise VerificationError(
                f"was changed: it has {canonical.digest(content)}, the manifest says {file.sha256}",
                where=where,
            )
        files[file.path] = content
    return Verified(root, found, manifest, files, data)


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
    """Return a file's bytes, one more than `most` at the most; never through a link or a pipe."""
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
            return file.read(most + 1)
    except OSError as error:
        raise VerificationError(f"cannot be read: {error.strerror}", where=str(path)) from error


class Predictor:
    """A verified model: rows in, labels and probabilities out.

    `predict` and `predict_proba` take X as (n_rows, n_features): an array, or a DataFrame whose
    columns are the features in any order. Of a model of a table X is a DataFrame, or an object
    whose items are its columns by name.
    """

    def __init__(self, verified: Verified, run: Run) -> None:
        self._run = run
        self.manifest = verified.manifest
        self.digest = verified.digest
        self._where = str(verified.folder / verified.model_file)
        self._of_booleans = any(isinstance(label, bool) for label in self.interface.labels)

    @property
    def interface(self) -> Interface:
        """What the model takes and gives."""
        return self.manifest.interface

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the label of each row, or the number, (n_rows,).

        Raises:
            DataError: if X has another shape, names other columns, or holds a value that is no
                finite number, or that the model does not take.
        """
        return self.outputs(X).predicted

    def predict_proba(self, X: Any) -> NDArray[np.floating[Any]]:
        """Return the probability of each of `interface.labels`, (n_rows, n_labels).

        Raises:
            DataError: as `predict`.
            CallError: for a model that gives no probabilities.
        """
        probabilities = self.outputs(X).probabilities
        if probabilities is None:
            raise CallError("this model gives no probabilities", where="predict_proba")
        return probabilities

    def outputs(self, X: Any) -> Outputs:
        """Return labels, and probabilities where the model gives them, of one pass over X."""
        columns = self.interface.columns
        if isinstance(columns, UnsetType):
            return self.run(_matrix(X, self.interface))
        from artifact_pipeline.tables import checking

        wanted = [(one.name, one.kind) for one in columns]
        given = checking.columns_of(X, wanted)
        checking.check(given, columns, lambda row: f"X, row {row + 1}")
        return self.run(given)

    def run(self, rows: Batch, seconds: float | None = None) -> Outputs:
        """Return what the model says of rows that were checked already, within `seconds`.

        Raises:
            VerificationError: if it fails on them, gives other outputs than the manifest says, or
                takes longer; only a graph can be ended.
        """
        for index, one in enumerate(self.interface.columns or ()):
            if one.lowercase is True or one.missing_text is not UNSET:
                rows = _prepared(rows, index, one)
        found = self._run(rows, seconds)
        self._check(found)
        if self._of_booleans:  # ONNX gives 0 and 1
            return found._replace(predicted=found.predicted.astype(bool))
        return found

    def _check(self, found: Outputs) -> None:
        """Refuse outputs of a width or kind that the manifest does not say: nobody expects them."""
        labels, probabilities = self.interface.labels, found.probabilities
        kinds = "f" if not labels else "OU" if isinstance(labels[0], str) else "iub"
        shape = (len(found.predicted), len(labels))
        said = len(self.interface.outputs) > 1
        if (
            found.predicted.dtype.kind not in kinds
            or said != (probabilities is not None)
            or (
                probabilities is not None
                and (probabilities.shape != shape or probabilities.dtype.kind != "f")
            )
        ):
            raise VerificationError(
                "the model gives other outputs than its manifest says", where=self._where
            )


def _prepared(rows: Batch, index: int, column: manifests.Column) -> Batch:
    """Return rows with the texts of a column as the form takes them."""
    import numpy as np

    assert isinstance(rows, list)
    texts = rows[index].tolist()
    if not isinstance(column.missing_text, UnsetType):
        texts = [text or column.missing_text for text in texts]
    if column.lowercase is True:
        texts = [text.lower() for text in texts]
    return [*rows[:index], np.array(texts, dtype=object), *rows[index + 1 :]]


def open_verified(verified: Verified) -> Predictor:
    """Return the predictor in a verified artifact; nothing is unpickled.

    ONNX is opened whatever its origin, a skops archive only if `verified.origin` is known.

    Raises:
        UntrustedModel: for a skops archive of unknown origin.
        VerificationError: if the model does not load, or is not what the manifest says.
    """
    from artifact_pipeline.artifact.formats import parity

    kind = verified.manifest.parity.form
    name = MODEL_FILES[kind]
    where = str(verified.folder / name)
    run = parity.load(
        kind,
        verified.files[name],
        where,
        origin=verified.origin,
        recipe=verified.manifest.recipe,
        interface=verified.manifest.interface,
    )
    return Predictor(verified, run)


def _matrix(X: Any, interface: Interface) -> NDArray[np.float64]:
    """Return X as a checked float64 matrix; a DataFrame's columns are taken by name."""
    import numpy as np

    from artifact_pipeline import rows

    features = interface.features
    columns = getattr(X, "columns", None)
    if columns is not None and not all(isinstance(name, (int, np.integer)) for name in columns):
        names = [str(name) for name in columns]
        if missing := [name for name in features if name not in names]:
            raise DataError(f"the column {missing[0]!r} is missing", where="X")
        X = X[features]
    try:
        matrix = np.asarray(X, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"is no matrix of numbers: {error}", where="X") from error
    return rows.check(matrix, features, "X", interface.limits)
