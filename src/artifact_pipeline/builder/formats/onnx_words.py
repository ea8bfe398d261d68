"""Converters that weight the counts of words in float64.

skl2onnx computes weights in float32, which may move them across a tree's threshold.
"""

from __future__ import annotations

from typing import Any

from artifact_pipeline.builder.formats.onnx_graph import Graph, give


def tfidf_vectorizer(scope: Any, operator: Any, container: Any) -> None:
    """Convert a TfidfVectorizer: word counts by skl2onnx, with weights."""
    from skl2onnx.common.data_types import FloatTensorType

    model = operator.raw_operator
    counter = scope.declare_local_operator("SklearnCountVectorizer", model)
    counter.inputs = operator.inputs
    shape = [None, max(model.vocabulary_.values()) + 1]
    counts = scope.declare_local_variable("counts", FloatTensorType(shape))
    counter.outputs.append(counts)
    _weigh(Graph(scope, container), model, counts=counts.full_name, output=operator.outputs[0])


def tfidf_transformer(scope: Any, operator: Any, container: Any) -> None:
    """Convert a TfidfTransformer."""
    graph = Graph(scope, container)
    _weigh(
        graph,
        operator.raw_operator,
        counts=operator.inputs[0].full_name,
        output=operator.outputs[0],
    )


def _weigh(graph: Graph, model: Any, *, counts: str, output: Any) -> None:
    import numpy as np

    zero, one = (graph.constant(np.array(value)) for value in (0.0, 1.0))
    weights = graph.cast(counts, "float64")
    if model.sublinear_tf:
        none = graph.add("Equal", weights, zero)
        log = graph.add("Add", graph.add("Log", graph.add("Max", weights, one)), one)
        weights = graph.add("Where", none, zero, log)
    if model.use_idf:
        weights = graph.add("Mul", weights, graph.constant(np.asarray(model.idf_).reshape(1, -1)))
    if model.norm is not None:
        axes = graph.constant(np.array([1]))
        if model.norm == "l2":
            squares = graph.add("Mul", weights, weights)
            length = graph.add("Sqrt", graph.add("ReduceSum", squares, axes, keepdims=1))
        else:
            length = graph.add("ReduceSum", graph.add("Abs", weights), axes, keepdims=1)
        length = graph.add("Where", graph.add("Equal", length, zero), one, length)
        weights = graph.add("Div", weights, length)
    give(graph, weights, variable=output)
