"""Predictions for rows of a table, from the command line and from Python."""

import json
import shutil
import time

import numpy as np
import onnxruntime
import pandas as pd
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet
import pytest

import artifact_pipeline as api
from artifact_pipeline.errors import DataError, VerificationError
from tests.support.churn import CHURN, quick, rows, table
from tests.support.command import call, script
from tests.support.configs import write


def changed(**parts):
    return {**CHURN, **parts}


@pytest.fixture(scope="session")
def churn(tmp_path_factory):
    """A folder with the table, its config, and the artifact that came of it."""
    folder = tmp_path_factory.mktemp("churn")
    table(folder / "churn.csv")
    done = call("run", write(folder, CHURN), "--json", cwd=folder)
    assert done.code == 0, done.err
    return folder, done.json


def test_the_recipe_describes_columns_without_paths(churn):
    folder, run = churn
    manifest = api.open_trusted(folder / run["artifact"], run["digest"]).manifest
    made = manifest.recipe.data
    assert [(c.name, c.role) for c in made.schema.columns][:2] == [("cid", "id"), ("home", "split")]
    kinds = {c.name: c.kind for c in made.schema.columns if c.role == "feature"}
    assert kinds == {"since": "date", "age": "number", "a b/€": "number", "label": "text",
                     "zip": "text", "review": "text"}  # fmt: skip
    assert {"pyarrow", "pandas"} <= set(manifest.recipe.packages)
    assert str(folder) not in (folder / run["artifact"] / "manifest.json").read_text("utf-8")
    assert manifest.recipe.split.column == "home" and manifest.recipe.data.positive == "yes"
    assert manifest.interface.features == list(kinds)


def test_private_rows_stay_out_of_the_artifact(churn):
    folder, run = churn
    whole = b"".join(path.read_bytes() for path in (folder / run["artifact"]).iterdir())
    evaluation = json.loads((folder / run["artifact"] / "evaluation.json").read_bytes())
    assert evaluation["examples"] == [] and b"C00007" not in whole


def test_binary_metrics_are_of_the_positive_class(churn):
    _, run = churn
    assert {"precision", "recall", "f1", "roc_auc", "log_loss", "brier", "balanced_accuracy"} <= (
        set(run["metrics"]["test"])
    )
    assert 0.6 < run["metrics"]["test"]["roc_auc"] < 1


def test_the_manifest_maps_columns_to_graph_inputs(churn):
    folder, run = churn
    manifest = api.open_trusted(folder / run["artifact"]).manifest
    session = onnxruntime.InferenceSession(str(folder / run["artifact"] / "model.onnx"))
    names = [one.name for one in manifest.interface.inputs]
    assert names == [f"c{index}" for index in range(6)]
    taken = {one.name for one in session.get_inputs()}
    assert taken == set(names)  # though zip goes into no branch
    assert [one.name for one in session.get_outputs()] == ["label", "probabilities"]
    columns = {one.name: one for one in manifest.interface.columns}
    assert columns["label"].categories == ["", "Pune", "Rome", "Ōsaka"]
    assert columns["zip"].categories is None
    assert columns["age"].nullable and columns["label"].unseen


def test_the_graph_matches_the_estimator_on_a_data_frame(churn):
    folder, run = churn
    estimator = api.load_model(folder / run["artifact"] / "model_train.pkl", None)
    X, _, y, _ = api.load_data({**CHURN, "data": {**CHURN["data"],
                                                   "path": str(folder / "churn.csv")}})  # fmt: skip
    assert len(X) == len(y) and list(X.columns) == list(estimator.feature_names_in_)
    predictor = api.open_artifact(folder / run["artifact"], run["digest"])
    np.testing.assert_array_equal(predictor.predict(X), estimator.predict(X))
    apart = np.abs(predictor.predict_proba(X) - estimator.predict_proba(X)).max()
    assert apart <= predictor.manifest.parity.bound
    shuffled = X[X.columns[::-1]]
    np.testing.assert_array_equal(predictor.predict(shuffled), estimator.predict(X))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["csv", "parquet", "jsonl"])
def test_predictions_keep_the_id_column(churn, tmp_path, form):
    folder, run = churn
    written = table(tmp_path / "rows.csv", count=20)
    read = {"csv": pyarrow.csv.read_csv, "parquet": pyarrow.parquet.read_table,
            "jsonl": pyarrow.json.read_json}[form]  # fmt: skip
    out = tmp_path / f"scored.{form}"
    done = call("infer", folder / run["artifact"], written, "--output", out, cwd=tmp_path)
    assert done.code == 0, done.err
    assert "wrote 20 predictions of" in done.out
    assert "ignored columns: home, notes, churn" in done.err
    scored = read(out)
    assert scored.column_names == ["cid", "label", "probability_no", "probability_yes"]
    assert scored["cid"].to_pylist()[:2] == ["C00000", "C00001"]
    plain = call("infer", folder / run["artifact"], written, "--json", cwd=tmp_path).json
    assert scored["label"].to_pylist() == plain["labels"]
    first = [scored["probability_no"][0].as_py(), scored["probability_yes"][0].as_py()]
    np.testing.assert_allclose(first, plain["probabilities"][0], rtol=1e-12)


HEADER = "age;since;a b/€;label;zip;review\n"


@pytest.mark.parametrize(
    ("text", "extra", "unseen"),
    [
        (HEADER + "41;2020-01-01;3,5;Pune;00501;a b\n", [], {}),
        ("review;zip;label;a b/€;since;age;more\nx;1;Rome;1;2020-01-01;3;9\n", ["more"], {}),
        (HEADER + ";2020-01-01;;;;\n", [], {}),
        (HEADER + "41;2020-01-01;3,5;Paris;00501;a b\n", [], {"label": 1}),
    ],
)
def test_rows_are_matched_by_column_name(churn, text, extra, unseen):
    folder, run = churn
    found = api.infer(folder / run["artifact"], text.encode(), name="rows.csv")
    assert len(found.labels) == 1
    assert (found.extra, found.unseen) == (extra, unseen)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("age;since;label;zip;review\n1;2020-01-01;Pune;1;x\n", "rows.csv: the column 'a b/"),
        (HEADER + "x;2020-01-01;3,5;Pune;1;a\n", "row 1, column 'age': found 'x', expected a numb"),
        (HEADER + "1;soon;3,5;Pune;1;a\n", "row 1, column 'since': found 'soon', expected a date"),
        (HEADER + "1;2020-01-01;inf;Pune;1;a\n", ": found inf, expected a finite number"),
        (HEADER, "has no rows"),
        ("", "is empty"),
        (HEADER + "1;2\n", "row 1: found 2 cells, expected 6"),
    ],
)
def test_rows_are_checked_before_anything_is_predicted(churn, text, said):
    folder, run = churn
    with pytest.raises(DataError) as caught:
        api.infer(folder / run["artifact"], text.encode(), name="rows.csv")
    assert said in str(caught.value)


@pytest.mark.slow
def test_invalid_rows_exit_3_and_unusual_rows_are_reported(churn, tmp_path):
    folder, run = churn
    path = write(tmp_path, HEADER + "x;2020-01-01;3,5;Pune;1;a\n", "rows.csv")
    done = call("infer", folder / run["artifact"], path, cwd=tmp_path)
    assert done.code == 3 and "column 'age': found 'x'" in done.err
    write(tmp_path, HEADER + "1;2020-01-01;3,5;Paris;1;a\n", "rows.csv")
    done = call("infer", folder / run["artifact"], path, cwd=tmp_path)
    assert done.code == 0
    assert "column label: 1 row with a text not seen in training" in done.err


@pytest.mark.slow
def test_an_unknown_category_is_refused_with_the_known_ones(tmp_path):
    data = table(tmp_path / "churn.csv")
    branch = {
        "name": "cat",
        "columns": ["label"],
        "estimator": "sklearn.preprocessing.OneHotEncoder",
    }
    steps = [{"name": "prep", "branches": [branch]}, CHURN["model"]["steps"][1]]
    config = changed(model={"steps": steps}, data={**CHURN["data"], "path": str(data)})
    run = api.train(config, store=tmp_path / "store")
    predictor = api.open_artifact(run.artifact, run.digest)
    row = {"since": [1.0], "age": [2.0], "a b/€": [3.0], "label": ["Paris"], "zip": ["1"],
           "review": ["x"]}  # fmt: skip
    with pytest.raises(
        DataError, match=r"row 1, column 'label': is 'Paris', but the model accepts only"
    ):
        predictor.predict(row)
    assert len(predictor.predict({**row, "label": ["Rome"]})) == 1


def test_predicting_imports_neither_pandas_nor_scikit_learn(churn, tmp_path):
    folder, run = churn
    rows_ = table(tmp_path / "rows.csv", count=3)
    artifact = str(folder / run["artifact"])
    code = (
        "import sys, artifact_pipeline as api; "
        f"api.infer({artifact!r}, open({str(rows_)!r}, 'rb').read(), name='r.csv'); "
        "print(sorted({'pandas', 'sklearn', 'skl2onnx'} & set(sys.modules)))"
    )
    done = script("-c", code, cwd=tmp_path)
    assert done.code == 0 and done.out.strip() == "[]", done.err


@pytest.mark.slow
def test_held_out_rows_come_from_the_recorded_path_or_from_data(churn, tmp_path):
    folder, run = churn
    done = call("infer", "latest", cwd=folder)
    assert done.code == 0 and "accuracy on the" in done.out
    lonely = shutil.copytree(folder / run["artifact"], tmp_path / "artifact")
    told = call("infer", lonely, cwd=tmp_path)
    assert (
        told.code == 3
        and "no run record has the path of the table; name it with --data" in told.err
    )
    assert call("evaluate", lonely, "--data", folder / "churn.csv", cwd=tmp_path).code == 0
    other = table(tmp_path / "other.csv", count=500)
    told = call("infer", lonely, "--data", other, cwd=tmp_path)
    assert told.code == 3 and "and the recipe has " in told.err
    told = call("reproduce", lonely, "--data", other, cwd=tmp_path)
    assert told.code == 3 and "--data" in told.err


@pytest.mark.slow
def test_an_artifact_is_reproducible_after_its_data_moved(churn, tmp_path):
    folder, run = churn
    moved = shutil.copy(folder / "churn.csv", tmp_path / "moved.csv")
    done = call("reproduce", folder / run["artifact"], "--data", moved, "--strict", cwd=tmp_path)
    assert done.code == 0 and "identical" in done.out, done.err


@pytest.mark.slow
def test_an_unchanged_table_is_not_read_and_a_changed_one_is(tmp_path, monkeypatch):
    now = time.time_ns
    monkeypatch.setattr(
        "time.time_ns", lambda: now() + 3 * 10**9
    )  # files are older than two seconds
    data = table(tmp_path / "churn.csv")
    config = write(tmp_path, quick())
    first = api.train(config, store=tmp_path / "store")
    data.chmod(0o644)
    again = api.train(config, store=tmp_path / "store")
    assert again.cached and again.digest == first.digest
    table(data, lambda i, row: {**row, "age": 30} if i == 5 else row)
    assert api.train(config, store=tmp_path / "store").digest != first.digest


@pytest.mark.slow
def test_each_split_method_splits_as_documented(tmp_path):
    def side(i, row):
        return {**row, "home": "test" if i % 3 == 0 else "train"}

    path = table(tmp_path / "churn.csv", side)
    told = {}
    for method, column in (("group", "cid"), ("time", "since"), ("column", "home")):
        data = {**CHURN["data"], "path": str(path), "drop": ["notes", "review", "zip"]}
        data = {key: value for key, value in data.items() if key not in ("id", "columns")}
        config = {"data": data, "model": quick()["model"],
                  "split": {"method": method, "column": column}}  # fmt: skip
        X_train, X_test, *_ = api.load_data(config)
        assert column not in X_train.columns
        told[method] = (X_train, X_test)
    assert len(told["column"][1]) == 200
    made = pd.DataFrame(rows())
    assert len(told["time"][1]) == (made["since"] >= sorted(made["since"])[480]).sum()


@pytest.mark.slow
def test_a_likely_leak_is_a_warning_in_terminal_and_report(tmp_path):
    def leak(i, row):
        return {**row, "age": 1 if row["churn"] == "yes" else 0, "zip": f"K{i}"}

    table(tmp_path / "churn.csv", leak)
    data = {"drop": ["notes", "review", "since", "label"]}
    done = call("run", write(tmp_path, quick(data=data)), cwd=tmp_path)
    assert done.code == 0, done.err
    assert "warning: the feature 'age' gives the target on its own" in done.err
    assert "warning: the column 'zip' has 600 different texts in 600 rows" in done.err
    assert call("report", "latest", cwd=tmp_path).code == 0
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "Likely leaks" in page and "gives the target on its own" in page


@pytest.mark.slow
def test_a_folder_of_files_is_one_table(churn, tmp_path):
    folder, run = churn
    lines = (folder / "churn.csv").read_text("utf-8").splitlines(keepends=True)
    parts = tmp_path / "parts"
    parts.mkdir()
    for index, part in enumerate((lines[1:200], lines[200:])):
        (parts / f"{index}.csv").write_text(lines[0] + "".join(part), "utf-8")
    made = api.train(changed(data={**CHURN["data"], "path": str(parts)}), store=tmp_path / "store")
    assert made.digest != run["digest"]  # other files, and the same rows
    assert made.metrics.test == pytest.approx(run["metrics"]["test"])


def test_columns_that_do_not_match_the_features_are_refused(churn, tmp_path):
    from artifact_pipeline.builder import canonical

    folder, run = churn
    copy = shutil.copytree(folder / run["artifact"], tmp_path / "artifact")
    manifest = json.loads((copy / "manifest.json").read_bytes())
    manifest["interface"]["columns"].reverse()
    (copy / "manifest.json").write_bytes(canonical.encode(manifest))
    with pytest.raises(VerificationError, match="its columns do not match its features"):
        api.open_trusted(copy)


def test_rows_with_the_mark_of_another_encoding_are_read(churn):
    folder, run = churn
    text = HEADER + "1;2020-01-01;3,5;Pune;1;a\n"
    plain = api.infer(folder / run["artifact"], text.encode(), name="rows.csv")
    marked = api.infer(folder / run["artifact"], text.encode("utf-16"), name="rows.csv")
    assert marked.labels == plain.labels and marked.probabilities == plain.probabilities


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rows.xlsx", "rows.xlsx: is not a table; save the sheet as CSV"),
        ("rows.yaml", "rows.yaml: is not a table; write its rows as CSV or JSON lines"),
        ("https://example.org/rows.csv", "is a URL; tables are read from disk"),
    ],
)
def test_rows_that_nothing_reads_are_refused_with_what_to_do(churn, tmp_path, name, message):
    folder, run = churn
    if "/" not in name:
        (tmp_path / name).write_bytes(b"PK\x03\x04")
    done = call("infer", folder / run["artifact"], name, cwd=tmp_path)
    assert done.code == 3 and message in done.err and done.err.count("\n") == 1


def test_the_name_of_the_output_is_checked_before_rows_are_predicted(churn, tmp_path):
    folder, run = churn
    write(tmp_path, HEADER + "1;2020-01-01;3,5;Paris;1;a\n", "rows.csv")
    done = call("infer", folder / run["artifact"], "rows.csv", "-o", "out.xlsx", cwd=tmp_path)
    assert done.code == 2 and done.err.count("\n") == 1
    assert (
        "a name that ends in .csv, .tsv, .parquet, .jsonl, .ndjson, .arrow or .feather" in done.err
    )
