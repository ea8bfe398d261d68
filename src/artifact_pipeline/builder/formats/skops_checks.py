"""Checks of a skops archive: of its schema before anything is created, and of the objects.

A list of types does not make a graph of objects safe. scikit-learn calls methods named in
attributes (`stack_method_`), calls attributes (`func`), opens files named in attributes or rows
(`memory`, `input="filename"`), and its compiled code trusts arrays. So there are three checks:

- `check_schema`: each node has a kind and a class on the lists here, before it is imported.
- `check_objects`: each object has one of these classes, `ATTRIBUTES` holds for attributes that are
  called, opened or delegated to, and no attribute replaces a method.
- `TYPES`: for classes with compiled code, the indices in their arrays are valid.

skops resolves a node with the `__id__` of an earlier one to the earlier object, so the schema
proves nothing about attributes: they are checked on the objects.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np
from sklearn.base import BaseEstimator
from sklearn.calibration import _CalibratedClassifier
from sklearn.gaussian_process.kernels import Kernel
from sklearn.isotonic import IsotonicRegression

from artifact_pipeline.builder.formats.skops_parts import CHECK_ARRAY, SCORE_FUNCTIONS, objects
from artifact_pipeline.builder.model.estimators import class_of
from artifact_pipeline.builder.model.parameters import FUNCTIONS
from artifact_pipeline.builder.recipe import Recipe
from artifact_pipeline.errors import Location

PROTOCOL = 2
"""The version of the schema. For other versions, skops uses older loaders."""

_NUMBERS = frozenset(
    f"numpy.{name}"
    for name in (
        *("bool", "float16", "float32", "float64", "int8", "int16", "int32", "int64"),
        *("uint8", "uint16", "uint32", "uint64"),
    )
)
_SCALARS = _NUMBERS | {"numpy.str_"}
_LOSSES = frozenset(
    (
        *(
            f"sklearn._loss._loss.Cy{name}"
            for name in (
                *("AbsoluteError", "ExponentialLoss", "HalfBinomialLoss", "HalfGammaLoss"),
                *("HalfMultinomialLoss", "HalfPoissonLoss", "HalfSquaredError", "HuberLoss"),
                *("HalfTweedieLoss", "HalfTweedieLossIdentity", "PinballLoss"),
            )
        ),
        *(
            f"sklearn.linear_model._sgd_fast.{name}"
            for name in (
                *("EpsilonInsensitive", "Hinge", "ModifiedHuber", "SquaredEpsilonInsensitive"),
                "SquaredHinge",
            )
        ),
    )
)
NODES: dict[str, frozenset[str]] = {
    "DTypeNode": frozenset({"numpy.dtype"}),
    "DictNode": frozenset({"builtins.dict", "collections.OrderedDict"}),
    "JsonNode": frozenset({"builtins.str"}),
    "ListNode": frozenset({"builtins.list"}),
    "LossNode": _LOSSES,
    "MaskedArrayNode": frozenset({"numpy.ma.MaskedArray"}),
    "NdArrayNode": _SCALARS | {"numpy.ndarray"},
    "RandomGeneratorNode": frozenset({"numpy.random._generator.Generator"}),
    "RandomStateNode": frozenset({"numpy.random.mtrand.RandomState"}),
    "SetNode": frozenset({"builtins.set"}),
    "SliceNode": frozenset({"builtins.slice"}),
    "TupleNode": frozenset({"builtins.tuple"}),
    "TypeNode": _NUMBERS,
}
"""The classes that each kind of node may create, in addition to `allowed_classes`.

Other kinds are refused: functions, methods, partials, operators, constructor calls.
"""
_BOUNDS = {int, type(None)}
_KEY_TYPES = _SCALARS | {"builtins.str", "builtins.int", "builtins.float", "builtins.bool"}
"""Types of dictionary keys. Other nodes cannot contain Python types."""

_KERNELS = frozenset(
    f"sklearn.gaussian_process.kernels.{name}"
    for name in (
        *("CompoundKernel", "ConstantKernel", "DotProduct", "ExpSineSquared", "Exponentiation"),
        *("Matern", "Product", "RBF", "RationalQuadratic", "Sum", "WhiteKernel"),
    )
)
PARTS = _KERNELS | {
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
    "sklearn._loss.link.HalfLogitLink",
    "sklearn._loss.link.IdentityLink",
    "sklearn._loss.link.Interval",
    "sklearn._loss.link.LogLink",
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.link.MultinomialLogit",
    "sklearn._loss.loss.AbsoluteError",
    "sklearn._loss.loss.ExponentialLoss",
    "sklearn._loss.loss.HalfBinomialLoss",
    "sklearn._loss.loss.HalfGammaLoss",
    "sklearn._loss.loss.HalfMultinomialLoss",
    "sklearn._loss.loss.HalfPoissonLoss",
    "sklearn._loss.loss.HalfSquaredError",
    "sklearn._loss.loss.HalfTweedieLoss",
    "sklearn._loss.loss.HalfTweedieLossIdentity",
    "sklearn._loss.loss.HuberLoss",
    "sklearn._loss.loss.PinballLoss",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    "sklearn.multiclass._ConstantPredictor",
}
"""Classes without a public name in fitted estimators."""
_EXPERIMENTAL = frozenset(
    (
        "sklearn.impute._iterative.IterativeImputer",
        "sklearn.model_selection._search_successive_halving.HalvingGridSearchCV",
        "sklearn.model_selection._search_successive_halving.HalvingRandomSearchCV",
    )
)
"""Public estimators that scikit-learn lists only after they are enabled."""
INNER = (
    "sklearn.decomposition.KernelPCA",
    "sklearn.dummy.DummyClassifier",
    "sklearn.dummy.DummyRegressor",
    "sklearn.compose.ColumnTransformer",
    "sklearn.feature_extraction.text.TfidfTransformer",
    "sklearn.impute.MissingIndicator",
    "sklearn.impute.SimpleImputer",
    "sklearn.isotonic.IsotonicRegression",
    "sklearn.linear_model.BayesianRidge",
    "sklearn.linear_model.LinearRegression",
    "sklearn.linear_model.LogisticRegression",
    "sklearn.linear_model.RidgeCV",
    "sklearn.multiclass.OneVsRestClassifier",
    "sklearn.neighbors.NearestNeighbors",
    "sklearn.pipeline.Pipeline",
    "sklearn.preprocessing.FunctionTransformer",
    "sklearn.preprocessing.KernelCenterer",
    "sklearn.preprocessing.LabelBinarizer",
    "sklearn.preprocessing.LabelEncoder",
    "sklearn.preprocessing.OneHotEncoder",
    "sklearn.preprocessing.OrdinalEncoder",
    "sklearn.preprocessing.StandardScaler",
    "sklearn.svm.LinearSVC",
    "sklearn.tree.DecisionTreeClassifier",
    "sklearn.tree.DecisionTreeRegressor",
    "sklearn.tree.ExtraTreeClassifier",
    "sklearn.tree.ExtraTreeRegressor",
)
"""Public estimators that others create, so that recipes need not name them."""


class ArchiveRefused(ValueError):
    """Raised with the reason why an archive is not opened."""


def allowed_classes(recipe: Recipe) -> frozenset[str]:
    """Return the paths of the classes that an archive of a recipe may contain.

    These are the classes that the recipe names and those that they create. The recipe of a model
    that was fitted elsewhere does not name nested estimators, so it allows all public ones.
    """
    if recipe.brought is not None:
        from skops.io import _trusted_types

        return PARTS | _EXPERIMENTAL | frozenset(_trusted_types.SKLEARN_ESTIMATOR_TYPE_NAMES)
    values = msgspec.to_builtins(recipe)
    named = [*_named([values["model"], values.get("search")]), *INNER]
    # Boosters are never in an archive, because their models need another parser.
    known = {name for name in named if name.startswith("sklearn.")}
    return PARTS | {
        _path(class_of(name, location=Location(key="recipe"), nested=True)) for name in known
    }


def check_schema(schema: bytes, allowed: frozenset[str]) -> None:
    """Check that each node of a schema has a kind in `NODES` or a class in `allowed`.

    Raises:
        ArchiveRefused: If a node has neither. Nothing is imported or created.
    """
    root = json.loads(schema)
    if not isinstance(root, dict) or root.pop("protocol", None) != PROTOCOL:
        raise ArchiveRefused(f"expected the protocol {PROTOCOL} of skops")
    waiting: list[Any] = [root]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            if not value.keys().isdisjoint(("__loader__", "__class__", "__module__")):
                _check_node(value, allowed)
                if value["__loader__"] == "DictNode":
                    value = {**value, "key_types": None}  # checked already, by other rules
            waiting += value.values()


def check_objects(estimator: Any, allowed: frozenset[str]) -> None:
    """Check that a loaded estimator contains only objects that its methods can use safely.

    Raises:
        ArchiveRefused: For an object of another class, an attribute that `ATTRIBUTES` refuses, and
            indices outside their arrays.
    """
    if not isinstance(estimator, BaseEstimator):
        raise ArchiveRefused("it is not an estimator")
    for value in list(objects(estimator)):
        if isinstance(value, IsotonicRegression):  # it is created again
            vars(value).pop("f_", None)
    for value in objects(estimator):
        path = _path(type(value))
        if path in allowed:
            _check_attributes(value, path)
            if path in TYPES:
                TYPES[path](value)
        elif isinstance(value, type):
            if _path(value) not in _NUMBERS:
                raise ArchiveRefused(f"it contains the class {_path(value)[:80]!a}")
        elif not isinstance(value, np.dtype) and type(value) not in _PLAIN and path not in _BUILT:
            raise ArchiveRefused(f"it contains an object of the class {path[:80]!a}")


def _named(value: Any) -> Iterator[str]:
    """Yield the names of estimators at any depth in the parameters of a model."""
    if isinstance(value, dict):
        if isinstance(value.get("estimator"), str) and value["estimator"] != "passthrough":
            yield value["estimator"]
        for inner in value.values():
            yield from _named(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _named(inner)


def _path(cls: type[Any]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _check_node(node: dict[str, Any], allowed: frozenset[str]) -> None:
    kind, module, name = (node.get(key) for key in ("__loader__", "__module__", "__class__"))
    path = f"{module}.{name}"
    if not isinstance(kind, str) or not (isinstance(module, str) and isinstance(name, str)):
        raise ArchiveRefused("a node of its schema has no kind or class")
    if path not in (allowed if kind == "ObjectNode" else NODES.get(kind, ())):
        raise ArchiveRefused(
            f"no estimator of its recipe contains {path[:80]!a} (as {kind[:30]!a})"
        )
    if kind == "JsonNode" and isinstance(json.loads(node["content"]), (list, dict)):
        raise ArchiveRefused("a plain value of its schema is a list or an object")
    if kind == "SliceNode" and not {type(bound) for bound in node["content"].values()} <= _BOUNDS:
        raise ArchiveRefused("a slice of its schema is not one of numbers")
    if kind == "DictNode":
        types = node["key_types"]
        _check_node(types, allowed)
        for key in types["content"]:
            path = f"{key['__module__']}.{key['__class__']}"
            if key["__loader__"] != "TypeNode" or path not in _KEY_TYPES or len(key) > 4:
                raise ArchiveRefused("the keys of a dictionary are of another type")


def _check_attributes(part: Any, path: str) -> None:
    """Refuse attributes that would make methods of an object call functions or open files.

    An attribute with the name of a method would be called in its place.
    """
    cls = type(part)
    for name, value in vars(part).items():
        if name.startswith("__") or callable(getattr(cls, name, None)):
            raise ArchiveRefused(
                f"{cls.__name__} has the attribute {name[:60]!a}, the name of a method"
            )
        if isinstance(value, type) and "dtype" not in name:
            raise ArchiveRefused(f"{cls.__name__}.{name[:60]} is a class")
        if isinstance(value, Kernel) and name not in _KERNEL_ATTRIBUTES:
            raise ArchiveRefused(f"{cls.__name__}.{name[:60]} is a kernel")
        check = ATTRIBUTES.get(name)
        if check is not None and not check(value):
            raise ArchiveRefused(
                f"{cls.__name__}.{name} contains a value that its methods must not use"
            )


def _is_estimator_or_none(value: Any) -> bool:
    return value is None or isinstance(value, BaseEstimator)


def _are_estimators(value: Any) -> bool:
    """Return whether a value contains only estimators, names, and columns by name or number."""
    waiting, seen = [value], dict[int, Any]()
    while waiting:
        item = waiting.pop()
        if id(item) in seen:  # shared parts would take exponential time
            continue
        seen[id(item)] = item
        if isinstance(item, dict):
            waiting += item.values()
        elif isinstance(item, (list, tuple)):
            waiting += item
        elif isinstance(item, np.ndarray):
            if item.dtype.kind == "O":
                waiting += item.ravel().tolist()
            elif item.dtype.kind not in "biuU":
                return False
        elif not isinstance(item, (BaseEstimator, _CalibratedClassifier)) and not (
            item is None or type(item) in (str, int, bool, slice)
        ):
            return False
    return True


def _is_method(value: Any) -> bool:
    """Return whether a value is the name of a method that predicts, or a list of such names."""
    names = value if isinstance(value, (list, tuple)) else [value]
    return all(name is None or (isinstance(name, str) and name in METHODS) for name in names)


def _is_attribute_path(value: Any) -> bool:
    return isinstance(value, str) and bool(_ATTRIBUTE_PATH.fullmatch(value))


def _one_of(*known: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and value in known


def _one_of_or_none(*known: str) -> Callable[[Any], bool]:
    return lambda value: value is None or (isinstance(value, str) and value in known)


def _is_none(value: Any) -> bool:
    return value is None


_ATTRIBUTE_PATH = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)*")
_KERNEL_ATTRIBUTES = ("kernel", "kernel_", "k1", "k2", "kernels")
METHODS = frozenset(
    ("auto", "predict", "predict_proba", "predict_log_proba", "decision_function", "transform")
)
"""The methods that an attribute may name."""
ATTRIBUTES: dict[str, Callable[[Any], bool]] = {
    # Names of methods that are called on inner estimators.
    "chain_method": _is_method,
    "chain_method_": _is_method,
    "importance_getter": _is_attribute_path,
    "response_method": _is_method,
    "stack_method": _is_method,
    "stack_method_": _is_method,
    # Functions. None can be in an archive, so these are names of scikit-learn's.
    "analyzer": _one_of("word", "char", "char_wb"),
    "func": _one_of_or_none(*FUNCTIONS, CHECK_ARRAY),
    "inverse_func": _one_of_or_none(*FUNCTIONS),
    "score_func": _one_of(*SCORE_FUNCTIONS),
    "preprocessor": _is_none,
    "tokenizer": _is_none,
    # Files.
    "input": _one_of("content"),
    "memory": _is_none,
    # Inner estimators, any method of which can be called.
    **dict.fromkeys(
        (
            *("base_estimator", "base_estimator_", "best_estimator_", "classifier", "estimator"),
            *("estimator_", "final_estimator", "final_estimator_", "imputer_", "init_"),
            *("initial_imputer_", "label_binarizer_", "le_", "nbrs_", "regressor"),
            *("regressor_", "transformer_", "_bin_mapper", "_centerer", "_encoder"),
            *("_knn", "_label_binarizer", "_label_encoder", "_le", "_preprocessor", "_scaler"),
        ),
        _is_estimator_or_none,
    ),
    **dict.fromkeys(
        (
            *("calibrated_classifiers_", "estimators", "estimators_", "named_estimators_"),
            *("steps", "transformer", "transformer_list", "transformers", "transformers_"),
        ),
        _are_estimators,
    ),
}
"""Checks of attributes by name, for every class. Other attributes may have any object that an
archive can contain: none of these is a function, and only kernels can be called."""


def _check_trees(model: Any) -> None:
    """Refuse trees that lead out of their nodes: compiled code follows them without a check."""
    for trees in getattr(model, "_predictors", ()):  # absent before it is fitted
        for tree in trees:
            _check_tree(tree, model.n_features_in_)


def _check_tree(tree: Any, n_features: int) -> None:
    nodes, places = tree.nodes, np.arange(len(tree.nodes))
    inner = nodes[nodes["is_leaf"] == 0]
    here = places[nodes["is_leaf"] == 0]
    bits = len(tree.raw_left_cat_bitsets)
    inside = (
        len(nodes) > 0
        and (inner["left"] > here).all()
        and (inner["right"] > here).all()
        and (inner["left"] < len(nodes)).all()
        and (inner["right"] < len(nodes)).all()
        and (inner["feature_idx"] >= 0).all()
        and (inner["feature_idx"] < n_features).all()
        and (inner["bitset_idx"][inner["is_categorical"] != 0] < bits).all()
        and tree.raw_left_cat_bitsets.shape[1:] == (8,)
    )
    if not inside:
        raise ArchiveRefused("a tree leads out of its nodes")


_BOOSTING = "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoosting"
TYPES: dict[str, Callable[[Any], None]] = {
    f"{_BOOSTING}Classifier": _check_trees,
    f"{_BOOSTING}Regressor": _check_trees,
}
"""Checks, by class, of the arrays that its compiled code indexes."""

_PLAIN = (str, int, float, bool, type(None), list, tuple, set, dict, slice, np.ndarray)
_BUILT = frozenset().union(
    *(NODES[kind] for kind in NODES if kind not in ("JsonNode", "TypeNode"))
) | {"numpy.dtypes"}
