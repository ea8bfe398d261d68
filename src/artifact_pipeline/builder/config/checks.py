"""Checks of a config that its types cannot express."""

from __future__ import annotations

import re
from collections.abc import Sequence

from artifact_pipeline.builder.config import model_name
from artifact_pipeline.builder.config.messages import nearest, show
from artifact_pipeline.builder.config.resolved import (
    BundledData,
    ModelConfig,
    ResolvedConfig,
    TableData,
)
from artifact_pipeline.builder.config.schema import GateSection
from artifact_pipeline.builder.config.values import is_given
from artifact_pipeline.builder.escapes import write_out
from artifact_pipeline.builder.metric_table import METRICS
from artifact_pipeline.errors import ConfigError, Location

METRIC_NAMES = tuple(f"{rows}.{metric.name}" for rows in ("train", "test") for metric in METRICS)
BOUNDS = ("min", "max", "not_worse_than", "better_than")
"""The keys of a gate; it has at least one of them."""
COMPARISON_KEYS = ("tolerance", "confidence", "required")
"""The keys of a gate that only apply to `not_worse_than`."""
SLICED_METRIC = re.compile(r"(test\.[a-z0-9_]+)\[(.+)\]")


def check_config(config: ResolvedConfig, file: Location) -> None:
    """Check that the model has a name, that names are unique and that columns have at most one use.

    Raises:
        ConfigError: If one of these checks fails.
    """
    if config.name is None:
        raise ConfigError(
            "the key 'name' is missing, and the path of the table gives none",
            location=file,
            remedy=f"name the model with {model_name.EXPECTED}",
        )
    _check_model(config.model, file.inside("model"))
    if isinstance(config.data, TableData):
        _check_encoding(config.data, file.inside("data"))
        _check_formats(config.data, file.inside("data"))
    _check_columns(config, file)


def _check_model(model: ModelConfig, location: Location) -> None:
    steps = location.inside("steps")
    _check_names([step.name for step in model.as_steps()], steps)
    for index, step in enumerate(model.as_steps()):
        if step.branches is not None:
            branches = steps.inside(index).inside("branches")
            _check_names([branch.name for branch in step.branches], branches)


def _check_names(names: list[str], location: Location) -> None:
    for index, name in enumerate(names):
        if name in names[:index] or "__" in name:
            reason = "is used twice" if name in names[:index] else "contains '__'"
            raise ConfigError(
                f"{name!r} {reason}, expected a unique name without '__'",
                location=location.inside(index).inside("name"),
            )


def _check_encoding(data: TableData, location: Location) -> None:
    if data.csv is None:
        return
    try:
        "".encode(data.csv.encoding)
    except LookupError as error:
        raise ConfigError(
            f"found {show(data.csv.encoding)}, expected an encoding, such as latin-1",
            location=location.inside("csv").inside("encoding"),
        ) from error


def _check_formats(data: TableData, location: Location) -> None:
    for column, column_format in data.formats.items():
        at_column = location.inside("formats").inside(write_out(column))
        if column_format.date is not None and not _has_year(column_format.date):
            raise ConfigError(
                f"found {show(column_format.date)}, expected a format of Python's strptime with a "
                "year, such as %d/%m/%Y",
                location=at_column.inside("date"),
            )
        decimal = column_format.decimal or (data.csv.decimal if data.csv else ".")
        if column_format.thousands == decimal:
            raise ConfigError(
                f"found {show(decimal)}, which is the decimal mark too",
                location=at_column.inside("thousands"),
                remedy="name another as 'decimal'",
            )
        kind = data.columns.get(column, column_format.kind)
        if kind != column_format.kind:
            raise ConfigError(
                f"is that of a {column_format.kind}, and data.columns makes the column a {kind}",
                location=at_column,
            )


def _has_year(date_format: str) -> bool:
    """Return whether a format of `strptime` is valid and has a year."""
    import datetime

    day = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    try:
        parsed = datetime.datetime.strptime(day.strftime(date_format), date_format)
    except (ValueError, re.error):  # an unknown directive, or the same one twice
        return False
    return parsed.replace(tzinfo=datetime.UTC) == day


def _check_columns(config: ResolvedConfig, file: Location) -> None:
    data, split = config.data, config.split
    if isinstance(data, BundledData):
        if split.column is not None:
            raise ConfigError(
                "a bundled data set has no such column; expected the method random",
                location=file.inside("split").inside("column"),
            )
        return
    uses = {"data.target": data.target, "data.id": data.id, "split.column": split.column}
    names = [name for name in uses.values() if name is not None]
    for key, name in uses.items():
        if name is not None and names.count(name) > 1 and key != "data.target":
            raise ConfigError(f"{show(name)} already has another use", location=file.inside(key))
    for index, name in enumerate(data.drop):
        if name in names:
            raise ConfigError(
                f"{show(name)} cannot be dropped",
                location=file.inside("data").inside("drop").inside(index),
                remedy="the target, the id and the split column are not features anyway",
            )


def check_gates(
    gates: dict[str, GateSection], file: Location, *, slices: Sequence[str] | None
) -> None:
    """Check that gates name metrics and have bounds.

    Args:
        gates: The gates by the names of metrics.
        file: The file that they are in.
        slices: The names of the config's slices; None if they are not known.

    Raises:
        ConfigError: If one of these checks fails.
    """
    for name, gate in gates.items():
        location = file.inside("gates").inside(write_out(name))
        sliced = SLICED_METRIC.fullmatch(name)
        if sliced and slices is not None and sliced[2] not in slices:
            raise ConfigError(
                f"unknown slice {show(sliced[2])}",
                location=location,
                remedy=nearest(sliced[2], slices) if slices else "evaluation.slices names none",
            )
        metric = sliced[1] if sliced else name
        if metric not in METRIC_NAMES:
            remedy = nearest(metric, METRIC_NAMES)
            raise ConfigError("unknown metric", location=location, remedy=remedy)
        if not any(is_given(gate, bound) for bound in BOUNDS):
            problem = "found no bound, expected 'min', 'max', 'not_worse_than' or 'better_than'"
            raise ConfigError(problem, location=location)
        for key in COMPARISON_KEYS:
            if is_given(gate, key) and not is_given(gate, "not_worse_than"):
                problem = f"found {key!r} without 'not_worse_than'"
                raise ConfigError(problem, location=location)
        if is_given(gate, "confidence") and (sliced or not metric.startswith("test.")):
            raise ConfigError(
                "a paired test is made on all held-out rows only",
                location=location.inside("confidence"),
                remedy=f"name the gate test.{metric.partition('.')[2]}, or leave it out",
            )
        if is_given(gate, "better_than") and not metric.startswith("test."):
            raise ConfigError(
                "the baseline is measured on held-out rows only",
                location=location.inside("better_than"),
                remedy=f"name the gate test.{metric.partition('.')[2]}",
            )
