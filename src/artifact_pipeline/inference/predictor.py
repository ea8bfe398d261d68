"""A verified artifact, opened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import UNSET, UnsetType

from artifact_pipeline.builder.artifact.manifest import MODEL_FILES, Interface
from artifact_pipeline.errors import CallError, DataError, VerificationError
from artifact_pipeline.verification.verify import Verified, _prepared

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from artifact_pipeline.builder.formats.base import Batch, Outputs, PredictFunction


class Predictor:
    """A verified model: rows in, labels and probabilities out.

    `predict` and `predict_proba` take X as (n_rows, n_features): an array, or a DataFrame whose
    columns are the features in any order. Of a model of a table X is a DataFrame, or an object
    whose items are its columns by name.
    """

    def __init__(self, verified: Verified, run: PredictFunction) -> None:
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
        from artifact_pipeline.builder.data import frames
        from artifact_pipeline.inference import tables

        wanted = [(one.name, one.kind) for one in columns]
        written = {one.name: one.format for one in columns if one.format is not None}
        given = frames.columns_of(X, wanted, written)
        tables.check(given, columns, lambda row: f"X, row {row + 1}")
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


def load_predictor(verified: Verified) -> Predictor:
    """Return the predictor in a verified artifact; nothing is unpickled.

    ONNX is opened whatever its origin, a skops archive only if `verified.origin` is known.

    Raises:
        UntrustedModel: for a skops archive of unknown origin.
        VerificationError: if the model does not load, or is not what the manifest says.
    """
    from artifact_pipeline.builder.formats import parity

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

    from artifact_pipeline.inference import rows

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
