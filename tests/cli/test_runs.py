"""The command `runs`: what its table, CSV, Markdown and JSON show."""

import csv
import io
import json
import shutil

import pytest

from tests.support.command import call
from tests.support.runs import churn, price, write_runs


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    write_runs(folder, 30, kinds=(churn, price))
    return folder


def test_the_table_says_once_what_is_the_same_and_fits_80_columns(store, tmp_path):
    done = call("runs", "--name", "churn", "--store", store, cwd=tmp_path)
    assert done.code == 0, done.err
    above, table = done.out.split("\n\n")[:2]
    assert "name churn" in above and "max_iter 1000" in above and "churn.csv" in above
    assert "C" in table.split() and "solver" in table.split() and "max_iter" not in table
    assert max(map(len, done.out.splitlines())) <= 80
    wide = call("runs", "--store", store, cwd=tmp_path, env={"COLUMNS": "200"})
    assert 80 < max(map(len, wide.out.splitlines())) <= 200 and "max_iter" in wide.out
    narrow = call("runs", "--store", store, cwd=tmp_path, env={"COLUMNS": "40"}).out
    assert max(map(len, narrow.splitlines())) <= 80 and "left out" in narrow


def test_the_table_shows_twenty_runs_unless_told_otherwise(store, tmp_path):
    out = call("runs", "--store", store, cwd=tmp_path).out
    assert out.count("\n  01-0") == 20 and "and more; --limit" in out
    out = call("runs", "--store", store, "--limit", "25", cwd=tmp_path).out
    assert out.count("\n  01-0") == 25 and "and more" not in out
    rows = call("runs", "--store", store, "--json", cwd=tmp_path).json["runs"]
    assert len(rows) == 30 and rows[0]["test"]["r2"] == rows[0]["value"]


def test_columns_choose_fields_in_every_format(store, tmp_path):
    words = ["runs", "--store", store, "--limit", "2", "--columns", "started, params.C ,accuracy"]
    assert call(*words, cwd=tmp_path).out.split()[:3] == ["started", "C", "accuracy"]
    rows = call(*words, "--json", cwd=tmp_path).json["runs"]
    assert [list(row) for row in rows] == [["started", "params.C", "test.accuracy"]] * 2
    done = call("runs", "--store", store, "--columns", "params.c", cwd=tmp_path)
    assert done.code == 2 and "did you mean 'params.C'?" in done.err
    assert done.err.count("\n") == 1
    done = call("runs", "--json", "--format", "csv", "--store", store, cwd=tmp_path)
    assert done.code == 2 and "expected one of --json and --format csv" in done.err


def test_csv_has_every_digit_and_reads_back(store, tmp_path):
    out = call("runs", "--store", store, "--format", "csv", cwd=tmp_path).out
    rows = list(csv.DictReader(io.StringIO(out)))
    records = call("runs", "--store", store, "--json", cwd=tmp_path).json["runs"]
    for row, record in zip(rows, records, strict=True):
        assert row["run"] == record["run"] and row["name"] == record["name"]
        assert float(row["value"]) == record["value"]
        assert row["cached"] == "false"


HOSTILE = ["=HYPERLINK(1)", "+1+1", "-2+3", "@SUM(1)", "\t=1", "\r=1", " =1", "＝1+1",
           'a","=1', "a\n=1", "\x1b[2J", "\u202egnp.exe", "a|b", "<img src=x>", "`$(id)`",
           "[x](http://x)", "::error::x", "##[group]x"]  # fmt: skip


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    recipe = {
        "name": "churn",
        "data": {"dataset": HOSTILE[0], "digest": "sha256:=cmd|1"},
        "model": {"estimator": "a.=B", "params": {text: text for text in HOSTILE}},
        "split": {"method": "=1"},
    }
    write_runs(folder, 1, recipe=recipe, config="=1.json", outcome="\x1b[31mdone")
    write_runs(folder, 2, recipe={**recipe, "model": {"estimator": "x.Y", "params": {"C": "=1"}}})
    return folder


def test_csv_holds_no_formula_and_no_control_character(hostile, tmp_path):
    out = call("runs", "--store", hostile, "--format", "csv", cwd=tmp_path).out
    assert not set(out) & set("\x1b\u202e\t\r")
    rows = list(csv.reader(io.StringIO(out)))
    assert {len(row) for row in rows} == {len(rows[0])} and len(rows) == 3
    for cell in (cell for row in rows for cell in row if cell):
        try:
            float(cell)
        except ValueError:
            assert cell.lstrip()[0] not in "=+-@＝＋－＠", cell


@pytest.mark.parametrize("form", ["table", "md"])
def test_text_of_others_moves_no_cursor_and_adds_no_markup(hostile, tmp_path, form):
    done = call("runs", "--store", hostile, "--format", form, cwd=tmp_path,
                env={"GITHUB_ACTIONS": "true", "COLUMNS": "2000"})  # fmt: skip
    out = done.out
    assert done.code == 0, done.err
    assert not set(out) & set("\x1b\u202e\t\r")
    assert "##[" not in out and not any(line.lstrip()[:2] == "::" for line in out.splitlines())
    if form == "md":
        assert "<img" not in out and "[x](" not in out
        rows = [line for line in out.splitlines() if line.startswith("|")]
        unescaped = {line.replace("\\|", "").count("|") for line in rows}
        assert len(rows) == 4 and len(unescaped) == 1


def test_a_failed_run_is_listed_with_its_outcome(tmp_path):
    write_runs(tmp_path / "artifacts", 2)
    write_runs(tmp_path / "artifacts", 1, recipe=None, metrics=None, gates=[], outcome="failed",
               artifact=None, error={"message": "no such column"})  # fmt: skip
    (tmp_path / "artifacts" / "runs" / "20270101T000000.000000Z-abcdef.json").write_text("{")
    out = call("runs", cwd=tmp_path).out
    assert " failed" in out and " unreadable" in out
    [row] = call("runs", "--where", "outcome == 'failed'", "--json", cwd=tmp_path).json["runs"]
    assert row["error"] == "no such column" and row["name"] is None


def test_an_empty_store_says_how_to_fill_it(tmp_path):
    assert "artifact-pipeline run" in call("runs", cwd=tmp_path).out
    assert call("runs", "--json", cwd=tmp_path).json == {"runs": []}
    done = call("runs", "--store", "missing", cwd=tmp_path)
    assert done.code == 2 and "no such folder" in done.err


def test_the_change_is_against_the_champion(project, digits):
    shutil.copytree(digits.store, project / "artifacts")
    write_runs("artifacts", 1, kinds=(churn,), metrics={"test": {"accuracy": 0.5}})
    [path] = (project / "artifacts" / "runs").glob("*-000000.json")
    record = json.loads(path.read_text())
    record["recipe"]["name"] = "digits"
    path.write_text(json.dumps(record))
    assert {row["change"] for row in call("runs", "--json", cwd=project).json["runs"]} == {None}
    assert call("promote", digits.digest, cwd=project).code == 0
    worse, champion = sorted(
        call("runs", "--json", cwd=project).json["runs"], key=lambda row: row["value"]
    )
    assert champion["is_champion"] and champion["change"] == 0 and not worse["is_champion"]
    assert worse["change"] == 0.5 - champion["value"]
    assert "champion" in call("runs", cwd=project).out
