"""Paths of tables, and fingerprints of unchanged files."""

import os

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
def test_a_path_names_a_file_a_folder_or_a_pattern(parts, path, names):
    assert [file.name for file in table_files.locate(path, parts)] == names


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("c.csv", "no such file; data.path is relative to the config"),
        ("*.tsv", "no such file"),
        ("b/_SUCCESS", "is not a table; expected a name in .csv"),
        ("*", "several formats, expected one; name a file, or a pattern such as *.csv"),
        (".", "has tables of several formats"),
        ("a\0.csv", "no such file"),
        ("x" * 5000, "cannot be read"),
    ],
)
def test_a_path_without_a_table_is_refused(parts, path, said):
    with pytest.raises(DataError) as caught:
        table_files.locate(path, parts)
    assert said in str(caught.value)


def test_the_digest_depends_on_the_order_of_files():
    one, two = canonical.digest(b"1"), canonical.digest(b"2")
    assert table_files.digest([one]) == one
    assert len({table_files.digest([one, two]), table_files.digest([two, one]), one}) == 3


@pytest.fixture
def passed(monkeypatch):
    """Let the clock stand at some seconds after the last change of a file."""

    def set_clock(path, seconds):
        now = max(path.stat().st_mtime_ns, path.stat().st_ctime_ns) + int(seconds * 1e9)
        monkeypatch.setattr("time.time_ns", lambda: now)

    return set_clock


def test_a_file_that_changed_just_now_has_no_fingerprint_since_it_may_change_again(
    tmp_path, passed
):
    path = tmp_path / "a.csv"
    path.write_text("a\n1\n")
    passed(path, 0.5)
    assert table_files.fingerprint([path]) is None


def test_a_fingerprint_changes_with_the_file(tmp_path, passed):
    path = tmp_path / "a.csv"
    path.write_text("a\n1\n")
    passed(path, 3)
    before = table_files.fingerprint([path])
    assert before is not None
    assert before == table_files.fingerprint([path])
    os.utime(path, ns=(1, 1))  # this sets back the time of the content, not that of the inode
    passed(path, 3)
    assert table_files.fingerprint([path]) not in (None, before)
