"""Artifacts that several tests of exports share; do not write to them."""

import pytest

from tests.support.command import call
from tests.support.configs import write
from tests.support.exports import make_churn

RIDGE = {
    "data": {"dataset": "diabetes"},
    "model": {"estimator": "sklearn.linear_model.Ridge", "params": {}},
}


@pytest.fixture(scope="session")
def churn(tmp_path_factory):
    return make_churn(tmp_path_factory.mktemp("churn"))


@pytest.fixture(scope="session")
def ridge(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ridge")
    done = call("run", write(folder, RIDGE), "--json", cwd=folder)
    assert done.code == 0, done.err
    return folder / done.json["artifact"]
