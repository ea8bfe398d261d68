"""Queries of runs: filters, conditions, order, and records that others wrote."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifact_pipeline.errors import ArtifactNotFound, CallError, StoreError
from artifact_pipeline.store.condition import MAX_LENGTH
from artifact_pipeline.store.run_query import run_rows
from artifact_pipeline.store.store import Store
from tests.support.runs import churn, price, write_runs


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Thirty runs of a classifier and of a regression, in turn."""
    folder = tmp_path_factory.mktemp("store")
    write_runs(folder, 30, kinds=(churn, price))
    return folder


@pytest.fixture(scope="module")
def records(store):
    """The same records as JSON, newest first, for answers found in another way."""
    paths = sorted((store / "runs").iterdir(), reverse=True)
    return [json.loads(path.read_text("utf-8")) for path in paths]


def params(record):
    return record["recipe"]["model"].get("params", {})


def ids(rows):
    return [row.run for row in rows]


def test_rows_are_newest_first_and_say_what_the_record_says(store, records):
    rows = run_rows(store=store)
    assert ids(rows) == [record["run"] for record in records]
    for row, record in zip(rows, records, strict=True):
        assert row.name == record["recipe"]["name"]
        assert row.seconds == record["seconds"] and row.test == record["metrics"]["test"]
        assert datetime.fromisoformat(row.started) == datetime.fromisoformat(record["started"])
    assert {row.data for row in rows} == {"churn.csv", "prices.parquet"}
    forest = next(row for row in rows if row.name == "price")
    assert forest.estimator == "StandardScaler → RandomForestRegressor"
    assert set(forest.params) == {"model__max_depth", "model__n_estimators"}
    assert (forest.metric, forest.value) == ("r2", forest.test["r2"])
    assert ids(run_rows(store=store, limit=3)) == ids(rows[:3])


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("params.C < 1", lambda r: params(r).get("C", 9) < 1),
        ("not params.C < 1", lambda r: params(r).get("C", 0) >= 1),
        ("0.1 < params.C <= 10", lambda r: 0.1 < params(r).get("C", 0) <= 10),
        ("test.roc_auc > 0.9 and params.solver in ('lbfgs', 'saga')",
         lambda r: r["metrics"]["test"].get("roc_auc", 0) > 0.9
         and params(r)["solver"] in ("lbfgs", "saga")),
        ("params.solver not in ['lbfgs']", lambda r: params(r).get("solver", "lbfgs") != "lbfgs"),
        ("'Forest' in estimator", lambda r: r["recipe"]["name"] == "price"),
        ("roc_auc > 0.95 or r2 > 0.8",
         lambda r: r["metrics"]["test"].get("roc_auc", r["metrics"]["test"].get("r2", 0)) > (
             0.95 if "roc_auc" in r["metrics"]["test"] else 0.8)),
        ("train.accuracy > test.accuracy", lambda r: "train" in r["metrics"]),
        ("dirty", lambda r: r.get("git", {}).get("dirty", False)),
        ("not cached", lambda r: True),
        (f"test.mae > {9 * 10**400} or seconds < 1e999", lambda r: True),
        ("""name in ('price', "it's", 'a "quote"', '%_', '\\ud800')""",
         lambda r: r["recipe"]["name"] == "price"),
        ("1 < 2 and ('a' in 'abc') and name not in ()", lambda r: True),
        ("params.C == params.C", lambda r: "C" in params(r)),
        ("'' in name and name < 'd'", lambda r: r["recipe"]["name"] == "churn"),
        ("train.accuracy > 1 or dirty",
         lambda r: r.get("git", {}).get("dirty", False)),
        ("test.mae > -1", lambda r: "mae" in r["metrics"]["test"]),
        ("(((seconds > 5)))", lambda r: r["seconds"] > 5),
        ("gates == 'missed'", lambda r: any(not gate["passed"] for gate in r.get("gates", ()))),
    ],
)  # fmt: skip
def test_a_condition_selects_the_runs_that_it_holds_for(store, records, condition, holds):
    expected = [record["run"] for record in records if holds(record)]
    assert expected
    assert ids(run_rows(store=store, where=condition)) == expected


def test_a_missing_value_never_matches(store):
    for condition in ("params.C != 1", "not params.C == 1", "params.C in (1, 2) or not dirty"):
        assert "price" not in {row.name for row in run_rows(store=store, where=condition)}


DEEP = "(" * 900 + "1" + ")" * 900


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("", "cannot be read"),
        ("test.accuracy >", "cannot be read"),
        ("a\0b", "cannot be read"),
        ("\udce4 > 1", "cannot be read"),
        ("seconds = 1", "cannot be read"),
        ("__import__('os').system('true')", "contains a call"),
        ("seconds.__class__.__mro__ == 1", "no run has the field 'seconds.__class__.__mro__'"),
        ("''.join.__globals__ == 1", "an attribute of a value"),
        ("().__class__ == 1", "an attribute of a value"),
        ("9**9**9**9 > 1", "contains arithmetic"),
        ("seconds + 1 > 1", "contains arithmetic"),
        ("'x' * 10**10 == name", "contains arithmetic"),
        ("[x for x in (1,)] == 1", "an expression of another kind"),
        ("(lambda: 1)", "contains a function"),
        ("f'{name}' == 'churn'", "contains a formatted text"),
        ("params['C'] > 1", "contains an index"),
        ("(seconds := 1) > 0", "an expression of another kind"),
        ("seconds is 1", "use == instead"),
        ("params.C == None", "a missing value never matches"),
        ("1j < seconds", "a value without a comparison"),
        ("b'x' == name", "a value without a comparison"),
        ("5", "a value without a comparison"),
        ("parms.C > 1", "did you mean 'params.C'?"),
        ("rok_auc > 1", "did you mean 'test.roc_auc'?"),
        ("zzz > 1", "expected one of: run, outcome"),
        ("params.C > 'one'", "params.C, a number, cannot be compared with 'one'"),
        ("params.solver < 3", "params.solver, a text, cannot be compared with 3"),
        ("seconds in 'abc'", "looks for a text"),
        ("name", "name is a text, expected a comparison with it"),
        ("not " * 1000 + "dirty", "more than 2,000"),
        ("not " * 400 + "dirty", "nested too deep"),
        ("- " * 900 + "1 > 0", "cannot be compared|arithmetic|nested too deep|no comparison"),
        (DEEP, "cannot be read|nested too deep"),
        ("a" * (MAX_LENGTH + 1), "more than 2,000"),
        (".".join("a" * 900) + " > 1", "no run has the field"),
    ],
)
def test_a_hostile_condition_is_one_error(store, condition, message):
    with pytest.raises(CallError, match=r"--where: ") as caught:
        run_rows(store=store, where=condition)
    assert any(part in str(caught.value) for part in message.split("|")), str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 700


@given(st.text(max_size=60) | st.text("()[]{}.'\"<>=! andornt0123params.C", max_size=60))
def test_any_text_is_a_condition_or_an_error(store, text):
    try:
        rows = run_rows(store=store, where=text)
    except CallError:
        return
    assert all(row.run for row in rows)


def test_sorting_by_a_metric_puts_the_best_first_and_runs_without_it_last(store):
    rows = run_rows(store=store, sort="log_loss")
    losses = [row.test["log_loss"] for row in rows if "log_loss" in row.test]
    assert losses == sorted(losses) and rows[0].name == "churn" and rows[-1].name == "price"
    scores = [row.test["r2"] for row in run_rows(store=store, sort="test.r2")[:15]]
    assert scores == sorted(scores, reverse=True)
    seconds = [row.seconds for row in run_rows(store=store, sort="seconds")]
    assert seconds == sorted(seconds)


def test_best_keeps_one_run_of_each_model(store, records):
    [row] = run_rows(store=store, best="accuracy")
    accuracies = {r["run"]: r["metrics"]["test"].get("accuracy", 0) for r in records}
    assert row.run == max(accuracies, key=accuracies.get)
    with pytest.raises(CallError, match="'seconds' is not a metric"):
        run_rows(store=store, best="seconds")


def test_since_takes_a_date_in_utc_or_a_time_with_a_zone(store, records):
    expected = [r["run"] for r in records if r["started"] >= "2026-01-06"]
    assert ids(run_rows(store=store, since="2026-01-06")) == expected
    assert ids(run_rows(store=store, since="2026-01-06T02:00+02:00")) == expected
    assert run_rows(store=store, since="2027-01-01") == []
    assert len(run_rows(store=store, since="0001-01-01T00:00+23:59")) == 30
    assert run_rows(store=store, since="9999-12-31T23:59-23:59") == []
    for text in ("yesterday", "2026-01-06T02:00", "2026-13-01", ""):
        with pytest.raises(CallError, match="expected a date or a time with its zone"):
            run_rows(store=store, since=text)


def test_an_unknown_name_gets_the_nearest(store):
    assert {row.name for row in run_rows(store=store, name="price")} == {"price"}
    with pytest.raises(ArtifactNotFound, match="did you mean 'churn'"):
        run_rows(store=store, name="chrun")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{" * 5000,
        b'{"run": 5, "outcome": "done", "seconds": "x"}',
        json.dumps({"outcome": "done", "started": "when?", "metrics": [1], "recipe": "x",
                    "gates": [1, None, {"passed": "yes"}]}).encode(),
        json.dumps({"outcome": "done", "started": "0001-01-01T00:00:00+23:00", "seconds": -1,
                    "metrics": {"test": {"accuracy": 10**400, "r2": True}},
                    "recipe": {"name": "../../x", "model": {"steps": [1, {"branches": [{}]}]}},
                    "artifact": "sha256:../../etc/passwd"}).encode(),
        json.dumps({"outcome": "done", "recipe": {"model": {
            "estimator": "x.Y", "params": {"__class__": 10**300, "a": [[1]], "b": {"c": 1}}},
            "data": {"schema": {"columns": [{"role": "target", "name": "<x>"}]}}}}).encode(),
    ],
)  # fmt: skip
def test_a_record_with_anything_in_it_is_a_row(tmp_path, content):
    write_runs(tmp_path, 2)
    (tmp_path / "runs" / "20270101T000000.000000Z-hostile.json").write_bytes(content)
    rows = run_rows(store=tmp_path)
    assert rows[0].run == "20270101T000000.000000Z-hostile" and len(rows) == 3
    assert rows[0].digest is None and rows[0].seconds >= 0
    assert datetime.fromisoformat(rows[0].started).tzinfo == UTC
    assert len(run_rows(store=tmp_path, where="seconds >= 0", sort="started")) == 3


def test_an_empty_store_has_no_rows_and_accepts_fields_of_runs(tmp_path):
    assert run_rows(store=tmp_path) == []
    assert run_rows(store=tmp_path, where="params.C > 1", sort="test.anything") == []


def test_a_damaged_history_is_an_error_and_not_a_missing_version(tmp_path):
    write_runs(tmp_path, 2)
    store = Store(tmp_path)
    store.models.assign("churn", f"sha256:{1:064x}")
    assert [row.version for row in run_rows(store=tmp_path)] == [1, None]
    [row] = run_rows(store=tmp_path, where="version == 1 and not is_champion")
    assert row.digest == f"sha256:{1:064x}"
    with store.models.journal_path("churn").open("ab") as journal:
        journal.write(b"{}\n")
    for query in ({}, {"where": "version == 1"}, {"limit": 1}):
        with pytest.raises(StoreError, match=r"line 2: is not an event .*doctor --repair"):
            run_rows(store=tmp_path, **query)
