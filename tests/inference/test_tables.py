"""The meaning of a row does not depend on its batch or its format."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest

from artifact_pipeline.builder.artifact.manifest import ColumnSpec
from artifact_pipeline.builder.config.resolved import ColumnFormat
from artifact_pipeline.builder.config.values import Csv
from artifact_pipeline.builder.data import frames
from artifact_pipeline.errors import DataError
from artifact_pipeline.inference import tables

VALUES = ["a", "1", "1.5", "2026-01-01", "20260131", "$5", "", "true", "31/01/2026"]
VALUES += [
    1,
    2,
    0.5,
    1.0,
    1e20,
    2**53,
    2**53 + 1,
    2**70,
    20260131,
    True,
    False,
    None,
    [1],
    {"a": 1},
]
KINDS = [
    ("text", None),
    ("number", None),
    ("date", None),
    ("boolean", None),
    ("number", ColumnFormat(unit="$")),
    ("date", ColumnFormat(date="%Y%m%d")),
]


def column(kind, form):
    return ColumnSpec(name="k", kind=kind, nullable=True, unseen=True, categories=None, format=form)


def read(data, kind="text", form=None):
    found = tables.read(
        data,
        "n.jsonl",
        file_format="jsonl",
        csv=Csv(),
        limits=[column(kind, form)],
        id_column=None,
    )
    return [None if value != value else value for value in found.columns[0].tolist()]


def lines(*values):
    return "\n".join(json.dumps({"k": value, "other": 1}) for value in values).encode()


@pytest.mark.parametrize(("kind", "form"), KINDS)
def test_a_row_of_json_lines_does_not_depend_on_its_batch(kind, form):
    def of(*values):
        try:
            return read(lines(*values), kind, form)
        except DataError as error:
            return [str(error)]

    alone = [of(value) for value in VALUES]
    for one, other in itertools.product(range(len(VALUES)), repeat=2):
        both = of(VALUES[one], VALUES[other])
        refused = [said for [said] in (alone[one], alone[other]) if str(said).startswith("n.jsonl")]
        assert len(both) == 1 if refused else both == alone[one] + alone[other]


def test_values_of_several_types_are_refused_at_their_row():
    with pytest.raises(
        DataError, match=r"n\.jsonl, row 3, column 'k': found 'x', expected a number"
    ):
        read(lines(1, "2", "x", 4), "number")
    with pytest.raises(DataError, match=r"n\.jsonl, row 2, column 'k': found 9007199254740993"):
        read(lines("1", 2**53 + 1), "number")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (b'{"k": "\\ud800"}', "(surrogate|row 3: contains text that is not Unicode)"),
        (b'{"k": "b", "k": 2}', "row 3: is not JSON: a key is written twice"),
        (b'{"d": ' + b"[" * 64 + b"]" * 64 + b"}", "row 3: is nested deeper than 64 levels"),
        (b"[1]", "row 3: is not JSON lines: expected an object"),
        (b'{"k": 1e999}', "row 3: is not JSON: 1e999 is too large for a float64"),
        (b'{"k": ' + b"9" * 5000 + b"}", "row 3: is not JSON: 9{60}… is too large for a float64"),
        (b'{"k": Inf}', "row 3: is not JSON"),
    ],
)
def test_a_line_that_is_not_a_row_is_refused(row, said):
    with pytest.raises(DataError, match=said):
        read(b'{"k": 1}\n{"k": "a"}\n' + row)


@pytest.mark.parametrize("depth", [64, 1000, 100_000])
@pytest.mark.parametrize("ends", [(b"[", b"]"), (b'{"a":\n', b"}"), (b'[{"]\\"": ', b"}]")])
def test_deeply_nested_json_is_refused_cheaply(depth, ends):
    opening, closing = ends
    data = b'{"k": "]]\\""}\n{"k": 1e20, "d": ' + opening * depth + b"0" + closing * depth + b"}"
    with pytest.raises(DataError, match="row 2: is nested deeper than 64 levels"):
        read(data)


@pytest.mark.parametrize(
    ("data", "row"),
    [
        (b"null", 1),
        (b"\xef\xbb\xbf null\n", 1),
        (b'null\n{"k": 1}\n', 1),
        (b'{"k": 1}\n{"k": null}\nnull\n', 3),
        (b'{"k": "} null"} null', 2),
        (b'{"k": 1}\r\tnull\r{"k": 2}', 2),
        (b"null null", 1),
    ],
)
def test_null_is_not_a_row(data, row):
    """pyarrow's reader crashes where it comes first, and makes a row of it elsewhere."""
    with pytest.raises(DataError, match=rf"row {row}: .* expected an object in each line"):
        read(data)


def test_null_in_an_object_is_a_missing_value():
    assert read(b'{"k":\nnull\n}\n{"k": "}\\nnull"}') == ["", "}\nnull"]
    assert read(b'{"k": "a", "l": [{}\n,null]}') == ["a"]


def test_brackets_in_text_do_not_count_as_nesting():
    nested = b'{"k": "a", "d": ' + b"[" * 60 + b"0" + b"]" * 60 + b"}\n"
    assert read(nested + b'{"k": "' + b"[{" * 100 + b'\\"[["}') == ["a", "[{" * 100 + '"[[']


def test_a_data_frame_is_read_like_a_table():
    def of(values, kind, form=None):
        formats = {} if form is None else {"k": form}
        [found] = frames.columns_of(pd.DataFrame({"k": values}), [("k", kind)], formats=formats)
        return [None if value != value else value for value in found.tolist()]

    price = ColumnFormat(thousands=",", unit="$")
    assert of(["$1,234.50", None, "7"], "number", price) == [1234.5, None, 7.0]
    assert of([1234.5, 7], "number", price) == [1234.5, 7.0]
    assert of(pd.Series(["$5", 6.5, None], dtype=object), "number", price) == [5.0, 6.5, None]
    day = ColumnFormat(date="%d/%m/%Y")
    assert of(["31/01/2026", None], "date", day) == [20484.0, None]
    assert of(pd.to_datetime(["2026-01-31", None]), "date", day) == [20484.0, None]
    assert of(["2026-01-31", "2026-01-31T12:00"], "date") == [20484.0, 20484.5]
    zoned = pd.Series(pd.to_datetime(["2026-01-31T01:00+01:00"]))
    assert of(zoned, "date") == of(zoned.dt.tz_convert("Asia/Tokyo"), "date") == [20484.0]
    assert of(pd.Series([pd.Timestamp("2026-01-31").date(), None]), "date") == [20484.0, None]
    assert of(["true", "False"], "boolean") == [1.0, 0.0]
    assert of(np.array([1, 2.5], dtype=object), "number") == [1.0, 2.5]
    for values, kind, form, said in (
        (
            ["31/01/2026"],
            "date",
            None,
            "X, row 1, column 'k': found '31/01/2026', expected a date",
        ),
        (["$5", "5 €"], "number", price, "X, row 2, column 'k': found '5 €'"),
        (["1_000"], "number", None, "found '1_000', expected a number"),
        ([{}, "5"], "number", None, "the column 'k' has no numbers"),
    ):
        with pytest.raises(DataError) as caught:
            of(values, kind, form)
        assert said in str(caught.value).replace("\\u20ac", "€")
