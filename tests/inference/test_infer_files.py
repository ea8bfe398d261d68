"""Predictions for files of any size: the same rows, whatever the format, the batch or the kill."""

import gzip
import io
import json
import os
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq
import pytest
from msgspec import structs
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

import artifact_pipeline as api
from artifact_pipeline.builder.data import remote_files
from artifact_pipeline.builder.progress import Estimator
from artifact_pipeline.errors import CallError, DataError, NetworkError, StoreError
from tests.support.command import call, environment, script
from tests.support.kill_points import kill_before
from tests.support.s3 import endpoint
from tests.support.unreliable_network import UnreliableNetwork
from tests.support.waiting import HANG, until

ROWS = 70_000
"""More than a batch."""
CONFIG = {
    "data": {"path": "train.csv", "target": "y", "id": "key"},
    "model": {
        "preprocess": "auto",
        "estimator": "sklearn.linear_model.LogisticRegression",
    },
}


@cache
def make_table(rows=ROWS, seed=0):
    """Return rows with numbers, some missing, texts with quotes and line ends, and dates."""
    random = np.random.default_rng(seed)
    a = random.normal(size=rows).round(3)
    city = random.choice(["Bern", 'Lyon "sur" Rhône', "Graz\nWest", "Brno, CZ"], size=rows)
    day = np.datetime64("2020-01-01") + random.integers(0, 900, size=rows)
    return pa.table(
        {
            "key": [f"k{index:07}" for index in range(rows)],
            "a": a,
            "b": pa.array(random.integers(0, 50, size=rows), mask=random.random(rows) < 0.1),
            "city": city,
            "day": pa.array(day.astype("datetime64[D]")),
            "note": [f"n{index % 7}" for index in range(rows)],
            "y": np.where(a + random.normal(size=rows) > 0, "yes", "no"),
        }
    )


def write(table, path):
    """Write a table in the format of the path's extension."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        pa.csv.write_csv(table, path)
    elif path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=10_007)
    elif path.suffix == ".arrow":
        with pa.ipc.new_file(path, table.schema) as file:
            file.write_table(table, max_chunksize=7_001)
    else:
        records = table.set_column(4, "day", table["day"].cast(pa.string())).to_pylist()
        path.write_text("".join(f"{json.dumps(record)}\n" for record in records), "utf-8")
    return path


def read(path):
    """Return the table in a file of predictions."""
    if path.suffix == ".csv":
        return pa.csv.read_csv(path)
    if path.suffix == ".parquet":
        return pq.read_table(path)
    if path.suffix == ".arrow":
        return pa.ipc.open_file(path).read_all()
    return pa.json.read_json(path)


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """A folder with an artifact, rows of several batches, and their predictions as CSV."""
    folder = tmp_path_factory.mktemp("scored")
    write(make_table(2_000, seed=1).drop(["note"]), folder / "train.csv")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    run = api.train(folder / "config.json", store=folder / "store")
    write(make_table(), folder / "rows.csv")
    api.infer_files(run.artifact, folder / "rows.csv", output=folder / "out.csv")
    return folder, Path(run.artifact)


def test_batches_give_the_predictions_of_the_rows(scored):
    folder, artifact = scored
    predictor = api.open_artifact(artifact)
    frame = make_table().to_pandas()
    expected = predictor.predict_proba(frame)
    out = read(folder / "out.csv")
    assert out.column_names == ["key", "label", "probability_no", "probability_yes"]
    assert out["key"].to_pylist() == frame["key"].tolist()
    assert out["label"].to_pylist() == predictor.predict(frame).tolist()
    got = np.column_stack([out["probability_no"], out["probability_yes"]])
    # Computed in other batches, so the last bits may differ.
    assert np.abs(got - expected).max() <= 1e-12


@pytest.mark.parametrize("source", [".csv", ".parquet", ".jsonl", ".arrow"])
@pytest.mark.parametrize("target", [".csv", ".parquet", ".jsonl", ".arrow"])
def test_the_format_changes_no_prediction(scored, tmp_path, source, target):
    folder, artifact = scored
    rows = write(make_table().slice(0, 300), tmp_path / f"rows{source}")
    result = api.infer_files(artifact, rows, output=tmp_path / f"out{target}", keep=["note", "b"])
    assert result.tally.rows == 300 and result.tally.extra == ["y"]
    out = read(tmp_path / f"out{target}")
    expected = read(folder / "out.csv").slice(0, 300)
    names = ["key", "label", "probability_no", "probability_yes"]
    got = out.select(names).to_pydict()
    assert got["label"] == expected["label"].to_pylist()
    np.testing.assert_allclose(got["probability_no"], expected["probability_no"], atol=1e-12)
    assert out["note"].to_pylist() == [f"n{index % 7}" for index in range(300)]
    kept = [None if value in (None, "") else int(value) for value in out["b"].to_pylist()]
    assert kept == make_table()["b"].to_pylist()[:300]


@pytest.mark.parametrize("source", [".csv", ".parquet", ".jsonl", ".arrow"])
def test_the_same_file_gives_the_same_bytes(scored, tmp_path, source):
    rows = write(make_table(1_000), tmp_path / f"rows{source}")
    for name in ("a.csv", "b.csv"):
        api.infer_files(scored[1], rows, output=tmp_path / name)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert not list(tmp_path.glob(".*"))


def test_a_folder_of_parts_gives_a_folder_of_parts(scored, tmp_path):
    _, artifact = scored
    table = make_table(500)
    for index in range(4):
        write(table.slice(index * 100, 100), tmp_path / "rows" / f"part={index}" / "p.parquet")
    write(table.slice(0, 0), tmp_path / "rows" / "part=4" / "p.parquet")
    result = api.infer_files(artifact, tmp_path / "rows", output=tmp_path / "out")
    assert result.parts == 5 and result.tally.rows == 400
    parts = sorted((tmp_path / "out").rglob("*.parquet"))
    assert [part.relative_to(tmp_path / "out").as_posix() for part in parts] == [
        f"part={index}/p.parquet" for index in range(5)
    ]
    assert [len(read(part)) for part in parts] == [100, 100, 100, 100, 0]
    keys = [key for part in parts for key in read(part)["key"].to_pylist()]
    assert keys == table["key"].to_pylist()[:400]
    pattern = str(tmp_path / "rows" / "*" / "p.parquet")
    api.infer_files(artifact, pattern, output=tmp_path / "one.csv")
    assert read(tmp_path / "one.csv")["key"].to_pylist() == keys


@pytest.mark.slow
def test_standard_input_and_output(scored, tmp_path):
    folder, artifact = scored
    for suffix, read_all in (
        (".csv", lambda data: pa.csv.read_csv(io.BytesIO(data))),
        (".parquet", lambda data: pq.read_table(io.BytesIO(data))),
        (".arrow", lambda data: pa.ipc.open_stream(data).read_all()),
        (".jsonl", lambda data: pa.json.read_json(io.BytesIO(data))),
    ):
        rows = write(make_table().slice(0, 50), tmp_path / f"rows{suffix}")
        command = [sys.executable, "-m", "artifact_pipeline", "infer", artifact, "-", "-o", "-"]
        done = subprocess.run(
            list(map(str, command)),
            input=rows.read_bytes(),
            capture_output=True,
            cwd=tmp_path,
            env=environment(),
        )
        assert done.returncode == 0, done.stderr
        assert (
            read_all(done.stdout)["label"].to_pylist()
            == (read(folder / "out.csv")["label"].to_pylist()[:50])
        )
        assert b"wrote 50 predictions of" in done.stderr


KEPT = {
    "nanoseconds": (
        pa.array([0, 1, 10**18 + 500_000_000, None], pa.timestamp("ns")),
        ["1970-01-01T00:00:00", "1970-01-01T00:00:00.000000001", "2001-09-09T01:46:40.5", None],
    ),
    "zone": (
        pa.array([0, 1, 10**9, None], pa.timestamp("ns", tz="Europe/Zurich")),
        [
            "1970-01-01T00:00:00Z",
            "1970-01-01T00:00:00.000000001Z",
            "1970-01-01T00:00:01Z",
            None,
        ],
    ),
    "clock": (
        pa.array([1, 3_600 * 10**9, None, 0], pa.time64("ns")),
        ["00:00:00.000000001", "01:00:00", None, "00:00:00"],
    ),
    "duration": (
        pa.array([1, -1_500_000_000, None, 86_400 * 10**9], pa.duration("ns")),
        ["PT0.000000001S", "-PT1.5S", None, "PT86400S"],
    ),
}


@pytest.mark.parametrize("kind", KEPT)
def test_kept_times_in_json_lines_have_nanoseconds(scored, tmp_path, kind):
    column, expected = KEPT[kind]
    rows = write(make_table(4).append_column("t", column), tmp_path / "rows.parquet")
    api.infer_files(scored[1], rows, output=tmp_path / "out.jsonl", keep=["t"])
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [json.loads(line)["t"] for line in lines] == expected


@pytest.mark.parametrize(
    ("column", "form"),
    [
        (pa.array([[1], [2]]), "csv"),
        (pa.array([10**18] * 2, pa.timestamp("us")), "csv"),
        (pa.array([10**18] * 2, pa.timestamp("us")), "jsonl"),
        (pa.array([10**7] * 2, pa.int32()).cast(pa.date32()), "jsonl"),
        (pa.array([[10**18]] * 2, pa.list_(pa.timestamp("us"))), "jsonl"),
        (pa.array([2**62] * 2, pa.timestamp("s")), "parquet"),
        (pa.RunEndEncodedArray.from_arrays(pa.array([2], pa.int32()), pa.array(["a"])), "parquet"),
        (pa.array([(1, 2, 3)] * 2, pa.month_day_nano_interval()), "parquet"),
    ],
)
def test_a_kept_column_that_a_format_cannot_hold_is_refused(scored, tmp_path, column, form):
    rows = write(make_table(2).append_column("t", column), tmp_path / "rows.arrow")
    with pytest.raises(CallError, match=r"--keep: cannot be written as .*; write another format"):
        api.infer_files(scored[1], rows, output=tmp_path / f"out.{form}", keep=["t"])
    assert [path.name for path in tmp_path.iterdir()] == ["rows.arrow"]


def test_text_of_any_arrow_type_is_kept_in_csv(scored, tmp_path):
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        table = make_table(2).append_column("t", pa.array(['a,"b"', "c"]).cast(kind))
        write(table, tmp_path / "rows.arrow")
        api.infer_files(scored[1], tmp_path / "rows.arrow", output=tmp_path / "o.csv", keep=["t"])
        assert read(tmp_path / "o.csv")["t"].to_pylist() == ['a,"b"', "c"]


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file without any bytes")
def test_rows_that_a_disk_does_not_return_are_named(scored, tmp_path):
    """The first bytes of the memory of a process are an input/output error."""
    with pytest.raises(CallError, match=r"^/proc/self/mem: rows cannot be read: Input/output"):
        api.infer_files(scored[1], "/proc/self/mem", output=tmp_path / "out.csv")


def test_a_packed_file_that_is_damaged_is_named(scored, tmp_path):
    data = gzip.compress(np.random.default_rng(0).bytes(10_000).hex().encode())
    for broken in (data[:60] + bytes(20) + data[80:], data[:-9], data + b"more", b"k,a"):
        with pytest.raises(DataError, match=r"rows\.csv\.gz: is not a \.gz file that can be read"):
            infer(scored[1], tmp_path, broken, name="rows.csv.gz")
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv.gz"]


def test_a_part_of_json_lines_without_rows_is_empty(scored, tmp_path):
    """Other tools write an empty file for an empty partition."""
    rows = tmp_path / "rows"
    write(make_table(3), rows / "1.jsonl")
    for name, data in (("0.jsonl", b""), ("2.jsonl", b"\n")):
        (rows / name).write_bytes(data)
    assert api.infer_files(scored[1], rows, output=tmp_path / "out").tally.rows == 3
    sizes = [len(path.read_bytes().splitlines()) for path in sorted((tmp_path / "out").iterdir())]
    assert sizes == [0, 3, 0]
    for name in ("out.csv", "out.parquet", "out.jsonl"):
        api.infer_files(scored[1], rows, output=tmp_path / name)
        assert read(tmp_path / name)["key"].to_pylist() == ["k0000000", "k0000001", "k0000002"]
    (rows / "1.jsonl").write_bytes(b"")
    with pytest.raises(DataError, match="has no rows"):
        api.infer_files(scored[1], rows, output=tmp_path / "none.csv")


def test_packed_files_are_read_as_their_content(scored, tmp_path):
    rows = write(make_table(100), tmp_path / "rows.csv")
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress(rows.read_bytes()))
    for name in ("rows.csv", "rows.csv.gz"):
        api.infer_files(scored[1], tmp_path / name, output=tmp_path / f"{name}.out.csv")
    assert (tmp_path / "rows.csv.out.csv").read_bytes() == (
        tmp_path / "rows.csv.gz.out.csv"
    ).read_bytes()


@pytest.fixture(scope="module")
def iris(tmp_path_factory):
    """A sealed model of a matrix, rows of several batches, and what scikit-learn predicts."""
    X, y = load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=500).fit(X, y)
    sealed = api.seal(model, X, y, store=tmp_path_factory.mktemp("iris"))
    matrix = np.random.default_rng(0).integers(1, 70, size=(66_000, 4)) / 10
    return Path(sealed.artifact), matrix, model.predict_proba(matrix)


def lines_of(matrix, delimiter):
    return "".join(delimiter.join(map(repr, row)) + "\n" for row in matrix.tolist())


MATRIX_FILES = {
    "rows.csv": lambda matrix: lines_of(matrix, ",").encode(),
    "rows.tsv": lambda matrix: lines_of(matrix, "\t").encode(),
    "wide.csv": lambda matrix: lines_of(matrix, ",").encode("utf-16"),
    "rows.csv.gz": lambda matrix: gzip.compress(lines_of(matrix, ",").encode(), 1),
    "rows.json": lambda matrix: json.dumps(matrix.tolist()).encode(),
    "rows.npy": lambda matrix: npy(matrix),
}


def npy(matrix):
    stream = io.BytesIO()
    np.save(stream, matrix)
    return stream.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("name", MATRIX_FILES)
def test_batches_of_a_matrix_are_predicted_as_scikit_learn_does(iris, tmp_path, name):
    artifact, matrix, expected = iris
    infer(artifact, tmp_path, MATRIX_FILES[name](matrix), name=name)
    out = read(tmp_path / "out.csv")
    assert out["row"].to_pylist() == [*range(1, len(matrix) + 1)]
    got = np.column_stack([out[column] for column in out.column_names[2:]])
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv", "rows.npy", "rows.json"])
def test_rows_of_a_matrix_that_a_model_does_not_take_are_skipped(iris, tmp_path, name):
    artifact, matrix, _ = iris
    wrong = [2, 65_000, 65_999]
    matrix = matrix.copy()
    matrix[wrong, 1] = np.nan
    data = MATRIX_FILES[name](matrix).replace(b"NaN", b"null")
    with pytest.raises(DataError, match=r"(line|row) 3\b"):
        infer(artifact, tmp_path, data, name=name)
    result = infer(artifact, tmp_path, data, name=name, on_error="skip")
    assert (result.tally.rows, result.tally.skipped) == (65_997, 3)
    rows = read(tmp_path / "out.csv")["row"].to_pylist()
    assert sorted({*range(1, 66_001)} - {*rows}) == [row + 1 for row in wrong]


CSV = b"key,a,b,city,day\n"
GOOD = b"k,1.5,2,Bern,2020-01-01\n"


def infer(artifact, folder, data, *, name="rows.csv", output="out.csv", **options):
    """Predict the bytes of a file."""
    (folder / name).write_bytes(data)
    return api.infer_files(artifact, folder / name, output=folder / output, **options)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"k,x,2,Bern,2020-01-01\n", "row 66003, column 'a': found 'x', expected a number"),
        (b"k,1,2\n", "row 66003: found 3 cells, expected 5"),
        (b"k,1,2,Bern,2020-01-01,more\n", "row 66003: found 6 cells, expected 5"),
        (b"k,1,2,Bern,soon\n", "row 66003, column 'day': found 'soon', expected a date"),
        (b"k,9007199254740993,2,Bern,2020-01-01\n", "row 66003, column 'a': found 90071992547"),
        (b"k,1,2,\xff,2020-01-01\n", "line 66004: is not utf-8: byte 0xff"),
        (b"k,1,2,B\0,2020-01-01\n", "line 66004: contains NUL bytes"),
        (b'k,1,2,"B"x\nk,1,2",2020-01-01\n', None),
        (b'k,1,2,"Bern,2020-01-01\n', "line 66004: a quote is opened here and never closed"),
    ],
)
def test_a_bad_row_behind_the_first_batch_is_named_and_leaves_no_output(
    scored, tmp_path, line, problem
):
    with pytest.raises(DataError) as caught:
        infer(scored[1], tmp_path, CSV + GOOD * 66_002 + line + GOOD * 2)
    assert problem is None or problem in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.csv"]


@pytest.mark.slow
def test_skipped_rows_are_counted_and_shown(scored, tmp_path):
    bad = [b"k,x,2,Bern,2020-01-01\n", b"k,1,2\n", b"k,1,2,\xff,2020-01-01\n"]
    data = CSV + GOOD * 3 + bad[0] + GOOD + bad[1] + bad[2] + GOOD * 65_600 + bad[0] + GOOD
    result = infer(scored[1], tmp_path, data, on_error="skip")
    assert (result.tally.rows, result.tally.skipped) == (65_605, 4)
    shown = [error.partition("rows.csv, ")[2] for error in result.tally.first_skipped]
    assert shown[0].startswith("row 4, column 'a': found 'x'")
    assert shown[1].startswith("row 6: found 3 cells")
    assert shown[2].startswith("line 8: is not utf-8")
    assert shown[3].startswith("row 65608, column 'a'")
    assert len(read(tmp_path / "out.csv")) == 65_605
    done = call("infer", scored[1], "rows.csv", "-o", "o.csv", "--on-error", "skip", cwd=tmp_path)
    assert done.code == 0 and "skipped rows: 4" in done.err
    with pytest.raises(DataError, match=r"all 1 rows were skipped; the first: .*row 1"):
        infer(scored[1], tmp_path, CSV + bad[0], on_error="skip")


RECORD = {"key": "k", "a": 1.5, "b": 2, "city": "Bern", "day": "2020-01-01"}


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_many_skipped_rows_of_each_kind_are_counted_by_hand(scored, tmp_path, form):
    """A search for each of these rows on its own would take minutes."""
    record = json.dumps(RECORD).encode() + b"\n"
    good, wrong = {
        "csv": (
            GOOD,
            [
                GOOD.replace(b"1.5", b"x"),
                GOOD.replace(b"2020-01-01", b"soon"),
                b"k,1\n",
                GOOD[:-1] + b",more\n",
            ],
        ),
        "jsonl": (record, [record.replace(b"1.5", b'"x"'), record.replace(b"2020", b"soon")]),
    }[form]
    random = np.random.default_rng(0)
    is_wrong = random.random(20_000) < 0.3
    kinds = random.integers(0, len(wrong), size=len(is_wrong))
    lines = [wrong[kind] if skip else good for kind, skip in zip(kinds, is_wrong, strict=True)]
    data = (CSV if form == "csv" else b"") + b"".join(lines)
    result = infer(
        scored[1], tmp_path, data.replace(b"key", b"id"), name=f"rows.{form}", on_error="skip"
    )
    assert (result.tally.rows, result.tally.skipped) == ((~is_wrong).sum(), is_wrong.sum())
    rows = read(tmp_path / "out.csv")["row"].to_pylist()
    assert rows == (np.flatnonzero(~is_wrong) + 1).tolist()
    shown = [
        int(error.split("row ")[1].split(":")[0].split(",")[0])
        for error in result.tally.first_skipped
    ]
    assert shown == (np.flatnonzero(is_wrong)[:5] + 1).tolist()


@pytest.mark.parametrize("value", ["[1]", "true", "null"])
def test_a_row_of_json_lines_with_another_type_is_named(scored, tmp_path, value):
    record = json.dumps(RECORD)
    wrong = record.replace("1.5", value) if value != "null" else value
    data = "\n".join([record, "", "  ", record, wrong, record, ""]).encode()
    with pytest.raises(DataError, match=r"rows\.jsonl, row 3\b"):
        infer(scored[1], tmp_path, data, name="rows.jsonl")
    result = infer(scored[1], tmp_path, data, name="rows.jsonl", on_error="skip")
    assert (result.tally.rows, result.tally.skipped) == (3, 1)
    assert "rows.jsonl, row 3" in result.tally.first_skipped[0]


@pytest.mark.parametrize("output", ["out.csv", "out.parquet", "out.jsonl", "-"])
def test_without_a_predicted_row_an_output_stays_as_it_is(scored, tmp_path, capfdbinary, output):
    if output != "-":
        (tmp_path / output).write_bytes(b"earlier")
    target = tmp_path / output if output != "-" else output
    (tmp_path / "rows.csv").write_bytes(CSV + GOOD.replace(b"1.5", b"x") * 3)
    with pytest.raises(DataError, match="all 3 rows were skipped"):
        api.infer_files(scored[1], tmp_path / "rows.csv", output=target, on_error="skip")
    (tmp_path / "rows.csv").write_bytes(CSV)
    with pytest.raises(DataError, match="has no rows"):
        api.infer_files(scored[1], tmp_path / "rows.csv", output=target)
    assert {path.name for path in tmp_path.iterdir()} <= {"rows.csv", output}
    assert output == "-" or (tmp_path / output).read_bytes() == b"earlier"
    assert capfdbinary.readouterr().out == b""


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'k,1,2,"Bern,2020-01-01\n', "line 3: a quote is opened here and never closed"),
        (b'k,1,2,"B\nk,1,2",x,2020-01-01\n"k"z,1,2,3,4\n', None),
        (b'k,1,2,"B\nk,1,2"y,2020-01-01\n', "line 3: a quote is opened here and closed in line 4"),
    ],
)
def test_a_quote_that_hides_rows_is_not_skipped(scored, tmp_path, line, problem):
    data = CSV + GOOD + line + GOOD * 3
    if problem is None:
        result = infer(scored[1], tmp_path, data, on_error="skip")
        assert (result.tally.rows, result.tally.skipped) == (4, 2)
        return
    with pytest.raises(DataError, match=problem):
        infer(scored[1], tmp_path, data, on_error="skip")
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


def test_skipped_rows_keep_the_numbers_of_others(scored, tmp_path):
    data = b"a,b,city,day\n1,2,Bern,2020-01-01\nx,2,Bern,2020-01-01\n3,2,Bern,2020-01-01\n"
    infer(scored[1], tmp_path, data, on_error="skip")
    assert read(tmp_path / "out.csv")["row"].to_pylist() == [1, 3]


@pytest.mark.slow
def test_unseen_texts_and_numbers_out_of_range_are_counted_over_batches(scored, tmp_path):
    odd = b"k,1e6,2,Oslo,2020-01-01\n"
    data = CSV + odd * 2 + GOOD * 66_000 + odd
    result = infer(scored[1], tmp_path, data)
    assert result.tally.unseen == {"city": 3} and result.tally.outside == {"a": 3}
    done = call("infer", scored[1], "rows.csv", "--output", "o.csv", cwd=tmp_path)
    assert "column city: 3 rows with a text not seen in training" in done.err
    assert "column a: 3 rows with a number outside the training range" in done.err


def test_a_column_of_json_lines_may_change_its_type_between_batches(scored, tmp_path):
    line = '{"key": "k", "a": %s, "b": %s, "city": "Bern", "day": "2020-01-01"}\n'
    values = [("1", "2")] * 65_540 + [("1.5", "null"), ('"2.5"', "3")]
    data = "".join(line % value for value in values) + '{"key": "z", "city": "Bern", "a": 1}\n'
    result = infer(scored[1], tmp_path, data.encode(), name="rows.jsonl")
    assert result.tally.rows == 65_543
    tail = "".join(line % value for value in values[-2:])
    infer(scored[1], tmp_path, tail.encode(), name="tail.jsonl", output="tail.csv")
    tails = [
        read(tmp_path / name)["probability_no"].to_pylist() for name in ("out.csv", "tail.csv")
    ]
    np.testing.assert_allclose(tails[0][-3:-1], tails[1], atol=1e-12)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "is empty"),
        (CSV, "has no rows"),
        (b"key,a,b\n1,2,3\n", "the column 'city' is missing"),
        (CSV.replace(b"b,", b"a,") + GOOD, "two columns are called 'a'"),
        (b"\xff\xfea\0", "the column 'b' is missing"),
    ],
)
def test_files_that_are_not_rows_are_refused(scored, tmp_path, data, problem):
    with pytest.raises(DataError, match=problem):
        infer(scored[1], tmp_path, data)


def test_a_byte_order_mark_and_blank_lines_are_not_rows(scored, tmp_path):
    infer(scored[1], tmp_path, CSV + GOOD * 2, output="plain.csv")
    odd = b"\xef\xbb\xbf\r\n" + (CSV + GOOD + b"\n\n" + GOOD).replace(b"\n", b"\r\n")
    infer(scored[1], tmp_path, odd)
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "plain.csv").read_bytes()
    wide = (CSV + GOOD * 2).decode().encode("utf-16")
    infer(scored[1], tmp_path, wide, name="wide.csv", output="wide.out.csv")
    assert (tmp_path / "wide.out.csv").read_bytes() == (tmp_path / "plain.csv").read_bytes()


def test_a_quote_inside_the_first_cell_does_not_join_the_rows_after_it(scored, tmp_path):
    odd = GOOD.replace(b"Bern", b'5" Bern')
    data = CSV + odd + GOOD.replace(b"1.5", b"x") + GOOD
    result = infer(scored[1], tmp_path, data, on_error="skip")
    assert (result.tally.rows, result.tally.skipped) == (2, 1)
    assert "row 2, column 'a': found 'x'" in result.tally.first_skipped[0]


def test_a_carriage_return_ends_a_line_also_beside_line_feeds(scored, tmp_path):
    infer(scored[1], tmp_path, CSV + GOOD * 66_000, output="plain.csv")
    odd = (CSV + GOOD * 2).replace(b"\n", b"\r") + GOOD * 65_998
    infer(scored[1], tmp_path, odd)
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "plain.csv").read_bytes()


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_the_line_of_a_bad_row_does_not_depend_on_how_lines_end(scored, tmp_path, line_end):
    rows = CSV + GOOD.replace(b"Bern", b'"B\nX"') + GOOD * 65_540 + GOOD.replace(b"Bern", b"\0")
    with pytest.raises(DataError, match=r"line 65544: contains NUL bytes"):
        infer(scored[1], tmp_path, rows.replace(b"Bern", b"B").replace(b"\n", line_end.encode()))


def test_errors_about_rows_name_no_key_of_the_config(scored, tmp_path):
    """The config decided what the sealed model takes, so that changing it does not help."""
    artifact = scored[1]
    texts = {
        "csv": CSV + GOOD.replace(b"1.5", b"9007199254740993"),
        "latin.csv": CSV + GOOD.replace(b"Bern", b"Z\xfcrich"),
        "jsonl": b'{"a": 9007199254740993, "b": 1, "city": "x", "day": "2020-01-01"}\n',
    }
    table = make_table(2)
    wrong = [pa.array([2**53 + 1] * 2), pa.array([b"1"] * 2), pa.array([True] * 2)]
    for name, data in texts.items():
        (tmp_path / f"rows.{name}").write_bytes(data)
    for index, column in enumerate(wrong):
        write(table.set_column(1, "a", column), tmp_path / f"rows.{index}.parquet")
    paths = sorted(tmp_path.iterdir())
    assert len(paths) == 6
    for path in paths:
        for predict in (
            lambda path: api.infer_files(artifact, path, output=tmp_path / "out.csv"),
            lambda path: api.infer(artifact, path.read_bytes(), name=path.name),
        ):
            with pytest.raises(DataError) as caught:
                predict(path)
            assert "data." not in str(caught.value).replace(str(tmp_path), "")
    with pytest.raises(DataError, match=r"line 2: is not utf-8: byte 0xfc; save it as utf-8"):
        infer(artifact, tmp_path, texts["latin.csv"])
    frame = table.to_pandas().assign(a=["9007199254740993"] * 2)
    with pytest.raises(DataError) as caught:
        api.open_artifact(artifact).predict(frame)
    assert "data." not in str(caught.value)


def test_parts_are_checked_before_any_is_predicted(scored, tmp_path):
    folder = tmp_path / "rows"
    for index in range(8):
        table = make_table(10) if index != 7 else make_table(10).drop(["city"])
        write(table, folder / f"{index}.parquet")
    with pytest.raises(DataError, match=r"7\.parquet: the column 'city' is missing"):
        api.infer_files(scored[1], folder, output=tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["rows"]
    write(make_table(10), folder / "7.csv")
    with pytest.raises(DataError, match="has files of several formats"):
        api.infer_files(scored[1], folder, output=tmp_path / "out")


def test_packed_parts_of_a_folder_are_read_and_written_apart(scored, tmp_path):
    for index in range(2):
        write(make_table(10, seed=index), tmp_path / "rows" / f"{index}.csv")
    packed = tmp_path / "rows" / "1.csv.gz"
    packed.write_bytes(gzip.compress((tmp_path / "rows" / "1.csv").read_bytes()))
    with pytest.raises(CallError, match=r"1\.csv and .*1\.csv\.gz would both be written to 1\.csv"):
        api.infer_files(scored[1], tmp_path / "rows", output=tmp_path / "out")
    (tmp_path / "rows" / "1.csv").unlink()
    result = api.infer_files(scored[1], tmp_path / "rows", output=tmp_path / "out")
    assert (result.parts, result.tally.rows) == (2, 20)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.csv", "1.csv"]


def test_files_whose_predictions_have_other_columns_do_not_become_one(scored, tmp_path):
    rows = tmp_path / "rows"
    write(make_table(10), rows / "0.parquet")
    write(make_table(10).drop(["key"]), rows / "1.parquet")
    with pytest.raises(DataError, match=r"1\.parquet: lacks the id column 'key', unlike"):
        api.infer_files(scored[1], rows, output=tmp_path / "out.csv")
    table = make_table(10)
    write(table.set_column(2, "b", table["b"].cast(pa.float64())), rows / "1.parquet")
    api.infer_files(scored[1], rows, output=tmp_path / "out.csv")
    with pytest.raises(DataError, match="the column 'b' is double, and int64 in the files before"):
        api.infer_files(scored[1], rows, output=tmp_path / "kept.csv", keep=["b"])
    assert not (tmp_path / "kept.csv").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_replaced_by_an_output(scored, tmp_path):
    os.mkfifo(tmp_path / "out.csv")
    with pytest.raises(StoreError, match=r"out\.csv: is .*, expected a file"):
        infer(scored[1], tmp_path, CSV + GOOD)
    assert (tmp_path / "out.csv").is_fifo()


def test_a_header_in_one_cell_shows_its_delimiter(scored, tmp_path):
    with pytest.raises(DataError, match=r"'a' is missing; the header is one cell; .* by ';'\?"):
        infer(scored[1], tmp_path, (CSV + GOOD).replace(b",", b";"))


def test_a_truncated_parquet_file_is_named(scored, tmp_path):
    data = write(make_table(1_000), tmp_path / "rows.parquet").read_bytes()
    with pytest.raises(DataError, match=r"rows\.parquet: is not a Parquet file"):
        infer(scored[1], tmp_path, data[:-100], name="rows.parquet")
    with pytest.raises(DataError, match=r"rows\.parquet: is not a Parquet file"):
        infer(scored[1], tmp_path, data[:3000] + b"\xff" * 2000 + data[5000:], name="rows.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["rows.parquet"]


def test_outputs_that_cannot_be_written_are_refused_first(scored, tmp_path):
    artifact = scored[1]
    rows = tmp_path / "rows"
    write(make_table(10), rows / "0.csv")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for output, error, problem in (
        (tmp_path / "full", CallError, "is not an empty folder"),
        (tmp_path / "link", CallError, "is not a folder"),
        (rows, CallError, "is the folder of rows"),
        (rows / "out", CallError, "is in the folder of rows"),
        (rows / "0.csv", CallError, "is the input"),
        (tmp_path / "no" / "out", StoreError, "no such folder"),
        (tmp_path / "full" / "x" / "out", StoreError, "is not a folder"),
    ):
        with pytest.raises(error, match=problem):
            api.infer_files(artifact, rows, output=output)
    with pytest.raises(CallError, match="expected a name that ends in"):
        api.infer_files(artifact, rows / "0.csv", output=tmp_path / "out.txt")
    with pytest.raises(CallError, match="'label' is a column of the output already"):
        infer(artifact, tmp_path, b"label," + CSV + b"x," + GOOD, keep=["label"])
    with pytest.raises(DataError, match="the column 'nope' is missing"):
        infer(artifact, tmp_path, CSV + GOOD, keep=["nope"])


@pytest.mark.slow
def test_a_reader_that_has_gone_ends_it_without_a_message(scored, tmp_path):
    folder, artifact = scored
    command = f"{sys.executable} -m artifact_pipeline infer {artifact} {folder / 'rows.csv'} -o -"
    done = subprocess.run(
        f"{command} | head -c 100", shell=True, capture_output=True, env=environment()
    )
    assert len(done.stdout) == 100 and done.stderr == b""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_file_is_continued_after_each_of_many_kills(scored, tmp_path, form):
    """No row is lost or doubled, and no byte differs."""
    _, artifact = scored
    rows = tmp_path / "rows.csv"
    rows.write_bytes(CSV + b"".join(GOOD.replace(b"k", b"k%d" % i) for i in range(65_536 * 28)))
    api.infer_files(artifact, rows, output=tmp_path / f"whole.{form}")
    output, journal = f"out.{form}", f".out.{form}.partial.json"
    command = ("infer", artifact, rows, "-o", tmp_path / output, "--resume")
    for count in (1, 2, 3) * 9:  # 0, 1 or 2 batches are complete when the next one is lost
        kill_before("os.rename", journal, *command, count=count, cwd=tmp_path)
        assert not (tmp_path / output).exists()
    kill_before("os.rename", output, *command, cwd=tmp_path)
    assert not (tmp_path / output).exists()
    kill_before("os.remove", journal, *command, cwd=tmp_path)
    assert call(*command, cwd=tmp_path).code == 0
    assert (tmp_path / output).read_bytes() == (tmp_path / f"whole.{form}").read_bytes()
    assert names(tmp_path) == sorted([output, "rows.csv", f"whole.{form}"])


@pytest.mark.slow
def test_a_folder_of_parts_is_continued_after_a_kill(scored, tmp_path):
    _, artifact = scored
    parts = [f"{index:02}.parquet" for index in range(12)]
    for index, part in enumerate(parts):
        write(make_table(3_000, seed=index), tmp_path / "rows" / part)
    api.infer_files(artifact, tmp_path / "rows", output=tmp_path / "whole")
    output = tmp_path / "out"
    command = ("infer", artifact, tmp_path / "rows", "-o", output, "--resume")
    for event, name in (
        ("os.rename", "00.parquet"),
        ("os.remove", ".02.parquet.lock"),
        ("os.rename", "03.parquet.json"),
        ("open", ".07.parquet.partial"),
        ("os.rmdir", ".reports"),
        ("os.rename", "out"),
    ):
        kill_before(event, name, *command, cwd=tmp_path)
        assert not output.exists()
    kill_before("open", tmp_path.name, *command, cwd=tmp_path)  # after the folder got its name
    for _ in range(2):
        assert names(output) == parts
        for part in parts:
            assert (output / part).read_bytes() == (tmp_path / "whole" / part).read_bytes()
        assert call(*command, cwd=tmp_path).code == 0
    assert names(tmp_path) == ["out", "rows", "whole"]


def test_a_complete_folder_is_kept_where_work_is_continued_with_others(scored, tmp_path):
    _, artifact = scored
    write(make_table(10), tmp_path / "rows" / "0.csv")
    api.infer_files(artifact, tmp_path / "rows", output=tmp_path / "out")
    before = (tmp_path / "out" / "0.csv").read_bytes()
    write(make_table(10, seed=1), tmp_path / "rows" / "0.csv")
    with pytest.raises(CallError, match="has other predictions"):
        api.infer_files(artifact, tmp_path / "rows", output=tmp_path / "out", resume=True)
    assert (tmp_path / "out" / "0.csv").read_bytes() == before
    (tmp_path / "out" / "x").touch()
    with pytest.raises(CallError, match="is not an empty folder"):
        api.infer_files(artifact, tmp_path / "rows", output=tmp_path / "out", resume=True)
    assert names(tmp_path) == ["out", "rows"]


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_complete_part_that_was_changed_is_written_again(scored, tmp_path, form):
    for part in range(2):
        write(make_table(10, seed=part), tmp_path / "rows" / f"{part}.{form}")
    api.infer_files(scored[1], tmp_path / "rows", output=tmp_path / "whole")

    def stop(note):
        if note.done == 1:
            raise Killed

    with pytest.raises(Killed):
        api.infer_files(scored[1], tmp_path / "rows", output=tmp_path / "out", report=stop)
    part = tmp_path / ".out.partial" / f"0.{form}"
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    api.infer_files(scored[1], tmp_path / "rows", output=tmp_path / "out", resume=True)
    for part in range(2):
        written = (tmp_path / "out" / f"{part}.{form}").read_bytes()
        assert written == (tmp_path / "whole" / f"{part}.{form}").read_bytes()


@pytest.mark.parametrize("change", [{"bytes": -1}, {"after": {"rows": -1}}, {"bytes": "1"}, None])
def test_a_journal_that_was_changed_is_not_followed(scored, tmp_path, change):
    rows = tmp_path / "rows.csv"
    rows.write_bytes(CSV + GOOD * 65_540)
    api.infer_files(scored[1], rows, output=tmp_path / "whole.csv")

    def stop(note):
        raise Killed

    with pytest.raises(Killed):
        api.infer_files(scored[1], rows, output=tmp_path / "out.csv", report=stop)
    journal = tmp_path / ".out.csv.partial.json"
    text, _, rest = journal.read_text().partition("\n")
    changed = json.dumps({**json.loads(text), **change}) if change else text[:-1]
    journal.write_text(f"{changed}\n{rest}")
    api.infer_files(scored[1], rows, output=tmp_path / "out.csv", resume=True)
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_a_folder_that_cannot_be_replaced_is_refused_first(scored, tmp_path, monkeypatch):
    write(make_table(2), tmp_path / "rows" / "0.csv")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    with pytest.raises(CallError, match=r"\.: is a mount point or the working folder"):
        api.infer_files(scored[1], tmp_path / "rows", output=".")
    api.infer_files(scored[1], tmp_path / "rows", output="out")
    assert names(tmp_path / "work" / "out") == ["0.csv"]


def test_what_was_begun_with_other_rows_or_options_is_not_continued(scored, tmp_path):
    artifact = scored[1]
    infer(artifact, tmp_path, CSV + GOOD, output="whole.csv", keep=["a"])
    partial = tmp_path / ".out.csv.partial"
    partial.write_bytes(b"left over")
    (tmp_path / ".out.csv.partial.json").write_text(
        json.dumps({"key": "other", "bytes": 4, "crc": 0, "after": {}, "tally": {}})
    )
    infer(artifact, tmp_path, CSV + GOOD, keep=["a"], resume=True)
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_two_processes_do_not_write_the_same_output(scored, tmp_path):
    from artifact_pipeline.disk import file_lock

    with (
        file_lock(tmp_path / ".out.csv.lock", "locked"),
        pytest.raises(StoreError, match=r"/out\.csv: another process writes the same output"),
    ):
        infer(scored[1], tmp_path, CSV + GOOD)
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs the list of open files")
def test_a_process_that_waited_for_a_lock_holds_the_file_that_others_see(tmp_path):
    """A writer removes the file that it had locked, and another process may have opened it."""
    from artifact_pipeline.disk import file_lock

    path, is_held, is_done = tmp_path / ".out.csv.lock", threading.Event(), threading.Event()

    def wait():
        with file_lock(path, "locked", wait=HANG):
            is_held.set()
            is_done.wait(HANG)

    with file_lock(path, "locked"):
        thread = threading.Thread(target=wait)
        thread.start()
        until(lambda: sum(map(is_open(path), Path("/proc/self/fd").iterdir())) > 1)
        path.unlink()
    assert is_held.wait(HANG)
    try:
        with pytest.raises(StoreError, match="locked"), file_lock(path, "locked"):
            pass
    finally:
        is_done.set()
        thread.join()


def is_open(path):
    def check(entry):
        try:
            return entry.readlink() == path
        except OSError:  # closed meanwhile
            return False

    return check


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs the limits of a POSIX file system")
def test_a_name_that_is_too_long_until_it_is_complete_is_named(scored, tmp_path):
    name = "a" * 250 + ".csv"
    with pytest.raises(StoreError, match=r"a{250}\.csv: File name too long"):
        infer(scored[1], tmp_path, CSV + GOOD, output=name)


def test_rows_that_changed_without_another_time_are_predicted_again(scored, tmp_path):
    rows = write(make_table(10), tmp_path / "rows" / "0.csv")
    write(make_table(10, seed=1), tmp_path / "rows" / "1.csv")

    def stop(note):
        if note.done == 1:
            raise Killed

    with pytest.raises(Killed):
        api.infer_files(scored[1], tmp_path / "rows", output=tmp_path / "out", report=stop)
    times = rows.stat().st_atime_ns, rows.stat().st_mtime_ns
    rows.write_bytes(rows.read_bytes().replace(b"k0000003", b"changed!"))
    os.utime(rows, ns=times)
    api.infer_files(scored[1], tmp_path / "rows", output=tmp_path / "out", resume=True)
    assert b"changed!" in (tmp_path / "out" / "0.csv").read_bytes()


@pytest.fixture(scope="module")
def bucket():
    """The address of a bucket in an S3 endpoint on this machine."""
    with endpoint("rows"):
        yield "s3://rows"


@pytest.mark.slow
def test_rows_and_predictions_may_be_in_an_object_store(scored, bucket, tmp_path):
    _, artifact = scored
    for index in range(3):
        part = write(make_table().slice(index * 100, 100), tmp_path / "rows" / f"{index}.parquet")
        remote_files.upload(part, f"{bucket}/in/{index}.parquet")
    api.infer_files(artifact, tmp_path / "rows", output=tmp_path / "out")
    api.infer_files(artifact, tmp_path / "rows", output=tmp_path / "out.csv")
    result = api.infer_files(artifact, f"{bucket}/in", output=f"{bucket}/out")
    assert result.parts == 3 and result.tally.rows == 300
    names = [file.url.rpartition("/")[2] for file in remote_files.find(f"{bucket}/out")]
    assert names == ["0.parquet", "1.parquet", "2.parquet"]
    for name in names:
        assert remote_files.read(f"{bucket}/out/{name}") == (tmp_path / "out" / name).read_bytes()
    api.infer_files(artifact, f"{bucket}/in/*.parquet", output=f"{bucket}/one.csv")
    assert remote_files.read(f"{bucket}/one.csv") == (tmp_path / "out.csv").read_bytes()
    with pytest.raises(CallError, match="is not an empty folder"):
        api.infer_files(artifact, f"{bucket}/in", output=f"{bucket}/out")
    with pytest.raises(CallError, match="is in the folder of rows"):
        api.infer_files(artifact, f"{bucket}/in", output=f"{bucket}/in/out")


def test_parts_in_an_object_store_are_continued(scored, bucket, tmp_path):
    _, artifact = scored
    for index in range(3):
        part = write(make_table().slice(index * 10, 10), tmp_path / f"{index}.csv")
        remote_files.upload(part, f"{bucket}/more/{index}.csv")
    bad = tmp_path / "bad.csv"
    bad.write_bytes(CSV + GOOD.replace(b"1.5", b"x"))
    remote_files.upload(bad, f"{bucket}/more/2.csv")
    with pytest.raises(DataError, match=r"s3://rows/more/2\.csv, row 1, column 'a'"):
        api.infer_files(artifact, f"{bucket}/more", output=f"{bucket}/scored")
    first = remote_files.stat(f"{bucket}/scored/0.csv")
    remote_files.upload(tmp_path / "2.csv", f"{bucket}/more/2.csv")
    api.infer_files(artifact, f"{bucket}/more", output=f"{bucket}/scored", resume=True)
    assert remote_files.stat(f"{bucket}/scored/0.csv") == first
    assert len(remote_files.find(f"{bucket}/scored")) == 3


@pytest.mark.slow
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_store_that_is_lost_while_rows_are_read_is_named(
    scored, bucket, tmp_path, monkeypatch, form
):
    rows = write(make_table(200_000), tmp_path / f"rows.{form}")
    remote_files.upload(rows, f"{bucket}/lost/rows.{form}")
    api.infer_files(scored[1], rows, output=tmp_path / "whole.csv")
    server = os.environ["AWS_ENDPOINT_URL"]
    size = rows.stat().st_size
    network = UnreliableNetwork(int(server.rpartition(":")[2]), after=size // 2)
    output = tmp_path / "out.csv"
    with network.serving() as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        remote_files._store.cache_clear()

        def lose(note):
            network.after, network.cuts = 0, 10**6

        with pytest.raises(NetworkError, match=rf"^{bucket}/lost/rows\.{form}: the object store"):
            api.infer_files(scored[1], f"{bucket}/lost/rows.{form}", output=output, report=lose)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    remote_files._store.cache_clear()
    notes = []
    api.infer_files(
        scored[1],
        f"{bucket}/lost/rows.{form}",
        output=output,
        resume=True,
        report=notes.append,
    )
    assert notes[0].resumed > 0
    assert output.read_bytes() == (tmp_path / "whole.csv").read_bytes()


@pytest.mark.parametrize("place", ["disk", "store"])
def test_rows_that_change_while_they_are_read_are_refused(scored, bucket, tmp_path, place):
    rows = write(make_table(), tmp_path / "rows.csv")
    url = f"{bucket}/change/rows.csv"
    if place == "store":
        remote_files.upload(rows, url)

    def change(note):
        rows.write_bytes(rows.read_bytes() + b"k,1,2,Bern,2020-01-01,n,no\n")
        if place == "store":
            remote_files.upload(rows, url)

    source = url if place == "store" else rows
    with pytest.raises(DataError, match=r"rows\.csv: changed while its rows were read"):
        api.infer_files(scored[1], source, output=tmp_path / "out.csv", report=change)
    assert names(tmp_path) == ["rows.csv"]


@pytest.mark.slow
def test_what_an_object_store_lacks_is_an_error_in_one_line(scored, bucket, tmp_path):
    done = call("infer", scored[1], f"{bucket}/none.csv", "-o", "out.csv", cwd=tmp_path)
    assert done.code == 2 and "s3://rows/none.csv: " in done.err and done.err.count("\n") == 1
    env = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    done = call("infer", scored[1], f"{bucket}/none.csv", "-o", "out.csv", cwd=tmp_path, env=env)
    assert done.code == 5 and "cannot be reached" in done.err and done.err.count("\n") == 1


@pytest.mark.slow
def test_a_run_reads_its_table_from_an_object_store(scored, bucket, tmp_path):
    folder, _ = scored
    local = api.train(folder / "config.json", store=tmp_path / "local")
    remote_files.upload(folder / "train.csv", f"{bucket}/tables/train.csv")
    config = {**CONFIG, "data": {**CONFIG["data"], "path": f"{bucket}/tables/train.csv"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    done = call("run", "config.json", cwd=tmp_path)
    assert done.code == 0, done.err
    assert local.digest.removeprefix("sha256:")[:12] in done.out
    done = call("evaluate", "latest", cwd=tmp_path)
    assert done.code == 0, done.err
    config["data"]["path"] = f"{bucket}/tables/none.csv"
    (tmp_path / "config.json").write_text(json.dumps(config))
    done = call("run", "config.json", cwd=tmp_path)
    assert done.code == 3 and "s3://rows/tables/none.csv: no such file" in done.err


@pytest.mark.parametrize(
    "cell",
    [
        "1",
        "007",
        "+5",
        " 5 ",
        "  ",
        "1e3",
        "1.",
        ".5",
        "-0",
        "",
        '""',
        '"5"',
        "nan",
        "inf",
        "1e999",
        "9007199254740992",
        "9007199254740993",
        "1e16",
        "0x10",
        "1_000",
        "1,5",
        "5 kg",
        "NA",
        "True",
    ],
)
def test_a_number_means_what_it_means_among_other_rows(scored, tmp_path, cell):
    """Plain numbers are converted while a CSV is split; `infer` reads each cell by the rules."""
    _, artifact = scored
    row = b"k,%s,2,Bern,2020-01-01\n" % cell.encode()
    data = CSV + GOOD + row + GOOD
    try:
        expected = api.infer(artifact, data, name="rows.csv").probabilities
    except DataError as error:
        expected = str(error).partition("rows.csv")[2]
    try:
        infer(artifact, tmp_path, data)
        out = read(tmp_path / "out.csv")
        got = np.column_stack([out["probability_no"], out["probability_yes"]]).tolist()
    except DataError as error:
        got = str(error).partition("rows.csv")[2]
    assert got == expected


@pytest.mark.parametrize("form", [".csv", ".parquet"])
def test_the_progress_counts_rows_or_bytes_up_to_their_number(scored, tmp_path, form):
    _, artifact = scored
    rows, notes = write(make_table(), tmp_path / f"rows{form}"), []
    api.infer_files(artifact, rows, output=tmp_path / f"out{form}", report=notes.append)
    batches = [*range(65_536, ROWS, 65_536), ROWS]
    if form == ".parquet":
        assert [(note.done, note.total, note.unit) for note in notes] == [
            (batch, ROWS, "rows") for batch in batches
        ]
    else:
        megabytes = -(-rows.stat().st_size // 10**6)
        assert [note.unit for note in notes] == [f"MB, {batch:,} rows" for batch in batches]
        assert {note.total for note in notes} == {megabytes}
        assert [note.done for note in notes] == sorted(note.done for note in notes)
        assert notes[-1].done >= megabytes - 1


def test_the_progress_of_a_folder_counts_parts(scored, tmp_path):
    _, artifact = scored
    for part in range(3):
        write(make_table(100, seed=part), tmp_path / "rows" / f"{part}.parquet")
    notes = []
    api.infer_files(artifact, tmp_path / "rows", output=tmp_path / "out", report=notes.append)
    assert [note.text() for note in notes] == [
        f"predict {part} of 3 parts, {part * 100} rows" for part in range(4)
    ]


class Killed(Exception):
    """Ends a prediction, as a kill does."""


@pytest.mark.slow
@pytest.mark.parametrize("form", [".csv", ".parquet"])
def test_what_was_predicted_before_does_not_shorten_the_estimate(scored, tmp_path, form):
    _, artifact = scored
    rows, notes = write(make_table(140_000), tmp_path / f"rows{form}"), []

    def stop(note):
        raise Killed

    with pytest.raises(Killed):
        api.infer_files(artifact, rows, output=tmp_path / "out.csv", report=stop)
    api.infer_files(artifact, rows, output=tmp_path / "out.csv", resume=True, report=notes.append)
    if form == ".parquet":
        assert [(note.done, note.resumed) for note in notes] == [
            (65_536, 65_536),
            (131_072, 65_536),
            (140_000, 65_536),
        ]
    else:
        assert 0 < notes[0].resumed == notes[0].done == notes[1].resumed
        assert notes[0].done < notes[1].done <= notes[2].done
    estimator = Estimator(0.0)
    text = estimator.text(structs.replace(notes[0], done=60, total=100, resumed=40), 10.0)
    assert text.endswith("about 20 s left")


def test_parts_that_were_complete_before_do_not_shorten_the_estimate(scored, tmp_path):
    _, artifact = scored
    for part in range(4):
        write(make_table(100, seed=part), tmp_path / "rows" / f"{part}.parquet")

    def stop(note):
        if note.done == 2:
            raise Killed

    with pytest.raises(Killed):
        api.infer_files(artifact, tmp_path / "rows", output=tmp_path / "out", report=stop)
    notes = []
    api.infer_files(
        artifact, tmp_path / "rows", output=tmp_path / "out", resume=True, report=notes.append
    )
    assert [(note.done, note.resumed) for note in notes] == [(0, 0), (1, 1), (2, 2), (3, 2), (4, 2)]


def test_a_long_prediction_shows_its_progress_in_a_pipe(scored, tmp_path):
    """The line of each half minute comes at once, by a shorter half minute."""
    _, artifact = scored
    write(make_table(), tmp_path / "rows.csv")
    code = (
        "import sys\n"
        "from artifact_pipeline.cli import main, output\n"
        "output._QUIET_SECONDS = 0.01\n"
        "main(sys.argv[1:])\n"
    )
    words = ("infer", artifact, "rows.csv", "-o", "out.csv")
    done = script("-c", code, *words, cwd=tmp_path)
    assert done.code == 0, done.err
    assert "infer      running" in done.err and "predict " in done.err
