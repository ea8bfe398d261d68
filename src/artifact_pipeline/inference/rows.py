"""Rows that somebody wants predicted: CSV, JSON or .npy bytes in, a float64 matrix out.

>>> parse(b"1,2\\n3,4\\n", ["a", "b"], "rows.csv")
array([[1., 2.],
       [3., 4.]])
>>> parse(b'[{"b": 2, "a": 1}]', ["a", "b"], "rows.json")
array([[1., 2.]])
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, UnsetType

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.config.messages import show
from artifact_pipeline.builder.data.number_limits import NumberLimits, outside
from artifact_pipeline.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORMATS = (".csv", ".json", ".npy")


def parse(data: bytes, features: list[str], where: str) -> NDArray[np.float64]:
    """Return the rows in `data` as (n_rows, n_features) float64.

    The name in `where` decides the format (.csv, .json, .npy); without a known one the bytes do.
    A CSV may open with a line of the feature names; records of a JSON name them, in any order.

    Raises:
        DataError: for a row of the wrong length, a cell that is missing, not a number or not
            finite, no rows, or bytes that are not of the format; named by line or row.
    """
    import numpy as np

    form = PurePath(where).suffix.lower()
    if form not in FORMATS:
        form = _guess(data)
    if not data.strip():
        raise DataError("is empty, expected rows to predict", where=where)
    if form == ".npy":
        return _npy(data, features, where)
    found = _json(data, features, where) if form == ".json" else _csv(data, features, where)
    if not found:
        raise DataError("holds no rows to predict", where=where)
    return np.array(found, dtype=np.float64)


def _guess(data: bytes) -> str:
    if data.startswith(b"\x93NUMPY"):
        return ".npy"
    return ".json" if data.lstrip()[:1] in (b"[", b"{") else ".csv"


def _csv(data: bytes, features: list[str], where: str) -> list[list[float]]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError("is not UTF-8", where=f"{where}, line {line}") from error
    import csv

    rows: list[list[float]] = []
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    begun = 1
    try:
        for cells in reader:
            place = f"{where}, line {begun}"
            begun = reader.line_num + 1
            if not cells:
                continue
            if not rows and [cell.strip() for cell in cells] == features:
                continue
            if not rows and reader.line_num == 1 and not any(_is_number(cell) for cell in cells):
                raise DataError(
                    f"the header names other columns; expected {', '.join(features[:8])}"
                    + (", …" if len(features) > 8 else ""),
                    where=place,
                )
            _check_length(len(cells), features, place)
            named = zip(cells, features, strict=True)
            rows.append([_number(cell, name, place) for cell, name in named])
    except csv.Error as error:
        place = f"{where}, line {begun}"
        said = str(error)
        if '"' in text and said.startswith(("unexpected end", "field larger")):
            said = "a quote is opened here and never closed"
        raise DataError(f"is not CSV: {said}", where=place) from error
    return rows


def _json(data: bytes, features: list[str], where: str) -> list[list[float]]:
    try:
        value = canonical.decode(data)
    except canonical.NotCanonical as error:
        raise DataError(f"is not JSON: {error}", where=where) from error
    return of_json(value, features, where)


def of_json(value: Any, features: list[str], where: str) -> list[list[float]]:
    """Return the rows in decoded JSON, which are lists, or records in any order.

    Raises:
        DataError: for a row of the wrong length, a column that is missing or unknown, and a value
            that is no number; named by row.
    """
    if not isinstance(value, list) or not all(isinstance(row, (list, dict)) for row in value):
        raise DataError("expected a list of rows: [[1, 2, …], …] or [{…}, …]", where=where)
    rows = []
    for number, row in enumerate(value, 1):
        place = f"{where}, row {number}"
        if isinstance(row, dict):
            missing = [name for name in features if name not in row]
            if missing:
                raise DataError(f"the column {missing[0]!r} is missing", where=place)
            extra = [name for name in row if name not in features]
            if extra:
                raise DataError(f"the column {show(extra[0])} is unknown", where=place)
            row = [row[name] for name in features]
        assert isinstance(row, list)
        _check_length(len(row), features, place)
        rows.append([_json_number(v, name, place) for v, name in zip(row, features, strict=True)])
    return rows


def _npy(data: bytes, features: list[str], where: str) -> NDArray[np.float64]:
    import numpy as np

    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0}.get(
            version, np.lib.format.read_array_header_2_0
        )
        shape, fortran, dtype = read(stream)
    except Exception as error:  # of a tokenizer, a parser, a dtype: they share no other parent
        raise DataError(f"is not an .npy file: {show(str(error))}", where=where) from error
    if dtype.kind not in "iufb":
        raise DataError(f"holds {dtype}, expected numbers", where=where)
    if len(shape) != 2:
        raise DataError(f"has the shape {shape}, expected (rows, {len(features)})", where=where)
    _check_length(shape[1], features, f"{where}, row 1")
    # Compared before anything is allocated: a header may claim any size.
    if math.prod(shape) * dtype.itemsize != len(data) - stream.tell():
        raise DataError("is cut or padded: its size is not what its header says", where=where)
    array = np.frombuffer(data, dtype=dtype, offset=stream.tell())
    matrix = array.reshape(shape, order="F" if fortran else "C").astype(np.float64)
    return check(matrix, features, where)


def check(
    matrix: NDArray[np.float64],
    features: list[str],
    where: str,
    limits: Sequence[NumberLimits] | UnsetType = UNSET,
) -> NDArray[np.float64]:
    """Return `matrix` if it is (n_rows, n_features) with a row or more, all of it finite.

    `limits` are those of the features, where the model does not take every finite number.

    Raises:
        DataError: otherwise; a value that is not finite, or not taken, is named by its row.
    """
    import numpy as np

    if matrix.ndim != 2:
        raise DataError(
            f"has the shape {matrix.shape}, expected (rows, {len(features)})", where=where
        )
    if not len(matrix):
        raise DataError("holds no rows to predict", where=where)
    _check_length(matrix.shape[1], features, f"{where}, row 1")
    finite = np.isfinite(matrix)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise DataError(
            f"{features[column]} is {matrix[row, column]}, expected a finite number",
            where=f"{where}, row {row + 1}",
        )
    if not limits or _within_all(matrix, limits):
        return matrix
    for column, name, limit in zip(matrix.T, features, limits, strict=True):
        if wrong := outside(column, limit):
            row, why = wrong
            raise DataError(f"{name} {why}", where=f"{where}, row {row + 1}")
    return matrix


def _within_all(matrix: NDArray[np.float64], limits: Sequence[NumberLimits]) -> bool:
    """Return whether all values lie in the narrowest of all ranges: most do, and it is fast."""
    low, high = -math.inf, math.inf
    for one in limits:
        if not isinstance(one.numbers, UnsetType):
            return False
        if not isinstance(one.range, UnsetType):
            low, high = max(low, one.range[0]), min(high, one.range[1])
    return bool(matrix.min() >= low and matrix.max() <= high)


def _check_length(found: int, features: list[str], place: str) -> None:
    if found != len(features):
        raise DataError(f"found {found} values, expected {len(features)}", where=place)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell  # Python reads 1_000; no other reader of the file would


def _number(cell: str, name: str, place: str) -> float:
    if not cell.strip():
        raise DataError(f"{name} is missing, expected a number", where=place)
    if not _is_number(cell) or not math.isfinite(float(cell)):
        raise DataError(f"{name} is {show(cell)}, expected a finite number", where=place)
    return float(cell)


def _json_number(value: Any, name: str, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise DataError(f"{name} is {show(value)}, expected a number", where=place)
    try:
        return float(value)
    except OverflowError as error:
        raise DataError(f"{name} is too large for a float64", where=place) from error
