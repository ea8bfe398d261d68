"""A resolved config: every default filled in once, and nothing that is unset."""

import msgspec
import pytest
from msgspec import UNSET

from artifact_pipeline.builder.config import loader
from artifact_pipeline.builder.config.resolved import BundledData, Gate, SplitConfig, TableData
from tests.support.configs import QUICK, SHORT

BAYES = "sklearn.naive_bayes.GaussianNB"
TABLE = {
    "data": {"path": "t.csv", "target": "y"},
    "model": {
        "steps": [
            {
                "name": "prep",
                "branches": [
                    {
                        "name": "numbers",
                        "columns": ["a"],
                        "steps": [{"estimator": "sklearn.preprocessing.StandardScaler"}],
                    }
                ],
            },
            {"name": "model", "estimator": BAYES},
        ]
    },
    "search": {"method": "random", "params": {"model__var_smoothing": [1, 2]}},
    "evaluation": {"cv": 3},
    "gates": {"test.accuracy": {"not_worse_than": "champion"}},
}


def parts(value):
    """Yield a value and everything in it."""
    yield value
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    if isinstance(value, dict):
        value = list(value.values())
    for inner in value if isinstance(value, list) else ():
        yield from parts(inner)


@pytest.mark.parametrize("source", [SHORT, QUICK, TABLE])
def test_nothing_is_unset(source):
    assert all(part is not UNSET for part in parts(loader.load(source)))


def test_the_defaults_are_those_of_the_reference():
    config = loader.load({"data": {"dataset": "iris"}, "model": {"estimator": BAYES}})
    assert config.data == BundledData("iris", examples=100)
    assert config.split == SplitConfig(test_size=0.2, random_state=42, stratify=None)
    assert config.model.params == {}
    table = loader.load(TABLE)
    assert table.data == TableData(path="t.csv", target="y", examples=0)
    assert table.search.n_iter == 10 and table.search.cv == 5
    assert table.gates == {"test.accuracy": Gate(not_worse_than="champion", tolerance=0.0)}
    [prep, model] = table.model.steps
    assert prep.remainder == "drop" and model.params == {}
    [scaler] = prep.branches[0].steps
    assert (scaler.name, scaler.params) == ("standardscaler", {})


@pytest.mark.parametrize(
    ("column_format", "decimal"),
    [({"unit": "kg"}, ","), ({"unit": "kg", "decimal": "."}, "."), ({"date": "%d/%m/%Y"}, None)],
)
def test_a_format_of_numbers_has_the_decimal_mark_of_its_file(column_format, decimal):
    data = {**TABLE["data"], "csv": {"decimal": ","}, "formats": {"w": column_format}}
    assert loader.load({**TABLE, "data": data}).data.formats["w"].decimal == decimal
