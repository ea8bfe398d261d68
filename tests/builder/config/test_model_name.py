"""The name of a model: given, taken from the data, or demanded."""

import pytest

from artifact_pipeline.builder.config import loader
from artifact_pipeline.builder.config.model_name import from_path
from artifact_pipeline.errors import ConfigError
from tests.support.configs import QUICK, SHORT

BAYES = {"preprocess": "auto", "estimator": "sklearn.naive_bayes.GaussianNB"}


def table(path, **keys):
    return {"data": {"path": path, "target": "y"}, "model": BAYES, **keys}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("churn.csv", "churn"),
        ("../data/churn.csv.gz", "churn"),
        ("churn v1.2.parquet", "churn-v1.2"),
        ("Kündigungen (alt).csv", "Kundigungen-alt"),
        ("part-*.csv", "part"),
        ("parts/*.csv", "parts"),
        ("parts/**/[a-z]*.csv", "parts"),
        ("data\\churn.csv", "churn"),
        ("-_x_-.csv", "x"),
        ("a" * 120 + ".csv", "a" * 100),
    ],
)
def test_a_name_follows_from_the_path_of_the_table(path, name):
    assert loader.load(table(path)).name == name


@pytest.mark.parametrize(
    "path", ["顧客.csv", "Ω2024.csv", "--.csv", "..", ".", "*.csv", "sha256.csv"]
)
def test_a_path_that_gives_no_name_needs_the_key(path):
    assert from_path(path) is None
    with pytest.raises(ConfigError, match=r"'name' is missing.*letters, digits"):
        loader.load(table(path))
    assert loader.load(table(path, name="customers")).name == "customers"


def test_a_bundled_data_set_and_the_short_form_have_a_name():
    assert loader.load(QUICK).name == "iris"
    assert loader.load(SHORT).name == "digits"
    named = loader.load({**SHORT, "name": "numbers", "description": "Eight by eight."})
    assert (named.name, named.description) == ("numbers", "Eight by eight.")


@pytest.mark.parametrize(
    "name",
    ["", "a b", "-a", ".a", "a.", "..", "a/b", "a@b", "a:3", "a\n", "ä", "sha256", "a" * 101],
)
def test_a_name_with_other_signs_is_refused(name):
    with pytest.raises(ConfigError, match=r"name: found .*, expected letters, digits"):
        loader.load({**QUICK, "name": name})


@pytest.mark.parametrize("description", ["", "x" * 1001, 3])
def test_a_description_is_a_text_of_limited_length(description):
    with pytest.raises(ConfigError, match="description"):
        loader.load({**QUICK, "description": description})
