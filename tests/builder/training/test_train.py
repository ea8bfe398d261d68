"""Searches, folds, slices and comparisons; regression on a table."""

import json
from pathlib import Path

import pytest

import artifact_pipeline as api
from artifact_pipeline.errors import ConfigError, GateMissed
from tests.support.churn import CHURN, quick, table
from tests.support.command import call
from tests.support.configs import write

SVC = {"estimator": "sklearn.svm.SVC", "params": {"C": 2}}


@pytest.fixture
def config(tmp_path):
    table(tmp_path / "churn.csv")
    return lambda **parts: write(tmp_path, quick(**parts))


@pytest.mark.slow
@pytest.mark.parametrize(
    "search",
    [
        {"params": {"model__C": [0.01, 1]}, "cv": 3},
        {"method": "random", "n_iter": 3, "params": {"model__C": {"loguniform": [0.01, 10]}},
         "scoring": "roc_auc"},
    ],
)  # fmt: skip
def test_a_search_seals_the_best_candidate_and_lists_all(config, tmp_path, search):
    path = config(search=search, split={"method": "group", "column": "home"})
    run = api.train(path, store=tmp_path / "store")
    verified = api.check_integrity(run.artifact, run.digest)
    found = verified.evaluation().search
    assert len(found.candidates) in (2, 3) and min(one.rank for one in found.candidates) == 1
    estimator = api.load_model(f"{run.artifact}/model_train.pkl", None)
    assert estimator.get_params()["model__C"] == found.best["model__C"]
    assert b"time" not in verified.files["evaluation.json"]
    assert api.reproduce(run.artifact, store=tmp_path / "store").result == "identical"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (
            {"search": {"params": {"model__c": [1]}}},
            "search.params.model__c: the model has no such",
        ),
        (
            {"search": {"params": {"model__C": []}}},
            "found an empty list, expected a list of values",
        ),
        ({"search": {"params": {"model__C": {"uniform": [0, 1]}}}}, "expected a list of values"),
        ({"search": {"params": {"model__C": [1]}, "scoring": "f1_wieghted"}}, "f1_weighted"),
        (
            {"search": {"params": {"model__C": [1]}, "n_iter": 3}},
            "'n_iter' only with a random search",
        ),
        ({"evaluation": {"cv": 1}}, "evaluation.cv: found 1, expected"),
        ({"gates": {"test.accuracy[x]": {"min": 0}}}, "unknown slice 'x'; evaluation.slices names"),
        ({"gates": {"test.accuracy": {"tolerance": 1}}}, "found no bound"),
    ],
)
def test_an_impossible_search_or_gate_is_refused_before_training(config, parts, said):
    with pytest.raises(ConfigError) as caught:
        api.recipe_of(config(**parts))
    assert said in str(caught.value)


@pytest.mark.slow
def test_folds_and_slices_are_reported_beside_held_out_metrics(config, tmp_path):
    slices = {"pune": {"label": "Pune"}, "none": {"label": ""}}
    data = {"drop": ["notes", "review", "zip", "since"]}
    gates = {"test.accuracy[pune]": {"min": 0.3}, "test.roc_auc[none]": {"min": 0.3}}
    path = config(evaluation={"cv": 3, "slices": slices}, data=data, gates=gates)
    done = call("run", path, cwd=tmp_path)
    assert done.code == 0, done.err
    assert "3 folds" in done.out and "slice pune, " in done.out
    manifest = api.open_trusted("latest", store=tmp_path / "artifacts").manifest
    spread = manifest.metrics.cv["accuracy"]
    assert len(spread.folds) == 3 and spread.mean == pytest.approx(sum(spread.folds) / 3)
    assert manifest.metrics.slices["pune"].rows < manifest.split.rows.test
    assert call("report", "latest", cwd=tmp_path).code == 0
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "Held-out rows, by slice" in page and "Over 3 folds" in page


@pytest.mark.slow
def test_a_comparison_passes_misses_or_is_impossible(config, tmp_path):
    store = tmp_path / "store"
    against = {"test.accuracy": {"not_worse_than": "champion", "tolerance": 0.001}}
    first = api.run(config(gates=against), store=store)
    [verdict] = first.gates
    assert verdict.passed and "there is no champion to compare with yet" in verdict.note
    api.promote(first.digest, store=store)
    worse = {"preprocess": "auto", "estimator": "sklearn.dummy.DummyClassifier"}
    with pytest.raises(GateMissed, match="required by champion") as missed:
        api.run(config(gates=against, model=worse), store=store)
    [verdict] = missed.value.run.gates
    record = json.loads(Path(missed.value.run.record).read_bytes())
    assert record["gates"][0]["against"] == first.digest == verdict.against
    assert record["artifact"] == missed.value.run.digest != first.digest
    with pytest.raises(GateMissed, match="not comparable with champion: it was measured on other"):
        api.run(config(gates=against, split={"random_state": 1}), store=store)
    assert (
        api.open_trusted("champion", store=store).manifest
        == api.open_trusted(first.digest, store=store).manifest
    )


@pytest.mark.slow
def test_a_regression_is_trained_on_a_table(config, tmp_path):
    ridge = {"preprocess": "auto", "estimator": "sklearn.ensemble.HistGradientBoostingRegressor"}
    data = {"target": "age", "drop": ["notes", "review", "zip", "churn", "home"]}
    made = quick(data=data, model=ridge)
    del made["data"]["positive"]
    table(tmp_path / "churn.csv", lambda i, row: {**row, "age": row["age"] or 40})
    run = api.train(write(tmp_path, made), store=tmp_path / "store")
    assert set(run.metrics.test) == {"r2", "mae", "rmse"}
    manifest = api.open_trusted(run.artifact).manifest
    assert manifest.interface.outputs[0].name == "prediction"
    assert manifest.parity.form.startswith("onnx")


@pytest.mark.slow
@pytest.mark.parametrize("labels", [("1", "0"), ("true", "false")])
def test_integers_and_booleans_are_labels_of_a_classifier(tmp_path, labels):
    table(tmp_path / "churn.csv", lambda i, row: {**row, "churn": labels[row["churn"] == "no"]})
    config = quick(data={"positive": json.loads(labels[0])})
    run = api.train(write(tmp_path, config), store=tmp_path / "store")
    predictor = api.open_artifact(run.artifact, run.digest)
    row = {"home": ["h1"], "age": [30.0], "a b/€": [20000.0]}
    assert predictor.predict(row).tolist()[0] in (json.loads(labels[0]), json.loads(labels[1]))
    assert "f1" in run.metrics.test


@pytest.mark.slow
@pytest.mark.parametrize(
    ("estimator", "params", "form"),
    [
        ("ensemble.RandomForestClassifier", {"n_estimators": 20}, "onnx"),
        ("ensemble.HistGradientBoostingClassifier", {"max_iter": 20}, "onnx"),
        ("ensemble.GradientBoostingClassifier", {"n_estimators": 20}, "onnx"),
        ("svm.LinearSVC", {}, "onnx"),
        ("ensemble.BaggingClassifier", {"estimator": SVC}, ""),
        ("neighbors.KNeighborsClassifier", {}, ""),
    ],
)
def test_an_estimator_after_a_scaler_is_proven_row_by_row(tmp_path, estimator, params, form):
    table(tmp_path / "churn.csv", count=1500)
    model = {"preprocess": "auto", "estimator": f"sklearn.{estimator}", "params": params}
    run = api.train(write(tmp_path, quick(model=model)), store=tmp_path / "store")
    manifest = api.open_trusted(run.artifact, run.digest).manifest
    assert manifest.parity.form.startswith(form)
    columns = {one.name: one for one in manifest.interface.columns}
    assert columns["age"].nullable  # rows without it were learned from


@pytest.mark.slow
def test_branches_need_feature_columns_of_a_table(tmp_path):
    table(tmp_path / "churn.csv", count=60)
    with pytest.raises(ConfigError, match="a bundled data set is one matrix"):
        api.recipe_of(write(tmp_path, {**CHURN, "data": {"dataset": "iris"}, "split": {}}))
    steps = [{"name": "p", "branches": [{"name": "n", "columns": ["agee"],
                                         "estimator": "passthrough"}]},
             CHURN["model"]["steps"][1]]  # fmt: skip
    with pytest.raises(
        ConfigError, match=r"branches\[0\]: 'agee' is not a feature; did you mean 'age"
    ):
        api.recipe_of(write(tmp_path, {**CHURN, "model": {"steps": steps}}))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("C", "model__C"),
        ("modl__C", "model__C"),
        ("model__c", "model__C"),
        ("strategy", "impute__strategy"),
    ],
)
def test_an_unknown_search_parameter_gets_the_nearest_one(name, hint):
    steps = [
        {"name": "impute", "estimator": "sklearn.impute.SimpleImputer"},
        {"name": "model", "estimator": "sklearn.linear_model.LogisticRegression"},
    ]
    search = {"method": "grid", "params": {name: [1, 2]}}
    with pytest.raises(ConfigError) as caught:
        api.recipe_of({"data": {"dataset": "iris"}, "model": {"steps": steps}, "search": search})
    assert f"search.params.{name}: the model has no such parameter" in str(caught.value)
    assert f"did you mean '{hint}" in caught.value.remedy
