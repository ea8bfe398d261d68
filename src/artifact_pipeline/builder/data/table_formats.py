"""How people write numbers and dates in text: with separators, units, or the day first."""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from artifact_pipeline.builder.config.resolved import ColumnFormat
from artifact_pipeline.builder.config.schema import Decimal, Kind, Thousands

SAMPLE = 1000
"""How many values of a column are looked at for a proposal."""
DATE_SAMPLE = 200
"""How many of them where dates are tried in many formats."""
DATES = (
    *("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y"),
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d"),
    *("%d %b %Y", "%d-%b-%Y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y"),
    *("%d/%m/%y", "%m/%d/%y", "%d.%m.%y", "%d-%b-%y"),
)
"""The dates that a proposal knows, each alone or with one of `TIMES`."""
TIMES = ("", " %H:%M", " %H:%M:%S", "T%H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
MARKS: tuple[tuple[Thousands | None, Decimal], ...] = (
    *((None, "."), (",", "."), (None, ","), (".", ",")),
    *((" ", "."), (" ", ","), ("'", ".")),
)
"""The separators of thousands and decimals that a proposal knows."""

_SPACE = r"[\s\x{a0}\x{202f}]"
_LIKE = {" ": r"[ \x{a0}\x{202f}]", "'": r"['\x{2019}]"}
"""The characters that stand for one separator."""
_SPECIAL = r"(?i:nan|inf|infinity)"
_BEFORE = r"[$€£¥₹₩₺₽₫₴฿₦]|[A-Z]{1,3}\$|[A-Z]{3}(?=\s)"
_AFTER = r"[%‰$€£¥₹₩₺₽₫₴฿₦]|°[CF]?|[^\W\d_]{1,8}[²³]?(?:/[^\W\d_]{1,4}[²³]?)?"
_DECORATED = re.compile(
    rf"\s*[+-]?({_BEFORE})?\s*[+-]?(?:\d[\d.,'\u2019\u00a0\u202f ]*|[.,]\d+)({_AFTER})?\s*"
)
_DATED = re.compile(
    r"(\d{1,4}[-/.][^\W_]{1,9}[-/.]\d{1,4}|\d{1,2} [^\W\d_]{3,9} \d{2,4}"
    r"|[^\W\d_]{3,9} \d{1,2}, \d{4})"
    r"([T ]\d.*)?"
)
_PLAIN = re.compile(r"\s*[+-]?\d*\.?\d*\s*")
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}([T ].*)?")


class Proposal(NamedTuple):
    """Formats in which most of the values of a column can be read, the likeliest first."""

    kind: Kind
    formats: list[ColumnFormat]
    """None where the dates of a column are written in several ways."""
    example: str
    all: bool
    """Whether all values that were looked at can be read so."""


def numbers(strings: Any, form: ColumnFormat, decimal: str) -> tuple[Any, Any]:
    """Return numbers without unit and separators and with a point, and which of them are numbers.

    `strings` is a column of Arrow, `decimal` the mark where the format gives none.
    """
    import pyarrow.compute as pc

    text = pc.replace_substring_regex(strings, rf"^{_SPACE}+|{_SPACE}+$", "")
    if form.unit is not None:
        unit = re.escape(form.unit)
        before = rf"^([+-]?){_SPACE}*{unit}{_SPACE}*([+-]?[.,]?[0-9])"
        text = pc.replace_substring_regex(text, before, r"\1\2")
        text = pc.replace_substring_regex(text, rf"([0-9.,]){_SPACE}*{unit}$", r"\1")
    mark = form.decimal or decimal
    whole, group = "[0-9]+", ""
    if form.thousands is not None:
        # Groups are checked before they are joined, so that 1,5 does not become 15.
        group = _LIKE.get(form.thousands, re.escape(form.thousands))
        whole = rf"(?:[0-9]+|[0-9]{{1,3}}(?:{group}[0-9]{{2,3}})*{group}[0-9]{{3}})"
    point = re.escape(mark)
    digits = rf"(?:{whole}(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-]?[0-9]+)?"
    good = pc.match_substring_regex(text, rf"^[+-]?(?:{digits}|{_SPECIAL})$")
    if group:
        text = pc.replace_substring_regex(text, group, "")
    if mark != ".":
        text = pc.replace_substring(text, mark, ".")
    return pc.replace_substring_regex(text, r"^\+", ""), good


def moment(text: str, form: str) -> datetime.datetime | None:
    """Return the moment in a text, in UTC without a zone; None if it is not in the format."""
    try:
        found = datetime.datetime.strptime(text.strip(), form)
        return (
            found if found.tzinfo is None else found.astimezone(datetime.UTC).replace(tzinfo=None)
        )
    except (ValueError, OverflowError, re.error):
        return None


def propose(values: Sequence[str], decimal: str) -> Proposal | None:
    """Return the formats in which more than half of a column's values can be read, if any.

    `values` are some of the column's values, `decimal` the mark of its file.
    """
    return _propose_numbers(values, decimal) or _propose_dates(values)


def _propose_numbers(values: Sequence[str], decimal: str) -> Proposal | None:
    import pyarrow as pa
    import pyarrow.compute as pc

    found = [match for value in values if (match := _DECORATED.fullmatch(value))]
    if 2 * len(found) <= len(values):
        return None
    units = Counter(unit for match in found if (unit := match[1] or match[2]))
    unit = units.most_common(1)[0][0] if units else ""
    if unit.isalpha() and len({match[0] for match in found}) < 3:  # rather a code than a unit
        return None
    strings = pa.array(values, type=pa.string())
    best: tuple[int, ColumnFormat | None, Any] = (len(values) // 2, None, None)
    for thousands, mark in MARKS:
        if not (unit or thousands or mark != decimal):
            continue
        form = ColumnFormat(
            thousands=thousands,
            decimal=None if mark == decimal else mark,
            unit=unit or None,
        )
        good = numbers(strings, form, decimal)[1]
        count = pc.sum(good).as_py() or 0
        if count > best[0]:
            best = (count, form, good)
    count, likeliest, good = best
    if likeliest is None:
        return None
    read = [value for value, one in zip(values, good.to_pylist(), strict=True) if one]
    odd = [value for value in read if not _PLAIN.fullmatch(value)]
    return Proposal("number", [likeliest], odd[0], count == len(values)) if odd else None


def _propose_dates(values: Sequence[str]) -> Proposal | None:
    values = [value.strip() for value in values[:DATE_SAMPLE]]
    dated = [value for value in values if _DATED.fullmatch(value)]
    if 2 * len(dated) <= len(values):
        return None
    times = TIMES if any(":" in value for value in dated) else TIMES[:1]
    read = {
        form: {value for value in dated if moment(value, form) is not None}
        for form in (day + time for day in DATES for time in times)
    }
    counts = {form: sum(value in found for value in dated) for form, found in read.items()}
    most = max(counts.values())
    forms = [form for form, count in counts.items() if count == most]
    dates = {value for found in read.values() for value in found}
    dates |= {value for value in dated if _ISO.fullmatch(value)}
    if 2 * sum(value in dates for value in dated) <= len(values):
        return None
    odd = [value for value in dated if value in dates and not _ISO.fullmatch(value)]
    if not odd:
        return None
    if dates - read[forms[0]]:
        return Proposal("date", [], odd[0], False)
    return Proposal("date", [ColumnFormat(date=one) for one in forms], odd[0], most == len(values))
