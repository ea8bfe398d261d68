"""Metrics, gates, and what an evaluation keeps of the held-out rows."""

import pytest
import sklearn.metrics
from conftest import SHORT
from hypothesis import given
from hypothesis import strategies as st

from artifact_pipeline import assembly, classification_report, config, loading, splitting, training
from artifact_pipeline.errors import ConfigError
from artifact_pipeline.evaluation import Rival, evaluate, judge
from artifact_pipeline.observation import observe
from artifact_pipeline.settings import Gate


@pytest.fixture(scope="module")
def observed():
    full = config.load(SHORT)
    rows = loading.load(full.data)
    parts = splitting.split(rows, full.split)
    model = training.fit(assembly.build(full.model), parts.X_train, parts.y_train).estimator
    seen = observe(model, parts.X_test, parts.y_test, parts.test_index, rows.label_names)
    return seen, model, parts


def test_the_confusion_table_counts_every_held_out_row_once(observed):
    seen, _, parts = observed
    assert sum(map(sum, seen.confusion)) == seen.rows == len(parts.y_test)
    for scores, row in zip(seen.per_class, seen.confusion, strict=True):
        assert scores.support == sum(row)


def test_examples_are_the_wrong_rows_first_with_their_values(observed):
    seen, model, parts = observed
    wrong = [example.truth != example.label for example in seen.examples]
    assert sum(wrong) == 15 and all(wrong[:15]) and len(wrong) == 100
    first = seen.examples[0]
    where = parts.test_index.tolist().index(first.row)
    assert first.values == parts.X_test[where].tolist()
    alone = model.predict_proba(parts.X_test[where : where + 1])[0]
    assert first.probabilities == pytest.approx(alone.tolist())


def test_calibration_covers_every_row(observed):
    seen, _, _ = observed
    assert sum(bin_.rows for bin_ in seen.calibration) == seen.rows
    assert all(bin_.low <= bin_.confidence <= bin_.high for bin_ in seen.calibration)


def test_a_linear_model_keeps_its_weights(observed):
    seen, model, _ = observed
    assert seen.weights.coef == model.coef_.tolist()


def test_the_classification_report_has_the_figures_of_scikit_learns(observed):
    seen, model, parts = observed
    predicted = model.predict(parts.X_test)
    ours = classification_report(seen, evaluate(parts.y_test, predicted))
    theirs = sklearn.metrics.classification_report(parts.y_test, predicted, digits=4)
    assert ours.split() == theirs.split()


def test_a_bound_is_inside():
    assert judge({"test": {"accuracy": 0.9}}, {"test.accuracy": Gate(min=0.9)})[0].passed
    assert judge({"test": {"accuracy": 0.9}}, {"test.accuracy": Gate(max=0.9)})[0].passed


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_gate_passes_exactly_when_the_metric_lies_within(value, limit):
    low, high = judge({"test": {"accuracy": value}}, {"test.accuracy": Gate(min=limit, max=limit)})
    assert low.passed == (value >= limit)
    assert high.passed == (value <= limit)
    assert (low.margin >= 0) == low.passed


def test_a_missed_gate_names_metric_bound_and_value():
    [verdict] = judge({"train": {"accuracy": 1.0}}, {"train.accuracy": Gate(max=0.99)})
    assert str(verdict) == "train.accuracy is 1.0000, above the most of 0.99"


def test_a_gate_on_a_metric_that_a_model_does_not_have_is_refused():
    with pytest.raises(ConfigError, match=r"gates.test.f1_macro: this model has no such metric"):
        judge({"test": {"accuracy": 1.0}}, {"test.f1_macro": Gate(min=0.5)})


@pytest.mark.parametrize(
    ("metric", "ours", "theirs", "tolerance", "passed"),
    [
        ("accuracy", 0.9, 0.9, 0.0, True),
        ("accuracy", 0.89, 0.9, 0.0, False),
        ("accuracy", 0.89, 0.9, 0.02, True),
        ("mae", 3.0, 4.0, 0.0, True),
        ("mae", 4.5, 4.0, 0.0, False),
        ("mae", 4.5, 4.0, 1.0, True),
        ("log_loss", 0.4, 0.3, 0.0, False),
    ],
)
def test_worse_is_lower_of_a_share_and_higher_of_an_error(metric, ours, theirs, tolerance, passed):
    gate = Gate(not_worse_than="champion", tolerance=tolerance)
    rival = Rival("sha256:1", {"test": {metric: theirs}}, None)
    found = {"test": {metric: ours}}
    [verdict] = judge(found, {f"test.{metric}": gate}, {"champion": rival})
    assert verdict.passed is passed and verdict.against == "sha256:1"
    assert (verdict.margin >= 0) is passed


def test_metrics_of_probabilities_are_those_of_scikit_learn():
    import numpy as np

    truth = np.array(["a", "b", "a", "b", "b"])
    proba = np.array([[0.9, 0.1], [0.4, 0.6], [0.45, 0.55], [0.2, 0.8], [0.6, 0.4]])
    said = np.where(proba[:, 0] > 0.5, "a", "b")
    found = evaluate(truth, said, "class", proba, ["a", "b"], "b")
    sk = sklearn.metrics
    assert found["roc_auc"] == sk.roc_auc_score(truth == "b", proba[:, 1])
    assert found["log_loss"] == pytest.approx(sk.log_loss(truth, proba))
    assert found["brier"] == pytest.approx(sk.brier_score_loss(truth == "b", proba[:, 1]))
    assert found["balanced_accuracy"] == sk.balanced_accuracy_score(truth, said)
    assert found["f1"] == sk.f1_score(truth, said, pos_label="b")
    alone = evaluate(truth[:1], said[:1], "class", proba[:1], ["a", "b"])
    assert "roc_auc" not in alone and "log_loss" in alone
