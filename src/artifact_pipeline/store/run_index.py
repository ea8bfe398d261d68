"""An index of run records, so that finding some of them does not read all of them.

It is a cache: an SQLite database in the user's state folder, one for each store's path. It is not
in the store, because a store may be read-only, copied, or writable by others. A store with few runs
needs no index.

The records of up to `MAX_CHECKED` runs are compared with their files each time, by inode, size and
times. If there are more, only those that a command shows are compared, and the modification time of
`runs/` shows whether records were added or removed since the index was written. A run of this
checkout notes the time before and after it wrote its record, so that the index knows which record
it added; in all other cases the index lists the folder. A modification time is not trusted if it is
so recent that another change may not have altered it. A damaged database is built again, in memory
if the state folder cannot be written.

The values of the fields of runs are in a separate table, ordered by field and then by run, so that
conditions and sorting read only the fields that they name.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

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

    from artifact_pipeline.store.run_rows import Scalar

log = Log(__name__)

T = TypeVar("T")
SqlValue: TypeAlias = bytes | int | float | str | None
"""A value in the index."""

_SCHEMA = 2
_RACY = 50 * 10**6
_RACY_COARSE = 2 * 10**9
"""Nanoseconds within which a folder may change again without another modification time; the second
value is for file systems with coarse times."""
_BUSY_SECONDS = 120.0
"""Seconds to wait for another process, which may be building the index."""
MAX_UNINDEXED = 50
"""Maximum records of a store without an index; they are read each time."""
MAX_CHECKED = 5000
"""Maximum records whose files each command compares with the index."""
_UNUSED_SECONDS = 90 * 24 * 3600
"""Age from which an unused index is removed when another is created: its store may be gone."""
_FIRST_PAGE = 200
_PAGE = 10_000
"""Records that are read at once: at first few, because often no more are needed."""
_LAST = b"\xff" * 256
"""Sorts after the name of any file."""
_BATCH = 2000
"""Records that are committed at once."""
_MAX_NOTES = 1 << 20
"""Bytes after which the file of notes starts again."""
_RUN_BITS = 32
_INLINE = 48
"""Maximum characters of a value stored with its run; larger ones are stored once for all runs."""
_TABLES = """
CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT);
CREATE TABLE texts (id INTEGER PRIMARY KEY, body TEXT UNIQUE);
CREATE TABLE runs (
    id INTEGER PRIMARY KEY, file BLOB UNIQUE, stamp TEXT, name TEXT, artifact TEXT, cached INTEGER,
    data INTEGER, body TEXT
);
CREATE TABLE fields (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
CREATE TABLE field_values (id INTEGER PRIMARY KEY, value);
CREATE INDEX by_artifact ON runs (artifact, cached, file);
CREATE INDEX by_name ON runs (name, file);
"""


class IndexedRun(NamedTuple):
    """A run in the index."""

    file: bytes
    """The stem of its record's file."""
    stamp: str
    """The stamp of that file when it was read."""
    record: PastRun


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
            name: The model; by default all.
            limit: Maximum number of records.

        Raises:
            StoreError: If the records cannot be listed.
        """
        where, values = ("WHERE name = ?", [name]) if name is not None else ("", [])
        query = f"SELECT id FROM runs {where} ORDER BY file DESC LIMIT ?"
        return self._find(query, [*values, _all(limit)], is_complete=limit is None)

    def iterate(self) -> Iterator[PastRun]:
        """Yield all run records, newest first, reading them when needed. Raises as `runs`."""
        query = "SELECT file, stamp, body FROM runs WHERE file < ? ORDER BY file DESC LIMIT ?"
        before, is_complete, size = _LAST, True, _FIRST_PAGE

        def read(connection: sqlite3.Connection) -> list[IndexedRun]:
            return list(_decode(connection, connection.execute(query, [before, size]), texts={}))

        while True:
            page = self.query(read, is_complete=is_complete)
            yield from (run.record for run in page)
            if len(page) < size:
                return
            before, is_complete, size = page[-1].file, False, _PAGE

    def count(self, *, name: str | None = None) -> int:
        """Return the number of run records, of all models or of one. Raises as `runs`."""
        where, values = ("WHERE name = ?", [name]) if name is not None else ("", [])
        query = f"SELECT count(*) FROM runs {where}"
        return self.query(lambda connection: int(connection.execute(query, values).fetchone()[0]))

    def record_of(self, artifact: Digest) -> PastRun | None:
        """Return the newest record of a run that trained an artifact, or else reused it.

        Raises:
            StoreError: As `runs`.
        """
        query = "SELECT id FROM runs WHERE artifact = ? ORDER BY cached, file DESC LIMIT 1"
        return next(iter(self._find(query, [artifact])), None)

    def last_record_of(self, artifact: Digest) -> PastRun | None:
        """Return the newest record of a run that made or reused an artifact. Raises as `runs`."""
        query = "SELECT id FROM runs WHERE artifact = ? ORDER BY file DESC LIMIT 1"
        return next(iter(self._find(query, [artifact])), None)

    def record_with_data(self, artifact: Digest) -> PastRun | None:
        """Return the newest record of an artifact that has the path of a table.

        Raises:
            StoreError: As `runs`.
        """
        query = "SELECT id FROM runs WHERE artifact = ? AND data ORDER BY file DESC LIMIT 1"
        return next(iter(self._find(query, [artifact])), None)

    def artifacts(self) -> list[Digest]:
        """Return the artifacts of all records, by their first record. Raises as `runs`."""
        query = (
            "SELECT artifact FROM runs WHERE artifact IS NOT NULL GROUP BY artifact "
            "ORDER BY min(file)"
        )
        return self.query(
            lambda connection: [str(row[0]) for row in connection.execute(query)], is_complete=True
        )

    def checked(
        self, connection: sqlite3.Connection, find: Callable[[], list[int]]
    ) -> list[PastRun]:
        """Return the current records of the runs that a query finds.

        Args:
            connection: One of `synced`.
            find: Returns the numbers of runs; called again if the file of one has changed.
        """
        runs = _read_ids(connection, find())
        changed = [run.file for run in runs if run.stamp != self._current_stamp(run.file)]
        if changed:
            connection.execute("BEGIN IMMEDIATE")
            writer = _Writer(connection, self._journal, folder=self._folder)
            for file in changed:
                if self._current_stamp(file) is None:
                    writer.remove(file)
                else:
                    writer.read(file)
            connection.commit()
            runs = _read_ids(connection, find())
        return [run.record for run in runs]

    def _find(
        self, query: str, values: Sequence[Any], *, is_complete: bool = False
    ) -> list[PastRun]:
        def find(connection: sqlite3.Connection) -> list[int]:
            return [int(row[0]) for row in connection.execute(query, values)]

        return self.query(
            lambda connection: self.checked(connection, lambda: find(connection)),
            is_complete=is_complete,
        )

    def _current_stamp(self, file: bytes) -> str | None:
        with suppress(FileNotFoundError, ValueError):
            return _stamp((self._folder.root / "runs" / f"{os.fsdecode(file)}.json").lstat())
        return None

    def query(self, read: Callable[[sqlite3.Connection], T], *, is_complete: bool = False) -> T:
        """Bring the index up to date, and return what a function reads from it.

        Args:
            read: The function. It is called again if the index turns out to be damaged.
            is_complete: Whether to compare all records with their files, however many there are.

        Raises:
            StoreError: As `runs`.
        """
        import sqlite3

        for _ in range(2):  # a damaged database is removed, and built again
            path = self._database()
            if path is None:
                break
            try:
                with closing(_open(str(path))) as connection:
                    self._sync(connection, is_complete=is_complete)
                    return read(connection)
            except (sqlite3.Error, msgspec.MsgspecError) as error:
                log.debug("the index of runs %s is built again: %s", path, error)
                with suppress(OSError):
                    disk.remove(path)
        with closing(_open(":memory:")) as connection:
            self._sync(connection, is_complete=True)
            return read(connection)

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

    def _sync(self, connection: sqlite3.Connection, *, is_complete: bool) -> None:
        """Bring the index up to date with `runs/`, reading as little as is safe."""
        connection.execute("BEGIN IMMEDIATE")
        state = dict(connection.execute("SELECT key, value FROM state").fetchall())
        noted = _size(self._notes_path())
        now = time.time_ns()
        current = _stat(self._folder.folder("runs"))
        known = _known(state)
        is_listed = is_complete or _is_small(connection)
        if known is not None and known == current and not is_listed:
            connection.rollback()
            return
        names = None
        if known is not None and current is not None and not is_listed:
            names = self._noted_since(known, current, offset=int(state.get("noted", 0)))
        if names is not None:
            writer = _Writer(connection, self._journal, folder=self._folder)
            for name in names:
                writer.read(os.fsencode(name))
        elif not self._list(connection) and known is not None and known == current:
            connection.rollback()
            return
        safe = current is not None and now - current.modified >= _racy_time(current.modified)
        values = {
            "folder": msgspec.json.encode(current if safe else None).decode(),
            "noted": str(noted or 0),
        }
        connection.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", values.items())
        connection.commit()

    def _list(self, connection: sqlite3.Connection) -> bool:
        """Compare the index with the folder, and read the records that are new or replaced.

        Returns:
            Whether there were any.
        """
        stored = dict(connection.execute("SELECT file, stamp FROM runs"))
        current = _stamps(self._folder.folder("runs"))
        writer = _Writer(connection, self._journal, folder=self._folder)
        gone = stored.keys() - current.keys()
        for file in gone:
            writer.remove(file)
        changed = [file for file, stamp in current.items() if stored.get(file) != stamp]
        for index, file in enumerate(sorted(changed), 1):
            writer.read(file)
            if index % _BATCH == 0:  # an interrupted rebuild continues from here
                connection.execute("DELETE FROM state WHERE key = 'folder'")
                connection.commit()
                connection.execute("BEGIN IMMEDIATE")
        return bool(gone or changed)

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


class _Writer:
    """Writes runs into the index, in a transaction of the caller.

    Args:
        connection: A connection to the index.
        journal: The records.
        folder: The store.
    """

    def __init__(
        self, connection: sqlite3.Connection, journal: Journal, *, folder: StoreFolder
    ) -> None:
        self._connection = connection
        self._journal = journal
        self._folder = folder
        self._fields: dict[str, int] = dict(connection.execute("SELECT name, id FROM fields"))

    def read(self, file: bytes) -> None:
        """Read the record in a file into the index."""
        from artifact_pipeline.store.run_fields import stored_fields

        path = self._folder.root / "runs" / f"{os.fsdecode(file)}.json"
        stamp = ""
        with suppress(OSError):
            status = path.lstat()
            if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) >= _RACY:
                stamp = _stamp(status)
        run = self._journal.read_run(path)
        fields: dict[str, Any] = {}
        texts: dict[str, int] = {}
        for field, value in msgspec.to_builtins(run).items():
            body = msgspec.json.encode(value).decode()
            if field == "run" or len(body) <= _INLINE:
                fields[field] = value
            else:
                texts[field] = _text_id(self._connection, body)
        self.remove(file)
        row = (
            file, stamp, run.name, run.artifact, run.cached, run.data is not None,
            msgspec.json.encode([fields, texts]).decode(),
        )  # fmt: skip
        query = (
            "INSERT INTO runs (file, stamp, name, artifact, cached, data, body) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)"
        )
        number = int(self._connection.execute(query, row).lastrowid or 0)
        values = [
            (value_id(self._field(name), number), sql_value(value))
            for name, value in stored_fields(run).items()
        ]
        self._connection.executemany("INSERT INTO field_values VALUES (?, ?)", values)

    def remove(self, file: bytes) -> None:
        """Remove a run from the index, if it has it."""
        query = "SELECT id FROM runs WHERE file = ?"
        for (number,) in self._connection.execute(query, [file]).fetchall():
            ids = [(value_id(field, number),) for field in self._fields.values()]
            self._connection.executemany("DELETE FROM field_values WHERE id = ?", ids)
            self._connection.execute("DELETE FROM runs WHERE id = ?", [number])

    def _field(self, name: str) -> int:
        if name not in self._fields:
            cursor = self._connection.execute("INSERT INTO fields (name) VALUES (?)", [name])
            self._fields[name] = int(cursor.lastrowid or 0)
        return self._fields[name]


def value_id(field: int, run: int) -> int:
    """Return the key of the value of a field of a run: by field, and then by run."""
    return (field << _RUN_BITS) + run


def sql_value(value: Scalar | None) -> SqlValue:
    """Return a value as the index stores it: a boolean as a byte, to differ from 0 and 1."""
    if isinstance(value, bool):
        return bytes([value])
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return value


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


def _read_ids(connection: sqlite3.Connection, ids: Iterable[int]) -> list[IndexedRun]:
    query = "SELECT file, stamp, body FROM runs WHERE id = ?"
    rows = (connection.execute(query, [number]).fetchone() for number in ids)
    return list(_decode(connection, rows, texts={}))


def _decode(
    connection: sqlite3.Connection,
    rows: Iterable[tuple[bytes, str, str]],
    *,
    texts: dict[int, Any],
) -> Iterator[IndexedRun]:
    """Yield the records in rows. `texts` caches values by number."""
    for file, stamp, body in rows:
        fields, numbers = msgspec.json.decode(body)
        for field, number in numbers.items():
            if number not in texts:
                query = "SELECT body FROM texts WHERE id = ?"
                rows_of_text = connection.execute(query, [number]).fetchall()
                texts[number] = msgspec.json.decode(rows_of_text[0][0] if rows_of_text else "")
            fields[field] = texts[number]
        yield IndexedRun(file, stamp, msgspec.convert(fields, PastRun))


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


def _is_small(connection: sqlite3.Connection) -> bool:
    query = "SELECT count(*) FROM (SELECT 1 FROM runs LIMIT ?)"
    return int(connection.execute(query, [MAX_CHECKED + 1]).fetchone()[0]) <= MAX_CHECKED


def _stamp(status: os.stat_result) -> str:
    return f"{status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


def _racy_time(modified: int) -> int:
    """Return how old a modification time must be, in nanoseconds, to be trusted."""
    return _RACY_COARSE if modified % 10**6 == 0 else _RACY


def _size(path: Path | None) -> int | None:
    with suppress(OSError):
        return None if path is None else path.lstat().st_size
    return None
