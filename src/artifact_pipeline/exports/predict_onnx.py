"""Predict the rows of a JSON file: python predict.py rows.json

The file has a list of records, or of lists in the order of the features in interface.json. A date
is text such as "2026-01-31T12:00", a missing value is null. Needs onnxruntime and numpy.
"""

import json
import math
import os
import sys
from collections.abc import Callable, Sequence
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


def load(folder: Path) -> tuple[Callable[[Sequence[Sequence[Any]]], dict[str, Any]], Any]:
    """Return a function from columns of values to predictions, and the model's interface."""
    interface = json.loads((folder / "interface.json").read_text("utf-8"))
    features = interface["features"]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    graph = onnxruntime.InferenceSession(
        str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )
    dtypes = {port.name: DTYPES[port.type] for port in graph.get_inputs()}
    outputs = [port.name for port in graph.get_outputs()]

    def predict(columns: Sequence[Sequence[Any]]) -> dict[str, Any]:
        arrays = [
            np.array([accepted(value, feature) for value in values], dtype=dtypes[feature["input"]])
            for values, feature in zip(columns, features, strict=True)
        ]
        feed = {feature["input"]: column[:, None]
                for feature, column in zip(features, arrays, strict=True)}  # fmt: skip
        if "X" in dtypes:  # one matrix instead of an input for each column
            feed = {"X": np.stack(arrays, axis=1)}
        results = dict(zip(outputs, graph.run(None, feed), strict=True))
        if "prediction" in results:
            return {"predictions": results["prediction"].reshape(-1).tolist()}
        labels = {label: label for label in interface["labels"]}  # ONNX gives 1 for true
        found = {"labels": [labels[label] for label in results["label"].reshape(-1).tolist()]}
        if "probabilities" in results:
            found["probabilities"] = results["probabilities"].clip(0, 1).tolist()
        return found

    return predict, interface


def accepted(value: Any, feature: dict[str, Any]) -> Any:
    """Return a value as the graph takes it, or raise ValueError if the model does not accept it."""
    kind, known = feature["kind"], feature["known"]
    if value is None or value == "" or value != value:
        if not feature["nullable"]:
            raise ValueError(f"{feature['name']!a} is missing")
        value = (feature["missing_text"] or "") if kind == "text" else math.nan
        return value.lower() if feature["lowercase"] else value
    if kind == "date" and isinstance(value, str):
        value = datetime.fromisoformat(value)
    if kind == "date" and isinstance(value, datetime):
        value = ((value if value.tzinfo else value.replace(tzinfo=UTC)) - EPOCH) / timedelta(1)
    low, high = feature["range"] or (-sys.float_info.max, sys.float_info.max)
    if (
        type(value) not in TYPES[kind]
        or (kind == "boolean" and value not in (0, 1))
        or (known is not None and value not in known)
        or (kind != "text" and not low <= value <= high)
    ):
        raise ValueError(f"{feature['name']!a} is {value!a}, which the model does not accept")
    return value.lower() if feature["lowercase"] else value


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python predict.py rows.json")
    predict_columns, described = load(Path(__file__).parent)
    names = [feature["name"] for feature in described["features"]]
    try:
        rows = [
            [row[name] for name in names] if isinstance(row, dict) else row
            for row in json.loads(Path(sys.argv[1]).read_text("utf-8"))
        ]
        if not rows or {len(row) for row in rows} != {len(names)}:
            raise ValueError(f"expected rows of {len(names)} values")
        print(json.dumps(predict_columns(list(zip(*rows, strict=True)))))
    except KeyError as error:
        sys.exit(f"predict.py: the column {error} is missing")
    except (OSError, TypeError, ValueError) as error:
        sys.exit(f"predict.py: {error}")
