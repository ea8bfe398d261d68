"""An ONNX graph under construction by a converter of skl2onnx.

Format: "ONNX Operators" and "ONNX Operators ml" in the documentation of ONNX.
"""

from __future__ import annotations

from typing import Any

ML, ML_VERSION = "ai.onnx.ml", 5
"""The domain of TreeEnsemble, and the version that introduced it."""


class Graph:
    """A part of a graph under construction: methods add an operator and return its output."""

    def __init__(self, scope: Any, container: Any) -> None:
        self._scope, self._container = scope, container

    def add(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Add an operator, and return the name of its output."""
        name = output or self._scope.get_unique_variable_name(kind.lower())
        node = self._scope.get_unique_operator_name(kind)
        self._container.add_node(kind, list(inputs), [name], name=node, **attributes)
        return str(name)

    def constant(self, values: Any) -> str:
        """Add a constant of float32, float64, bool, int64 or text, and return its name."""
        import numpy as np
        from onnx import TensorProto

        array = np.asarray(values)
        kinds = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE}
        kind = kinds.get(array.dtype.name, TensorProto.INT64)
        data = array.ravel().tolist()
        if array.dtype.kind == "b":
            kind = TensorProto.BOOL
        if array.dtype.kind in "OU":
            kind, data = TensorProto.STRING, [str(text).encode() for text in data]
        name = self._scope.get_unique_variable_name("constant")
        self._container.add_initializer(name, kind, list(array.shape), data)
        return str(name)

    def cast(self, source: str, to: str, *, output: str | None = None) -> str:
        """Add a cast and return the name of its output.

        Args:
            source: The value to cast.
            to: `float32`, `float64` or `int64`.
            output: The name of the output; by default a new one.
        """
        from onnx import TensorProto

        kinds = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE}
        kind = kinds.get(to, TensorProto.INT64)
        return self.add("Cast", source, output=output, to=kind)

    def label(self, index: str, classes: Any, *, output: str) -> None:
        """Add the labels of class numbers, (n_rows,).

        Args:
            index: The value with the numbers.
            classes: The labels, (n_classes,).
            output: The name of the output.

        Raises:
            RuntimeError: If labels are numbers with a fraction.
        """
        import numpy as np

        known = np.asarray(classes)
        labels = known.astype(np.int64) if known.dtype.kind in "biu" else known
        if known.dtype.kind == "f":
            if not (known == np.floor(known)).all():
                raise RuntimeError("labels with a fraction")
            labels = known.astype(np.int64)
        self.add("Gather", self.constant(labels), index, output=output, axis=0)

    def best(self, scores: str) -> str:
        """Add the index of the largest score, the first one of equal scores, (n_rows,)."""
        return self.add("ArgMax", scores, axis=1, keepdims=0)


def wide_input(graph: Graph, operator: Any, *, through_float32: bool = False) -> str:
    """Return the input of an operator in float64, optionally rounded to float32 first."""
    if len(operator.inputs) != 1:
        raise RuntimeError("more than one input")
    source = operator.inputs[0].full_name
    if through_float32:
        source = graph.cast(source, "float32")
    return graph.cast(source, "float64")


def give(graph: Graph, value: str, *, variable: Any) -> None:
    """Make a value an output, in the declared precision."""
    from skl2onnx.common.data_types import FloatTensorType

    narrow = isinstance(variable.type, FloatTensorType)
    graph.cast(value, "float32" if narrow else "float64", output=variable.full_name)


def complement(graph: Graph, probability: str) -> str:
    import numpy as np

    return graph.add("Sub", graph.constant(np.array(1.0)), probability)
