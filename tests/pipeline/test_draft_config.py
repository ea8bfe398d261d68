"""`init`: a drafted config for a table, with a reason for each choice."""

import json

import pytest

import artifact_pipeline as api
from artifact_pipeline.errors import CallError, DataError
from tests.support.command import call
from tests.support.configs import write


def table(folder, header, row, count=60, name="t.csv"):
    lines = [header, *(row(i) for i in range(count))]
    return write(folder, "\n".join(lines) + "\n", name)


def said(draft):
    return " | ".join(draft.choices)


def test_each_column_gets_a_part_with_a_reason(tmp_path):
    path = table(
        tmp_path,
        "cid;same;price;city;token;won",
        lambda i: f"C{i};x;{i % 7},5;{'AB'[i % 2]};k{i};{'yes' if i % 3 else 'no'}",
    )
    draft = api.draft(path, "won", base=tmp_path)
    data = draft.config["data"]
    csv = {"delimiter": ";", "decimal": ","}
    assert data == {"path": "t.csv", "target": "won", "positive": "yes", "id": "cid",
                    "drop": ["same", "token"], "csv": csv}  # fmt: skip
    assert draft.config["model"]["preprocess"] == "auto"
    assert draft.config["split"]["stratify"] is True and draft.config["evaluation"] == {"cv": 5}
    for reason in ("separated by ';'", "decimal comma", "'yes' is the positive class",
                   "'cid' is the id", "the same value in every row", "no gates yet"):  # fmt: skip
        assert reason in said(draft)


def test_words_for_missing_numbers_are_detected(tmp_path):
    path = table(
        tmp_path,
        "n,m,won",
        lambda i: f"{'NA' if i % 5 == 0 else i},{'soon' if i == 3 else i},{i % 2}",
    )
    draft = api.draft(path, "won", base=tmp_path)
    assert draft.config["data"]["csv"] == {"null_values": ["NA"]}
    assert draft.config["data"]["columns"] == {"m": "text"}
    assert draft.config["data"]["positive"] == 1


def test_rows_of_one_customer_stay_together_and_prose_is_vectorized(tmp_path):
    path = table(
        tmp_path,
        "customer_id,review,won",
        lambda i: f"c{i % 30},it was {i} times good for me,{i % 2}",
    )
    draft = api.draft(path, "won", base=tmp_path)
    assert draft.config["split"]["column"] == "customer_id"
    assert "TfidfVectorizer" in json.dumps(draft.config["model"])


def test_a_numeric_target_is_a_regression(tmp_path):
    path = table(tmp_path, "a,price", lambda i: f"{i % 9},{i * 1.5}")
    draft = api.draft(path, "price", base=tmp_path)
    assert draft.config["model"]["estimator"] == "sklearn.linear_model.Ridge"
    assert "positive" not in draft.config["data"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "has no column 'won'"),
        ("a,won\n", "holds no rows"),
        ("won\n1\n2\n", "no feature columns left"),
        ("", "is empty"),
    ],
)
def test_a_table_that_cannot_be_learned_from_is_refused(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        api.draft(write(tmp_path, text, "t.csv"), "won", base=tmp_path)


def test_an_existing_config_is_not_overwritten(tmp_path):
    draft = api.draft(table(tmp_path, "a,won", lambda i: f"{i % 9},{i % 2}"), "won", base=tmp_path)
    api.write_config(draft, tmp_path / "c.json")
    with pytest.raises(CallError, match="already exists"):
        api.write_config(draft, tmp_path / "c.json")


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_the_drafted_config_runs(tmp_path, encoding):
    lines = ["id,ort,alter,ja", *(f"{i},{'Köln' if i % 2 else 'Ulm'},{i % 50},{i % 3 == 0}"
                                  for i in range(200))]  # fmt: skip
    (tmp_path / "t.csv").write_bytes("\n".join(lines).encode(encoding))
    done = call("init", "t.csv", "--target", "ja", cwd=tmp_path)
    assert done.code == 0 and "wrote config/config.json" in done.out, done.err
    done = call("run", "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    manifest = api.open_trusted(tmp_path / done.json["artifact"], done.json["digest"]).manifest
    assert manifest.recipe.data.positive is True
    assert call("init", "t.csv", "--target", "ja", cwd=tmp_path).code == 2


@pytest.mark.parametrize(
    ("cell", "form"),
    [
        (lambda i: f'"{i * 37 + 1000:,}.50"', {"thousands": ","}),
        (lambda i: f'"${i * 37:,}"', {"thousands": ",", "unit": "$"}),
        (lambda i: f"{i % 90}.5%", {"unit": "%"}),
        (lambda i: f"{i % 9} kg", {"unit": "kg"}),
        (lambda i: f"{i % 28 + 1:02}/06/2026", {"date": "%d/%m/%Y"}),
        (lambda i: f"{i % 28 + 1}-Jun-2026", {"date": "%d-%b-%Y"}),
        (lambda i: "NA" if i % 9 == 0 else f'"{i * 371:,}"', {"thousands": ","}),
    ],
)
def test_numbers_and_dates_get_the_format_that_reads_them(tmp_path, cell, form):
    path = table(tmp_path, "a,b,y", lambda i: f"{cell(i)},{i % 7},{'yes' if i % 3 else 'no'}")
    draft = api.draft(path, "y", base=tmp_path)
    assert draft.config["data"]["formats"] == {"a": form}
    assert "drop" not in draft.config["data"] and "columns" not in draft.config["data"]
    rows = api.load_data({**draft.config, "data": {**draft.config["data"], "path": str(path)}})[0]
    assert rows["a"].dtype == float


def test_dates_of_ambiguous_order_stay_text_with_a_remark(tmp_path):
    path = table(
        tmp_path, "d,a,y", lambda i: f"{i % 12 + 1:02}/0{i % 5 + 1}/2026,{i % 9},{i % 2}", 144
    )
    draft = api.draft(path, "y", base=tmp_path)
    assert draft.config["data"]["columns"] == {"d": "text"}
    assert '"%d/%m/%Y"}} or {"d": {"date": "%m/%d/%Y"}}' in said(draft)


@pytest.mark.parametrize("name", ["paid", "humid", "bid", "grid", "arid", "valid", "monkey"])
def test_a_column_name_that_ends_in_id_is_not_always_an_id(tmp_path, name):
    path = table(tmp_path, f"{name},a,y", lambda i: f"{i % 40},{i % 9},{i % 2}", 200)
    draft = api.draft(path, "y", base=tmp_path)
    assert draft.config["split"]["method"] == "random" and "drop" not in draft.config["data"]


@pytest.mark.parametrize("name", ["customer_id", "customerId", "CustomerID", "userid", "Order Key"])
def test_an_id_keeps_its_rows_together(tmp_path, name):
    path = table(tmp_path, f"{name},a,y", lambda i: f"{i % 40},{i % 9},{i % 2}", 200)
    assert api.draft(path, "y", base=tmp_path).config["split"]["column"] == name


def test_rows_without_a_target_and_an_index_are_left_out(tmp_path):
    path = table(tmp_path, ",a,y", lambda i: f"{i},{i % 9},{'' if i == 7 else i % 2}")
    draft = api.draft(path, "y", base=tmp_path)
    data = draft.config["data"]
    assert data["missing_target"] == "drop" and data["drop"] == ["Unnamed: 0"]
    assert "1 of 60 rows have no 'y'" in said(draft) and "index of a data frame" in said(draft)
    X_train, X_test, *_ = api.load_data({**draft.config, "data": {**data, "path": str(path)}})
    assert len(X_train) + len(X_test) == 59 and list(X_train.columns) == ["a"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "cp1252"])
def test_the_encoding_of_a_csv_is_drafted(tmp_path, encoding):
    text = "price;city;won\n" + "".join(f"€{i % 7};ñ{i % 3};{i % 2}\n" for i in range(60))
    write(tmp_path, text.encode(encoding), "t.csv")
    draft = api.draft(tmp_path / "t.csv", "won", base=tmp_path)
    assert draft.config["data"]["csv"] == {"delimiter": ";", "encoding": encoding}
    assert draft.config["data"]["formats"] == {"price": {"unit": "€"}}
    assert encoding in said(draft)


def test_dates_are_features_and_not_ids_in_any_format(tmp_path):
    path = table(
        tmp_path,
        "day,written,won",
        lambda i: (
            f"2025-{i // 28 + 1:02}-{i % 28 + 1:02},{i % 28 + 1:02}/0{i // 28 + 1}/2025,{i % 2}"
        ),
        count=28,
    )
    data = api.draft(path, "won", base=tmp_path).config["data"]
    assert data["formats"] == {"written": {"date": "%d/%m/%Y"}}
    assert "id" not in data and "drop" not in data


def test_a_few_dates_are_classes_to_predict(tmp_path):
    path = table(tmp_path, "a,due", lambda i: f"{i % 7},2026-0{1 + (i % 3 == 0)}-01")
    draft = api.draft(path, "due", base=tmp_path)
    assert draft.config["data"]["positive"] == "2026-02-01"
    assert draft.config["model"]["estimator"].endswith("LogisticRegression")
    path = table(tmp_path, "a,due", lambda i: f"{i % 7},20{i:02}-01-01", name="many.csv")
    assert "due' is a number to predict" in said(api.draft(path, "due", base=tmp_path))


def test_a_class_of_one_row_is_not_said_to_keep_its_share(tmp_path):
    path = table(tmp_path, "a,won", lambda i: f"{i % 7},{'rare' if i == 9 else 'AB'[i % 2]}")
    draft = api.draft(path, "won", base=tmp_path)
    assert draft.config["split"]["stratify"] is False
    assert "the same share" not in said(draft) and "a class of one row" in said(draft)
