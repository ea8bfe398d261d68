"""Graphs of LightGBM's and XGBoost's estimators."""

import json
import sys

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import artifact_pipeline as api
from artifact_pipeline.builder.config.resolved import ModelConfig
from artifact_pipeline.builder.formats import onnx_boosters, onnx_export, onnx_format
from artifact_pipeline.builder.model.construction import build, resolve
from artifact_pipeline.builder.model.estimators import predict_with_proba
from artifact_pipeline.builder.model.fit import fit
from artifact_pipeline.errors import ConfigError, Location
from tests.support.command import call
from tests.support.configs import write

LIGHT = {"n_estimators": 5, "deterministic": True, "force_row_wise": True, "n_jobs": 1,
         "verbosity": -1}  # fmt: skip
EXTREME = {"n_estimators": 5, "n_jobs": 1}
IRIS = load_iris(return_X_y=True)
CANCER = load_breast_cancer(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)


def with_holes(data):
    X = data[0].copy()
    X[np.random.default_rng(1).random(X.shape) < 0.2] = np.nan
    return X, data[1]


def with_categories():
    random = np.random.default_rng(2)
    X = np.column_stack([random.integers(0, 40, 400), random.normal(size=400)]).astype(float)
    return X, ((X[:, 0].astype(int) * 7919 % 3 == 0) ^ (X[:, 1] > 1)).astype(int)


def unseen(estimator, X):
    """Rows at thresholds and one step beside them, with missing values, and far outside."""
    random = np.random.default_rng(3)
    last = estimator[-1] if hasattr(estimator, "steps") else estimator
    read = (
        onnx_boosters._read_lightgbm if hasattr(last, "booster_") else onnx_boosters._read_xgboost
    )
    nodes = [node for tree in read(last).trees for node in tree if node.mode != "LEAF"]
    rows = X[random.integers(0, len(X), 300)].copy()
    for row in rows:
        node = nodes[random.integers(len(nodes))]
        t = node.threshold
        values = [t, np.nextafter(t, np.inf), np.nextafter(t, -np.inf), float(np.float32(t)),
                  np.nan, 0.0, -0.0, 1e-38, -1e30, 1e30, 1.5, -0.5]  # fmt: skip
        row[node.feature] = values[random.integers(len(values))]
    return np.vstack([X, rows])


@pytest.mark.parametrize(
    ("estimator", "data"),
    [
        (lightgbm.LGBMClassifier(**LIGHT), IRIS),
        (lightgbm.LGBMClassifier(**LIGHT), with_holes(CANCER)),
        (lightgbm.LGBMClassifier(**LIGHT), (IRIS[0], np.array(["a", "b", "c"])[IRIS[1]])),
        (lightgbm.LGBMClassifier(**LIGHT, boosting_type="rf", bagging_freq=1,
                                 bagging_fraction=0.7), CANCER),
        (make_pipeline(StandardScaler(), lightgbm.LGBMClassifier(**LIGHT)), CANCER),
        (lightgbm.LGBMRegressor(**LIGHT), with_holes(DIABETES)),
        (lightgbm.LGBMRegressor(**LIGHT, objective="fair"), DIABETES),
        (lightgbm.LGBMRegressor(**LIGHT, objective="poisson"), DIABETES),
        (xgboost.XGBClassifier(**EXTREME), IRIS),
        (xgboost.XGBClassifier(**EXTREME), with_holes(CANCER)),
        (xgboost.XGBClassifier(**EXTREME, base_score=0.9), CANCER),
        (xgboost.XGBClassifier(**EXTREME, missing=0.2), IRIS),
        (xgboost.XGBClassifier(**EXTREME, enable_categorical=True, feature_types=["c", "q"],
                               max_cat_to_onehot=2), with_categories()),
        (make_pipeline(StandardScaler(), xgboost.XGBClassifier(**EXTREME)), CANCER),
        (xgboost.XGBRFClassifier(**EXTREME), IRIS),
        (xgboost.XGBRegressor(**EXTREME), with_holes(DIABETES)),
        (xgboost.XGBRegressor(**EXTREME, objective="reg:gamma"), DIABETES),
    ],
)  # fmt: skip
def test_a_graph_matches_the_booster_at_every_threshold(estimator, data):
    X, y = data
    fitted = estimator.fit(X, y)
    rows = unseen(fitted, X)
    form, graph = next(onnx_export.export(fitted, rows))
    assert form.dtype == "float64"
    found = onnx_format.load(graph.data, Location("m"))(rows)
    predicted, probabilities = predict_with_proba(fitted, rows)
    exact = "LGBM" in repr(estimator)  # XGBoost computes in float32
    if probabilities is None:
        bound = (1e-12 if exact else 1e-5) * np.ptp(predicted)
        np.testing.assert_allclose(found.predicted, predicted, atol=bound)
    else:
        np.testing.assert_array_equal(found.predicted, predicted)
        bound = 1e-12 if exact else 1e-6
        np.testing.assert_allclose(found.probabilities, probabilities, rtol=0, atol=bound)


@pytest.mark.parametrize(
    ("estimator", "data"),
    [
        # scikit-learn calibrates LightGBM's decision function, and XGBoost's probabilities.
        (CalibratedClassifierCV(lightgbm.LGBMClassifier(**LIGHT), cv=2), CANCER),
        (CalibratedClassifierCV(xgboost.XGBClassifier(**EXTREME), cv=2), CANCER),
        (OneVsRestClassifier(lightgbm.LGBMClassifier(**LIGHT)), IRIS),
    ],
)  # fmt: skip
def test_a_graph_matches_a_wrapper_of_boosters(estimator, data):
    X, y = data
    fitted = estimator.fit(X, y)
    rows = X + np.random.default_rng(4).normal(size=X.shape) * X.std(axis=0)
    _, graph = next(onnx_export.export(fitted, rows))
    outputs = onnx_format.load(graph.data, Location("m"))(rows)
    np.testing.assert_array_equal(outputs.predicted, fitted.predict(rows))
    np.testing.assert_allclose(outputs.probabilities, fitted.predict_proba(rows), atol=1e-6)


def test_lightgbm_truncates_fractions_of_categories():
    X, y = with_categories()
    fitted = lightgbm.LGBMClassifier(**LIGHT, min_data_per_group=5, cat_smooth=1)
    fitted.fit(X, y, categorical_feature=[0])
    rows = unseen(fitted, X)
    rows[::3, 0] += 0.5
    found = onnx_format.load(next(onnx_export.export(fitted, rows))[1].data, Location("m"))(rows)
    np.testing.assert_allclose(found.probabilities, fitted.predict_proba(rows), atol=1e-6)


@pytest.mark.parametrize(
    "estimator",
    [
        xgboost.XGBClassifier(**EXTREME, booster="dart"),
        xgboost.XGBClassifier(**EXTREME, booster="gblinear"),
        lightgbm.LGBMClassifier(**LIGHT, linear_tree=True),
        lightgbm.LGBMClassifier(**LIGHT, zero_as_missing=True),
    ],
)
def test_a_booster_without_a_graph_is_refused_in_one_line(estimator, tmp_path):
    fitted = estimator.fit(*CANCER)
    with pytest.raises(ConfigError, match=r"no open form .* equal .*; choose another estimator"):
        api.seal(fitted, *CANCER, store=tmp_path / "s")
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("package", ["lightgbm", "xgboost"])
def test_an_imported_booster_records_the_version_of_its_package(package, tmp_path):
    X, y = pd.DataFrame(CANCER[0]).add_prefix("f"), CANCER[1]
    models = {"lightgbm": lightgbm.LGBMClassifier(**LIGHT),
              "xgboost": xgboost.XGBClassifier(**EXTREME)}  # fmt: skip
    model = make_pipeline(StandardScaler(), models[package]).fit(X[::2], y[::2])
    sealed = api.seal(model, X[1::2], y[1::2], store=tmp_path)
    manifest = api.open_trusted(sealed.artifact).manifest
    assert manifest.recipe.packages[package] == sys.modules[package].__version__
    np.testing.assert_array_equal(api.open_artifact(sealed.artifact).predict(X), model.predict(X))


def test_deterministic_parameters_are_filled_in():
    model = resolve(ModelConfig(estimator="lightgbm.LGBMClassifier", params={"n_jobs": 8}), 7)
    settings = {"deterministic": True, "force_row_wise": True, "n_jobs": 1, "random_state": 7}
    assert settings.items() <= model.params.items()
    model = resolve(ModelConfig(estimator="xgboost.XGBClassifier", params={"n_jobs": 8}), 7)
    assert model.params == {"n_jobs": 1, "random_state": 7}
    assert resolve(model, 9) == model


def test_xgboost_accepts_labels_of_any_type():
    X, y = IRIS
    texts = np.array(["a", "b", "c"])[y]
    name = ModelConfig(estimator="xgboost.XGBClassifier", params={"n_estimators": 3})
    model = resolve(name, 7, labels=["a", "b", "c"])
    assert model.estimator == "sklearn.ensemble.VotingClassifier"
    assert resolve(model, 7, labels=["a", "b", "c"]) == model
    assert resolve(name, 7, labels=[0, 1, 2]).estimator == "xgboost.XGBClassifier"
    voted = fit(build(model), X, texts).estimator
    alone = fit(build(resolve(name, 7)), X, y).estimator
    np.testing.assert_array_equal(voted.predict_proba(X), alone.predict_proba(X))
    np.testing.assert_array_equal(voted.predict(X), np.array(["a", "b", "c"])[alone.predict(X)])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lightgbm.LGBMClasifier", "did you mean 'lightgbm.LGBMClassifier'?"),
        ("lightgbm.plot_tree", "expected one of: lightgbm.LGBMClassifier, lightgbm.LGBMRegressor"),
        ("lightgbm.sklearn.LGBMClassifier", "lightgbm.LGBMClassifier"),
        ("xgboost.core.Booster", "xgboost.XGB"),
        ("lightgbm", "lightgbm.LGBMClassifier"),
    ],
)
def test_other_classes_of_the_packages_are_refused(name, message):
    with pytest.raises(ConfigError) as caught:
        resolve(ModelConfig(estimator=name), 7)
    assert str(caught.value.location) == "model.estimator" and message in caught.value.message


@pytest.mark.parametrize("name", ["lightgbm.LGBMClassifier", "xgboost.XGBRegressor"])
def test_a_missing_package_is_named_with_the_command_that_installs_it(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name.partition(".")[0], None)
    with pytest.raises(ConfigError, match=r"(\w+) is not installed; pip install \1"):
        resolve(ModelConfig(estimator=name), 7)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lightgbm.LGBMClassifier", "xgboost.XGBClassifier"])
def test_a_booster_on_text_and_missing_values_is_reproducible(name, project):
    random = np.random.default_rng(4)
    table = pd.DataFrame({"a": random.normal(size=300).round(3),
                          "t": random.choice(["red", "green", "blue"], 300)})  # fmt: skip
    table["y"] = np.where((table["a"] > 0) ^ (table["t"] == "red"), "yes", "no")
    table.loc[::7, "a"] = np.nan
    table.to_csv(project / "t.csv", index=False)
    branches = [
        {"name": "n", "columns": ["a"], "estimator": "passthrough"},
        {"name": "t", "columns": ["t"], "estimator": "sklearn.preprocessing.OneHotEncoder",
         "params": {"handle_unknown": "ignore", "sparse_output": False}},
    ]  # fmt: skip
    steps = [{"name": "prep", "branches": branches}, {"name": "model", "estimator": name}]
    config = {"data": {"path": "t.csv", "target": "y"}, "model": {"steps": steps}}
    path = write(project, config)
    digests = set()
    for threads in ("1", "2"):
        done = call("run", path, "--store", threads, "--json", cwd=project,
                    env={"OMP_NUM_THREADS": threads, "PYTHONHASHSEED": threads})  # fmt: skip
        assert done.code == 0, done.err
        digests.add(done.json["digest"])
    assert len(digests) == 1
    predictor = api.open_artifact(done.json["digest"], store=project / "2")
    estimator = api.load_model(
        project / done.json["artifact"] / "model_train.pkl",
        json.loads((project / done.json["artifact"] / "manifest.json").read_text())["files"][-1][
            "sha256"
        ],
    )
    X = table[["a", "t"]]
    np.testing.assert_array_equal(predictor.predict(X), estimator.predict(X))
