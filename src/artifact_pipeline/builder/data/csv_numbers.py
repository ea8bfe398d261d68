"""Large CSV files, whose plain numbers Arrow converts while it splits the cells.

That takes half the time of reading texts and converting them. A column is read as text again if
one of its cells may mean something else by the rules of `column_types`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from artifact_pipeline.builder.config.values import Csv
from artifact_pipeline.builder.data import plain_columns, table_csv
from artifact_pipeline.errors import DataError, Location

if TYPE_CHECKING:
    import pyarrow as pa

MIN_SIZE = 1 << 21
"""Bytes. Smaller tables are read as text."""
_HEAD = 1 << 18
"""Bytes that show which columns may be numbers."""
_SLICE = 1 << 18
"""Bytes that are searched at once; they stay in the cache of a processor."""
_LONGEST_PREFIX = 3
"""The bytes of a cell that show whether it needs the rules, as in -00."""


def read_csv(
    data: bytes, file: Location, *, dialect: Csv, numbers: Collection[str]
) -> tuple[pa.Table, tuple[str, ...]]:
    """Return what `table_csv.read_csv` does, with plain numbers as float64.

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
    numbers = set(numbers) if _is_plain(data, dialect) else set()
    while numbers:
        try:
            table, index = table_csv.read_csv(data, file, dialect=dialect, numbers=numbers)
        except DataError:  # of a cell that is not a number, or of the file, which is raised below
            break
        delimiter = table_csv.delimiter_of(file, dialect).encode()
        header = data[: 1 << 20].lstrip(b"\r\n").partition(b"\n")[0]
        if table.num_columns != header.count(delimiter) + 1:  # as in a file of R
            break
        prefixed = prefixed_columns(data, delimiter, columns=table.num_columns)
        doubtful = {
            name
            for position, (name, column) in enumerate(
                zip(table.column_names, table.columns, strict=True)
            )
            if name in numbers and (position in prefixed or not plain_columns.are_exact(column))
        }
        if not doubtful:
            return table, index
        numbers -= doubtful
    return table_csv.read_csv(data, file, dialect=dialect)


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
        before, first, second, third = part[:-3], part[1:-2], part[2:-1], part[3:]
        is_zero, is_delimiter = part == ord("0"), before == ord(delimiter)
        begins = is_delimiter | (before == ord("\n"))
        matches = is_zero[1:-2] | ((first == ord("-")) & is_zero[2:-1])
        for prefix in prefixes:
            matches |= first == ord(prefix)
        places = np.flatnonzero(begins & matches)
        after_zero = np.where(first[places] == ord("-"), third[places], second[places])
        is_number = (first[places] == ord("0")) | (first[places] == ord("-"))
        is_digit = (after_zero >= ord("0")) & (after_zero <= ord("9"))
        places = places[is_digit | ~is_number]
        if len(places):
            delimiters += data.count(delimiter, counted, begin)
            counted = begin
            cells = delimiters + np.searchsorted(np.flatnonzero(is_delimiter), places, side="right")
            # A row has one delimiter less than cells; a line end is before its first cell.
            position = (cells - 1) % max(columns - 1, 1) + 1
            found.update(np.unique(np.where(is_delimiter[places], position, 0)).tolist())
    return found
