"""Parquet files as Arrow columns, which are decoded one at a time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from artifact_pipeline.builder.config.messages import first_line
from artifact_pipeline.errors import DataError, Location

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


class ParquetTable(NamedTuple):
    """The columns of Parquet files, one file after the other.

    It has the part of the interface of `pyarrow.Table` that a reader needs. No column is kept, so
    a large table takes the memory of its files and of one column.
    """

    files: tuple[_ParquetFile, ...]
    schema: pa.Schema

    @property
    def column_names(self) -> list[str]:
        names: list[str] = self.schema.names
        return names

    @property
    def num_rows(self) -> int:
        return sum(file.content.metadata.num_rows for file in self.files)

    def column(self, name: str) -> pa.ChunkedArray:
        """Return a column; its texts may be encoded as a dictionary.

        Raises:
            DataError: If the bytes of a column are damaged, or its files do not fit together.
        """
        import pyarrow as pa

        columns = [file.column(name) for file in self.files]
        if len({column.type for column in columns}) > 1:
            columns = [column.cast(plain_type(column.type)) for column in columns]
        try:
            tables = [pa.table({name: column}) for column in columns]
            return pa.concat_tables(tables, promote_options="permissive").column(0)
        except pa.ArrowException as error:
            raise do_not_fit(error, self.files[0].location) from error

    def take(self, rows: list[int]) -> pa.Table:
        """Return some of the rows, counted from 0."""
        import pyarrow as pa

        return pa.table({name: self.column(name).take(rows) for name in self.column_names})


class _ParquetFile(NamedTuple):
    """The columns of one file."""

    location: Location
    content: pq.ParquetFile

    def column(self, name: str) -> pa.ChunkedArray:
        """Return a column with times in UTC; its texts may be encoded as a dictionary."""
        import pyarrow as pa
        import pyarrow.types as t

        try:
            # A name also selects columns whose names begin with it and a dot.
            column = self.content.read(columns=[name], use_threads=False).column(name)
            # Only this finds text that is not UTF-8 and dictionary indices out of range.
            column.validate(full=True)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _damaged(first_line(error), self.location) from error
        if len(column) != (rows := self.content.metadata.num_rows):
            raise _damaged(f"a column has {len(column)} of {rows} rows", self.location)
        plain = plain_type(column.type)
        keeps = t.is_dictionary(column.type) and t.is_string(plain)
        return column if keeps or column.type == plain else column.cast(plain)


def read_parquet(data: bytes, file: Location) -> ParquetTable:
    """Return the columns of a Parquet file.

    Args:
        data: The bytes of the file.
        file: Its name.

    Raises:
        DataError: If it is not Parquet.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        content = pq.ParquetFile(pa.BufferReader(data))
        content = pq.ParquetFile(
            pa.BufferReader(data),
            metadata=content.metadata,
            read_dictionary=_texts(content),
        )
        schema = plain_schema(content.schema_arrow)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(first_line(error), file) from error
    return ParquetTable((_ParquetFile(file, content),), schema)


def concatenate(tables: Sequence[ParquetTable]) -> ParquetTable:
    """Return the rows of several tables with the same columns.

    Raises:
        pa.ArrowInvalid, pa.ArrowTypeError: If the types of a column do not fit together.
    """
    import pyarrow as pa

    files = tuple(file for table in tables for file in table.files)
    schemas = [table.schema for table in tables]
    return ParquetTable(files, pa.unify_schemas(schemas, promote_options="permissive"))


def plain_type(arrow_type: pa.DataType) -> pa.DataType:
    """Return the type of a category's values, and of times with a zone in UTC.

    Files of one table may differ in both.
    """
    import pyarrow as pa
    import pyarrow.types as t

    plain = arrow_type.value_type if t.is_dictionary(arrow_type) else arrow_type
    if t.is_timestamp(plain) and plain.tz is not None:
        plain = pa.timestamp(plain.unit, "UTC")
    return plain


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """Return a schema with plain types."""
    import pyarrow as pa

    fields = [field.with_type(plain_type(field.type)) for field in schema]
    return pa.schema(fields, schema.metadata)


def pandas_index(schema: pa.Schema) -> tuple[str, ...]:
    """Return the columns that pandas wrote as the index of a data frame, by its metadata."""
    try:
        metadata = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))
        index = tuple(
            name
            for name in metadata.get("index_columns", [])
            if isinstance(name, str) and name in schema.names
        )
    except (ValueError, AttributeError, TypeError):  # a table may have any metadata
        return ()
    return index if len(index) < len(schema) else ()


def _texts(content: pq.ParquetFile) -> list[str]:
    """Return the columns of text that Arrow decodes into a dictionary."""
    import pyarrow.types as t

    metadata = content.metadata
    texts = {field.name for field in content.schema_arrow if t.is_string(field.type)}
    groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
    return [
        path
        for index in range(metadata.num_columns)
        if (path := metadata.schema.column(index).path) in texts
        and not any("DELTA" in how for group in groups for how in group.column(index).encodings)
    ]


def _damaged(problem: Any, file: Location) -> DataError:
    return DataError(f"is not a Parquet file: {problem[:160]}", location=file)


def do_not_fit(error: Exception, file: Location) -> DataError:
    """Return the error for files whose types are not those of the first one."""
    return DataError(f"its files do not fit together: {first_line(error)}", location=file)
