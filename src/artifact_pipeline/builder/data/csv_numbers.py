"""Large CSV files, which are read, hashed and converted in blocks.

Arrow converts plain numbers while it splits the cells, which takes half the time of reading texts
and converting them. The memory of a block is used again for the next, so neither the file nor its
texts are held. A column is read as text if one of its cells may mean something else by the rules
of `column_types`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.builder.config.values import Csv
from artifact_pipeline.builder.data import plain_columns, table_csv
from artifact_pipeline.builder.data.text_cells import copy_floats, empty_floats, repeats
from artifact_pipeline.errors import DataError, Location

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

MIN_SIZE = 1 << 21
"""Bytes. Smaller tables are read as text."""
_BLOCK = 1 << 22
"""Bytes that are read and converted at once."""
_HEAD = 1 << 18
"""Bytes that show which columns may be numbers."""
_MARGIN = 1.2
"""Arrays are so much longer than the rows that were read suggest."""
_SLICE = 1 << 17
"""Bytes that are searched at once; they stay in the cache of a processor."""
_LONGEST_PREFIX = 3
"""The bytes of a cell that show whether it needs the rules, as in -00."""


class CsvTable(NamedTuple):
    """The columns of a CSV file."""

    table: pa.Table
    """Numbers with NaN for null, texts, and dictionaries of repeated texts."""
    index_columns: tuple[str, ...]
    """The columns that hold the index of a data frame."""
    digest: Digest
    """Of the bytes that were converted."""


def read_csv(
    stream: BinaryIO, file: Location, *, dialect: Csv, numbers: Collection[str]
) -> CsvTable | None:
    """Return a CSV file without quotes, with plain numbers as float64.

    A column is converted only if `plain_columns.numbers` would convert its texts to the same
    numbers, or all are missing, and none is beyond the integers that a float64 holds.

    Args:
        stream: The bytes of the file, which are read again for each column that turns out as text.
        file: Its name.
        dialect: Its dialect.
        numbers: Columns that may be numbers; others are text.

    Returns:
        The file; None if it has no such numbers, or is not simple enough to be read in blocks.
    """
    import pyarrow as pa

    if dialect.decimal != "." or not table_csv.is_utf8(dialect.encoding):
        return None
    numbers = set(numbers)
    while numbers:
        try:
            converted = _convert(stream, file, dialect=dialect, numbers=numbers)
        except (DataError, pa.ArrowException):
            return None
        if converted is None:
            return None
        if not converted.doubtful:
            return converted.csv
        numbers -= converted.doubtful
    return None


class _Converted(NamedTuple):
    """A CSV file, and its columns that are not converted as the rules would."""

    csv: CsvTable
    doubtful: set[str]


def _convert(
    stream: BinaryIO, file: Location, *, dialect: Csv, numbers: set[str]
) -> _Converted | None:
    """Return a CSV file with numbers in an array each, which is written once."""
    import pyarrow as pa

    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    header = stream.readline()
    if not _is_plain(header):
        return None
    text = table_csv.check_csv(header, file, dialect=dialect)
    if len({*text.names}) < len(text.names):
        return None
    digest = hashlib.sha256(header)
    values = {name: empty_floats(0) for name in text.names if name in numbers}
    texts: dict[str, list[pa.Array]] = {name: [] for name in text.names if name not in numbers}
    doubtful: set[str] = set()
    rows = capacity = 0
    for block in _blocks(stream):
        digest.update(memoryview(block)[1:])
        if not _is_plain(block):
            return None
        prefixed = prefixed_columns(block, text.delimiter.encode(), columns=len(text.names))
        doubtful |= numbers.intersection(text.names[position] for position in prefixed)
        for batch in table_csv.batches(block, text, numbers=numbers):
            begin, rows = rows, rows + len(batch)
            if rows > capacity:
                capacity = max(rows, int(_MARGIN * rows * size / stream.tell()))
                values = {
                    name: _extended(known[:begin], capacity) for name, known in values.items()
                }
            for name, cells in zip(text.names, batch.columns, strict=True):
                if name in texts:
                    texts[name].append(_encoded(cells, texts[name]))
                elif plain_columns.are_exact(cells):
                    copy_floats(cells, values[name][begin:rows])
                else:
                    doubtful.add(name)
    columns = {
        name: pa.chunked_array(texts[name], None if texts[name] else pa.string())
        if name in texts
        else pa.Array.from_buffers(
            pa.float64(), rows, [None, pa.py_buffer(values[name][:rows])], null_count=0
        )
        for name in text.names
    }
    table = CsvTable(pa.table(columns), text.index_columns, f"sha256:{digest.hexdigest()}")
    return _Converted(table, doubtful)


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a stream in blocks, each after the line end of the line before it."""
    # glibc returns freed memory to the system unless it was given back a larger block before.
    bytes(4 * _BLOCK)
    while block := stream.read(_BLOCK):
        yield b"".join((b"\n", block, stream.readline()))


def _extended(values: NDArray[Any], length: int) -> NDArray[Any]:
    """Return a longer array that begins with some values."""
    extended = empty_floats(length)
    extended[: len(values)] = values
    return extended


def _encoded(texts: pa.Array, before: list[pa.Array]) -> pa.Array:
    """Return a block of texts as a dictionary if those of the first block are repeated."""
    import pyarrow.types as t

    encode = t.is_dictionary(before[0].type) if before else repeats(texts)
    return texts.dictionary_encode() if encode else texts


def _is_plain(block: bytes) -> bool:
    """Return whether the column of a cell in UTF-8 follows from the delimiters before it."""
    if b'"' in block or b"\0" in block:
        return False
    if b"\r" in block and block.count(b"\r") != block.count(b"\r\n"):
        return False
    try:
        return block.isascii() or bool(block.decode())
    except UnicodeDecodeError:
        return False


def candidates(stream: BinaryIO, file: Location, *, dialect: Csv) -> set[str]:
    """Return the columns of a file whose first cells are plain numbers."""
    head = stream.read(_HEAD)
    head = head[: head.rfind(b"\n") + 1]
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
