"""The jobs as a user runs them: their order, the cache, gates, and the same bytes everywhere."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import QUICK, ROOT, SHORT, call, script, write

import artifact_pipeline
from artifact_pipeline.errors import ConfigError, GateMissed
from artifact_pipeline.store import Store

FOREST = {
    "data": {"dataset": "iris"},
    "model": {
        "estimator": "sklearn.ensemble.RandomForestClassifier",
        "params": {"n_estimators": 9},
    },
}


def names(jobs):
    return [(job["name"], job["outcome"]) for job in jobs]


def test_a_run_does_its_three_jobs_in_order(digits):
    assert names(digits.run["jobs"]) == [("test", "done"), ("train", "done"), ("inference", "done")]
    assert not digits.run["cached"]
    assert digits.run["metrics"]["train"]["accuracy"] == 1.0
    assert round(digits.run["metrics"]["test"]["accuracy"], 4) == 0.9583
    assert round(digits.run["metrics"]["test"]["f1_weighted"], 4) == 0.9584


def test_a_second_run_trains_nothing_and_says_so(project, digits):
    shutil.copytree(digits.store, project / "artifacts")
    done = call("run", "--json", cwd=project)
    assert done.json["cached"] and done.json["digest"] == digits.digest
    assert done.json["metrics"] == digits.run["metrics"]
    assert "nothing to train" in call("run", cwd=project).out


def test_a_stored_artifact_that_does_not_verify_is_made_again(project, digits):
    shutil.copytree(digits.store, project / "artifacts")
    (project / "artifacts" / digits.folder.name / "model.onnx").write_bytes(b"")
    done = call("run", cwd=project)
    assert done.code == 0 and "did not verify" in done.out
    assert call("verify", "latest", cwd=project).code == 0


def test_an_index_that_names_another_artifact_is_not_believed(project, digits):
    """A store from a cache that somebody else wrote: the recipe's digest points at their model."""
    assert call("train", write(project, QUICK), cwd=project).code == 0
    ours = call("recipe", "--json", cwd=project).json["recipe_digest"].removeprefix("sha256:")
    theirs = Store(project / "artifacts").alias("latest")
    (project / "artifacts" / "recipes" / ours).write_text(theirs)
    done = call("train", "--json", cwd=project)
    assert not done.json["cached"] and done.json["digest"] == digits.digest


def test_force_trains_again_and_finds_the_same_bytes(project):
    path = write(project, FOREST)
    first = call("run", path, "--json", cwd=project)
    again = call("run", path, "--force", cwd=project)
    assert again.code == 0 and "identical to the byte" in again.out
    assert first.json["digest"] in again.out


def test_force_that_finds_other_bytes_exits_1_and_keeps_what_was_there(project, digits):
    """What stands in for another outcome is a forged artifact under the same recipe."""
    from artifact_pipeline import canonical

    first = call("run", write(project, QUICK), "--json", cwd=project).json
    store = Store(project / "artifacts")
    files = {p.name: p.read_bytes() for p in store.folder(first["digest"]).iterdir()}
    files["model.onnx"] += b"\0"
    manifest = json.loads(files["manifest.json"])
    for file in manifest["files"]:
        if file["path"] == "model.onnx":
            data = files["model.onnx"]
            file.update(sha256=canonical.digest(data), bytes=len(data))
    forged = store.add({**files, "manifest.json": canonical.encode(manifest)})
    store.index(first["recipe_digest"], forged)
    done = call("run", "config.json", "--force", "--json", cwd=project)
    assert done.code == 1 and done.json["error"]["kind"] == "reproduction"
    assert store.artifact_of(first["recipe_digest"]) == forged


SITE = """
import os, pathlib, time
pathlib.Path(__file__).with_name(f"{os.getpid()}.shifted").touch()
for name in ("time", "time_ns"):
    real = getattr(time, name)
    setattr(time, name, lambda real=real: real() + (10**18 if real() > 10**15 else 10**9))
"""


@pytest.mark.parametrize(
    "outer",
    [
        {"PYTHONHASHSEED": "1"},
        {"USER": "somebody", "LOGNAME": "somebody"},
        {"LC_ALL": "C", "LANG": "tr_TR.UTF-8", "PYTHONUTF8": "0"},
        {"TZ": "Asia/Kolkata"},
        {"clock": "fifty years later"},
        {"umask": "077"},
        {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2", "OPENBLAS_CORETYPE": "Nehalem"},
        {"state": "another home"},
    ],
    ids=lambda outer: next(iter(outer)),
)
def test_the_same_recipe_gives_the_same_digest(project, digits, outer):
    env = {k: v for k, v in outer.items() if k.isupper()}
    if "clock" in outer:
        (project / "site").mkdir()
        (project / "site" / "sitecustomize.py").write_text(SITE)
        env["PYTHONPATH"] = os.pathsep.join([str(project / "site"), str(ROOT / "src")])
    if "state" in outer:
        env.update(dict.fromkeys(("HOME", "XDG_STATE_HOME"), str(project / "home")))
    before = os.umask(0o077) if "umask" in outer else None
    try:
        done = call("train", "--json", cwd=project, env=env)
    finally:
        if before is not None:
            os.umask(before)
    assert done.code == 0, done.err
    assert done.json["digest"] == digits.digest
    if "clock" in outer:
        assert len(list((project / "site").glob("*.shifted"))) >= 2  # the trainer's clock, too


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become somebody else"
)
def test_another_user_gets_the_same_digest(digits, tmp_path_factory):
    """Under another user id, in a user namespace, since the interpreter may lie in root's home."""
    folder = tmp_path_factory.mktemp("user")
    write(folder, SHORT)
    done = subprocess.run(
        ["unshare", "--user", "--map-user=1000", sys.executable, "-m", "artifact_pipeline",
         "train", "config.json", "--json"],
        cwd=folder, capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "XDG_STATE_HOME": str(folder)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["digest"] == digits.digest


@pytest.mark.slow
def test_how_many_processes_compute_does_not_change_the_digest(project):
    params = FOREST["model"]["params"]
    more = {**FOREST, "model": {**FOREST["model"], "params": {**params, "n_jobs": 2}}}
    one = call("train", write(project, FOREST), "--json", "--store", "a", cwd=project)
    two = call("train", write(project, more), "--json", "--store", "b", cwd=project)
    assert one.json["digest"] == two.json["digest"]


def test_a_missed_gate_exits_1_keeps_the_record_and_moves_no_alias(project, digits):
    shutil.copytree(digits.store, project / "artifacts")
    config = {**QUICK, "gates": {"test.accuracy": {"min": 0.999}, "test.f1_macro": {"min": 0.1}}}
    done = call("run", write(project, config), "--json", cwd=project)
    assert done.code == done.json["exit_code"] == 1
    assert done.json["error"]["kind"] == "gate"
    assert done.json["error"]["message"] == ("test.accuracy is 0.9667, below the least of 0.999")
    assert [gate["passed"] for gate in done.json["gates"]] == [False, True]
    assert names(done.json["jobs"]) == [("test", "done"), ("train", "failed")]
    record = call("list", "--json", cwd=project).json["runs"][0]
    assert record["outcome"] == "gate-missed" and record["artifact"] == done.json["digest"]
    assert Store(project / "artifacts").aliases() == {"latest": digits.digest}
    assert "MISSED by -0.0323" in call("run", "config.json", cwd=project).out


def test_gates_are_judged_anew_on_a_stored_artifact(project):
    gate = {"test.accuracy": {"min": 0.999}}
    assert call("run", write(project, {**QUICK, "gates": gate}), cwd=project).code == 1
    done = call("run", write(project, QUICK), "--json", cwd=project)
    assert done.code == 0 and done.json["cached"]


def test_tests_run_first_and_a_failure_stops_the_rest(project):
    path = write(project, QUICK)
    (project / "test_mine.py").write_text("def test_no(): assert False")
    done = call("run", path, "--tests", "test_mine.py", "--json", cwd=project)
    assert done.code == 1 and done.json["error"]["kind"] == "tests"
    assert not (project / "artifacts").exists()
    (project / "test_mine.py").write_text("def test_yes(): pass")
    assert call("run", path, "--tests", "test_mine.py", cwd=project).code == 0


def test_a_path_of_tests_that_looks_like_an_option_is_a_path(project):
    done = call("run", write(project, QUICK), "--tests=--version", cwd=project)
    assert done.code == 1 and "nothing was trained" in done.err


def test_a_warning_is_a_sentence_on_the_terminal_and_in_the_record(project):
    done = call("run", write(project, {**SHORT, "max_iter": 3}), cwd=project)
    sentence = "LogisticRegression did not converge within max_iter=3; raise max_iter, or scale"
    assert done.code == 0 and f"warning: {sentence}" in done.err
    assert "ConvergenceWarning" not in done.err and ".py" not in done.err
    record = call("list", "--json", cwd=project).json["runs"][0]
    assert record["warnings"][0].startswith(sentence)


def test_what_an_estimator_prints_harms_nothing(project):
    model = {"estimator": "sklearn.neural_network.MLPClassifier",
             "params": {"verbose": True, "max_iter": 20}}  # fmt: skip
    done = call("train", write(project, {**QUICK, "model": model}), "--json", cwd=project)
    assert done.code == 0 and done.json["digest"]
    assert "Iteration 1, loss" in done.err


def test_a_config_that_was_checked_before_is_trained_under_the_profile_all_the_same(project):
    path = write(project, QUICK)
    assert call("recipe", path, cwd=project).code == 0
    done = call("train", path, "--json", cwd=project)
    record = call("list", "--json", cwd=project).json["runs"][0]
    assert not done.json["cached"]
    assert all(library["num_threads"] == 1 for library in record["observed"]["blas"])


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


def test_a_module_in_the_working_folder_does_not_shadow_a_library(project):
    for name in ("random", "numpy", "train", "sklearn"):
        (project / f"{name}.py").write_text("raise SystemExit('shadowed')")
    done = script("-P", "-m", "artifact_pipeline", "train", write(project, QUICK), cwd=project)
    assert done.code == 0, done.err


def test_two_runs_at_once_leave_one_whole_store(project):
    path = write(project, QUICK)
    command = [sys.executable, "-m", "artifact_pipeline", "run", path, "--json"]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    both = [
        subprocess.Popen(command, cwd=project, env=env, stdout=subprocess.PIPE) for _ in range(2)
    ]
    answers = [json.loads(process.communicate()[0]) for process in both]
    assert answers[0]["digest"] == answers[1]["digest"]
    listed = call("list", "--json", cwd=project).json
    assert len(listed["artifacts"]) == 1 and listed["artifacts"][0]["broken"] is None
    assert len(listed["runs"]) == 2
    assert list((project / "artifacts" / "staging").iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_kill_at_any_moment_leaves_a_whole_store(project, digits):
    shutil.copytree(digits.store, project / "artifacts")
    path = write(project, QUICK)
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "artifact_pipeline", "run", path]
    moments = random.Random(7)
    for _ in range(8):
        process = subprocess.Popen(command, cwd=project, env=env, stdout=subprocess.DEVNULL)
        time.sleep(moments.uniform(0.05, 2.2))
        process.send_signal(signal.SIGKILL)
        process.wait()
        listed = call("list", "--json", cwd=project).json
        assert [one["broken"] for one in listed["artifacts"] if one["broken"]] == []
        assert digits.digest in [one["digest"] for one in listed["artifacts"]]
        for digest in Store(project / "artifacts").aliases().values():
            artifact_pipeline.verify(digest, store=project / "artifacts")
    assert call("run", path, "--force", cwd=project).code == 0
    assert list((project / "artifacts" / "staging").iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no /proc and no SIGKILL")
def test_a_trainer_that_dies_is_one_clear_error(project):
    endless = {"max_iter": 100_000, "tol": 0, "n_iter_no_change": 100_000}
    model = {"estimator": "sklearn.neural_network.MLPClassifier", "params": endless}
    path = write(project, {"data": {"dataset": "digits"}, "model": model})
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    process = subprocess.Popen([sys.executable, "-m", "artifact_pipeline", "train", path],
                               cwd=project, env=env, stderr=subprocess.PIPE)  # fmt: skip
    child = _wait_for_trainer(process.pid)
    time.sleep(3)
    os.kill(child, signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 5
    assert b"trainer process: ended by signal 9 before it answered" in err
    assert b"Traceback" not in err


def _wait_for_trainer(parent: int) -> int:
    for _ in range(600):
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    line = (entry / "cmdline").read_bytes()
                    ppid = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                except OSError:
                    continue
                if ppid == parent and b"artifact_pipeline.trainer" in line:
                    return int(entry.name)
        time.sleep(0.05)
    raise AssertionError("no trainer was started")


def test_from_python_it_is_the_same_words(project):
    run = artifact_pipeline.train(QUICK)
    assert artifact_pipeline.verify(run.artifact, run.digest).metrics == run.metrics
    predictor = artifact_pipeline.open_artifact("latest", digest=run.digest)
    assert predictor.predict([[5.0, 3.0, 1.0, 0.2]]).tolist() == [0]
    assert predictor.predict_proba([[5.0, 3.0, 1.0, 0.2]]).shape == (1, 3)
    with pytest.raises(GateMissed) as missed:
        artifact_pipeline.train({**QUICK, "gates": {"test.accuracy": {"min": 1}}})
    assert missed.value.run.digest == run.digest
    with pytest.raises(ConfigError):
        artifact_pipeline.train({})
