"""Bytes of files become columns of Arrow: CSV as text, Parquet and JSON lines as they are typed."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from artifact_pipeline.errors import DataError
from artifact_pipeline.explain import first_line, show
from artifact_pipeline.settings import Csv

if TYPE_CHECKING:
    import pyarrow as pa


class Raw(NamedTuple):
    """The columns of all parts of a table, one part after the other."""

    table: pa.Table
    parts: list[tuple[str, int]]
    """The name of each file and how many rows it has."""
    form: str
    """csv, parquet or jsonl."""
    how: Csv

    def place(self, row: int) -> str:
        """Return the file and the row in it, counted from 1, of a row counted from 0."""
        for name, rows in self.parts:
            if row < rows:
                return f"{name}, row {row + 1}"
            row -= rows
        raise IndexError(row)

    def cell(self, row: int, column: str) -> str:
        """Return the place of a row, and the column in it."""
        return f"{self.place(row)}, column {show(column)}"

    def where(self) -> str:
        """Return what the table is called in a message."""
        first = self.parts[0][0]
        return first if len(self.parts) == 1 else f"{first} and {len(self.parts) - 1} more"


def read(files: Iterable[tuple[str, bytes]], form: str, how: Csv) -> Raw:
    """Return the columns in the bytes of files, which are of one form: csv, parquet or jsonl.

    Raises:
        DataError: for bytes that are not of the form or the encoding, columns that have no name,
            one name twice, or are not in each file, and no rows; named by file and row.
    """
    import pyarrow as pa

    tables: list[Any] = []
    parts: list[tuple[str, int]] = []
    for name, data in files:
        found = _READ[form](data, name, how)
        _check_names(found.column_names, name)
        if tables and (other := set(found.column_names) ^ set(tables[0].column_names)):
            there = "is not in" if min(other) in found.column_names else "is in"
            raise DataError(
                f"the column {show(min(other))} {there} {parts[0][0]}; expected the same columns "
                "in each part",
                where=name,
            )
        tables.append(found.select(tables[0].column_names) if tables else found)
        parts.append((name, found.num_rows))
    if not sum(rows for _, rows in parts):
        raise DataError("holds no rows", where=parts[0][0])
    for name in tables[0].column_names:
        types = [one.schema.field(name).type for one in tables]
        _check_types([(part, kind) for (part, _), kind in zip(parts, types, strict=True)], name)
    try:
        whole = pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        said = f"its parts do not go together: {first_line(error)}"
        raise DataError(said, where=parts[0][0]) from error
    return Raw(whole, parts, form, how)


def _check_names(names: list[str], where: str) -> None:
    if not names:
        raise DataError("has no columns; is this a table?", where=where)
    for index, name in enumerate(names):
        if not name.strip():
            raise DataError(f"column {index + 1} has no name", where=f"{where}, header")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        places = [str(index + 1) for index, name in enumerate(names) if name == twice[0]]
        raise DataError(
            f"two columns are called {show(twice[0])}: {' and '.join(places[:2])}", where=where
        )


def _check_types(types: list[tuple[str, Any]], name: str) -> None:
    """Refuse parts that disagree whether a column is numbers, text or times."""
    import pyarrow.types as t

    def group(kind: Any) -> str:
        if t.is_null(kind):
            return ""
        if t.is_integer(kind) or t.is_floating(kind) or t.is_decimal(kind):
            return "numbers"
        if t.is_boolean(kind):
            return "booleans"
        return "dates" if t.is_temporal(kind) else "text"

    known = [(where, group(kind)) for where, kind in types if group(kind)]
    for where, kind in known[1:]:
        if kind != known[0][1]:
            raise DataError(
                f"the column {show(name)} holds {kind}, and {known[0][1]} in {known[0][0]}",
                where=where,
            )


def _csv(data: bytes, where: str, how: Csv) -> pa.Table:
    import pyarrow as pa
    import pyarrow.csv as arrow

    if not data.strip():
        raise DataError("is empty, expected a table", where=where)
    delimiter = "\t" if where.lower().endswith(".tsv") and how.delimiter == "," else how.delimiter
    names = _header(data, where, how.encoding, delimiter)
    _check_names(names, where)
    _check_encoding(data, where, how.encoding)
    uneven: list[Any] = []

    def refuse(row: Any) -> str:
        uneven.append(row)
        return "error"

    try:
        return arrow.read_csv(
            io.BytesIO(data),
            read_options=arrow.ReadOptions(use_threads=False, encoding=how.encoding),
            parse_options=arrow.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, invalid_row_handler=refuse
            ),
            convert_options=arrow.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                null_values=["", *how.null_values],
                strings_can_be_null=True,
            ),
        )
    except pa.ArrowException as error:
        if uneven:
            one = uneven[0]
            place = where if one.number is None else f"{where}, row {one.number - 1}"
            raise DataError(
                f"found {one.actual_columns} cells, expected {one.expected_columns}", where=place
            ) from error
        raise DataError(f"is not CSV: {first_line(error)[:160]}", where=where) from error


def _header(data: bytes, where: str, encoding: str, delimiter: str) -> list[str]:
    if b"\0" in data[:4096] and "16" not in encoding and "32" not in encoding:
        raise DataError("holds NUL bytes; is this a table?", where=where)
    codec = "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding
    text = io.TextIOWrapper(io.BytesIO(data), encoding=codec, newline="")
    try:
        return next(csv.reader(text, delimiter=delimiter))
    except (UnicodeError, csv.Error, StopIteration) as error:
        _check_encoding(data, where, encoding)
        raise DataError(f"its header is not CSV: {first_line(error)}", where=where) from error


def _check_encoding(data: bytes, where: str, encoding: str) -> None:
    try:
        data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(
            f"is not {encoding}: byte 0x{data[error.start]:02x}; name the encoding it has as "
            "data.csv.encoding",
            where=f"{where}, line {line}",
        ) from error


def _parquet(data: bytes, where: str, _: Csv) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as arrow

    try:
        table = arrow.ParquetFile(pa.BufferReader(data)).read()
        # Text that is not UTF-8 and indices that lead nowhere show only when they are looked at.
        table.validate(full=True)
        return table
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"is no Parquet file: {first_line(error)[:160]}", where=where) from error


def _jsonl(data: bytes, where: str, _: Csv) -> pa.Table:
    import pyarrow as pa
    import pyarrow.json as arrow

    if not data.strip():
        raise DataError("is empty, expected a JSON object in each line", where=where)
    _check_encoding(data, where, "utf-8")
    # One block: a type is inferred of it as a whole, and rows are counted from its beginning.
    block = arrow.ReadOptions(use_threads=False, block_size=min(len(data) + 1, (1 << 31) - 1))
    try:
        return arrow.read_json(io.BytesIO(data), read_options=block)
    except pa.ArrowException as error:
        said = first_line(error).removeprefix("JSON parse error: ")[:160]
        if row := re.search(r" in row (\d+)$", said):
            said, where = said[: row.start()], f"{where}, row {int(row[1]) + 1}"
        raise DataError(f"is not JSON lines: {said}", where=where) from error


_READ = {"csv": _csv, "parquet": _parquet, "jsonl": _jsonl}
