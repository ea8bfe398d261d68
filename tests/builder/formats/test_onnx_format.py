"""The ONNX form, proven equal to the estimator; the pickle is never opened."""

import os
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.tree import DecisionTreeClassifier

from artifact_pipeline import open_artifact
from artifact_pipeline.builder.config.resolved import BundledData, SplitConfig
from artifact_pipeline.builder.data.loader import load
from artifact_pipeline.builder.data.split import split
from artifact_pipeline.builder.formats import onnx_format
from artifact_pipeline.builder.formats import pickle_format as pickles
from artifact_pipeline.builder.formats.base import FORMS, Outputs
from artifact_pipeline.builder.formats.parity import compare
from artifact_pipeline.errors import CallError, DataError, Location, VerificationError
from tests.support.artifacts import reseal
from tests.support.command import call
from tests.support.configs import write


@pytest.fixture(scope="module")
def parts():
    return split(load(BundledData("digits")), SplitConfig())


@pytest.fixture(scope="module")
def predictor(digits):
    return open_artifact(digits.folder, digits.digest)


def test_the_graph_matches_the_estimator(digits, predictor, parts):
    estimator = pickle.loads((digits.folder / "model_train.pkl").read_bytes())
    np.testing.assert_array_equal(predictor.predict(parts.X_test), estimator.predict(parts.X_test))
    difference = predictor.predict_proba(parts.X_test) - estimator.predict_proba(parts.X_test)
    assert np.abs(difference).max() < 1e-9


def test_the_interface_describes_inputs_and_outputs(predictor):
    interface = predictor.interface
    assert [(p.name, p.dtype, p.shape) for p in interface.inputs] == [("X", "float64", [None, 64])]
    assert [(p.name, p.dtype, p.shape) for p in interface.outputs] == [
        ("label", "int64", [None]),
        ("probabilities", "float64", [None, 10]),
    ]
    assert interface.labels == list(range(10))
    assert (interface.image.height, interface.image.width, interface.image.max) == (8, 8, 16.0)


def test_lists_integers_and_data_frames_predict_as_arrays_do(predictor, parts):
    X = parts.X_test[:20]
    expected = predictor.predict(X)
    features = predictor.interface.features
    named = pd.DataFrame(X, columns=features)
    for same in (X.tolist(), X.astype(int), pd.DataFrame(X), named, named[features[::-1]]):
        np.testing.assert_array_equal(predictor.predict(same), expected)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.zeros(64), "has the shape (64,), expected (rows, 64)"),
        (np.zeros((2, 63)), "found 63 values, expected 64"),
        (np.zeros((0, 64)), "has no rows"),
        (np.full((3, 64), np.nan), "row 1: pixel_0_0 is nan, expected a finite number"),
        ([["a"] * 64], "is not a matrix of numbers"),
        ([[1], [1, 2]], "is not a matrix of numbers"),
        (None, "has the shape ()"),
        (pd.DataFrame(np.zeros((2, 64))).rename(columns=str), "the column 'pixel_0_0' is missing"),
    ],
)
def test_invalid_rows_are_refused_by_row(predictor, X, message):
    with pytest.raises(DataError) as caught:
        predictor.predict(X)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("estimator", "params", "form"),
    [
        pytest.param(
            "sklearn.ensemble.RandomForestClassifier",
            {"n_estimators": 10},
            "onnx-float64",
            marks=pytest.mark.slow,
        ),
        pytest.param("sklearn.naive_bayes.BernoulliNB", {}, "onnx-float32", marks=pytest.mark.slow),
        ("sklearn.naive_bayes.GaussianNB", {}, "onnx-float64"),
    ],
)
def test_the_best_proven_form_is_sealed(project, estimator, params, form):
    model = {"estimator": estimator, "params": params}
    config = {"data": {"dataset": "wine"}, "model": model}
    done = call("run", write(project, config), "--json", cwd=project)
    assert done.code == 0, done.err
    predictor = open_artifact(done.json["digest"], store=project / "artifacts")
    assert predictor.manifest.parity.form == form
    assert predictor.interface.inputs[0].dtype == "float64"  # trees alone compute in float32


@pytest.mark.slow
def test_a_pipeline_without_probabilities_predicts_only_labels(project):
    steps = [
        {"name": "scale", "estimator": "sklearn.preprocessing.StandardScaler"},
        {"name": "model", "estimator": "sklearn.linear_model.RidgeClassifier"},
    ]
    config = {"data": {"dataset": "iris"}, "model": {"steps": steps}}
    done = call("train", write(project, config), "--json", cwd=project)
    assert done.code == 0, done.err
    predictor = open_artifact("latest", store=project / "artifacts")
    assert [port.name for port in predictor.interface.outputs] == ["label"]
    with pytest.raises(CallError, match="gives no probabilities"):
        predictor.predict_proba([[5.0, 3.0, 1.0, 0.2]])
    answer = call("infer", "latest", "-", "--json", cwd=project, stdin=b"5,3,1,0.2").json
    assert answer["probabilities"] is None and answer["labels"] == [0]


@pytest.mark.slow
def test_an_estimator_without_an_open_form_is_refused_and_nothing_is_stored(project):
    model = {"estimator": "xgboost.XGBClassifier", "params": {"booster": "gblinear"}}
    config = {"data": {"dataset": "iris"}, "model": model}
    done = call("run", write(project, config), cwd=project)
    assert done.code == 2
    assert "has no open form that could be proven equal" in done.err
    assert "0 artifacts" in call("list", cwd=project).out


EXPECTED = Outputs(np.array([0, 1]), np.array([[0.9, 0.1], [0.2, 0.8]]))


@pytest.mark.parametrize(
    ("labels", "probabilities", "holds"),
    [
        ([0, 1], [[0.9, 0.1], [0.2, 0.8]], True),
        ([0, 1], [[0.9 + 1e-10, 0.1], [0.2, 0.8]], True),
        ([0, 1], [[0.9 + 1e-8, 0.1], [0.2, 0.8]], False),
        ([1, 1], [[0.9, 0.1], [0.2, 0.8]], False),
        ([0, 1], [[np.nan, 0.1], [0.2, 0.8]], False),
        ([0, 1], [[0.9], [0.2]], False),
    ],
)
def test_parity_holds_only_within_the_bound(labels, probabilities, holds):
    found = Outputs(np.array(labels), np.array(probabilities))
    assert (compare(FORMS[0], found, expected=EXPECTED) is not None) is holds


def test_labels_must_be_equal_even_in_ties():
    tied = Outputs(np.array([0]), np.array([[0.5, 0.5]]))
    assert compare(FORMS[0], tied, expected=tied) is not None
    assert compare(FORMS[0], Outputs(np.array([1]), np.array([[0.5, 0.5]])), expected=tied) is None


@pytest.mark.parametrize("data", [b"", b"x", b"\x08\x0a" * 50, b"\x3a", b"\x3a\x00"])
def test_bytes_that_are_not_a_graph_are_refused(data):
    with pytest.raises(VerificationError, match=r"model\.onnx: .*not loade?d?"):
        onnx_format.load(data, Location("model.onnx"))


class Canary:
    """Unpickled, it leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


@pytest.mark.slow
@pytest.mark.parametrize("place", ["model_train.pkl", "model.onnx", "evaluation.json", "rows.npy"])
def test_no_command_unpickles_its_input(digits, tmp_path, place):
    """A canary in each place, under a manifest that vouches for it, as an attacker would."""
    import shutil

    canary = tmp_path / "fired"
    data = pickle.dumps(Canary(canary))
    folder = tmp_path / "artifact"
    shutil.copytree(digits.folder, folder)
    rows = tmp_path / "rows.npy"
    rows.write_bytes(data)
    if place != "rows.npy":
        reseal(folder, place, data)
    for words in (["verify"], ["show"], ["infer"], ["evaluate"], ["compare", folder]):
        done = call(words[0], folder, *words[1:], cwd=tmp_path)
        assert "Traceback" not in done.err
    assert call("infer", folder, rows, cwd=tmp_path).code in (3, 4)
    assert not canary.exists()
    pickle.loads(data)  # the canary does sing
    assert canary.exists()


def test_onnxruntime_sends_no_telemetry(digits, tmp_path):
    rows = "\n".join([",".join(["0"] * 64)])
    done = call("infer", digits.folder, "-", cwd=tmp_path, env={"HOME": str(tmp_path), "CI": ""},
                stdin=rows.encode())  # fmt: skip
    assert done.code == 0, done.err
    assert list(tmp_path.iterdir()) == []


def test_a_pickled_tree_has_no_uninitialized_padding():
    """Memory that nobody wrote: two fits of the same tree would give other bytes."""
    X, y = np.arange(40.0)[:, None], np.arange(40) % 3
    found = set()
    for _ in range(8):
        tree = DecisionTreeClassifier(random_state=0).fit(X, y)
        keep = np.full(5000, 255, dtype=np.uint8)  # so that memory is not all zeros
        found.add(pickles.dump(tree))
        del keep
    assert len(found) == 1
    nodes = pickle.loads(found.pop()).tree_.__getstate__()["nodes"]
    assert not np.frombuffer(nodes.tobytes(), np.uint8).reshape(-1, 64)[:, 57:].any()
