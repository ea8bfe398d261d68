"""`python -m benchmarks.acceptance [NAME … | COUNT]`: is every estimator accepted in any pipeline?

Each estimator of scikit-learn that predicts is built into pipelines in all `ways`, as a config
would say it, fitted to a table with missing values and categories, and sealed. What comes of it is
the form that was proven, or the sentence that refuses it; anything else is a fault, and ends the
command with 1. Without names all pipelines are tried, or COUNT of them, drawn with a seed, and the
table goes into docs/reproducibility.md. All of them take an hour.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import random
import re
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from artifact_pipeline import open_artifact, open_trusted, seal
from artifact_pipeline.builder import canonical
from artifact_pipeline.builder import recipe as recipes
from artifact_pipeline.builder.config import schema
from artifact_pipeline.builder.config.schema import Branch, Inner, Kind, ModelConfig, Step
from artifact_pipeline.builder.data.dataset import Description, Schema, Target
from artifact_pipeline.builder.formats import skops_format
from artifact_pipeline.builder.formats.origin import Origin
from artifact_pipeline.builder.model.construction import build, resolve
from artifact_pipeline.builder.model.estimators import class_of
from artifact_pipeline.builder.model.fit import fit
from artifact_pipeline.errors import PipelineError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reproducibility.md"
START, END = "<!-- python -m benchmarks.acceptance -->", "<!-- end of acceptance -->"
SEED = 5
COLUMNS: dict[str, Kind] = {"a": "number", "b": "number", "t": "text"}
Nested = dict[str, Any]


class Outcome(NamedTuple):
    """What came of one estimator, built in one way."""

    estimator: str
    way: str
    form: str
    """Of the sealed artifact; `refused`, or `fault`."""
    said: str
    """The sentence that refuses it."""


def nested(name: str, **params: Any) -> Nested:
    """Return an estimator as a config nests it."""
    return {"estimator": f"sklearn.{name}", "params": params}


def _prepared(encoder: Inner, scaler: Inner) -> Step:
    return Step("prep", branches=[
        Branch("numbers", ["a", "b"], steps=[Inner("sklearn.impute.SimpleImputer"), scaler]),
        Branch("texts", ["t"], steps=[
            Inner("sklearn.impute.SimpleImputer", {"strategy": "most_frequent"}), encoder]),
    ])  # fmt: skip


_ONE_HOT = _prepared(
    Inner(
        "sklearn.preprocessing.OneHotEncoder", {"handle_unknown": "ignore", "sparse_output": False}
    ),
    Inner("sklearn.preprocessing.MinMaxScaler", {"clip": True}),
)
_ORDINAL = _prepared(
    Inner("sklearn.preprocessing.OrdinalEncoder"),
    Inner("sklearn.preprocessing.KBinsDiscretizer", {"encode": "ordinal", "n_bins": 3}),
)


def _last(wrap: Callable[[Nested], Nested]) -> Callable[[Nested], list[Step]]:
    def steps(one: Nested) -> list[Step]:
        wrapped = wrap(one)
        return [_ONE_HOT, Step("model", wrapped["estimator"], wrapped["params"])]

    return steps


def _after(*names: tuple[str, dict[str, Any]]) -> Callable[[Nested], list[Step]]:
    between = [Step(f"s{at}", f"sklearn.{name}", params) for at, (name, params) in enumerate(names)]
    return lambda one: [_ONE_HOT, *between, Step("model", one["estimator"], one["params"])]


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
        "ordinal": lambda one: [_ORDINAL, Step("model", one["estimator"], one["params"])],
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


def names(target: Target) -> Iterator[str]:
    """Yield the public names of scikit-learn's estimators that predict and need no other."""
    from sklearn.utils import all_estimators

    for name, cls in all_estimators({"class": "classifier", "number": "regressor"}[target]):
        with warnings.catch_warnings(action="ignore"):
            try:
                cls()
            except TypeError:
                continue
        yield f"{cls.__module__.partition('._')[0]}.{name}"


def table(target: Target, classes: int = 3) -> tuple[pd.DataFrame, NDArray[Any]]:
    """Return rows with missing numbers and texts, and what is to be predicted of them."""
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
    """Return what comes of sealing one estimator, built in one way."""
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
                _open_by_recipe(Path(sealed.artifact), model, target)
    except PipelineError as error:
        return Outcome(short, way, "refused", error.message)
    except Exception as error:  # noqa: BLE001  (anything else is what is looked for)
        return Outcome(short, way, "fault", f"{type(error).__name__}: {error}")
    expected = fitted.predict(X[90:])
    wrong = (
        int((predicted != expected).sum())
        if target == "class"
        else int((abs(predicted - expected) > 1e-4 * abs(expected).max()).sum())
    )
    return Outcome(short, way, "fault" if wrong else form, f"{wrong} rows differ" if wrong else "")


def _small(name: str) -> dict[str, Any]:
    """Return parameters with which an ensemble is made of few."""
    few = inspect.signature(class_of(name, "model")).parameters
    return {key: 10 for key in ("n_estimators", "max_iter") if key in few and "Grad" in name} or (
        {"n_estimators": 5} if "n_estimators" in few else {}
    )


def _open_by_recipe(artifact: Path, model: ModelConfig, target: Target) -> None:
    """Open a skops archive as the recipe of a config would let it be opened."""
    rows = Description(canonical.digest(b""), Schema("mixed", 3, 120, target))
    full = schema.Config(schema.Data(path="t.csv", target="y"), model)
    made = recipes.make(model, full, rows, "native")
    data = (artifact / "model.skops").read_bytes()
    skops_format.load(data, "model.skops", origin=Origin.MADE_HERE, recipe=made)


def cases() -> list[tuple[str, str, Target]]:
    """Return every estimator, in every way."""
    targets: tuple[Target, ...] = ("class", "number")
    return [(name, way, one) for one in targets for name in names(one) for way in ways(one)]


def drawn(count: int | None = None) -> list[tuple[str, str, Target]]:
    """Return as many cases as are asked for in a seeded order, or all."""
    found = cases()
    random.Random(SEED).shuffle(found)
    return found[:count]


def summary(outcomes: list[Outcome], total: int) -> str:
    """Return how many were sealed in which form, by way, and what was refused, as Markdown."""
    forms = ["onnx-float64", "onnx-float32", "skops", "refused", "fault"]
    by_way: dict[str, Counter[str]] = {}
    for one in outcomes:
        by_way.setdefault(one.way, Counter())[one.form] += 1
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
        "Refused, or a fault:" if any(one.said for one in outcomes) else "",
        "",
    ]
    said: dict[tuple[str, str], list[str]] = {}
    for one in outcomes:
        if one.form in ("refused", "fault"):
            said.setdefault((one.estimator, _short(one.said)), []).append(one.way)
    lines += [f"- {name} ({', '.join(ways)}): {why}" for (name, why), ways in said.items()]
    return "\n".join(lines)


def _short(said: str) -> str:
    text = re.sub(r"\s+", " ", said)
    return (text if len(text) <= 160 else text[:157] + "…").replace("|", "/")


def main() -> None:
    """Try each case, print it, and write the table unless estimators were named."""
    words = sys.argv[1:]
    names_only = [word for word in words if not word.isdecimal()]
    chosen = drawn(int(words[0]) if words and not names_only else None)
    outcomes = []
    for name, way, target in chosen:
        if names_only and name.rpartition(".")[2] not in names_only:
            continue
        with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings(action="ignore"):
            outcomes.append(outcome(name, way, target))
        print(" | ".join(outcomes[-1]), flush=True)
    if not names_only:
        page = PAGE.read_text("utf-8")
        before, _, rest = page.partition(START)
        after = rest.partition(END)[2]
        table = summary(outcomes, len(cases()))
        PAGE.write_text(f"{before}{START}\n\n{table}\n\n{END}{after}", "utf-8")
    sys.exit(int(any(one.form == "fault" for one in outcomes)))


if __name__ == "__main__":
    main()
