"""The zip file with a model and a script that needs onnxruntime and numpy only."""

import io
import json
import runpy
import subprocess
import sys
import zipfile

import numpy as np
import pytest

import artifact_pipeline as api
from artifact_pipeline.errors import DataError
from tests.support.command import call
from tests.support.configs import FIXTURES
from tests.support.exports import estimator

ONLY = """
import importlib.metadata, re, runpy, sys
def requirements(*names):
    wanted = set()
    for name in names:
        needs = importlib.metadata.requires(name) or []
        wanted |= {name, *(re.match(r"[\\w.-]+", need)[0] for need in needs if "extra" not in need)}
    return wanted
allowed = requirements("numpy", "onnxruntime")
packages = importlib.metadata.packages_distributions()
class Blocker:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        of = packages.get(top, [])
        if of and not set(of) & allowed:
            raise ImportError(f"{name} is not installed here")
sys.meta_path.insert(0, Blocker())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a script as if only onnxruntime, numpy and what they require were installed."""


def unpack(artifact, folder):
    api.export(artifact, "folder", output=folder / "model.zip")
    with zipfile.ZipFile(folder / "model.zip") as archive:
        archive.extractall(folder)
    [script] = folder.glob("*/predict.py")
    return script


def start(script, rows, *, only=False):
    path = script.parent / "rows.json"
    path.write_text(rows if isinstance(rows, str) else json.dumps(rows), "utf-8")
    how = ["-c", ONLY] if only else []
    return subprocess.run(
        [sys.executable, "-I", *how, script, path], capture_output=True, text=True
    )


def predict(script, rows):
    done = start(script, rows, only=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_script_answers_as_scikit_learn_on_a_matrix(digits, tmp_path):
    from sklearn.datasets import load_digits

    X = load_digits().data[:200]
    found = predict(unpack(digits.folder, tmp_path), X.tolist())
    model = estimator(digits.folder)
    assert found["labels"] == model.predict(X).tolist()
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(X), rtol=0, atol=1e-9)


def test_the_script_answers_as_scikit_learn_on_a_table(churn, tmp_path):
    found = predict(unpack(churn.artifact, tmp_path), churn.records)
    model = estimator(churn.artifact)
    assert found["labels"] == model.predict(churn.frame()).tolist()
    assert set(found["labels"]) == {"yes", "no"}
    expected = model.predict_proba(churn.frame())
    np.testing.assert_allclose(found["probabilities"], expected, rtol=0, atol=1e-9)


def test_the_script_answers_as_scikit_learn_with_numbers(ridge, tmp_path):
    from sklearn.datasets import load_diabetes

    X = load_diabetes().data[:50]
    found = predict(unpack(ridge, tmp_path), X.tolist())
    np.testing.assert_allclose(found["predictions"], estimator(ridge).predict(X), rtol=1e-9)


def test_the_script_has_thirty_lines_at_most(digits, tmp_path):
    lines = unpack(digits.folder, tmp_path).read_text("utf-8").splitlines()
    assert len(lines) <= 30 and max(map(len, lines)) <= 100
    assert not any(";" in line or "exec" in line for line in lines)


VALUES = {
    "since": ["2026-01-31", "2026-01-31 12:00:00.5", "2026-01-31T12:00+05", " 2026-01-31 ", None,
              "0001-01-01T00:00+23:59", "9999-12-31T23:59-12:00",
              "", "20260131", "2026-W05-1", "2026-01-31T12", "2026-01-31T24:00", "2026-02-30",
              "2026-01-31x12:00", "2026-01-31T12:00:00,5", "2026-01-31T1200", "٢٠٢٦-01-31",
              "2026-01-31T12:00:00.123456789", 20000, 1e300, True, [], {}],
    "age": [1, 1.5, None, 1e308, -1, 2**53, "", True, "x", 2**53 + 1, 10**400, [1], {}],
    "review": ["", None, "É", "NA", "\x00", "x" * 10_000, {}, []],
}  # fmt: skip
"""Values of the churn model's columns; some are accepted."""


@pytest.mark.slow
@pytest.mark.parametrize("column", list(VALUES))
def test_the_script_refuses_exactly_what_infer_refuses(churn, tmp_path, column):
    script = unpack(churn.artifact, tmp_path)
    accepted = [value for value in VALUES[column] if infer(churn, column, value) is not None]
    assert 0 < len(accepted) < len(VALUES[column])
    found = predict(script, [{**churn.records[0], column: value} for value in accepted])
    expected = [infer(churn, column, value)[0] for value in accepted]
    np.testing.assert_allclose(found["probabilities"], expected, rtol=0, atol=1e-12)
    load = runpy.run_path(script)["load"]
    predict_rows = load(script.parent)
    for value in VALUES[column]:
        if value not in accepted:
            with pytest.raises(ValueError, match=rf"'{column}' is"):
                predict_rows([{**churn.records[0], column: value}])


def infer(churn, column, value):
    """Return the probabilities of a row with this value, or None if it is refused."""
    row = json.dumps({**churn.records[0], column: value}) + "\n"
    try:
        return api.infer(churn.artifact, row.encode(), name="rows.jsonl").probabilities
    except DataError:
        return None


def test_rows_may_be_an_array(digits, tmp_path, monkeypatch):
    from sklearn.datasets import load_digits

    monkeypatch.setattr(sys, "path", [*sys.path])
    script = unpack(digits.folder, tmp_path)
    predict_rows = runpy.run_path(script)["load"](script.parent)
    X = load_digits().data[:5]
    assert predict_rows(X) == predict_rows(X.tolist())


def test_equal_artifacts_give_equal_bytes_whatever_the_name(churn, tmp_path):
    for name in ("a.zip", "b.zip"):
        api.export(churn.artifact, "folder", output=tmp_path / name)
    data = (tmp_path / "a.zip").read_bytes()
    assert data == (tmp_path / "b.zip").read_bytes()
    members = zipfile.ZipFile(io.BytesIO(data)).infolist()
    names = sorted(member.filename.partition("/")[2] for member in members)
    assert names == ["interface.json", "model.onnx", "model_interface.py", "predict.py"]
    assert {member.date_time for member in members} == {(1980, 1, 1, 0, 0, 0)}


def test_no_value_of_the_training_rows_is_in_the_interface(churn, tmp_path):
    text = (unpack(churn.artifact, tmp_path).parent / "interface.json").read_text("utf-8")
    assert churn.run["digest"] in text
    assert "Pune" not in text and "Rome" not in text


@pytest.mark.parametrize(
    ("column", "value"),
    [("age", "41"), ("age", True), ("age", [1]), ("age", 10**400), ("review", 1),
     ("since", "tomorrow"), ("since", {"year": 2026})],
)  # fmt: skip
def test_the_script_refuses_what_the_model_does_not_accept(churn, tmp_path, column, value):
    done = start(unpack(churn.artifact, tmp_path), [{**churn.records[0], column: value}])
    assert done.returncode == 1 and done.stderr.startswith("predict.py: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("rows", ["[]", "[[1, 2]]", "[{}]", "nonsense", "1", "[1]", '[["a"]]',
                                  "[" * 100_000, '{"a": 1}', "null"])  # fmt: skip
def test_the_script_refuses_other_rows_in_one_line(digits, tmp_path, rows):
    done = start(unpack(digits.folder, tmp_path), rows)
    assert done.returncode == 1 and done.stderr.startswith("predict.py: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_skops_artifact_has_no_graph_to_export(tmp_path):
    done = call("export", FIXTURES / "version-1-skops", "--to", "folder", cwd=tmp_path)
    assert done.code == 2 and "its form is skops" in done.err
    assert not list(tmp_path.iterdir())


def test_an_artifact_of_format_version_1_is_exported(tmp_path):
    rows = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]
    assert predict(unpack(FIXTURES / "version-1-onnx", tmp_path), rows)["labels"] == [0, 2]


def test_two_models_of_different_releases_fit_into_one_process(digits, tmp_path):
    scripts = []
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        scripts.append(unpack(digits.folder, tmp_path / name))
    checks = scripts[0].with_name("model_interface.py")
    checks.write_text(f"{checks.read_text()}\n\ndef predict(*_, **__): return 'old'\n")
    answers = [runpy.run_path(str(script))["load"](script.parent)([[0] * 64]) for script in scripts]
    assert answers[0] == "old" and answers[1]["labels"]


def test_a_number_too_large_to_compute_with_gives_null_as_infer_does(ridge, tmp_path):
    rows = [[1.7e308] * 10]
    text = start(unpack(ridge, tmp_path), rows).stdout
    answer = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    inferred = call("infer", ridge, "rows.json", "--json", cwd=tmp_path)
    assert answer["predictions"] == inferred.json["predictions"] == [None]
