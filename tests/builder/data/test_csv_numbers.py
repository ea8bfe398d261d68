"""Plain numbers that are converted while a CSV is split: the same table as by the rules."""

import hashlib
import itertools
import re

import numpy as np
import pandas as pd
import pyarrow.types as t
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from artifact_pipeline.builder.config.values import Csv
from artifact_pipeline.builder.data import csv_numbers, table_columns, table_reader
from artifact_pipeline.errors import DataError
from tests.builder.data.test_plain_columns import columns


@pytest.fixture(autouse=True, scope="module")
def _small_files_are_large():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_numbers, "MIN_SIZE", 1)
        yield


def read(parts, *, convert, csv=Csv(), ending="\n"):  # noqa: B008  (frozen)
    """Return the types and values of the columns of CSV files, or the error."""
    files = [
        (f"{number}.csv", "\n".join([*lines[:2], ending.join(lines[2:]), ""]).encode())
        for number, lines in enumerate(parts)
    ]
    try:
        raw = table_reader.read(files, "csv", csv=csv, text_columns=() if convert else None)
        typed = {name: table_columns.column(raw, name) for name in raw.table.column_names}
    except DataError as error:
        return f"{error} {error.remedy}", set()
    converted = {name for name in typed if t.is_floating(raw.table.schema.field(name).type)}
    return {
        name: (column.kind, column.values.tolist(), column.without_value().tolist(), column.note)
        for name, column in typed.items()
    }, converted


cells = st.lists(st.tuples(columns, columns, columns), min_size=1, max_size=2)


def lines(table, delimiter):
    """Return the lines of a CSV with the texts of some columns that need no quotes."""
    clean = [
        [re.sub(r'[\r\n"]', "", text or "").replace(delimiter, ".") for text in column]
        for column in table
    ]
    rows = itertools.zip_longest(*clean, fillvalue="")
    return [delimiter.join(row) for row in rows]


@given(
    cells,
    st.sampled_from(["1", "2.5", "-3", "0", "-0.5"]),
    st.sampled_from([",", ";", "\t", " ", "0"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from([[], ["-1"], ["007"]]),
    st.sampled_from(["abc", "bc", "\nabc", "aba"]),
    st.sampled_from([1, 7, 1 << 22]),
)
@example([(["007"], ["1"], ["1"])], "1", ",", "\n", [], "abc", 1)
@example([(["1"], ["-00"], ["1"])], "1", ",", "\n", [], "abc", 1)
@example([(["1"], ["1"], ["+1"])], "1", ",", "\r\n", [], "abc", 1)
@example([(["1"], [" 1"], ["1 "])], "1", ",", "\n", [], "abc", 1)
@example([(["nan"], ["1e999"], ["9007199254740993.0"])], "1", ";", "\n", [], "abc", 1)
@example([(["9007199254740992"], ["nan(1)"], ["inf"])], "1", ";", "\n", [], "abc", 1)
@example([(["1"], ["x"], ["true"])], "1", ",", "\n", [], "abc", 1)
@example([(["1", "007"], ["1"], ["1"])], "1", ",", "\r", [], "abc", 1)
@example([(["1", "1"], ["007", "1"], ["1", "1"])], "1", ",", "\n", [], "bc", 1)
@example([(["1"], ["1"], ["1"]), (["01"], [None], ["x"])], "1", ",", "\n", [], "abc", 1)
def test_a_table_is_the_same_whether_numbers_are_converted_early_or_not(
    tables, number, delimiter, ending, null_values, header, block
):
    csv = Csv(delimiter=delimiter, null_values=null_values)
    first = [delimiter.join([number] * 3)]
    with pytest.MonkeyPatch.context() as patch:
        # Only the first row decides what may be a number.
        names = delimiter.join(header).replace(f"\n{delimiter}", "\n")
        patch.setattr(csv_numbers, "_HEAD", len(f"{names}\n{first[0]}\n"))
        patch.setattr(csv_numbers, "_BLOCK", block)
        parts = [[names, *first, *lines(table, delimiter)] for table in tables]
        early, _ = read(parts, convert=True, csv=csv, ending=ending)
    assert str(early) == str(read(parts, convert=False, csv=csv, ending=ending)[0])


def test_plain_numbers_are_converted_and_other_columns_are_text():
    table = ["n,zip,city,big,some", "1,01234,Bern,1,", "2.5,2,Lyon,9007199254740993,0.5"]
    declared = {"big": "text", "some": "number"}
    raw = table_reader.read(
        [("t.csv", "\n".join(table).encode())],
        "csv",
        text_columns=[name for name, kind in declared.items() if kind == "text"],
    )
    types = {field.name: str(field.type) for field in raw.table.schema}
    assert types == dict.fromkeys(["zip", "city", "big", "some"], "string") | {"n": "double"}
    assert raw.table.column("n").to_pylist() == [1.0, 2.5]
    assert raw.table.column("zip").to_pylist() == ["01234", "2"]


def test_small_and_empty_files_of_a_table_are_converted_as_its_first_one():
    first = b"n,zip,some\n" + b"1,01234,\n2.5,2,0.5\n" * 20_000
    files = [("a.csv", first), ("b.csv", b"n,zip,some\n"), ("c.csv", b"n,zip,some\n,7,\n")]
    types = [
        str(field.type) for field in table_reader.read(files, "csv", text_columns=()).table.schema
    ]
    assert types == ["double", "string", "double"]


@pytest.mark.parametrize(
    ("last", "kinds"),
    [
        ("7.5,Bern", ["number", "text"]),
        ("07,Bern", ["text", "text"]),
        ('7,"Bern"', ["number", "text"]),
        ("", ["number", "text"]),
    ],
)
def test_a_file_on_disk_is_read_and_hashed_in_blocks(tmp_path, monkeypatch, last, kinds):
    monkeypatch.setattr(csv_numbers, "_BLOCK", 100)
    # Rows that are shorter than the first ones.
    rows = ["1000.125,Lyon", ",Graz", *["1,Graz"] * 999, last]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["n,city", *rows]))
    raw = table_reader.read([("t.csv", path)], "csv", text_columns=())
    typed = [table_columns.column(raw, name) for name in ("n", "city")]
    assert [column.kind for column in typed] == kinds
    expected = pd.read_csv(path, dtype=str, keep_default_na=False)
    texts = expected["city"].tolist()
    assert typed[1].values.tolist() == texts
    if kinds[0] == "number":
        np.testing.assert_array_equal(typed[0].values, pd.to_numeric(expected["n"]))
    else:
        assert typed[0].values.tolist() == expected["n"].tolist()
    assert raw.parts[0].digest == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def test_a_text_column_may_repeat_its_texts_in_some_files_only(tmp_path):
    columns = [["a"] * 2_000, [f"b{number}" for number in range(2_000)], ["a", "", "c"]]
    for number, texts in enumerate(columns):
        lines = ["n,text", *(f"1,{text}" for text in texts)]
        (tmp_path / f"{number}.csv").write_text("\n".join(lines))
    files = [(path.name, path) for path in sorted(tmp_path.iterdir())]
    raw = table_reader.read(files, "csv", text_columns=())
    assert table_columns.column(raw, "text").values.tolist() == [*itertools.chain(*columns)]
    assert table_columns.column(raw, "n").values.tolist() == [1.0] * 4_003


prefixes = st.sampled_from(
    ["", "0", "00", "-0", "-00", "-01.5", "+1", " 1", "\t1", "1 +", "-", "0.0"]
)


@given(
    st.integers(1, 4).flatmap(
        lambda count: st.lists(st.lists(prefixes, min_size=count, max_size=count), min_size=1)
    ),
    st.integers(1, 9),
    st.sampled_from([",", ";", "\t", "+"]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_prefixes_are_found_in_every_cell_of_a_column(rows, size, delimiter, ending):
    rows = [[cell.replace(delimiter, "") for cell in row] for row in rows]
    names = ["x"] * len(rows[0])
    text = ending.join(delimiter.join(row) for row in [names, *rows])
    expected = {
        position
        for row in rows
        for position, cell in enumerate(row)
        if re.match(r"[+ \t]|-?0\d", cell)
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_numbers, "_SLICE", size)
        found = csv_numbers.prefixed_columns(text.encode(), delimiter.encode(), columns=len(names))
    assert found == expected
