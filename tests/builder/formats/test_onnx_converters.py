"""Small inputs that were once predicted wrongly; scikit-learn gives the right value."""

from __future__ import annotations

import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import (
    LogisticRegression,
    RidgeClassifier,
    SGDClassifier,
    TweedieRegressor,
)
from sklearn.naive_bayes import BernoulliNB, GaussianNB
from sklearn.neighbors import RadiusNeighborsRegressor
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
    TargetEncoder,
)
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

import artifact_pipeline
from artifact_pipeline.errors import DataError
from tests.support.command import call
from tests.support.configs import write

LOGISTIC = {"estimator": "sklearn.linear_model.LogisticRegression"}


@pytest.fixture
def seal(tmp_path):
    """Seal an estimator that is measured on its own rows, and open it."""

    def sealed(estimator: Any, X: Any, y: Any) -> Any:
        found = artifact_pipeline.seal(estimator, X, y, store=tmp_path / "store")
        return artifact_pipeline.open_artifact(found.artifact, digest=found.digest)

    return sealed


def trained(folder: Path) -> Any:
    """Return the estimator in the one artifact of a store."""
    [path] = (folder / "artifacts").glob("*/model_train.pkl")
    return pickle.loads(path.read_bytes())


def with_branch(transformer: Any, columns: Any, model: Any) -> Any:
    return make_pipeline(ColumnTransformer([("branch", transformer, columns)]), model)


@pytest.mark.parametrize("strategy", ["constant", "most_frequent"])
def test_a_missing_text_is_filled_with_a_text_that_no_row_holds_or_one_for_each_fold(
    seal, strategy
):
    """No text of the rows gets the answers of a missing one."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"t": np.array(["r", "g", "b", None] * 15, object)})
    y = rng.random(60) < np.where(table.t == "r", 0.9, np.where(table.t.isna(), 0.5, 0.2))
    encoder = make_pipeline(
        SimpleImputer(strategy=strategy, fill_value="none", missing_values=np.nan),
        OneHotEncoder(handle_unknown="ignore", sparse_output=False),
    )
    inner = with_branch(encoder, ["t"], GaussianNB())
    folds = [(np.arange(30), np.arange(30, 60)), (np.arange(30, 60), np.arange(30))]
    table.loc[:29, "t"] = table.t[:30].replace("g", "r")
    table.loc[30:, "t"] = table.t[30:].replace("g", "b")
    estimator = CalibratedClassifierCV(inner, cv=folds).fit(table, y)
    predictor = seal(estimator, table, y)
    assert predictor.predict_proba(table) == pytest.approx(estimator.predict_proba(table))


def test_a_missing_text_may_be_a_category_of_its_own(seal):
    table = pd.DataFrame({"t": np.array(["r", "g", None, "r"] * 20, object)})
    y = table.t.isna().astype(int)
    estimator = with_branch(OneHotEncoder(handle_unknown="ignore"), ["t"], LogisticRegression())
    predictor = seal(estimator.fit(table, y), table, y)
    assert predictor.predict(table).tolist() == y.tolist()
    asked = pd.DataFrame({"t": ["None", "nan", "r"]})
    assert predictor.predict(asked).tolist() == estimator.predict(asked).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "estimator",
    [
        DecisionTreeClassifier(max_depth=2),
        RandomForestClassifier(4, random_state=0),
        ExtraTreesClassifier(4, random_state=0),
        pytest.param(HistGradientBoostingClassifier(max_iter=4), marks=pytest.mark.slow),
    ],
    ids=lambda one: type(one).__name__,
)
def test_trees_trained_without_missing_numbers_match_scikit_learn_on_them(seal, estimator):
    rng = np.random.default_rng(3)
    table = pd.DataFrame(rng.normal(size=(200, 2)).round(2), columns=["a", "b"])
    y = np.where(table.b < 0, "no", np.where(table.a < 0.8, "yes", "no"))
    predictor = seal(estimator.fit(table, y), table, y)
    asked = pd.DataFrame({"a": [np.nan, np.nan, 0.3, np.nan], "b": [1.0, -1.0, np.nan, np.nan]})
    assert predictor.predict(asked).tolist() == estimator.predict(asked).tolist()
    assert predictor.predict_proba(asked) == pytest.approx(estimator.predict_proba(asked))


def test_an_estimator_that_refuses_a_missing_number_refuses_it_by_row_and_column(seal):
    table = pd.DataFrame({"a": np.arange(40.0), "b": np.arange(40.0) % 3})
    y = (table.a > 20).astype(int)
    predictor = seal(GradientBoostingClassifier(n_estimators=3).fit(table, y), table, y)
    with pytest.raises(DataError, match="X, row 2, column 'a': is missing"):
        predictor.predict(pd.DataFrame({"a": [1.0, np.nan], "b": [0.0, 1.0]}))


CODES = pd.DataFrame({"k": [1.5, -0.3, 7.0, 2.0000001, 1.0, -0.0]})


@pytest.mark.parametrize(
    "encoder",
    [
        OneHotEncoder(handle_unknown="ignore"),
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
    ],
    ids=lambda one: type(one).__name__,
)
def test_an_encoder_distinguishes_close_numbers(seal, encoder):
    table = pd.DataFrame({"k": np.arange(80.0) % 4})
    y = np.where(table.k == 1, "yes", "no")
    estimator = make_pipeline(encoder, LogisticRegression()).fit(table, y)
    predictor = seal(estimator, table, y)
    assert predictor.predict(CODES).tolist() == estimator.predict(CODES).tolist()
    assert predictor.predict_proba(CODES) == pytest.approx(estimator.predict_proba(CODES))


@pytest.mark.parametrize("encoder", [OneHotEncoder(), OrdinalEncoder()], ids=["one-hot", "ordinal"])
@pytest.mark.parametrize("value", CODES.k[:4].tolist())
def test_a_number_that_an_encoder_refuses_is_refused_by_row_and_column(seal, encoder, value):
    table = pd.DataFrame({"k": np.arange(80.0) % 4})
    y = np.where(table.k == 1, "yes", "no")
    predictor = seal(make_pipeline(encoder, DecisionTreeClassifier()).fit(table, y), table, y)
    with pytest.raises(
        DataError, match=r"X, row 2, column 'k': is .*, but the model accepts only 0, 1, 2"
    ):
        predictor.predict(pd.DataFrame({"k": [1.0, value]}))


@pytest.mark.parametrize("loss", ["hinge", "log_loss", "modified_huber"])
def test_labels_follow_the_decision_function(seal, loss):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(500, 2))
    y = np.array(["lo", "mid", "hi"])[
        np.digitize(X[:, 0] + 0.6 * rng.normal(size=500), [-0.5, 0.5])
    ]
    estimator = SGDClassifier(loss=loss, random_state=0).fit(X, y)
    predictor = seal(estimator, X, y)
    far = rng.normal(size=(2000, 2)) * 100
    assert predictor.predict(far).tolist() == estimator.predict(far).tolist()
    assert predictor.manifest.metrics.test["accuracy"] == estimator.score(X, y)


def test_a_forest_of_20_matches_scikit_learn_even_in_ties(seal):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 4, (400, 3)).astype(float)
    y = rng.integers(0, 3, 400)
    estimator = RandomForestClassifier(20, max_depth=4, random_state=0).fit(X, y)
    predictor = seal(estimator, X, y)
    found = predictor.outputs(X)
    assert found.predicted.tolist() == estimator.predict(X).tolist()
    assert np.array_equal(found.probabilities, estimator.predict_proba(X))
    assert found.probabilities.min() >= 0 and found.probabilities.max() <= 1


def test_a_forest_splits_at_exact_thresholds(seal):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2))
    y = X[:, 0] * 3 + X[:, 1]
    estimator = RandomForestRegressor(4, random_state=0).fit(X, y)
    predictor = seal(estimator, X, y)
    tree = estimator.estimators_[0].tree_
    edges = tree.threshold[tree.feature == 0]
    near = [np.nextafter(np.float32(edges), np.float32(way)) for way in (-np.inf, np.inf)]
    values = np.concatenate([edges, *near, np.nextafter(edges, np.inf), np.nextafter(edges, -9)])
    asked = np.column_stack([values, np.zeros(len(values))]).astype(np.float64)
    assert predictor.predict(asked).tolist() == estimator.predict(asked).tolist()


@pytest.mark.slow
def test_missing_values_are_accepted_in_column_201(seal):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(60, 201)), columns=[f"f{i}" for i in range(201)])
    y = np.where(table.f0 > 0, "p", "n")
    table.loc[::4, "f200"] = np.nan
    estimator = make_pipeline(SimpleImputer(), LogisticRegression()).fit(table, y)
    predictor = seal(estimator, table, y)
    table.loc[1::4, "f150"] = np.nan
    assert predictor.predict(table).tolist() == estimator.predict(table).tolist()


def test_rows_without_a_number_for_an_answer_have_none_and_others_are_answered(seal):
    """No training row is near some rows; the number of the others is the mean of those near."""
    a = np.random.default_rng(0).uniform(0, 10, 200).round(2)
    X = pd.DataFrame({"a": np.where(np.arange(200) % 9, a, np.nan)})
    filled = make_pipeline(SimpleImputer(), RadiusNeighborsRegressor(0.3)).fit(X, 2 * a)
    predictor = seal(filled, X, 2 * a)
    new = pd.DataFrame({"a": [5.0, 5.123, np.nan, 9.87, 30.0, 100.0]})
    with warnings.catch_warnings(action="ignore"):
        expected = filled.predict(new)
        assert np.isnan(expected).tolist() == [False, False, False, False, True, True]
        np.testing.assert_allclose(predictor.predict(new[:4]), expected[:4], rtol=1e-9)
        np.testing.assert_array_equal(np.isnan(predictor.predict(new)), np.isnan(expected))


def test_a_binarizer_takes_the_threshold_itself_for_the_lower_side(seal):
    rng = np.random.default_rng(3)
    X = pd.DataFrame({"a": rng.normal(size=90).round(3), "b": rng.integers(0, 5, 90) + 0.25})
    y = (X.a + 0.2 * X.b > 0.8).to_numpy()
    model = make_pipeline(Binarizer(threshold=0.5), BernoulliNB()).fit(X, y)
    predictor = seal(model, X, y)
    assert predictor.manifest.parity.form == "onnx-float64"
    new = pd.DataFrame({"a": [0.5, np.nextafter(0.5, 1), np.nextafter(0.5, 0)], "b": 1.25})
    expected = model.predict_proba(new)
    assert expected[0, 1] == expected[2, 1] != expected[1, 1]
    np.testing.assert_allclose(predictor.predict_proba(new), expected, atol=1e-9)


def test_a_number_that_one_column_refuses_does_not_limit_another(seal):
    """The logarithm of -1 is refused in `z`, and -1 is a number like any other in `n`."""
    rng = np.random.default_rng(1)
    X = pd.DataFrame(
        {"z": rng.exponential(size=90).round(3) + 1, "n": rng.normal(size=90).round(3)}
    )
    y = X.n + np.log1p(X.z) > 1
    logarithm = ColumnTransformer([("z", FunctionTransformer(np.log1p), ["z"])],
                                  remainder="passthrough")  # fmt: skip
    model = make_pipeline(logarithm, LogisticRegression()).fit(X, y)
    predictor = seal(model, X, y)
    new = pd.DataFrame({"z": [2.5, 3.0], "n": [-1.0, 0.12345]})
    np.testing.assert_allclose(predictor.predict_proba(new), model.predict_proba(new), atol=1e-9)
    with pytest.raises(DataError, match="row 1, column 'z'"):
        predictor.predict(pd.DataFrame({"z": [-1.0], "n": [0.5]}))


def test_an_estimator_without_names_of_columns_is_opened(seal):
    X = pd.DataFrame({"n": np.arange(40.0) % 13})
    y = X.n.to_numpy() ** 2
    model = IsotonicRegression(out_of_bounds="clip").fit(X, y)
    predictor = seal(model, X, y)
    new = pd.DataFrame({"n": [0.5, 3.0, 12.75]})
    np.testing.assert_allclose(predictor.predict(new), model.predict(new), rtol=1e-9)


@pytest.mark.parametrize("power", [0.0, 1.5, 2.0])
def test_a_transformed_target_of_a_generalized_linear_model_is_sealed(seal, power):
    X = pd.DataFrame({"a": np.linspace(-1, 1, 60), "b": np.arange(60) % 7 / 7})
    y = np.exp(X.a + 0.1 * X.b)
    model = TransformedTargetRegressor(TweedieRegressor(power=power), func=np.log1p,
                                       inverse_func=np.expm1).fit(X, y)  # fmt: skip
    predictor = seal(model, X, y)
    np.testing.assert_allclose(predictor.predict(X + 0.01), model.predict(X + 0.01), rtol=1e-9)


@pytest.mark.parametrize("encoder", [OneHotEncoder(), OrdinalEncoder()], ids=["one-hot", "ordinal"])
def test_an_unseen_text_in_column_120_is_refused_by_row_and_column(seal, encoder):
    table = pd.DataFrame({"c": [f"c{i % 120:03d}" for i in range(360)]})
    y = np.where(np.arange(360) % 120 < 60, "yes", "no")
    estimator = with_branch(encoder, ["c"], LogisticRegression()).fit(table, y)
    predictor = seal(estimator, table, y)
    assert predictor.predict(table).tolist() == estimator.predict(table).tolist()
    with pytest.raises(DataError, match="X, row 2, column 'c': is 'zzz'"):
        predictor.predict(pd.DataFrame({"c": ["c001", "zzz"]}))


@pytest.mark.parametrize("columns", [["a"], ["a", "b"]], ids=["one", "two"])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(
    "encoder",
    [
        OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=5),
        OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=50),
        OneHotEncoder(handle_unknown="ignore", min_frequency=15, sparse_output=False),
        TargetEncoder(cv=3),
    ],
    ids=["group", "no group", "ignored", "target"],
)
def test_infrequent_unseen_and_target_encoded_texts_match_scikit_learn(
    seal, encoder, classes, columns
):
    rng = np.random.default_rng(0)
    often = [f"v{min(int(k), 20)}" if k > 0.5 else "" for k in rng.exponential(4, size=300)]
    table = pd.DataFrame({"a": np.array(often, object), "b": rng.choice(["é", "e"], 300)})
    y = pd.Series(rng.normal(size=300) + (table.a == "v1")).rank().mul(classes / 301).astype(int)
    estimator = with_branch(encoder, columns, LogisticRegression()).fit(table, y)
    predictor = seal(estimator, table, y)
    assert predictor.manifest.parity.form == "onnx-float64"
    asked = pd.DataFrame({"a": ["v1", "v20", "new", "", "infrequent_sklearn"], "b": "e"})
    np.testing.assert_allclose(
        predictor.predict_proba(asked), estimator.predict_proba(asked), rtol=1e-12
    )


@pytest.mark.parametrize("vectorizer", [TfidfVectorizer, CountVectorizer])
def test_capitals_of_every_script_tokenize_as_in_scikit_learn(seal, vectorizer):
    good, bad = ["καλος", "γρηγορος fine"], ["κακος", "αργος issue straße"]
    notes = [f"{(good if i % 2 else bad)[i // 2 % 2]} δρομος" for i in range(80)]
    table, y = pd.DataFrame({"r": notes}), ["pos" if i % 2 else "neg" for i in range(80)]
    estimator = with_branch(vectorizer(), "r", LogisticRegression()).fit(table, y)
    predictor = seal(estimator, table, y)
    asked = pd.DataFrame(
        {"r": ["ΚΑΛΟΣ ΔΡΟΜΟΣ", "FİNE Straẞe", "ſtraße ISSUE", "ΓΡΗΓΟΡΟΣ\u2028ΑΡΓΟΣ", ""]}
    )
    assert predictor.predict_proba(asked) == pytest.approx(estimator.predict_proba(asked), abs=1e-5)


@pytest.mark.slow
def test_a_run_seals_the_metrics_of_the_form_that_it_serves(project):
    rng = np.random.default_rng(1)
    a = rng.normal(size=500).round(3)
    y = np.array(["lo", "mid", "hi"])[np.digitize(a + 0.6 * rng.normal(size=500), [-0.5, 0.5])]
    pd.DataFrame({"a": a, "b": rng.normal(size=500).round(3), "y": y}).to_csv("t.csv", index=False)
    for model in (
        {"estimator": "sklearn.ensemble.RandomForestClassifier", "params": {"n_estimators": 20}},
        {"estimator": "sklearn.ensemble.AdaBoostClassifier", "params": {"n_estimators": 5}},
    ):
        config = {"data": {"path": "t.csv", "target": "y"}, "model": model}
        done = call("run", write(project, config), "--json", cwd=project)
        assert done.code == 0, done.err
        again = call("evaluate", done.json["digest"], "--json", cwd=project)
        assert again.code == 0, again.err
        assert again.json["metrics"]["test"] == done.json["metrics"]["test"]


@pytest.mark.slow
def test_the_parameters_that_a_search_chose_are_recorded(project):
    config = {
        "data": {"dataset": "iris"},
        "model": {**LOGISTIC, "params": {"max_iter": 1000}},
        "search": {"method": "grid", "params": {"C": [1e-4, 0.5]}, "cv": 3},
    }
    done = call("run", write(project, config), "--json", cwd=project)
    assert done.code == 0, done.err
    estimator = trained(project)
    assert estimator.C == 0.5
    folder = project / done.json["artifact"]
    shown = call("show", "latest", cwd=project).out
    report = Path(done.json["report"]).read_text("utf-8")
    for text in (shown, (folder / "README.md").read_text("utf-8").replace("\\", ""), report):
        assert "C=0.5" in text.replace("&quot;", '"')
        assert "chosen by a grid search" in text
    seen = json.loads((folder / "evaluation.json").read_text("utf-8"))
    assert seen["search"]["best"] == {"C": 0.5}


def test_an_encoder_beside_a_vectorizer_keeps_capitals(seal):
    """Its labels alone do not tell that an encoder keeps them apart."""
    rng = np.random.default_rng(0)
    words = np.array(["good", "bad", "καλος", "fine"], dtype=object)
    table = pd.DataFrame({"kind": rng.choice(words, 80), "note": rng.choice(words, 80)})
    y = (table.kind == "good").astype(int)
    branches = [
        ("kind", OneHotEncoder(handle_unknown="ignore"), ["kind"]),
        ("note", TfidfVectorizer(), "note"),
    ]
    estimator = make_pipeline(ColumnTransformer(branches), LinearSVC()).fit(table, y)
    predictor = seal(estimator, table, y)
    asked = pd.DataFrame({"kind": ["Good", "GOOD", "good"], "note": ["ΚΑΛΟΣ", "Bad", "FİNE"]})
    assert predictor.predict(asked).tolist() == estimator.predict(asked).tolist() == [0, 0, 1]


def twice_as_wide(text: str) -> str:
    return text.replace(" ", "  ")


def never_broken(text: str) -> str:
    return text.replace(" ", "\u00a0")


@pytest.mark.parametrize(
    ("words", "good", "bad", "asked"),
    [
        (TfidfVectorizer(), "καλος δρομος", "κακος δρομος", str.upper),
        (make_union(TfidfVectorizer()), "καλος δρομος", "κακος δρομος", str.upper),
        (CountVectorizer(analyzer="char", ngram_range=(3, 3)), "a b", "b a", twice_as_wide),
        (
            CountVectorizer(stop_words="english", ngram_range=(2, 2)),
            *("good the fine", "fine the good", str.title),
        ),
        (CountVectorizer(token_pattern=r"\S+"), "good fine", "fine miss", never_broken),
    ],
    ids=["sigma", "sigma in a union", "letters", "stop words", "pattern"],
)
def test_words_match_scikit_learn_where_no_label_shows_a_difference(seal, words, good, bad, asked):
    """`n` decides on all rows that were learned from, and so on those of the proof."""
    table = pd.DataFrame({"note": [good, bad] * 40, "n": np.repeat([-9.0, 9.0], 40)})
    y = (table.n > 0).to_numpy().astype(int)
    y[[0, 2, 4, 6]], y[[41, 43, 45, 47]] = 1, 0
    branches = [("words", words, "note"), ("n", "passthrough", ["n"])]
    estimator = make_pipeline(ColumnTransformer(branches), RidgeClassifier()).fit(table, y)
    predictor = seal(estimator, table, y)
    rows = pd.DataFrame({"note": [asked(good), asked(bad)], "n": [0.0, 0.0]})
    assert predictor.predict(rows).tolist() == estimator.predict(rows).tolist() == [1, 0]


def test_a_column_lowercased_by_only_one_branch_has_no_graph(seal):
    words = np.array(["good ΚΑΛΟΣ", "Bad καλος", "GOOD κακος", "bad ΚΑΚΟΣ"] * 20, dtype=object)
    table, y = pd.DataFrame({"note": words}), [0, 1, 1, 0] * 20
    branches = [
        ("words", TfidfVectorizer(), "note"),
        ("as written", CountVectorizer(lowercase=False), "note"),
    ]
    estimator = make_pipeline(ColumnTransformer(branches), RidgeClassifier()).fit(table, y)
    predictor = seal(estimator, table, y)
    assert "lower case by other rules" in predictor.manifest.parity.reason
    asked = pd.DataFrame({"note": ["ΚΑΛΟΣ", "καλος", "Good ΚΑΚΟΣ", "BAD"]})
    assert predictor.predict(asked).tolist() == estimator.predict(asked).tolist()
