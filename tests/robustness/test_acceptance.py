"""A sample of the estimators and pipelines that `python -m benchmarks.acceptance` tries."""

import random

import pytest
from benchmarks.acceptance import cases, outcome

SAMPLE = random.Random(16).sample(cases(), 25)
COMMON = [
    ("sklearn.ensemble.RandomForestClassifier", "one-hot", "class"),
    ("sklearn.ensemble.RandomForestClassifier", "isotonic", "class"),
    ("sklearn.linear_model.LogisticRegression", "threshold", "class"),
    ("sklearn.linear_model.Ridge", "transformed target", "number"),
]


@pytest.mark.parametrize(("name", "way", "target"), COMMON)
def test_common_pipelines_are_sealed_and_predict_the_same(name, way, target):
    result = outcome(name, way, target)
    assert result.form not in ("refused", "fault"), result


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "way", "target"), SAMPLE)
def test_every_estimator_is_sealed_or_refused_in_one_line(name, way, target):
    result = outcome(name, way, target)
    assert result.form != "fault", result
    assert "\n" not in result.reason and "Traceback" not in result.reason
