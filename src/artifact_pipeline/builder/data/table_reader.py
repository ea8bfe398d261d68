"""The files of a table as Arrow columns.

Parquet and JSON lines have types. CSV is text, and plain numbers are converted if that is asked.
"""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.builder.config.messages import show
from artifact_pipeline.builder.config.values import Csv
from artifact_pipeline.builder.data import (
    csv_numbers,
    table_csv,
    table_files,
    table_json,
    table_packaging,
    table_parquet,
)
from artifact_pipeline.builder.data.remote_files import RemotePath
from artifact_pipeline.builder.data.table_files import FORMATS, Format, TablePath
from artifact_pipeline.builder.data.table_parquet import ParquetTable
from artifact_pipeline.builder.progress import PhaseProgress, ReportProgress, ignore
from artifact_pipeline.errors import DataError, Location

if TYPE_CHECKING:
    import pyarrow as pa


class Part(NamedTuple):
    """A file of a table."""

    name: str
    rows: int
    """How many rows it has."""
    digest: Digest = ""
    """Of its bytes; empty if the reader was given them rather than a path."""


class Raw(NamedTuple):
    """The columns of all files of a table, one file after the other."""

    table: pa.Table | ParquetTable
    parts: list[Part]
    format: Format
    csv: Csv
    """The dialect of a CSV; the default for the other formats."""
    index_columns: tuple[str, ...] = ()
    """Columns that hold the index of a data frame rather than values of the rows."""
    sources: tuple[bytes, ...] = ()
    """The bytes of each file of JSON lines."""
    row_numbers: tuple[int, ...] | None = None
    """Where each row of the table is among those of the files, counted from 0; None for all."""

    def location(self) -> Location:
        """Return the location of the table: its first file, and how many more there are."""
        first = self.parts[0].name
        return Location(
            first if len(self.parts) == 1 else f"{first} and {len(self.parts) - 1} more"
        )

    def locate(self, row: int) -> Location:
        """Return the file of a row, counted from 0, and the row in it, counted from 1.

        Raises:
            IndexError: If the table has fewer rows.
        """
        if self.row_numbers is not None:
            row = self.row_numbers[row]
        for part in self.parts:
            if row < part.rows:
                return Location(part.name, row=row + 1)
            row -= part.rows
        raise IndexError(row)

    def cell(self, row: int, column: str) -> Location:
        """Return the location of a cell; the row is counted from 0."""
        return self.locate(row).at(column=column)

    def column(self, name: str) -> pa.ChunkedArray:
        """Return a column; unlike in `table`, its texts are not encoded as a dictionary."""
        import pyarrow.types as t

        column = self.table.column(name)
        return column.cast(column.type.value_type) if t.is_dictionary(column.type) else column

    def literals(self, column: str) -> list[Any]:
        """Return the values in a column of JSON lines, as `table_json.literals` does."""
        file = Location(self.parts[0].name)
        values = [
            value
            for source in self.sources
            for value in table_json.literals(source, column, file=file)
        ]
        return values if self.row_numbers is None else [values[row] for row in self.row_numbers]

    def without_cells(self) -> Raw:
        """Return a table that locates the rows of this one, and holds none of them."""
        return self._replace(table=self.table.schema.empty_table(), sources=())

    def take(self, rows: list[int]) -> Raw:
        """Return some of the rows, counted from 0."""
        return self._replace(table=self.table.take(rows), row_numbers=tuple(rows))


class _CsvContent(NamedTuple):
    """The bytes of a CSV file, or its path if it can be read in blocks."""

    name: str
    data: bytes | Path
    digest: Digest = ""


class _File(NamedTuple):
    """The columns of one file, and the names of those that hold the index of a data frame."""

    part: Part
    table: pa.Table | ParquetTable
    index_columns: tuple[str, ...]
    source: bytes = b""
    """The bytes of JSON lines."""


def read(
    files: Sequence[tuple[str, bytes | TablePath]],
    file_format: Format,
    *,
    csv: Csv = Csv(),  # noqa: B008  (frozen)
    text_columns: Collection[str] | None = None,
    report: ReportProgress = ignore,
) -> Raw:
    """Return the columns in the files of a table.

    Args:
        files: The name of each file, and its bytes or its path.
        file_format: The format of all of them.
        csv: The dialect of CSV files.
        text_columns: The columns of CSV files that stay text, where plain numbers of others may be
            float64; by default all.
        report: Called as files are parsed.

    Raises:
        DataError: For files of another format or encoding, columns without a name, with the same
            name, or not in every file, and a table without rows; with the file, row or line.
        NetworkError: If a file in an object store cannot be read.
    """
    csv = csv if file_format == "csv" else Csv()
    sizes = [
        table_files.size(source) if isinstance(source, Path | RemotePath) else len(source)
        for _, source in files
    ]
    numbers: set[str] = set()
    read_files: list[_File] = []
    for position, (name, source) in enumerate(files):
        report(PhaseProgress.of_bytes("parse", sum(sizes[:position]), total=sum(sizes)))
        if file_format == "csv":
            content = _csv_content(name, source)
            if read_files:
                numbers = _numbers(read_files[0])
            elif text_columns is not None and sum(sizes) >= csv_numbers.MIN_SIZE:
                numbers = _candidates(content, csv).difference(text_columns)
            file = _read_csv(content, csv, numbers=numbers)
        else:
            file = _read_typed(name, source, file_format=file_format)
        if read_files:
            _check_same_columns(file, read_files[0])
        read_files.append(file)
    parts = [file.part for file in read_files]
    if file_format == "csv" and (mixed := _mixed_columns(read_files)):
        text_columns = {*(text_columns or ()), *mixed}
        return read(files, file_format, csv=csv, text_columns=text_columns, report=report)
    if not sum(part.rows for part in parts):
        raise DataError("has no rows", location=Location(parts[0].name))
    for column in read_files[0].table.column_names:
        _check_same_types(read_files, column)
    index = dict.fromkeys(name for file in read_files for name in file.index_columns)
    return Raw(
        table=_concatenate(read_files),
        parts=parts,
        format=file_format,
        csv=csv,
        index_columns=tuple(index),
        sources=tuple(file.source for file in read_files) if file_format == "jsonl" else (),
    )


def read_by_type(data: bytes, name: str) -> dict[str, list[Raw]]:
    """Return the columns of JSON lines as tables of one column, each with values of one type.

    Args:
        data: The bytes of a file.
        name: Its name.

    Raises:
        DataError: For text that is not JSON, and a line without an object; with the row.
    """
    import pyarrow as pa

    name, data = table_packaging.unpack(data, name)
    data = data.removeprefix(codecs.BOM_UTF8)
    rows, columns = table_json.split_by_type(data, Location(name))
    return {
        column: [
            Raw(
                table=pa.table({column: values.column}),
                parts=[Part(name, rows)],
                format="jsonl",
                csv=Csv(),
                sources=(data,),
                row_numbers=tuple(values.rows),
            )
            for values in groups
        ]
        for column, groups in columns.items()
    }


def _unpacked(name: str, source: bytes | TablePath) -> tuple[table_packaging.Unpacked, Digest]:
    """Return a file without its packaging, and the digest of the file if it is read here."""
    digest = ""
    if isinstance(source, Path | RemotePath):
        source = table_files.read(source)
        digest = canonical.digest(source)
    return table_packaging.unpack(source, name), digest


def _csv_content(name: str, source: bytes | TablePath) -> _CsvContent:
    if isinstance(source, Path) and FORMATS.get(source.suffix.lower()) == "csv":
        return _CsvContent(name, source)
    unpacked, digest = _unpacked(name, source)
    return _CsvContent(unpacked.name, unpacked.data, digest)


def _candidates(content: _CsvContent, csv: Csv) -> set[str]:
    """Return the columns of a CSV file that may be numbers."""
    with table_files.opened(content.data) as stream:
        return csv_numbers.candidates(stream, Location(content.name), dialect=csv)


def _read_csv(content: _CsvContent, csv: Csv, *, numbers: set[str]) -> _File:
    """Return a CSV file, with some of its columns as float64 if all of them can be."""
    name, data, digest = content
    location = Location(name)
    with table_files.opened(data) as stream:
        converted = csv_numbers.read_csv(stream, location, dialect=csv, numbers=numbers)
    if converted is not None:
        table, index = converted.table, converted.index_columns
        digest = digest or converted.digest
    else:
        if isinstance(data, Path):
            data = table_files.read(data)
            digest = canonical.digest(data)
        table, index = table_csv.read_csv(data, location, dialect=csv)
    check_names(table.column_names, location)
    return _File(part=Part(name, table.num_rows, digest), table=table, index_columns=index)


def _read_typed(name: str, source: bytes | TablePath, *, file_format: Format) -> _File:
    """Return a file of Parquet or JSON lines."""
    (name, data), digest = _unpacked(name, source)
    location = Location(name)
    index: tuple[str, ...] = ()
    if file_format == "parquet":
        table = table_parquet.read_parquet(data, location)
        index = table_parquet.pandas_index(table.schema)
    else:
        data = data.removeprefix(codecs.BOM_UTF8)
        table = table_json.read_jsonl(data, location)
    check_names(table.column_names, location)
    part = Part(name, table.num_rows, digest)
    return _File(part=part, table=table, index_columns=index, source=data)


def check_names(names: list[str], file: Location) -> None:
    """Check that a file has columns, each with a name of its own.

    Raises:
        DataError: If it has not.
    """
    if not names:
        raise DataError("has no columns; is this a table?", location=file)
    for index, name in enumerate(names):
        if not name.strip():
            raise DataError(f"column {index + 1} has no name in the header", location=file)
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        places = [str(index + 1) for index, name in enumerate(names) if name == twice[0]]
        raise DataError(
            f"two columns are called {show(twice[0])}: {' and '.join(places[:2])}", location=file
        )


def _check_same_columns(file: _File, first: _File) -> None:
    names = set(file.table.column_names)
    if other := names ^ set(first.table.column_names):
        where = "is not in" if min(other) in names else "is in"
        raise DataError(
            f"the column {show(min(other))} {where} {first.part.name}; expected the same columns "
            "in each file",
            location=Location(file.part.name),
        )


def _concatenate(files: list[_File]) -> pa.Table | ParquetTable:
    """Return the rows of all files, whose columns may be in another order."""
    import pyarrow as pa

    tables = [file.table for file in files]
    try:
        if isinstance(tables[0], ParquetTable):
            return table_parquet.concatenate(tables)
        if len({frozenset(table.schema) for table in tables}) > 1:
            tables = [_without_dictionaries(table) for table in tables]
        return pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise table_parquet.do_not_fit(error, Location(files[0].part.name)) from error


def _without_dictionaries(table: pa.Table) -> pa.Table:
    """Return a table with plain texts, as those of a column are encoded in some files only."""
    import pyarrow as pa
    import pyarrow.types as t

    fields = [
        field.with_type(field.type.value_type) if t.is_dictionary(field.type) else field
        for field in table.schema
    ]
    return table.cast(pa.schema(fields))


def _mixed_columns(files: list[_File]) -> set[str]:
    """Return the columns of CSV files that are numbers in some files only."""
    numbers = [_numbers(file) for file in files]
    return numbers[0].union(*numbers) - numbers[0].intersection(*numbers)


def _numbers(file: _File) -> set[str]:
    """Return the columns of a file that are float64."""
    import pyarrow as pa

    return {field.name for field in file.table.schema if field.type == pa.float64()}


def _check_same_types(files: list[_File], column: str) -> None:
    """Refuse files that disagree whether a column is numbers, booleans, dates or text."""
    known = [
        (file.part.name, group)
        for file in files
        if (group := _type_group(file.table.schema.field(column).type))
    ]
    for name, group in known[1:]:
        if group != known[0][1]:
            raise DataError(
                f"the column {show(column)} has {group}, and {known[0][1]} in {known[0][0]}",
                location=Location(name),
            )


def _type_group(arrow_type: pa.DataType) -> str:
    """Return what a column of an Arrow type holds; empty if it has no values."""
    import pyarrow.types as t

    if t.is_null(arrow_type):
        return ""
    if t.is_integer(arrow_type) or t.is_floating(arrow_type) or t.is_decimal(arrow_type):
        return "numbers"
    if t.is_boolean(arrow_type):
        return "booleans"
    if t.is_timestamp(arrow_type) and arrow_type.tz is not None:
        return "dates with a time zone"
    return "dates" if t.is_temporal(arrow_type) else "text"
