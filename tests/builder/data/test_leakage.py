"""Detection of columns that leak the target."""

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets

from artifact_pipeline.builder.config.resolved import BundledData, SplitConfig, TableData
from artifact_pipeline.builder.data import bundled, leakage, loader, split

WAGE = np.random.default_rng(1).lognormal(3, 0.5, 300)


def warned(folder, frame, target):
    """Return what is said of a table whose target is `y`."""
    frame.to_csv(folder / "t.csv", index=False)
    rows = loader.load(TableData(path=str(folder / "t.csv"), target="y"), target=target)
    return leakage.find(rows, split.split(rows, SplitConfig()))


@pytest.mark.parametrize(
    "function",
    [np.log, np.sqrt, np.square, np.reciprocal, np.negative, lambda y: np.round(np.log(y), 3),
     lambda y: 1.2 * y + 7, lambda y: np.exp(y / 30), lambda y: np.where(y > 9, y, np.nan)],
)  # fmt: skip
def test_a_monotone_function_of_the_target_is_a_likely_leak(tmp_path, function):
    noise = np.random.default_rng(2).normal(size=300)
    said = warned(tmp_path, pd.DataFrame({"a": noise, "f": function(WAGE), "y": WAGE}), "number")
    assert len(said) == 1 and "the feature 'f' gives the target on its own" in said[0]


def test_a_column_of_few_values_leaks_only_if_every_value_agrees(tmp_path):
    stars = np.arange(300) % 5 + 1.0
    other = np.where(np.arange(300) == 7, 4.5, stars)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"same": stars**2, "a": rng.normal(size=300), "other": other, "y": stars})
    said = warned(tmp_path, frame, "number")
    assert len(said) == 1 and "'same'" in said[0]


def test_the_rank_of_the_target_is_a_likely_leak_and_not_an_id(tmp_path):
    noise = np.random.default_rng(2).normal(size=300)
    rank = pd.Series(WAGE).rank().astype(int)
    said = warned(tmp_path, pd.DataFrame({"a": noise, "f": rank, "y": WAGE}), "number")
    assert len(said) == 1 and "the feature 'f' gives the target on its own" in said[0]


@pytest.mark.parametrize("kind", ["number", "text", "date"])
@pytest.mark.parametrize("exceptions", [0, 1])
def test_a_column_that_only_one_class_has_is_a_likely_leak(tmp_path, kind, exceptions):
    rng = np.random.default_rng(3)
    left = np.arange(300) % 2 == 0
    value = {
        "number": pd.Series(rng.normal(size=300)),
        "text": pd.Series([f"left because {i}" for i in range(300)]),
        "date": pd.Series(pd.date_range("2026-01-01", periods=300)[rng.permutation(300)]),
    }[kind]
    has_value = left.copy()
    has_value[:exceptions] = ~left[:exceptions]
    frame = pd.DataFrame({"a": rng.normal(size=300), "f": value.where(has_value), "y": left})
    said = warned(tmp_path, frame, "class")
    assert any("'f' gives the target" in warning for warning in said) == (not exceptions)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_column_that_separates_the_classes_is_a_likely_leak(tmp_path, classes):
    rng = np.random.default_rng(3)
    y = rng.integers(0, classes, 300)
    frame = pd.DataFrame({"a": rng.normal(size=300), "f": y * 10 + rng.random(300), "y": y})
    frame.loc[::9, "f"] = None
    said = warned(tmp_path, frame, "class")
    assert len(said) == 1 and "'f'" in said[0]


@pytest.mark.parametrize("name", ["breast_cancer", "diabetes", "digits", "iris", "wine"])
def test_bundled_sets_have_no_leaks(tmp_path, name):
    bunch = getattr(datasets, f"load_{name}")()
    frame = pd.DataFrame(bunch.data).add_prefix("c").assign(y=bunch.target).drop_duplicates()
    target = "number" if name == "diabetes" else "class"
    # Digits and iris hold one row twice in all but the target's order; no column may be named.
    assert not [one for one in warned(tmp_path, frame, target) if "the feature" in one]


@pytest.mark.parametrize("seed", range(5))
def test_ordinary_columns_are_not_reported(tmp_path, seed):
    X, y = datasets.make_regression(300, 6, noise=10, random_state=seed)
    assert not warned(tmp_path, pd.DataFrame(X).add_prefix("c").assign(y=y), "number")
    X, y = datasets.make_classification(300, 6, flip_y=0.05, random_state=seed)
    assert not warned(tmp_path, pd.DataFrame(X).add_prefix("c").assign(y=y), "class")


def test_a_large_table_is_sampled_deterministically():
    rng = np.random.default_rng(0)
    y = rng.normal(size=200_000)
    noisy = y + rng.normal(size=200_000)
    assert leakage._gives_target(np.exp(y), y, target="number")
    assert not leakage._gives_target(noisy, y, target="number")


def test_dates_of_a_series_are_not_ids_but_may_leak_the_target(tmp_path):
    days = pd.date_range("2026-01-01", periods=60).strftime("%Y-%m-%d")
    noise = np.random.default_rng(1).normal(size=60)
    assert not warned(tmp_path, pd.DataFrame({"day": days, "y": noise}), "number")
    [said] = warned(tmp_path, pd.DataFrame({"day": days, "y": np.arange(60) ** 2}), "number")
    assert "'day' gives the target on its own" in said
    [said] = warned(tmp_path, pd.DataFrame({"n": range(60), "y": noise}), "number")
    assert "'n' has a different value in each row, like an id" in said


def test_a_missing_value_is_one_value_and_both_zeros_are_one(tmp_path):
    n = 300
    bought = np.arange(n) % 3 == 0
    frame = pd.DataFrame(
        {
            "gives": np.where(bought, np.nan, np.arange(n) % 2),
            "zeros": np.where(np.arange(n) % 3 == 1, 1.0, np.where(bought, 0.0, -0.0)),
            "gaps": np.where(np.arange(n) % 9 == 1, np.nan, bought * 2.0),
            "mixed": np.where(np.arange(n) % 10 == 0, np.nan, bought * 2.0),
            "y": np.where(bought, "yes", "no"),
        }
    )
    warnings = warned(tmp_path, frame, "class")
    leaks = [name for name in frame if any(f"'{name}' gives" in text for text in warnings)]
    assert leaks == ["gives", "gaps"]


@pytest.mark.parametrize("exceptions", [0, 1])
@pytest.mark.parametrize("kind", ["few values", "many values", "missing", "apart", "id"])
def test_a_leak_of_a_large_table_is_found_on_a_sample_and_checked_on_all_rows(kind, exceptions):
    count = 120_000
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, count)
    feature = {
        "few values": y * 3.0,
        "many values": rng.integers(0, 15_000, count) * 2.0 + y,  # as of customers with one class
        "missing": np.where(y == 1, rng.random(count), np.nan),
        "apart": y * 10 + rng.random(count),
        "id": rng.permutation(count) + 7.0,
    }[kind]
    # A sample of the rows would miss a single exception.
    other = np.flatnonzero(y == 0)[0]
    feature[other] = feature[y == 1][0] if exceptions else feature[other]
    frame = pd.DataFrame({"f": feature, "noise": rng.normal(size=count)})
    rows = bundled.load(BundledData("breast_cancer"))._replace(
        X=frame, y=np.where(y == 1, "yes", "no"), feature_names=["f", "noise"]
    )
    is_leak = [
        "'f' gives the target" in text or "'f' has a different value" in text
        for text in leakage.find(rows, split.split(rows, SplitConfig()))
    ]
    assert is_leak == ([] if exceptions else [True])


@pytest.mark.parametrize("columns", [["n", "text"], ["n"], ["text"]])
def test_held_out_rows_with_the_features_of_a_training_row_are_counted(columns):
    rng = np.random.default_rng(0)
    numbers = np.append(rng.integers(0, 30, 150), np.nan)[rng.integers(0, 151, 300)]
    frame = pd.DataFrame({"n": numbers, "text": rng.choice([*"abcdefghij", ""], 300)})[columns]
    rows = bundled.load(BundledData("breast_cancer"))._replace(
        X=frame, y=rng.choice(["a", "b"], 300), feature_names=columns
    )
    parts = split.split(rows, SplitConfig())
    known = set(map(str, parts.X_train.to_numpy().tolist()))
    shared = sum(str(row) in known for row in parts.X_test.to_numpy().tolist())
    assert shared > 0
    [text] = leakage.find(rows, parts)
    assert text.startswith(f"{shared} of {len(parts.y_test)} held-out rows have the features")
