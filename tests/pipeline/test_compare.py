"""Comparing artifacts: causes, metrics, flipped rows, and when rows cannot be compared."""

import json
import shutil

import click
import numpy as np
import pytest
import scipy.stats
from sklearn.dummy import DummyClassifier

import artifact_pipeline as api
from artifact_pipeline.builder.artifact.manifest import decode
from artifact_pipeline.builder.config.resolved import ModelConfig, Step
from artifact_pipeline.cli.render.comparison import compared
from artifact_pipeline.errors import CallError, VerificationError
from artifact_pipeline.inference import held_out
from artifact_pipeline.pipeline.recipe_differences import differences
from tests.support.command import call
from tests.support.configs import FIXTURES, QUICK, SHORT, write

TREE = {"estimator": "sklearn.tree.DecisionTreeClassifier", "params": {"max_depth": 3}}


@pytest.fixture(scope="module")
def store(digits, tmp_path_factory):
    """A store with the digits artifact."""
    folder = tmp_path_factory.mktemp("compare")
    return shutil.copytree(digits.store, folder / "artifacts")


@pytest.fixture(scope="module")
def worse(store):
    """The digest of a worse artifact of the same rows."""
    return api.train({**SHORT, "C": 1e-4}, store=store).digest


@pytest.fixture(scope="module")
def comparison(store, digits, worse):
    return api.compare(digits.digest, worse, store=store)


def test_the_cause_is_the_only_difference_of_the_recipes(comparison):
    [row] = comparison.recipe
    assert (row.part, row.field, row.values) == ("model", "C", [1.0, 1e-4])


def test_flipped_rows_and_their_test_are_those_of_scikit_learn_and_scipy(comparison):
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split

    X, y = load_digits(return_X_y=True)
    rows = np.arange(len(y))
    train, test = train_test_split(rows, test_size=0.2, random_state=42, stratify=y)
    a, b = (
        LogisticRegression(C=C, max_iter=1000).fit(X[train], y[train]).predict(X[test])
        for C in (1.0, 1e-4)
    )
    lost = test[(a == y[test]) & (b != y[test])]
    gained = test[(a != y[test]) & (b == y[test])]
    [pair] = comparison.pairs
    assert (pair.rows, pair.lost, pair.gained) == (360, len(lost), len(gained))
    expected = scipy.stats.binomtest(len(lost), len(lost) + len(gained)).pvalue
    assert pair.p_value == pytest.approx(expected) and pair.is_different
    assert pair.verdict.startswith("a is better than b: of the ")
    assert {row.row for row in pair.flipped} == {*lost.tolist(), *gained.tolist()}
    assert all(row.truth == y[row.row] for row in pair.flipped)


def test_metrics_are_the_sealed_ones_and_know_which_is_better(comparison, store, digits, worse):
    sealed = [api.open_trusted(ref, store=store).manifest.metrics.test
              for ref in (digits.digest, worse)]  # fmt: skip
    for row in comparison.metrics:
        assert row.values == [metrics[row.metric] for metrics in sealed]
        low, high = row.intervals[1]
        assert low <= row.values[1] - row.values[0] <= high
    best = {row.metric: row.best for row in comparison.metrics}
    assert best["accuracy"] == best["log_loss"] == "a"


@pytest.mark.slow
def test_the_screen_fits_80_columns_and_json_has_all_of_it(store, digits, worse, tmp_path):
    words = ("compare", digits.digest[7:19], worse[7:19], "--store", store)
    done = call(*words, cwd=tmp_path)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert max(map(len, lines)) <= 80 and len(lines) <= 36
    assert "model         C  1.0  0.0001" in done.out and "16 right in a and wrong" in done.out
    assert "bytes" in done.out and "µs per row, measured just now" in done.out
    document = call(*words, "--json", cwd=tmp_path).json
    assert document["pairs"][0]["test"] == "mcnemar"
    assert call("diff", *words[1:], cwd=tmp_path).out.splitlines()[:5] == lines[:5]


def test_an_artifact_is_the_same_as_itself_and_is_not_opened(store, worse):
    result = api.compare("latest", "latest", store=store)
    assert result.pairs[0].verdict == "a and b are the same artifact."
    assert result.recipe == [] and result.artifacts[0].microseconds_per_row is None
    assert all(row.best is None for row in result.metrics)


def test_models_that_were_fitted_elsewhere_have_no_rows_for_a_test(tmp_path):
    X, y = [[0.0], [1.0], [2.0], [3.0]], ["no", "no", "yes", "yes"]
    first = api.seal(DummyClassifier().fit(X, y), X, y, name="a", store=tmp_path / "own")
    second = api.seal(
        DummyClassifier(strategy="constant", constant="yes").fit(X, y),
        X, y, name="a", store=tmp_path / "own",
    )  # fmt: skip
    result = api.compare(first.digest, second.digest, store=tmp_path / "own")
    assert result.pairs[0].verdict == (
        "There is no paired test: a was fitted elsewhere, and the rows that measured it were not "
        "kept."
    )
    assert repr(result) == "Comparison(a:1, a:2: There is no paired test)"
    long = api.seal(DummyClassifier().fit(X, y), X, y, name="n" * 60, store=tmp_path / "own")
    text = click.unstyle(compared(api.compare(first.digest, long.digest, store=tmp_path / "own")))
    assert f"{'n' * 19}…:1" in text and max(map(len, text.splitlines())) <= 80


def test_a_comparison_has_a_short_repr_and_escaped_html(comparison):
    assert repr(comparison).startswith("Comparison(") and len(repr(comparison)) < 100
    html = comparison._repr_html_()
    assert "model: C" in html and comparison.pairs[0].verdict in html and "<script" not in html


@pytest.mark.slow
def test_artifacts_of_other_data_are_compared_by_their_sealed_metrics(store, digits, tmp_path):
    api.train(QUICK, store=store)
    done = call("compare", digits.digest, "iris@latest", "--store", store, cwd=tmp_path)
    assert done.code == 0, done.err
    assert "There is no paired test: b predicts other labels." in done.out
    assert "accuracy" in done.out and "not measured, since no model was opened" in done.out
    shorter = api.train({**SHORT, "test_size": 0.1}, store=store)
    result = api.compare(digits.digest, shorter.digest, store=store)
    assert result.pairs[0].verdict == (
        "There is no paired test: b was measured on other held-out rows."
    )
    assert not result.is_same_rows and all(row.best is None for row in result.metrics)
    done = call("compare", digits.digest, shorter.digest, "--store", store, cwd=tmp_path)
    assert "different held-out rows" in done.out and "better" not in done.out


@pytest.mark.slow
def test_wrong_calls_are_one_sentence_with_exit_code_2(store, digits, tmp_path):
    ridge = {"estimator": "sklearn.linear_model.Ridge", "params": {}}
    number = api.train({"data": {"dataset": "diabetes"}, "model": ridge}, store=store)
    for words, message in [
        ((digits.digest, number.digest), "a predicts labels and b predicts numbers"),
        ((digits.digest, "lates"), "did you mean"),
        ([digits.digest] * 6, "found 6 artifacts, expected at most 5"),
    ]:
        done = call("compare", *words, "--store", store, cwd=tmp_path)
        assert done.code == 2 and message in done.err and done.err.count("\n") == 1, done


def test_a_changed_file_is_exit_code_4(store, digits, tmp_path):
    copy = shutil.copytree(digits.folder, tmp_path / "copy")
    (copy / "model.onnx").write_bytes(b"")
    with pytest.raises(VerificationError):
        api.compare(digits.digest, copy, store=store)


def test_an_artifact_without_a_required_signature_is_compared_and_not_opened(
    store, digits, worse, keys, tmp_path
):
    other = shutil.copytree(store, tmp_path / "signed")
    api.require_signature(api.public_key(keys / "ours.pub"), store=other)
    api.sign(digits.digest, key=keys / "ours.pem", store=other)
    verdict = api.compare(digits.digest, worse, store=other).pairs[0].verdict
    assert verdict.startswith("There is no paired test: b was not opened (") and "sign" in verdict


@pytest.mark.slow
def test_a_skops_artifact_of_unknown_origin_is_not_opened(tmp_path):
    centroid = {"estimator": "sklearn.neighbors.NearestCentroid", "params": {}}
    data = {"dataset": "iris"}
    stores = [tmp_path / name for name in "ab"]
    call("train", write(tmp_path, {"data": data, "model": centroid}), "--store", stores[0],
         cwd=tmp_path, env={"XDG_STATE_HOME": str(tmp_path / "elsewhere")})  # fmt: skip
    bayes = api.train(QUICK, store=stores[1])
    [folder] = [path for path in stores[0].iterdir() if (path / "manifest.json").is_file()]
    assert decode((folder / "manifest.json").read_bytes(), "m").parity.form == "skops"
    done = call("compare", bayes.digest, folder, "--store", stores[1], cwd=tmp_path)
    assert done.code == 0, done.err
    text = " ".join(done.out.split())
    assert "There is no paired test: b was not opened (" in text and "unknown origin" in text


def table_of(folder, name, change=lambda row: row):
    rows = [f"{i % 9},{'ab'[i % 2]},{i % 9 + (i % 5) / 5:.1f}" for i in range(120)]
    return write(folder, "\n".join(["size,city,price", *map(change, rows), ""]), name)


HOMES = {
    "data": {"path": "homes.csv", "target": "price"},
    "model": {"preprocess": "auto", "estimator": "sklearn.linear_model.Ridge"},
    "evaluation": {"slices": {"a": {"city": "a"}}},
}
CLOSE = {"preprocess": "auto", "estimator": "sklearn.linear_model.Ridge", "params": {"alpha": 30}}
FAR = {"preprocess": "auto", "estimator": "sklearn.dummy.DummyRegressor"}


@pytest.mark.slow
def test_numbers_are_compared_by_a_bootstrap_of_their_absolute_errors(project):
    table_of(project, "homes.csv")
    runs = [api.train(write(project, {**HOMES, "model": model}, "c.json"))
            for model in (HOMES["model"], CLOSE, FAR)]  # fmt: skip
    result = api.compare(*(run.digest for run in runs))
    far = result.pairs[1]
    assert far.test == "bootstrap" and far.is_different and far.flipped == []
    assert far.verdict.startswith("a is better than c: its MAE is lower by ")
    truth = held_out.rows_of(api.open_trusted(runs[0].digest).manifest, runs[0].digest).truth
    errors = [np.abs(np.array(api.infer(run.digest).predictions) - truth) for run in runs]
    assert (far.lost, far.gained) == (
        (errors[0] < errors[2]).sum(), (errors[2] < errors[0]).sum(),
    )  # fmt: skip
    [part] = result.slices
    assert (
        part.name == "a"
        and part.metrics[0].values[0]
        == (runs[0].metrics.slices["a"].metrics[part.metrics[0].metric])
    )
    text = compared(result)
    assert "what differs" in text and "Dummy" in text and f"a ({part.rows}): MAE" in text
    assert max(map(len, text.splitlines())) < 100

    # The data is gone, comes back elsewhere, and has changed.
    path = project / "homes.csv"
    path.rename(project / "moved.csv")
    verdict = api.compare(runs[0].digest, runs[2].digest).pairs[0].verdict
    assert verdict.startswith("There is no paired test: a has no rows to predict (")
    again = api.compare(runs[0].digest, runs[2].digest, data=project / "moved.csv")
    assert again.pairs[0].lost == far.lost
    table_of(project, "homes.csv", lambda row: row.replace("a", "b"))
    verdict = api.compare(runs[0].digest, runs[2].digest).pairs[0].verdict
    assert verdict.startswith("There is no paired test: a has no rows to predict (data price")


@pytest.mark.slow
def test_rows_of_a_table_are_shown_only_if_both_configs_allow_it(project):
    rows = "\n".join(f"{i % 7},{'yes' if i % 7 > 3 else 'no'}" for i in range(140))
    write(project, f"x,y\n{rows}\n", "t.csv")
    digests = {}
    for examples in (0, 2):
        for name, model in (
            ("tree", TREE),
            ("dummy", {"estimator": "sklearn.dummy.DummyClassifier"}),
        ):
            data = {"path": "t.csv", "target": "y", "examples": examples}
            path = write(project, {"data": data, "model": model}, "c.json")
            digests[name, examples] = api.train(path).digest
    for examples, count in ((0, 0), (2, 2)):
        [pair] = api.compare(digests["tree", examples], digests["dummy", examples]).pairs
        assert pair.lost > 2 and len(pair.flipped) == count
    [pair] = api.compare(digests["tree", 0], digests["dummy", 2]).pairs
    assert pair.lost > 2 and pair.flipped == []


def test_artifacts_of_earlier_releases_are_compared(tmp_path):
    folders = sorted(path.parent for path in FIXTURES.rglob("manifest.json"))
    manifests = [decode((folder / "manifest.json").read_bytes(), "m") for folder in folders]
    labels = [folder for folder, manifest in zip(folders, manifests, strict=True)
              if manifest.interface.labels]  # fmt: skip
    result = api.compare(labels[0], labels[-1], store=tmp_path)
    assert result.pairs[0].verdict and compared(result)


def recipe_with(recipe, **model):
    import msgspec

    return msgspec.structs.replace(recipe, model=ModelConfig(**model))


def test_parameters_of_steps_have_the_names_that_scikit_learn_gives_them(digits):
    recipe = api.open_trusted(digits.folder).manifest.recipe
    inner = {"estimator": "sklearn.svm.SVC", "params": {"C": 1}}

    def steps(C, kind):
        svc = {**inner, "params": {"C": C}}
        return recipe_with(recipe, steps=[
            Step(name="scale", estimator="sklearn.preprocessing.StandardScaler"),
            Step(name="model", estimator=f"sklearn.ensemble.{kind}", params={"estimator": svc}),
        ])  # fmt: skip

    rows = differences(
        [steps(1, "BaggingClassifier"), steps(1.0, "AdaBoostClassifier")], [None, {"model__x": 2}]
    )
    assert [(row.part, row.field) for row in rows] == [
        ("model", "model"),
        ("model", "model__estimator__C"),
        ("search", "chosen model__x"),
    ]
    assert json.dumps(rows[1].values) == "[1, 1.0]"


def test_causes_come_first(digits):
    import msgspec

    recipe = api.open_trusted(digits.folder).manifest.recipe
    replace = msgspec.structs.replace
    other = replace(
        recipe,
        name="other",
        code="sha256:" + "0" * 64,
        packages={**recipe.packages, "numpy": "0"},
        data=replace(recipe.data, digest="sha256:" + "1" * 64),
        model=replace(recipe.model, params={**recipe.model.params, "C": 2.0}),
    )
    rows = differences([recipe, other], [None, None])
    assert [row.part for row in rows] == ["model", "data", "packages", "code", "name"]


def test_more_than_five_artifacts_are_refused(store):
    with pytest.raises(CallError, match="at most 5"):
        api.compare(*["latest"] * 6, store=store)
