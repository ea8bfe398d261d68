"""Permutation importance on held-out rows.

A feature's values are shuffled among the rows, and the metric is measured again: how much worse it
becomes is the importance of the feature (Breiman 2001, Random Forests, section 10). Features that
repeat each other share their importance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from artifact_pipeline.builder.artifact.diagnostics import FeatureImportance, Importance
from artifact_pipeline.builder.data.dataset import take
from artifact_pipeline.builder.evaluation.weighted_metrics import PredictedRows, prepare
from artifact_pipeline.builder.metric_table import BY_NAME
from artifact_pipeline.builder.model.estimators import parts_of, predict_with_proba

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

REPEATS = 5
MAX_ROWS = 1000
"""Maximum held-out rows to shuffle."""
MIN_ROWS = 25
"""Minimum rows for a useful result."""
MAX_PREDICTED = 30_000
"""Maximum rows to predict for all features and repeats together."""
MAX_WORK = 100_000_000
"""Approximate maximum of numbers of the model that these predictions use. It limits the time of
models that compare each row with all training rows; a clock would make the bytes vary."""
_ROW_COST = 1000
_CHUNK = 10_000
"""Rows to predict at once, of several features."""
_SEED = 0


def importance(
    estimator: Any, X: Any, *, rows: PredictedRows, features: list[str], metric: str
) -> Importance | None:
    """Return the importance of each feature; None if that would take too long or is undefined.

    Args:
        estimator: A fitted estimator.
        X: The held-out rows, (n_rows, n_features) float64, or a DataFrame.
        rows: Their true values, and the predictions.
        features: The names of the features.
        metric: The metric, which is defined for these rows.
    """
    import numpy as np

    size = _sample_size(estimator, features=len(features), rows=len(rows.truth))
    if size < MIN_ROWS:
        return None
    rng = np.random.default_rng(_SEED)
    index = np.sort(rng.choice(len(rows.truth), size, replace=False))
    sample = take(X, index)
    truth = rows.truth[index]
    try:
        # An estimator may refuse a combination of values that no row has.
        base = _scores(estimator, sample, truth=truth, rows=rows, metric=metric)
        drops = []
        step = max(1, _CHUNK // (REPEATS * size))
        for start in range(0, len(features), step):
            block = range(start, min(start + step, len(features)))
            shuffled = _shuffled(sample, block, size=size, rng=rng)
            drops.append(_scores(estimator, shuffled, truth=truth, rows=rows, metric=metric))
    except Exception:  # noqa: BLE001  (any estimator can raise any error; the rest of the report stays)
        return None
    sign = -1 if BY_NAME[metric].lower_is_better else 1
    losses = sign * (base[0] - np.concatenate(drops)).reshape(len(features), REPEATS)
    if not np.isfinite(losses).all():
        return None
    return Importance(
        metric=metric,
        rows=size,
        repeats=REPEATS,
        features=[
            FeatureImportance(
                feature=name, mean=_rounded(values.mean()), std=_rounded(values.std())
            )
            for name, values in zip(features, losses, strict=True)
        ],
    )


def reason_without(*, rows: int, features: int) -> str:
    """Return why there is no importance.

    Args:
        rows: The held-out rows.
        features: The features of the model.
    """
    if rows < MIN_ROWS:
        return f"It needs at least {MIN_ROWS} held-out rows, and there are {rows}."
    most = MAX_PREDICTED // (REPEATS * MIN_ROWS)
    if features > most:
        return f"It is measured for models with at most {most} features, and this has {features:,}."
    return (
        "This model predicts too slowly to measure it, or refuses rows whose values are combined "
        "anew."
    )


def _sample_size(estimator: Any, *, features: int, rows: int) -> int:
    """Return how many rows to shuffle, within the limits above."""
    predictions = min(MAX_PREDICTED, MAX_WORK // (_ROW_COST + numbers_in(estimator)))
    return min(rows, MAX_ROWS, predictions // (REPEATS * features))


def numbers_in(estimator: Any) -> int:
    """Return about how many numbers a fitted estimator uses to predict one row."""
    total = 0
    for part in parts_of(estimator):
        if (tree := getattr(part, "tree_", None)) is not None:
            total += int(getattr(tree, "max_depth", 0))
            continue
        for name, value in vars(part).items():
            if name.endswith("_") or name.startswith("_"):
                total += _size(value)
    return total


def _size(value: Any) -> int:
    if isinstance(value, (list, tuple)):
        return sum(_size(element) for element in value[:10_000] if hasattr(element, "dtype"))
    if getattr(getattr(value, "dtype", None), "kind", "") not in ("f", "i"):
        return 0
    return int(value.nnz if hasattr(value, "nnz") else value.size)


def _shuffled(sample: Any, block: range, *, size: int, rng: np.random.Generator) -> Any:
    """Return copies of the rows, `REPEATS` for each feature in a block, that feature shuffled."""
    import numpy as np

    copies = len(block) * REPEATS
    rows = take(sample, np.tile(np.arange(size), copies))
    if hasattr(rows, "columns"):
        rows = rows.reset_index(drop=True)
    for position, feature in enumerate(block):
        orders = [rng.permutation(size) for _ in range(REPEATS)]
        for repeat, order in enumerate(orders):
            start = (position * REPEATS + repeat) * size
            part = slice(start, start + size)
            if hasattr(rows, "columns"):
                values = sample.iloc[order, feature].to_numpy()
                rows.iloc[part, feature] = values
            else:
                rows[part, feature] = sample[order, feature]
    return rows


def _scores(
    estimator: Any, X: Any, *, truth: NDArray[Any], rows: PredictedRows, metric: str
) -> NDArray[np.float64]:
    """Return the metric of each copy of the rows in X."""
    import numpy as np

    predicted, proba = _predict(estimator, X, metric=metric)
    size = len(truth)
    values = []
    for start in range(0, len(predicted), size):
        part = slice(start, start + size)
        values.append(
            _score(
                rows._replace(
                    truth=truth,
                    predicted=predicted[part],
                    probabilities=None if proba is None else proba[part],
                ),
                metric,
            )
        )
    return np.array(values)


def _predict(estimator: Any, X: Any, *, metric: str) -> tuple[Any, Any]:
    import numpy as np

    from artifact_pipeline.builder.model.estimators import as_labels

    if BY_NAME[metric].needs == "probabilities":
        return predict_with_proba(estimator, X)
    predicted = np.asarray(estimator.predict(X))
    if predicted.ndim == 2 and predicted.shape[1] == 1:
        predicted = predicted[:, 0]
    if BY_NAME[metric].task == "class":
        return as_labels(predicted), None
    return predicted.astype(np.float64), None


def _score(rows: PredictedRows, metric: str) -> float:
    import numpy as np

    if metric == "accuracy":
        return float((rows.predicted == rows.truth).mean())
    with np.errstate(all="ignore"):
        return float(prepare(rows, [metric])(np.ones((len(rows.truth), 1)))[metric][0])


def _rounded(value: Any) -> float:
    return float(f"{value:.6g}")
