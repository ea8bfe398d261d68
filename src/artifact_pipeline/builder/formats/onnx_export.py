"""The open form: an ONNX graph, which runs anywhere and contains no code.

It computes in float64 if converter and runtime support all of the estimator's operators, otherwise
in float32.
"""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

from artifact_pipeline.builder.config.messages import first_line
from artifact_pipeline.builder.evaluation.lowercase import lowercase
from artifact_pipeline.builder.formats import onnx_boosters, onnx_converters
from artifact_pipeline.builder.formats.base import FORMS, Batch, Form, names_of
from artifact_pipeline.builder.model.estimators import boosters_of


class ExportedGraph(NamedTuple):
    """The bytes of a graph.

    Attributes:
        data: The graph that is sealed.
        scored: The same graph with the output `scores`, the decision function of a classifier
            without probabilities, in the converter's shape. It is compared for the proof and not
            sealed.
    """

    data: bytes
    scored: bytes | None = None


def export(estimator: Any, rows: Batch) -> Iterator[tuple[Form, ExportedGraph | str]]:
    """Yield the ONNX forms that the converter can make of a fitted estimator, best first.

    `rows` are examples of its input. For a matrix, the graph has the input `X`; for a table, an
    input for each column: `c0`, `c1`, …. Its outputs are `label` and, if the estimator has them,
    `probabilities`; for a regressor, `prediction`. A graph in float64 only has to meet the bound of
    float32, because trees compute in that. If there is no graph, a reason takes its place.
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
        # Its warnings are about its own defaults.
        with warnings.catch_warnings(action="ignore"), onnx_converters.precision(dtype):
            graph = to_onnx(
                source,
                initial_types=inputs,
                options={"zipmap": False} if gives_probabilities else None,
                # The default is random, and an artifact's bytes must not be.
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
    for graph in graphs:
        onnx_converters.correct(graph)
        if isinstance(rows, list) and len(inputs) == 1:
            _join(graph, inputs[0][1], names=names_of(rows))
    return ExportedGraph(*(graph.SerializeToString(deterministic=True) for graph in graphs))


def _reason(error: Exception) -> str:
    """Return why skl2onnx does not convert an estimator, in a few words."""
    message = first_line(error)
    if unknown := re.search(r"shape calculator for type '<class '([\w.]+)'>'", message):
        return f"skl2onnx has no converter for {unknown[1].rpartition('.')[2]}"
    return f"skl2onnx does not convert it: {message[:120].rstrip(' .')}"


def _inputs(estimator: Any, rows: Batch, *, dtype: str) -> tuple[list[tuple[str, Any]], Any]:
    """Return the inputs of the graph, and the estimator to convert.

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
    """Return a copy with the first output, named `first`, and if wanted the second as `scores`.

    The scores of the copy are float64.
    """
    from onnx import TensorProto, helper
    from skl2onnx.helpers.onnx_helper import select_model_inputs_outputs

    names = [output.name for output in graph.graph.output][: 2 if scores else 1]
    for node in graph.graph.node:
        if node.op_type == "ZipMap" and node.output[0] == names[-1]:
            names[-1] = node.input[0]
    cut = select_model_inputs_outputs(graph, outputs=names)
    # Inside a Pipeline, the converter names a result `label` and the output differently.
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
