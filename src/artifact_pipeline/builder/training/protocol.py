"""How rows and what a model says of them cross between processes: .npy and JSON, no pickle."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from artifact_pipeline.builder.formats.base import Batch, Outputs

REPORT_BUG = "this is a bug; please report it with the config"

Message: TypeAlias = "tuple[dict[str, Any], dict[str, bytes]]"
"""What is said, and the blobs that go with it."""


def write_message(
    stream: IO[bytes], message: dict[str, Any], blobs: Mapping[str, bytes] = MappingProxyType({})
) -> None:
    head = {"message": message, "blobs": [[name, len(data)] for name, data in blobs.items()]}
    stream.write(json.dumps(head).encode() + b"\n")
    for data in blobs.values():
        stream.write(data)
    stream.flush()


def read_message(stream: IO[bytes]) -> Message | None:
    """Return the next message, or None where the other end is gone."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        return None
    head = json.loads(line)
    blobs = {name: stream.read(size) for name, size in head["blobs"]}
    if any(len(blobs[name]) < size for name, size in head["blobs"]):
        return None
    return head["message"], blobs


def pack(name: str, batch: Batch, outputs: Outputs) -> dict[str, bytes]:
    """Return named bytes that `batch` and `outputs` read again."""
    columns = batch if isinstance(batch, list) else [batch]
    found = {
        f"{name}.{index}": json.dumps(one.tolist()).encode() if one.dtype.kind == "O" else _npy(one)
        for index, one in enumerate(columns)
    }
    if not isinstance(batch, list):
        found = {f"{name}.X": found[f"{name}.0"]}
    return {**found, **output_blobs(name, outputs)}


def output_blobs(name: str, outputs: Outputs) -> dict[str, bytes]:
    """Return named bytes that `outputs` reads again."""
    predicted = outputs.predicted
    # onnxruntime gives texts as objects.
    found = {
        f"{name}.predicted": _npy(predicted.astype(str) if predicted.dtype == object else predicted)
    }
    if outputs.probabilities is not None:
        found[f"{name}.probabilities"] = _npy(outputs.probabilities)
    if outputs.scores is not None:
        found[f"{name}.scores"] = _npy(outputs.scores)
    return found


def batch(blobs: Mapping[str, bytes], name: str) -> Batch:
    """Return the rows that were sent under a name: a matrix, or a column for each feature."""
    if f"{name}.X" in blobs:
        matrix: Batch = _array(blobs[f"{name}.X"])
        return matrix
    columns: list[Any] = []
    while (data := blobs.get(f"{name}.{len(columns)}")) is not None:
        columns.append(_array(data))
    return columns


def outputs(blobs: Mapping[str, bytes], name: str) -> Outputs:
    """Return what was sent of rows under a name."""
    from artifact_pipeline.builder.formats.base import Outputs

    probabilities, scores = blobs.get(f"{name}.probabilities"), blobs.get(f"{name}.scores")
    return Outputs(
        _array(blobs[f"{name}.predicted"]),
        None if probabilities is None else _array(probabilities),
        None if scores is None else _array(scores),
    )


def _array(data: bytes) -> Any:
    import numpy as np

    if data.startswith(b"["):
        return np.array(json.loads(data), dtype=object)
    return np.load(io.BytesIO(data), allow_pickle=False)


def _npy(array: Any) -> bytes:
    import numpy as np

    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()
