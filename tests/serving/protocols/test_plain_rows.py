"""`/predict` and `/explain`: warnings, CSV, and contributions to a prediction."""

import itertools
import math
import random

import numpy as np
import pandas as pd
import pytest

import artifact_pipeline as api
from tests.support.command import call
from tests.support.configs import write
from tests.support.server import serving

ROWS = 240
COLUMNS = ["age", "income", "city", "since", "member"]
USUAL = {"age": 40, "income": 100.5, "city": "Rome", "since": "2024-01-15", "member": True}


def _table() -> pd.DataFrame:
    draw = random.Random(3)
    frame = pd.DataFrame(
        {
            "key": [f"=k{index}" for index in range(ROWS)],
            "age": [draw.randint(18, 90) for _ in range(ROWS)],
            "income": [draw.choice([None, draw.uniform(-50, 900)]) for _ in range(ROWS)],
            "city": [draw.choice(["Rome", "Ōsaka", "Quito"]) for _ in range(ROWS)],
            "since": [f"2024-01-{draw.randint(1, 28):02}" for _ in range(ROWS)],
            "member": [draw.random() < 0.7 for _ in range(ROWS)],
            "part": ["test" if index % 4 == 0 else "train" for index in range(ROWS)],
        }
    )
    noise = pd.Series([draw.gauss(0, 20) for _ in range(ROWS)])
    frame["price"] = frame["age"] * (frame["city"] == "Rome") + frame["member"] * 30 + noise
    is_dear = frame["price"] > frame["price"].median()
    frame["bought"] = is_dear.map({True: "yes", False: "no"})
    return frame


def _train(folder, target, estimator, **params):
    config = {
        "data": {"path": "t.csv", "target": target, "id": "key",
                 "drop": [{"price": "bought", "bought": "price"}[target]]},
        "split": {"method": "column", "column": "part"},
        "model": {"preprocess": "auto", "estimator": f"sklearn.{estimator}", "params": params},
    }  # fmt: skip
    done = call("train", write(folder, config), "--json", cwd=folder)
    assert done.code == 0, done.err
    return folder / done.json["artifact"]


class Served:
    """A server of a linear classifier, a forest and a scaled linear model of a matrix."""

    def __init__(self, folder, frame):
        frame.to_csv(folder / "t.csv", index=False)
        self.training = frame[frame["part"] == "train"]
        self.folders = {
            "linear": _train(folder, "bought", "linear_model.LogisticRegression"),
            "forest": _train(folder, "price", "ensemble.RandomForestRegressor",
                             n_estimators=12, max_depth=4, random_state=0),
        }  # fmt: skip
        matrix = {
            "data": {"dataset": "wine"},
            "model": {"steps": [
                {"name": "scale", "estimator": "sklearn.preprocessing.StandardScaler"},
                {"name": "model", "estimator": "sklearn.linear_model.LogisticRegression"},
            ]},
        }  # fmt: skip
        done = call("train", write(folder, matrix, "wine.json"), "--json", cwd=folder)
        assert done.code == 0, done.err
        self.folders["wine"] = folder / done.json["artifact"]

    def estimator(self, name):
        return api.load_model(f"{self.folders[name]}/model_train.pkl", None)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    return Served(tmp_path_factory.mktemp("rows"), _table())


@pytest.fixture(scope="module")
def server(served, tmp_path_factory):
    models = [f"{name}={folder}" for name, folder in served.folders.items()]
    with serving(*models, cwd=tmp_path_factory.mktemp("serve")) as running:
        yield running


def test_rows_like_the_training_rows_have_no_warnings(server, served):
    rows = served.training[COLUMNS].head(50)
    records = [
        {name: None if value != value else value for name, value in row.items()}
        for row in rows.to_dict("records")
    ]
    reply = server.post("/predict/linear", {"rows": records})
    assert reply.status == 200 and "warnings" not in reply.json


def test_values_that_no_training_row_has_are_reported_and_predicted(server, served):
    ages = served.training["age"]
    rows = [
        USUAL,
        {**USUAL, "age": 17.5, "since": "1999-12-31"},
        {**USUAL, "age": 400, "city": "Atlantis"},
        {**USUAL, "age": ages.max(), "income": None},
        {**USUAL, "age": None, "city": ""},
    ]
    rows = [{name: getattr(value, "item", lambda v=value: v)() for name, value in row.items()}
            for row in rows]  # fmt: skip
    reply = server.post("/predict/linear", {"rows": rows}).json
    assert len(reply["labels"]) == len(rows)
    found = {(one["column"], one["problem"]): one["rows"] for one in reply["warnings"]}
    missing = "missing, and no training row lacks it"
    days = sorted(served.training["since"])
    assert found == {
        ("age", f"outside the training range, {ages.min()} to {ages.max()}"): [2, 3],
        ("age", missing): [5],
        ("city", "not among the training values"): [3],
        ("city", missing): [5],
        ("since", f"outside the training range, {days[0]} to {days[-1]}"): [2],
    }
    assert all(one["count"] == len(one["rows"]) for one in reply["warnings"])


@pytest.mark.parametrize("value", [-4.0, 400.0])
def test_a_matrix_has_warnings_too(server, value):
    from sklearn.datasets import load_wine

    rows = load_wine().data
    rows = np.vstack([np.median(rows, axis=0), np.median(rows, axis=0)])
    rows[1, 3] = value
    [warning] = server.post("/predict/wine", {"rows": rows.tolist()}).json["warnings"]
    assert (warning["column"], warning["rows"]) == ("alcalinity_of_ash", [2])


def test_the_response_to_tensors_keeps_the_form_of_the_protocol(server):
    tensors = [
        {"name": f"c{index}", "shape": [1, 1], "datatype": kind, "data": [value]}
        for index, (kind, value) in enumerate(
            [("FP64", 4000.0), ("FP64", 1.0), ("BYTES", "Atlantis"), ("FP64", 9.0), ("FP64", 1.0)]
        )
    ]
    reply = server.post("/v2/models/linear/infer", {"inputs": tensors})
    assert reply.status == 200
    assert reply.json.keys() == {"model_name", "model_version", "outputs"}


def test_a_csv_is_predicted_as_infer_predicts_it(server, served):
    rows = served.training[["since", "key", "member", "age", "city", "income", "part"]].head(20)
    text = rows.to_csv(index=False).encode()
    reply = server.post("/predict/linear", text, content_type="text/csv; charset=utf-8")
    assert reply.status == 200
    expected = api.infer(served.folders["linear"], text, name="rows.csv")
    assert reply.json["labels"] == expected.labels
    assert reply.json["probabilities"] == expected.probabilities
    assert (reply.json["id"], reply.json["ids"]) == ("key", rows["key"].tolist())


@pytest.mark.parametrize(
    ("text", "status", "message"),
    [
        (b"", 400, "rows.csv"),
        (b"age,city\n1,Rome\n", 400, "is missing"),
        (b"age,income,city,since,member\nold,1,Rome,2024-01-01,true\n", 400, "'age'"),
        (b"age,income,city,since,member\n\xff,1,Rome,2024-01-01,true\n", 400, "rows.csv"),
        (b"age,income,city,since,member\n" + b"1,1,Rome,2024-01-01,true\n" * 10_001, 413, "10000"),
        (b"\n" * 100_000, 413, "10000"),
        (b"\x1f\x8b\x08\x00", 400, "rows.csv"),
    ],
)
def test_a_wrong_csv_is_refused_in_one_sentence(server, text, status, message):
    reply = server.post("/predict/linear", text, content_type="text/csv")
    assert (reply.status, message in reply.json["error"]) == (status, True), reply.body
    assert "\n" not in reply.json["error"]


def test_a_csv_of_a_matrix_is_predicted(server, served):
    from sklearn.datasets import load_wine

    rows = load_wine().data[:5]
    text = "\n".join(",".join(map(str, row)) for row in rows.tolist()).encode()
    reply = server.post("/predict/wine", text, content_type="text/csv").json
    assert reply["labels"] == served.estimator("wine").predict(rows).tolist()


def test_other_content_types_are_refused(server):
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "text/csvx"):
        reply = server.post("/predict/linear", b"age\n1\n", content_type=content_type)
        assert reply.status == 415
    assert server.post("/explain/linear", b"age\n1\n", content_type="text/csv").status == 415


def _explained(server, name, row):
    reply = server.post(f"/explain/{name}", {"rows": [row]})
    assert reply.status == 200, reply.body
    amounts = {one["column"]: one["contribution"] for one in reply.json["contributions"]}
    total = reply.json["output"] - reply.json["typical_output"]
    assert sum(amounts.values()) == pytest.approx(total, abs=1e-9)
    return reply.json, amounts


def test_contributions_of_a_linear_model_are_coefficients_times_differences(server, served):
    """Two labels behind a preprocessing: contributions in the decision function."""
    estimator = served.estimator("linear")
    training = served.training
    typical = {name: training[name].quantile(0.5, interpolation="lower")
               for name in ("age", "income")}  # fmt: skip
    days = (pd.to_datetime(training["since"]) - pd.Timestamp(0)).dt.days
    typical |= {
        "city": training["city"].mode()[0],
        "since": days.quantile(0.5, interpolation="lower"),
        "member": float(training["member"].mode()[0]),
    }
    row = {"age": 25, "income": 700.25, "city": "Quito", "since": "2024-01-27", "member": False}
    found, amounts = _explained(server, "linear", row)
    values = {**row, "since": 19_749.0, "member": 0.0}
    assert (found["scale"], found["exact"]) == ("log-odds", True)

    def encoded(values):
        return estimator[:-1].transform(pd.DataFrame([values], columns=COLUMNS))

    [coefficients] = estimator[-1].coef_
    sign = 1 if found["label"] == estimator.classes_[1] else -1
    for name in COLUMNS:
        change = encoded(values) - encoded({**values, name: typical[name]})
        expected = sign * float((np.asarray(change) @ coefficients)[0])
        assert amounts[name] == pytest.approx(expected, abs=1e-7), name


def test_contributions_of_a_scaled_matrix(server, served):
    """More than two labels, more values than sets are computed of."""
    from sklearn.datasets import load_wine
    from sklearn.model_selection import train_test_split

    X, y = load_wine(return_X_y=True)
    X_train = train_test_split(X, y, test_size=0.2, random_state=42, stratify=y)[0]
    typical = pd.DataFrame(X_train).quantile(0.5, interpolation="lower").to_numpy()
    row = X[100] * 1.01
    found, amounts = _explained(server, "wine", row.tolist())
    assert (found["scale"], found["exact"]) == ("score", True)
    scale, model = served.estimator("wine")
    coefficients = model.coef_[found["label"]] / scale.scale_
    assert list(amounts.values()) == pytest.approx(list(coefficients * (row - typical)), abs=1e-7)
    assert found["output"] == pytest.approx(
        model.decision_function(scale.transform([row]))[0, found["label"]]
    )


def test_contributions_of_trees_are_shapley_values(server, served):
    """The right values are averaged over all orders with the estimator that was fitted."""
    estimator = served.estimator("forest")
    row = {"age": 83, "income": 12.5, "city": "Rome", "since": "2024-01-02", "member": False}
    found, amounts = _explained(server, "forest", row)
    assert (found["scale"], found["exact"]) == ("prediction", True)
    typical = {one["column"]: one["typical"] for one in found["contributions"]}
    values = {one["column"]: one["value"] for one in found["contributions"]}
    sets = [set(s) for size in range(6) for s in itertools.combinations(COLUMNS, size)]
    rows = [{name: (values if name in s else typical)[name] for name in COLUMNS} for s in sets]
    predicted = estimator.predict(pd.DataFrame(rows, columns=COLUMNS))
    output = {frozenset(s): value for s, value in zip(sets, predicted, strict=True)}
    for name in COLUMNS:
        gains = [
            output[frozenset(order[: place + 1])] - output[frozenset(order[:place])]
            for order in itertools.permutations(COLUMNS)
            for place in [order.index(name)]
        ]
        assert amounts[name] == pytest.approx(sum(gains) / math.factorial(5), abs=1e-6), name


def test_the_typical_row_has_no_contributions(server):
    row = {"age": 40, "income": 1, "city": "Rome", "since": "2024-01-02", "member": False}
    typical = {one["column"]: one["typical"] for one in _explained(server, "forest", row)[0][
        "contributions"]}  # fmt: skip
    day = pd.Timestamp(0) + pd.Timedelta(days=typical["since"])
    typical |= {"since": day.date().isoformat(), "member": bool(typical["member"])}
    _, amounts = _explained(server, "forest", typical)
    assert set(amounts.values()) == {0.0}


@pytest.mark.parametrize("rows", [[], [USUAL] * 2, [{"age": 1}], ["x"]])
def test_one_valid_row_is_explained(server, rows):
    assert server.post("/explain/linear", {"rows": rows}).status == 400
