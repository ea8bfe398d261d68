"""An index of run records, so that finding some of them does not read all of them.

It is a cache: an SQLite database in the state folder of the user, one for each store's path. It is
not in the store, because a store may be read-only, copied or written by strangers. A store with few
runs needs none.

The modification time of `runs/` tells whether a record came or went since the index was written.
A run of this checkout notes the time before and after it wrote its record, so that the index knows
which record that was; in all other cases it lists the folder. A time so recent that a change may
have left it as it was is not trusted. Whatever is wrong with the database, it is built again, in
memory if the state folder cannot be written.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from artifact_pipeline import disk
from artifact_pipeline._version import __version__
from artifact_pipeline.builder.canonical import Digest, digest
from artifact_pipeline.disk import translate_os_errors
from artifact_pipeline.errors import StoreError
from artifact_pipeline.log import Log
from artifact_pipeline.store import local_state
from artifact_pipeline.store.folder import StoreFolder
from artifact_pipeline.store.journal import Journal, PastRun

if TYPE_CHECKING:
    import sqlite3

log = Log(__name__)

_SCHEMA = 1
_RACY = 50 * 10**6
_RACY_COARSE = 2 * 10**9
"""Nanoseconds within which a folder may change again without another modification time; the second
is for file systems whose times are coarse."""
_BUSY_SECONDS = 120.0
"""Seconds to wait for another process, which may be building the index."""
MAX_UNINDEXED = 50
"""Records of a store that are read each time."""
_UNUSED_SECONDS = 90 * 24 * 3600
"""Age of an index that is removed when another is created: its store may be gone."""
_PAGE = 100
"""Records that are read at once."""
_BATCH = 2000
"""Records that are committed at once."""
_MAX_NOTES = 1 << 20
"""Bytes of notes, after which they begin anew."""
_INLINE = 48
"""Characters of a value that is kept with its run; larger ones are kept once for all runs."""
_TABLES = """
CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT);
CREATE TABLE texts (id INTEGER PRIMARY KEY, body TEXT UNIQUE);
CREATE TABLE runs (
    file BLOB PRIMARY KEY, stamp TEXT, name TEXT, artifact TEXT, cached INTEGER, data INTEGER,
    body TEXT
) WITHOUT ROWID;
CREATE INDEX by_artifact ON runs (artifact, cached, file);
CREATE INDEX by_name ON runs (name, file);
"""


class _Folder(NamedTuple):
    """The identity of a folder and the time of its last change."""

    device: int
    inode: int
    modified: int


class RunIndex:
    """The run records of a store, found by artifact, by name or by age."""

    def __init__(self, folder: StoreFolder, journal: Journal) -> None:
        self._folder = folder
        self._journal = journal

    def runs(self, *, name: str | None = None, limit: int | None = None) -> list[PastRun]:
        """Return run records, newest first; the outcome of a broken one is `unreadable`.

        Args:
            name: Only those of this model.
            limit: Only so many.

        Raises:
            StoreError: If the records cannot be listed.
        """
        where, values = ("WHERE name = ?", [name]) if name is not None else ("", [])
        with self._synced() as connection:
            query = f"{where} ORDER BY file DESC LIMIT ?"
            return _runs(connection, query, values=[*values, _all(limit)])

    def iterate(self) -> Iterator[PastRun]:
        """Yield all run records, newest first, reading as many as are needed. Raises as `runs`."""
        with self._synced() as connection:
            texts: dict[int, Any] = {}
            cursor = connection.execute("SELECT body FROM runs ORDER BY file DESC")
            while rows := cursor.fetchmany(_PAGE):
                yield from _decode(connection, rows, texts=texts)

    def count(self, *, name: str | None = None) -> int:
        """Return the number of run records, of all models or of one. Raises as `runs`."""
        where, values = ("WHERE name = ?", [name]) if name is not None else ("", [])
        with self._synced() as connection:
            query = f"SELECT count(*) FROM runs {where}"
            return int(connection.execute(query, values).fetchone()[0])

    def record_of(self, artifact: Digest) -> PastRun | None:
        """Return the newest record of a run that trained an artifact, or else one that reused it.

        Raises:
            StoreError: As `runs`.
        """
        query = "WHERE artifact = ? ORDER BY cached, file DESC LIMIT 1"
        with self._synced() as connection:
            return next(iter(_runs(connection, query, values=[artifact])), None)

    def data_path(self, artifact: Digest) -> str | None:
        """Return the path of the table in the newest record of an artifact that has one.

        Raises:
            StoreError: As `runs`.
        """
        query = "WHERE artifact = ? AND data ORDER BY file DESC LIMIT 1"
        with self._synced() as connection:
            return next((run.data for run in _runs(connection, query, values=[artifact])), None)

    def artifacts(self) -> list[Digest]:
        """Return the artifacts of all records, by their first record. Raises as `runs`."""
        query = (
            "SELECT artifact FROM runs WHERE artifact IS NOT NULL GROUP BY artifact "
            "ORDER BY min(file)"
        )
        with self._synced() as connection:
            return [str(row[0]) for row in connection.execute(query)]

    @contextmanager
    def _synced(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection to the index, once it has what the store has."""
        import sqlite3

        connection = None
        for _ in range(2):  # a damaged database is removed, and built again
            path = self._database()
            if path is None:
                break
            try:
                connection = _open(str(path))
                self._sync(connection)
                break
            except sqlite3.Error as error:
                log.debug("the index of runs %s is built again: %s", path, error)
                _close(connection)
                connection = None
                with suppress(OSError):
                    disk.remove(path)
        if connection is None:
            connection = _open(":memory:")
            self._sync(connection)
        try:
            yield connection
        finally:
            _close(connection)

    def _database(self) -> Path | None:
        """Return the file of the index; None if there can be none."""
        try:
            path = index_path(self._folder.root).with_suffix(".sqlite")
            kind = disk.kind_of(path)
            if kind is None:
                if len(_stamps(self._folder.folder("runs"))) <= MAX_UNINDEXED:
                    return None
                path.parent.mkdir(parents=True, exist_ok=True)
                _remove_unused(path.parent)
            return path if kind in (None, "a file") else None
        except (StoreError, OSError):
            return None

    def _sync(self, connection: sqlite3.Connection) -> None:
        """Bring the index up to date with `runs/`, by as little reading as is safe."""
        connection.execute("BEGIN IMMEDIATE")
        state = dict(connection.execute("SELECT key, value FROM state").fetchall())
        noted = _size(self._notes_path())
        now = time.time_ns()
        current = _stat(self._folder.folder("runs"))
        known = _known(state)
        if known is not None and known == current:
            connection.rollback()
            return
        names = None
        if known is not None and current is not None:
            names = self._noted_since(known, current, offset=int(state.get("noted", 0)))
        if names is not None:
            for name in names:
                self._read(connection, name, stamp="")
        else:
            self._list(connection)
        safe = current is not None and now - current.modified >= _racy_time(current.modified)
        values = {
            "folder": msgspec.json.encode(current if safe else None).decode(),
            "noted": str(noted or 0),
        }
        connection.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", values.items())
        connection.commit()

    def _list(self, connection: sqlite3.Connection) -> None:
        """Compare the index with the folder, and read the records that are new or replaced."""
        stored = dict(connection.execute("SELECT file, stamp FROM runs"))
        found = _stamps(self._folder.folder("runs"))
        for file in stored.keys() - found.keys():
            connection.execute("DELETE FROM runs WHERE file = ?", [file])
        changed = [file for file, stamp in found.items() if stored.get(file) != stamp]
        for index, file in enumerate(sorted(changed), 1):
            self._read(connection, os.fsdecode(file), stamp=found[file])
            if index % _BATCH == 0:  # a rebuild that is interrupted goes on from here
                connection.execute("DELETE FROM state WHERE key = 'folder'")
                connection.commit()
                connection.execute("BEGIN IMMEDIATE")

    def _read(self, connection: sqlite3.Connection, stem: str, *, stamp: str) -> None:
        """Read one record into the index."""
        path = self._folder.root / "runs" / f"{stem}.json"
        if not stamp:
            with suppress(OSError):
                stamp = _stamp(path.lstat())
        run = self._journal.read_run(path)
        fields: dict[str, Any] = {}
        texts: dict[str, int] = {}
        for field, value in msgspec.to_builtins(run).items():
            body = msgspec.json.encode(value).decode()
            if field == "run" or len(body) <= _INLINE:
                fields[field] = value
            else:
                texts[field] = _text_id(connection, body)
        row = (
            os.fsencode(stem), stamp, run.name, run.artifact, run.cached, run.data is not None,
            msgspec.json.encode([fields, texts]).decode(),
        )  # fmt: skip
        connection.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def _notes_path(self) -> Path | None:
        with suppress(StoreError):
            return index_path(self._folder.root).with_suffix(".notes")
        return None

    def _noted_since(self, known: _Folder, current: _Folder, *, offset: int) -> list[str] | None:
        """Return the records that explain the change of the folder; None if it is not explained."""
        path = self._notes_path()
        if path is None or (known.device, known.inode) != (current.device, current.inode):
            return None
        try:
            data = disk.read_file(path, limit=2 * _MAX_NOTES, remedy="") or b""
        except StoreError:
            return None
        names, modified = [], known.modified
        for line in data[offset:].decode("ascii", "replace").splitlines():
            name, _, times = line.partition(" ")
            before, _, after = times.partition(" ")
            if before == str(modified) and after.isdigit():
                names.append(name)
                modified = int(after)
            elif names:
                return None
        return names if modified == current.modified else None


def note_run(folder: StoreFolder, run: str, *, before: int | None) -> None:
    """Note that a run of this process wrote its record, for the index.

    Args:
        folder: The store.
        run: The id of the run.
        before: The modification time of `runs/` before it was written; see `modified`.
    """
    after = modified(folder)
    if before is None or after is None:
        return
    with suppress(StoreError, OSError):  # without the note, the folder is listed
        path = index_path(folder.root).with_suffix(".notes")
        if disk.kind_of(path.with_suffix(".sqlite")) is None:
            return
        if disk.kind_of(path) not in (None, "a file"):
            return
        fresh = (_size(path) or 0) > _MAX_NOTES
        flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if fresh else os.O_APPEND)
        handle = os.open(path, flags, 0o666)
        try:
            os.write(handle, f"{run} {before} {after}\n".encode())
        finally:
            os.close(handle)


def modified(folder: StoreFolder) -> int | None:
    """Return the modification time of `runs/` in nanoseconds; None without that folder."""
    with suppress(StoreError, OSError):
        current = _stat(folder.folder("runs"))
        return None if current is None else current.modified
    return None


def index_path(root: Path) -> Path:
    """Return the path of a store's index, without its ending. Raises as `local_state.folder`."""
    key = digest(os.fsencode(os.path.realpath(root))).removeprefix("sha256:")[:32]
    return local_state.folder() / "run-index" / key


def _remove_unused(folder: Path) -> None:
    for path in folder.iterdir():
        with suppress(OSError):
            if time.time() - path.lstat().st_mtime > _UNUSED_SECONDS:
                disk.remove(path)


def _open(path: str) -> sqlite3.Connection:
    import sqlite3

    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous = NORMAL")
        version = f"{_SCHEMA} {__version__}"
        with suppress(sqlite3.OperationalError):  # there is no such table yet
            row = connection.execute("SELECT value FROM state WHERE key = 'version'").fetchone()
            if row is not None and row[0] == version:
                return connection
        connection.execute("BEGIN IMMEDIATE")
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        if names:
            row = connection.execute("SELECT value FROM state WHERE key = 'version'").fetchone()
            if row is not None and row[0] == version:  # another process has just created them
                connection.rollback()
                return connection
        for (name,) in names:
            connection.execute(f'DROP TABLE "{name}"')
        for statement in _TABLES.strip().split(";\n"):
            connection.execute(statement.rstrip(";"))
        connection.execute("INSERT INTO state VALUES ('version', ?)", [version])
        connection.commit()
    except BaseException:
        connection.close()
        raise
    return connection


def _close(connection: sqlite3.Connection | None) -> None:
    if connection is not None:
        connection.close()


def _runs(connection: sqlite3.Connection, query: str, *, values: Sequence[Any]) -> list[PastRun]:
    rows = connection.execute(f"SELECT body FROM runs {query}", values).fetchall()
    return list(_decode(connection, rows, texts={}))


def _decode(
    connection: sqlite3.Connection, rows: Iterable[tuple[str]], *, texts: dict[int, Any]
) -> Iterator[PastRun]:
    """Yield the records in rows. `texts` has the values that were read before, by number."""
    for (body,) in rows:
        fields, numbers = msgspec.json.decode(body)
        for field, number in numbers.items():
            if number not in texts:
                query = "SELECT body FROM texts WHERE id = ?"
                texts[number] = msgspec.json.decode(
                    connection.execute(query, [number]).fetchone()[0]
                )
            fields[field] = texts[number]
        yield msgspec.convert(fields, PastRun)


def _text_id(connection: sqlite3.Connection, body: str) -> int:
    row = connection.execute("SELECT id FROM texts WHERE body = ?", [body]).fetchone()
    if row is None:
        cursor = connection.execute("INSERT INTO texts (body) VALUES (?)", [body])
        return int(cursor.lastrowid or 0)
    return int(row[0])


def _all(limit: int | None) -> int:
    return -1 if limit is None else limit


def _known(state: dict[str, str]) -> _Folder | None:
    """Return the folder as it was when the index was written; None if that is not known."""
    try:
        return msgspec.json.decode(state.get("folder", "null"), type=_Folder | None)
    except msgspec.DecodeError:
        return None


def _stat(folder: Path) -> _Folder | None:
    with translate_os_errors(folder):
        try:
            status = folder.stat()
        except FileNotFoundError:
            return None
    return _Folder(status.st_dev, status.st_ino, status.st_mtime_ns)


def _stamps(folder: Path) -> dict[bytes, str]:
    """Return a stamp of each record by its stem."""
    stamps = {}
    with translate_os_errors(folder), suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".json") and entry.name != ".json":
                with suppress(FileNotFoundError):
                    stem = entry.name.removesuffix(".json")
                    stamps[os.fsencode(stem)] = _stamp(entry.stat(follow_symlinks=False))
    return stamps


def _stamp(status: os.stat_result) -> str:
    return f"{status.st_ino} {status.st_size} {status.st_mtime_ns}"


def _racy_time(modified: int) -> int:
    """Return how old a modification time must be, in nanoseconds, to be trusted."""
    return _RACY_COARSE if modified % 10**6 == 0 else _RACY


def _size(path: Path | None) -> int | None:
    with suppress(OSError):
        return None if path is None else path.lstat().st_size
    return None
