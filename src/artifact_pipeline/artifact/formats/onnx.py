"""The open form: an ONNX graph, which runs anywhere and holds no code of its own.

float64 where converter and runtime know all of the estimator's operators, else float32.
"""

from __future__ import annotations

import os
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from artifact_pipeline.artifact.formats import limits
from artifact_pipeline.artifact.formats.form import FORMS, Form, Outputs, Run
from artifact_pipeline.artifact.manifest import MODEL_ONNX
from artifact_pipeline.errors import VerificationError
from artifact_pipeline.explain import first_line

if TYPE_CHECKING:
    import numpy as np
    import onnxruntime
    from numpy.typing import NDArray


def export(estimator: Any, n_features: int) -> Iterator[tuple[Form, bytes]]:
    """Yield the ONNX forms that the converter can make of a fitted estimator, best first.

    The graph takes `X` and gives `label`, and `probabilities` if the estimator does; that of a
    regressor gives `prediction`.
    """
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
    from sklearn.base import is_regressor

    gives_probabilities = hasattr(estimator, "predict_proba")
    types = {"float64": DoubleTensorType, "float32": FloatTensorType}
    for form in FORMS:
        if form.file != MODEL_ONNX:
            continue
        try:
            with warnings.catch_warnings(action="ignore"):  # about the converter's own habits
                graph = to_onnx(
                    estimator,
                    initial_types=[("X", types[form.dtype]([None, n_features]))],
                    options={"zipmap": False} if gives_probabilities else None,
                    # Left unset it is random, and an artifact's bytes must not be.
                    name="model",
                )
        except (RuntimeError, ValueError, TypeError, LookupError, AttributeError):
            continue  # an operator that the converter has not in this precision
        if not gives_probabilities:
            graph = _first_alone(graph, "prediction" if is_regressor(estimator) else "label")
        yield form, graph.SerializeToString(deterministic=True)


def _first_alone(graph: Any, wanted: str) -> Any:
    """Name the first output as wanted, and cut the scores off, which are not comparable."""
    from skl2onnx.helpers.onnx_helper import select_model_inputs_outputs

    name = graph.graph.output[0].name
    cut = select_model_inputs_outputs(graph, outputs=[name])
    # Inside a Pipeline the converter names a result `label` and the output otherwise.
    renamed = {name: wanted, wanted: f"inner_{wanted}"} if name != wanted else {}
    for node in cut.graph.node:
        node.input[:] = [renamed.get(one, one) for one in node.input]
        node.output[:] = [renamed.get(one, one) for one in node.output]
    cut.graph.output[0].name = wanted
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
    ort.create_and_register_allocator(memory, ort.OrtArenaCfg({"max_mem": limits.MAX_MEMORY}))
    return ort


def preload() -> None:
    """Begin to import onnxruntime beside other work; whoever needs it then waits for the rest."""
    threading.Thread(target=runtime, name="import onnxruntime").start()


def load(verified: bytes, dtype: str, where: str) -> Run:
    """Return what runs a graph whose bytes were verified; it takes rows of `dtype`.

    Raises:
        VerificationError: if it holds what no estimator needs (see `limits`), or onnxruntime
            cannot load it, or not in time.
    """
    limits.check(verified, where)
    ort = runtime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.use_env_allocators", "1")
    try:
        with _at_most(limits.LOAD_SECONDS, lambda: options.set_load_cancellation_flag(True)):
            session = ort.InferenceSession(
                verified,
                options,
                providers=["CPUExecutionProvider"],
                # It would compute parts of the graph while it loads, outside all bounds.
                disabled_optimizers=["ConstantFolding"],
                enable_fallback=0,  # it would print, and try the same again
            )
    except Exception as error:  # onnxruntime's errors share no other parent
        said = f"onnxruntime does not load it: {_said(error)}"
        raise VerificationError(said, where=where) from error
    return partial(_run, session, dtype, where)


def _run(
    session: onnxruntime.InferenceSession, dtype: str, where: str, X: NDArray[np.float64]
) -> Outputs:
    """Return the labels and probabilities of X (n_rows, n_features).

    Raises:
        VerificationError: if the graph fails on it, gives other outputs than it should, or takes
            more memory or time than a model may.
    """
    options = runtime().RunOptions()
    options.log_severity_level = 4
    try:
        names = [output.name for output in session.get_outputs()]
        with _at_most(limits.seconds(len(X)), lambda: setattr(options, "terminate", True)):
            values = session.run(None, {"X": X.astype(dtype)}, options)
        found = dict(zip(names, values, strict=True))
        if "prediction" in found:
            return Outputs(found["prediction"].reshape(len(X)), None)
        return Outputs(found["label"], found.get("probabilities"))
    except Exception as error:  # onnxruntime's errors share no other parent
        said = f"onnxruntime does not run it: {_said(error)}"
        raise VerificationError(said, where=where) from error


@contextmanager
def _at_most(seconds: float, end: Callable[[], None]) -> Iterator[None]:
    """Call `end` if what is done here takes longer."""
    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _said(error: Exception) -> str:
    """Return what onnxruntime says, on one line, without where its maker's sources lay."""
    return re.sub(r"/onnxruntime_src/\S+ ", "", first_line(error))[:200]
