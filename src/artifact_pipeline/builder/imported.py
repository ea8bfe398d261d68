"""Recipe, rows and checks of a model that was fitted elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from artifact_pipeline._version import __version__
from artifact_pipeline.builder import canonical, missing_texts
from artifact_pipeline.builder import recipe as recipes
from artifact_pipeline.builder.artifact import manifest as manifests
from artifact_pipeline.builder.artifact import seal as sealing
from artifact_pipeline.builder.artifact.manifest import Label
from artifact_pipeline.builder.config import model_name
from artifact_pipeline.builder.config.messages import first_line
from artifact_pipeline.builder.config.resolved import ModelConfig
from artifact_pipeline.builder.config.values import Kind
from artifact_pipeline.builder.data import frames
from artifact_pipeline.builder.data.dataset import ColumnRole, Description, Schema, Target, batch
from artifact_pipeline.builder.evaluation import edge_answers, edge_cases
from artifact_pipeline.builder.evaluation.diagnose import diagnose
from artifact_pipeline.builder.evaluation.evaluate import observe
from artifact_pipeline.builder.evaluation.metrics import evaluate
from artifact_pipeline.builder.evaluation.weighted_metrics import PredictedRows
from artifact_pipeline.builder.formats import interface as interfaces
from artifact_pipeline.builder.formats import parity, pickle_format
from artifact_pipeline.builder.formats.base import Batch, Outputs
from artifact_pipeline.builder.model.estimators import (
    as_labels,
    boosters_of,
    decision_scores,
    parts_of,
    predict_with_proba,
)
from artifact_pipeline.builder.model.fit import estimator_errors
from artifact_pipeline.builder.model.parameters import check_fitted
from artifact_pipeline.builder.recipe import ImportedFrom, Recipe
from artifact_pipeline.builder.training.protocol import pack
from artifact_pipeline.errors import CallError, ConfigError, DataError, Location

if TYPE_CHECKING:
    from numpy.typing import NDArray

_KINDS: dict[str, Kind] = {"b": "boolean", "i": "number", "u": "number", "f": "number", "M": "date"}


_ESTIMATOR, _X, _Y = Location("estimator"), Location("X"), Location("y")


def build_imported(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    name: str | None,
    description: str | None,
    positive: Label | None,
    examples: int,
) -> tuple[dict[str, bytes], manifests.Metrics]:
    """Return the files of an artifact of a fitted estimator, and its metrics on these rows.

    Args:
        estimator: A fitted scikit-learn estimator.
        X: The rows to measure it on, (n_rows, n_features), as the estimator takes them.
        y: Their true labels or numbers, (n_rows,).
        name: The name of the model; by default that of its class.
        description: The description of the model, if it has one.
        positive: The positive one of two labels.
        examples: How many of the rows to show in the report.

    Raises:
        CallError, ConfigError, DataError: As `import_model.seal`.
    """
    import numpy as np

    estimator = _best_estimator(estimator)
    target = _target(estimator)
    _check_parameters(estimator)
    labels = _labels(estimator) if target == "class" else []
    names = [str(label) for label in labels]
    X = _with_names(X)
    kinds, rows = _rows(X)
    truth = _truth(y, len(rows), labels=labels)
    with estimator_errors("predict", Location("estimator")):
        taken = X if kinds else rows
        direct = Outputs(*predict_with_proba(estimator, taken), decision_scores(estimator, taken))
    if direct.predicted.shape != truth.shape:
        raise CallError(
            f"predicts {direct.predicted.shape[1:]} values for a row, expected one",
            location=_ESTIMATOR,
            remedy="seal a model of each target",
        )
    marked = missing_texts.with_marker(estimator) if kinds else estimator
    served = missing_texts.ServedEstimator(
        marked, missing_texts.find_texts(estimator, marked, X=X, rows=rows, kinds=kinds)
    )
    outputs = missing_texts.outputs_as_served(served, rows, direct=direct)
    proven = batch(served.mapped(rows))
    features = list(kinds) if kinds else _features(estimator, rows)
    edges = _edges(served, rows, kinds=list(kinds.values()))
    candidates = parity.candidates(marked, proven)
    data = _pickle(estimator)
    described = _description(
        proven, truth, kinds=kinds, features=features, target=target, positive=positive
    )
    recipe = _recipe(estimator, data, rows=described, name=name, description=description)
    form, model, proof = parity.prove(
        candidates, proven, expected=outputs, edges=edges, location=_ESTIMATOR, recipe=recipe
    )
    # The training rows are not known here, so no categories are listed.
    plain = [
        manifests.ColumnSpec(
            name=name,
            kind=kind,
            nullable=False,
            unseen=False,
            categories=None,
            missing_text=served.texts.get(name),
        )
        for name, kind in kinds.items()
    ]
    columns = interfaces.accepted_columns(plain, proof, edges=edges) if kinds else None
    index = np.arange(len(truth))
    sealed = proof.outputs
    predicted = PredictedRows(
        truth=truth,
        predicted=outputs.predicted,
        probabilities=outputs.probabilities,
        labels=labels,
        positive=positive,
        target=target,
    )
    test = evaluate(
        truth,
        sealed.predicted,
        target=target,
        probabilities=sealed.probabilities,
        labels=labels,
        positive=positive,
    )
    metrics = manifests.Metrics(test=test)
    files = sealing.seal(
        recipe,
        split=manifests.SplitSummary(
            manifests.RowCounts(0, len(truth)), canonical.digest(index.astype("<i8").tobytes())
        ),
        metrics=metrics,
        interface=interfaces.make(
            form,
            proven,
            features=features,
            labels=labels,
            label_names=names,
            outputs=outputs,
            image=None,
            columns=columns,
            limits=None if kinds else interfaces.accepted_limits(proof, edges),
        ),
        parity=proof.parity,
        evaluation=msgspec.structs.replace(
            observe(
                served,
                rows,
                rows=predicted,
                index=index,
                label_names=names,
                examples=examples,
            ),
            diagnostics=diagnose(
                served,
                rows,
                rows=predicted,
                features=features,
                kinds=kinds or None,
                train=None,
                slices={},
                target_name="target",
                is_image=False,
            ),
        ),
        model=model,
        pickle=data,
    )
    return files, metrics


def _target(estimator: Any) -> Target:
    from sklearn.base import is_classifier, is_regressor
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(estimator)
    except (NotFittedError, TypeError) as error:
        raise CallError("expected a fitted scikit-learn estimator", location=_ESTIMATOR) from error
    if is_classifier(estimator):
        return "class"
    if is_regressor(estimator):
        return "number"
    raise CallError("expected a classifier or a regressor", location=_ESTIMATOR)


def _check_parameters(estimator: Any) -> None:
    for part in parts_of(estimator):
        if why := check_fitted(part.get_params(deep=False)):
            name = type(part).__name__
            raise CallError(f"its {name} {why}", location=_ESTIMATOR, remedy="fit it without")


def _with_names(X: Any) -> Any:
    """Return a DataFrame with its column names as text, or anything else unchanged.

    An estimator that was fitted to columns with other names finds them by position.
    """
    if not hasattr(X, "set_axis") or all(isinstance(name, str) for name in X.columns):
        return X
    return X.set_axis([str(name) for name in X.columns], axis=1)


def _rows(X: Any) -> tuple[dict[str, Kind], Any]:
    """Return X as a served model takes it, and the kinds of the columns of a DataFrame."""
    import numpy as np

    if hasattr(X, "toarray"):  # scipy's sparse matrices
        X = X.toarray()
    if not hasattr(X, "columns"):
        try:
            matrix = np.asarray(X, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(f"is not a matrix of numbers: {error}", location=_X) from error
        if matrix.ndim != 2 or not matrix.size:
            raise DataError(f"has the shape {matrix.shape}, expected (rows, features)", location=_X)
        if not np.isfinite(matrix).all():
            row, column = np.argwhere(~np.isfinite(matrix))[0]
            raise DataError(
                f"found {matrix[row, column]} in column {column}, expected a finite number",
                location=_X.at(row=int(row) + 1),
                remedy="only a DataFrame may have missing values",
            )
        return {}, matrix
    kinds: dict[str, Kind] = {str(name): _kind(X, name) for name in X.columns}
    if not kinds:
        raise DataError(f"has the shape {X.shape}, expected (rows, features)", location=_X)
    columns = frames.columns_of(X, list(kinds.items()))
    return kinds, frames.frame(dict(zip(kinds, columns, strict=True)))


def _kind(X: Any, name: Any) -> Kind:
    dtype: Any = getattr(X[name], "dtype", None)
    kind = dtype.kind if hasattr(dtype, "na_value") else frames.values_of(X[name]).dtype.kind
    return "text" if kind == "O" else _KINDS.get(kind, "text")


def _best_estimator(estimator: Any) -> Any:
    """Return the best estimator of a search, or any other estimator unchanged."""
    from sklearn.model_selection._search import BaseSearchCV

    if not isinstance(estimator, BaseSearchCV):
        return estimator
    if not hasattr(estimator, "best_estimator_"):
        raise CallError(
            "has no best estimator",
            location=_ESTIMATOR,
            remedy="expected a fitted search with refit=True",
        )
    return estimator.best_estimator_


def _labels(estimator: Any) -> list[Label]:
    classes = getattr(estimator, "classes_", None)
    if not hasattr(classes, "dtype"):
        several = isinstance(classes, list)
        problem = "predicts several targets, expected one" if several else "has no classes_"
        raise CallError(problem, location=_ESTIMATOR)
    labels = as_labels(classes)
    if labels.dtype.kind not in "biuU":
        problem = f"its labels are {labels.dtype}, expected text, booleans or integers"
        raise CallError(problem, location=_ESTIMATOR)
    values: list[Label] = labels.tolist()
    return values


def _truth(y: Any, rows: int, *, labels: list[Label]) -> NDArray[Any]:
    """Return the true labels as the estimator has them, or float64 numbers, (n_rows,)."""
    import numpy as np

    values = frames.values_of(y)
    truth = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    if truth.shape != (rows,):
        raise DataError(f"has the shape {values.shape}, expected ({rows},)", location=_Y)
    if labels:
        known: dict[Any, Label] = {label: label for label in labels}
        for index, value in enumerate(truth.tolist()):
            if value not in known:
                names = ", ".join(map(str, labels))
                raise DataError(
                    f"has {value!r} in row {index + 1}, and the estimator was fitted to {names}",
                    location=_Y,
                )
        return np.array([known[value] for value in truth.tolist()])
    if rows < 2:
        raise DataError("has one number, and R² needs two", location=_Y)
    try:
        numbers = truth.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"contains other values than numbers: {error}", location=_Y) from error
    if not np.isfinite(numbers).all():
        raise DataError("has a number that is not finite", location=_Y)
    return numbers


def _features(estimator: Any, matrix: Any) -> list[str]:
    known = getattr(estimator, "feature_names_in_", None)
    return (
        [str(name) for name in known]
        if known is not None
        else [f"x{index}" for index in range(matrix.shape[1])]
    )


def _pickle(estimator: Any) -> bytes:
    """Return the pickle of an estimator.

    Raises:
        ConfigError: If part of it cannot be pickled, such as a lambda.
    """
    try:
        return pickle_format.dump(estimator)
    except Exception as error:  # an object may raise anything when it is pickled
        raise ConfigError(
            f"it cannot be pickled: {first_line(error)[:200]}",
            location=_ESTIMATOR,
            remedy="use functions of numpy and scipy.special in place of your own",
        ) from error


def _edges(served: missing_texts.ServedEstimator, rows: Any, *, kinds: list[Kind]) -> parity.Edges:
    cases = edge_cases.make(served.estimator, rows, held_out=rows, kinds=kinds or None)
    answers = edge_answers.answer(served, cases)
    return parity.Edges(
        rows=batch(served.mapped(answers.rows)),
        outputs=Outputs(*answers.outputs),
        kinds=answers.kinds,
        flaws=answers.flaws,
        columns=answers.columns,
        refused=answers.refused,
        counts=answers.counts,
        lowercase=answers.lowercase,
    )


def _description(
    rows: Batch,
    truth: NDArray[Any],
    *,
    kinds: dict[str, Kind],
    features: list[str],
    target: Target,
    positive: Label | None,
) -> Description:
    """Return the description of the rows for a recipe, with the digest of their values."""
    content = pack("rows", rows, outputs=Outputs(truth.astype(str), None))
    digest = canonical.digest(
        canonical.encode({name: canonical.digest(data) for name, data in content.items()})
    )
    columns = [ColumnRole(name=name, role="feature", kind=kind) for name, kind in kinds.items()]
    dtype = "mixed" if "text" in kinds.values() else "float64"
    schema = Schema(
        dtype=dtype,
        features=len(features),
        rows=len(truth),
        target=target,
        columns=columns or None,
    )
    return Description(digest=digest, schema=schema, positive=positive)


def _recipe(
    estimator: Any, data: bytes, *, rows: Description, name: str | None, description: str | None
) -> Recipe:
    kind = type(estimator)
    steps = getattr(estimator, "steps", None)
    title = f"{kind.__module__}.{kind.__qualname__}"
    if steps:
        title = " → ".join(type(step).__name__ for _, step in steps)
    model_class = type(steps[-1][1] if steps else estimator).__name__
    return recipes.make_imported(
        ModelConfig(estimator=title, params={}),
        rows,
        name=name or model_name.from_text(model_class) or "model",
        description=description,
        imported_from=ImportedFrom(f"artifact-pipeline {__version__}", canonical.digest(data)),
        boosters=boosters_of(estimator),
    )
