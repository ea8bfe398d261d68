"""Parquet and Arrow IPC files, whose columns have types, in pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from msgspec import Struct, structs

from artifact_pipeline.builder.config.messages import first_line
from artifact_pipeline.builder.config.values import Csv
from artifact_pipeline.builder.data import remote_files, table_parquet, table_reader
from artifact_pipeline.builder.data.table_reader import Part, Raw
from artifact_pipeline.errors import DataError, Location
from artifact_pipeline.inference import tables
from artifact_pipeline.inference.row_layout import (
    CheckedRows,
    Layout,
    RowFile,
    check_columns,
    checked_rows,
    single_chunk,
)

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray


class _ArrowRows(Struct, frozen=True):
    """Rows of a typed table."""

    table: pa.Table
    read_table: Callable[[pa.Table], CheckedRows]

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def take(self, rows: NDArray[np.int64]) -> _ArrowRows:
        return _ArrowRows(self.table.take(rows), self.read_table)

    def read(self) -> CheckedRows:
        return self.read_table(self.table)


@contextmanager
def _arrow_errors(name: str, form: str) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, OSError) and remote_files.is_of_store(error):
            raise  # with the address of the file
        problem = f"is not {form}: {first_line(error)[:160]}"
        raise DataError(problem, location=Location(name)) from error


def open_parquet(content: IO[bytes], name: str, *, layout: Layout) -> RowFile:
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


def open_arrow(content: IO[bytes], name: str, *, layout: Layout) -> RowFile:
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
    check_columns(names, name, layout=layout)
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
        kept = [single_chunk(plain.column(column)) for column in layout.keep]
        rows = checked_rows(tables.TableFile.of(raw), name, layout=layout, kept=kept)
        return rows._replace(extra=[column for column in extra if column not in layout.keep])

    kept_types = table_parquet.plain_schema(schema)
    return RowFile(
        name=name,
        columns=list(schema.names),
        has_id=layout.id in schema.names,
        kept=[kept_types.field(column).type for column in layout.keep],
        pieces=(_ArrowRows(table, read) for table in batches),
    )
