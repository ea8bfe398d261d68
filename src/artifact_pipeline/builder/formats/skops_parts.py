"""Conversion of estimators to plain data and back, for parts that skops cannot store safely.

A compiled tree trusts its arrays, a function runs, and a spline calls its attributes. `plain`
replaces them by arrays, numbers and names before an archive is written. `restored` checks that
compiled code will stay within its arrays, and creates them again. Attributes that only fitting
needs are left out.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.isotonic import IsotonicRegression

from artifact_pipeline.builder.model.parameters import FUNCTION_PARAMETERS, FUNCTIONS

SCORE_FUNCTIONS = frozenset(
    f"sklearn.feature_selection.{name}"
    for name in ("chi2", "f_classif", "f_regression", "mutual_info_classif",
                 "mutual_info_regression", "r_regression")
)  # fmt: skip
CHECK_ARRAY = "check_array"
"""The function that HistGradientBoosting applies to columns without categories."""
_ONLY_FIT = ("named_estimators_", "scorer_", "_checked_cv_orig", "_optimizer")
"""Attributes that predictions do not read: aliases of estimators, functions, state of a fit."""


class Unsafe(ValueError):
    """Raised with the reason why a part is not restored."""


def plain(estimator: Any) -> Any:
    """Return a copy of a fitted estimator with plain data in place of unsafe parts."""
    copied = copy.deepcopy(estimator)
    for part in objects(copied):
        if isinstance(part, BaseEstimator):
            for name in _ONLY_FIT:
                vars(part).pop(name, None)
            for name, value in vars(part).items():
                vars(part)[name] = _plain(name, value)
    return copied


def restored(estimator: Any) -> None:
    """Create the parts of a loaded estimator again, in place.

    Raises:
        Unsafe: For indices outside their arrays, and unknown names.
    """
    for part in list(objects(estimator)):
        if isinstance(part, BaseEstimator):
            for name, value in vars(part).items():
                vars(part)[name] = _restored(part, name, value=value)
    for part in objects(estimator):
        if isinstance(part, BaseEstimator):
            _check_ensemble(part)
        if isinstance(part, IsotonicRegression) and hasattr(part, "X_thresholds_"):
            part._build_f(part.X_thresholds_, part.y_thresholds_)


def objects(root: Any) -> Iterator[Any]:
    """Yield an object and all objects in it, each once."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        yield value
        if isinstance(value, dict):
            waiting += [*value.keys(), *value.values()]
        elif isinstance(value, (list, tuple, set)):
            waiting += value
        elif isinstance(value, np.ndarray):
            waiting += value.ravel().tolist() if value.dtype.kind == "O" else ()
        elif isinstance(getattr(value, "__dict__", None), dict) and not isinstance(value, type):
            waiting += vars(value).values()


def _plain(name: str, value: Any) -> Any:
    from scipy.interpolate import BSpline
    from sklearn.neighbors import BallTree, KDTree
    from sklearn.tree._tree import Tree

    if isinstance(value, Tree):
        state = value.__getstate__()
        # The padding between the fields of a node is not initialized.
        nodes = state["nodes"].astype(_packed(state["nodes"].dtype))
        return {"nodes": nodes, "values": state["values"]}
    if isinstance(value, (BallTree, KDTree)):  # built again from its rows
        return "ball_tree" if isinstance(value, BallTree) else "kd_tree"
    if name == "bsplines_":
        splines: list[BSpline] = value
        return [{"t": spline.t, "c": spline.c, "k": spline.k, "extrapolate": spline.extrapolate}
                for spline in splines]  # fmt: skip
    if name == "imputation_sequence_":
        return [tuple(triplet) for triplet in value]
    if name == "_curve_scorer":  # created again from its parameter
        return None
    if name in FUNCTION_PARAMETERS and value is not None:
        return _name_of(value)
    if name == "score_func" and callable(value):
        return f"sklearn.feature_selection.{value.__name__}"
    return value


def _packed(dtype: Any) -> Any:
    return np.dtype([(name, dtype[name]) for name in dtype.names])


def _name_of(function: Any) -> Any:
    """Return the name of a function that `restored` can create, or the function itself."""
    from sklearn.utils import check_array

    if isinstance(function, np.ufunc):
        for module in ("numpy", "scipy.special"):
            name = f"{module}.{function.__name__}"
            if name in FUNCTIONS and _named(name) is function:
                return name
    if isinstance(function, partial) and function.func is check_array:
        return CHECK_ARRAY
    return function


def _named(name: str) -> Any:
    module, _, function = name.rpartition(".")
    return getattr(importlib.import_module(module), function)


def _restored(part: Any, name: str, *, value: Any) -> Any:
    from scipy.interpolate import BSpline
    from sklearn.impute import _iterative

    if name == "tree_":
        return _tree(part, value)
    if name == "_tree" and value is not None:
        return _neighbours_tree(part, value)
    if name == "bsplines_":
        return [BSpline(data["t"], data["c"], data["k"], data["extrapolate"]) for data in value]
    if name == "imputation_sequence_":
        return [_iterative._ImputerTriplet(*triplet) for triplet in value]
    if name == "_curve_scorer":
        return _curve_scorer(part)
    if name in FUNCTION_PARAMETERS and value is not None:
        return _function(value)
    if name == "score_func":
        if value not in SCORE_FUNCTIONS:
            raise Unsafe("it names a function that is not for feature selection")
        return _named(value)
    if name == "f_":
        raise Unsafe("it contains a function of its own")
    return value


def _function(name: Any) -> Any:
    from sklearn.ensemble._hist_gradient_boosting.common import X_DTYPE
    from sklearn.utils import check_array

    if name == CHECK_ARRAY:
        return partial(check_array, dtype=[X_DTYPE], ensure_all_finite=False)
    if name not in FUNCTIONS:
        raise Unsafe("it names a function that configs may not name")
    return _named(name)


def _curve_scorer(part: Any) -> Any:
    """Return the scorer that decides which of two labels is the positive one, as fit creates it."""
    from sklearn.metrics import check_scoring
    from sklearn.metrics._scorer import _CurveScorer

    scorer = check_scoring(part.estimator_, scoring=part.scoring)
    return _CurveScorer.from_scorer(scorer, part._get_response_method(), part.thresholds)


def _neighbours_tree(part: Any, kind: Any) -> Any:
    """Return the search tree of a neighbors estimator, built as fit does, so that ties agree."""
    from sklearn.neighbors import BallTree, KDTree

    kinds = {"ball_tree": BallTree, "kd_tree": KDTree}
    if not isinstance(kind, str) or kind not in kinds or not isinstance(part._fit_X, np.ndarray):
        raise Unsafe("its search tree is of an unknown kind")
    params = part.effective_metric_params_ or {}
    return kinds[kind](part._fit_X, part.leaf_size, metric=part.effective_metric_, **params)


def _tree(part: Any, arrays: Any) -> Any:
    """Return a compiled tree from checked arrays."""
    from sklearn.base import is_classifier
    from sklearn.tree._tree import NODE_DTYPE, Tree

    nodes, values = arrays["nodes"], arrays["values"]
    classes = len(part.classes_) if is_classifier(part) else 1
    if (
        not isinstance(nodes, np.ndarray)
        or nodes.dtype != _packed(np.dtype(NODE_DTYPE))
        or nodes.ndim != 1
        or not isinstance(values, np.ndarray)
        or values.dtype != np.float64
        or values.shape != (len(nodes), 1, classes)
    ):
        raise Unsafe("the arrays of a tree have the wrong type or shape")
    depth = _depth(nodes, part.n_features_in_)
    tree = Tree(part.n_features_in_, np.array([classes], dtype=np.intp), 1)
    tree.__setstate__(
        {
            "max_depth": depth,
            "node_count": len(nodes),
            "nodes": nodes.astype(NODE_DTYPE),
            "values": np.ascontiguousarray(values),
        }
    )
    return tree


def _depth(nodes: NDArray[Any], n_features: int) -> int:
    """Return the depth of a tree, after a check that it reaches each of its nodes once."""
    here = np.flatnonzero(nodes["left_child"] != -1)
    inner = nodes[here]
    children = np.concatenate([inner["left_child"], inner["right_child"]])
    inside = (
        len(nodes) > 0
        and (inner["left_child"] > here).all()
        and (inner["right_child"] > here).all()
        and (children < len(nodes)).all()
        and len(np.unique(children)) == len(children) == len(nodes) - 1
        and (inner["feature"] >= 0).all()
        and (inner["feature"] < n_features).all()
    )
    if not inside:
        raise Unsafe("a tree leads out of its nodes")
    depth, level = 0, nodes[:1]
    while len(level := level[level["left_child"] != -1]):
        level = nodes[np.concatenate([level["left_child"], level["right_child"]])]
        depth += 1
    return depth


def _check_ensemble(part: Any) -> None:
    """Refuse an ensemble whose compiled code would read beyond rows or results.

    scikit-learn does not check the number of features of each tree of an ensemble.
    """
    from sklearn.ensemble._forest import BaseForest
    from sklearn.ensemble._gb import BaseGradientBoosting

    if not isinstance(part, (BaseForest, BaseGradientBoosting)) or not hasattr(part, "estimators_"):
        return
    trees = np.asarray(part.estimators_, dtype=object)
    if any(tree.n_features_in_ != part.n_features_in_ for tree in trees.ravel().tolist()):
        raise Unsafe("its trees take another number of features than it does")
    if isinstance(part, BaseForest):
        return
    classes = len(getattr(part, "classes_", ()))
    columns = 1 if classes <= 2 else classes
    if trees.ndim != 2 or trees.shape[1] != columns or part.n_trees_per_iteration_ != columns:
        raise Unsafe("it has another number of trees than of classes")
    first = getattr(part.init_, "class_prior_", None)
    known = getattr(part.init_, "classes_", None)
    if columns > 1 and part.init_ != "zero" and any(
        values is not None and len(values) != columns for values in (first, known)
    ):  # fmt: skip
        raise Unsafe("its initial estimator has another number of classes")
