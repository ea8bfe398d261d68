"""The open form: an ONNX graph, which runs anywhere and holds no code of its own.

float64 where converter and runtime know all of the estimator's operators, else float32.
"""

from __future__ import annotations

import copy
import operator
import os
import re
import threading
import warnings
from collections.abc import Iterator
from functools import cache, partial
from math import inf, prod
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct

from artifact_pipeline.builder.artifact.manifest import Interface, Port
from artifact_pipeline.builder.config.messages import first_line
from artifact_pipeline.builder.evaluation.lowercase import lowercase
from artifact_pipeline.builder.formats import onnx_boosters, onnx_converters, onnx_limits
from artifact_pipeline.builder.formats.base import (
    FORMS,
    Batch,
    Form,
    Outputs,
    PredictFunction,
    names_of,
)
from artifact_pipeline.builder.formats.deadline import at_most, watch
from artifact_pipeline.builder.model.estimators import boosters_of
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
"""What onnxruntime calls the dtypes of a manifest."""


class ExportedGraph(NamedTuple):
    """The bytes of a graph.

    Attributes:
        data: The graph that is sealed.
        scored: The same graph with the output `scores`, the decision function of a classifier
            that gives no probabilities, in the shape that the converter gives it. It is compared
            for the proof and not sealed.
    """

    data: bytes
    scored: bytes | None = None


def export(estimator: Any, rows: Batch) -> Iterator[tuple[Form, ExportedGraph | str]]:
    """Yield the ONNX forms that the converter can make of a fitted estimator, best first.

    `rows` are some that it predicts: of a matrix the graph takes `X`, of columns each as `c0`,
    `c1`, …. It gives `label`, and `probabilities` if the estimator does; that of a regressor gives
    `prediction`. A graph in float64 is held to the bound of float32, too: trees compute in that.
    Where there is none, the reason is given in its place.
    """
    for dtype, first in (("float64", 0), ("float32", 1)):
        graph = _convert(estimator, rows, dtype=dtype)
        for form in FORMS[first : first + 1] if isinstance(graph, str) else FORMS[first:2]:
            yield form._replace(dtype=dtype), graph


def _convert(estimator: Any, rows: Batch, *, dtype: str) -> ExportedGraph | str:
    from skl2onnx import to_onnx
    from sklearn.base import is_regressor

    onnx_converters.register()
    for package in boosters_of(estimator):
        onnx_boosters.register(package)
    gives_probabilities = hasattr(estimator, "predict_proba")
    try:
        inputs, source = _inputs(estimator, rows, dtype=dtype)
        # It warns of its own habits.
        with warnings.catch_warnings(action="ignore"), onnx_converters.precision(dtype):
            graph = to_onnx(
                source,
                initial_types=inputs,
                options={"zipmap": False} if gives_probabilities else None,
                # Left unset it is random, and an artifact's bytes must not be.
                name="model",
            )
    except Exception as error:  # noqa: BLE001  (a converter may raise anything)
        return _reason(error)
    if not lowercase(estimator)[1]:  # see `parity.lowered_columns`
        return "onnxruntime would put a text in lower case by other rules than Python's"
    graphs = [graph]
    if not gives_probabilities:
        first = "prediction" if is_regressor(estimator) else "label"
        graphs = [_select(graph, first, scores=False)]
        if hasattr(estimator, "decision_function") and len(graph.graph.output) > 1:
            graphs.append(_select(graph, first, scores=True))
    for made in graphs:
        onnx_converters.correct(made)
        if isinstance(rows, list) and len(inputs) == 1:
            _join(made, inputs[0][1], names=names_of(rows))
    return ExportedGraph(*(made.SerializeToString(deterministic=True) for made in graphs))


def _reason(error: Exception) -> str:
    """Return why skl2onnx does not convert an estimator, in a few words."""
    message = first_line(error)
    if unknown := re.search(r"shape calculator for type '<class '([\w.]+)'>'", message):
        return f"skl2onnx has no converter for {unknown[1].rpartition('.')[2]}"
    return f"skl2onnx does not convert it: {message[:120].rstrip(' .')}"


def _inputs(estimator: Any, rows: Batch, *, dtype: str) -> tuple[list[tuple[str, Any]], Any]:
    """Return the inputs of the graph, and the estimator as the converter takes it.

    An estimator that begins with branches takes its columns one by one, and by their numbers:
    the converter would change their names. Any other takes them as one matrix.
    """
    from skl2onnx.common import data_types as types

    number = {"float64": types.DoubleTensorType, "float32": types.FloatTensorType}[dtype]
    if not isinstance(rows, list):
        return [("X", number([None, rows.shape[1]]))], estimator
    texts = [column.dtype.kind == "O" for column in rows]
    if any(texts) and not all(texts) and not _begins_with_branches(estimator):
        from artifact_pipeline.builder.formats import onnx_columnwise

        estimator = onnx_columnwise.split(estimator, texts) or estimator
    if _begins_with_branches(estimator):
        inputs = [
            (name, (types.StringTensorType if text else number)([None, 1]))
            for name, text in zip(names_of(rows), texts, strict=True)
        ]
        return inputs, _numbered(estimator)
    if any(texts) and not all(texts):
        raise TypeError("a matrix of numbers and text")
    return [("X", (types.StringTensorType if any(texts) else number)([None, len(rows)]))], estimator


def _begins_with_branches(estimator: Any) -> bool:
    return hasattr(getattr(estimator, "steps", [(None, estimator)])[0][1], "transformers_")


def _numbered(estimator: Any) -> Any:
    """Return a copy whose branches name their columns by number."""
    numbered = copy.deepcopy(estimator)
    branches = numbered.steps[0][1] if hasattr(numbered, "steps") else numbered
    numbers = {name: index for index, name in enumerate(getattr(branches, "feature_names_in_", ()))}

    def number(columns: Any) -> Any:
        if isinstance(columns, str):
            return numbers[columns]
        return [numbers.get(column, column) for column in columns]

    branches.transformers_ = [
        (name, part, number(columns)) for name, part, columns in branches.transformers_
    ]
    return numbered


def _join(graph: Any, kind: Any, *, names: list[str]) -> None:
    """Replace the matrix that a graph takes by an input for each column, in place."""
    from onnx import helper

    element = kind.to_onnx_type().tensor_type.elem_type
    del graph.graph.input[:]
    graph.graph.input.extend(
        helper.make_tensor_value_info(name, element, [None, 1]) for name in names
    )
    graph.graph.node.insert(0, helper.make_node("Concat", names, ["X"], name="columns", axis=1))


def _select(graph: Any, first: str, *, scores: bool) -> Any:
    """Return a copy with the first output, named `first`, and the second as `scores`, or without.

    The copy gives scores in float64.
    """
    from onnx import TensorProto, helper
    from skl2onnx.helpers.onnx_helper import select_model_inputs_outputs

    names = [output.name for output in graph.graph.output][: 2 if scores else 1]
    for node in graph.graph.node:
        if node.op_type == "ZipMap" and node.output[0] == names[-1]:
            names[-1] = node.input[0]
    cut = select_model_inputs_outputs(graph, outputs=names)
    # Inside a Pipeline the converter names a result `label` and the output otherwise.
    name = names[0]
    renamed = {name: first, first: f"inner_{first}"} if name != first else {}
    for node in cut.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    cut.graph.output[0].name = first
    if scores:
        node = helper.make_node("Cast", names[1:], ["scores"], name="scores", to=TensorProto.DOUBLE)
        cut.graph.node.append(node)
        del cut.graph.output[1:]
        # The converter may declare another shape than it computes.
        output = helper.make_tensor_value_info("scores", TensorProto.DOUBLE, None)
        cut.graph.output.append(output)
    return cut


@cache
def runtime() -> Any:
    """Return the module onnxruntime, imported so that it reports nothing to its maker.

    Its wheels send usage events, and keep them in a file in the user's cache until then, unless
    this variable is set before it loads. What its sessions may hold in memory is bounded.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime as ort

    memory = ort.OrtMemoryInfo(
        "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
    )
    ort.create_and_register_allocator(memory, ort.OrtArenaCfg({"max_mem": onnx_limits.MAX_MEMORY}))
    return ort


def preload() -> None:
    """Begin to import onnxruntime beside other work; whoever needs it then waits for the rest."""
    threading.Thread(target=runtime, name="import onnxruntime").start()


def load(
    verified: bytes, location: Location, *, interface: Interface | None = None
) -> PredictFunction:
    """Open a graph whose bytes were verified.

    Args:
        verified: An ONNX file.
        location: Its file in errors.
        interface: The interface in its manifest, None while it is being made.

    Raises:
        VerificationError: If `onnx_limits` refuses it, onnxruntime does not load it in time, or
            its inputs and outputs are not those of the interface.
    """
    ort = runtime()  # first: numpy does not survive being imported by two threads at once
    cost = onnx_limits.check(verified, location=location)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.use_env_allocators", "1")
    # By default the runtime guesses the format from the bytes, and could read what was not checked.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    try:
        with at_most(onnx_limits.LOAD_SECONDS, lambda: options.set_load_cancellation_flag(True)):
            session = ort.InferenceSession(
                verified,
                options,
                providers=["CPUExecutionProvider"],
                # It would compute parts of the graph while it loads, outside all bounds.
                disabled_optimizers=["ConstantFolding"],
                enable_fallback=0,  # it would print, and try the same again
            )
    except Exception as error:  # onnxruntime's errors share no other parent
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

    A graph may leave a size open, and compute in another precision.
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
        session: What runs it.
        inputs: Name and dtype of each input, None for texts.
        outputs: Names of the outputs that are read, the prediction first.
        widths: Values that its manifest states for a row of each output, infinity without one.
        width: Their sum.
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
        VerificationError: If the graph fails, returns more than its manifest states, or exceeds
            its memory or time.
    """
    count = len(rows[0]) if isinstance(rows, list) else len(rows)
    limit = onnx_limits.seconds(count)
    try:
        options = model.idle_options.pop()
    except IndexError:
        options = _RunOptions()
    if seconds is None or seconds > limit:
        seconds = limit
    deadline = watch.begin(seconds, options.terminate)
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
    except Exception as error:  # onnxruntime's errors share no other parent
        problem = f"onnxruntime does not run it: {_first_line(error)}"
        raise VerificationError(problem, location=model.location) from error
    finally:
        if watch.done(deadline):
            model.idle_options.append(options)


def _compute(model: _Model, rows: Batch, *, count: int, options: Any) -> list[NDArray[Any]]:
    """Return the outputs for `count` rows, unless there are more than its manifest states."""
    if isinstance(rows, list):
        feed = _feed(model.inputs, rows, count=count)
    else:
        [(name, dtype)] = model.inputs
        feed = {name: _as(rows, dtype)}
    values: list[NDArray[Any]] = model.session.run(model.outputs, feed, options)
    # That one output has too many and another too few, `_run` and the predictor notice.
    if sum(map(_size, values)) > count * model.width:
        sizes = zip(model.outputs, model.widths, values, strict=True)
        name = next(name for name, width, value in sizes if value.size > count * width)
        raise ValueError(f"{name} has more values than its manifest states")
    return values


def _clipped(probabilities: NDArray[Any]) -> NDArray[Any]:
    """Return probabilities with those below 0 and above 1 replaced by these."""
    if probabilities.size <= _FEW:
        # Python compares a few in a third of the time. If the first is NaN, no comparison holds.
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
