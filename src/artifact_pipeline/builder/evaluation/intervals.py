"""Confidence intervals of metrics: a percentile bootstrap over held-out rows.

If there are many rows, only a sample is drawn from, with weights that add up to all rows: the bag
of little bootstraps (Kleiner, Talwalkar, Sarkar and Jordan 2014), with one bag.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from artifact_pipeline.builder.artifact.diagnostics import ConfidenceInterval
from artifact_pipeline.builder.evaluation.weighted_metrics import PredictedRows, Weights, prepare

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEVEL = 0.95
SAMPLES = 1000
MAX_ROWS = 5000
"""Maximum rows to draw from."""
MAX_SCORES = 50_000
"""Maximum rows times classes for resampling the area under more than two ROC curves."""
_CHUNK = 100
_SEED = 0


def intervals(rows: PredictedRows, measured: Mapping[str, float]) -> dict[str, ConfidenceInterval]:
    """Return the interval of each metric that varies over samples.

    Args:
        rows: The held-out rows.
        measured: The metrics to find intervals of, as measured on all of them.
    """
    import numpy as np

    count = len(rows.truth)
    rng = np.random.default_rng(_SEED)
    some = rows if count <= MAX_ROWS else _take(rows, rng.choice(count, MAX_ROWS, replace=False))
    size = len(some.truth)
    wanted = [
        name
        for name in measured
        if name != "roc_auc" or len(rows.labels) == 2 or size * len(rows.labels) <= MAX_SCORES
    ]
    names = _defined(some, wanted)
    if not names:
        return {}
    measure = prepare(some, names)
    chunks = [measure(weights) for weights in _weights(count, size, rng=rng)]
    shift = dict.fromkeys(names, 0.0)
    if size < count:
        sample = measure(_ones(some))
        shift = {name: measured[name] - float(sample[name][0]) for name in names}
    result = {}
    for name in names:
        values = np.concatenate([chunk[name] for chunk in chunks])
        values = values[np.isfinite(values)]
        if len(values) < SAMPLES / 2:
            continue
        low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) + shift[name]
        if low < high:
            result[name] = ConfidenceInterval(_rounded(low), _rounded(high))
        elif name == "accuracy" and low in (0.0, 1.0):
            result[name] = _one_sided(float(low), count)
    return result


def _one_sided(value: float, rows: int) -> ConfidenceInterval:
    """Return the interval of a share of 0 or 1, by Clopper and Pearson (1934).

    All samples of such rows are equal, but that does not make the share certain.
    """
    bound = ((1 - LEVEL) / 2) ** (1 / rows)
    return (
        ConfidenceInterval(_rounded(bound), 1.0)
        if value
        else ConfidenceInterval(0.0, _rounded(1 - bound))
    )


def _defined(rows: PredictedRows, names: Collection[str]) -> list[str]:
    """Return the metrics that are defined on a sample of the rows as well."""
    import numpy as np

    with np.errstate(all="ignore"):
        values = prepare(rows, names)(_ones(rows))
    return [name for name in names if np.isfinite(values[name][0])]


def _weights(count: int, size: int, *, rng: np.random.Generator) -> Iterator[Weights]:
    """Yield the weights of `size` rows in samples of `count`, (size, `_CHUNK`) at a time."""
    import numpy as np

    offsets = np.arange(_CHUNK)[:, None] * size
    for _ in range(SAMPLES // _CHUNK):
        if size < count:
            yield rng.poisson(count / size, (size, _CHUNK)).astype(np.float64)
        else:
            drawn = rng.integers(0, size, (_CHUNK, size)) + offsets
            counts = np.bincount(drawn.ravel(), minlength=_CHUNK * size).reshape(_CHUNK, size)
            yield np.ascontiguousarray(counts.T, dtype=np.float64)


def _ones(rows: PredictedRows) -> Weights:
    import numpy as np

    return np.ones((len(rows.truth), 1))


def _take(rows: PredictedRows, index: NDArray[np.int64]) -> PredictedRows:
    return rows._replace(
        truth=rows.truth[index],
        predicted=rows.predicted[index],
        probabilities=None if rows.probabilities is None else rows.probabilities[index],
    )


def _rounded(value: float) -> float:
    """Round to six digits, more than an interval can justify."""
    return float(f"{value:.6g}")
