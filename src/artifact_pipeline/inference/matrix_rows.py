"""Files with the rows of a matrix: CSV in pieces, JSON and .npy read at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any

from msgspec import Struct

from artifact_pipeline.builder.config.messages import show
from artifact_pipeline.errors import DataError, Location
from artifact_pipeline.inference import rows, text_records
from artifact_pipeline.inference.row_layout import (
    CheckedRows,
    Layout,
    RowFile,
)
from artifact_pipeline.inference.text_records import TextPiece
from artifact_pipeline.inference.text_rows import TextRows, first_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray


def open_csv(content: IO[bytes], name: str, *, layout: Layout, start: bytes) -> RowFile:
    """Open a CSV of numbers, with or without a header."""
    file = Location(name)
    _check_nothing_kept(name, layout)
    # Only the first line can be a header. After a row of zeros, names are a wrong row.
    zeros = b",".join([b"0"] * len(layout.features)) + b"\n"

    def read(piece: TextPiece, blank_lines: int) -> CheckedRows:
        before = zeros if piece.line else b""
        text = before + piece.behind(blank_lines)
        matrix = rows.parse(text, layout.features, name=name)
        return _matrix(matrix[1:] if before else matrix, layout=layout, location=file)

    pieces = text_records.cut(
        content, rows=layout.rows, delimiter=b",", name=name, start=first_bytes(content, start)
    )
    return RowFile(
        name=name,
        columns=[],
        has_id=False,
        kept=[],
        pieces=(TextRows(piece, read, 1) for piece in pieces),
    )


def open_matrix(data: bytes, name: str, *, layout: Layout) -> RowFile:
    """Open rows that are read at once: JSON or .npy."""
    _check_nothing_kept(name, layout)
    matrix = rows.parse(data, layout.features, name=name)

    def read(part: NDArray[Any]) -> CheckedRows:
        return _matrix(part, layout=layout, location=Location(name))

    begins = range(0, len(matrix), layout.rows)
    parts = (_MatrixRows(matrix[begin : begin + layout.rows], read) for begin in begins)
    return RowFile(name=name, columns=[], has_id=False, kept=[], pieces=parts)


class _MatrixRows(Struct, frozen=True):
    """Rows of a matrix."""

    matrix: NDArray[Any]
    read_matrix: Callable[[NDArray[Any]], CheckedRows]

    def __len__(self) -> int:
        return len(self.matrix)

    def slice(self, begin: int, end: int) -> _MatrixRows:
        return _MatrixRows(self.matrix[begin:end], self.read_matrix)

    def read(self) -> CheckedRows:
        return self.read_matrix(self.matrix)


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
