"""The recipe: its content, and its digest."""

import json
import os
import platform
import shutil
import sys
from importlib.metadata import version

import pytest

from artifact_pipeline.builder import canonical, environment
from artifact_pipeline.errors import MissingDependency
from tests.support.command import call, script
from tests.support.configs import QUICK, ROOT, SHORT, write


def recipe_of(config, folder, *words):
    done = call("recipe", write(folder, config), "--json", *words, cwd=folder)
    assert done.code == 0, done.err
    return done.json


def test_a_recipe_holds_everything_that_decides_the_model(project):
    made = recipe_of(SHORT, project)["recipe"]
    assert set(made) == {
        "code", "data", "model", "name", "numerics", "packages", "platform", "recipe_version",
        "split",
    }  # fmt: skip
    assert made["model"]["params"] == {
        "C": 1.0, "solver": "lbfgs", "max_iter": 1000, "random_state": 42
    }  # fmt: skip
    assert made["platform"]["python"] == f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert made["platform"]["system"] == platform.system()
    assert made["packages"] == {name: version(name) for name in environment.PACKAGES}


def test_the_digest_is_that_of_the_canonical_json(project):
    found = recipe_of(SHORT, project)
    assert found["recipe_digest"] == canonical.digest(canonical.encode(found["recipe"]))


def test_the_command_prints_the_recipe_and_its_digest(project):
    done = call("recipe", cwd=project)
    text, _, digest = done.out.rstrip().rpartition("\nrecipe ")
    assert canonical.digest(canonical.encode(json.loads(text))) == digest


def test_a_recipe_is_computed_without_training_or_storing(project):
    recipe_of(SHORT, project)
    assert not (project / "artifacts").exists()


@pytest.mark.slow
def test_the_short_and_full_form_have_the_same_recipe(project):
    full = {
        "data": {"dataset": "digits"},
        "model": {
            "estimator": "sklearn.linear_model.LogisticRegression",
            "params": {"max_iter": 1000, "solver": "lbfgs", "C": 1.0},
        },
    }
    assert recipe_of(full, project) == recipe_of(SHORT, project)


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [{"gates": {"test.accuracy": {"min": 0.5}}}, {"split": {"random_state": 42}}],
    ids=["gates", "a default written out"],
)
def test_gates_and_defaults_are_not_part_of_the_recipe(change, project):
    assert recipe_of({**QUICK, **change}, project) == recipe_of(QUICK, project)


@pytest.mark.slow
def test_n_jobs_is_not_part_of_the_recipe(project):
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
def test_a_change_to_the_model_changes_the_digest(change, project):
    found = recipe_of({**QUICK, **change}, project)
    assert found["recipe_digest"] != recipe_of(QUICK, project)["recipe_digest"]


PACKAGE = ROOT / "src" / "artifact_pipeline"
SOURCES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def test_a_changed_byte_changes_the_recipe_exactly_if_it_lies_in_the_builder(tmp_path):
    copied = tmp_path / "artifact_pipeline"
    shutil.copytree(PACKAGE, copied, ignore=shutil.ignore_patterns("__pycache__"))
    code = (
        "import sys; from pathlib import Path\n"
        "from artifact_pipeline.builder import recipe\n"
        "digest = recipe.code_digest.__wrapped__\n"
        "before = digest()\n"
        "for name in sys.argv[1:]:\n"
        "    path = Path('artifact_pipeline', name); source = path.read_bytes()\n"
        "    path.write_bytes(source + b'#')\n"
        "    print(name, digest() != before)\n"
        "    path.write_bytes(source)\n"
    )
    done = script("-c", code, *SOURCES, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)})
    assert done.code == 0, done.err
    assert done.out.splitlines() == [f"{name} {name.startswith('builder/')}" for name in SOURCES]


def test_a_trainer_loads_nothing_of_the_package_but_the_builder(project):
    """What lies elsewhere cannot decide a byte, because the process that decides never loads it."""
    (project / "site").mkdir()
    (project / "site" / "sitecustomize.py").write_text(
        "import os, sys\n"
        "def hook(event, arguments):\n"
        "    if event == 'import' and arguments[0].startswith('artifact_pipeline'):\n"
        "        os.write(told, arguments[0].encode() + b'\\n')\n"
        "if any(word.endswith('training.worker') for word in sys.orig_argv):\n"
        "    told = os.open('loaded', os.O_WRONLY | os.O_CREAT)\n"
        "    sys.addaudithook(hook)\n",
        "utf-8",
    )
    path = os.pathsep.join([str(project / "site"), str(ROOT / "src")])
    done = script(
        "-m",
        "artifact_pipeline",
        "run",
        write(project, QUICK),
        cwd=project,
        env={"PYTHONPATH": path},
    )
    assert done.code == 0, done.err
    loaded = set((project / "loaded").read_text("utf-8").splitlines())
    apart = {"artifact_pipeline", "artifact_pipeline.errors", "artifact_pipeline._version"}
    assert {
        name for name in loaded - apart if not name.startswith("artifact_pipeline.builder")
    } == set()
    assert "artifact_pipeline.builder.training.results" in loaded


def test_a_missing_package_is_named():
    with pytest.raises(MissingDependency, match=r"nonesuch is not installed; pip install"):
        environment.versions(["nonesuch"])
