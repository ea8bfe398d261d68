"""The parity proof, and the explanation of a fallback."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, OneHotEncoder
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

import artifact_pipeline
from artifact_pipeline.builder.artifact import manifest as manifests
from artifact_pipeline.builder.evaluation import edge_answers, edge_cases
from artifact_pipeline.builder.formats import parity
from artifact_pipeline.builder.formats.base import Outputs
from artifact_pipeline.errors import ConfigError, DataError, Location
from tests.support.configs import ROOT

RECIPE = manifests.decode(
    (ROOT / "tests/fixtures/version-1-skops/manifest.json").read_bytes(), "m"
).recipe
X = np.random.default_rng(0).normal(size=(60, 2))


def edges_of(estimator, rows):
    answers = edge_answers.answer(estimator, edge_cases.make(estimator, rows, held_out=rows))
    outputs = Outputs(*answers.outputs)
    return parity.Edges(
        rows=answers.rows, outputs=outputs, kinds=answers.kinds, flaws=answers.flaws,
        columns=answers.columns,
        refused=answers.refused, counts=answers.counts, lowercase=answers.lowercase,
    )  # fmt: skip


def test_a_form_that_differs_only_on_edge_cases_is_not_sealed():
    """On the held-out rows both lines are the same; between them they are not."""
    rows = np.array([[0.0], [1.5], [3.0], [4.5]])
    one = LinearRegression().fit(rows, [0.0, 1.0, 2.0, 3.0])
    other = DecisionTreeClassifier().fit(rows, [0, 1, 2, 3])
    line, steps = one.predict(rows), other.predict(rows).astype(float)
    assert line == pytest.approx(steps)
    edges = edges_of(one, rows)
    candidates = list(parity.candidates(other, rows))
    with pytest.raises(ConfigError, match="no open form that could be proven equal"):
        parity.prove(
            candidates,
            rows,
            expected=Outputs(line, None),
            edges=edges,
            location=Location("model"),
            recipe=RECIPE,
        )


def test_a_form_with_equal_labels_and_another_decision_function_is_not_sealed():
    """Twice the coefficients give the same label everywhere, and are another model."""
    estimator = LinearSVC().fit(X, X[:, 0] > 0)
    other = copy.deepcopy(estimator)
    other.coef_, other.intercept_ = 2 * estimator.coef_, 2 * estimator.intercept_
    assert (other.predict(X) == estimator.predict(X)).all()
    expected = Outputs(estimator.predict(X), None, estimator.decision_function(X))
    edges = edges_of(estimator, X)
    candidates = [one for one in parity.candidates(other, X) if one.form.file == "model.onnx"]
    with pytest.raises(ConfigError, match="differs from the estimator on the held-out rows"):
        parity.prove(
            candidates, X, expected=expected, edges=edges, location=Location("model"), recipe=RECIPE
        )


@pytest.mark.parametrize("classes", [2, 3])
def test_a_kernel_that_is_computed_in_float32_is_not_called_float64(tmp_path, classes):
    """Its labels are the estimator's, and its decision function lies 1e-7 from it."""
    y = np.digitize(X[:, 0], [-0.5, 0.5][: classes - 1])
    sealed = artifact_pipeline.seal(SVC().fit(X, y), X, y, store=tmp_path)
    assert artifact_pipeline.show(sealed.digest, store=tmp_path).manifest.parity.form == (
        "onnx-float32"
    )


def test_the_same_rows_make_the_same_edge_cases():
    estimator = LogisticRegression().fit(X, X[:, 0] > 0)
    first, second = (edge_cases.make(estimator, X, held_out=X) for _ in range(2))
    assert np.array_equal(first.rows, second.rows) and first.flaws == second.flaws


@pytest.mark.slow
def test_a_wide_table_has_a_bounded_number_of_edge_cases():
    wide = pd.DataFrame(np.random.default_rng(0).normal(size=(100, 1500)).round(2))
    wide.columns = [f"f{i}" for i in range(1500)]
    cases = edge_cases.make(
        DummyRegressor().fit(wide, wide.f0), wide, held_out=wide, kinds=["number"] * 1500
    )
    assert len(cases.kinds) < 12_000
    tried = {flaw.column for flaws in cases.flaws for flaw in flaws if flaw.kind == "missing"}
    assert tried == set(range(1500))


def test_a_row_of_zeros_is_answered_as_the_estimator_does(tmp_path):
    """Its norm is 0: scikit-learn leaves it alone, and skl2onnx's graph divides by it."""
    y = X[:, 0] > 0
    estimator = make_pipeline(Normalizer(), LogisticRegression()).fit(X, y)
    sealed = artifact_pipeline.seal(estimator, X, y, store=tmp_path)
    predictor = artifact_pipeline.open_artifact(sealed.artifact, digest=sealed.digest)
    rows = np.zeros((1, 2))
    assert predictor.predict_proba(rows) == pytest.approx(estimator.predict_proba(rows))


def test_edge_cases_are_answered_in_batches_of_bounded_size():
    """A vectorizer may make a million columns of each row."""
    sizes = []

    class Recording(LogisticRegression):
        def predict_proba(self, rows):
            sizes.append(len(rows))
            return super().predict_proba(rows)

    estimator = Recording().fit(X, X[:, 0] > 0)
    edges = edges_of(estimator, X)
    assert max(sizes) <= 256 < sum(sizes)
    assert edges.outputs.predicted.tolist() == estimator.predict(edges.rows).tolist()


def test_the_manifest_counts_edge_cases_and_refusals(tmp_path):
    y = X[:, 0] > 0
    tree = DecisionTreeClassifier(max_depth=2).fit(X, y)
    sealed = artifact_pipeline.seal(tree, X, y, store=tmp_path)
    predictor = artifact_pipeline.open_artifact(sealed.artifact, digest=sealed.digest)
    cases = predictor.manifest.parity.edge_cases
    assert cases.seed == edge_cases.SEED and cases.version == edge_cases.VERSION
    assert {"numbers", "numbers far beyond", "combinations", "twice"} <= set(cases.rows)
    # scikit-learn's trees refuse what a float32 does not hold, and so does the interface.
    assert set(cases.refused) == {"numbers far beyond"}
    with pytest.raises(DataError, match="X, row 2"):
        predictor.predict([[0.0, 0.0], [0.0, 1e39]])
    assert predictor.predict([[0.0, 3e38]]).tolist() == tree.predict([[0.0, 3e38]]).tolist()


def test_the_sealed_form_is_not_among_those_that_were_not_sealed(tmp_path):
    """The first of two float32 graphs does not load: it has the types of a sparse encoding."""
    texts = pd.DataFrame({"t": ["u", "v", "w"] * 20})
    model = make_pipeline(
        ColumnTransformer([("t", OneHotEncoder(), ["t"])], sparse_threshold=0.0), GaussianNB()
    ).fit(texts, ["no", "yes"] * 30)
    sealed = artifact_pipeline.seal(model, texts, ["no", "yes"] * 30, store=tmp_path)
    parity = artifact_pipeline.show(sealed.digest, store=tmp_path).manifest.parity
    assert parity.form == "onnx-float32"
    assert parity.reason.startswith("onnx-float32 was sealed, not onnx-float64: ")


def test_a_fallback_form_is_explained_with_its_cost(tmp_path):
    y = X[:, 0] * 2
    sealed = artifact_pipeline.seal(KernelRidge().fit(X, y), X, y, store=tmp_path)
    shown = artifact_pipeline.show(sealed.digest, store=tmp_path)
    reason = shown.manifest.parity.reason
    assert "skl2onnx has no converter for KernelRidge" in reason
    assert "scikit-learn is needed to predict" in reason
    assert (
        "no converter for KernelRidge" in (tmp_path / sealed.digest[7:] / "README.md").read_text()
    )
