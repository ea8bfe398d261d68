"""What moved a prediction: one row in, the contribution of each of its values out."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from artifact_pipeline.builder.artifact.manifest import Interface
from artifact_pipeline.builder.formats.base import Batch, Outputs
from artifact_pipeline.errors import DataError, Location
from artifact_pipeline.inference import explain, tables
from artifact_pipeline.serving.http.errors import HTTPError
from artifact_pipeline.serving.http.response import Response
from artifact_pipeline.serving.protocols import plain_rows
from artifact_pipeline.serving.registry import ServedModel

_METHOD = "Shapley values: the change when a value replaces the typical one, averaged over"


class ExplanationCall(Struct, frozen=True, kw_only=True):
    """The rows that explain one row."""

    model: ServedModel
    batch: Batch
    rows: int
    plan: explain.ExplanationPlan
    values: list[Any]
    typical: list[Any]

    def respond(self, outputs: Outputs) -> Response:
        """Return the contributions of the row's values.

        Raises:
            HTTPError: 400 for a classifier without probabilities.
        """
        model = self.model
        estimator = explain.estimator_of(model.predictor.manifest.recipe)
        labels = model.interface.labels
        label = labels.index(outputs.predicted.tolist()[-1]) if labels else None
        explained = explain.output_of(outputs, label, estimator=estimator)
        if explained is None:
            raise HTTPError(400, "this model gives no probabilities, so nothing can be explained")
        values, scale = explained
        amounts, is_exact = explain.contributions(self.plan, values)
        by_feature = dict(zip(self.plan.differing, amounts.tolist(), strict=True))
        orders = 0 if self.plan.orders is None else len(self.plan.orders)
        document: dict[str, Any] = {
            "model": model.name,
            "digest": model.digest,
            "scale": scale,
            "method": f"{_METHOD} {'all' if is_exact else orders} orders",
            "exact": is_exact,
            "typical_output": float(values[0]),
            "output": float(values[-1]),
            "contributions": [
                {
                    "column": name,
                    "value": _plain(value),
                    "typical": _plain(usual),
                    "contribution": by_feature.get(index, 0.0),
                }
                for index, (name, value, usual) in enumerate(
                    zip(model.interface.features, self.values, self.typical, strict=True)
                )
            ],
        }
        if label is not None:
            document["label"] = labels[label]
        return Response(
            status=200,
            content=msgspec.json.encode(document),
            headers=model.headers,
            model=model.name,
            rows=1,
        )


def read(body: bytes, model: ServedModel, *, max_rows: int, end: float | None) -> ExplanationCall:
    """Return the rows that explain the one row in a body. Arguments are those of `plain_rows.read`.

    Raises:
        HTTPError: As `plain_rows.read`; 400 for more than one row, and for a model whose training
            rows are not known.
    """
    del max_rows
    typical = typical_of(model.interface)
    if typical is None:
        raise HTTPError(400, "the typical row of this model is not known")
    call = plain_rows.read(body, model, max_rows=2, end=end)
    if call.rows != 1:
        raise HTTPError(400, f"found {call.rows} rows, expected one")
    columns = call.batch if isinstance(call.batch, list) else call.batch.T
    values = [column[0] for column in columns]
    plan = explain.plan(values, typical)
    if plan is None:
        raise HTTPError(
            413, "too many values differ from the typical row to explain the prediction"
        )
    is_table = isinstance(call.batch, list)
    batch = explain.rows_of(plan, values, typical=typical, is_table=is_table)
    return ExplanationCall(
        model=model,
        batch=batch,
        rows=len(plan.masks),
        plan=plan,
        values=values,
        typical=typical,
    )


def typical_of(interface: Interface) -> list[Any] | None:
    """Return the typical row as the model takes it, or None if it does not take one."""
    row = explain.typical_row(interface)
    if row is None:
        return None
    columns = interface.columns
    if columns is None:
        return None if None in row else row
    filled = [
        ("" if column.kind == "text" else np.nan) if value is None else value
        for value, column in zip(row, columns, strict=True)
    ]
    batch = [
        np.array([value], dtype=object if column.kind == "text" else np.float64)
        for value, column in zip(filled, columns, strict=True)
    ]
    try:
        tables.check(batch, columns, locate=lambda _: Location("typical row"))
    except DataError:
        return None
    return filled


def _plain(value: Any) -> float | str | None:
    if isinstance(value, str):
        return value
    return None if np.isnan(value) else float(value)
