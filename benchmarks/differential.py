"""Differential test: sealed artifacts against their estimators.

    python -m benchmarks.differential SECONDS [SEED] [LOG]

Each seed is a table, a pipeline fitted to it, and rows unlike those of the table. The sealed
artifact must give the estimator's output for a row, or refuse the row with its location. Every
other row is printed with its seed, and the exit code is 1. Each seed appends its result to LOG, a
file of JSON lines.
"""

from __future__ import annotations

import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import pandas as pd

import artifact_pipeline
from artifact_pipeline.builder.model.estimators import boosters_of
from artifact_pipeline.errors import ConfigError, DataError, PipelineError

ROWS = 40
"""Rows that are compared for each pipeline."""
WORDS = (
    "good",
    "bad",
    "fine",
    "issue",
    "straße",
    "καλος",
    "δρομος",
    "naïve",
    "日本",
    "ısı",
    "miss",
)
ODD = (
    *(
        " ",
        "x",
        "Good",
        "GOOD bad",
        "ΚΑΛΟΣ",
        "ΔΡΟΜΟΣ ΚΑΛΟΣ",
        "İssue",
        "STRASSE",
        "Straẞe",
        "ſine",
    ),
    *(
        "fine\u00a0bad",
        "fine\u2028bad",
        "fine\u0085bad",
        "fi\u200bne",
        "fine\tbad\n",
        "fine\r\nbad",
    ),
    *(
        "nai\u0308ve",
        "NAÏVE",
        "１２ 12 ١٢",
        "🙂 good",
        "12",
        "1.5",
        "2026-01-01",
        "nan",
        "good" * 500,
    ),
)
WAYS: tuple[dict[str, Any], ...] = (
    *({"ngram_range": (1, 2)}, {"ngram_range": (2, 2), "stop_words": ["good", "bad"]}),
    *({"stop_words": ["good", "bad"]}, {"binary": True}, {"strip_accents": "unicode"}),
    *({"analyzer": "char", "ngram_range": (2, 3)}, {"analyzer": "char_wb"}),
    *({"token_pattern": r"\S+"}, {"token_pattern": r"(?u)\b\w+\b"}, {"token_pattern": "[a-z]+"}),
)
"""Options of vectorizers."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one seed.

    Attributes:
        form: The sealed form, `refused` if `seal` refused the pipeline, or `unfitted` if
            scikit-learn refused it.
        compared: Rows whose outputs were compared.
        refused: Rows that the artifact refused with their location.
        faults: Rows with other outputs, and errors of other kinds.
        refusal: The message with which the pipeline was refused.
    """

    seed: int
    title: str
    form: Literal["onnx-float64", "onnx-float32", "skops", "refused", "unfitted"]
    compared: int = 0
    refused: int = 0
    faults: list[str] = []
    refusal: str = ""


def compare(seed: int, store: Path) -> Comparison:
    """Seal the pipeline of a seed, and compare its outputs with those of its estimator.

    Pipelines of odd seeds have more parts.
    """
    rng = np.random.default_rng(seed)
    table, y = _table(rng)
    build = _wide_pipeline if seed % 2 else _pipeline
    estimator = build(rng, table, y)
    title = " ".join(str(estimator).split())
    with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):
        try:
            estimator.fit(table, y)
            spread = _spread(estimator.predict(table))
        except Exception as error:  # noqa: BLE001  (scikit-learn may raise anything)
            return Comparison(seed=seed, title=title, form="unfitted", refusal=str(error))
        try:
            sealed = artifact_pipeline.seal(estimator, table, y, store=store)
        except ConfigError as error:
            # Documented limits with a remedy: a missing text without a replacement, and a
            # booster inside an estimator whose graph is not exact, which has no other form.
            has_booster = bool(boosters_of(estimator))
            is_documented = "answers row" in error.problem or (
                has_booster and "no open form" in error.problem
            )
            faults = [] if is_documented else [str(error)]
            return Comparison(
                seed=seed, title=title, form="refused", faults=faults, refusal=str(error)
            )
        except Exception:  # noqa: BLE001  (the test looks for tracebacks)
            return Comparison(
                seed=seed, title=title, form="refused", faults=[traceback.format_exc()]
            )
        predictor = artifact_pipeline.open_artifact(
            sealed.artifact, digest=sealed.digest, store=store
        )
        compared, refused, faults = 0, 0, []
        for _ in range(ROWS):
            row = _row(rng, table)
            try:
                outputs = predictor.outputs(row)
            except DataError:
                refused += 1
                continue
            except PipelineError as error:
                faults.append(f"{row.iloc[0].tolist()}: {error}")
                continue
            compared += 1
            if difference := _difference(estimator, row, outputs, spread):
                faults.append(f"{row.iloc[0].tolist()}: {difference}")
    return Comparison(
        seed=seed,
        title=title,
        form=predictor.manifest.parity.form,
        compared=compared,
        refused=refused,
        faults=faults,
    )


def _spread(predicted: Any) -> float:
    return float(np.ptp(predicted)) if predicted.dtype.kind == "f" else 1.0


def _answer(estimator: Any, row: pd.DataFrame) -> tuple[Any, Any]:
    gives = hasattr(estimator, "predict_proba")
    return estimator.predict(row), estimator.predict_proba(row) if gives else None


def _difference(estimator: Any, row: pd.DataFrame, outputs: Any, spread: float) -> str | None:
    expected, proba, refusal = None, None, ""
    # For an estimator that refuses missing texts, a missing text is an empty one.
    for filled in ({}, {"note": ""}, {"note": "", "kind": ""}):
        try:
            expected, proba = _answer(estimator, row.fillna(filled) if filled else row)
            break
        except Exception as error:  # noqa: BLE001
            refusal = str(error)
    if expected is None:
        return f"scikit-learn refuses it ({refusal}), and the artifact answers {outputs.predicted}"
    expected = expected.ravel()
    if expected.dtype.kind == "f" and proba is None:
        bound = 1e-5 * max(1.0, spread, abs(float(expected[0])))
        if abs(outputs.predicted[0] - expected[0]) <= bound:
            return None
    elif outputs.predicted[0] == expected[0]:
        if proba is None or np.allclose(
            outputs.probabilities, proba, rtol=0, atol=1e-5, equal_nan=True
        ):
            return None
        return f"probabilities {outputs.probabilities[0]}, expected {proba[0]}"
    return f"{outputs.predicted[0]}, expected {expected[0]}"


def _table(rng: np.random.Generator) -> tuple[pd.DataFrame, Any]:
    count = int(rng.integers(60, 160))
    words = np.array(WORDS)
    columns: dict[str, Any] = {
        "real": rng.normal(size=count).round(int(rng.integers(1, 6))),
        "code": rng.integers(0, int(rng.integers(2, 8)), count).astype(float),
        "size": np.exp(rng.normal(size=count) * 3),
        "kind": rng.choice(words, count).astype(object),
        "note": np.array(
            [" ".join(rng.choice(words, int(rng.integers(1, 5)))) for _ in range(count)], object
        ),
    }
    table = pd.DataFrame(columns)
    score = table.real + (table.code > 1) + (table.kind == "good") + rng.normal(size=count) * 0.3
    for name in ("real", "kind"):
        if rng.random() < 0.4:
            table.loc[rng.random(count) < 0.15, name] = np.nan
    if rng.random() < 0.3:
        return table, score.to_numpy()
    classes = int(rng.integers(2, 4))
    labels = np.array(["no", "yes", "maybe"]) if rng.random() < 0.5 else np.array([0, 1, 2])
    return table, labels[pd.qcut(score, classes, labels=False).to_numpy()]


def _pick(rng: np.random.Generator, *choices: Any) -> Any:
    return choices[int(rng.integers(len(choices)))]


def _seeded(estimator: Any) -> Any:
    for name in estimator.get_params():
        if name.rpartition("__")[2] == "random_state":
            estimator.set_params(**{name: 0})
    return estimator


def _pipeline(rng: np.random.Generator, table: pd.DataFrame, y: Any) -> Any:
    from sklearn import ensemble, linear_model, naive_bayes, neighbors, neural_network, svm, tree
    from sklearn.compose import ColumnTransformer
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, OrdinalEncoder, StandardScaler

    gaps = bool(table.real.isna().any())
    number = _pick(
        rng,
        *("passthrough", StandardScaler(), MinMaxScaler())
        if not gaps or rng.random() < 0.3
        else (),
        make_pipeline(SimpleImputer(strategy=_pick(rng, "mean", "median")), StandardScaler()),
        SimpleImputer(),
    )
    encoder = _pick(
        rng,
        OneHotEncoder(handle_unknown="ignore"),
        OneHotEncoder(),
        OneHotEncoder(drop="first", handle_unknown="ignore"),
        OrdinalEncoder(),
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
    )
    text = _pick(
        rng,
        *(OneHotEncoder(handle_unknown="ignore"), OneHotEncoder()),
        *(OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), encoder),
    )
    words = _pick(rng, TfidfVectorizer(), CountVectorizer(), CountVectorizer(lowercase=False))
    apart = rng.spawn(1)[0]  # so that the rest of each seed stays the same
    if apart.random() > 0.6:
        words.set_params(**WAYS[int(apart.integers(len(WAYS)))])
    branches: list[Any] = [
        ("numbers", number, ["real", "size"]),
        ("codes", _pick(rng, encoder, "passthrough"), ["code"]),
        ("kinds", text, ["kind"]),
        ("words", words, "note"),
    ]
    kept = [branch for branch in branches if rng.random() < 0.6] or branches[:1]
    columns = ColumnTransformer(kept, sparse_threshold=0.0)
    few = int(rng.integers(2, 9))
    if np.asarray(y).dtype.kind == "f":
        model = _pick(
            rng,
            *(linear_model.LinearRegression(), linear_model.Ridge(), svm.LinearSVR()),
            *(tree.DecisionTreeRegressor(max_depth=5), neighbors.KNeighborsRegressor()),
            *(ensemble.RandomForestRegressor(few), ensemble.ExtraTreesRegressor(few)),
            ensemble.GradientBoostingRegressor(n_estimators=few),
            ensemble.HistGradientBoostingRegressor(max_iter=few),
        )
    else:
        model = _pick(
            rng,
            *(linear_model.LogisticRegression(), linear_model.RidgeClassifier(), svm.LinearSVC()),
            linear_model.SGDClassifier(loss=_pick(rng, "hinge", "log_loss", "modified_huber")),
            *(tree.DecisionTreeClassifier(max_depth=5), naive_bayes.GaussianNB()),
            *(ensemble.RandomForestClassifier(few), ensemble.ExtraTreesClassifier(few)),
            *(neighbors.KNeighborsClassifier(int(rng.integers(1, 5))), svm.SVC()),
            ensemble.GradientBoostingClassifier(n_estimators=few),
            ensemble.HistGradientBoostingClassifier(max_iter=few),
            ensemble.BaggingClassifier(n_estimators=few),
            neural_network.MLPClassifier((5,), max_iter=50),
        )
    return make_pipeline(columns, _seeded(model))


def _wide_pipeline(rng: np.random.Generator, table: pd.DataFrame, y: Any) -> Any:
    from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
    from sklearn.pipeline import make_pipeline

    branches: list[Any] = [
        ("numbers", _numbers(rng), ["real", "size"]),
        ("codes", _codes(rng), ["code"]),
        ("kinds", _kinds(rng), ["kind"]),
        ("words", _words(rng), "note"),
    ]
    kept = [branch for branch in branches if rng.random() < 0.6] or branches[:1]
    columns = ColumnTransformer(kept, sparse_threshold=0.0, remainder=_pick(rng, "drop", "drop"))
    if np.asarray(y).dtype.kind == "f":
        model = _regressor(rng)
        if rng.random() < 0.2:
            model = TransformedTargetRegressor(model, func=np.arctan, inverse_func=np.tan)
    else:
        model = _classifier(rng, len(set(np.asarray(y).tolist())))
    between = [_between(rng)] if rng.random() < 0.3 else []
    return _seeded(make_pipeline(columns, *between, model))


def _numbers(rng: np.random.Generator) -> Any:
    from sklearn import preprocessing as prep
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer, KNNImputer, MissingIndicator, SimpleImputer
    from sklearn.pipeline import FeatureUnion, make_pipeline

    imputer = _pick(
        rng,
        *(SimpleImputer(), SimpleImputer(strategy="median", add_indicator=True)),
        *(SimpleImputer(strategy="constant", fill_value=-1.0), IterativeImputer(max_iter=3)),
        *(SimpleImputer(strategy="most_frequent"), KNNImputer(n_neighbors=3)),
    )
    scaler = _pick(
        rng,
        *("passthrough", prep.StandardScaler(), prep.RobustScaler(), prep.MaxAbsScaler()),
        *(prep.MinMaxScaler(clip=True), prep.PolynomialFeatures(2, include_bias=False)),
        *(prep.KBinsDiscretizer(4, encode="ordinal"), prep.Normalizer(), prep.Binarizer()),
        *(prep.KBinsDiscretizer(3, encode="onehot-dense"), prep.PowerTransformer()),
        prep.SplineTransformer(4, extrapolation=_pick(rng, "constant", "linear", "continue")),
        prep.QuantileTransformer(
            n_quantiles=20, output_distribution=_pick(rng, "uniform", "normal")
        ),
        prep.FunctionTransformer(_pick(rng, np.arctan, np.sign, np.cbrt, np.exp, np.sinh)),
    )
    if rng.random() < 0.15:
        return FeatureUnion([("values", make_pipeline(imputer, scaler)),
                             ("gaps", MissingIndicator(features="all"))])  # fmt: skip
    if rng.random() < 0.1:
        return make_pipeline(scaler, imputer)
    return make_pipeline(imputer, scaler)


def _codes(rng: np.random.Generator) -> Any:
    from sklearn import preprocessing as prep

    return _pick(
        rng,
        *("passthrough", prep.OneHotEncoder(min_frequency=5, handle_unknown="ignore")),
        prep.OneHotEncoder(max_categories=3, handle_unknown="infrequent_if_exist"),
        *(prep.OneHotEncoder(drop="if_binary", handle_unknown="ignore"), prep.KBinsDiscretizer(2)),
        prep.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan),
        *(prep.OrdinalEncoder(max_categories=3), prep.TargetEncoder(cv=2)),
    )


def _kinds(rng: np.random.Generator) -> Any:
    from sklearn import preprocessing as prep
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline

    encoder = _pick(
        rng,
        *(prep.OneHotEncoder(handle_unknown="ignore"), prep.OneHotEncoder(drop="first")),
        prep.OneHotEncoder(min_frequency=9, handle_unknown="infrequent_if_exist"),
        prep.OneHotEncoder(max_categories=4, handle_unknown="infrequent_if_exist"),
        prep.OneHotEncoder(categories=[["good", "bad", "absent"]], handle_unknown="ignore"),
        prep.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
        prep.OrdinalEncoder(
            handle_unknown="use_encoded_value", unknown_value=99, encoded_missing_value=-2
        ),
        *(prep.TargetEncoder(cv=2), prep.OrdinalEncoder(encoded_missing_value=-1)),
    )
    imputer = _pick(
        rng,
        *(None, SimpleImputer(strategy="most_frequent")),
        *(SimpleImputer(strategy="constant", fill_value="good"), None),
        SimpleImputer(strategy="constant", fill_value="missing"),
    )
    return encoder if imputer is None else make_pipeline(imputer, encoder)


def _words(rng: np.random.Generator) -> Any:
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import (
        CountVectorizer,
        HashingVectorizer,
        TfidfTransformer,
        TfidfVectorizer,
    )
    from sklearn.feature_selection import SelectKBest, chi2
    from sklearn.pipeline import make_pipeline

    words = _pick(
        rng,
        *(TfidfVectorizer(sublinear_tf=True), TfidfVectorizer(norm="l1", smooth_idf=False)),
        *(TfidfVectorizer(use_idf=False, max_features=5), CountVectorizer(min_df=2, max_df=0.9)),
        *(
            TfidfVectorizer(norm=None, vocabulary=["good", "bad", "καλος"]),
            HashingVectorizer(n_features=64),
        ),
        make_pipeline(CountVectorizer(), TfidfTransformer()),
        make_pipeline(TfidfVectorizer(), TruncatedSVD(2)),
        make_pipeline(CountVectorizer(), SelectKBest(chi2, k=3)),
    )
    if isinstance(words, (CountVectorizer, TfidfVectorizer)) and rng.random() < 0.3:
        ways = [way for way in WAYS if "vocabulary" not in words.get_params() or "stop" not in way]
        words.set_params(**_pick(rng, *ways))
    return words


def _between(rng: np.random.Generator) -> Any:
    from sklearn import decomposition, feature_selection, preprocessing, random_projection

    return _pick(
        rng,
        *(preprocessing.StandardScaler(), decomposition.PCA(1, whiten=True)),
        *(feature_selection.VarianceThreshold(), feature_selection.SelectPercentile(percentile=60)),
        *(decomposition.TruncatedSVD(1), random_projection.GaussianRandomProjection(2)),
        *(preprocessing.MaxAbsScaler(), preprocessing.Normalizer()),
    )


def _classifier(rng: np.random.Generator, classes: int) -> Any:
    from sklearn import (
        calibration,
        discriminant_analysis,
        ensemble,
        gaussian_process,
        linear_model,
        model_selection,
        multiclass,
        naive_bayes,
        neighbors,
        neural_network,
        svm,
        tree,
    )

    few = int(rng.integers(2, 9))

    def plain() -> Any:
        return _pick(
            rng,
            *(linear_model.LogisticRegression(C=0.1), linear_model.Perceptron()),
            *(linear_model.PassiveAggressiveClassifier(), linear_model.RidgeClassifierCV()),
            *(linear_model.LogisticRegressionCV(cv=2), svm.SVC(kernel="poly"), svm.NuSVC(nu=0.2)),
            *(svm.SVC(probability=True), svm.SVC(decision_function_shape="ovo"), svm.LinearSVC()),
            *(discriminant_analysis.LinearDiscriminantAnalysis(), naive_bayes.BernoulliNB()),
            *(tree.DecisionTreeClassifier(), tree.ExtraTreeClassifier(max_leaf_nodes=6)),
            *(neighbors.KNeighborsClassifier(3, weights="distance"), naive_bayes.GaussianNB()),
            *(neighbors.NearestCentroid(), neural_network.MLPClassifier((4,), max_iter=30)),
            *(ensemble.AdaBoostClassifier(n_estimators=few), naive_bayes.ComplementNB()),
            *(ensemble.RandomForestClassifier(few), ensemble.HistGradientBoostingClassifier()),
            neural_network.MLPClassifier((3,), activation="tanh", max_iter=30),
            *(gaussian_process.GaussianProcessClassifier(), _booster(rng, "Classifier")),
        )

    members = [("a", plain()), ("b", linear_model.LogisticRegression()), ("c", plain())]
    wrappers = [
        *(plain() for _ in range(8)),
        ensemble.VotingClassifier(members),
        ensemble.VotingClassifier(members, voting="soft"),
        ensemble.StackingClassifier(members, cv=2),
        ensemble.StackingClassifier(members, cv=2, passthrough=True),
        calibration.CalibratedClassifierCV(plain(), cv=2),
        calibration.CalibratedClassifierCV(plain(), cv=2, method="isotonic"),
        ensemble.BaggingClassifier(plain(), n_estimators=2, max_features=0.7),
        multiclass.OneVsRestClassifier(plain()),
        multiclass.OneVsOneClassifier(plain()),
        multiclass.OutputCodeClassifier(plain()),
        model_selection.GridSearchCV(plain(), {}, cv=2),
    ]
    if classes == 2:
        wrappers += [
            model_selection.TunedThresholdClassifierCV(plain(), cv=2, thresholds=5),
            model_selection.FixedThresholdClassifier(plain(), threshold=0.3),
        ]
    return _pick(rng, *wrappers)


def _regressor(rng: np.random.Generator) -> Any:
    from sklearn import (
        cross_decomposition,
        ensemble,
        gaussian_process,
        kernel_ridge,
        linear_model,
        neighbors,
        neural_network,
        svm,
        tree,
    )

    few = int(rng.integers(2, 9))

    def plain() -> Any:
        return _pick(
            rng,
            *(linear_model.HuberRegressor(), linear_model.BayesianRidge(), linear_model.Lasso(0.1)),
            *(linear_model.ElasticNet(0.1), linear_model.SGDRegressor(), svm.NuSVR()),
            *(linear_model.RANSACRegressor(), linear_model.TheilSenRegressor(max_subpopulation=99)),
            *(svm.SVR(kernel="poly"), svm.SVR(), kernel_ridge.KernelRidge(kernel="rbf")),
            *(neighbors.KNeighborsRegressor(3, weights="distance"), tree.ExtraTreeRegressor()),
            *(cross_decomposition.PLSRegression(1), tree.DecisionTreeRegressor(min_samples_leaf=3)),
            *(ensemble.AdaBoostRegressor(n_estimators=few), ensemble.RandomForestRegressor(few)),
            *(ensemble.HistGradientBoostingRegressor(max_iter=few), _booster(rng, "Regressor")),
            neural_network.MLPRegressor((4,), activation="logistic", max_iter=30),
            *(gaussian_process.GaussianProcessRegressor(alpha=0.1), linear_model.LassoLarsCV(cv=2)),
            *(linear_model.QuantileRegressor(), linear_model.OrthogonalMatchingPursuit()),
        )

    members = [("a", plain()), ("b", linear_model.Ridge())]
    return _pick(
        rng,
        *(plain() for _ in range(5)),
        *(ensemble.VotingRegressor(members), ensemble.StackingRegressor(members, cv=2)),
        ensemble.BaggingRegressor(plain(), n_estimators=3),
    )


def _booster(rng: np.random.Generator, kind: str) -> Any:
    import lightgbm
    import xgboost

    if rng.random() < 0.5:
        light = getattr(lightgbm, f"LGBM{kind}")
        return light(n_estimators=4, n_jobs=1, deterministic=True, force_row_wise=True, verbose=-1)
    return getattr(xgboost, f"XGB{kind}")(n_estimators=4, n_jobs=1)


def _row(rng: np.random.Generator, table: pd.DataFrame) -> pd.DataFrame:
    """Return a row of values from random rows of the table, some of them changed."""
    values: dict[str, Any] = {}
    for name in table.columns:
        known = table[name].iloc[int(rng.integers(len(table)))]
        values[name] = known
        if rng.random() > 0.35:
            continue
        if name in ("kind", "note"):
            text = known if isinstance(known, str) else "good"
            odd = str(rng.choice(np.array(ODD, dtype=object)))
            changed = (text.upper(), text.title(), text[::-1], f"{text} {odd}", odd, np.nan)
            values[name] = changed[int(rng.integers(len(changed)))]
        else:
            number = float(known) if known == known else 0.0
            values[name] = (
                *(number + 0.5, -number, np.nan, 0.0, -0.0, 7.0, 1.5, 2.0000001, number * 10),
                *(np.nextafter(number, np.inf), np.nextafter(number, -np.inf), number * 1e7),
                *(float(np.nextafter(np.float32(number), np.float32(np.inf))), 1e30, -1e39, 1e300),
            )[int(rng.integers(16))]
    row = pd.DataFrame({name: [value] for name, value in values.items()})
    for name in ("kind", "note"):
        row[name] = row[name].astype(object)
    return row


def main() -> int:
    """Compare pipelines for the given time, and print every fault."""
    end = time.monotonic() + float(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    log = Path(sys.argv[3]) if len(sys.argv) > 3 else None
    forms: Counter[str] = Counter()
    rows: Counter[str] = Counter()
    while time.monotonic() < end:
        with tempfile.TemporaryDirectory() as folder:
            result = compare(seed, Path(folder))
        forms[result.form] += 1
        rows += Counter(compared=result.compared, refused=result.refused, faults=len(result.faults))
        for fault in result.faults[:3]:
            print(f"seed {seed}, {result.form}: {fault}\n    {result.title}", flush=True)
        if log is not None:
            with log.open("ab") as file:
                file.write(msgspec.json.encode(result) + b"\n")
        seed += 1
    counts = ", ".join(f"{count} {form}" for form, count in sorted(forms.items()))
    print(
        f"{forms.total()} pipelines ({counts}); {rows['compared']} rows compared, "
        f"{rows['refused']} refused by name, {rows['faults']} faults"
    )
    return 1 if rows["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
