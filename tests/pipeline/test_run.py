"""`run`: the order of jobs, the cache, gates and records."""

import shutil
import subprocess
from pathlib import Path

import pytest

import artifact_pipeline
from artifact_pipeline.errors import ConfigError, GateMissed
from artifact_pipeline.store.store import Store
from tests.support.artifacts import reseal
from tests.support.command import call, script
from tests.support.configs import FOREST, QUICK, SHORT, write


def names(jobs):
    return [(job["name"], job["outcome"]) for job in jobs]


def test_a_run_has_three_jobs_in_order(digits):
    assert names(digits.run["jobs"]) == [("test", "done"), ("train", "done"), ("inference", "done")]
    assert not digits.run["cached"]
    assert digits.run["metrics"]["train"]["accuracy"] == 1.0
    assert round(digits.run["metrics"]["test"]["accuracy"], 4) == 0.9583
    assert round(digits.run["metrics"]["test"]["f1_weighted"], 4) == 0.9584


def test_a_second_run_trains_nothing(project, digits):
    shutil.copytree(digits.store, project / "artifacts")
    done = call("run", "--json", cwd=project)
    assert done.json["cached"] and done.json["digest"] == digits.digest
    assert done.json["metrics"] == digits.run["metrics"]
    assert "nothing to train" in call("run", cwd=project).out


@pytest.mark.slow
def test_a_stored_artifact_that_does_not_verify_is_trained_again(project, digits):
    shutil.copytree(digits.store, project / "artifacts")
    (project / "artifacts" / digits.folder.name / "model.onnx").write_bytes(b"")
    done = call("run", cwd=project)
    assert done.code == 0 and "did not verify" in done.out
    assert call("verify", "latest", cwd=project).code == 0


@pytest.mark.slow
def test_an_index_that_names_another_artifact_is_ignored(project, digits):
    """A store from a cache that somebody else wrote: the recipe's digest points at their model."""
    assert call("train", write(project, QUICK), cwd=project).code == 0
    ours = call("recipe", "--json", cwd=project).json["recipe_digest"].removeprefix("sha256:")
    theirs = Store(project / "artifacts").aliases.get("latest")
    (project / "artifacts" / "recipes" / ours).write_text(theirs)
    done = call("train", "--json", cwd=project)
    assert not done.json["cached"] and done.json["digest"] == digits.digest


@pytest.mark.slow
def test_force_trains_again_to_the_same_bytes(project):
    path = write(project, FOREST)
    first = call("run", path, "--json", cwd=project)
    again = call("run", path, "--force", cwd=project)
    assert again.code == 0 and "identical to the byte" in again.out
    assert first.json["digest"][7:19] in again.out


@pytest.mark.slow
def test_force_with_different_bytes_exits_1_and_keeps_the_old_artifact(project, digits):
    """What stands in for another outcome is a forged artifact under the same recipe."""
    first = call("run", write(project, QUICK), "--json", cwd=project).json
    store = Store(project / "artifacts")
    copy = Path(shutil.copytree(store.artifacts.path(first["digest"]), project / "copy"))
    forged = reseal(copy, "model.onnx", (copy / "model.onnx").read_bytes() + b"\0")
    copy.rename(store.artifacts.path(forged))
    store.recipes.set(first["recipe_digest"], forged)
    done = call("run", "config.json", "--force", "--json", cwd=project)
    assert done.code == 1 and done.json["error"]["kind"] == "reproduction"
    assert store.recipes.get(first["recipe_digest"]) == forged


def test_a_missed_gate_exits_1_keeps_the_record_and_moves_no_alias(project, digits):
    shutil.copytree(digits.store, project / "artifacts")
    config = {**QUICK, "gates": {"test.accuracy": {"min": 0.999}, "test.f1_macro": {"min": 0.1}}}
    done = call("run", write(project, config), "--json", cwd=project)
    assert done.code == done.json["exit_code"] == 1
    assert done.json["error"]["kind"] == "gate"
    assert done.json["error"]["message"] == ("test.accuracy is 0.9667, below the minimum of 0.999")
    assert [gate["passed"] for gate in done.json["gates"]] == [False, True]
    assert names(done.json["jobs"]) == [("test", "done"), ("train", "failed")]
    record = call("list", "--json", cwd=project).json["runs"][0]
    assert record["outcome"] == "gate-missed" and record["artifact"] == done.json["digest"]
    assert Store(project / "artifacts").aliases.all() == {"latest": digits.digest}
    assert "MISSED by -0.0323" in call("run", "config.json", cwd=project).out


@pytest.mark.slow
def test_gates_are_checked_again_on_a_stored_artifact(project):
    gate = {"test.accuracy": {"min": 0.999}}
    assert call("run", write(project, {**QUICK, "gates": gate}), cwd=project).code == 1
    done = call("run", write(project, QUICK), "--json", cwd=project)
    assert done.code == 0 and done.json["cached"]


@pytest.mark.slow
def test_tests_run_first_and_a_failure_stops_the_rest(project):
    path = write(project, QUICK)
    (project / "test_mine.py").write_text("def test_no(): assert False")
    done = call("run", path, "--tests", "test_mine.py", "--json", cwd=project)
    assert done.code == 1 and done.json["error"]["kind"] == "tests"
    assert not (project / "artifacts").exists()
    (project / "test_mine.py").write_text("def test_yes(): pass")
    assert call("run", path, "--tests", "test_mine.py", cwd=project).code == 0


@pytest.mark.slow
def test_a_tests_path_that_looks_like_an_option_is_a_path(project):
    done = call("run", write(project, QUICK), "--tests=--version", cwd=project)
    assert done.code == 1 and "nothing was trained" in done.err


@pytest.mark.slow
def test_a_warning_is_printed_and_recorded(project):
    done = call("run", write(project, {**SHORT, "max_iter": 3}), cwd=project)
    sentence = "LogisticRegression did not converge within max_iter=3; raise max_iter, or scale"
    assert done.code == 0 and f"warning: {sentence}" in done.err
    assert "ConvergenceWarning" not in done.err and ".py" not in done.err
    record = call("list", "--json", cwd=project).json["runs"][0]
    assert record["warnings"][0].startswith(sentence)


@pytest.mark.slow
def test_output_of_an_estimator_does_no_harm(project):
    model = {"estimator": "sklearn.neural_network.MLPClassifier",
             "params": {"verbose": True, "max_iter": 20}}  # fmt: skip
    done = call("train", write(project, {**QUICK, "model": model}), "--json", cwd=project)
    assert done.code == 0 and done.json["digest"]
    assert "Iteration 1, loss" in done.err


@pytest.mark.slow
def test_a_warning_of_an_estimator_is_printed_once_and_without_a_place(project):
    lines = [f"{index % 7},,{'yes' if index % 7 > 3 else 'no'}" for index in range(60)]
    (project / "t.csv").write_text("a,x,y\n" + "\n".join(lines) + "\n")
    data = {"path": "t.csv", "target": "y", "columns": {"x": "number"}}
    model = {"preprocess": "auto", "estimator": "sklearn.linear_model.LogisticRegression"}
    done = call("train", write(project, {"data": data, "model": model}), cwd=project)
    assert done.code == 0, done.err
    assert done.err.count("Skipping features without any observed values") == 1
    assert "_base.py" not in done.err


@pytest.mark.slow
def test_a_cached_config_is_trained_under_the_profile(project):
    path = write(project, QUICK)
    assert call("recipe", path, cwd=project).code == 0
    done = call("train", path, "--json", cwd=project)
    record = call("list", "--json", cwd=project).json["runs"][0]
    assert not done.json["cached"]
    assert all(library["num_threads"] == 1 for library in record["observed"]["blas"])


@pytest.mark.slow
def test_the_record_names_commit_and_changes(project):
    def git(*words):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words],
                       cwd=project, check=True, capture_output=True)  # fmt: skip

    write(project, QUICK)
    git("init", "-q")
    git("add", "config.json")
    git("commit", "-qm", "x")
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=project, capture_output=True)
    assert call("run", "config.json", cwd=project).code == 0
    write(project, {**QUICK, "gates": {}})
    assert call("run", "config.json", cwd=project).code == 0
    new, old = call("list", "--json", cwd=project).json["runs"]
    assert old["git"] == {"commit": head.stdout.decode().strip(), "dirty": False}
    assert new["git"] == {"commit": head.stdout.decode().strip(), "dirty": True}
    assert old["config"] == "config.json"


@pytest.mark.slow
def test_a_module_in_the_working_folder_does_not_shadow_a_library(project):
    for name in ("random", "numpy", "train", "sklearn"):
        (project / f"{name}.py").write_text("raise SystemExit('shadowed')")
    done = script("-P", "-m", "artifact_pipeline", "train", write(project, QUICK), cwd=project)
    assert done.code == 0, done.err


@pytest.mark.slow
def test_python_functions_match_the_commands(project):
    run = artifact_pipeline.train(QUICK)
    assert artifact_pipeline.open_trusted(run.artifact, run.digest).manifest.metrics == run.metrics
    predictor = artifact_pipeline.open_artifact("latest", digest=run.digest)
    assert predictor.predict([[5.0, 3.0, 1.0, 0.2]]).tolist() == [0]
    assert predictor.predict_proba([[5.0, 3.0, 1.0, 0.2]]).shape == (1, 3)
    with pytest.raises(GateMissed) as missed:
        artifact_pipeline.train({**QUICK, "gates": {"test.accuracy": {"min": 1}}})
    assert missed.value.run.digest == run.digest
    with pytest.raises(ConfigError):
        artifact_pipeline.train({})


def test_tests_without_pytest_are_refused_before_anything_is_trained(project):
    (project / "bare.py").write_text(
        "import importlib.util, sys\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *a: None if name == 'pytest' else find(name, *a)\n"
        "from artifact_pipeline.cli import main\n"
        "sys.exit(main())\n"
    )
    import subprocess
    import sys

    command = [sys.executable, "bare.py", "run", str(write(project, QUICK)), "--tests", "t"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 5 and "pytest is not installed" in done.stderr
    assert "pip install pytest" in done.stderr
