"""Rows to predict, read from files of any size in batches of a fixed number of rows."""

from __future__ import annotations

import codecs
import gzip
import io
import itertools
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import PurePath
from typing import IO, TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias

import msgspec
from msgspec import Struct, structs

from artifact_pipeline.builder.artifact.manifest import ColumnSpec, FeatureLimits, Manifest
from artifact_pipeline.builder.config.messages import first_line, show
from artifact_pipeline.builder.config.values import Csv
from artifact_pipeline.builder.data import (
    table_csv,
    table_packaging,
    table_parquet,
    table_reader,
)
from artifact_pipeline.builder.data.encoded_text import line_after, marked_encoding
from artifact_pipeline.builder.data.table_files import FORMATS
from artifact_pipeline.builder.data.table_reader import Part, Raw
from artifact_pipeline.errors import DataError, Location
from artifact_pipeline.inference import rows as matrix_rows
from artifact_pipeline.inference import tables, text_records
from artifact_pipeline.inference.prediction_files import OutputFormat
from artifact_pipeline.inference.text_records import TextPiece

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from artifact_pipeline.builder.formats.base import Batch

RowFormat: TypeAlias = Literal["csv", "parquet", "jsonl", "arrow", "matrix"]

ROW_FORMATS: dict[str, RowFormat] = {
    **FORMATS,
    ".arrow": "arrow",
    ".feather": "arrow",
    ".json": "jsonl",
    ".npy": "matrix",
}
"""The format of rows by the extension of their file."""

MAX_ROWS, MIN_ROWS = 1 << 16, 1 << 10
"""The most and the least rows of a batch."""
_CELLS = 1 << 20
_STREAMED = {".gz", ".zip"}


def batch_rows(features: int) -> int:
    """Return the number of rows that are predicted at once by a model of so many features.

    A power of two, so that a batch has about a million cells. The last bits of a probability can
    depend on it.

    >>> batch_rows(4), batch_rows(18), batch_rows(10_000)
    (65536, 32768, 1024)
    """
    rows = 1 << max(_CELLS // max(features, 1), 1).bit_length() - 1
    return min(max(rows, MIN_ROWS), MAX_ROWS)


class Layout(NamedTuple):
    """How the rows for a model are read.

    Attributes:
        features: The names of the features.
        columns: The columns that the model takes; those of a matrix are numbers.
        is_matrix: Whether the model takes a matrix.
        csv: The dialect of a CSV.
        id: The name of the id column of the training rows.
        keep: The columns to carry over.
        rows: The number of rows in a batch.
    """

    features: list[str]
    columns: list[ColumnSpec]
    is_matrix: bool
    csv: Csv
    id: str | None
    keep: tuple[str, ...]
    rows: int

    @classmethod
    def of(cls, manifest: Manifest, keep: Sequence[str] = ()) -> Layout:
        """Return the layout of the rows for a sealed model."""
        interface, data = manifest.interface, manifest.recipe.data
        ids = data.schema.named("id")
        limits = interface.limits or [FeatureLimits()] * len(interface.features)
        return cls(
            features=interface.features,
            columns=interface.columns
            or [
                ColumnSpec(
                    name=name,
                    kind="number",
                    nullable=False,
                    unseen=False,
                    categories=None,
                    numbers=limit.numbers,
                    range=limit.range,
                )
                for name, limit in zip(interface.features, limits, strict=True)
            ],
            is_matrix=interface.columns is None,
            csv=data.table.csv if data.table and data.table.csv else Csv(),
            id=ids[0] if ids else None,
            keep=tuple(keep),
            rows=batch_rows(len(interface.features)),
        )

    def batch(self, columns: list[NDArray[Any]]) -> Batch:
        """Return columns as the model takes them."""
        if not self.is_matrix:
            return columns
        import numpy as np

        return np.column_stack(columns)


class CheckedRows(NamedTuple):
    """Rows that a model takes.

    Attributes:
        batch: Their features.
        ids: The values of the id column, if the file has it.
        kept: The columns that are carried over.
        extra: The columns that are not used.
        unseen: The number of rows with a text that is not in the training data, by column.
    """

    batch: Batch
    ids: list[str] | None
    kept: list[pa.Array]
    extra: list[str]
    unseen: dict[str, int]


class Piece(Protocol):
    """Consecutive rows of a file that were found and not yet read."""

    def __len__(self) -> int: ...

    def slice(self, begin: int, end: int) -> Piece:
        """Return some of the rows, counted from 0."""

    def read(self) -> CheckedRows:
        """Return the rows. Their numbers in errors are those in the piece.

        Raises:
            DataError: For rows that the model does not take.
        """


class RowFile(Struct, frozen=True, kw_only=True):
    """An opened file of rows.

    Attributes:
        name: Its name in errors.
        columns: The names of its columns, empty if they are not known before its rows are.
        has_id: Whether it has the id column.
        kept: The types of the columns that are carried over.
        pieces: Its rows, each piece but the last with the number of the layout.
        kept_as_json: Whether these hold each value as it is written in JSON.
        output_format: The format of predictions that are written in that of the rows.
        rows: The number of its rows, if it says so.
    """

    name: str
    columns: list[str]
    has_id: bool
    kept: list[pa.DataType]
    pieces: Iterator[Piece]
    kept_as_json: bool = False
    output_format: OutputFormat = "csv"
    rows: int | None = None


@contextmanager
def opened(stream: IO[bytes], name: str, *, layout: Layout) -> Iterator[RowFile]:
    """Open a file of rows, and check that it has the columns that are needed.

    Args:
        stream: The file; a Parquet file must be seekable.
        name: Its name, whose extension is its format. Without one of `ROW_FORMATS` the format is
            guessed from its first bytes.
        layout: How its rows are read.

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
            yield _matrix_file(data, inner, layout=layout)
        elif row_format in ("parquet", "arrow"):
            if not content.seekable():
                content = files.enter_context(_on_disk(content, start))
            content.seek(0)
            read = _parquet_file if row_format == "parquet" else _arrow_file
            yield read(content, inner, layout=layout)
        else:
            if suffix == ".json" and start.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"[":
                packed = start + content.read()
                start, content = table_packaging.unpack(packed, inner).data, io.BytesIO()
            read_text = _json_lines_file if row_format == "jsonl" else _csv_file
            if row_format == "csv" and layout.is_matrix:
                read_text = _matrix_csv_file
            yield read_text(content, inner, layout=layout, start=start)


def _guess(start: bytes, layout: Layout) -> RowFormat:
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        return "arrow"
    text = start.removeprefix(codecs.BOM_UTF8).lstrip()
    if layout.is_matrix and (start.startswith(b"\x93NUMPY") or text[:1] == b"["):
        return "matrix"
    return "jsonl" if text[:1] == b"{" else "csv"


@contextmanager
def _unpacked(stream: IO[bytes], name: str) -> Iterator[tuple[IO[bytes], str]]:
    """Open what a gzip or zip file holds, and return it with its name."""
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
    except (EOFError, gzip.BadGzipFile, zipfile.BadZipFile, RuntimeError) as error:
        problem = f"is not a {suffix} file that can be read: {error}"
        raise DataError(problem, location=Location(name)) from error


@contextmanager
def _on_disk(stream: IO[bytes], start: bytes) -> Iterator[IO[bytes]]:
    """Copy a pipe into a temporary file."""
    with tempfile.TemporaryFile() as file:
        file.write(start)
        shutil.copyfileobj(stream, file)
        yield file


def _check_columns(names: list[str], name: str, *, layout: Layout) -> None:
    needed = [*(column.name for column in layout.columns), *layout.keep]
    if missing := [column for column in needed if column not in set(names)]:
        raise DataError(f"the column {show(missing[0])} is missing", location=Location(name))


class _TextRows(Struct, frozen=True):
    """Records of a text file.

    Attributes:
        piece: The records.
        read_text: Reads records, behind so many blank lines.
        header_lines: The number of lines that it puts before these.
    """

    piece: TextPiece
    read_text: Callable[[TextPiece, int], CheckedRows]
    header_lines: int = 0

    def __len__(self) -> int:
        return len(self.piece.ends)

    def slice(self, begin: int, end: int) -> _TextRows:
        return structs.replace(self, piece=self.piece.slice(begin, end))

    def read(self) -> CheckedRows:
        lines_before = self.piece.line - self.header_lines
        try:
            return self.read_text(self.piece, 0)
        except DataError as error:
            if error.location is None or error.location.line is None or lines_before <= 0:
                raise
        # The message names lines, so it is made again where they have their numbers.
        self.read_text(self.piece, lines_before)
        raise AssertionError("rows were refused, and then read")


class _CsvHeader(NamedTuple):
    """The header of a CSV.

    Attributes:
        text: Its bytes, with a line end.
        columns: The names of the columns.
        rest: Bytes after it that were read too.
    """

    text: bytes
    columns: list[str]
    rest: bytes


def _csv_file(content: IO[bytes], name: str, *, layout: Layout, start: bytes) -> RowFile:
    """Open a CSV of a table."""
    import pyarrow as pa

    file = Location(name)
    dialect = layout.csv
    stream: Any = content
    start = _first_bytes(stream, start)
    encoding = marked_encoding(start) or dialect.encoding
    if not table_csv.is_utf8(encoding):
        stream, start = _Transcoded(stream, encoding, start=start, file=file), b""
        dialect = structs.replace(dialect, encoding="utf-8")
    header = _read_header(_first_bytes(stream, start), file, dialect=dialect)
    _check_columns(header.columns, name, layout=layout)

    def read(piece: TextPiece, blank_lines: int) -> CheckedRows:
        text = piece.behind(blank_lines)
        table = _plain_numbers(text, file, dialect=dialect, names=numbers)
        if table is None:
            table = tables.TableFile.read(text, name, file_format="csv", csv=dialect)
        if table.names != header.columns:
            problem = f"found {len(table.names)} cells, expected {len(header.columns)}"
            raise DataError(problem, location=file.at(row=1))
        kept = []
        if layout.keep:
            as_written = structs.replace(dialect, null_values=[])
            texts, _ = table_csv.read_csv(text, file, dialect=as_written)
            kept = [_single(texts.column(column)) for column in layout.keep]
        return _rows(table, name, layout=layout, kept=kept)

    numbers = [
        column.name
        for column in layout.columns
        if column.kind == "number" and column.format is None and dialect.decimal == "."
    ]
    lines = line_after(header.text) - 1
    pieces = text_records.cut(
        stream,
        rows=layout.rows,
        delimiter=table_csv.delimiter_of(file, dialect).encode(),
        name=name,
        start=header.rest,
        line=lines,
        header=header.text,
    )
    return RowFile(
        name=name,
        columns=header.columns,
        has_id=layout.id in header.columns,
        kept=[pa.string()] * len(layout.keep),
        pieces=(_TextRows(piece, read, lines) for piece in pieces),
    )


def _plain_numbers(
    text: bytes, file: Location, *, dialect: Csv, names: Sequence[str]
) -> tables.TableFile | None:
    """Return rows of a CSV whose numbers Arrow converts while it splits them.

    None if one of these columns has anything but finite numbers below 2^53 or is written in a way
    that only the rules of `table_columns` tell.
    """
    import numpy as np

    try:
        table, _ = table_csv.read_csv(text, file, dialect=dialect, numbers=names)
    except DataError:
        return None
    numbers = {}
    for name in names:
        column = table.column(name)
        values = tables.exact_numbers(column)
        # Arrow reads "nan" as a number, which is none by the rules.
        if values is None or np.count_nonzero(np.isnan(values)) != column.null_count:
            return None
        numbers[name] = values
    parts = [Part(str(file), len(table))]
    raw = Raw(table=table, parts=parts, format="csv", csv=dialect)
    return tables.TableFile.of(raw, numbers=numbers)


def _read_header(start: bytes, file: Location, *, dialect: Csv) -> _CsvHeader:
    """Return the header in the first bytes of a CSV in UTF-8."""
    start = start.removeprefix(codecs.BOM_UTF8)
    delimiter = table_csv.delimiter_of(file, dialect).encode()
    ends = text_records.record_ends(start, delimiter, at_end=len(start) < _FIRST_BYTES).tolist()
    header = start[: ends[0]] if ends else start
    text = header if header.endswith((b"\n", b"\r")) or not header else header + b"\n"
    # A file of R has a column more than its header, which only its rows show.
    for end in (*ends[1:2], *ends[-1:]):
        with suppress(DataError):
            table, _ = table_csv.read_csv(start[:end], file, dialect=dialect)
            break
    else:
        table, _ = table_csv.read_csv(text, file, dialect=dialect)
    table_reader.check_names(table.column_names, file)
    return _CsvHeader(text, table.column_names, start[len(header) :])


_FIRST_BYTES = 1 << 20


def _first_bytes(stream: Any, start: bytes) -> bytes:
    """Return the first bytes of a stream, all of them if there are fewer than `_FIRST_BYTES`."""
    while len(start) < _FIRST_BYTES and (block := stream.read(_FIRST_BYTES - len(start))):
        start += block
    return start


class _Transcoded:
    """A text file in UTF-8."""

    def __init__(self, stream: IO[bytes], encoding: str, *, start: bytes, file: Location) -> None:
        import codecs

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
                raise DataError(
                    f"is not {self._encoding}: {first_line(error)}",
                    location=self._file.at(line=self._line),
                    remedy="name the encoding it has as data.csv.encoding",
                ) from error
            if text or not block:
                self._line += text.count("\n")
                return text.encode("utf-8", "surrogatepass")


def _json_lines_file(content: IO[bytes], name: str, *, layout: Layout, start: bytes) -> RowFile:
    """Open JSON lines."""
    import pyarrow as pa

    start = _first_bytes(content, start).removeprefix(codecs.BOM_UTF8)
    if not start.strip():
        raise DataError("is empty, expected a JSON object in each line", location=Location(name))
    columns: dict[str, None] = {}

    def read(piece: TextPiece, blank_lines: int) -> CheckedRows:
        text = piece.behind(blank_lines)
        table = tables.TableFile.read(text, name, file_format="jsonl", csv=Csv())
        kept = _kept_json(piece.data, layout.keep) if layout.keep else []
        return _rows(table, name, layout=layout, kept=kept, file_columns=columns)

    pieces = text_records.cut(content, rows=layout.rows, name=name, start=start)
    # A row may lack a value, so the columns are those of all rows in the first piece.
    first = next(pieces)
    columns.update(_keys(first.data))
    _check_columns(list(columns), name, layout=layout)
    return RowFile(
        name=name,
        columns=list(columns),
        has_id=layout.id in columns,
        kept=[pa.string()] * len(layout.keep),
        kept_as_json=True,
        output_format="jsonl",
        pieces=(_TextRows(piece, read) for piece in itertools.chain([first], pieces)),
    )


def _keys(data: bytes) -> dict[str, None]:
    """Return the keys of all objects in JSON lines; lines that are wrong are met when read."""
    decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
    try:
        records = decoder.decode_lines(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        records = []
        for line in data.splitlines():
            with suppress(msgspec.DecodeError, UnicodeDecodeError):
                records.append(decoder.decode(line))
        if not records:  # an object in several lines
            table = table_reader.read([("rows", data)], "jsonl").table
            return dict.fromkeys(table.column_names)
    return {name: None for record in records for name in record}


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


class _ArrowRows(Struct, frozen=True):
    """Rows of a typed table."""

    table: pa.Table
    read_table: Callable[[pa.Table], CheckedRows]

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def slice(self, begin: int, end: int) -> _ArrowRows:
        return _ArrowRows(self.table.slice(begin, end - begin), self.read_table)

    def read(self) -> CheckedRows:
        return self.read_table(self.table)


@contextmanager
def _arrow_errors(name: str, form: str) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        problem = f"is not {form}: {first_line(error)[:160]}"
        raise DataError(problem, location=Location(name)) from error


def _parquet_file(content: IO[bytes], name: str, *, layout: Layout) -> RowFile:
    import pyarrow.parquet as pq

    form = "a Parquet file"
    with _arrow_errors(name, form):
        file = pq.ParquetFile(content, pre_buffer=False)
        schema = file.schema_arrow
    used = _used_columns(schema.names, name, layout=layout)

    def tables_of_rows() -> Iterator[pa.Table]:
        import pyarrow as pa

        batches = file.iter_batches(layout.rows, columns=used, use_threads=False)
        while True:
            with _arrow_errors(name, form):
                batch = next(batches, None)
                if batch is None:
                    return
                table = pa.Table.from_batches([batch])
                # Only this finds text that is not UTF-8 and dictionary indices out of range.
                table.validate(full=True)
            yield table

    typed = _typed_file(schema, name, layout=layout, batches=tables_of_rows())
    return structs.replace(typed, output_format="parquet", rows=file.metadata.num_rows)


def _arrow_file(content: IO[bytes], name: str, *, layout: Layout) -> RowFile:
    import pyarrow as pa

    form = "an Arrow IPC file"
    batches: Iterator[pa.RecordBatch]
    with _arrow_errors(name, form):
        if content.seekable() and content.read(6) == b"ARROW1":
            file = pa.ipc.open_file(content)
            schema = file.schema
            batches = (file.get_batch(index) for index in range(file.num_record_batches))
        else:
            if content.seekable():
                content.seek(0)
            stream = pa.ipc.open_stream(content)
            schema, batches = stream.schema, iter(stream)
    used = _used_columns(schema.names, name, layout=layout)

    def tables_of_rows() -> Iterator[pa.Table]:
        waiting: list[pa.RecordBatch] = []
        count = 0
        while True:
            with _arrow_errors(name, form):
                batch = next(batches, None)
                if batch is not None:
                    batch = batch.select(used)
                    batch.validate(full=True)
            if batch is None:
                if waiting:
                    yield pa.Table.from_batches(waiting)
                return
            while count + len(batch) >= layout.rows:
                head = batch.slice(0, layout.rows - count)
                yield pa.Table.from_batches([*waiting, head]).combine_chunks()
                batch, waiting, count = batch.slice(len(head)), [], 0
            if len(batch):
                waiting.append(batch)
                count += len(batch)

    typed = _typed_file(schema, name, layout=layout, batches=tables_of_rows())
    return structs.replace(typed, output_format="arrow-stream")


def _used_columns(names: list[str], name: str, *, layout: Layout) -> list[str]:
    table_reader.check_names(names, Location(name))
    _check_columns(names, name, layout=layout)
    used = {*(column.name for column in layout.columns), layout.id, *layout.keep}
    return [column for column in names if column in used]


def _typed_file(
    schema: pa.Schema, name: str, *, layout: Layout, batches: Iterator[pa.Table]
) -> RowFile:
    """Return a file whose columns have types."""
    needed = {*(column.name for column in layout.columns), layout.id}
    extra = [column for column in schema.names if column not in needed]

    def read(table: pa.Table) -> CheckedRows:
        with _arrow_errors(name, "a table that can be read"):
            plain = table.cast(table_parquet.plain_schema(table.schema))
        raw = Raw(table=plain, parts=[Part(name, len(plain))], format="parquet", csv=Csv())
        kept = [_single(plain.column(column)) for column in layout.keep]
        rows = _rows(tables.TableFile.of(raw), name, layout=layout, kept=kept)
        return rows._replace(extra=[column for column in extra if column not in layout.keep])

    kept_types = table_parquet.plain_schema(schema)
    return RowFile(
        name=name,
        columns=list(schema.names),
        has_id=layout.id in schema.names,
        kept=[kept_types.field(column).type for column in layout.keep],
        pieces=(_ArrowRows(table, read) for table in batches),
    )


def _rows(
    table: tables.TableFile,
    name: str,
    *,
    layout: Layout,
    kept: list[pa.Array],
    file_columns: Sequence[str] | dict[str, None] = (),
) -> CheckedRows:
    rows = tables.rows_of(
        table, name, limits=layout.columns, id_column=layout.id, file_columns=file_columns
    )
    return CheckedRows(
        batch=layout.batch(rows.columns),
        ids=rows.ids,
        kept=kept,
        extra=[column for column in rows.extra if column not in layout.keep],
        unseen=rows.unseen,
    )


def joined(parts: Sequence[CheckedRows]) -> CheckedRows:
    """Return parts of a batch as one."""
    import numpy as np
    import pyarrow as pa

    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    batch: Batch
    if isinstance(first.batch, list):
        batch = [np.concatenate(columns) for columns in zip(*(p.batch for p in parts), strict=True)]
    else:
        batch = np.concatenate([part.batch for part in parts])
    unseen: dict[str, int] = {}
    for part in parts:
        unseen = {
            name: unseen.get(name, 0) + part.unseen.get(name, 0)
            for name in dict.fromkeys([*unseen, *part.unseen])
        }
    return CheckedRows(
        batch=batch,
        ids=None if first.ids is None else [value for part in parts for value in part.ids or ()],
        kept=[pa.concat_arrays(columns) for columns in zip(*(p.kept for p in parts), strict=True)],
        extra=list(dict.fromkeys(name for part in parts for name in part.extra)),
        unseen=unseen,
    )


def _single(column: pa.ChunkedArray) -> pa.Array:
    """Return a column in one chunk."""
    combined = column.combine_chunks()
    return combined.chunk(0) if hasattr(combined, "chunks") else combined


def _matrix_csv_file(content: IO[bytes], name: str, *, layout: Layout, start: bytes) -> RowFile:
    """Open a CSV of numbers, with or without a header."""
    file = Location(name)
    _check_nothing_kept(name, layout)
    # A header is one in the first line only. Behind a row of zeros it is a row that is refused.
    zeros = b",".join([b"0"] * len(layout.features)) + b"\n"

    def read(piece: TextPiece, blank_lines: int) -> CheckedRows:
        before = zeros if piece.line else b""
        text = before + piece.behind(blank_lines)
        matrix = matrix_rows.parse(text, layout.features, name=name)
        return _matrix(matrix[1:] if before else matrix, layout=layout, location=file)

    pieces = text_records.cut(
        content, rows=layout.rows, delimiter=b",", name=name, start=_first_bytes(content, start)
    )
    return RowFile(
        name=name,
        columns=[],
        has_id=False,
        kept=[],
        pieces=(_TextRows(piece, read, 1) for piece in pieces),
    )


def _matrix_file(data: bytes, name: str, *, layout: Layout) -> RowFile:
    """Open rows that are read at once: JSON or .npy."""
    _check_nothing_kept(name, layout)
    matrix = matrix_rows.parse(data, layout.features, name=name)

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
    batch = matrix_rows.check(matrix, layout.features, location=location, limits=limits)
    return CheckedRows(batch=batch, ids=None, kept=[], extra=[], unseen={})
