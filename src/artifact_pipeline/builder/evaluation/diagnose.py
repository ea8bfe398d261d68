"""The diagnostics of a fitted estimator, for `evaluation.json`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from artifact_pipeline.builder.artifact.diagnostics import (
    ClassProbabilities,
    ConfidenceInterval,
    Curve,
    Diagnostics,
    Resampling,
)
from artifact_pipeline.builder.config.values import Kind
from artifact_pipeline.builder.evaluation import (
    coefficients,
    column_summaries,
    curves,
    headline,
    importance,
    residuals,
)
from artifact_pipeline.builder.evaluation import intervals as bootstrap
from artifact_pipeline.builder.evaluation.metrics import evaluate
from artifact_pipeline.builder.evaluation.weighted_metrics import PredictedRows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class TrainingRows(NamedTuple):
    """The rows that an estimator was fitted to."""

    X: Any
    y: NDArray[Any]


def diagnose(
    estimator: Any,
    X: Any,
    *,
    rows: PredictedRows,
    features: list[str],
    kinds: Mapping[str, Kind] | None,
    train: TrainingRows | None,
    slices: Mapping[str, NDArray[np.bool_]],
    target_name: str,
    is_image: bool,
) -> Diagnostics:
    """Return the diagnostics of an estimator.

    Args:
        estimator: A fitted classifier or regressor.
        X: The held-out rows, (n_rows, n_features) float64, or a DataFrame.
        rows: Their true values, and the estimator's predictions.
        features: The names of the features.
        kinds: The kinds of a table's columns; None for a matrix.
        train: The rows that it was fitted to; None if they are not known.
        slices: Which held-out rows are in each slice.
        target_name: The name of the target of a regression.
        is_image: Whether a row is an image, whose pixels are not summarized.
    """
    measured = _measure(rows)
    supports = _supports(rows)
    chosen = headline.choose(supports, measured=measured)
    intervals = bootstrap.intervals(rows, measured)
    with warnings.catch_warnings():  # the fit or the first prediction has shown them already
        warnings.simplefilter("ignore")
        importances = importance.importance(
            estimator, X, rows=rows, features=features, metric=chosen.metric
        )
        encoded = X if train is None else train.X
        weights = coefficients.coefficients(estimator, encoded, features=features)
    diagnostics = Diagnostics(
        headline=chosen.metric,
        reason=chosen.reason,
        resampling=Resampling(
            level=bootstrap.LEVEL,
            samples=bootstrap.SAMPLES,
            rows=min(len(rows.truth), bootstrap.MAX_ROWS),
        ),
        intervals=intervals,
        slices=_slice_intervals(rows, slices, metric=chosen.metric) or None,
        importance=importances,
        coefficients=weights,
        columns=None
        if is_image
        else column_summaries.summarize(
            None if train is None else train.X, X, features=features, kinds=kinds
        ),
    )
    if rows.target == "number":
        own = rows.truth[:0] if train is None else train.y
        return msgspec.structs.replace(
            diagnostics,
            residuals=residuals.residuals(rows.truth, rows.predicted),
            target=column_summaries.column(
                target_name,
                "number",
                train=own,
                test=rows.truth,
                every=own if len(own) else rows.truth,
            ),
        )
    lines, probabilities = _class_parts(rows, supports=supports[: len(rows.labels)])
    return msgspec.structs.replace(
        diagnostics,
        curves=lines or None,
        probabilities=probabilities or None,
        class_rows=None
        if train is None
        else [int((train.y == label).sum()) for label in rows.labels],
    )


def _supports(rows: PredictedRows) -> list[int]:
    """Return the rows of each label, then of the classes that the model does not know."""
    if rows.target == "number":
        return []
    unknown = sorted(set(rows.truth.tolist()) - set(rows.labels))
    return [int((rows.truth == label).sum()) for label in [*rows.labels, *unknown]]


def _slice_intervals(
    rows: PredictedRows, slices: Mapping[str, NDArray[np.bool_]], *, metric: str
) -> dict[str, ConfidenceInterval]:
    intervals = {}
    for name, mask in slices.items():
        part = rows._replace(
            truth=rows.truth[mask],
            predicted=rows.predicted[mask],
            probabilities=None if rows.probabilities is None else rows.probabilities[mask],
        )
        measured = {key: value for key, value in _measure(part).items() if key == metric}
        interval = bootstrap.intervals(part, measured).get(metric)
        if interval is not None:
            intervals[name] = interval
    return intervals


def _measure(rows: PredictedRows) -> dict[str, float]:
    return evaluate(
        rows.truth,
        rows.predicted,
        target=rows.target,
        probabilities=rows.probabilities,
        labels=rows.labels,
        positive=rows.positive,
    )


def _class_parts(
    rows: PredictedRows, *, supports: Sequence[int]
) -> tuple[list[Curve], list[ClassProbabilities]]:
    import numpy as np

    if rows.probabilities is None or len(rows.labels) < 2:
        return [], []
    proba = np.asarray(rows.probabilities, dtype=np.float64)
    if not np.isfinite(proba).all():
        return [], []
    shown = curves.classes_to_show(rows.labels, supports, positive=rows.positive)
    points = curves.MAX_POINTS // (1 if len(rows.labels) == 2 else 2)
    lines = []
    for k in shown:
        line = curves.curve(rows.truth == rows.labels[k], proba[:, k], label=k, points=points)
        lines += [] if line is None else [line]
    probabilities = [
        curves.class_probabilities(rows.truth == rows.labels[k], proba[:, k], label=k)
        for k in shown
    ]
    return lines, probabilities
