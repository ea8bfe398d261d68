"""Predictors: the models of verified artifacts, opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from artifact_pipeline.builder.artifact.manifest import MODEL_FILES, ColumnSpec, Interface
from artifact_pipeline.errors import CallError, DataError, Location, VerificationError
from artifact_pipeline.log import Log
from artifact_pipeline.verification.verify import Verified

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from artifact_pipeline.builder.formats.base import Batch, Outputs, PredictFunction

log = Log(__name__)


class Predictor:
    """The model of a verified artifact.

    The methods take rows as X: an array of (n_rows, n_features) numbers, or a DataFrame or a list
    of dicts with the features by name, in any order. A model of a table takes a DataFrame, a list
    of dicts, or a mapping of column names to values.

    Attributes:
        manifest: The artifact's manifest.
        digest: The artifact's digest.
    """

    def __init__(self, verified: Verified, run: PredictFunction) -> None:
        self._run = run
        self.manifest = verified.manifest
        self.digest = verified.digest
        self._location = Location(str(verified.folder / verified.model_file))
        labels = self.interface.labels
        self._has_boolean_labels = any(isinstance(label, bool) for label in labels)
        self._kinds = "f" if not labels else "OU" if isinstance(labels[0], str) else "iub"
        self._width = len(labels) if len(self.interface.outputs) > 1 else None
        """The number of probabilities of a row; None without probabilities."""
        self._prepared_columns = [
            (index, column)
            for index, column in enumerate(self.interface.columns or ())
            if column.lowercase or column.missing_text is not None
        ]

    def __repr__(self) -> str:
        return f"Predictor({self._title()}, {self._summary()}, {self.digest[7:19]})"

    def _repr_html_(self) -> str:
        from artifact_pipeline.inference.notebook import document, listed

        fields = {"digest": self.digest, "features": listed(self.interface.features)}
        if self.interface.labels:
            fields["classes"] = listed(self.class_names)
        return document(self._title(), fields, metrics=self.manifest.metrics)

    def _title(self) -> str:
        from artifact_pipeline.builder.artifact import describe

        return describe.headline(self.manifest.recipe)

    def _summary(self) -> str:
        output = f"{len(self.interface.labels)} classes" if self.interface.labels else "a number"
        return f"{self.interface.width()} → {output}"

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels, in the order of the columns of `predict_proba`, as scikit-learn has them.

        Raises:
            AttributeError: If the model predicts numbers.
        """
        import numpy as np

        if not self.interface.labels:
            raise AttributeError("this model predicts numbers and has no classes")
        return np.array(self.interface.labels)

    @property
    def class_names(self) -> list[str]:
        """The names of the labels in the same order; none if the model predicts numbers."""
        return list(self.interface.label_names)

    @property
    def interface(self) -> Interface:
        """The features that the model takes, and its outputs."""
        return self.manifest.interface

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the labels that a classifier predicts, or the numbers of a regressor, (n_rows,).

        Args:
            X: Rows, as for the class.

        Raises:
            DataError: If X has another shape or other columns, or contains a value that is not a
                finite number, or that the model does not take.
            VerificationError: If the model fails, or its outputs do not match the manifest.
        """
        return self.outputs(X).predicted

    def predict_proba(self, X: Any) -> NDArray[np.floating[Any]]:
        """Return the probability of each label, (n_rows, n_labels), in the order of `classes_`.

        Args:
            X: Rows, as for the class.

        Raises:
            DataError, VerificationError: As `predict`.
            CallError: If the model gives no probabilities.
        """
        probabilities = self.outputs(X).probabilities
        if probabilities is None:
            raise CallError("this model gives no probabilities", location=Location("predict_proba"))
        return probabilities

    def outputs(self, X: Any) -> Outputs:
        """Return predictions, and probabilities if the model gives them. Raises as `predict`."""
        columns = self.interface.columns
        if columns is None:
            return self.run(_matrix(X, self.interface))
        from artifact_pipeline.builder.data import frames
        from artifact_pipeline.inference import tables

        if frames.are_records(X):
            X = frames.columns_of_records(X)
        kinds = [(column.name, column.kind) for column in columns]
        formats = {column.name: column.format for column in columns if column.format is not None}
        values = frames.columns_of(X, kinds, formats=formats)
        tables.check(values, columns, locate=lambda row: Location("X", row=row + 1))
        return self.run(values)

    def run(self, rows: Batch, seconds: float | None = None) -> Outputs:
        """Return the outputs for rows that were checked before.

        Args:
            rows: A matrix of (n_rows, n_features) float64, or for a table its columns, each
                (n_rows,) float64 or str.
            seconds: The time after which an ONNX graph is ended. A skops model cannot be ended.

        Raises:
            VerificationError: If the model fails, takes longer, or its outputs do not match the
                manifest.
        """
        for index, column in self._prepared_columns:
            rows = _with_texts_prepared(rows, index, column=column)
        outputs = self._run(rows, seconds=seconds)
        predicted, probabilities, _ = outputs
        if probabilities is None:
            is_expected = self._width is None
        else:
            is_expected = probabilities.shape == (len(predicted), self._width)
            is_expected = is_expected and probabilities.dtype.kind == "f"
        if not is_expected or predicted.dtype.kind not in self._kinds:
            # A graph may leave shapes and dtypes of its outputs open.
            raise VerificationError(
                "the model's outputs do not match its manifest", location=self._location
            )
        if self._has_boolean_labels:  # ONNX gives 0 and 1
            return outputs._replace(predicted=predicted.astype(bool))
        return outputs


def load_predictor(verified: Verified) -> Predictor:
    """Open the model of a verified artifact. Nothing is unpickled.

    ONNX is opened whatever its origin, a skops archive only if `verified.origin` is known.

    Raises:
        UntrustedModel: For a skops archive of unknown origin.
        VerificationError: If the model does not load, or does not match the manifest.
    """
    from artifact_pipeline.builder.formats.loader import load

    form = verified.manifest.parity.form
    name = MODEL_FILES[form]
    with log.timed("open %s", name):
        run = load(
            form,
            verified.files[name],
            location=Location(str(verified.folder / name)),
            origin=verified.origin,
            recipe=verified.manifest.recipe,
            interface=verified.manifest.interface,
        )
    return Predictor(verified, run)


def _matrix(X: Any, interface: Interface) -> NDArray[np.float64]:
    """Return X as a checked matrix; the columns of a DataFrame are selected by name."""
    import numpy as np

    from artifact_pipeline.inference import rows

    features = interface.features
    if isinstance(X, (list, tuple)) and X and all(isinstance(row, Mapping) for row in X):
        X = _matrix_of_records(X, features)
    columns = getattr(X, "columns", None)
    if columns is not None and not all(isinstance(name, (int, np.integer)) for name in columns):
        names = {str(name) for name in columns}
        if missing := [name for name in features if name not in names]:
            raise DataError(f"the column {missing[0]!r} is missing", location=Location("X"))
        X = X[features]
    try:
        matrix = np.asarray(X, dtype=np.float64)
    except (TypeError, ValueError) as error:
        problem = f"is not a matrix of numbers: {error}"
        raise DataError(problem, location=Location("X")) from error
    return rows.check(matrix, features, location=Location("X"), limits=interface.limits)


def _matrix_of_records(records: Sequence[Mapping[str, Any]], features: list[str]) -> list[Any]:
    for row, record in enumerate(records, 1):
        if missing := [name for name in features if name not in record]:
            problem = f"the column {missing[0]!r} is missing"
            raise DataError(problem, location=Location("X", row=row))
    return [[record[name] for name in features] for record in records]


def _with_texts_prepared(rows: Batch, index: int, *, column: ColumnSpec) -> Batch:
    """Return rows with a text column in lower case and missing texts replaced, as specified."""
    import numpy as np

    assert isinstance(rows, list)
    texts = rows[index].tolist()
    if column.missing_text is not None:
        texts = [text or column.missing_text for text in texts]
    if column.lowercase:
        texts = [text.lower() for text in texts]
    return [*rows[:index], np.array(texts, dtype=object), *rows[index + 1 :]]
