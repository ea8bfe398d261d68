"""Tables that are invalid, or do not match their config."""

import pytest

import artifact_pipeline as api
from artifact_pipeline.errors import ConfigError, DataError
from tests.support.churn import quick, table
from tests.support.command import call
from tests.support.configs import write


@pytest.mark.parametrize(
    ("change", "config", "said"),
    [
        (None, quick(data={"target": "churned"}), "has no column 'churned', which data.target nam"),
        (None, quick(data={"id": "nope"}), "has no column 'nope', which data.id names"),
        (None, quick(data={"drop": ["notess"]}), "did you mean 'notes'?"),
        (None, quick(split={"method": "group", "column": "hom"}), "did you mean 'home'?"),
        (lambda i, r: {**r, "churn": "" if i == 3 else r["churn"]}, quick(),
         "row 4, column 'churn': is missing: every row needs a target"),
        (lambda i, r: {**r, "churn": "yes"}, quick(), "has one value, 'yes', in all rows"),
        (lambda i, r: {**r, "churn": "maybe" if i == 8 else r["churn"]},
         quick(data={"positive": "yes"}), "data.positive: there are 3 classes"),
        (lambda i, r: {"churn": r["churn"], "cid": r["cid"]},
         {"data": {"path": "churn.csv", "target": "churn", "id": "cid", "csv": {"delimiter": ";"}},
          "model": quick()["model"]}, "no feature columns left"),
        (lambda i, r: {**r, "home": ""}, quick(split={"method": "group", "column": "home"}),
         "row 1, column 'home': found a missing value, each row needs its group"),
        (None, quick(split={"method": "column", "column": "home"}), "expected train or test"),
        (None, quick(split={"method": "time", "column": "home"}), "has text, such as 'h"),
    ],
)  # fmt: skip
def test_invalid_data_is_refused_in_one_line(tmp_path, monkeypatch, change, config, said):
    table(tmp_path / "churn.csv", change, count=60)
    monkeypatch.chdir(tmp_path)
    with pytest.raises((DataError, ConfigError)) as caught:
        api.load_data(config)
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.slow
def test_an_unreadable_table_is_refused_by_the_trainer_in_one_line(tmp_path):
    for name, text, said in (
        ("t.csv", "a,churn\n1,yes\n2,no,5\n", "t.csv, row 2: found 3 cells, expected 2"),
        ("t.jsonl", '{"a": 1, "churn": "no"}\n{"a": "x", "churn": "no"}', "t.jsonl, row 2: is not"),
    ):
        (tmp_path / name).write_text(text)
        config = {"data": {"path": str(tmp_path / name), "target": "churn"},
                  "model": {"estimator": "sklearn.naive_bayes.GaussianNB"}}  # fmt: skip
        with pytest.raises(DataError, match=said):
            api.train(config, store=tmp_path / "store")


@pytest.mark.slow
def test_invalid_data_exits_3_and_stores_nothing(tmp_path):
    table(tmp_path / "churn.csv", lambda i, r: {**r, "churn": "" if i == 3 else r["churn"]}, 60)
    done = call("run", write(tmp_path, quick()), cwd=tmp_path)
    assert done.code == 3 and "churn.csv, row 4, column 'churn': is missing" in done.err
    assert "Traceback" not in done.err and not list(tmp_path.glob("artifacts/*/manifest.json"))
    table(tmp_path / "churn.csv", count=60)
    slices = {"slices": {"x": {"label": "Nowhere"}}}
    done = call("run", write(tmp_path, quick(evaluation=slices)), cwd=tmp_path)
    assert done.code == 3 and "no held-out row is in it: 'label' is 'Nowhere'" in done.err


@pytest.mark.slow
def test_a_class_with_one_row_is_named_in_a_stratified_split(tmp_path):
    config = quick()
    del config["data"]["positive"]
    table(
        tmp_path / "churn.csv", lambda i, r: {**r, "churn": "maybe" if i == 8 else r["churn"]}, 60
    )
    with pytest.raises(DataError, match=r"row 9, column 'churn': the class 'maybe' has one row"):
        api.train(write(tmp_path, config), store=tmp_path / "store")
