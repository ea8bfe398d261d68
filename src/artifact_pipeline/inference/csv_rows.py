"""CSV files of a table, as pieces of complete rows."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from msgspec import structs

from artifact_pipeline.builder.config.values import Csv
from artifact_pipeline.builder.data import table_csv, table_reader
from artifact_pipeline.builder.data.encoded_text import line_after, marked_encoding
from artifact_pipeline.builder.data.table_csv import UnpairedQuote
from artifact_pipeline.builder.data.table_reader import Part, Raw
from artifact_pipeline.builder.data.wrong_rows import WrongRows
from artifact_pipeline.errors import DataError, Location
from artifact_pipeline.inference import tables, text_records
from artifact_pipeline.inference.row_layout import (
    CheckedRows,
    Layout,
    RowFile,
    check_columns,
    checked_rows,
    single_chunk,
)
from artifact_pipeline.inference.text_records import TextPiece
from artifact_pipeline.inference.text_rows import FIRST_BYTES, TextRows, Transcoded, first_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class _CsvHeader(NamedTuple):
    """The header of a CSV.

    Attributes:
        text: Its bytes, with a line end.
        columns: The names of the columns.
        rest: Bytes after it that were read too.
    """

    text: bytes
    columns: list[str]
    rest: bytes


def open_csv(content: IO[bytes], name: str, *, layout: Layout, start: bytes) -> RowFile:
    """Open a CSV of a table."""
    import pyarrow as pa

    file = Location(name)
    dialect = layout.csv
    stream: Any = content
    start = first_bytes(stream, start)
    encoding = marked_encoding(start) or dialect.encoding
    if not table_csv.is_utf8(encoding):
        stream, start = Transcoded(stream, encoding, start=start, file=file), b""
        dialect = structs.replace(dialect, encoding="utf-8")
    with tables.encoding_errors(dialect):
        header = _read_header(first_bytes(stream, start), file, dialect=dialect)
    check_columns(header.columns, name, layout=layout)
    delimiter = table_csv.delimiter_of(file, dialect)

    def read(piece: TextPiece, blank_lines: int) -> CheckedRows:
        text = piece.behind(blank_lines)
        table = _plain_numbers(text, file, dialect=dialect, names=numbers)
        if table is None:
            try:
                table = tables.TableFile.read(text, name, file_format="csv", csv=dialect)
            except DataError as error:
                uneven = _uneven_rows(text, delimiter)
                if isinstance(error, UnpairedQuote) or not len(uneven):
                    raise
                raise WrongRows(
                    error.problem, location=error.location, remedy=error.remedy, rows=uneven
                ) from error
        if table.names != header.columns:
            problem = f"found {len(table.names)} cells, expected {len(header.columns)}"
            raise DataError(problem, location=file.at(row=1))
        kept = []
        if layout.keep:
            as_written = structs.replace(dialect, null_values=[])
            texts, _ = table_csv.read_csv(text, file, dialect=as_written)
            kept = [single_chunk(texts.column(column)) for column in layout.keep]
        return checked_rows(table, name, layout=layout, kept=kept)

    numbers = [
        column.name
        for column in layout.columns
        if column.kind == "number" and column.format is None and dialect.decimal == "."
    ]
    lines = line_after(header.text) - 1
    pieces = text_records.cut(
        stream,
        rows=layout.rows,
        delimiter=delimiter.encode(),
        name=name,
        start=header.rest,
        line=lines,
        header=header.text,
    )
    return RowFile(
        name=name,
        columns=header.columns,
        has_id=layout.id in header.columns,
        kept=[pa.string()] * len(layout.keep),
        pieces=(TextRows(piece, read, lines) for piece in pieces),
    )


def _uneven_rows(text: bytes, delimiter: str) -> NDArray[np.int64]:
    """Return the rows of a CSV that have more or fewer cells than its header, counted from 0."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.csv as arrow

    uneven: list[int] = []

    def skip(row: arrow.InvalidRow) -> str:
        uneven.append(row.number - 2)  # the header is the first
        return "skip"

    with suppress(pa.ArrowException):
        arrow.read_csv(
            pa.BufferReader(text),
            read_options=arrow.ReadOptions(use_threads=False, block_size=len(text) + 1),
            parse_options=arrow.ParseOptions(
                delimiter=delimiter, newlines_in_values=b'"' in text, invalid_row_handler=skip
            ),
            convert_options=arrow.ConvertOptions(
                check_utf8=False, include_columns=["\0"], include_missing_columns=True
            ),
        )
    return np.array(uneven, dtype=np.int64)


def _plain_numbers(
    text: bytes, file: Location, *, dialect: Csv, names: Sequence[str]
) -> tables.TableFile | None:
    """Return rows of a CSV whose numbers Arrow converts while it splits them.

    None if one of these columns has other values than finite numbers below 2^53, or a notation that
    only `table_columns` reads.
    """
    import numpy as np

    try:
        table, _ = table_csv.read_csv(text, file, dialect=dialect, numbers=names)
    except DataError:
        return None
    numbers = {}
    for name in names:
        column = table.column(name)
        values = tables.exact_numbers(column)
        # Arrow reads "nan" as a number; the rules of `table_columns` do not.
        if values is None or np.count_nonzero(np.isnan(values)) != column.null_count:
            return None
        numbers[name] = values
    parts = [Part(str(file), len(table))]
    raw = Raw(table=table, parts=parts, format="csv", csv=dialect)
    return tables.TableFile.of(raw, numbers=numbers)


def _read_header(start: bytes, file: Location, *, dialect: Csv) -> _CsvHeader:
    """Return the header in the first bytes of a CSV in UTF-8."""
    start = start.removeprefix(codecs.BOM_UTF8)
    delimiter = table_csv.delimiter_of(file, dialect).encode()
    ends = text_records.record_ends(start, delimiter, at_end=len(start) < FIRST_BYTES).tolist()
    header = start[: ends[0]] if ends else start
    text = header if header.endswith((b"\n", b"\r")) or not header else header + b"\n"
    # A file written by R has one column more than its header, which only its rows show.
    for end in (*ends[1:2], *ends[-1:]):
        with suppress(DataError):
            table, _ = table_csv.read_csv(start[:end], file, dialect=dialect)
            break
    else:
        table, _ = table_csv.read_csv(text, file, dialect=dialect)
    table_reader.check_names(table.column_names, file)
    return _CsvHeader(text, table.column_names, start[len(header) :])
