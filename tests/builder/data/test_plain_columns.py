"""Columns of text that are typed without the rules, and by distinct texts: as the rules do."""

import itertools
import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from artifact_pipeline.builder.config.resolved import ColumnFormat
from artifact_pipeline.builder.config.values import Csv
from artifact_pipeline.builder.data import column_types, plain_columns, table_columns, table_formats
from artifact_pipeline.builder.data.table_reader import Part, Raw
from artifact_pipeline.builder.data.text_cells import TextCells, text_cells
from artifact_pipeline.errors import DataError

NUMBERS = ["0", "-0", "5.", ".5", "-.5", "1e5", "0e1", "2.50", "9007199254740993", "1e300"]
DOUBTFUL = ["+1", "007", "-01", "+01", " 1", "nan", "-inf", "nan(1)", "1e999", "1_0", "0x1", "--1"]
DATES = ["2026-01-31", "2025-12-01 12:00", "2025-12-01T12:00:59", "0001-01-01", "0000-01-01"]
ZONED = [
    "2026-01-31T12:00Z",
    "2026-01-31 12:00:00Z",
    "2026-01-31 12:00+01",
    "2026-01-31T12:00:00.5Z",
]
ALMOST_DATES = ["2026-02-30", "2026-01-31 24:00", "2026-01-31 12", " 2026-01-31", "20260131"]
NAMES = [
    "Bern",
    "a",
    "n",
    "If",
    "true",
    "False",
    "x\n",
    "é",
    "日",
    "1a",
    "31/01/2026",
    "5 kg",
    "1,5",
]
cells = st.one_of(
    *(st.sampled_from(texts) for texts in (NUMBERS, DOUBTFUL, DATES, ZONED, ALMOST_DATES, NAMES)),
    st.text(st.sampled_from("0123456789+-.eE naif:TZ,"), min_size=1, max_size=8),
)
columns = st.one_of(
    st.lists(st.none() | st.sampled_from(texts), min_size=1, max_size=8)
    for texts in (NUMBERS, NUMBERS + DOUBTFUL, DATES, ZONED, DATES + ALMOST_DATES, NAMES + NUMBERS)
) | st.lists(st.none() | cells, min_size=1, max_size=8)
COMMA = Csv(decimal=",")


def table(texts, file_format="csv", csv=Csv()):  # noqa: B008  (frozen)
    chunks = [pa.array(texts[:2], pa.string()), pa.array(["", *texts[2:]], pa.string()).slice(1)]
    column = pa.chunked_array(chunks)
    return Raw(pa.table({"c": column}), [Part("t", len(texts))], file_format, csv)


def result(function, *args, **options):
    """Return what a function returns, or its error as text."""
    try:
        return function(*args, **options)
    except DataError as error:
        return f"{error} {error.remedy}"


def typed(raw, **options):
    """Return the kind and the values of a column, or the error."""
    column = result(table_columns.column, raw, "c", **options)
    return column if isinstance(column, str) else (column.kind, column.values, column.note)


@given(columns)
@example(["0", "-0", "0.5", "-0.5", None])
@example(["1", "-00"])
@example(["1", "+1"])
@example(["1", "nan(1)"])
@example(["1", "1e999"])
@example([None, None])
def test_plain_numbers_are_those_of_the_rules_and_of_python(texts):
    numbers = plain_columns.numbers(table(texts).table.column("c"))
    known = [text for text in texts if text is not None]
    if numbers is None:
        assert not known or not all(re.fullmatch(r"-?([1-9]\d*|0)(\.\d+)?", x) for x in known)
        return
    assert not any(re.match(r"[+-]?0\d|\+", text) for text in known)
    expected = [np.nan if text is None else float(text) for text in texts]
    np.testing.assert_array_equal(numbers, expected)
    # A space is a matter of the rules.
    by_rules = typed(table([*texts, " 1"]))
    if isinstance(by_rules, str):
        assert typed(table(texts)) == by_rules
    else:
        assert by_rules[0] == "number"
        np.testing.assert_array_equal(by_rules[1][:-1], typed(table(texts))[1])


@given(columns, st.sampled_from(["csv", "jsonl"]))
@example(["2026-01-31", None, "2026-01-31 12:00"], "jsonl")
@example(["2026-01-31 12", "2026-01-31+01:00"], "csv")
def test_plain_dates_are_those_of_the_rules(texts, file_format):
    if plain_columns.dates(table(texts).table.column("c")) is None:
        assert not all(re.fullmatch(r"20\d\d-1[0-2]-[0-2][1-9]", text or "") for text in texts)
        return
    kind, values, _ = typed(table(texts, file_format))
    by_rules = typed(table([*texts, " 2026-01-31"], file_format))
    assert by_rules[0] == kind == "date"
    np.testing.assert_array_equal(by_rules[1][:-1], values)


@given(columns)
@example(["Bern", "1"])
@example(["Bern", "true", "1"])
@example([None])
def test_half_of_the_values_of_names_are_of_no_other_type(texts):
    if not plain_columns.are_names(table(texts).table.column("c")):
        return
    known = [text for text in texts if text is not None]
    for pattern in (column_types.NUMBER, column_types.BOOLEAN, table_formats.DATE):
        matches = [text for text in known if re.search(pattern, text, re.ASCII)]
        assert known
        assert 2 * len(matches) <= len(known)


@pytest.mark.slow
@settings(max_examples=200)
@given(columns, st.sampled_from(["csv", "jsonl"]), st.sampled_from([Csv(), COMMA]))
@example(["01", "2", "2", "3"], "csv", Csv())
@example(["1", "2", "x"], "csv", Csv())
@example(["0,5", "1,5"], "csv", COMMA)
@example(["true", "true", "no"], "csv", Csv())
def test_the_type_of_distinct_texts_is_that_of_all_cells(texts, file_format, csv):
    raw = table(list(itertools.islice(itertools.cycle(texts), 1000)), file_format, csv)
    column = raw.table.column("c")
    distinct = text_cells(column)
    assert len(distinct.texts) == len(set(texts) - {None})
    expected = result(column_types.infer, TextCells(column, column), raw, name="c")
    assert result(column_types.infer, distinct, raw, name="c") == expected


@settings(max_examples=200)
@given(columns, st.sampled_from(["number", "boolean", "date", "text", *"udt"]))
@example(["x", "1", "y"], "number")
@example(["1", "9007199254740993", "1"], "number")
@example(["2026-01-31T12:00+01", "2026-02-30"], "date")
def test_the_values_of_distinct_texts_are_those_of_all_cells(texts, kind):
    formats = {
        "u": ColumnFormat(unit="kg"),
        "d": ColumnFormat(date="%d/%m/%Y"),
        "t": ColumnFormat(thousands=","),
    }
    options = {"column_format": formats[kind]} if kind in formats else {"kind": kind}
    few = typed(table(texts), **options)
    many = typed(table(texts * (1000 // len(texts) + 1)), **options)
    if isinstance(few, str):
        assert many == few
    else:
        repeated = np.resize(few[1], len(many[1]))
        assert many[0] == few[0]
        np.testing.assert_array_equal(many[1], repeated)


@pytest.mark.parametrize("arrow_type", [pa.string(), pa.large_string()])
def test_slices_of_a_column_are_looked_at_within_their_bounds(arrow_type):
    column = pa.chunked_array([pa.array(["007", "1", "0", "7", "+1"], arrow_type)])
    assert plain_columns.numbers(column.slice(1, 3)).tolist() == [1, 0, 7]
    assert plain_columns.numbers(column) is None
    assert plain_columns.numbers(column.slice(4)) is None
