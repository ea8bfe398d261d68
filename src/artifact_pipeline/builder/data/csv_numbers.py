"""Large CSV files, whose plain numbers Arrow converts while it splits the cells.

That takes half the time of reading texts and converting them. A column is read as text again if
one of its cells may mean something else by the rules of `column_types`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, NamedTuple

from artifact_pipeline.builder.config.values import Csv
from artifact_pipeline.builder.data import plain_columns, table_csv
from artifact_pipeline.builder.data.table_csv import CsvText
from artifact_pipeline.builder.data.text_cells import copy_floats
from artifact_pipeline.errors import DataError, Location

if TYPE_CHECKING:
    import pyarrow as pa

MIN_SIZE = 1 << 21
"""Bytes. Smaller tables are read as text."""
_HEAD = 1 << 18
"""Bytes that show which columns may be numbers."""
_SLICE = 1 << 17
"""Bytes that are searched at once; they stay in the cache of a processor."""
_LONGEST_PREFIX = 3
"""The bytes of a cell that show whether it needs the rules, as in -00."""


def read_csv(
    data: bytes, file: Location, *, dialect: Csv, numbers: Collection[str]
) -> tuple[pa.Table, tuple[str, ...]]:
    """Return what `table_csv.read_csv` does, with plain numbers as float64 and NaN for null.

    A column is converted only if `plain_columns.numbers` would convert its texts to the same
    numbers, or all are missing, and none is beyond the integers that a float64 holds.

    Args:
        data: The bytes of the file.
        file: Its name.
        dialect: Its dialect.
        numbers: Columns that may be numbers; others are text.

    Raises:
        DataError: As `table_csv.read_csv`.
    """
    if numbers and _is_plain(data, dialect):
        text = table_csv.check_csv(data, file, dialect=dialect)
        table = _convert(text, numbers)
        if table is not None:
            return table, text.index_columns
    return table_csv.read_csv(data, file, dialect=dialect)


def _convert(text: CsvText, numbers: Collection[str]) -> pa.Table | None:
    """Return a CSV without quotes; None if Arrow cannot split it or convert its numbers."""
    import pyarrow as pa

    if len({*text.names}) < len(text.names):
        return None
    prefixed = prefixed_columns(text.content, text.delimiter.encode(), columns=len(text.names))
    numbers = {
        name
        for position, name in enumerate(text.names)
        if name in numbers and position not in prefixed
    }
    try:
        while numbers:
            converted = _collect(text, numbers)
            if not converted.doubtful:
                return converted.table
            numbers -= converted.doubtful
    except pa.ArrowException:
        return None
    return None


class _Converted(NamedTuple):
    """A table, and its columns that are not converted as the rules would."""

    table: pa.Table
    doubtful: set[str]


def _collect(text: CsvText, numbers: set[str]) -> _Converted:
    """Return the columns of a CSV, with numbers in an array each, which is written once."""
    import numpy as np
    import pyarrow as pa

    lines = _count_lines(text.content)
    values = {name: np.empty(lines, dtype=np.float64) for name in numbers}
    texts: dict[str, list[pa.Array]] = {name: [] for name in text.names if name not in numbers}
    doubtful: set[str] = set()
    rows = 0
    for block in table_csv.blocks(text, numbers):
        begin, rows = rows, rows + len(block)
        for name, cells in zip(text.names, block.columns, strict=True):
            if name in texts:
                texts[name].append(cells)
            elif not plain_columns.are_exact(cells):
                doubtful.add(name)
            else:
                copy_floats(cells, values[name][begin:rows])
    columns = {
        name: pa.chunked_array(texts[name], pa.string())
        if name in texts
        else pa.Array.from_buffers(
            pa.float64(), rows, [None, pa.py_buffer(values[name][:rows])], null_count=0
        )
        for name in text.names
    }
    return _Converted(pa.table(columns), doubtful)


def _count_lines(content: bytes) -> int:
    import numpy as np

    codes = np.frombuffer(content, dtype="uint8")
    slices = (codes[begin : begin + _SLICE] for begin in range(0, len(codes), _SLICE))
    return sum(int(np.count_nonzero(part == ord("\n"))) for part in slices)


def _is_plain(data: bytes, dialect: Csv) -> bool:
    """Return whether the column of a cell follows from the delimiters before it."""
    if dialect.decimal != "." or not table_csv.is_utf8(dialect.encoding) or b'"' in data:
        return False
    return b"\r" not in data or data.count(b"\r") == data.count(b"\r\n")


def candidates(data: bytes, file: Location, *, dialect: Csv) -> set[str]:
    """Return the columns of a file whose first cells are plain numbers."""
    head = data[: data.rfind(b"\n", 0, _HEAD) + 1]
    try:
        table, _ = table_csv.read_csv(head, file, dialect=dialect)
    except DataError:
        return set()
    names = table.column_names
    if len(set(names)) < len(names):
        return set()
    return {name for name in names if plain_columns.numbers(table.column(name)) is not None}


def prefixed_columns(data: bytes, delimiter: bytes, *, columns: int) -> set[int]:
    """Return the positions of columns with a cell that begins with `+`, a space, `00` or `-00`.

    Any digit may follow the zero.

    Args:
        data: A CSV without quotes whose rows all have as many cells.
        delimiter: The byte between cells.
        columns: The number of columns.
    """
    import numpy as np

    codes = np.frombuffer(data, dtype="uint8")
    prefixes = [prefix for prefix in (b"+", b" ", b"\t") if prefix != delimiter and prefix in data]
    found: set[int] = set()
    delimiters = counted = 0
    for begin in range(0, len(codes), _SLICE):
        part = codes[begin : begin + _SLICE + _LONGEST_PREFIX]
        if len(part) < _SLICE + _LONGEST_PREFIX:
            part = np.append(part, np.zeros(_LONGEST_PREFIX, dtype="uint8"))
        before, first = part[:-3], part[1:-2]
        padded = part[:-1] == ord("0")
        padded &= part[1:] - ord("0") < 10  # unsigned, so that only digits are below
        # In place, without temporary arrays.
        matches = first == ord("-")
        matches &= padded[2:]
        matches |= padded[1:-1]
        for prefix in prefixes:
            matches |= first == ord(prefix)
        is_delimiter = before == ord(delimiter)
        begins = before == ord("\n")
        begins |= is_delimiter
        places = np.flatnonzero(begins & matches)
        if len(places):
            delimiters += data.count(delimiter, counted, begin)
            counted = begin
            cells = delimiters + np.searchsorted(np.flatnonzero(is_delimiter), places, side="right")
            # A row has one delimiter less than cells; a line end is before its first cell.
            position = (cells - 1) % max(columns - 1, 1) + 1
            found.update(np.unique(np.where(is_delimiter[places], position, 0)).tolist())
    return found
