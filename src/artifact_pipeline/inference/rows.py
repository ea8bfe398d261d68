"""Rows of a matrix to predict: CSV, JSON or .npy bytes as a float64 matrix.

>>> parse(b"1,2\\n3,4\\n", ["a", "b"], name="rows.csv")
array([[1., 2.],
       [3., 4.]])
>>> parse(b'[{"b": 2, "a": 1}]', ["a", "b"], name="rows.json")
array([[1., 2.]])
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.config.messages import show
from artifact_pipeline.builder.data.encoded_text import marked_encoding
from artifact_pipeline.builder.data.number_limits import NumberLimits, outside
from artifact_pipeline.builder.data.table_csv import UnpairedQuote
from artifact_pipeline.builder.data.wrong_rows import WrongRows
from artifact_pipeline.errors import DataError, Location

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORMATS = (".csv", ".tsv", ".json", ".npy")
NPY_MAGIC = b"\x93NUMPY"
EMPTY = "is empty, expected rows to predict"
_TABLES = (".parquet", ".jsonl", ".ndjson")


def parse(data: bytes, features: list[str], *, name: str) -> NDArray[np.float64]:
    """Return rows as a matrix of (n_rows, n_features).

    Args:
        data: The bytes of a file. A CSV may begin with the names of the features; JSON is a list
            of lists, or of records with the features in any order.
        features: The names of the features.
        name: The name of the file. Its extension is the format (.csv, .tsv, .json, .npy), after
            that of a .gz or .zip file; without one, the format is guessed from the bytes.

    Raises:
        DataError: For a row of the wrong length, a value that is missing, not a number or not
            finite, no rows, and bytes of another format; with the line or row.
    """
    import numpy as np

    if PurePath(name).suffix.lower() in (".gz", ".zip"):
        from artifact_pipeline.builder.data import table_packaging

        name, data = table_packaging.unpack_archive(data, name)
    file = Location(name)
    extension = PurePath(name).suffix.lower()
    if extension in _TABLES:
        raise DataError(
            f"expected a name that ends in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}, since this "
            "model takes a matrix",
            location=file,
            remedy="write the rows as CSV",
        )
    if extension not in FORMATS:
        extension = _guess(data)
    if not data.strip():
        raise DataError(EMPTY, location=file)
    if extension == ".npy":
        return check(decode_npy(data, features, file=file), features, location=file)
    if extension == ".json":
        rows = rows_of_json(decode_json(data, file), features, location=file)
    else:
        delimiter = "\t" if extension == ".tsv" else ","
        rows = _parse_csv(data, features, file=file, delimiter=delimiter)
    if not rows:
        raise DataError("has no rows to predict", location=file)
    return np.array(rows, dtype=np.float64)


def _guess(data: bytes) -> str:
    if data.startswith(NPY_MAGIC):
        return ".npy"
    return ".json" if data.lstrip()[:1] in (b"[", b"{") else ".csv"


def _parse_csv(
    data: bytes, features: list[str], *, file: Location, delimiter: str
) -> list[list[float]]:
    try:
        text = data.decode(marked_encoding(data) or "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError("is not UTF-8", location=file.at(line=line)) from error
    import csv

    rows: list[list[float]] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    first_line = 1
    try:
        for cells in reader:
            location = file.at(line=first_line)
            first_line = reader.line_num + 1
            if not cells:
                continue
            if not rows and [cell.strip() for cell in cells] == features:
                continue
            if len(cells) == 1 < len(features) and (other := {";", "\t"} & {*cells[0]}):
                raise DataError(
                    f"cells are separated by {show(min(other))}, expected {show(delimiter)}",
                    location=location,
                )
            if not rows and reader.line_num == 1 and not any(_is_number(cell) for cell in cells):
                raise DataError(
                    "the header names other columns",
                    location=location,
                    remedy=f"expected {', '.join(features[:8])}"
                    + (", …" if len(features) > 8 else ""),
                )
            _check_length(len(cells), features, location=location)
            named = zip(cells, features, strict=True)
            rows.append([_parse_cell(cell, name, location=location) for cell, name in named])
    except csv.Error as error:
        location, problem = file.at(line=first_line), str(error)
        if '"' in text and problem.startswith(("unexpected end", "field larger")):
            problem = "is not CSV: a quote is opened here and never closed"
            raise UnpairedQuote(problem, location=location) from error
        raise DataError(f"is not CSV: {problem}", location=location) from error
    return rows


def decode_json(data: bytes, file: Location) -> list[Any]:
    """Return the rows in JSON, as lists or objects that are not checked yet.

    Raises:
        DataError: If the bytes are not a list of these.
    """
    try:
        value = canonical.decode(data)
    except canonical.NotCanonical as error:
        raise DataError(f"is not JSON: {error}", location=file) from error
    return _list_of_rows(value, file)


def _list_of_rows(value: Any, location: Location) -> list[Any]:
    if not isinstance(value, list) or not all(isinstance(row, (list, dict)) for row in value):
        problem = "expected a list of rows: [[1, 2, …], …] or [{…}, …]"
        raise DataError(problem, location=location)
    return value


def rows_of_json(value: Any, features: list[str], *, location: Location) -> list[list[float]]:
    """Return the rows in decoded JSON.

    Args:
        value: A list of lists, or of records with the features in any order.
        features: The names of the features.
        location: The location of the rows in errors.

    Raises:
        DataError: For a row of the wrong length, a column that is missing or unknown, and a value
            that is not a number; with the row.
    """
    rows = []
    for number, row in enumerate(_list_of_rows(value, location), 1):
        at_row = location.at(row=number)
        if isinstance(row, dict):
            missing = [name for name in features if name not in row]
            if missing:
                raise DataError(f"the column {missing[0]!r} is missing", location=at_row)
            extra = [name for name in row if name not in features]
            if extra:
                raise DataError(f"the column {show(extra[0])} is unknown", location=at_row)
            row = [row[name] for name in features]
        assert isinstance(row, list)
        _check_length(len(row), features, location=at_row)
        named = zip(row, features, strict=True)
        rows.append([_json_number(value, name, location=at_row) for value, name in named])
    return rows


def decode_npy(data: bytes, features: list[str], *, file: Location) -> NDArray[np.float64]:
    """Return the matrix in an .npy file, whose values are not checked yet.

    Raises:
        DataError: For other bytes, another shape, and values that are not numbers.
    """
    import numpy as np

    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0}.get(
            version, np.lib.format.read_array_header_2_0
        )
        shape, fortran, dtype = read_header(stream)
    except (
        Exception
    ) as error:  # of the tokenizer, the parser or the dtype; they have no other parent
        raise DataError(f"is not an .npy file: {show(str(error))}", location=file) from error
    if dtype.kind not in "iufb":
        raise DataError(f"has the dtype {dtype}, expected numbers", location=file)
    if len(shape) != 2:
        raise DataError(f"has the shape {shape}, expected (rows, {len(features)})", location=file)
    _check_length(shape[1], features, location=file.at(row=1))
    # Compared before anything is allocated: a header may claim any size.
    if math.prod(shape) * dtype.itemsize != len(data) - stream.tell():
        problem = "is truncated or padded: its size differs from its header"
        raise DataError(problem, location=file)
    array = np.frombuffer(data, dtype=dtype, offset=stream.tell())
    return array.reshape(shape, order="F" if fortran else "C").astype(np.float64)


def check(
    matrix: NDArray[np.float64],
    features: list[str],
    *,
    location: Location,
    limits: Sequence[NumberLimits] | None = None,
) -> NDArray[np.float64]:
    """Return a matrix if a model takes all of its rows.

    Args:
        matrix: (n_rows, n_features) numbers.
        features: The names of the features.
        location: The location of the rows in errors.
        limits: The limits of each feature, if the model does not take every finite number.

    Raises:
        DataError: For another shape, no rows, and a value that is not finite or outside the
            limits; with the row.
    """
    import numpy as np

    if matrix.ndim != 2:
        problem = f"has the shape {matrix.shape}, expected (rows, {len(features)})"
        raise DataError(problem, location=location)
    if not len(matrix):
        raise DataError("has no rows to predict", location=location)
    _check_length(matrix.shape[1], features, location=location.at(row=1))
    finite = np.isfinite(matrix)
    if not finite.all():
        row, column = np.argwhere(~finite)[0].tolist()
        raise WrongRows(
            f"{features[column]} is {matrix[row, column]}, expected a finite number",
            location=location.at(row=row + 1),
            rows=np.flatnonzero(~finite.all(axis=1)),
        )
    if not limits or _within_all(matrix, limits):
        return matrix
    for values, name, limit in zip(matrix.T, features, limits, strict=True):
        if wrong := outside(values, limit):
            row, reason = wrong
            raise DataError(f"{name} {reason}", location=location.at(row=row + 1))
    return matrix


def _within_all(matrix: NDArray[np.float64], limits: Sequence[NumberLimits]) -> bool:
    """Return whether all values are within the narrowest range; most rows pass this fast check."""
    low, high = -math.inf, math.inf
    for limit in limits:
        if limit.numbers is not None:
            return False
        if limit.range is not None:
            low, high = max(low, limit.range[0]), min(high, limit.range[1])
    return bool(matrix.min() >= low and matrix.max() <= high)


def _check_length(length: int, features: list[str], *, location: Location) -> None:
    if length != len(features):
        problem = f"found {length} values, expected {len(features)}"
        raise DataError(problem, location=location)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell  # Python reads 1_000; no other reader of the file would


def _parse_cell(cell: str, name: str, *, location: Location) -> float:
    if not cell.strip():
        raise DataError(f"{name} is missing, expected a number", location=location)
    if not _is_number(cell) or not math.isfinite(float(cell)):
        problem = f"{name} is {show(cell)}, expected a finite number"
        raise DataError(problem, location=location)
    return float(cell)


def _json_number(value: Any, name: str, *, location: Location) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise DataError(f"{name} is {show(value)}, expected a number", location=location)
    try:
        return float(value)
    except OverflowError as error:
        raise DataError(f"{name} is too large for a float64", location=location) from error
