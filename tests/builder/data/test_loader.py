"""Rows and columns that a table contributes to training, and what is dropped."""

import decimal
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import artifact_pipeline as api
from artifact_pipeline.builder.config.resolved import TableData
from artifact_pipeline.builder.config.values import Csv
from artifact_pipeline.builder.data import loader, table_reader
from artifact_pipeline.errors import DataError
from artifact_pipeline.inference import held_out, tables
from tests.support.command import call
from tests.support.configs import write
from tests.support.tables import columns, parquet

BAYES = {"estimator": "sklearn.naive_bayes.GaussianNB"}
TREE = {"estimator": "sklearn.tree.DecisionTreeClassifier"}


def load(folder, data, **how):
    return loader.load(TableData(path=str(folder / data), target="y", **how), target="class")


def lines(*records):
    return b"".join(json.dumps(one).encode() + b"\n" for one in records)


def test_a_pandas_index_in_parquet_is_ignored_unless_the_config_names_it(tmp_path):
    frame = pd.DataFrame({"a": [0.5, 1, 2, 3], "y": list("nnyy")}, index=[3, 5, 8, 9])
    frame.to_parquet(tmp_path / "plain.parquet")
    frame.rename_axis("account").to_parquet(tmp_path / "named.parquet")
    frame.reset_index(drop=True).to_parquet(tmp_path / "range.parquet")
    rows = load(tmp_path, "plain.parquet")
    assert rows.feature_names == ["a"]
    assert rows.notes[0].startswith("the column '__index_level_0__' is the index of a data frame")
    assert load(tmp_path, "range.parquet").notes == ()
    named = load(tmp_path, "named.parquet", id="account")
    assert named.notes == () and named.description.schema.named("id") == ["account"]
    kept = load(tmp_path, "named.parquet", columns={"account": "number"})
    assert kept.feature_names == ["a", "account"] and kept.notes == ()
    dropped = load(tmp_path, "named.parquet", drop=["account"])
    assert dropped.feature_names == ["a"] and dropped.notes == ()


def test_invalid_pandas_metadata_names_no_index():
    for said in (b"{", b"[]", b'{"index_columns": 5}', b'{"index_columns": ["z", 1, {}]}'):
        table = pa.table({"a": [1]}).replace_schema_metadata({b"pandas": said})
        assert columns(parquet(**{"a": [1]}), "parquet") == {"a": ("number", [1.0])}
        stream = pa.BufferOutputStream()
        pa.parquet.write_table(table, stream)
        assert columns(stream.getvalue().to_pybytes(), "parquet") == {"a": ("number", [1.0])}


@pytest.mark.slow
def test_the_index_of_a_csv_is_ignored_in_training_and_inference(tmp_path):
    frame = pd.DataFrame({"a": np.arange(40.0) % 7, "y": ["yes", "no"] * 20})
    frame.to_csv(tmp_path / "t.csv")
    config = write(tmp_path, {"data": {"path": "t.csv", "target": "y"}, "model": BAYES})
    done = api.train(config, store=tmp_path / "store")
    assert "'Unnamed: 0' is the index of a data frame and is left out" in done.warnings[0]
    found = api.infer("latest", frame.drop(columns="y").to_csv().encode(), name="n.csv",
                      store=tmp_path / "store")  # fmt: skip
    bare = api.infer("latest", frame[["a"]].to_csv(index=False).encode(), name="n.csv",
                     store=tmp_path / "store")  # fmt: skip
    assert found.probabilities == bare.probabilities and found.extra == ["Unnamed: 0"]
    assert api.evaluate("latest", store=tmp_path / "store").metrics.test == pytest.approx(
        done.metrics.test
    )


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_rows_without_a_target_are_dropped_if_the_config_says_so(tmp_path, form):
    frame = pd.DataFrame({"a": np.arange(40.0), "t": ["x", "z"] * 20, "y": ["yes", "no"] * 20})
    frame.loc[[3, 10, 39], "y"] = None
    path = tmp_path / f"t.{form}"
    if form == "csv":
        frame.to_csv(path, index=False)
    elif form == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_parquet(path)
    with pytest.raises(DataError) as caught:
        load(tmp_path, path.name)
    assert "row 4, column 'y': is missing (so are 2 more)" in str(caught.value)
    assert 'data.missing_target: "drop"' in str(caught.value)
    rows = load(tmp_path, path.name, missing_target="drop")
    kept = frame.dropna(subset="y")
    assert rows.X["a"].tolist() == kept["a"].tolist() and rows.y.tolist() == kept["y"].tolist()
    assert rows.description.dropped == 3 and rows.description.schema.rows == 37
    assert rows.notes == (
        "3 of 40 rows have no 'y' and are left out, as set in data.missing_target",
    )
    assert str(rows.locate(3)) == f"{path.name}, row 5, column 'y'"


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("blank", ["", " ", "\t ", "\u00a0"])
def test_a_blank_target_is_missing_in_every_format(tmp_path, form, blank):
    frame = pd.DataFrame({"a": np.arange(6.0), "y": ["x", blank, "z", "x", "z", blank]})
    path = tmp_path / f"t.{form}"
    if form == "csv":
        frame.to_csv(path, index=False)
    elif form == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_parquet(path)
    with pytest.raises(DataError, match="row 2, column 'y': is missing"):
        load(tmp_path, path.name)
    rows = load(tmp_path, path.name, missing_target="drop")
    assert rows.y.tolist() == ["x", "z", "x", "z"] and rows.description.dropped == 2


def test_some_but_not_all_numeric_targets_may_be_missing(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,y\n1,0.5\n2,\n3,nan\n4,1.5\n")
    data = TableData(path=str(path), target="y", missing_target="drop")
    rows = loader.load(data, target="number")
    assert rows.y.tolist() == [0.5, 1.5] and rows.description.dropped == 2
    path.write_text("a,y\n1,\n2,\n")
    with pytest.raises(DataError, match="column 'y': is missing in all rows"):
        loader.load(data, target="number")


@pytest.mark.slow
def test_dropped_rows_are_in_the_recipe_and_evaluated_again(tmp_path):
    frame = pd.DataFrame({"a": np.arange(60.0) % 9, "y": [1.5 * (i % 9) for i in range(60)]})
    frame.loc[::7, "y"] = None
    frame.to_csv(tmp_path / "t.csv", index=False)
    config = {"data": {"path": "t.csv", "target": "y", "missing_target": "drop"},
              "model": {"estimator": "sklearn.linear_model.Ridge"}}  # fmt: skip
    done = api.train(write(tmp_path, config), store=tmp_path / "store")
    assert "9 of 60 rows have no 'y'" in done.warnings[0]
    recipe = api.show("latest", store=tmp_path / "store").manifest.recipe
    assert recipe.data.dropped == 9 and recipe.data.schema.rows == 51
    source = held_out.data_section(recipe, done.digest, data=None, store=tmp_path / "store")
    assert source.missing_target == "drop"
    assert api.evaluate("latest", store=tmp_path / "store").metrics.test == pytest.approx(
        done.metrics.test
    )


def test_keys_of_a_partitioned_folder_are_refused(tmp_path):
    frame = pd.DataFrame({"a": range(8), "y": ["n", "y"] * 4, "year": [2024] * 4 + [2025] * 4})
    frame.to_parquet(tmp_path / "t", partition_cols=["year"])
    for path in ("t", "t/*/*.parquet", "t/**/*.parquet"):
        with pytest.raises(DataError, match="is in the folder 'year=2024', and its rows have no"):
            load(tmp_path, path)
    one = load(tmp_path, "t/year=2024")  # a part that the config names itself
    assert one.feature_names == ["a"]
    for year in (2024, 2025):  # the key is in the files, too
        folder = tmp_path / "u" / f"year={year}"
        folder.mkdir(parents=True)
        frame[frame.year == year].to_parquet(folder / "p.parquet", index=False)
    assert load(tmp_path, "u").feature_names == ["a", "year"]


DATED = [{"k": "2026-01-01"}, {"k": "unknown"}, {"k": "2026-01-02T12:00:00Z"}, {"k": None}]


class Takes:
    """A column of an interface."""

    def __init__(self, name, kind):
        self.name, self.kind, self.format = name, kind, None
        self.nullable, self.unseen, self.categories = True, True, None
        self.numbers, self.range = None, None


def read(data, limits):
    return tables.read(
        data, "n.jsonl", file_format="jsonl", csv=Csv(), limits=limits, id_column=None
    )


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_text_that_looks_like_a_date_stays_text_in_any_batch(size):
    for start in range(len(DATED)):
        batch = (DATED + DATED)[start : start + size]
        found = read(lines(*batch), [Takes("k", "text")])
        assert found.columns[0].tolist() == [one["k"] or "" for one in batch]


def test_a_date_stays_a_date_in_any_batch():
    takes = [Takes("k", "date")]
    for batch in ([DATED[0]], [DATED[2]], [DATED[0], DATED[2]], [DATED[3], DATED[0]]):
        found = read(lines(*batch), takes).columns[0]
        wanted = [pd.Timestamp(one["k"] or "NaT") for one in batch]
        days = [(t.tz_localize(None) - pd.Timestamp(0)) / pd.Timedelta(days=1) for t in wanted]
        assert np.array_equal(found, days, equal_nan=True)
    with pytest.raises(DataError, match="row 1, column 'k': found 'unknown', expected a date"):
        read(lines(DATED[1]), takes)


@pytest.mark.parametrize("value", ["7", 7, 7.5, 1e22, 2**70, True, "7.50", "1e5", -0.0])
def test_text_in_json_lines_is_the_same_in_any_batch(value):
    def texts(*values):
        return read(lines(*({"k": one} for one in values)), [Takes("k", "text")])

    alone = texts(value).columns[0].tolist()
    for other in (None, value, *((1.5, 2, 2**60) if type(value) in (int, float) else ())):
        assert texts(other, value).columns[0].tolist()[1:] == alone
        assert texts(value, other).columns[0].tolist()[:1] == alone


def test_a_json_lines_column_is_dates_if_every_value_is_a_date():
    found = columns(lines(DATED[0], DATED[2], DATED[3]), "jsonl")["k"]
    assert found == ("date", [20454.0, 20455.5, None])
    mixed = lines(*([DATED[0], DATED[1]] * 3))
    assert columns(mixed, "jsonl")["k"] == ("text", ["2026-01-01", "unknown"] * 3)
    assert columns(lines({"k": "007"}, {"k": "8"}), "jsonl")["k"] == ("text", ["007", "8"])
    assert columns(lines({"k": "true"}, {"k": "12"}), "jsonl")["k"][0] == "text"
    with pytest.raises(DataError, match=r"row 4, column 'k': found 'unknown' among dates"):
        columns(lines(DATED[0], DATED[0], DATED[2], DATED[1]), "jsonl")


def test_integers_beyond_2_to_the_53_are_refused_in_every_type():
    big = 2**53 + 1
    for data, form in (
        (parquet(k=pa.array([1, big])), "parquet"),
        (parquet(k=pa.array([1, big], pa.uint64())), "parquet"),
        (parquet(k=pa.array([decimal.Decimal(1), decimal.Decimal(big)])), "parquet"),
        (parquet(k=pa.array([decimal.Decimal(1), decimal.Decimal(big)], pa.decimal128(38, 2))),
         "parquet"),
        (parquet(k=pa.array([decimal.Decimal(1), -decimal.Decimal(10**50)], pa.decimal256(60, 0))),
         "parquet"),
        (lines({"k": 1}, {"k": big}), "jsonl"),
        (lines({"k": 1.5}, {"k": big}), "jsonl"),
        (lines({"k": 1}, {"k": 2**70}), "jsonl"),
        (lines({"k": 1}) + b"\n  \n" + lines({"z": 1, "k": -(2**70)}), "jsonl"),
        (b'{"k": 1}{"k": 1' + b"0" * 40 + b"}", "jsonl"),
        (f"k\n1\n{big}\n".encode(), "csv"),
        (b"k\n1\n1" + b"0" * 300 + b"\n", "csv"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=r"row 2, column 'k': found -?\d+.*2\^53"):
            columns(data, form)
    assert columns(lines({"k": 1e22}, {"k": 2**53}), "jsonl")["k"][1] == [1e22, 2.0**53]


@pytest.mark.parametrize(
    "literal",
    ["9007199254740993.0", "-9007199254740993.00", "9.007199254740993e15", "90071992547409930E-1",
     "12345678901234567890.0"],
)  # fmt: skip
def test_an_integer_that_a_float64_rounds_is_refused_in_every_notation(literal):
    for data, form in (
        (f'k\n1\n"{literal}"\n'.encode(), "csv"),
        (f'{{"k": 1}}\n{{"k": {literal}}}\n'.encode(), "jsonl"),
        (f'{{"k": 1}}\n{{"k": {literal}}}\n{{"k": 0.5}}\n'.encode(), "jsonl"),
    ):
        with pytest.raises(DataError) as caught:
            columns(data, form)
        assert f"row 2, column 'k': found {literal}, beyond the integers" in str(caught.value)
        assert columns(data, form, k="text")["k"][1][1] == literal


# What a float64 is written as: by Python, with 17 digits, with two decimals; and fractions.
@pytest.mark.parametrize(
    "literal",
    ["9007199254740994.0", "1.2345678901234568e+22", "1.23456789012345677e+22", "1e300",
     "18446744073709551616.00", "9007199254740993.5", "0.1", "1.8014398509481984e16",
     "7.067166278319461e+16", "70671662783194610.0"],
)  # fmt: skip
def test_a_float64_is_read_as_it_is_written(literal):
    value = float(literal)
    assert columns(f"k\n1\n{literal}\n".encode(), "csv")["k"][1] == [1.0, value]
    assert columns(f'{{"k": 1}}\n{{"k": {literal}}}\n'.encode(), "jsonl")["k"][1] == [1.0, value]


def test_an_overflowing_number_is_shown_as_it_is_written():
    with pytest.raises(DataError, match=r"row 2, column 'k': found 1e400, expected a finite"):
        columns(b"k\n1\n1e400\n", "csv")
    with pytest.raises(DataError, match=r"row 2: .*Number too big to be stored in double"):
        columns(b'{"k": 1}\n{"k": 1e400}\n', "jsonl")
    with pytest.raises(DataError, match=r"row 2: is not JSON: 1e400 is too large for a float64"):
        table_reader.read_by_type(b'{"k": "a"}\n{"k": 1e400}\n', "n.jsonl")


def test_large_integers_may_be_text():
    assert columns(lines({"k": 2**70}), "jsonl", k="text")["k"][1] == [str(2**70)]


@pytest.mark.slow
def test_labels_from_dates_are_dates(tmp_path):
    days = ["2026-01-01", "2026-02-01"] * 30
    frame = pd.DataFrame({"a": np.arange(60.0) % 2 + np.arange(60) / 100, "y": days})
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.assign(y=pd.to_datetime(frame.y)).to_parquet(tmp_path / "t.parquet")
    frame.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    for name in ("t.csv", "t.parquet", "t.jsonl"):
        assert load(tmp_path, name).y.tolist() == days
    noon = frame.assign(y=frame.y + "T12:30:00")
    noon.to_csv(tmp_path / "noon.csv", index=False)
    assert load(tmp_path, "noon.csv").y[0] == "2026-01-01T12:30:00"
    config = write(tmp_path, {"data": {"path": "t.csv", "target": "y"}, "model": TREE})
    api.train(config, store=tmp_path / "store")
    found = api.infer("latest", b"a\n0\n1\n", name="n.csv", store=tmp_path / "store")
    assert found.labels == ["2026-01-01", "2026-02-01"]
    assert api.evaluate("latest", store=tmp_path / "store").metrics.test["accuracy"] == 1


@pytest.mark.slow
def test_dropped_rows_and_columns_are_reported_on_the_terminal(tmp_path):
    text = ",a,b,y\n" + "".join(
        f"{i},{i % 7},${i % 5},{'' if i == 5 else 'yes' if i % 2 else 'no'}\n" for i in range(60)
    )
    (tmp_path / "t.csv").write_text(text)
    data = {"path": "t.csv", "target": "y", "missing_target": "drop"}
    model = {"preprocess": "auto", "estimator": "sklearn.linear_model.LogisticRegression"}
    done = call("run", write(tmp_path, {"data": data, "model": model}), cwd=tmp_path)
    assert done.code == 0
    for said in ("warning: the column 'Unnamed: 0' is the index", "warning: 1 of 60 rows have no",
                 "warning: the column 'b' is read as text, though most"):  # fmt: skip
        assert said in done.err
