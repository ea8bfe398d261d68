"""Transfers that are killed at random moments leave nothing half, and the next one succeeds."""

import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

import artifact_pipeline as api
from artifact_pipeline.store.store import Store
from tests.remote.conftest import needs_registry
from tests.support.command import call, environment


def killed(words, seconds, cwd):
    """Run a command, kill it after some seconds, and return whether it still ran."""
    process = subprocess.Popen(
        [sys.executable, "-m", "artifact_pipeline", *map(str, words)],
        cwd=cwd, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def seconds_of(words, cwd):
    """Run a command to its end, and return how long it took."""
    start = time.monotonic()
    assert call(*words, cwd=cwd).code == 0
    return time.monotonic() - start


def big(store, digits):
    """Add an artifact whose card has 30 MB, so that a transfer takes a while."""
    from tests.support.artifacts import variant

    text = "".join(map(str, range(4_500_000)))
    return Store(store).add(variant(digits.folder, text)).digest


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["folder", pytest.param("oci", marks=needs_registry)])
def test_fifty_kills_leave_nothing_half(kind, tmp_path, digits, request, monkeypatch):
    store, there = shutil.copytree(digits.store, tmp_path / "here"), tmp_path / "there"
    digest = big(store, digits)
    base = (tmp_path / "shared").as_uri()
    if kind == "oci":
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "no-docker"))
        base = f"oci://{request.getfixturevalue('registry_host')}/kills/{tmp_path.name.lower()}"
    # Each command is killed within the time that it last took here, whatever the machine.
    chance, kills = random.Random(21), 0
    push = ["push", digest, f"{base}/first", "--store", store]
    pushed = [seconds_of(push, tmp_path), seconds_of(push, tmp_path)]
    pulled = seconds_of(["pull", f"{base}/first", "--store", there], tmp_path)
    shutil.rmtree(there)
    for index in range(25):
        remote, is_again = f"{base}/{index // 5}", index % 5 > 0
        push = ["push", digest, remote, "--store", store]
        kills += killed(push, chance.uniform(0.2, 0.9) * pushed[is_again], tmp_path)
        is_there = kind == "oci" or (tmp_path / "shared" / str(index // 5)).exists()
        for item in api.list_remote(remote) if is_there else []:  # what it names is complete
            assert api.pull(f"{remote}@{item.digest}", store=tmp_path / "check").digest == digest
        pushed[is_again] = seconds_of(push, tmp_path)
        pull = ["pull", remote, "--store", there]
        kills += killed(pull, chance.uniform(0.2, 0.9) * pulled, tmp_path)
        for found in Store(there).artifacts.digests():
            assert api.check_integrity(found, store=there)
        assert call(*pull, cwd=tmp_path).code == 0
        report = api.examine(there)
        assert [one for one in report.findings if "staging" not in str(one)] == []
        shutil.rmtree(there)
        shutil.rmtree(tmp_path / "check", ignore_errors=True)
    assert kills >= 25
