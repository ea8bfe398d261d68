"""What is measured of a fitted estimator, and the rows on which an open form must agree with it."""

from __future__ import annotations

import statistics
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from artifact_pipeline.artifact.formats.form import Batch, Outputs
from artifact_pipeline.artifact.manifest import MAX_CATEGORIES, Column, Metrics, Slice, Spread
from artifact_pipeline.data import Rows, batch, take
from artifact_pipeline.errors import DataError
from artifact_pipeline.estimators import outputs
from artifact_pipeline.evaluation import evaluate
from artifact_pipeline.explain import show
from artifact_pipeline.learning import Learned
from artifact_pipeline.observation import EXAMPLES, observe
from artifact_pipeline.probing import probe
from artifact_pipeline.settings import ColumnFormat, Evaluation, Kind
from artifact_pipeline.splitting import Parts


def measure(learned: Learned) -> tuple[dict[str, Any], dict[str, tuple[Batch, Outputs]]]:
    """Return what is said of a fitted estimator, and named rows with what it says of them.

    Said are `metrics`, `split`, `evaluation`, `warnings`, and for the interface `features`,
    `labels`, `label_names`, `image`, `columns`; the rows are `held_out`, and `edges` of a table.

    Raises:
        DataError: for a slice that has no held-out rows.
    """
    rows, parts = learned.prepared.rows, learned.prepared.parts
    estimator: Any = learned.fitted.estimator
    labels = estimator.classes_.tolist() if rows.target == "class" else []
    predicted, proba = outputs(estimator, parts.X_test)
    held_out = Outputs(predicted, proba)

    def of(y: Any, said: Any, probabilities: Any) -> dict[str, float]:
        positive = rows.description.positive
        return evaluate(y, said, rows.target, probabilities, labels, positive)

    slices: dict[str, Slice] | UnsetType = UNSET
    asked = learned.prepared.config.evaluation
    if isinstance(asked, Evaluation) and not isinstance(asked.slices, UnsetType):
        slices = {}
        for name, conditions in asked.slices.items():
            where = f"{learned.prepared.where}: evaluation.slices.{name}"
            mask = inside(rows, parts, conditions, where)
            some = None if proba is None else proba[mask]
            slices[name] = Slice(int(mask.sum()), of(parts.y_test[mask], predicted[mask], some))
    metrics = Metrics(
        train=of(parts.y_train, *outputs(estimator, parts.X_train)),
        test=of(parts.y_test, predicted, proba),
        slices=slices,
        cv=UNSET if isinstance(learned.cv, UnsetType) else _spreads(learned.cv),
    )
    most = rows.description.examples
    seen = observe(
        estimator,
        parts.X_test,
        parts.y_test,
        parts.test_index,
        rows.label_names,
        rows.target,
        EXAMPLES if isinstance(most, UnsetType) else most,
    )
    leaks = learned.leaks or UNSET
    seen = msgspec.structs.replace(seen, search=learned.search, leaks=leaks)
    said = {
        "metrics": msgspec.to_builtins(metrics),
        "split": parts.summary(),
        "evaluation": msgspec.to_builtins(seen),
        "warnings": [*rows.notes, *learned.fitted.warnings, *learned.leaks],
        "features": rows.feature_names,
        "labels": labels,
        "label_names": rows.label_names,
        "image": msgspec.to_builtins(rows.image),
    }
    batches = {"held_out": (batch(parts.X_test), held_out)}
    if columns := rows.columns():
        probed = probe(estimator, parts.X_test, list(columns.values()), parts.X_train)
        said["columns"] = msgspec.to_builtins(_columns(columns, rows.formats(), parts))
        if probed.edges:
            said["edges"] = probed.edges
            batches["edges"] = (batch(probed.rows), Outputs(*outputs(estimator, probed.rows)))
    return said, batches


def inside(rows: Rows, parts: Parts, conditions: dict[str, Any], where: str) -> Any:
    """Return which held-out rows are in a slice, (n_rows,) booleans.

    Raises:
        DataError: if none is.
    """
    import numpy as np

    mask = np.ones(len(parts.y_test), dtype=bool)
    for name, value in conditions.items():
        column = take(rows.kept[name], parts.test_index)
        wanted = str(value) if column.dtype.kind == "O" else value
        mask &= column == wanted
    if not mask.any():
        said = ", ".join(f"{show(name)} is {show(value)}" for name, value in conditions.items())
        raise DataError(f"no held-out row is in it: {said}", where=where)
    return mask


def _spreads(folds: dict[str, list[float]]) -> dict[str, Spread]:
    return {
        name: Spread(statistics.fmean(values), statistics.pstdev(values), values)
        for name, values in folds.items()
    }


def _columns(
    columns: dict[str, Kind], formats: dict[str, ColumnFormat], parts: Parts
) -> list[Column]:
    """Return what was learned from; what is taken beside it, parity says."""
    import numpy as np

    found = []
    for name, kind in columns.items():
        texts = np.unique(parts.X_train[name].to_numpy()).tolist() if kind == "text" else []
        few = kind == "text" and len(texts) <= MAX_CATEGORIES
        found.append(
            Column(name, kind, False, False, texts if few else None, formats.get(name, UNSET))
        )
    return found
