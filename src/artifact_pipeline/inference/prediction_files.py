"""Tables of predictions, written batch by batch as CSV, Parquet, JSON lines or Arrow IPC."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import IO, TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias

import msgspec

from artifact_pipeline.builder.artifact.manifest import Interface
from artifact_pipeline.builder.config.messages import first_line
from artifact_pipeline.errors import CallError, Location

if TYPE_CHECKING:
    import pyarrow as pa

    from artifact_pipeline.builder.formats.base import Outputs

OutputFormat: TypeAlias = Literal["csv", "tsv", "parquet", "jsonl", "arrow", "arrow-stream"]

OUTPUT_FORMATS: dict[str, OutputFormat] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".arrow": "arrow",
    ".feather": "arrow",
}
"""The format of predictions by the extension of their file."""

TEXT_FORMATS = ("csv", "tsv", "jsonl")
"""The formats in which a file can be continued after its last complete batch."""
_Literal = msgspec.Raw
_GROUP_ROWS = 1 << 20
"""The number of rows in a row group of Parquet."""


def format_of(name: str) -> OutputFormat:
    """Return the format of a file's extension.

    Raises:
        CallError: If it has another extension.
    """
    try:
        return OUTPUT_FORMATS[PurePath(name).suffix.lower()]
    except KeyError:
        *others, last = OUTPUT_FORMATS
        endings = f"{', '.join(others)} or {last}"
        problem = f"expected a name that ends in {endings}"
        raise CallError(problem, location=Location(name)) from None


class KeptColumn(NamedTuple):
    """A column that is carried over from the rows.

    Attributes:
        name: Its name.
        type: Its type.
        as_json: Whether its texts are JSON literals.
    """

    name: str
    type: pa.DataType
    as_json: bool


class PredictionTable(NamedTuple):
    """The columns of a table of predictions.

    Attributes:
        id: The name of the first column: the id of the rows, or `row` for their numbers.
        kept: The columns that are carried over.
        schema: All columns.
        format: The format of the file.
    """

    id: str
    kept: list[KeptColumn]
    schema: pa.Schema
    format: OutputFormat

    @classmethod
    def of(
        cls,
        interface: Interface,
        id_column: str | None,
        *,
        kept: list[KeptColumn],
        output_format: OutputFormat,
    ) -> PredictionTable:
        """Return the columns for the predictions of a model.

        Raises:
            CallError: If a column that is carried over has the name of another one.
        """
        import pyarrow as pa

        name = id_column or "row"
        fields = [pa.field(name, pa.string() if id_column else pa.int64())]
        fields += [pa.field(column.name, column.type) for column in kept]
        labels = interface.labels
        if labels:
            dtype = {bool: pa.bool_(), int: pa.int64(), str: pa.string()}[type(labels[0])]
            fields.append(pa.field("label", dtype))
        else:
            fields.append(pa.field("prediction", pa.float64()))
        if any(port.name == "probabilities" for port in interface.outputs):
            fields += [pa.field(f"probability_{label}", pa.float64()) for label in labels]
        names = [field.name for field in fields]
        for column in kept:
            if names.count(column.name) > 1:
                problem = f"{column.name!r} is a column of the output already"
                raise CallError(problem, location=Location("--keep"))
        return cls(id=name, kept=kept, schema=pa.schema(fields), format=output_format)

    def rows(self, ids: Any, kept: list[pa.Array], *, outputs: Outputs) -> pa.Table:
        """Return rows of the table.

        Args:
            ids: The first column.
            kept: The columns that are carried over.
            outputs: The outputs of the model.
        """
        import numpy as np
        import pyarrow as pa

        columns = [ids]
        for column, values in zip(self.kept, kept, strict=True):
            as_text = column.as_json and self.format != "jsonl"
            columns.append(_texts_of_json(values) if as_text else values.cast(column.type))
        columns.append(outputs.predicted)
        if outputs.probabilities is not None:
            columns += list(np.asarray(outputs.probabilities, dtype=np.float64).T)
        arrays = [
            values if isinstance(values, pa.Array) else pa.array(values, type=field.type)
            for values, field in zip(columns, self.schema, strict=True)
        ]
        return pa.Table.from_arrays(arrays, schema=self.schema)


class Writer(Protocol):
    """A file of predictions that is being written."""

    def write(self, rows: pa.Table) -> None:
        """Write rows."""


@contextmanager
def writer(sink: IO[bytes], table: PredictionTable, *, header: bool = True) -> Iterator[Writer]:
    """Write predictions to a file, which is complete afterwards.

    Args:
        sink: The file.
        table: Its columns and format.
        header: Whether a CSV begins with a header.
    """
    import pyarrow as pa

    if table.format == "parquet":
        import pyarrow.parquet as pq

        with _kept_errors("Parquet"):
            parquet = pq.ParquetWriter(sink, table.schema)
        with parquet:
            groups = _RowGroups(parquet)
            yield groups
            groups.flush()
    elif table.format in ("arrow", "arrow-stream"):
        new = pa.ipc.new_file if table.format == "arrow" else pa.ipc.new_stream
        with new(sink, table.schema) as ipc:
            yield _IpcWriter(ipc)
    elif table.format == "jsonl":
        yield _JsonLinesWriter(sink, table)
    else:
        text = _CsvWriter(sink, table)
        if header:
            text.write_header()
        yield text


class _RowGroups:
    """Writes Parquet in row groups whose size does not depend on that of the batches."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self._waiting: list[pa.Table] = []
        self._rows = 0

    def write(self, rows: pa.Table) -> None:
        self._waiting.append(rows)
        self._rows += len(rows)
        if self._rows >= _GROUP_ROWS:
            self.flush()

    def flush(self) -> None:
        import pyarrow as pa

        if self._waiting:
            table = pa.concat_tables(self._waiting).combine_chunks()
            with _kept_errors("Parquet"):
                self._writer.write_table(table, row_group_size=len(table) or None)
        self._waiting, self._rows = [], 0


class _IpcWriter:
    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def write(self, rows: pa.Table) -> None:
        with _kept_errors("Arrow IPC"):
            self._writer.write_table(rows)


class _CsvWriter:
    def __init__(self, sink: IO[bytes], table: PredictionTable) -> None:
        self._sink = sink
        self._table = table

    def write_header(self) -> None:
        self._write(self._table.schema.empty_table(), header=True)

    def write(self, rows: pa.Table) -> None:
        self._write(rows, header=False)

    def _write(self, rows: pa.Table, *, header: bool) -> None:
        import pyarrow as pa
        import pyarrow.csv

        options = pa.csv.WriteOptions(
            include_header=header,
            delimiter="\t" if self._table.format == "tsv" else ",",
            quoting_style="needed",
        )
        stream = io.BytesIO()
        with _kept_errors("CSV"):
            kept = {column.name for column in self._table.kept}
            for place, name in enumerate(rows.schema.names):
                if name in kept:
                    rows = rows.set_column(place, name, _writable(rows.column(place)))
            pa.csv.write_csv(rows, stream, options)
        self._sink.write(stream.getbuffer())


class _JsonLinesWriter:
    def __init__(self, sink: IO[bytes], table: PredictionTable) -> None:
        self._sink = sink
        self._names = table.schema.names
        self._literals = {column.name for column in table.kept if column.as_json}
        self._encoder = msgspec.json.Encoder()

    def write(self, rows: pa.Table) -> None:
        with _kept_errors("JSON lines"):
            columns = [
                [None if text is None else _Literal(text.encode()) for text in column.to_pylist()]
                if name in self._literals
                else _json_values(column)
                for name, column in zip(self._names, rows.columns, strict=True)
            ]
            records = [
                dict(zip(self._names, row, strict=True)) for row in zip(*columns, strict=True)
            ]
            data = self._encoder.encode_lines(records)
        self._sink.write(data)


@contextmanager
def _kept_errors(form: str) -> Iterator[None]:
    """Translate the error for a kept column that a format cannot represent."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        problem = f"cannot be written as {form}: {first_line(error)[:160]}"
        remedy = "write another format, or do not keep the column"
        raise CallError(problem, location=Location("--keep"), remedy=remedy) from error


def _writable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column that Arrow can write as CSV.

    Raises:
        ValueError: For a time that Arrow would write as an error message.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as t

    if t.is_string_view(column.type):
        return column.cast(pa.large_string())
    if t.is_timestamp(column.type):
        texts = column.cast(pa.string())
        wrong = texts.filter(pc.starts_with(texts, "<"))
        if len(wrong):
            raise ValueError(f"{wrong[0].as_py().strip('<>')} in {column.type}")
    return column


def _json_values(column: pa.ChunkedArray) -> list[Any]:
    """Return the values of a column, as text if Python cannot represent their nanoseconds."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as t

    if getattr(column.type, "unit", None) != "ns":
        values: list[Any] = column.to_pylist()
        return values
    if t.is_duration(column.type):
        values = column.cast(pa.int64()).to_pylist()
        return [None if value is None else _duration(value) for value in values]
    texts = pc.replace_substring(_writable(column).cast(pa.string()), " ", "T")
    values = pc.replace_substring_regex(texts, r"\.?0+(Z?)$", r"\1").to_pylist()
    return values


def _duration(nanoseconds: int) -> str:
    """Return a duration by ISO 8601.

    >>> _duration(-1_500_000_000), _duration(7)
    ('-PT1.5S', 'PT0.000000007S')
    """
    seconds, rest = divmod(abs(nanoseconds), 10**9)
    fraction = f".{rest:09}".rstrip("0") if rest else ""
    return f"{'-' if nanoseconds < 0 else ''}PT{seconds}{fraction}S"


def _texts_of_json(literals: pa.Array) -> pa.Array:
    """Return JSON literals as texts: strings decoded, others unchanged."""
    import pyarrow as pa

    texts = [
        msgspec.json.decode(literal) if literal and literal[0] in '"n' else literal
        for literal in literals.to_pylist()
    ]
    return pa.array(texts, type=pa.string())
