"""Rows to predict, in three formats."""

import gzip
import io
import json
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from artifact_pipeline.errors import DataError
from artifact_pipeline.inference.rows import parse

FEATURES = ["a", "b", "c"]
matrices = arrays(
    np.float64,
    array_shapes(min_dims=2, max_dims=2, max_side=5).map(lambda shape: (shape[0], 3)),
    elements=st.floats(allow_nan=False, allow_infinity=False),
)


def npy(array, **options):
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


@given(matrices)
def test_each_format_reads_back_what_was_written(matrix):
    lines = "\n".join(",".join(map(repr, row)) for row in matrix.tolist())
    records = [dict(zip(FEATURES, row, strict=True)) for row in matrix.tolist()]
    forms = {
        "r.csv": lines.encode(),
        "h.csv": f"a,b,c\n{lines}\n".encode(),
        "r.json": json.dumps(matrix.tolist()).encode(),
        "o.json": json.dumps([dict(reversed(r.items())) for r in records]).encode(),
        "r.npy": npy(matrix),
        "f.npy": npy(np.asfortranarray(matrix)),
    }
    for name, data in forms.items():
        np.testing.assert_array_equal(parse(data, FEATURES, name=name), matrix)
        np.testing.assert_array_equal(parse(data, FEATURES, name="standard input"), matrix)


def test_other_number_types_in_an_npy_become_float64():
    assert (
        parse(npy(np.array([[1, 2, 3]], dtype=np.uint8)), FEATURES, name="r.npy").dtype
        == np.float64
    )


def test_line_ends_a_bom_and_blank_lines_do_not_matter():
    np.testing.assert_array_equal(
        parse(b"\xef\xbb\xbfa,b,c\r\n1,2,3\r\n\r\n4,5,6", FEATURES, name="r.csv"),
        [[1, 2, 3], [4, 5, 6]],
    )


WRONG = [
    ("r.csv", b"", "r.csv: is empty"),
    ("r.csv", b"a,b,c\n", "r.csv: has no rows"),
    ("r.csv", b"1,2,3\n1,2\n", "r.csv, line 2: found 2 values, expected 3"),
    ("r.csv", b"a,b,c\n1,2,3\n1,2,3,4\n", "r.csv, line 3: found 4 values, expected 3"),
    ("r.csv", b"1,2,3\n1,,3\n", "r.csv, line 2: b is missing, expected a number"),
    ("r.csv", b"1,2,3\n1,x,3\n", "r.csv, line 2: b is 'x', expected a finite number"),
    ("r.csv", b"1,2,nan\n", "r.csv, line 1: c is 'nan', expected a finite number"),
    ("r.csv", b"1,2,inf\n", "r.csv, line 1: c is 'inf', expected a finite number"),
    ("r.csv", b"1,2,1e999\n", "r.csv, line 1: c is '1e999', expected a finite number"),
    ("r.csv", b"1,2,1_0\n", "r.csv, line 1: c is '1_0', expected a finite number"),
    ("r.csv", b"x,y,z\n1,2,3\n", "r.csv, line 1: the header names other columns; expected a, b"),
    ("r.csv", b"1;2;3\n", "r.csv, line 1"),
    ("r.csv", b"1,2,3\n1,\xff,3\n", "r.csv, line 2: is not UTF-8"),
    ("r.csv", b'1,2,"3\n', "r.csv, line 1: is not CSV"),
    ("r.csv", b"1,2,3\n\x1b[2J,2,3\n", r"line 2: a is '\x1b[2J'"),
    ("r.json", b"{", "r.json: is not JSON"),
    ("r.json", b"[1, 2, 3]", "r.json: expected a list of rows"),
    ("r.json", b'{"rows": []}', "r.json: expected a list of rows"),
    ("r.json", b"[]", "r.json: has no rows"),
    ("r.json", b"[[1, 2, 3], [1, 2]]", "r.json, row 2: found 2 values, expected 3"),
    ("r.json", b"[[1, 2, null]]", "r.json, row 1: c is null, expected a number"),
    ("r.json", b'[[1, 2, "3"]]', "r.json, row 1: c is '3', expected a number"),
    ("r.json", b"[[1, 2, true]]", "r.json, row 1: c is true, expected a number"),
    ("r.json", b"[[1, 2, NaN]]", "r.json: is not JSON: NaN"),
    ("r.json", b"[[1, 2, 1" + b"0" * 400 + b"]]", "r.json, row 1: c is too large"),
    ("r.json", b'[{"a": 1, "b": 2}]', "r.json, row 1: the column 'c' is missing"),
    ("r.json", b'[{"a":1,"b":2,"c":3,"d":4}]', "r.json, row 1: the column 'd' is unknown"),
    ("r.json", b'[{"a":1,"a":2,"b":2,"c":3}]', "the key 'a' occurs twice"),
    ("r.json", b"[" * 100_000, "nested too deep"),
    ("r.npy", b"\x93NUMPY", "r.npy: is not an .npy file"),
    ("r.npy", b"1,2,3", "r.npy: is not an .npy file"),
    ("r.npy", npy(np.zeros((2, 4))), "r.npy, row 1: found 4 values, expected 3"),
    ("r.npy", npy(np.zeros(3)), "r.npy: has the shape (3,), expected (rows, 3)"),
    ("r.npy", npy(np.zeros((0, 3))), "r.npy: has no rows"),
    ("r.npy", npy(np.array([[1, 2, np.nan]])), "r.npy, row 1: c is nan, expected a finite number"),
    ("r.npy", npy(np.array([["a", "b", "c"]])), "expected numbers"),
    ("r.npy", npy(np.array([[1, 2, None]]), allow_pickle=True), "expected numbers"),
    ("r.npy", npy(np.zeros((2, 3)))[:-1], "r.npy: is truncated or padded"),
    ("r.npy", npy(np.zeros((2, 3))) + b"0", "r.npy: is truncated or padded"),
    (
        "r.npy",
        npy(np.zeros((2, 3))).replace(b"(2, 3)", b"(9999999999999, 3)").replace(b" " * 12, b"", 1),
        "r.npy: is ",
    ),
]


@pytest.mark.parametrize(("name", "data", "message"), WRONG, ids=lambda value: ascii(value)[:30])
def test_invalid_rows_are_refused_by_line(name, data, message):
    with pytest.raises(DataError) as caught:
        parse(data, FEATURES, name=name)
    assert message in str(caught.value)
    assert "\x1b" not in str(caught.value)


@given(st.binary(), st.sampled_from(["r.csv", "r.json", "r.npy", "-"]))
def test_any_bytes_are_rows_or_refused(data, name):
    try:
        found = parse(data, FEATURES, name=name)
    except DataError:
        return
    assert found.shape[1] == 3 and np.isfinite(found).all()


def test_rows_may_be_packed_and_in_a_marked_encoding():
    expected = [[1, 2, 3], [4, 5, 6]]
    text = "1,2,3\n4,5,6\n"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("r.csv", text)
    files = {
        "r.csv.gz": gzip.compress(text.encode()),
        "r.json.gz": gzip.compress(json.dumps(expected).encode()),
        "r.zip": archive.getvalue(),
        "r.csv": text.encode("utf-16"),
        "r.tsv": text.replace(",", "\t").encode(),
    }
    for name, data in files.items():
        np.testing.assert_array_equal(parse(data, FEATURES, name=name), expected)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("r.csv", b"1;2;3\n", "r.csv, line 1: cells are separated by ';', expected ','"),
        ("r.csv", b"a\tb\tc\n1\t2\t3\n", "cells are separated by '\\t', expected ','"),
        ("r.parquet", b"PAR1", "since this model takes a matrix; write the rows as CSV"),
        ("r.csv.gz", b"1,2,3\n", "is not a .gz file that can be read"),
    ],
)
def test_rows_in_another_layout_are_refused_with_what_was_found(name, data, message):
    with pytest.raises(DataError) as caught:
        parse(data, FEATURES, name=name)
    assert message in str(caught.value)
