"""Pruning: what is removed, what stays, and what that leaves."""

import json
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

import artifact_pipeline as api
from artifact_pipeline.errors import CallError, StoreError
from artifact_pipeline.store import models, promotion, prune
from artifact_pipeline.store.store import Store
from tests.support.artifacts import variant
from tests.support.command import call, environment
from tests.support.waiting import until


class Clock:
    """The time of everything that looks at it."""

    day = "2026-01-01"

    def now(self):
        return f"{self.day}T12:00:00+00:00"

    def time(self):
        return datetime.fromisoformat(self.now()).astimezone(UTC)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    for module in (models, promotion, prune):
        monkeypatch.setattr(module, "now", clock.now)
    monkeypatch.setattr(prune, "_time", clock.time)
    return clock


@pytest.fixture
def store(tmp_path, monkeypatch, digits, clock):
    """Five versions of churn, sealed on the first of January."""
    monkeypatch.chdir(tmp_path)
    store = Store("artifacts")
    for text in "abcde":
        store.add(variant(digits.folder, text, name="churn"))
    return store


def left(store):
    return [version for version, digest in store.models.history("churn").versions.items()
            if store.artifacts.path(digest).exists()]  # fmt: skip


def ran(store, version, day):
    """Write the record of a run that gave a version."""
    run = f"{day.replace('-', '')}T000000.000000Z-abcdef"
    record = {"run": run, "outcome": "done", "started": f"{day}T00:00:00+00:00", "name": "churn",
              "artifact": store.models.history("churn").versions[version]}  # fmt: skip
    path = store.root / "runs" / f"{run}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record))


def test_what_was_sealed_within_the_retention_stays(store, clock):
    clock.day = "2026-01-31"
    assert api.prune().removed == [] and left(store) == [1, 2, 3, 4, 5]
    clock.day = "2026-02-01"
    report = api.prune(dry_run=True)
    assert [artifact.version for artifact in report.removed] == [1, 2, 3, 4, 5]
    assert left(store) == [1, 2, 3, 4, 5]
    size = sum(
        file.stat().st_size for file in store.artifacts.path(report.removed[0].digest).iterdir()
    )
    assert report.removed[0].bytes == size and report.bytes > 4 * size
    api.prune()
    assert left(store) == [] and list((store.root / "staging").iterdir()) == []


def test_aliases_tags_and_recent_runs_keep_artifacts(store, clock):
    api.promote("churn:1")
    api.tag("churn:2", {"reviewed-by": "asha"})
    store.models.set_latest("churn", store.resolve("churn:3").digest)
    ran(store, 4, "2026-02-20")
    ran(store, 5, "2026-01-01")
    clock.day = "2026-03-01"
    assert [artifact.version for artifact in api.prune().removed] == [5]
    assert left(store) == [1, 2, 3, 4]
    clock.day = "2026-06-01"
    assert [artifact.version for artifact in api.prune(keep_last=1, dry_run=True).removed] == []
    assert [artifact.version for artifact in api.prune().removed] == [4]


def test_what_an_alias_named_within_the_retention_stays(store, clock):
    api.promote("churn:1")
    clock.day = "2026-03-01"
    api.promote("churn:2")
    clock.day = "2026-03-31"
    assert [artifact.version for artifact in api.prune().removed] == [3, 4, 5]
    assert api.rollback("champion").version == 1
    api.promote("churn:2")
    clock.day = "2026-05-01"
    assert [artifact.version for artifact in api.prune().removed] == [1]
    with pytest.raises(api.ArtifactNotFound, match="was pruned on 2026-05-01"):
        store.resolve("churn:1")
    assert api.history("churn")[0].event == "pruned"


def test_a_version_is_never_used_again(store, clock, digits):
    clock.day = "2026-03-01"
    api.prune()
    assert (
        store.add(variant(digits.folder, "f", name="churn")).digest
        == store.resolve("churn:6").digest
    )
    again = store.add(variant(digits.folder, "c", name="churn")).digest
    assert store.resolve("churn:3").digest == again
    assert [artifact.version for artifact in api.prune(dry_run=True).removed] == []
    assert api.examine().findings == []


def test_a_pruned_store_is_healthy_and_finds_no_pruned_recipe(store, clock):
    recipe = store.artifacts.open(store.resolve("churn:1").digest).manifest.recipe_digest
    clock.day = "2026-03-01"
    api.prune()
    assert store.find(recipe) is None and api.examine().findings == []


def test_what_does_not_verify_is_left_to_doctor(store, clock):
    digest = store.resolve("churn:1").digest
    (store.artifacts.path(digest) / "manifest.json").write_bytes(b"{}")
    clock.day = "2026-03-01"
    api.prune()
    assert store.artifacts.digests() == [digest]


def test_the_command_says_what_it_frees(store, clock):
    cwd = Path.cwd()
    done = call("prune", "--keep-days", "0", "--dry-run", cwd=cwd)
    assert done.code == 0 and "churn:5" in done.out and "5 artifacts would free" in done.out
    assert left(store) == [1, 2, 3, 4, 5]
    done = call("prune", "--keep-days", "0", "--json", cwd=cwd)
    assert len(done.json["removed"]) == 5 and done.json["bytes"] > 0 and left(store) == []
    assert call("prune", "--keep-days", "-1", cwd=cwd).code == 2
    with pytest.raises(CallError):
        api.prune(keep_last=-1)


def test_a_locked_model_is_not_pruned(store, clock, monkeypatch):
    monkeypatch.setattr(prune, "SEAL_WAIT", 0.0)
    clock.day = "2026-03-01"
    with store.models.lock("churn"), pytest.raises(StoreError, match="is locked"):
        api.prune()
    assert left(store) == [1, 2, 3, 4, 5]


KILLED = """
import artifact_pipeline as api
print("ready", flush=True)
input()
api.prune(keep_days=0)
"""


def test_a_killed_prune_leaves_artifacts_complete_or_gone(store, digits, clock):
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED], env=environment(), stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    process.stdout.readline()
    process.stdin.write(b"\n")
    process.stdin.flush()
    until(lambda: len(store.artifacts.digests()) < 5)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for digest in store.artifacts.digests():
        store.artifacts.open(digest)
    store.folder.sweep()
    assert api.examine(repair=True).healthy and api.examine().findings == []
    assert list((store.root / "staging").iterdir()) == []


def test_a_store_in_a_notebook(digits, tmp_path):
    store = api.Store(shutil.copytree(digits.store, tmp_path / "artifacts"))
    assert repr(store).endswith("models: 1, artifacts: 1, runs: 1)")
    frame = store.runs()
    assert frame["test.accuracy"][0] == pytest.approx(0.9583, abs=1e-4)
    assert (frame["name"][0], frame["params.C"][0]) == ("digits", 1.0)
    assert frame["started"][0].tzinfo is not None
    assert store.promote("digits:1", message="<b>first</b>").version == 1
    store.tag("digits:1", {"note": "<script>"})
    page = store._repr_html_()
    assert "digits:1" in page and "champion" in page and "<script>" not in page
    assert [entry.event for entry in store.history("digits")] == ["tagged", "moved", "sealed"]
    with pytest.raises(CallError, match="has no previous version"):
        store.rollback("champion")
    assert store.prune(keep_days=0, dry_run=True).removed == []
    empty = api.Store(tmp_path / "none")
    assert empty.runs().empty and "models: 0" in repr(empty) and empty._repr_html_()
