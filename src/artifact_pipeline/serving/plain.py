"""Rows as plain JSON, for people with curl: `{"rows": [[…], …]}`, or records by column name."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from msgspec import UnsetType

from artifact_pipeline import canonical, rows
from artifact_pipeline.artifact.formats.form import Batch, Outputs
from artifact_pipeline.artifact.manifest import Column
from artifact_pipeline.errors import DataError
from artifact_pipeline.explain import show
from artifact_pipeline.serving.models import Model
from artifact_pipeline.serving.refusals import Refused
from artifact_pipeline.settings import Csv
from artifact_pipeline.tables import checking

PLACE = "rows"


def read(body: bytes, model: Model, most_rows: int) -> tuple[Batch, int]:
    """Return the rows in a body, checked, and how many they are.

    Raises:
        Refused: for JSON that is not as it should be, and rows that the model does not take.
    """
    try:
        value = canonical.decode(body)
    except canonical.NotCanonical as error:
        raise Refused(400, f"the body is not JSON: {error}") from error
    given = value.get(PLACE) if isinstance(value, dict) and len(value) == 1 else None
    if not isinstance(given, list):
        raise Refused(400, 'expected {"rows": [[…], …]}, or records by column name')
    if not given:
        raise Refused(400, "rows: holds no rows to predict")
    if len(given) > most_rows:
        raise Refused(413, f"has {len(given)} rows, at most {most_rows} are predicted at once")
    interface = model.interface
    try:
        if isinstance(interface.columns, UnsetType):
            matrix = np.array(rows.of_json(given, interface.features, PLACE), dtype=np.float64)
            return rows.check(matrix, interface.features, PLACE, interface.limits), len(given)
        return _table(given, interface.columns), len(given)
    except DataError as error:
        raise Refused(400, str(error)) from error


def answer(model: Model, outputs: Outputs) -> bytes:
    """Return what a model says of rows, as `artifact-pipeline infer --json` names it."""
    labels = model.interface.labels
    said: dict[str, Any] = {"model": model.name, "digest": model.digest}
    said["labels" if labels else "predictions"] = outputs.predicted.tolist()
    if outputs.probabilities is not None:
        said["classes"] = labels
        said["probabilities"] = outputs.probabilities.tolist()
    return msgspec.json.encode(said)


def _table(given: list[Any], columns: list[Column]) -> Batch:
    """Return the columns of rows, read as the lines of a JSON lines file are."""
    lines = []
    names = [one.name for one in columns]
    for number, row in enumerate(given, 1):
        place = f"{PLACE}, row {number}"
        if isinstance(row, list):
            if len(row) != len(names):
                raise DataError(f"found {len(row)} values, expected {len(names)}", where=place)
            row = dict(zip(names, row, strict=True))
        if not isinstance(row, dict):
            raise DataError("expected a list of values, or a record by column name", where=place)
        if missing := [name for name in names if name not in row]:
            raise DataError(f"the column {show(missing[0])} is missing", where=place)
        if unknown := [name for name in row if name not in names]:
            raise DataError(f"the column {show(unknown[0])} is unknown", where=place)
        lines.append(canonical.encode(row))
    return checking.read(b"\n".join(lines), PLACE, "jsonl", Csv(), columns, None).columns
