"""Rows in text files, whose errors name lines of the file."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any

from msgspec import Struct, structs

from artifact_pipeline.builder.config.messages import first_line
from artifact_pipeline.errors import DataError, Location
from artifact_pipeline.inference.row_layout import (
    CheckedRows,
)
from artifact_pipeline.inference.text_records import TextPiece

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FIRST_BYTES = 1 << 20


def first_bytes(stream: Any, start: bytes) -> bytes:
    """Return the first bytes of a stream, all of them if there are fewer than `FIRST_BYTES`."""
    while len(start) < FIRST_BYTES and (block := stream.read(FIRST_BYTES - len(start))):
        start += block
    return start


class TextRows(Struct, frozen=True):
    """Records of a text file.

    Attributes:
        piece: The records.
        read_text: Reads records after a number of blank lines, which gives lines their numbers.
        header_lines: The number of lines that it puts before these.
    """

    piece: TextPiece
    read_text: Callable[[TextPiece, int], CheckedRows]
    header_lines: int = 0

    def __len__(self) -> int:
        return len(self.piece.ends)

    def take(self, rows: NDArray[np.int64]) -> TextRows:
        return structs.replace(self, piece=self.piece.take(rows))

    def read(self) -> CheckedRows:
        lines_before = self.piece.line - self.header_lines
        try:
            return self.read_text(self.piece, 0)
        except DataError as error:
            if error.location is None or error.location.line is None or lines_before <= 0:
                raise
        # The message names lines, so the rows are read again with their line numbers.
        self.read_text(self.piece, lines_before)
        raise AssertionError("rows were refused, and then read")


class Transcoded:
    """A text file in UTF-8."""

    def __init__(self, stream: IO[bytes], encoding: str, *, start: bytes, file: Location) -> None:
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._encoding = encoding
        self._stream = stream
        self._start = start
        self._file = file
        self._line = 1

    def read(self, size: int = -1) -> bytes:
        while True:
            block, self._start = self._start or self._stream.read(size), b""
            try:
                text = self._decoder.decode(block, final=not block)
            except UnicodeError as error:
                problem = f"is not {self._encoding}: {first_line(error)}"
                raise DataError(problem, location=self._file.at(line=self._line)) from error
            if text or not block:
                self._line += text.count("\n")
                return text.encode("utf-8", "surrogatepass")
