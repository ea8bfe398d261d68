"""Opening ONNX graphs with onnxruntime, within the bounds of `onnx_limits`."""

from __future__ import annotations

import operator
import os
import re
import threading
from functools import cache, partial
from math import inf, prod
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from artifact_pipeline.builder.artifact.manifest import Interface, Port
from artifact_pipeline.builder.config.messages import first_line
from artifact_pipeline.builder.formats import onnx_limits
from artifact_pipeline.builder.formats.base import (
    Batch,
    Outputs,
    PredictFunction,
    names_of,
)
from artifact_pipeline.builder.formats.deadline import at_most, watch
from artifact_pipeline.errors import Location, VerificationError, quoted

if TYPE_CHECKING:
    import numpy as np
    import onnxruntime
    from numpy.typing import NDArray

_FEW = 256
_size = operator.attrgetter("size")
_FLOATS = ("tensor(double)", "tensor(float)")
_TYPES = {
    "float64": _FLOATS,
    "float32": _FLOATS,
    "int64": ("tensor(int64)",),
    "string": ("tensor(string)",),
}
"""onnxruntime's names of the dtypes of a manifest."""


@cache
def runtime() -> Any:
    """Return the module onnxruntime, imported without usage reports.

    Its wheels collect usage events in the user's cache and send them, unless this variable is set
    before the import. The memory of its sessions is limited.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime as ort

    memory = ort.OrtMemoryInfo(
        "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
    )
    ort.create_and_register_allocator(memory, ort.OrtArenaCfg({"max_mem": onnx_limits.MAX_MEMORY}))
    return ort


def preload() -> None:
    """Start to import onnxruntime in a thread; `runtime` waits for its end."""
    threading.Thread(target=runtime, name="import onnxruntime").start()


def load(
    verified: bytes, location: Location, *, interface: Interface | None = None
) -> PredictFunction:
    """Open a graph whose bytes were verified.

    Args:
        verified: An ONNX file.
        location: Its file in errors.
        interface: The interface in its manifest; None before it is sealed.

    Raises:
        VerificationError: If `onnx_limits` refuses it, onnxruntime does not load it in time, or
            its inputs and outputs are not those of the interface.
    """
    ort = runtime()  # first: numpy fails if two threads import it at once
    cost = onnx_limits.check(verified, location=location)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.use_env_allocators", "1")
    # By default the runtime guesses the format, and could read bytes that were not checked.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    try:
        with at_most(onnx_limits.LOAD_SECONDS, lambda: options.set_load_cancellation_flag(True)):
            session = ort.InferenceSession(
                verified,
                options,
                providers=["CPUExecutionProvider"],
                # This optimizer computes parts of the graph while it loads, outside all bounds.
                disabled_optimizers=["ConstantFolding"],
                enable_fallback=0,  # a fallback would print, and try the same again
            )
    except Exception as error:  # onnxruntime's errors have no other common parent
        problem = f"onnxruntime does not load it: {_first_line(error)}"
        raise VerificationError(problem, location=location) from error
    if interface is not None:
        _check_ports("inputs", session.get_inputs(), ports=interface.inputs, location=location)
        _check_ports("outputs", session.get_outputs(), ports=interface.outputs, location=location)
    names = {port.name for port in session.get_outputs()}
    outputs = ["prediction" if "prediction" in names else "label"]
    outputs += [name for name in ("probabilities", "scores") if name in names]
    stated = {
        port.name: prod(size or 1 for size in port.shape[1:])
        for port in (interface.outputs if interface is not None else ())
    }
    widths = [stated.get(name, inf) for name in outputs]
    model = _Model(
        session=session,
        inputs=[(port.name, _dtype(port.type)) for port in session.get_inputs()],
        outputs=outputs,
        widths=widths,
        width=sum(widths),
        rows_per_run=onnx_limits.rows_per_run(cost),
        idle_options=[],
        location=location,
    )
    return partial(_run, model)


def _check_ports(
    what: str, graph_ports: list[Any], *, ports: list[Port], location: Location
) -> None:
    """Check that the inputs or outputs of a graph are those of a manifest.

    A graph may leave a size open, or compute in another precision.
    """
    by_name = {port.name: port for port in graph_ports}
    wrong = sorted(by_name.keys() ^ {port.name for port in ports})
    for port in ports if not wrong else ():
        sizes = [size for size in port.shape[1:] if size != 1]
        shape = by_name[port.name].shape or []
        known = [size for size in shape[1:] if isinstance(size, int) and size != 1]
        if by_name[port.name].type not in _TYPES[port.dtype] or (known and known != sizes):
            wrong.append(port.name)
    if wrong:
        raise VerificationError(
            f"the {what} of the graph are not those of its manifest: {quoted(wrong[0])}",
            location=location,
        )


class _Model(Struct, frozen=True, kw_only=True):
    """A loaded graph.

    Attributes:
        session: The session that runs it.
        inputs: Name and dtype of each input, None for texts.
        outputs: Names of the outputs that are read, the prediction first.
        widths: Values per row of each output according to the manifest, infinity without one.
        width: The sum of `widths`.
        rows_per_run: Rows that are computed at once.
        idle_options: Run options for later predictions.
        location: Its file.
    """

    session: onnxruntime.InferenceSession
    inputs: list[tuple[str, np.dtype[Any] | None]]
    outputs: list[str]
    widths: list[float]
    width: float
    rows_per_run: int
    idle_options: list[_RunOptions]
    location: Location


class _RunOptions:
    """The options of one prediction at a time, whose deadline ends it."""

    def __init__(self) -> None:
        self.options = runtime().RunOptions()
        self.options.log_severity_level = 4

    def terminate(self) -> None:
        """End the prediction. The options cannot be used again."""
        self.options.terminate = True


def _run(model: _Model, rows: Batch, *, seconds: float | None = None) -> Outputs:
    """Predict rows.

    Raises:
        VerificationError: If the graph fails, returns more than its manifest allows, or exceeds
            its memory or time.
    """
    count = len(rows[0]) if isinstance(rows, list) else len(rows)
    limit, has_deadline = onnx_limits.seconds(count), seconds is not None
    try:
        options = model.idle_options.pop()
    except IndexError:
        options = _RunOptions()
    if seconds is None or seconds > limit:
        seconds = limit
    deadline = watch.begin(seconds, options.terminate, of_work=not has_deadline)
    try:
        if count <= model.rows_per_run:
            values = _compute(model, rows, count=count, options=options.options)
        else:
            parts = []
            for first in range(0, count, model.rows_per_run):
                last = min(first + model.rows_per_run, count)
                part = _slice(rows, first, end=last)
                arrays = _compute(model, part, count=last - first, options=options.options)
                parts.append([_interned(array) for array in arrays])
            values = _joined(parts)
        probabilities = scores = None
        if "probabilities" in model.outputs:
            probabilities = _clipped(values[1])
        if "scores" in model.outputs:
            scores = values[-1]
        return Outputs(values[0].reshape(count), probabilities, scores)
    except Exception as error:  # onnxruntime's errors have no other common parent
        problem = f"onnxruntime does not run it: {_first_line(error)}"
        raise VerificationError(problem, location=model.location) from error
    finally:
        if watch.done(deadline):
            model.idle_options.append(options)


def _compute(model: _Model, rows: Batch, *, count: int, options: Any) -> list[NDArray[Any]]:
    """Return the outputs for `count` rows, unless there are more than its manifest allows."""
    if isinstance(rows, list):
        feed = _feed(model.inputs, rows, count=count)
    else:
        [(name, dtype)] = model.inputs
        feed = {name: _as(rows, dtype)}
    values: list[NDArray[Any]] = model.session.run(model.outputs, feed, options)
    # If one output has too many and another too few, `_run` and the predictor detect it.
    if sum(map(_size, values)) > count * model.width:
        sizes = zip(model.outputs, model.widths, values, strict=True)
        name = next(name for name, width, value in sizes if value.size > count * width)
        raise ValueError(f"{name} has more values than its manifest states")
    return values


def _clipped(probabilities: NDArray[Any]) -> NDArray[Any]:
    """Return probabilities clipped to the range from 0 to 1."""
    if probabilities.size <= _FEW:
        # For a few values, Python takes a third of the time. NaN fails every comparison.
        values = probabilities.ravel().tolist()
        if values and min(values) >= 0.0 and max(values) <= 1.0:
            return probabilities
    return probabilities.clip(0.0, 1.0)


def _joined(parts: list[list[NDArray[Any]]]) -> list[NDArray[Any]]:
    """Return each output for all rows from its parts."""
    import numpy as np

    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


def _interned(value: NDArray[Any]) -> NDArray[Any]:
    """Return an array in which equal texts share their memory."""
    if value.dtype.kind != "O":
        return value
    import numpy as np

    known: dict[str, str] = {}
    texts = [known.setdefault(text, text) for text in value.ravel().tolist()]
    return np.array(texts, dtype=object).reshape(value.shape)


def _feed(
    inputs: list[tuple[str, np.dtype[Any] | None]], rows: list[NDArray[Any]], *, count: int
) -> dict[str, NDArray[Any]]:
    columns = dict(zip(names_of(rows), rows, strict=True))
    return {name: _as(columns[name].reshape(count, 1), dtype) for name, dtype in inputs}


def _slice(rows: Batch, first: int, *, end: int) -> Batch:
    return [column[first:end] for column in rows] if isinstance(rows, list) else rows[first:end]


def _dtype(kind: str) -> np.dtype[Any] | None:
    import numpy as np

    if kind == "tensor(string)":
        return None
    return np.dtype("f" if kind == "tensor(float)" else "d")


def _as(column: NDArray[Any], dtype: np.dtype[Any] | None) -> NDArray[Any]:
    if dtype is None or column.dtype == dtype:
        return column
    import numpy as np

    with np.errstate(over="ignore"):  # a number beyond float32 becomes infinite
        return column.astype(dtype)


def _first_line(error: Exception) -> str:
    """Return the message of onnxruntime on one line, without the path of its sources."""
    return re.sub(r"/onnxruntime_src/\S+ ", "", first_line(error))[:200]
