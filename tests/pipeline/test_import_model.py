"""Import of a model that was fitted elsewhere."""

import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

import artifact_pipeline as api
from artifact_pipeline.builder import canonical
from artifact_pipeline.errors import (
    CallError,
    ConfigError,
    DataError,
    ReproductionDiffers,
    VerificationError,
)
from artifact_pipeline.pipeline.import_model import seal_pickle
from tests.support.command import call

X, y = load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def fitted():
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(X[::2], y[::2])


def frame(count=60):
    numbers = np.arange(count)
    return pd.DataFrame({
        "age": numbers % 50 + 0.5,
        "city": np.array(["Pune", "Rome", "Oslo"])[numbers % 3],
        "member": numbers % 2 == 0,
        "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(numbers, "D"),
    })  # fmt: skip


def test_an_imported_model_has_the_name_and_the_description_that_it_is_given(fitted, tmp_path):
    named = {"name": "iris-2", "description": "From the *old* notebook."}
    sealed = api.seal(fitted, X[1::2], y[1::2], **named, store=tmp_path)
    verified = api.check_integrity(sealed.artifact)
    recipe = verified.manifest.recipe
    assert (recipe.name, recipe.description) == tuple(named.values())
    card = verified.files["README.md"].decode()
    assert "# iris-2\\: StandardScaler → LogisticRegression\n" in card
    assert "From the \\*old\\* notebook." in card
    for wrong in ({"name": "a b"}, {"description": ""}, {"description": "\ud800"}):
        with pytest.raises(CallError, match=next(iter(wrong))):
            api.seal(fitted, X[1::2], y[1::2], **wrong, store=tmp_path)


def test_an_imported_model_is_evaluated_on_the_given_rows(fitted, tmp_path):
    sealed = api.seal(fitted, X[1::2], y[1::2], store=tmp_path)
    manifest = api.open_trusted(sealed.artifact, sealed.digest).manifest
    right = (fitted.predict(X[1::2]) == y[1::2]).mean()
    assert manifest.metrics.test["accuracy"] == right and not manifest.metrics.train
    assert (
        b'"train"'
        not in api.check_integrity(sealed.artifact).sealed.partition(b'"metrics"')[2][:40]
    )
    assert manifest.recipe.brought.by.startswith("artifact-pipeline ")
    assert manifest.recipe.split.method == "given"
    assert manifest.recipe.name == "LogisticRegression"
    predictor = api.open_artifact("latest", store=tmp_path)
    np.testing.assert_array_equal(predictor.predict(X), fitted.predict(X))
    assert api.load_model(f"{sealed.artifact}/model_train.pkl").get_params()
    assert api.seal(fitted, X[1::2], y[1::2], store=tmp_path).digest == sealed.digest


def test_an_imported_model_is_not_reproducible(fitted, tmp_path):
    sealed = api.seal(fitted, X[1::2], y[1::2], store=tmp_path)
    with pytest.raises(ReproductionDiffers, match="fitted elsewhere and imported"):
        api.reproduce(sealed.digest, store=tmp_path)
    done = call("reproduce", "latest", "--store", tmp_path, cwd=tmp_path)
    assert done.code == 1 and "cannot be trained again" in done.err
    with pytest.raises(DataError, match="pass rows to predict"):
        api.infer(sealed.digest, store=tmp_path)


@pytest.mark.slow
def test_every_reading_command_accepts_an_imported_model(fitted, keys, tmp_path):
    store = tmp_path / "store"
    api.seal(fitted, X[1::2], y[1::2], store=store)
    for words in (("show", "latest"), ("list",), ("report", "latest"),
                  ("compare", "latest", "latest"),
                  ("promote", "latest"), ("sign", "latest", "--key", keys / "ours.pem"),
                  ("verify", "latest", "--public-key", keys / "ours.pub"),
                  ("doctor",)):  # fmt: skip
        done = call(*words, "--store", store, cwd=tmp_path)
        assert done.code == 0, (words, done.err)
    assert "fitted elsewhere" in (tmp_path / "report.html").read_text("utf-8")


def test_a_data_frame_of_all_kinds_becomes_columns(tmp_path):
    table = frame()
    labels = np.where(table["age"] > 25, "old", "young")
    columns = make_column_transformer(
        (StandardScaler(), ["age", "member"]), (OneHotEncoder(handle_unknown="ignore"), ["city"])
    )
    model = make_pipeline(columns, LogisticRegression()).fit(table, labels)
    sealed = api.seal(model, table, labels, positive="old", examples=3, store=tmp_path)
    found = api.check_integrity(sealed.artifact)
    kinds = {one.name: one.kind for one in found.manifest.interface.columns}
    assert kinds == {"age": "number", "city": "text", "member": "boolean", "since": "date"}
    assert "f1" in sealed.metrics.test and len(found.evaluation().examples) == 3
    predictor = api.open_artifact(sealed.artifact)
    np.testing.assert_array_equal(predictor.predict(table), model.predict(table))


def test_a_regressor_is_imported(tmp_path):
    rows, numbers = load_diabetes(return_X_y=True)
    sealed = api.seal(Ridge().fit(rows, numbers), rows[:50], numbers[:50], store=tmp_path)
    assert set(sealed.metrics.test) == {"r2", "mae", "rmse"}


@pytest.mark.parametrize(
    ("estimator", "rows", "truth", "error", "message"),
    [
        (LogisticRegression(), X, y, CallError, "expected a fitted scikit-learn estimator"),
        (StandardScaler().fit(X), X, y, CallError, "expected a classifier or a regressor"),
        ("model", X, y, CallError, "expected a fitted scikit-learn estimator"),
        (None, X, y[:3], DataError, "y: has the shape"),
        (None, X[:, :2], y, ConfigError, "scikit-learn cannot predict"),
        (None, [["a"] * 4], y[:1], DataError, "X: is not a matrix of numbers"),
        (None, X[:0], y[:0], DataError, "X: has the shape"),
        (
            make_pipeline(FunctionTransformer(lambda X: X), LogisticRegression()).fit(X, y),
            X,
            y,
            ConfigError,
            "estimator: it cannot be pickled",
        ),
        (None, X, y + 7, DataError, "y: has 7 in row 1, and the estimator was fitted to 0, 1, 2"),
    ],
)
def test_an_unsupported_model_is_refused_and_nothing_is_stored(
    fitted, tmp_path, estimator, rows, truth, error, message
):
    with pytest.raises(error, match=message):
        api.seal(fitted if estimator is None else estimator, rows, truth, store=tmp_path / "s")
    assert not (tmp_path / "s").exists()


LETTERS = np.array(["a", "b", "c"])


@pytest.mark.parametrize(
    ("learned", "given", "labels"),
    [
        (y.astype(float), y.astype(float), [0, 1, 2]),
        (y.astype(float), y.astype(float)[:, None], [0, 1, 2]),
        (y, pd.Series(y).astype("Int64"), [0, 1, 2]),
        (y, pd.DataFrame({"y": y}), [0, 1, 2]),
        (LETTERS.astype(object)[y], LETTERS.astype(object)[y], ["a", "b", "c"]),
        (LETTERS[y], pd.Series(LETTERS[y]).astype("category"), ["a", "b", "c"]),
        (y == 1, pd.Series(y == 1).astype("boolean"), [False, True]),
    ],
    ids=["floats", "a column", "nullable", "a frame", "objects", "categories", "booleans"],
)
def test_labels_may_be_of_any_type_that_estimators_take(tmp_path, learned, given, labels):
    model = GaussianNB().fit(X, learned)
    sealed = api.seal(model, X, given, store=tmp_path)
    assert sealed.metrics.test["accuracy"] == model.score(X, learned)
    predictor = api.open_artifact(sealed.artifact)
    assert predictor.interface.labels == labels
    assert predictor.predict(X).tolist() == model.predict(X).tolist()


def test_a_regressor_of_a_column_is_sealed(tmp_path):
    rows, numbers = load_diabetes(return_X_y=True)
    sealed = api.seal(Ridge().fit(rows, numbers[:, None]), rows, numbers[:, None], store=tmp_path)
    expected = Ridge().fit(rows, numbers).score(rows, numbers)
    assert sealed.metrics.test["r2"] == pytest.approx(expected, abs=1e-9)


def test_column_names_may_be_integers(tmp_path):
    table = pd.DataFrame({0: X[:, 0], 1: np.array(["a", "b", "c"], dtype=object)[y[::-1]]})
    columns = make_column_transformer((StandardScaler(), [0]), (OneHotEncoder(), [1]))
    model = make_pipeline(columns, LogisticRegression()).fit(table, y)
    sealed = api.seal(model, table, y, store=tmp_path)
    predictor = api.open_artifact(sealed.artifact)
    assert predictor.interface.features == ["0", "1"]
    np.testing.assert_array_equal(predictor.predict(table), model.predict(table))
    np.testing.assert_array_equal(predictor.predict(table.rename(columns=str)),
                                  model.predict(table))  # fmt: skip


def test_missing_text_may_be_pandas_na(tmp_path):
    table = pd.DataFrame({"n": X[:, 0], "t": pd.array(["a", "b", None] * 50, dtype="string"),
                          "i": pd.array([1, None, 3] * 50, dtype="Int64")})  # fmt: skip
    columns = make_column_transformer(("passthrough", ["n"]))
    model = make_pipeline(columns, LogisticRegression()).fit(table, y)
    sealed = api.seal(model, table, y, store=tmp_path)
    kinds = [one.kind for one in api.open_trusted(sealed.artifact).manifest.interface.columns]
    assert kinds == ["number", "text", "number"]
    predictor = api.open_artifact(sealed.artifact)
    np.testing.assert_array_equal(predictor.predict(table), model.predict(table))


def test_the_best_estimator_of_a_search_is_sealed(tmp_path):
    search = GridSearchCV(GaussianNB(), {"var_smoothing": [1.0, 1e-9]}).fit(X, y)
    sealed = api.seal(search, X, y, store=tmp_path)
    found = api.load_model(f"{sealed.artifact}/model_train.pkl")
    assert found.get_params() == search.best_estimator_.get_params()
    unfitted = GridSearchCV(GaussianNB(), {"var_smoothing": [1.0]}, refit=False).fit(X, y)
    with pytest.raises(CallError, match="expected a fitted search with refit=True"):
        api.seal(unfitted, X, y, store=tmp_path)


def test_sparse_rows_are_accepted(tmp_path):
    rows = np.where(X > 2, X, 0)
    model = LogisticRegression(max_iter=1000).fit(csr_matrix(rows), y)
    sealed = api.seal(model, csr_matrix(rows), y, store=tmp_path)
    assert sealed.metrics.test["accuracy"] == model.score(csr_matrix(rows), y)


@pytest.mark.parametrize(
    ("estimator", "truth", "error", "message"),
    [
        (KNeighborsClassifier().fit(X, np.c_[y, y]), y, CallError, "predicts several targets"),
        (Ridge().fit(X, np.c_[y, y]), y, CallError, "expected one; seal a model of each target"),
        (Ridge().fit(X, y), ["a"] * 150, DataError, "y: contains other values than numbers"),
        (Ridge().fit(X, y), [None] * 150, DataError, "y: has a number that is not finite"),
        (GaussianNB().fit(X, y), [None, *y[1:]], DataError, "y: has None in row 1"),
        (GaussianNB().fit(X, y), y + 0.5, DataError, "y: has 0.5 in row 1"),
    ],
)
def test_an_unsupported_target_is_refused_and_nothing_is_stored(
    tmp_path, estimator, truth, error, message
):
    with pytest.raises(error, match=message):
        api.seal(estimator, X, truth, store=tmp_path / "s")
    assert not (tmp_path / "s").exists()


@pytest.mark.slow
def test_the_command_seals_a_pickle_only_with_its_digest(tmp_path):
    table = frame()
    table["won"] = np.where(table["age"] > 25, "yes", "no")
    model = make_pipeline(
        make_column_transformer((StandardScaler(), ["age"])), LogisticRegression()
    )
    data = pickle.dumps(model.fit(table[["age", "city"]], table["won"]))
    (tmp_path / "m.pkl").write_bytes(data)
    table.to_csv(tmp_path / "held-out.csv", index=False)
    words = ("seal", "--pickle", "m.pkl", "--data", "held-out.csv", "--target", "won", "--digest")
    done = call(*words, canonical.digest(data), "--positive", "yes", "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    assert done.json["metrics"]["test"]["f1"] == 1.0
    assert call(*words, "sha256:" + "0" * 64, cwd=tmp_path).code == 4
    assert call(*words[:2], "none.pkl", *words[3:], canonical.digest(data), cwd=tmp_path).code == 2
    with pytest.raises(VerificationError):
        seal_pickle(tmp_path / "m.pkl", "sha256:" + "0" * 64, data="held-out.csv", target="won")


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("lzma", 1)])
def test_a_file_of_joblib_is_sealed_as_a_pickle_is(tmp_path, monkeypatch, compress):
    monkeypatch.chdir(tmp_path)
    rows = pd.DataFrame({"a": np.arange(40.0), "b": np.arange(40.0) % 3})
    model = make_pipeline(StandardScaler(), GaussianNB()).fit(rows, ["no", "yes"] * 20)
    joblib.dump(model, "m.joblib", compress=compress)
    rows.assign(y=["no", "yes"] * 20).to_csv("t.csv", index=False)
    data = (tmp_path / "m.joblib").read_bytes()
    sealed = seal_pickle("m.joblib", canonical.digest(data), data="t.csv", target="y")
    assert sealed.metrics.test["accuracy"] == model.score(rows, ["no", "yes"] * 20)
    (tmp_path / "m.joblib").write_bytes(data[: len(data) // 2])
    with pytest.raises(VerificationError, match="cannot be unpickled here"):
        seal_pickle("m.joblib", canonical.digest(data[: len(data) // 2]), data="t.csv", target="y")


def test_an_archive_of_skops_is_sealed_as_a_pickle_is(tmp_path, monkeypatch):
    import skops.io

    monkeypatch.chdir(tmp_path)
    rows = pd.DataFrame({"a": np.arange(40.0), "b": np.arange(40.0) % 3})
    model = make_pipeline(StandardScaler(), GaussianNB()).fit(rows, ["no", "yes"] * 20)
    (tmp_path / "model").mkdir()
    data = skops.io.dumps(model)
    (tmp_path / "model" / "model.skops").write_bytes(data)
    rows.assign(y=["no", "yes"] * 20).to_csv("t.csv", index=False)

    def seal(path, content):
        return seal_pickle(path, canonical.digest(content), data="t.csv", target="y")

    sealed = seal("model/model.skops", data)
    assert sealed.metrics.test["accuracy"] == model.score(rows, ["no", "yes"] * 20)
    with pytest.raises(VerificationError, match="has the digest"):
        seal("model/model.skops", data[:-9])
    with pytest.raises(CallError, match=r"name the file in it, model.model\.skops"):
        seal("model", data)  # as the folder of an MLflow model
    for content in (data[:-9], data[:40], b"PK\x03\x04"):
        (tmp_path / "model" / "model.skops").write_bytes(content)
        with pytest.raises(VerificationError, match="cannot be opened here as a skops archive"):
            seal("model/model.skops", content)


@pytest.mark.parametrize(
    ("rows", "problem"),
    [("a,y\n1,no\n2,\n3,yes\n", "row 2, column 'y': is missing: every row needs a target"),
     ("a,y\n1,no\n9007199254740993,yes\n", "row 2, column 'a': found 9007199254740993"),
     ("a,y\n1,no\n1,yes\n1,yes\nx,no\n", "found 'x' among numbers")],
)  # fmt: skip
def test_the_command_line_is_refused_with_a_remedy_that_it_has(
    tmp_path, monkeypatch, rows, problem
):
    monkeypatch.chdir(tmp_path)
    model = GaussianNB().fit(pd.DataFrame({"a": np.arange(40.0)}), ["no", "yes"] * 20)
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(model))
    (tmp_path / "t.csv").write_text(rows)
    digest = canonical.digest((tmp_path / "m.pkl").read_bytes())
    with pytest.raises(DataError) as caught:
        seal_pickle("m.pkl", digest, data="t.csv", target="y")
    assert problem in str(caught.value)
    assert "data." not in caught.value.remedy and "artifact_pipeline.seal" in caught.value.remedy


@pytest.mark.parametrize("learned", ["imputed", "a category", "an empty category"])
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_missing_texts_of_a_table_are_given_as_the_estimator_learned_them(
    tmp_path, monkeypatch, learned, form
):
    """The right figure is the estimator's own on the rows as pandas has them."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(5)
    table = pd.DataFrame({"a": rng.normal(size=120), "t": rng.choice(["u", "v", "w"], 120)})
    table.loc[::5, "t"] = np.nan
    if learned == "an empty category":
        table = table.fillna({"t": ""})
    labels = np.where((table.t == "u") | (table.a > 1), "yes", "no")
    encoder = OneHotEncoder(handle_unknown="ignore")
    if learned == "imputed":
        encoder = make_pipeline(SimpleImputer(strategy="most_frequent"), encoder)
    pipeline = make_pipeline(
        make_column_transformer((encoder, ["t"]), remainder="passthrough"), LogisticRegression()
    ).fit(table[:80], labels[:80])
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(pipeline))
    held_out = table[80:].assign(y=labels[80:])
    held_out.to_csv("t.csv", index=False) if form == "csv" else held_out.to_parquet("t.parquet")
    digest = canonical.digest((tmp_path / "m.pkl").read_bytes())
    sealed = seal_pickle("m.pkl", digest, data=f"t.{form}", target="y")
    expected = pipeline.score(table[80:], labels[80:])
    assert sealed.metrics.test["accuracy"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("labels", "positive", "expected"),
    [([False, True], "true", True), ([False, True], "True", True), ([0, 1], "1", 1),
     (["no", "yes"], "yes", "yes"), (["0", "true"], "true", "true")],
)  # fmt: skip
def test_the_positive_label_of_a_command_line_has_the_type_of_the_labels(
    tmp_path, monkeypatch, labels, positive, expected
):
    monkeypatch.chdir(tmp_path)
    rows = pd.DataFrame({"a": np.arange(40.0) % 7, "b": np.arange(40.0) % 5})
    given = np.array(labels)[(rows.a > 3).astype(int)]
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(GaussianNB().fit(rows, given)))
    rows.assign(y=given).to_parquet("t.parquet")
    digest = canonical.digest((tmp_path / "m.pkl").read_bytes())
    sealed = seal_pickle("m.pkl", digest, data="t.parquet", target="y", positive=positive)
    recipe = api.open_trusted(sealed.artifact, sealed.digest).manifest.recipe
    assert recipe.data.positive == expected and type(recipe.data.positive) is type(expected)
    assert "recall" in sealed.metrics.test
