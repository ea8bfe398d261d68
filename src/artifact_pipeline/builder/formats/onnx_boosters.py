"""Converters for LightGBM and XGBoost.

Trees are parsed from the text of a booster and become one TreeEnsembleRegressor; sum, base score
and link function follow as plain operators.

- LightGBM compares float64 inputs with float64 thresholds, and so does its graph. onnxmltools
  rounds both to float32, which moves rows to other leaves.
- XGBoost casts inputs to float32, and compares them with float32 thresholds.
- Each node has a branch for missing values. LightGBM treats them as 0 at nodes that had none in
  training.
- Both truncate numbers that encode categories.

Formats: LightGBM's model text, version v4 (`Tree::ToString` and `NumericalDecision` in its
sources); XGBoost's JSON model ("Introduction to Model IO" in its documentation).
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any, NamedTuple

from artifact_pipeline.builder.formats.onnx_graph import ML, Graph, give
from artifact_pipeline.builder.model.estimators import BOOSTERS

_EXACT = 1 << 24
"""The largest integer up to which float32 holds every integer."""
_LIGHTGBM_ZERO = 1.0000000180025095e-35
"""LightGBM treats smaller numbers as 0: `kZeroThreshold`, a float32 in its sources."""
_IDENTITY = (
    *("regression", "regression_l1", "huber", "fair", "quantile", "mape"),
    *("reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror", "reg:squaredlogerror"),
    *("reg:quantileerror",),
)
_EXP = ("poisson", "gamma", "tweedie", "count:poisson", "reg:gamma", "reg:tweedie")
_SIGMOID = ("binary", "cross_entropy", "binary:logistic", "reg:logistic", "multiclassova")
_SOFTMAX = ("multiclass", "multi:softprob", "multi:softmax")


class _Node(NamedTuple):
    """A node of a tree. Children are indices in the list of the tree; a leaf has a value."""

    feature: int = 0
    mode: str = "LEAF"
    threshold: float = 0.0
    true: int = 0
    false: int = 0
    missing_true: bool = False
    value: float = 0.0


class _Ensemble(NamedTuple):
    """Trees, and the function of the sum of their leaves."""

    trees: list[list[_Node]]
    targets: list[int]
    """The score that each tree contributes to."""
    n_targets: int
    base: list[float]
    """The initial value of each score."""
    objective: str
    scale: float
    """A factor of the scores before the link function."""
    dtype: str
    missing: float
    """A number that marks a missing value, beside NaN."""
    categories: list[int]
    """The categorical features."""


@cache
def register(package: str) -> None:
    """Register converters for the estimators of an installed package."""
    import importlib

    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import (
        calculate_linear_classifier_output_shapes,
        calculate_linear_regressor_output_shapes,
    )

    module = importlib.import_module(package)
    for name in BOOSTERS[package]:
        classifies = name.endswith("Classifier")
        estimator = getattr(module, name)
        options = {"zipmap": [True, False, "columns"], "nocl": [True, False]}
        if hasattr(estimator, "decision_function"):
            # scikit-learn prefers it to probabilities, where it calibrates for example.
            options["raw_scores"] = [True, False]
        update_registered_converter(
            estimator,
            f"{package}.{name}",
            calculate_linear_classifier_output_shapes
            if classifies
            else calculate_linear_regressor_output_shapes,
            _convert,
            options=options if classifies else None,
        )


def _convert(scope: Any, operator: Any, container: Any) -> None:
    import numpy as np
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    estimator, graph = operator.raw_operator, Graph(scope, container)
    read = _read_lightgbm if hasattr(estimator, "booster_") else _read_xgboost
    ensemble = read(estimator)
    [source] = operator.inputs
    if not isinstance(source.type, (DoubleTensorType, FloatTensorType)):
        raise RuntimeError("a booster whose inputs are not numbers")  # noqa: TRY004  (as skl2onnx)
    is_wide = ensemble.dtype == "float64"

    def constant(values: Any) -> str:
        return graph.constant(np.asarray(values, dtype=ensemble.dtype))

    rows = graph.cast(source.full_name, ensemble.dtype)
    if ensemble.missing == ensemble.missing:
        is_missing = graph.add("Equal", rows, constant([ensemble.missing]))
        rows = graph.add("Where", is_missing, constant([np.nan]), rows)
    if is_wide:
        near = graph.add("LessOrEqual", graph.add("Abs", rows), constant([_LIGHTGBM_ZERO]))
        rows = graph.add("Where", near, constant([0.0]), rows)
    if ensemble.categories:
        mask = np.isin(np.arange(estimator.n_features_in_), ensemble.categories)
        encodes = graph.constant(mask.reshape(1, -1))
        truncated = graph.add("Floor", rows)
        if is_wide:  # LightGBM rounds towards 0
            size = graph.add("Floor", graph.add("Abs", rows))
            truncated = graph.add("Mul", graph.add("Sign", rows), size)
        rows = graph.add("Where", encodes, truncated, rows)
    sums = graph.add(
        "TreeEnsembleRegressor",
        rows,
        op_domain=ML,
        op_version=3,
        **_attributes(_numbering(ensemble) if is_wide else ensemble),
    )
    if is_wide:  # onnxruntime returns float32, so trees return leaf numbers
        leaves = [node.value for tree in ensemble.trees for node in tree if node.mode == "LEAF"]
        values = graph.add("Gather", constant(leaves), graph.cast(sums, "int64"), axis=0)
        adds = np.equal.outer(ensemble.targets, np.arange(ensemble.n_targets))
        scores = graph.add("MatMul", values, constant(adds))
    else:
        scores = graph.add("Add", sums, constant([ensemble.base]))
    if ensemble.scale != 1.0:
        scores = graph.add("Mul", scores, constant([ensemble.scale]))
    is_raw = (
        hasattr(estimator, "decision_function")
        and container.get_options(estimator, {"raw_scores": False})["raw_scores"]
    )
    linked = scores if is_raw else _link(ensemble, scores, graph=graph)
    if len(operator.outputs) == 1:
        give(graph, linked, variable=operator.outputs[0])
        return
    if ensemble.n_targets == 1:
        other = graph.add("Sub", constant([0.0 if is_raw else 1.0]), linked)
        linked = graph.add("Concat", other, linked, axis=1)
    give(graph, linked, variable=operator.outputs[1])
    graph.label(graph.best(linked), estimator.classes_, output=operator.outputs[0].full_name)


def _link(ensemble: _Ensemble, scores: str, *, graph: Graph) -> str:
    if ensemble.objective in _IDENTITY:
        return scores
    if ensemble.objective in _EXP:
        return graph.add("Exp", scores)
    if ensemble.objective in _SIGMOID:
        return graph.add("Sigmoid", scores)
    if ensemble.objective in _SOFTMAX:
        return graph.add("Softmax", scores, axis=1)
    raise RuntimeError(f"the objective {ensemble.objective}")


def _numbering(ensemble: _Ensemble) -> _Ensemble:
    """Return trees that return the number of their leaf, counted across all trees."""
    count, numbered = 0, []
    for tree in ensemble.trees:
        nodes = []
        for node in tree:
            nodes.append(node._replace(value=float(count)) if node.mode == "LEAF" else node)
            count += node.mode == "LEAF"
        numbered.append(nodes)
    if count > _EXACT:
        raise RuntimeError(f"more than {_EXACT} leaves")
    each = list(range(len(numbered)))
    return ensemble._replace(trees=numbered, targets=each, n_targets=len(numbered))


def _attributes(ensemble: _Ensemble) -> dict[str, Any]:
    import numpy as np
    from onnx import numpy_helper

    nodes = [(tree, place, node) for tree, members in enumerate(ensemble.trees)
             for place, node in enumerate(members)]  # fmt: skip
    leaves = [(tree, place, node) for tree, place, node in nodes if node.mode == "LEAF"]
    attributes: dict[str, Any] = {
        "n_targets": ensemble.n_targets,
        "aggregate_function": "SUM",
        "post_transform": "NONE",
        "nodes_treeids": [tree for tree, _, _ in nodes],
        "nodes_nodeids": [place for _, place, _ in nodes],
        "nodes_featureids": [node.feature for _, _, node in nodes],
        "nodes_modes": [node.mode for _, _, node in nodes],
        "nodes_truenodeids": [node.true for _, _, node in nodes],
        "nodes_falsenodeids": [node.false for _, _, node in nodes],
        "nodes_missing_value_tracks_true": [int(node.missing_true) for _, _, node in nodes],
        "target_treeids": [tree for tree, _, _ in leaves],
        "target_nodeids": [place for _, place, _ in leaves],
        "target_ids": [ensemble.targets[tree] for tree, _, _ in leaves],
    }
    numbers = {
        "nodes_values": [node.threshold for _, _, node in nodes],
        "target_weights": [node.value for _, _, node in leaves],
    }
    for name, values in numbers.items():
        if ensemble.dtype == "float64":
            array = np.array(values, dtype=np.float64)
            attributes[f"{name}_as_tensor"] = numpy_helper.from_array(array, name=name)
        else:
            attributes[name] = values
    return attributes


def _read_lightgbm(estimator: Any) -> _Ensemble:
    booster = estimator.booster_
    text = booster.model_to_string(num_iteration=booster.best_iteration)
    head, *trees = text.partition("\nend of trees")[0].split("\nTree=")
    about = _fields(head)
    objective, _, settings = about.get("objective", "").partition(" ")
    parameters = dict(word.split(":") for word in settings.split() if ":" in word)
    if "sqrt" in settings.split():
        raise RuntimeError("a square root of the target")
    parsed = [_lightgbm_tree(_fields(tree)) for tree in trees]
    scores = int(about["num_tree_per_iteration"])
    scale = 1.0
    if "average_output" in head.splitlines():  # a random forest
        scale = scores / len(parsed)
    if objective in ("binary", "multiclassova"):
        scale *= float(parameters["sigmoid"])
    categories = {node.feature for tree in parsed for node in tree if node.mode == "BRANCH_EQ"}
    return _Ensemble(
        trees=parsed,
        targets=[index % scores for index in range(len(parsed))],
        n_targets=scores,
        base=[0.0] * scores,
        objective=objective,
        scale=scale,
        dtype="float64",
        missing=float("nan"),
        categories=sorted(categories),
    )


def _fields(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def _lightgbm_tree(fields: dict[str, str]) -> list[_Node]:
    if fields.get("is_linear", "0") != "0":
        raise RuntimeError("linear trees")
    values = [float(text) for text in fields["leaf_value"].split()]
    if int(fields["num_leaves"]) == 1:
        return [_Node(value=values[0])]
    inner = len(values) - 1
    lists = {name: fields[name].split() for name in ("split_feature", "threshold", "decision_type",
                                                     "left_child", "right_child")}  # fmt: skip

    def place(child: str) -> int:
        """Return the index of a child. Leaves have negative numbers and follow the inner nodes."""
        number = int(child)
        return number if number >= 0 else inner + ~number

    nodes: list[_Node] = []
    more: list[_Node] = []
    for index in range(inner):
        feature, kind = int(lists["split_feature"][index]), int(lists["decision_type"][index])
        left, right = place(lists["left_child"][index]), place(lists["right_child"][index])
        threshold, missing = float(lists["threshold"][index]), kind >> 2 & 3
        if kind & 1:
            known = _lightgbm_categories(fields, int(threshold))
            first = inner + len(values) + len(more)
            chain = _chain(feature, known, true=left, false=right, missing_true=False, first=first)
            nodes.append(chain[0])
            more += chain[1:]
        elif missing == 1:
            raise RuntimeError("zeros that count as missing")
        else:  # a node without missing values in training treats them as 0
            to_left = bool(kind & 2) if missing == 2 else threshold >= 0.0
            nodes.append(
                _Node(
                    feature=feature,
                    mode="BRANCH_LEQ",
                    threshold=threshold,
                    true=left,
                    false=right,
                    missing_true=to_left,
                )
            )
    return [*nodes, *(_Node(value=value) for value in values), *more]


def _lightgbm_categories(fields: dict[str, str], index: int) -> list[int]:
    bounds = [int(text) for text in fields["cat_boundaries"].split()]
    words = [int(text) for text in fields["cat_threshold"].split()][
        bounds[index] : bounds[index + 1]
    ]
    return [32 * at + bit for at, word in enumerate(words) for bit in range(32) if word >> bit & 1]


def _chain(
    feature: int, categories: list[int], *, true: int, false: int, missing_true: bool, first: int
) -> list[_Node]:
    """Return a node for each category that leads to `true`; other categories lead to `false`.

    The second and later nodes have indices from `first` on.
    """
    last = len(categories) - 1
    return [
        _Node(feature=feature, mode="BRANCH_EQ", threshold=float(category), true=true,
              false=false if index == last else first + index, missing_true=missing_true)
        for index, category in enumerate(categories)
    ]  # fmt: skip


def _read_xgboost(estimator: Any) -> _Ensemble:
    import numpy as np

    booster = estimator.get_booster()
    stopped = getattr(estimator, "best_iteration", None) if _stopped_early(booster) else None
    if stopped is not None:
        booster = booster[: stopped + 1]
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    if learner["gradient_booster"]["name"] != "gbtree":
        raise RuntimeError(f"the booster {learner['gradient_booster']['name']}")
    model, about = learner["gradient_booster"]["model"], learner["learner_model_param"]
    if int(about["num_target"]) > 1:
        raise RuntimeError("several targets")
    scores = max(int(about["num_class"]), 1)
    objective = learner["objective"]["name"]
    base_score = json.loads(about["base_score"])
    base = np.array(base_score if isinstance(base_score, list) else [base_score], dtype=np.float32)
    if objective in _SIGMOID:
        base = np.log(base) - np.log1p(-base)
    elif objective in _EXP:
        base = np.log(base)
    trees = [_xgboost_tree(tree) for tree in model["trees"]]
    categories = {node.feature for tree in trees for node in tree if node.mode == "BRANCH_EQ"}
    return _Ensemble(
        trees=trees,
        targets=list(model["tree_info"]),
        n_targets=scores,
        base=np.broadcast_to(base, scores).tolist(),
        objective=objective,
        scale=1.0,
        dtype="float32",
        missing=float(estimator.missing),
        categories=sorted(categories),
    )


def _stopped_early(booster: Any) -> bool:
    return booster.attr("best_iteration") is not None


def _xgboost_tree(tree: dict[str, Any]) -> list[_Node]:
    if int(tree["tree_param"]["size_leaf_vector"]) > 1:
        raise RuntimeError("leaves of several targets")
    categories = {
        at: tree["categories"][begin : begin + size]
        for at, begin, size in zip(
            tree["categories_nodes"],
            tree["categories_segments"],
            tree["categories_sizes"],
            strict=True,
        )
    }
    nodes: list[_Node] = []
    more: list[_Node] = []
    for at, (left, right) in enumerate(
        zip(tree["left_children"], tree["right_children"], strict=True)
    ):
        threshold, feature = float(tree["split_conditions"][at]), tree["split_indices"][at]
        to_left = bool(tree["default_left"][at])
        if left == -1:
            nodes.append(_Node(value=threshold))
        elif tree["split_type"][at]:  # those that are listed go right
            first = len(tree["left_children"]) + len(more)
            chain = _chain(
                feature,
                categories[at],
                true=right,
                false=left,
                missing_true=not to_left,
                first=first,
            )
            nodes.append(chain[0])
            more += chain[1:]
        else:
            nodes.append(
                _Node(
                    feature=feature,
                    mode="BRANCH_LT",
                    threshold=threshold,
                    true=left,
                    false=right,
                    missing_true=to_left,
                )
            )
    return [*nodes, *more]
