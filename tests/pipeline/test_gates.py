"""Gates that compare with another artifact and with the baseline."""

import json
import shutil

import numpy as np
import pytest
import scipy.stats
import sklearn.datasets
import sklearn.dummy
import sklearn.metrics
import sklearn.model_selection

import artifact_pipeline as api
from artifact_pipeline.builder.artifact.manifest import Metrics, Slice
from artifact_pipeline.builder.config import loader
from artifact_pipeline.builder.config.resolved import Gate
from artifact_pipeline.builder.evaluation.metrics import evaluate
from artifact_pipeline.builder.evaluation.weighted_metrics import PredictedRows
from artifact_pipeline.errors import ConfigError, GateMissed
from artifact_pipeline.pipeline.gates import judge, unjudged
from artifact_pipeline.pipeline.incumbents import Incumbent, PairedRows
from tests.support.command import call
from tests.support.configs import QUICK, SHORT, write

NOBODY = {"champion": Incumbent(digest=None, metrics=None, problem=None)}
ACTIONS = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": "summary"}


def test_without_an_incumbent_a_gate_passes_unjudged_unless_one_is_required():
    metrics, gate = Metrics(test={"accuracy": 0.9}), Gate(not_worse_than="champion")
    [passed] = judge(metrics, {"test.accuracy": gate}, incumbents=NOBODY)
    assert passed.passed and not passed.judged
    [warning] = unjudged([passed])
    assert "there is no champion to compare with yet" in warning and '"required": true' in warning
    required = Gate(not_worse_than="champion", required=True)
    [missed] = judge(metrics, {"test.accuracy": required}, incumbents=NOBODY)
    assert not missed.passed and missed.judged and not unjudged([missed])
    assert str(missed).endswith(
        "there is no champion to compare with yet, and the gate requires one"
    )


@pytest.mark.parametrize(
    ("metric", "value", "baseline", "passed"),
    [("accuracy", 0.9, 0.5, True), ("accuracy", 0.5, 0.5, False), ("accuracy", 0.4, 0.5, False),
     ("mae", 1.0, 2.0, True), ("mae", 2.0, 2.0, False), ("log_loss", 0.9, 0.69, False)],
)  # fmt: skip
def test_better_than_the_baseline_is_strict_and_knows_the_direction(
    metric, value, baseline, passed
):
    metrics, gates = Metrics(test={metric: value}), {f"test.{metric}": Gate(better_than="baseline")}
    [verdict] = judge(metrics, gates, baseline=Metrics(test={metric: baseline}))
    assert verdict.passed is passed and verdict.limit == baseline
    assert ("not better than" in str(verdict)) is not passed


def test_a_slice_is_compared_with_the_baseline_on_that_slice():
    gates = {"test.accuracy[pune]": Gate(better_than="baseline")}

    def on_slice(value):
        return Metrics(test={"accuracy": 0.1}, slices={"pune": Slice(4, {"accuracy": value})})

    [verdict] = judge(on_slice(0.6), gates, baseline=on_slice(0.5))
    assert verdict.passed and verdict.limit == 0.5


def test_an_artifact_without_a_baseline_does_not_pass_for_better_than_one():
    gates = {"test.accuracy": Gate(better_than="baseline")}
    [verdict] = judge(Metrics(test={"accuracy": 1.0}), gates)
    assert not verdict.passed and "has no baseline metrics" in str(verdict)


@pytest.mark.parametrize(
    ("name", "gate", "message"),
    [("test.accuracy", {"min": 0, "required": True}, "found 'required' without 'not_worse_than'"),
     ("train.accuracy", {"better_than": "baseline"}, "held-out rows only; name the gate test.acc"),
     ("test.accuracy", {"better_than": "champion"}, "gates.test.accuracy.better_than: ")],
)  # fmt: skip
def test_an_impossible_comparison_is_refused(name, gate, message):
    with pytest.raises(ConfigError) as caught:
        loader.load({**QUICK, "gates": {name: gate}})
    assert message in str(caught.value)


def test_the_sealed_baseline_is_that_of_scikit_learn(digits):
    baseline = api.open_trusted(digits.folder).evaluation().baseline
    X, y = sklearn.datasets.load_digits(return_X_y=True)
    parts = sklearn.model_selection.train_test_split(
        X, y, test_size=0.2, random_state=42, stratify=y
    )
    X_train, X_test, y_train, y_test = parts
    dummy = sklearn.dummy.DummyClassifier(strategy="prior").fit(X_train, y_train)
    assert baseline.test["accuracy"] == dummy.score(X_test, y_test)
    expected = sklearn.metrics.log_loss(y_test, dummy.predict_proba(X_test))
    assert baseline.test["log_loss"] == pytest.approx(expected)
    assert baseline.train is None and baseline.test.keys() == digits.run["metrics"]["test"].keys()


@pytest.mark.slow
def test_a_gate_that_was_not_judged_is_seen_in_terminal_annotation_and_summary(project, digits):
    shutil.copytree(digits.store, project / "artifacts")
    gates = {"test.accuracy": {"not_worse_than": "champion"}}
    path = write(project, {**SHORT, "gates": gates})
    done = call("run", path, cwd=project, env=ACTIONS)
    assert done.code == 0, done.err
    assert "NOT JUDGED: there is no champion to compare with yet" in " ".join(done.out.split())
    assert "warning: the gate test.accuracy not worse than champion was not judged" in done.err
    assert (
        "::warning title=artifact-pipeline%3A gate not judged::the gate test.accuracy" in done.err
    )
    summary = (project / "summary").read_text("utf-8")
    assert "> [!WARNING]" in summary and "| **not judged** | test.accuracy not worse" in summary
    done = call("evaluate", "latest", "--config", path, cwd=project, env=ACTIONS)
    assert done.code == 0 and "warning: the gate test.accuracy not worse than" in done.err
    assert "::warning title=artifact-pipeline%3A gate not judged::the gate test.acc" in done.err
    gates["test.accuracy"]["required"] = True
    done = call("run", write(project, {**SHORT, "gates": gates}), cwd=project, env=ACTIONS)
    assert done.code == 1 and "the gate requires one" in done.err
    assert "::error title=artifact-pipeline%3A gate missed::" in done.err


@pytest.mark.slow
def test_a_useless_model_is_not_better_than_the_baseline(project):
    gates = {"test.accuracy": {"better_than": "baseline"}}
    assert api.run({**QUICK, "gates": gates}).gates[0].passed
    useless = {"estimator": "sklearn.dummy.DummyClassifier", "params": {}}
    with pytest.raises(GateMissed, match=r"not better than the 0\.3333 of the baseline"):
        api.run({**QUICK, "model": useless, "gates": gates})
    evaluated = api.evaluate("latest", {**QUICK, "gates": gates})
    assert evaluated.gates[0].passed and evaluated.gates[0].limit == pytest.approx(1 / 3)


@pytest.mark.slow
def test_a_slice_of_a_regression_has_a_baseline_too(project):
    rows = "".join(f"{i},{'ab'[i % 2]},{i * 2}\n" for i in range(60))
    write(project, f"size,city,price\n{rows}", "homes.csv")
    config = {
        "data": {"path": "homes.csv", "target": "price"},
        "model": {"preprocess": "auto", "estimator": "sklearn.linear_model.LinearRegression"},
        "evaluation": {"slices": {"a": {"city": "a"}}},
        "gates": {"test.mae[a]": {"better_than": "baseline"}},
    }
    run = api.run(config)
    baseline = api.open_trusted(run.artifact).evaluation().baseline
    assert run.gates[0].limit == baseline.slices["a"].metrics["mae"]
    assert baseline.slices["a"].rows == run.metrics.slices["a"].rows


def predicted(lost, gained, same=30):
    """Rows as the incumbent and the candidate label them: only one, or both, correctly."""
    count = lost + gained + same
    truth = np.zeros(count, dtype=int)
    incumbent, candidate = truth.copy(), truth.copy()
    candidate[:lost] = 1
    incumbent[lost : lost + gained] = 1
    return PairedRows(PredictedRows(truth, incumbent), PredictedRows(truth, candidate))


def judged(paired, metric="accuracy", **gate):
    values = [evaluate(rows.truth, rows.predicted, target=rows.target)[metric] for rows in paired]
    incumbent = Incumbent(
        digest="sha256:1", metrics=Metrics(test={metric: values[0]}), problem=None, paired=paired
    )
    gates = {f"test.{metric}": Gate(not_worse_than="champion", **gate)}
    [verdict] = judge(Metrics(test={metric: values[1]}), gates, incumbents={"champion": incumbent})
    return verdict


@pytest.mark.parametrize(
    ("lost", "gained", "confidence", "passed"),
    [
        # P(X <= 0) of 4 coins is 1/16, of 5 coins 1/32.
        (4, 0, 0.95, True),
        (5, 0, 0.95, False),
        (5, 0, 0.99, True),
        (4, 0, 0.9, False),
        (0, 5, 0.95, True),
        (0, 0, 0.95, True),
        (9, 9, 0.95, True),
    ],
)
def test_an_accuracy_misses_only_if_mcnemar_finds_it_worse(lost, gained, confidence, passed):
    verdict = judged(predicted(lost, gained), confidence=confidence)
    pairs = lost + gained
    expected = scipy.stats.binomtest(gained, pairs, alternative="less").pvalue if pairs else 1.0
    assert verdict.p_value == pytest.approx(expected)
    assert verdict.passed is passed and verdict.confidence == confidence
    assert (verdict.margin < 0) is (lost > gained)
    assert not judged(predicted(lost, gained)).passed or lost <= gained


def test_an_accuracy_with_a_tolerance_is_judged_by_the_bootstrap():
    """McNemar's test would find 5 of 5 rows worse, whatever the tolerance is."""
    assert judged(predicted(5, 0), confidence=0.95, tolerance=0.5).passed
    verdict = judged(predicted(20, 0), confidence=0.95, tolerance=0.1)
    assert not verdict.passed and "and by more than 0.1 with 95% confidence (boot" in str(verdict)


@pytest.mark.parametrize(("tolerance", "passed"), [(0.0, False), (0.5, False), (1.5, True)])
def test_numbers_miss_only_if_samples_are_worse_by_more_than_the_tolerance(tolerance, passed):
    random = np.random.default_rng(0)
    truth = random.normal(size=200)
    errors = random.uniform(0.5, 1.5, size=200)
    rows = [PredictedRows(truth, truth + e, target="number") for e in (errors, errors + 1)]
    verdict = judged(PairedRows(*rows), "mae", tolerance=tolerance, confidence=0.95)
    assert verdict.passed is passed and verdict.p_value == (1.0 if passed else 0.0)
    back = judged(PairedRows(*rows[::-1]), "mae", tolerance=tolerance, confidence=0.95)
    assert back.passed and back.p_value == 1.0


def test_a_difference_within_chance_misses_without_a_confidence_only():
    random = np.random.default_rng(1)
    truth = random.normal(size=100)
    rows = [PredictedRows(truth, truth + random.normal(size=100), target="number")
            for _ in range(2)]  # fmt: skip
    is_worse = judged(PairedRows(*rows), "mae").margin < 0
    pair = PairedRows(*(rows if is_worse else rows[::-1]))
    assert not judged(pair, "mae").passed
    verdict = judged(pair, "mae", confidence=0.95)
    assert verdict.passed and "but not with 95% confidence (bootstrap, p = " in str(verdict)


def test_a_paired_test_that_is_impossible_is_a_miss_with_the_reason():
    incumbent = Incumbent(
        digest="sha256:1",
        metrics=Metrics(test={"accuracy": 0.1}),
        problem=None,
        paired="the data is gone",
    )
    gates = {"test.accuracy": Gate(not_worse_than="champion", confidence=0.95)}
    [verdict] = judge(Metrics(test={"accuracy": 0.9}), gates, incumbents={"champion": incumbent})
    assert not verdict.passed and "no paired test with champion: the data is gone" in str(verdict)


@pytest.mark.parametrize("name", ["train.accuracy", "test.accuracy[pune]"])
def test_a_paired_test_of_other_rows_is_refused(name):
    gate = {"not_worse_than": "champion", "confidence": 0.95}
    slices = {"evaluation": {"slices": {"pune": {"city": "Pune"}}}}
    data = {"data": {"path": "t.csv", "target": "y"}}
    with pytest.raises(ConfigError, match="a paired test is made on all held-out rows only"):
        loader.load({**QUICK, **data, **slices, "gates": {name: gate}})


@pytest.mark.slow
def test_a_run_is_judged_by_a_paired_test_and_remembers_it(project, digits):
    shutil.copytree(digits.store, project / "artifacts")
    api.promote(digits.digest)
    gates = {
        "test.accuracy": {"not_worse_than": "champion", "confidence": 0.95},
        "test.log_loss": {"not_worse_than": "champion", "confidence": 0.95},
    }
    path = write(project, {**SHORT, "C": 1e-4, "gates": gates})
    with pytest.raises(GateMissed) as missed:
        api.train(path)
    comparison = api.compare(digits.digest, missed.value.run.digest)
    accuracy, loss = missed.value.run.gates
    pair = comparison.pairs[0]
    expected = scipy.stats.binomtest(pair.gained, pair.gained + pair.lost, alternative="less")
    assert accuracy.p_value == pytest.approx(expected.pvalue) and not accuracy.passed
    assert loss.p_value == 0.0 and not loss.passed
    assert "worse by 0.0306, and with 95% confidence (McNemar's test, p = 0.013)" in str(accuracy)
    done = call("run", path, "--gates", json.dumps({"test.accuracy": {**gates["test.accuracy"],
                "confidence": 0.99}}), cwd=project)  # fmt: skip
    text = " ".join(done.out.split())
    assert (
        done.code == 0 and "not worse than champion (99% confidence) 0.9278 passed: worse" in text
    )
    evaluated = api.evaluate(missed.value.run.digest, path)
    assert [gate.p_value for gate in evaluated.gates] == [accuracy.p_value, 0.0]
