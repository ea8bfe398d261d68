"""The index of runs: the same answers as reading every record, whatever happens to either."""

import json
import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

import artifact_pipeline as api
from artifact_pipeline.store import run_index
from artifact_pipeline.store.run_index import MAX_UNINDEXED, index_path
from artifact_pipeline.store.run_query import run_rows
from artifact_pipeline.store.store import Store
from tests.support.command import environment
from tests.support.waiting import until

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
MANY = MAX_UNINDEXED + 10


def add(store, number, **fields):
    """Write the record of a run, as another program would, and return its id."""
    run = f"20260101T{number:06}.000000Z-abcdef"
    record = {"run": run, "outcome": "done", "artifact": A, "cached": True, "name": "churn",
              "metrics": {"test": {"accuracy": 0.5 + number / 1e6}}, "recipe": {"code": "x" * 200},
              **fields}  # fmt: skip
    path = store.root / "runs" / f"{run}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    new = store.root / f"new{os.getpid()}"
    new.write_text(json.dumps(record))
    new.replace(path)
    return run


@pytest.fixture
def store(tmp_path):
    """A store with more runs than are read each time."""
    store = Store(tmp_path / "artifacts")
    for number in range(MANY):
        add(store, number, cached=number != 3, name="churn" if number % 2 else "price")
    return store


def read(store):
    """Return all records, each read from its file."""
    return [store.journal.read_run(path) for path in store.journal.run_files()]


def settle(store):
    """Make the folder's last change older than any that is not trusted, and index it."""
    old = time.time_ns() - 10 * 10**9 + 123
    os.utime(store.root / "runs", ns=(old, old))
    until(lambda: store.run_index.runs() == read(store) and not unsettled(store))


def unsettled(store):
    """Return how many records the index will read again, because they are too recent."""
    with closing(sqlite3.connect(database(store))) as connection:
        return connection.execute("SELECT count(*) FROM runs WHERE stamp = ''").fetchone()[0]


def database(store):
    return index_path(store.root).with_suffix(".sqlite")


def never(*_, **__):
    raise AssertionError("the folder was listed or read")


def test_the_index_gives_what_the_records_have(store):
    index = store.run_index
    assert index.runs() == read(store)
    assert index.runs(limit=3) == read(store)[:3]
    assert index.runs(name="price", limit=2) == [r for r in read(store) if r.name == "price"][:2]
    assert (index.count(), index.count(name="churn")) == (MANY, MANY // 2)
    assert index.record_of(A) == read(store)[-4]  # the only one that trained it
    assert index.record_of(B) is None and index.artifacts() == [A]
    assert database(store).is_file()


@pytest.fixture
def large(store, monkeypatch):
    """The same store, as if it had more runs than each command compares with their files."""
    monkeypatch.setattr(run_index, "MAX_CHECKED", 0)
    return store


def test_what_is_known_is_neither_listed_nor_read_again(large, monkeypatch):
    store = large
    settle(store)
    monkeypatch.setattr(run_index, "_stamps", never)
    monkeypatch.setattr(type(store.journal), "read_run", never)
    assert store.run_index.count() == MANY


def test_a_run_of_this_checkout_is_found_without_listing(large, monkeypatch):
    store = large
    settle(store)
    run = "20270101T000000.000000Z-abcdef"
    store.write_run(run, api.PastRun(run=run, outcome="done", artifact=B))
    monkeypatch.setattr(run_index, "_stamps", never)
    assert store.run_index.record_of(B).run == run


def test_a_record_that_came_or_went_or_was_replaced_is_seen(store):
    settle(store)
    run = add(store, MANY, artifact=B)
    assert store.run_index.record_of(B).run == run
    settle(store)
    add(store, MANY, artifact=B, seconds=5.0)
    assert store.run_index.record_of(B).seconds == 5.0
    settle(store)
    (store.root / "runs" / f"{run}.json").unlink()
    assert store.run_index.record_of(B) is None


def edit(store, number, **fields):
    """Change a record in place, keeping its size and its time."""
    path = store.root / "runs" / f"20260101T{number:06}.000000Z-abcdef.json"
    status, text = path.stat(), path.read_text()
    record = {**json.loads(text), "recipe": {"code": "y"}, **fields}
    with path.open("r+") as file:
        file.write(json.dumps(record).ljust(len(text)))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size


def test_a_record_that_was_edited_in_place_is_read_again(store):
    settle(store)
    edit(store, 7, artifact=B)
    assert store.run_index.record_of(B).run == "20260101T000007.000000Z-abcdef"
    edit(store, 8, name="zzzzz")
    assert [row.run[13:15] for row in run_rows(store=store.root, where="cached")].count("08")
    assert store.run_index.runs() == read(store)


def test_of_many_records_those_that_are_shown_are_read_again_if_they_were_edited(large):
    settle(large)
    edit(large, 8, name="churn")
    assert large.run_index.runs(name="price", limit=MANY) == [
        run for run in read(large) if run.name == "price"
    ]
    settle(large)
    newest = run_rows(store=large.root, sort="run", where="cached", limit=1)[0].run
    edit(large, int(newest[9:15]), cached=False)
    assert newest not in [r.run for r in run_rows(store=large.root, where="cached", limit=MANY)]
    edit(large, 5, seconds=77)
    assert run_rows(store=large.root, where="seconds > 70")[0].seconds == 77


def test_a_foreign_change_beside_a_run_of_this_checkout_is_seen(store):
    settle(store)
    foreign = add(store, MANY, artifact=B)
    run = "20270101T000000.000000Z-abcdef"
    store.write_run(run, api.PastRun(run=run, outcome="done", artifact=A, cached=False))
    assert store.run_index.record_of(B).run == foreign
    assert store.run_index.record_of(A).run == run


def test_a_change_within_the_granularity_of_times_is_seen(store, monkeypatch):
    runs = store.root / "runs"
    monkeypatch.setattr(run_index, "_RACY", 10**15)  # as if all of this took no time
    assert store.run_index.count() == MANY
    status = runs.stat()
    run = add(store, MANY, artifact=B)
    os.utime(runs, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert store.run_index.record_of(B).run == run


def test_a_store_at_the_path_of_another_is_another(store, tmp_path):
    settle(store)
    shutil.rmtree(store.root)
    for number in range(MANY):
        add(store, number, artifact=B)
    assert store.run_index.record_of(A) is None and store.run_index.count() == MANY
    copy = Store(shutil.copytree(store.root, tmp_path / "copy"))
    assert copy.run_index.runs() == read(copy)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"not a database" * 1000),
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        lambda path: path.write_bytes(path.read_bytes()[:4096] + bytes(8192)),
        lambda path: path.write_bytes(path.read_bytes().replace(b'"outcome"', b'"outcome\\')),
        lambda path: path.write_bytes(path.read_bytes().replace(b"20260101T", b"\xff0260101T")),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: (path.unlink(), os.mkfifo(path)),
        lambda path: (path.unlink(), path.symlink_to("/dev/zero")),
    ],
)
def test_a_damaged_index_is_built_again(store, spoil):
    settle(store)
    spoil(database(store))
    assert store.run_index.runs() == read(store)
    assert store.run_index.runs() == read(store)


def test_an_index_of_another_release_is_built_again(store, monkeypatch):
    settle(store)
    monkeypatch.setattr(run_index, "_SCHEMA", 0)
    assert store.run_index.runs() == read(store)


def test_a_state_folder_that_cannot_be_written_is_no_obstacle(store, tmp_path, monkeypatch):
    (tmp_path / "state").write_text("a file")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert store.run_index.runs() == read(store)
    assert store.run_index.record_of(A) == read(store)[-4]


def test_few_runs_need_no_index(tmp_path):
    store = Store(tmp_path)
    assert store.run_index.runs() == [] and store.run_index.record_of(A) is None
    add(store, 1)
    assert store.run_index.runs() == read(store) and not database(store).exists()


def _read_and_write(root, first):
    store = Store(root)
    for number in range(first, first + 15):
        add(store, number)
        store.run_index.record_of(A)


def test_two_readers_and_writers_at_once_leave_it_right(store):
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_read_and_write, args=(store.root, MANY + 100 * index))
        for index in (1, 2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert store.run_index.runs() == read(store) and store.run_index.count() == MANY + 30


KILLED = """
import itertools, sys
from artifact_pipeline.store.run_index import index_path
from artifact_pipeline.store.store import Store
store = Store(sys.argv[1])
for _ in itertools.count():
    index_path(store.root).with_suffix(".sqlite").unlink(missing_ok=True)
    store.run_index.count()
"""


def test_a_killed_process_leaves_it_right(store):
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-c", KILLED, store.root], env=environment())
        until(lambda: Path(f"{database(store)}-journal").exists())
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert store.run_index.runs() == read(store)
