"""What the values of a column are: found, or as told; as numbers and text that a model takes.

Numbers, booleans and dates become float64 (a date its days since 1970-01-01, in UTC), text stays
text. A missing number is NaN, a missing text is empty.
"""

from __future__ import annotations

import datetime
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from artifact_pipeline.builder.config.messages import show
from artifact_pipeline.builder.config.resolved import ColumnFormat
from artifact_pipeline.builder.config.schema import Csv, Kind
from artifact_pipeline.builder.data import table_formats
from artifact_pipeline.builder.data.table_reader import Raw
from artifact_pipeline.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

EXACT = 2**53
"""The integers below are the ones that a float64 holds, each of them."""
MICROSECONDS = 86_400_000_000
"""Of a day."""
EPOCH = datetime.datetime(1970, 1, 1)

_NUMBER = r"^\s*[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|(?i:nan|inf|infinity))\s*$"
_PADDED = r"^\s*[+-]?0\d"
_DATE = r"^\s*\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})?)?\s*$"
_ZONE = r":.*(Z|[+-]\d{2}:?\d{2})$"
_BOOLEAN = r"^\s*(?i:true|false)\s*$"


class ColumnData(NamedTuple):
    """A column as a model takes it."""

    kind: Kind
    values: NDArray[Any]
    """(n_rows,) float64, or str as objects."""
    missing: NDArray[Any]
    """(n_rows,) whether the table had no value there."""
    note: str = ""
    """Why it is text although most of its values look like something else."""


def column(
    raw: Raw, name: str, kind: Kind | None = None, form: ColumnFormat | None = None
) -> ColumnData:
    """Return a column of a table, of a kind that is told or else found.

    `form` says how numbers or dates are written in text.

    Raises:
        DataError: for a value that is not of the kind (text among numbers), an infinity, an
            integer beyond 2^53, and what is no value at all, such as a list; by file and row.
    """
    import pyarrow as pa
    import pyarrow.types as t

    found = raw.table.column(name)
    if t.is_dictionary(found.type):
        found = found.cast(found.type.value_type)
    missing = _nulls(found)
    type_ = found.type
    if form is not None:
        kind = kind or form.kind
        if form.date is not None and t.is_integer(type_):  # such as 20260131
            found, type_ = found.cast(pa.string()), pa.string()
    if t.is_null(type_):
        found, type_ = found.cast(pa.string()), pa.string()
    if t.is_string(type_) or t.is_large_string(type_) or t.is_string_view(type_):
        if t.is_string_view(type_):
            found = found.cast(pa.large_string())
        asked, note = (kind, "") if kind else _infer(found, raw, name)
        return ColumnData(asked, _PARSE[asked](found, raw, name, form), missing, note)
    own: Kind
    if t.is_boolean(type_):
        own, values = "boolean", found.cast(pa.float64())
    elif t.is_integer(type_) or t.is_floating(type_) or t.is_decimal(type_):
        own, values = "number", found
    elif t.is_date(type_) or t.is_timestamp(type_):
        own, values = "date", found
    else:
        raise DataError(
            f"holds {str(type_)[:60]}, which is no number, date or text; name it in data.drop",
            where=f"{raw.where()}, column {show(name)}",
        )
    if kind == "text":
        if raw.sources and t.is_floating(type_):  # an integer among them is as it is alone
            written = [None if one is None else str(one) for one in raw.literals(name)]
            found = pa.chunked_array([pa.array(written, type=pa.string())])
        return ColumnData("text", _text(found.cast(pa.string()), raw, name), missing)
    if kind not in (None, own):
        raise DataError(
            f"holds values that are each a {own}, expected a {kind}; data.columns says what a "
            "column is",
            where=f"{raw.where()}, column {show(name)}",
        )
    if own == "date":
        return ColumnData(own, _days(_microseconds(values, raw, name)), missing)
    return ColumnData(own, _finite(values, raw, name), missing)


def _infer(strings: Any, raw: Raw, name: str) -> tuple[Kind, str]:
    """Return the kind of a column of text, and a note where it is text in spite of its looks.

    It is what all of its values are. Most values of one kind among others are a question to its
    owner. Texts of a typed format are never numbers, since a number would be typed as one.
    """
    import pyarrow.compute as pc

    typed = raw.form != "csv"
    if raw.form == "parquet":
        return "text", _note(strings, raw, name)
    known = len(strings) - strings.null_count
    padded = not typed and _count(pc.match_substring_regex(strings, _PADDED)) > 0
    if not known:
        return "text", ""
    if padded and not pc.all(pc.match_substring_regex(strings, _DATE)).as_py():
        return "text", _note_of_padded(strings, raw, name) or _note(strings, raw, name)
    truths = 0 if typed else _count(pc.match_substring_regex(strings, _BOOLEAN))
    if truths == known:
        return "boolean", ""
    if 2 * truths > known:
        return "text", (
            f"the column {show(name)} is read as text, though most of its values are true or "
            "false; name what means a missing value in data.csv.null_values, or keep it with "
            f'data.columns: {{"{name}": "text"}}'
        )
    looks: tuple[tuple[Kind, str], ...] = (("number", _NUMBER), ("date", _DATE))
    for kind, pattern in looks[typed:]:
        written = _pointed(strings, raw) if kind == "number" else strings
        matches = pc.match_substring_regex(written, pattern)
        count = _count(matches)
        if count == known:
            return kind, ""
        if 2 * count > known:
            row, value = _first(strings, pc.invert(matches))
            missing = "write null for it" if typed else "name it in data.csv.null_values"
            found = _proposal(strings, raw)
            hint = ""
            if found and found.all and found.formats:
                hint = f" Is it written in another way? Then say {_remedy(name, found)}."
            raise DataError(
                f"found {show(value)} among {kind}s; is it missing? Then {missing}."
                f'{hint} Is it text? Then say data.columns: {{"{name}": "text"}}',
                where=raw.cell(row, name),
            )
    return "text", _note(strings, raw, name)


def value(text: str, kind: Kind, form: ColumnFormat | None = None) -> float | str:
    """Return what a text means in a column of a kind.

    Raises:
        DataError: if it is not of the kind.
    """
    import pyarrow as pa

    raw = Raw(pa.table({"value": pa.array([text])}), [("value", 1)], "csv", Csv())
    [found] = column(raw, "value", kind, form).values.tolist()
    return found  # type: ignore[no-any-return]


def format_of(raw: Raw, name: str) -> ColumnFormat | None:
    """Return the one format in which all values of a column of text can be read, if any."""
    import pyarrow.types as t

    strings = raw.table.column(name)
    textual = t.is_string(strings.type) or t.is_large_string(strings.type)
    found = _proposal(strings, raw) if textual else None
    if found is None or not found.all or len(found.formats) != 1:
        return None
    [form] = found.formats
    try:
        column(raw, name, None, form)
    except DataError:
        return None
    return form


def _proposal(strings: Any, raw: Raw) -> table_formats.Proposal | None:
    some = strings.drop_null().slice(0, table_formats.SAMPLE).to_pylist()
    return table_formats.propose(some, raw.how.decimal) if some else None


def _note(strings: Any, raw: Raw, name: str) -> str:
    found = _proposal(strings, raw)
    if found is None:
        return ""
    said = f"the column {show(name)} is read as text, though most of its values look like "
    if not found.formats:
        return (
            f"{said}dates, written in several ways, such as {show(found.example)}; write them in "
            f'one way, or keep them as text with data.columns: {{"{name}": "text"}}'
        )
    return (
        f"{said}{found.kind}s, such as {show(found.example)}; read them with "
        f'{_remedy(name, found)}, or keep them as text with data.columns: {{"{name}": "text"}}'
    )


def _remedy(name: str, found: table_formats.Proposal) -> str:
    ways = [
        json.dumps({name: msgspec.to_builtins(form)}, ensure_ascii=False) for form in found.formats
    ]
    return f"data.formats: {' or '.join(ways[:2])}" if ways else "data.formats"


def _note_of_padded(strings: Any, raw: Raw, name: str) -> str:
    """Return what to say of numbers that are text because of leading zeros, such as one 007.

    Codes of one length, such as postal codes, need no word.
    """
    import pyarrow.compute as pc

    numbers = pc.match_substring_regex(_pointed(strings, raw), _NUMBER)
    if 2 * _count(numbers) <= len(strings) - strings.null_count:
        return ""
    lengths = pc.utf8_length(pc.utf8_trim_whitespace(strings.filter(numbers)))
    padded = pc.match_substring_regex(strings, _PADDED)
    if len(lengths.unique()) == 1 or 2 * _count(padded) > _count(numbers):
        return ""
    row, value = _first(strings, padded)
    return (
        f"the column {show(name)} is read as text, though most of its values are numbers, because "
        f"{show(value)} in {raw.place(row)} has a leading zero; say which it is with data.columns: "
        f'{{"{name}": "number"}} or {{"{name}": "text"}}'
    )


def _pointed(strings: Any, raw: Raw) -> Any:
    """Return numbers with a decimal point, where they are written with a comma."""
    import pyarrow.compute as pc

    if raw.how.decimal == ".":
        return strings
    # A point would be lost among the commas: it is no decimal mark here.
    return pc.replace_substring(pc.replace_substring(strings, ".", "_"), ",", ".")


def _text(strings: Any, *_: Any) -> NDArray[Any]:
    import numpy as np

    values = np.empty(len(strings), dtype=object)
    values[:] = ["" if one is None else one for one in strings.to_pylist()]
    return values


def _numbers(strings: Any, raw: Raw, name: str, form: ColumnFormat | None) -> NDArray[Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if form is not None:
        plain, good = table_formats.numbers(strings, form, raw.how.decimal)
        what = "a number as data.formats says: " + json.dumps(
            msgspec.to_builtins(form), ensure_ascii=False
        )
        _refuse(strings, good, raw, name, what)
        return _finite(plain.cast(pa.float64()), raw, name, plain)
    pointed = _pointed(strings, raw)
    _refuse(strings, pc.match_substring_regex(pointed, _NUMBER), raw, name, "a number")
    bare = pc.replace_substring_regex(pc.utf8_trim_whitespace(pointed), r"^\+", "")
    return _finite(bare.cast(pa.float64()), raw, name, strings)


def _truths(strings: Any, raw: Raw, name: str, _: ColumnFormat | None) -> NDArray[Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

    _refuse(strings, pc.match_substring_regex(strings, _BOOLEAN), raw, name, "true or false")
    return _floats(pc.match_substring_regex(strings, r"(?i:true)").cast(pa.float64()))


def _dates(strings: Any, raw: Raw, name: str, form: ColumnFormat | None) -> NDArray[Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if form is not None and form.date is not None:
        return _formatted_dates(strings, raw, name, form.date)
    bare = pc.utf8_trim_whitespace(strings)
    what = "a date, such as 2026-01-31 or 2026-01-31T12:00"
    _refuse(strings, pc.match_substring_regex(bare, _DATE), raw, name, what)
    zoned = pc.match_substring_regex(bare, _ZONE)
    moments = pc.if_else(zoned, bare, pc.replace_substring_regex(bare, r"^(.*)$", r"\1Z"))
    # A bare date has no time that a zone could follow.
    moments = pc.replace_substring_regex(moments, r"^(\S{10})Z$", r"\1T00:00:00Z")
    try:
        return _days(moments.cast(pa.timestamp("us", "UTC")))
    except pa.ArrowInvalid:
        for row, value in enumerate(moments.to_pylist()):
            try:
                pa.array([value]).cast(pa.timestamp("us", "UTC"))
            except pa.ArrowInvalid as error:
                raise DataError(
                    f"found {show(strings[row].as_py())}, which is no day or time that there is",
                    where=raw.cell(row, name),
                ) from error
        raise


def _formatted_dates(strings: Any, raw: Raw, name: str, form: str) -> NDArray[Any]:
    import numpy as np

    values = strings.to_pylist()
    days: dict[str | None, float] = {None: np.nan}
    for row, value in enumerate(values):
        if value in days:
            continue
        found = table_formats.moment(value, form)
        if found is None:
            raise DataError(
                f"found {show(value)}, expected a date as data.formats says: {show(form)}",
                where=raw.cell(row, name),
            )
        days[value] = (found - EPOCH) // datetime.timedelta(microseconds=1) / MICROSECONDS
    return np.array([days[value] for value in values], dtype=np.float64)


def _microseconds(moments: Any, raw: Raw, name: str) -> Any:
    """Return dates and times of any unit in microseconds, without what is smaller."""
    import pyarrow as pa

    unit = pa.timestamp("us", getattr(moments.type, "tz", None))
    if getattr(moments.type, "unit", "") == "ns":
        return moments.cast(unit, safe=False)
    try:
        return moments.cast(unit)
    except pa.ArrowInvalid as error:
        days = moments.cast(pa.int32() if pa.types.is_date32(moments.type) else pa.int64())
        row = max(range(len(days)), key=lambda one: abs(days[one].as_py() or 0))
        raise DataError("found a date that is too far away", where=raw.cell(row, name)) from error


def _days(moments: Any) -> NDArray[Any]:
    import pyarrow as pa

    return _floats(moments.cast(pa.int64()).cast(pa.float64(), safe=False)) / MICROSECONDS


def _finite(numbers: Any, raw: Raw, name: str, written: Any = None) -> NDArray[Any]:
    """Return numbers as float64, where each is what it was; `written` is the text of each."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.types as t

    values = _floats(numbers.cast(pa.float64(), safe=False))
    if np.isinf(values).any():
        row = int(np.flatnonzero(np.isinf(values))[0])
        raise DataError(
            f"found {values[row]}, expected a finite number",
            where=raw.cell(row, name),
        )
    exact = t.is_integer(numbers.type) or t.is_decimal(numbers.type)
    if not exact and written is None and not raw.sources:
        return values
    large = np.flatnonzero(np.abs(values) >= EXACT).tolist()
    if large and not exact and written is None:
        texts = [one if isinstance(one, str) else "" for one in raw.literals(name)]
        written = pa.array(texts, type=pa.string())
    for row in large:
        found = (numbers if written is None else written)[row].as_py()
        value = str(found).strip()
        whole = value.lstrip("+-").isdigit()
        if abs(found) > EXACT if written is None else whole and _exceeds(value):
            raise DataError(
                f"found {value[:60]}, beyond the integers that "
                "a float64 holds (2^53); is it a name? "
                f'Then say data.columns: {{"{name}": "text"}}',
                where=raw.cell(row, name),
            )
    return values


def _exceeds(digits: str) -> bool:
    # Python refuses to read thousands of digits.
    return len(digits.lstrip("+-0")) > 17 or abs(int(digits)) > EXACT


def _buffer(column: Any, dtype: str) -> NDArray[Any]:
    """Return a column as an array, anything where it is null.

    Arrow's own conversions, those of a single Python value as well, would import pandas.
    """
    import numpy as np

    parts = [
        np.frombuffer(one.buffers()[1], dtype=dtype, count=len(one), offset=one.offset * size)
        for one in column.chunks
        if (size := np.dtype(dtype).itemsize) and len(one)
    ]
    return np.concatenate(parts) if parts else np.empty(0, dtype=dtype)


def _nulls(column: Any) -> NDArray[Any]:
    import pyarrow as pa

    return _buffer(column.is_null().cast(pa.uint8()), "uint8").astype(bool)


def _floats(column: Any) -> NDArray[Any]:
    import numpy as np

    return np.where(_nulls(column), np.nan, _buffer(column, "float64"))


def _refuse(strings: Any, good: Any, raw: Raw, name: str, expected: str) -> None:
    import pyarrow.compute as pc

    if pc.all(good).as_py() is False:
        row, value = _first(strings, pc.invert(good))
        place = raw.cell(row, name)
        raise DataError(f"found {show(value)}, expected {expected}", where=place)


def _first(strings: Any, mask: Any) -> tuple[int, str]:
    import pyarrow.compute as pc

    row = pc.index(mask, True).as_py()
    return row, strings[row].as_py()


def _count(mask: Any) -> int:
    import pyarrow.compute as pc

    return int(pc.sum(mask).as_py() or 0)


_PARSE: dict[Kind, Callable[[Any, Raw, str, ColumnFormat | None], NDArray[Any]]] = {
    "number": _numbers,
    "boolean": _truths,
    "date": _dates,
    "text": _text,
}
