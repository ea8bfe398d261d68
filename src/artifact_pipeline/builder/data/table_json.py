"""JSON lines as columns, typed as their values are."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from artifact_pipeline.builder.config.messages import first_line
from artifact_pipeline.builder.data.encoded_text import decode
from artifact_pipeline.builder.data.number_limits import is_rounded
from artifact_pipeline.errors import DataError, Location

if TYPE_CHECKING:
    import pyarrow as pa

JsonType: TypeAlias = Literal["null", "boolean", "text", "number", "container"]

MAX_DEPTH = 64
"""Levels of lists and objects in one line."""
_SAVE_AS_UTF8 = "save it as UTF-8"
_LARGEST_BLOCK = (1 << 31) - 1
_MAX_DIGITS = 310
"""A float64 has no larger integers."""
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"')
_SPACE = re.compile(r"[ \t\r\n]*")
_MAYBE_NULL = re.compile(rb"(?:\A(?:\xef\xbb\xbf)?|[\r\n}])[ \t\r\n]*null")
_NO_OBJECT = "is not JSON lines: expected an object in each line"


class MixedTypes(DataError):
    """A column of JSON lines has values of several types."""


class TypedValues(NamedTuple):
    """The values of one type in a column of JSON lines."""

    column: pa.Array
    rows: list[int]
    """The row of each value, counted from 0."""


def read_jsonl(data: bytes, file: Location) -> pa.Table:
    """Return the columns of JSON lines.

    Raises:
        MixedTypes: If a column has values of several types.
        DataError: For bytes that are not JSON lines; with the row.
    """
    import pyarrow as pa
    import pyarrow.json as arrow

    if not data.strip():
        raise DataError("is empty, expected a JSON object in each line", location=file)
    decode(data, file, remedy=_SAVE_AS_UTF8)
    _check_depth(data, file)
    _check_objects(data, file)
    # With one block, types are inferred from all rows and errors count rows from the first one.
    block = arrow.ReadOptions(use_threads=False, block_size=min(len(data) + 1, _LARGEST_BLOCK))

    def read(texts: list[str]) -> pa.Table:
        schema = pa.schema([(name, pa.string()) for name in texts])
        options = arrow.ParseOptions(explicit_schema=schema) if texts else None
        return arrow.read_json(io.BytesIO(data), read_options=block, parse_options=options)

    try:
        table = read([])
        # Arrow converts a column of texts to times if all look like times; they stay texts here.
        texts = [field.name for field in table.schema if pa.types.is_timestamp(field.type)]
        return read(texts).select(table.column_names) if texts else table
    except pa.ArrowException as error:
        problem, location = first_line(error).removeprefix("JSON parse error: ")[:160], file
        if row := re.search(r" in row (\d+)$", problem):
            problem, location = problem[: row.start()], file.at(row=int(row[1]) + 1)
        kind = MixedTypes if " changed from " in problem else DataError
        raise kind(f"is not JSON lines: {problem}", location=location) from error


def _check_depth(data: bytes, file: Location) -> None:
    """Refuse JSON nested deeper than `MAX_DEPTH`: Arrow takes ten seconds for 9,000 levels."""
    import numpy as np

    opened = data.count(b"[") + data.count(b"{")
    if opened <= data.count(b"}\n{") + 1:  # each line is an object of plain values
        return
    codes = np.frombuffer(_STRING.sub(b"", data), dtype="uint8")
    steps = np.isin(codes, list(b"[{")).astype(np.int8) - np.isin(codes, list(b"]}"))
    depth = steps[steps != 0].cumsum(dtype=np.int64)
    if (deep := np.flatnonzero(depth > MAX_DEPTH)).size:
        row = 1 + int((depth[: deep[0]] == 0).sum())
        problem = f"is nested deeper than {MAX_DEPTH} levels"
        raise DataError(problem, location=file.at(row=row))


def _check_objects(data: bytes, file: Location) -> None:
    """Refuse null among the objects: Arrow reads it as a row, and crashes if it is the first."""
    import numpy as np

    values = data.count(b": null") + data.count(b":null")
    if data.count(b"null") == values or not _MAYBE_NULL.search(data):
        return
    bare = _STRING.sub(b"", data)
    codes = np.frombuffer(bare, dtype="uint8")
    steps = np.isin(codes, list(b"[{")).astype(np.int8) - np.isin(codes, list(b"]}"))
    depth = steps.cumsum(dtype=np.int64)
    for null in re.finditer(rb"null", bare):
        if depth[null.start()] == 0:
            before = slice(0, null.start())
            row = 1 + np.count_nonzero((steps[before] < 0) & (depth[before] == 0))
            raise DataError(_NO_OBJECT, location=file.at(row=int(row)))


def literals(data: bytes, column: str, *, file: Location) -> list[Any]:
    """Return the values of a column of JSON lines, with some numbers as the text in the file.

    These are integers, and numbers that a float64 rounds or does not hold.

    Args:
        data: The bytes of the file.
        column: The name of the column.
        file: The location of the file, for errors.

    Raises:
        DataError: As `split_by_type`.
    """
    records = _records(data, file, parse_int=str, parse_float=_literal)
    return [record.get(column) for record in records]


def split_by_type(data: bytes, file: Location) -> tuple[int, dict[str, list[TypedValues]]]:
    """Return the number of rows, and the values of each column, grouped by their types.

    Raises:
        DataError: For text that is not JSON, and a line without an object; with the row.
    """
    import pyarrow as pa

    records = list(_records(data, file, parse_int=_parse_int, parse_float=_parse_float))
    names = dict.fromkeys(name for record in records for name in record)
    columns: dict[str, list[TypedValues]] = {}
    for name in names:
        values: list[Any] = [record.get(name) for record in records]
        rows_by_type: dict[JsonType, list[int]] = {}
        for row, value in enumerate(values):
            rows_by_type.setdefault(_json_type(value), []).append(row)
        columns[name] = []
        for json_type, rows in rows_by_type.items():
            same_type = [values[row] for row in rows]
            if json_type == "number":
                column = _numbers(same_type)
            elif json_type == "container":
                column = pa.array([[]] * len(rows))
            elif json_type == "text":
                column = _texts(same_type, [file.at(row=row + 1) for row in rows])
            else:
                column = pa.array(same_type)
            columns[name].append(TypedValues(column, rows))
    return len(records), columns


def _json_type(value: Any) -> JsonType:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "text"
    return "number" if isinstance(value, (int, float)) else "container"


def _texts(values: list[str], locations: list[Location]) -> pa.Array:
    import pyarrow as pa

    try:
        return pa.array(values)
    except UnicodeEncodeError as error:  # half of a surrogate pair, which JSON can hold
        at = next(at for at, text in enumerate(values) if re.search("[\ud800-\udfff]", text))
        raise DataError("contains text that is not Unicode", location=locations[at]) from error


def _numbers(values: list[int | float]) -> pa.Array:
    """Return numbers typed as Arrow types them: as integers if all are, and fit into 64 bits."""
    import pyarrow as pa

    if all(isinstance(value, int) and -(1 << 63) <= value < 1 << 63 for value in values):
        return pa.array(values, type=pa.int64())
    # float() rejects an integer that is too large for it, but reads its digits as infinity.
    return pa.array([float(str(value)) for value in values], type=pa.float64())


def _records(
    data: bytes,
    file: Location,
    *,
    parse_int: Callable[[str], Any],
    parse_float: Callable[[str], Any],
) -> Iterator[dict[str, Any]]:
    """Yield the objects of JSON lines."""
    decoder = json.JSONDecoder(
        parse_int=parse_int, parse_float=parse_float, strict=False, object_pairs_hook=_unique
    )
    text, at, row = decode(data, file, remedy=_SAVE_AS_UTF8), 0, 0
    while (begin := _SPACE.match(text, at).end()) < len(text):  # type: ignore[union-attr]
        row += 1
        location = file.at(row=row)
        try:
            record, at = decoder.raw_decode(text, begin)
        except ValueError as error:
            raise DataError(f"is not JSON: {first_line(error)}", location=location) from error
        if not isinstance(record, dict):
            raise DataError(_NO_OBJECT, location=location)
        yield record


def _parse_int(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError(f"{digits[:60]}… is too large for a float64")
    return int(digits)


def _parse_float(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"{digits[:60]} is too large for a float64")
    return value


def _literal(digits: str) -> float | str:
    value = float(digits)
    return digits if math.isinf(value) or is_rounded(digits) else value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        raise ValueError("a key is written twice in one object")
    return record
