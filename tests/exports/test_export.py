"""The command `export`: where it writes, and what it refuses."""

import os
import shutil
import socket
import sys

import pytest

import artifact_pipeline as api
from artifact_pipeline.errors import CallError, StoreError
from tests.support.command import call


def export(digits, *words, cwd):
    return call("export", digits.digest, "--store", digits.store, *words, cwd=cwd)


def test_the_command_prints_what_it_wrote(digits, tmp_path):
    done = export(digits, "--to", "folder", cwd=tmp_path)
    assert (done.code, done.out) == (0, f"wrote model.zip: {digits.digest[7:19]}\n")
    done = export(digits, "--to", "folder", "-o", "a.zip", "--json", cwd=tmp_path)
    assert done.json == {"digest": digits.digest, "to": "folder", "path": "a.zip"}


def test_a_missing_folder_is_named(digits, tmp_path):
    done = export(digits, "--to", "folder", "-o", "no/a.zip", cwd=tmp_path)
    assert done.code == 5
    assert "no: no such folder; create it to write a.zip there" in done.err


@pytest.mark.slow
def test_the_store_and_the_artifact_are_not_written_to(digits, copied, tmp_path):
    inside = digits.store / "a.zip"
    done = export(digits, "--to", "folder", "-o", inside, cwd=tmp_path)
    assert done.code == 2 and "inside the store" in done.err and not inside.exists()
    for path in (copied, copied / "model.onnx", copied / "new.zip"):
        done = call("export", copied, "--to", "folder", "-o", path, cwd=tmp_path)
        assert done.code == 2 and "is the input, or inside of it" in done.err
    link = tmp_path / "link"
    link.symlink_to(copied / "model.onnx")
    done = call("export", copied, "--to", "folder", "-o", link, cwd=tmp_path)
    assert done.code == 2 and "is the input" in done.err
    assert call("verify", copied, cwd=tmp_path).code == 0


def test_an_unknown_format_is_refused(digits, tmp_path):
    done = export(digits, "--to", "pmml", cwd=tmp_path)
    assert done.code == 2 and "'pmml' is not " in done.err


def test_a_broken_artifact_is_not_exported(copied, tmp_path):
    (copied / "model.onnx").write_bytes(b"x")
    done = call("export", copied, "--to", "folder", cwd=tmp_path)
    assert done.code == 4 and not (tmp_path / "model.zip").exists()


@pytest.mark.slow
def test_the_policy_of_the_store_applies(digits, keys, tmp_path):
    store = shutil.copytree(digits.store, tmp_path / "artifacts")
    assert call("trust", "--public-key", keys / "ours.pub", "-s", store, cwd=tmp_path).code == 0
    done = call("export", digits.digest, "--to", "folder", "-s", store, cwd=tmp_path)
    assert done.code == 4 and "a signature is required" in done.err
    assert call("sign", digits.digest, "-k", keys / "ours.pem", "-s", store, cwd=tmp_path).code == 0
    assert call("export", digits.digest, "--to", "folder", "-s", store, cwd=tmp_path).code == 0


@pytest.mark.parametrize("word", ["--to", "f"])
def test_formats_are_completed(tmp_path, word):
    words = "artifact-pipeline export latest --to " + (word if word == "f" else "")
    env = {"_ARTIFACT_PIPELINE_COMPLETE": "bash_complete", "COMP_WORDS": words,
           "COMP_CWORD": "4"}  # fmt: skip
    assert "plain,folder" in call(cwd=tmp_path, env=env).out


@pytest.mark.skipif(os.name == "nt", reason="there are no such files")
@pytest.mark.parametrize("kind", ["pipe", "socket", "stream"])
def test_a_pipe_or_a_stream_is_not_replaced_by_a_file(digits, tmp_path, kind):
    path = tmp_path / "out"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(os.path.relpath(path))
    else:
        path.symlink_to("/proc/self/fd/1")
    before = path.lstat()
    with pytest.raises(StoreError, match="is a device or a pipe, expected a file"):
        api.export(digits.folder, "slsa", output=path)
    assert path.lstat() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("to", ["folder", "slsa", "huggingface"])
def test_standard_output_is_not_a_file_named_dash(digits, tmp_path, monkeypatch, to):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CallError, match="not written to standard output"):
        api.export(digits.folder, to, output="-")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="Linux has /proc")
@pytest.mark.parametrize("to", ["slsa", "huggingface"])
def test_an_output_that_cannot_be_written_is_named_as_the_user_named_it(digits, to):
    with pytest.raises(StoreError) as caught:
        api.export(digits.folder, to, output="/proc/none")
    assert str(caught.value).startswith("/proc/none: ")
