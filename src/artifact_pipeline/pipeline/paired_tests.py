"""Paired tests: whether two models differ by more than chance on rows that both predicted.

For labels, McNemar's test: rows that both models label correctly, or both wrongly, do not show
which one is better, so only the others count. If the models are equally good, each of those is as
likely to favour one as the other. Dietterich recommends it for two classifiers that
were each trained once, since it wrongly finds a difference no more often than it claims. The exact
binomial form is used for any number of rows, because the usual chi-squared approximation is poor
for few.

For other metrics and for numbers, the paired bootstrap: rows are drawn with replacement, the same
ones for both models, and the difference of the metric is taken on each sample. It needs no
assumption about the distribution of errors and works for metrics that are not means over rows,
such as a ROC AUC. Both tests treat the trained models as fixed: they show whether these two models
differ on other rows of the same kind, not whether training again would give the same order.

Time is bounded for any number of rows. Above `MAX_ROWS`, metrics of labels are resampled by counts:
rows with the same true label and the same two predictions are alike, so a sample of rows is a
multinomial draw of their counts, exactly. Other metrics are resampled on a fixed random sample of
`MAX_ROWS` of the n rows, and the deviations from its own difference are scaled by the square root
of `MAX_ROWS` / n, as they shrink with more rows, around the difference on all rows.

Sources:
    McNemar (1947), Note on the sampling error of the difference between correlated proportions or
    percentages, Psychometrika 12(2).
    Dietterich (1998), Approximate statistical tests for comparing supervised classification
    learning algorithms, Neural Computation 10(7).
    Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapter 13.
    Bickel, Götze and van Zwet (1997), Resampling fewer than n observations, Statistica Sinica 7.

>>> round(mcnemar(2, 9), 6), round(mcnemar(9, 2, alternative="worse"), 6)
(0.06543, 0.032715)
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Literal, NamedTuple

from artifact_pipeline.builder.evaluation.weighted_metrics import PredictedRows, prepare
from artifact_pipeline.builder.metric_table import BY_NAME

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SAMPLES = 2000
"""The number of samples of a bootstrap; the usual advice for intervals is at least 1,000."""
SEED = 42
MAX_ROWS = 20_000
"""Maximum rows of a bootstrap; see above for more rows."""
_WEIGHTS = 1 << 22
"""Maximum weights in memory at a time, 32 MiB."""
_ROUNDING = 1e-12
"""Differences below it come from rounding."""


class Interval(NamedTuple):
    """The bounds of a difference."""

    low: float
    high: float


def flips(first: PredictedRows, second: PredictedRows) -> tuple[int, int]:
    """Return how many rows only the first, and how many only the second model labels correctly."""
    right, also = first.predicted == first.truth, second.predicted == second.truth
    return int((right & ~also).sum()), int((also & ~right).sum())


def mcnemar(
    lost: int, gained: int, *, alternative: Literal["different", "worse"] = "different"
) -> float:
    """Return the exact p-value of McNemar's test.

    Args:
        lost: How many rows only the first model labels correctly.
        gained: How many rows only the second model labels correctly.
        alternative: `different` for both sides; `worse` if only a worse second model counts.
    """
    from scipy.special import bdtr

    if lost + gained == 0:
        return 1.0
    if alternative == "worse":
        return float(bdtr(gained, lost + gained, 0.5))
    return min(1.0, 2 * float(bdtr(min(lost, gained), lost + gained, 0.5)))


def bootstrap(
    first: PredictedRows, second: PredictedRows, *, names: Collection[str]
) -> dict[str, NDArray[np.float64]]:
    """Return the differences of metrics, second minus first, on samples of the rows.

    Args:
        first: The rows as one model predicts them.
        second: The same rows in the same order as another model predicts them.
        names: The metrics.

    Returns:
        For each metric its differences on up to `SAMPLES` samples: those where the metric is
        defined for both models. The samples are the same for the same number of rows.
    """
    import numpy as np

    count = len(first.truth)
    if count <= MAX_ROWS:
        return _defined(_resample(first, second, names=names))
    of_labels = [
        name for name in names if BY_NAME[name].needs in ("predictions", "positive class")
    ] if first.target == "class" else []  # fmt: skip
    others = [name for name in names if name not in of_labels]
    differences = _resample_counts(first, second, names=of_labels) if of_labels else {}
    if others:
        chosen = np.random.default_rng(SEED).choice(count, MAX_ROWS, replace=False)
        parts = [_take(rows, np.sort(chosen)) for rows in (first, second)]
        scale = (MAX_ROWS / count) ** 0.5
        around, own = _difference(first, second, names=others), _difference(*parts, names=others)
        for name, values in _resample(*parts, names=others).items():
            differences[name] = around[name] + scale * (values - own[name])
    return _defined({name: differences[name] for name in names})


def _resample(
    first: PredictedRows, second: PredictedRows, *, names: Collection[str]
) -> dict[str, NDArray[np.float64]]:
    """Return the differences of metrics on samples of the rows; NaN where one is undefined."""
    import numpy as np

    count = len(first.truth)
    measures = [prepare(rows, names) for rows in (first, second)]
    random = np.random.default_rng(SEED)
    step = max(1, min(SAMPLES, _WEIGHTS // count))
    differences: dict[str, list[NDArray[np.float64]]] = {name: [] for name in names}
    for start in range(0, SAMPLES, step):
        samples = min(step, SAMPLES - start)
        drawn = random.integers(count, size=(samples, count))
        drawn += count * np.arange(samples)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=samples * count)
        weights = np.ascontiguousarray(counts.reshape(samples, count).T, dtype=np.float64)
        a, b = (measure(weights) for measure in measures)
        for name in names:
            differences[name].append(b[name] - a[name])
    return {name: np.concatenate(parts) for name, parts in differences.items()}


def _resample_counts(
    first: PredictedRows, second: PredictedRows, *, names: Collection[str]
) -> dict[str, NDArray[np.float64]]:
    """Return the same for metrics of labels, from the counts of identical rows."""
    import numpy as np

    columns = [first.truth, first.predicted, second.predicted]
    labels, codes = np.unique(np.concatenate(columns), return_inverse=True)
    truth, a, b = codes.astype(np.int64).reshape(3, -1)
    keys = (truth * len(labels) + a) * len(labels) + b
    _, rows, counts = np.unique(keys, return_index=True, return_counts=True)
    shares = counts / counts.sum()
    drawn = np.random.default_rng(SEED).multinomial(len(keys), shares, size=SAMPLES)
    weights = np.ascontiguousarray(drawn.T, dtype=np.float64)
    measured = [prepare(_take(model, rows), names)(weights) for model in (first, second)]
    return {name: measured[1][name] - measured[0][name] for name in names}


def _difference(
    first: PredictedRows, second: PredictedRows, *, names: Collection[str]
) -> dict[str, float]:
    import numpy as np

    weights = np.ones((len(first.truth), 1))
    a, b = (prepare(rows, names)(weights) for rows in (first, second))
    return {name: float(b[name][0] - a[name][0]) for name in names}


def _take(rows: PredictedRows, index: NDArray[np.int64]) -> PredictedRows:
    """Return some of the rows."""
    proba = rows.probabilities
    return rows._replace(
        truth=rows.truth[index],
        predicted=rows.predicted[index],
        probabilities=None if proba is None else proba[index],
    )


def _defined(
    differences: dict[str, NDArray[np.float64]],
) -> dict[str, NDArray[np.float64]]:
    """Return the differences on the samples where a metric is defined for both models."""
    import numpy as np

    return {name: values[~np.isnan(values)] for name, values in differences.items()}


def interval(differences: NDArray[np.float64], confidence: float) -> Interval | None:
    """Return the percentile interval of bootstrapped differences; None without any."""
    import numpy as np

    if not len(differences):
        return None
    tail = (1 - confidence) / 2
    low, high = np.quantile(differences, [tail, 1 - tail])
    return Interval(float(low), float(high))


def share_worse(
    differences: NDArray[np.float64], tolerance: float, *, lower_is_better: bool
) -> float:
    """Return the share of samples on which the second model is worse by more than `tolerance`."""
    losses = differences if lower_is_better else -differences
    return float((losses > tolerance + _ROUNDING).mean()) if len(losses) else 0.0
