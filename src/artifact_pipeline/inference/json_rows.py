"""JSON lines, as pieces of complete rows."""

from __future__ import annotations

import codecs
import itertools
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, TYPE_CHECKING

import msgspec

from artifact_pipeline.builder.config.values import Csv
from artifact_pipeline.builder.data import table_reader
from artifact_pipeline.builder.data.wrong_rows import WrongRows
from artifact_pipeline.errors import DataError
from artifact_pipeline.inference import tables, text_records
from artifact_pipeline.inference.row_layout import (
    CheckedRows,
    Layout,
    RowFile,
    check_columns,
    checked_rows,
)
from artifact_pipeline.inference.text_records import TextPiece
from artifact_pipeline.inference.text_rows import FIRST_BYTES, TextRows, first_bytes

if TYPE_CHECKING:
    import pyarrow as pa


def open_json_lines(content: IO[bytes], name: str, *, layout: Layout, start: bytes) -> RowFile:
    """Open JSON lines."""
    import pyarrow as pa

    start = first_bytes(content, start).removeprefix(codecs.BOM_UTF8)
    if not start.strip() and len(start) < FIRST_BYTES:
        # A part without rows has no bytes, as JSON lines have no header.
        return RowFile(name=name, columns=[], has_id=False, kept=[], rows=0, pieces=iter(()))
    columns: dict[str, None] = {}

    def read(piece: TextPiece, blank_lines: int) -> CheckedRows:
        text = piece.behind(blank_lines)
        table = tables.TableFile.read(text, name, file_format="jsonl", csv=Csv())
        kept = _kept_json(piece.data, layout.keep) if layout.keep else []
        try:
            return checked_rows(table, name, layout=layout, kept=kept, file_columns=columns)
        except WrongRows as error:
            if table.rows == len(piece.ends):
                raise
            # A line has several objects, or an object several lines.
            raise DataError(error.problem, location=error.location) from error

    pieces = text_records.cut(content, rows=layout.rows, name=name, start=start)
    # A row may lack a value, so the columns are those of all rows in the first piece.
    first = next(pieces)
    columns.update(_keys(first.data, name))
    check_columns(list(columns), name, layout=layout)
    return RowFile(
        name=name,
        columns=list(columns),
        has_id=layout.id in columns,
        kept=[pa.string()] * len(layout.keep),
        kept_as_json=True,
        output_format="jsonl",
        pieces=(TextRows(piece, read) for piece in itertools.chain([first], pieces)),
    )


def _keys(data: bytes, name: str) -> dict[str, None]:
    """Return the keys of all objects in JSON lines; wrong lines are reported when they are read."""
    decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
    try:
        records = decoder.decode_lines(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        records = []
        for line in data.splitlines():
            with suppress(msgspec.DecodeError, UnicodeDecodeError):
                records.append(decoder.decode(line))
        if not records:  # an object in several lines
            table = table_reader.read([(name, data)], "jsonl").table
            return dict.fromkeys(table.column_names)
    return {key: None for record in records for key in record}


def _kept_json(data: bytes, names: Sequence[str]) -> list[pa.Array]:
    """Return columns of JSON lines with each value as it is written, null if it is missing."""
    import pyarrow as pa

    records = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode_lines(data)
    return [
        pa.array(
            [bytes(record[name]).decode() if name in record else None for record in records],
            type=pa.string(),
        )
        for name in names
    ]
