"""DataFrames from columns, and columns from DataFrames."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from artifact_pipeline.builder.config.messages import first_line, show
from artifact_pipeline.builder.config.resolved import ColumnFormat
from artifact_pipeline.builder.config.values import Csv, Kind
from artifact_pipeline.builder.data import table_columns
from artifact_pipeline.builder.data.table_reader import Part, Raw
from artifact_pipeline.errors import DataError, Location

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

_X = Location("X")


def frame(columns: dict[str, NDArray[Any]]) -> pd.DataFrame:
    """Return the DataFrame that an estimator learns from; its text is Python's `str`."""
    import pandas as pd

    dtypes = {"O": object}
    return pd.DataFrame(
        {
            name: pd.Series(values, dtype=dtypes.get(values.dtype.kind), copy=False)
            for name, values in columns.items()
        },
        copy=False,
    )


def are_records(X: Any) -> bool:
    """Return whether rows are records: a list of mappings from names to values."""
    return isinstance(X, (list, tuple)) and bool(X) and all(isinstance(row, Mapping) for row in X)


def columns_of_records(records: Sequence[Mapping[Any, Any]]) -> dict[Any, Any]:
    """Return the columns of records; a record without a value has None, as a line of JSON has."""
    import pandas as pd

    names = dict.fromkeys(name for record in records for name in record)
    return {
        name: pd.Series([record.get(name) for record in records], dtype=object) for name in names
    }


def columns_of(
    X: Any,
    wanted: Sequence[tuple[str, Kind]],
    *,
    formats: Mapping[str, ColumnFormat] = MappingProxyType({}),
) -> list[NDArray[Any]]:
    """Return columns of rows as a model takes them: each (n_rows,) float64, or objects for text.

    Args:
        X: A DataFrame, or lists by the names of columns.
        wanted: The names and types of the columns.
        formats: The formats of numbers and dates in text.

    Raises:
        DataError: If a column is missing or has values of another type.
    """
    names = X.columns if hasattr(X, "columns") else X if hasattr(X, "keys") else None
    if names is None:
        raise DataError(
            "expected a DataFrame, a list of dicts, or lists by the names of columns", location=_X
        )
    by_text = {str(name): name for name in names}  # pandas names columns by integers itself
    if len(by_text) < len(list(names)):
        twice = next(name for name in by_text if [*map(str, names)].count(name) > 1)
        raise DataError(f"two columns are called {show(twice)}", location=_X)
    columns = []
    for name, kind in wanted:
        if name not in by_text:
            raise DataError(f"the column {show(name)} is missing", location=_X)
        values = values_of(X[by_text[name]])
        columns.append(_column(values, name, kind=kind, column_format=formats.get(name)))
    if len({len(values) for values in columns}) > 1:
        raise DataError("its columns are of different lengths", location=_X)
    if not len(columns[0]):
        raise DataError("has no rows to predict", location=_X)
    return columns


def _column(
    values: NDArray[Any], name: str, *, kind: Kind, column_format: ColumnFormat | None
) -> NDArray[Any]:
    import numpy as np

    if kind == "text":
        texts = ["" if _is_null(value) else value for value in values.tolist()]
        if not all(isinstance(text, str) for text in texts):
            raise DataError(f"the column {show(name)} has no text", location=_X)
        return np.array(texts, dtype=object)
    parsed = _parse_objects(values, name, kind=kind, column_format=column_format)
    if parsed is not None:
        return parsed
    try:
        if values.dtype.kind == "M":
            moments = values.astype("datetime64[us]").astype(np.float64)
            return np.where(np.isnat(values), np.nan, moments / table_columns.MICROSECONDS)
        return values.astype(np.float64)
    except (TypeError, ValueError) as error:
        problem = f"the column {show(name)} has no numbers: {error}"
        raise DataError(problem, location=_X) from error


def _parse_objects(
    values: NDArray[Any], name: str, *, kind: Kind, column_format: ColumnFormat | None
) -> NDArray[Any] | None:
    """Read texts as in a table, and `datetime` objects; return None if there are neither."""
    import numpy as np
    import pyarrow as pa

    if values.ndim != 1 or values.dtype.kind not in "OUT":
        return None
    objects = values.tolist()
    rows_by_type: dict[type, list[int]] = {}
    for row, value in enumerate(objects):
        types = (known for known in (str, datetime.date) if isinstance(value, known))
        rows_by_type.setdefault(next(types, float), []).append(row)
    plain_rows = rows_by_type.pop(float, [])
    if not rows_by_type:
        return None
    parsed = np.full(len(objects), np.nan)
    try:
        plain = [np.nan if _is_null(objects[row]) else objects[row] for row in plain_rows]
        parsed[plain_rows] = np.array(plain, dtype=np.float64)
        for rows in rows_by_type.values():
            # NaT is a `datetime` object that Arrow cannot convert.
            some = [None if _is_null(objects[row]) else objects[row] for row in rows]
            raw = Raw(
                table=pa.table({name: pa.array(some)}),
                parts=[Part("X", len(objects))],
                format="parquet",
                csv=Csv(),
                row_numbers=tuple(rows),
            )
            column = table_columns.column_of_rows(raw, name, kind=kind, column_format=column_format)
            parsed[rows] = column.values
    except DataError:
        raise
    except (TypeError, ValueError, pa.ArrowException) as error:
        problem = f"the column {show(name)} has no numbers: {first_line(error)}"
        raise DataError(problem, location=_X) from error
    return parsed


def values_of(column: Any) -> NDArray[Any]:
    """Return a column as an array; pandas' nullable numbers as float64 with NaN."""
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
