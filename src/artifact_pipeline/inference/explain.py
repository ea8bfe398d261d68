"""Contributions of a row's values to its prediction: Shapley values against the typical row.

The typical row has the median of each number and the most frequent of each text or boolean. A
contribution is the change of the output when a value replaces the typical one, averaged over the
orders in which the values can be replaced. Contributions add up to the difference between the two
predictions. They are computed from the sealed model's predictions only, so any model has them. For
a model that is linear in its features they are coefficient × (value − typical value) in its linear
predictor, whatever the order.

Lloyd S. Shapley, "A value for n-person games", 1953; the estimate from orders and their reverses:
Mitchell et al., "Sampling permutations for Shapley value estimation", JMLR 23 (2022).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from artifact_pipeline.builder.artifact.manifest import Interface
from artifact_pipeline.builder.recipe import Recipe

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from artifact_pipeline.builder.formats.base import Batch, Outputs

MAX_EXACT = 8
"""Maximum values for which all sets are computed, in 2⁸ rows."""
MAX_ORDERS = 32
MAX_ROWS = 4096
"""Maximum rows that an explanation predicts."""
MAX_CELLS = 1 << 21
"""Maximum values in these rows."""
_LINEAR = frozenset({"LogisticRegression", "LogisticRegressionCV", "SGDClassifier",
                     "LinearDiscriminantAnalysis"})  # fmt: skip
"""Classifiers whose probabilities come from a linear predictor."""

Scale = Literal["prediction", "probability", "log-odds", "score"]
"""The output that contributions add up in: the predicted number; the probability of the predicted
label; the logarithm of its ratio to the other label's; or the logarithm of its probability minus
the mean of the logarithms of all."""


class ExplanationPlan(NamedTuple):
    """The rows to predict for an explanation."""

    differing: list[int]
    """The indices of the features whose value is not the typical one."""
    masks: NDArray[np.bool_]
    """Which of these have the row's value, (n_rows, n_differing): none in the first row, all in
    the last."""
    orders: NDArray[np.int64] | None
    """The orders in which they are replaced, (n_orders, n_differing); None if the masks are all
    sets, the set with the number i in row i."""


def typical_row(interface: Interface) -> list[float | str | None] | None:
    """Return the typical value of each feature, None for none; None if they are not known."""
    if interface.training is None:
        return None
    return [values.typical for values in interface.training]


def plan(row: list[Any], typical: list[Any]) -> ExplanationPlan | None:
    """Return the rows to predict to explain a row, or None if they would be too many.

    Args:
        row: The value of each feature, NaN or the empty text for a missing one.
        typical: The typical row, written the same way.
    """
    pairs = enumerate(zip(row, typical, strict=True))
    differing = [index for index, (a, b) in pairs if a != b and not (a != a and b != b)]
    count = len(differing)
    if count <= MAX_EXACT:
        sets = np.arange(2**count)[:, None]
        masks = (sets >> np.arange(count)) & 1 == 1
        return ExplanationPlan(differing, masks, None)
    rows = min(MAX_ROWS, MAX_CELLS // len(row))
    half = min(MAX_ORDERS, rows // count) // 2
    if half == 0:
        return None
    draw = np.random.default_rng(0)
    orders = np.array([draw.permutation(count) for _ in range(half)])
    orders = np.concatenate([orders, orders[:, ::-1]])
    # ranks[order, value] is when the value is replaced; after step s those of a rank below s are.
    ranks = np.argsort(orders, axis=1)
    steps = np.arange(1, count)[None, :, None]
    between = (ranks[:, None, :] < steps).reshape(-1, count)
    masks = np.concatenate([np.zeros((1, count), bool), between, np.ones((1, count), bool)])
    return ExplanationPlan(differing, masks, orders)


def rows_of(
    planned: ExplanationPlan, row: list[Any], *, typical: list[Any], is_table: bool
) -> Batch:
    """Return the rows of a plan as a model takes them."""
    count = len(planned.masks)
    places = {feature: place for place, feature in enumerate(planned.differing)}
    columns = []
    for index, (value, usual) in enumerate(zip(row, typical, strict=True)):
        dtype = object if isinstance(usual, str) else np.float64
        column = np.full(count, usual, dtype=dtype)
        if index in places:
            column[planned.masks[:, places[index]]] = value
        columns.append(column)
    return columns if is_table else np.column_stack(columns)


def contributions(
    planned: ExplanationPlan, outputs: NDArray[np.float64]
) -> tuple[NDArray[np.float64], bool]:
    """Return the contribution of each differing value, and whether it does not depend on the order.

    Args:
        planned: The plan.
        outputs: The output for each of its rows, (n_rows,).
    """
    count = len(planned.differing)
    if planned.orders is None:
        sets = np.arange(2**count)
        sizes = planned.masks.sum(axis=1)
        weights = np.array(
            [1 / (count * math.comb(count - 1, size)) for size in range(count)] or [0.0]
        )
        values = np.zeros(count)
        for place in range(count):
            without = sets[~planned.masks[:, place]]
            gains = outputs[without | (1 << place)] - outputs[without]
            values[place] = (weights[sizes[without]] * gains).sum()
        return values, True
    orders = len(planned.orders)
    between = outputs[1:-1].reshape(orders, count - 1)
    first, last = np.full((orders, 1), outputs[0]), np.full((orders, 1), outputs[-1])
    gains = np.diff(np.concatenate([first, between, last], axis=1), axis=1)
    by_value = np.empty_like(gains)
    np.put_along_axis(by_value, planned.orders, gains, axis=1)
    spread = float(np.ptp(by_value, axis=0).max())
    return by_value.mean(axis=0), spread <= 1e-6 * max(1.0, float(np.abs(outputs).max()))


def estimator_of(recipe: Recipe) -> str:
    """Return the class name of the estimator that predicts, the last step of a pipeline."""
    return str(recipe.model.as_steps()[-1].estimator).rpartition(".")[2]


def output_of(
    outputs: Outputs, label: int | None, *, estimator: str
) -> tuple[NDArray[np.float64], Scale] | None:
    """Return the output that contributions add up in, (n_rows,).

    Args:
        outputs: The outputs for all rows of a plan.
        label: The position of the label that is explained; None if numbers are predicted.
        estimator: The class name of the estimator that predicts.

    Returns:
        None for a classifier without probabilities.
    """
    predicted, probabilities, _ = outputs
    if label is None:
        return predicted.astype(np.float64), "prediction"
    if probabilities is None:
        return None
    shares = probabilities.astype(np.float64)
    if estimator in _LINEAR and (shares > 0).all():
        logs = np.log(shares)
        if shares.shape[1] == 2:
            return logs[:, label] - logs[:, 1 - label], "log-odds"
        return logs[:, label] - logs.mean(axis=1), "score"
    return shares[:, label], "probability"
