"""Concurrent runs, kills, full disks and read-only stores."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from artifact_pipeline import runs
from artifact_pipeline.store.store import Store
from artifact_pipeline.verification.verify import verify
from tests.support.command import call, trainer_of
from tests.support.configs import QUICK, ROOT, write
from tests.support.waiting import HANG, until


@pytest.mark.slow
def test_two_concurrent_runs_leave_a_consistent_store(project):
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


needs_mounts = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can mount a small disk"
)


@pytest.fixture
def disk(tmp_path):
    """A folder on a disk of its own, to be filled or made read-only."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def one_line(done):
    assert done.err.startswith("error: ") and done.err.count("\n") == 1, done.err


@pytest.mark.slow
@needs_mounts
@pytest.mark.parametrize("free", [0, 8192, 131072])
def test_a_full_disk_exits_5_and_loses_nothing(project, disk, digits, free):
    shutil.copytree(digits.store, disk / "artifacts")
    (disk / "filler").write_bytes(b"x" * (shutil.disk_usage(disk).free - free))
    done = call("run", write(project, {**QUICK, "data": {"dataset": "digits"}}),
                "--store", disk / "artifacts", cwd=project)  # fmt: skip
    assert done.code == 5 and "No space left on device" in done.err
    one_line(done)
    verify(disk / "artifacts" / digits.folder.name, digits.digest)
    assert Store(disk / "artifacts").aliases.all() == {"latest": digits.digest}
    assert all(run.outcome != "unreadable" for run in runs(store=disk / "artifacts"))
    (disk / "filler").unlink()
    again = call("run", project / "config.json", "--store", disk / "artifacts", cwd=project)
    assert again.code == 0, again.err
    assert call("doctor", "--store", disk / "artifacts", cwd=project).code == 0


@pytest.mark.slow
@needs_mounts
def test_a_read_only_store_exits_5_and_can_be_read(project, disk, digits):
    shutil.copytree(digits.store, disk / "artifacts")
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    store = ("--store", disk / "artifacts")
    done = call("run", write(project, QUICK), *store, cwd=project)
    assert done.code == 5 and "Read-only file system" in done.err
    one_line(done)
    for words in (("verify", "latest"), ("infer", "latest"), ("doctor",), ("list",)):
        assert call(*words, *store, cwd=project).code == 0


@pytest.mark.slow
@needs_mounts
def test_a_store_may_be_on_another_disk_than_the_temporary_folder(project, disk):
    assert (project.stat().st_dev, Path("/tmp").stat().st_dev) != (disk.stat().st_dev,) * 2
    store = ("--store", disk / "artifacts")
    assert call("run", write(project, QUICK), *store, "--json", cwd=project).code == 0
    assert call("reproduce", "latest", *store, "--strict", cwd=project).code == 0
    assert call("doctor", *store, cwd=project).code == 0


BACK = """
import time
real = time.time
time.time = lambda: real() - 10**9
"""


@pytest.mark.slow
def test_a_clock_set_back_changes_only_the_times(project, digits):
    shutil.copytree(digits.store, project / "artifacts")
    (project / "site").mkdir()
    (project / "site" / "sitecustomize.py").write_text(BACK)
    env = {"PYTHONPATH": os.pathsep.join([str(project / "site"), str(ROOT / "src")])}
    done = call("run", write(project, QUICK), "--json", cwd=project, env=env)
    assert done.code == 0, done.err
    listed = call("list", "--json", cwd=project).json
    assert len(listed["runs"]) == 2 and len(listed["artifacts"]) == 2
    assert Store(project / "artifacts").aliases.get("latest") == done.json["digest"]
    assert call("doctor", cwd=project).code == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "index",
    [
        b"",
        pytest.param(b"sha256:12", marks=pytest.mark.slow),
        pytest.param(b"\xff" * 80, marks=pytest.mark.slow, id="binary"),
    ],
)
def test_a_truncated_index_only_causes_a_training(project, digits, index):
    shutil.copytree(digits.store, project / "artifacts")
    [path] = (project / "artifacts" / "recipes").iterdir()
    path.write_bytes(index)
    record = project / "artifacts" / "runs" / "20200101T000000.000000Z-000000.json"
    record.write_bytes(index)
    done = call("run", "--json", cwd=project)
    assert done.code == 0, done.err
    assert done.json["cached"] is False and done.json["digest"] == digits.digest
    assert path.read_text().strip() == digits.digest and record.read_bytes() == index


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no /proc and no SIGKILL")
def test_a_killed_trainer_is_one_clear_error(project, memory_kills):
    endless = {"max_iter": 100_000, "tol": 0, "n_iter_no_change": 100_000}
    model = {"estimator": "sklearn.neural_network.MLPClassifier", "params": endless}
    path = write(project, {"data": {"dataset": "digits"}, "model": model})
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    process = subprocess.Popen([sys.executable, "-m", "artifact_pipeline", "train", path],
                               cwd=project, env=env, stderr=subprocess.PIPE)  # fmt: skip
    child = until(lambda: trainer_of(process.pid), "no trainer was started")
    os.kill(child, signal.SIGKILL)
    _, err = process.communicate(timeout=HANG)
    assert process.returncode == 5
    assert b"trainer process: ended by signal 9 without a result" in err
    assert b"Traceback" not in err
