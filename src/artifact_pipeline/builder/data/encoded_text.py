"""Text in the bytes of a file."""

from artifact_pipeline.builder.config.messages import first_line
from artifact_pipeline.errors import DataError, Location


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
