"""The columns of a table as a model takes them: numbers and text.

Numbers, booleans and dates are float64; a date is its days since 1970-01-01 in UTC. A missing
number is NaN, a missing text is empty.
"""

from __future__ import annotations

import datetime
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from artifact_pipeline.builder.config.messages import show
from artifact_pipeline.builder.config.resolved import ColumnFormat
from artifact_pipeline.builder.config.values import Csv, Kind
from artifact_pipeline.builder.data import column_types, plain_columns, table_formats
from artifact_pipeline.builder.data.column_types import json_option, with_points
from artifact_pipeline.builder.data.number_limits import EXACT, is_rounded
from artifact_pipeline.builder.data.table_reader import Part, Raw
from artifact_pipeline.builder.data.text_cells import TextCells, floats, text_cells
from artifact_pipeline.builder.data.wrong_rows import WrongRows
from artifact_pipeline.errors import DataError, Location

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

MICROSECONDS = 86_400_000_000
"""Microseconds in a day."""
EPOCH = datetime.datetime(1970, 1, 1)

_ZONE = r":.*(Z|[+-]\d{2}(:?\d{2})?)$"


class ColumnData(NamedTuple):
    """A column as a model takes it."""

    kind: Kind
    values: NDArray[Any]
    """(n_rows,) float64, or objects for text."""
    note: str = ""
    """Why it is text although most of its values look like something else."""
    cells: TextCells | None = None
    """Its texts, if it is text that is not made of other values."""

    def without_value(self) -> NDArray[Any]:
        """Return where a label or a group is missing, (n_rows,) booleans: null, NaN or blank."""
        import numpy as np

        if self.kind == "text":
            return self._of_texts(lambda text: not text.strip(), dtype=np.dtype(bool))
        missing: NDArray[Any] = np.isnan(self.values)
        return missing

    def labels(self) -> NDArray[Any]:
        """Return the texts of a column as an array of `str`, (n_rows,)."""
        import numpy as np

        return self._of_texts(str, dtype=np.dtype(str))

    def _of_texts(self, function: Callable[[str], Any], *, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return what a function of a text gives for each row, calling it once for equal texts."""
        import numpy as np

        cells = self.cells
        texts = self.values if cells is None else _texts(cells.texts)
        values = np.array([function(text) for text in texts.tolist()], dtype=dtype)
        return values if cells is None else cells.spread(values, null=function(""))


class _Cells(NamedTuple):
    """A column of text with what errors about its cells need."""

    text: TextCells
    raw: Raw
    name: str
    format: ColumnFormat | None

    def location(self, index: int) -> Location:
        """Return the location of the first cell with one of the column's texts."""
        return self.raw.cell(self.text.row(index), self.name)


def column(
    raw: Raw, name: str, *, kind: Kind | None = None, column_format: ColumnFormat | None = None
) -> ColumnData:
    """Return a column of a table.

    Args:
        raw: The table.
        name: The name of the column.
        kind: The type of its values; inferred by default.
        column_format: The format of numbers or dates in text.

    Raises:
        DataError: For a value of another type, an infinity, an integer that a float64 does not
            hold, and a column of lists or objects; with the file and the row.
    """
    import pyarrow as pa
    import pyarrow.types as t

    values = raw.table.column(name)
    if column_format is not None:
        kind = kind or column_format.kind
        if column_format.date is not None and t.is_integer(values.type):  # such as 20260131
            values = values.cast(pa.string())
    if t.is_null(values.type):
        values = values.cast(pa.string())
    if t.is_string_view(values.type):
        values = values.cast(pa.large_string())
    if t.is_string(values.type) or t.is_large_string(values.type) or t.is_dictionary(values.type):
        return _text_column(values, raw, name=name, kind=kind, column_format=column_format)
    own = _kind_of(values.type)
    location = raw.location().at(column=name)
    if own is None:
        raise DataError(
            f"has the type {str(values.type)[:60]}, which is not a number, date or text",
            location=location,
            remedy="name it in data.drop",
        )
    if kind == "text":
        if raw.sources and t.is_floating(values.type):  # integers keep the digits of the file
            texts = [None if value is None else str(value) for value in raw.literals(name)]
            values = pa.chunked_array([pa.array(texts, type=pa.string())])
        return ColumnData(kind="text", values=_texts(values.cast(pa.string())))
    if kind not in (None, own):
        raise DataError(
            f"is a column of {own}s, expected {kind}s",
            location=location,
            remedy="correct its type in data.columns",
        )
    if own == "date":
        return ColumnData(kind=own, values=_days(_microseconds(values, raw, name=name)))
    numbers = values.cast(pa.float64()) if own == "boolean" else values
    return ColumnData(kind=own, values=_finite(numbers, raw, name=name))


def column_of_rows(
    raw: Raw, name: str, *, kind: Kind, column_format: ColumnFormat | None
) -> ColumnData:
    """Return a column of rows to predict.

    Args:
        raw: The rows.
        name: The name of the column.
        kind: The type that a sealed model takes.
        column_format: The format of numbers or dates in text.

    Raises:
        DataError: As `column`, without a remedy: a setting of the config changes a training table.
    """
    try:
        return column(raw, name, kind=kind, column_format=column_format)
    except WrongRows:  # it has no remedy
        raise
    except DataError as error:
        raise DataError(error.problem, location=error.location) from error


def _text_column(
    strings: Any, raw: Raw, *, name: str, kind: Kind | None, column_format: ColumnFormat | None
) -> ColumnData:
    """Return a column of text, or of a dictionary of texts, as `column` does."""
    import pyarrow.types as t

    is_encoded = t.is_dictionary(strings.type)
    text = text_cells(strings) if is_encoded else TextCells(strings, strings)
    cells = _Cells(text=text, raw=raw, name=name, format=column_format)
    if column_format is None and (plain := _plain_column(cells, kind)) is not None:
        return plain
    if not is_encoded:
        cells = cells._replace(text=text_cells(strings))
    inferred = (
        column_types.Inferred(kind) if kind else column_types.infer(cells.text, raw, name=name)
    )
    return ColumnData(
        kind=inferred.kind,
        values=_PARSERS[inferred.kind](cells),
        note=inferred.note,
        cells=cells.text if inferred.kind == "text" else None,
    )


def _plain_column(cells: _Cells, kind: Kind | None) -> ColumnData | None:
    """Return a column of text as numbers or dates if it is that without a doubt."""
    import numpy as np

    texts, raw = cells.text.texts, cells.raw
    if kind == "number" or (kind is None and raw.format == "csv"):
        pointed = with_points(texts, raw)
        numbers = plain_columns.numbers(pointed)
        if numbers is not None:
            values = _finite(numbers, raw, name=cells.name, texts=pointed, locate=cells.location)
            return ColumnData(kind="number", values=cells.text.spread(values, null=np.nan))
    if kind in (None, "date"):
        moments = plain_columns.dates(texts)
        if moments is not None:
            return ColumnData(kind="date", values=cells.text.spread(_days(moments), null=np.nan))
    return None


def _kind_of(arrow_type: Any) -> Kind | None:
    """Return the type of values of an Arrow type, text aside."""
    import pyarrow.types as t

    if t.is_boolean(arrow_type):
        return "boolean"
    if t.is_integer(arrow_type) or t.is_floating(arrow_type) or t.is_decimal(arrow_type):
        return "number"
    return "date" if t.is_date(arrow_type) or t.is_timestamp(arrow_type) else None


def value(text: str, kind: Kind, *, column_format: ColumnFormat | None = None) -> float | str:
    """Return the value of a text in a column.

    Args:
        text: A cell as in a CSV file.
        kind: The type of the column.
        column_format: The format of its numbers or dates, if it is not the usual one.

    Returns:
        A number, the text, or for a date the days since 1970.

    Raises:
        DataError: If it has another type.
    """
    import pyarrow as pa

    table = pa.table({"value": pa.array([text])})
    raw = Raw(table=table, parts=[Part("value", 1)], format="csv", csv=Csv())
    [parsed] = column(raw, "value", kind=kind, column_format=column_format).values.tolist()
    return parsed  # type: ignore[no-any-return]


def format_of(raw: Raw, name: str) -> ColumnFormat | None:
    """Return the only format in which all values of a column of text can be read, if any."""
    import pyarrow.types as t

    strings = raw.column(name)
    if not (t.is_string(strings.type) or t.is_large_string(strings.type)):
        return None
    proposal = column_types.propose_format(strings, raw)
    if proposal is None or not proposal.all or len(proposal.formats) != 1:
        return None
    [column_format] = proposal.formats
    try:
        column(raw, name, column_format=column_format)
    except DataError:
        return None
    return column_format


def _texts(strings: Any) -> NDArray[Any]:
    import numpy as np

    values = np.empty(len(strings), dtype=object)
    values[:] = ["" if text is None else text for text in strings.to_pylist()]
    return values


def _parse_texts(cells: _Cells) -> NDArray[Any]:
    return cells.text.spread(_texts(cells.text.texts), null="")


def _parse_numbers(cells: _Cells) -> NDArray[Any]:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = cells.text.texts
    if cells.format is not None:
        plain, good = table_formats.numbers(texts, cells.format, decimal=cells.raw.csv.decimal)
        _refuse(cells, good, expected=f"a number as in data.formats: {_as_json(cells.format)}")
    else:
        pointed = with_points(texts, cells.raw)
        good = pc.match_substring_regex(pointed, column_types.NUMBER)
        _refuse(cells, good, expected="a number")
        plain = pc.replace_substring_regex(pc.utf8_trim_whitespace(pointed), r"^\+", "")
    numbers = _finite(
        plain.cast(pa.float64()), cells.raw, name=cells.name, texts=plain, locate=cells.location
    )
    return cells.text.spread(numbers, null=np.nan)


def _as_json(column_format: ColumnFormat) -> str:
    return json.dumps(msgspec.to_builtins(column_format), ensure_ascii=False)


def _parse_booleans(cells: _Cells) -> NDArray[Any]:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = cells.text.texts
    _refuse(cells, pc.match_substring_regex(texts, column_types.BOOLEAN), expected="true or false")
    values = floats(pc.match_substring_regex(texts, r"(?i:true)").cast(pa.float64()))
    return cells.text.spread(values, null=np.nan)


def _parse_dates(cells: _Cells) -> NDArray[Any]:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if cells.format is not None and cells.format.date is not None:
        return _parse_formatted_dates(cells, cells.format.date)
    texts = pc.utf8_trim_whitespace(cells.text.texts)
    good = pc.match_substring_regex(texts, table_formats.DATE)
    _refuse(cells, good, expected="a date, such as 2026-01-31 or 2026-01-31T12:00")
    zoned = pc.match_substring_regex(texts, _ZONE)
    moments = pc.if_else(zoned, texts, pc.replace_substring_regex(texts, r"^(.*)$", r"\1Z"))
    # A zone needs a time before it.
    moments = pc.replace_substring_regex(moments, r"^(\S{10})Z$", r"\1T00:00:00Z")
    try:
        days = _days(moments.cast(pa.timestamp("us", "UTC")))
    except pa.ArrowInvalid:
        for index, moment in enumerate(moments.to_pylist()):
            try:
                pa.array([moment]).cast(pa.timestamp("us", "UTC"))
            except pa.ArrowInvalid as error:
                text = show(cells.text.texts[index].as_py())
                raise DataError(
                    f"found {text}, which is not a valid date or time",
                    location=cells.location(index),
                ) from error
        raise
    return cells.text.spread(days, null=np.nan)


def _parse_formatted_dates(cells: _Cells, date_format: str) -> NDArray[Any]:
    import numpy as np

    texts = cells.text.texts.to_pylist()
    days: dict[str | None, float] = {None: np.nan}
    for index, text in enumerate(texts):
        if text in days:
            continue
        moment = table_formats.moment(text, date_format)
        if moment is None:
            raise DataError(
                f"found {show(text)}, expected a date as in data.formats: {show(date_format)}",
                location=cells.location(index),
            )
        days[text] = (moment - EPOCH) // datetime.timedelta(microseconds=1) / MICROSECONDS
    values = np.array([days[text] for text in texts], dtype=np.float64)
    return cells.text.spread(values, null=np.nan)


def _microseconds(moments: Any, raw: Raw, *, name: str) -> Any:
    """Return dates and times of any unit in microseconds, without smaller fractions."""
    import pyarrow as pa

    unit = pa.timestamp("us", getattr(moments.type, "tz", None))
    if getattr(moments.type, "unit", "") == "ns":
        return moments.cast(unit, safe=False)
    try:
        return moments.cast(unit)
    except pa.ArrowInvalid as error:
        counts = moments.cast(pa.int32() if pa.types.is_date32(moments.type) else pa.int64())
        row = max(range(len(counts)), key=lambda row: abs(counts[row].as_py() or 0))
        problem = "found a date that is too far away"
        raise DataError(problem, location=raw.cell(row, name)) from error


def _days(moments: Any) -> NDArray[Any]:
    import pyarrow as pa

    return floats(moments.cast(pa.int64())) / MICROSECONDS


def _finite(
    numbers: Any,
    raw: Raw,
    *,
    name: str,
    texts: Any = None,
    locate: Callable[[int], Location] | None = None,
) -> NDArray[Any]:
    """Return numbers as float64, and refuse integers that would change.

    Args:
        numbers: The column as numbers, of Arrow or float64.
        raw: Its table.
        name: Its name.
        texts: The text of each number, where the column is text.
        locate: The location of a number by its index; by default that is its row.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.types as t

    values = numbers if isinstance(numbers, np.ndarray) else floats(numbers)
    # Ufuncs that ignore NaN, and make no temporary array.
    if np.fmax.reduce(values, initial=0) < EXACT and np.fmin.reduce(values, initial=0) > -EXACT:
        return values
    large = np.flatnonzero(np.abs(values) >= EXACT).tolist()
    exact = False
    if texts is None:
        exact = t.is_integer(numbers.type) or t.is_decimal(numbers.type)
        if raw.sources and t.is_floating(numbers.type):
            literals = raw.literals(name)
            texts = pa.array(
                [literal if isinstance(literal, str) else None for literal in literals],
                pa.string(),
            )
    for index in large:
        literal = None if texts is None else texts[index].as_py()
        number = values[index].item() if literal is not None else numbers[index].as_py()
        found = str(number if literal is None else literal).strip()[:60]
        location = raw.cell(index, name) if locate is None else locate(index)
        if np.isinf(values[index]):
            raise DataError(f"found {found}, expected a finite number", location=location)
        if abs(number) > EXACT if exact else literal is not None and is_rounded(literal):
            raise DataError(
                f"found {found}, beyond the integers that a float64 can represent (2^53)",
                location=location,
                remedy=f"if it is an identifier, set data.columns: {json_option(name, 'text')}",
            )
    return values


def _refuse(cells: _Cells, good: Any, *, expected: str) -> None:
    """Raise an error for the first value that is not good."""
    import numpy as np
    import pyarrow.compute as pc

    if pc.all(good).as_py() is False:
        wrong = pc.invert(good)
        row, text = cells.text.first(wrong)
        problem = f"found {show(text)}, expected {expected}"
        rows, row_numbers = cells.text.rows(wrong), cells.raw.row_numbers
        if row_numbers is not None:
            rows = np.array(row_numbers)[rows]
        raise WrongRows(problem, location=cells.raw.cell(row, cells.name), rows=rows)


_PARSERS: dict[Kind, Callable[[_Cells], NDArray[Any]]] = {
    "number": _parse_numbers,
    "boolean": _parse_booleans,
    "date": _parse_dates,
    "text": _parse_texts,
}
