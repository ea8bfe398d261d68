"""Text in the bytes of a file."""

import codecs

from artifact_pipeline.builder.config.messages import first_line
from artifact_pipeline.errors import DataError, Location

_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks; that of UTF-32 begins with that of UTF-16."""


def marked_encoding(data: bytes) -> str | None:
    """Return the encoding that a byte order mark names, UTF-8 aside; None if there is none."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding
    return None


def decode(data: bytes, file: Location, *, encoding: str = "utf-8", remedy: str) -> str:
    """Return bytes as text.

    Args:
        data: The bytes of a file.
        file: Its name.
        encoding: Its encoding.
        remedy: What to do about a file in another encoding.

    Raises:
        DataError: If the file is not in the encoding; with the line.
    """
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(
            f"is not {encoding}: byte 0x{data[error.start]:02x}",
            location=file.at(line=line_after(data[: error.start])),
            remedy=remedy,
        ) from error
    except UnicodeError as error:
        problem = f"is not {encoding}: {first_line(error)}"
        raise DataError(problem, location=file, remedy=remedy) from error


def line_after(before: bytes) -> int:
    """Return the number of the line after these bytes, whose lines may end in any way."""
    return 1 + before.count(b"\n") + before.count(b"\r") - before.count(b"\r\n")
