"""Roles that the name of a column suggests: an id, an entity, a measure."""

from __future__ import annotations

import re

_ID_WORDS = ("id", "ids", "uid", "cid", "pid", "sid", "gid", "uuid", "guid", "key")
_NUMBER_WORDS = ("no", "nr", "num", "number", "code")
_ENTITIES = (
    *("account", "animal", "child", "client", "company", "customer", "device", "employee"),
    *("family", "firm", "group", "hospital", "household", "individual", "item", "machine"),
    *("member", "order", "participant", "patient", "person", "player", "product", "pupil"),
    *("respondent", "school", "session", "store", "student", "subject", "transaction", "user"),
    *("visit", "worker"),
)
_ROW_WORDS = ("case", "idx", "index", "obs", "observation", "record", "row", "rowid", "rownames",
              "rownum", "seq", "serial")  # fmt: skip
_MEASURES = ("age", "date", "day", "height", "level", "month", "order", "period", "place",
             "position", "rank", "size", "t", "time", "week", "weight", "year")  # fmt: skip


def words_of(name: str) -> list[str]:
    """Return the words of a name in lower case: those of customerId are customer and id."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]


def names_id(name: str) -> bool:
    """Return whether a name is that of an id: customer_id, id_customer or userid, but not paid."""
    words = words_of(name)
    if not words:
        return False
    first, last = words[0], words[-1]
    if last == "key":
        return len(words) > 1
    if last in _ID_WORDS or first in ("id", "uuid", "guid"):
        return True
    if last in _NUMBER_WORDS and len(words) > 1 and words[-2] in _ENTITIES:
        return True
    return last.endswith("id") and last.removesuffix("id") in _ENTITIES


def names_entity(name: str) -> bool:
    """Return whether a name is that of an entity with several rows, such as household."""
    words = words_of(name)
    return len(words) == 1 and words[0] in _ENTITIES


def names_measure(name: str) -> bool:
    """Return whether a name contains a measure, such as year or rank."""
    return not {*words_of(name)}.isdisjoint(_MEASURES)


def names_row_number(name: str) -> bool:
    """Return whether a name is that of a number for each row, such as `row` or `Kunde-Nr`."""
    words = words_of(name)
    return bool(words) and words[-1] in (*_ROW_WORDS, *_NUMBER_WORDS)
