"""Parquet files, whose texts are decoded into dictionaries: the same table as from plain text."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from artifact_pipeline.builder.data import table_reader
from artifact_pipeline.errors import DataError
from tests.builder.data.test_plain_columns import columns, table, typed
from tests.support.tables import columns as typed_columns


def written(texts, **options):
    stream = io.BytesIO()
    pq.write_table(pa.table({"c": texts}), stream, **options)
    return stream.getvalue()


def read(*files):
    return table_reader.read([(f"{at}.parquet", file) for at, file in enumerate(files)], "parquet")


WAYS = {
    "dictionary": {},
    "plain": {"use_dictionary": False},
    "prefixes": {"use_dictionary": False, "column_encoding": {"c": "DELTA_BYTE_ARRAY"}},
}


@settings(max_examples=40)
@given(columns, st.sampled_from(["number", "date", "text", None]), st.sampled_from([*WAYS]))
@example(["x", "1", "y"], "number", "dictionary")
@example(["2026-01-31", None, "2026-02-30"], "date", "plain")
@example(["007", "1", None], "number", "dictionary")
def test_a_column_of_text_is_that_of_a_table_of_text(texts, kind, way):
    many = texts * (1000 // len(texts) + 1)
    file = written(pa.array(many, pa.string()), row_group_size=300, **WAYS[way])
    raw = read(file, written(pa.array(texts, pa.string())))
    expected = typed(table([*many, *texts], "parquet"), kind=kind)
    found = typed(raw, kind=kind)
    if isinstance(expected, str):
        assert found == expected.replace("t, row", "0.parquet, row", 1)
    else:
        assert found[0] == expected[0]
        np.testing.assert_array_equal(found[1], expected[1])
        assert found[2] == expected[2]


def test_an_error_names_the_first_row_whatever_the_order_of_a_category():
    dates = ["2026-01-31"] * 1000 + ["soon", "later"] + ["2026-01-31"] * 1000
    categories = pa.DictionaryArray.from_arrays(
        pa.array([["later", "soon", "2026-01-31"].index(text) for text in dates], pa.int8()),
        pa.array(["later", "soon", "2026-01-31"]),
    )
    message = typed(read(written(categories)))
    assert message.startswith("0.parquet, row 1001, column 'c': found 'soon' among dates")


@pytest.mark.parametrize("way", WAYS)
def test_text_that_is_not_utf8_is_refused(way):
    damaged = pa.array([b"Bern", b"Z\xfcrich"] * 1000).view(pa.string())
    raw = read(written(damaged, **WAYS[way]))
    with pytest.raises(DataError, match=r"^0\.parquet: is not a Parquet file: .*UTF8"):
        raw.table.column("c")


def test_a_name_does_not_select_columns_with_longer_names():
    values = {"a": ["x"], "a.b": [1.0], "a.b.c": [True]}
    stream = io.BytesIO()
    pq.write_table(pa.table(values), stream)
    found = typed_columns(stream.getvalue(), "parquet")
    assert found == {"a": ("text", ["x"]), "a.b": ("number", [1.0]), "a.b.c": ("boolean", [1.0])}


def test_some_rows_of_a_table_are_those_of_its_files():
    raw = read(written(pa.array([3, None, 5])), written(pa.array([0.5, 1])))
    some = raw.take([0, 1, 4])
    assert some.table.column("c").to_pylist() == [3.0, None, 1.0]
    assert some.locate(2).row == 2
