"""Curves, histograms and calibration of the probabilities of each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from artifact_pipeline.builder.artifact.diagnostics import (
    ClassProbabilities,
    Curve,
    ProbabilityBin,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_CLASSES = 20
"""Maximum classes with curves: those with the most held-out rows."""
MAX_POINTS = 200
"""Maximum points of a curve of two classes; with more classes, each has half as many."""
BINS = 20
"""Bins of a histogram of probabilities."""
CALIBRATION_BINS = 10


def classes_to_show(
    labels: Sequence[Any], supports: Sequence[int], *, positive: Any | None
) -> list[int]:
    """Return the positions of the labels that have curves: if there are two, the positive one."""
    if len(labels) == 2:
        return [list(labels).index(positive) if positive is not None else 1]
    order = sorted(range(len(labels)), key=lambda k: (-supports[k], k))
    return sorted(order[:MAX_CLASSES])


def curve(of_class: NDArray[np.bool_], scores: NDArray[np.float64], *, label: int, points: int
          ) -> Curve | None:  # fmt: skip
    """Return the curve of one class, or None if all rows or none are of the class.

    Args:
        of_class: Whether each row is of the class, (n_rows,).
        scores: The probability of the class, (n_rows,).
        label: The position of the class among the labels.
        points: Maximum points.
    """
    import numpy as np

    positives = int(of_class.sum())
    negatives = len(of_class) - positives
    if not positives or not negatives:
        return None
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], of_class[order]
    last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)  # the last of equal scores
    true = np.cumsum(hits)[last]
    false = last + 1 - true
    precision = true / (last + 1)
    recall_steps = np.diff(true, prepend=0) / positives
    # The trapezoid between distinct scores counts equal scores half.
    area = np.sum(np.diff(false, prepend=0) * (true + np.append(0, true[:-1])) / 2)
    kept = np.unique(
        np.concatenate(
            [
                np.searchsorted(false, np.linspace(0, negatives, points // 2)),
                np.searchsorted(true, np.linspace(0, positives, points - points // 2)),
            ]
        )
    )
    return Curve(
        label=label,
        positives=positives,
        negatives=negatives,
        thresholds=[float(f"{value:.4g}") for value in scores[last][kept]],
        true_positives=true[kept].tolist(),
        false_positives=false[kept].tolist(),
        roc_auc=_rounded(area / (positives * negatives)),
        average_precision=_rounded(np.sum(recall_steps * precision)),
    )


def class_probabilities(
    of_class: NDArray[np.bool_], scores: NDArray[np.float64], *, label: int
) -> ClassProbabilities:
    """Return the histograms and the calibration of one class. Args as `curve`."""
    import numpy as np

    scores = np.clip(scores, 0.0, 1.0)
    fine = np.minimum((scores * BINS).astype(np.int64), BINS - 1)
    coarse = np.minimum((scores * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    rows = np.bincount(coarse, minlength=CALIBRATION_BINS)
    sums = np.bincount(coarse, weights=scores, minlength=CALIBRATION_BINS)
    hits = np.bincount(coarse, weights=of_class, minlength=CALIBRATION_BINS)
    return ClassProbabilities(
        label=label,
        of_class=np.bincount(fine[of_class], minlength=BINS).tolist(),
        of_others=np.bincount(fine[~of_class], minlength=BINS).tolist(),
        calibration=[
            ProbabilityBin(
                low=k / CALIBRATION_BINS,
                high=(k + 1) / CALIBRATION_BINS,
                rows=int(rows[k]),
                mean=_rounded(sums[k] / rows[k]),
                share=_rounded(hits[k] / rows[k]),
            )
            for k in range(CALIBRATION_BINS)
            if rows[k]
        ],
    )


def _rounded(value: Any) -> float:
    return float(f"{value:.6g}")
