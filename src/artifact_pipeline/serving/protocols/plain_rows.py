"""Rows as plain JSON, for people with curl: `{"rows": [[…], …]}`, or records by column name.

Rows are decoded one by one, with Python's own decoder: it can stop at the first row too many, and
other threads run between two rows. A decoder that takes the whole body in one call (msgspec's took
0.4 to 3.6 s for 16 MiB of empty lists) holds the interpreter, and so every other request, until it
is done, whichever thread calls it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
from msgspec import UnsetType
from numpy.typing import NDArray

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.artifact.manifest import ColumnSpec, Interface
from artifact_pipeline.builder.config.messages import show
from artifact_pipeline.builder.config.schema import Csv
from artifact_pipeline.builder.data import table_columns
from artifact_pipeline.builder.data.table_reader import Raw
from artifact_pipeline.builder.formats.base import Batch, Outputs
from artifact_pipeline.errors import DataError
from artifact_pipeline.inference import tables
from artifact_pipeline.inference.rows import check
from artifact_pipeline.serving.executor import left_until
from artifact_pipeline.serving.http.errors import HTTPError
from artifact_pipeline.serving.protocols.open_inference_tensors import check_float32
from artifact_pipeline.serving.registry import ServedModel

PLACE = "rows"
MAX_ROW = 1 << 20
"""Characters of one row."""
_WINDOW = MAX_ROW // 4
"""Characters beyond a row that a decoder sees; it may decode no more than it sees in one call."""
_EXPECTED = 'expected {"rows": [[…], …]}, or records by column name'
_BEGIN = re.compile(r'[ \t\r\n]*\{[ \t\r\n]*"rows"[ \t\r\n]*:[ \t\r\n]*\[[ \t\r\n]*')
_NEXT = re.compile(r"[ \t\r\n]*([,\]])[ \t\r\n]*")
_END = re.compile(r"\}[ \t\r\n]*\Z")
_SMALL = 64 << 10
_ROWS_PER_LOOK = 100
"""Rows between two looks at the clock."""


def read(body: bytes, model: ServedModel, max_rows: int, *, end: float | None) -> tuple[Batch, int]:
    """Return the checked rows in a body, and their number.

    `end` is when they have to be read, on the clock of `time.monotonic`.

    Raises:
        HTTPError: 400 for wrong JSON and rows that the model does not take, 413 for too many rows,
            504 at the end of the time.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise HTTPError(400, "the body is not UTF-8") from error
    interface = model.interface
    try:
        if isinstance(interface.columns, UnsetType):
            batch: Batch = _matrix(text, interface, max_rows, end)
            rows = len(batch)
        else:
            batch, rows = _table(text, interface.columns, max_rows, end)
    except DataError as error:
        raise HTTPError(400, str(error)) from error
    ports = interface.inputs
    for port, values in zip(ports, batch if isinstance(batch, list) else [batch], strict=True):
        check_float32(values, port.dtype, port.name)
    return batch, rows


def encode(model: ServedModel, outputs: Outputs) -> bytes:
    """Return predictions as JSON, with the names that `artifact-pipeline infer --json` uses."""
    labels = model.interface.labels
    said: dict[str, Any] = {"model": model.name, "digest": model.digest}
    said["labels" if labels else "predictions"] = outputs.predicted.tolist()
    if outputs.probabilities is not None:
        said["classes"] = labels
        said["probabilities"] = outputs.probabilities.tolist()
    return msgspec.json.encode(said)


def _decode_rows(text: str, max_rows: int, end: float | None) -> Iterator[tuple[str, Any]]:
    """Yield each row with its place."""
    begin = _BEGIN.match(text)
    if begin is None:
        raise _wrong(text)
    at = begin.end()
    if text[at : at + 1] == "]":
        raise HTTPError(400, "rows: holds no rows to predict")
    base, window = 0, text[: MAX_ROW + _WINDOW]
    number, sign = 0, ","
    while sign == ",":
        number += 1
        if number > max_rows:
            raise HTTPError(
                413, f"has more than {max_rows} rows, at most {max_rows} are predicted at once"
            )
        if end is not None and number % _ROWS_PER_LOOK == 0:
            left_until(end)
        if at - base > _WINDOW:
            base, window = at, text[at : at + MAX_ROW + _WINDOW]
        place = f"{PLACE}, row {number}"
        try:
            row, stop = canonical.DECODER.raw_decode(window, at - base)
        except (ValueError, RecursionError) as error:
            if len(text) - at > MAX_ROW and base + len(window) < len(text):
                raise HTTPError(
                    413, f"{place}: is not JSON, or has more than {MAX_ROW} characters"
                ) from error
            raise _wrong(text, place, error) from error
        yield place, row
        found = _NEXT.match(text, base + stop)
        if found is None:
            raise _wrong(text, place)
        sign, at = found[1], found.end()
    if not _END.match(text, at):
        raise _wrong(text)


def _wrong(text: str, place: str = "", error: Exception | None = None) -> HTTPError:
    """Return the error for a body that is not JSON, or not of the expected form."""
    if len(text) <= _SMALL:
        try:
            canonical.decode(text.encode())
        except canonical.NotCanonical as reason:
            return HTTPError(400, f"the body is not JSON: {reason}")
    if error is not None:
        return HTTPError(400, f"{place}: is not JSON: {str(error)[:200]}")
    return HTTPError(400, f"{place}: {_EXPECTED}" if place else _EXPECTED)


def _matrix(
    text: str, interface: Interface, max_rows: int, end: float | None
) -> NDArray[np.float64]:
    rows = []
    features = interface.features
    known = set(features)
    for place, row in _decode_rows(text, max_rows, end):
        if isinstance(row, dict) and (extra := [name for name in row if name not in known]):
            raise DataError(f"the column {show(extra[0])} is unknown", where=place)
        values = _values(row, features, place)
        if not set(map(type, values)) <= {int, float}:
            at = next(i for i, value in enumerate(values) if type(value) not in (int, float))
            said = f"{features[at]} is {show(values[at])}, expected a number"
            raise DataError(said, where=place)
        for name, value in zip(features, values, strict=True):
            if type(value) is int and abs(value) > table_columns.EXACT:
                raise DataError(_beyond(f"{name} is {show(value)}"), where=place)
        rows.append(np.array(values, dtype=np.float64))
    return check(np.stack(rows), features, PLACE, interface.limits)


def _table(
    text: str, columns: list[ColumnSpec], max_rows: int, end: float | None
) -> tuple[list[NDArray[Any]], int]:
    """Return the columns of rows; what else a record has, such as an id, is ignored."""
    names = [column.name for column in columns]
    rows = [_values(row, names, place) for place, row in _decode_rows(text, max_rows, end)]
    by_column = zip(*rows, strict=True)
    batch = [_column(list(v), column) for v, column in zip(by_column, columns, strict=True)]
    tables.check(batch, columns, lambda row: f"{PLACE}, row {row + 1}")
    return batch, len(rows)


def _values(row: Any, names: list[str], place: str) -> list[Any]:
    """Return the values of a row in the order of the names."""
    if isinstance(row, dict):
        try:
            return [row[name] for name in names]
        except KeyError as error:
            said = f"the column {show(error.args[0])} is missing"
            raise DataError(said, where=place) from error
    if not isinstance(row, list):
        raise DataError("expected a list of values, or a record by column name", where=place)
    if len(row) != len(names):
        raise DataError(f"found {len(row)} values, expected {len(names)}", where=place)
    return row


_TYPES: dict[str, tuple[set[type], str]] = {
    "text": ({str, type(None)}, "a text"),
    "number": ({int, float, type(None)}, "a number"),
    "boolean": ({bool, type(None)}, "true or false"),
    "date": ({str, type(None)}, "a date as text"),
}
"""The JSON types of each kind of column; null is a missing value."""
_FORMATTED: dict[str, tuple[set[type], str]] = {
    "number": ({int, float, str, type(None)}, "a number, or a text in the column's format"),
    "date": ({int, str, type(None)}, "a text in the column's format"),
}
"""The same where the column has a format; an integer may be a date, such as 20260131."""


def _column(values: list[Any], column: ColumnSpec) -> NDArray[Any]:
    """Return the values of a column as its kind, which never depends on the other rows."""
    types, expected = _TYPES[column.kind]
    if column.format is not None:
        types, expected = _FORMATTED.get(column.kind, (types, expected))
    if not set(map(type, values)) <= types:
        at = next(i for i, value in enumerate(values) if type(value) not in types)
        raise _at(at, f"is {show(values[at])}, expected {expected}", column)
    if column.kind == "text":
        return _texts(values, column)
    if column.kind == "date":
        return _parse([None if value is None else str(value) for value in values], column)
    for at, value in enumerate(values):
        if type(value) is int and abs(value) > table_columns.EXACT:
            raise _at(at, _beyond(f"is {show(value)}"), column)
    texts = [value if isinstance(value, str) else None for value in values]
    numbers = [None if isinstance(value, str) else value for value in values]
    found = np.array(numbers, dtype=np.float64)  # where None becomes NaN
    is_text = np.array([value is not None for value in texts])
    return np.where(is_text, _parse(texts, column), found) if is_text.any() else found


def _texts(values: list[str | None], column: ColumnSpec) -> NDArray[Any]:
    texts = np.empty(len(values), dtype=object)
    texts[:] = ["" if value is None else value for value in values]
    for at, value in enumerate(texts.tolist()):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise _at(at, "has half a character, a lone surrogate", column) from error
    return texts


def _parse(texts: list[str | None], column: ColumnSpec) -> NDArray[Any]:
    """Return the numbers or dates in texts as `infer` reads them, (n_rows,) float64."""
    import pyarrow as pa

    name = column.name
    try:
        array = pa.array(texts, pa.string())
    except UnicodeEncodeError as error:
        said = "has half a character, a lone surrogate"
        raise DataError(said, where=f"{PLACE}, column {show(name)}") from error
    raw = Raw(pa.table({name: array}), [(PLACE, len(texts))], "jsonl", Csv())
    return table_columns.column(raw, name, column.kind, column.format).values


def _beyond(what: str) -> str:
    return f"{what}, beyond the integers that a float64 holds (2^53)"


def _at(row: int, what: str, column: ColumnSpec) -> DataError:
    return DataError(what, where=f"{PLACE}, row {row + 1}, column {show(column.name)}")
