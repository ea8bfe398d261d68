"""What the values of a column are: found, or as told; as numbers and text that a model takes.

Numbers, booleans and dates become float64 (a date its days since 1970-01-01, in UTC), text stays
text. A missing number is NaN, a missing text is empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from artifact_pipeline.errors import DataError
from artifact_pipeline.explain import show
from artifact_pipeline.settings import Kind
from artifact_pipeline.tables.reading import Raw

if TYPE_CHECKING:
    from numpy.typing import NDArray

EXACT = 2**53
"""The integers below are the ones that a float64 holds, each of them."""
MICROSECONDS = 86_400_000_000
"""Of a day."""

_NUMBER = r"^\s*[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|(?i:nan|inf|infinity))\s*$"
_PADDED = r"^\s*[+-]?0\d"
_DATE = r"^\s*\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})?)?\s*$"
_ZONE = r":.*(Z|[+-]\d{2}:?\d{2})$"
_BOOLEAN = r"^\s*(?i:true|false)\s*$"


class Column(NamedTuple):
    """A column as a model takes it."""

    kind: Kind
    values: NDArray[Any]
    """(n_rows,) float64, or str as objects."""
    missing: NDArray[Any]
    """(n_rows,) whether the table had no value there."""


def column(raw: Raw, name: str, kind: Kind | None = None) -> Column:
    """Return a column of a table, of a kind that is told or else found.

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
    if t.is_null(type_):
        found, type_ = found.cast(pa.string()), pa.string()
    if t.is_string(type_) or t.is_large_string(type_) or t.is_string_view(type_):
        asked = kind or (_infer(found, raw, name) if raw.form == "csv" else "text")
        return Column(asked, _PARSE[asked](found, raw, name), missing)
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
        return Column("text", _text(found.cast(pa.string()), raw, name), missing)
    if kind not in (None, own):
        raise DataError(
            f"holds values that are each a {own}, and data.columns says {kind}",
            where=f"{raw.where()}, column {show(name)}",
        )
    if own == "date":
        return Column(own, _days(values), missing)
    return Column(own, _finite(values, raw, name), missing)


def _infer(strings: Any, raw: Raw, name: str) -> Kind:
    """Return the kind of a column of text: what all values are, or text.

    A column most of whose values are numbers, and some are not, is a question to its owner.
    """
    import pyarrow.compute as pc

    known = len(strings) - strings.null_count
    padded = _count(pc.match_substring_regex(strings, _PADDED)) > 0
    if not known or (padded and not pc.all(pc.match_substring_regex(strings, _DATE)).as_py()):
        return "text"
    if _count(pc.match_substring_regex(strings, _BOOLEAN)) == known:
        return "boolean"
    looks: tuple[tuple[Kind, str], ...] = (("number", _NUMBER), ("date", _DATE))
    for kind, pattern in looks:
        written = _pointed(strings, raw) if kind == "number" else strings
        matches = pc.match_substring_regex(written, pattern)
        count = _count(matches)
        if count == known:
            return kind
        if 2 * count > known:
            row, value = _first(strings, pc.invert(matches))
            raise DataError(
                f"found {show(value)} among {kind}s; is it missing? Then name it in "
                f'data.csv.null_values. Is it text? Then say data.columns: {{"{name}": "text"}}',
                where=raw.cell(row, name),
            )
    return "text"


def _pointed(strings: Any, raw: Raw) -> Any:
    """Return numbers with a decimal point, where they are written with a comma."""
    import pyarrow.compute as pc

    if raw.how.decimal == ".":
        return strings
    # A point would be lost among the commas: it is no decimal mark here.
    return pc.replace_substring(pc.replace_substring(strings, ".", "_"), ",", ".")


def _text(strings: Any, _: Raw, __: str) -> NDArray[Any]:
    import numpy as np

    values = np.empty(len(strings), dtype=object)
    values[:] = ["" if one is None else one for one in strings.to_pylist()]
    return values


def _numbers(strings: Any, raw: Raw, name: str) -> NDArray[Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

    pointed = _pointed(strings, raw)
    _refuse(strings, pc.match_substring_regex(pointed, _NUMBER), raw, name, "a number")
    bare = pc.replace_substring_regex(pc.utf8_trim_whitespace(pointed), r"^\+", "")
    return _finite(bare.cast(pa.float64()), raw, name, strings)


def _truths(strings: Any, raw: Raw, name: str) -> NDArray[Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

    _refuse(strings, pc.match_substring_regex(strings, _BOOLEAN), raw, name, "true or false")
    return _floats(pc.match_substring_regex(strings, r"(?i:true)").cast(pa.float64()))


def _dates(strings: Any, raw: Raw, name: str) -> NDArray[Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

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


def _days(moments: Any) -> NDArray[Any]:
    import pyarrow as pa

    zone = getattr(moments.type, "tz", None)
    moved = moments.cast(pa.timestamp("us", zone), safe=False).cast(pa.int64())
    return _floats(moved.cast(pa.float64(), safe=False)) / MICROSECONDS


def _finite(numbers: Any, raw: Raw, name: str, written: Any = None) -> NDArray[Any]:
    """Return numbers as float64, where each is what it was."""
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
    integers = t.is_integer(numbers.type) or written is not None
    for row in np.flatnonzero(np.abs(values) >= EXACT).tolist() if integers else ():
        value = str((numbers if written is None else written)[row].as_py()).strip()
        if value.lstrip("+-").isdigit() and abs(int(value)) > EXACT:
            raise DataError(
                f"found {value}, beyond the integers that a float64 holds (2^53); is it a name? "
                f'Then say data.columns: {{"{name}": "text"}}',
                where=raw.cell(row, name),
            )
    return values


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


_PARSE = {"number": _numbers, "boolean": _truths, "date": _dates, "text": _text}
