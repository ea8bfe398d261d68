"""Bundled data sets: their descriptions, digests and splits."""

import numpy as np
import pytest

from artifact_pipeline.builder.config.resolved import BundledData, SplitConfig
from artifact_pipeline.builder.data import bundled, loader, split
from artifact_pipeline.errors import ConfigError, DataError


@pytest.mark.parametrize("name", sorted(bundled.BUNDLED))
def test_a_bundled_data_set_matches_its_description(name):
    schema = bundled.describe(BundledData(name)).schema
    rows = loader.load(BundledData(name))
    assert rows.X.shape == (schema.rows, schema.features)
    assert rows.X.dtype == np.float64
    assert len(rows.feature_names) == schema.features
    classes = len(set(rows.y.tolist())) if rows.target == "class" else 0
    assert len(rows.label_names) == classes and rows.target == schema.target


def test_a_description_holds_no_path():
    assert "/" not in str(bundled.describe(BundledData("iris")))


def test_bundled_data_sets_have_different_digests():
    assert len({bundled.describe(BundledData(name)).digest for name in bundled.BUNDLED}) == 5


def test_every_row_is_on_one_side_of_the_split():
    rows = loader.load(BundledData("iris"))
    parts = split.split(rows, SplitConfig())
    both = np.concatenate([parts.train_index, parts.test_index])
    assert sorted(both) == list(range(150))
    np.testing.assert_array_equal(rows.X[parts.test_index], parts.X_test)
    np.testing.assert_array_equal(rows.y[parts.train_index], parts.y_train)


def test_a_stratified_split_keeps_the_share_of_each_class():
    parts = split.split(loader.load(BundledData("iris")), SplitConfig(stratify=True))
    assert np.bincount(parts.y_test).tolist() == [10, 10, 10]


def test_an_unstratified_split_ignores_the_classes():
    parts = split.split(loader.load(BundledData("iris")), SplitConfig(stratify=False))
    assert np.bincount(parts.y_test).tolist() != [10, 10, 10]


def test_another_seed_gives_another_split_and_digest():
    rows = loader.load(BundledData("iris"))
    one, two = (split.split(rows, SplitConfig(random_state=seed)) for seed in (1, 2))
    assert (len(one.y_train), len(one.y_test)) == (len(two.y_train), len(two.y_test)) == (120, 30)
    assert one.indices_digest() != two.indices_digest()


def test_a_split_without_a_held_out_row_of_each_class_is_refused():
    with pytest.raises(ConfigError, match=r"split.test_size: found 0.001 of 178 rows"):
        split.split(loader.load(BundledData("wine")), SplitConfig(test_size=0.001))


def test_a_missing_data_file_is_named(monkeypatch):
    monkeypatch.setattr("sys.path", [])
    with pytest.raises(DataError, match=r"pip install -r requirements.txt"):
        bundled.describe(BundledData("iris"))
