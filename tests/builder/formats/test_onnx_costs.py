"""A stranger's graph cannot multiply text, or keep one operator busy, beyond what a row may cost.

Random changes of graphs found what `ENDING` holds: onnxruntime 1.32 ended the process on such deep
trees, single classes, columns without rows and `GatherND`.
"""

import itertools

import numpy as np
import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper, numpy_helper
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier, StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from artifact_pipeline.builder.formats import (
    onnx_costs,
    onnx_export,
    onnx_format,
    onnx_limits,
    onnx_trees,
)
from artifact_pipeline.errors import Location, VerificationError

ML = "ai.onnx.ml"
LABELS = ["a label", "b" * 20_000]
MANY = 1 << 27


def node(operator, *inputs, output="x", **attributes):
    return helper.make_node(operator, list(inputs), [output], **attributes)


def graph(*nodes, constants=None, outputs=("x",), opset=3):
    """Return the bytes of a model that takes numbers X, four a row, and two columns of text."""
    ports = [
        helper.make_tensor_value_info("X", T.FLOAT, [None, 4]),
        helper.make_tensor_value_info("t", T.STRING, [None, 1]),
        helper.make_tensor_value_info("u", T.STRING, [None, 1]),
    ]
    tensors = [
        numpy_helper.from_array(np.array(value, dtype=object if is_text(value) else None), name)
        for name, value in (constants or {}).items()
    ]
    ends = [onnx.ValueInfoProto(name=name) for name in outputs]
    made = helper.make_graph(list(nodes), "g", ports, ends, tensors)
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(ML, opset),
              helper.make_opsetid("com.microsoft", 1)]  # fmt: skip
    return helper.make_model(made, opset_imports=opsets, ir_version=9).SerializeToString()


def is_text(value):
    return np.asarray(value).dtype.kind in "OU"


def repeated(shape="count", output="n"):
    """Return a node that makes zeros in the shape that a value holds."""
    return node("ConstantOfShape", shape, output=output, value=helper.make_tensor("v", 7, [1], [0]))


def doubled(first, times):
    names = [first, *(f"d{index}" for index in range(times - 1)), "x"]
    return [node("Concat", a, a, output=b, axis=1) for a, b in itertools.pairwise(names)]


def forest(rows, labels=("a", "b"), **changes):
    attributes = {
        "nodes_treeids": [0, 0, 0],
        "nodes_nodeids": [0, 1, 2],
        "nodes_featureids": [0, 0, 0],
        "nodes_values": [0.5, 0.0, 0.0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0],
        "class_treeids": [0, 0],
        "class_nodeids": [1, 2],
        "class_ids": [0, 0],
        "class_weights": [1.0, 2.0],
        "classlabels_strings": list(labels),
    }
    return helper.make_node(
        "TreeEnsembleClassifier", [rows], ["x", "p"], domain=ML, **(attributes | changes)
    )


def leaves(count, rows="X"):
    """Return a tree in the form of version 5 in which each node leads to a leaf and to the next."""
    last = count - 1
    numbers = {name: helper.make_tensor(name, T.DOUBLE, [size], [0.0] * size)
               for name, size in (("nodes_splits", count), ("leaf_weights", 1))}  # fmt: skip
    return [
        node("Cast", rows, output="f", to=T.DOUBLE),
        node(
            "TreeEnsemble", "f", domain=ML, n_targets=1, tree_roots=[0], **numbers,
            nodes_featureids=[0] * count, leaf_targetids=[0],
            nodes_modes=helper.make_tensor("m", T.UINT8, [count], [0] * count),
            nodes_truenodeids=[*range(1, count), 0], nodes_falsenodeids=[0] * count,
            nodes_trueleafs=[0] * last + [1], nodes_falseleafs=[1] * count,
        ),
    ]  # fmt: skip


def scan(body, *inputs):
    return helper.make_node("Scan", list(inputs), ["x"], body=body, num_scan_inputs=1)


ROWS, COUNT = node("ConstantOfShape", "count", output="w"), {"count": [MANY, 4]}
MANY_LABELS = {"labels": LABELS, "count": [MANY]}
TEXT = {
    "texts of rows joined with themselves": (graph(*doubled("t", 40)), "copies a text"),
    "a column of text taken many times": (
        graph(node("Gather", "t", "k", axis=1), constants={"k": [0] * 65}), "copies a text"),
    "a column of text extracted many times": (
        graph(node("ArrayFeatureExtractor", "t", "k", domain=ML), constants={"k": [0] * 65}),
        "copies a text"),
    "one of two columns taken many times": (
        graph(node("Concat", "t", "u", output="b", axis=1), node("Gather", "b", "k", axis=1),
              constants={"k": [1, *[0] * 64, 1]}), "copies a text"),
    "texts of rows taken by their last place": (
        graph(node("Gather", "t", "k", axis=1), constants={"k": [0, -1] * 33}), "copies a text"),
    "texts in another shape": (
        graph(node("Reshape", "t", "shape", output="b"), node("Gather", "b", "k", axis=0),
              constants={"shape": [-1], "k": [0] * 65}), "copies a text"),
    "copies in many values": (
        graph(*(node("Identity", "t", output=f"i{index}") for index in range(65)),
              outputs=["i0"]), "copies a text"),
    "texts of rows by computed numbers": (
        graph(node("Cast", "X", output="n", to=T.INT64), node("Gather", "t", "n", axis=0)),
        "by numbers that it computes"),
    "texts of rows as wide as a number": (
        graph(node("Equal", "k", "k", output="c"), node("Where", "c", "t", "t"),
              constants={"k": [[0] * 999]}), "repeats texts"),
    "many labels": (graph(repeated(), node("Gather", "labels", "n"), constants=MANY_LABELS),
                    "bytes of text per row"),
    "many labels extracted": (
        graph(repeated(), node("ArrayFeatureExtractor", "labels", "n", domain=ML),
              constants=MANY_LABELS), "bytes of text per row"),
    "many labels encoded": (
        graph(repeated(), node("LabelEncoder", "n", domain=ML, keys_int64s=[0, 1],
                               values_strings=LABELS), constants={"count": [MANY]}),
        "bytes of text per row"),
    "a default for many labels": (
        graph(repeated(), node("LabelEncoder", "n", domain=ML, keys_int64s=[5],
                               values_strings=["a"], default_string="b" * 20_000),
              constants={"count": [MANY]}), "bytes of text per row"),
    "labels of many rows of trees": (
        graph(ROWS, forest("w", LABELS), constants=COUNT), "steps|bytes of text"),
    "many short labels": (
        graph(repeated(), node("Gather", "labels", "n"),
              constants={"labels": ["a"], "count": [MANY]}), "bytes of text per row"),
    "many numbers as text": (
        graph(repeated(), node("Cast", "n", to=T.STRING), constants={"count": [MANY]}),
        "bytes of text per row"),
    "a constant of text": (
        graph(node("ConstantOfShape", "count", value=numpy_helper.from_array(
            np.array(["b" * 20_000], dtype=object))), constants={"count": [MANY]}),
        "bytes of text per row"),
    "labels for each pair of rows": (
        graph(node("Transpose", "X", output="y"), node("MatMul", "X", "y", output="m"),
              node("Cast", "m", output="n", to=T.INT64), node("Gather", "labels", "n"),
              constants={"labels": ["a"]}), "bytes of text per row"),
    "labels in a number that rows name": (
        graph(node("Cast", "X", output="n", to=T.INT64), node("Reshape", "n", "line", output="s"),
              repeated("s", output="i"),
              node("Gather", "labels", "i"), constants={"labels": ["a"], "line": [-1]}),
        "unknown"),
    "labels in a loop": (
        graph(scan(helper.make_graph(
            [node("Cast", "v", output="n", to=T.INT64), node("Gather", "labels", "n", output="o")],
            "b", [helper.make_tensor_value_info("v", T.FLOAT, None)],
            [helper.make_tensor_value_info("o", T.STRING, None)]), "X"),
            constants={"labels": ["a"]}), "text in a loop"),
    "words filled up with text": (
        graph(node("Tokenizer", "t", domain="com.microsoft", mark=0, mincharnum=1,
                   pad_value="b" * 20_000, tokenexp="[a-z]+")), "pads words"),
    "text in an operator that no converter makes": (
        graph(node("Max", "t", "u")), "of text"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "why"), TEXT.values(), ids=TEXT)
def test_text_is_not_multiplied(data, why):
    with pytest.raises(VerificationError, match=why):
        onnx_limits.check(data, location=None)


BUSY = {
    "a product of large matrices": (
        graph(node("ConstantOfShape", "count", output="m"), node("MatMul", "m", "m"),
              constants={"count": [20_000, 20_000]}), "steps"),
    "a product in another operator": (
        graph(node("ConstantOfShape", "count", output="m"), node("Gemm", "m", "m", transB=1),
              constants={"count": [20_000, 20_000]}), "steps"),
    "a product of unknown shape": (
        graph(node("Cast", "X", output="n", to=T.INT64), node("Reshape", "n", "line", output="s"),
              node("Reshape", "X", "s", output="m"), node("MatMul", "m", "m"),
              constants={"line": [-1]}), "unknown"),
    "trees for many rows": (
        graph(ROWS, *leaves(1000, "w"), constants=COUNT, opset=5), "steps"),
    "trees for rows of unknown number": (
        graph(node("Cast", "X", output="n", to=T.INT64), node("Reshape", "n", "line", output="s"),
              node("Reshape", "X", "s", output="m"), forest("m"), constants={"line": [-1]}),
        "unknown"),
    "support vectors for many rows": (
        graph(ROWS, node("SVMRegressor", "w", domain=ML, kernel_type="RBF", n_supports=100,
                         kernel_params=[0.1, 0.0, 3.0], rho=[0.0], coefficients=[1.0] * 100,
                         support_vectors=[1.0] * 400), constants=COUNT), "steps"),
    "n-grams with gaps": (
        graph(node("ConstantOfShape", "count", output="n", value=helper.make_tensor(
            "v", T.INT64, [1], [0])),
            node("TfIdfVectorizer", "n", mode="TF", min_gram_length=2, max_gram_length=2,
                 max_skip_count=1 << 20, pool_int64s=[0, 0], ngram_counts=[0, 0],
                 ngram_indexes=[0]), constants={"count": [1 << 20]}), "steps"),
    "many separators": (
        graph(node("Tokenizer", "t", domain="com.microsoft", mark=0, mincharnum=1, pad_value="",
                   separators=[f"s{index}" for index in range(1 << 13)])), "steps per row"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "why"), BUSY.values(), ids=BUSY)
def test_no_operator_is_busy_for_long(data, why):
    with pytest.raises(VerificationError, match=why):
        onnx_limits.check(data, location=None)


ENDING = {
    "a tree deeper than the stack": (graph(*leaves(60_000), opset=5), "more than 1000 deep"),
    "trees for a single class": (
        graph(forest("X", ["a"], base_values=[float("inf")])), "fewer than two classes"),
    "columns of no rows": (
        graph(node("Slice", "X", "k", "k", output="e"),
              node("FeatureVectorizer", "e", "e", domain=ML, inputdimensions=[4, 4]),
              constants={"k": [0]}), "joins an unknown number of columns"),
    "a number of columns that is not there": (
        graph(node("FeatureVectorizer", "X", "X", domain=ML, inputdimensions=[9, 4])),
        "the wrong number of columns"),
    "places far away": (
        graph(node("GatherND", "X", "k", batch_dims=-1 << 63), constants={"k": [[-1 << 31]]}),
        "GatherND"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "why"), ENDING.values(), ids=ENDING)
def test_a_graph_that_ends_the_process_is_refused(data, why):
    with pytest.raises(VerificationError, match=why):
        onnx_limits.check(data, location=None)


def test_the_deepest_tree_of_version_5_is_loaded():
    onnx_limits.check(graph(*leaves(onnx_trees.MAX_DEPTH), opset=5), location=None)


LYING = {
    "a node that does not exist": {"nodes_truenodeids": [9, 0, 0]},
    "a class that does not exist": {"class_ids": [0, 2]},
    "a weight of no node": {"class_nodeids": [1, 9]},
    "a feature that rows do not have": {"nodes_featureids": [4, 0, 0]},
    "too few weights": {"class_weights": [1.0]},
    "too few thresholds": {"nodes_values": [0.5]},
}


@pytest.mark.parametrize("changes", LYING.values(), ids=LYING)
def test_lists_of_trees_that_do_not_agree_are_refused(changes):
    onnx_limits.check(graph(forest("X")), location=None)
    with pytest.raises(VerificationError, match=r"tree|node"):
        onnx_limits.check(graph(forest("X", **changes)), location=None)


@pytest.mark.parametrize(
    "nodes",
    [
        [node("Cast", "X", "X", to=1)],
        [node("Gather", "X")],
        [node("Where", "X")],
        [node("Reshape", "X")],
        [node("MatMul", "X")],
        [node("Concat")],
        [helper.make_node("Scan", [], ["x"], num_scan_inputs=1)],
        [helper.make_node("Split", ["X"], [])],
        [node("Concat", "X", "X", axis=-(1 << 63))],
        [node("Squeeze", "X", "k")],
        [node("Transpose", "X", perm=[5, -1])],
        [node("TopK", "X", "none")],
        [node("Slice", "X", "k", "k", "k")],
    ],
)
def test_operators_with_absurd_inputs_are_refused_or_left_to_the_runtime(nodes):
    """In one line: nothing but a VerificationError leaves the check."""
    data = graph(*nodes, constants={"k": [-(1 << 63), (1 << 63) - 1]})
    try:
        onnx_limits.check(data, location=None)
    except VerificationError as error:
        assert "\n" not in str(error)


def test_sizes_that_square_at_each_step_are_refused_at_once():
    """Their digits double with each node, so the check must not count on."""
    names = ["X", *(f"s{index}" for index in range(60))]
    nodes = []
    for before, after in itertools.pairwise(names):
        nodes += [
            node("Flatten", before, output=f"l{after}", axis=0),
            node("Transpose", f"l{after}", output=f"r{after}", perm=[1, 0]),
            node("Add", f"l{after}", f"r{after}", output=after),
        ]
    onnx_limits.check(graph(*nodes, outputs=[names[-1]]), location=None)


def test_names_that_are_not_text_stay_apart():
    """Read as the same name, one would pass for the other."""
    doubled = graph(node("Neg", "X", output="#a"), node("Neg", "X", output="#b"), outputs=["#a"])
    data = doubled.replace(b"#a", b"\xffa").replace(b"#b", b"\xfea")
    onnx_limits.check(data, location=None)
    with pytest.raises(VerificationError, match="twice"):
        onnx_limits.check(doubled.replace(b"#b", b"#a"), location=None)


def largest_per_row(data, rows):
    """Return the size of the largest value of a graph in onnxruntime, per row."""
    proto = onnx.ModelProto.FromString(data)
    names = [name for part in proto.graph.node for name in part.output if name]
    known = {port.name for port in proto.graph.output}
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    ort = onnx_format.runtime()
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    [port] = session.get_inputs()
    dtype = np.float32 if port.type == "tensor(float)" else np.float64
    values = session.run(
        names, {"X": np.random.default_rng(0).normal(size=(rows, 4)).astype(dtype)}
    )
    return max(value.size for value in values if value.dtype != object) / rows


IRIS, TARGET = load_iris(return_X_y=True)
ESTIMATORS = [
    LogisticRegression(max_iter=300),
    RandomForestClassifier(5, random_state=0),
    KNeighborsClassifier(3),
    SVC(),
    StackingClassifier([("a", KNeighborsClassifier(3)), ("b", SVC())], cv=2),
]


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda value: type(value).__name__)
def test_our_graphs_with_long_labels_predict_and_their_sizes_are_bounded(estimator):
    labels = np.array([f"{index}" * 5_000 for index in range(3)], dtype=object)
    fitted = estimator.fit(IRIS, labels[TARGET])
    opened = 0
    for _, exported in onnx_export.export(fitted, IRIS):
        if isinstance(exported, str):
            continue
        opened += 1
        cost = onnx_limits.check(exported.data, location=None)
        assert largest_per_row(exported.data, 40) <= cost.width
        assert 5_000 <= cost.text <= onnx_costs.MAX_TEXT
        predicted = onnx_format.load(exported.data, Location("m"))(IRIS).predicted
        assert (predicted == fitted.predict(IRIS)).mean() > 0.97
    assert opened
