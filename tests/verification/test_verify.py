"""Verification accepts the sealed bytes and nothing else."""

import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.artifact import manifest as manifests
from artifact_pipeline.errors import CallError, VerificationError
from artifact_pipeline.inference.predictor import load_predictor
from artifact_pipeline.verification.verify import verify
from tests.support.command import call, script

NAMES = ["README.md", "evaluation.json", "manifest.json", "model.onnx", "model_train.pkl"]


def manifest_of(folder):
    return json.loads((folder / "manifest.json").read_bytes())


def put(folder, manifest):
    (folder / "manifest.json").write_bytes(canonical.encode(manifest))


def refused(folder, message, digest=None):
    with pytest.raises(VerificationError) as caught:
        verify(folder, digest)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_verified_artifact_returns_the_bytes_that_were_compared(digits):
    found = verify(digits.folder, digits.digest)
    assert found.digest == digits.digest
    assert sorted(found.files) == [name for name in NAMES if name != "manifest.json"]
    for name, data in found.files.items():
        assert data == (digits.folder / name).read_bytes()


def test_an_artifact_folder_is_named_by_its_digest(digits):
    assert digits.digest == f"sha256:{digits.folder.name}"
    data = (digits.folder / "manifest.json").read_bytes()
    assert digits.digest == canonical.digest(data)


def test_a_decoded_manifest_encodes_to_the_same_bytes(digits):
    data = (digits.folder / "manifest.json").read_bytes()
    assert manifests.encode(manifests.decode(data, "m")) == data


def test_a_digest_pins_the_artifact(copied, digits):
    other = "sha256:" + "0" * 64
    refused(copied, f"its digest is {digits.digest}, expected {other}", other)


@pytest.mark.parametrize(
    "digest", ["", "sha256:0", "0" * 64, "sha256:" + "G" * 64, "md5:" + "0" * 64]
)
def test_a_malformed_digest_is_refused(copied, digest):
    with pytest.raises(CallError, match="expected sha256: and 64 hex digits"):
        verify(copied, digest)


def test_a_folder_named_by_a_digest_must_have_that_digest(copied, tmp_path):
    named = copied.rename(tmp_path / ("0" * 64))
    refused(named, "is another artifact")


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_named(copied, name):
    (copied / name).unlink()
    assert str(refused(copied, "is missing").location) == str(copied / name)


def test_a_file_that_is_not_listed_is_named(copied):
    (copied / "extra.txt").write_text("x")
    assert str(refused(copied, "is not listed").location) == str(copied / "extra.txt")


def test_a_folder_that_is_not_listed_is_refused(copied):
    (copied / "inner").mkdir()
    refused(copied, "is not listed")


def test_a_name_with_control_characters_is_written_out(copied):
    (copied / "\x1b[2Jx").write_text("x")
    assert "\x1b" not in str(refused(copied, "is not listed"))


def test_only_the_signature_need_not_be_listed(copied):
    (copied / "model.sig").write_bytes(b"anything")
    verify(copied)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "manifest.json"])
def test_a_link_is_refused_even_to_the_right_bytes(copied, name, tmp_path):
    shutil.move(copied / name, tmp_path / "real")
    try:
        (copied / name).symlink_to(tmp_path / "real")
    except OSError:
        pytest.skip("this system lets no user make links")
    assert str(refused(copied, "is a link").location) == str(copied / name)


def test_a_linked_manifest_is_refused(copied, tmp_path):
    shutil.move(copied / "manifest.json", tmp_path / "real")
    (copied / "manifest.json").symlink_to(tmp_path / "real")
    refused(copied, "is a link")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
def test_a_pipe_is_refused_without_blocking(copied):
    (copied / "model.onnx").unlink()
    os.mkfifo(copied / "model.onnx")
    refused(copied, "is a link, folder or device")


def test_a_huge_file_is_refused_by_its_size_and_not_read(copied):
    with (copied / "model.onnx").open("r+b") as file:
        file.truncate(1 << 40)
    refused(copied, "it has 1099511627776 bytes, expected")


def test_a_huge_manifest_is_refused_by_its_size_and_not_read(copied):
    with (copied / "manifest.json").open("r+b") as file:
        file.truncate(1 << 40)
    refused(copied, "expected at most")


def test_two_swapped_files_are_refused(copied):
    (copied / "model.onnx").rename(copied / "x")
    (copied / "evaluation.json").rename(copied / "model.onnx")
    (copied / "x").rename(copied / "evaluation.json")
    refused(copied, "was changed")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(manifest_version=2), "has the version 2, this reader supports 1"),
        (lambda m: m.update(manifest_version=True), "has the version True"),
        (lambda m: m.update(manifest_version=1.0), "has the version 1.0"),
        (lambda m: m.pop("manifest_version"), "has the version None"),
        (lambda m: m.update(extra=1), "unknown field `extra`"),
        (lambda m: m.pop("files"), "missing required field `files`"),
        (lambda m: m.update(files={}), "is not a manifest"),
        (lambda m: m.update(metrics=[]), "is not a manifest"),
        (lambda m: m["metrics"]["test"].update(accuracy="1"), "is not a manifest"),
        (lambda m: m["metrics"]["test"].pop("accuracy"), "its metrics lack accuracy"),
        (lambda m: m["metrics"]["train"].clear(), "its metrics lack accuracy"),
        (lambda m: m["interface"].update(labels=None), "is not a manifest"),
        (lambda m: m["parity"].update(form="pickle"), "is not a manifest"),
        (lambda m: m["recipe"].update(code="x"), "its recipe does not match recipe_digest"),
        (lambda m: m.update(recipe_digest="sha256:" + "0" * 64), "its recipe does not match"),
        (lambda m: m["recipe"].update(recipe_version=2), "is not a manifest"),
        (lambda m: m["recipe"]["model"].clear(), "is not a manifest"),
        (lambda m: m["files"].append(m["files"][0]), "lists a file twice"),
        (lambda m: m["files"].append({**m["files"][0], "path": "readme.MD"}), "lists a file twi"),
        (lambda m: m["files"].pop(), "does not list model_train.pkl"),
        (
            lambda m: m["files"].append({**m["files"][0], "path": "manifest.json"}),
            "it must not",
        ),
        (lambda m: m["files"].append({**m["files"][0], "path": "model.sig"}), "it must not"),
        (lambda m: m["files"].append({**m["files"][0], "path": "none.txt"}), "is missing"),
        (lambda m: m["files"][0].update(bytes=-1), "is not a manifest"),
        (lambda m: m["files"][0].update(bytes=1 << 50), "is not a manifest"),
        (lambda m: m["files"][0].update(bytes=m["files"][0]["bytes"] + 1), "was changed"),
        (lambda m: m["files"][0].update(bytes=m["files"][0]["bytes"] - 1), "was changed"),
        (lambda m: m["files"][0].update(sha256="sha256:" + "0" * 64), "was changed"),
        (lambda m: m["files"][0].update(sha256="md5:0"), "is not a manifest"),
        (lambda m: m["files"][0].update(extra=1), "unknown field `extra`"),
    ],
)
def test_a_manifest_that_breaks_a_rule_is_refused(copied, change, message):
    manifest = manifest_of(copied)
    change(manifest)
    put(copied, manifest)
    refused(copied, message)


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../x", "a/../../x", "a/b", "a\\b", "C:x", ".", "..", "", ".hidden", "a\0",
     "model.onnx\n", "mödel.onnx", "model.onnx ", "~", "-x", "a" * 200, "con/.."],
    ids=ascii,
)  # fmt: skip
def test_a_path_that_is_not_a_plain_name_is_refused(copied, path):
    manifest = manifest_of(copied)
    manifest["files"].append({**manifest["files"][0], "path": path})
    put(copied, manifest)
    refused(copied, "is not a manifest")


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b" " + data,
        lambda data: data + b"\n",
        lambda data: json.dumps(json.loads(data), indent=1).encode(),
        lambda data: json.dumps(json.loads(data)).encode(),
        lambda data: data.replace(b'"bytes":', b'"bytes":1,"bytes":', 1),
        lambda data: data.replace(b"0.2}", b"0.20}", 1),
        lambda data: data.replace(b'"code"', b'"\\u0063ode"', 1),
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: data.decode().encode("utf-16"),
        lambda data: b"[" * 1_000_000,
        lambda data: b'{"manifest_version":' + b"1" * 10_000 + b"}",
        lambda data: b"[]",
        lambda data: b"null",
        lambda data: b"",
    ],
)
def test_a_manifest_that_is_not_canonical_is_refused(copied, change):
    path = copied / "manifest.json"
    data = change(path.read_bytes())
    assert data != path.read_bytes()
    path.write_bytes(data)
    refused(copied, "")


@settings(
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.data())
def test_any_flipped_removed_or_added_byte_is_refused(digits, tmp_path, data):
    name = data.draw(st.sampled_from(NAMES))
    whole = (digits.folder / name).read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = data.draw(
        st.sampled_from(
            [
                whole[:at]
                + bytes([whole[at] ^ (1 << data.draw(st.integers(0, 7)))])
                + whole[at + 1 :],
                whole[:at] + whole[at + 1 :],
                whole[:at],
                whole[:at] + bytes([data.draw(st.integers(0, 255))]) + whole[at:],
                whole + b"\0",
            ]
        )
    )
    if changed == whole:
        return
    folder = tmp_path / "artifact"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(digits.folder, folder)
    (folder / name).write_bytes(changed)
    with pytest.raises(VerificationError):
        verify(folder, digits.digest)


def test_an_artifact_may_lie_anywhere(copied, digits):
    assert verify(copied, digits.digest).manifest == verify(digits.folder).manifest


@pytest.mark.parametrize("folder", ["none", "file"])
def test_a_path_that_is_not_a_folder_is_refused(tmp_path, folder):
    (tmp_path / "file").write_text("x")
    refused(tmp_path / folder, "cannot be read")


def test_an_empty_folder_is_refused(tmp_path):
    refused(tmp_path, "is missing; is this an artifact?")


def test_the_command_names_the_file_and_exits_4(copied):
    (copied / "model.onnx").write_bytes(b"")
    done = call("verify", copied, cwd=Path.cwd())
    assert done.code == 4 and done.out == ""
    assert done.err.startswith(f"error: {copied / 'model.onnx'}: was changed")
    told = call("verify", copied, "--json", cwd=Path.cwd())
    assert told.code == told.json["exit_code"] == 4
    assert told.json["verified"] is False
    assert told.json["error"]["kind"] == "verification"
    assert told.json["error"]["where"] == str(copied / "model.onnx")


def test_the_command_prints_the_digest(digits):
    done = call("verify", digits.folder, "--digest", digits.digest, "--json", cwd=Path.cwd())
    assert done.code == 0
    assert (done.json["digest"], done.json["verified"]) == (digits.digest, True)


PEAK = """
import resource, sys
from artifact_pipeline.store import access, check, queries

good, large = sys.argv[1:]
access.open_trusted(good)  # to import everything first
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
access.open_trusted(large)
queries.show(large)
assert [one.broken for one in queries.artifacts()] == [None, None]
assert check.examine().artifacts == 2
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no getrusage")
def test_verifying_large_files_takes_no_more_memory(copied, digits):
    """Sparse files are cheap to make, and must not be expensive to verify."""
    size = 64 << 20
    manifest = manifest_of(copied)
    for file in manifest["files"]:
        if file["path"] == "model_train.pkl":
            (copied / file["path"]).write_bytes(b"")
            os.truncate(copied / file["path"], size)
            file.update(bytes=size, sha256=canonical.digest(bytes(size)))
    put(copied, manifest)
    digest = canonical.digest(canonical.encode(manifest))
    store = copied.parent / "artifacts"
    shutil.copytree(digits.folder, store / digits.folder.name)
    copied.rename(store / digest.removeprefix("sha256:"))
    done = script("-c", PEAK, digits.digest, digest, cwd=store.parent)
    assert done.code == 0, done.err
    assert int(done.out) < 32, f"{done.out.strip()} MiB more"


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("evaluation.json", (64 << 20) + 1, "of evaluation.json, which may have 67108864"),
        ("model_train.pkl", 2 << 30, "all files together may have 4294967296"),
    ],
)
def test_a_manifest_that_lists_too_much_is_refused_before_anything_is_hashed(
    copied, name, size, message
):
    manifest = manifest_of(copied)
    for file in manifest["files"]:
        if name == file["path"] or (size == 2 << 30 and file["path"] == "model.onnx"):
            os.truncate(copied / file["path"], size)
            file["bytes"] = size
    put(copied, manifest)
    assert str(refused(copied, message).location) == str(copied / "manifest.json")


@pytest.mark.parametrize("name", ["model.onnx", "evaluation.json", "model_train.pkl"])
@pytest.mark.parametrize("change", ["edited", "longer", "removed", "linked"])
def test_a_file_that_changes_after_verification_is_refused_when_it_is_read(
    copied, digits, name, change
):
    found, path = verify(copied), copied / name
    if change == "edited":
        path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    elif change == "longer":
        os.truncate(path, path.stat().st_size + 1)
    else:
        path.unlink()
        if change == "linked":
            path.symlink_to(digits.folder / name)
    with pytest.raises(VerificationError) as caught:
        found.files[name]
    assert str(caught.value.location) == str(path)
    if name == "model.onnx":
        with pytest.raises(VerificationError):
            load_predictor(found)
    if name == "evaluation.json":
        with pytest.raises(VerificationError):
            found.evaluation()
