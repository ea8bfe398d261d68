"""Contributions computed from the outputs of functions whose contributions are known."""

import numpy as np
import pytest

from artifact_pipeline.inference import explain


def contributions(function, row, typical):
    """Return the contributions, and whether they do not depend on the order."""
    planned = explain.plan(row, typical)
    assert planned is not None
    rows = explain.rows_of(planned, row, typical=typical, is_table=False)
    values, is_exact = explain.contributions(planned, function(rows))
    return dict(zip(planned.differing, values.tolist(), strict=True)), is_exact


@pytest.mark.parametrize("count", [1, 8, 9, 40])
def test_contributions_of_a_sum_are_its_parts(count):
    weights = np.linspace(-2, 3, count)
    row, typical = np.arange(1.0, count + 1).tolist(), [0.5] * count
    found, is_exact = contributions(lambda rows: rows @ weights, row, typical)
    assert is_exact
    assert found == pytest.approx({i: weights[i] * (row[i] - 0.5) for i in range(count)})


def test_values_that_act_together_share_their_effect():
    """Of a product of two values, each contributes a half; of ten, an estimate adds up."""
    found, is_exact = contributions(
        lambda rows: rows[:, 0] * rows[:, 1], [1.0, 1.0, 7.0], [0.0] * 3
    )
    assert found == pytest.approx({0: 0.5, 1: 0.5, 2: 0.0}) and is_exact
    found, is_exact = contributions(lambda rows: rows.prod(axis=1), [1.0] * 10, [0.0] * 10)
    assert sum(found.values()) == pytest.approx(1.0) and not is_exact
    assert min(found.values()) >= 0


def test_an_estimate_is_the_same_each_time_and_close_to_the_truth():
    def pairs(rows):
        return (rows[:, ::2] * rows[:, 1::2]).sum(axis=1)

    first, is_exact = contributions(pairs, [1.0] * 12, [0.0] * 12)
    assert first == contributions(pairs, [1.0] * 12, [0.0] * 12)[0] and not is_exact
    # An order and its reverse give each value of a pair its effect once.
    assert first == pytest.approx(dict.fromkeys(range(12), 0.5))


def test_missing_values_do_not_differ_from_missing_ones():
    planned = explain.plan([float("nan"), "", 1.0], [float("nan"), "", 1.0])
    assert planned is not None and planned.differing == []


def test_a_row_of_too_many_differing_values_is_not_explained():
    assert explain.plan([1.0] * 4096, [0.0] * 4096) is None
    planned = explain.plan([1.0] * 784, [0.0] * 784)
    assert planned is not None and len(planned.masks) * 784 <= explain.MAX_CELLS + 2 * 784
