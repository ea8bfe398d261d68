"""Paired tests give the values of scipy, of scikit-learn and of a calculation by hand."""

from fractions import Fraction
from math import comb

import numpy as np
import pytest
import scipy.stats

from artifact_pipeline.builder.evaluation.metrics import evaluate
from artifact_pipeline.builder.evaluation.weighted_metrics import PredictedRows, prepare
from artifact_pipeline.pipeline import paired_tests
from artifact_pipeline.pipeline.paired_tests import (
    SAMPLES,
    bootstrap,
    interval,
    mcnemar,
    share_worse,
)


def at_most(gained, pairs):
    """The probability of at most `gained` heads among `pairs` coins, as a fraction."""
    return Fraction(sum(comb(pairs, k) for k in range(gained + 1)), 2**pairs)


@pytest.mark.parametrize(
    ("lost", "gained"), [(0, 1), (1, 0), (2, 9), (9, 2), (5, 5), (0, 20), (40, 61), (300, 260)]
)
def test_mcnemar_is_the_exact_binomial_test(lost, gained):
    pairs = lost + gained
    assert mcnemar(lost, gained, alternative="worse") == pytest.approx(
        float(at_most(gained, pairs)), rel=1e-9
    )
    expected = scipy.stats.binomtest(lost, pairs, 0.5).pvalue
    assert mcnemar(lost, gained) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_of_models_that_agree_finds_nothing():
    assert mcnemar(0, 0) == mcnemar(0, 0, alternative="worse") == 1.0


@pytest.mark.parametrize("pairs", [1, 5, 12, 50])
def test_mcnemar_raises_a_false_alarm_no_more_often_than_it_claims(pairs):
    alarms = sum(
        Fraction(comb(pairs, lost), 2**pairs)
        for lost in range(pairs + 1)
        if mcnemar(lost, pairs - lost) <= 0.05
    )
    assert alarms <= Fraction(5, 100)


def two_models(kind, rows, seed=3):
    random = np.random.default_rng(seed)
    if kind == "number":
        truth = random.normal(50, 10, rows)
        return [
            PredictedRows(truth, truth + random.normal(0, spread, rows), target="number")
            for spread in (3, 4)
        ]
    labels = ["a", "b"] if kind == "binary" else ["a", "b", "c", "d"]
    truth = random.choice(labels, rows)
    models = []
    for strength in (1.5, 0.8):
        scores = random.normal(size=(rows, len(labels)))
        scores += strength * (truth[:, None] == np.array(labels))
        proba = np.round(np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True), 2) + 1e-3
        predicted = np.array(labels)[proba.argmax(axis=1)]
        positive = "b" if kind == "binary" else None
        models.append(PredictedRows(truth, predicted, proba, labels, positive))
    return models


@pytest.mark.parametrize("kind", ["binary", "several", "number"])
def test_metrics_of_weighted_rows_are_those_of_repeated_rows(kind):
    rows = two_models(kind, 60)[0]

    def of(index):
        proba = rows.probabilities
        return evaluate(
            rows.truth[index],
            rows.predicted[index],
            target=rows.target,
            probabilities=None if proba is None else proba[index],
            labels=rows.labels,
            positive=rows.positive,
        )

    names = of(np.arange(60)).keys()
    drawn = np.random.default_rng(5).integers(60, size=(20, 60))
    weights = np.array([np.bincount(index, minlength=60) for index in drawn], dtype=float).T
    measured = prepare(rows, names)(weights)
    assert len(names) == {"binary": 12, "several": 9, "number": 3}[kind]
    for sample, index in enumerate(drawn):
        expected = of(index)
        for name in names:
            assert measured[name][sample] == pytest.approx(expected[name], rel=1e-8), name


def test_a_metric_that_is_undefined_on_a_sample_is_nan():
    rows = two_models("binary", 8)[0]
    weights = ((rows.truth == "a") & (rows.predicted == "a"))[:, None] * 1.0
    measured = prepare(rows, ["recall", "f1", "roc_auc", "accuracy"])(weights)
    assert np.isnan([measured[name][0] for name in ("recall", "f1", "roc_auc")]).all()
    assert measured["accuracy"][0] == 1.0
    numbers = PredictedRows(np.array([0.1, 0.1, 7.0]), np.array([1.0, 2.0, 3.0]), target="number")
    assert np.isnan(prepare(numbers, ["r2"])(np.array([[2.0], [1.0], [0.0]]))["r2"][0])


def test_the_interval_is_that_of_scipy():
    first, second = two_models("number", 400)
    low, high = interval(bootstrap(first, second, names=["mae"])["mae"], 0.95)
    errors = [abs(rows.predicted - rows.truth) for rows in (second, first)]
    theirs = scipy.stats.bootstrap(
        errors,
        lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis),
        paired=True,
        n_resamples=SAMPLES,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    width = theirs.high - theirs.low
    assert low == pytest.approx(theirs.low, abs=0.1 * width)
    assert high == pytest.approx(theirs.high, abs=0.1 * width)


def test_samples_are_the_same_each_time_and_equal_models_never_differ():
    first, second = two_models("several", 50)
    names = ["accuracy", "log_loss", "roc_auc"]
    once, again = (bootstrap(first, second, names=names) for _ in range(2))
    assert all((once[name] == again[name]).all() for name in names)
    same = bootstrap(first, first, names=names)
    assert all((same[name] == 0).all() for name in names)
    assert share_worse(same["accuracy"], 0.0, lower_is_better=False) == 0


def test_the_share_of_worse_samples_knows_the_direction_and_the_tolerance():
    differences = np.array([-0.3, -0.1, 0.0, 0.2])
    assert share_worse(differences, 0.0, lower_is_better=False) == 0.5
    assert share_worse(differences, 0.1, lower_is_better=False) == 0.25
    assert share_worse(differences, 0.0, lower_is_better=True) == 0.25


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["binary", "several", "number"])
def test_of_many_rows_a_bounded_bootstrap_gives_nearly_the_same_intervals(kind, monkeypatch):
    models = two_models(kind, 6000)
    names = {"binary": ["accuracy", "f1", "f1_macro", "precision", "log_loss", "brier", "roc_auc"],
             "several": ["accuracy", "balanced_accuracy", "f1_weighted", "log_loss", "roc_auc"],
             "number": ["mae", "rmse", "r2"]}[kind]  # fmt: skip
    complete = bootstrap(*models, names=names)
    monkeypatch.setattr(paired_tests, "MAX_ROWS", 1500)
    measured = []
    prepare_rows = paired_tests.prepare

    def counted(rows, *arguments):
        measured.append(len(rows.truth))
        return prepare_rows(rows, *arguments)

    monkeypatch.setattr(paired_tests, "prepare", counted)
    bounded = bootstrap(*models, names=names)
    assert measured.count(6000) <= 2  # the difference on all rows, once
    assert list(bounded) == names
    for name in names:
        assert len(bounded[name]) == SAMPLES
        assert bounded[name].std() == pytest.approx(complete[name].std(), rel=0.15)
        assert bounded[name].mean() == pytest.approx(
            complete[name].mean(), abs=0.3 * complete[name].std()
        )
    again = bootstrap(*models, names=names)
    assert all((again[name] == bounded[name]).all() for name in names)
