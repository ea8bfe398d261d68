"""Reading tables: column types, and errors with file, row and column."""

import datetime
import decimal
from random import Random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifact_pipeline.builder.config.values import Csv
from artifact_pipeline.errors import DataError
from artifact_pipeline.inference import output
from tests.support.tables import columns, parquet


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        ("1,2,,-3.5,1e3", "number", [1.0, 2.0, None, -3.5, 1000.0]),
        (" 1 ,+2,.5,4.", "number", [1.0, 2.0, 0.5, 4.0]),
        ("nan,1", "number", [None, 1.0]),
        ("true,False,,TRUE", "boolean", [1.0, 0.0, None, 1.0]),
        ("007,8,9", "text", ["007", "8", "9"]),
        ("-07,1", "text", ["-07", "1"]),
        ("0,0.5,-0.25", "number", [0.0, 0.5, -0.25]),
        ("1970-01-02,2026-11-24", "date", [1.0, 20781.0]),
        ("1970-01-01T12:00,1970-01-02 06:00:00", "date", [0.5, 1.25]),
        ("1970-01-01T12:00+12:00,1970-01-02T00:00Z", "date", [0.0, 1.0]),
        ("1970-01-01 12:00:00+12,1970-01-01T12:00:00.5-0030,1970-01-01 12:00-12", "date",
         [0.0, (12.5 * 3600 + 0.5) / 86400, 1.0]),
        ("0001-01-01,9999-12-31", "date", [-719162.0, 2932896.0]),
        ("x,,1", "text", ["x", "", "1"]),
        (",", "text", ["", ""]),
        ("9007199254740992,1", "number", [9007199254740992.0, 1.0]),
        ("NA,north", "text", ["NA", "north"]),
    ],
)  # fmt: skip
def test_a_column_has_the_type_of_all_its_values(cells, kind, values):
    rows = "\n".join(f"{cell},x" for cell in cells.split(","))
    assert columns(f"a,b\n{rows}\n".encode())["a"] == (kind, values)


def test_a_declared_type_overrides_the_detected_one():
    found = columns(b"a,b,c\n1,2020-01-01,1\n2,2020-01-02,0\n", a="text", b="text", c="number")
    assert found["a"] == ("text", ["1", "2"])
    assert found["b"] == ("text", ["2020-01-01", "2020-01-02"])
    assert found["c"] == ("number", [1.0, 0.0])


def test_csv_options_of_the_config_are_applied():
    how = Csv(delimiter=";", decimal=",", encoding="latin-1", null_values=["NA"])
    data = 'n;t\n1,5;"caf\xe9; x"\nNA;\n'.encode("latin-1")
    assert columns(data, how=how) == {
        "n": ("number", [1.5, None]),
        "t": ("text", ["café; x", ""]),
    }
    assert columns(b"\xef\xbb\xbfa\n1\n")["a"] == ("number", [1.0])  # a byte order mark


def test_parts_become_one_table_with_unified_types():
    assert columns([b"a,b\n1,x\n", b"b,a\ny,2.5\n"]) == {
        "a": ("number", [1.0, 2.5]),
        "b": ("text", ["x", "y"]),
    }
    parts = [parquet(a=[1, 2]), parquet(a=[0.5, None])]
    assert columns(parts, "parquet")["a"] == ("number", [1.0, 2.0, 0.5, None])


@pytest.mark.parametrize("categorical", [False, True])
def test_texts_of_iso_dates_in_parquet_are_dates_as_in_csv(categorical):
    texts = pa.array(["1970-01-02", None, "1970-01-03"])
    times = pa.array(["1970-01-02T12:00+01:00", "1970-01-02 11:00:00Z", None])
    numbers = pa.array(["1970", "12", None])
    arrays = {"day": texts, "time": times, "code": numbers}
    if categorical:
        arrays = {name: array.dictionary_encode() for name, array in arrays.items()}
    found = columns(parquet(**arrays), "parquet")
    assert found == {
        "day": ("date", [1.0, None, 2.0]),
        "time": ("date", [1 + 11 / 24, 1 + 11 / 24, None]),
        "code": ("text", ["1970", "12", ""]),
    }
    with pytest.raises(DataError, match=r"row 3, column 'd': found 'soon' among dates"):
        columns(parquet(d=["2026-01-31", "2026-02-01", "soon"]), "parquet")


def test_parquet_and_json_lines_keep_their_types():
    found = columns(
        parquet(
            i=[1, None],
            t=["007", None],
            d=pa.array(["a", "b"]).dictionary_encode(),
            when=[datetime.datetime(1970, 1, 2, 12), None],
            day=[datetime.date(1970, 1, 3), None],
            price=[decimal.Decimal("1.50"), None],
            flag=[True, None],
        ),
        "parquet",
    )
    assert found == {
        "i": ("number", [1.0, None]),
        "t": ("text", ["007", ""]),
        "d": ("text", ["a", "b"]),
        "when": ("date", [1.5, None]),
        "day": ("date", [2.0, None]),
        "price": ("number", [1.5, None]),
        "flag": ("boolean", [1.0, None]),
    }
    lines = b'{"n": 1, "t": "12", "d": "1970-01-02"}\n{"n": 2.5, "t": null, "d": "1970-01-03"}\n'
    assert columns(lines, "jsonl") == {
        "n": ("number", [1.0, 2.5]),
        "t": ("text", ["12", ""]),
        "d": ("date", [1.0, 2.0]),
    }


def test_files_may_differ_in_categories_and_time_zones():
    noon = pa.array([43_200_000_000], pa.timestamp("us", "UTC"))
    files = [
        parquet(t=pa.array(["u"]), d=noon),
        parquet(
            t=pa.array(["v"]).dictionary_encode(), d=noon.cast(pa.timestamp("ms", "Asia/Tokyo"))
        ),
    ]
    assert columns(files, "parquet") == {"t": ("text", ["u", "v"]), "d": ("date", [0.5, 0.5])}
    with pytest.raises(DataError) as caught:
        columns([files[0], parquet(t=["w"], d=noon.cast(pa.timestamp("us")))], "parquet")
    assert str(caught.value) == (
        "part1.parquet: the column 'd' has dates, and dates with a time zone in part0.parquet"
    )


@pytest.mark.parametrize(
    ("data", "form", "said"),
    [
        (b"a,b\n1,2\nx,3\n4,5\n", "csv", "row 2, column 'a': found 'x' among numbers"),
        (b"d\n2020-01-01\nsoon\n2020-01-02\n", "csv", "row 2, column 'd': found 'soon' among date"),
        (b"d\n2020-01-01\n2020-02-30\n", "csv", "row 2, column 'd': found '2020-02-30', which is"),
        (b"a\n1\ninf\n2\n", "csv", "row 2, column 'a': found inf, expected a finite number"),
        (b"a\n1\n9007199254740993\n", "csv", "row 2, column 'a': found 9007199254740993, beyond"),
        (b"a,b,a\n1,2,3\n", "csv", "two columns are called 'a': 1 and 3"),
        (b"a,\n1,2\n", "csv", "column 2 has no name in the header"),
        (b"", "csv", "is empty, expected a table"),
        (b"a,b\n", "csv", "has no rows"),
        (b"a,b\n1,2\n1,2,3\n", "csv", "row 2: found 3 cells, expected 2"),
        (b"a,b\n1,2\n1\n", "csv", "row 2: found 1 cells, expected 2"),
        (b"a,b\n1,x\n2,\xe9\n", "csv", "line 3: is not utf-8: byte 0xe9; name the encoding"),
        (b"\xe9,b\n1,x\n", "csv", "line 1: is not utf-8"),
        (
            "a,b\n1,2\n".encode("utf-16"),
            "csv",
            'is utf-16, by its byte order mark; set data.csv.encoding: "utf-16"',
        ),
        ("a,b\n1,2\n".encode("utf-32"), "csv", 'set data.csv.encoding: "utf-32"'),
        ("a,b\n1,2\n".encode("utf-16-le"), "csv", "contains NUL bytes; is this a table?"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "csv", "contains NUL bytes; is this a table?"),
        (b"PAR1", "parquet", "is not a Parquet file"),
        (b"{}", "parquet", "is not a Parquet file"),
        (b'{"a": 1}\n{"a": "x"}\n', "jsonl", "row 2: is not JSON lines: Column(/a) changed from"),
        (b'{"a": 1, "a": 2}\n', "jsonl", "row 1: is not JSON lines: Column(/a) was specified twi"),
        (b'{"a": 1}\n{"a":\n', "jsonl", "row 2: is not JSON lines"),
        (b"[1, 2]\n", "jsonl", "row 1: is not JSON lines"),
        (
            b'{"a": [1]}\n',
            "jsonl",
            "column 'a': has the type list<item: int64>, which is not a number",
        ),
        (b'{"a": 9007199254740993}\n', "jsonl", "row 1, column 'a': found 9007199254740993"),
        ([b"a\n1\n", b"b\n1\n"], "csv", "part1.csv: the column 'a' is in part0.csv"),
        ([b'{"a": 1}\n', b'{"a": "x"}\n'], "jsonl", "part1.jsonl: the column 'a' has text, and"),
        ([b"a\n1\n2\n", b"a\n3\nx\n"], "csv", "part1.csv, row 2, column 'a': found 'x' among num"),
        (parquet(a=[float("inf")]), "parquet", "row 1, column 'a': found inf"),
        (parquet(a=[1.0], b=[b"x"]), "parquet", "column 'b': has the type binary"),
    ],
)
def test_invalid_data_is_reported_with_file_row_and_column(data, form, said):
    with pytest.raises(DataError) as caught:
        columns(data, form)
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert str(caught.value).startswith("part")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("number", "row 2, column 'a': found 'x', expected a number"),
        ("boolean", "row 1, column 'a': found '1', expected true or false"),
        ("date", "row 1, column 'a': found '1', expected a date, such as 2026-01-31"),
    ],
)
def test_a_value_that_violates_the_declared_type_is_named(kind, said):
    with pytest.raises(DataError) as caught:
        columns(b"a\n1\nx\n", a=kind)
    assert said in str(caught.value)


texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)


@given(
    st.lists(
        st.tuples(st.floats(allow_nan=False, allow_infinity=False), texts), min_size=1, max_size=20
    ),
    st.sampled_from(["csv", "parquet", "jsonl"]),
)
def test_a_written_table_reads_back_unchanged(rows, form):
    numbers, words = [list(one) for one in zip(*rows, strict=True)]
    data = output.write({"number": numbers, "word": words}, f"t.{form}")
    found = columns(data, form, number="number", word="text")
    assert np.array_equal(found["number"][1], numbers)
    assert found["word"][1] == words


SEEDS = {
    "csv": b'a,b,c,d\n1,x,2020-01-01,true\n2.5,"y\nz",2021-01-01T12:00Z,false\n',
    "jsonl": b'{"a": 1, "b": "x", "d": "2020-01-01"}\n{"a": 2.5, "b": null, "c": "z"}\n',
    "parquet": parquet(
        i=[1, None, 3], t=["x", None, "é"], d=pa.array(["a", "b", "a"]).dictionary_encode()
    ),
}
JUNK = [
    b"\xff",
    b"\0",
    b'"',
    b",",
    b"\n",
    b"1e999",
    b"0001",
    b"9" * 400,
    b"[",
    b"2020-13-45",
    b"\r",
]


@pytest.mark.slow
@pytest.mark.parametrize("form", SEEDS)
def test_any_bytes_are_a_table_or_a_data_error(form, capfd):
    chance = Random(4)
    outcomes = set()
    for _ in range(1500):
        data = bytearray(SEEDS[form])
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(data) + 1)
            change = chance.choice([bytes([chance.randrange(256)]), chance.choice(JUNK), b""])
            data[at : at + chance.randint(0, 3)] = change
        try:
            columns(bytes(data), form)
            outcomes.add("table")
        except DataError as error:
            assert "\n" not in str(error)
            outcomes.add("wrong")
    assert outcomes == {"table", "wrong"}
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("unit", ["ms", "day"])
def test_dates_out_of_range_are_refused_and_never_wrap_around(unit):
    most = 2**62 if unit == "ms" else 2**31 - 1
    whole, kind = (pa.int64(), pa.timestamp("ms")) if unit == "ms" else (pa.int32(), pa.date32())
    for far in (most, -most):
        data = parquet(day=pa.array([None, 0, far], whole).cast(kind))
        with pytest.raises(DataError, match="row 3, column 'day': found a date that is too far"):
            columns(data, "parquet")
