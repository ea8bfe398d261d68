"""CSV files as columns of text, each cell as it is written."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from artifact_pipeline.builder.config.messages import first_line, show
from artifact_pipeline.builder.config.values import Csv
from artifact_pipeline.builder.data.encoded_text import decode, line_after, marked_encoding
from artifact_pipeline.errors import DataError, Location

if TYPE_CHECKING:
    import pyarrow as pa

_INDEX = re.compile(r"Unnamed: \d+(\.\d+)*")
"""The names that pandas gives to columns without one."""
BLOCK = 1 << 22
"""Bytes that Arrow reads at once where no cell spans lines."""
_START = 1 << 12
"""Bytes that show that a file is not empty."""
_LARGEST_BLOCK = (1 << 31) - 1
_SLICE = 1 << 26
"""Bytes that are searched for quotes at once."""


class CsvText(NamedTuple):
    """A CSV file whose encoding and quotes are checked, and its header."""

    content: bytes
    """The file in UTF-8, without a byte order mark."""
    file: Location
    dialect: Csv
    delimiter: str
    header: list[str]
    """The names as they are written."""
    names: list[str]
    """A name for each column."""
    index_columns: tuple[str, ...]
    """The columns that hold the index of a data frame."""


def check_csv(data: bytes, file: Location, *, dialect: Csv) -> CsvText:
    """Return the text and the header of a CSV file.

    Args:
        data: The bytes of the file.
        file: Its name; the default delimiter of a `.tsv` file is a tab.
        dialect: The delimiter, the encoding and the texts that mean a missing value.

    Raises:
        DataError: For text in another encoding, and unpaired quotes; with the line.
    """
    delimiter = delimiter_of(file, dialect)
    content = _utf8(data, file, encoding=dialect.encoding)
    if not content[:_START].strip() and not content.strip():
        raise DataError("is empty, expected a table", location=file)
    if not delimiter.isascii():
        raise DataError(
            f"cannot be split at {show(delimiter)}: expected an ASCII character as "
            "data.csv.delimiter",
            location=file,
        )
    if b'"' in content:
        _check_quotes(content, file, delimiter=delimiter.encode())
    header = _first_row(content, file, delimiter=delimiter)
    names, index = _named(header)
    return CsvText(
        content=content,
        file=file,
        dialect=dialect,
        delimiter=delimiter,
        header=header,
        names=names,
        index_columns=index,
    )


def read_csv(
    data: bytes, file: Location, *, dialect: Csv, numbers: Collection[str] = ()
) -> tuple[pa.Table, tuple[str, ...]]:
    """Return the columns of a CSV file, and the names of those that hold a data frame's index.

    Args:
        data: The bytes of the file.
        file: Its name.
        dialect: Its dialect.
        numbers: Columns to convert to float64 as Arrow does; others are text.

    Raises:
        DataError: As `check_csv`, for rows of different lengths and for bytes that are not CSV;
            with the line or the row.
    """
    text = check_csv(data, file, dialect=dialect)
    try:
        return _read(text, numbers).rename_columns(text.names), text.index_columns
    except _UnevenRows as error:
        if not error.first_row_has_one_more:
            raise
        with_row_names = _read_with_row_names(text, numbers)
        if with_row_names is None:
            raise
        return with_row_names, (with_row_names.column_names[0], *text.index_columns)


def batches(block: bytes, text: CsvText, *, numbers: Collection[str]) -> list[pa.RecordBatch]:
    """Return rows of a CSV file without quotes, each cell as `read_csv` reads it.

    Args:
        block: The rows.
        text: The header of the file.
        numbers: Columns to convert to float64 as Arrow does; others are text.

    Raises:
        pa.ArrowException: If one of them holds another text, and for rows of different lengths.
    """
    import pyarrow as pa
    import pyarrow.csv as arrow

    text = text._replace(header=text.names)
    table = arrow.read_csv(
        pa.BufferReader(block),
        read_options=arrow.ReadOptions(
            column_names=text.names,
            use_threads=False,
            block_size=min(len(block) + 1, _LARGEST_BLOCK),
        ),
        parse_options=arrow.ParseOptions(delimiter=text.delimiter),
        convert_options=_conversion(text, numbers),
    )
    return table.to_batches()  # type: ignore[no-any-return]


def delimiter_of(file: Location, dialect: Csv) -> str:
    """Return the delimiter of a CSV: by default a tab if its name ends in .tsv."""
    is_tsv = (file.file or "").lower().endswith(".tsv")
    return "\t" if is_tsv and dialect.delimiter == "," else dialect.delimiter


def is_utf8(encoding: str) -> bool:
    """Return whether an encoding is UTF-8, by any of its names."""
    return encoding.lower().replace("_", "-") in ("utf-8", "utf8", "utf-8-sig")


class UnpairedQuote(DataError):
    """A quote is not closed where its cell ends, so the rows after it are not known."""


class _UnevenRows(DataError):
    """A row has more or fewer cells than the header."""

    first_row_has_one_more = False


def _read(text: CsvText, numbers: Collection[str]) -> pa.Table:
    """Return the columns of a CSV: float64 if they are in `numbers`, and text."""
    import pyarrow as pa
    import pyarrow.csv as arrow

    uneven: list[Any] = []

    def stop_at(row: Any) -> str:
        uneven.append(row)
        return "error"

    content, file = text.content, text.file
    quoted = b'"' in content
    # Arrow drops a byte where a line end in a quoted cell meets the end of a block.
    blocks = [len(content) + 1]
    if not quoted and len(content) > 2 * BLOCK:
        blocks.insert(0, BLOCK)
    if quoted and len(content) >= _LARGEST_BLOCK:
        raise DataError(
            "has quotes and over 2 GiB", location=file, remedy="split it into several files"
        )
    for block in blocks:
        try:
            return arrow.read_csv(
                pa.BufferReader(content),
                # Arrow's own pool returns the memory of each block to the system.
                memory_pool=pa.system_memory_pool(),
                read_options=arrow.ReadOptions(
                    use_threads=False, block_size=min(block, _LARGEST_BLOCK)
                ),
                parse_options=arrow.ParseOptions(
                    delimiter=text.delimiter,
                    newlines_in_values=quoted,
                    invalid_row_handler=stop_at,
                ),
                convert_options=_conversion(text, numbers),
            )
        except pa.ArrowException as error:
            if uneven:
                raise _uneven(uneven[0], file) from error
            if "straddling" in str(error) and block != blocks[-1]:  # a cell larger than a block
                continue
            raise DataError(f"is not CSV: {first_line(error)[:160]}", location=file) from error
    raise AssertionError("the last block holds the entire file")


def _conversion(text: CsvText, numbers: Collection[str]) -> Any:
    import pyarrow as pa
    import pyarrow.csv as arrow

    return arrow.ConvertOptions(
        check_utf8=False,  # the content was checked
        column_types={
            written: pa.float64() if name in numbers else pa.string()
            for written, name in zip(text.header, text.names, strict=True)
        },
        null_values=["", *text.dialect.null_values],
        strings_can_be_null=True,
    )


def _uneven(row: Any, file: Location) -> _UnevenRows:
    """Return the error for one of Arrow's invalid rows, which counts the header as the first."""
    error = _UnevenRows(
        f"found {row.actual_columns} cells, expected {row.expected_columns}",
        location=file if row.number is None else file.at(row=row.number - 1),
    )
    one_more = row.actual_columns == row.expected_columns + 1
    error.first_row_has_one_more = one_more and row.number == 2
    return error


def _read_with_row_names(text: CsvText, numbers: Collection[str]) -> pa.Table | None:
    """Return a CSV whose rows begin with a name that the header lacks, as R writes it.

    None if not all rows do, or if they only end in a delimiter too many.
    """
    name = _unused(text.names)
    first_cell = f'"{name}"{text.delimiter}'.encode()
    with_name = text._replace(
        content=first_cell + text.content.lstrip(b"\r\n"),
        header=[name, *text.header],
        names=[name, *text.names],
    )
    try:
        table = _read(with_name, numbers)
    except _UnevenRows:
        return None
    last = table.column(table.num_columns - 1)
    return None if last.null_count == len(last) else table.rename_columns(with_name.names)


def _named(header: list[str]) -> tuple[list[str], tuple[str, ...]]:
    """Return the names of columns, and those of the first ones that hold an index.

    pandas and R write the index as a first column without a name. pandas reads that back as
    `Unnamed: 0`, and writes it under that name the next time.
    """
    names = list(header)
    for index in range(len(names) if any(name.strip() for name in names) else 0):
        if names[index].strip():
            break
        names[index] = _unused(names, index)
    count = 0
    while count < len(names) and _INDEX.fullmatch(names[count]):
        count += 1
    return names, tuple(names[:count]) if count < len(names) else ()


def _unused(names: list[str], index: int = 0) -> str:
    """Return the name that pandas gives to a column without one."""
    number, unnamed = 0, f"Unnamed: {index}"
    name = unnamed
    while name in names:
        number += 1
        name = f"{unnamed}.{number}"
    return name


def _utf8(data: bytes, file: Location, *, encoding: str) -> bytes:
    """Return the text of a CSV in UTF-8, without a byte order mark."""
    in_utf8 = is_utf8(encoding)
    if in_utf8 and (marked := marked_encoding(data)):
        raise DataError(
            f"is {marked}, by its byte order mark",
            location=file,
            remedy=f'set data.csv.encoding: "{marked}"',
        )
    if in_utf8:
        _check_no_nul(data, file)
        if data.isascii():
            return data
    text = decode(
        data,
        file,
        encoding=encoding,
        remedy="name the encoding it has as data.csv.encoding",
    )
    content = data if in_utf8 else text.encode()
    _check_no_nul(content, file)
    return content.removeprefix(codecs.BOM_UTF8)


def _check_no_nul(data: bytes, file: Location) -> None:
    if (at := data.find(b"\0")) >= 0:
        location = file.at(line=line_after(data[:at]))
        raise DataError("contains NUL bytes; is this a table?", location=location)


def _first_row(content: bytes, file: Location, *, delimiter: str) -> list[str]:
    text = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", newline="")
    try:
        return next(row for row in csv.reader(text, delimiter=delimiter) if row)
    except (csv.Error, StopIteration) as error:
        raise DataError(f"its header is not CSV: {first_line(error)}", location=file) from error


def _check_quotes(content: bytes, file: Location, *, delimiter: bytes) -> None:
    """Refuse a quote that opens a cell and is not closed: it would swallow the rows after it.

    Quotes inside a cell that does not begin with one are text, as in pandas and Arrow.
    """
    if are_paired(content, delimiter):
        return
    line_ends = re.compile(rb"[\r\n]")
    for cell in quoted_cells(content, delimiter):
        closed = cell[1] is not None
        if closed and not (cell[2] and line_ends.search(content, cell.start(), cell.start(1))):
            continue
        location = file.at(line=line_after(content[: cell.start()]))
        if not closed:
            raise UnpairedQuote("a quote is opened here and never closed", location=location)
        line = line_after(content[: cell.start(1)])
        raise UnpairedQuote(
            f"a quote is opened here and closed in line {line}, before more text of its cell; is "
            "one missing? A quote inside a quoted cell is written twice",
            location=location,
        )


def quoted_cells(content: bytes, delimiter: bytes) -> Iterator[re.Match[bytes]]:
    """Yield a match for each cell that begins with a quote.

    Group 1 of a match is the quote that closes the cell, group 2 the rest of the cell.
    """
    stops = re.escape(delimiter) + rb"\r\n"
    unquoted = re.compile(rb'(?:(?:[^"' + stops + rb"][^" + stops + rb"]*+)?[" + stops + rb"])*+")
    quoted = re.compile(rb'"(?:[^"]++|"")*+(?:(")([^' + stops + rb"]*+))?")
    at = 0
    while (skipped := unquoted.match(content, at)) and (
        cell := quoted.match(content, skipped.end())
    ):
        at = cell.end()
        yield cell


def are_paired(content: bytes, delimiter: bytes) -> bool:
    """Return whether quotes only surround cells or are doubled inside them, as in RFC 4180."""
    import numpy as np

    codes = np.frombuffer(content, dtype="uint8")
    outside = np.zeros(256, dtype=bool)
    outside[[*delimiter, *b"\r\n"]] = True
    count = 0
    for begin in range(0, len(codes), _SLICE):
        quotes = np.flatnonzero(codes[begin : begin + _SLICE] == ord('"')) + begin
        opening, closing = quotes[count % 2 :: 2], quotes[1 - count % 2 :: 2]
        count += len(quotes)
        before, after = codes[np.maximum(opening - 1, 0)], codes[(closing + 1) % len(codes)]
        # A quote next to a quote that is not a cell of its own is half of a doubled one.
        good_before = outside[before] | (opening == 0) | (before == ord('"'))
        good_after = outside[after] | (closing == len(codes) - 1) | (after == ord('"'))
        if not (good_before.all() and good_after.all()):
            return False
    return count % 2 == 0
