"""Converters of linear classifiers that predict scikit-learn's labels.

They derive labels from the decision function, as scikit-learn does. skl2onnx uses probabilities,
which are equal if they saturate.
"""

from __future__ import annotations

from typing import Any

from artifact_pipeline.builder.formats.onnx_graph import Graph, complement, give, wide_input

LINEAR = ("LinearClassifier", "LinearSVC", "SGDClassifier")
"""Names of converters in skl2onnx; the first and the last serve several estimators."""


def linear(scope: Any, operator: Any, container: Any) -> None:
    """Convert a linear classifier: labels by its decision function."""
    import numpy as np

    model, graph = operator.raw_operator, Graph(scope, container)
    X = wide_input(graph, operator)
    coef = np.asarray(model.coef_, dtype=np.float64).reshape(-1, model.n_features_in_)
    intercept = np.broadcast_to(np.asarray(model.intercept_, dtype=np.float64), (len(coef),))
    product = graph.add("MatMul", X, graph.constant(np.ascontiguousarray(coef.T)))
    scores = graph.add("Add", product, graph.constant(intercept.copy()))
    zero = graph.constant(np.array(0.0))
    if len(coef) == 1:
        flat = graph.add("Squeeze", scores, graph.constant(np.array([1])))
        number = graph.cast(graph.add("Greater", flat, zero), "int64")
    else:
        number = graph.best(scores)
    graph.label(number, model.classes_, output=operator.outputs[0].full_name)
    if len(operator.outputs) < 2:
        return
    if not hasattr(model, "predict_proba"):
        give(graph, scores, variable=operator.outputs[1])
        return
    give(
        graph,
        _probabilities(graph, model, scores=scores, width=len(coef)),
        variable=operator.outputs[1],
    )


def _probabilities(graph: Graph, model: Any, *, scores: str, width: int) -> str:
    """Add the probabilities of a linear classifier that has them."""
    import numpy as np

    one = graph.constant(np.array(1.0))
    huber = getattr(model, "loss", "") == "modified_huber"
    name = type(model).__name__
    if width > 1 and name.startswith(("LogisticRegression", "LinearDiscriminant")):
        return graph.add("Softmax", scores, axis=1)
    if huber:
        clipped = graph.add("Clip", scores, graph.constant(np.array(-1.0)), one)
        two = graph.constant(np.array(2.0))
        each = graph.add("Div", graph.add("Add", clipped, one), two)
    else:
        each = graph.add("Sigmoid", scores)
    if width == 1:
        return graph.add("Concat", complement(graph, each), each, axis=1)
    axes = graph.constant(np.array([1]))
    total = graph.add("ReduceSum", each, axes, keepdims=1)
    if huber:
        # If all classes have 0, they get equal probabilities.
        none = graph.add("Equal", total, graph.constant(np.array(0.0)))
        each = graph.add("Where", none, one, each)
        total = graph.add("ReduceSum", each, axes, keepdims=1)
    return graph.add("Div", each, total)
