"""A remote whose documents are made to damage the store that pulls them."""

import json
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

import artifact_pipeline as api
from artifact_pipeline.builder import canonical
from artifact_pipeline.errors import VerificationError
from artifact_pipeline.remote import objects, pull
from artifact_pipeline.store.references import MAX_VERSION
from artifact_pipeline.store.store import Store
from tests.support.artifacts import variant
from tests.support.command import call


@pytest.fixture
def remote(store, tmp_path):
    """The folder of a remote with the digits artifact, which an attacker can write."""
    api.push("latest", (tmp_path / "remote").as_uri(), store=store)
    return tmp_path / "remote"


def attach(remote: Path, digest: str, kind: str, *, data: bytes) -> None:
    path = remote / "attached" / digest[7:] / kind / canonical.digest(data)[7:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def move(own, **fields):
    when = datetime(2026, 1, 1, tzinfo=UTC).isoformat()
    return canonical.encode({"alias": "champion", "digest": own, "by": "eve", "when": when,
                             **fields})  # fmt: skip


def nested(levels):
    return [nested(levels - 1)] if levels else []


@pytest.mark.parametrize("fields", [
    *({"evidence": {"gates": nested(levels)}} for levels in range(42, 49)),
    {"message": "m" * 7_000_000},
    {"alias": "Champion"}, {"digest": "sha512:" + "0" * 128}, {"when": "2026-01-01"},
])  # fmt: skip
def test_a_move_is_refused_or_the_history_can_read_it(fields, remote, elsewhere, digits):
    attach(remote, digits.digest, "move", data=move(digits.digest, **fields))
    try:
        api.pull(remote.as_uri(), store=elsewhere)
    except VerificationError:
        assert not Store(elsewhere).artifacts.digests()
    else:
        assert api.history("digits", store=elsewhere) and api.examine(elsewhere).healthy


def test_moves_that_fill_the_history_are_left_out(remote, elsewhere, digits, monkeypatch):
    monkeypatch.setattr(pull, "_MAX_MOVES", 20_000)
    for index in range(70):
        data = move(digits.digest, message=f"{index}" + "m" * 1_000)
        attach(remote, digits.digest, "move", data=data)
    for _ in range(2):
        api.pull(remote.as_uri(), store=elsewhere)
    journal = elsewhere / "models" / "digits" / "journal.jsonl"
    assert journal.stat().st_size < 30_000
    assert api.history("digits", store=elsewhere)


def test_the_history_repeats_no_move_that_it_has(store, elsewhere, tmp_path):
    remote = (tmp_path / "remote").as_uri()
    messages = []
    for index in range(3):
        api.promote_remote("latest", remote, message=f"commit {index}", store=store)
        api.pull(f"{remote}@champion", store=elsewhere)
        messages.append(f"commit {index}")
    events = api.history("digits", store=elsewhere)
    pulled = [event.moves for event in events if event.event == "pulled"]
    assert sorted(move.message for moves in pulled for move in moves) == messages
    assert all(len(moves) == 1 for moves in pulled)


@pytest.mark.parametrize("place", ["latest", str(MAX_VERSION)])
def test_after_the_last_version_the_store_and_the_remote_still_take_artifacts(
    place, remote, elsewhere, store, digits
):
    pointer = {"digest": digits.digest, "name": "digits", "version": MAX_VERSION}
    (remote / "names" / "1").unlink()
    (remote / "names" / place).write_bytes(canonical.encode(pointer))
    suffix = "" if place == "latest" else f":{place}"
    assert api.pull(f"{remote.as_uri()}{suffix}", store=elsewhere).version == MAX_VERSION
    own = Store(elsewhere).add(variant(digits.folder, "made there")).digest
    assert Store(elsewhere).models.history("digits").numbers[own] == 1
    (remote / "names" / str(MAX_VERSION)).write_bytes(canonical.encode(pointer))
    other = {**pointer, "digest": "sha256:" + "1" * 64}
    (remote / "names" / "1").write_bytes(canonical.encode(other))
    assert api.push(own, remote.as_uri(), store=elsewhere).version == 2
    assert [item.version for item in api.list_remote(remote.as_uri())] == [1, 2, MAX_VERSION]


def test_documents_of_a_remote_take_no_more_memory_than_their_kind_may(
    remote, elsewhere, digits, monkeypatch
):
    """The size in a list may be wrong, and a registry's list has none."""
    monkeypatch.setattr(objects.ObjectRemote, "attachments", _without_sizes(objects.ObjectRemote))
    for index in range(3):
        data = f"{index}".encode() + bytes(20 << 20)
        attach(remote, digits.digest, "signature", data=data)
    tracemalloc.start()
    try:
        with pytest.raises((VerificationError, api.PipelineError), match="more than"):
            api.pull(remote.as_uri(), store=elsewhere)
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()
    assert not Store(elsewhere).artifacts.digests()


def _without_sizes(kind):
    original = kind.attachments

    def attachments(self, digest):
        return [replace(item, size=0) for item in original(self, digest)]

    return attachments


@pytest.mark.slow
def test_a_name_that_moves_the_cursor_is_shown_as_text(remote, tmp_path, digits):
    text = "\x1b]0;owned\x07\u202e"
    pointer = {"digest": digits.digest, "name": text, "version": 1}
    for label in ("latest", "1"):
        (remote / "names" / label).write_bytes(canonical.encode(pointer))
    for words in (["remote", "list", remote.as_uri()],
                  ["push", "latest", remote.as_uri(), "--store", digits.store]):  # fmt: skip
        done = call(*words, cwd=tmp_path)
        assert not set(text) & set(done.out + done.err) - set("o]0;wned"), (done.out, done.err)
    listed = call("remote", "list", remote.as_uri(), "--json", cwd=tmp_path)
    assert json.loads(listed.out)[0]["name"] == text
