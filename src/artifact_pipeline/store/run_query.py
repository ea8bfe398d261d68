"""Queries of runs: filtered, sorted and limited."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from msgspec import Struct

from artifact_pipeline.builder.config.messages import nearest
from artifact_pipeline.errors import ArtifactNotFound, CallError, Location, quoted
from artifact_pipeline.store import condition as conditions
from artifact_pipeline.store.condition import Condition
from artifact_pipeline.store.journal import PastRun
from artifact_pipeline.store.models import in_utc
from artifact_pipeline.store.references import PathLike
from artifact_pipeline.store.run_fields import (
    OF_MODELS,
    PLAIN,
    check_field,
    is_lower_better,
    is_metric,
)
from artifact_pipeline.store.run_index import sql_value, value_id
from artifact_pipeline.store.run_rows import RunRow, Scalar
from artifact_pipeline.store.run_versions import rows_of, stored_model
from artifact_pipeline.store.store import Store

if TYPE_CHECKING:
    import sqlite3
    from typing import Unpack

MAX_FIELDS = 50
"""Fields of one query; SQLite joins at most 64 tables."""


class RunQuery(Struct, frozen=True, kw_only=True):
    """The runs to return and their order, by default newest first."""

    name: str | None = None
    """The model whose runs to return."""
    where: str | None = None
    """A condition such as `test.roc_auc > 0.8 and params.C < 1`."""
    since: str | None = None
    """A date (UTC) or a time with its zone, both in ISO 8601; earlier runs are left out."""
    sort: str | None = None
    """A field to sort by: metrics best first, other fields ascending. Runs without it are last."""
    best: str | None = None
    """A metric; only the best run of each model that has it is returned."""
    limit: int | None = None
    """Maximum number of runs."""


class RunOptions(TypedDict, total=False):
    """The fields of `RunQuery` as keyword arguments."""

    name: str | None
    where: str | None
    since: str | None
    sort: str | None
    best: str | None
    limit: int | None


class Selection(Struct, frozen=True, kw_only=True):
    """Runs and the full names of the fields that a query named."""

    rows: list[RunRow]
    ordered_by: list[str]
    """The fields that the runs were sorted and chosen by."""
    columns: list[str] | None
    """The fields to show; None for the usual ones."""


def run_rows(*, store: PathLike | None = None, **query: Unpack[RunOptions]) -> list[RunRow]:
    """Return the runs of a store, newest first.

    Args:
        store: The store.
        query: `name`, `where`, `since`, `sort`, `best` and `limit`, the fields of `RunQuery`.

    Raises:
        CallError: If a condition, a field or a date is wrong.
        ArtifactNotFound: If no run has this name.
        StoreError: If the records cannot be listed, or the history of a model is damaged.
    """
    return select(RunQuery(**query), store=store).rows


def select(
    query: RunQuery, *, columns: Sequence[str] | None = None, store: PathLike | None = None
) -> Selection:
    """Return runs, and check the fields to show. Raises as `run_rows`.

    Args:
        query: The query.
        columns: Fields to show.
        store: The store.
    """
    moment = None if query.since is None else _moment(query.since)
    target = Store(store)

    def find(connection: sqlite3.Connection) -> tuple[_Checked, list[PastRun]]:
        checked = _checked(connection, query, columns=columns)
        statement = _statement(connection, checked, moment=moment, store=target)
        records = target.run_index.checked(connection, statement)
        return checked, records

    checked, records = target.run_index.query(find, is_complete=query.limit is None)
    ordered_by = [field for field in dict.fromkeys((checked.sort, checked.best)) if field]
    return Selection(
        rows=list(rows_of(records, target)), ordered_by=ordered_by, columns=checked.columns
    )


class _Checked(NamedTuple):
    """A query whose fields are known."""

    query: RunQuery
    condition: Condition | None
    sort: str | None
    best: str | None
    columns: list[str] | None


class _Fields(NamedTuple):
    """The parts of a statement that read the values of fields."""

    joins: str
    columns: dict[str, str]
    """The expression of each field."""


def _checked(
    connection: sqlite3.Connection, query: RunQuery, *, columns: Sequence[str] | None
) -> _Checked:
    """Check the names in a query."""
    named = (query.where, query.sort, query.best, columns)
    known = _known_fields(connection) if any(part is not None for part in named) else PLAIN
    return _Checked(
        query=query,
        condition=None if query.where is None else conditions.parse(query.where, known),
        sort=None if query.sort is None else check_field(
            query.sort, known, location=Location("--sort")
        ),
        best=None if query.best is None else _metric(query.best, known),
        columns=None if columns is None else [
            check_field(column, known, location=Location("--columns")) for column in columns
        ],
    )  # fmt: skip


def _statement(
    connection: sqlite3.Connection, checked: _Checked, *, moment: datetime | None, store: Store
) -> Callable[[], list[int]]:
    """Return a function that finds the runs of a query in the index, by their numbers."""
    query, condition = checked.query, checked.condition
    named = dict.fromkeys(conditions.fields_of(condition) if condition is not None else [])
    names = [*named, *filter(None, (checked.sort, checked.best)), "name", "started"]
    fields = _fields(connection, names, store=store)
    filters: list[conditions.Sql] = []
    if query.name is not None:
        filters.append(conditions.Sql(f"{fields.columns['name']} = ?", (sql_value(query.name),)))
        _check_name(connection, query.name, fields=fields, own=filters[0])
    if condition is not None:
        _check_types(connection, condition, fields=fields, filters=filters)
        filters.append(conditions.sql(condition, fields.columns))
    if moment is not None:
        text = in_utc(moment).isoformat()
        filters.append(conditions.Sql(f"{fields.columns['started']} >= ?", (text,)))
    extra, order = _order(checked.sort, fields)
    if checked.best is not None:
        best = fields.columns[checked.best]
        filters.append(conditions.Sql(f"{best} IS NOT NULL"))
        direction = "ASC" if is_lower_better(checked.best) else "DESC"
        extra += (
            f", row_number() OVER (PARTITION BY {fields.columns['name']} "
            f"ORDER BY {best} {direction}, r.file DESC) AS place"
        )
    statement = f"SELECT r.id AS id, r.file AS file{extra} FROM runs r{fields.joins}"
    statement += _where(filters)
    if checked.best is not None:
        statement = f"SELECT * FROM ({statement}) WHERE place = 1"
    statement += f" ORDER BY {order}file DESC LIMIT ?"
    values = [value for part in filters for value in part.values]
    limit = -1 if query.limit is None else query.limit
    return lambda: [int(row[0]) for row in connection.execute(statement, [*values, limit])]


def _known_fields(connection: sqlite3.Connection) -> list[str]:
    """Return the names of all fields that some run has."""
    # The values of a field are next to each other, so this reads one of each.
    rows = connection.execute(
        "SELECT name FROM fields WHERE EXISTS (SELECT 1 FROM field_values "
        "WHERE field_values.id BETWEEN fields.id << 32 AND (fields.id << 32) + 4294967295) "
        "ORDER BY id"
    )
    return list(dict.fromkeys([*PLAIN, *(str(row[0]) for row in rows)]))


def _fields(connection: sqlite3.Connection, names: Iterable[str], *, store: Store) -> _Fields:
    """Return the joins and the expressions that give the values of fields."""
    numbers = dict(connection.execute("SELECT name, id FROM fields").fetchall())
    wanted = dict.fromkeys(names)
    joins, columns = "", {}
    if wanted.keys() & set(OF_MODELS):
        _write_models(connection, numbers, store=store)
        wanted |= dict.fromkeys(("digest", "name", "metric", "value"))
    if len(wanted) > MAX_FIELDS:
        problem = f"names {len(wanted)} fields, expected at most {MAX_FIELDS}"
        raise CallError(problem, location=conditions.LOCATION)
    for index, name in enumerate(field for field in wanted if field not in OF_MODELS):
        if name not in numbers:
            columns[name] = "NULL"
            continue
        columns[name] = f"v{index}.value"
        first = value_id(int(numbers[name]), 0)
        joins += f" LEFT JOIN field_values v{index} ON v{index}.id = {first} + r.id"
    if wanted.keys() & set(OF_MODELS):
        own = f"{columns['name']} = {{0}}.name"
        joins += (
            f" LEFT JOIN model_versions mv ON {own.format('mv')} "
            f"AND mv.digest = {columns['digest']}"
            f" LEFT JOIN champion_metrics cm ON {own.format('cm')} "
            f"AND cm.metric = {columns['metric']}"
        )
        columns["version"] = "mv.version"
        columns["is_champion"] = "CASE WHEN mv.is_champion THEN x'01' ELSE x'00' END"
        columns["change"] = f"({columns['value']} - cm.value)"
    return _Fields(joins, columns)


def _write_models(connection: sqlite3.Connection, numbers: dict[str, int], *, store: Store) -> None:
    """Write versions and champions of all models into temporary tables of the connection."""
    connection.execute(
        "CREATE TEMP TABLE model_versions (name TEXT, digest TEXT, version INTEGER, "
        "is_champion INTEGER, PRIMARY KEY (name, digest))"
    )
    connection.execute(
        "CREATE TEMP TABLE champion_metrics (name TEXT, metric TEXT, value REAL, "
        "PRIMARY KEY (name, metric))"
    )
    for name in _names(connection, numbers):
        model = stored_model(store, name)
        versions = dict(model.numbers)
        digests = dict.fromkeys([*versions, *filter(None, (model.champion,))])
        connection.executemany(
            "INSERT INTO model_versions VALUES (?, ?, ?, ?)",
            [(name, digest, versions.get(digest), digest == model.champion) for digest in digests],
        )
        connection.executemany(
            "INSERT INTO champion_metrics VALUES (?, ?, ?)",
            [(name, metric, value) for metric, value in model.metrics.items()],
        )


def _names(connection: sqlite3.Connection, numbers: dict[str, int]) -> list[str]:
    """Return the names of models that runs have."""
    if "name" not in numbers:
        return []
    first, end = value_id(numbers["name"], 0), value_id(numbers["name"] + 1, 0)
    query = "SELECT DISTINCT value FROM field_values WHERE id >= ? AND id < ?"
    return sorted(str(row[0]) for row in connection.execute(query, [first, end]))


def _check_name(
    connection: sqlite3.Connection, name: str, *, fields: _Fields, own: conditions.Sql
) -> None:
    statement = f"SELECT 1 FROM runs r{fields.joins}{_where([own])} LIMIT 1"
    if connection.execute(statement, own.values).fetchone() is not None:
        return
    if connection.execute("SELECT 1 FROM runs LIMIT 1").fetchone() is None:
        return
    numbers = dict(connection.execute("SELECT name, id FROM fields").fetchall())
    names = _names(connection, numbers)
    problem = f"no run has the name {quoted(name)}"
    remedy = nearest(name, names) if names else None
    raise ArtifactNotFound(problem, location=Location("--name"), remedy=remedy)


def _check_types(
    connection: sqlite3.Connection,
    condition: Condition,
    *,
    fields: _Fields,
    filters: Sequence[conditions.Sql],
) -> None:
    """Check that some run can make each comparison, if any has both values."""
    checked = set()
    for predicate in conditions.predicates(condition):
        operands = predicate.operands
        names = [operand.field for operand in operands if operand.field is not None]
        kinds = [
            None if operand.field else conditions.sql_kind(operand.literal) for operand in operands
        ]
        key = (*names, *kinds, predicate.need)
        if key in checked:
            continue
        checked.add(key)
        both = [conditions.Sql(f"{fields.columns[name]} IS NOT NULL") for name in names]
        same = conditions.comparable(predicate, fields.columns)
        if _first(connection, [*filters, *both, same], names=names, fields=fields) is not None:
            continue
        values = _first(connection, [*filters, *both], names=names, fields=fields)
        if values is not None:
            rest = iter(values)
            a, b = (operand.literal if operand.field is None else next(rest)
                    for operand in operands)  # fmt: skip
            assert a is not None and b is not None
            raise conditions.mismatch(predicate, (a, b))


def _first(
    connection: sqlite3.Connection,
    filters: Sequence[conditions.Sql],
    *,
    names: Sequence[str],
    fields: _Fields,
) -> list[Scalar | None] | None:
    """Return the values of fields in a run that matches filters, or None without one."""
    columns = ", ".join(["1", *(fields.columns[name] for name in names)])
    statement = f"SELECT {columns} FROM runs r{fields.joins}{_where(filters)} LIMIT 1"
    values = [value for part in filters for value in part.values]
    row: tuple[Any, ...] | None = connection.execute(statement, values).fetchone()
    if row is None:
        return None
    return [bool(value[0]) if isinstance(value, bytes) else value for value in row[1:]]


def _where(filters: Sequence[conditions.Sql]) -> str:
    return " WHERE " + " AND ".join(f"({part.text})" for part in filters) if filters else ""


def _order(sort: str | None, fields: _Fields) -> tuple[str, str]:
    """Return the columns to sort by, and how: numbers before texts, and missing values last."""
    if sort is None:
        return "", ""
    value = fields.columns[sort]
    direction = "DESC" if is_metric(sort) and not is_lower_better(sort) else "ASC"
    number = f"CASE WHEN typeof({value}) = 'blob' THEN {value} = x'01' ELSE {value} END"
    extra = f", {value} IS NULL AS k0, typeof({value}) = 'text' AS k1, {number} AS k2"
    return extra, f"k0, k1, k2 {direction}, "


def _metric(name: str, known: Collection[str]) -> str:
    field = check_field(name, known, location=Location("--best"))
    if not is_metric(field):
        problem = f"{quoted(name)} is not a metric"
        raise CallError(problem, location=Location("--best"), remedy="--sort takes any field")
    return field


def _moment(text: str) -> datetime:
    """Return the time in a text; for a date, its first moment in UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is not None and re.fullmatch(r"\d{4}-?\d\d-?\d\d", text, re.ASCII):
        return moment.replace(tzinfo=UTC)
    if moment is None or moment.tzinfo is None:
        raise CallError(
            f"found {quoted(text)}, expected a date or a time with its zone",
            location=Location("--since"),
            remedy="such as 2026-03-03, which begins at midnight UTC, or 2026-03-03T14:00+01:00",
        )
    return moment
