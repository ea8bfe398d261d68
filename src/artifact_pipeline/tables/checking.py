"""Rows of a table to predict, checked against what a model takes before anything is predicted."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from msgspec import UNSET, UnsetType

from artifact_pipeline.errors import DataError
from artifact_pipeline.explain import first_line, show
from artifact_pipeline.settings import ColumnFormat, Csv, Kind
from artifact_pipeline.tables import kinds, reading
from artifact_pipeline.tables.limits import outside
from artifact_pipeline.tables.reading import Raw

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
    def format(self) -> ColumnFormat | UnsetType: ...
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
        ids = column(id_column, "text", UNSET).tolist()
    unseen = check(columns, takes, place)
    extra = [one for one in here if one not in names and one != id_column]
    return Given(columns, None if ids is None else id_column, ids, extra, unseen)


def _reader(
    data: bytes, name: str, form: str, how: Csv
) -> tuple[
    Callable[[int], str],
    Collection[str],
    Callable[[str, Kind, ColumnFormat | UnsetType], NDArray[Any]],
]:
    """Return the place of a row, the names of columns, and what reads one of them as a kind."""
    try:
        raw = reading.read([(name, data)], form, how)
    except reading.Mixed:
        # What a row means does not depend on the rows beside it: each is read by its own type.
        mixed = reading.by_type(data, name)
        return (
            lambda row: f"{name}, row {row + 1}",
            mixed,
            lambda one, kind, form: _joined(mixed[one], one, kind, form),
        )
    return (
        raw.place,
        raw.table.column_names,
        lambda one, kind, form: kinds.column(raw, one, kind, form).values,
    )


def _joined(
    parts: list[Raw], name: str, kind: Kind, form: ColumnFormat | UnsetType
) -> NDArray[Any]:
    """Return the values of a column that is read in parts, each at its row."""
    import numpy as np

    found = [kinds.column(one, name, kind, form).values for one in parts]
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


def columns_of(
    X: Any,
    wanted: Sequence[tuple[str, Kind]],
    formats: Mapping[str, ColumnFormat] = MappingProxyType({}),
) -> list[NDArray[Any]]:
    """Return the columns of a DataFrame, or of an object of lists by name, as a model takes them.

    Numbers and dates that are given as text are read as in a table, by the format of their column.

    Raises:
        DataError: for one that is missing or of another kind.
    """
    import numpy as np

    found = []
    names = X.columns if hasattr(X, "columns") else X if hasattr(X, "keys") else None
    if names is None:
        raise DataError("expected a DataFrame, or lists by the names of columns", where="X")
    here = {str(name): name for name in names}  # pandas' own names are integers
    if len(here) < len(list(names)):
        twice = next(name for name in here if [*map(str, names)].count(name) > 1)
        raise DataError(f"two columns are called {show(twice)}", where="X")
    for name, kind in wanted:
        if name not in here:
            raise DataError(f"the column {show(name)} is missing", where="X")
        values = values_of(X[here[name]])
        if kind == "text":
            if not all(isinstance(one, str) or _is_null(one) for one in values.tolist()):
                raise DataError(f"the column {show(name)} holds no text", where="X")
            texts = ["" if _is_null(one) else one for one in values.tolist()]
            found.append(np.array(texts, dtype=object))
            continue
        if (written := _written(values, name, kind, formats.get(name, UNSET))) is not None:
            found.append(written)
            continue
        try:
            if values.dtype.kind == "M":
                days = values.astype("datetime64[us]").astype(np.float64) / kinds.MICROSECONDS
                found.append(np.where(np.isnat(values), np.nan, days))
            else:
                found.append(values.astype(np.float64))
        except (TypeError, ValueError) as error:
            raise DataError(
                f"the column {show(name)} holds no numbers: {error}", where="X"
            ) from error
    if len({len(one) for one in found}) > 1:
        raise DataError("its columns are of different lengths", where="X")
    if not len(found[0]):
        raise DataError("holds no rows to predict", where="X")
    return found


def _written(
    values: NDArray[Any], name: str, kind: Kind, form: ColumnFormat | UnsetType
) -> NDArray[Any] | None:
    """Return values of which some are texts, or objects that are dates; None if none is."""
    import numpy as np
    import pyarrow as pa

    if values.ndim != 1 or values.dtype.kind not in "OUT":
        return None
    objects = values.tolist()
    rows: dict[type, list[int]] = {}
    for row, one in enumerate(objects):
        known = (one_type for one_type in (str, datetime.date) if isinstance(one, one_type))
        rows.setdefault(next(known, float), []).append(row)
    others = rows.pop(float, [])
    if not rows:
        return None
    found = np.full(len(objects), np.nan)
    try:
        plain = [np.nan if _is_null(objects[row]) else objects[row] for row in others]
        found[others] = np.array(plain, dtype=np.float64)
        for kept in rows.values():
            # A NaT is a date that is none, and no Python object of Arrow's.
            some = [None if _is_null(objects[row]) else objects[row] for row in kept]
            table, parts = pa.table({name: pa.array(some)}), [("X", len(objects))]
            raw = Raw(table, parts, "parquet", Csv(), kept=tuple(kept))
            found[kept] = kinds.column(raw, name, kind, form).values
    except (TypeError, ValueError, pa.ArrowException) as error:
        said = first_line(error)
        raise DataError(f"the column {show(name)} holds no numbers: {said}", where="X") from error
    return found


def values_of(column: Any) -> NDArray[Any]:
    """Return a column as an array, pandas' nullable numbers as float64 with NaN."""
    import numpy as np

    dtype: Any = getattr(column, "dtype", None)
    if hasattr(dtype, "na_value") and dtype.kind in "biuf":
        values: NDArray[Any] = column.to_numpy(dtype=np.float64, na_value=np.nan)
        return values
    return np.asarray(column)


def _is_null(value: Any) -> bool:
    try:
        return value is None or bool(value != value)
    except TypeError:  # pandas.NA is neither equal to itself nor unequal
        return True
    except ValueError:  # an array
        return False


def _wrong(what: str, one: Takes, place: str) -> DataError:
    return DataError(what, where=f"{place}, column {show(one.name)}")
