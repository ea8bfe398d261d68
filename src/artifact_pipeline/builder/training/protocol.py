"""The messages between a trainer process and its parent: JSON and .npy, never a pickle.

A message is a line of JSON with a struct and the names and sizes of its blobs, then the blobs.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec
from msgspec import Struct

from artifact_pipeline.builder.artifact.manifest import FormName, Metrics
from artifact_pipeline.builder.config.resolved import ModelConfig, ResolvedConfig
from artifact_pipeline.builder.dask_cluster import Cluster
from artifact_pipeline.builder.data.dataset import Description
from artifact_pipeline.builder.numeric_profile import Inspection
from artifact_pipeline.builder.progress import PhaseProgress
from artifact_pipeline.errors import Location

if TYPE_CHECKING:
    from artifact_pipeline.builder.formats.base import Batch, Outputs

REPORT_BUG = "this is a bug; please report it with the config"


class Start(Struct, frozen=True, tag=True, kw_only=True):
    """The first request: check a config and load its rows. The response is `Resolved`."""

    config: ResolvedConfig
    name: str
    """The config's name in errors."""
    base: str
    """The folder that paths in the config are relative to."""
    profile: str


class Train(Struct, frozen=True, tag=True):
    """Fit and measure the model. The responses are `TrainingResult` and a first `ExportedForm`."""

    cluster: Cluster | None = None
    """A Dask cluster for the fits of a search and of a cross-validation."""


class NextForm(Struct, frozen=True, tag=True):
    """Export the next open form, because the last one was not proven."""


class Measure(Struct, frozen=True, tag=True):
    """Measure the model by the outputs of its proven form. The response is `Measured`."""


class Resolved(Struct, frozen=True, tag=True, kw_only=True):
    """A checked config and its rows."""

    model: ModelConfig
    """In full form; see `construction.resolve`."""
    data: Description
    profile: str
    """The numeric profile in force, which may be less than the requested one."""
    observed: Inspection
    """BLAS, CPU features and threads of the process."""


class ExportedForm(Struct, frozen=True, tag=True, kw_only=True):
    """An open form of the trained model."""

    form: FormName | None
    """None if there are no more forms."""
    dtype: str = ""
    reason: str = ""
    """Why the estimator has no such form, if it has none."""


class Measured(Struct, frozen=True, tag=True, kw_only=True):
    """Metrics of the model, and warnings about them."""

    metrics: Metrics
    warnings: list[str]


class Failure(Struct, frozen=True, tag=True, kw_only=True):
    """An error, in place of any response."""

    error: str
    """The class in `artifact_pipeline.errors`."""
    problem: str
    location: Location | None
    remedy: str | None
    traceback: str


class Message(NamedTuple):
    """A message from the stream."""

    body: Any
    """The JSON value of a struct; see `decode`."""
    blobs: dict[str, bytes]


Content = TypeVar("Content", bound=Struct)


def write_message(
    stream: IO[bytes], content: Struct, *, blobs: Mapping[str, bytes] = MappingProxyType({})
) -> None:
    """Write a message and flush the stream.

    Args:
        stream: The stream to the other process.
        content: The struct of the message.
        blobs: Arrays and files, by name.
    """
    sizes = [[name, len(data)] for name, data in blobs.items()]
    # Python's json, because msgspec writes NaN as null.
    line = json.dumps({"message": msgspec.to_builtins(content), "blobs": sizes})
    stream.write(line.encode() + b"\n")
    for data in blobs.values():
        stream.write(data)
    stream.flush()


def read_message(stream: IO[bytes]) -> Message | None:
    """Return the next message, or None if the other end closed the stream."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        return None
    head = json.loads(line)
    blobs = {name: stream.read(size) for name, size in head["blobs"]}
    if any(len(blobs[name]) < size for name, size in head["blobs"]):
        return None
    return Message(head["message"], blobs)


def decode(message: Message, content: type[Content]) -> Content | Failure:
    """Return the struct in a message: of the expected type, or a failure."""
    expected: Any = content | Failure
    struct: Content | Failure = msgspec.convert(message.body, expected)
    return struct


def progress(message: Message) -> PhaseProgress | None:
    """Return the progress in a message, or None if it has something else."""
    if message.body.get("type") != PhaseProgress.__name__:
        return None
    return msgspec.convert(message.body, PhaseProgress)


def pack(name: str, batch: Batch, *, outputs: Outputs) -> dict[str, bytes]:
    """Return rows and their outputs as blobs, which `batch` and `outputs` read.

    Args:
        name: The name that the names of the blobs begin with.
        batch: The rows.
        outputs: The outputs of a model for them.
    """
    columns = batch if isinstance(batch, list) else [batch]
    blobs = {
        f"{name}.{index}": _json(column) if column.dtype.kind == "O" else _npy(column)
        for index, column in enumerate(columns)
    }
    if not isinstance(batch, list):
        blobs = {f"{name}.X": blobs[f"{name}.0"]}
    return {**blobs, **pack_outputs(name, outputs)}


def pack_outputs(name: str, outputs: Outputs) -> dict[str, bytes]:
    """Return outputs as blobs under a name; `outputs` reads them."""
    predicted = outputs.predicted
    # onnxruntime returns texts as objects.
    blobs = {
        f"{name}.predicted": _npy(predicted.astype(str) if predicted.dtype == object else predicted)
    }
    if outputs.probabilities is not None:
        blobs[f"{name}.probabilities"] = _npy(outputs.probabilities)
    if outputs.scores is not None:
        blobs[f"{name}.scores"] = _npy(outputs.scores)
    return blobs


def batch(blobs: Mapping[str, bytes], name: str) -> Batch:
    """Return the rows under a name: a matrix, or the columns of a table."""
    if f"{name}.X" in blobs:
        matrix: Batch = _array(blobs[f"{name}.X"])
        return matrix
    columns: list[Any] = []
    while (data := blobs.get(f"{name}.{len(columns)}")) is not None:
        columns.append(_array(data))
    return columns


def outputs(blobs: Mapping[str, bytes], name: str) -> Outputs:
    """Return the outputs under a name."""
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


def _json(array: Any) -> bytes:
    return json.dumps(array.tolist()).encode()


def _npy(array: Any) -> bytes:
    import numpy as np

    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()
