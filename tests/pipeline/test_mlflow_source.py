"""Estimators in MLflow models that `seal` takes: from folders, and from the real server."""

import json
import os
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import artifact_pipeline as api
from artifact_pipeline.builder import canonical
from artifact_pipeline.errors import (
    ArtifactNotFound,
    CallError,
    DataError,
    StoreError,
    UntrustedModel,
    VerificationError,
)
from artifact_pipeline.pipeline.import_model import seal_saved
from tests.support.command import call
from tests.support.mlflow import call_with_mlflow, mlflow, running_server, with_mlflow

TABLE = pd.DataFrame({
    "width": np.arange(40.0) % 7,
    "extra": 1.0,
    "length": np.arange(40.0),
    "left": ["no"] * 18 + ["yes"] * 22,
})  # fmt: skip
COLUMNS = ["length", "width"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    TABLE.to_csv("held-out.csv", index=False)
    return tmp_path


@pytest.fixture(scope="module")
def fitted():
    """An estimator that was fitted to an array, so that it knows no names."""
    rows = TABLE[COLUMNS].to_numpy()
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, TABLE["left"])


class Bomb:
    """A pickle that writes a file when it is opened."""

    def __reduce__(self):
        return (open, ("exploded", "w"))


def signature(*names):
    return json.dumps([{"type": "double", "name": name, "required": True} for name in names])


def description(path="model.pkl", inputs=None, flavor="sklearn"):
    return json.dumps({
        "flavors": {"python_function": {"model_path": path},
                    flavor: {"pickled_model": path, "serialization_format": "pickle"}},
        **({"signature": {"inputs": inputs, "outputs": None}} if inputs else {}),
    })  # fmt: skip


def write(folder, model, text):
    """Write an MLflow model with a pickle, and return the digest of that."""
    (folder / "m").mkdir(exist_ok=True)
    data = pickle.dumps(model)
    (folder / "m" / "model.pkl").write_bytes(data)
    (folder / "m" / "MLmodel").write_text(text, "utf-8")
    return canonical.digest(data)


def seal(digest, source="m", **options):
    return seal_saved(source, digest, data="held-out.csv", target="left", **options)


def test_the_signature_names_the_columns_of_an_estimator_without_names(fitted, folder):
    with warnings.catch_warnings(action="error", category=UserWarning):
        sealed = seal(write(folder, fitted, description(inputs=signature(*COLUMNS))))
    verified = api.check_integrity(sealed.artifact)
    assert verified.manifest.interface.features == COLUMNS
    expected = fitted.score(TABLE[COLUMNS].to_numpy(), TABLE["left"])
    assert sealed.metrics.test["accuracy"] == expected
    predictor = api.open_artifact(sealed.artifact)
    found = predictor.predict(TABLE[COLUMNS])
    assert found.tolist() == fitted.predict(TABLE[COLUMNS].to_numpy()).tolist()


def test_a_column_of_the_signature_must_be_in_the_table(fitted, folder):
    digest = write(folder, fitted, description(inputs=signature("length", "height")))
    with pytest.raises(DataError, match="has no column 'height'"):
        seal(digest)


def test_a_tensor_as_a_signature_names_no_column(fitted, folder):
    tensor = '[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 2]}}]'
    TABLE[[*COLUMNS, "left"]].to_csv("held-out.csv", index=False)
    sealed = seal(write(folder, fitted, description(inputs=tensor)))
    assert api.check_integrity(sealed.artifact).manifest.interface.features == ["x0", "x1"]


def test_without_a_digest_the_error_has_it_and_nothing_is_opened(folder):
    digest = write(folder, Bomb(), description())
    with pytest.raises(UntrustedModel) as caught:
        seal(None)
    assert digest in str(caught.value) and "where the model was saved" in caught.value.remedy
    with pytest.raises(UntrustedModel, match=digest):
        seal(None, "m/model.pkl")
    with pytest.raises(VerificationError, match=f"has the digest {digest}"):
        seal("sha256:" + "0" * 64)
    with pytest.raises(CallError, match="expected sha256"):
        seal("0" * 64)
    assert not (folder / "exploded").exists() and not (folder / "artifacts").exists()


@pytest.mark.parametrize(
    "path",
    ["../x.pkl", "a/../../x.pkl", "/etc/passwd", "", ".", "..", "a\\..\\x.pkl", "C:/x.pkl",
     "model.pkl\n", "model.pkl?a=b", "%2e%2e/x.pkl", "//host/x.pkl"],
)  # fmt: skip
def test_no_path_leads_out_of_the_model(folder, path):
    digest = write(folder, Bomb(), description(path))
    (folder / "x.pkl").write_bytes((folder / "m" / "model.pkl").read_bytes())
    for pinned in (digest, None):
        with pytest.raises(VerificationError, match="expected a path inside of the model"):
            seal(pinned)
    assert not (folder / "exploded").exists()


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_no_link_leads_out_of_the_model(folder):
    digest = write(folder, Bomb(), description("in/model.pkl"))
    (folder / "m" / "in").symlink_to(folder)
    (folder / "model.pkl").write_bytes((folder / "m" / "model.pkl").read_bytes())
    with pytest.raises(VerificationError, match="a link to a file outside of the model"):
        seal(digest)
    (folder / "m" / "MLmodel").unlink()
    (folder / "m" / "MLmodel").symlink_to(folder / "held-out.csv")
    with pytest.raises(StoreError, match="expected a file"):
        seal(digest)
    assert not (folder / "exploded").exists()


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "a: [", "\x00", "flavors: []", "flavors: {sklearn: {}}", "1", "- " * 20_000,
        "[" * 5_000, "&a [*a]", "&a {flavors: *a}", "flavors: {sklearn: {pickled_model: [a]}}",
        "flavors: !!python/object/apply:os.mkdir [exploded]",
        "? !!python/object/apply:os.mkdir [exploded]\n: 1",
        "a: &a {x: 1}\n" + "".join(
            f"k{n}: &k{n} {{<<: [{', '.join([f'*k{n - 1}' if n else '*a'] * 9)}]}}\n"
            for n in range(9)
        ),
        description(inputs="nonsense"), description(inputs="[1]"), description(inputs="[" * 9999),
    ],
)  # fmt: skip
def test_a_hostile_description_is_refused_in_one_line(folder, text):
    digest = write(folder, Bomb(), text)
    with pytest.raises(VerificationError) as caught:
        seal(digest)
    assert len(str(caught.value).splitlines()) == 1
    assert not (folder / "exploded").exists()


def test_a_huge_description_is_not_read(folder):
    digest = write(folder, Bomb(), "# " + "x" * (1 << 20))
    with pytest.raises(StoreError, match="has more than"):
        seal(digest)


def test_another_flavor_is_named(folder):
    digest = write(folder, Bomb(), description(flavor="xgboost"))
    with pytest.raises(VerificationError) as caught:
        seal(digest)
    assert "has no flavor sklearn, found 'python_function', 'xgboost'" in str(caught.value)
    assert not (folder / "exploded").exists()


def test_a_folder_that_is_no_model_is_refused(folder):
    (folder / "m").mkdir()
    with pytest.raises(CallError, match="has no file MLmodel; name an MLflow model, or a file"):
        seal("sha256:" + "0" * 64)
    (folder / "m" / "MLmodel").write_text(description("gone.pkl"))
    for digest in ("sha256:" + "0" * 64, None):
        with pytest.raises(ArtifactNotFound, match=r"gone\.pkl"):
            seal(digest)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("mlflow:", "expected mlflow:models:/NAME/VERSION"),
        ("mlflow:churn", "expected mlflow:models:/NAME/VERSION"),
        ("mlflow:models:/churn", "expected mlflow:models:/NAME/VERSION"),
        ("mlflow:models:/churn/../x", "expected mlflow:models:/NAME/VERSION"),
        ("mlflow:runs:/1/a/../../x", "expected mlflow:models:/NAME/VERSION"),
        ("models:/churn/3", "write mlflow:models:/churn/3"),
        ("mlflow:models:/churn/3", "no MLflow server is named"),
    ],
)
def test_an_address_that_names_no_model_is_refused(monkeypatch, source, message):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(CallError, match=message):
        seal(None, source)


def test_only_an_address_takes_a_server(folder):
    with pytest.raises(CallError, match="--tracking-uri"):
        seal(None, "m.pkl", tracking_uri="http://127.0.0.1:1")


@pytest.mark.slow
def test_the_command_takes_a_model_in_one_place(fitted, folder):
    words = ("--data", "held-out.csv", "--target", "left")
    digest = write(folder, fitted, description(inputs=signature(*COLUMNS)))
    done = call("seal", "m", "--digest", digest, *words, "--json", cwd=folder)
    assert done.code == 0 and done.json["name"] == "held-out"
    done = call("seal", "m", *words, cwd=folder)
    assert done.code == 4 and digest in done.err
    for names in ((), ("m", "--pickle", "m")):
        done = call("seal", *names, "--digest", digest, *words, cwd=folder)
        assert done.code == 2 and "name one MODEL" in done.err


# With the real MLflow.

SAVE = """
import sys, mlflow, pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
table = pd.read_csv("held-out.csv")
rows = table[["length", "width"]]
estimator = make_pipeline(StandardScaler(), LogisticRegression())
estimator.fit(rows if "names" in sys.argv else rows.to_numpy(), table["left"])
options = dict(serialization_format=sys.argv[1], input_example=rows[:2],
               pip_requirements=["scikit-learn"])
if len(sys.argv) < 4:
    mlflow.sklearn.save_model(estimator, "churn", **options)
else:
    mlflow.set_tracking_uri(sys.argv[3])
    with mlflow.start_run() as run:
        mlflow.sklearn.log_model(estimator, name="model", registered_model_name="churn", **options)
    mlflow.MlflowClient().set_registered_model_alias("churn", "champion", 1)
    print(run.info.run_id)
"""


@pytest.mark.slow
@with_mlflow
@pytest.mark.parametrize("names", ["names", "array"])
@pytest.mark.parametrize("form", ["skops", "cloudpickle", "pickle"])
def test_a_folder_of_mlflow_is_sealed(folder, form, names):
    mlflow("-c", SAVE, form, names, cwd=folder, PYTHONPATH="")
    [path] = folder.glob("churn/model.*")
    sealed = seal(canonical.digest(path.read_bytes()), "churn")
    assert api.check_integrity(sealed.artifact).manifest.interface.features == COLUMNS
    assert sealed.metrics.test["accuracy"] > 0.9


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_server(tmp_path_factory.mktemp("server")) as server_:
        yield server_


@pytest.mark.slow
@with_mlflow
def test_a_model_on_a_server_is_sealed(folder, server):
    run = mlflow("-c", SAVE, "pickle", "array", server.address, cwd=folder, PYTHONPATH="")
    run = run.splitlines()[-1]
    [path] = server.artifacts.rglob("model.pkl")
    digest = canonical.digest(path.read_bytes())
    words = ("--data", "held-out.csv", "--target", "left")
    variables = {"MLFLOW_TRACKING_URI": server.address}

    def command(source, *more, **options):
        return call_with_mlflow("-m", "artifact_pipeline", "seal", source, *words, *more,
                                cwd=folder, **{**variables, **options})  # fmt: skip

    digests = set()
    for source in ("mlflow:models:/churn/1", "mlflow:models:/churn@champion",
                   f"mlflow:runs:/{run}/model"):  # fmt: skip
        done = command(source, "--digest", digest, "--name", "churn", "--json")
        assert done.code == 0, done.err
        digests.add(done.json["digest"])
    assert len(digests) == 1
    done = command("mlflow:models:/churn/1", "--digest", digest, "--json")
    assert done.json["name"] == "churn"
    done = command("mlflow:models:/churn/1")
    assert done.code == 4 and digest in done.err and len(done.err.splitlines()) == 1
    done = command("mlflow:models:/churn/1", "--digest", "sha256:" + "0" * 64)
    assert done.code == 4 and "mlflow:models:/churn/1/model.pkl: has the digest" in done.err
    for source in ("mlflow:models:/churn/9", "mlflow:models:/none/1", "mlflow:models:/churn@none",
                   "mlflow:runs:/none/model"):  # fmt: skip
        done = command(source, "--digest", digest)
        assert done.code == 5 and len(done.err.splitlines()) == 1, done.err
    done = command(f"mlflow:runs:/{run}/none", "--digest", digest)
    assert done.code == 2 and "has no file MLmodel" in done.err
    done = command("mlflow:models:/churn/1", MLFLOW_TRACKING_URI="http://user:secret@127.0.0.1:1")
    assert done.code == 5 and "secret" not in done.err and len(done.err.splitlines()) == 1
    path.with_name("MLmodel").write_text(description("../../model.pkl"))
    done = command("mlflow:models:/churn/1", "--digest", digest)
    assert done.code == 4 and "expected a path inside of the model" in done.err
    path.with_name("MLmodel").write_bytes(b"#" * (1 << 21))
    done = command("mlflow:models:/churn/1", "--digest", digest)
    assert done.code == 4 and "more than 1048576 bytes" in done.err
