"""Coefficients of linear models and importances of trees, by the names of encoded columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from artifact_pipeline.builder.artifact.diagnostics import MIN_COUNT, Coefficient, Coefficients
from artifact_pipeline.builder.data.dataset import sample_index, take

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LISTED = 40
"""Maximum encoded columns to list."""
MAX_ROWS = 2000
"""Maximum rows to encode, to measure the spread of each column."""
MAX_LABELS = 20
"""Maximum labels; more have too many coefficients to list."""


def coefficients(estimator: Any, X: Any, *, features: list[str]) -> Coefficients | None:
    """Return the strongest weights of the last estimator, or None if it has none.

    A column that fewer than `MIN_COUNT` of the encoded rows have is not listed, because its name
    may be a rare value of a text column.

    Args:
        estimator: A fitted estimator or pipeline.
        X: Rows to encode: training rows if they are known.
        features: The names of the features.
    """
    import numpy as np

    last = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    values, kind = _weights(last)
    if values is None or not np.isfinite(values).all() or len(values) > MAX_LABELS:
        return None
    if len(X) > MAX_ROWS:
        X = take(X, sample_index(len(X), MAX_ROWS))
    try:
        # Encoders of text have no names for their columns in some releases.
        names = _names(estimator, features)
        spread, filled = _spread(_encoded(estimator, X))
    except (AttributeError, TypeError, ValueError):
        return None
    inputs = values.shape[1]
    if not len(names) == len(spread) == inputs:
        return None
    strength = np.abs(values).max(axis=0)
    if kind == "coefficients":
        with np.errstate(over="ignore", invalid="ignore"):
            strength = strength * spread
    if not np.isfinite(strength).all():
        return None
    # Stable, so that equal ones keep the order of the columns.
    order = [k for k in np.argsort(-strength, kind="stable") if filled[k] >= MIN_COUNT]
    return Coefficients(
        kind=kind,
        inputs=inputs,
        listed=[
            Coefficient(
                name=names[k],
                values=[_rounded(value) for value in values[:, k]],
                strength=_rounded(strength[k]),
            )
            for k in order[:LISTED]
        ],
    )


def _weights(last: Any) -> tuple[NDArray[np.float64] | None, str]:
    """Return coefficients or importances, (n_outputs, n_inputs), and which of the two."""
    import numpy as np

    for name, kind in (("coef_", "coefficients"), ("feature_importances_", "importances")):
        value: Any = getattr(last, name, None)
        value = value.toarray() if hasattr(value, "toarray") else value
        if getattr(getattr(value, "dtype", None), "kind", "") in ("f", "i") and value.ndim in (
            1,
            2,
        ):
            return np.atleast_2d(value).astype(np.float64), kind
    return None, ""


def _names(estimator: Any, features: list[str]) -> list[str]:
    if not hasattr(estimator, "steps") or len(estimator.steps) < 2:
        return features
    known = getattr(estimator, "feature_names_in_", None)
    input_names = None if known is not None else features
    return [str(name) for name in estimator[:-1].get_feature_names_out(input_names)]


def _encoded(estimator: Any, X: Any) -> Any:
    if not hasattr(estimator, "steps") or len(estimator.steps) < 2:
        return X
    return estimator[:-1].transform(X)


def _spread(encoded: Any) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the standard deviation of each column, and how many rows are not 0 in it."""
    import numpy as np

    if hasattr(encoded, "toarray"):
        matrix = encoded.tocsc().astype(np.float64)
        mean = np.asarray(matrix.mean(axis=0)).ravel()
        squares = np.asarray(matrix.multiply(matrix).mean(axis=0)).ravel()
        filled = np.diff(matrix.indptr)
        return np.sqrt(np.maximum(squares - mean**2, 0.0)), filled
    matrix = np.asarray(encoded, dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        return matrix.std(axis=0), (matrix != 0).sum(axis=0)


def _rounded(value: Any) -> float:
    return float(f"{value:.6g}")
