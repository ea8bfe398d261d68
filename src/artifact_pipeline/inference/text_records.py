"""Text files cut into pieces of complete records, without holding a file in memory.

>>> import io
>>> stream = io.BytesIO(b'1,"a\\n\\nb"\\n\\n2,c\\n3,d')
>>> [piece.data for piece in cut(stream, rows=2, delimiter=b",")]
[b'1,"a\\n\\nb"\\n\\n2,c\\n', b'3,d']
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol

from artifact_pipeline.builder.data.encoded_text import line_after
from artifact_pipeline.builder.data.table_csv import are_paired, quoted_cells
from artifact_pipeline.errors import DataError, Location

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_PIECE = 64 << 20
"""Bytes after which a piece ends, though it has fewer rows than asked for."""
MAX_RECORD = 256 << 20
"""The most bytes of one record."""
_BLOCK = 8 << 20


class Stream(Protocol):
    """An opened binary file."""

    def read(self, size: int = -1, /) -> bytes: ...


class TextPiece(NamedTuple):
    """Consecutive records of a text file.

    Attributes:
        data: Their bytes.
        ends: (n_records,) where each record ends in `data`. Blank lines belong to the next record.
        line: The number of lines before them.
    """

    data: bytes
    ends: NDArray[np.int64]
    line: int

    def slice(self, begin: int, end: int) -> TextPiece:
        """Return some of the records, counted from 0."""
        first = int(self.ends[begin - 1]) if begin else 0
        data = self.data[first : int(self.ends[end - 1])]
        line = self.line + line_after(self.data[:first]) - 1
        return TextPiece(data, self.ends[begin:end] - first, line)


def cut(
    stream: Stream,
    *,
    rows: int,
    delimiter: bytes | None = None,
    name: str = "rows",
    start: bytes = b"",
    line: int = 0,
) -> Iterator[TextPiece]:
    """Yield the records of a text file in pieces, each but the last of `rows` records.

    A piece ends earlier if it has `MAX_PIECE` bytes. Where pieces end depends on the content only.

    Args:
        stream: The file.
        rows: The number of records in a piece.
        delimiter: That of a CSV, whose quoted cells may have line ends; None if no record has any.
        name: Its name, for errors.
        start: Bytes that were read before.
        line: The number of lines before these.

    Raises:
        DataError: For a record of more than `MAX_RECORD` bytes.
    """
    data, at_end = start, False
    while not at_end:
        block = stream.read(_BLOCK)
        at_end = not block
        data = data + block if data else block
        ends = record_ends(data, delimiter, at_end=at_end)
        first, begin = 0, 0
        while begin < len(ends):
            last = min(begin + rows, len(ends))
            by_size = int(ends.searchsorted(first + MAX_PIECE, side="left")) + 1
            is_full = last == begin + rows or by_size <= last
            if not (is_full or at_end):
                break
            last = min(last, by_size)
            end = int(ends[last - 1])
            piece = TextPiece(data[first:end], ends[begin:last] - first, line)
            yield piece
            line += _line_ends(piece.data)
            first, begin = end, last
        data = data[first:]
        if len(data) > MAX_RECORD and begin == len(ends):
            raise DataError(
                f"a row of more than {MAX_RECORD >> 20} MiB begins here; is a quote missing?",
                location=Location(name, line=line + 1),
            )


def _line_ends(data: bytes) -> int:
    """Return the number of line ends, fast where all are line feeds."""
    return line_after(data) - 1 if b"\r" in data else data.count(b"\n")


def record_ends(data: bytes, delimiter: bytes | None, *, at_end: bool = True) -> NDArray[np.int64]:
    """Return where the records in text end, (n_records,).

    Args:
        data: Text that begins with a record.
        delimiter: As for `cut`.
        at_end: Whether what follows the last line end is a record.
    """
    import numpy as np

    codes = np.frombuffer(data, dtype="uint8")
    mark = ord("\n") if b"\n" in data[:_BLOCK] else ord("\r")
    ends = np.flatnonzero(codes == mark) + 1
    if delimiter is not None and b'"' in data:
        ends = _outside_quotes(data, ends, delimiter=delimiter)
    if at_end and len(data) > (ends[-1] if len(ends) else 0) and data.rstrip(b"\r\n"):
        ends = np.append(ends, len(data))
    begins = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
    is_blank = (ends - begins == 1) & (codes[begins] == mark) if len(ends) else ends > 0
    if mark == ord("\n") and len(ends):
        is_blank |= (ends - begins == 2) & (codes[begins] == ord("\r")) & (codes[ends - 1] == mark)
    records: NDArray[np.int64] = ends[~is_blank]
    return records


def _outside_quotes(data: bytes, ends: NDArray[np.int64], *, delimiter: bytes) -> NDArray[np.int64]:
    """Return the line ends that are not inside a quoted cell."""
    import numpy as np

    quotes = np.flatnonzero(np.frombuffer(data, dtype="uint8") == ord('"'))
    outside: NDArray[np.int64] = ends[np.searchsorted(quotes, ends) % 2 == 0]
    if not len(outside) or are_paired(data[: outside[-1]], delimiter):
        return outside
    is_inside = np.zeros(len(ends), dtype=bool)
    for cell in quoted_cells(data, delimiter):
        close = cell.end() if cell[1] is None else cell.start(1)
        first, last = np.searchsorted(ends, [cell.start() + 1, close], side="right")
        is_inside[first:last] = True
        if cell[1] is None:
            is_inside[first:] = True
    outside = ends[~is_inside]
    return outside
