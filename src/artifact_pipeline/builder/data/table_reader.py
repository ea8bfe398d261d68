"""Bytes of files become columns of Arrow: CSV as text, Parquet and JSON lines as they are typed."""

from __future__ import annotations

import codecs
import csv
import io
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from artifact_pipeline.builder.config.messages import first_line, show
from artifact_pipeline.builder.config.schema import Csv
from artifact_pipeline.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

Table: TypeAlias = "tuple[pa.Table, tuple[str, ...]]"
"""Columns, and the names of those that hold the index of a data frame."""

_INDEX = re.compile(r"Unnamed: \d+(\.\d+)*")
"""What pandas calls a column without a name."""
_BLOCK = 1 << 20
"""Bytes that Arrow reads at once where no cell spans lines."""
_LARGEST_BLOCK = (1 << 31) - 1
_SLICE = 1 << 26
"""Bytes of which quotes are looked at together."""


MAX_DEPTH = 64
"""Of JSON in one line."""
_JSON_TEXT = re.compile(rb'"(?:[^"\\]++|\\.)*+"')
_JSON_SPACE = re.compile(r"[ \t\r\n]*")


class Raw(NamedTuple):
    """The columns of all parts of a table, one part after the other."""

    table: pa.Table
    parts: list[tuple[str, int]]
    """The name of each file and how many rows it has."""
    form: str
    """csv, parquet or jsonl."""
    how: Csv
    """How a CSV is written; the default for the other forms."""
    index_columns: tuple[str, ...] = ()
    """Columns that hold the index of a data frame, and no values of the rows."""
    sources: tuple[bytes, ...] = ()
    """The bytes of each part of JSON lines: Arrow rounds large integers."""
    kept: tuple[int, ...] | None = None
    """Which rows of the parts these are; None where they are all of them."""

    def place(self, row: int) -> str:
        """Return the file and the row in it, counted from 1, of a row counted from 0."""
        if self.kept is not None:
            row = self.kept[row]
        for name, rows in self.parts:
            if row < rows:
                return f"{name}, row {row + 1}"
            row -= rows
        raise IndexError(row)

    def cell(self, row: int, column: str) -> str:
        """Return the place of a row, and the column in it."""
        return f"{self.place(row)}, column {show(column)}"

    def literals(self, column: str) -> list[Any]:
        """Return the numbers in a column of JSON lines: floats, and integers as written."""
        where = self.parts[0][0]
        found = [one.get(column) for data in self.sources for one in _records(data, where, str)]
        return found if self.kept is None else [found[row] for row in self.kept]

    def take(self, index: list[int]) -> Raw:
        """Return some of the rows, which keep their places."""
        return self._replace(table=self.table.take(index), kept=tuple(index))

    def where(self) -> str:
        """Return what the table is called in a message."""
        first = self.parts[0][0]
        return first if len(self.parts) == 1 else f"{first} and {len(self.parts) - 1} more"


def read(files: Iterable[tuple[str, bytes]], form: str, how: Csv) -> Raw:
    """Return the columns in the bytes of files, which are of one form: csv, parquet or jsonl.

    Raises:
        DataError: for bytes that are not of the form or the encoding, a quote that is not closed,
            columns that have no name, one name twice, or are not in each file, and no rows; named
            by file, row or line.
    """
    import pyarrow as pa

    tables: list[Any] = []
    parts: list[tuple[str, int]] = []
    sources: list[bytes] = []
    index: dict[str, None] = {}
    how = how if form == "csv" else Csv()
    for name, data in files:
        if form == "jsonl":
            data = data.removeprefix(codecs.BOM_UTF8)
            sources.append(data)
        found, of_index = _READ[form](data, name, how)
        index |= dict.fromkeys(of_index)
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
    return Raw(whole, parts, form, how, tuple(index), tuple(sources))


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


def _csv(data: bytes, where: str, how: Csv) -> Table:
    delimiter = "\t" if where.lower().endswith(".tsv") and how.delimiter == "," else how.delimiter
    content = _utf8(data, where, how.encoding)
    if not content.strip():
        raise DataError("is empty, expected a table", where=where)
    if not delimiter.isascii():
        raise DataError(
            f"cannot be split at {show(delimiter)}: expected an ASCII character as "
            "data.csv.delimiter",
            where=where,
        )
    quoted = b'"' in content
    if quoted:
        _check_quotes(content, where, delimiter.encode())
    header = _header(content, where, delimiter)
    names, index = _named(header)
    _check_names(names, where)
    try:
        table = _arrow_csv(content, where, how, header, delimiter, quoted)
    except _Uneven as uneven:
        if not uneven.first_row_has_one_more:
            raise
        table = _with_row_names(content, where, how, names, delimiter)
        if table is None:
            raise
        names = [_unused(names), *names]
        index = (names[0], *index)
    return table.rename_columns(names), index


class Mixed(DataError):
    """A column of JSON lines with values of several types."""


class _Uneven(DataError):
    """A row with more or fewer cells than the header has names."""

    first_row_has_one_more = False


def _arrow_csv(
    content: bytes, where: str, how: Csv, header: list[str], delimiter: str, quoted: bool
) -> pa.Table:
    """Return the columns of a CSV in UTF-8, all of them text."""
    import pyarrow as pa
    import pyarrow.csv as arrow

    uneven: list[Any] = []

    def refuse(row: Any) -> str:
        uneven.append(row)
        return "error"

    # Arrow drops a byte where a line end in a quoted cell meets the end of a block.
    blocks = [len(content) + 1] if quoted else [_BLOCK, len(content) + 1]
    if quoted and len(content) >= _LARGEST_BLOCK:
        raise DataError("holds quotes in over 2 GiB; split it into several files", where=where)
    for block in blocks:
        try:
            return arrow.read_csv(
                pa.BufferReader(content),
                read_options=arrow.ReadOptions(
                    use_threads=False, block_size=min(block, _LARGEST_BLOCK)
                ),
                parse_options=arrow.ParseOptions(
                    delimiter=delimiter, newlines_in_values=quoted, invalid_row_handler=refuse
                ),
                convert_options=arrow.ConvertOptions(
                    column_types=dict.fromkeys(header, pa.string()),
                    null_values=["", *how.null_values],
                    strings_can_be_null=True,
                ),
            )
        except pa.ArrowException as error:
            if uneven:
                row = uneven[0]
                place = where if row.number is None else f"{where}, row {row.number - 1}"
                said = f"found {row.actual_columns} cells, expected {row.expected_columns}"
                refused = _Uneven(said, where=place)
                more = row.actual_columns == row.expected_columns + 1
                refused.first_row_has_one_more = more and row.number == 2
                raise refused from error
            if "straddling" in str(error) and block != blocks[-1]:  # a cell larger than a block
                continue
            raise DataError(f"is not CSV: {first_line(error)[:160]}", where=where) from error
    raise AssertionError("the last block holds the whole file")


def _with_row_names(
    content: bytes, where: str, how: Csv, names: list[str], delimiter: str
) -> pa.Table | None:
    """Return a CSV whose rows begin with a name that the header lacks, as R writes it.

    None where not all rows do, or end in an empty cell, which is a delimiter too many.
    """
    header = [_unused(names), *names]
    more = f'"{header[0]}"{delimiter}'.encode() + content.lstrip(b"\r\n")
    try:
        table = _arrow_csv(more, where, how, header, delimiter, quoted=True)
    except _Uneven:
        return None
    last = table.column(table.num_columns - 1)
    return None if last.null_count == len(last) else table


def _named(header: list[str]) -> tuple[list[str], tuple[str, ...]]:
    """Return the names of columns, and those of the first ones that hold an index.

    pandas and R write the index as a first column without a name, which pandas reads back as
    `Unnamed: 0`, and writes under that name the next time.
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
    """Return a name for a column that has none, as pandas gives it."""
    tried, unnamed = 0, f"Unnamed: {index}"
    name = unnamed
    while name in names:
        tried += 1
        name = f"{unnamed}.{tried}"
    return name


def _utf8(data: bytes, where: str, encoding: str) -> bytes:
    """Return the text of a CSV in UTF-8, without a byte order mark."""
    plain = encoding.lower().replace("_", "-") in ("utf-8", "utf8", "utf-8-sig")
    if plain:
        _check_no_nul(data, where)
    text = _decoded(data, where, encoding)
    content = data if plain else text.encode()
    _check_no_nul(content, where)
    return content.removeprefix(codecs.BOM_UTF8)


def _check_no_nul(data: bytes, where: str) -> None:
    if (at := data.find(b"\0")) >= 0:
        place = f"{where}, line {_line(data[:at])}"
        raise DataError("holds NUL bytes; is this a table?", where=place)


def _line(before: bytes) -> int:
    """Return the number of the line that these bytes lead up to, whatever ends a line."""
    return 1 + before.count(b"\n") + before.count(b"\r") - before.count(b"\r\n")


def _header(content: bytes, where: str, delimiter: str) -> list[str]:
    text = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", newline="")
    try:
        return next(row for row in csv.reader(text, delimiter=delimiter) if row)
    except (csv.Error, StopIteration) as error:
        raise DataError(f"its header is not CSV: {first_line(error)}", where=where) from error


def _check_quotes(content: bytes, where: str, delimiter: bytes) -> None:
    """Refuse a quote that opens a cell and is not closed: it would swallow the rows behind it.

    Quotes inside a cell that does not begin with one are text, as in pandas and Arrow.
    """
    if _are_paired(content, delimiter):
        return
    stops = re.escape(delimiter) + rb"\r\n"
    others = re.compile(rb'(?:(?:[^"' + stops + rb"][^" + stops + rb"]*+)?[" + stops + rb"])*+")
    # Group 1 is the quote that closes a cell, group 2 what follows it there.
    cell = re.compile(rb'"(?:[^"]++|"")*+(?:(")([^' + stops + rb"]*+))?")
    lines = re.compile(rb"[\r\n]")
    at = 0
    while (skipped := others.match(content, at)) and (found := cell.match(content, skipped.end())):
        at = found.end()
        closed = found[1] is not None
        if closed and not (found[2] and lines.search(content, found.start(), found.start(1))):
            continue
        place = f"{where}, line {_line(content[: found.start()])}"
        if not closed:
            raise DataError("a quote is opened here and never closed", where=place)
        line = _line(content[: found.start(1)])
        raise DataError(
            f"a quote is opened here and closed in line {line}, before more text of its cell; is "
            "one missing? A quote inside a quoted cell is written twice",
            where=place,
        )


def _are_paired(content: bytes, delimiter: bytes) -> bool:
    """Return whether quotes only surround cells, or are doubled inside them, as RFC 4180 says."""
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
        # A quote beside a quote that is not a cell of its own is half of a doubled one.
        good_before = outside[before] | (opening == 0) | (before == ord('"'))
        good_after = outside[after] | (closing == len(codes) - 1) | (after == ord('"'))
        if not (good_before.all() and good_after.all()):
            return False
    return count % 2 == 0


def _decoded(data: bytes, where: str, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(
            f"is not {encoding}: byte 0x{data[error.start]:02x}; name the encoding it has as "
            "data.csv.encoding",
            where=f"{where}, line {_line(data[: error.start])}",
        ) from error
    except UnicodeError as error:
        said = f"is not {encoding}: {first_line(error)}; name the encoding it has as "
        raise DataError(f"{said}data.csv.encoding", where=where) from error


def _parquet(data: bytes, where: str, _: Csv) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as arrow

    try:
        table = arrow.ParquetFile(pa.BufferReader(data)).read()
        # Text that is not UTF-8 and indices that lead nowhere show only when they are looked at.
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"is no Parquet file: {first_line(error)[:160]}", where=where) from error
    return table, _pandas_index(table)


def _pandas_index(table: pa.Table) -> tuple[str, ...]:
    """Return the columns that pandas wrote as the index of a data frame, by its metadata."""
    try:
        said = json.loads((table.schema.metadata or {}).get(b"pandas", b"{}"))
        names = said.get("index_columns", [])
        found = tuple(one for one in names if isinstance(one, str) and one in table.column_names)
    except (ValueError, AttributeError, TypeError):  # metadata decides nothing that is not there
        return ()
    return found if len(found) < table.num_columns else ()


def _jsonl(data: bytes, where: str, _: Csv) -> Table:
    import pyarrow as pa
    import pyarrow.json as arrow

    if not data.strip():
        raise DataError("is empty, expected a JSON object in each line", where=where)
    _decoded(data, where, "utf-8")
    _check_depth(data, where)
    # One block: a type is inferred of it as a whole, and rows are counted from its beginning.
    block = arrow.ReadOptions(use_threads=False, block_size=min(len(data) + 1, _LARGEST_BLOCK))

    def read(texts: list[str]) -> pa.Table:
        schema = pa.schema([(name, pa.string()) for name in texts])
        how = arrow.ParseOptions(explicit_schema=schema) if texts else None
        return arrow.read_json(io.BytesIO(data), read_options=block, parse_options=how)

    try:
        table = read([])
        # Arrow makes times of texts where all of them look like it; a text is the text it is.
        texts = [field.name for field in table.schema if pa.types.is_timestamp(field.type)]
        return (read(texts).select(table.column_names) if texts else table), ()
    except pa.ArrowException as error:
        said = first_line(error).removeprefix("JSON parse error: ")[:160]
        if row := re.search(r" in row (\d+)$", said):
            said, where = said[: row.start()], f"{where}, row {int(row[1]) + 1}"
        refused = Mixed if " changed from " in said else DataError
        raise refused(f"is not JSON lines: {said}", where=where) from error


def _check_depth(data: bytes, where: str) -> None:
    """Refuse JSON nested deeper than `MAX_DEPTH`: Arrow takes ten seconds for 9,000 levels."""
    import numpy as np

    opened = data.count(b"[") + data.count(b"{")
    if opened <= data.count(b"}\n{") + 1:  # each line is an object of plain values
        return
    codes = np.frombuffer(_JSON_TEXT.sub(b"", data), dtype="uint8")
    steps = np.isin(codes, list(b"[{")).astype(np.int8) - np.isin(codes, list(b"]}"))
    depth = steps[steps != 0].cumsum(dtype=np.int64)
    if (deep := np.flatnonzero(depth > MAX_DEPTH)).size:
        row = 1 + int((depth[: deep[0]] == 0).sum())
        raise DataError(f"is nested deeper than {MAX_DEPTH} levels", where=f"{where}, row {row}")


def by_type(data: bytes, where: str) -> dict[str, list[Raw]]:
    """Return the columns of JSON lines, each in parts that hold values of one type.

    A part has one column, and its rows keep their places among all of them.

    Raises:
        DataError: for what is not JSON, and a line that holds no object; named by row.
    """
    import pyarrow as pa

    data = data.removeprefix(codecs.BOM_UTF8)
    records = list(_records(data, where, _integer))
    names = dict.fromkeys(name for record in records for name in record)
    found: dict[str, list[Raw]] = {}
    for name in names:
        values = [record.get(name) for record in records]
        rows: dict[str, list[int]] = {}
        for row, value in enumerate(values):
            rows.setdefault(_json_type(value), []).append(row)
        found[name] = []
        for kind, kept in rows.items():
            some = [values[row] for row in kept]
            if kind == "number":
                column = _json_numbers(some)
            elif kind == "container":
                column = pa.array([[]] * len(some))
            else:
                column = _plain(some, [f"{where}, row {row + 1}" for row in kept])
            parts, sources = [(where, len(records))], (data,)
            table = pa.table({name: column})
            found[name].append(Raw(table, parts, "jsonl", Csv(), (), sources, tuple(kept)))
    return found


def _json_type(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "text"
    return "number" if isinstance(value, (int, float)) else "container"


def _plain(values: list[Any], places: list[str]) -> pa.Array:
    import pyarrow as pa

    try:
        return pa.array(values)
    except UnicodeEncodeError as error:  # half of a surrogate pair, which JSON can write
        row = next(row for row, one in enumerate(values) if re.search("[\ud800-\udfff]", one))
        raise DataError("holds text that is not Unicode", where=places[row]) from error


def _json_numbers(values: list[Any]) -> pa.Array:
    """Return numbers typed as Arrow types them: integers, unless one is none or is too large."""
    import pyarrow as pa

    if all(isinstance(one, int) and -(1 << 63) <= one < 1 << 63 for one in values):
        return pa.array(values, type=pa.int64())
    # float() refuses an integer that is too large for it, and reads its digits as infinity.
    return pa.array([float(str(one)) for one in values], type=pa.float64())


def _records(data: bytes, where: str, integer: Callable[[str], Any]) -> Iterator[dict[str, Any]]:
    """Yield the objects of JSON lines, their integers made by `integer`."""
    decoder = json.JSONDecoder(
        parse_int=integer, parse_float=_finite, strict=False, object_pairs_hook=_unique
    )
    text, at, row = _decoded(data, where, "utf-8"), 0, 0
    while (begin := _JSON_SPACE.match(text, at).end()) < len(text):  # type: ignore[union-attr]
        row += 1
        place = f"{where}, row {row}"
        try:
            record, at = decoder.raw_decode(text, begin)
        except ValueError as error:
            raise DataError(f"is not JSON: {first_line(error)}", where=place) from error
        if not isinstance(record, dict):
            raise DataError("is not JSON lines: expected an object in each line", where=place)
        yield record


def _integer(digits: str) -> int:
    if len(digits) > 310:  # more than a float64 has
        raise ValueError("a number is too large for a float64")
    return int(digits)


def _finite(written: str) -> float:
    value = float(written)
    if math.isinf(value):
        raise ValueError("a number is too large for a float64")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is written twice in one object")
    return found


_READ = {"csv": _csv, "parquet": _parquet, "jsonl": _jsonl}
