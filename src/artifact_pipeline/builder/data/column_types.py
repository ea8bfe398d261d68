"""The type of a column of text, inferred from its values."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import msgspec

from artifact_pipeline.builder.config.messages import show
from artifact_pipeline.builder.config.values import Kind
from artifact_pipeline.builder.data import plain_columns, table_formats
from artifact_pipeline.builder.data.table_formats import Proposal
from artifact_pipeline.builder.data.table_reader import Raw
from artifact_pipeline.builder.data.text_cells import TextCells
from artifact_pipeline.errors import DataError

NUMBER = r"^\s*[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|(?i:nan|inf|infinity))\s*$"
BOOLEAN = r"^\s*(?i:true|false)\s*$"
_PADDED = r"^\s*[+-]?0\d"


class Inferred(NamedTuple):
    """The type of a column, and why it is text if it looks like something else."""

    kind: Kind
    note: str = ""


def infer(cells: TextCells, raw: Raw, *, name: str) -> Inferred:
    """Return the type that all values of a column of text have.

    Text in Parquet and JSON lines is never a number, since a number would be typed as one.

    Args:
        cells: The column.
        raw: Its table.
        name: Its name.

    Raises:
        DataError: If most values are numbers or dates, and some are not; with a cell.
    """
    import pyarrow.compute as pc

    texts, known = cells.texts, cells.known
    if cells.codes is None and plain_columns.are_names(texts):
        return Inferred("text", _format_note(cells, raw, name=name))
    typed = raw.format != "csv"
    if not known:
        return Inferred("text")
    padded = not typed and pc.any(pc.match_substring_regex(texts, _PADDED)).as_py()
    if padded and not pc.all(pc.match_substring_regex(texts, table_formats.DATE)).as_py():
        note = _padding_note(cells, raw, name=name) or _format_note(cells, raw, name=name)
        return Inferred("text", note)
    booleans = 0 if typed else cells.count(pc.match_substring_regex(texts, BOOLEAN))
    if booleans == known:
        return Inferred("boolean")
    if 2 * booleans > known:
        return Inferred(
            "text",
            f"the column {show(name)} is read as text, though most of its values are true or "
            "false; name the texts for missing values in data.csv.null_values, or keep it as text "
            f"with data.columns: {json_option(name, 'text')}",
        )
    patterns: tuple[tuple[Kind, str], ...] = (("number", NUMBER), ("date", table_formats.DATE))
    for kind, pattern in patterns[typed:]:
        plain = with_points(texts, raw) if kind == "number" else texts
        matches = pc.match_substring_regex(plain, pattern)
        matching = cells.count(matches)
        if matching == known:
            return Inferred(kind)
        if 2 * matching > known:
            raise _exception_among(cells, pc.invert(matches), raw=raw, name=name, kind=kind)
    return Inferred("text", _format_note(cells, raw, name=name))


def _exception_among(cells: TextCells, mask: Any, *, raw: Raw, name: str, kind: Kind) -> DataError:
    """Return the error for a value of another type than most values of its column."""
    row, value = cells.first(mask)
    missing = "name it in data.csv.null_values" if raw.format == "csv" else "write null for it"
    remedies = [f"if it means a missing value, {missing}"]
    proposal = propose_format(cells.column, raw)
    if proposal and proposal.all and proposal.formats:
        remedies.append(f"if the column has a format, set {_format_option(name, proposal)}")
    remedies.append(f"if the column is text, set data.columns: {json_option(name, 'text')}")
    return DataError(
        f"found {show(value)} among {kind}s",
        location=raw.cell(row, name),
        remedy="; ".join(remedies),
    )


def propose_format(strings: Any, raw: Raw) -> Proposal | None:
    """Return the formats in which most values of a column of text can be read, if any."""
    sample = strings.drop_null().slice(0, table_formats.SAMPLE).to_pylist()
    return table_formats.propose(sample, raw.csv.decimal) if sample else None


def _format_note(cells: TextCells, raw: Raw, *, name: str) -> str:
    """Return a note on text that a format would read as numbers or dates."""
    proposal = propose_format(cells.column, raw)
    if proposal is None:
        return ""
    start = f"the column {show(name)} is read as text, though most of its values look like "
    keep = f"keep them as text with data.columns: {json_option(name, 'text')}"
    example = show(proposal.example)
    if not proposal.formats and proposal.kind == "date":
        return (
            f"{start}dates in several formats, such as {example}; write them in one format, or "
            f"{keep}"
        )
    if not proposal.formats:
        return (
            f"{start}numbers, such as {example}; write them with the digits 0 to 9 and a leading "
            f"minus sign (-), or {keep}"
        )
    return (
        f"{start}{proposal.kind}s, such as {example}; read them with "
        f"{_format_option(name, proposal)}, or {keep}"
    )


def _format_option(name: str, proposal: Proposal) -> str:
    options = [json_option(name, msgspec.to_builtins(form)) for form in proposal.formats[:2]]
    return f"data.formats: {' or '.join(options)}" if options else "data.formats"


def _padding_note(cells: TextCells, raw: Raw, *, name: str) -> str:
    """Return a note on numbers that are text because one has leading zeros, such as 007.

    Codes of one length, such as postal codes, get none.
    """
    import pyarrow.compute as pc

    texts = cells.texts
    numbers = pc.match_substring_regex(with_points(texts, raw), NUMBER)
    if 2 * cells.count(numbers) <= cells.known:
        return ""
    lengths = pc.utf8_length(pc.utf8_trim_whitespace(texts.filter(numbers)))
    padded = pc.match_substring_regex(texts, _PADDED)
    if len(lengths.unique()) == 1 or 2 * cells.count(padded) > cells.count(numbers):
        return ""
    row, value = cells.first(padded)
    return (
        f"the column {show(name)} is read as text, though most of its values are numbers, because "
        f"{show(value)} in {raw.locate(row)} has a leading zero; declare it with "
        f"data.columns: {json_option(name, 'number')} or {json_option(name, 'text')}"
    )


def json_option(name: str, value: Any) -> str:
    """Return a column's entry in the config as JSON."""
    return json.dumps({name: value}, ensure_ascii=False)


def with_points(strings: Any, raw: Raw) -> Any:
    """Return texts of numbers with a decimal point in place of the table's decimal mark."""
    import pyarrow.compute as pc

    if raw.csv.decimal == ".":
        return strings
    # A point is not the decimal mark here, so a text with one must not become a number.
    return pc.replace_substring(pc.replace_substring(strings, ".", "_"), ",", ".")
