"""Pickles open only if their origin is known."""

import os
import pickle
import shutil

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
from tests.support.command import script
from tests.support.configs import ROOT

MODEL = LogisticRegression(C=0.5).fit([[0.0], [1.0]], [0, 1])


def test_load_model_opens_what_save_model_wrote_silently(tmp_path, capfd):
    save_model(MODEL, tmp_path / "m.pkl")
    assert load_model(tmp_path / "m.pkl").C == 0.5
    assert capfd.readouterr() == ("", "")


def test_a_copy_of_a_saved_pickle_opens(tmp_path):
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


def test_a_wrong_pinned_digest_is_refused_for_a_pickle_written_here(tmp_path):
    save_model(MODEL, tmp_path / "m.pkl")
    with pytest.raises(VerificationError, match="expected sha256:0000"):
        load_model(tmp_path / "m.pkl", digest="sha256:" + "0" * 64)
    with pytest.raises(CallError, match="64 hex digits"):
        load_model(tmp_path / "m.pkl", digest="0000")


def test_a_truncated_pickle_is_one_clear_error(tmp_path):
    from artifact_pipeline.builder.canonical import digest

    data = pickle.dumps(MODEL)[:40]
    (tmp_path / "m.pkl").write_bytes(data)
    with pytest.raises(VerificationError, match="cannot be unpickled here"):
        load_model(tmp_path / "m.pkl", digest=digest(data))


def test_the_error_for_a_missing_file_says_how_to_make_it(tmp_path):
    with pytest.raises(ArtifactNotFound, match=r"python src/train.py"):
        load_model(tmp_path / "none.pkl")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(CallError, match="is a folder, expected a file"):
        load_model(tmp_path)


def test_saving_into_a_missing_folder_names_it(tmp_path):
    with pytest.raises(StoreError, match=r"none: no such folder; create it to write m.pkl there"):
        save_model(MODEL, tmp_path / "none" / "m.pkl")


@pytest.mark.slow
def test_another_checkout_does_not_trust_a_saved_pickle(tmp_path):
    """The same user on the same machine, the code in another place."""
    save_model(MODEL, tmp_path / "m.pkl")
    shutil.copytree(ROOT / "src", tmp_path / "elsewhere" / "src")
    code = "from artifact_pipeline import load_model; load_model('m.pkl')"
    done = script("-c", code, cwd=tmp_path,
                  env={"PYTHONPATH": str(tmp_path / "elsewhere" / "src")})  # fmt: skip
    assert "UntrustedModel" in done.err
    assert script("-c", code, cwd=tmp_path).code == 0


@pytest.mark.slow
def test_a_store_from_elsewhere_makes_no_pickle_trusted(digits, tmp_path):
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


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes in folders")
def test_a_state_entry_that_is_not_a_file_is_one_error(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    digest = save_model(MODEL, tmp_path / "m.pkl")
    [path] = tmp_path.rglob(f"written/*/{digest.removeprefix('sha256:')}")
    for spoil in (os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")):
        path.rmdir() if path.is_dir() else path.unlink()
        spoil(path)
        with pytest.raises(StoreError, match="expected a file; remove it"):
            load_model(tmp_path / "m.pkl")
