"""Formats of numbers and dates in text columns."""

import datetime
import json

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import artifact_pipeline as api
from artifact_pipeline.builder.config import loader
from artifact_pipeline.builder.config.resolved import ColumnFormat
from artifact_pipeline.builder.config.values import Csv
from artifact_pipeline.builder.data import table_columns, table_formats, table_reader
from artifact_pipeline.errors import ConfigError, DataError
from tests.support.command import call
from tests.support.command import script as run_python
from tests.support.configs import write
from tests.support.tables import parquet

DAY = datetime.date(2026, 1, 31)


def column(cells, form="csv", how=Csv(), **written):  # noqa: B008
    """Return a column of these texts, read in a format where one is given."""
    data = {
        "csv": "\n".join(["a,z", *(f'"{one}",z' for one in cells)]).encode(),
        "jsonl": b"\n".join(json.dumps({"a": one or None}).encode() for one in cells),
        "parquet": parquet(a=[one or None for one in cells]),
    }[form]
    raw = table_reader.read([(f"t.{form}", data)], form, csv=how)
    return (
        table_columns.column(raw, "a", column_format=ColumnFormat(**written))
        if written
        else table_columns.column(raw, "a")
    )


def values(found):
    return [None if one != one else one for one in found.values.tolist()]


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize(
    ("written", "cells", "expected"),
    [
        ({"thousands": ","}, ["1,234.50", "9", "", "-12,345,678"], [1234.5, 9, None, -12345678]),
        ({"thousands": ",", "unit": "$"}, ["$1,234.5", "-$2", "$-3", "+$ 4", "5"],
         [1234.5, -2, -3, 4, 5]),
        ({"unit": "%"}, ["12%", " 3.5 % ", "-1%"], [12, 3.5, -1]),
        ({"unit": "kg"}, ["5 kg", "1.5kg", "1e2 kg"], [5, 1.5, 100]),
        ({"thousands": ".", "decimal": ",", "unit": "€"}, ["1.234,50 €", "€ 7", "0,5€"],
         [1234.5, 7, 0.5]),
        ({"thousands": " ", "decimal": ","}, ["1 234,5", "12\u00a0345", "1\u202f000\u202f000"],
         [1234.5, 12345, 1000000]),
        ({"thousands": "'"}, ["1'234.5", "1’000’000"], [1234.5, 1000000]),
        ({"thousands": ","}, ["1,23,45,678"], [12345678]),  # as in India
        ({"decimal": ","}, ["1,5", "-,5"], [1.5, -0.5]),
        ({"unit": "m²"}, ["12 m²"], [12]),
        ({"unit": "US$"}, ["US$ 12"], [12]),
        ({"date": "%d/%m/%Y"}, ["02/01/1970", "", "03/01/1970"], [1, None, 2]),
        ({"date": "%d %b %Y %H:%M"}, ["2 Jan 1970 12:00"], [1.5]),
        ({"date": "%Y-%m-%dT%H:%M:%S%z"}, ["1970-01-01T12:00:00+1200"], [0]),
        ({"date": "%Y%m%d"}, ["19700103"], [2]),
    ],
)  # fmt: skip
def test_a_column_is_read_in_its_format(form, written, cells, expected):
    found = column(cells, form, **written)
    assert found.kind == ("date" if "date" in written else "number")
    assert values(found) == expected


@pytest.mark.parametrize(
    ("written", "cell"),
    [
        ({"thousands": ","}, "1,5"),
        ({"thousands": ","}, "12,34"),
        ({"thousands": ","}, ",123"),
        ({"thousands": ","}, "1,234,5"),
        ({"thousands": ".", "decimal": ","}, "1,234.5"),
        ({"unit": "kg"}, "5 lb"),
        ({"unit": "kg"}, "kg"),
        ({"unit": "$"}, "$"),
        ({"unit": "$"}, "$$5"),
        ({"unit": "%"}, "five %"),
        ({"date": "%d/%m/%Y"}, "31/02/2026"),
        ({"date": "%d/%m/%Y"}, "2026-01-31"),
        ({"date": "%d/%m/%Y"}, "01/31/2026"),
    ],
)
def test_a_value_that_violates_the_format_is_refused_by_row(written, cell):
    good = "02/01/2026" if "date" in written else "7"
    with pytest.raises(DataError, match=r"t\.csv, row 2, column 'a': found .*as in data\.formats"):
        column([good, cell], **written)


def test_typed_numbers_and_dates_need_no_format():
    raw = table_reader.read([("t.jsonl", b'{"a": 1234.5}\n{"a": 2}\n')], "jsonl")
    assert table_columns.column(raw, "a", column_format=ColumnFormat(unit="$")).values.tolist() == [
        1234.5,
        2,
    ]
    raw = table_reader.read([("t.parquet", parquet(a=[19700103]))], "parquet")
    assert table_columns.column(
        raw, "a", column_format=ColumnFormat(date="%Y%m%d")
    ).values.tolist() == [2]


@given(st.lists(st.floats(-1e12, 1e12).map(lambda x: round(x, 2)), min_size=1, max_size=20))
def test_formatted_prices_match_python(numbers):
    cells = [f"{'-' if one < 0 else ''}${abs(one):,.2f}" for one in numbers]
    assert values(column(cells, thousands=",", unit="$")) == numbers


@given(st.lists(st.dates(datetime.date(1, 1, 1)), min_size=1, max_size=20))
def test_formatted_dates_match_python(days):
    cells = [f"{one.day:02}.{one.month:02}.{one.year:04}" for one in days]
    epoch = datetime.date(1970, 1, 1)
    assert values(column(cells, date="%d.%m.%Y")) == [(one - epoch).days for one in days]


@pytest.mark.parametrize(
    ("cells", "kind", "written"),
    [
        ([f"${i * 371:,}.50" for i in range(20)], "number", {"thousands": ",", "unit": "$"}),
        ([f"{i}%" for i in range(20)], "number", {"unit": "%"}),
        ([f"{i}.5 kg" for i in range(20)], "number", {"unit": "kg"}),
        ([f"{i},5" for i in range(20)], "number", {"decimal": ","}),
        ([f"{i}.345,50 €" for i in range(1, 20)], "number",
         {"thousands": ".", "decimal": ",", "unit": "€"}),
        ([f"{i:02}/06/2026" for i in range(1, 28)], "date", {"date": "%d/%m/%Y"}),
        ([f"06/{i:02}/2026" for i in range(1, 28)], "date", {"date": "%m/%d/%Y"}),
        ([f"{i:02}.06.2026 10:30" for i in range(1, 28)], "date", {"date": "%d.%m.%Y %H:%M"}),
        ([f"{i} Jun 2026" for i in range(1, 28)], "date", {"date": "%d %b %Y"}),
        ([f"${i}" for i in range(15)] + ["unknown"] * 5, "number", {"unit": "$"}),
        ([f"{i}_000" for i in range(1, 20)], "number", {"thousands": "_"}),
        ([f"2026-{i:02}" for i in range(1, 13)], "date", {"date": "%Y-%m"}),
        ([f"2026-06-{i:02} 10:30:00 UTC" for i in range(1, 28)], "date",
         {"date": "%Y-%m-%d %H:%M:%S UTC"}),
        ([f"2026-06-{i:02} 10:30:00 +0200" for i in range(1, 28)], "date",
         {"date": "%Y-%m-%d %H:%M:%S %z"}),
    ],
)  # fmt: skip
def test_a_format_is_proposed_for_text_that_is_mostly_numbers_or_dates(cells, kind, written):
    found = column(cells)
    assert found.kind == "text" and f"most of its values look like {kind}s" in found.note
    assert f"data.formats: {json.dumps({'a': written}, ensure_ascii=False)}" in found.note
    known = [one for one in cells if one != "unknown"]
    assert column(known, **written).kind == kind


@pytest.mark.parametrize(
    "cells",
    [
        ["(5.50)", "(7)", "8", "9"],
        ["($5)", "$7", "(8)", "(1,234)"],
        ["\u22125", "\u22127.5", "8"],
        ["5-", "7-", "8"],
        ["\u0665", "\u0667"],
        ["\uff11\uff12", "7"],
        ["5\u00a0", "7\u00a0"],
    ],
)
def test_numbers_that_no_format_reads_are_reported(cells):
    found = column(cells)
    assert found.kind == "text" and "look like numbers" in found.note
    assert "write them with the digits 0 to 9" in found.note


@pytest.mark.parametrize("zone", ["UTC", "EST5EDT", "CET-1CEST"])
def test_a_time_zone_by_name_means_the_same_on_every_machine(zone, tmp_path):
    """The names of a machine's own zone are refused, as on other machines."""
    script = (
        "from artifact_pipeline.builder.data.table_formats import moment\n"
        "for name in ('UTC', 'GMT', 'EST', 'CET'):\n"
        "    print(moment(f'1970-01-02 10:00 {name}', '%Y-%m-%d %H:%M %Z'))\n"
    )
    lines = run_python("-c", script, cwd=tmp_path, env={"TZ": zone}).out.splitlines()
    assert lines == ["1970-01-02 10:00:00", "1970-01-02 10:00:00", "None", "None"]


def test_mixed_date_formats_are_reported_and_an_ambiguous_order_is_left_open():
    mixed = [f"2026-06-{i:02}" for i in range(1, 10)] + [f"{i:02}/06/2026" for i in range(1, 11)]
    assert "in several formats, such as" in column(mixed).note
    open_order = column([f"{i:02}/06/2026" for i in range(1, 12)]).note
    assert '"%d/%m/%Y"}} or {"a": {"date": "%m/%d/%Y"}}' in open_order


def test_one_leading_zero_is_reported_but_codes_of_one_length_are_not():
    found = column(["007", *map(str, range(1, 40))])
    assert found.kind == "text" and "'007' in t.csv, row 1 has a leading zero" in found.note
    codes = column([f"{i:05}" for i in range(0, 99_999, 997)])
    assert codes.kind == "text" and codes.note == ""


@pytest.mark.parametrize(
    "cells",
    [
        ["red", "green", "blue"] * 7,
        [f"c{i}" for i in range(20)],
        [f"A-{i}" for i in range(20)],
        [f"{i}-{i + 10}" for i in range(20)],
        [f"192.168.0.{i}" for i in range(20)],
        [f"+49 30 {i}234567" for i in range(10)],
        [f"{i}:30" for i in range(20)],
        ["3rd", "1st", "2nd"] * 7,
        [f"v{i}.2.1" for i in range(20)],
        ["1A", "1B", "2A", "2B"] * 5,
        [f"item {i}" for i in range(20)],
        [f"{i} Main Street" for i in range(20)],
        ["", "x", ""],
    ],
)
def test_ordinary_text_gets_no_remark(cells):
    found = column(cells)
    assert found.kind == "text" and found.note == ""


def test_mixed_separators_in_numbers_are_reported_with_a_remedy():
    with pytest.raises(DataError, match=r'data\.formats: \{"a": \{"thousands": ","\}\}'):
        column([*map(str, range(500, 999, 9)), "1,234"])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"formats": {"a": {}}}, "data.formats.a: found an object, expected either 'date', or"),
        ({"formats": {"a": {"date": "%d/%m"}}}, "data.formats.a.date: found '%d/%m', expected a"),
        ({"formats": {"a": {"date": "%Q"}}}, "data.formats.a.date: found '%Q', expected a form"),
        ({"formats": {"a": {"unit": "$", "date": "%Y"}}}, "expected either 'date', or 'thousands'"),
        ({"formats": {"a": {"thousands": "."}}}, "which is the decimal mark too"),
        ({"formats": {"a": {"thousands": ","}}, "csv": {"decimal": ","}}, "the decimal mark too"),
        ({"formats": {"a": {"thousands": ",", "decimal": ","}}}, "different 'thousands' and 'dec"),
        ({"formats": {"a": {"thousands": "#"}}}, "data.formats.a.thousands: found '#'"),
        ({"formats": {"a": {"unit": ""}}}, "data.formats.a.unit"),
        ({"formats": {"a": {"unit": "m2"}}}, "a 'unit' without digits"),
        ({"formats": {"a": {"unit": "$"}}, "columns": {"a": "text"}}, "is that of a number, and"),
        ({"formats": {"a": {"units": "$"}}}, "did you mean 'unit'?"),
        ({"missing_target": "keep"}, "data.missing_target"),
    ],
)  # fmt: skip
def test_an_invalid_format_is_refused_by_key(data, said):
    model = {"estimator": "sklearn.tree.DecisionTreeClassifier"}
    raw = {"data": {"path": "t.csv", "target": "y", **data}, "model": model}
    with pytest.raises(ConfigError) as caught:
        loader.load(raw)
    assert said in str(caught.value)


@pytest.mark.parametrize(("key", "value"), [("missing_target", "drop"), ("positive", 1)])
def test_a_bundled_set_takes_no_keys_of_a_table(key, value):
    raw = {"data": {"dataset": "breast_cancer", key: value}, "model": {"estimator": "x"}}
    with pytest.raises(ConfigError, match=f"'{key}' only with a 'path'"):
        loader.load(raw)


@pytest.mark.slow
def test_infer_and_evaluate_apply_the_formats_of_training(tmp_path):
    """The right answers are those of scikit-learn on numbers that pandas made."""
    rng = np.random.default_rng(1)
    price, kg = rng.uniform(1, 9000, 120).round(2), rng.integers(1, 90, 120)
    frame = pd.DataFrame(
        {
            "price": [f"{one:,.2f} €".translate(str.maketrans(",.", ".,")) for one in price],
            "day": [f"{i % 28 + 1:02}/0{i % 9 + 1}/2026" for i in range(120)],
            "kg": [f"{one} kg" for one in kg],
            "y": np.where(price + 50 * kg > 6000, "yes", "no"),
        }
    )
    frame.to_csv(tmp_path / "t.csv", index=False, sep=";")
    formats = {"price": {"thousands": ".", "unit": "€"}, "day": {"date": "%d/%m/%Y"},
               "kg": {"unit": "kg"}}  # fmt: skip
    data = {"path": "t.csv", "target": "y", "formats": formats,
            "csv": {"delimiter": ";", "decimal": ","}}  # fmt: skip
    model = {"preprocess": "auto", "estimator": "sklearn.linear_model.LogisticRegression"}
    done = call("run", write(tmp_path, {"data": data, "model": model}), cwd=tmp_path)
    assert done.code == 0 and "warning" not in done.err, done.err
    frame.drop(columns="y").to_csv(tmp_path / "rows.csv", index=False, sep=";")
    frame.drop(columns="y").to_json(tmp_path / "rows.jsonl", orient="records", lines=True)
    plain = pd.DataFrame(
        {"price": price, "kg": kg, "day": pd.to_datetime(frame["day"], dayfirst=True)}
    )
    plain.to_parquet(tmp_path / "rows.parquet")
    answers = [
        call("infer", "latest", f"rows.{form}", "--json", cwd=tmp_path).json
        for form in ("csv", "jsonl", "parquet")
    ]
    assert answers[0]["probabilities"] == answers[1]["probabilities"] == answers[2]["probabilities"]
    predictor = api.open_artifact("latest", store=tmp_path / "artifacts")
    for rows in (frame.drop(columns="y"), plain):
        assert predictor.predict_proba(rows).tolist() == answers[0]["probabilities"]
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X = plain.assign(day=(plain["day"] - pd.Timestamp(0)).dt.days)[["price", "day", "kg"]]
    train, _ = train_test_split(np.arange(120), test_size=0.2, random_state=42, stratify=frame["y"])
    estimator = make_pipeline(StandardScaler(), LogisticRegression(random_state=42))
    estimator.fit(X.to_numpy(float)[train], frame["y"].to_numpy()[train])
    ours = np.array(answers[0]["probabilities"])
    assert np.abs(ours - estimator.predict_proba(X.to_numpy(float))).max() < 1e-9
    evaluated = call("evaluate", "latest", "--json", cwd=tmp_path).json["metrics"]
    shown = call("show", "latest", "--json", cwd=tmp_path).json["manifest"]["metrics"]
    assert evaluated["test"] == pytest.approx(shown["test"])


@given(st.lists(st.text("0123456789.,-/ $%:TZkgJan", max_size=12), max_size=12))
def test_a_proposed_format_reads_the_text_it_is_proposed_for(cells):
    found = table_formats.propose(cells, ".")
    if found is None:
        return
    assert any(one == found.example for one in cells)
    for form in found.formats if found.all else ():
        known = [one for one in cells if one.strip()]
        if len(known) == len(cells):
            column(cells, "parquet", **msgspec.to_builtins(form))
