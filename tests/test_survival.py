"""What a run leaves behind when it meets another run, a kill, or the death of its trainer."""

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
from conftest import QUICK, ROOT, call, write

import artifact_pipeline
from artifact_pipeline.store import Store


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
