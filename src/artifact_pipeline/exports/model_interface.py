"""The values that the model accepts and returns, as interface.json describes them.

`columns`, `inputs` and `predictions` lead from rows to the inputs of the graph, and from its
outputs to labels. Needs onnxruntime and numpy.
"""

import json
import math
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read when onnxruntime is imported
import numpy as np
import onnxruntime

DTYPES = {"tensor(double)": "f8", "tensor(float)": "f4", "tensor(string)": "O"}
NUMBERS = (int, float)
TYPES = {"number": NUMBERS, "date": NUMBERS, "boolean": (bool, *NUMBERS), "text": (str,)}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DATE = re.compile(
    r"\s*(\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d(:?\d\d)?)?)?)\s*", re.A
)
EXACT = 2**53
"""A float64 holds every integer up to this one."""


def session(model: Path) -> Any:
    """Open a graph that runs in the caller's thread and prints no warnings."""
    chosen = onnxruntime.SessionOptions()
    chosen.intra_op_num_threads = chosen.inter_op_num_threads = 1
    chosen.log_severity_level = 3
    return onnxruntime.InferenceSession(str(model), chosen)


def predict(rows: Any, interface: dict[str, Any], *, graph: Any) -> dict[str, Any]:
    """Return the predictions for rows. Args and Raises: as `columns` and `inputs`."""
    values = inputs(columns(rows, interface), interface, graph=graph)
    return predictions(graph.run(None, values), interface, graph=graph)


def columns(rows: Any, interface: dict[str, Any]) -> list[Sequence[Any]]:
    """Return the values of rows by feature.

    Args:
        rows: Records, or lists in the order of the features.
        interface: The content of interface.json.

    Raises:
        ValueError: If these are not rows of the features.
    """
    names = [feature["name"] for feature in interface["features"]]
    rows = rows.tolist() if hasattr(rows, "tolist") else rows
    if not isinstance(rows, list) or not rows:
        raise ValueError("expected a list of rows: [[1, 2, ...], ...] or [{...}, ...]")
    values = [_values(row, names, number=number) for number, row in enumerate(rows, 1)]
    return list(zip(*values, strict=True))


def _values(row: Any, names: list[str], *, number: int) -> list[Any]:
    """Return the values of a row in the order of the features."""
    if isinstance(row, dict):
        missing = [name for name in names if name not in row]
        if missing:
            raise ValueError(f"row {number}: the column {missing[0]!a} is missing")
        return [row[name] for name in names]
    if not isinstance(row, list) or len(row) != len(names):
        raise ValueError(f"row {number}: expected {len(names)} values")
    return row


def inputs(
    columns: Sequence[Sequence[Any]], interface: dict[str, Any], *, graph: Any
) -> dict[str, Any]:
    """Return the inputs of the graph.

    Args:
        columns: The values of each feature.
        interface: The content of interface.json.
        graph: The model.

    Raises:
        ValueError: If a value is one that the model does not accept.
    """
    dtypes = {port.name: DTYPES[port.type] for port in graph.get_inputs()}
    features = interface["features"]
    arrays = [
        np.array([accepted(value, feature) for value in values], dtype=dtypes[feature["input"]])
        for values, feature in zip(columns, features, strict=True)
    ]
    if "X" in dtypes:  # one matrix instead of an input for each column
        return {"X": np.stack(arrays, axis=1)}
    return {
        feature["input"]: array[:, None] for feature, array in zip(features, arrays, strict=True)
    }


def predictions(results: list[Any], interface: dict[str, Any], *, graph: Any) -> dict[str, Any]:
    """Return the outputs of the graph: `predictions`, or `labels` and perhaps `probabilities`."""
    outputs = dict(zip((port.name for port in graph.get_outputs()), results, strict=True))
    if "prediction" in outputs:
        return {"predictions": outputs["prediction"].reshape(-1).tolist()}
    labels = {label: label for label in interface["labels"]}  # ONNX gives 1 for true
    answer = {"labels": [labels[label] for label in outputs["label"].reshape(-1).tolist()]}
    if "probabilities" in outputs:
        answer["probabilities"] = outputs["probabilities"].clip(0, 1).tolist()
    return answer


def as_json(answer: Any) -> str:
    """Return predictions as JSON, with null for what a graph computes from numbers too large."""

    def finite(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: finite(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [finite(inner) for inner in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps(finite(answer), allow_nan=False)


def accepted(value: Any, feature: dict[str, Any]) -> Any:
    """Return a value as the graph takes it.

    Args:
        value: A number, text, boolean or date, or None for a missing value.
        feature: The feature in interface.json.

    Raises:
        ValueError: If the model does not accept it.
    """
    kind, known = feature["kind"], feature["known"]
    if value is None or value != value or (kind == "text" and value == ""):
        if not feature["nullable"]:
            raise ValueError(f"{feature['name']!a} is missing")
        value = (feature["missing_text"] or "") if kind == "text" else math.nan
        return value.lower() if feature["lowercase"] else value
    number: Any = days(value) if kind == "date" else value
    low, high = feature["range"] or (-sys.float_info.max, sys.float_info.max)
    if (
        type(number) not in TYPES[kind]
        or (type(number) is int and abs(number) > EXACT)
        or (kind == "boolean" and number not in (0, 1))
        or (known is not None and number not in known)
        or (kind != "text" and not low <= number <= high)
    ):
        shown = ascii(value)
        shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
        raise ValueError(f"{feature['name']!a} is {shown}, which the model does not accept")
    return number.lower() if feature["lowercase"] else number


def days(value: Any) -> float | None:
    """Return a date as days since 1970, None if it is not one."""
    if isinstance(value, str):
        match = DATE.fullmatch(value)
        try:
            value = datetime.fromisoformat(match[1]) if match else None
        except ValueError:  # such as February 30
            return None
    if not isinstance(value, datetime):
        return None
    try:
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        return (moment - EPOCH) / timedelta(days=1)
    except OverflowError:
        return None


@contextmanager
def errors_in_one_line(usage: str) -> Iterator[None]:
    """End a script with one line for rows that cannot be read or are not accepted."""
    if len(sys.argv) != 2:
        sys.exit(usage)
    try:
        yield
    except RecursionError:
        sys.exit("predict.py: the JSON is nested too deeply")
    except (OSError, ValueError) as error:
        sys.exit(f"predict.py: {error}")
