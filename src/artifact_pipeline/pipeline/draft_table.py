"""The table of a draft: the CSV dialect that reads it, and words for missing values in it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from artifact_pipeline.builder.config.messages import show
from artifact_pipeline.builder.config.values import Csv
from artifact_pipeline.builder.data import (
    column_types,
    encoded_text,
    table_columns,
    table_files,
    table_formats,
    table_packaging,
    table_reader,
)
from artifact_pipeline.builder.data.table_files import TablePath
from artifact_pipeline.builder.data.table_packaging import Unpacked
from artifact_pipeline.builder.data.table_reader import Raw
from artifact_pipeline.errors import DataError, Location

DELIMITERS = ",;\t|"
NO_VALUE = ("NA", "N/A", "n/a", "#N/A", "NULL", "null", "NaN", "nan", "?")
"""Words for a missing value that are not the name of a class."""
NULLS = (*NO_VALUE, "None", "none", "-", "--", ".", "..", "unknown", "Unknown", "missing")
"""Words for a missing value among numbers or dates, however many there are."""
MAX_WORDS = 10
"""More different words among numbers are not words for a missing value."""
FEW_NUMBERS = 20
"""Up to this many different numbers with a few words may be categories."""
SAMPLE_ROWS = 50
_SAMPLE_CHARACTERS = 1 << 16
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
_DECIMAL_COMMA = r"^-?(\d+,(\d{1,2}|\d{4,})|0,\d+)$"
"""Three digits after a comma may as well be thousands."""
_INFINITE = r"^\s*[+-]?(?i:inf|infinity)\s*$"
_CONTROLS = re.compile(r"[\x80-\x9f]")
"""Control characters that latin-1 has where cp1252 has quotes, dashes and the euro sign."""
_PADDED = r"^\s*[+-]?0\d"


class DraftTable(NamedTuple):
    """A table, the CSV dialect that reads it, and the reasons for the dialect."""

    raw: Raw
    csv: Csv
    choices: list[str]


class _Reading(NamedTuple):
    """The distinct texts of a column that can be read in one way, and those that cannot."""

    readable: list[str]
    other: list[str]


def read(paths: Sequence[TablePath], target: str) -> DraftTable:
    """Read a table; CSV files with the dialect that suits them.

    Args:
        paths: Its files.
        target: The column to predict, whose labels are not taken for missing values.

    Raises:
        DataError: If it cannot be read, or its first line is data rather than names.
    """
    contents = [table_packaging.unpack(table_files.read(path), path.name) for path in paths]
    file_format = table_files.format_of(paths[0])
    if file_format != "csv":
        return DraftTable(table_reader.read(contents, file_format), Csv(), [])
    dialect, choices = _dialect(contents)
    raw = table_reader.read(contents, "csv", csv=dialect)
    words: dict[str, None] = {}
    for name in raw.table.column_names:
        counts = words_for_missing(raw, name, is_target=name == target)
        if counts:
            words |= dict.fromkeys(counts)
            listed = ", ".join(f"{show(word)} ({rows})" for word, rows in counts.items())
            verb = "is" if len(counts) == 1 else "are"
            choices.append(f"{show(name)}: {listed} {verb} read as missing (data.csv.null_values)")
    if target in raw.table.column_names:
        labels = set(raw.column(target).to_pylist())
        if not _is_numeric(raw, target):
            words = {word: None for word in words if word in NO_VALUE or word not in labels}
    if not words:
        return DraftTable(raw, dialect, choices)
    dialect = replace(dialect, null_values=list(words))
    return DraftTable(table_reader.read(contents, "csv", csv=dialect), dialect, choices)


def words_for_missing(raw: Raw, name: str, *, is_target: bool) -> dict[str, int]:
    """Return the words for a missing value in a column of a CSV, and in how many rows each is.

    In a column of text there are none, except in the target.

    Args:
        raw: The table as it was read.
        name: The name of the column.
        is_target: Whether it is the column to predict.
    """
    counts = _counts(raw, name)
    no_values = {text: rows for text, rows in counts.items() if text.strip() in ("", *NULLS)}
    texts = [text for text in counts if text not in no_values]
    for readable, other in _readings(texts, raw):
        rows, other_rows = (sum(counts[text] for text in part) for part in (readable, other))
        if not other:
            return no_values
        few_numbers = len(readable) <= FEW_NUMBERS
        if (
            len(other) <= MAX_WORDS
            and other_rows < rows * (0.1 if few_numbers else 0.5)
            and not (few_numbers and any(re.search(r"\d", text) for text in other))
        ):
            return {**no_values, **{text: counts[text] for text in other}}
    return {text: rows for text, rows in no_values.items() if is_target and text in NO_VALUE}


def _counts(raw: Raw, name: str) -> dict[str, int]:
    """Return each text of a column and its number of rows, the most frequent first."""
    counts = raw.column(name).drop_null().value_counts()
    texts, rows = counts.field("values").to_pylist(), counts.field("counts").to_pylist()
    return dict(sorted(zip(texts, rows, strict=True), key=lambda item: -item[1]))


def _readings(texts: list[str], raw: Raw) -> Iterator[_Reading]:
    """Yield the ways to read some of a column's texts: numbers, dates, and formats of them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not texts:
        return
    strings = pa.chunked_array([pa.array(texts, type=pa.string())])
    pointed = column_types.with_points(strings, raw)
    numbers = pc.match_substring_regex(pointed, column_types.NUMBER)
    codes = pc.any(pc.and_(numbers, pc.match_substring_regex(strings, _PADDED))).as_py()
    if not codes:
        finite = pc.and_not(numbers, pc.match_substring_regex(strings, _INFINITE))
        yield from _reading(texts, finite.to_pylist())
    for pattern in (table_formats.DATE, column_types.BOOLEAN):
        yield from _reading(texts, pc.match_substring_regex(strings, pattern).to_pylist())
    proposal = table_formats.propose(texts[: table_formats.SAMPLE], raw.csv.decimal)
    if proposal is None or not proposal.formats:
        return
    column_format = proposal.formats[0]
    if column_format.date is not None:
        date_format = column_format.date
        moments = [table_formats.moment(text, date_format) is not None for text in texts]
        yield from _reading(texts, moments)
    else:
        _, good = table_formats.numbers(strings, column_format, decimal=raw.csv.decimal)
        yield from _reading(texts, good.to_pylist())


def _reading(texts: list[str], mask: list[bool]) -> Iterator[_Reading]:
    if any(mask):
        readable = [text for text, good in zip(texts, mask, strict=True) if good]
        yield _Reading(readable, [text for text, good in zip(texts, mask, strict=True) if not good])


def _is_numeric(raw: Raw, name: str) -> bool:
    """Return whether most values of a column of text are numbers."""
    counts = _counts(raw, name)
    numbers = sum(rows for text, rows in counts.items() if _NUMBER.fullmatch(text))
    return 2 * numbers > sum(counts.values())


def _dialect(contents: list[Unpacked]) -> tuple[Csv, list[str]]:
    """Return the encoding, delimiter and decimal mark of CSV files, and the reasons for them."""
    import pyarrow.compute as pc

    name, data = contents[0]
    encoding, choices = _encoding([content for _, content in contents]), []
    if encoding in ("cp1252", "latin-1"):
        choices.append(
            f"the files are not UTF-8; check that {encoding} reads their letters correctly"
        )
    elif encoding != "utf-8":
        choices.append(f"the files are {encoding}, by their byte order mark")
    text = data.decode(encoding, "replace").lstrip("\ufeff")[:_SAMPLE_CHARACTERS]
    delimiter = "\t" if name.lower().endswith(".tsv") else _delimiter(text)
    _check_header(_rows(text, delimiter), Location(name))
    if delimiter == "," or name.lower().endswith(".tsv"):
        return Csv(encoding=encoding), choices
    choices.append(f"cells are separated by {show(delimiter)}")
    raw = table_reader.read(contents, "csv", csv=Csv(delimiter=delimiter, encoding=encoding))
    commas = [
        column
        for column in raw.table.column_names
        if pc.any(pc.match_substring_regex(raw.column(column), _DECIMAL_COMMA)).as_py()
    ]
    if not commas:
        return Csv(delimiter=delimiter, encoding=encoding), choices
    choices.append(f"numbers have a decimal comma, as in {show(commas[0])}")
    return Csv(delimiter=delimiter, decimal=",", encoding=encoding), choices


def _encoding(contents: list[bytes]) -> str:
    """Return the encoding of CSV files: by a byte order mark, UTF-8, or one of Western Europe."""
    if marked := encoded_text.marked_encoding(contents[0]):
        return marked
    for encoding in ("utf-8", "latin-1", "cp1252"):
        try:
            texts = [content.decode(encoding) for content in contents]
        except UnicodeDecodeError:
            continue
        if encoding == "utf-8" or not any(map(_CONTROLS.search, texts)):
            return encoding
    return "latin-1"


def _delimiter(text: str) -> str:
    """Return the delimiter that splits the first rows into the most cells, the same in each."""
    widths = {}
    for delimiter in DELIMITERS:
        lengths = {len(row) for row in _rows(text, delimiter)}
        # R's write.table gives rows one cell more than the header.
        even = max(lengths, default=1) - min(lengths, default=1) <= 1
        widths[delimiter] = min(lengths, default=1) if even else 1
    if max(widths.values()) > 1:
        return max(DELIMITERS, key=lambda delimiter: widths[delimiter])
    header = text.partition("\n")[0]
    best = max(DELIMITERS, key=header.count)
    return best if best in header else ","


def _rows(text: str, delimiter: str) -> list[list[str]]:
    """Return the header and the first rows of a CSV, without the last, which may be cut off."""
    rows: list[list[str]] = []
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            rows += [row] if row else []
            if len(rows) > SAMPLE_ROWS + 1:
                break
    except csv.Error:  # the reader of the table finds and locates it
        pass
    return rows[:-1] if len(text) == _SAMPLE_CHARACTERS or len(rows) > SAMPLE_ROWS + 1 else rows


def _check_header(rows: list[list[str]], file: Location) -> None:
    """Check that the first row of a CSV contains names.

    It is data if it has numbers above numbers, and each of its texts is also a value below.
    Years and consecutive integers are common names.

    Raises:
        DataError: If it is data.
    """
    header, *values = rows or [[]]
    numbers = [cell for cell in header if _NUMBER.fullmatch(cell)]
    if not numbers or not values or _are_names(numbers):
        return
    for index, cell in enumerate(header):
        below = [row[index] for row in values if len(row) > index and row[index].strip()]
        if cell in numbers:
            is_data = 2 * sum(bool(_NUMBER.fullmatch(value)) for value in below) > len(below)
        else:
            is_data = not cell.strip() or cell in below
        if not is_data:
            return
    raise DataError(
        f"the first line has data, such as {show(numbers[0])}, expected the names of the columns",
        location=file,
        remedy="add a first line with a name for each column",
    )


def _are_names(numbers: list[str]) -> bool:
    if not all(number.strip().isdigit() for number in numbers):
        return False
    integers = [int(number[:20]) for number in numbers]
    if all(1900 <= integer <= 2100 for integer in integers):
        return True
    return len(integers) > 1 and integers == list(range(integers[0], integers[0] + len(integers)))


def without_missing_targets(raw: Raw, target: str) -> Raw:
    """Return the rows that have a target; all rows if none has."""
    import numpy as np

    try:
        column = table_columns.column(raw, target)
    except DataError:
        column = table_columns.column(raw, target, kind="text")
    kept = np.flatnonzero(~column.without_value()).tolist()
    return raw.take(kept) if 0 < len(kept) < len(column.values) else raw
