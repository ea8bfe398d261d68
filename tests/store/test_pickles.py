"""What a checkout remembers: the pickles that it wrote, and no others."""

import os
import pickle
import platform
import shutil
import subprocess

import pytest
from sklearn.linear_model import LogisticRegression

from artifact_pipeline import load_model, save_model
from artifact_pipeline.errors import (
    ArtifactNotFound,
    CallError,
    StoreError,
    UntrustedModel,
    VerificationError,
)
from artifact_pipeline.store import local_state
from tests.support.command import call, script
from tests.support.configs import ROOT

MODEL = LogisticRegression(C=0.5).fit([[0.0], [1.0]], [0, 1])


def test_what_save_model_wrote_load_model_opens_without_a_word(tmp_path, capfd):
    save_model(MODEL, tmp_path / "m.pkl")
    assert load_model(tmp_path / "m.pkl").C == 0.5
    assert capfd.readouterr() == ("", "")


def test_a_copy_of_it_anywhere_opens_too(tmp_path):
    save_model(MODEL, tmp_path / "m.pkl")
    shutil.copy(tmp_path / "m.pkl", tmp_path / "copy.pkl")
    assert load_model(str(tmp_path / "copy.pkl")).C == 0.5


def test_a_pickle_of_unknown_origin_is_refused_with_digest_and_remedy(tmp_path):
    path = tmp_path / "m.pkl"
    path.write_bytes(pickle.dumps(LogisticRegression(C=0.25)))
    with pytest.raises(UntrustedModel) as caught:
        load_model(path)
    message = str(caught.value)
    digest = message.split("digest='")[1].split("'")[0]
    assert f"load_model('{path}', digest='{digest}')" in message
    assert load_model(path, digest=digest).C == 0.25


def test_any_changed_byte_makes_the_origin_unknown(tmp_path):
    path = tmp_path / "m.pkl"
    save_model(MODEL, path)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(UntrustedModel):
        load_model(path)


def test_a_pinned_digest_that_is_not_the_files_is_refused_even_if_trusted(tmp_path):
    save_model(MODEL, tmp_path / "m.pkl")
    with pytest.raises(VerificationError, match="expected sha256:0000"):
        load_model(tmp_path / "m.pkl", digest="sha256:" + "0" * 64)
    with pytest.raises(CallError, match="64 hex digits"):
        load_model(tmp_path / "m.pkl", digest="0000")


def test_a_cut_pickle_of_a_pinned_digest_is_one_clear_error(tmp_path):
    from artifact_pipeline.builder.canonical import digest

    data = pickle.dumps(MODEL)[:40]
    (tmp_path / "m.pkl").write_bytes(data)
    with pytest.raises(VerificationError, match="is no pickle that opens here"):
        load_model(tmp_path / "m.pkl", digest=digest(data))


@pytest.mark.parametrize("name", ["none.pkl", "."])
def test_a_missing_file_says_how_to_make_it(tmp_path, name):
    with pytest.raises(ArtifactNotFound, match=r"python src/train.py"):
        load_model(tmp_path / name)


def test_a_folder_that_is_not_there_is_named_on_saving(tmp_path):
    with pytest.raises(StoreError, match="No such file or directory"):
        save_model(MODEL, tmp_path / "none" / "m.pkl")


def test_another_checkout_does_not_trust_it(tmp_path):
    """The same user on the same machine, the code in another place."""
    save_model(MODEL, tmp_path / "m.pkl")
    shutil.copytree(ROOT / "src", tmp_path / "elsewhere" / "src")
    code = "from artifact_pipeline import load_model; load_model('m.pkl')"
    done = script("-c", code, cwd=tmp_path,
                  env={"PYTHONPATH": str(tmp_path / "elsewhere" / "src")})  # fmt: skip
    assert "UntrustedModel" in done.err
    assert script("-c", code, cwd=tmp_path).code == 0


def test_a_store_from_elsewhere_brings_no_trusted_pickles(digits, tmp_path):
    shutil.copytree(digits.store, tmp_path / "artifacts")
    code = (
        "from artifact_pipeline import load_model;"
        f"print(load_model('artifacts/{digits.folder.name}/model_train.pkl'))"
    )
    mine = script("-c", code, cwd=tmp_path)
    assert mine.code == 0 and "LogisticRegression" in mine.out
    theirs = script("-c", code, cwd=tmp_path, env={"XDG_STATE_HOME": str(tmp_path / "fresh"),
                                                   "HOME": str(tmp_path / "fresh")})  # fmt: skip
    assert "UntrustedModel" in theirs.err


def test_nothing_of_the_memory_lies_in_the_store(digits):
    assert digits.store.parent not in local_state.folder().parents
    assert {path.name for path in digits.store.iterdir() if len(path.name) < 64} == {
        "aliases", "recipes", "runs", "staging"
    }  # fmt: skip


def test_a_state_folder_that_cannot_be_written_is_named_with_the_remedy(project):
    (project / "file").write_text("x")
    done = call("recipe", cwd=project, env={"XDG_STATE_HOME": str(project / "file")})
    assert done.code == 5
    assert "XDG_STATE_HOME" in done.err or "file" in done.err
    assert "Traceback" not in done.err


def test_a_config_is_checked_by_scikit_learn_once(project):
    first = call("recipe", "--json", cwd=project).json
    assert call("recipe", "--json", cwd=project).json == first
    (project / "config" / "config.json").write_text(
        (project / "config" / "config.json").read_text().replace('"lbfgs"', '"nope"')
    )
    assert call("recipe", cwd=project).code == 2


@pytest.mark.skipif(os.name == "nt", reason="a writer's death is told by its signal")
def test_what_a_dead_writer_left_in_the_memory_is_swept_and_a_living_ones_kept():
    dead = subprocess.Popen(["true"])
    dead.wait()
    staging = local_state.folder() / "staging"
    staging.mkdir(parents=True, exist_ok=True)
    left, living = (staging / f"{platform.node()}~{pid}~00" for pid in (dead.pid, os.getpid()))
    for path in (left, living):
        path.write_bytes(b"half")
    local_state.sweep()
    assert living.exists() and not left.exists()
    living.unlink()


def test_a_relative_state_home_is_ignored_as_its_specification_says(project):
    """What lies in the working folder may be anybody's; it must bring no trusted pickles."""
    home = project / "home"
    env = {"XDG_STATE_HOME": "state", "HOME": str(home), "LOCALAPPDATA": ""}
    assert call("recipe", cwd=project, env=env).code == 0
    assert not (project / "state").exists() and any(home.rglob("configs/*"))


def test_without_a_home_there_is_one_line_that_names_the_way_out(project):
    env = {"XDG_STATE_HOME": "", "HOME": "relative", "LOCALAPPDATA": "", "USERPROFILE": "x"}
    done = call("run", cwd=project, env=env)
    assert done.code == 5 and done.err.count("\n") == 1
    assert "there is no home folder" in done.err and "set HOME" in done.err
    assert not (project / "relative").exists() and not (project / "artifacts").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes in folders")
def test_a_memory_that_is_no_file_is_one_error(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    digest = save_model(MODEL, tmp_path / "m.pkl")
    [path] = tmp_path.rglob(f"written/*/{digest.removeprefix('sha256:')}")
    for spoil in (os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")):
        path.rmdir() if path.is_dir() else path.unlink()
        spoil(path)
        with pytest.raises(StoreError, match="expected a file; remove it"):
            load_model(tmp_path / "m.pkl")
