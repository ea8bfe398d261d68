"""Diagnostics: their figures agree with scikit-learn and scipy, and no cell is shown."""

import msgspec
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from sklearn import inspection, metrics
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_classification, make_regression
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.artifact.diagnostics import MIN_COUNT, RESIDUAL_SHARES, Diagnostics
from artifact_pipeline.builder.evaluation import column_summaries
from artifact_pipeline.builder.evaluation.diagnose import TrainingRows, diagnose
from artifact_pipeline.builder.evaluation.weighted_metrics import PredictedRows
from artifact_pipeline.builder.model.estimators import as_labels, predict_with_proba


def measure(estimator, X, y, *, train=None, kinds=None, slices=None):
    is_class = hasattr(estimator, "classes_")
    predicted, proba = predict_with_proba(estimator, X)
    rows = PredictedRows(
        y,
        predicted=predicted,
        probabilities=proba,
        labels=as_labels(estimator.classes_).tolist() if is_class else (),
        target="class" if is_class else "number",
    )
    names = list(X.columns) if hasattr(X, "columns") else [f"x{k}" for k in range(X.shape[1])]
    return diagnose(
        estimator,
        X,
        rows=rows,
        features=names,
        kinds=kinds,
        train=train,
        slices=slices or {},
        target_name="y",
        is_image=False,
    )


@pytest.fixture(scope="module")
def binary():
    X, y = make_classification(800, 6, n_informative=3, n_redundant=0, flip_y=0.2, random_state=0)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X[:400], y[:400])
    return (
        model,
        X[400:],
        y[400:],
        measure(model, X[400:], y[400:], train=TrainingRows(X[:400], y[:400])),
    )


@pytest.fixture(scope="module")
def numbers():
    X, y = make_regression(600, 4, n_informative=2, noise=20.0, random_state=0)
    model = LinearRegression().fit(X[:300], y[:300])
    return (
        model,
        X[300:],
        y[300:],
        measure(model, X[300:], y[300:], train=TrainingRows(X[:300], y[:300])),
    )


def test_intervals_are_those_of_scipys_bootstrap(binary, numbers):
    model, X, y, found = binary
    hits = (model.predict(X) == y).astype(float)
    theirs = scipy.stats.bootstrap((hits,), np.mean, method="percentile", n_resamples=5000)
    own = found.intervals["accuracy"]
    assert own.low == pytest.approx(theirs.confidence_interval.low, abs=0.01)
    assert own.high == pytest.approx(theirs.confidence_interval.high, abs=0.01)
    model, X, y, found = numbers
    theirs = scipy.stats.bootstrap(
        (y, model.predict(X)), metrics.r2_score, method="percentile", n_resamples=1000,
        paired=True, vectorized=False,
    )  # fmt: skip
    own = found.intervals["r2"]
    assert own.low == pytest.approx(theirs.confidence_interval.low, abs=0.01)
    assert own.high == pytest.approx(theirs.confidence_interval.high, abs=0.01)


def test_the_interval_of_many_rows_is_as_narrow_as_they_make_it():
    rng = np.random.default_rng(1)
    y, X = rng.integers(0, 2, 40_000), rng.normal(size=(40_000, 1))
    X[:, 0] += y
    model = LogisticRegression().fit(X[:1000], y[:1000])
    found = measure(model, X, y)
    p = (model.predict(X) == y).mean()
    width = 2 * 1.96 * np.sqrt(p * (1 - p) / len(y))
    own = found.intervals["accuracy"]
    assert own.high - own.low == pytest.approx(width, rel=0.1)
    assert own.low < p < own.high and found.resampling.rows == 5000


def test_a_perfect_accuracy_still_has_an_interval():
    X = np.arange(60.0)[:, None]
    y = (X[:, 0] > 30).astype(int)
    found = measure(KNeighborsClassifier(1).fit(X, y), X, y)
    theirs = scipy.stats.binomtest(60, 60).proportion_ci(method="exact")
    own = found.intervals["accuracy"]
    assert (own.low, own.high) == (pytest.approx(theirs.low, abs=1e-6), 1.0)


def test_curves_are_scikit_learns(binary):
    model, X, y, found = binary
    [curve], scores = found.curves, model.predict_proba(X)[:, 1]
    assert curve.roc_auc == pytest.approx(metrics.roc_auc_score(y, scores), abs=1e-6)
    precision = metrics.average_precision_score(y, scores)
    assert curve.average_precision == pytest.approx(precision, abs=1e-6)
    assert len(curve.thresholds) <= 200
    fpr, tpr, _ = metrics.roc_curve(y, scores, drop_intermediate=False)
    points = set(zip(np.round(fpr, 9).tolist(), np.round(tpr, 9).tolist(), strict=True))
    for true, false in zip(curve.true_positives, curve.false_positives, strict=True):
        at = round(false / curve.negatives, 9), round(true / curve.positives, 9)
        assert at in points
    assert (curve.true_positives[-1], curve.false_positives[-1]) == (y.sum(), (1 - y).sum())


def test_equal_scores_are_one_point_of_a_curve():
    y = np.array([0, 1] * 20)
    found = measure(DummyClassifier(strategy="prior").fit(y[:, None], y), y[:, None] * 1.0, y)
    [curve] = found.curves
    assert curve.true_positives == [20] and curve.false_positives == [20]
    assert curve.roc_auc == curve.average_precision == 0.5


def test_histograms_and_calibration_hold_each_row_once(binary):
    _, X, y, found = binary
    [part] = found.probabilities
    assert sum(part.of_class) == y.sum() and sum(part.of_others) == len(y) - y.sum()
    assert sum(group.rows for group in part.calibration) == len(X)
    assert sum(group.rows * group.share for group in part.calibration) == pytest.approx(
        y.sum(), 1e-3
    )


def test_importance_is_near_scikit_learns(binary, numbers):
    for model, X, y, found in (binary, numbers):
        theirs = inspection.permutation_importance(
            model, X, y, n_repeats=30, random_state=0,
            scoring=found.importance.metric,
        )  # fmt: skip
        own = [feature.mean for feature in found.importance.features]
        assert own == pytest.approx(theirs.importances_mean.tolist(), abs=0.03, rel=0.15)


def test_densities_hold_each_row(numbers):
    model, X, y, found = numbers
    parts = found.residuals
    for density in (parts.predicted_by_true, parts.residual_by_predicted):
        assert sum(map(sum, density.counts)) + density.outside == len(y)
    assert sum(parts.histogram.counts) + parts.histogram.outside == len(y)
    theirs = np.quantile(model.predict(X) - y, RESIDUAL_SHARES)
    assert parts.quantiles == pytest.approx(theirs.tolist(), rel=1e-4)


@pytest.mark.parametrize(
    ("share", "classes", "expected"),
    [(0.5, 2, "accuracy"), (0.1, 2, "roc_auc"), (0.05, 3, "balanced_accuracy")],
)
def test_the_headline_depends_on_the_balance_of_the_classes(share, classes, expected):
    y = np.zeros(200, int)
    y[: int(200 * share)] = 1
    y[-20 * (classes - 2) or 200 :] = 2
    X = np.random.default_rng(0).normal(size=(200, 2)) + y[:, None]
    assert measure(LogisticRegression().fit(X, y), X, y).headline == expected


def people(count=400):
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "income": np.round(rng.lognormal(10, 0.7, count), 2),
            "children": rng.integers(0, 4, count).astype(float),
            "city": rng.choice(["Pune", "Rome"], count).astype(object),
        }
    )


def summaries(frame):
    return {
        part.name: part
        for part in column_summaries.summarize(
            frame,
            frame[:50],
            features=list(frame.columns),
            kinds={"income": "number", "children": "number", "city": "text"},
        )
    }


def test_a_summary_shows_no_cell_that_only_one_row_has():
    frame = people()
    frame.loc[7] = [91_234_567.89, 11.0, "Mr. A. Secret, 12 Hidden Lane"]
    found = summaries(frame)
    text = msgspec.json.encode(list(found.values())).decode()
    assert "Secret" not in text and "91234567" not in text
    income = found["income"]
    assert not {income.low, income.high, income.median} & set(frame["income"])
    assert income.low <= frame["income"].min() and income.high >= frame["income"].max()
    # Eleven children are one family: no bin is only theirs.
    children = found["children"]
    width = (children.high - children.low) / len(children.train)
    assert width >= 2 and sum(children.train) == 400
    assert [value.value for value in found["city"].top] == ["Pune", "Rome"]


def test_texts_are_shown_from_five_rows_on():
    frame = people()
    frame["city"] = (
        ["few"] * (MIN_COUNT - 1) + ["some"] * MIN_COUNT + ["many"] * (400 - 2 * MIN_COUNT + 1)
    )
    assert [value.value for value in summaries(frame)["city"].top] == ["many", "some"]
    assert summaries(frame)["city"].distinct == 3


def test_a_rare_category_is_not_among_the_coefficients():
    frame, rng = people(), np.random.default_rng(0)
    frame.loc[3, "city"] = "Hidden Lane"
    y = rng.integers(0, 2, 400)
    encoder = ColumnTransformer(
        [("one", OneHotEncoder(), ["city"]), ("num", StandardScaler(), ["income", "children"])]
    )
    model = make_pipeline(encoder, LogisticRegression()).fit(frame, y)
    found = measure(
        model, frame, y, train=TrainingRows(frame, y),
        kinds={"income": "number", "children": "number", "city": "text"},
    ).coefficients  # fmt: skip
    names = [part.name for part in found.listed]
    assert sorted(names) == ["num__children", "num__income", "one__city_Pune", "one__city_Rome"]
    assert found.inputs == 5
    theirs = dict(zip(encoder.get_feature_names_out(), model[-1].coef_[0], strict=True))
    for part in found.listed:
        assert part.values == [pytest.approx(theirs[part.name], rel=1e-5)]


@pytest.mark.parametrize(
    "change",
    [
        lambda X, y: (X[:1], y[:1]),
        lambda X, y: (np.ones_like(X), y),
        lambda X, y: (X * 1e300, y),
        lambda X, y: (X, y * 1e300),
        lambda X, y: (X, y * 1e-300),
        lambda X, y: (X + 1e16, y),
        lambda X, y: (X, y * 0 + 7),
    ],
)
def test_odd_numbers_are_measured_as_far_as_they_can_be(change):
    X, y = make_regression(60, 3, random_state=0)
    model = LinearRegression().fit(X, y)
    X, y = change(X, y)
    with np.errstate(all="ignore"):
        check(measure(model, X, y, train=TrainingRows(X, y)), labels=0)


@pytest.mark.parametrize("classes", [[0, 1], [1], [0], [2, 0]])
@pytest.mark.parametrize("rows", [1, 30])
def test_few_or_single_classes_are_measured_as_far_as_they_can_be(classes, rows):
    X = np.random.default_rng(0).normal(size=(90, 2))
    y = np.arange(90) % 3
    model = LogisticRegression().fit(X[y < 2], y[y < 2])
    kept = np.flatnonzero(np.isin(y, classes))[:rows]
    slices = {"first": np.arange(len(kept)) < 1}
    check(measure(model, X[kept], y[kept], slices=slices), labels=2)


def test_missing_numbers_are_counted():
    from sklearn.ensemble import HistGradientBoostingRegressor

    X, y = make_regression(80, 3, random_state=0)
    fitted = HistGradientBoostingRegressor().fit(X, y)
    X[:, 0], X[:5, 1] = np.nan, np.nan
    found = measure(fitted, X, y, train=TrainingRows(X, y))
    check(found, labels=0)
    empty, some, full = found.columns
    assert (empty.train_missing, empty.distinct, empty.low) == (80, 0, None)
    assert (some.train_missing, full.train_missing) == (5, 0)


def test_the_same_rows_give_the_same_bytes(binary):
    model, X, y, found = binary
    again = measure(model, X, y, train=TrainingRows(X, y))
    assert again.importance == found.importance and again.intervals == found.intervals


def check(found, *, labels):
    """Check that diagnostics are canonical JSON and fit the model."""
    data = canonical.encode(msgspec.to_builtins(found))
    assert msgspec.json.decode(data, type=Diagnostics) == found
    assert found.fits(labels)
