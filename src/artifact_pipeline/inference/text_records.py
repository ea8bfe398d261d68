"""Text files cut into pieces of complete records, without loading a file into memory.

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
"""Bytes after which a piece ends, even if it has fewer rows than requested."""
MAX_RECORD = 256 << 20
"""Maximum bytes of one record."""
_BLOCK = 1 << 20


class Stream(Protocol):
    """An opened binary file."""

    def read(self, size: int = -1, /) -> bytes: ...


class TextPiece(NamedTuple):
    """Consecutive records of a text file.

    Attributes:
        data: The header, and their bytes.
        ends: (n_records,) where each record ends in `data`. Blank lines belong to the next record.
        line: The number of lines before them.
        header: Bytes before the first record.
    """

    data: bytes
    ends: NDArray[np.int64]
    line: int
    header: bytes = b""

    @classmethod
    def of(
        cls, parts: list[memoryview], ends: list[NDArray[np.int64]], *, line: int, header: bytes
    ) -> TextPiece:
        """Return a piece of consecutive parts, each with the ends of its records in the piece."""
        import numpy as np

        return cls(
            data=b"".join([header, *parts]),
            ends=np.concatenate(ends) + len(header),
            line=line,
            header=header,
        )

    def slice(self, begin: int, end: int) -> TextPiece:
        """Return some of the records, counted from 0."""
        size = len(self.header)
        first = int(self.ends[begin - 1]) if begin else size
        data = self.header + self.data[first : int(self.ends[end - 1])]
        line = self.line + line_after(self.data[size:first]) - 1
        ends = self.ends[begin:end] - (first - size)
        return TextPiece(data=data, ends=ends, line=line, header=self.header)

    def take(self, rows: NDArray[np.int64]) -> TextPiece:
        """Return some of the records in their order; their lines count only if none is between."""
        import numpy as np

        runs = np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1)
        if len(runs) == 1:
            return self.slice(int(rows[0]), int(rows[-1]) + 1)
        size = len(self.header)
        begins = np.append(size, self.ends[:-1])
        view = memoryview(self.data)
        parts = [view[int(begins[run[0]]) : int(self.ends[run[-1]])] for run in runs]
        return TextPiece(
            data=b"".join([self.header, *parts]),
            ends=np.cumsum((self.ends - begins)[rows]) + size,
            line=self.line,
            header=self.header,
        )

    def behind(self, blank_lines: int) -> bytes:
        """Return the bytes with blank lines before the first record."""
        if not blank_lines:
            return self.data
        blank = b"\n" * blank_lines
        if self.header.endswith(b"\r"):  # the first line feed ends the same line
            blank += b"\n"
        return self.header + blank + self.data[len(self.header) :]


def cut(
    stream: Stream,
    *,
    rows: int,
    delimiter: bytes | None = None,
    name: str = "rows",
    start: bytes = b"",
    line: int = 0,
    header: bytes = b"",
) -> Iterator[TextPiece]:
    """Yield the records of a text file in pieces of `rows` records; the last may have fewer.

    A piece ends earlier if it has `MAX_PIECE` bytes. The cuts depend only on the content.

    Args:
        stream: The file.
        rows: The number of records in a piece.
        delimiter: The delimiter of a CSV, whose quoted cells may have line ends; None if no record
            has any.
        name: Its name, for errors.
        start: Bytes that were read before.
        line: The number of lines before these.
        header: Bytes that each piece begins with.

    Raises:
        DataError: For a record of more than `MAX_RECORD` bytes.
    """
    import numpy as np

    rest, at_end = start, False
    # A carriage return is a space in JSON, unless nothing else ends the lines.
    returns = None if delimiter is None else True
    parts: list[memoryview] = []
    part_ends: list[NDArray[np.int64]] = []
    count = size = lines = 0
    while not at_end:
        # A long record is searched again with each block, so blocks grow with it.
        block = stream.read(max(_BLOCK, len(rest)))
        at_end = not block
        data = rest + block
        if returns is None:
            returns = b"\n" not in data
        line_ends = _line_ends(data, returns=returns, at_end=at_end)
        ends = _record_ends(data, line_ends, delimiter=delimiter, at_end=at_end)
        first, begin = 0, 0
        while begin < len(ends):
            by_size = int(ends.searchsorted(first + MAX_PIECE - size)) + 1
            last = min(begin + rows - count, by_size)
            is_full = last <= len(ends)
            last = min(last, len(ends))
            end = int(ends[last - 1])
            parts.append(memoryview(data)[first:end])
            part_ends.append(ends[begin:last] + (size - first))
            lines += int(np.diff(line_ends.searchsorted([first, end], side="right"))[0])
            size, count, first, begin = size + end - first, count + last - begin, end, last
            if is_full:
                yield TextPiece.of(parts, part_ends, line=line, header=header)
                parts, part_ends = [], []
                line, count, size, lines = line + lines, 0, 0, 0
        rest = data[first:]
        if len(rest) > MAX_RECORD:
            raise DataError(
                f"a row of more than {MAX_RECORD >> 20} MiB begins here; is a quote missing?",
                location=Location(name, line=line + lines + 1),
            )
    if parts:
        yield TextPiece.of(parts, part_ends, line=line, header=header)


def record_ends(data: bytes, delimiter: bytes, *, at_end: bool = True) -> NDArray[np.int64]:
    """Return where the records in a CSV end, (n_records,).

    Args:
        data: Text that begins with a record.
        delimiter: The delimiter of its cells.
        at_end: Whether the text ends where `data` does.
    """
    line_ends = _line_ends(data, returns=True, at_end=at_end)
    return _record_ends(data, line_ends, delimiter=delimiter, at_end=at_end)


def _line_ends(data: bytes, *, returns: bool, at_end: bool) -> NDArray[np.int64]:
    """Return where the lines in text end, also those inside quotes, (n_lines,).

    Args:
        data: The text.
        returns: Whether a carriage return without a line feed ends a line.
        at_end: Whether the text ends where `data` does.
    """
    import numpy as np

    codes = np.frombuffer(data, dtype="uint8")
    ends = np.flatnonzero(codes == ord("\n")) + 1
    if not returns or b"\r" not in data:
        return ends
    after = np.flatnonzero(codes == ord("\r")) + 1
    is_last = after == len(data)
    is_lone = codes[np.where(is_last, 0, after)] != ord("\n")
    is_lone[is_last] = at_end  # otherwise a line feed may follow
    return np.sort(np.concatenate([ends, after[is_lone]])) if is_lone.any() else ends


def _record_ends(
    data: bytes, line_ends: NDArray[np.int64], *, delimiter: bytes | None, at_end: bool
) -> NDArray[np.int64]:
    """Return the line ends that end a record, and the end of a last line without one."""
    import numpy as np

    ends = line_ends
    if delimiter is not None and b'"' in data:
        ends = _outside_quotes(data, ends, delimiter=delimiter)
    last = int(ends[-1]) if len(ends) else 0
    if at_end and data[last:].strip(b"\r\n"):
        ends = np.append(ends, len(data))
    if not len(ends):
        return ends
    lengths = np.diff(ends, prepend=0)
    if delimiter is None:  # a line of spaces has no record
        begins = ends - lengths
        places = np.flatnonzero(np.frombuffer(data, dtype="uint8")[begins] <= ord(" ")).tolist()
        return np.delete(ends, [at for at in places if data[begins[at] : ends[at]].isspace()])
    if lengths.min() > 2:
        return ends
    codes = np.frombuffer(data, dtype="uint8")
    is_blank = (lengths == 1) & np.isin(codes[ends - 1], [*b"\r\n"])
    is_blank |= (lengths == 2) & (codes[ends - 2] == ord("\r")) & (codes[ends - 1] == ord("\n"))
    records: NDArray[np.int64] = ends[~is_blank]
    return records


def _outside_quotes(data: bytes, ends: NDArray[np.int64], *, delimiter: bytes) -> NDArray[np.int64]:
    """Return the line ends that are not inside a quoted cell."""
    import numpy as np

    quotes = np.flatnonzero(np.frombuffer(data, dtype="uint8") == ord('"'))
    outside: NDArray[np.int64] = ends[np.searchsorted(quotes, ends) % 2 == 0]
    if not len(outside) or not are_paired(data[: outside[-1]], delimiter):
        outside = ends[:0]
    paired = int(outside[-1]) if len(outside) else 0
    # A quote in a cell that does not begin with one is text, so each cell is examined.
    later = ends[ends.searchsorted(paired, side="right") :]
    is_inside = np.zeros(len(later), dtype=bool)
    for cell in quoted_cells(data[paired:], delimiter) if len(later) else ():
        close = cell.end() if cell[1] is None else cell.start(1)
        first, last = later.searchsorted(
            [paired + cell.start() + 1, paired + close], side="right"
        ).tolist()
        is_inside[first : None if cell[1] is None else last] = True
    return np.concatenate([outside, later[~is_inside]])
