"""Measurements of a fitted estimator, and the rows that an open form is compared on."""

from __future__ import annotations

import statistics
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from artifact_pipeline.builder.artifact.diagnostics import Diagnostics
from artifact_pipeline.builder.artifact.evaluation import EvaluationReport
from artifact_pipeline.builder.artifact.manifest import (
    MAX_CATEGORIES,
    ColumnSpec,
    Label,
    Metrics,
    RowCounts,
    Slice,
    SplitSummary,
    Spread,
)
from artifact_pipeline.builder.config.messages import show
from artifact_pipeline.builder.config.resolved import ColumnFormat
from artifact_pipeline.builder.config.values import Kind, Value
from artifact_pipeline.builder.data import table_columns
from artifact_pipeline.builder.data.dataset import ColumnRole, Rows, batch, sample_index, take
from artifact_pipeline.builder.data.split import TrainTestSplit
from artifact_pipeline.builder.evaluation import dummy, edge_answers, edge_cases
from artifact_pipeline.builder.evaluation.diagnose import TrainingRows, diagnose
from artifact_pipeline.builder.evaluation.evaluate import observe
from artifact_pipeline.builder.evaluation.metrics import evaluate
from artifact_pipeline.builder.evaluation.weighted_metrics import PredictedRows
from artifact_pipeline.builder.formats.base import Batch, Outputs
from artifact_pipeline.builder.metric_table import figure, title
from artifact_pipeline.builder.model.estimators import decision_scores, predict_with_proba
from artifact_pipeline.builder.training import training_values
from artifact_pipeline.builder.training.train import TrainedEstimator
from artifact_pipeline.builder.training.training_result import EdgeCaseAnswers, TrainingResult
from artifact_pipeline.errors import DataError, Location

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


MAX_TRAINING_ROWS = 100_000
"""Maximum training rows to measure; of more rows, a seeded sample is measured."""


class Predicted(NamedTuple):
    """Rows, and the estimator's outputs for them."""

    rows: Batch
    outputs: Outputs


class Measurement(NamedTuple):
    """The measurements of a fitted estimator, with the rows that an open form is compared on."""

    result: TrainingResult
    held_out: Predicted
    edges: Predicted


def measure_estimator(trained: TrainedEstimator) -> Measurement:
    """Evaluate a fitted estimator on the held-out rows, and predict edge cases with it."""
    rows, parts = trained.prepared.rows, trained.prepared.parts
    estimator: Any = trained.fitted.estimator
    labels = _labels(trained)
    names = dict(zip(sorted(set(rows.y.tolist())), rows.label_names, strict=False))
    label_names = [names[label] for label in labels]
    held_out = Outputs(
        *predict_with_proba(estimator, parts.X_test), decision_scores(estimator, parts.X_test)
    )
    predicted = PredictedRows(
        truth=parts.y_test,
        predicted=held_out.predicted,
        probabilities=held_out.probabilities,
        labels=labels,
        positive=rows.description.positive,
        target=rows.target,
    )
    evaluation = observe(
        estimator,
        parts.X_test,
        rows=predicted,
        index=parts.test_index,
        label_names=label_names,
        examples=trained.prepared.config.data.examples,
    )
    evaluation = msgspec.structs.replace(
        evaluation,
        search=trained.search,
        leaks=trained.leaks or None,
        baseline=_measure_baseline(trained),
        diagnostics=_diagnose(trained, predicted),
    )
    columns = rows.columns()
    kinds = list(columns.values()) if columns else None
    texts = {
        name: Counter(parts.X_train[name].tolist())
        for name, kind in (columns or {}).items()
        if kind == "text"
    }
    cases = edge_cases.make(estimator, parts.X_train, held_out=parts.X_test, kinds=kinds)
    answers = edge_answers.answer(estimator, cases)
    result = TrainingResult(
        split=SplitSummary(
            RowCounts(len(parts.y_train), len(parts.y_test)), parts.indices_digest()
        ),
        evaluation=evaluation,
        warnings=[
            *rows.notes,
            *trained.fitted.warnings,
            *trained.leaks,
            *_unlearned_warnings(evaluation),
        ],
        features=rows.feature_names,
        labels=labels,
        label_names=label_names,
        image=rows.image,
        columns=_columns(columns, texts, formats=rows.formats()) if columns else None,
        training=training_values.summarize(parts.X_train, columns, texts=texts),
        edge_cases=EdgeCaseAnswers(
            kinds=answers.kinds,
            flaws=answers.flaws,
            columns=answers.columns,
            refused=answers.refused,
            counts=answers.counts,
            lowercase=answers.lowercase,
        ),
    )
    return Measurement(
        result=result,
        held_out=Predicted(batch(parts.X_test), held_out),
        edges=Predicted(batch(answers.rows), Outputs(*answers.outputs)),
    )


def measure_sealed(trained: TrainedEstimator, sealed: Outputs) -> Metrics:
    """Return the metrics of a model.

    Metrics on the held-out rows and slices come from the outputs of the sealed form. Metrics on the
    training rows, or a sample of them, and on folds come from the outputs of the estimator.

    Args:
        trained: The estimator.
        sealed: The sealed form's outputs for the held-out rows.

    Raises:
        DataError: If a slice has no held-out rows.
    """

    parts, train_rows = trained.prepared.parts, None
    X, y = parts.X_train, parts.y_train
    if len(y) > MAX_TRAINING_ROWS:
        train_rows = MAX_TRAINING_ROWS
        sample = sample_index(len(y), train_rows)
        X, y = take(X, sample), y[sample]
    predicted, proba = predict_with_proba(trained.fitted.estimator, X)
    return msgspec.structs.replace(
        _measure_held_out(trained, sealed),
        train=_metrics_of(trained, y, predicted=predicted, probabilities=proba),
        train_rows=train_rows,
        cv=None if trained.cv is None else _spreads(trained.cv),
    )


def _measure_baseline(trained: TrainedEstimator) -> Metrics:
    rows, parts = trained.prepared.rows, trained.prepared.parts
    outputs = dummy.predict(parts.y_train, len(parts.y_test), target=rows.target)
    return _measure_held_out(trained, Outputs(*outputs))


def _diagnose(trained: TrainedEstimator, predicted: PredictedRows) -> Diagnostics:
    rows, parts = trained.prepared.rows, trained.prepared.parts
    return diagnose(
        trained.fitted.estimator,
        parts.X_test,
        rows=predicted,
        features=rows.feature_names,
        kinds=rows.columns(),
        train=TrainingRows(parts.X_train, parts.y_train),
        slices=_slice_masks(trained),
        target_name=rows.description.title,
        is_image=rows.image is not None,
    )


def _measure_held_out(trained: TrainedEstimator, outputs: Outputs) -> Metrics:
    """Return the metrics of outputs for the held-out rows and for their slices."""
    rows, parts = trained.prepared.rows, trained.prepared.parts
    y, predicted, proba = parts.y_test, outputs.predicted, outputs.probabilities
    if rows.target == "class":
        predicted = predicted.astype(y.dtype)  # ONNX has 0 and 1 for booleans
    slices = {}
    for name, mask in _slice_masks(trained).items():
        some = None if proba is None else proba[mask]
        metrics = _metrics_of(trained, y[mask], predicted=predicted[mask], probabilities=some)
        slices[name] = Slice(int(mask.sum()), metrics)
    test = _metrics_of(trained, y, predicted=predicted, probabilities=proba)
    return Metrics(test=test, slices=slices or None)


def _slice_masks(trained: TrainedEstimator) -> dict[str, NDArray[np.bool_]]:
    """Return which held-out rows are in each slice of the config. Raises as `slice_mask`."""
    prepared = trained.prepared
    config = prepared.config.evaluation
    if config is None or config.slices is None:
        return {}
    return {
        name: slice_mask(
            prepared.rows,
            prepared.parts,
            conditions=conditions,
            location=Location(prepared.name, key=f"evaluation.slices.{name}"),
        )
        for name, conditions in config.slices.items()
    }


def _metrics_of(
    trained: TrainedEstimator, y: Any, *, predicted: Any, probabilities: Any
) -> dict[str, float]:
    rows = trained.prepared.rows
    return evaluate(
        y,
        predicted,
        target=rows.target,
        probabilities=probabilities,
        labels=_labels(trained),
        positive=rows.description.positive,
    )


def metric_warnings(trained: TrainedEstimator, metrics: Metrics) -> list[str]:
    """Return warnings about metrics that a baseline reaches, or that some folds do not define."""
    parts, warnings = trained.prepared.parts, []
    if trained.prepared.rows.target == "number":
        if metrics.test["r2"] < 0:
            warnings.append(
                f"the held-out R² is {figure(metrics.test['r2'])}: the mean of the target predicts "
                "these rows better"
            )
    else:
        label, share = _most_frequent(parts)
        if metrics.test["accuracy"] <= share and share < 1:
            warnings.append(
                f"the held-out accuracy of {metrics.test['accuracy']:.4f} is not above that of "
                f"always predicting {show(label)}, {share:.4f}"
            )
    folds = len(trained.prepared.folds or [])
    if metrics.cv is not None:
        warnings += [
            f"{title(name)} is defined on no fold, and left out"
            for name in metrics.test
            if name not in metrics.cv
        ]
    for name, spread in (metrics.cv or {}).items():
        if len(spread.folds) < folds:
            warnings.append(
                f"{title(name)} is defined on {len(spread.folds)} of {folds} folds, and averaged "
                "over those"
            )
    return warnings


def _unlearned_warnings(evaluation: EvaluationReport) -> list[str]:
    warnings = []
    for scores in evaluation.unlearned or []:
        rows, count = f"{scores.support} held-out rows", "they count"
        if scores.support == 1:
            rows, count = "1 held-out row", "it counts"
        warnings.append(
            f"the class {show(scores.label)} has {rows} and no training row, so {count} as missed, "
            "and metrics of probabilities are left out"
        )
    return warnings


def _most_frequent(parts: TrainTestSplit) -> tuple[Any, float]:
    """Return the most frequent class of the training rows, and its share of the held-out rows."""
    import numpy as np

    labels, counts = np.unique(parts.y_train, return_counts=True)
    most = labels[counts.argmax()]
    return most.item(), float((parts.y_test == most).mean())


def _labels(trained: TrainedEstimator) -> list[Label]:
    estimator: Any = trained.fitted.estimator
    return estimator.classes_.tolist() if trained.prepared.rows.target == "class" else []


def slice_mask(
    rows: Rows, parts: TrainTestSplit, *, conditions: dict[str, Value], location: Location
) -> Any:
    """Return which held-out rows are in a slice, (n_rows,) booleans.

    Args:
        rows: All rows.
        parts: Their split.
        conditions: The value of each column that defines the slice.
        location: The slice's location in the config.

    Raises:
        DataError: If there are none, or a value is not of its column's kind.
    """
    import numpy as np

    columns = {column.name: column for column in rows.description.schema.columns or ()}
    mask = np.ones(len(parts.y_test), dtype=bool)
    for name, value in conditions.items():
        stored = _stored_value(value, columns[name], location=location.inside(name))
        mask &= take(rows.extra_columns[name], parts.test_index) == stored
    if not mask.any():
        text = ", ".join(f"{show(name)} is {show(value)}" for name, value in conditions.items())
        raise DataError(f"no held-out row is in it: {text}", location=location)
    return mask


def _stored_value(value: Value, column: ColumnRole, *, location: Location) -> Value:
    """Return the value of a condition as stored in the column; text is parsed as in the table."""
    kind = column.kind or "text"
    if kind == "text":
        return str(value)
    if isinstance(value, str):
        try:
            return table_columns.value(value, kind, column_format=column.format)
        except DataError as error:
            raise DataError(error.problem, location=location, remedy=error.remedy) from error
    if kind == "date":
        raise DataError(
            f"found {show(value)}, and the column has dates",
            location=location,
            remedy="write a date as the table does, such as 2026-01-31",
        )
    return value


def _spreads(folds: dict[str, list[float]]) -> dict[str, Spread]:
    return {
        name: Spread(statistics.fmean(values), statistics.pstdev(values), values)
        for name, values in folds.items()
    }


def _columns(
    columns: dict[str, Kind],
    texts: dict[str, Counter[str]],
    *,
    formats: dict[str, ColumnFormat],
) -> list[ColumnSpec]:
    """Return the columns as in training; `interface` adds the other values that they accept."""
    specs = []
    for name, kind in columns.items():
        few = kind == "text" and len(texts[name]) <= MAX_CATEGORIES
        specs.append(
            ColumnSpec(
                name=name,
                kind=kind,
                nullable=False,
                unseen=False,
                categories=sorted(texts[name]) if few else None,
                format=formats.get(name),
            )
        )
    return specs
