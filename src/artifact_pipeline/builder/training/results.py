"""What is measured of a fitted estimator, and the rows on which an open form must agree with it."""

from __future__ import annotations

import statistics
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from artifact_pipeline.builder.artifact.evaluation import EvaluationReport as Observed
from artifact_pipeline.builder.artifact.manifest import (
    MAX_CATEGORIES,
    ColumnSpec,
    Metrics,
    Slice,
    Spread,
)
from artifact_pipeline.builder.config.messages import show
from artifact_pipeline.builder.config.resolved import ColumnFormat
from artifact_pipeline.builder.config.schema import Kind, Value
from artifact_pipeline.builder.data import table_columns
from artifact_pipeline.builder.data.dataset import ColumnRole as TableColumn
from artifact_pipeline.builder.data.dataset import Rows, batch, take
from artifact_pipeline.builder.data.split import TrainTestSplit
from artifact_pipeline.builder.evaluation import edge_cases
from artifact_pipeline.builder.evaluation.evaluate import observe
from artifact_pipeline.builder.evaluation.metrics import evaluate
from artifact_pipeline.builder.formats.base import Batch, Outputs
from artifact_pipeline.builder.metric_table import title
from artifact_pipeline.builder.model.estimators import decision_scores, predict_with_proba
from artifact_pipeline.builder.training.train import Learned
from artifact_pipeline.errors import DataError


def measure(learned: Learned) -> tuple[dict[str, Any], dict[str, tuple[Batch, Outputs]]]:
    """Return what is said of a fitted estimator, and named rows with what it says of them.

    Said are `split`, `evaluation`, `warnings`, `edge_cases` but for their rows, and for the
    interface `features`, `labels`, `label_names`, `image`, `columns`; the rows are `held_out`
    and `edges`.
    """
    rows, parts = learned.prepared.rows, learned.prepared.parts
    estimator: Any = learned.fitted.estimator
    labels = _labels(learned)
    names = dict(zip(sorted(set(rows.y.tolist())), rows.label_names, strict=False))
    label_names = [names[label] for label in labels]
    held_out = Outputs(
        *predict_with_proba(estimator, parts.X_test), decision_scores(estimator, parts.X_test)
    )
    seen = observe(
        estimator,
        parts.X_test,
        parts.y_test,
        parts.test_index,
        label_names,
        rows.target,
        learned.prepared.config.data.examples,
    )
    leaks = learned.leaks or UNSET
    seen = msgspec.structs.replace(seen, search=learned.search, leaks=leaks)
    columns = rows.columns()
    kinds = list(columns.values()) if columns else None
    cases = edge_cases.make(estimator, parts.X_train, parts.X_test, kinds)
    answers = edge_cases.answer(estimator, cases)
    said = {
        "split": parts.summary(),
        "evaluation": msgspec.to_builtins(seen),
        "warnings": [
            *rows.notes,
            *learned.fitted.warnings,
            *learned.leaks,
            *_unlearned(seen),
        ],
        "features": rows.feature_names,
        "labels": labels,
        "label_names": label_names,
        "image": msgspec.to_builtins(rows.image),
        "edge_cases": {
            name: getattr(answers, name)
            for name in ("kinds", "flaws", "columns", "refused", "made", "lowercase")
        },
    }
    if columns:
        said["columns"] = msgspec.to_builtins(_columns(columns, rows.formats(), parts))
    batches = {
        "held_out": (batch(parts.X_test), held_out),
        "edges": (batch(answers.rows), Outputs(*answers.outputs)),
    }
    return said, batches


def metrics(learned: Learned, sealed: Outputs) -> Metrics:
    """Return how good a model is: on the held-out rows by what its sealed form says of them, on
    the training rows and over folds by what the estimator says.

    Raises:
        DataError: for a slice that has no held-out rows.
    """
    rows, parts = learned.prepared.rows, learned.prepared.parts
    labels, positive = _labels(learned), rows.description.positive
    predicted, proba = sealed.predicted, sealed.probabilities
    if labels:
        predicted = predicted.astype(parts.y_test.dtype)  # ONNX gives booleans as 0 and 1

    def of(y: Any, said: Any, probabilities: Any) -> dict[str, float]:
        return evaluate(y, said, rows.target, probabilities, labels, positive)

    slices: dict[str, Slice] | UnsetType = UNSET
    config = learned.prepared.config.evaluation
    if config is not None and config.slices is not None:
        slices = {}
        for name, conditions in config.slices.items():
            where = f"{learned.prepared.where}: evaluation.slices.{name}"
            mask = inside(rows, parts, conditions, where)
            some = None if proba is None else proba[mask]
            slices[name] = Slice(int(mask.sum()), of(parts.y_test[mask], predicted[mask], some))
    return Metrics(
        train=of(parts.y_train, *predict_with_proba(learned.fitted.estimator, parts.X_train)),
        test=of(parts.y_test, predicted, proba),
        slices=slices,
        cv=UNSET if isinstance(learned.cv, UnsetType) else _spreads(learned.cv),
    )


def doubts(learned: Learned, metrics: Metrics) -> list[str]:
    """Return warnings about metrics that are worse, or rest on less, than they seem to."""
    parts, warnings = learned.prepared.parts, []
    if learned.prepared.rows.target == "number":
        if metrics.test["r2"] < 0:
            warnings.append(
                f"the held-out R² is {metrics.test['r2']:.4f}: the mean of the target predicts "
                "these rows better"
            )
    else:
        label, share = _baseline(parts)
        if metrics.test["accuracy"] <= share and share < 1:
            warnings.append(
                f"the held-out accuracy of {metrics.test['accuracy']:.4f} is not above that of "
                f"always predicting {show(label)}, {share:.4f}"
            )
    folds = len(learned.prepared.cv or [])
    for name, spread in (metrics.cv or {}).items():
        if len(spread.folds) < folds:
            warnings.append(
                f"{title(name)} is defined on {len(spread.folds)} of {folds} folds, and "
                "averaged over those"
            )
    return warnings


def _unlearned(seen: Observed) -> list[str]:
    warnings = []
    for one in seen.unlearned or []:
        held, count = f"{one.support} held-out rows", "they count"
        if one.support == 1:
            held, count = "1 held-out row", "it counts"
        warnings.append(
            f"the class {show(one.label)} has {held} and no training row, so {count} as missed, "
            "and metrics of probabilities are left out"
        )
    return warnings


def _baseline(parts: TrainTestSplit) -> tuple[Any, float]:
    """Return the most frequent class of the training rows, and its share of the held-out rows."""
    import numpy as np

    labels, counts = np.unique(parts.y_train, return_counts=True)
    most = labels[counts.argmax()]
    return most.item(), float((parts.y_test == most).mean())


def _labels(learned: Learned) -> list[Any]:
    estimator: Any = learned.fitted.estimator
    return estimator.classes_.tolist() if learned.prepared.rows.target == "class" else []


def inside(rows: Rows, parts: TrainTestSplit, conditions: dict[str, Any], where: str) -> Any:
    """Return which held-out rows are in a slice, (n_rows,) booleans.

    Raises:
        DataError: if none is, or a value is not what its column holds.
    """
    import numpy as np

    known = {one.name: one for one in rows.description.schema.columns or ()}
    mask = np.ones(len(parts.y_test), dtype=bool)
    for name, value in conditions.items():
        mask &= take(rows.kept[name], parts.test_index) == _meant(value, known[name], where)
    if not mask.any():
        said = ", ".join(f"{show(name)} is {show(value)}" for name, value in conditions.items())
        raise DataError(f"no held-out row is in it: {said}", where=where)
    return mask


def _meant(value: Value, column: TableColumn, where: str) -> Value:
    """Return the value of a condition as a column holds it; one in text is read as the table is."""
    kind = column.kind or "text"
    if kind == "text":
        return str(value)
    if isinstance(value, str):
        try:
            return table_columns.value(value, kind, column.format)
        except DataError as error:
            raise DataError(error.message, where=f"{where}.{column.name}") from error
    if kind == "date":
        raise DataError(
            f"found {show(value)}, and the column holds dates; write one as the table does, such "
            "as 2026-01-31",
            where=f"{where}.{column.name}",
        )
    return value


def _spreads(folds: dict[str, list[float]]) -> dict[str, Spread]:
    return {
        name: Spread(statistics.fmean(values), statistics.pstdev(values), values)
        for name, values in folds.items()
    }


def _columns(
    columns: dict[str, Kind], formats: dict[str, ColumnFormat], parts: TrainTestSplit
) -> list[ColumnSpec]:
    """Return what was learned from; what is taken beside it, parity says."""
    import numpy as np

    found = []
    for name, kind in columns.items():
        texts = np.unique(parts.X_train[name].to_numpy()).tolist() if kind == "text" else []
        few = kind == "text" and len(texts) <= MAX_CATEGORIES
        found.append(
            ColumnSpec(name, kind, False, False, texts if few else None, formats.get(name))
        )
    return found
