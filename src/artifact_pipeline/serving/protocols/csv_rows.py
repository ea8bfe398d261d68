"""Rows as CSV, read as `artifact-pipeline infer` reads a file."""

from __future__ import annotations

import numpy as np

from artifact_pipeline.builder.config.values import Csv
from artifact_pipeline.builder.formats.base import Batch
from artifact_pipeline.errors import DataError, Location
from artifact_pipeline.inference import rows as row_files
from artifact_pipeline.inference import tables, training_bounds
from artifact_pipeline.serving.executor import seconds_until
from artifact_pipeline.serving.http.errors import HTTPError
from artifact_pipeline.serving.protocols.open_inference_tensors import check_float32
from artifact_pipeline.serving.protocols.plain_rows import RowsCall, too_many
from artifact_pipeline.serving.registry import ServedModel

_NAME = "rows.csv"


def read(body: bytes, model: ServedModel, *, max_rows: int, end: float | None) -> RowsCall:
    """Return the checked rows in a CSV. Arguments are those of `plain_rows.read`.

    Raises:
        HTTPError: 400 for what is not CSV and for rows that the model does not take, 413 for too
            many rows or lines, 504 at the deadline.
    """
    # Parsing cannot be interrupted, so its input is limited first. A header, an empty last line
    # and a quoted line break make more lines than rows.
    if max(body.count(b"\n"), body.count(b"\r")) > 2 * max_rows + 2:
        raise too_many(max_rows)
    if end is not None:
        seconds_until(end)
    interface = model.interface
    ids: list[str] | None = None
    id_column: str | None = None
    batch: Batch
    try:
        if interface.columns is None:
            matrix = row_files.parse(body, interface.features, name=_NAME)
            batch = row_files.check(
                matrix, interface.features, location=Location(_NAME), limits=interface.limits
            )
            columns, count = [batch], len(batch)
        else:
            data = model.predictor.manifest.recipe.data
            table = tables.read(
                body,
                _NAME,
                file_format="csv",
                csv=data.table.csv if data.table and data.table.csv else Csv(),
                limits=interface.columns,
                id_column=next(iter(data.schema.named("id")), None),
            )
            batch = columns = table.columns
            count, ids, id_column = len(table.columns[0]), table.ids, table.id
    except DataError as error:
        raise HTTPError(400, str(error)) from error
    if count > max_rows:
        raise too_many(max_rows)
    for port, values in zip(interface.inputs, columns, strict=True):
        if values.dtype == np.float64:
            check_float32(values, port.dtype, place=port.name)
    warnings = training_bounds.find(batch, model.bounds)
    return RowsCall(
        model=model, batch=batch, rows=count, warnings=warnings, id_column=id_column, ids=ids
    )
