"""Converters of trees that compute exactly as scikit-learn; those of skl2onnx approximate.

They compare and add in float64, in scikit-learn's order, so that a tie of an even number of trees
stays a tie. Missing values take the branch that the tree learned. scikit-learn's trees compare
float32 inputs with float64 thresholds, HistGradientBoosting compares float64 inputs.

Format: the operator TreeEnsemble of ai.onnx.ml, version 5. Its leaves have one value each, so each
tree returns the number of its leaf, and the values are gathered from a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from artifact_pipeline.builder.formats.onnx_graph import ML, Graph, complement, give, wide_input

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORESTS = (
    *("DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier"),
    *("ExtraTreeRegressor", "ExtraTreesClassifier", "ExtraTreesRegressor"),
    *("RandomForestClassifier", "RandomForestRegressor"),
)
BOOSTED = (
    *("GradientBoostingClassifier", "GradientBoostingRegressor"),
    *("HistGradientBoostingClassifier", "HistGradientBoostingRegressor"),
)


class Tree(NamedTuple):
    """The nodes of a tree, (n_nodes,) each; a leaf has no left child."""

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    missing_left: NDArray[np.bool_]
    values: NDArray[np.float64]
    """(n_nodes, n_values)."""


def forest(scope: Any, operator: Any, container: Any) -> None:
    """Convert a tree or a forest: the mean of its trees.

    Raises:
        RuntimeError: If it predicts several targets.
    """
    import numpy as np
    from sklearn.base import is_classifier

    model, graph = operator.raw_operator, Graph(scope, container)
    several = hasattr(model, "estimators_")
    if model.n_outputs_ != 1:
        raise RuntimeError("a tree of several targets")
    trees = [_own(part.tree_) for part in (model.estimators_ if several else [model])]
    X = wide_input(graph, operator, through_float32=True)
    total = _total(graph, _ensemble(graph, X, trees=trees))
    if several:
        total = graph.add("Div", total, graph.constant(np.array(float(len(trees)))))
    if not is_classifier(model):
        give(graph, total, variable=operator.outputs[0])
        return
    graph.label(graph.best(total), model.classes_, output=operator.outputs[0].full_name)
    give(graph, total, variable=operator.outputs[1])


def boosted(scope: Any, operator: Any, container: Any) -> None:
    """Convert boosted trees: the link function of the sum of the trees.

    Raises:
        RuntimeError: If they split categories, or start with an estimator.
    """
    import numpy as np
    from sklearn.base import is_classifier

    model, graph = operator.raw_operator, Graph(scope, container)
    if hasattr(model, "_predictors"):
        if getattr(model, "_preprocessor", None) is not None:
            raise RuntimeError("boosted trees that split categories")
        rounds = [[_binned(predictor) for predictor in some] for some in model._predictors]
        first = np.asarray(model._baseline_prediction, dtype=np.float64).ravel()
        X = wide_input(graph, operator)
    else:
        if type(model.init_).__name__ not in ("str", "DummyClassifier", "DummyRegressor"):
            raise RuntimeError("boosted trees that start with an estimator")
        rounds = []
        for some in model.estimators_:
            own = [_own(part.tree_) for part in some]
            rounds.append([tree._replace(values=model.learning_rate * tree.values) for tree in own])
        zeros = np.zeros((1, model.n_features_in_), dtype=np.float32)
        first = np.asarray(model._raw_predict_init(zeros), dtype=np.float64).ravel()
        X = wide_input(graph, operator, through_float32=True)
    width = len(rounds[0])
    values = _ensemble(graph, X, trees=[tree for some in rounds for tree in some])
    shape = graph.constant(np.array([0, len(rounds), width]))
    raw = _total(graph, graph.add("Reshape", values, shape), first=first)
    loss = type(model._loss).__name__
    if not is_classifier(model):
        if loss in ("HalfPoissonLoss", "HalfGammaLoss"):
            raw = graph.add("Exp", raw)
        give(graph, raw, variable=operator.outputs[0])
        return
    if width > 1:
        number, proba = graph.best(raw), graph.add("Softmax", raw, axis=1)
    else:
        flat = graph.add("Squeeze", raw, graph.constant(np.array([1])))
        # At 0 GradientBoosting predicts the second of two classes, HistGradientBoosting the first.
        over = "Greater" if hasattr(model, "_predictors") else "GreaterOrEqual"
        number = graph.cast(graph.add(over, flat, graph.constant(np.array(0.0))), "int64")
        scaled = raw
        if loss == "ExponentialLoss":
            scaled = graph.add("Mul", raw, graph.constant(np.array(2.0)))
        second = graph.add("Sigmoid", scaled)
        proba = graph.add("Concat", complement(graph, second), second, axis=1)
    graph.label(number, model.classes_, output=operator.outputs[0].full_name)
    give(graph, proba, variable=operator.outputs[1])


def _ensemble(graph: Graph, X: str, *, trees: Sequence[Tree]) -> str:
    """Add trees, and return the values of each for each row, (n_rows, n_trees, n_values)."""
    import numpy as np

    leaves = [np.flatnonzero(tree.left < 0) for tree in trees]
    table = np.concatenate([tree.values[nodes] for tree, nodes in zip(trees, leaves, strict=True)])
    numbers = graph.add(
        "TreeEnsemble",
        X,
        op_domain=ML,
        op_version=1,  # skl2onnx supports no later one; `onnx_converters.correct` sets it
        n_targets=len(trees),
        aggregate_function=1,
        post_transform=0,
        **_attributes(trees, leaves),
    )
    return graph.add("Gather", graph.constant(table), graph.cast(numbers, "int64"), axis=0)


def _total(graph: Graph, values: str, *, first: NDArray[np.float64] | None = None) -> str:
    """Add the sum of (n_rows, n_trees, n_values) over the trees, in their order."""
    import numpy as np

    axis = graph.constant(np.array(1))
    running = graph.add("CumSum", values, axis)
    if first is not None:
        # The sum starts with the values that precede all trees.
        rows = graph.add("Shape", values)
        count = graph.add("Gather", rows, graph.constant(np.array([0])), axis=0)
        width = graph.constant(np.array([1, len(first)]))
        shape = graph.add("Concat", count, width, axis=0)
        start = graph.add("Expand", graph.constant(first.reshape(1, 1, -1)), shape)
        running = graph.add("CumSum", graph.add("Concat", start, values, axis=1), axis)
    return graph.add("Gather", running, graph.constant(np.array(-1)), axis=1)


def _attributes(trees: Sequence[Tree], leaves: list[NDArray[np.int64]]) -> dict[str, Any]:
    import numpy as np
    from onnx import TensorProto, helper

    feature, threshold, missing = [], [], []
    yes, no, yes_leaf, no_leaf, roots = [], [], [], [], []
    targets, first_node, first_leaf = [], 0, 0
    for number, (tree, ends) in enumerate(zip(trees, leaves, strict=True)):
        inner = np.flatnonzero(tree.left >= 0)
        place = np.empty(len(tree.left), dtype=np.int64)
        place[ends] = first_leaf + np.arange(len(ends))
        roots.append(first_node)
        targets += [number] * len(ends)
        if len(inner):
            place[inner] = first_node + np.arange(len(inner))
            left, right = tree.left[inner], tree.right[inner]
            feature += tree.feature[inner].tolist()
            threshold += tree.threshold[inner].tolist()
            missing += tree.missing_left[inner].astype(int).tolist()
            yes += place[left].tolist()
            no += place[right].tolist()
            yes_leaf += (tree.left[left] < 0).astype(int).tolist()
            no_leaf += (tree.left[right] < 0).astype(int).tolist()
        else:
            # A tree of one leaf: a node whose children are both this leaf.
            feature.append(0)
            threshold.append(0.0)
            missing.append(0)
            yes.append(first_leaf)
            no.append(first_leaf)
            yes_leaf.append(1)
            no_leaf.append(1)
        first_node += max(len(inner), 1)
        first_leaf += len(ends)
    count = len(feature)
    return {
        "tree_roots": roots,
        "nodes_featureids": feature,
        "nodes_splits": helper.make_tensor("splits", TensorProto.DOUBLE, [count], threshold),
        "nodes_modes": helper.make_tensor("modes", TensorProto.UINT8, [count], [0] * count),
        "nodes_missing_value_tracks_true": missing,
        "nodes_truenodeids": yes,
        "nodes_falsenodeids": no,
        "nodes_trueleafs": yes_leaf,
        "nodes_falseleafs": no_leaf,
        "leaf_targetids": targets,
        "leaf_weights": helper.make_tensor(
            "leaves", TensorProto.DOUBLE, [first_leaf], [float(n) for n in range(first_leaf)]
        ),
    }


def _own(tree: Any) -> Tree:
    """Return the nodes of one of scikit-learn's trees."""
    state = tree.__getstate__()
    nodes, values = state["nodes"], state["values"]
    if values.shape[1] != 1:
        raise RuntimeError("a tree of several targets")
    left = nodes["left_child"].copy()
    return Tree(
        left=left,
        right=nodes["right_child"],
        feature=nodes["feature"],
        threshold=nodes["threshold"],
        missing_left=nodes["missing_go_to_left"] != 0,
        values=values[:, 0, :],
    )


def _binned(predictor: Any) -> Tree:
    """Return the nodes of a tree of HistGradientBoosting."""
    import numpy as np

    nodes = predictor.nodes
    leaf = nodes["is_leaf"] != 0
    if (nodes["is_categorical"] != 0).any():
        raise RuntimeError("a tree that splits categories")
    return Tree(
        left=np.where(leaf, -1, nodes["left"].astype(np.int64)),
        right=nodes["right"].astype(np.int64),
        feature=nodes["feature_idx"].astype(np.int64),
        threshold=nodes["num_threshold"],
        missing_left=nodes["missing_go_to_left"] != 0,
        values=nodes["value"].reshape(-1, 1),
    )
