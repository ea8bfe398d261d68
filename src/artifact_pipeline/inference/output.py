"""Predictions written as tables."""

from __future__ import annotations

import io
from pathlib import PurePath
from typing import Any

from artifact_pipeline.builder.data.table_files import FORMATS
from artifact_pipeline.errors import CallError


def write(columns: dict[str, list[Any]], name: str) -> bytes:
    """Return a table as its name says: .csv, .parquet or .jsonl.

    Raises:
        CallError: for a name of another ending.
    """
    import pyarrow as pa

    form = FORMATS.get(PurePath(name).suffix.lower())
    stream = io.BytesIO()
    if form == "csv":
        import pyarrow.csv

        delimiter = "\t" if name.lower().endswith(".tsv") else ","
        how = pa.csv.WriteOptions(delimiter=delimiter, quoting_style="needed")
        pa.csv.write_csv(pa.table(columns), stream, how)
    elif form == "parquet":
        import pyarrow.parquet

        pa.parquet.write_table(pa.table(columns), stream)
    elif form == "jsonl":
        import msgspec

        for row in zip(*columns.values(), strict=True):
            stream.write(msgspec.json.encode(dict(zip(columns, row, strict=True))) + b"\n")
    else:
        raise CallError(f"expected a name that ends in {', '.join(FORMATS)}", where=name)
    return stream.getvalue()
