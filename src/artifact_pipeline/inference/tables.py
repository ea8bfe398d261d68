"""Rows of a table to predict, checked against what a model takes before anything is predicted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from msgspec import UnsetType

from artifact_pipeline.builder.config.messages import show
from artifact_pipeline.builder.config.resolved import ColumnFormat
from artifact_pipeline.builder.config.schema import Csv, Kind
from artifact_pipeline.builder.data import table_columns, table_reader
from artifact_pipeline.builder.data.number_limits import outside
from artifact_pipeline.builder.data.table_reader import Raw
from artifact_pipeline.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MISSING = "is missing, and the model takes no row without it"


class Takes(Protocol):
    """What a model takes in one column; see `manifest.Column`."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> Kind: ...
    @property
    def nullable(self) -> bool: ...
    @property
    def unseen(self) -> bool: ...
    @property
    def categories(self) -> list[str] | None: ...
    @property
    def format(self) -> ColumnFormat | None: ...
    @property
    def numbers(self) -> list[float] | UnsetType: ...
    @property
    def range(self) -> tuple[float, float] | UnsetType: ...


class Given(NamedTuple):
    """Rows that somebody wants predicted."""

    columns: list[NDArray[Any]]
    """A model's features in its order: each (n_rows,) float64, or str as objects."""
    id: str | None
    """The id column, where there is one."""
    ids: list[str] | None
    """What it says."""
    extra: list[str]
    """Columns that the model does not take."""
    unseen: dict[str, int]
    """How many rows of a column hold a text that the model did not learn from."""


def read(
    data: bytes, name: str, form: str, how: Csv, takes: Sequence[Takes], id_column: str | None
) -> Given:
    """Return the rows in the bytes of a table, its columns by their names, in any order.

    Raises:
        DataError: as `reading.read`, and for a column that is missing, a value of another kind,
            and one that the model does not take; named by file, row and column.
    """
    place, here, column = _reader(data, name, form, how)
    names = [one.name for one in takes]
    if missing := [one for one in names if one not in here]:
        raise DataError(f"the column {show(missing[0])} is missing", where=name)
    columns = [column(one.name, one.kind, one.format) for one in takes]
    ids = None
    if id_column is not None and id_column in here:
        ids = column(id_column, "text", None).tolist()
    unseen = check(columns, takes, place)
    extra = [one for one in here if one not in names and one != id_column]
    return Given(columns, None if ids is None else id_column, ids, extra, unseen)


def _reader(
    data: bytes, name: str, form: str, how: Csv
) -> tuple[
    Callable[[int], str],
    Collection[str],
    Callable[[str, Kind, ColumnFormat | None], NDArray[Any]],
]:
    """Return the place of a row, the names of columns, and what reads one of them as a kind."""
    try:
        raw = table_reader.read([(name, data)], form, how)
    except table_reader.Mixed:
        # What a row means does not depend on the rows beside it: each is read by its own type.
        mixed = table_reader.by_type(data, name)
        return (
            lambda row: f"{name}, row {row + 1}",
            mixed,
            lambda one, kind, form: _joined(mixed[one], one, kind, form),
        )
    return (
        raw.place,
        raw.table.column_names,
        lambda one, kind, form: table_columns.column(raw, one, kind, form).values,
    )


def _joined(parts: list[Raw], name: str, kind: Kind, form: ColumnFormat | None) -> NDArray[Any]:
    """Return the values of a column that is read in parts, each at its row."""
    import numpy as np

    found = [table_columns.column(one, name, kind, form).values for one in parts]
    values = np.concatenate(found)
    values[np.concatenate([one.kept for one in parts if one.kept])] = values.copy()
    return values


def check(
    columns: Sequence[NDArray[Any]], takes: Sequence[Takes], place: Callable[[int], str]
) -> dict[str, int]:
    """Return how many rows of each column hold an unseen text, if the model takes them all.

    Raises:
        DataError: for a value that it does not take, at the place of its row.
    """
    import numpy as np

    found = {}
    for values, one in zip(columns, takes, strict=True):
        if one.kind != "text":
            _check_numbers(values, one, place)
            continue
        if not one.nullable and (one.categories is None or "" not in one.categories):
            empty = np.flatnonzero(values == "")
            if len(empty):
                raise _wrong(MISSING, one, place(int(empty[0])))
        if one.categories is None:
            continue
        learned = set(one.categories)
        new = np.array([value not in learned and value != "" for value in values], dtype=bool)
        if new.any():
            if not one.unseen:
                row = int(np.flatnonzero(new)[0])
                known = ", ".join(show(value) for value in one.categories[:5])
                raise _wrong(
                    f"is {show(values[row])}, and the model knows {known}", one, place(row)
                )
            found[one.name] = int(new.sum())
    return found


def _check_numbers(values: NDArray[Any], one: Takes, place: Callable[[int], str]) -> None:
    import numpy as np

    if np.isinf(values).any():
        row = int(np.flatnonzero(np.isinf(values))[0])
        raise _wrong(f"is {values[row]}, expected a finite number", one, place(row))
    missing = np.isnan(values)
    if not one.nullable and missing.any():
        raise _wrong(MISSING, one, place(int(np.flatnonzero(missing)[0])))
    if one.kind == "boolean":
        wrong = ~missing & (values != 0) & (values != 1)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise _wrong(f"is {values[row]}, expected true or false", one, place(row))
    if wrong_number := outside(values, one):
        row, why = wrong_number
        raise _wrong(why, one, place(row))


def _wrong(what: str, one: Takes, place: str) -> DataError:
    return DataError(what, where=f"{place}, column {show(one.name)}")
