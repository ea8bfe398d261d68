"""The interface's summary of the training values of each feature."""

import json
import random

import pandas as pd
import pytest

import artifact_pipeline as api
from tests.support.command import call
from tests.support.configs import write

ROWS = 800


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """A table with a value of each kind missing, many texts, and a fixed order of the split."""
    draw = random.Random(1)
    rows = [
        {
            "age": draw.choice([None, *range(18, 91)]),
            "balance": round(draw.gauss(0, 1000), 2),
            "since": f"20{draw.randint(10, 25)}-{draw.randint(1, 12):02}-{draw.randint(1, 28):02}",
            "member": draw.random() < 0.3,
            "city": draw.choice(["", "Rome", "Ōsaka", "Ōsaka", "=1+1"]),
            "street": "Main Street" if index % 5 else f"Street {index}",
            "code": f"c{index // 2}",  # more texts than half the rows are left out
            "part": "test" if index % 4 == 0 else "train",
            "bought": draw.random() < 0.5,
        }
        for index in range(ROWS)
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def training(table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    table.to_csv(folder / "t.csv", index=False)
    config = {
        "data": {
            "path": "t.csv",
            "target": "bought",
            "columns": {"age": "number", "code": "text"},
        },
        "split": {"method": "column", "column": "part"},
        "model": {"preprocess": "auto", "estimator": "sklearn.linear_model.LogisticRegression"},
    }  # fmt: skip
    done = call("train", write(folder, config), "--json", cwd=folder)
    assert done.code == 0, done.err
    interface = api.check_integrity(folder / done.json["artifact"]).manifest.interface
    return dict(zip(interface.features, interface.training, strict=True))


def test_numbers_have_their_range_and_lower_median(table, training):
    known = table[table["part"] == "train"]
    for name in ("age", "balance"):
        column = known[name]
        assert training[name].range == (column.min(), column.max())
        assert training[name].typical == column.quantile(0.5, interpolation="lower")
        assert training[name].missing == column.isna().any()


def test_dates_are_days_since_1970(table, training):
    days = pd.to_datetime(table[table["part"] == "train"]["since"]).sort_values()
    expected = (days - pd.Timestamp(0)).dt.days
    assert training["since"].range == (expected.min(), expected.max())
    assert training["since"].typical == expected.quantile(0.5, interpolation="lower")


def test_booleans_and_texts_have_their_most_frequent_value(table, training):
    known = table[table["part"] == "train"]
    assert training["member"].typical == known["member"].mode()[0] and not training["member"].range
    assert training["city"].typical == known["city"][known["city"] != ""].mode()[0]
    assert training["city"].missing
    assert training["street"].typical == "Main Street"


def test_a_text_of_few_rows_among_many_texts_is_not_published(training):
    assert training["code"].typical is None


def test_a_matrix_has_the_values_of_its_training_rows(digits):
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    X, y = load_digits(return_X_y=True)
    X_train = pd.DataFrame(train_test_split(X, y, test_size=0.2, random_state=42, stratify=y)[0])
    manifest = json.loads((digits.folder / "manifest.json").read_bytes())
    found = manifest["interface"]["training"]
    assert [tuple(one["range"]) for one in found] == list(
        zip(X_train.min(), X_train.max(), strict=True)
    )
    lower = X_train.quantile(0.5, interpolation="lower")
    assert [one["typical"] for one in found] == lower.tolist()
