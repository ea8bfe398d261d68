"""Tables of predictions, encoded as CSV, Parquet or JSON lines."""

from __future__ import annotations

import io
from pathlib import PurePath
from typing import Any

from artifact_pipeline.builder.data.table_files import FORMATS, Format
from artifact_pipeline.errors import CallError, Location


def write(columns: dict[str, list[Any]], name: str) -> bytes:
    """Encode a table in the format of a file's extension.

    Args:
        columns: The values of each column, all of the same length.
        name: A name that ends in .csv, .tsv, .parquet or .jsonl.

    Raises:
        CallError: If the name has another ending.
    """
    import pyarrow as pa

    form = check_name(name)
    stream = io.BytesIO()
    if form == "csv":
        import pyarrow.csv

        delimiter = "\t" if name.lower().endswith(".tsv") else ","
        options = pa.csv.WriteOptions(delimiter=delimiter, quoting_style="needed")
        pa.csv.write_csv(pa.table(columns), stream, options)
    elif form == "parquet":
        import pyarrow.parquet

        pa.parquet.write_table(pa.table(columns), stream)
    else:
        import msgspec

        for row in zip(*columns.values(), strict=True):
            stream.write(msgspec.json.encode(dict(zip(columns, row, strict=True))) + b"\n")
    return stream.getvalue()


def check_name(name: str) -> Format:
    """Return the format of a file's extension.

    Raises:
        CallError: If there is none.
    """
    form = FORMATS.get(PurePath(name).suffix.lower())
    if form is None:
        *others, last = FORMATS
        endings = f"{', '.join(others)} or {last}"
        raise CallError(f"expected a name that ends in {endings}", location=Location(name))
    return form
