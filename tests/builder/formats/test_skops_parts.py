"""Parts that skops cannot hold: equal predictions, and validated contents."""

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.datasets import load_iris
from sklearn.ensemble import (
    BaggingClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.feature_selection import SelectKBest
from sklearn.impute import IterativeImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV
from sklearn.multiclass import OutputCodeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, SplineTransformer
from sklearn.tree import DecisionTreeClassifier

from artifact_pipeline.builder.data.dataset import batch
from artifact_pipeline.builder.formats import skops_parts
from artifact_pipeline.builder.model.estimators import predict_with_proba
from artifact_pipeline.errors import VerificationError
from tests.support.skops import exported, load

X, y = load_iris(return_X_y=True)
HOLES = np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.nan, X)
TABLE = pd.DataFrame({"a": X[:, 0], "t": np.array(["p", "q", "r"], dtype=object)[y[::-1]]})


@pytest.mark.parametrize(
    ("estimator", "rows", "target"),
    [
        (DecisionTreeClassifier(), HOLES, y),
        (RandomForestClassifier(3, random_state=0), HOLES, y),
        (GradientBoostingClassifier(n_estimators=3), X, y),
        (BaggingClassifier(DecisionTreeClassifier(), 3, max_features=2, random_state=0), X, y),
        (OutputCodeClassifier(DecisionTreeClassifier(), random_state=0), X, y),
        # It holds the estimator that it clones as well, which was never fitted.
        (OutputCodeClassifier(HistGradientBoostingClassifier(max_iter=2), random_state=0), X, y),
        (VotingClassifier([("a", GaussianNB()), ("b", LogisticRegression())]), X, y),
        (CalibratedClassifierCV(GaussianNB(), method="isotonic", cv=2), X, y),
        (CalibratedClassifierCV(GaussianNB(), cv=2), X, y),
        (CalibratedClassifierCV(GaussianNB(), method="temperature", cv=2), X, y),
        (TunedThresholdClassifierCV(GaussianNB(), thresholds=5, cv=2), X, X[:, 2] > 4),
        (GridSearchCV(GaussianNB(), {"var_smoothing": [1.0, 1e-9]}, cv=2), X, y),
        (make_pipeline(SplineTransformer(), LogisticRegression()), X, y),
        (make_pipeline(IterativeImputer(), LogisticRegression()), HOLES, y),
        (make_pipeline(SelectKBest(k=2), GaussianNB()), X, y),
        (KNeighborsClassifier(4), np.round(X), y),
        (KNeighborsClassifier(4, algorithm="ball_tree", metric="manhattan"), np.round(X), y),
        (make_pipeline(FunctionTransformer(np.log1p), GaussianNB()), X, y),
        (HistGradientBoostingClassifier(categorical_features=["t"], max_iter=3), TABLE, y),
        (TransformedTargetRegressor(LinearRegression(), func=np.log1p, inverse_func=np.expm1),
         X, X[:, 0]),
        (make_pipeline(make_column_transformer((SplineTransformer(), ["a"])), GaussianNB()),
         TABLE, y),
    ],
)  # fmt: skip
def test_an_estimator_predicts_the_same_and_is_not_modified(estimator, rows, target):
    fitted = estimator.fit(rows, target)
    archive = exported(fitted)
    found = load(archive)(batch(rows))
    predicted, probabilities = predict_with_proba(fitted, rows)
    np.testing.assert_array_equal(found.predicted, predicted)
    if probabilities is not None:
        np.testing.assert_array_equal(found.probabilities, probabilities)
    assert exported(fitted) == archive


def with_parts(change, estimator, monkeypatch):
    """Export an estimator after a change of what its trees are written as."""
    before = skops_parts._plain

    def changed(name, value):
        found = before(name, value)
        if name == "tree_":
            change(found)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(skops_parts, "_plain", changed)
        return exported(estimator)


def set_node(field, value):
    def change(found):
        found["nodes"] = found["nodes"].copy()
        found["nodes"][field][0] = value

    return change


def share(found):
    found["nodes"] = found["nodes"].copy()
    found["nodes"]["right_child"][0] = found["nodes"]["left_child"][0]


def cut(name, to):
    def change(found):
        found[name] = found[name][to]

    return change


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (set_node("left_child", 0), "leads out of its nodes"),
        (set_node("left_child", 4_000_000), "leads out of its nodes"),
        (set_node("right_child", -7), "leads out of its nodes"),
        (set_node("feature", 4), "leads out of its nodes"),
        (set_node("feature", -2), "leads out of its nodes"),
        (share, "leads out of its nodes"),
        (cut("nodes", slice(2)), "wrong type or shape"),
        (cut("values", (slice(None), slice(None), slice(1))), "wrong type or shape"),
        (lambda found: found.update(values=found["values"].astype("f4")), "wrong type or shape"),
        (lambda found: found.update(nodes=np.zeros(3)), "wrong type or shape"),
        (lambda found: found.update(nodes=[1, 2]), "wrong type or shape"),
        (cut("nodes", slice(0)), "wrong type or shape"),
    ],
)
def test_an_invalid_tree_is_refused_before_it_is_created(change, why, monkeypatch):
    archive = with_parts(change, DecisionTreeClassifier().fit(X, y), monkeypatch)
    with pytest.raises(VerificationError, match=why):
        load(archive)


def test_a_tree_that_reads_more_features_than_its_forest_checks_is_refused():
    forest = RandomForestClassifier(2, random_state=0).fit(X, y)
    wide = np.column_stack([X, X])
    forest.estimators_[1] = DecisionTreeClassifier(random_state=3).fit(wide[:, ::-1], y)
    with pytest.raises(
        VerificationError, match="its trees take another number of features than it does"
    ):
        load(exported(forest))


@pytest.mark.parametrize(
    "change",
    [
        lambda model: setattr(model, "estimators_", model.estimators_[:, :2]),
        lambda model: setattr(model, "estimators_", np.hstack([model.estimators_] * 2)),
        lambda model: setattr(model, "n_trees_per_iteration_", 2),
        lambda model: setattr(model.init_, "class_prior_", np.array([1.0])),
        lambda model: setattr(model, "classes_", np.array([0, 1])),
    ],
)
def test_boosting_beyond_its_classes_is_refused(change):
    model = GradientBoostingClassifier(n_estimators=2).fit(X, y)
    change(model)
    with pytest.raises(VerificationError, match="another number of"):
        load(exported(model))


@pytest.mark.parametrize("function", ["os.system", "numpy.load", "log1p", "numpy.random.seed"])
def test_only_functions_that_a_config_may_name_are_loaded(function, monkeypatch):
    model = make_pipeline(FunctionTransformer(np.log1p), GaussianNB()).fit(X, y)
    monkeypatch.setattr(skops_parts, "_name_of", lambda value: function)
    with pytest.raises(VerificationError, match="contains a value that its methods must not use"):
        load(exported(model))


def test_an_invalid_spline_is_refused(monkeypatch):
    model = make_pipeline(SplineTransformer(), GaussianNB()).fit(X, y)
    before = skops_parts._plain

    def changed(name, value):
        found = before(name, value)
        if name == "bsplines_":
            found[0]["t"] = found[0]["t"][:3]
        return found

    monkeypatch.setattr(skops_parts, "_plain", changed)
    with pytest.raises(VerificationError, match="skops does not load it"):
        load(exported(model))
