"""Replacements for skl2onnx converters that fail, or whose graphs compute something else.

- Trees and support vector machines compute in float32 in onnxruntime, and scikit-learn's trees
  compare float32 inputs with thresholds. So a float64 graph casts their inputs, and uses the
  thresholds that skl2onnx rounds towards minus infinity for float32. Otherwise a scaler before a
  forest moves rows to other leaves.
- The attributes of HistGradientBoosting are numpy scalars, which onnx refuses
  (skl2onnx 1.20 with onnx 1.23).
- onnxruntime has no Imputer in float64.
- LinearSVC after another step gets an option that it does not support (skl2onnx 1.20).
- Joined columns get the widest of their types, not the type of the first.
- skl2onnx refuses VotingClassifier with flatten_transform, which does not affect predictions.
- SimpleImputer accepts text only if a text marks missing values.
- The tokenizer of CountVectorizer and TfidfVectorizer splits at letters beyond ASCII, and keeps
  words of one letter.
- skl2onnx groups infrequent categories only in columns that are separate inputs, refuses unknown
  ones there, and encodes by the target in float32 and for two classes only.
- Vectorizers of letters, of n-grams with stop words, and with most token patterns find other
  features than scikit-learn. They are refused, because labels may not reveal it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

from artifact_pipeline.builder.formats import (
    onnx_encoders,
    onnx_forests,
    onnx_graph,
    onnx_linear,
    onnx_words,
)

TREES_AND_KERNELS = (*onnx_forests.FORESTS, *onnx_forests.BOOSTED, "SVC", "SVR")
Convert = Callable[[Any, Any, Any], None]

_PATTERN = r"(?u)\b\w\w+\b"
"""The default of scikit-learn."""
_PLAIN_PATTERN = re.compile(r"\[[^\s\\\[\]^]+\]\+")
"""A set of characters: RE2 limits escapes to ASCII, and prefers the longest alternative."""
_WORDS = {"tokenexp": rb"[\pL\pN_]+", "mincharnum": 2}
_ASCII = b"[a-zA-Z0-9_]+"
_LOCALE = "C.UTF-8"
"""A locale that every system has."""


class _Float32:
    """An operator with other variables in place of its own."""

    def __init__(self, operator: Any, inputs: list[Any], *, outputs: list[Any]) -> None:
        self._operator, self.inputs, self.outputs = operator, inputs, outputs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._operator, name)

    @property
    def input_full_names(self) -> list[str]:
        return [variable.full_name for variable in self.inputs]

    @property
    def output_full_names(self) -> list[str]:
        return [variable.full_name for variable in self.outputs]


class _Plain:
    """A container that converts attributes of nodes to Python's numbers."""

    def __init__(self, container: Any) -> None:
        self._container = container

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def add_node(self, *words: Any, **attributes: Any) -> Any:
        return self._container.add_node(*words, **{k: _plain(v) for k, v in attributes.items()})


@cache
def register() -> None:
    """Replace converters of skl2onnx."""
    from skl2onnx.common._registration import (
        get_converter,
        get_shape_calculator,
        register_converter,
        register_shape_calculator,
    )

    def replace(name: str, replacement: Callable[[Convert, Any, Any, Any], None]) -> None:
        before = get_converter(f"Sklearn{name}")

        def convert(scope: Any, operator: Any, container: Any) -> None:
            replacement(before._fct, scope, operator, container)

        register_converter(
            f"Sklearn{name}", convert, overwrite=True, options=before.get_allowed_options()
        )

    for name in TREES_AND_KERNELS:
        replace(name, _in_float32)
    own = dict.fromkeys(onnx_forests.FORESTS, onnx_forests.forest)
    own |= dict.fromkeys(onnx_forests.BOOSTED, onnx_forests.boosted) | dict.fromkeys(
        onnx_linear.LINEAR, onnx_linear.linear
    )
    own["Binarizer"] = onnx_encoders.binarize
    own["TfidfVectorizer"] = onnx_words.tfidf_vectorizer
    own["TfidfTransformer"] = onnx_words.tfidf_transformer
    for name, convert in own.items():
        replace(name, _where_wide(convert))
        _give_wide(name)
    encoders: dict[str, Callable[..., None]] = {
        "OneHotEncoder": onnx_encoders.one_hot,
        "OrdinalEncoder": onnx_encoders.ordinal,
        "CountVectorizer": _as_before,
    }
    _give_wide("TargetEncoder")
    for name, encode in encoders.items():
        replace(name, _encoding(encode))
        _give_wide(name)
    replace("OneHotEncoder", _group_texts)
    replace("TargetEncoder", _encode_texts)
    for name in ("OneHotEncoder", "TargetEncoder"):
        _give_width(name)
    replace("CountVectorizer", _find_words)
    replace("SimpleImputer", _impute)
    replace("VotingClassifier", _vote)
    # In a Pipeline skl2onnx sets an option that it does not allow for LinearSVC.
    svc = get_converter("SklearnLinearSVC")
    options = {**(svc.get_allowed_options() or {}), "zipmap": [True, False, "columns"]}
    register_converter("SklearnLinearSVC", svc._fct, overwrite=True, options=options)
    shape = get_shape_calculator("SklearnConcat")

    def widest(operator: Any) -> None:
        shape(operator)
        _widen(operator)

    register_shape_calculator("SklearnConcat", widest, overwrite=True)


_wide = False
"""Whether the current conversion is in float64."""


@contextmanager
def precision(dtype: str) -> Iterator[None]:
    """Set the precision of the conversions in a block."""
    global _wide
    _wide = dtype == "float64"
    try:
        yield
    finally:
        _wide = False


def _where_wide(convert: Convert) -> Callable[[Convert, Any, Any, Any], None]:
    """Return a converter that replaces skl2onnx's in float64 for labels and probabilities.

    Other outputs are left to skl2onnx.
    """

    def chosen(before: Convert, scope: Any, operator: Any, container: Any) -> None:
        options = container.get_options(operator.raw_operator, fail=False) or {}
        more = any(options.get(name) for name in ("raw_scores", "decision_path", "decision_leaf"))
        (before if more or not _wide else convert)(*(scope, operator, container))

    return chosen


def _encoding(
    encode: Callable[..., None],
) -> Callable[[Convert, Any, Any, Any], None]:
    """Return a converter of an encoder that declares its output in float64 in a float64 graph."""

    def chosen(before: Convert, scope: Any, operator: Any, container: Any) -> None:
        if _wide:
            encode(partial(_cast_outputs, before), scope, operator, container)
        else:
            before(scope, operator, container)

    return chosen


def _as_before(convert: Convert, scope: Any, operator: Any, container: Any) -> None:
    convert(scope, operator, container)


def _cast_outputs(convert: Convert, scope: Any, operator: Any, container: Any) -> None:
    """Convert with an output in float32, and cast it to the declared type."""
    from onnx import TensorProto
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    [output] = operator.outputs
    if not isinstance(output.type, DoubleTensorType):
        convert(scope, operator, container)
        return
    narrow = scope.declare_local_variable("narrow", FloatTensorType(output.type.shape))
    convert(scope, _Float32(operator, list(operator.inputs), outputs=[narrow]), container)
    name = scope.get_unique_operator_name("Cast")
    container.add_node(
        "Cast", [narrow.full_name], [output.full_name], to=TensorProto.DOUBLE, name=name
    )


def _give_wide(name: str) -> None:
    """Declare the outputs of an estimator in float64 in a float64 graph."""
    from skl2onnx.common._registration import get_shape_calculator, register_shape_calculator
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    before = get_shape_calculator(f"Sklearn{name}")

    def widened(operator: Any) -> None:
        before(operator)
        for output in operator.outputs if _wide else ():
            if isinstance(output.type, FloatTensorType):
                output.type = DoubleTensorType(output.type.shape)

    register_shape_calculator(f"Sklearn{name}", widened, overwrite=True)


def _give_width(name: str) -> None:
    """Declare the actual number of features of an encoder."""
    from skl2onnx.common._registration import get_shape_calculator, register_shape_calculator

    before = get_shape_calculator(f"Sklearn{name}")

    def counted(operator: Any) -> None:
        before(operator)
        output, encoder = operator.outputs[0], operator.raw_operator
        width = len(encoder.get_feature_names_out())
        output.type = type(output.type)([output.type.shape[0], width])

    register_shape_calculator(f"Sklearn{name}", counted, overwrite=True)


def correct(graph: Any) -> None:
    """Set the word patterns, the locale and the operator version that a graph needs, in place."""
    from onnx import helper

    if any(node.op_type == "TreeEnsemble" for node in graph.graph.node):
        for opset in graph.opset_import:
            if opset.domain == onnx_graph.ML:
                opset.version = onnx_graph.ML_VERSION
    for node in graph.graph.node:
        if node.op_type == "StringNormalizer":
            kept = [attribute for attribute in node.attribute if attribute.name != "locale"]
            del node.attribute[:]
            node.attribute.extend([*kept, helper.make_attribute("locale", _LOCALE)])
        if node.op_type == "Tokenizer":
            attributes = {attribute.name: attribute for attribute in node.attribute}
            if "tokenexp" in attributes and attributes["tokenexp"].s == _ASCII:
                attributes["tokenexp"].s = _WORDS["tokenexp"]
                attributes["mincharnum"].i = _WORDS["mincharnum"]


def _in_float32(convert: Convert, scope: Any, operator: Any, container: Any) -> None:
    from onnx import TensorProto
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    plain = _Plain(container)
    [wide] = operator.inputs
    if not isinstance(wide.type, DoubleTensorType):
        convert(scope, operator, plain)
        return

    def cast(source: Any, target: Any, *, to: int) -> None:
        name = scope.get_unique_operator_name("Cast")
        plain.add_node("Cast", [source.full_name], [target.full_name], to=to, name=name)

    def narrow(variable: Any) -> Any:
        if not isinstance(variable.type, DoubleTensorType):
            return variable
        return scope.declare_local_variable("narrow", FloatTensorType(variable.type.shape))

    inward, outward = narrow(wide), [narrow(variable) for variable in operator.outputs]
    cast(wide, inward, to=TensorProto.FLOAT)
    convert(scope, _Float32(operator, [inward], outputs=outward), plain)
    for source, variable in zip(outward, operator.outputs, strict=True):
        if source is not variable:
            cast(source, variable, to=TensorProto.DOUBLE)


def _impute(convert: Convert, scope: Any, operator: Any, container: Any) -> None:
    import numpy as np
    from onnx import TensorProto
    from skl2onnx.common.data_types import DoubleTensorType, StringTensorType

    imputer, inputs = operator.raw_operator, operator.inputs
    if imputer.add_indicator:
        raise RuntimeError("an imputer with an indicator of missing values")
    if isinstance(inputs[0].type, StringTensorType) and not isinstance(imputer.missing_values, str):
        # A text is never NaN, so none is filled: a missing text reaches the estimator as a text.
        names = [variable.full_name for variable in inputs]
        name = scope.get_unique_operator_name("Concat")
        container.add_node("Concat", names, [operator.outputs[0].full_name], axis=1, name=name)
        return
    if not isinstance(inputs[0].type, DoubleTensorType):
        convert(scope, operator, container)
        return
    fill = np.asarray(imputer.statistics_, dtype=np.float64)
    missing = imputer.missing_values
    if len(inputs) > 1 or missing == missing or np.isnan(fill).any():
        raise RuntimeError("an imputer of other values than NaN")
    values, mask = (scope.get_unique_variable_name(name) for name in ("fill", "missing"))
    container.add_initializer(values, TensorProto.DOUBLE, [1, len(fill)], fill.tolist())
    source, target = inputs[0].full_name, operator.outputs[0].full_name
    for kind, words, out in (("IsNaN", [source], mask), ("Where", [mask, values, source], target)):
        name = scope.get_unique_operator_name(kind)
        container.add_node(kind, words, [out], name=name)


def _takes_texts(operator: Any) -> bool:
    from skl2onnx.common.data_types import StringTensorType

    return all(isinstance(variable.type, StringTensorType) for variable in operator.inputs)


def _group_texts(convert: Convert, scope: Any, operator: Any, container: Any) -> None:
    groups = operator.raw_operator._infrequent_enabled
    if groups and _takes_texts(operator):
        onnx_encoders.grouped_one_hot(scope, operator, container)
    else:
        convert(scope, operator, container)


def _encode_texts(convert: Convert, scope: Any, operator: Any, container: Any) -> None:
    if not _takes_texts(operator):
        raise RuntimeError("an encoder by the target of other columns than text")
    onnx_encoders.target_encoder(scope, operator, container)


def _find_words(convert: Convert, scope: Any, operator: Any, container: Any) -> None:
    """Convert a vectorizer whose words a graph can find as scikit-learn does."""
    model = operator.raw_operator
    if model.analyzer != "word":
        raise RuntimeError("a vectorizer of letters, whose white space would be kept")
    if model.stop_words is not None and model.ngram_range[1] > 1:
        raise RuntimeError("a vectorizer of n-grams, which its stop words would separate")
    if model.token_pattern != _PATTERN and not _PLAIN_PATTERN.fullmatch(model.token_pattern):
        raise RuntimeError("a vectorizer with a token_pattern that RE2 may interpret differently")
    convert(scope, operator, container)


def _vote(convert: Convert, scope: Any, operator: Any, container: Any) -> None:
    import copy

    import numpy as np

    voter = copy.copy(operator.raw_operator)
    voter.flatten_transform = False  # affects transform, not predict
    if voter.weights is not None:  # includes the weights of dropped estimators
        voter.weights = np.asarray(voter._weights_not_none, dtype=np.float64)
    operator.raw_operator = voter
    convert(scope, operator, container)


def _widen(operator: Any) -> None:
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType

    order = (Int64TensorType, FloatTensorType, DoubleTensorType)
    kinds = [type(variable.type) for variable in operator.inputs]
    if all(kind in order for kind in kinds):
        output = operator.outputs[0]
        output.type = max(kinds, key=order.index)(output.type.shape)


def _plain(value: Any) -> Any:
    """Return an attribute in the types that onnx accepts."""
    import numpy as np

    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list):
        return [int(item) if isinstance(item, bool | np.bool_) else _plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value
