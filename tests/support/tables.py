"""Files of rows, and the tables that the reader returns for them."""

import io

import pyarrow as pa
import pyarrow.parquet as pq

from artifact_pipeline.builder.config.values import Csv
from artifact_pipeline.builder.data import table_columns, table_reader

PLAIN = Csv()


def columns(data, form="csv", how=PLAIN, **told):
    parts = data if isinstance(data, list) else [data]
    raw = table_reader.read(
        [(f"part{i}.{form}", one) for i, one in enumerate(parts)], form, csv=how
    )
    found = {
        name: table_columns.column(raw, name, kind=told.get(name))
        for name in raw.table.column_names
    }
    return {
        name: (one.kind, [None if v != v else v for v in one.values.tolist()])
        for name, one in found.items()
    }


def parquet(**values):
    stream = io.BytesIO()
    pq.write_table(pa.table(values), stream)
    return stream.getvalue()
