"""Acceptance sweep: each estimator of scikit-learn in the usual pipelines.

    python -m benchmarks.acceptance [--log FILE] [COUNT | NAME …]

Each estimator is built into pipelines in all `ways`, as a config describes them, fitted to a table
with missing values and categories, sealed, opened and compared. The outcome is the proven
form, or the sentence that refuses the pipeline; anything else is a fault, and the exit code is 1.
Without names, all pipelines are tried, or the first COUNT in a seeded order, and the table goes
into docs/reproducibility.md. All of them take an hour. With --log, an interrupted sweep continues
where it stopped.
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import io
import random
import re
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from artifact_pipeline import open_artifact, open_trusted, seal
from artifact_pipeline.builder import canonical
from artifact_pipeline.builder import recipe as recipes
from artifact_pipeline.builder.config.resolved import (
    Branch,
    Inner,
    ModelConfig,
    ResolvedConfig,
    Step,
    TableData,
)
from artifact_pipeline.builder.config.values import Kind
from artifact_pipeline.builder.data.dataset import Description, Schema, Target
from artifact_pipeline.builder.formats import skops_format
from artifact_pipeline.builder.formats.origin import Origin
from artifact_pipeline.builder.model.construction import build, resolve
from artifact_pipeline.builder.model.estimators import class_of
from artifact_pipeline.builder.model.fit import fit
from artifact_pipeline.errors import Location, PipelineError
from benchmarks import sweep

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

SEED = 5
COLUMNS: dict[str, Kind] = {"a": "number", "b": "number", "t": "text"}
Nested = dict[str, Any]


class Outcome(NamedTuple):
    """The outcome of one pipeline.

    Attributes:
        form: The form of the sealed artifact; `refused` or `fault`.
        reason: The sentence that refuses the pipeline, or the fault.
    """

    estimator: str
    way: str
    form: str
    reason: str


def nested(name: str, **params: Any) -> Nested:
    """Return an estimator as a nested value of a config."""
    return {"estimator": f"sklearn.{name}", "params": params}


def _prepared(encoder: Inner, scaler: Inner) -> Step:
    return Step(name="prep", branches=[
        Branch(name="numbers", columns=["a", "b"],
               steps=[Inner("sklearn.impute.SimpleImputer", {}, "impute"), scaler]),
        Branch(name="texts", columns=["t"], steps=[
            Inner("sklearn.impute.SimpleImputer", {"strategy": "most_frequent"}, "impute"),
            encoder]),
    ], remainder="drop")  # fmt: skip


_ONE_HOT = _prepared(
    Inner(
        "sklearn.preprocessing.OneHotEncoder",
        {"handle_unknown": "ignore", "sparse_output": False},
        "encode",
    ),
    Inner("sklearn.preprocessing.MinMaxScaler", {"clip": True}, "scale"),
)
_ORDINAL = _prepared(
    Inner("sklearn.preprocessing.OrdinalEncoder", {}, "encode"),
    Inner("sklearn.preprocessing.KBinsDiscretizer", {"encode": "ordinal", "n_bins": 3}, "bins"),
)


def _last(wrap: Callable[[Nested], Nested]) -> Callable[[Nested], list[Step]]:
    def steps(one: Nested) -> list[Step]:
        wrapped = wrap(one)
        return [
            _ONE_HOT,
            Step(name="model", estimator=wrapped["estimator"], params=wrapped["params"]),
        ]

    return steps


def _after(*names: tuple[str, dict[str, Any]]) -> Callable[[Nested], list[Step]]:
    between = [
        Step(name=f"s{at}", estimator=f"sklearn.{name}", params=params)
        for at, (name, params) in enumerate(names)
    ]
    return lambda one: [
        _ONE_HOT,
        *between,
        Step(name="model", estimator=one["estimator"], params=one["params"]),
    ]


_LINE = {"class": nested("linear_model.LogisticRegression"), "number": nested("linear_model.Ridge")}
_TREE = {
    "class": nested("tree.DecisionTreeClassifier", max_depth=3),
    "number": nested("tree.DecisionTreeRegressor", max_depth=3),
}


def ways(target: Target) -> dict[str, Callable[[Nested], list[Step]]]:
    """Return the ways to build a pipeline around an estimator that predicts `target`."""
    kind = {"class": "Classifier", "number": "Regressor"}[target]
    members = [["line", _LINE[target]], ["tree", _TREE[target]]]
    found: dict[str, Callable[[Nested], list[Step]]] = {
        "one-hot": _after(),
        "ordinal": lambda one: [
            _ORDINAL,
            Step(name="model", estimator=one["estimator"], params=one["params"]),
        ],
        "selector": _after(("feature_selection.SelectPercentile", {"percentile": 60})),
        "components": _after(("decomposition.PCA", {"n_components": 2})),
        "voting": _last(
            lambda one: nested(f"ensemble.Voting{kind}", estimators=[["one", one], *members])
        ),
        "stacking": _last(
            lambda one: nested(
                f"ensemble.Stacking{kind}", estimators=[["one", one], *members], cv=2
            )
        ),
        "bagging": _last(
            lambda one: nested(f"ensemble.Bagging{kind}", estimator=one, n_estimators=2)
        ),
        "search": _last(
            lambda one: nested("model_selection.GridSearchCV", estimator=one, param_grid={}, cv=2)
        ),
    }
    if target == "number":
        found["transformed target"] = _last(
            lambda one: nested("compose.TransformedTargetRegressor", regressor=one,
                               func="numpy.log1p", inverse_func="numpy.expm1")
        )  # fmt: skip
        return found
    found["sigmoid"] = _last(
        lambda one: nested("calibration.CalibratedClassifierCV", estimator=one, cv=2)
    )
    found["isotonic"] = _last(
        lambda one: nested(
            "calibration.CalibratedClassifierCV", estimator=one, cv=2, method="isotonic"
        )
    )
    found["one-vs-rest"] = _last(
        lambda one: nested("multiclass.OneVsRestClassifier", estimator=one)
    )
    found["one-vs-one"] = _last(lambda one: nested("multiclass.OneVsOneClassifier", estimator=one))
    found["codes"] = _last(lambda one: nested("multiclass.OutputCodeClassifier", estimator=one))
    found["threshold"] = _last(
        lambda one: nested("model_selection.TunedThresholdClassifierCV", estimator=one, cv=2,
                           thresholds=5)
    )  # fmt: skip
    return found


def table(target: Target, classes: int = 3) -> tuple[pd.DataFrame, NDArray[Any]]:
    """Return rows with missing numbers and texts, and their targets."""
    import numpy as np
    import pandas as pd

    random = np.random.default_rng(7)
    count = 120
    a, b = random.normal(size=count).round(2), random.normal(size=count).round(2)
    t = random.choice(["red", "green", "blue"], count).astype(object)
    score = a + b * (t == "red") + 0.3 * random.normal(size=count)
    a[::11], t[::13] = np.nan, np.nan
    y = score - score.min() + 1.0
    if target == "class":
        y = np.digitize(score, np.quantile(score, np.linspace(0, 1, classes + 1)[1:-1]))
    return pd.DataFrame({"a": a, "b": b, "t": pd.Series(t, dtype=object)}), y


def outcome(name: str, way: str, target: Target) -> Outcome:
    """Seal one estimator, built in one way, and return the outcome."""
    short = name.rpartition(".")[2]
    X, y = table(target, 2 if way == "threshold" else 3)
    try:
        steps = ways(target)[way]({"estimator": name, "params": _small(name)})
        model = resolve(ModelConfig(steps=steps), 7, target=target, columns=COLUMNS)
        fitted = fit(build(model), X[:90], y[:90]).estimator
        with tempfile.TemporaryDirectory() as store:
            sealed = seal(fitted, X[90:], y[90:], store=store)
            form = open_trusted(sealed.artifact).manifest.parity.form
            predicted = open_artifact(sealed.artifact).predict(X[90:])
            if form == "skops":
                _open_by_recipe(Path(sealed.artifact), model, target=target)
    except PipelineError as error:
        return Outcome(short, way, "refused", error.message)
    except Exception as error:  # noqa: BLE001  (any other exception is a fault)
        return Outcome(short, way, "fault", f"{type(error).__name__}: {error}")
    expected = fitted.predict(X[90:])
    wrong = (
        int((predicted != expected).sum())
        if target == "class"
        else int((abs(predicted - expected) > 1e-4 * abs(expected).max()).sum())
    )
    return Outcome(short, way, "fault" if wrong else form, f"{wrong} rows differ" if wrong else "")


_SUITED: dict[str, dict[str, Any]] = {
    "sklearn.cross_decomposition.CCA": {"n_components": 1},
    "sklearn.cross_decomposition.PLSCanonical": {"n_components": 1},
    "sklearn.discriminant_analysis.QuadraticDiscriminantAnalysis": {"reg_param": 0.1},
    "sklearn.naive_bayes.CategoricalNB": {"min_categories": 8},
    "sklearn.semi_supervised.SelfTrainingClassifier": {
        "estimator": nested("linear_model.LogisticRegression")
    },
}
"""Parameters of estimators whose defaults do not suit the table."""


def _small(name: str) -> dict[str, Any]:
    """Return parameters with which an estimator suits the table and an ensemble is small."""
    if name in _SUITED:
        return _SUITED[name]
    few = inspect.signature(class_of(name, location=Location(key="model"))).parameters
    return {key: 10 for key in ("n_estimators", "max_iter") if key in few and "Grad" in name} or (
        {"n_estimators": 5} if "n_estimators" in few else {}
    )


def _open_by_recipe(artifact: Path, model: ModelConfig, *, target: Target) -> None:
    """Open a skops archive under the recipe of a config."""
    schema = Schema(dtype="mixed", features=3, rows=120, target=target)
    rows = Description(digest=canonical.digest(b""), schema=schema)
    config = ResolvedConfig(data=TableData(path="t.csv", target="y"), model=model)
    recipe = recipes.make(model, config, rows=rows, profile="native")
    data = (artifact / "model.skops").read_bytes()
    skops_format.load(data, Location("model.skops"), origin=Origin.MADE_HERE, recipe=recipe)


def cases() -> list[tuple[str, str, Target]]:
    """Return every estimator, in every way."""
    regressors, classifiers = sweep.estimators("regressor"), sweep.estimators("classifier")
    return [
        *((name, way, "class") for name in classifiers for way in ways("class")),
        *((name, way, "number") for name in regressors for way in ways("number")),
    ]


def summary(outcomes: list[Outcome], total: int) -> str:
    """Return the counts of forms by way, and the reasons of refusals and faults, as Markdown."""
    forms = ["onnx-float64", "onnx-float32", "skops", "refused", "fault"]
    by_way: dict[str, Counter[str]] = {}
    for outcome in outcomes:
        by_way.setdefault(outcome.way, Counter())[outcome.form] += 1
    lines = [
        f"{len(outcomes)} of {total} pipelines, drawn with the seed {SEED}:",
        "",
        f"| built as | {' | '.join(forms)} |",
        f"| --- |{' --- |' * len(forms)}",
        *(
            f"| {way} | {' | '.join(str(count[form]) for form in forms)} |"
            for way, count in by_way.items()
        ),
        "",
    ]
    reasons: dict[str, list[str]] = {}
    for outcome in outcomes:
        if outcome.form in ("refused", "fault"):
            reasons.setdefault(_short(outcome.reason), []).append(outcome.estimator)
    if reasons:
        lines += ["| refused, or a fault | pipelines | reason |", "| --- | --- | --- |"]
    lines += [
        f"| {', '.join(sorted(set(names)))} | {len(names)} | {why} |"
        for why, names in sorted(reasons.items(), key=lambda pair: -len(pair[1]))
    ]
    return "\n".join(lines)


def _short(reason: str) -> str:
    text = re.sub(r"\s+", " ", reason).replace("All the 2 fits failed. ValueError: ", "")
    return (text if len(text) <= 160 else text[:157] + "…").replace("|", "/")


def main() -> None:
    """Try each case, print it, and write the table unless estimators were named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.acceptance")
    parser.add_argument("chosen", nargs="*", metavar="COUNT | NAME")
    parser.add_argument("--log", type=Path, help="append results here, and skip those it holds")
    options = parser.parse_args()
    total = cases()
    drawn = random.Random(SEED).sample(total, len(total))
    named = [word for word in options.chosen if not word.isdecimal()]
    if named:
        drawn = [case for case in drawn if case[0].rpartition(".")[2] in named]
    elif options.chosen:
        drawn = drawn[: int(options.chosen[0])]
    outcomes = [Outcome(*row) for row in sweep.run(drawn, _quiet_outcome, log=options.log)]
    if not named:
        sweep.write_table("acceptance", summary(outcomes, len(total)))
    sys.exit(int(any(outcome.form == "fault" for outcome in outcomes)))


def _quiet_outcome(case: tuple[str, ...]) -> Outcome:
    name, way, target = case
    with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings(action="ignore"):
        return outcome(name, way, "class" if target == "class" else "number")


if __name__ == "__main__":
    main()
