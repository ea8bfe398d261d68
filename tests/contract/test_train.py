"""The assignment's own cases: config, training, saving and data."""

import json

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from src.train import evaluate_model, load_config, load_data, save_model, train_model
from src.utils import load_digits_data, load_model

from tests.support.configs import ROOT

CONFIG = ROOT / "config" / "config.json"


@pytest.fixture(scope="module")
def config():
    return load_config(CONFIG)


@pytest.fixture(scope="module")
def parts(config):
    return load_data(config)


@pytest.fixture(scope="module")
def model(config, parts):
    X_train, _, y_train, _ = parts
    return train_model(X_train, y_train, config)


def test_the_config_file_exists():
    assert CONFIG.is_file()


def test_the_config_has_the_values_of_the_file(config):
    assert config == json.loads(CONFIG.read_text("utf-8"))


def test_the_config_has_all_hyperparameters_and_no_others(config):
    assert set(config) == {"C", "solver", "max_iter", "random_state", "test_size"}


def test_the_hyperparameters_have_their_types(config):
    types = {key: type(value) for key, value in config.items()}
    assert types == {
        "C": float,
        "solver": str,
        "max_iter": int,
        "random_state": int,
        "test_size": float,
    }


def test_the_hyperparameters_have_the_values_of_the_assignment(config):
    assert config == {
        "C": 1.0,
        "solver": "lbfgs",
        "max_iter": 1000,
        "random_state": 42,
        "test_size": 0.2,
    }


def test_train_model_returns_a_logistic_regression(model):
    assert isinstance(model, LogisticRegression)


def test_the_model_is_fitted(model):
    assert model.coef_.shape == (10, 64)
    assert model.classes_.tolist() == list(range(10))


def test_the_model_has_the_hyperparameters_of_the_config(model, config):
    settings = {key: value for key, value in config.items() if key != "test_size"}
    assert settings.items() <= model.get_params().items()


def test_a_saved_model_loads_and_predicts_the_same(model, parts, tmp_path):
    save_model(model, tmp_path / "model_train.pkl")
    loaded = load_model(tmp_path / "model_train.pkl")
    assert isinstance(loaded, LogisticRegression)
    np.testing.assert_array_equal(loaded.predict_proba(parts[1]), model.predict_proba(parts[1]))


def test_accuracy_on_held_out_rows(model, parts):
    _, X_test, _, y_test = parts
    assert evaluate_model(model, X_test, y_test)["accuracy"] > 0.95


def test_accuracy_on_training_rows(model, parts):
    X_train, _, y_train, _ = parts
    assert evaluate_model(model, X_train, y_train)["accuracy"] > 0.99


def test_the_data_has_the_shapes_of_the_split(parts):
    assert [part.shape for part in parts] == [(1437, 64), (360, 64), (1437,), (360,)]


def test_the_data_has_its_types_and_values(parts):
    X_train, X_test, y_train, y_test = parts
    assert X_train.dtype == X_test.dtype == np.float64
    assert y_train.dtype == y_test.dtype == np.int64
    assert X_train.min() == 0 and X_train.max() == 16
    assert set(y_test) == set(range(10))


def test_the_split_is_stratified(parts):
    counts = np.bincount(parts[3])
    assert counts.min() >= 35 and counts.max() <= 37


def test_load_digits_data_splits_as_the_config_says(parts):
    for found, expected in zip(load_digits_data(), parts, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_the_figures_are_those_of_the_assignment(model, parts):
    _, X_test, _, y_test = parts
    metrics = evaluate_model(model, X_test, y_test)
    assert (f"{metrics['accuracy']:.4f}", f"{metrics['f1_weighted']:.4f}") == ("0.9583", "0.9584")
