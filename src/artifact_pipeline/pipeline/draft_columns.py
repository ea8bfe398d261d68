"""The columns of a draft: their kinds, and how a model would use each."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from artifact_pipeline.builder.config.messages import show
from artifact_pipeline.builder.config.resolved import ColumnFormat
from artifact_pipeline.builder.config.values import Kind
from artifact_pipeline.builder.data import column_types, table_columns, table_formats
from artifact_pipeline.builder.data.table_columns import ColumnData
from artifact_pipeline.builder.data.table_reader import Raw
from artifact_pipeline.builder.model.preprocess import MANY_TEXTS
from artifact_pipeline.errors import DataError
from artifact_pipeline.pipeline.column_names import words_of

FEW = 20
"""A text with more distinct values may be prose; an id with more may be a group."""
_NUMBER_DATES = ("%Y%m%d",)
_NUMBER_TEXT = re.compile(r"\s*[+-]?(?!0\d)(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
"""A number without leading zeros, which a code may have."""
_EXAMPLES = 3


class ColumnSummary(Struct, frozen=True, kw_only=True):
    """A column of the table, and its use."""

    name: str
    kind: Kind | None
    """None if it has no numbers, dates or text."""
    missing: int
    distinct: int
    values: str
    """The range of numbers or dates, or the most frequent texts."""
    use: str
    """Such as `target`, `id`, `dropped` or `one-hot`."""


class Columns(NamedTuple):
    """The columns that can be read, the kinds and formats that the config must name, and why."""

    data: dict[str, ColumnData]
    kinds: dict[str, Kind]
    formats: dict[str, ColumnFormat]
    ambiguous_dates: list[str]
    choices: list[str]


def read(raw: Raw, target: str, *, day_first: bool | None) -> Columns:
    """Read each column as numbers, dates or booleans, in a format of its own, or else as text.

    Args:
        raw: The table.
        target: The column to predict.
        day_first: Whether 03/04/2026 is in April; None if that is not known.

    Raises:
        DataError: If the target cannot be read.
    """
    columns = Columns(data={}, kinds={}, formats={}, ambiguous_dates=[], choices=[])
    for name in raw.table.column_names:
        if form := _number_date(raw, name):
            columns.formats[name] = form
            columns.data[name] = table_columns.column(raw, name, column_format=form)
            columns.choices.append(f"{show(name)} is a date written as {_as_json(form)}")
            continue
        try:
            column = table_columns.column(raw, name)
            problem = column.note
        except DataError as error:
            problem = error.problem
            try:
                column = table_columns.column(raw, name, kind="text")
            except DataError:
                if name == target:
                    raise error from None
                continue
        if not problem and column.kind == "text" and (numbers := _numbers(raw, name)) is not None:
            columns.data[name], columns.kinds[name] = numbers, "number"
            columns.choices.append(f"{show(name)} is a number, because each of its texts is one")
            continue
        form = None
        if problem:
            form = table_columns.format_of(raw, name)
            orders = [] if form else _date_orders(raw, name)
            if orders and day_first is not None:
                form = orders[0] if day_first else orders[1]
        if form:
            column = table_columns.column(raw, name, column_format=form)
            columns.formats[name] = form
            columns.choices.append(f"{show(name)} is a {column.kind} written as {_as_json(form)}")
        elif problem:
            columns.kinds[name] = "text"
            columns.choices.append(f"{show(name)} is text: {problem}")
            if orders and name != target:
                columns.ambiguous_dates.append(name)
        columns.data[name] = column
    return columns


def summarize(name: str, column: ColumnData | None, *, use: str) -> ColumnSummary:
    """Return the summary of a column.

    Args:
        name: Its name.
        column: Its values; None if they cannot be read.
        use: Its use, such as `dropped`.
    """
    if column is None:
        return ColumnSummary(name=name, kind=None, missing=0, distinct=0, values="", use=use)
    known = known_values(column)
    return ColumnSummary(
        name=name,
        kind=column.kind,
        missing=int(column.without_value().sum()),
        distinct=len(known),
        values=_values(column, known),
        use=use,
    )


def use_of(column: ColumnData) -> str:
    """Return how the model uses a feature: scaled, one-hot, encoded or words."""
    if column.kind != "text":
        return "scaled"
    if is_prose(column):
        return "words"
    return "encoded" if len(known_values(column)) > MANY_TEXTS else "one-hot"


def is_prose(column: ColumnData) -> bool:
    """Return whether texts are sentences rather than categories."""
    texts = [text for text in column.values.tolist() if text]
    words = sum(len(text.split()) for text in texts)
    return len(set(texts)) > FEW and words >= 3 * len(texts)


def known_values(column: ColumnData) -> set[Any]:
    """Return the distinct values of a column."""
    return set(column.values[~column.without_value()].tolist())


def _numbers(raw: Raw, name: str) -> ColumnData | None:
    """Return a column of numbers that are texts in a JSON or Parquet file, such as "42"."""
    texts = [text for text in raw.column(name).unique().to_pylist() if text]
    if not texts or not all(map(_NUMBER_TEXT.fullmatch, texts)):
        return None
    try:
        return table_columns.column(raw, name, kind="number")
    except DataError:  # one that a float64 cannot represent
        return None


def _as_json(form: ColumnFormat) -> str:
    fields = {key: value for key, value in msgspec.to_builtins(form).items() if value is not None}
    return json.dumps(fields, ensure_ascii=False)


def _date_orders(raw: Raw, name: str) -> list[ColumnFormat]:
    """Return the format with the day first and that with the month first, if both fit."""
    import pyarrow.types as t

    strings = raw.column(name)
    if not (t.is_string(strings.type) or t.is_large_string(strings.type)):
        return []
    proposal = column_types.propose_format(strings, raw)
    if proposal is None or proposal.kind != "date" or len(proposal.formats) != 2:
        return []
    orders = sorted(proposal.formats, key=lambda form: (form.date or "").find("%d"))
    texts = strings.drop_null().unique().to_pylist()
    readable = all(
        table_formats.moment(text, form.date or "") is not None for form in orders for text in texts
    )
    return orders if readable else []


def _number_date(raw: Raw, name: str) -> ColumnFormat | None:
    """Return the format of a column of dates such as 20260131 whose name suggests dates."""
    if not {"date", "day", "dt"} & {*words_of(name)}:
        return None
    texts = [str(value) for value in raw.column(name).drop_null().unique().to_pylist()]
    for date_format in _NUMBER_DATES:
        if texts and all(
            re.fullmatch(r"(19|20)\d{6}", text) and table_formats.moment(text, date_format)
            for text in texts
        ):
            return ColumnFormat(date=date_format)
    return None


def _values(column: ColumnData, known: set[Any]) -> str:
    if not known:
        return ""
    if column.kind == "number":
        return f"{min(known):.6g} to {max(known):.6g}"
    if column.kind == "date":
        import numpy as np

        first, last = (np.datetime64(int(days // 1), "D") for days in (min(known), max(known)))
        return f"{first} to {last}"
    if column.kind == "boolean":
        return ", ".join("true" if value else "false" for value in sorted(known, reverse=True))
    from collections import Counter

    counts = Counter(text for text in column.values.tolist() if text)
    return ", ".join(text for text, _ in counts.most_common(_EXAMPLES))
