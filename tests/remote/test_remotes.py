"""Push, pull and promote on a folder and on services.

The services are the S3 of moto and of rclone, Microsoft's Azurite, Debian's registry, and a
stand-in for Google Cloud Storage.
"""

import json
import platform
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import artifact_pipeline as api
from artifact_pipeline.builder import canonical
from artifact_pipeline.errors import (
    ArtifactNotFound,
    CallError,
    StoreError,
    VerificationError,
)
from artifact_pipeline.remote import pull
from artifact_pipeline.remote.transfer import pieces_of
from artifact_pipeline.store.events import PulledVersion
from artifact_pipeline.store.store import Store
from tests.remote.conftest import WITH_CONDITIONS, needs_rclone
from tests.support.artifacts import variant
from tests.support.command import call


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def another(store, digits, text="another", **recipe):
    """Add another artifact of the same model to a store."""
    return Store(store).add(variant(digits.folder, text, **recipe)).digest


def test_a_pulled_artifact_has_the_same_bytes_record_and_version(remote, store, elsewhere, digits):
    another(store, digits)
    pushed = api.push("latest", remote, store=store)
    assert (pushed.digest, pushed.version, pushed.uploaded) == (digits.digest, 1, 4)
    pulled = api.pull(remote, store=elsewhere)
    assert (pulled.digest, pulled.version, pulled.alias) == (digits.digest, 1, "latest")
    assert contents(elsewhere / digits.digest[7:]) == contents(digits.folder)
    shown = api.show("latest", store=elsewhere)
    assert shown.record == api.show("latest", store=digits.store).record
    assert (elsewhere / f"{digits.digest[7:]}.html").exists()
    assert api.infer("latest", store=elsewhere)
    assert api.examine(elsewhere).healthy


def test_a_second_push_and_pull_transfer_nothing(remote, store, elsewhere):
    api.push("latest", remote, store=store)
    transferred = []
    assert api.push("latest", remote, store=store, progress=transferred.append).uploaded == 0
    api.pull(remote, store=elsewhere)
    before = (elsewhere / "models" / "digits" / "journal.jsonl").read_bytes()
    assert api.pull(remote, store=elsewhere, progress=transferred.append).downloaded == 0
    assert transferred == []
    assert (elsewhere / "models" / "digits" / "journal.jsonl").read_bytes() == before


def test_versions_keep_their_numbers_on_the_remote_and_where_it_is_pulled(
    remote, store, elsewhere, digits
):
    second = another(store, digits)
    assert api.push("digits:2", remote, store=store).version == 2
    assert api.push("digits:1", remote, store=store).version == 1
    listed = {item.version: (item.digest, item.aliases) for item in api.list_remote(remote)}
    assert listed == {1: (digits.digest, ["latest"]), 2: (second, [])}
    assert api.pull(f"{remote}:2", store=elsewhere).version == 2
    pulled = api.pull(f"{remote}@{digits.digest}", store=elsewhere)
    assert (pulled.version, pulled.alias) == (1, None)


def test_a_version_that_another_machine_took_is_not_overwritten(remote, store, elsewhere, digits):
    api.push("latest", remote, store=store)
    other = Store(elsewhere).add(variant(digits.folder, "made there")).digest
    assert api.push(other, remote, store=elsewhere).version == 2
    assert api.pull(f"{remote}:1", store=elsewhere).version == 2  # its own is version 1
    assert api.pull(f"{remote}:1", store=elsewhere).digest == digits.digest


def test_a_promotion_travels_with_its_history(remote, store, elsewhere, digits):
    second = another(store, digits)
    api.promote_remote("digits:1", remote, message="first", store=store)
    move = api.promote_remote("digits:2", remote, message="better", store=store)
    assert move.instead_of == digits.digest and move.evidence.metrics
    pulled = api.pull(f"{remote}@champion", store=elsewhere)
    assert (pulled.digest, pulled.alias) == (second, "champion")
    assert Store(elsewhere).alias("digits", "champion") == second
    [event] = [event for event in api.history("digits", store=elsewhere) if event.event == "pulled"]
    assert [(move.alias, move.message) for move in event.moves] == [("champion", "better")]
    shown = call("history", "digits", "--store", elsewhere, cwd=elsewhere)
    assert "champion moved to it" in " ".join(shown.out.split()) and "better" in shown.out


@pytest.mark.parametrize("remote", ["folder"], indirect=True)
def test_an_artifact_that_was_promoted_often_is_pulled_with_its_newest_moves(
    remote, store, elsewhere, monkeypatch
):
    """CI promotes the same artifact again with each commit that changes nothing in it."""
    monkeypatch.setattr(pull, "MAX_ATTACHMENTS", 3)
    for index in range(5):
        api.promote_remote("latest", remote, message=f"commit {index}", store=store)
    api.pull(f"{remote}@champion", store=elsewhere)
    events = Store(elsewhere).models.history("digits").events
    [pulled] = [event for event in events if isinstance(event, PulledVersion)]
    assert [move.message for move in pulled.moves] == ["commit 2", "commit 3", "commit 4"]


def test_a_promotion_of_the_command_line_moves_both_aliases(remote, store, digits):
    done = call("promote", "latest", "--remote", remote, "--store", store, cwd=store)
    assert done.code == 0, done.err
    assert Store(store).alias("digits", "champion") == digits.digest
    done = call("remote", "list", remote, "--json", cwd=store)
    assert done.json[0]["aliases"] == ["champion", "latest"]
    done = call("pull", f"{remote}@champion", "--store", "there", cwd=store)
    assert done.code == 0 and "digits:1, digits@champion" in done.out, done.err


def test_the_policy_of_a_store_applies_to_what_is_pulled(remote, store, elsewhere, keys, digits):
    api.require_signature(api.public_key(keys / "ours.pub"), store=elsewhere)
    api.push("latest", remote, store=store)
    with pytest.raises(VerificationError, match="signature"):
        api.pull(remote, store=elsewhere)
    api.sign("latest", key=keys / "other.pem", store=store)
    api.push("latest", remote, store=store)
    with pytest.raises(VerificationError):
        api.pull(remote, store=elsewhere)
    assert not Store(elsewhere).artifacts.digests() and not list(elsewhere.glob("staging/*"))
    api.sign("latest", key=keys / "ours.pem", store=store)
    assert api.push("latest", remote, store=store).uploaded == 0
    assert api.pull(remote, store=elsewhere).signed
    signed_by = api.public_key(keys / "ours.pub")
    assert api.open_trusted("latest", signed_by=signed_by, store=elsewhere)


def test_a_remote_holds_one_model_and_a_push_of_another_changes_nothing(remote, store, digits):
    api.push("latest", remote, store=store)
    other = another(store, digits, name="zahlen")
    with pytest.raises(CallError, match="has the model digits"):
        api.push(other, remote, store=store)
    assert [item.digest for item in api.list_remote(remote)] == [digits.digest]


@pytest.mark.slow
@needs_rclone
def test_a_service_that_ignores_conditions_is_named_in_one_line(
    rclone_environment, store, tmp_path
):
    remote = f"s3://models/{tmp_path.name}"
    for index, command in enumerate((["push"], ["promote", "--remote"])):
        words = [command[0], "latest", *command[1:], remote, "--store", store, "--json"]
        result = call(*words, cwd=tmp_path, env=rclone_environment)
        assert result.code == 0, result.err
        [line] = result.err.splitlines()
        assert line.startswith(f"warning: {remote} ignores If-None-Match"), index
        if index == 0:
            assert json.loads(result.out)["warnings"] == [line.removeprefix("warning: ")]


def test_a_service_that_checks_conditions_causes_no_warning(remote, request, store, caplog):
    pushed = api.push("latest", remote, store=store)
    ignores = request.node.callspec.params["remote"] == "s3-rclone"
    assert bool(pushed.warnings) == bool(caplog.records) == ignores
    # The second write of the manifest, which finds it out, changes nothing.
    assert api.list_remote(remote)[0].digest == pushed.digest


@pytest.mark.parametrize("remote", WITH_CONDITIONS, indirect=True)
def test_of_many_promotions_at_once_each_follows_the_one_before(remote, store, digits):
    """Each record names the artifact that the alias named before: none is lost."""
    digests = [digits.digest, *(another(store, digits, text=str(index)) for index in range(3))]
    for digest in digests:
        api.push(digest, remote, store=store)

    def promote(digest):
        try:
            return api.promote_remote(digest, remote, store=store)
        except StoreError as error:
            assert "moved by another process" in str(error)
            return None

    with ThreadPoolExecutor(4) as pool:
        moves = [move for move in pool.map(promote, digests) if move is not None]
    assert moves
    before = {move.instead_of: move for move in moves}
    assert len(before) == len(moves)
    current, followed = None, 0
    while current in before:
        current, followed = before[current].digest, followed + 1
    assert followed == len(moves)
    assert api.pull(f"{remote}@champion", store=store.parent / "there").digest == current


def test_what_a_remote_does_not_have_is_named(remote, store, elsewhere, digits):
    api.push("latest", remote, tags=["staging"], store=store)
    with pytest.raises(ArtifactNotFound, match="it has latest, staging, 1"):
        api.pull(f"{remote}@champion", store=elsewhere)
    with pytest.raises(ArtifactNotFound):
        api.pull(f"{remote}@sha256:{'0' * 64}", store=elsewhere)
    with pytest.raises(VerificationError, match="expected sha256"):
        api.pull(remote, digest="sha256:" + "0" * 64, store=elsewhere)
    assert not elsewhere.exists() or not Store(elsewhere).artifacts.digests()


def damaged(folder, change):
    """Change the blobs of a remote in a folder."""
    for path in (folder / "blobs" / "sha256").iterdir():
        if path.stat().st_size > 50_000:
            change(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes() + b"0"),
        lambda path: path.write_bytes(b"0" + path.read_bytes()[1:]),
        lambda path: path.unlink(),
        lambda path: (path.unlink(), path.symlink_to("/dev/zero")),
        lambda path: (path.unlink(), path.mkdir()),
    ],
    ids=["cut", "longer", "other", "missing", "link", "folder"],
)
def test_a_damaged_folder_is_refused_and_nothing_is_kept(
    change, store, elsewhere, tmp_path, digits
):
    shared = tmp_path / "shared"
    api.push("latest", shared.as_uri(), store=store)
    damaged(shared, change)
    done = call("pull", shared.as_uri(), "--store", elsewhere, cwd=tmp_path)
    if done.code == 0:  # bytes after the end are not read
        assert Store(elsewhere).artifacts.digests() == [digits.digest]
        assert api.examine(elsewhere).healthy
        return
    assert done.code in (4, 5) and done.err.count("\n") == 1, done.err
    assert not Store(elsewhere).artifacts.digests() and not list(elsewhere.glob("staging/*"))


@pytest.mark.parametrize("kind", ["move", "run", "names"])
def test_a_forged_record_is_refused(kind, store, elsewhere, tmp_path, digits):
    shared = tmp_path / "shared"
    api.promote_remote("latest", shared.as_uri(), store=store)
    if kind == "names":
        (shared / "names" / "latest").write_text('{"digest":"sha256:../../x","name":"digits"}')
    else:
        data = json.dumps({"run": "../../evil", "outcome": "done", "artifact": digits.digest})
        name = canonical.digest(data.encode())[7:]
        (shared / "attached" / digits.digest[7:] / kind / name).write_text(data)
    done = call("pull", shared.as_uri(), "--store", elsewhere, cwd=tmp_path)
    assert done.code == 4 and done.err.count("\n") == 1, done.err
    assert not Store(elsewhere).artifacts.digests()


def test_a_pull_continues_what_a_killed_one_has_left(remote, store, elsewhere, digits):
    """rclone answers a request for a range with status 200, which obstore refuses."""
    api.push("latest", remote, store=store)
    child = subprocess.Popen(["true"])
    child.wait()  # a process id that is free
    left = elsewhere / "staging" / f"{platform.node()}~{child.pid}~0000"
    left.mkdir(parents=True)
    model = (digits.folder / "model.onnx").read_bytes()
    (left / "model.onnx").write_bytes(model[:-10])
    (left / "README.md").write_bytes(b"other bytes")
    read = []
    pulled = api.pull(remote, store=elsewhere, progress=read.append)
    assert pulled.digest == digits.digest
    assert contents(elsewhere / digits.digest[7:]) == contents(digits.folder)


def test_a_file_that_changes_while_it_is_pushed_is_not_uploaded(store):
    artifact = api.open_trusted("latest", store=store)
    [file] = [file for file in artifact.manifest.files if file.path == "README.md"]
    path = artifact.folder / file.path
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    sent = []
    read = pieces_of(artifact, file, progress=lambda _: None, stopping=threading.Event())
    with pytest.raises(VerificationError, match="changed while it was pushed"):
        sent.extend(read())
    assert sum(map(len, sent)) < file.bytes


def test_a_damaged_artifact_is_not_published(remote, store, digits):
    """Its files are hashed as they are sent, and also where the remote has them already."""
    model = store / digits.digest[7:] / "model.onnx"
    data = model.read_bytes()
    for change in (b"0" + data[1:], data[:-1]):
        model.write_bytes(change)
        with pytest.raises(VerificationError, match="was changed"):
            api.push("latest", remote, store=store)
        assert not api.list_remote(remote)
    model.write_bytes(data)
    api.push("latest", remote, store=store)
    model.write_bytes(b"0" + data[1:])
    with pytest.raises(VerificationError, match="was changed"):
        api.push("latest", remote, store=store)


def test_a_remote_with_a_long_address_is_pulled_by_an_alias(store, elsewhere, tmp_path, digits):
    deep = tmp_path.joinpath(*["a folder with a long name" * 8] * 8)
    api.promote_remote("latest", deep.as_uri(), store=store)
    assert api.pull(f"{deep.as_uri()}@champion", store=elsewhere).alias == "champion"
    assert Store(elsewhere).alias("digits", "champion") == digits.digest


def test_other_files_among_the_aliases_are_left_out(store, tmp_path, digits):
    shared = tmp_path / "shared"
    api.push("latest", shared.as_uri(), store=store)
    pointer = (shared / "names" / "latest").read_bytes()
    for name in (".DS_Store", "Thumbs.db", "a b"):
        (shared / "names" / name).write_bytes(b"\0junk")
    for name in ("000", "LATEST", "\u0663", "\x1b[31m"):
        (shared / "names" / name).write_bytes(pointer)
    second = another(store, digits)
    assert api.push(second, shared.as_uri(), store=store).version == 2
    listed = {item.version: item.aliases for item in api.list_remote(shared.as_uri())}
    assert listed == {1: [], 2: ["latest"]}
