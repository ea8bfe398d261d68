"""The interface of a form: its inputs and outputs, and the values that it accepts."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

from msgspec import structs

from artifact_pipeline.builder.artifact.manifest import (
    ColumnSpec,
    FeatureLimits,
    Interface,
    Label,
    Port,
    TrainingValues,
)
from artifact_pipeline.builder.config.messages import show
from artifact_pipeline.builder.data.dataset import Image
from artifact_pipeline.builder.formats.base import Batch, Form, Outputs, names_of
from artifact_pipeline.builder.formats.parity import Edges, Proof
from artifact_pipeline.errors import ConfigError, Location

MAX_LISTED = 4 << 20
"""Maximum characters of the texts that an interface lists for one column."""


def make(
    form: Form,
    rows: Batch,
    *,
    features: list[str],
    labels: list[Label],
    label_names: list[str],
    outputs: Outputs,
    image: Image | None,
    columns: list[ColumnSpec] | None = None,
    limits: list[FeatureLimits] | None = None,
    training: list[TrainingValues] | None = None,
) -> Interface:
    """Return the interface of a form.

    Args:
        rows: Rows that the form takes, for the types of the inputs.
        outputs: The estimator's outputs for these rows.
    """
    dtype = form.dtype
    arrays = rows if isinstance(rows, list) else [rows]
    width = 1 if isinstance(rows, list) else len(features)
    inputs = [
        Port(name, "string" if array.dtype.kind == "O" else dtype, [None, width])
        for name, array in zip(names_of(rows), arrays, strict=True)
    ]
    if labels:
        kind = "int64" if isinstance(labels[0], int) else "string"
        ports = [Port("label", kind, [None])]
    else:
        ports = [Port("prediction", dtype, [None, 1])]
    if outputs.probabilities is not None:
        ports.append(Port("probabilities", dtype, [None, len(labels)]))
    return Interface(
        inputs=inputs,
        outputs=ports,
        features=features,
        labels=labels,
        label_names=label_names,
        image=image,
        columns=columns,
        limits=limits,
        training=training,
    )


def accepted_columns(
    columns: Sequence[ColumnSpec], proof: Proof, *, edges: Edges | None
) -> list[ColumnSpec]:
    """Return columns with the values that the interface accepts in each.

    Args:
        columns: The columns as in training.
        proof: The proof of the form, with the flaws to refuse.
        edges: The edge cases of the proof, if there were any.

    Raises:
        ConfigError: If a column has too many known texts to list.
    """
    specs = list(columns)
    if edges is None:
        return specs
    for index, known in enumerate(edges.columns):
        kinds = {flaw.kind for flaw in proof.refused if flaw.column == index}
        limits = _limits(index, proof, edges=edges)
        column = structs.replace(
            specs[index],
            nullable="missing" not in kinds,
            unseen=known.kind == "text" and "unseen" not in kinds,
            numbers=limits.numbers if known.kind != "boolean" else None,
            range=limits.range,
            lowercase=index in proof.lowercase,
        )
        if "unseen" in kinds:
            if known.texts is None or sum(map(len, known.texts)) > MAX_LISTED:
                raise ConfigError(
                    f"the column {show(column.name)} has too many texts to list, and the model "
                    "refuses others",
                    location=Location("model"),
                    remedy='give its encoder handle_unknown="ignore"',
                )
            column = structs.replace(column, categories=known.texts)
        specs[index] = column
    return specs


def accepted_limits(proof: Proof, edges: Edges | None) -> list[FeatureLimits] | None:
    """Return the limits of the features of a matrix, unless all take every finite number."""
    if edges is None:
        return None
    features = [_limits(index, proof, edges=edges) for index in range(len(edges.columns))]
    return features if any(feature != FeatureLimits() for feature in features) else None


def _limits(index: int, proof: Proof, *, edges: Edges) -> FeatureLimits:
    column = edges.columns[index]
    bounds = {"below": -math.inf, "above": math.inf}
    numbers: list[float] | None = None
    for flaw in proof.refused:
        if flaw.column != index:
            continue
        if flaw.kind == "other" and column.numbers is not None:
            numbers = column.numbers
        if flaw.kind in bounds:
            bound = getattr(column, flaw.kind)[flaw.level]
            inner = max if flaw.kind == "below" else min
            bounds[flaw.kind] = inner(bounds[flaw.kind], bound)
    low, high = bounds["below"], bounds["above"]
    if numbers is not None or (low, high) == (-math.inf, math.inf):
        return FeatureLimits(numbers)
    most = sys.float_info.max
    return FeatureLimits(numbers, (max(low, -most), min(high, most)))
