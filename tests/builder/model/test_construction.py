"""Construction of estimators: accepted names, filled-in defaults, and refusals."""

import importlib
import sys

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from artifact_pipeline.builder.config.resolved import ModelConfig, Step
from artifact_pipeline.builder.formats import pickle_format
from artifact_pipeline.builder.model.construction import build, requested_n_jobs, resolve
from artifact_pipeline.builder.model.fit import fit
from artifact_pipeline.errors import ConfigError
from artifact_pipeline.pipeline.in_process import train_model
from tests.support.command import call
from tests.support.configs import write

LOGISTIC = "sklearn.linear_model.LogisticRegression"
FOREST = "sklearn.ensemble.RandomForestClassifier"
SCALER = "sklearn.preprocessing.StandardScaler"
X = np.random.default_rng(0).normal(size=(60, 3))
y = (X[:, 0] > 0).astype(int)


def test_an_unset_random_state_is_filled_in_and_a_set_one_kept():
    assert resolve(ModelConfig(estimator=FOREST), 7).params["random_state"] == 7
    own = ModelConfig(estimator=FOREST, params={"random_state": 3})
    assert resolve(own, 7).params["random_state"] == 3


def test_random_states_inside_a_pipeline_are_filled_in():
    model = ModelConfig(
        steps=[
            Step(name="reduce", estimator="sklearn.decomposition.PCA"),
            Step(name="model", estimator=FOREST),
        ]
    )
    assert [step.params["random_state"] for step in resolve(model, 7).steps] == [7, 7]


def test_n_jobs_is_not_part_of_the_model():
    model = ModelConfig(estimator=FOREST, params={"n_jobs": 2, "n_estimators": 5})
    assert resolve(model, 7) == resolve(
        ModelConfig(estimator=FOREST, params={"n_estimators": 5}), 7
    )
    assert requested_n_jobs(model) == 2
    assert requested_n_jobs(ModelConfig(estimator=FOREST)) is None
    assert requested_n_jobs(ModelConfig(estimator=FOREST, params={"n_jobs": -1})) == -1


def test_resolving_is_idempotent():
    once = resolve(
        ModelConfig(
            steps=[
                Step(name="scale", estimator=SCALER),
                Step(name="model", estimator=LOGISTIC, params={"C": 2}),
            ]
        ),
        7,
    )
    assert resolve(once, 9) == once


@pytest.mark.parametrize(
    ("model", "where", "message"),
    [
        ((LOGISTIC, {"C": -1}), "model.params.C", "found -1, expected a float in the range (0"),
        ((LOGISTIC, {"C": "1"}), "model.params.C", "found '1', expected a float in the range (0"),
        ((LOGISTIC, {"solver": "lbfs"}), "model.params.solver", "found 'lbfs', expected a str"),
        ((LOGISTIC, {"Cc": 1}), "model.params", "has no parameter 'Cc'; did you mean 'C'?"),
        ((LOGISTIC, {"random_state": None}), "model.params.random_state", "found null, expected"),
        ((FOREST, {"n_jobs": "2"}), "model.params.n_jobs", "found '2', expected a number of proc"),
        ((FOREST, {"n_jobs": 0}), "model.params.n_jobs", "found 0, expected a number of proc"),
        (("sklearn.linear_model.Ridge", {}), "model.estimator", "is not a classifier"),
        ((SCALER, {}), "model.estimator", "is not a classifier"),
        (("sklearn.linear_model.LogisticRegresion", {}), "model.estimator", "did you mean 'Logist"),
        (("sklearn.nope.Tree", {}), "model.estimator", "scikit-learn has no sklearn.nope"),
        (("sklearn.base.BaseEstimator", {}), "model.estimator", "has no estimator"),
        (("sklearn.ensemble.BaseEnsemble", {}), "model.estimator", "has no estimator"),
        (("sklearn.ensemble.VotingClassifier", {}), "model.params", "needs the parameter 'estim"),
        (("sklearn.pipeline.Pipeline", {"steps": "ab"}), "model.params.steps", "found 'ab', exp"),
        (("os.system", {}), "model.estimator", "found 'os.system', expected the public name"),
        (
            ("RandomForest", {}),
            "model.estimator",
            "did you mean sklearn.ensemble.RandomForestClassifier?",
        ),
        (("subprocess.Popen", {"args": "ls"}), "model.estimator", "expected the public name"),
        (("sklearn", {}), "model.estimator", "expected the public name"),
        (("sklearn.linear_model._logistic.LogisticRegression", {}), "model.estimator", "public"),
        (("sklearn.externals.conftest.Foo", {}), "model.estimator", "expected the public name"),
        (("sklearn..linear_model.LogisticRegression", {}), "model.estimator", "expected the publ"),
        (("sklearn.linear_model.LogisticRegression\n", {}), "model.estimator", "expected the pub"),
        (("", {}), "model.estimator", "expected the public name"),
    ],
)
def test_an_invalid_estimator_is_refused_with_location_and_remedy(model, where, message):
    with pytest.raises(ConfigError) as caught:
        resolve(ModelConfig(estimator=model[0], params=model[1]), 42)
    assert str(caught.value.location) == where
    assert message in caught.value.message
    assert "\n" not in caught.value.message


def nested(name, **params):
    return {"estimator": f"sklearn.{name}", "params": params}


def test_a_nested_estimator_is_seeded_and_loses_n_jobs():
    bagged = ModelConfig(estimator="sklearn.ensemble.BaggingClassifier", params={
        "n_estimators": 3, "n_jobs": 2,
        "estimator": nested("ensemble.RandomForestClassifier", n_estimators=2, n_jobs=3),
    })  # fmt: skip
    once = resolve(bagged, 7)
    assert once.params["random_state"] == 7
    assert once.params["estimator"]["params"] == {"n_estimators": 2, "random_state": 7}
    assert requested_n_jobs(bagged) == 3
    assert resolve(once, 9) == once
    assert build(once).estimator.n_estimators == 2
    assert fit(build(once), X, y).estimator.predict(X).shape == (60,)


def test_named_estimators_in_a_list_vote_and_are_stacked():
    members = [
        ["tree", nested("tree.DecisionTreeClassifier")],
        ["bayes", nested("naive_bayes.GaussianNB")],
    ]
    for name in ("VotingClassifier", "StackingClassifier"):
        model = resolve(
            ModelConfig(estimator=f"sklearn.ensemble.{name}", params={"estimators": members}), 7
        )
        assert model.params["estimators"][0][1]["params"] == {"random_state": 7}
        assert fit(build(model), X, y).estimator.predict(X).shape == (60,)
    inner = {"estimator": "sklearn.pipeline.Pipeline", "params": {"steps": [["scale", nested(
        "preprocessing.StandardScaler")], ["model", nested("svm.SVC", C=2)]]}}  # fmt: skip
    model = resolve(ModelConfig(estimator="sklearn.multiclass.OneVsRestClassifier",
                          params={"estimator": inner}), 7)  # fmt: skip
    assert fit(build(model), X, y).estimator.predict(X).shape == (60,)


def test_a_kernel_is_nested_like_an_estimator():
    kernel = nested("gaussian_process.kernels.Sum",
                    k1=nested("gaussian_process.kernels.RBF", length_scale=2.0),
                    k2=nested("gaussian_process.kernels.WhiteKernel"))  # fmt: skip
    name = "sklearn.gaussian_process.GaussianProcessClassifier"
    built = build(resolve(ModelConfig(estimator=name, params={"kernel": kernel}), 7))
    assert str(built.kernel) == "RBF(length_scale=2) + WhiteKernel(noise_level=1)"


def test_lists_become_tuples_and_pairs_become_a_dict_where_the_estimator_wants_them():
    scaled = ModelConfig(steps=[
        Step(name="scale", estimator="sklearn.preprocessing.MinMaxScaler",
             params={"feature_range": [0, 2]}),
        Step(name="model", estimator=FOREST, params={"class_weight": [[0, 1], [1, 5]]}),
    ])  # fmt: skip
    built = build(resolve(scaled, 7))
    assert built[0].feature_range == (0, 2)
    assert built[1].class_weight == {0: 1, 1: 5}
    assert fit(built, X, y).estimator.predict(X).shape == (60,)
    layers = ModelConfig(estimator="sklearn.neural_network.MLPClassifier",
                   params={"hidden_layer_sizes": [5, 3]})  # fmt: skip
    assert list(build(resolve(layers, 7)).hidden_layer_sizes) == [5, 3]


@pytest.mark.parametrize(
    ("value", "where", "message"),
    [
        (nested("svm.SVC", C=-1), "model.params.estimator.params.C", "found -1, expected"),
        (nested("svm.SVC", Cc=1), "model.params.estimator.params", "no parameter 'Cc'"),
        (nested("svm.SVX"), "model.params.estimator.estimator", "did you mean 'SV"),
        ({"estimator": "os.system"}, "model.params.estimator.estimator", "the public name"),
        ({"estimator": "sklearn.svm.SVC", "parms": {}}, "model.params.estimator", "did you mean"),
        ({"estimator": "sklearn.svm.SVC", "params": []}, "model.params.estimator.params", "an obj"),
        (nested("svm.SVC", random_state=None), "model.params.estimator.params.random_state",
         "found null"),
        (nested("gaussian_process.kernels.Kernel"), "model.params.estimator.estimator", "no est"),
        ("svc", "model.params.estimator", "found 'svc', expected"),
    ],
)  # fmt: skip
def test_an_invalid_nested_estimator_is_refused_by_location(value, where, message):
    model = ModelConfig(estimator="sklearn.ensemble.BaggingClassifier", params={"estimator": value})
    with pytest.raises(ConfigError) as caught:
        resolve(model, 42)
    assert str(caught.value.location) == where and message in caught.value.message


def test_a_step_that_cannot_transform_is_refused_by_its_number():
    model = ModelConfig(
        steps=[
            Step(name="scale", estimator=SCALER),
            Step(name="a", estimator=LOGISTIC),
            Step(name="b", estimator=LOGISTIC),
        ]
    )
    with pytest.raises(ConfigError, match=r"model.steps\[1\].estimator: .* cannot transform"):
        resolve(model, 42)


def test_a_name_from_another_package_is_refused_before_any_import(tmp_path, monkeypatch):
    (tmp_path / "evil.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError):
        resolve(ModelConfig(estimator="evil.Model"), 42)
    assert "evil" not in sys.modules


def test_incompatible_parameters_are_refused_in_one_line():
    model = resolve(ModelConfig(estimator=LOGISTIC, params={"penalty": "l1"}), 42)
    with pytest.raises(ConfigError, match=r"supports only 'l2' or None penalties"):
        fit(build(model), X, y)


def test_a_fit_that_did_not_converge_is_reported_in_one_line():
    fitted = fit(build(resolve(ModelConfig(estimator=LOGISTIC, params={"max_iter": 1}), 42)), X, y)
    assert fitted.warnings == (
        "LogisticRegression did not converge within max_iter=1; raise max_iter, or scale the "
        "features.",
    )


def test_fits_of_a_search_that_did_not_converge_are_reported_in_one_line():
    model = GridSearchCV(LogisticRegression(max_iter=1), {"C": [0.1, 1.0]}, cv=2)
    assert fit(model, X, y).warnings == (
        "LogisticRegression did not converge in some fits of the search; raise max_iter, or scale "
        "the features.",
    )


def test_train_model_accepts_only_the_model_keys_of_the_short_form():
    model = train_model(X, y, {"C": 0.5, "solver": "lbfgs", "max_iter": 50})
    assert (model.C, model.max_iter) == (0.5, 50)
    assert model.coef_.shape == (1, 3)


def test_train_model_accepts_the_full_form():
    config = {"data": {"dataset": "iris"}, "model": {"estimator": FOREST}}
    assert train_model(X, y, config).random_state == 42


def test_train_model_refuses_an_unknown_key():
    with pytest.raises(ConfigError, match=r"unknown key 'max_iters'; did you mean 'max_iter'"):
        train_model(X, y, {"C": 1.0, "max_iters": 5})


@pytest.mark.slow
def test_an_estimator_that_fits_but_cannot_predict_is_a_wrong_config(project):
    """Held-out rows hold categories that CategoricalNB has not seen, and its index runs out."""
    model = {"estimator": "sklearn.naive_bayes.CategoricalNB"}
    done = call("train", write(project, {"data": {"dataset": "digits"}, "model": model}),
                cwd=project)  # fmt: skip
    assert done.code == 2 and done.err.count("\n") == 1, done.err
    assert ": model: scikit-learn cannot predict: index " in done.err


def test_a_search_whose_fits_all_fail_gives_the_reason_of_one():
    search = build(ModelConfig(estimator="sklearn.model_selection.GridSearchCV", params={
        "estimator": {"estimator": LOGISTIC}, "param_grid": {"C": [1.0]}, "cv": 2}))  # fmt: skip
    with pytest.raises(ConfigError) as caught:
        fit(search, X, np.zeros(60, dtype=int))
    assert caught.value.problem.startswith(
        "scikit-learn cannot fit: All the 2 fits failed. ValueError: This solver needs samples of"
    )


def test_an_error_of_xgboost_is_its_sentence():
    wrong = ModelConfig(estimator="xgboost.XGBRegressor", params={"objective": "reg:nothing"})
    with pytest.raises(ConfigError) as caught:
        fit(build(wrong), X, X[:, 0])
    assert caught.value.problem == (
        "scikit-learn cannot fit: Unknown objective function: `reg:nothing`"
    )


def test_an_estimator_that_declares_no_constraints_is_fitted():
    """FeatureUnion alone has none among scikit-learn's; a wrong list is refused by its fit."""
    from sklearn.datasets import load_iris

    X, y = load_iris(return_X_y=True)
    scaler = {"estimator": "sklearn.preprocessing.StandardScaler"}

    def config(inner):
        union = {
            "estimator": "sklearn.pipeline.FeatureUnion",
            "params": {"transformer_list": inner},
        }
        tree = {"name": "m", "estimator": "sklearn.tree.DecisionTreeClassifier"}
        return {"data": {"dataset": "iris"}, "model": {"steps": [{"name": "u", **union}, tree]}}

    assert train_model(X, y, config([["s", scaler]])).predict(X[:1]) == [0]
    with pytest.raises(ConfigError, match="model"):
        train_model(X, y, config(["/tmp/x"]))


def test_a_feature_union_and_an_iterative_imputer_are_made():
    union = nested("pipeline.FeatureUnion", transformer_list=[["s", nested(SCALER[8:])]])
    steps = [
        Step(name="union", estimator=union["estimator"], params=union["params"]),
        Step(name="fill", estimator="sklearn.impute.IterativeImputer"),
        Step(name="model", estimator=LOGISTIC),
    ]
    built = build(resolve(ModelConfig(steps=steps), 7))
    assert built[1].random_state == 7
    assert fit(built, X, y).estimator.predict(X).shape == (60,)


@pytest.mark.parametrize("name", ["numpy.square", "scipy.special.expit"])
def test_a_function_is_named_by_its_public_name(name):
    steps = [
        Step(
            name="f", estimator="sklearn.preprocessing.FunctionTransformer", params={"func": name}
        ),
        Step(name="model", estimator=LOGISTIC),
    ]
    once = resolve(ModelConfig(steps=steps), 7)
    assert resolve(once, 7) == once
    module, _, function = name.rpartition(".")
    expected = getattr(importlib.import_module(module), function)(X)
    np.testing.assert_array_equal(build(once)[0].transform(X), expected)


def test_a_regressor_learns_the_transformed_target():
    target = np.exp(X[:, 0])
    params = {"regressor": nested("linear_model.LinearRegression"),
              "func": "numpy.log", "inverse_func": "numpy.exp"}  # fmt: skip
    name = "sklearn.compose.TransformedTargetRegressor"
    built = build(resolve(ModelConfig(estimator=name, params=params), 7, target="number"))
    np.testing.assert_allclose(fit(built, X, target).estimator.predict(X), target)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("numpy.log1", "such as 'numpy.log1p'"),
        ("os.system", "such as 'numpy.log1p'"),
        ("numpy.load", "such as 'numpy.log1p'"),
        ("numpy.random.seed", "such as 'numpy.log1p'"),
        ("log1p", "such as 'numpy.log1p'"),
        ("", "such as 'numpy.log1p'"),
    ],
)
def test_no_other_function_is_named(function, message):
    steps = [
        Step(
            name="f",
            estimator="sklearn.preprocessing.FunctionTransformer",
            params={"func": function},
        ),
        Step(name="model", estimator=LOGISTIC),
    ]
    with pytest.raises(ConfigError) as caught:
        resolve(ModelConfig(steps=steps), 7)
    assert str(caught.value.location) == "model.steps[0].params.func"
    assert message in caught.value.message


@pytest.mark.parametrize("name", ["LabelEncoder", "LabelBinarizer", "MultiLabelBinarizer"])
def test_an_encoder_of_targets_is_refused_among_the_steps(name):
    steps = [
        Step(name="encode", estimator=f"sklearn.preprocessing.{name}"),
        Step(name="model", estimator=LOGISTIC),
    ]
    with pytest.raises(ConfigError, match=r"encodes the target.*OrdinalEncoder"):
        resolve(ModelConfig(steps=steps), 7)


def test_a_search_among_the_parameters_is_the_same_to_the_byte_whenever_it_ran():
    params = {"estimator": nested("linear_model.LogisticRegression"), "param_grid": {"C": [1, 2]}}
    model = resolve(ModelConfig(estimator="sklearn.model_selection.GridSearchCV", params=params), 7)
    assert len({pickle_format.dump(fit(build(model), X, y).estimator) for _ in range(2)}) == 1
