"""Columns of text that are numbers, dates or names without a doubt.

Each function gives the answer of the rules in `column_types` and `table_columns`, or none. Arrow
converts a column in a fraction of the time that one regular expression takes.
"""

from __future__ import annotations

import string
from typing import TYPE_CHECKING, Any

from artifact_pipeline.builder.data.number_limits import EXACT
from artifact_pipeline.builder.data.text_cells import floats, view

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

_SAMPLE = 100
"""The number of cells that are converted first, as most columns of text fail on them."""
_NAIVE = {10, 16, 19}
"""The lengths of ISO 8601 dates, and of times to the minute and to the second without a zone."""
_UTC = {17, 20}
"""The lengths of times that end in Z."""
_OTHER_LETTERS = "".join(set(string.ascii_letters) - set("nNiItTfF"))
"""Letters that begin no number, boolean or date."""


def numbers(strings: Any) -> NDArray[Any] | None:
    """Return a column of text as float64 if all its cells are finite numbers in plain digits.

    None if one has a sign other than minus, a leading zero or a space, and if all are missing.

    Args:
        strings: Arrow's text, with decimal points.
    """
    import numpy as np
    import pyarrow as pa

    if strings.null_count == len(strings):
        return None
    values = np.empty(len(strings), dtype=np.float64)
    end = 0
    for chunk in strings.chunks:
        begin, end = end, end + len(chunk)
        try:
            chunk.slice(0, _SAMPLE).cast(pa.float64())
            converted = pa.chunked_array([chunk.cast(pa.float64())])
        except pa.ArrowInvalid:
            return None
        # Arrow reads "nan(1)" as NaN, and "1e999" as an infinity.
        values[begin:end] = floats(converted)
        finite = np.count_nonzero(np.isfinite(values[begin:end]))
        if finite < len(chunk) - chunk.null_count or _has_prefix(chunk):
            return None
    return values


def are_exact(converted: pa.Array) -> bool:
    """Return whether float64 numbers are finite and below 2^53."""
    import numpy as np

    if converted.null_count == len(converted):
        return True
    # A null may hold any number here. With NaN, both extremes are NaN.
    values = view(converted, np.dtype(np.float64))
    return bool(values.min() > -EXACT and values.max() < EXACT)


def dates(strings: Any) -> Any | None:
    """Return a column of text as timestamps if all its cells are ISO 8601 of one kind.

    None if the lengths of the cells allow anything else, and if all are missing.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if strings.null_count == len(strings):
        return None
    for some in (strings.slice(0, _SAMPLE), strings):
        lengths = set(pc.binary_length(some).drop_null().unique().to_pylist())
        if lengths <= _NAIVE:
            moments = pa.timestamp("us")
        elif lengths <= _UTC:
            moments = pa.timestamp("us", "UTC")
        else:
            return None
    try:
        return strings.cast(moments)
    except pa.ArrowInvalid:
        return None


def are_names(strings: Any) -> bool:
    """Return whether at least half of the cells begin with a letter that no other type has."""
    import numpy as np

    is_letter = np.zeros(256, dtype=bool)
    is_letter[list(_OTHER_LETTERS.encode())] = True
    known: int = len(strings) - strings.null_count
    names = 0
    for chunk in strings.chunks:
        codes, begin, end = _bytes(chunk)
        names += int(np.count_nonzero(is_letter[codes[begin]] & (end > begin)))
    return known > 0 and 2 * names >= known


def _has_prefix(chunk: Any) -> bool:
    """Return whether a number has a plus sign, or a zero before another digit."""

    codes, begin, end = _bytes(chunk)
    first = codes[begin]
    if (first == ord("+")).any():
        return True
    for sign, prefix in ((0, first), (1, codes[begin + 1])):
        is_zero = prefix == ord("0")
        if sign:
            is_zero &= first == ord("-")
        after = begin[is_zero] + sign + 1
        following = codes[after[after < end[is_zero]]]
        if ((following >= ord("0")) & (following <= ord("9"))).any():
            return True
    return False


def _bytes(chunk: Any) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return the bytes of a chunk of text, and where each of its cells begins and ends.

    Three zero bytes follow the last cell, so that the bytes after a cell can be looked at.
    """
    import numpy as np
    import pyarrow.types as t

    dtype = np.dtype("int64" if t.is_large_string(chunk.type) else "int32")
    _, offsets, data = chunk.buffers()
    count = len(chunk) + 1
    places = np.frombuffer(offsets, dtype=dtype, count=count, offset=chunk.offset * dtype.itemsize)
    first, last = int(places[0]), int(places[-1])
    codes = np.zeros(last - first + 3, dtype="uint8")
    if last > first:
        codes[:-3] = np.frombuffer(data, dtype="uint8", count=last - first, offset=first)
    places = places - first
    return codes, places[:-1], places[1:]
