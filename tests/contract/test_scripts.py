"""The scripts of the assignment in a checkout of their own, and tests that others wrote."""

import pickle
import shutil

import pytest

from tests.support.command import script


def door(checkout, *words):
    return script(*words, cwd=checkout, env={"PYTHONPATH": ""})


def test_train_then_inference(checkout):
    trained = door(checkout, "src/train.py")
    assert trained.code == 0, trained.err
    lines = [line.split() for line in trained.out.splitlines()]
    assert ["training", "rows", "held-out", "rows"] in lines
    assert ["accuracy", "1.0000", "0.9583"] in lines
    assert ["weighted", "F1", "1.0000", "0.9584"] in lines
    assert ["precision", "recall", "f1-score", "support"] in lines
    assert (checkout / "model_train.pkl").is_file()

    inferred = door(checkout, "src/inference.py")
    assert inferred.code == 0, inferred.err
    assert "accuracy on the 360 held-out rows: 0.9583" in inferred.out
    assert len([line for line in inferred.out.splitlines() if line.startswith("  ")]) == 11


@pytest.mark.slow
def test_the_pickle_is_the_sealed_one_and_opens_with_pickle_and_joblib(checkout):
    import joblib

    assert door(checkout, "src/train.py").code == 0
    [sealed] = (checkout / "artifacts").glob("*/model_train.pkl")
    data = (checkout / "model_train.pkl").read_bytes()
    assert data == sealed.read_bytes()
    assert pickle.loads(data).C == joblib.load(checkout / "model_train.pkl").C == 1.0


@pytest.mark.slow
def test_the_config_decides_and_no_code_does(checkout):
    path = checkout / "config" / "config.json"
    path.write_text(path.read_text().replace("1000", "5"))
    trained = door(checkout, "src/train.py")
    assert trained.code == 0
    assert "warning: LogisticRegression did not converge within max_iter=5" in trained.out


@pytest.mark.slow
def test_a_second_call_trains_nothing(checkout):
    assert door(checkout, "src/train.py").code == 0
    assert "nothing to train" in door(checkout, "src/train.py").out


@pytest.mark.slow
def test_a_store_from_elsewhere_is_trained_again(checkout, digits):
    shutil.copytree(digits.store, checkout / "artifacts")
    trained = door(checkout, "src/train.py")
    assert trained.code == 0 and "\ntrained; the model is in model_train.pkl" in trained.out
    assert door(checkout, "src/inference.py").code == 0


def test_inference_refuses_a_pickle_of_unknown_origin(checkout, digits):
    shutil.copy(digits.folder / "model_train.pkl", checkout)
    done = door(checkout, "src/inference.py")
    assert done.code == 4
    assert "this checkout did not write this pickle (sha256:" in done.err
    assert "Traceback" not in done.err


def test_inference_without_a_model_says_how_to_train_one(checkout):
    done = door(checkout, "src/inference.py")
    assert done.code == 2
    assert done.err == ("error: model_train.pkl: no such file; make it with: python src/train.py\n")


def test_a_wrong_config_is_one_line(checkout):
    (checkout / "config" / "config.json").write_text("{")
    done = door(checkout, "src/train.py")
    assert done.code == 2 and done.err.count("\n") == 1


THEIRS = {
    "by package": """
from src.train import load_config, load_data, train_model, evaluate_model, save_model, main
from src.utils import load_digits_data, load_model
from src.inference import main as infer
""",
    "by folder": """
import os, sys
sys.path.append(os.path.join(os.path.dirname(__file__), "..", "src"))
from train import load_config, load_data, train_model, evaluate_model, save_model, main
from utils import load_digits_data, load_model
from inference import main as infer
""",
    "by both": """
import os, sys
from src.train import train_model as first
sys.path.insert(0, os.path.abspath(os.path.join(os.path.dirname(__file__), "../src")))
from train import load_config, load_data, train_model, evaluate_model, save_model, main
from utils import load_config as theirs, load_digits_data, load_model
from inference import main as infer
""",
}
CASES = """
import json, os
import joblib
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

def test_config():
    config = load_config()
    assert config == load_config("./config/config.json") == json.load(open("config/config.json"))
    assert isinstance(config["C"], float) and isinstance(config["max_iter"], int)

def test_all_rows_at_once():
    X, y = load_digits(return_X_y=True)
    model = train_model(X, y, load_config("config/config.json"))
    assert isinstance(model, LogisticRegression)
    assert hasattr(model, "coef_") and hasattr(model, "classes_")
    assert model.score(X, y) > 0.9

def test_a_config_of_their_own():
    X, y = load_digits(return_X_y=True)
    assert train_model(X, y, {"C": 1.0, "solver": "newton-cg", "max_iter": 200}).C == 1.0

def test_parts():
    X_train, X_test, y_train, y_test = load_digits_data()
    assert len(X_train) == len(y_train) == 1437 and len(X_test) == len(y_test) == 360

def test_parts_of_another_size():
    X_train, X_test, y_train, y_test = load_digits_data(test_size=0.3, random_state=7)
    assert X_train.shape == (1257, 64) and X_test.shape == (540, 64)
    assert len(load_digits_data(test_size=0.25)[1]) == 450
    a, b = load_digits_data(random_state=1)[3], load_digits_data(random_state=2)[3]
    assert len(a) == len(b) == 360 and (a != b).any()

def test_scripts():
    main()
    assert os.path.exists("model_train.pkl")
    assert joblib.load("model_train.pkl").predict(load_digits().data[:2]).shape == (2,)
    infer()

def test_round_trip(tmp_path):
    X_train, X_test, y_train, y_test = load_data(load_config())
    model = train_model(X_train, y_train, load_config())
    save_model(model, str(tmp_path / "m.pkl"))
    again = load_model(str(tmp_path / "m.pkl"))
    assert evaluate_model(again, X_test, y_test)["accuracy"] > 0.9
"""


@pytest.mark.slow
@pytest.mark.parametrize("imports", THEIRS)
def test_other_peoples_tests_of_the_same_assignment_pass(checkout, imports):
    (checkout / "tests").mkdir()
    (checkout / "tests" / "test_train.py").write_text(THEIRS[imports] + CASES)
    done = door(checkout, "-m", "pytest", "tests/", "-q")
    assert done.code == 0, done.out
    assert "7 passed" in done.out


@pytest.mark.parametrize(
    "statement",
    [
        "from src.train import train_model",
        "import sys; sys.path.append('src'); from utils import load_config",
        "import src.inference, src.utils",
    ],
)
def test_the_scripts_are_importable_from_the_root(checkout, statement):
    assert door(checkout, "-c", statement).code == 0
