"""Loading a config: both forms, the schema, and invalid files."""

import json

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifact_pipeline.builder.config import json_schema, loader
from artifact_pipeline.builder.config.resolved import ResolvedConfig
from artifact_pipeline.builder.data import table_columns, table_reader
from artifact_pipeline.errors import ConfigError, ConfigNotFound, DataError
from tests.support.command import call
from tests.support.configs import QUICK, SHORT, write

LOGISTIC = "sklearn.linear_model.LogisticRegression"
FULL = {
    "data": {"dataset": "digits"},
    "split": {"test_size": 0.2, "random_state": 42, "stratify": True},
    "model": {
        "estimator": LOGISTIC,
        "params": {"C": 1.0, "solver": "lbfgs", "max_iter": 1000, "random_state": 42},
    },
    "gates": {"test.accuracy": {"min": 0.95}, "test.f1_weighted": {"min": 0.95}},
}
PIPELINE = {
    "data": {"dataset": "wine"},
    "model": {
        "steps": [
            {"name": "scale", "estimator": "sklearn.preprocessing.StandardScaler"},
            {"name": "model", "estimator": LOGISTIC, "params": {"C": 2}},
        ]
    },
}


def test_the_short_form_expands_to_the_full_form():
    gates = FULL["gates"]
    assert loader.load({**SHORT, "gates": gates}) == loader.load(FULL)


@pytest.mark.parametrize("source", [SHORT, FULL, PIPELINE, QUICK])
def test_a_resolved_config_survives_the_way_to_another_process(source):
    config = loader.load(source)
    sent = msgspec.json.encode(config)
    assert msgspec.json.decode(sent, type=ResolvedConfig) == config


@pytest.mark.parametrize("source", [SHORT, FULL, PIPELINE, QUICK])
def test_the_schema_accepts_valid_configs(source):
    jsonschema.Draft202012Validator(json_schema.schema()).validate(source)


def with_(source, **changes):
    return {**source, **changes}


WRONG = [
    (with_(SHORT, C=-1), "C", "found -1, expected a number > 0"),
    (with_(SHORT, C="1"), "C", "found '1', expected a number"),
    (with_(SHORT, C=None), "C", "found null, expected a number"),
    (with_(SHORT, solver=3), "solver", "found 3, expected a string"),
    (with_(SHORT, max_iter=1.5), "max_iter", "found 1.5, expected an integer"),
    (with_(SHORT, max_iter=True), "max_iter", "found true, expected an integer"),
    (with_(SHORT, max_iter=-1), "max_iter", "found -1, expected an integer >= 0"),
    (with_(SHORT, random_state=None), "random_state", "found null, expected an integer"),
    (with_(SHORT, random_state=-1), "random_state", "found -1, expected an integer >= 0"),
    (with_(SHORT, random_state=2**32), "random_state", "expected an integer <= 4294967295"),
    (with_(SHORT, test_size=0), "test_size", "found 0, expected a number > 0"),
    (with_(SHORT, test_size=1.0), "test_size", "found 1.0, expected a number < 1"),
    (with_(SHORT, test_size=[]), "test_size", "found an empty list, expected a number"),
    (with_(SHORT, Solver="lbfgs"), None, "unknown key 'Solver'; did you mean 'solver'?"),
    ({"C": 1.0}, None, "the key 'solver' is missing"),
    ({}, None, "the key 'C' is missing"),
    (with_(FULL, C=1.0), None, "'C' belongs to the short form"),
    (with_(FULL, modle={}), None, "unknown key 'modle'; did you mean 'model'?"),
    (with_(FULL, preprocess="auto"), None, "unknown key 'preprocess'; it belongs in 'model'"),
    (with_(FULL, params={}), None, "unknown key 'params'; it belongs in 'model' or 'search'"),
    (with_(FULL, data={"stratify": True}), "data", "it belongs in 'split'"),
    (with_(FULL, data={"dataset": "digit"}), "data.dataset", "did you mean 'digits'?"),
    (with_(FULL, data={"dataset": 3}), "data.dataset", "found 3, expected a string"),
    (with_(FULL, data={"datset": "iris"}), "data", "unknown key 'datset'; did you mean 'dataset'?"),
    (with_(FULL, data=[]), "data", "found an empty list, expected an object"),
    (with_(FULL, split={"test_size": 2}), "split.test_size", "found 2, expected a number < 1"),
    (with_(FULL, split={"stratify": 1}), "split.stratify", "found 1, expected true or false"),
    (with_(FULL, model={}), "model", "expected either 'estimator' or 'steps'"),
    (
        with_(FULL, model={"estimator": LOGISTIC, "steps": PIPELINE["model"]["steps"]}),
        "model",
        "expected either 'estimator' or 'steps'",
    ),
    (
        with_(FULL, model={"steps": PIPELINE["model"]["steps"], "params": {}}),
        "model",
        "expected 'params' in the steps, not beside them",
    ),
    (with_(FULL, model={"steps": []}), "model.steps", "expected a list of length >= 1"),
    (
        with_(FULL, model={"steps": [{"name": "a", "estimator": LOGISTIC, "parms": {}}]}),
        "model.steps[0]",
        "unknown key 'parms'; did you mean 'params'?",
    ),
    (
        with_(FULL, model={"steps": [{"name": "a__b", "estimator": LOGISTIC}]}),
        "model.steps[0].name",
        "'a__b' contains '__', expected a unique name",
    ),
    (
        with_(FULL, model={"steps": [{"name": "a", "estimator": LOGISTIC}] * 2}),
        "model.steps[1].name",
        "'a' is used twice, expected a unique name",
    ),
    (
        with_(FULL, gates={"test.acuracy": {"min": 1}}),
        "gates.test.acuracy",
        "unknown metric; did you mean 'test.accuracy'?",
    ),
    (
        with_(FULL, gates={"test.f1_macro": {"min": 1}, "test.accuracy": {"mim": 1}}),
        "gates.test.accuracy",
        "unknown key 'mim'; did you mean 'min'?",
    ),
    (
        with_(FULL, gates={"test.accuracy": {"min": "0.9"}}),
        "gates.test.accuracy.min",
        "found '0.9', expected a number",
    ),
    (with_(FULL, gates={"test.accuracy": {}}), "gates.test.accuracy", "found no bound"),
    (with_(FULL, gates={"test.accuracy": 0.9}), "gates.test.accuracy", "expected an object"),
]


@pytest.mark.parametrize(("source", "key", "message"), WRONG, ids=lambda value: str(value)[:40])
def test_an_invalid_config_is_refused_with_file_key_and_remedy(source, key, message, tmp_path):
    path = write(tmp_path, source)
    with pytest.raises(ConfigError) as caught:
        loader.load(path)
    assert str(caught.value.location) == (f"{path}: {key}" if key else str(path))
    assert message in caught.value.message


# A JSON Schema cannot say that the names in a list of objects are unique.
@pytest.mark.parametrize("source", [wrong[0] for wrong in WRONG if "unique name" not in wrong[2]])
def test_the_schema_refuses_invalid_configs(source):
    assert not jsonschema.Draft202012Validator(json_schema.schema()).is_valid(source)


TEXTS = [
    (b"", "is empty"),
    (b" \n ", "is empty"),
    (b"\xff\xfe{\x00}\x00", "is not UTF-8: byte 0 is 0xff"),
    (
        b'{"C": 1.0,\n "solver" "lbfgs"}',
        "line 2: is not JSON: Expecting ':' delimiter, column 11",
    ),
    (b'{"C": [1.0,\n]}', "is not JSON: "),
    (b'{"C": 1.0, "C": 2.0}', "the key 'C' occurs twice"),
    (b'{"C": NaN}', "NaN is not a JSON number"),
    (b'{"C": Infinity}', "Infinity is not a JSON number"),
    (b'{"C": 1e999}', "1e999 is too large"),
    (b'{"C": ' + b"9" * 5000 + b"}", "is not a valid config"),
    (b"[" * 100_000, "nested too deep"),
    (b"[1, 2]", "found a list, expected an object"),
    (b'[{"age": 1}]', "draft a config for this table: artifact-pipeline init"),
    (b"null", "found null, expected an object"),
    (b'{"C": "\\ud800"}', "half a character"),
    (b" " * (1 << 20) + b"{}", "is over 1048576 bytes"),
]


@pytest.mark.parametrize(("data", "message"), TEXTS, ids=lambda value: ascii(value)[:30])
def test_a_file_without_a_json_object_is_refused(data, message, tmp_path):
    path = write(tmp_path, data)
    with pytest.raises(ConfigError) as caught:
        loader.load(path)
    assert caught.value.location.file == str(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused_and_is_a_file_not_found_error(tmp_path):
    with pytest.raises(ConfigNotFound, match="no such file"):
        loader.load(tmp_path / "none.json")
    with pytest.raises(FileNotFoundError):
        loader.load_config(tmp_path / "none.json")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="is a folder"):
        loader.load(tmp_path)


@pytest.mark.skipif(not hasattr(__import__("os"), "mkfifo"), reason="this system has no FIFOs")
def test_a_pipe_is_refused_without_blocking(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="not a regular file"):
        loader.load(tmp_path / "pipe")


def test_a_path_with_a_nul_is_refused():
    with pytest.raises(ConfigError, match="cannot be read"):
        loader.load("a\0b")


def test_a_dict_that_json_cannot_represent_is_refused():
    with pytest.raises(ConfigError, match="JSON cannot represent"):
        loader.load({**SHORT, "C": {1, 2}})


def test_an_invalid_config_exits_2_and_stores_nothing(project):
    done = call("run", write(project, with_(SHORT, C=-1)), cwd=project)
    assert done.code == 2
    assert done.err.splitlines()[-1].startswith("error: ")
    assert "config.json: C: found -1, expected a number > 0" in done.err
    assert not (project / "artifacts").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "where", "message"),
    [
        (with_(SHORT, solver="lbfs"), "solver", "found 'lbfs', expected a str among"),
        (with_(SHORT, test_size=0.001), "test_size", "which cannot be split"),
        (with_(SHORT, solver="liblinear"), "model", "does not support multiclass"),
        (
            with_(FULL, model={"estimator": LOGISTIC, "params": {"solver": "lbfs"}}),
            "model.params.solver",
            "found 'lbfs', expected a str among",
        ),
        (with_(FULL, split={"test_size": 0.001}), "split.test_size", "which cannot be split"),
        (
            with_(PIPELINE, model={"steps": [{"name": "a", "estimator": "os.system"}]}),
            "model.steps[0].estimator",
            "found 'os.system'",
        ),
    ],
    ids=lambda value: str(value)[-40:],
)
def test_a_value_that_scikit_learn_refuses_is_named_by_its_key_in_the_file(
    project, source, where, message
):
    write(project, source)
    done = call("train", "config.json", "--json", cwd=project)
    assert done.code == 2
    assert done.json["error"]["where"] == f"config.json: {where}"
    assert message in done.json["error"]["message"]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@pytest.mark.slow
@given(st.sampled_from([SHORT, FULL, PIPELINE]), st.data())
def test_any_value_at_any_key_loads_or_is_refused(source, data):
    changed = json.loads(json.dumps(source))
    place = changed
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if isinstance(place[key], (dict, list)) and place[key] and data.draw(st.booleans()):
            place = place[key]
        else:
            break
    place[key] = data.draw(anything)
    try:
        loader.load(changed)
    except ConfigError as error:
        assert error.location
        assert "Traceback" not in str(error)


@pytest.mark.parametrize("depth", [65, 500, 5_000, 100_000])
@pytest.mark.parametrize("ends", ["[]", ('{"a":', "}")])
def test_a_deeply_nested_config_is_refused_in_one_line(depth, ends):
    opening, closing = ends
    params = f'{{"C": {opening * depth}1{closing * depth}}}'
    text = f'{{"data": {{"dataset": "iris"}}, "model": {{"estimator": "x", "params": {params}}}}}'
    with pytest.raises(ConfigError, match=r"nested (deeper than 64 levels|too deep)"):
        loader.parse_bytes(text.encode(), "c.json")


def test_a_dict_that_contains_itself_is_refused_in_one_line():
    endless: list[object] = []
    endless += [endless, endless]
    model = {"estimator": "x", "params": {"C": endless}}
    with pytest.raises(ConfigError, match="nested deeper than 64 levels"):
        loader.parse({"data": {"dataset": "iris"}, "model": model}, "config")


def test_no_date_format_causes_a_traceback():
    for form in ("%Y %Y", "%d %d %Y", "%Y" * 500, "%", "%Y%", "%Q%Y", "", "\0%Y", "%d/%m", "%"):
        with pytest.raises(ConfigError, match=r"data\.formats\.day\.date: found .* with a year"):
            loader.load({
                "data": {"path": "t.csv", "target": "y", "formats": {"day": {"date": form}}},
                "model": {"preprocess": "auto", "estimator": "sklearn.naive_bayes.GaussianNB"},
            })  # fmt: skip


of_formats = st.dictionaries(
    st.sampled_from(["date", "thousands", "decimal", "unit", "Date"]) | st.text(max_size=3),
    st.text(st.sampled_from("%YymdHjGVuzZfpcx,._' $k-\0"), max_size=8) | anything,
    max_size=3,
)


@given(st.dictionaries(st.sampled_from(["a", "b"]), of_formats) | anything, anything, st.booleans())
def test_any_column_formats_load_or_are_refused(formats, missing, apart):
    data = {"path": "t.csv", "target": "y", "formats": formats}
    data |= {"missing_target": missing if apart else "drop"}
    model = {"preprocess": "auto", "estimator": "sklearn.naive_bayes.GaussianNB"}
    try:
        full = loader.load({"data": data, "model": model})
    except ConfigError as error:
        assert error.location and "\n" not in str(error)
        return
    for form in (full.data.formats or {}).values():
        values = ["2026-01-31", "1,5", "$ 5", "", "%", "31/01/26 10:00"]
        for value in [values, *([one] for one in values)]:
            table = "a\n" + "\n".join(f'"{one}"' for one in value) + "\n"
            try:
                raw = table_reader.read([("t.csv", table.encode())], "csv")
                table_columns.column(raw, "a", column_format=form)
            except DataError as error:
                assert error.location and "\n" not in str(error)


def test_a_config_with_a_byte_order_mark_is_read(tmp_path):
    path = tmp_path / "c.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(SHORT).encode())
    assert loader.load(path) == loader.load(SHORT)
    assert loader.load_config(path) == SHORT


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("t.csv", "artifact-pipeline init .*t.csv --target COLUMN"),
        ("T.PARQUET", "artifact-pipeline init"),
        ("c.yaml", "write the same keys as JSON"),
    ],
)
def test_a_table_or_yaml_in_place_of_a_config_is_refused_with_what_to_do(tmp_path, name, remedy):
    (tmp_path / name).write_text("a: 1")
    with pytest.raises(ConfigError, match=remedy):
        loader.load(tmp_path / name)


def test_a_url_of_a_config_is_refused_with_what_to_do():
    with pytest.raises(ConfigError, match="is a URL, expected a file; download it first"):
        loader.load("https://example.org/config.json")
