"""The recipe: what is in it, what never is, and that its digest follows it."""

import json
import platform
import sys
from importlib.metadata import version

import pytest
from conftest import QUICK, ROOT, SHORT, call, write

from artifact_pipeline import canonical, recipe


def recipe_of(config, folder, *words):
    done = call("recipe", write(folder, config), "--json", *words, cwd=folder)
    assert done.code == 0, done.err
    return done.json


def test_a_recipe_names_all_that_decides_the_model(project):
    made = recipe_of(SHORT, project)["recipe"]
    assert set(made) == {
        "code", "data", "model", "numerics", "packages", "platform", "recipe_version", "split"
    }  # fmt: skip
    assert made["model"]["params"] == {
        "C": 1.0, "solver": "lbfgs", "max_iter": 1000, "random_state": 42
    }  # fmt: skip
    assert made["platform"]["python"] == f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert made["platform"]["system"] == platform.system()
    assert made["packages"] == {name: version(name) for name in recipe.PACKAGES}


def test_the_digest_is_that_of_the_canonical_json(project):
    found = recipe_of(SHORT, project)
    assert found["recipe_digest"] == canonical.digest(canonical.encode(found["recipe"]))


def test_printed_for_a_person_it_is_the_recipe_and_its_digest(project):
    done = call("recipe", cwd=project)
    text, _, digest = done.out.rstrip().rpartition("\nrecipe ")
    assert canonical.digest(canonical.encode(json.loads(text))) == digest


def test_nothing_is_trained_or_stored_for_it(project):
    recipe_of(SHORT, project)
    assert not (project / "artifacts").exists()


def test_the_short_form_and_its_full_form_have_one_recipe(project):
    full = {
        "data": {"dataset": "digits"},
        "model": {
            "estimator": "sklearn.linear_model.LogisticRegression",
            "params": {"max_iter": 1000, "solver": "lbfgs", "C": 1.0},
        },
    }
    assert recipe_of(full, project) == recipe_of(SHORT, project)


@pytest.mark.parametrize(
    "change",
    [{"gates": {"test.accuracy": {"min": 0.5}}}, {"split": {"random_state": 42}}],
    ids=["gates", "a default written out"],
)
def test_what_decides_nothing_is_no_part_of_it(change, project):
    assert recipe_of({**QUICK, **change}, project) == recipe_of(QUICK, project)


@pytest.mark.slow
def test_n_jobs_is_no_part_of_it(project):
    forest = "sklearn.ensemble.RandomForestClassifier"
    one, two = (
        {"data": {"dataset": "iris"}, "model": {"estimator": forest, "params": params}}
        for params in ({}, {"n_jobs": 2})
    )
    assert recipe_of(one, project) == recipe_of(two, project)


@pytest.mark.parametrize(
    "change",
    [
        {"data": {"dataset": "wine"}},
        {"split": {"random_state": 7}},
        {"split": {"stratify": False}},
        {"model": {**QUICK["model"], "params": {"var_smoothing": 1e-8}}},
    ],
    ids=str,
)
def test_what_decides_the_model_changes_the_digest(change, project):
    found = recipe_of({**QUICK, **change}, project)
    assert found["recipe_digest"] != recipe_of(QUICK, project)["recipe_digest"]


def test_the_code_digest_covers_what_computes_and_not_what_shows():
    covered = recipe._DOES_NOT_COMPUTE
    package = ROOT / "src" / "artifact_pipeline"
    assert all((package / name).exists() for name in covered)
    assert not {"training.py", "data.py", "numerics.py", "trainer.py", "artifact"} & set(covered)


def test_a_package_that_is_not_installed_is_named():
    with pytest.raises(recipe.StoreError, match=r"nonesuch is not installed; pip install"):
        recipe.versions(["nonesuch"])
