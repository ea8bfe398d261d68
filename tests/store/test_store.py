"""The store: lookup of artifacts, atomic writes, and clear errors when the machine fails."""

import json
import os
import shutil
import subprocess

import pytest

from artifact_pipeline import runs
from artifact_pipeline.errors import ArtifactNotFound, CallError, StoreError
from artifact_pipeline.store.store import Store
from artifact_pipeline.verification.verify import verify
from tests.support.command import call
from tests.support.configs import QUICK, write

ONE, TWO = "sha256:" + "a" * 64, "sha256:" + "a" * 8 + "b" * 56


@pytest.fixture
def store(digits, tmp_path):
    shutil.copytree(digits.store, tmp_path / "artifacts")
    return Store(tmp_path / "artifacts")


def files_of(digits):
    return {path.name: path.read_bytes() for path in digits.folder.iterdir()}


def test_an_artifact_is_found_by_alias_digest_prefix_and_folder(store, digits):
    hex_digits = digits.digest.removeprefix("sha256:")
    for name in ("latest", digits.digest, hex_digits, hex_digits[:8], f"sha256:{hex_digits[:12]}"):
        assert store.resolve(name) == (store.artifacts.path(digits.digest), digits.digest)
    assert store.resolve(digits.folder) == (digits.folder, None)
    assert store.resolve(str(digits.folder)) == (digits.folder, None)


@pytest.mark.parametrize(
    "name", ["champion", "0" * 8, "abc", "", "..x", "a\0b", "\x1b[2J", "../../etc/passwd", "\ud800"]
)
def test_an_unknown_name_is_not_found(store, name):
    with pytest.raises(ArtifactNotFound, match="artifact-pipeline list") as caught:
        store.resolve(name)
    assert "\x1b" not in str(caught.value)


def test_an_ambiguous_prefix_is_refused(tmp_path):
    for digest in (ONE, TWO):
        (tmp_path / digest.removeprefix("sha256:")).mkdir()
    with pytest.raises(CallError, match="the start of 2 digests; give more digits"):
        Store(tmp_path).resolve("a" * 8)


def test_a_prefix_of_seven_digits_is_too_short(store, digits):
    with pytest.raises(ArtifactNotFound):
        store.resolve(digits.digest[7:14])


def test_an_added_artifact_is_found_by_its_recipe(digits, tmp_path):
    store = Store(tmp_path)
    added = store.add(files_of(digits))
    found = store.find(added.manifest.recipe_digest)
    assert found is not None and found.digest == digits.digest
    assert store.find(ONE) is None


def test_an_index_entry_of_another_recipe_finds_nothing(digits, tmp_path):
    store = Store(tmp_path)
    store.add(files_of(digits))
    store.recipes.set(ONE, digits.digest)
    assert store.find(ONE) is None


def test_a_moved_alias_names_the_new_artifact(tmp_path):
    store = Store(tmp_path)
    store.aliases.set("latest", ONE)
    store.aliases.set("latest", TWO)
    assert store.aliases.all() == {"latest": TWO}


def test_an_alias_that_holds_no_digest_names_nothing(store):
    (store.root / "aliases" / "latest").write_bytes(b"../../etc")
    assert store.aliases.get("latest") is None
    with pytest.raises(StoreError, match="contains no digest"):
        store.resolve("latest")


def test_adding_an_artifact_again_replaces_a_broken_one(store, digits):
    (store.artifacts.path(digits.digest) / "model.onnx").write_bytes(b"")
    assert store.add(files_of(digits)).digest == digits.digest
    verify(store.artifacts.path(digits.digest), digits.digest)
    assert list((store.root / "staging").iterdir()) == []


def test_leftovers_of_ended_writers_are_swept(tmp_path):
    import platform

    dead = subprocess.Popen(["true"])
    dead.wait()
    staging = tmp_path / "staging"
    left = staging / f"{platform.node()}~{dead.pid}~00"
    living = staging / f"{platform.node()}~{os.getpid()}~00"
    elsewhere = staging / "another-host~1~00"
    for folder in (left, living, elsewhere):
        folder.mkdir(parents=True)
        (folder / "half").write_text("x")
    os.utime(elsewhere, (0, 0))
    Store(tmp_path).folder.sweep()
    assert [path.name for path in staging.iterdir()] == [living.name]


def test_an_unreadable_run_record_is_listed_as_unreadable(store):
    (store.root / "runs" / "20200101T000000Z-x.json").write_bytes(b"{")
    (store.root / "runs" / "20200102T000000Z-x.json").write_bytes(b"[]")
    outcomes = [run.outcome for run in runs(store=store.root)]
    assert outcomes == ["done", "unreadable", "unreadable"]
    assert "unreadable" in call("list", cwd=store.root.parent).out


def test_a_missing_store_is_empty_and_not_created(tmp_path):
    done = call("list", "--json", cwd=tmp_path)
    assert done.json == {"artifacts": [], "runs": []}
    assert not (tmp_path / "artifacts").exists()


def test_a_broken_artifact_is_listed_as_broken(store, digits):
    (store.artifacts.path(digits.digest) / "README.md").unlink()
    done = call("list", "--json", cwd=store.root.parent)
    assert done.code == 0
    assert "is missing" in done.json["artifacts"][0]["broken"]
    assert "broken" in call("list", cwd=store.root.parent).out


@pytest.mark.slow
def test_the_option_overrides_the_environment_variable(project):
    path = write(project, QUICK)
    assert call("train", path, cwd=project, env={"ARTIFACT_PIPELINE_STORE": "mine"}).code == 0
    done = call("list", "--json", cwd=project, env={"ARTIFACT_PIPELINE_STORE": "mine"})
    assert len(done.json["artifacts"]) == 1 and not (project / "artifacts").exists()
    (project / "other").mkdir()
    other = call("list", "--json", "--store", "other", cwd=project,
                 env={"ARTIFACT_PIPELINE_STORE": "mine"})  # fmt: skip
    assert other.json["artifacts"] == []


def test_a_file_in_place_of_the_store_exits_5(project):
    (project / "artifacts").write_text("not a folder")
    done = call("run", write(project, QUICK), cwd=project)
    assert done.code == 5
    assert "Traceback" not in done.err and "artifacts" in done.err.splitlines()[-1]
    assert (project / "artifacts").read_text() == "not a folder"


def test_a_run_record_has_the_documented_fields(digits):
    record = json.loads(next((digits.store / "runs").iterdir()).read_bytes())
    assert {
        "run", "started", "seconds", "outcome", "jobs", "host", "recipe", "recipe_digest",
        "artifact", "gates", "parity_measured", "git", "config", "observed", "warnings",
    } <= set(record)  # fmt: skip
    assert [job["name"] for job in record["jobs"]] == ["test", "train", "inference"]
    assert {"name", "system", "libc", "python", "artifact_pipeline"} <= set(record["host"])
    assert record["artifact"] == digits.digest and record["outcome"] == "done"
    assert 0 <= record["parity_measured"] < 1e-9
