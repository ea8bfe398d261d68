"""Files of rows in any format, opened to be read in pieces."""

from __future__ import annotations

import codecs
import gzip
import io
import lzma
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import PurePath
from typing import IO, Literal, TypeAlias

from artifact_pipeline.builder.data import table_packaging
from artifact_pipeline.builder.data.table_files import FORMATS
from artifact_pipeline.errors import DataError, Location
from artifact_pipeline.inference import csv_rows, json_rows, matrix_rows, rows, typed_rows
from artifact_pipeline.inference.row_layout import (
    Layout,
    RowFile,
)

RowFormat: TypeAlias = Literal["csv", "parquet", "jsonl", "arrow", "matrix"]

ROW_FORMATS: dict[str, RowFormat] = {
    **FORMATS,
    ".arrow": "arrow",
    ".feather": "arrow",
    ".json": "jsonl",
    ".npy": "matrix",
}
"""The format of rows by the extension of their file."""

_STREAMED = {".gz", ".zip"}


@contextmanager
def opened(stream: IO[bytes], name: str, *, layout: Layout) -> Iterator[RowFile]:
    """Open a file of rows, and check that it has the columns that are needed.

    Args:
        stream: The file; a Parquet file must be seekable.
        name: Its name, whose extension is its format. Without one of `ROW_FORMATS` the format is
            guessed from its first bytes.
        layout: The layout of its rows.

    Raises:
        DataError: For a file of another format, and for columns that are missing.
    """
    with ExitStack() as files:
        content, inner = files.enter_context(_unpacked(stream, name))
        suffix = PurePath(inner).suffix.lower()
        start = b"" if suffix in ROW_FORMATS and suffix != ".json" else content.read(1 << 12)
        row_format = ROW_FORMATS.get(suffix) or _guess(start, layout)
        if suffix == ".json" and layout.is_matrix:
            row_format = "matrix"
        if row_format == "matrix":
            data = start + content.read()
            yield matrix_rows.open_matrix(data, inner, layout=layout)
        elif row_format in ("parquet", "arrow"):
            if not content.seekable():
                content = files.enter_context(_on_disk(content, start))
            content.seek(0)
            read = typed_rows.open_parquet if row_format == "parquet" else typed_rows.open_arrow
            yield read(content, inner, layout=layout)
        else:
            if suffix == ".json" and start.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"[":
                packed = start + content.read()
                start, content = table_packaging.unpack(packed, inner).data, io.BytesIO()
            read_text = json_rows.open_json_lines if row_format == "jsonl" else csv_rows.open_csv
            if row_format == "csv" and layout.is_matrix:
                read_text = matrix_rows.open_csv
            yield read_text(content, inner, layout=layout, start=start)


def _guess(start: bytes, layout: Layout) -> RowFormat:
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        return "arrow"
    text = start.removeprefix(codecs.BOM_UTF8).lstrip()
    if layout.is_matrix and (start.startswith(rows.NPY_MAGIC) or text[:1] == b"["):
        return "matrix"
    return "jsonl" if text[:1] == b"{" else "csv"


@contextmanager
def _unpacked(stream: IO[bytes], name: str) -> Iterator[tuple[IO[bytes], str]]:
    """Open the content of a gzip or zip file, and return it with its name."""
    suffix = PurePath(name).suffix.lower()
    if suffix not in _STREAMED:
        yield stream, name
        return
    try:
        if suffix == ".gz":
            with gzip.open(stream) as content:
                yield content, name[: -len(suffix)]  # type: ignore[misc]
        else:
            with zipfile.ZipFile(stream) as archive:
                member = table_packaging.only_member(archive, Location(name))
                with archive.open(member) as content:
                    yield content, f"{name}/{member.filename}"
    except (
        *(EOFError, gzip.BadGzipFile, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
        RuntimeError,  # of zipfile, for a password or an unknown method
    ) as error:
        problem = f"is not a {suffix} file that can be read: {error}"
        raise DataError(problem, location=Location(name)) from error


@contextmanager
def _on_disk(stream: IO[bytes], start: bytes) -> Iterator[IO[bytes]]:
    """Copy a pipe into a temporary file."""
    with tempfile.TemporaryFile() as file:
        file.write(start)
        shutil.copyfileobj(stream, file)
        yield file
