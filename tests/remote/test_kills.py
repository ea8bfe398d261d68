"""Transfers that are killed at random points leave nothing half, and the next one succeeds."""

import random
import shutil

import pytest

import artifact_pipeline as api
from artifact_pipeline.store.store import Store
from tests.remote.conftest import needs_registry
from tests.support.artifacts import variant
from tests.support.command import call
from tests.support.kill_points import changes_of, kill_at


def big(store, digits):
    """Add an artifact whose card has 30 MB, so that a transfer takes a while."""
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
    chance, kills = random.Random(21), 0
    push = ["push", digest, f"{base}/first", "--store", store]
    pushes = [changes_of(*push, cwd=tmp_path), changes_of(*push, cwd=tmp_path)]
    pulls = changes_of("pull", f"{base}/first", "--store", there, cwd=tmp_path)
    shutil.rmtree(there)

    def killed(words, changes):
        """Kill a command at one of its changes, or while it writes what comes after it."""
        change, seconds = chance.randint(1, changes), chance.choice([0.0, 0.01, 0.05])
        return kill_at(change, *words, seconds=seconds, cwd=tmp_path)

    for index in range(25):
        remote, is_again = f"{base}/{index // 5}", index % 5 > 0
        push = ["push", digest, remote, "--store", store]
        kills += killed(push, pushes[is_again])
        is_there = kind == "oci" or (tmp_path / "shared" / str(index // 5)).exists()
        for item in api.list_remote(remote) if is_there else []:  # what it names is complete
            assert api.pull(f"{remote}@{item.digest}", store=tmp_path / "check").digest == digest
        assert call(*push, cwd=tmp_path).code == 0
        pull = ["pull", remote, "--store", there]
        kills += killed(pull, pulls)
        for found in Store(there).artifacts.digests():
            assert api.check_integrity(found, store=there)
        assert call(*pull, cwd=tmp_path).code == 0
        report = api.examine(there)
        assert [one for one in report.findings if "staging" not in str(one)] == []
        shutil.rmtree(there)
        shutil.rmtree(tmp_path / "check", ignore_errors=True)
    assert kills >= 45
