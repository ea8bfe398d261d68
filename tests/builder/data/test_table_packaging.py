"""Tables in gzip and zip files and JSON arrays are read as the table inside them."""

import gzip
import io
import json
import zipfile

import pytest

import artifact_pipeline as api
from artifact_pipeline.errors import DataError

ROWS = [{"age": i % 40, "city": "AB"[i % 2], "y": i % 3 == 0} for i in range(60)]
CSV = ("age,city,y\n" + "".join(f"{r['age']},{r['city']},{r['y']}\n" for r in ROWS)).encode()


def zipped(**files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name.replace("_", "."), data)
    return buffer.getvalue()


def config(path):
    return {
        "data": {"path": str(path), "target": "y"},
        "model": {"preprocess": "auto", "estimator": "sklearn.linear_model.LogisticRegression"},
    }


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("t.csv.gz", gzip.compress(CSV)),
        ("t.tsv.gz", gzip.compress(CSV.replace(b",", b"\t"))),
        ("t.zip", zipped(t_csv=CSV)),
        ("t.json", json.dumps(ROWS, indent=2).encode()),
        ("t.json", b"\xef\xbb\xbf" + json.dumps(ROWS).encode()),
        ("t.json.gz", gzip.compress(json.dumps(ROWS).encode())),
    ],
)
def test_a_packed_table_has_the_rows_of_the_table(tmp_path, name, data):
    (tmp_path / "plain.csv").write_bytes(CSV)
    (tmp_path / name).write_bytes(data)
    expected = api.load_data(config(tmp_path / "plain.csv"))
    for part, plain in zip(api.load_data(config(tmp_path / name)), expected, strict=True):
        assert part.tolist() == plain.tolist() if part.ndim == 1 else part.equals(plain)
    draft = api.draft(tmp_path / name, "y", base=tmp_path)
    assert [column.use for column in draft.columns] == ["scaled", "one-hot", "target"]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("t.csv.gz", b"age,y\n1,2\n", "not a .gz file"),
        ("t.csv.gz", gzip.compress(CSV)[:-9], "not a .gz file"),
        ("t.zip", b"PK no", "not a zip file"),
        ("t.zip", zipped(a_csv=CSV, b_csv=CSV), "has 2 files, expected one table"),
        ("t.zip", zipped(a_png=b""), "'a.png', which is not a table"),
        ("t.json", b"[1, 2", "not a JSON array"),
        ("t.xlsx", b"PK", "save the sheet as CSV"),
        ("t.txt", CSV, "name it .csv"),
        ("t.gz", gzip.compress(CSV), r"name it for its format, such as table\.csv\.gz"),
        ("t.yaml", b"- {age: 1, y: 2}", "write its rows as CSV or JSON lines"),
    ],
)
def test_a_file_that_is_not_a_packed_table_is_refused(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=message):
        api.load_data(config(tmp_path / name))
    with pytest.raises(DataError, match=message):
        api.draft(tmp_path / name, "y", base=tmp_path)


def test_a_url_is_refused_with_what_to_do():
    with pytest.raises(DataError, match=r"is a URL; .*download it first"):
        api.draft("https://example.org/t.csv", "y")


def test_a_json_file_in_a_folder_is_not_part_of_its_table(tmp_path):
    (tmp_path / "t.csv").write_bytes(CSV)
    (tmp_path / "config.json").write_text("{}")
    assert sum(map(len, api.load_data(config(tmp_path))[:2])) == 60
