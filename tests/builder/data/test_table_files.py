"""Which files a path means, and what is remembered of files that did not change."""

import os
import time

import pytest

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.data import table_files
from artifact_pipeline.errors import DataError


@pytest.fixture
def parts(tmp_path):
    for name in ("b/2.csv", "b/10.csv", "a.csv", "x.parquet", "b/_SUCCESS", "b/.hidden.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("a\n1\n")
    return tmp_path


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("a.csv", ["a.csv"]),
        ("b", ["10.csv", "2.csv"]),
        ("b/*.csv", ["10.csv", "2.csv"]),
        ("**/*.csv", ["a.csv", "10.csv", "2.csv"]),
    ],
)
def test_a_path_is_a_file_a_folder_or_a_pattern_in_the_order_of_names(parts, path, names):
    assert [file.name for file in table_files.locate(path, parts)] == names


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("c.csv", "no such file; data.path is relative to the config"),
        ("*.tsv", "no such file"),
        ("b/_SUCCESS", "is no table; expected a name in .csv"),
        ("*", "holds tables of several formats, expected one"),
        (".", "holds tables of several formats"),
        ("a\0.csv", "no such file"),
        ("x" * 5000, "cannot be read"),
    ],
)
def test_a_path_that_means_no_table_is_refused(parts, path, said):
    with pytest.raises(DataError) as caught:
        table_files.locate(path, parts)
    assert said in str(caught.value)


def test_the_digest_is_that_of_the_files_in_order():
    one, two = canonical.digest(b"1"), canonical.digest(b"2")
    assert table_files.digest([one]) == one
    assert len({table_files.digest([one, two]), table_files.digest([two, one]), one}) == 3


def test_files_changed_just_now_have_no_fingerprint_since_they_may_change_again(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a\n1\n")
    assert table_files.fingerprint([path]) is None


@pytest.mark.slow
def test_a_fingerprint_changes_with_the_file(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a\n1\n")
    time.sleep(2.1)
    before = table_files.fingerprint([path])
    assert before == table_files.fingerprint([path])
    os.utime(path, ns=(1, 1))  # the time of its content set back: that of its inode is not
    time.sleep(2.1)
    assert table_files.fingerprint([path]) not in (None, before)
