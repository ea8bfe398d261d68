"""The role of each column of a draft, and the split that follows from them."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from msgspec import Struct

from artifact_pipeline.builder.config.messages import nearest, show
from artifact_pipeline.builder.data.table_columns import ColumnData
from artifact_pipeline.builder.data.table_reader import Raw
from artifact_pipeline.errors import CallError, DataError, Location
from artifact_pipeline.pipeline.column_names import (
    names_entity,
    names_id,
    names_measure,
    names_row_number,
)
from artifact_pipeline.pipeline.draft_columns import FEW, Columns, is_prose, known_values

ROWS_PER_GROUP = 20
"""With more rows for each value, a few ids are categories rather than groups."""
MIN_GROUPS = 5
_YEARS = (1000, 2200)


class Overrides(Struct, frozen=True, kw_only=True):
    """What the caller decides in place of the draft."""

    id: str | None = None
    group: str | None = None
    time: str | None = None
    day_first: bool | None = None


class Roles(NamedTuple):
    """The role of each column, and the split that follows from them."""

    features: dict[str, ColumnData]
    id: str | None
    drop: list[str]
    categories: list[str]
    """Features of integers that are read as text."""
    split: dict[str, Any]
    choices: list[str]


class _Facts(NamedTuple):
    """What the role of a column depends on."""

    name: str
    column: ColumnData
    distinct: int
    rows: int
    position: int

    @property
    def is_unique(self) -> bool:
        return self.distinct == self.rows

    @property
    def repeats(self) -> bool:
        """Return whether its values can be the groups of a split."""
        few = self.distinct <= FEW and self.distinct * ROWS_PER_GROUP < self.rows
        return MIN_GROUPS <= self.distinct < self.rows and not few


def assign(
    raw: Raw, columns: Columns, *, target: str, class_counts: list[int] | None, overrides: Overrides
) -> Roles:
    """Return the role of each column and the split.

    Args:
        raw: The table.
        columns: Its columns.
        target: The column to predict.
        class_counts: The rows of each class, or None for a number to predict.
        overrides: The choices of the caller.

    Raises:
        CallError: If the caller names a column that cannot have the role.
        DataError: If no feature is left.
    """
    _check_overrides(raw, columns, target=target, overrides=overrides)
    drop = [name for name in raw.table.column_names if name not in columns.data]
    choices = [f"{show(name)} is dropped: it has no numbers, dates or text" for name in drop]
    facts = _facts(raw, columns, target=target)
    id_column, reason = _id(
        [fact for fact in facts if fact.name not in raw.index_columns], overrides
    )
    if id_column is not None:
        choices.append(f"{show(id_column)} is the id: {reason}")
    split, reason = _split(facts, overrides, id_column=id_column)
    by = split.get("column")
    if reason:
        choices.append(reason)
    features: dict[str, ColumnData] = {}
    spare: dict[str, str] = {}
    categories = []
    for fact in facts:
        name = fact.name
        if name in (id_column, by):
            continue
        reason = _reason_to_drop(fact, raw, columns=columns)
        if reason:
            drop.append(name)
            spare[name] = f"{show(name)} is dropped: {reason}"
            continue
        features[name] = fact.column
        if names_id(name) and fact.column.kind == "number" and _is_whole(fact.column):
            categories.append(name)
            choices.append(f"{show(name)} is text: its numbers identify {fact.distinct} things")
    if not features and (last := _last_resort(facts, overrides)) is not None:
        name = last.name
        features[name] = last.column
        spare.pop(name, None)
        drop = [other for other in drop if other != name]
        if name == id_column:
            id_column = None
            choices = [line for line in choices if not line.startswith(f"{show(name)} is the id")]
        choices.append(f"{show(name)} is a feature, because there is no other")
    choices += spare.values()
    if not features:
        raise DataError(
            "no feature columns left: every column is the target, the id, the split column or "
            "dropped",
            location=raw.location(),
        )
    if split["method"] == "random":
        stratify, sentence = _stratify(class_counts)
        if class_counts is not None:
            split["stratify"] = stratify
        choices.append(sentence)
    return Roles(
        features=features,
        id=id_column,
        drop=drop,
        categories=categories,
        split=split,
        choices=choices,
    )


def _check_overrides(raw: Raw, columns: Columns, *, target: str, overrides: Overrides) -> None:
    named = {"--id": overrides.id, "--group": overrides.group, "--time": overrides.time}
    for option, name in named.items():
        if name is None:
            continue
        location = Location(option)
        if name not in raw.table.column_names:
            raise CallError(
                f"{raw.location()} has no column {show(name)}",
                location=location,
                remedy=nearest(name, raw.table.column_names),
            )
        if name == target:
            raise CallError(f"{show(name)} is the target", location=location)
        if name not in columns.data:
            raise CallError(f"{show(name)} has no numbers, dates or text", location=location)
        column = columns.data[name]
        missing = int(column.without_value().sum())
        if option != "--id" and missing:
            raise CallError(
                f"{show(name)} is missing in {missing} rows, so they are on "
                "neither side of the split",
                location=location,
            )
        if option == "--time" and column.kind not in ("number", "date"):
            raise CallError(
                f"{show(name)} is {column.kind}, expected a date or a number",
                location=location,
            )
        if option == "--group" and len(set(column.values.tolist())) < 2:
            raise CallError(f"{show(name)} has a single value", location=location)
    if overrides.group is not None and overrides.time is not None:
        problem = "expected one of --group and --time: a split has one method"
        raise CallError(problem, location=Location("--time"))


def _facts(raw: Raw, columns: Columns, *, target: str) -> list[_Facts]:
    return [
        _Facts(
            name=name,
            column=column,
            distinct=len(known_values(column)),
            rows=len(column.values),
            position=position,
        )
        for position, name in enumerate(raw.table.column_names)
        if name != target and (column := columns.data.get(name)) is not None
    ]


def _id(facts: list[_Facts], overrides: Overrides) -> tuple[str | None, str]:
    """Return the column that identifies a row, and why."""
    if overrides.id is not None:
        return overrides.id, "as set by --id"
    candidates = [fact for fact in facts if fact.name not in (overrides.group, overrides.time)]
    for fact in candidates:
        if fact.is_unique and names_id(fact.name) and _is_whole(fact.column):
            return fact.name, "it has a different value in each row"
    for fact in candidates:
        if fact.distinct > 1 and _looks_like_id(fact):
            return fact.name, "it has a different value in each row"
    return None, ""


def _looks_like_id(fact: _Facts) -> bool:
    """Return whether values identify their rows whatever the name of the column.

    These are texts without a space that never repeat, integers under a name such as `row` or
    `Kunde-Nr`, and consecutive integers in the first column. Years and ranks are consecutive too.
    """
    import numpy as np

    values = fact.column.values
    if not fact.is_unique or fact.column.kind not in ("text", "number"):
        return False
    if fact.column.kind == "text":
        return not any(" " in text for text in values)
    if not _is_whole(fact.column) or names_measure(fact.name):
        return False
    if names_row_number(fact.name):
        return True
    are_years = _YEARS[0] <= values[0] and values[-1] <= _YEARS[1]
    return fact.position == 0 and not are_years and bool((np.diff(values) == 1).all())


def _split(
    facts: list[_Facts], overrides: Overrides, *, id_column: str | None
) -> tuple[dict[str, Any], str]:
    """Return the split, and why it is not random."""
    split: dict[str, Any] = {"method": "random", "test_size": 0.2, "random_state": 42}
    if overrides.time is not None:
        reason = f"the fifth of the rows with the latest {show(overrides.time)} is held out"
        return split | {"method": "time", "column": overrides.time}, reason
    if overrides.group is not None:
        reason = f"rows with the same {show(overrides.group)} stay on one side of the split"
        return split | {"method": "group", "column": overrides.group}, reason
    for fact in facts:
        if fact.name == id_column or not fact.repeats or fact.column.without_value().any():
            continue
        if not _is_whole(fact.column):
            continue
        if names_id(fact.name) or names_entity(fact.name) or _is_code(fact.column):
            reason = (
                f"{show(fact.name)} is the group of the split: its {fact.distinct} ids repeat over "
                f"{fact.rows} rows, so with random rows the model would be tested on ids that it "
                "has learned"
            )
            return split | {"method": "group", "column": fact.name}, reason
    return split, ""


def _reason_to_drop(fact: _Facts, raw: Raw, *, columns: Columns) -> str:
    """Return why a column is not a feature; empty if it is one."""
    name, column = fact.name, fact.column
    if name in raw.index_columns:
        return "it is the index of a data frame"
    if fact.distinct == 0:
        return "it has no values"
    if fact.distinct == 1 and not column.without_value().any():
        return "it has the same value in every row"
    if name in columns.ambiguous_dates:
        return "its dates have the day or the month first; add --day-first or --month-first"
    is_id = names_id(name) and _is_whole(column)
    if fact.is_unique and (is_id or _looks_like_id(fact)):
        return "it has a different value in each row"
    if fact.repeats and (is_id or (_is_code(column) and column.kind == "text")):
        return "it is an id; to keep its rows on one side of the split, name it with --group"
    if is_id and fact.distinct > FEW:
        return "it is an id"
    if column.kind == "text" and 2 * fact.distinct > fact.rows and not is_prose(column):
        return "its texts hardly ever repeat"
    return ""


def _last_resort(facts: list[_Facts], overrides: Overrides) -> _Facts | None:
    """Return a column to learn from when all others have another role."""
    for fact in facts:
        is_number = fact.column.kind in ("number", "date") and fact.distinct > 1
        is_override = fact.name in (overrides.id, overrides.group, overrides.time)
        if is_number and not is_override and not names_id(fact.name):
            return fact
    return None


def _stratify(class_counts: list[int] | None) -> tuple[bool, str]:
    """Return whether a random split keeps the shares of classes, and a sentence on the split."""
    sentence = "a random fifth of the rows is held out"
    if class_counts is None:
        return False, sentence
    rows, classes = sum(class_counts), len(class_counts)
    held_out = -(-rows // 5)
    if min(class_counts) == 1:
        return False, f"{sentence}; a class of one row cannot be on both sides"
    if min(held_out, rows - held_out) < classes:
        return False, f"{sentence}; they are too few for a share of each class"
    return True, f"{sentence}, with the same share of each class"


def _is_code(column: ColumnData) -> bool:
    """Return whether texts are made like ids: letters and three or more digits, as in H0123."""
    if column.kind != "text":
        return False
    texts = known_values(column)
    return len(texts) > FEW and all(
        re.fullmatch(r"[A-Za-z]{1,4}[-_]?\d{3,}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text)
        for text in texts
    )


def _is_whole(column: ColumnData) -> bool:
    import numpy as np

    if column.kind == "text":
        return True
    values = column.values[~column.without_value()]
    return column.kind == "number" and bool((values == np.floor(values)).all())
