"""Versions, aliases, tags and references of the models in a store."""

import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import artifact_pipeline as api
from artifact_pipeline.errors import ArtifactNotFound, CallError, StoreError, VerificationError
from artifact_pipeline.store.models import folder_of, name_of
from artifact_pipeline.store.store import Store
from tests.support.artifacts import variant
from tests.support.command import call, environment
from tests.support.configs import FIXTURES
from tests.support.waiting import until


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Store("artifacts")


def seal(store, digits, text, **recipe):
    """Add an artifact that differs from the digits by a text, and return its digest."""
    return store.add(variant(digits.folder, text, **recipe)).digest


@pytest.fixture
def churn(store, digits):
    """Three versions of churn and one of price."""
    digests = [seal(store, digits, text, name="churn") for text in "abc"]
    return [*digests, seal(store, digits, "d", name="price")]


def test_artifacts_of_one_name_are_versions_in_the_order_in_which_they_were_sealed(
    store, digits, churn
):
    versions = [(item.name, item.version, item.digest) for item in api.artifacts()]
    expected = [("churn", 1), ("churn", 2), ("churn", 3), ("price", 1)]
    assert versions == [(*pair, digest) for pair, digest in zip(expected, churn, strict=True)]
    for version, digest in enumerate(churn[:3], 1):
        assert store.resolve(f"churn:{version}").digest == digest
    assert seal(store, digits, "a", name="churn") == churn[0]
    assert store.models.history("churn").numbers[churn[0]] == 1
    assert seal(store, digits, "e", name="churn") == store.resolve("churn:4").digest


def test_names_that_differ_in_case_are_different_models(store, digits):
    seal(store, digits, "a", name="churn")
    seal(store, digits, "b", name="Churn")
    assert store.models.names() == ["Churn", "churn"]
    assert store.resolve("Churn:1").digest != store.resolve("churn:1").digest
    assert [name_of(folder_of(name)) for name in ("Ab-C.d_E", "x")] == ["Ab-C.d_E", "x"]
    assert name_of("A") is None and name_of("..") is None and name_of("a b") is None


def test_an_alias_belongs_to_its_name(store, churn):
    api.promote("churn:2")
    assert store.resolve("champion").digest == churn[1]
    api.promote("price:1")
    assert store.resolve("churn@champion").digest == churn[1]
    assert store.resolve("price@champion").digest == churn[3]
    with pytest.raises(CallError, match="choose churn@champion or price@champion"):
        store.resolve("champion")
    api.promote("churn:3", "challenger")
    assert store.resolve("challenger").digest == churn[2]


@pytest.mark.parametrize(
    ("reference", "hint"),
    [
        ("chrun@champion", "did you mean 'churn@champion'"),
        ("churn@champoin", "did you mean 'churn@champion'"),
        ("churn:9", "did you mean 'churn:"),
        ("churn", "names a model.*choose churn@latest or churn:3"),
        ("chalenger", "did you mean 'challenger'"),
        ("churn:0", "artifact-pipeline list"),
        ("churn:1:2", "artifact-pipeline list"),
        ("@champion", "artifact-pipeline list"),
        ("churn@", "artifact-pipeline list"),
        ("churn@../x", "artifact-pipeline list"),
        ("../churn:1", "artifact-pipeline list"),
        ("churn:99999999999999999999", "artifact-pipeline list"),
    ],
)
def test_an_unknown_reference_gets_the_nearest_one(store, churn, reference, hint):
    api.promote("churn:1")
    api.promote("churn:1", "challenger")
    with pytest.raises(ArtifactNotFound, match=hint):
        store.resolve(reference)


def test_a_rollback_goes_back_and_says_over_what(store, churn):
    for version in (1, 2, 3):
        api.promote(f"churn:{version}")
    first = api.rollback("churn@champion", message="complaints")
    assert (first.version, first.instead_of_version, first.went_back_over) == (2, 3, [3])
    assert first.message == "complaints" and first.rollback
    second = api.rollback("champion")
    assert (second.version, second.went_back_over) == (1, [2])
    with pytest.raises(CallError, match="has no previous version"):
        api.rollback("champion")
    api.promote("churn:3")
    assert api.rollback("champion", to=1).went_back_over == [3]
    with pytest.raises(CallError, match="did not name version 2 before the current one"):
        api.rollback("champion", to=2)
    assert [move.version for move in api.promotions()] == [1, 3, 1, 2, 3, 2, 1]


def test_a_rollback_verifies_before_it_moves(store, churn):
    api.promote("churn:1")
    api.promote("churn:2")
    (store.artifacts.path(churn[0]) / "model.onnx").write_bytes(b"")
    with pytest.raises(VerificationError):
        api.rollback("champion")
    assert store.resolve("champion").digest == churn[1] and len(api.promotions()) == 2


def test_tags_are_texts_with_a_history(store, churn):
    api.tag("churn:3", {"reviewed-by": "asha", "ticket": "A-1 = done"}, message="review")
    [change] = api.tag("churn:3", {"reviewed-by": "ben", "ticket": "A-1 = done"})
    assert (change.before, change.value) == ("asha", "ben")
    api.tag("churn:3", remove=["ticket"])
    assert api.show("churn:3").tags == {"reviewed-by": "ben"}
    assert [entry.key for entry in api.history("churn") if entry.event == "tagged"] == [
        "ticket", "reviewed-by", "ticket", "reviewed-by"
    ]  # fmt: skip
    for wrong in ({"a b": "x"}, {"": "x"}, {"a": ""}, {"a": "x" * 1001}, {"a": "\ud800"}):
        with pytest.raises(CallError):
            api.tag("churn:3", wrong)
    with pytest.raises(CallError, match="ticket: is not set"):
        api.tag("churn:3", {"new": "x"}, remove=["ticket"])
    assert api.show("churn:3").tags == {"reviewed-by": "ben"}


def test_the_history_says_what_was_champion_at_a_time(store, churn, monkeypatch):
    times = iter(["2026-03-01T10:00:00+00:00", "2026-03-03T23:30:00+00:00"])
    monkeypatch.setattr("artifact_pipeline.store.promotion.now", lambda: next(times))
    api.promote("churn:1", message="first")
    api.promote("churn:2")

    def version(at):
        return api.alias_at("churn@champion", at)[0].version

    assert version("2026-02-28") is None
    assert [version(day) for day in ("2026-03-01", "2026-03-02", "2026-03-03")] == [1, 1, 2]
    assert version("2026-03-03T23:29:59Z") == 1
    assert version("2026-03-04T01:00:00+01:00") == 2
    assert version("2026-03-03T23:00:00-01:00") == 2
    found = api.alias_at("churn", "2026-03-02")[0]
    assert (found.alias, found.since, found.until) == (
        "champion", "2026-03-01T10:00:00+00:00", "2026-03-03T23:30:00+00:00"
    )  # fmt: skip
    for wrong in ("yesterday", "2026-03-03T10:00", "03/03/2026", ""):
        with pytest.raises(CallError, match="a date or a time with its zone"):
            api.alias_at("churn", wrong)


def test_a_move_records_who_why_and_the_evidence(store, digits, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_ACTOR", "asha")
    shutil.copytree(digits.store, "artifacts")
    move = api.promote("digits:1", message="better on slices")
    assert move.by.startswith("asha on ") and move.message == "better on slices"
    assert move.evidence.metrics["accuracy"] == pytest.approx(0.9583, abs=1e-4)
    assert move.evidence.run == digits.run["run"] and move.evidence.signature is None
    [entry, sealed] = api.history("digits")
    assert (entry.event, entry.alias, sealed.event) == ("moved", "champion", "sealed")


@pytest.mark.slow
def test_the_commands_move_tag_and_show(store, digits, churn):
    cwd = Path.cwd()
    assert "churn@champion is now version 1" in call("promote", "churn:1", cwd=cwd).out
    call("promote", "churn:2", "--message", "more \x1b[31m data", cwd=cwd)
    back = call("rollback", "churn@champion", "-m", "wrong", cwd=cwd)
    assert "is again version 1" in back.out and "it was version 2" in back.out
    assert call("tag", "churn:1", "reviewed-by=asha", cwd=cwd).out == "reviewed-by=asha\n"
    assert call("tag", "churn:1", cwd=cwd).out == "reviewed-by=asha\n"
    shown = call("history", "churn@champion", cwd=cwd)
    assert "rolled back to version 1, from 2" in " ".join(shown.out.split())
    assert "\x1b" not in shown.out and "wrong" in shown.out
    at = call("history", "churn@champion", "--at", "2026-01-01", cwd=cwd)
    assert at.code == 0 and "named no version" in at.out
    [first] = api.alias_at("churn@champion", "0001-01-01T00:00+23:59")
    [last] = api.alias_at("churn@champion", "9999-12-31T23:59-23:59")
    assert first.digest is None and last.version == 1
    assert call("history", "churn", "--json", cwd=cwd).json[0]["event"] == "tagged"
    listed = call("list", cwd=cwd).out
    assert "churn:1" in listed and "champion" in listed
    assert "reviewed-by=asha" in call("show", "churn:1", cwd=cwd).out
    missing = call("history", "chrun", cwd=cwd)
    assert missing.code == 2 and "did you mean 'churn'" in missing.err


def _assign(root, letters):
    store = Store(root)
    for letter in letters:
        store.models.assign("churn", "sha256:" + letter * 64)


def test_two_writers_at_once_get_different_versions(tmp_path):
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_assign, args=(tmp_path, letters))
        for letters in ("0123456789", "abcdef0123")
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    history = Store(tmp_path).models.history("churn")
    assert sorted(history.versions) == list(range(1, 17)) and len(history.numbers) == 16


KILLED = """
import itertools
from artifact_pipeline.store.store import Store
store = Store("artifacts")
for number in itertools.count(int({start})):
    store.models.assign("churn", f"sha256:{{number:064x}}")
"""


def test_a_killed_writer_leaves_whole_events(tmp_path):
    store = Store(tmp_path / "artifacts")
    journal = store.models.journal_path("churn")
    for start in (0, 10_000, 20_000):
        before = journal.stat().st_size if journal.exists() else 0
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED.format(start=start)], cwd=tmp_path, env=environment()
        )
        until(lambda: journal.exists() and journal.stat().st_size > before + 2000)  # noqa: B023
        process.send_signal(signal.SIGKILL)
        process.wait()
    versions = store.models.history("churn").versions
    assert list(versions) == list(range(1, len(versions) + 1))


def test_half_an_event_did_not_happen(store, churn):
    journal = store.models.journal_path("churn")
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"event":"sealed","version":4')
    assert len(store.models.history("churn").versions) == 3
    api.promote("churn:1")
    assert journal.read_bytes().startswith(whole + b'{"alias"')


def test_a_full_disk_leaves_the_journal_as_it_was(store, churn, monkeypatch):
    whole = store.models.journal_path("churn").read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        api.promote("churn:1")
    assert store.models.journal_path("churn").read_bytes() == whole


def sealed(version, digest="sha256:" + "0" * 64, when="2026-01-01T00:00:00Z"):
    event = {"event": "sealed", "version": version, "digest": digest, "when": when}
    return json.dumps(event).encode()


@pytest.mark.parametrize(
    "line",
    [
        b"{}", b"[]", b"1", b"null", b"{", b"\xff", b'{"event":"sealed"}', b'{"event":"other"}',
        sealed(0), sealed(1), sealed(9, digest="../../x"), sealed(9, when="noon"), b"[" * 100_000,
    ],
    ids=lambda line: line[:40].decode("latin-1"),
)  # fmt: skip
def test_a_line_that_is_not_an_event_is_one_error_and_is_repaired(store, churn, line):
    journal = store.models.journal_path("churn")
    whole = journal.read_bytes()
    journal.write_bytes(whole + line + b"\n")
    with pytest.raises(StoreError, match=r"journal\.jsonl, line 4: is not an event .*doctor"):
        store.resolve("churn:1")
    assert not api.examine().healthy
    assert api.examine(repair=True).healthy
    assert journal.read_bytes() == whole and api.examine().findings == []


def test_a_store_of_an_earlier_release_is_read_and_says_what_it_lacks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = Store("artifacts")
    source = FIXTURES / "version-1-onnx"
    digest = (
        "sha256:"
        + __import__("hashlib").sha256((source / "manifest.json").read_bytes()).hexdigest()
    )
    shutil.copytree(source, store.artifacts.path(digest))
    store.aliases.set("champion", digest)
    store.aliases.set("latest", digest)
    for reference in ("champion", "iris@champion", "latest", "iris@latest"):
        assert store.resolve(reference).digest == digest
    shown = api.show("champion")
    assert (shown.name, shown.version, shown.aliases) == ("iris", None, ["champion", "latest"])
    assert "has no version" in api.examine().findings[-1].wrong
    assert api.examine(repair=True).healthy and store.resolve("iris:1").digest == digest
    move = api.promote("iris:1")
    assert (move.instead_of, move.version) == (digest, 1)


def test_a_served_alias_of_a_name_is_followed(store, churn):
    from artifact_pipeline.serving.options import ModelSpec
    from artifact_pipeline.serving.registry import ModelRegistry

    api.promote("churn:1")
    shared = Path.cwd()
    registry = ModelRegistry(
        (
            ModelSpec(name="a", artifact="churn@champion"),
            ModelSpec(name="b", artifact="churn:1"),
            ModelSpec(name="c", artifact="champion"),
        ),
        str(shared),
    )
    api.promote("churn:2")
    registry.follow_aliases()
    assert [registry.models[name].digest for name in "abc"] == [churn[1], churn[0], churn[1]]


def test_a_gate_compares_with_an_alias_of_the_own_name(store, digits, churn):
    from artifact_pipeline.builder.config.resolved import Gate
    from artifact_pipeline.pipeline.incumbents import incumbents

    manifest = store.artifacts.open(churn[2]).manifest
    api.promote("price:1")
    gates = {"test.accuracy": Gate(not_worse_than="champion")}

    def compared(alias):
        """The digest that a gate compares with; none of these gates has a paired test."""
        return incumbents(gates, manifest, store=store.root, candidate=pytest.fail)[alias].digest

    assert compared("champion") is None
    api.promote("churn:1")
    assert compared("champion") == churn[0]
    gates = {"test.accuracy": Gate(not_worse_than="price@champion")}
    assert compared("price@champion") == churn[3]


@pytest.mark.slow
def test_an_alias_is_removed_with_a_record_and_can_be_given_back(store, churn):
    api.promote("churn:1", "blue")
    api.promote("churn:2", "blue")
    removal = api.remove_alias("churn@blue", message="not needed")
    assert (removal.name, removal.version, removal.message) == ("churn", 2, "not needed")
    assert Store().alias("churn", "blue") is None and not Store().models.history("churn").aliases
    entry = api.history("churn@blue")[0]
    assert (entry.event, entry.message, entry.version) == ("removed", "not needed", 2)
    [named] = api.alias_at("churn@blue", api.history("churn@blue")[1].when)
    assert named.version == 2
    with pytest.raises(CallError, match="was removed before"):
        api.remove_alias("churn@blue")
    back = api.rollback("churn@blue")
    assert (back.version, back.instead_of, back.went_back_over) == (2, None, [])
    assert api.rollback("churn@blue").version == 1
    for wrong in ("churn@latest", "latest", "churn@gren", "churn", "churn:1", ""):
        with pytest.raises(CallError):
            api.remove_alias(wrong)
    done = call("promote", "--remove", "churn@blue", "-m", "again", cwd=Path.cwd())
    assert done.code == 0 and done.out.startswith("removed churn@blue, which named version 1, ")
    shown = call("history", "churn@blue", cwd=Path.cwd()).out
    assert "blue was removed from version 1, by" in shown
    shown = call("show", "churn:2", cwd=Path.cwd()).out
    assert re.findall(r"^  blue +(since|until|removed) ", shown, re.M) == [
        "until", "since", "removed", "since",
    ]  # fmt: skip
    assert "not needed" in shown
    for words in ([], ["churn:1", "--remove", "churn@blue"]):
        done = call("promote", *words, cwd=Path.cwd())
        assert done.code == 2 and "either ARTIFACT or --remove" in done.err
    assert call("doctor", cwd=Path.cwd()).code == 0
