"""Numbers and dates in text with separators, units or another order: read, and recognised."""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from artifact_pipeline.builder.config.resolved import ColumnFormat
from artifact_pipeline.builder.config.values import Decimal, Kind, Thousands

SAMPLE = 1000
"""The number of values of a column that a proposal is based on."""
DATE_SAMPLE = 200
"""The number of them that are tried as dates in many formats."""
DATE = r"^\s*\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}(:?\d{2})?)?)?\s*$"
"""The pattern of a date or time in ISO 8601, which needs no format."""
DATES = (
    *("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y"),
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y-%m"),
    *("%d %b %Y", "%d-%b-%Y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y"),
    *("%d/%m/%y", "%m/%d/%y", "%d.%m.%y", "%d-%b-%y"),
)
"""The date formats of proposals, each with any of `TIMES`."""
TIMES = (
    *("", " %H:%M", " %H:%M:%S", "T%H:%M:%S", " %I:%M %p", " %I:%M:%S %p"),
    *(" %H:%M:%S UTC", " %H:%M:%S.%f UTC", " %H:%M:%S %z"),
)
MARKS: tuple[tuple[Thousands | None, Decimal], ...] = (
    *((None, "."), (",", "."), (None, ","), (".", ",")),
    *((" ", "."), (" ", ","), ("'", "."), ("_", ".")),
)
"""The thousands separators and decimal marks of proposals."""

_SPACE = r"[\s\x{a0}\x{202f}]"
_LIKE = {" ": r"[ \x{a0}\x{202f}]", "'": r"['\x{2019}]"}
"""Patterns of separators that several characters stand for."""
_SPECIAL = r"(?i:nan|inf|infinity)"
_BEFORE = r"[$€£¥₹₩₺₽₫₴฿₦]|[A-Z]{1,3}\$|[A-Z]{3}(?=\s)"
_AFTER = r"[%‰$€£¥₹₩₺₽₫₴฿₦]|°[CF]?|[^\W\d_]{1,8}[²³]?(?:/[^\W\d_]{1,4}[²³]?)?"
_DECORATED = re.compile(
    rf"\s*[+-]?({_BEFORE})?\s*[+-]?(?:\d[\d.,'_\u2019\u00a0\u202f ]*|[.,]\d+)({_AFTER})?\s*"
)
_NUMBER = r"(?:\d[\d.,]*|[.,]\d+)"
_UNREADABLE = re.compile(
    rf"\s*(?:[\u2212\u2013]\s*(?:{_BEFORE})?\s*{_NUMBER}\s*(?:{_AFTER})?"
    rf"|\(\s*(?:{_BEFORE})?\s*{_NUMBER}\s*(?:{_AFTER})?\s*\)|{_NUMBER}\s*-)\s*"
)
"""Negative numbers as in print and in accounting, which no format reads."""
_DATED = re.compile(
    r"(\d{1,4}[-/.][^\W_]{1,9}[-/.]\d{1,4}|\d{4}-\d{2}|\d{1,2} [^\W\d_]{3,9} \d{2,4}"
    r"|[^\W\d_]{3,9} \d{1,2}, \d{4})"
    r"([T ]\d.*)?"
)
_PLAIN = re.compile(r"\s*[+-]?\d*\.?\d*\s*")
_ISO = re.compile(DATE)
_WORD = re.compile(r"\D*[^\W\d_]\D*")
"""A text with a letter and without a digit, which no format reads and no pattern above matches."""


class Proposal(NamedTuple):
    """Formats in which most values of a column can be read, or what they look like."""

    kind: Kind
    formats: list[ColumnFormat]
    """The likeliest first; empty for dates in several formats, and numbers that no format reads."""
    example: str
    all: bool
    """Whether all sampled values can be read."""


def numbers(strings: Any, column_format: ColumnFormat, *, decimal: str) -> tuple[Any, Any]:
    """Remove the unit and the separators from numbers, and write their decimal mark as a point.

    Args:
        strings: The numbers as Arrow's text.
        column_format: Their format.
        decimal: The decimal mark if the format has none.

    Returns:
        The texts, and an Arrow mask of those that are numbers.
    """
    import pyarrow.compute as pc

    text = pc.replace_substring_regex(strings, rf"^{_SPACE}+|{_SPACE}+$", "")
    if column_format.unit is not None:
        unit = re.escape(column_format.unit)
        before = rf"^([+-]?){_SPACE}*{unit}{_SPACE}*([+-]?[.,]?[0-9])"
        text = pc.replace_substring_regex(text, before, r"\1\2")
        text = pc.replace_substring_regex(text, rf"([0-9.,]){_SPACE}*{unit}$", r"\1")
    mark = column_format.decimal or decimal
    integer, group = "[0-9]+", ""
    if (separator := column_format.thousands) is not None:
        # Groups are checked before they are joined, so that 1,5 does not become 15.
        group = _LIKE.get(separator, re.escape(separator))
        integer = rf"(?:[0-9]+|[0-9]{{1,3}}(?:{group}[0-9]{{2,3}})*{group}[0-9]{{3}})"
    point = re.escape(mark)
    digits = rf"(?:{integer}(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-]?[0-9]+)?"
    good = pc.match_substring_regex(text, rf"^[+-]?(?:{digits}|{_SPECIAL})$")
    if group:
        text = pc.replace_substring_regex(text, group, "")
    if mark != ".":
        text = pc.replace_substring(text, mark, ".")
    return pc.replace_substring_regex(text, r"^\+", ""), good


def moment(text: str, date_format: str) -> datetime.datetime | None:
    """Return the time in a text as a naive one in UTC; None if the text is not in the format."""
    try:
        # strptime also takes the names of this machine's own time zone, and ignores them.
        zone = "GMT" if "GMT" in text else "UTC"
        date_format = re.sub("%.", lambda code: zone if code[0] == "%Z" else code[0], date_format)
        parsed = datetime.datetime.strptime(text.strip(), date_format)
        if parsed.tzinfo is None:
            return parsed
        return parsed.astimezone(datetime.UTC).replace(tzinfo=None)
    except (ValueError, OverflowError, re.error):
        return None


def propose(values: Sequence[str], decimal: str) -> Proposal | None:
    """Return the formats in which more than half of a column's values can be read, if any.

    Args:
        values: A sample of the column.
        decimal: The decimal mark of its file.
    """
    if all(_WORD.fullmatch(value) for value in set(values)):
        return None
    return (
        _propose_numbers(values, decimal)
        or _propose_dates(values)
        or _propose_nothing_for_numbers(values)
    )


def _propose_numbers(values: Sequence[str], decimal: str) -> Proposal | None:
    import pyarrow as pa
    import pyarrow.compute as pc

    matches = [match for value in values if (match := _DECORATED.fullmatch(value))]
    if 2 * len(matches) <= len(values):
        return None
    units = Counter(unit for match in matches if (unit := match[1] or match[2]))
    unit = units.most_common(1)[0][0] if units else ""
    if unit.isalpha() and len({match[0] for match in matches}) < 3:  # a code rather than a unit
        return None
    strings = pa.array(values, type=pa.string())
    best: tuple[int, ColumnFormat | None, Any] = (len(values) // 2, None, None)
    for thousands, mark in MARKS:
        if not (unit or thousands or mark != decimal):
            continue
        column_format = ColumnFormat(
            thousands=thousands,
            decimal=None if mark == decimal else mark,
            unit=unit or None,
        )
        good = numbers(strings, column_format, decimal=decimal)[1]
        count = pc.sum(good).as_py() or 0
        if count > best[0]:
            best = (count, column_format, good)
    count, likeliest, good = best
    if likeliest is None:
        return None
    readable = [value for value, is_good in zip(values, good.to_pylist(), strict=True) if is_good]
    decorated = [value for value in readable if not _PLAIN.fullmatch(value)]
    if not decorated:
        return None
    return Proposal(
        kind="number", formats=[likeliest], example=decorated[0], all=count == len(values)
    )


def _propose_nothing_for_numbers(values: Sequence[str]) -> Proposal | None:
    """Return a proposal without a format if most values are numbers that no format reads."""
    numbers = [value for value in values if _PLAIN.fullmatch(value) or _UNREADABLE.fullmatch(value)]
    unreadable = [value for value in numbers if not (value.isascii() and _PLAIN.fullmatch(value))]
    if not unreadable or 2 * len(numbers) <= len(values):
        return None
    return Proposal(kind="number", formats=[], example=unreadable[0], all=False)


def _propose_dates(values: Sequence[str]) -> Proposal | None:
    values = [value.strip() for value in values[:DATE_SAMPLE]]
    dated = [value for value in values if _DATED.fullmatch(value)]
    if 2 * len(dated) <= len(values):
        return None
    times = TIMES if any(":" in value for value in dated) else TIMES[:1]
    readable = {
        date_format: {value for value in dated if moment(value, date_format) is not None}
        for date_format in (day + time for day in DATES for time in times)
    }
    counts = {
        date_format: sum(value in dates for value in dated)
        for date_format, dates in readable.items()
    }
    most = max(counts.values())
    likeliest = [date_format for date_format, count in counts.items() if count == most]
    dates = {value for values_read in readable.values() for value in values_read}
    dates |= {value for value in dated if _ISO.fullmatch(value)}
    if 2 * sum(value in dates for value in dated) <= len(values):
        return None
    decorated = [value for value in dated if value in dates and not _ISO.fullmatch(value)]
    if not decorated:
        return None
    if dates - readable[likeliest[0]]:
        return Proposal(kind="date", formats=[], example=decorated[0], all=False)
    formats = [ColumnFormat(date=date_format) for date_format in likeliest]
    return Proposal(kind="date", formats=formats, example=decorated[0], all=most == len(values))
