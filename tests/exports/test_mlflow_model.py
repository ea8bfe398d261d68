"""The MLflow model: without MLflow, and with the real client and server."""

import importlib.util
import json
import subprocess

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

import artifact_pipeline as api
from artifact_pipeline.errors import CallError
from tests.support.artifacts import variant
from tests.support.command import call, environment
from tests.support.configs import FIXTURES
from tests.support.exports import estimator
from tests.support.mlflow import MLFLOW, mlflow, running_server, with_mlflow

PREDICT = """
import sys, json, mlflow, mlflow.pyfunc, mlflow.onnx, pandas as pd
if len(sys.argv) > 3:
    mlflow.set_tracking_uri(sys.argv[3])
model = mlflow.pyfunc.load_model(sys.argv[1])
rows = pd.read_json(sys.argv[2], orient="split", convert_dates=["since"], dtype={"zip": str})
rows = rows.astype(dict.fromkeys(rows.select_dtypes("int"), float))  # as MLflow requires
print(json.dumps({
    "predictions": model.predict(rows).to_dict(orient="list"),
    "example": None if model.input_example is None else len(model.predict(model.input_example)),
    "inputs": [[c.name, c.type.name] for c in model.metadata.get_input_schema().inputs],
    "digest": model.metadata.metadata["artifact_pipeline.digest"],
    "onnx": len(mlflow.onnx.load_model(sys.argv[1]).graph.node),
}))
"""


def export(artifact, tmp_path):
    folder = tmp_path / "model"
    api.export(artifact, "mlflow", output=folder)
    return folder, YAML(typ="safe").load(folder / "MLmodel")


def opened(folder, description):
    """Return the model as MLflow's python_function flavor opens it, without MLflow."""
    flavor = description["flavors"]["python_function"]
    path = folder / flavor["code"] / f"{flavor['loader_module']}.py"
    spec = importlib.util.spec_from_file_location(flavor["loader_module"], path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module._load_pyfunc(str(folder / flavor["data"]))


def predicted(model, frame, folder, *server):
    frame.to_json(folder / "rows.json", orient="split", date_format="iso")
    out = mlflow("-c", PREDICT, model, folder / "rows.json", *server, cwd=folder)
    return json.loads(out.splitlines()[-1])


def test_the_model_answers_as_scikit_learn_on_a_table(churn, tmp_path):
    found = opened(*export(churn.artifact, tmp_path)).predict(pd.DataFrame(churn.records))
    model = estimator(churn.artifact)
    assert found["label"].tolist() == model.predict(churn.frame()).tolist()
    assert list(found) == ["label", *(f"probability_{name}" for name in model.classes_)]
    expected = model.predict_proba(churn.frame())
    np.testing.assert_allclose(found.to_numpy()[:, 1:].astype(float), expected, rtol=0, atol=1e-9)


def test_the_model_answers_as_scikit_learn_with_numbers(ridge, tmp_path):
    from sklearn.datasets import load_diabetes

    X = load_diabetes().data[:50]
    found = opened(*export(ridge, tmp_path)).predict(X)
    np.testing.assert_allclose(found["prediction"], estimator(ridge).predict(X), rtol=1e-9)


def test_dates_and_missing_values_of_pandas_are_taken(churn, tmp_path):
    frame = pd.DataFrame(churn.records)
    typed = frame.assign(since=pd.to_datetime(frame["since"]), age=frame["age"].astype("Int64"))
    model = opened(*export(churn.artifact, tmp_path))
    pd.testing.assert_frame_equal(model.predict(typed), model.predict(frame))


def test_the_signature_has_the_features_and_the_outputs(churn, tmp_path):
    _, description = export(churn.artifact, tmp_path)
    inputs = json.loads(description["signature"]["inputs"])
    assert {port["name"]: port["type"] for port in inputs} == {
        "since": "datetime", "age": "double", "a b/€": "double", "label": "string",
        "review": "string", "zip": "string",
    }  # fmt: skip
    outputs = json.loads(description["signature"]["outputs"])
    assert [port["name"] for port in outputs] == ["label", "probability_no", "probability_yes"]


def test_the_example_is_a_row_of_typical_values(digits, tmp_path):
    folder, description = export(digits.folder, tmp_path)
    example = json.loads((folder / description["saved_input_example_info"]["artifact_path"])
                         .read_bytes())  # fmt: skip
    assert len(opened(folder, description).predict(pd.DataFrame(**example))) == 1


def test_without_typical_values_there_is_no_example(tmp_path):
    folder, description = export(FIXTURES / "version-1-onnx", tmp_path)
    assert "saved_input_example_info" not in description
    assert not (folder / "input_example.json").exists()
    assert not list(folder.rglob("*.pkl"))


@pytest.mark.parametrize("text", ["\u2028\x85\x00😀", "a: b\n- c", "'\"\\"])
def test_hostile_text_changes_no_description(digits, tmp_path, text):
    artifact = tmp_path / "hostile"
    artifact.mkdir()
    for name, data in variant(digits.folder, "", description=text).items():
        (artifact / name).write_bytes(data)
    _, description = export(artifact, tmp_path)
    assert description["flavors"]["python_function"]["data"] == "data"


def test_a_skops_artifact_is_refused(tmp_path):
    done = call("export", FIXTURES / "version-1-skops", "--to", "mlflow", cwd=tmp_path)
    assert done.code == 2 and "its form is skops" in done.err


def test_a_registry_needs_a_server(digits, tmp_path):
    words = ("export", digits.folder, "--to", "mlflow", "--registered-model", "churn")
    done = call(*words, cwd=tmp_path)
    assert done.code == 2 and "--registered-model: needs a server" in done.err
    done = call(*words, "--tracking-uri", "http://127.0.0.1:1", "-o", "m", cwd=tmp_path)
    assert done.code == 2 and not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["", " ", ".", "..", "a/b", "models:x", "a\nb", "x" * 256])
def test_a_name_that_no_registry_accepts_is_refused_before_a_run_begins(digits, name):
    with pytest.raises(CallError, match="--registered-model: found"):
        api.export(digits.folder, "mlflow", registered_model=name,
                   tracking_uri="http://127.0.0.1:1")  # fmt: skip


@pytest.mark.skipif(importlib.util.find_spec("mlflow") is not None, reason="mlflow is installed")
def test_a_server_without_the_package_mlflow_is_a_missing_dependency(digits, tmp_path):
    env = {"MLFLOW_TRACKING_URI": "http://user:secret@127.0.0.1:1"}
    done = call("export", digits.folder, "--to", "mlflow", cwd=tmp_path, env=env)
    assert done.code == 5 and "pip install mlflow" in done.err
    assert "secret" not in done.err


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_server(tmp_path_factory.mktemp("server")) as server_:
        yield server_.address


@pytest.mark.slow
@with_mlflow
def test_mlflow_loads_the_folder_and_unpickles_nothing(churn, tmp_path):
    folder, _ = export(churn.artifact, tmp_path)
    frame = pd.DataFrame(churn.records)
    frame = frame.assign(since=pd.to_datetime(frame["since"]))
    found = predicted(folder, frame, tmp_path)
    model = estimator(churn.artifact)
    assert found["predictions"]["label"] == model.predict(churn.frame()).tolist()
    np.testing.assert_allclose(
        found["predictions"]["probability_yes"], model.predict_proba(churn.frame())[:, 1],
        rtol=0, atol=1e-9,
    )  # fmt: skip
    assert found["digest"] == churn.run["digest"] and found["onnx"] > 1


LOOK = """
import sys, json, mlflow
client = mlflow.MlflowClient(sys.argv[1], sys.argv[1])
versions = client.search_model_versions("name = 'digits-model'")
run = client.get_run(versions[0].run_id)
print(json.dumps({"versions": sorted(int(v.version) for v in versions),
                  "tags": dict(versions[0].tags), "status": run.info.status,
                  "metrics": run.data.metrics, "params": run.data.params}))
"""


@pytest.mark.slow
@with_mlflow
def test_a_server_registers_versions_that_predict(digits, server, tmp_path):
    from sklearn.datasets import load_digits

    words = ("-m", "artifact_pipeline", "export", digits.digest, "--store", digits.store, "--json",
             "--to", "mlflow", "--registered-model", "digits-model")  # fmt: skip
    for version in (1, 2):
        out = mlflow(*words, cwd=tmp_path, MLFLOW_TRACKING_URI=server)
        assert json.loads(out)["path"] == f"models:/digits-model/{version}"
    seen = json.loads(mlflow("-c", LOOK, server, cwd=tmp_path).splitlines()[-1])
    assert seen["versions"] == [1, 2] and seen["status"] == "FINISHED"
    assert seen["tags"]["artifact_pipeline.digest"] == digits.digest
    manifest = json.loads((digits.folder / "manifest.json").read_bytes())
    for name, value in manifest["metrics"]["test"].items():
        assert seen["metrics"][f"test.{name}"] == value
    assert seen["params"]["C"] == "1.0" and seen["params"]["split.random_state"] == "42"
    X = load_digits().data[:100]
    frame = pd.DataFrame(X, columns=manifest["interface"]["features"])
    found = predicted("models:/digits-model/2", frame, tmp_path, server)
    assert found["predictions"]["label"] == estimator(digits.folder).predict(X).tolist()
    assert found["example"] == 1


@pytest.mark.slow
@with_mlflow
def test_a_server_that_is_away_is_a_network_error(digits, tmp_path):
    done = subprocess.run(
        [MLFLOW, "-m", "artifact_pipeline", "export", digits.folder, "--to", "mlflow",
         "--tracking-uri", "http://user:secret@127.0.0.1:1"],
        cwd=tmp_path, env=environment(), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 5 and "secret" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: http://127.0.0.1:1: ")
