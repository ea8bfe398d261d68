"""What Python and a notebook show of runs and models, and the rows that models take."""

import html
import html.parser
import re
import subprocess
import sys

import msgspec
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import artifact_pipeline as api
from tests.support.command import environment
from tests.support.configs import QUICK


class Elements(html.parser.HTMLParser):
    """The elements of a document, and its text."""

    def __init__(self, document):
        super().__init__()
        self.names, self.text = [], ""
        self.feed(document)

    def handle_starttag(self, tag, _):
        self.names.append(tag)

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("notebook") / "artifacts"


@pytest.fixture(scope="module")
def iris_run(store):
    return api.train(QUICK, store=store)


@pytest.fixture(scope="module")
def flowers(store):
    """An estimator of a table of numbers and text, sealed, with its rows."""
    X, y = load_iris(return_X_y=True, as_frame=True)
    X = pd.DataFrame({"size": np.where(X.iloc[:, 2] > 3, "large", "small").astype(object)})
    estimator = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(X, y)
    return estimator, X, y


def test_a_run_and_a_predictor_are_shown_in_one_line(iris_run):
    predictor = api.open_artifact(iris_run.artifact)
    accuracy = f"{iris_run.metrics.test['accuracy']:.4f}"
    short = iris_run.digest[7:19]
    assert repr(iris_run).startswith(f"Run(iris:1, {short}, accuracy {accuracy}")
    assert repr(predictor) == f"Predictor(iris: GaussianNB, 4 features → 3 classes, {short})"
    assert all(len(repr(shown)) <= 100 for shown in (iris_run, predictor))


def accuracy_of(row):
    return f"accuracy {row.test['accuracy']:.4f}"


def test_what_a_store_returns_is_shown_in_one_line(iris_run, store, tmp_path):
    short = iris_run.digest[7:19]
    accuracy = f"{iris_run.metrics.test['accuracy']:.4f}"
    assert repr(api.show("latest", store=store)).startswith(f"Shown(iris:1, {short}, latest")
    assert repr(api.runs(store=store)[-1]) == f"PastRun({iris_run.run}, done, iris:1)"
    evaluated = api.evaluate("latest", store=store)
    assert repr(evaluated).startswith(f"Evaluated({short}, accuracy {accuracy}")
    promotion = api.promote("latest", store=store)
    assert repr(promotion) == f"Promotion({promotion.when[:19]}, iris@champion is 1)"
    history = api.history("iris", store=store)
    assert repr(history[0]) == f"HistoryEntry({promotion.when[:19]}, moved iris@champion:1)"
    assert repr(history[-1]) == f"HistoryEntry({history[-1].when[:19]}, sealed iris:1)"
    [row] = api.run_rows(store=store, limit=1)
    assert repr(row) == f"RunRow({iris_run.run}, done, iris:1, {accuracy_of(row)})"
    report = api.prune(store=store, dry_run=True)
    assert repr(report) == f"PruneReport({str(store)!r}, would remove: 0, kept: 1, bytes: 0)"
    verified = api.check_integrity("latest", store=store)
    assert repr(verified.manifest.interface) == "Interface(4 features → 3 classes)"
    assert repr(verified) == (
        f"Verified({verified.folder}, Manifest(iris: GaussianNB, {verified.manifest.interface!r}))"
    )
    (tmp_path / "t.csv").write_text("a,y\n" + "".join(f"{i % 7},{i % 2}\n" for i in range(60)))
    assert repr(api.draft(tmp_path / "t.csv", "y")) == "Draft(t, 60 rows, 2 columns)"


def test_versions_in_a_table_of_runs_are_integers(iris_run, store):
    assert api.Store(store).runs(name="iris")["version"].tolist()[-1] == 1
    assert str(api.Store(store).runs()["version"].dtype) == "Int64"


def test_a_notebook_shows_metrics_digest_and_classes(iris_run):
    run = Elements(iris_run._repr_html_())
    predictor = Elements(api.open_artifact(iris_run.artifact)._repr_html_())
    for shown in (run, predictor):
        assert "table" in shown.names and iris_run.digest in shown.text
        assert f"{iris_run.metrics.test['accuracy']:.4f}" in shown.text
    assert "setosa, versicolor, virginica" in predictor.text


def test_a_notebook_leads_with_the_headline_of_a_run(iris_run):
    evaluation = api.check_integrity(iris_run.artifact).evaluation()
    low, high = msgspec.structs.astuple(evaluation.diagnostics.intervals["accuracy"])
    text = Elements(iris_run._repr_html_()).text
    start = f"held-out accuracy{iris_run.metrics.test['accuracy']:.4f} ({low:.4f} to {high:.4f}"
    assert "".join(start.split()) in "".join(text.split())
    assert text.index("held-out accuracy") < text.index("digest")


def test_a_notebook_shows_the_head_of_the_report(iris_run, store, tmp_path):
    api.write_report(iris_run.digest, tmp_path / "report.html", store=store)
    report = (tmp_path / "report.html").read_text()
    frame = re.search(r'<iframe sandbox srcdoc="([^"]*)"', iris_run._repr_html_())
    head = html.unescape(frame[1])
    section = re.search(r'<section id="quality".*?</section>', report, re.DOTALL)[0]
    assert section in head and "Where is it wrong?" not in head


def test_a_notebook_shows_names_from_data_as_text(flowers, tmp_path):
    estimator, X, _ = flowers
    names = np.array(["<script>alert(1)</script>", "b"], dtype=object)
    y = names[(X["size"] == "small").astype(int)]
    estimator = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(X, y)
    sealed = api.seal(estimator, X, y, store=tmp_path / "artifacts")
    assert repr(sealed).startswith(
        f"Sealed(LogisticRegression:1, {sealed.digest[7:19]}, accuracy 1.0000"
    )
    for shown in (sealed, api.open_artifact(sealed.artifact)):
        elements = Elements(shown._repr_html_())
        assert "script" not in elements.names and sealed.digest in elements.text


def test_nothing_that_is_shown_says_unset(iris_run, store):
    shown = api.show(iris_run.artifact, store=store)
    verified = api.check_integrity(iris_run.artifact)
    values = (iris_run, iris_run.metrics, shown.manifest, verified.evaluation(),
              api.artifacts(store=store), api.runs(store=store))  # fmt: skip
    assert not any("UNSET" in repr(value) for value in values)


def test_classes_name_the_columns_of_probabilities(iris_run):
    predictor = api.open_artifact(iris_run.artifact)
    X, y = load_iris(return_X_y=True)
    probabilities = predictor.predict_proba(X)
    assert predictor.class_names == ["setosa", "versicolor", "virginica"]
    assert predictor.classes_.tolist() == [0, 1, 2]
    predicted = predictor.classes_[probabilities.argmax(axis=1)]
    assert predicted.tolist() == predictor.predict(X).tolist()
    assert (predicted == y).mean() > 0.9


def test_a_prediction_of_many_rows_is_shown_in_one_line(iris_run):
    X, _ = load_iris(return_X_y=True)
    rows = "\n".join(",".join(map(str, row)) for row in X)
    prediction = api.infer(iris_run.artifact, rows.encode(), name="rows.csv")
    short = iris_run.digest[7:19]
    assert repr(prediction) == f"Prediction({short}, 150 rows: 0, 0, 0, …)"


def test_a_regressor_has_no_classes(tmp_path):
    X, y = load_diabetes(return_X_y=True)
    sealed = api.seal(Ridge().fit(X, y), X, y, store=tmp_path / "artifacts")
    predictor = api.open_artifact(sealed.artifact)
    assert predictor.class_names == [] and not hasattr(predictor, "classes_")
    assert "10 features → a number" in repr(predictor)


def test_records_are_predicted_as_a_data_frame_is(iris_run):
    predictor = api.open_artifact(iris_run.artifact)
    frame = load_iris(as_frame=True).data.set_axis(predictor.interface.features, axis=1)
    records = [dict(reversed(record.items())) for record in frame.to_dict("records")]
    assert predictor.predict(records).tolist() == predictor.predict(frame).tolist()
    del records[2][predictor.interface.features[0]]
    with pytest.raises(api.DataError, match="X, row 3: the column 'sepal length"):
        predictor.predict(records)


def test_records_of_a_table_are_predicted_and_sealed(flowers, tmp_path):
    estimator, X, y = flowers
    records = X.to_dict("records")
    sealed = api.seal(estimator, records, y, store=tmp_path / "artifacts")
    assert sealed.digest == api.seal(estimator, X, y, store=tmp_path / "other").digest
    predictor = api.open_artifact(sealed.artifact)
    assert predictor.predict(records).tolist() == estimator.predict(X).tolist()
    with pytest.raises(api.DataError, match="the column 'size' is missing"):
        predictor.predict([{"sizes": "large"}])
    with pytest.raises(api.DataError, match="the column 'size' has no text"):
        predictor.predict([{"size": "large"}, {"size": 3}])


NOTEBOOK = """
import sys, types
# IPython is not a requirement: this has what its kernel has and is looked at.
kernel = types.SimpleNamespace(kernel=object())
sys.modules["IPython"] = types.SimpleNamespace(get_ipython=lambda: {shell})
import artifact_pipeline
artifact_pipeline.run({config!r}, store={store!r})
"""


@pytest.mark.parametrize(("shell", "shown"), [("kernel", True), ("None", False)])
def test_a_notebook_shows_progress_and_a_script_does_not(iris_run, store, shell, shown):
    code = NOTEBOOK.format(shell=shell, config=QUICK, store=str(store))
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, check=True
    )
    printed = done.stdout.decode()
    lines = [line.rpartition("\r")[2].split() for line in printed.split("\n")]
    jobs = [["test", "done"], ["train", "done"], ["inference", "done"]] if shown else []
    assert [line[:2] for line in lines if line] == jobs, printed
