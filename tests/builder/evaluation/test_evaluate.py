"""Metrics, gates, and the evaluation of held-out rows."""

import msgspec
import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st
from sklearn.tree import DecisionTreeClassifier

import artifact_pipeline as api
from artifact_pipeline.builder.artifact.manifest import Metrics, Slice
from artifact_pipeline.builder.config import loader
from artifact_pipeline.builder.config.resolved import Gate
from artifact_pipeline.builder.data import loader as loading
from artifact_pipeline.builder.data import split
from artifact_pipeline.builder.evaluation.evaluate import observe
from artifact_pipeline.builder.evaluation.metrics import evaluate
from artifact_pipeline.builder.evaluation.weighted_metrics import PredictedRows
from artifact_pipeline.builder.model import construction, estimators, fit
from artifact_pipeline.builder.training import results
from artifact_pipeline.builder.training import train as learning
from artifact_pipeline.errors import ConfigError, DataError
from artifact_pipeline.pipeline.gates import judge
from artifact_pipeline.pipeline.incumbents import Incumbent
from artifact_pipeline.report.text import classification_report
from tests.support.configs import SHORT, write


def predictions(model, X, truth, target="class"):
    """Return rows with what a model predicts for them."""
    predicted, probabilities = estimators.predict_with_proba(model, X)
    return PredictedRows(truth, predicted, probabilities=probabilities, target=target)


@pytest.fixture(scope="module")
def observed():
    full = loader.load(SHORT)
    rows = loading.load(full.data)
    parts = split.split(rows, full.split)
    model = fit.fit(construction.build(full.model), parts.X_train, parts.y_train).estimator
    seen = observe(
        model,
        parts.X_test,
        rows=predictions(model, parts.X_test, parts.y_test),
        index=parts.test_index,
        label_names=rows.label_names,
    )
    return seen, model, parts


def test_the_confusion_table_counts_every_held_out_row_once(observed):
    seen, _, parts = observed
    assert sum(map(sum, seen.confusion)) == seen.rows == len(parts.y_test)
    for scores, row in zip(seen.per_class, seen.confusion, strict=True):
        assert scores.support == sum(row)


def test_examples_are_the_wrong_rows_first_with_their_values(observed):
    seen, model, parts = observed
    wrong = [example.truth != example.label for example in seen.examples]
    assert sum(wrong) == 15 and all(wrong[:15]) and len(wrong) == 100
    first = seen.examples[0]
    where = parts.test_index.tolist().index(first.row)
    assert first.values == parts.X_test[where].tolist()
    alone = model.predict_proba(parts.X_test[where : where + 1])[0]
    assert first.probabilities == pytest.approx(alone.tolist())


def test_calibration_covers_every_row(observed):
    seen, _, _ = observed
    assert sum(bin_.rows for bin_ in seen.calibration) == seen.rows
    assert all(bin_.low <= bin_.confidence <= bin_.high for bin_ in seen.calibration)


def test_a_linear_model_keeps_its_weights(observed):
    seen, model, _ = observed
    assert seen.weights.coef == model.coef_.tolist()


def test_the_classification_report_matches_scikit_learn(observed):
    seen, model, parts = observed
    predicted = model.predict(parts.X_test)
    ours = classification_report(seen, evaluate(parts.y_test, predicted))
    theirs = sklearn.metrics.classification_report(parts.y_test, predicted, digits=4)
    assert ours.split() == theirs.split()


def test_a_bound_is_inclusive():
    assert judge(Metrics(test={"accuracy": 0.9}), {"test.accuracy": Gate(min=0.9)})[0].passed
    assert judge(Metrics(test={"accuracy": 0.9}), {"test.accuracy": Gate(max=0.9)})[0].passed


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_gate_passes_exactly_if_the_metric_is_within_its_bounds(value, limit):
    low, high = judge(
        Metrics(test={"accuracy": value}), {"test.accuracy": Gate(min=limit, max=limit)}
    )
    assert low.passed == (value >= limit)
    assert high.passed == (value <= limit)
    assert (low.margin >= 0) == low.passed


def test_a_missed_gate_names_metric_bound_and_value():
    [verdict] = judge(Metrics(train={"accuracy": 1.0}, test={}), {"train.accuracy": Gate(max=0.99)})
    assert str(verdict) == "train.accuracy is 1.0000, above the maximum of 0.99"


def test_a_gate_on_a_missing_metric_is_refused():
    with pytest.raises(ConfigError, match=r"gates.test.r2: this model has no such metric"):
        judge(Metrics(test={"accuracy": 1.0}), {"test.r2": Gate(min=0.5)})
    with pytest.raises(ConfigError, match=r"gates.test.f1: this model has no such metric"):
        judge(Metrics(test={"mae": 1.0}), {"test.f1": Gate(min=0.5)})


@pytest.mark.parametrize(
    ("metric", "ours", "theirs", "tolerance", "passed"),
    [
        ("accuracy", 0.9, 0.9, 0.0, True),
        ("accuracy", 0.89, 0.9, 0.0, False),
        ("accuracy", 0.89, 0.9, 0.02, True),
        ("mae", 3.0, 4.0, 0.0, True),
        ("mae", 4.5, 4.0, 0.0, False),
        ("mae", 4.5, 4.0, 1.0, True),
        ("log_loss", 0.4, 0.3, 0.0, False),
    ],
)
def test_lower_shares_and_higher_errors_are_worse(metric, ours, theirs, tolerance, passed):
    gate = Gate(not_worse_than="champion", tolerance=tolerance)
    incumbent = Incumbent(digest="sha256:1", metrics=Metrics(test={metric: theirs}), problem=None)
    found = Metrics(test={metric: ours})
    [verdict] = judge(found, {f"test.{metric}": gate}, incumbents={"champion": incumbent})
    assert verdict.passed is passed and verdict.against == "sha256:1"
    assert (verdict.margin >= 0) is passed


def test_metrics_of_probabilities_match_scikit_learn():
    import numpy as np

    truth = np.array(["a", "b", "a", "b", "b"])
    proba = np.array([[0.9, 0.1], [0.4, 0.6], [0.45, 0.55], [0.2, 0.8], [0.6, 0.4]])
    said = np.where(proba[:, 0] > 0.5, "a", "b")
    found = evaluate(truth, said, probabilities=proba, labels=["a", "b"], positive="b")
    sk = sklearn.metrics
    assert found["roc_auc"] == sk.roc_auc_score(truth == "b", proba[:, 1])
    assert found["log_loss"] == pytest.approx(sk.log_loss(truth, proba))
    assert found["brier"] == pytest.approx(sk.brier_score_loss(truth == "b", proba[:, 1]))
    assert found["balanced_accuracy"] == sk.balanced_accuracy_score(truth, said)
    assert found["f1"] == sk.f1_score(truth, said, pos_label="b")
    alone = evaluate(truth[:1], said[:1], probabilities=proba[:1], labels=["a", "b"])
    assert "roc_auc" not in alone and "log_loss" in alone


LABELS = st.sampled_from([["no", "yes"], [0, 1], [False, True], ["a", "b", "c", "d"], [-5, 7, 11]])


@given(
    LABELS.flatmap(lambda labels: st.lists(st.tuples(*[st.sampled_from(labels)] * 2), min_size=1))
)
def test_metrics_of_labels_equal_those_of_scikit_learn_to_the_bit(pairs):
    truth, predicted = (np.array(column) for column in zip(*pairs, strict=True))
    found = evaluate(truth, predicted)
    sk = sklearn.metrics
    assert found["accuracy"] == sk.accuracy_score(truth, predicted)
    for average in ("weighted", "macro"):
        f1 = sk.f1_score(truth, predicted, average=average, zero_division=0)
        assert found[f"f1_{average}"] == f1
    options = {"average": "weighted", "zero_division": 0}
    assert found["precision_weighted"] == sk.precision_score(truth, predicted, **options)
    assert found["recall_weighted"] == sk.recall_score(truth, predicted, **options)
    present = np.unique(truth)
    recalls = sk.recall_score(truth, predicted, labels=present, average="macro", zero_division=0)
    assert found["balanced_accuracy"] == recalls


ALIKE = [[0.5, 0.5]] * 3


@pytest.mark.parametrize(
    ("truth", "predicted", "of", "name", "why"),
    [
        ("aab", "aaa", {"probabilities": ALIKE, "labels": ["a", "c"]}, "roc_auc",
         "ROC AUC was not measured on these rows: some row is of a class that the model did not"),
        ("aab", "aaa", {"probabilities": [[0, 0]] * 3, "labels": ["a", "b"]}, "log_loss",
         "log loss was not measured on these rows: .* or all of its probabilities are 0"),
        ("aaa", "aaa", {"probabilities": ALIKE, "labels": ["a", "b"]}, "roc_auc",
         "ROC AUC was not measured .*: some class of the model has no row among them"),
        ("aab", "aaa", {}, "f1", "F1 was not measured .* data.positive"),
        ("aaa", "aab", {"positive": "b"}, "recall", "recall .*: none of them is of the positive"),
        ("aaa", "aaa", {"positive": "b"}, "f1", "F1 .*: none of them is or was predicted to be"),
        ([1.0], [2.0], {"target": "number"}, "r2", "R² was not measured .*: it needs two rows"),
    ],
)  # fmt: skip
def test_a_gate_on_an_undefined_metric_explains_why_it_is_undefined(
    truth, predicted, of, name, why
):
    test = evaluate(list(truth), list(predicted), **of)
    train = {"log_loss": 0.5}
    metrics = Metrics(train=train, test=test, slices={"s": Slice(len(truth), test)})
    for gate in (f"test.{name}", f"test.{name}[s]"):
        with pytest.raises(ConfigError, match=f": {why}"):
            judge(metrics, {gate: Gate(min=0.5)})
        with pytest.raises(ConfigError) as caught:
            judge(metrics, {gate: Gate(min=0.5)}, config="c.json")
        assert str(caught.value).startswith(f"c.json: gates.{gate}: ")


def test_a_gate_on_probabilities_needs_a_model_that_has_them():
    found = evaluate([0, 1], [0, 1])
    with pytest.raises(ConfigError, match=r"log loss was not .*: the model gives no probabilities"):
        judge(Metrics(train=found, test=found), {"test.log_loss": Gate(max=0.5)})


@pytest.fixture(scope="module")
def surprised():
    """A classifier of two classes, measured on rows that have a third and a fourth."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(5)
    X, y = rng.normal(size=(80, 2)), np.array(["b", "d"] * 40)
    model = LogisticRegression().fit(X + (y == "d")[:, None], y)
    X_test = rng.normal(size=(30, 2))
    truth = np.array(["b", "d", "a", "d", "b", "c"] * 5)
    seen = observe(
        model,
        X_test,
        rows=predictions(model, X_test, truth),
        index=np.arange(30),
        label_names=["b", "d"],
    )
    return model, X_test, truth, seen


def test_a_class_seen_only_in_held_out_rows_counts_as_missed(surprised):
    model, X, truth, _ = surprised
    predicted, proba = model.predict(X), model.predict_proba(X)
    found = evaluate(truth, predicted, probabilities=proba, labels=["b", "d"])
    theirs = sklearn.metrics.classification_report(
        truth, predicted, output_dict=True, zero_division=0
    )
    assert found["accuracy"] == theirs["accuracy"] < 0.7
    assert found["f1_weighted"] == pytest.approx(theirs["weighted avg"]["f1-score"])
    assert found["f1_macro"] == pytest.approx(theirs["macro avg"]["f1-score"])
    assert found["recall_weighted"] == pytest.approx(theirs["weighted avg"]["recall"])
    balanced = sum(theirs[one]["recall"] for one in "abcd") / 4
    assert found["balanced_accuracy"] == pytest.approx(balanced)
    assert not {"log_loss", "brier", "roc_auc"} & found.keys()


def test_the_report_and_the_confusion_show_classes_that_were_not_learned(surprised):
    model, X, truth, seen = surprised
    predicted = model.predict(X)
    theirs = sklearn.metrics.confusion_matrix(truth, predicted, labels=list("abcd")).tolist()
    assert [row[1::2] for row in theirs[1::2]] == seen.confusion
    assert [(one.label, one.support) for one in seen.unlearned] == [("a", 5), ("c", 5)]
    assert [one.predicted for one in seen.unlearned] == [theirs[0][1::2], theirs[2][1::2]]
    assert seen.fits(2, [False, False]) and not seen.fits(3, [False, False])
    ours = classification_report(seen, evaluate(truth, predicted))
    text = sklearn.metrics.classification_report(truth, predicted, digits=4, zero_division=0)
    assert ours.split() == text.split()


def test_rows_of_unlearned_classes_are_all_missed(surprised):
    import numpy as np

    model, X, _, _ = surprised
    truth = np.array(["a", "c"] * 15)
    predicted, proba = model.predict(X), model.predict_proba(X)
    seen = observe(
        model,
        X,
        rows=predictions(model, X, truth),
        index=np.arange(30),
        label_names=["b", "d"],
    )
    assert seen.confusion == [[0, 0], [0, 0]] and seen.fits(2, [False, False])
    found = evaluate(truth, predicted, probabilities=proba, labels=["b", "d"])
    assert set(found.values()) == {0.0} and "log_loss" not in found
    text = sklearn.metrics.classification_report(truth, predicted, digits=4, zero_division=0)
    # scikit-learn writes these supports as 15.0.
    theirs = [word.removesuffix(".0") for word in text.split()]
    assert classification_report(seen, found).split() == theirs


def test_probabilities_of_a_single_learned_class_are_not_measured():
    import numpy as np

    found = evaluate(["a", "a"], ["a", "a"], probabilities=np.ones((2, 1)), labels=["a"])
    assert found["accuracy"] == 1.0 and not {"log_loss", "brier", "roc_auc"} & found.keys()


def test_recall_is_undefined_without_positive_rows():
    found = evaluate(["no", "no"], ["no", "yes"], positive="yes")
    assert "recall" not in found and found["precision"] == found["f1"] == 0
    found = evaluate(["no", "no"], ["no", "no"], positive="yes")
    assert not {"recall", "f1"} & found.keys()
    found = evaluate(["no", "yes"], ["no", "no"], positive="yes")
    assert found["recall"] == found["f1"] == 0


def test_r2_is_undefined_for_one_row():
    assert evaluate([1.0], [2.0], target="number") == {"mae": 1.0, "rmse": 1.0}


@pytest.mark.slow
def test_a_metric_that_no_fold_has_is_reported(tmp_path):
    """Each fold is measured on a class that it did not learn."""
    classes = ["ab", "ac", "ad", "abcd", "abcd", "abcd"]
    lines = [f"{i},{i % 5},{classes[i // 20][i % len(classes[i // 20])]}" for i in range(120)]
    (tmp_path / "t.csv").write_text("day,a,y\n" + "\n".join(lines) + "\n")
    config = {"data": {"path": "t.csv", "target": "y"},
              "split": {"method": "time", "column": "day", "test_size": 0.5},
              "evaluation": {"cv": 2},
              "model": {"estimator": "sklearn.linear_model.LogisticRegression"}}  # fmt: skip
    done = api.train(write(tmp_path, config), store=tmp_path / "store")
    assert "roc_auc" not in done.metrics.cv and "log_loss" not in done.metrics.cv
    assert "ROC AUC is defined on no fold, and left out" in done.warnings


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "target", "said"),
    [
        ("sklearn.dummy.DummyClassifier", "label", "is not above that of always predicting 'no'"),
        ("sklearn.tree.DecisionTreeRegressor", "number", "the held-out R² is -"),
    ],
)
def test_metrics_no_better_than_a_baseline_are_reported(tmp_path, model, target, said):
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=100).round(4), "b": rng.normal(size=100).round(4)})
    frame["y"] = np.where(rng.random(100) > 0.8, "yes", "no")
    if target == "number":
        frame["y"] = rng.normal(size=100)
    frame.to_csv(tmp_path / "t.csv", index=False)
    config = {"data": {"path": "t.csv", "target": "y"}, "model": {"estimator": model}}
    done = api.train(write(tmp_path, config), store=tmp_path / "store")
    assert any(said in one for one in done.warnings), done.warnings


@pytest.mark.slow
def test_ten_rows_of_a_regression_have_folds_and_one_held_out_row_is_refused(tmp_path):
    lines = [f"{i},{i * 1.5 + i % 3}" for i in range(10)]
    (tmp_path / "t.csv").write_text("a,y\n" + "\n".join(lines) + "\n")
    config = {"data": {"path": "t.csv", "target": "y"}, "evaluation": {"cv": 5},
              "model": {"estimator": "sklearn.linear_model.Ridge"}}  # fmt: skip
    done = api.train(write(tmp_path, config), store=tmp_path / "store")
    assert len(done.metrics.cv["mae"].folds) == 5 and len(done.metrics.cv["r2"].folds) == 3
    with pytest.raises(DataError, match="split: leaves one row held out, and R² needs two"):
        api.train({**config, "data": {**config["data"], "path": str(tmp_path / "t.csv")},
                   "split": {"test_size": 0.1}}, store=tmp_path / "store")  # fmt: skip


def measured(folder, frame, **config_of):
    """Return what is measured of a config without sealing it, or raise what is wrong."""
    frame.to_csv(folder / "t.csv", index=False)
    data = {"path": str(folder / "t.csv"), "target": "y", **config_of.pop("data", {})}
    model = {"preprocess": "auto", "estimator": "sklearn.linear_model.Ridge"}
    source = {"data": data, "model": model}
    full = loader.load({**source, **config_of})
    target = construction.target_type(full.model)
    columns = learning.slice_columns(full.evaluation)
    rows = loading.load(full.data, full.split, target=target, extra_columns=columns)
    model = construction.resolve(full.model, 42, target=rows.target, columns=rows.columns())
    prepared = learning.prepare(full, model, rows=rows, name="config")
    trained = learning.train(prepared)
    sealed = results.measure_estimator(trained).held_out.outputs
    return msgspec.to_builtins(results.measure_sealed(trained, sealed))


CLASSIFIER = {"preprocess": "auto", "estimator": "sklearn.tree.DecisionTreeClassifier"}


@pytest.mark.parametrize(
    "model", ["tree.DecisionTreeClassifier", "linear_model.LogisticRegression"]
)
def test_a_single_training_class_is_refused_for_every_estimator(tmp_path, model):
    frame = pd.DataFrame(
        {"day": range(40), "a": [1, 2, 3, 4] * 10, "y": ["old"] * 34 + ["new"] * 6}
    )
    with pytest.raises(DataError, match="split: leaves one class to learn from, 'old'"):
        measured(tmp_path, frame, split={"method": "time", "column": "day"},
                 model={**CLASSIFIER, "estimator": f"sklearn.{model}"})  # fmt: skip


def test_a_fold_that_learns_one_class_has_no_metrics_of_probabilities(tmp_path):
    y = ["no"] * 30 + ["yes", "no"] * 35
    frame = pd.DataFrame({"day": range(100), "a": [1, 2, 3, 4, 5] * 20, "y": y})
    found = measured(tmp_path, frame, split={"method": "time", "column": "day"}, model=CLASSIFIER,
                     evaluation={"cv": 4})  # fmt: skip
    folds = {name: len(one["folds"]) for name, one in found["cv"].items()}
    assert folds["accuracy"] == 4 and folds["log_loss"] == 3


def test_a_search_scored_by_an_undefined_metric_is_refused(tmp_path):
    frame = pd.DataFrame({"a": range(0, 100, 10), "y": [1.5, 2, 1, 4, 3.5, 6, 7, 6.5, 9, 8]})
    search = {"method": "grid", "params": {"model__alpha": [1, 2]}, "cv": 8}
    with pytest.raises(ConfigError, match=r"search\.scoring: r2 is not defined on each fold for 2"):
        measured(tmp_path, frame, search=search)
    measured(tmp_path, frame, search={**search, "scoring": "neg_mean_absolute_error"})


def test_slices_are_named_as_the_table_writes_their_values(tmp_path):
    days = pd.date_range("2026-01-01", periods=50)
    frame = pd.DataFrame({
        "iso": days.repeat(2).strftime("%Y-%m-%d"), "day": days.repeat(2).strftime("%d/%m/%Y"),
        "price": ["$1,000", "$2"] * 50, "paid": ["true", "false"] * 50, "a": [1, 2.5, 3, 4] * 25,
        "y": [1.0, 2, 3, 5, 8] * 20,
    })  # fmt: skip
    formats = {"day": {"date": "%d/%m/%Y"}, "price": {"thousands": ",", "unit": "$"}}
    wanted = {
        "iso": ({"iso": "2026-02-16"}, 2), "day": ({"day": "16/02/2026"}, 2),
        "both": ({"day": "16/02/2026", "price": "$1,000"}, 1), "number": ({"price": 1000}, 10),
        "paid": ({"paid": True}, 10), "text": ({"a": "2.5"}, 5),
    }  # fmt: skip

    def of(slices):
        return measured(tmp_path, frame, data={"formats": formats}, evaluation={"slices": slices},
                        split={"method": "time", "column": "iso"})["slices"]  # fmt: skip

    found = of({name: conditions for name, (conditions, _) in wanted.items()})
    assert {name: one["rows"] for name, one in found.items()} == {
        name: rows for name, (_, rows) in wanted.items()
    }
    for conditions, said in (
        (
            {"day": "2026-02-16"},
            r"s\.day: found '2026-02-16', expected a date as in data.formats",
        ),
        ({"iso": 20500}, r"s\.iso: found 20500, and the column has dates"),
        ({"a": "x"}, r"s\.a: found 'x', expected a number"),
        ({"iso": "2026-03-01"}, "no held-out row is in it"),
    ):
        with pytest.raises(DataError, match=said):
            of({"s": conditions})


def test_metrics_of_many_training_rows_are_those_of_a_sample_and_say_so(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    noise = rng.normal(size=2000)
    frame = pd.DataFrame({"a": noise, "y": np.where(noise + rng.normal(size=2000) > 0, "p", "n")})
    every = measured(tmp_path, frame, model=CLASSIFIER | {"params": {"max_depth": 3}})
    assert "train_rows" not in every
    monkeypatch.setattr(results, "MAX_TRAINING_ROWS", 500)
    sampled = measured(tmp_path, frame, model=CLASSIFIER | {"params": {"max_depth": 3}})
    assert sampled["train_rows"] == 500
    assert sampled["train"]["accuracy"] * 500 == round(sampled["train"]["accuracy"] * 500)
    assert sampled["test"] == every["test"]
    assert sampled["train"] != every["train"]
    assert sampled["train"]["accuracy"] == pytest.approx(every["train"]["accuracy"], abs=0.05)


@pytest.mark.parametrize(
    ("wrong", "right", "count", "expected"),
    [
        (15, 345, 100, (15, 85)),
        (300, 60, 100, (67, 33)),
        (300, 5, 100, (95, 5)),
        (3, 7, 100, (3, 7)),
        (0, 40, 10, (0, 10)),
        (40, 0, 10, (10, 0)),
        (40, 10, 0, (0, 0)),
    ],
)
def test_examples_hold_wrong_rows_first_and_a_third_right_ones(wrong, right, count, expected):
    """The rows are of two classes, and each row's feature is the label that is predicted."""
    y = np.array([1.0, 0.0] * ((wrong + right + 1) // 2))[: wrong + right]
    X = np.where(np.arange(len(y)) < wrong, 1 - y, y)[:, None]
    estimator = DecisionTreeClassifier().fit([[0.0], [1.0]], [0.0, 1.0])
    found = observe(
        estimator,
        X,
        rows=predictions(estimator, X, y),
        index=np.arange(len(y)),
        label_names=["a", "b"],
        examples=count,
    ).examples
    hits = [one.label == one.truth for one in found]
    assert (hits.count(False), hits.count(True)) == expected
    assert hits == sorted(hits) and len({one.row for one in found}) == len(found)
