"""Converters that compute as scikit-learn does, where those of skl2onnx approximate it.

- **Trees** compare and add in float64, in scikit-learn's order, so that a tie of an even number of
  trees stays a tie; missing values go the way the tree learned. scikit-learn's trees compare
  float32 inputs with float64 thresholds, HistGradientBoosting compares float64 inputs.
- **Linear classifiers** derive labels from the decision function, as scikit-learn does, not from
  probabilities, which are equal where they saturate.
- **Encoders** of numbers compare them, where skl2onnx would cast 1.5 to 1.
- **Encoders** of text group infrequent categories, and encode by the target in float64.
- **Binarizer** compares with `>`, where skl2onnx takes a number at the threshold for a greater one.
- **Words** are weighted in float64: a float32 may be on the other side of a tree's threshold.

Format: the operator TreeEnsemble of ai.onnx.ml, version 5. Its leaves have one value each, so each
tree returns the number of its leaf, and the values are gathered from a table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

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
LINEAR = ("LinearClassifier", "LinearSVC", "SGDClassifier")
"""Names of converters in skl2onnx; the first and the last serve several estimators."""
ML, ML_VERSION = "ai.onnx.ml", 5
"""The domain of the operator, and the version that introduced it."""


class Tree(NamedTuple):
    """The nodes of a tree, (n_nodes,) each; a leaf has no left child."""

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    missing_left: NDArray[np.bool_]
    values: NDArray[np.float64]
    """(n_nodes, n_values)."""


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
        """Add a constant of float64, int64 or text, and return its name."""
        import numpy as np
        from onnx import TensorProto

        array = np.asarray(values)
        kind = TensorProto.DOUBLE if array.dtype.kind == "f" else TensorProto.INT64
        data = array.ravel().tolist()
        if array.dtype.kind in "OU":
            kind, data = TensorProto.STRING, [str(one).encode() for one in data]
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
        """Add the number of the first of the greatest scores, (n_rows,)."""
        return self.add("ArgMax", scores, axis=1, keepdims=0)

    def ensemble(self, X: str, trees: Sequence[Tree]) -> str:
        """Add trees, and return the values of each for each row, (n_rows, n_trees, n_values)."""
        import numpy as np

        leaves = [np.flatnonzero(tree.left < 0) for tree in trees]
        table = np.concatenate([tree.values[one] for tree, one in zip(trees, leaves, strict=True)])
        numbers = self.add(
            "TreeEnsemble",
            X,
            op_domain=ML,
            op_version=1,  # skl2onnx knows no later one; `onnx_converters.correct` sets it
            n_targets=len(trees),
            aggregate_function=1,
            post_transform=0,
            **_attributes(trees, leaves),
        )
        return self.add("Gather", self.constant(table), self.cast(numbers, "int64"), axis=0)

    def total(self, values: str, first: NDArray[np.float64] | None = None) -> str:
        """Add the sum of (n_rows, n_trees, n_values) over the trees, in their order."""
        import numpy as np

        axis = self.constant(np.array(1))
        running = self.add("CumSum", values, axis)
        if first is not None:
            # The sum starts with the values that precede all trees.
            rows = self.add("Shape", values)
            count = self.add("Gather", rows, self.constant(np.array([0])), axis=0)
            width = self.constant(np.array([1, len(first)]))
            shape = self.add("Concat", count, width, axis=0)
            start = self.add("Expand", self.constant(first.reshape(1, 1, -1)), shape)
            running = self.add("CumSum", self.add("Concat", start, values, axis=1), axis)
        return self.add("Gather", running, self.constant(np.array(-1)), axis=1)


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


def _wide(graph: Graph, operator: Any, *, through_float32: bool = False) -> str:
    """Return the input of an operator in float64, if requested rounded to float32 first."""
    if len(operator.inputs) != 1:
        raise RuntimeError("more than one input")
    source = operator.inputs[0].full_name
    if through_float32:
        source = graph.cast(source, "float32")
    return graph.cast(source, "float64")


def _give(graph: Graph, value: str, *, variable: Any) -> None:
    """Make a value an output, in the declared precision."""
    from skl2onnx.common.data_types import FloatTensorType

    narrow = isinstance(variable.type, FloatTensorType)
    graph.cast(value, "float32" if narrow else "float64", output=variable.full_name)


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
    trees = [_own(one.tree_) for one in (model.estimators_ if several else [model])]
    X = _wide(graph, operator, through_float32=True)
    total = graph.total(graph.ensemble(X, trees))
    if several:
        total = graph.add("Div", total, graph.constant(np.array(float(len(trees)))))
    if not is_classifier(model):
        _give(graph, total, variable=operator.outputs[0])
        return
    graph.label(graph.best(total), model.classes_, output=operator.outputs[0].full_name)
    _give(graph, total, variable=operator.outputs[1])


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
        rounds = [[_binned(one) for one in some] for some in model._predictors]
        first = np.asarray(model._baseline_prediction, dtype=np.float64).ravel()
        X = _wide(graph, operator)
    else:
        if type(model.init_).__name__ not in ("str", "DummyClassifier", "DummyRegressor"):
            raise RuntimeError("boosted trees that start with an estimator")
        rounds = []
        for some in model.estimators_:
            own = [_own(one.tree_) for one in some]
            rounds.append([one._replace(values=model.learning_rate * one.values) for one in own])
        zeros = np.zeros((1, model.n_features_in_), dtype=np.float32)
        first = np.asarray(model._raw_predict_init(zeros), dtype=np.float64).ravel()
        X = _wide(graph, operator, through_float32=True)
    width = len(rounds[0])
    values = graph.ensemble(X, [tree for some in rounds for tree in some])
    shape = graph.constant(np.array([0, len(rounds), width]))
    raw = graph.total(graph.add("Reshape", values, shape), first)
    loss = type(model._loss).__name__
    if not is_classifier(model):
        if loss in ("HalfPoissonLoss", "HalfGammaLoss"):
            raw = graph.add("Exp", raw)
        _give(graph, raw, variable=operator.outputs[0])
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
        proba = graph.add("Concat", _rest(graph, second), second, axis=1)
    graph.label(number, model.classes_, output=operator.outputs[0].full_name)
    _give(graph, proba, variable=operator.outputs[1])


def _rest(graph: Graph, probability: str) -> str:
    import numpy as np

    return graph.add("Sub", graph.constant(np.array(1.0)), probability)


def linear(scope: Any, operator: Any, container: Any) -> None:
    """Convert a linear classifier: labels by its decision function."""
    import numpy as np

    model, graph = operator.raw_operator, Graph(scope, container)
    X = _wide(graph, operator)
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
        _give(graph, scores, variable=operator.outputs[1])
        return
    _give(
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
        return graph.add("Concat", _rest(graph, each), each, axis=1)
    axes = graph.constant(np.array([1]))
    total = graph.add("ReduceSum", each, axes, keepdims=1)
    if huber:
        # If all classes have 0, they get equal probabilities.
        none = graph.add("Equal", total, graph.constant(np.array(0.0)))
        each = graph.add("Where", none, one, each)
        total = graph.add("ReduceSum", each, axes, keepdims=1)
    return graph.add("Div", each, total)


def binarize(scope: Any, operator: Any, container: Any) -> None:
    """Convert Binarizer: whether a number is greater than the threshold."""
    import numpy as np

    graph = Graph(scope, container)
    threshold = graph.constant(np.array(float(operator.raw_operator.threshold)))
    greater = graph.add("Greater", _wide(graph, operator), threshold)
    _give(graph, graph.cast(greater, "float64"), variable=operator.outputs[0])


def _encoded_numbers(graph: Graph, operator: Any) -> Any:
    """Return the joined inputs of an encoder of numbers.

    Raises:
        RuntimeError: If it groups infrequent categories, which no graph here does.
    """
    if operator.raw_operator._infrequent_enabled:
        raise RuntimeError("an encoder of numbers with infrequent categories")
    return _joined(graph, operator)


def one_hot(fallback: Callable[[Any, Any, Any], None], *where: Any) -> None:
    """Convert a OneHotEncoder: numbers by comparing them; text as skl2onnx does."""
    import numpy as np

    scope, operator, container = where
    if not _of_numbers(operator):
        fallback(scope, operator, container)
        return
    graph, encoder, parts = Graph(scope, container), operator.raw_operator, []
    X = _encoded_numbers(graph, operator)
    for index, categories in enumerate(encoder.categories_):
        kept = np.asarray(categories, dtype=np.float64)
        if encoder.drop_idx_ is not None and encoder.drop_idx_[index] is not None:
            kept = np.delete(kept, encoder.drop_idx_[index])
        if len(kept):
            parts.append(_matches(graph, X, index=index, categories=kept))
    hot = graph.add("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]
    _give_number(graph, hot, variable=operator.outputs[0])


def grouped_one_hot(scope: Any, operator: Any, container: Any) -> None:
    """Convert a OneHotEncoder of text that groups infrequent categories.

    An unknown text is in the group, if there is one, as in scikit-learn.

    Raises:
        RuntimeError: If it drops categories, or refuses unknown ones.
    """
    import numpy as np

    encoder = operator.raw_operator
    if encoder.drop is not None or encoder.handle_unknown not in ("ignore", "infrequent_if_exist"):
        raise RuntimeError("infrequent categories of which some are dropped or refused")
    graph, parts = Graph(scope, container), []
    for index, (categories, column) in enumerate(
        zip(encoder.categories_, _columns(graph, operator), strict=True)
    ):
        mapping = encoder._default_to_infrequent_mappings[index]
        codes = np.arange(len(categories)) if mapping is None else mapping
        groups = mapping is not None and encoder.handle_unknown == "infrequent_if_exist"
        unknown = int(codes.max()) if groups else -1
        parts.append(
            graph.add(
                "OneHotEncoder",
                _codes(graph, column, categories=categories, codes=codes, unknown=unknown),
                op_domain=ML,
                op_version=1,
                cats_int64s=list(range(int(codes.max()) + 1)),
                zeros=1,
            )
        )
    # The encoder adds an axis: (n_rows, 1, n_codes).
    flat = [graph.add("Flatten", part, axis=1) for part in parts]
    hot = graph.add("Concat", *flat, axis=1) if len(flat) > 1 else flat[0]
    _give_number(graph, hot, variable=operator.outputs[0])


def target_encoder(scope: Any, operator: Any, container: Any) -> None:
    """Convert a TargetEncoder of text; an unknown text has the mean of the target."""
    import numpy as np

    encoder = operator.raw_operator
    graph, parts = Graph(scope, container), []
    means = np.atleast_1d(np.asarray(encoder.target_mean_, dtype=np.float64))
    for index, (categories, column) in enumerate(
        zip(encoder.categories_, _columns(graph, operator), strict=True)
    ):
        # (n_categories + 1, n_means), the encodings of a feature are next to each other.
        encodings = encoder.encodings_[index * len(means) : (index + 1) * len(means)]
        table = np.vstack([np.column_stack(encodings), means])
        codes = np.arange(len(categories))
        place = _codes(graph, column, categories=categories, codes=codes, unknown=len(categories))
        flat = graph.add("Reshape", place, graph.constant(np.array([-1])))
        parts.append(graph.add("Gather", graph.constant(table), flat, axis=0))
    encoded = graph.add("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]
    _give_number(graph, encoded, variable=operator.outputs[0])


def _columns(graph: Graph, operator: Any) -> Iterator[str]:
    """Yield the columns of an operator's inputs, (n_rows, 1) each."""
    import numpy as np

    for variable in operator.inputs:
        width = variable.type.shape[1]
        if width == 1:
            yield str(variable.full_name)
            continue
        for index in range(width):
            place = graph.constant(np.array([index]))
            yield graph.add("Gather", variable.full_name, place, axis=1)


def _codes(
    graph: Graph,
    column: str,
    *,
    categories: NDArray[Any],
    codes: NDArray[np.int64],
    unknown: int,
) -> str:
    """Add the code of each text in a column, (n_rows, 1)."""
    return graph.add(
        "LabelEncoder",
        column,
        op_domain=ML,
        op_version=2,
        keys_strings=[str(category).encode() for category in categories],
        values_int64s=codes.tolist(),
        default_int64=unknown,
    )


def ordinal(fallback: Callable[[Any, Any, Any], None], *where: Any) -> None:
    """Convert an OrdinalEncoder: numbers by comparing them; text as skl2onnx does."""
    import numpy as np

    scope, operator, container = where
    if not _of_numbers(operator):
        fallback(scope, operator, container)
        return
    graph, encoder, parts = Graph(scope, container), operator.raw_operator, []
    X = _encoded_numbers(graph, operator)
    for index, categories in enumerate(encoder.categories_):
        kept = np.asarray(categories, dtype=np.float64)
        codes = np.arange(len(kept), dtype=np.float64)
        codes[np.isnan(kept)] = encoder.encoded_missing_value
        hot = _matches(graph, X, index=index, categories=kept)
        axes = graph.constant(np.array([1]))
        # A NaN code would make the whole sum NaN, so a Where inserts it.
        plain = np.nan_to_num(codes)
        code = graph.add("MatMul", hot, graph.constant(plain.reshape(-1, 1)))
        known = graph.add("ReduceSum", hot, axes, keepdims=1)
        nothing = graph.add("Equal", known, graph.constant(np.array(0.0)))
        other = np.nan if encoder.unknown_value is None else float(encoder.unknown_value)
        code = graph.add("Where", nothing, graph.constant(np.array(other)), code)
        if np.isnan(codes).any():
            column = graph.add("Gather", X, graph.constant(np.array([index])), axis=1)
            gap = graph.add("IsNaN", column)
            code = graph.add("Where", gap, graph.constant(np.array(np.nan)), code)
        parts.append(code)
    encoded = graph.add("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]
    _give_number(graph, encoded, variable=operator.outputs[0])


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
    _give(graph, weights, variable=output)


def _of_numbers(operator: Any) -> bool:
    from skl2onnx.common.data_types import DoubleTensorType

    return all(isinstance(one.type, DoubleTensorType) for one in operator.inputs)


def _joined(graph: Graph, operator: Any) -> str:
    names = [one.full_name for one in operator.inputs]
    return graph.add("Concat", *names, axis=1) if len(names) > 1 else str(names[0])


def _matches(graph: Graph, X: str, *, index: int, categories: NDArray[np.float64]) -> str:
    """Add the one-hot encoding of a column, (n_rows, n_categories) of 0 and 1."""
    import numpy as np

    column = graph.add("Gather", X, graph.constant(np.array([index])), axis=1)
    same = graph.add("Equal", column, graph.constant(categories.reshape(1, -1)))
    if np.isnan(categories).any():
        gap = graph.add("IsNaN", column)
        place = np.isnan(categories).astype(np.float64).reshape(1, -1)
        wanted = graph.add("Greater", graph.constant(place), graph.constant(np.array(0.5)))
        same = graph.add("Or", same, graph.add("And", gap, wanted))
    return graph.cast(same, "float64")


def _give_number(graph: Graph, value: str, *, variable: Any) -> None:
    from skl2onnx.common.data_types import Int64TensorType

    if isinstance(variable.type, Int64TensorType):
        graph.cast(value, "int64", output=variable.full_name)
    else:
        _give(graph, value, variable=variable)
