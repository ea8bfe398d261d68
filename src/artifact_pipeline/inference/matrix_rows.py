"""Files with the rows of a matrix: CSV in pieces, JSON and .npy read at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any

from msgspec import Struct

from artifact_pipeline.builder.config.messages import show
from artifact_pipeline.builder.data.encoded_text import marked_encoding
from artifact_pipeline.errors import DataError, Location
from artifact_pipeline.inference import rows, text_records
from artifact_pipeline.inference.row_layout import (
    CheckedRows,
    Layout,
    RowFile,
)
from artifact_pipeline.inference.text_records import TextPiece
from artifact_pipeline.inference.text_rows import TextRows, Transcoded, first_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def open_csv(content: IO[bytes], name: str, *, layout: Layout, start: bytes) -> RowFile:
    """Open a CSV of numbers, with or without a header."""
    file = Location(name)
    _check_nothing_kept(name, layout)
    delimiter = b"\t" if name.lower().endswith(".tsv") else b","
    # Only the first line can be a header. After a row of zeros, names are a wrong row.
    zeros = delimiter.join([b"0"] * len(layout.features)) + b"\n"
    start = first_bytes(content, start)
    stream: Any = content
    if encoding := marked_encoding(start):
        stream, start = Transcoded(content, encoding, start=start, file=file), b""

    def read(piece: TextPiece, blank_lines: int) -> CheckedRows:
        before = zeros if piece.line else b""
        text = before + piece.behind(blank_lines)
        matrix = rows.parse(text, layout.features, name=name)
        return _matrix(matrix[1:] if before else matrix, layout=layout, location=file)

    pieces = text_records.cut(stream, rows=layout.rows, delimiter=delimiter, name=name, start=start)
    return RowFile(
        name=name,
        columns=[],
        has_id=False,
        kept=[],
        pieces=(TextRows(piece, read, 1) for piece in pieces),
    )


def open_matrix(data: bytes, name: str, *, layout: Layout) -> RowFile:
    """Open rows that are decoded at once: JSON or .npy."""
    import numpy as np

    _check_nothing_kept(name, layout)
    file = Location(name)
    decoded: NDArray[np.float64] | list[Any]
    if name.lower().endswith(".npy") or data.startswith(rows.NPY_MAGIC):
        decoded = rows.decode_npy(data, layout.features, file=file)
    elif data.strip():
        decoded = rows.decode_json(data, file)
    else:
        raise DataError(rows.EMPTY, location=file)

    def read(part: NDArray[np.float64] | list[Any]) -> CheckedRows:
        if isinstance(part, list):
            part = np.array(rows.rows_of_json(part, layout.features, location=file))
        return _matrix(part, layout=layout, location=file)

    begins = range(0, len(decoded), layout.rows)
    parts = (_DecodedRows(decoded[begin : begin + layout.rows], read) for begin in begins)
    return RowFile(name=name, columns=[], has_id=False, kept=[], pieces=parts)


class _DecodedRows(Struct, frozen=True):
    """Rows of a matrix, or of JSON."""

    items: NDArray[Any] | list[Any]
    read_items: Callable[[NDArray[Any] | list[Any]], CheckedRows]

    def __len__(self) -> int:
        return len(self.items)

    def take(self, rows: NDArray[np.int64]) -> _DecodedRows:
        if isinstance(self.items, list):
            return _DecodedRows([self.items[row] for row in rows.tolist()], self.read_items)
        return _DecodedRows(self.items[rows], self.read_items)

    def read(self) -> CheckedRows:
        return self.read_items(self.items)


def _check_nothing_kept(name: str, layout: Layout) -> None:
    if layout.keep:
        problem = f"has no column {show(layout.keep[0])} to keep: its columns have no names"
        raise DataError(problem, location=Location(name))


def _matrix(matrix: NDArray[Any], *, layout: Layout, location: Location) -> CheckedRows:
    limits = None
    if any(column.numbers or column.range for column in layout.columns):
        limits = layout.columns
    batch = rows.check(matrix, layout.features, location=location, limits=limits)
    return CheckedRows(batch=batch, ids=None, kept=[], extra=[], unseen={})
