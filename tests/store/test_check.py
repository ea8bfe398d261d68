"""Health checks: damage is found, a remedy is given, and a repair loses nothing."""

import os
import platform
import shutil
import subprocess

import pytest

from artifact_pipeline import examine
from artifact_pipeline.store.store import Store
from artifact_pipeline.verification.verify import verify
from tests.support.command import call


@pytest.fixture
def store(digits, tmp_path):
    shutil.copytree(digits.store, tmp_path / "artifacts")
    return Store(tmp_path / "artifacts")


def everything(store):
    return sorted(str(path.relative_to(store.root)) for path in store.root.rglob("*"))


def dead():
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def misnamed(store, digits):
    """Add an artifact under a digest that is not its own."""
    folder = store.root / ("0" * 64)
    shutil.copytree(digits.folder, folder)
    return folder


SPOIL = {
    "a changed file": (
        lambda s, d: (store_folder(s, d) / "model.onnx").write_bytes(b""), "does not verify"),
    "an artifact under another's name": (misnamed, "does not verify"),
    "an alias without an artifact": (
        lambda s, d: (s.root / "aliases" / "champion").write_text("sha256:" + "0" * 64), "names"),
    "a cut alias": (lambda s, d: (s.root / "aliases" / "latest").write_text("sha256:1"), "names"),
    "a truncated index": (
        lambda s, d: next((s.root / "recipes").iterdir()).write_bytes(b""), "names no artifact"),
    "a lost index": (lambda s, d: shutil.rmtree(s.root / "recipes"), "is missing: the recipe of"),
    "a corrupt record": (
        lambda s, d: next((s.root / "runs").iterdir()).write_bytes(b"{"), "is not a record"),
    "a record that is a list": (
        lambda s, d: next((s.root / "runs").iterdir()).write_bytes(b"[]"), "is not a record"),
    "the report of nothing": (
        lambda s, d: (s.root / ("1" * 64 + ".html")).write_text("x"), "belongs to no artifact"),
    "what a dead writer left": (
        lambda s, d: (s.root / "staging" / f"{platform.node()}~{dead()}~00").mkdir(), "was left"),
}  # fmt: skip


def store_folder(store, digits):
    return store.artifacts.path(digits.digest)


@pytest.mark.parametrize(("spoil", "wrong"), SPOIL.values(), ids=SPOIL)
def test_damage_is_found_and_repaired_without_loss(store, digits, spoil, wrong):
    spoil(store, digits)
    before = everything(store)
    found = examine(store.root)
    assert not found.healthy and wrong in found.findings[0].wrong and found.findings[0].remedy
    assert everything(store) == before  # looking changes nothing
    repaired = examine(store.root, repair=True)
    assert repaired.healthy and len(repaired.findings) >= len(found.findings)
    again = examine(store.root, repair=True)
    assert again.healthy
    assert examine(store.root).findings == []
    whole = digits.digest in store.artifacts.digests()
    if whole:
        verify(store.artifacts.path(digits.digest), digits.digest)
    aside = (
        list((store.root / "set-aside").iterdir()) if (store.root / "set-aside").exists() else []
    )
    assert whole or len(aside) >= 1


def test_an_intact_store_has_no_findings(store):
    done = call("doctor", cwd=store.root.parent)
    assert done.code == 0 and "1 artifact verified" in done.out and "no problems found" in done.out
    assert call("doctor", "--json", cwd=store.root.parent).json["findings"] == []


@pytest.mark.slow
def test_the_command_lists_remedies_and_applies_them_with_repair(store, digits):
    (store.artifacts.path(digits.digest) / "README.md").unlink()
    done = call("doctor", cwd=store.root.parent)
    assert done.code == 1 and "README.md: is missing" in done.out and "to do: set it" in done.out
    assert done.err.startswith("error: artifacts: ") and done.err.count("\n") == 1
    told = call("doctor", "--json", cwd=store.root.parent)
    assert told.code == 1 and told.json["error"]["kind"] == "unsound"
    assert [one["repaired"] for one in told.json["findings"]] == [False] * len(
        told.json["findings"]
    )
    repaired = call("doctor", "--repair", cwd=store.root.parent)
    assert repaired.code == 0 and "done: set it aside" in repaired.out
    assert call("doctor", cwd=store.root.parent).code == 0


@pytest.mark.parametrize("policy", [b"", b"{}"])
def test_a_repair_never_removes_a_policy(store, policy):
    (store.root / "trust.json").write_bytes(policy)
    found = examine(store.root, repair=True)
    assert not found.healthy and "is not a policy" in found.findings[0].wrong
    assert (store.root / "trust.json").read_bytes() == policy


def test_a_repair_keeps_unknown_files(store):
    (store.root / "notes.txt").write_text("mine")
    found = examine(store.root, repair=True)
    assert [one.path for one in found.findings] == ["notes.txt"] and not found.healthy
    assert (store.root / "notes.txt").read_text() == "mine"


def test_a_missing_store_has_no_findings_and_is_not_created(tmp_path):
    assert call("doctor", cwd=tmp_path).code == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no rights to take on this system")
def test_a_file_in_place_of_the_store_exits_5(tmp_path):
    (tmp_path / "artifacts").write_text("x")
    done = call("doctor", cwd=tmp_path)
    assert done.code == 5 and done.err.count("\n") == 1


@pytest.mark.slow
def test_a_folder_that_is_not_a_store_is_refused_and_its_files_are_kept(tmp_path):
    (tmp_path / "notes.html").write_text("mine")
    (tmp_path / "artifacts").mkdir()
    for words in (["doctor", "--repair"], ["list"], ["runs"], ["board"]):
        done = call(*words, "--store", ".", cwd=tmp_path)
        assert done.code == 2 and "is not a store" in done.err
        assert "did you mean artifacts?" in done.err
    done = call("list", "--store", "notes.html", cwd=tmp_path)
    assert done.code == 2 and "is a file, expected the folder of a store" in done.err
    assert (tmp_path / "notes.html").read_text() == "mine"


def test_a_page_of_the_user_in_a_store_is_kept(store):
    (store.root / "board.html").write_text("mine")
    found = examine(store.root, repair=True)
    assert [one.path for one in found.findings] == ["board.html"]
    assert (store.root / "board.html").read_text() == "mine"
