"""The Open Inference Protocol over HTTP, with tritonclient and by hand."""

import json
import struct

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from artifact_pipeline import infer, open_artifact
from tests.support.command import call
from tests.support.configs import QUICK, write
from tests.support.server import city, serving, tensor, train_table

INFER = "/v2/models/model/infer"
ROW = [float(i % 17) for i in range(64)]


@pytest.fixture(scope="module")
def server(digits, tmp_path_factory):
    with serving(digits.folder, cwd=tmp_path_factory.mktemp("serve")) as found:
        yield found


def test_metadata_describes_server_and_model(server, digits):
    assert server.get("/v2").json["extensions"] == ["binary_tensor_data"]
    assert server.get("/v2/health/live").json == {"live": True}
    ready = server.get("/v2/health/ready").json
    assert ready == {"ready": True, "models": {"model": digits.digest}, "refused": {}}
    found = server.get("/v2/models/model")
    assert found.headers["artifact-digest"] == digits.digest
    assert found.json["versions"] == [digits.digest]
    assert found.json["inputs"] == [{"name": "X", "datatype": "FP64", "shape": [-1, 64]}]
    assert [one["name"] for one in found.json["outputs"]] == ["label", "probabilities"]
    for version in (digits.digest, digits.digest.removeprefix("sha256:")):
        assert server.get(f"/v2/models/model/versions/{version}/ready").json["ready"] is True


def test_a_response_equals_the_prediction_of_the_artifact_to_the_bit(server, digits):
    model = open_artifact(digits.folder)
    rows = np.arange(64 * 5.0).reshape(5, 64) % 17
    found = server.post(INFER, {"id": "a: 1", "inputs": [tensor(rows.tolist())]})
    assert (found.status, found.headers["artifact-digest"]) == (200, digits.digest)
    said = found.json
    assert (said["id"], said["model_name"], said["model_version"]) == (
        "a: 1", "model", digits.digest,
    )  # fmt: skip
    label, probabilities = said["outputs"]
    assert (label["datatype"], label["shape"]) == ("INT64", [5])
    assert label["data"] == model.predict(rows).tolist()
    assert (probabilities["datatype"], probabilities["shape"]) == ("FP64", [5, 10])
    assert probabilities["data"] == model.predict_proba(rows).ravel().tolist()


def test_data_may_be_nested_and_outputs_selected(server):
    nested = {"name": "X", "shape": [1, 64], "datatype": "FP64", "data": [ROW]}
    one = server.post(INFER, {"inputs": [nested], "outputs": [{"name": "probabilities"}]})
    other = server.post(INFER, {"inputs": [tensor([ROW])]})
    assert one.json["outputs"] == other.json["outputs"][1:]


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
@pytest.mark.parametrize("packed", [None, "gzip", "deflate"])
def test_tritonclient_gets_the_same_prediction(server, digits, binary_in, binary_out, packed):
    rows = np.arange(64 * 3.0).reshape(3, 64) % 17
    given = triton.InferInput("X", [3, 64], "FP64")
    given.set_data_from_numpy(rows, binary_data=binary_in)
    wanted = [
        triton.InferRequestedOutput(name, binary_data=binary_out)
        for name in ("probabilities", "label")
    ]
    with triton.InferenceServerClient(server.address) as client:
        assert client.is_server_live() and client.is_server_ready()
        assert client.is_model_ready("model")
        assert client.get_model_metadata("model")["versions"] == [digits.digest]
        assert client.get_server_metadata()["name"] == "artifact-pipeline"
        found = client.infer(
            "model", [given], outputs=wanted, request_id="7", model_version=digits.digest,
            request_compression_algorithm=packed,
        )  # fmt: skip
        defaults = client.infer("model", [given])
    model = open_artifact(digits.folder)
    for one in (found, defaults):
        assert (one.as_numpy("label") == model.predict(rows)).all()
        assert one.as_numpy("probabilities").tobytes() == model.predict_proba(rows).tobytes()
    assert found.get_response()["id"] == "7"


def test_tritonclient_understands_an_error(server):
    given = triton.InferInput("X", [1, 3], "FP64")
    given.set_data_from_numpy(np.zeros((1, 3)))
    with triton.InferenceServerClient(server.address) as client:
        with pytest.raises(InferenceServerException, match=r"has the shape \[1, 3\]") as caught:
            client.infer("model", [given])
        with pytest.raises(InferenceServerException, match="no model has that name"):
            client.infer("other", [given])
    assert caught.value.status() == "400"


@pytest.mark.slow
def test_text_and_missing_numbers_are_accepted(tmp_path):
    """A table takes a tensor for each column; tritonclient sends text as BYTES."""
    age_of = ("age", lambda index: "" if index % 7 == 0 else str(20 + index % 40))
    artifact = train_table(tmp_path, ("city", city), age_of)
    rows = tmp_path / "rows.csv"
    rows.write_text("city,age\nRome,30\nŌsaka,\nParis,50\n", "utf-8")
    expected = infer(tmp_path / artifact, rows.read_bytes(), name="rows.csv")
    with serving(f"shop={artifact}", cwd=tmp_path) as server:
        meta = server.get("/v2/models/shop").json
        datatypes = {one["name"]: one["datatype"] for one in meta["inputs"]}
        assert sorted(datatypes.values()) in (["BYTES", "FP32"], ["BYTES", "FP64"])
        texts = next(name for name, kind in datatypes.items() if kind == "BYTES")
        numbers = next(name for name, kind in datatypes.items() if kind != "BYTES")
        kind = {"FP64": np.float64, "FP32": np.float32}[datatypes[numbers]]
        where = triton.InferInput(texts, [3], "BYTES")
        where.set_data_from_numpy(np.array(["Rome", "Ōsaka", "Paris"], dtype=object))
        age = triton.InferInput(numbers, [3, 1], datatypes[numbers])
        age.set_data_from_numpy(np.array([[30], [np.nan], [50]], dtype=kind))
        with triton.InferenceServerClient(server.address) as client:
            found = client.infer("shop", [age, where])
        assert found.as_numpy("label").tolist() == expected.labels
        assert found.as_numpy("probabilities").tolist() == expected.probabilities
        plain = [{"age": 30, "city": "Rome"}, ["Ōsaka", None], {"city": "Paris", "age": 50}]
        said = server.post("/predict", {"rows": plain}).json
        assert said["labels"] == expected.labels
        assert said["probabilities"] == expected.probabilities
        wrong = {"rows": [{"city": "Rome", "age": "old"}]}
        assert "row 1, column 'age'" in server.post("/predict", wrong).json["error"]
        extra = {"rows": [{"id": "a", "city": "Rome", "age": 30, "x": [1, {"y": None}]}]}
        assert server.post("/predict", extra).json["labels"] == expected.labels[:1]
        for city_of, age_of, said in (
            ([3], [1], "element 1: is 3.0, expected a text"),
            ([None], [1], "element 1: is null, expected a text"),
            (["Rome"], ["1"], "element 1: is '1', expected a number or null"),
            ([["Rome"]], [["old"]], "element 1: is 'old', expected a number or null"),
            (["Rome"], [[1], 2], "has 2 elements"),
            ([True], [1], "Expected"),
        ):
            mixed = {
                "inputs": [
                    {"name": texts, "shape": [1], "datatype": "BYTES", "data": city_of},
                    {"name": numbers, "shape": [1], "datatype": datatypes[numbers], "data": age_of},
                ]
            }
            refused = server.post("/v2/models/shop/infer", mixed)
            assert refused.status == 400 and said in refused.json["error"]
        cut = json.dumps({
            "inputs": [
                {"name": texts, "shape": [1], "datatype": "BYTES",
                 "parameters": {"binary_data_size": 6}},
                {"name": numbers, "shape": [1], "datatype": datatypes[numbers], "data": [None]},
            ]
        }).encode()  # fmt: skip
        for tail, said in (
            (struct.pack("<I", 900) + b"Ro", "extends beyond"),
            (struct.pack("<I", 2) + b"\xff\xfe", "is not UTF-8"),
        ):
            size = str(len(cut))
            refused = server.ask("POST", "/v2/models/shop/infer", cut + tail,
                                 inference_header_content_length=size)  # fmt: skip
            assert refused.status == 400 and said in refused.json["error"]


@pytest.mark.slow
def test_a_regressor_returns_numbers(tmp_path):
    config = {
        "data": {"dataset": "diabetes"},
        "model": {"estimator": "sklearn.linear_model.Ridge", "params": {}},
    }
    done = call("train", write(tmp_path, config), "--json", cwd=tmp_path)
    rows = [[0.01] * 10, [0.02] * 10]
    with serving("latest", cwd=tmp_path) as server:
        said = server.post(INFER, {"inputs": [tensor(rows)]}).json
        assert said["outputs"][0]["shape"] == [2, 1]
        expected = open_artifact(tmp_path / done.json["artifact"]).predict(np.array(rows))
        assert said["outputs"][0]["data"] == expected.tolist()
        assert server.post("/predict", {"rows": rows}).json["predictions"] == expected.tolist()


@pytest.mark.slow
def test_several_models_are_served_by_name(digits, tmp_path):
    iris = call("train", write(tmp_path, QUICK), "--json", cwd=tmp_path).json["artifact"]
    with serving(f"digits={digits.folder}", f"iris={iris}", cwd=tmp_path) as server:
        assert server.post("/predict/iris", {"rows": [[5.1, 3.5, 1.4, 0.2]]}).json["labels"] == [0]
        assert server.post("/predict/digits", {"rows": [ROW]}).json["digest"] == digits.digest
        which = server.post("/predict", {"rows": [ROW]})
        assert which.status == 404 and "/predict/digits|iris" in which.json["error"]


def test_the_openapi_document_is_valid_and_names_every_path(server):
    said = server.get("/openapi.json").json
    assert said["openapi"].startswith("3.1")
    for path in ("/v2", "/metrics", "/predict", "/v2/models/{model}/infer"):
        assert path in said["paths"]
    for path, methods in said["paths"].items():
        real = path.replace("{model}", "model").replace("/versions/{version}", "")
        for method in methods.keys() & {"get", "post"}:
            status = server.ask(method.upper(), real).status
            assert status == (200 if method == "get" else 400), real


NOT = [
    (b"", "not an inference request"),
    (b"[]", "not an inference request"),
    (b'{"inputs": []}', "X is missing"),
    (b'{"inputs": [], "inputs": []}', "occurs twice"),
    (b'{"inputs": [], "imputs": []}', "X is missing"),
    (b'{"inputs": [], "id": "\xff"}', "not UTF-8"),
    (b'{"inputs": [], "id": "\\ud800"}', "not an inference request"),
    (b"[" * 100_000, "not an inference request"),
    ({"inputs": [tensor([ROW]), tensor([ROW])]}, "a name is repeated"),
    ({"inputs": [tensor([ROW], name="Y")]}, "X is missing"),
    ({"inputs": [tensor([ROW]), tensor([ROW], name="Y")]}, "'Y' is unknown"),
    ({"inputs": [tensor([ROW], datatype="FP32")]}, "is 'FP32', expected FP64"),
    ({"inputs": [tensor([ROW], datatype="BYTES")]}, "expected FP64"),
    ({"inputs": [tensor([ROW], shape=[64])]}, "has the shape"),
    ({"inputs": [tensor([ROW], shape=[])]}, "has the shape"),
    ({"inputs": [tensor([ROW], shape=[0, 64])]}, "no rows"),
    ({"inputs": [tensor([ROW], shape=[-1, 64])]}, "no rows"),
    ({"inputs": [tensor([ROW], shape=[2, 64])]}, "has 64 elements, its shape makes 128"),
    ({"inputs": [tensor([ROW], data=[True] * 64)]}, "Expected `float | array`"),
    ({"inputs": [tensor([ROW], data=["1"] * 64)]}, "Expected `float | array`"),
    ({"inputs": [tensor([ROW], data=[None] * 64)]}, "Expected `float | array`"),
    ({"inputs": [tensor([ROW], data=[ROW, 1])]}, "has 65 elements"),
    ({"inputs": [tensor([ROW], data=[*ROW[:63], [1]])]}, "mixes rows and elements"),
    ({"inputs": [tensor([ROW], data=[ROW[:63], 1])]}, "mixes rows and elements"),
    ({"inputs": [tensor([ROW], data=[*ROW[:63], 2**53 + 1])]}, "beyond the integers"),
    ({"inputs": [tensor([ROW], data=[[*ROW[:63], -(2**70)]])]}, "beyond the integers"),
    ({"inputs": [tensor([ROW], parameters={"content_type": "base64"})]}, "is for BYTES"),
    ({"inputs": [tensor([ROW], parameters={"content_type": "hg"})]}, "unknown content_type"),
    ({"inputs": [tensor([ROW])], "parameters": {"content_type": "x"}}, "unknown content_type"),
    (
        {"inputs": [tensor([ROW])], "parameters": {"content_type": "base64"}},
        "request: content_type base64 is for an input of BYTES",
    ),
    (
        {
            "inputs": [tensor([ROW])],
            "outputs": [{"name": "label", "parameters": {"content_type": "base64"}}],
        },
        "outputs: label: content_type base64 is for an input of BYTES",
    ),
    ({"inputs": [tensor([ROW])], "x": 1, "parameters": {"a": "b" * 70_000}}, "have more than"),
    (b'{"inputs": [], "x": {"a": 1, "a": 2}}', "occurs twice"),
    (b'{"inputs": [' + b"[" * 2000 + b"]}", "not an inference request"),
    ({"inputs": [tensor([ROW], data=[[ROW]])]}, "Expected `float`"),
    ({"inputs": [tensor([ROW], data={"a": 1})]}, "Expected `array`"),
    ({"inputs": [{"name": "X", "shape": [1, 64], "datatype": "FP64"}]}, "neither data nor"),
    ({"inputs": [tensor([ROW], parameters={"binary_data_size": 512})]}, "its inputs name 512"),
    ({"inputs": [tensor([ROW], parameters={"binary_data_size": -1})]}, "not a number of bytes"),
    ({"inputs": [tensor([ROW])], "outputs": [{"name": "nope"}]}, "'nope' is unknown"),
    ({"inputs": [tensor([ROW])], "outputs": [{"name": "label"}] * 2}, "requested twice"),
]


@pytest.mark.parametrize(("body", "said"), NOT, ids=range(len(NOT)))
def test_an_invalid_request_gets_an_explanation(server, body, said):
    found = server.post(INFER, body)
    assert found.status == 400 and list(found.json) == ["error"]
    assert said in found.json["error"]


TEXT = json.dumps({"inputs": [tensor([ROW])]})
SAME = {
    "as it is": TEXT,
    "with an id": TEXT.replace("{", '{"id": "a", ', 1),
    "without an id": TEXT.replace("{", '{"id": null, ', 1),
    "with a colon in the id": TEXT.replace("{", '{"id": "a:b", ', 1),
    "with another alphabet in the id": TEXT.replace("{", '{"id": "\u0436", ', 1),
    "nested": json.dumps({"inputs": [tensor([ROW], data=[ROW])]}),
    "integers": TEXT.replace(".0", ""),
    "the greatest integer": TEXT.replace("16.0", str(2**53)),
    "a greater integer": TEXT.replace("16.0", str(2**53 + 1)),
    "a great number": TEXT.replace("16.0", "1e300"),
    "a tiny number": TEXT.replace("16.0", "5e-324"),
    "minus zero": TEXT.replace("16.0", "-0.0"),
    "a number too many": TEXT.replace("16.0", "16.0, 1"),
    "a text among numbers": TEXT.replace("16.0", '"16"', 1),
    "another width": TEXT.replace("[1, 64]", "[2, 32]"),
    "no rows": TEXT.replace("[1, 64]", "[0, 64]"),
    "another name": TEXT.replace('"X"', '"Y"'),
    "another datatype": TEXT.replace("FP64", "FP32"),
    "a repeated key": TEXT.replace('"datatype"', '"name": "X", "datatype"'),
    "a misspelt key": TEXT.replace('"datatype"', '"datatypes"'),
}


@pytest.mark.parametrize("text", SAME.values(), ids=SAME)
def test_a_field_that_is_ignored_changes_no_response(server, text):
    """A body with nothing else than one tensor is read at once, any other one in steps."""
    at_once = server.post(INFER, text.encode())
    in_steps = server.post(INFER, text.replace("{", '{"ignored": 0, ', 1).encode())
    assert (at_once.status, at_once.json) == (in_steps.status, in_steps.json)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "nul"])
def test_a_number_that_is_not_finite_is_refused(server, number):
    body = json.dumps({"inputs": [tensor([ROW])]}).replace("16.0", number, 1).encode()
    assert server.post(INFER, body).status == 400


def test_a_value_that_is_not_finite_in_bytes_is_named(server):
    rows = np.array([ROW])
    rows[0, 5] = np.nan
    given = triton.InferInput("X", [1, 64], "FP64")
    given.set_data_from_numpy(rows)
    with (
        triton.InferenceServerClient(server.address) as client,
        pytest.raises(InferenceServerException, match="X, row 1: pixel_0_5 is nan"),
    ):
        client.infer("model", [given])


@pytest.mark.parametrize("length", ["99999", "-1", "x", "", "3"])
def test_a_wrong_json_length_is_refused(server, length):
    found = server.post(INFER, {"inputs": []}, inference_header_content_length=length)
    assert found.status == 400


PLAIN = [
    (b"{", "not JSON"),
    (b'{"rows": [[1]], "rows": []}', "found 1 values"),
    ({"rows": []}, "no rows"),
    ({"rows": 1}, "expected"),
    ({"row": [ROW]}, "expected"),
    ({"rows": [ROW[:3]]}, "row 1: found 3 values, expected 64"),
    ({"rows": [ROW, [*ROW[:63], "x"]]}, "row 2"),
    ({"rows": [{"pixel_0_0": 1}]}, "is missing"),
    ({"rows": [[*ROW[:63], True]]}, "row 1: pixel_7_7 is true, expected a number"),
    ({"rows": [[*ROW[:63], 2**53 + 1]]}, "beyond the integers"),
    ({"rows": [ROW], "more": 1}, "expected"),
    (b'{"rows": [[1]] ]', "found 1 values"),
    (b'{"rows": [{"a": 1, "a": 2}]}', "occurs twice"),
    (b'{"rows": [[NaN]]}', "NaN"),
    (b'{"rows": [[1e999]]}', "too large"),
    (b'{"rows": [[' + b"[" * 100_000 + b"]]}", "row 1"),
    (b'{"rows": [["\xff"]]}', "not UTF-8"),
    ({"rows": [3]}, "row 1: expected a list of values"),
]


@pytest.mark.parametrize(("body", "said"), PLAIN, ids=range(len(PLAIN)))
def test_invalid_plain_rows_get_an_explanation(server, body, said):
    found = server.post("/predict", body)
    assert found.status == 400 and said in found.json["error"]


def test_wrong_paths_methods_and_media_types_are_refused(server, digits):
    other = "sha256:" + "0" * 64
    assert server.get("/v2/models/nope").status == 404
    assert server.get(f"/v2/models/model/versions/{other}").status == 404
    assert server.get("/nope").status == 404
    assert server.get("/v2/models/model/nope").status == 404
    wrong = server.get(INFER)
    assert (wrong.status, wrong.headers["allow"]) == (405, "POST")
    assert server.post("/v2", {}).status == 405
    assert server.ask("POST", INFER, b"{}", content_type="text/plain").status == 415
    assert server.ask("POST", INFER, b"{}").status == 400  # tritonclient names no type


def test_both_protocols_predict_many_rows_the_same(server, digits):
    """So many that they are read in a thread, in the JSON of both protocols and in binary."""
    rows = np.random.default_rng(0).normal(8, 4, (2000, 64))
    expected = open_artifact(digits.folder).predict_proba(rows)
    plain = server.post("/predict", {"rows": rows.tolist()}).json
    nested = [{"name": "X", "shape": [2000, 64], "datatype": "FP64", "data": rows.tolist()}]
    tensors = server.post(INFER, {"inputs": nested, "colon": "a:b"}).json
    assert (np.array(plain["probabilities"]) == expected).all()
    assert tensors["outputs"][1]["data"] == expected.ravel().tolist()


@pytest.fixture(scope="module")
def dated(tmp_path_factory):
    """A server of a table with a text that looks like a date, a date, a number and a boolean."""
    folder = tmp_path_factory.mktemp("dated")
    rows = [
        {
            "code": "2026-01-01" if index % 2 else "unknown",
            "day": f"2026-02-{index % 28 + 1:02d}",
            "size": index % 7,
            "new": index % 3 == 0,
            "y": "yes" if index % 2 else "no",
        }
        for index in range(120)
    ]
    (folder / "t.csv").write_text(
        "code,day,size,new,y\n"
        + "".join(
            f"{r['code']},{r['day']},{r['size']},{str(r['new']).lower()},{r['y']}\n" for r in rows
        ),
        "utf-8",
    )
    config = {
        "data": {"path": "t.csv", "target": "y", "columns": {"code": "text"}},
        "model": {"preprocess": "auto", "estimator": "sklearn.linear_model.LogisticRegression"},
    }
    done = call("train", write(folder, config), "--json", cwd=folder)
    assert done.code == 0, done.err
    with serving(f"dated={done.json['artifact']}", cwd=folder) as found:
        yield found


ROW_OF_TABLE = {"code": "2026-01-01", "day": "2026-02-03", "size": 3, "new": True}


def test_a_value_does_not_depend_on_its_batch(dated):
    alone = dated.post("/predict", {"rows": [ROW_OF_TABLE]}).json
    other = {
        **ROW_OF_TABLE,
        "code": "unknown",
        "size": 2.5,
        "new": None,
        "day": "2026-02-03T12:00Z",
    }
    both = dated.post("/predict", {"rows": [ROW_OF_TABLE, {**other, "new": False}]}).json
    assert alone["probabilities"][0] == both["probabilities"][0]
    assert alone["labels"] == ["yes"] and both["labels"] == ["yes", "no"]


def test_plain_rows_and_tensors_agree(dated):
    plain = dated.post("/predict", {"rows": [ROW_OF_TABLE]}).json
    values = {"code": "2026-01-01", "day": 20487.0, "size": 3.0, "new": 1.0}
    names = dated.get("/v2/models/dated").json["inputs"]
    order = dated.get("/page/dated").json["fields"]
    inputs = [
        {"name": port["name"], "shape": [1], "datatype": port["datatype"],
         "data": [values[field["name"]]]}
        for port, field in zip(names, order, strict=True)
    ]  # fmt: skip
    found = dated.post("/v2/models/dated/infer", {"inputs": inputs}).json
    assert found["outputs"][0]["data"] == plain["labels"]
    assert found["outputs"][1]["data"] == plain["probabilities"][0]
    for one in inputs:
        if one["datatype"] == "BYTES":
            one["data"] = ["MjAyNi0wMS0wMQ=="]
            one["parameters"] = {"content_type": "base64"}
    assert dated.post("/v2/models/dated/infer", {"inputs": inputs}).json == found
    for one in inputs:
        if one["datatype"] == "BYTES":
            one["data"] = ["/w=="]
    refused = dated.post("/v2/models/dated/infer", {"inputs": inputs})
    assert refused.status == 400 and "not UTF-8 in base64" in refused.json["error"]


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("code", 7, "is 7, expected a text"),
        ("size", "3", "is '3', expected a number"),
        ("size", True, "is true, expected a number"),
        ("size", 2**53 + 1, "beyond the integers"),
        ("new", 1, "is 1, expected true or false"),
        ("day", 20487, "is 20487, expected a date"),
        ("day", "yesterday", "found 'yesterday'"),
        ("day", "2026-02-30", "not a valid date or time"),
        ("code", [1], "expected a text"),
    ],
)
def test_a_value_of_the_wrong_type_is_named_by_row_and_column(dated, column, value, said):
    found = dated.post("/predict", {"rows": [ROW_OF_TABLE, {**ROW_OF_TABLE, column: value}]})
    assert found.status == 400
    assert f"row 2, column '{column}'" in found.json["error"] and said in found.json["error"]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A server of a table whose dates and numbers are written in formats; and its artifact."""
    folder = tmp_path_factory.mktemp("written")
    lines = [
        f"{index % 28 + 1:02d}/{index % 12 + 1:02d}/2026,202602{index % 28 + 1:02d},"
        f'"${1000 + index % 30:,}","1.{index % 40:03d},5",{"yes" if index % 3 else "no"}'
        for index in range(120)
    ]
    (folder / "t.csv").write_text("day,stamp,price,weight,y\n" + "\n".join(lines), "utf-8")
    formats = {
        "day": {"date": "%d/%m/%Y"}, "stamp": {"date": "%Y%m%d"},
        "price": {"thousands": ",", "unit": "$"}, "weight": {"thousands": ".", "decimal": ","},
    }  # fmt: skip
    config = {
        "data": {"path": "t.csv", "target": "y", "formats": formats, "examples": 5},
        "model": {"preprocess": "auto", "estimator": "sklearn.linear_model.LogisticRegression"},
    }
    done = call("train", write(folder, config), "--json", cwd=folder)
    assert done.code == 0, done.err
    artifact = folder / done.json["artifact"]
    with serving(f"written={artifact}", cwd=folder) as found:
        yield found, artifact


WRITTEN = {"day": "01/02/2026", "stamp": "20260203", "price": "$1,007", "weight": "1.234,5"}


def test_plain_rows_are_read_like_the_rows_of_infer(written):
    server, artifact = written
    rows = [
        WRITTEN,
        {**WRITTEN, "price": 1007, "weight": 1234.5, "stamp": 20260203},
        {**WRITTEN, "price": "1007", "weight": "1234,5"},
        {**WRITTEN, "day": "02/01/2026", "price": "2,000.5 $"},
        {**WRITTEN, "day": None, "price": None},
    ]
    found = server.post("/predict", {"rows": rows}).json
    lines = "\n".join(map(json.dumps, rows)).encode()
    assert found["probabilities"] == infer(artifact, lines, name="rows.jsonl").probabilities
    one, typed, bare, other, _ = found["probabilities"]
    assert one == typed == bare != other


def test_a_number_that_a_float64_rounds_is_refused_in_every_notation(dated):
    row = json.dumps({**ROW_OF_TABLE, "size": 0}).replace('"size": 0', '"size": LITERAL')
    for literal in ("9007199254740993.0", "9.007199254740993e15"):
        body = f'{{"rows": [{row}]}}'.replace("LITERAL", literal).encode()
        refused = dated.ask("POST", "/predict", body)
        assert refused.status == 400
        assert refused.json["error"].startswith(f"rows, row 1, column 'size': is {literal}, beyond")
    for literal in ("9007199254740994.0", "1e22"):
        body = f'{{"rows": [{row}]}}'.replace("LITERAL", literal).encode()
        assert dated.ask("POST", "/predict", body).status == 200


def test_a_missing_text_is_null_in_plain_rows_and_empty_in_tensors(dated):
    plain = dated.post("/predict", {"rows": [{**ROW_OF_TABLE, "code": None}]})
    ports = dated.get("/v2/models/dated").json["inputs"]
    fields = dated.get("/page/dated").json["fields"]
    days = (np.datetime64(ROW_OF_TABLE["day"]) - np.datetime64("1970-01-01")).astype(float)
    values = {"code": "", "day": float(days), "size": 3.0, "new": 1.0}
    inputs = [
        {**port, "shape": [1], "data": [values[field["name"]]]}
        for port, field in zip(ports, fields, strict=True)
    ]
    found = dated.post("/v2/models/dated/infer", {"inputs": inputs})
    assert (found.status, plain.status) == (200, 200), (found.json, plain.json)
    assert found.json["outputs"][1]["data"] == plain.json["probabilities"][0]
    for tensor_of_texts in (one for one in inputs if one["datatype"] == "BYTES"):
        tensor_of_texts["data"] = [None]
    refused = dated.post("/v2/models/dated/infer", {"inputs": inputs})
    assert refused.status == 400
    assert refused.json["error"].endswith('is null, expected a text; a missing one is ""')


def test_tensors_hold_the_numbers_of_formatted_text(written):
    server, _ = written
    plain = server.post("/predict", {"rows": [WRITTEN]}).json
    # 2026-02-01 and 2026-02-03, in days since 1970-01-01.
    values = {"day": 20485.0, "stamp": 20487.0, "price": 1007.0, "weight": 1234.5}
    ports = server.get("/v2/models/written").json["inputs"]
    fields = server.get("/page/written").json["fields"]
    inputs = [
        {**port, "shape": [1], "data": [values[field["name"]]]}
        for port, field in zip(ports, fields, strict=True)
    ]
    found = server.post("/v2/models/written/infer", {"inputs": inputs}).json
    assert found["outputs"][1]["data"] == plain["probabilities"][0]
    for one, field in zip(inputs, fields, strict=True):
        text = {**one, "datatype": "BYTES", "data": [WRITTEN[field["name"]]]}
        others = [text if other is one else other for other in inputs]
        refused = server.post("/v2/models/written/infer", {"inputs": others})
        assert refused.status == 400
        assert refused.json["error"] == f"{one['name']}: is 'BYTES', expected {one['datatype']}"


def test_the_server_accepts_the_example_rows_of_the_page(written):
    server, _ = written
    page = server.get("/page/written").json
    examples = [row for group in page["examples"]["groups"] for row in group["rows"]]
    assert len(examples) == 5
    rows = [page["row"], *(one["values"] for one in examples)]
    found = server.post("/predict", {"rows": rows})
    assert found.status == 200, found.json
    for one, said in zip(examples, found.json["probabilities"][1:], strict=True):
        assert one["probabilities"] == pytest.approx(said, abs=1e-9)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("day", "2026-02-01", "found '2026-02-01', expected a date as in data.formats"),
        ("day", 20485.0, "is 20485.0, expected a text in the column's format"),
        ("day", True, "expected a text in the column's format"),
        ("stamp", 20260230, "found '20260230', expected a date as in data.formats"),
        ("price", "$1,00", "found '$1,00', expected a number as in data.formats"),
        ("price", "7 kg", "found '7 kg', expected a number as in data.formats"),
        ("price", "", "found ''"),
        ("price", "inf", "expected a finite number"),
        ("price", "9007199254740993", "beyond the integers"),
        ("price", 2**53 + 1, "beyond the integers"),
        ("price", "9007199254740993.0", "found 9007199254740993.0, beyond the integers"),
        ("price", [7], "expected a number, or a text in the column's format"),
        ("weight", "1,234.5", "expected a number as in data.formats"),
    ],
)
def test_a_value_that_violates_the_format_is_named_by_row_and_column(written, column, value, said):
    server, _ = written
    found = server.post("/predict", {"rows": [WRITTEN, {**WRITTEN, column: value}]})
    assert found.status == 400
    assert f"row 2, column '{column}'" in found.json["error"] and said in found.json["error"]
