"""Promotion: an alias moves under a lock, and every move is recorded."""

import itertools
import json
import random
import shutil
import subprocess
import sys

import pytest

import artifact_pipeline as api
from artifact_pipeline.errors import ArtifactNotFound, CallError, StoreError
from artifact_pipeline.store.store import Store
from tests.support.command import call, environment
from tests.support.configs import QUICK, write
from tests.support.waiting import until


@pytest.fixture(scope="module")
def made(tmp_path_factory, digits):
    """A store with two artifacts of one model."""
    folder = tmp_path_factory.mktemp("two")
    shutil.copytree(digits.store, folder / "artifacts")
    config = {**QUICK, "name": "digits", "data": {"dataset": "digits"}}
    done = call("train", write(folder, config), "--json", cwd=folder)
    return folder, [digits.digest, done.json["digest"]]


@pytest.fixture
def two(made, tmp_path, monkeypatch):
    folder, digests = made
    shutil.copytree(folder / "artifacts", tmp_path / "artifacts")
    monkeypatch.chdir(tmp_path)
    return digests


@pytest.mark.slow
def test_a_promotion_records_user_time_and_previous_artifact(two, tmp_path):
    first, second = two
    done = call("promote", first[7:19], "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    assert (done.json["alias"], done.json["digest"], done.json["instead_of"]) == (
        "champion", first, None
    )  # fmt: skip
    told = call("promote", second[7:19], cwd=tmp_path)
    assert told.code == 0 and f"it was version 1, {first[7:19]}" in " ".join(told.out.split())
    assert Store().alias("digits", "champion") == second
    newest, oldest = api.promotions()
    assert newest.instead_of == first and oldest.instead_of is None
    assert newest.by and newest.when.endswith("+00:00")
    shown = call("show", first[7:19], cwd=tmp_path)
    assert "since " in shown.out and "until " in shown.out
    assert call("infer", "champion", cwd=tmp_path).code == 0
    assert call("doctor", cwd=tmp_path).code == 0


@pytest.mark.slow
def test_custom_aliases_are_allowed_and_invalid_ones_refused(two, tmp_path):
    assert call("promote", "latest", "--as", "blue", cwd=tmp_path).code == 0
    for alias in ("latest", "Blue", "../x", "", "a" * 100, "a b", "\x1b[2J"):
        done = call("promote", "latest", "--as", alias, cwd=tmp_path)
        assert done.code == 2 and done.err.count("\n") == 1 and "\x1b" not in done.err
    assert set(Store().aliases_by_model()["digits"]) == {"latest", "blue"}


def test_a_missing_broken_or_foreign_artifact_is_not_promoted(two, tmp_path, digits):
    with pytest.raises(ArtifactNotFound):
        api.promote("challenger")
    with pytest.raises(CallError, match="is not an artifact of the store"):
        api.promote(digits.folder, store=tmp_path / "empty")
    (Store().artifacts.path(two[0]) / "model.onnx").write_bytes(b"")
    assert call("promote", two[0][7:19], cwd=tmp_path).code == 4
    assert api.promotions() == []


@pytest.mark.slow
def test_a_concurrent_promotion_is_refused(two, tmp_path):
    first, second = two
    api.promote(first)
    with Store().models.lock("digits"):
        done = call("promote", second, cwd=tmp_path)
        assert (
            done.code == 5 and "model 'digits' is locked by another process; try again" in done.err
        )
    assert Store().alias("digits", "champion") == first
    api.promote(second)
    assert Store().alias("digits", "champion") == second


def test_a_process_that_dies_releases_the_lock(two):
    code = (
        "import os\nfrom artifact_pipeline.store.store import Store\n"
        "with Store().models.lock('digits'): os._exit(1)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 1
    assert api.promote(two[0]).instead_of is None


def test_a_broken_record_is_reported_and_can_be_repaired(two, tmp_path):
    api.promote(two[0])
    journal = Store().models.journal_path("digits")
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(lines[0] + b"{\n" + b"".join(lines[1:]))
    with pytest.raises(StoreError, match=r"line 2: is not an event .*doctor --repair"):
        api.promotions()
    assert call("doctor", "--repair", cwd=tmp_path).code == 0
    assert journal.read_bytes() == b"".join(lines)
    assert [move.digest for move in api.promotions()] == [two[0]]
    journal.write_bytes(lines[0] + json.dumps({"event": "moved", "alias": 1}).encode() + b"\n")
    with pytest.raises(StoreError, match="is not an event of a model: "):
        api.promotions()


MOVES = """
import itertools
import artifact_pipeline as api
for number in itertools.count():
    api.promote(f"digits:{number % 2 + 1}", "blue", message="moved")
    api.tag("digits:1", {"count": str(number)})
    if number % 2:
        api.rollback("digits@blue", message="back")
        api.tag("digits:1", remove=["count"])
    if number % 3 == 2:
        api.remove_alias("digits@blue")
    api.prune(keep_days=0, keep_last=1)
"""


@pytest.mark.slow
def test_killed_moves_and_tags_leave_a_history_of_complete_events(two, tmp_path):
    api.promote("digits:1", "green")
    api.promote("digits:2", "yellow")  # neither is pruned
    journal = Store().models.journal_path("digits")
    chance = random.Random(7)
    for _ in range(12):
        before = journal.read_bytes()
        process = subprocess.Popen([sys.executable, "-c", MOVES], cwd=tmp_path, env=environment())
        size = len(before) + chance.randrange(400, 4000)
        until(lambda: journal.stat().st_size > size)  # noqa: B023
        process.kill()
        process.wait()
        assert journal.read_bytes().startswith(before)
        assert api.examine().healthy
        history = Store().models.history("digits")
        assert list(history.versions) == [1, 2]
        assert set(api.artifacts()[0].aliases) <= {"latest", "blue", "green"}
        api.promote("digits:1", "blue")  # the lock is free, and the next event is complete


def test_two_promotions_at_once_are_both_recorded_or_refused(two, tmp_path):
    words = ["-m", "artifact_pipeline", "promote", "--as", "blue"]
    processes = [
        subprocess.Popen([sys.executable, *words, f"digits:{index % 2 + 1}"], cwd=tmp_path,
                         env=environment(), stderr=subprocess.PIPE, text=True)
        for index in range(4)
    ]  # fmt: skip
    ends = [(process.communicate()[1], process.returncode) for process in processes]
    assert all(code == 0 or (code == 5 and "try again" in err) for err, code in ends)
    moves = [move for move in api.promotions() if move.alias == "blue"][::-1]
    assert len(moves) == [code for _, code in ends].count(0) >= 1
    for earlier, later in itertools.pairwise(moves):
        assert later.instead_of == earlier.digest
    assert Store().alias("digits", "blue") == moves[-1].digest


def test_a_rollback_to_what_is_damaged_or_gone_moves_nothing(two, tmp_path):
    first, second = two
    api.promote(first)
    api.promote(second)
    folder = Store().artifacts.path(first)
    model = folder / "model.onnx"
    content = model.read_bytes()
    model.write_bytes(content[:-1] + b"x")
    assert call("rollback", "digits@champion", cwd=tmp_path).code == 4
    model.write_bytes(content)
    folder.rename(tmp_path / "gone")
    done = call("rollback", "digits@champion", cwd=tmp_path)
    assert done.code != 0 and done.err.startswith("error: ") and done.err.count("\n") == 1
    assert Store().alias("digits", "champion") == second
    assert [move.digest for move in api.promotions()] == [second, first]
