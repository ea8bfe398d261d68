"""Fields of runs by name, such as `seconds`, `params.C` and `test.roc_auc`."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence

from artifact_pipeline.builder.metric_table import BY_NAME
from artifact_pipeline.errors import CallError, Location, quoted
from artifact_pipeline.store.journal import PastRun
from artifact_pipeline.store.run_rows import RunRow, Scalar, row_of

GROUPS = ("params", "search", "split", "test", "train", "cv")
"""The fields of a row that contain other fields."""
PLAIN = tuple(
    field for field in RunRow.__struct_fields__ if field not in GROUPS and field != "missed"
)
METRIC_GROUPS = ("test", "train", "cv")
OF_MODELS = ("version", "is_champion", "change")
"""Fields that follow from the history of the run's model, and not from its record."""


def known_fields(rows: Sequence[RunRow]) -> list[str]:
    """Return the names of all fields that some row has."""
    names = dict.fromkeys(PLAIN)
    for group in GROUPS:
        for row in rows:
            names |= dict.fromkeys(f"{group}.{name}" for name in getattr(row, group))
    return list(names)


def stored_fields(record: PastRun) -> dict[str, Scalar | None]:
    """Return the fields that follow from a record; plain ones without a value are left out."""
    row = row_of(record)
    fields: dict[str, Scalar | None] = {}
    for name in PLAIN:
        if name not in OF_MODELS and (value := getattr(row, name)) is not None:
            fields[name] = value
    for group in GROUPS:
        fields |= {f"{group}.{name}": value for name, value in getattr(row, group).items()}
    return fields


def value_of(row: RunRow, field: str) -> Scalar | None:
    """Return the value of a field in a row; None if it is missing."""
    group, point, name = field.partition(".")
    value: Scalar | None = getattr(row, group).get(name) if point else getattr(row, field)
    return value


def check_field(field: str, known: Collection[str], *, location: Location) -> str:
    """Return the full name of a field: `roc_auc` is `test.roc_auc`.

    Args:
        field: The name.
        known: The names of all fields.
        location: Where the name was written, for the error.

    Raises:
        CallError: If there is no such field.
    """
    are_open = not any("." in name for name in known)  # no run has details
    for name in (field, f"test.{field}"):
        if name in known or is_metric(name):
            return name
        if are_open and name.partition(".")[0] in GROUPS and name == field:
            return name
    close = difflib.get_close_matches(field[:100], known, n=1, cutoff=0.6)
    close = close or difflib.get_close_matches(f"test.{field[:100]}", known, n=1, cutoff=0.7)
    groups = ", ".join(f"{group}.…" for group in GROUPS)
    expected = f"expected one of: {', '.join(PLAIN)}, {groups}"
    raise CallError(
        f"no run has the field {quoted(field)}",
        location=location,
        remedy=f"did you mean {quoted(close[0])}?" if close else expected,
    )


def param_title(field: str, fields: Collection[str]) -> str:
    """Return the name of a parameter, without its step where no other one has the same name.

    >>> param_title("params.model__C", ["params.model__C", "params.scale__with_mean"])
    'C'

    Args:
        field: A field such as `params.C`; another one is returned unchanged.
        fields: The fields that are shown beside it.
    """
    group, _, name = field.partition(".")
    if group != "params":
        return field
    last = name.rpartition("__")[2]
    same = [other for other in fields if other.rpartition("__")[2] in (last, f"params.{last}")]
    return last if len(same) < 2 else name


def is_metric(field: str) -> bool:
    """Return whether a field is a metric of the package, whether or not a run has it."""
    group, _, name = field.partition(".")
    return group in METRIC_GROUPS and name in BY_NAME


def is_lower_better(field: str) -> bool:
    """Return whether a lower value of a metric is better."""
    metric = BY_NAME.get(field.partition(".")[2])
    return metric is not None and metric.lower_is_better
