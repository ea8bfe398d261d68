"""Queries of runs: filtered, sorted and limited."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice

from msgspec import Struct

from artifact_pipeline.builder.config.messages import nearest
from artifact_pipeline.errors import ArtifactNotFound, CallError, Location, quoted
from artifact_pipeline.store.condition import matching
from artifact_pipeline.store.references import PathLike
from artifact_pipeline.store.run_fields import (
    check_field,
    is_lower_better,
    is_metric,
    known_fields,
    value_of,
)
from artifact_pipeline.store.run_rows import RunRow, Scalar, iterate
from artifact_pipeline.store.store import Store


class Selection(Struct, frozen=True, kw_only=True):
    """Runs and the full names of the fields that a query named."""

    rows: list[RunRow]
    ordered_by: list[str]
    """The fields that the runs were sorted and chosen by."""
    columns: list[str] | None
    """The fields to show; None for the usual ones."""


def run_rows(
    *,
    name: str | None = None,
    where: str | None = None,
    since: str | None = None,
    sort: str | None = None,
    best: str | None = None,
    limit: int | None = None,
    store: PathLike | None = None,
) -> list[RunRow]:
    """Return the runs of a store, newest first.

    Args:
        name: The model whose runs to return.
        where: A condition such as `test.roc_auc > 0.8 and params.C < 1`.
        since: A date (UTC) or a time with its zone, both in ISO 8601; earlier runs are left out.
        sort: A field to sort by: metrics best first, other fields ascending. Runs without it are
            last.
        best: A metric; only the best run of each model is returned, those without it are not.
        limit: The number of runs to return at most.
        store: The store.

    Raises:
        CallError: If a condition, a field or a date is wrong.
        ArtifactNotFound: If no run has this name.
    """
    selection = select(
        name=name, where=where, since=since, sort=sort, best=best, limit=limit, store=store
    )
    return selection.rows


def select(
    *,
    name: str | None = None,
    where: str | None = None,
    since: str | None = None,
    sort: str | None = None,
    best: str | None = None,
    limit: int | None = None,
    columns: Sequence[str] | None = None,
    store: PathLike | None = None,
) -> Selection:
    """Return runs and check the fields to show. Arguments and errors are those of `run_rows`."""
    moment = None if since is None else _moment(since)
    every = iterate(Store(store))
    if all(option is None for option in (name, where, moment, sort, best, columns)):
        return Selection(rows=list(islice(every, limit)), ordered_by=[], columns=None)
    rows = list(every)
    known = known_fields(rows)
    shown = None if columns is None else [
        check_field(column, known, location=Location("--columns")) for column in columns
    ]  # fmt: skip
    order = None if sort is None else check_field(sort, known, location=Location("--sort"))
    metric = None if best is None else _metric(best, known)
    if name is not None:
        rows = _of_model(rows, name)
    if where is not None:
        rows = matching(rows, where, known=known)
    if moment is not None:
        rows = [row for row in rows if row.started and _time(row) >= moment]
    if metric is not None:
        rows = _best_of_each(rows, metric)
    if order is not None:
        rows = _sorted(rows, order)
    ordered_by = [field for field in dict.fromkeys((order, metric)) if field is not None]
    return Selection(rows=rows[:limit], ordered_by=ordered_by, columns=shown)


def _of_model(rows: list[RunRow], name: str) -> list[RunRow]:
    own = [row for row in rows if row.name == name]
    if rows and not own:
        names = sorted({row.name for row in rows if row.name is not None})
        problem = f"no run has the name {quoted(name)}"
        remedy = nearest(name, names) if names else None
        raise ArtifactNotFound(problem, location=Location("--name"), remedy=remedy)
    return own


def _metric(name: str, known: list[str]) -> str:
    field = check_field(name, known, location=Location("--best"))
    if not is_metric(field):
        problem = f"{quoted(name)} is not a metric"
        raise CallError(problem, location=Location("--best"), remedy="--sort takes any field")
    return field


def _best_of_each(rows: list[RunRow], metric: str) -> list[RunRow]:
    """Return the best run of each model, the newest of equal ones, in the order of `rows`."""
    best: dict[str | None, RunRow] = {}
    for row in _sorted(rows, metric):
        if value_of(row, metric) is not None:
            best.setdefault(row.name, row)
    chosen = {row.run for row in best.values()}
    return [row for row in rows if row.run in chosen]


def _sorted(rows: list[RunRow], field: str) -> list[RunRow]:
    present = [row for row in rows if value_of(row, field) is not None]
    missing = [row for row in rows if value_of(row, field) is None]
    descending = is_metric(field) and not is_lower_better(field)
    # A stable sort keeps the newest of equal ones first, also when it is reversed.
    return sorted(present, key=lambda row: _key(value_of(row, field)), reverse=descending) + missing


def _key(value: Scalar | None) -> tuple[bool, float | str]:
    """Return a key that sorts numbers before texts."""
    return (True, value) if isinstance(value, str) else (False, value or 0)


def _time(row: RunRow) -> datetime:
    return datetime.fromisoformat(row.started)


def _moment(text: str) -> datetime:
    """Return the time in a text; of a date the first moment, in UTC."""
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
