"""Rows as plain JSON, for people with curl: `{"rows": [[…], …]}`, or records by column name.

Rows are decoded one by one with Python's own decoder, so that decoding can stop at the first row
too many and other threads can run between two rows. A decoder that takes the complete body in one
call (msgspec took 0.4 to 3.6 s for 16 MiB of empty lists) holds the interpreter, and so every other
request, until it is done, even in another thread.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.artifact.manifest import ColumnSpec, Interface
from artifact_pipeline.builder.config.messages import show
from artifact_pipeline.builder.config.values import Csv
from artifact_pipeline.builder.data import table_columns
from artifact_pipeline.builder.data.number_limits import EXACT, is_rounded
from artifact_pipeline.builder.data.table_reader import Part, Raw
from artifact_pipeline.builder.formats.base import Batch, Outputs
from artifact_pipeline.errors import DataError, Location
from artifact_pipeline.inference import tables
from artifact_pipeline.inference.rows import check
from artifact_pipeline.inference.training_bounds import ValueWarning, find
from artifact_pipeline.serving.executor import seconds_until
from artifact_pipeline.serving.http.errors import HTTPError
from artifact_pipeline.serving.http.response import Response
from artifact_pipeline.serving.protocols.open_inference_tensors import check_float32
from artifact_pipeline.serving.registry import ServedModel

MAX_ROW = 1 << 20
"""Characters of one row."""
_WINDOW = MAX_ROW // 4
"""Characters beyond a row that the decoder sees; it decodes at most what it sees in one call."""
_ROWS = Location("rows")
_EXPECTED = 'expected {"rows": [[…], …]}, or records by column name'
_BEGIN = re.compile(r'[ \t\r\n]*\{[ \t\r\n]*"rows"[ \t\r\n]*:[ \t\r\n]*\[[ \t\r\n]*')
_NEXT = re.compile(r"[ \t\r\n]*([,\]])[ \t\r\n]*")
_END = re.compile(r"\}[ \t\r\n]*\Z")
_SMALL_TEXT = 64 << 10
_ROWS_PER_CHECK = 100
"""Rows between two checks of the deadline."""

_Row = list[Any] | dict[str, Any]


class RowsCall(Struct, frozen=True, kw_only=True, gc=False):
    """The checked rows in a request.

    Attributes:
        rows: Their number.
        warnings: Their values that no training row has.
        id_column: The name of the id column, if they have one.
        ids: The values of that column.
    """

    model: ServedModel
    batch: Batch
    rows: int
    warnings: list[ValueWarning] = []
    id_column: str | None = None
    ids: list[str] | None = None

    def respond(self, outputs: Outputs) -> Response:
        """Return predictions with the names that `artifact-pipeline infer --json` uses."""
        model, labels = self.model, self.model.interface.labels
        document: dict[str, Any] = {"model": model.name, "digest": model.digest}
        document["labels" if labels else "predictions"] = outputs.predicted.tolist()
        if outputs.probabilities is not None:
            document["classes"] = labels
            document["probabilities"] = outputs.probabilities.tolist()
        if self.ids is not None:
            document["id"], document["ids"] = self.id_column, self.ids
        if self.warnings:
            document["warnings"] = self.warnings
        return Response(
            status=200,
            content=msgspec.json.encode(document),
            headers=model.headers,
            model=model.name,
            rows=self.rows,
        )


def read(body: bytes, model: ServedModel, *, max_rows: int, end: float | None) -> RowsCall:
    """Return the checked rows in a body.

    Args:
        body: The body, decompressed.
        model: The model that is addressed.
        max_rows: The maximum number of rows.
        end: The deadline on the clock of `time.monotonic`, or None.

    Raises:
        HTTPError: 400 for wrong JSON and for rows that the model does not take, 413 for too many
            rows, 504 at the deadline.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise HTTPError(400, "the body is not UTF-8") from error
    interface = model.interface
    rows = _decode_rows(text, max_rows, end=end)
    batch: Batch
    try:
        if interface.columns is None:
            batch = _matrix(rows, interface)
            columns = [batch]
            count = len(batch)
        else:
            batch, count = _table(rows, interface.columns)
            columns = batch
    except DataError as error:
        raise HTTPError(400, str(error)) from error
    is_large = False
    for port, values in zip(interface.inputs, columns, strict=True):
        check_float32(values, port.dtype, place=port.name)
        is_large |= values.dtype != object and bool((np.abs(values) >= EXACT).any())
    if is_large:
        _check_literals(text, interface, max_rows=max_rows, end=end)
    warnings = find(batch, model.bounds)
    return RowsCall(model=model, batch=batch, rows=count, warnings=warnings)


def _check_literals(text: str, interface: Interface, *, max_rows: int, end: float | None) -> None:
    """Check that no number such as 9007199254740993.0 was rounded when it was decoded."""
    names = [column.name for column in interface.columns or ()] or interface.features
    for number, row in _decode_rows(text, max_rows, end=end, decoder=_LITERALS):
        for name, value in zip(names, _values(row, names, number=number), strict=True):
            if isinstance(value, _Rounded):
                location = _row(number).at(column=name)
                raise HTTPError(
                    400, str(DataError(f"is {value[:60]}, {_BEYOND}", location=location))
                )


class _Rounded(str):
    """A number that a float64 rounds, as the body writes it."""


_LITERALS = json.JSONDecoder(
    parse_float=lambda digits: _Rounded(digits) if is_rounded(digits) else float(digits)
)


def _decode_rows(
    text: str,
    max_rows: int,
    *,
    end: float | None,
    decoder: json.JSONDecoder = canonical.DECODER,
) -> Iterator[tuple[int, _Row]]:
    """Yield each row with its number, counted from 1."""
    match = _BEGIN.match(text)
    if match is None:
        raise _wrong(text)
    start = match.end()
    if text[start : start + 1] == "]":
        raise HTTPError(400, "rows: has no rows to predict")
    window_start, window = 0, text[: MAX_ROW + _WINDOW]
    number, separator = 0, ","
    while separator == ",":
        number += 1
        if number > max_rows:
            raise too_many(max_rows)
        if end is not None and number % _ROWS_PER_CHECK == 0:
            seconds_until(end)
        if start - window_start > _WINDOW:
            window_start, window = start, text[start : start + MAX_ROW + _WINDOW]
        try:
            row, stop = decoder.raw_decode(window, start - window_start)
        except (ValueError, RecursionError) as error:
            if len(text) - start > MAX_ROW and window_start + len(window) < len(text):
                raise HTTPError(
                    413, f"{_row(number)}: is not JSON, or has more than {MAX_ROW} characters"
                ) from error
            raise _wrong(text, number, error=error) from error
        if not isinstance(row, (list, dict)):
            raise HTTPError(
                400, f"{_row(number)}: expected a list of values, or an object by column name"
            )
        yield number, row
        match = _NEXT.match(text, window_start + stop)
        if match is None:
            raise _wrong(text, number)
        separator, start = match[1], match.end()
    if not _END.match(text, start):
        raise _wrong(text)


def too_many(max_rows: int) -> HTTPError:
    """Return the error for a body with more rows than a server predicts at once."""
    return HTTPError(
        413, f"has more than {max_rows} rows, at most {max_rows} are predicted at once"
    )


def _wrong(text: str, number: int | None = None, *, error: Exception | None = None) -> HTTPError:
    """Return the error for a body that is not JSON, or not of the expected form."""
    if len(text) <= _SMALL_TEXT:
        try:
            canonical.decode(text.encode())
        except canonical.NotCanonical as reason:
            return HTTPError(400, f"the body is not JSON: {reason}")
    if number is None:
        return HTTPError(400, _EXPECTED)
    problem = _EXPECTED if error is None else f"is not JSON: {str(error)[:200]}"
    return HTTPError(400, f"{_row(number)}: {problem}")


def _row(number: int) -> Location:
    return _ROWS.at(row=number)


def _matrix(rows: Iterator[tuple[int, _Row]], interface: Interface) -> NDArray[np.float64]:
    """Return the rows for a model of a matrix, (n_rows, n_features)."""
    arrays = []
    features = interface.features
    known = set(features)
    for number, row in rows:
        if isinstance(row, dict) and (extra := [name for name in row if name not in known]):
            raise DataError(f"the column {show(extra[0])} is unknown", location=_row(number))
        values = _values(row, features, number=number)
        if not set(map(type, values)) <= {int, float}:
            index = next(i for i, value in enumerate(values) if type(value) not in (int, float))
            raise DataError(
                f"{features[index]} is {show(values[index])}, expected a number",
                location=_row(number),
            )
        for name, value in zip(features, values, strict=True):
            if type(value) is int and abs(value) > EXACT:
                raise DataError(f"{name} is {show(value)}, {_BEYOND}", location=_row(number))
        arrays.append(np.array(values, dtype=np.float64))
    return check(np.stack(arrays), features, location=_ROWS, limits=interface.limits)


def _table(
    rows: Iterator[tuple[int, _Row]], columns: list[ColumnSpec]
) -> tuple[list[NDArray[Any]], int]:
    """Return the columns for a model of a table, and the number of rows.

    Other values in a record, such as an id, are ignored.
    """
    names = [column.name for column in columns]
    values = [_values(row, names, number=number) for number, row in rows]
    by_column = zip(*values, strict=True)
    batch = [_column(list(v), column) for v, column in zip(by_column, columns, strict=True)]
    tables.check(batch, columns, locate=lambda row: _row(row + 1))
    return batch, len(values)


def _values(row: _Row, names: list[str], *, number: int) -> list[Any]:
    """Return the values of a row in the order of the names."""
    if isinstance(row, dict):
        try:
            return [row[name] for name in names]
        except KeyError as error:
            raise DataError(
                f"the column {show(error.args[0])} is missing", location=_row(number)
            ) from error
    if len(row) != len(names):
        raise DataError(f"found {len(row)} values, expected {len(names)}", location=_row(number))
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
"""The same for a column with a format; an integer may be a date, such as 20260131."""
_BEYOND = "beyond the integers that a float64 can represent (2^53)"
_SURROGATE = "has half a character, a lone surrogate"


def _column(values: list[Any], column: ColumnSpec) -> NDArray[Any]:
    """Return the values of a column as its kind, which never depends on the other rows."""
    types, expected = _TYPES[column.kind]
    if column.format is not None:
        types, expected = _FORMATTED.get(column.kind, (types, expected))
    if not set(map(type, values)) <= types:
        row = next(i for i, value in enumerate(values) if type(value) not in types)
        raise _error(f"is {show(values[row])}, expected {expected}", column, row=row)
    if column.kind == "text":
        return _texts(values, column)
    if column.kind == "date":
        return _parse([None if value is None else str(value) for value in values], column)
    for row, value in enumerate(values):
        if type(value) is int and abs(value) > EXACT:
            raise _error(f"is {show(value)}, {_BEYOND}", column, row=row)
    texts = [value if isinstance(value, str) else None for value in values]
    plain = [None if isinstance(value, str) else value for value in values]
    numbers = np.array(plain, dtype=np.float64)  # where None becomes NaN
    is_text = np.array([value is not None for value in texts])
    return np.where(is_text, _parse(texts, column), numbers) if is_text.any() else numbers


def _texts(values: list[str | None], column: ColumnSpec) -> NDArray[Any]:
    texts = np.empty(len(values), dtype=object)
    texts[:] = ["" if value is None else value for value in values]
    for row, value in enumerate(texts.tolist()):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise _error(_SURROGATE, column, row=row) from error
    return texts


def _parse(texts: list[str | None], column: ColumnSpec) -> NDArray[Any]:
    """Return the numbers or dates in texts as `infer` reads them, (n_rows,) float64."""
    import pyarrow as pa

    name = column.name
    try:
        array = pa.array(texts, pa.string())
    except UnicodeEncodeError as error:
        raise DataError(_SURROGATE, location=_ROWS.at(column=name)) from error
    table, parts = pa.table({name: array}), [Part(str(_ROWS), len(texts))]
    raw = Raw(table=table, parts=parts, format="jsonl", csv=Csv())
    return table_columns.column_of_rows(
        raw, name, kind=column.kind, column_format=column.format
    ).values


def _error(problem: str, column: ColumnSpec, *, row: int) -> DataError:
    return DataError(problem, location=_ROWS.at(row=row + 1, column=column.name))
