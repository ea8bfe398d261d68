"""`run` on a regression: metrics, parity and gates."""

import json

import numpy as np
import pytest

import artifact_pipeline as api
from artifact_pipeline.builder.formats.base import FORMS, Outputs
from artifact_pipeline.builder.formats.parity import compare
from artifact_pipeline.errors import CallError, ConfigError, VerificationError
from tests.support.command import call
from tests.support.configs import write

RIDGE = {
    "data": {"dataset": "diabetes"},
    "model": {"estimator": "sklearn.linear_model.Ridge"},
    "gates": {"test.r2": {"min": 0.3}, "test.mae": {"max": 60}},
}


@pytest.fixture(scope="module")
def ridge(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ridge")
    done = call("run", write(folder, RIDGE), "--json", cwd=folder)
    assert done.code == 0, done.err
    return folder, done.json


def with_model(name, **params):
    return {**RIDGE, "model": {"estimator": f"sklearn.{name}", "params": params}, "gates": {}}


def test_a_regression_has_its_own_metrics_interface_and_parity(ridge):
    folder, run = ridge
    manifest = api.open_trusted(folder / run["artifact"], run["digest"]).manifest
    assert set(manifest.metrics.test) == {"r2", "mae", "rmse"}
    assert 0.35 < manifest.metrics.test["r2"] < 0.5
    assert manifest.interface.labels == [] and manifest.interface.outputs[0].name == "prediction"
    assert manifest.recipe.split.stratify is False
    assert (manifest.parity.form, manifest.parity.bound) == ("onnx-float64", 1e-9)
    assert [gate["passed"] for gate in run["gates"]] == [True, True]


@pytest.mark.slow
def test_a_regression_predicts_numbers(ridge):
    folder, run = ridge
    row = ",".join(["0.01"] * 10)
    told = call("infer", "latest", "-", "--json", cwd=folder, stdin=f"{row}\n{row}\n".encode())
    assert told.code == 0, told.err
    assert told.json["labels"] is None and told.json["accuracy"] is None
    assert len(told.json["predictions"]) == 2 and 50 < told.json["predictions"][0] < 300
    predictor = api.open_artifact(folder / run["artifact"], run["digest"])
    assert predictor.predict([[0.01] * 10]).tolist() == [told.json["predictions"][0]]
    with pytest.raises(CallError, match="gives no probabilities"):
        predictor.predict_proba([[0.01] * 10])
    held_out = call("infer", "latest", cwd=folder)
    assert "mean absolute error on the 89 held-out rows: 46.139" in held_out.out


@pytest.mark.slow
def test_every_reading_command_accepts_a_regression(ridge):
    folder, run = ridge
    for words in (("show", "latest"), ("list",), ("evaluate", "latest"), ("report", "latest"),
                  ("compare", "latest", "latest"), ("doctor",)):  # fmt: skip
        done = call(*words, cwd=folder)
        assert done.code == 0, (words, done.err)
    page = (folder / "report.html").read_text("utf-8")
    for text in ("Held-out R²", "Errors on the held-out rows", "Predicted by true"):
        assert text in page
    assert "Confusion" not in page and "classes" not in page
    card = (folder / run["artifact"] / "README.md").read_text("utf-8")
    assert "tabular-regression" in card and "| R² |" in card


@pytest.mark.slow
def test_a_regression_is_reproducible_to_the_byte(ridge):
    folder, _ = ridge
    done = call("reproduce", "latest", "--strict", "--json", cwd=folder)
    assert (done.code, done.json["result"]) == (0, "identical")


def test_a_missed_gate_of_a_regression_exits_1(ridge):
    folder, _ = ridge
    done = call("run", "config.json", "--gates", '{"test.mae": {"max": 10}}', cwd=folder)
    assert done.code == 1 and "test.mae is 46.139, above the maximum of 10" in done.err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            with_model("linear_model.LogisticRegression"),
            "LogisticRegression predicts classes: it is not a regressor, and the target is a "
            "number; use a regressor, such as sklearn.linear_model.Ridge",
        ),
        (
            {**RIDGE, "data": {"dataset": "iris"}},
            "Ridge predicts numbers: it is not a classifier, and the target is a class; "
            "use a classifier, such as sklearn.linear_model.LogisticRegression",
        ),
        ({**RIDGE, "split": {"stratify": True}}, "split.stratify: found true, and numbers have no"),
    ],
)
def test_a_model_that_does_not_suit_the_target_is_refused(tmp_path, config, message):
    with pytest.raises(ConfigError) as caught:
        api.recipe_of(write(tmp_path, config))
    assert message in str(caught.value)


def test_a_gate_on_a_classification_metric_lists_the_valid_ones(ridge):
    folder, _ = ridge
    done = call("run", "config.json", "--gates", '{"test.accuracy": {"min": 0}}', cwd=folder)
    assert done.code == 2 and "mae, r2, rmse" in done.err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("ensemble.RandomForestRegressor", "onnx-float64"),
        ("ensemble.HistGradientBoostingRegressor", "onnx-float64"),
        ("svm.SVR", "onnx-float32"),
        ("dummy.DummyRegressor", "skops"),
    ],
)
def test_other_regressors_are_sealed_in_a_proven_form(tmp_path, name, form):
    run = api.train(with_model(name), store=tmp_path)
    assert api.open_trusted(run.artifact, run.digest).manifest.parity.form == form


@pytest.mark.parametrize(
    ("distance", "holds"), [(0.0, True), (5e-9, True), (2e-8, False), (float("nan"), False)]
)
def test_parity_of_numbers_is_relative_to_their_spread(distance, holds):
    expected = Outputs(np.array([0.0, 5.0, 10.0]), None)
    found = Outputs(np.array([0.0, 5.0 + distance, 10.0]), None)
    assert (compare(FORMS[0], found, expected=expected) is not None) is holds


@pytest.mark.parametrize(
    "change",
    [
        lambda seen: seen.pop("errors"),
        lambda seen: seen["errors"].pop(),
        lambda seen: seen.update(errors=None),
        lambda seen: seen["examples"][0].update(truth="x" * 10),
        lambda seen: seen["examples"][0]["values"].pop(),
    ],
)
def test_an_inconsistent_evaluation_is_refused_or_shown(ridge, tmp_path, change):
    import shutil

    from artifact_pipeline.builder import canonical
    from tests.support.artifacts import reseal

    folder, run = ridge
    copy = shutil.copytree(folder / run["artifact"], tmp_path / "artifact")
    seen = json.loads((copy / "evaluation.json").read_bytes())
    change(seen)
    digest = reseal(copy, "evaluation.json", canonical.encode(seen))
    with pytest.raises(VerificationError):
        api.write_report(copy, tmp_path / "r.html")
    assert api.open_trusted(copy, digest)
