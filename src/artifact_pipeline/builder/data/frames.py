"""DataFrames from columns."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from artifact_pipeline.builder.config.messages import first_line, show
from artifact_pipeline.builder.config.resolved import ColumnFormat
from artifact_pipeline.builder.config.schema import Csv, Kind
from artifact_pipeline.builder.data import table_columns
from artifact_pipeline.builder.data.table_reader import Raw
from artifact_pipeline.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


def frame(columns: dict[str, NDArray[Any]]) -> pd.DataFrame:
    """Return the DataFrame that an estimator learns from: text stays Python's own."""
    import pandas as pd

    dtypes = {"O": object}
    return pd.DataFrame(
        {name: pd.Series(one, dtype=dtypes.get(one.dtype.kind)) for name, one in columns.items()}
    )


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
        if (written := _written(values, name, kind, formats.get(name))) is not None:
            found.append(written)
            continue
        try:
            if values.dtype.kind == "M":
                days = (
                    values.astype("datetime64[us]").astype(np.float64) / table_columns.MICROSECONDS
                )
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
    values: NDArray[Any], name: str, kind: Kind, form: ColumnFormat | None
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
            found[kept] = table_columns.column(raw, name, kind, form).values
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
