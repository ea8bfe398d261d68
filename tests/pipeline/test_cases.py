"""Inputs that once gave a wrong answer, a traceback or a refusal; the right value is independent.

It comes from scikit-learn on the same rows, from another reader, or from the file itself.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sklearn.metrics
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import TimeSeriesSplit, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import artifact_pipeline as api
from tests.support.command import call, script
from tests.support.configs import QUICK, ROOT, write
from tests.support.server import serving, tensor

LOGISTIC = {"estimator": "sklearn.linear_model.LogisticRegression"}
AUTO = {"preprocess": "auto", **LOGISTIC}
TREE = {"estimator": "sklearn.tree.DecisionTreeClassifier"}
SCALER = {"estimator": "sklearn.preprocessing.StandardScaler"}
TIME = {"method": "time", "column": "day"}


def config(path: str, model: Any, **more: Any) -> dict[str, Any]:
    return {"data": {"path": path, "target": "y"}, "model": model, **more}


def steps(**estimators: Any) -> dict[str, Any]:
    """Return a model whose steps have these names."""
    return {"steps": [{"name": name, **estimator} for name, estimator in estimators.items()]}


def run(folder: Path, content: Any) -> Any:
    """Run a config, and return what the command prints as JSON."""
    done = call("run", write(folder, content), "--json", cwd=folder)
    assert done.code == 0, done.err
    return done.json


def infer(folder: Path, *words: Any) -> Any:
    """Predict with the latest artifact, and return what the command prints as JSON."""
    done = call("infer", "latest", *words, "--json", cwd=folder)
    assert done.code == 0, done.err
    return done.json


def trained(folder: Path) -> Any:
    """Return the estimator in the one artifact of a store."""
    [path] = (folder / "artifacts").glob("*/model_train.pkl")
    return pickle.loads(path.read_bytes())


def yes_no(condition: Any) -> Any:
    return np.where(condition, "yes", "no")


def test_seal_measures_and_predicts_a_missing_text_as_the_estimator_does(tmp_path):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"t": rng.choice(["r", "g"], 200, p=[0.7, 0.3]).astype(object)})
    y = (table.t == "r").astype(int)
    table.loc[::3, "t"] = np.nan
    imputer = SimpleImputer(strategy="most_frequent")
    encoder = make_pipeline(imputer, OneHotEncoder(handle_unknown="ignore"))
    branch = ColumnTransformer([("branch", encoder, ["t"])])
    estimator = make_pipeline(branch, LogisticRegression()).fit(table, y)
    sealed = api.seal(estimator, table, y, store=tmp_path)
    predictor = api.open_artifact(sealed.artifact, digest=sealed.digest)
    assert predictor.predict_proba(table) == pytest.approx(estimator.predict_proba(table))
    assert predictor.manifest.metrics.test["accuracy"] == estimator.score(table, y)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 3])
def test_a_run_matches_scikit_learn_on_a_missing_number_for_every_seed(project, seed):
    rng = np.random.default_rng(3)
    table = pd.DataFrame(rng.normal(size=(200, 2)).round(2), columns=["a", "b"])
    table["y"] = np.where(table.b < 0, "no", yes_no(table.a < 0.8))
    table.to_csv("t.csv", index=False)
    tree = {**TREE, "params": {"max_depth": 2}}
    run(project, config("t.csv", tree, split={"random_state": seed}))
    (project / "new.csv").write_text("a,b\n,1.0\n,-1.0\n-1.0,\n,0.3\n")
    labels = infer(project, "new.csv")["labels"]
    assert labels == trained(project).predict(pd.read_csv("new.csv")).tolist()


@pytest.mark.slow
@pytest.mark.parametrize(
    "encoder",
    [
        {
            "estimator": "sklearn.preprocessing.OneHotEncoder",
            "params": {"handle_unknown": "ignore"},
        },
        {"estimator": "sklearn.preprocessing.OneHotEncoder"},
        {"estimator": "sklearn.preprocessing.OrdinalEncoder"},
    ],
    ids=["ignoring", "one-hot", "ordinal"],
)
def test_an_encoder_of_numbers_answers_or_refuses_an_unseen_one_as_scikit_learn_does(
    project, encoder
):
    k = np.arange(80) % 4
    pd.DataFrame({"k": k, "y": yes_no(k == 1)}).to_csv("t.csv", index=False)
    run(project, config("t.csv", steps(encode=encoder, model=LOGISTIC)))
    estimator = trained(project)
    for value in ("1.5", "7"):
        (project / "new.csv").write_text(f"k\n1\n{value}\n")
        rows = pd.read_csv("new.csv")
        try:
            expected = estimator.predict_proba(rows)
        except ValueError:
            done = call("infer", "latest", "new.csv", cwd=project)
            assert done.code == 3 and done.err.count("\n") == 1
            refusal = (
                f"new.csv, row 2, column 'k': is {value}, but the model accepts only 0, 1, 2, 3"
            )
            assert refusal in done.err
        else:
            result = infer(project, "new.csv")
            assert result["labels"] == estimator.predict(rows).tolist()
            np.testing.assert_allclose(result["probabilities"], expected, atol=1e-9)


@pytest.mark.slow
def test_labels_metrics_and_claims_are_those_of_the_estimator_and_of_the_form_that_serves(project):
    rng = np.random.default_rng(1)
    a = rng.normal(size=500).round(3)
    y = pd.qcut(a + 0.6 * rng.normal(size=500), 3, labels=["lo", "mid", "hi"])
    table = pd.DataFrame({"a": a, "b": rng.normal(size=500).round(3), "y": y})
    table.to_csv("t.csv", index=False)
    sgd = {"estimator": "sklearn.linear_model.SGDClassifier", "params": {"loss": "modified_huber"}}
    result = run(project, config("t.csv", {"preprocess": "auto", **sgd}))
    estimator, table = trained(project), pd.read_csv("t.csv")
    assert infer(project, "t.csv")["labels"] == estimator.predict(table).tolist()
    rows = train_test_split(table, test_size=0.2, random_state=42, stratify=table["y"])[1]
    assert result["metrics"]["test"]["accuracy"] == estimator.score(rows, rows["y"])
    assert "100 held-out rows, 100 predicted as trained" in [job["note"] for job in result["jobs"]]
    again = call("evaluate", "latest", "--json", cwd=project)
    assert again.code == 0, again.err
    assert again.json["metrics"] == result["metrics"]


@pytest.mark.slow
def test_probabilities_of_a_forest_of_20_lie_between_0_and_1_and_are_evaluated(project):
    forest = "sklearn.ensemble.RandomForestClassifier"
    model = {"estimator": forest, "params": {"n_estimators": 20}}
    result = run(project, {"data": {"dataset": "breast_cancer"}, "model": model})
    again = call("evaluate", "latest", "--json", cwd=project)
    assert again.code == 0, again.err
    assert again.json["metrics"] == result["metrics"]
    X, y = load_breast_cancer(return_X_y=True)
    rows = train_test_split(X, y, test_size=0.2, random_state=42, stratify=y)[1]
    probabilities = np.array(infer(project)["probabilities"])
    assert probabilities.min() >= 0 and probabilities.max() <= 1
    assert np.array_equal(probabilities, trained(project).predict_proba(rows))


def test_the_client_of_kserve_which_names_the_model_in_the_body_is_answered(digits, tmp_path):
    """It sends nulls for what it does not use."""
    request = {
        "id": "7", "model_name": "model", "model_version": None, "parameters": None,
        "outputs": None,
        "inputs": [tensor([[0.0] * 64], parameters=None, contents=None)],
    }  # fmt: skip
    with serving(digits.folder, cwd=tmp_path) as server:
        reply = server.post("/v2/models/model/infer", request)
    assert (reply.status, reply.json["id"]) == (200, "7")
    estimator = pickle.loads((digits.folder / "model_train.pkl").read_bytes())
    label, probabilities = reply.json["outputs"]
    assert label["data"] == estimator.predict(np.zeros((1, 64))).tolist()
    expected = estimator.predict_proba(np.zeros((1, 64)))[0]
    assert probabilities["data"] == pytest.approx(expected.tolist(), abs=1e-9)


@pytest.mark.slow
def test_a_text_that_looks_like_a_date_stays_the_text_that_it_is_alone_and_in_a_batch(project):
    rows = [{"k": ("unknown", "2026-01-01")[i % 2], "y": ("no", "yes")[i % 2]} for i in range(60)]
    write(project, "".join(json.dumps(row) + "\n" for row in rows), "t.jsonl")
    run(project, config("t.jsonl", AUTO))
    batch = [{"k": "2026-01-01"}, {"k": "unknown"}]
    expected = trained(project).predict_proba(pd.DataFrame(batch))
    assert expected[0].tolist() != expected[1].tolist()
    with serving("latest", cwd=project) as server:
        for size in (1, 2):
            write(project, "".join(json.dumps(row) + "\n" for row in batch[:size]), "new.jsonl")
            for result in (
                infer(project, "new.jsonl"),
                server.post("/predict", {"rows": batch[:size]}).json,
            ):
                assert result["labels"] == ["yes", "no"][:size]
                np.testing.assert_allclose(
                    result["probabilities"], expected[:size], rtol=0, atol=1e-6
                )


@pytest.mark.slow
def test_an_unclosed_quote_is_refused_by_line(project):
    quoted = [f"{i},{yes_no(i % 2)},{chr(34) if i == 40 else ''}n{i % 3}" for i in range(60)]
    lines = ["a,y,note", *quoted]
    line = next(number for number, text in enumerate(lines, 1) if '"' in text)
    write(project, "\n".join(lines) + "\n", "t.csv")
    with pytest.raises(pd.errors.ParserError):
        pd.read_csv("t.csv")
    done = call("run", write(project, config("t.csv", AUTO)), cwd=project)
    assert done.code == 3 and f"t.csv, line {line}: a quote is opened here" in done.err
    assert not list(project.glob("artifacts/*/manifest.json"))
    write(project, "\n".join(lines).replace('"', ""), "t.csv")
    run(project, config("t.csv", AUTO))
    write(project, 'a,note\n1,n1\n2,"n2\n3,n0\n4,n1\n', "new.csv")
    done = call("infer", "latest", "new.csv", "--output", "o.csv", cwd=project)
    assert done.code == 3 and "new.csv, line 3: a quote is opened here" in done.err
    assert not (project / "o.csv").exists()


@pytest.mark.slow
def test_settings_of_one_process_change_no_later_recipe(project):
    """Its own recipe is native and says why; the checkout remembers the machine's profile."""
    env = {"XDG_STATE_HOME": str(project / "state")}
    fresh = {"XDG_STATE_HOME": str(project / "untouched")}
    before = call("recipe", write(project, QUICK), "--json", cwd=project, env=fresh).json
    profile = before["recipe"]["numerics"]["profile"]
    if profile == "native":
        pytest.skip("this machine holds no profile")
    (project / "site").mkdir()
    setting = "import os\nos.environ['OMP_NUM_THREADS'] = '2'\n"
    (project / "site" / "sitecustomize.py").write_text(setting)
    path = os.pathsep.join([str(project / "site"), str(ROOT / "src")])
    disturbed = {**env, "PYTHONPATH": path}
    # The first process of all, one with a new config, and one with a known config.
    first = call("run", "config.json", cwd=project, env=disturbed)
    assert first.code == 0 and f"warning: the numeric profile {profile}" in first.err
    assert "OpenMP has 2 threads instead of 1" in first.err
    recipe = call("recipe", "config.json", "--json", cwd=project, env=env).json
    assert recipe["recipe_digest"] == before["recipe_digest"]
    again = call("run", "config.json", "--force", "--json", cwd=project, env=disturbed)
    assert again.code == 0 and again.json["cached"] is False
    assert f"warning: the numeric profile {profile}" in again.err
    assert again.json["recipe_digest"] != before["recipe_digest"]
    clean = call("run", "config.json", "--json", cwd=project, env=env)
    assert clean.json["recipe_digest"] == before["recipe_digest"]
    other = write(project, {**QUICK, "data": {"dataset": "wine"}}, "other.json")
    assert "is not in force" in call("recipe", other, cwd=project, env=disturbed).err


@pytest.mark.slow
def test_a_class_that_only_held_out_rows_have_counts_as_missed_and_is_reported(project):
    rows = np.arange(100)
    table = pd.DataFrame({"day": pd.Timestamp("2026-01-01") + pd.to_timedelta(rows // 4, "D"),
                          "a": rows % 7,
                          "y": np.where(rows > 95, "new", yes_no(rows % 7 > 3))})  # fmt: skip
    table.to_csv("t.csv", index=False)
    result = run(project, config("t.csv", LOGISTIC, split=TIME))
    late, estimator = table[80:], trained(project)
    assert result["metrics"]["test"]["accuracy"] == estimator.score(late[["a"]], late.y)
    report = sklearn.metrics.classification_report(
        late.y, estimator.predict(late[["a"]]), output_dict=True, zero_division=0
    )
    assert result["metrics"]["test"]["f1_macro"] == pytest.approx(report["macro avg"]["f1-score"])
    assert not {"log_loss", "brier", "roc_auc"} & result["metrics"]["test"].keys()
    warnings = " | ".join(result["warnings"])
    assert "the class 'new' has 4 held-out rows and no training row, so they count as" in warnings
    interface = api.show("latest", store=project / "artifacts").manifest.interface
    assert interface.labels == interface.label_names == estimator.classes_.tolist()
    assert "new (in no training row)" in Path(result["report"]).read_text("utf-8")
    again = call("evaluate", "latest", "--json", cwd=project)
    assert again.json["metrics"]["test"] == pytest.approx(result["metrics"]["test"])


@pytest.mark.slow
def test_missing_values_are_accepted_in_column_201_of_a_table(project):
    rng = np.random.default_rng(0)
    names = [f"f{i}" for i in range(201)]
    table = pd.DataFrame(rng.normal(size=(60, 201)), columns=names).round(2)
    table["y"] = np.where(table.f0 > 0, "p", "n")
    table.loc[::4, "f200"] = np.nan
    table.to_csv("t.csv", index=False)
    run(project, config("t.csv", AUTO))
    result, estimator = infer(project, "t.csv"), trained(project)
    assert result["labels"] == estimator.predict(table[names]).tolist()
    expected = estimator.predict_proba(table[names])
    np.testing.assert_allclose(result["probabilities"], expected, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["OneHotEncoder", "OrdinalEncoder"])
def test_an_unseen_text_beside_120_known_ones_is_refused_by_row_and_column(project, name):
    rows = np.arange(720) % 120
    table = pd.DataFrame({"c": [f"c{i:03d}" for i in rows], "y": yes_no(rows < 60)})
    table.to_csv("t.csv", index=False)
    branch = {"name": "c", "columns": ["c"], "estimator": f"sklearn.preprocessing.{name}"}
    run(project, config("t.csv", steps(columns={"branches": [branch]}, model=LOGISTIC)))
    estimator = trained(project)
    assert infer(project, "t.csv")["labels"] == estimator.predict(table[["c"]]).tolist()
    write(project, "c\nc001\nzzz\n", "new.csv")
    with pytest.raises(ValueError, match="zzz"):
        estimator.predict(pd.read_csv("new.csv"))
    done = call("infer", "latest", "new.csv", cwd=project)
    assert done.code == 3 and done.err.count("\n") == 1
    assert "new.csv, row 2, column 'c': is 'zzz'" in done.err


def voting(**more: Any) -> dict[str, Any]:
    weights = [[0, 1], [1, 2], [2, 1]]
    forest = {"estimator": "sklearn.ensemble.RandomForestClassifier",
              "params": {"n_estimators": 20, "class_weight": weights}}  # fmt: skip
    line = {**LOGISTIC, "params": {"max_iter": 500}}
    params = {"voting": "soft", "estimators": [["forest", forest], ["line", line]], **more}
    return {"estimator": "sklearn.ensemble.VotingClassifier", "params": params}


UNION = {
    "estimator": "sklearn.pipeline.FeatureUnion",
    "params": {"transformer_list": [["s", SCALER]]},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        voting(),
        voting(flatten_transform=False),
        steps(u=UNION, m=LOGISTIC),
        steps(u={"estimator": "sklearn.impute.IterativeImputer"}, m=LOGISTIC),
    ],
    ids=["the example of the documents", "an option", "a union", "an iterative imputer"],
)
def test_estimators_within_estimators_train_and_predict_as_in_scikit_learn(project, model):
    run(project, {"data": {"dataset": "iris"}, "model": model})
    X, y = load_iris(return_X_y=True)
    rows = train_test_split(X, y, test_size=0.2, random_state=42, stratify=y)[1]
    expected = trained(project).predict_proba(rows)
    np.testing.assert_allclose(infer(project)["probabilities"], expected, atol=1e-6)


NUMBERS = np.arange(40.0).reshape(20, 2)
LATER = np.arange(20) > 9
MIXED = pd.DataFrame(
    {"n": np.arange(20.0), "t": pd.array(["a", "b", None, "a"] * 5, dtype="string")}
)


@pytest.mark.parametrize(
    ("estimator", "X", "y"),
    [
        (LogisticRegression(), NUMBERS, LATER.astype(float)),
        (LogisticRegression(), pd.DataFrame(NUMBERS), LATER.astype(int)),
        (
            make_pipeline(ColumnTransformer([("n", "passthrough", ["n"])]), LogisticRegression()),
            MIXED,
            LATER.astype(int),
        ),
    ],
    ids=["float labels", "integer column names", "pd.NA"],
)
def test_seal_takes_float_labels_integer_names_and_pandas_na_and_stores_one_artifact(
    tmp_path, estimator, X, y
):
    estimator = estimator.fit(X, y)
    sealed = api.seal(estimator, X, y, store=tmp_path)
    assert sealed.metrics.test["accuracy"] == estimator.score(X, y)
    predictor = api.open_artifact(sealed.artifact, digest=sealed.digest)
    assert predictor.predict(X).tolist() == estimator.predict(X).tolist()
    assert predictor.predict_proba(X) == pytest.approx(estimator.predict_proba(X))
    [manifest] = tmp_path.rglob("manifest.json")
    assert manifest.parent == Path(sealed.artifact)


@pytest.mark.slow
def test_the_step_that_predicts_finds_the_table_of_a_downloaded_artifact(checkout):
    """The layout is the one that `inference.yml` downloads: an artifact beside its run records."""
    lines = [f"{i},{i * i % 7},{'yes' if i % 7 > 3 else 'no'}" for i in range(60)]
    write(checkout, "\n".join(["a,b,y", *lines]), "t.csv")
    model = {"estimator": "sklearn.naive_bayes.GaussianNB"}
    write(checkout, config("t.csv", model), "t.json")
    result = call("train", "t.json", "--store", "artifacts", "--json", cwd=checkout).json
    stored = Path(result["artifact"])
    downloaded = Path("model", stored.name)
    shutil.copytree(checkout / stored, checkout / downloaded)
    shutil.copytree(checkout / "artifacts" / "runs", checkout / "model" / "runs")
    shutil.rmtree(checkout / "artifacts")
    estimator = pickle.loads((checkout / downloaded / "model_train.pkl").read_bytes())
    table = pd.read_csv(checkout / "t.csv")
    rows = train_test_split(table, test_size=0.2, random_state=42, stratify=table["y"])[1]
    expected = f"{estimator.score(rows[['a', 'b']], rows['y']):.4f}"

    def predict(*more: str) -> Any:
        words = ("src/inference.py", "--model", downloaded, "--digest", result["digest"], *more)
        return script(*words, cwd=checkout, env={"PYTHONPATH": ""})

    done = predict()
    assert done.code == 0, done.err
    assert f"accuracy on the 12 held-out rows: {expected}" in done.out
    (checkout / "t.csv").rename(checkout / "moved.csv")
    lost = predict()
    assert lost.code == 3 and "name the table with --data" in lost.err
    assert predict("--data", "moved.csv").out == done.out
    (checkout / "moved.csv").write_text((checkout / "moved.csv").read_text() + "\n9,9,no")
    assert "has the digest" in predict("--data", "moved.csv").err


@pytest.mark.slow
def test_the_index_of_a_data_frame_is_no_feature_and_rounded_integers_are_refused(project):
    frame = pd.DataFrame({"a": np.arange(120.0) % 7})
    frame["y"] = yes_no(frame.a > 3)
    frame[frame.index % 3 != 0].to_parquet("i.parquet")
    result = run(project, config("i.parquet", TREE))
    read = pd.read_parquet("i.parquet")
    interface = api.show("latest", store=project / "artifacts").manifest.interface
    assert interface.features == [name for name in read.columns if name != "y"]
    assert "is the index of a data frame and is left out" in result["warnings"][0]
    assert infer(project, "i.parquet")["labels"] == trained(project).predict(read[["a"]]).tolist()

    y = yes_no(np.arange(80) % 2).tolist()
    accounts = [2**53 + i % 2 for i in range(80)]
    decimals = pa.array([Decimal(number) for number in accounts], pa.decimal128(38, 0))
    pq.write_table(pa.table({"acct": decimals, "y": y}), "d.parquet")
    large = [2**70 + i for i in range(60)]
    lines = [json.dumps({"acct": number, "y": y[i]}) + "\n" for i, number in enumerate(large)]
    write(project, "".join(lines), "h.jsonl")
    for name, numbers in (("d.parquet", accounts), ("h.jsonl", large)):
        row, number = next((i, n) for i, n in enumerate(numbers, 1) if n > 2**53)
        done = call("run", write(project, config(name, TREE)), cwd=project)
        assert done.code == 3
        assert f"{name}, row {row}, column 'acct': found {number}, beyond the integers" in done.err


@pytest.mark.slow
def test_a_line_end_in_a_quoted_cell_at_a_mebibyte_keeps_its_bytes(project):
    header = b"id,s,y\r\n"
    cell = b"z" * ((1 << 20) - len(header) - 3) + b"A\r\nB"
    rows = [b"k%d,%d,%s\r\n" % (i, i % 5, b"yes" if i % 2 else b"no") for i in range(60)]
    (project / "t.csv").write_bytes(header + b'"' + cell + b'",1,yes\r\n' + b"".join(rows))
    content = config("t.csv", LOGISTIC)
    content["data"]["id"] = "id"
    run(project, content)
    infer(project, "t.csv", "--output", "o.csv")
    ids = pd.read_csv("o.csv")["id"].tolist()
    assert ids[0].encode() == cell and ids[1:] == [f"k{i}" for i in range(60)]


@pytest.mark.slow
def test_log_loss_leaves_out_a_fold_with_a_class_that_was_not_learned(project):
    rows = np.arange(120)
    y = np.where((rows >= 60) & (rows < 70), "late", np.where(rows % 5 > 2, "hi", "lo"))
    table = pd.DataFrame({"day": rows, "a": rows % 5, "y": y})
    table.to_csv("t.csv", index=False)
    result = run(project, config("t.csv", LOGISTIC, split=TIME, evaluation={"cv": 4}))
    table, losses = table[:96], []
    for learn, measure in TimeSeriesSplit(4).split(table):
        train, test = table.iloc[learn], table.iloc[measure]
        model = LogisticRegression().fit(train[["a"]], train.y)
        if set(test.y) <= set(model.classes_):
            probabilities = model.predict_proba(test[["a"]])
            losses.append(sklearn.metrics.log_loss(test.y, probabilities, labels=model.classes_))
    folds = api.show("latest", store=project / "artifacts").manifest.metrics.cv
    assert len(losses) == 3 and len(folds["accuracy"].folds) == 4
    assert folds["log_loss"].folds == pytest.approx(losses, abs=1e-6)
    assert "log loss is defined on 3 of 4 folds" in " | ".join(result["warnings"])


@pytest.mark.slow
def test_capital_letters_of_greek_tokenize_as_in_scikit_learn(project):
    good, bad = ["καλος", "γρηγορος"], ["κακος", "αργος"]
    lines = [
        f"{good[i // 2 % 2]} δρομος,pos" if i % 2 else f"{bad[i // 2 % 2]} δρομος,neg"
        for i in range(80)
    ]
    write(project, "\n".join(["r,y", *lines]), "t.csv")
    words = "sklearn.feature_extraction.text.TfidfVectorizer"
    branch = {"name": "w", "column": "r", "estimator": words}
    run(project, config("t.csv", steps(p={"branches": [branch]}, m=LOGISTIC)))
    write(project, "r\nκαλος δρομος\nΚΑΛΟΣ ΔΡΟΜΟΣ\n", "new.csv")
    expected = trained(project).predict_proba(pd.read_csv("new.csv"))
    np.testing.assert_allclose(infer(project, "new.csv")["probabilities"], expected, atol=1e-5)


def test_a_missing_home_folder_is_one_error_with_a_remedy(project):
    env = {"XDG_STATE_HOME": "", "HOME": "relative", "LOCALAPPDATA": "", "USERPROFILE": "x"}
    done = call("run", cwd=project, env=env)
    assert done.code == 5 and done.err.count("\n") == 1
    assert "no home folder was found" in done.err and "set HOME" in done.err
    assert not (project / "relative").exists() and not (project / "artifacts").exists()


@pytest.mark.slow
def test_init_reads_prices_and_does_not_take_a_column_named_paid_for_an_id(project):
    prices = [f'"{i * 37 + 1000:,}.50",{yes_no(i > 60)}' for i in range(120)]
    write(project, "\n".join(["price,y", *prices]), "p.csv")
    amounts = [f"{i % 40 * 12.5},{i % 9},{yes_no(i % 9 > 4)}" for i in range(200)]
    write(project, "\n".join(["paid,a,y", *amounts]), "g.csv")
    for name, formats in (("p", {"price": {"thousands": ","}}), ("g", None)):
        words = ("init", f"{name}.csv", "--target", "y", "--output", f"{name}.json")
        done = call(*words, cwd=project)
        assert done.code == 0, done.err
        draft = json.loads((project / f"{name}.json").read_text("utf-8"))
        assert draft["data"].get("formats") == formats
        assert not {"id", "drop"} & draft["data"].keys() and "column" not in draft["split"]
        parts = api.load_data(draft)[:2]
        loaded = pd.concat(parts).sort_index()
        table = pd.read_csv(f"{name}.csv", thousands=",").drop(columns="y")
        assert list(loaded.columns) == list(table.columns)
        assert sorted(map(tuple, loaded.to_numpy())) == sorted(map(tuple, table.to_numpy()))


@pytest.mark.slow
def test_200_000_rows_of_3_000_categories_are_predicted(project):
    c, count = np.arange(9000) % 3000, np.arange(200_000)
    table = pd.DataFrame({"c": [f"c{i}" for i in c], "a": np.arange(9000) % 7})
    table.assign(y=yes_no(c < 1500)).to_csv("t.csv", index=False)
    run(project, config("t.csv", AUTO))
    rows = pd.DataFrame({"c": [f"c{i % 3000}" for i in count], "a": count % 5})
    rows.to_csv("new.csv", index=False)
    done = call("infer", "latest", "new.csv", "--output", "o.csv", cwd=project)
    assert done.code == 0, done.err
    labels = pd.read_csv("o.csv")["label"]
    assert labels.tolist() == trained(project).predict(rows).tolist()
