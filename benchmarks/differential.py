"""Sealed artifacts against the estimators they were made of, on generated pipelines and rows.

    python -m benchmarks.differential SECONDS [SEED]

Each seed is a table, a pipeline fitted to it, and rows unlike those of the table. A row must get
the estimator's answer from the sealed artifact, or be refused by name. Every other row is printed
with its seed, and the exit code is 1.
"""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

import artifact_pipeline
from artifact_pipeline.errors import ConfigError, DataError, PipelineError

ROWS = 40
"""How many rows of each pipeline are compared."""
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
"""Other ways to find words."""


class Comparison(NamedTuple):
    """What came of one pipeline."""

    title: str
    form: str | None
    """None where it was not sealed."""
    compared: int
    refused: int
    faults: list[str]


def compare(seed: int, store: Path) -> Comparison:
    """Seal the pipeline of a seed, and compare what it answers with what its estimator answers."""
    rng = np.random.default_rng(seed)
    table, y = _table(rng)
    estimator = _pipeline(rng, table, y)
    title = " ".join(str(estimator).split())
    with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):
        try:
            estimator.fit(table, y)
            estimator.predict(table)
        except ValueError:  # a pipeline that scikit-learn itself refuses
            return Comparison(title, None, 0, 0, [])
        try:
            sealed = artifact_pipeline.seal(estimator, table, y, store=store)
        except ConfigError as error:
            return Comparison(title, None, 0, 0, [] if _known(error) else [str(error)])
        predictor = artifact_pipeline.open_artifact(
            sealed.artifact, digest=sealed.digest, store=store
        )
        compared, refused, faults = 0, 0, []
        for _ in range(ROWS):
            row = _row(rng, table)
            try:
                found = predictor.outputs(row)
            except DataError:
                refused += 1
                continue
            except PipelineError as error:
                faults.append(f"{row.iloc[0].tolist()}: {error}")
                continue
            compared += 1
            if why := _differs(estimator, row, found):
                faults.append(f"{row.iloc[0].tolist()}: {why}")
    return Comparison(title, predictor.manifest.parity.form, compared, refused, faults)


def _known(error: ConfigError) -> bool:
    """Return whether an estimator was refused for a reason that the documents name."""
    return "Untrusted types" in str(error) or "answers row" in str(error)


def _answer(estimator: Any, row: pd.DataFrame) -> tuple[Any, Any]:
    gives = hasattr(estimator, "predict_proba")
    return estimator.predict(row), estimator.predict_proba(row) if gives else None


def _differs(estimator: Any, row: pd.DataFrame, found: Any) -> str | None:
    expected, proba, refusal = None, None, ""
    # A missing text is an empty one to an estimator that refuses it.
    for filled in ({}, {"note": ""}, {"note": "", "kind": ""}):
        try:
            expected, proba = _answer(estimator, row.fillna(filled) if filled else row)
            break
        except Exception as error:  # noqa: BLE001
            refusal = str(error)
    if expected is None:
        return f"scikit-learn refuses it ({refusal}), and the artifact answers {found.predicted}"
    if expected.dtype.kind == "f":
        bound = 1e-5 * max(1.0, abs(float(expected[0])))
        if abs(found.predicted[0] - expected[0]) <= bound:
            return None
    elif found.predicted[0] == expected[0]:
        if proba is None or np.abs(found.probabilities - proba).max() <= 1e-5:
            return None
        return f"probabilities {found.probabilities[0]}, expected {proba[0]}"
    return f"{found.predicted[0]}, expected {expected[0]}"


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


def _pipeline(rng: np.random.Generator, table: pd.DataFrame, y: Any) -> Any:
    from sklearn import ensemble, linear_model, naive_bayes, neighbors, neural_network, svm, tree
    from sklearn.compose import ColumnTransformer
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, OrdinalEncoder, StandardScaler

    def pick(*choices: Any) -> Any:
        return choices[int(rng.integers(len(choices)))]

    gaps = bool(table.real.isna().any())
    number = pick(
        *("passthrough", StandardScaler(), MinMaxScaler())
        if not gaps or rng.random() < 0.3
        else (),
        make_pipeline(SimpleImputer(strategy=pick("mean", "median")), StandardScaler()),
        SimpleImputer(),
    )
    encoder = pick(
        OneHotEncoder(handle_unknown="ignore"),
        OneHotEncoder(),
        OneHotEncoder(drop="first", handle_unknown="ignore"),
        OrdinalEncoder(),
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
    )
    text = pick(
        *(OneHotEncoder(handle_unknown="ignore"), OneHotEncoder()),
        *(OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), encoder),
    )
    words = pick(TfidfVectorizer(), CountVectorizer(), CountVectorizer(lowercase=False))
    apart = rng.spawn(1)[0]  # so that what each seed makes otherwise stays as it was
    if apart.random() > 0.6:
        words.set_params(**WAYS[int(apart.integers(len(WAYS)))])
    branches: list[Any] = [
        ("numbers", number, ["real", "size"]),
        ("codes", pick(encoder, "passthrough"), ["code"]),
        ("kinds", text, ["kind"]),
        ("words", words, "note"),
    ]
    kept = [branch for branch in branches if rng.random() < 0.6] or branches[:1]
    columns = ColumnTransformer(kept, sparse_threshold=0.0)
    few = int(rng.integers(2, 9))
    if np.asarray(y).dtype.kind == "f":
        model = pick(
            *(linear_model.LinearRegression(), linear_model.Ridge(), svm.LinearSVR()),
            *(tree.DecisionTreeRegressor(max_depth=5), neighbors.KNeighborsRegressor()),
            *(ensemble.RandomForestRegressor(few), ensemble.ExtraTreesRegressor(few)),
            ensemble.GradientBoostingRegressor(n_estimators=few),
            ensemble.HistGradientBoostingRegressor(max_iter=few),
        )
    else:
        model = pick(
            *(linear_model.LogisticRegression(), linear_model.RidgeClassifier(), svm.LinearSVC()),
            linear_model.SGDClassifier(loss=pick("hinge", "log_loss", "modified_huber")),
            *(tree.DecisionTreeClassifier(max_depth=5), naive_bayes.GaussianNB()),
            *(ensemble.RandomForestClassifier(few), ensemble.ExtraTreesClassifier(few)),
            *(neighbors.KNeighborsClassifier(int(rng.integers(1, 5))), svm.SVC()),
            ensemble.GradientBoostingClassifier(n_estimators=few),
            ensemble.HistGradientBoostingClassifier(max_iter=few),
            ensemble.BaggingClassifier(n_estimators=few),
            neural_network.MLPClassifier((5,), max_iter=50),
        )
    for name in model.get_params():
        if name.rpartition("__")[2] == "random_state":
            model.set_params(**{name: 0})
    return make_pipeline(columns, model)


def _row(rng: np.random.Generator, table: pd.DataFrame) -> pd.DataFrame:
    """Return a row of values from all over the table, some of them changed."""
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
    """Compare pipelines for as long as the command line says, and print what was found."""
    end = time.monotonic() + float(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    forms: dict[str, int] = {}
    pipelines, compared, refused, faults = 0, 0, 0, 0
    while time.monotonic() < end:
        with tempfile.TemporaryDirectory() as folder:
            found = compare(seed, Path(folder))
        pipelines += 1
        compared += found.compared
        refused += found.refused
        forms[found.form or "not sealed"] = forms.get(found.form or "not sealed", 0) + 1
        for fault in found.faults[:3]:
            print(f"seed {seed}, {found.form}: {fault}\n    {found.title}", flush=True)
        faults += len(found.faults)
        seed += 1
    said = ", ".join(f"{count} {form}" for form, count in sorted(forms.items()))
    print(f"{pipelines} pipelines ({said}); {compared} rows compared, {refused} refused by name, "
          f"{faults} faults")  # fmt: skip
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
