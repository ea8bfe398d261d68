"""Limits on hostile graphs: external data, operators, memory and time."""

import itertools
import os
import time

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto as T
from onnx import helper, numpy_helper

from artifact_pipeline import open_artifact
from artifact_pipeline.builder.formats import onnx_limits, onnx_trees
from artifact_pipeline.builder.formats.onnx_costs import Cost
from artifact_pipeline.builder.formats.onnx_format import load, runtime
from artifact_pipeline.errors import VerificationError
from tests.support.artifacts import reseal
from tests.support.command import call, script

ROW = np.zeros((1, 64))
TWO = np.zeros((2, 64))
GIB = 1 << 30


def model(nodes, tensors=(), opsets=(("", 20), ("ai.onnx.ml", 3)), **fields):
    """Return the bytes of a model that takes X; its outputs are made of what `nodes` call `x`."""
    ends = [
        helper.make_node("Shape", ["x"], ["label"]),
        helper.make_node("Cast", ["label"], ["probabilities"], to=T.DOUBLE),
    ]
    graph = helper.make_graph(
        [*nodes, *ends],
        "g",
        [helper.make_tensor_value_info("X", T.DOUBLE, [None, 64])],
        [
            helper.make_tensor_value_info("label", T.INT64, None),
            helper.make_tensor_value_info("probabilities", T.DOUBLE, None),
        ],
        list(tensors),
    )
    made = helper.make_model(
        graph, opset_imports=[helper.make_opsetid(*one) for one in opsets], ir_version=9, **fields
    )
    return made.SerializeToString()


def node(operator, *inputs, output="x", **attributes):
    return helper.make_node(operator, list(inputs), [output], **attributes)


def external(place, **where):
    tensor = T(name="k", data_type=T.DOUBLE, dims=[64], **where)
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", place
    return tensor


def chain(operator, count, first="X", inputs=2):
    """Return nodes that each take the one before, twice."""
    names = [first, *(f"a{i}" for i in range(count - 1)), "x"]
    axis = {"axis": 0} if operator == "Concat" else {}
    pairs = itertools.pairwise(names)
    return [node(operator, *[a] * inputs, output=b, **axis) for a, b in pairs]


def body(*nodes):
    values = [helper.make_tensor_value_info(n, T.DOUBLE, None) for n in ("v", "w")]
    return helper.make_graph(list(nodes), "b", values[:1], values[1:])


def nested(depth):
    inner = body(node("Neg", "v", output="w"))
    for _ in range(depth):
        scan = helper.make_node("Scan", ["v"], ["w"], body=inner, num_scan_inputs=1)
        inner = body(scan)
    return helper.make_node("Scan", ["X"], ["x"], body=inner, num_scan_inputs=1)


def function():
    doubled = [helper.make_node("Add", ["a", "a"], ["b"])]
    made = helper.make_function(
        "ai.onnx.ml", "f", ["a"], ["b"], doubled, [helper.make_opsetid("", 20)]
    )
    return model([node("Neg", "X")], functions=[made])


REFUSED = {
    "external data here": (model([node("Add", "X", "k")],
                                 [external("inside", data_location=T.EXTERNAL)]), "another file"),
    "external data above": (model([node("Add", "X", "k")],
                                  [external("../secret", data_location=T.EXTERNAL)]), "another"),
    "external data, not said": (model([node("Add", "X", "k")], [external("/etc/passwd")]), "anoth"),
    "external data in a node": (model([node("Constant", value=external("inside"))]), "another"),
    "external data in a body": (model([helper.make_node(
        "Scan", ["X"], ["x"], num_scan_inputs=1,
        body=body(node("Constant", value=external("x"), output="w")))]), "another file"),
    "a custom operator": (model([node("Evil", "X", domain="evil")],
                                opsets=(("", 20), ("evil", 1))), "'evil.Evil'"),
    "an operator of no estimator": (model([node("Loop", "X", body=body())]), "'Loop'"),
    "a condition": (model([node("If", "X", then_branch=body(), else_branch=body())]), "'If'"),
    "a convolution": (model([node("Conv", "X", "X")]), "'Conv'"),
    "a name in capitals": (model([node("ADD", "X", "X")]), "'ADD'"),
    "an operator of the runtime's maker": (model([node("FusedGemm", "X", domain="com.microsoft")]),
                                           "'com.microsoft.FusedGemm'"),
    "a function": (function(), "functions"),
    "more nodes than any estimator": (
        model(chain("Neg", onnx_limits.MAX_NODES + 1, inputs=1)), "nodes"),
    "graphs within graphs": (model([nested(onnx_limits.MAX_DEPTH + 1)]), "nested more than"),
    "a label of a megabyte": (model([node("Constant", value_strings=[b"x" * (1 << 20)])]), "text"),
    "a text tensor of a megabyte": (model([], [numpy_helper.from_array(
        np.array(["x" * (1 << 20)], dtype=object), "k")]), "text of more"),
}  # fmt: skip


def tree(true, false):
    """Return a graph of one tree by the numbers of each node's children; a leaf has none."""
    count = len(true)
    return model([
        node("Cast", "X", output="f", to=T.FLOAT),
        node(
            "TreeEnsembleRegressor", "f", domain="ai.onnx.ml", n_targets=1,
            nodes_treeids=[0] * count, nodes_nodeids=list(range(count)),
            nodes_featureids=[0] * count, nodes_values=[0.0] * count,
            nodes_modes=["LEAF" if one == 0 else "BRANCH_LEQ" for one in true],
            nodes_truenodeids=true, nodes_falsenodeids=false, target_treeids=[0],
            target_nodeids=[count - 1], target_ids=[0], target_weights=[1.0],
        ),
    ])  # fmt: skip


def deep(depth):
    """Return the graph of a tree in which each node leads to a leaf and to the next node."""
    ways = [one for place in range(depth) for one in (2 * place + 1, 0)]
    return tree([*ways, 0], [*(one + (one > 0) for one in ways), 0])


REFUSED |= {
    "a tree deeper than the stack": (deep(60_000), "more than 1000 deep"),
    "a tree that leads nowhere": (tree([1, 3, 1, 0], [2, 4, 5, 0]), "that does not exist"),
    "a tree that is a ring": (tree([1, 2, 3, 0], [1, 1, 3, 0]), "has a cycle"),
    "a ring beside a tree": (tree([0, 3, 2, 0], [0, 2, 1, 0]), "has a cycle"),
    "a child of a number that wraps": (tree([1 << 32, 0, 0], [2, 0, 0]), "not numbered"),
    "a child of a negative number": (tree([-1, 0, 0], [2, 0, 0]), "not numbered"),
}


def test_a_tree_of_the_maximum_depth_is_loaded(copied):
    digest = reseal(copied, "model.onnx", deep(onnx_trees.MAX_DEPTH))
    assert open_artifact(copied, digest)


def test_nodes_with_many_paths_to_them_are_loaded(copied):
    """Who follows each way would never end: there are 2 to the power of the depth."""
    ways = [*range(1, onnx_trees.MAX_DEPTH), 0]
    assert open_artifact(copied, reseal(copied, "model.onnx", tree(ways, ways)))


@pytest.mark.slow
@pytest.mark.parametrize(("graph", "why"), REFUSED.values(), ids=REFUSED)
def test_a_graph_with_unneeded_content_is_refused(copied, graph, why):
    digest = reseal(copied, "model.onnx", graph)
    with pytest.raises(VerificationError, match=why) as refused:
        open_artifact(copied, digest)
    assert str(refused.value.location) == str(copied / "model.onnx")
    assert "\n" not in str(refused.value)


def test_external_data_is_not_read(copied, tmp_path):
    (tmp_path / "inside").write_bytes(np.arange(64.0).tobytes())
    reseal(copied, "model.onnx", REFUSED["external data here"][0])
    done = call("infer", copied, cwd=tmp_path)
    assert done.code == 4 and done.err.count("\n") == 1 and "another file" in done.err


def big():
    shape = numpy_helper.from_array(np.array([1 << 20, 1 << 13], dtype=np.int64), "s")
    return model([node("ConstantOfShape", "s", value=helper.make_tensor("v", T.DOUBLE, [1], [1]))],
                 [shape])  # fmt: skip


MEMORY = {
    "a tensor of 64 GiB": big(),
    "rows doubled forty times": model(chain("Concat", 40)),
    "a constant doubled forty times": model(
        chain("Concat", 40, "k"), [numpy_helper.from_array(np.ones((64, 64)), "k")]
    ),
}


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no getrusage")
@pytest.mark.parametrize("graph", MEMORY.values(), ids=MEMORY)
def test_a_graph_stops_at_the_memory_limit(copied, graph, tmp_path):
    """In a process of its own, whose greatest size is looked at; the bound is real."""
    reseal(copied, "model.onnx", graph)
    code = (
        "import resource, sys\n"
        "from artifact_pipeline.cli import main\n"
        "try:\n    main(['infer', sys.argv[1]])\n"
        "finally:\n    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    done = script("-c", code, copied, cwd=tmp_path)
    assert done.code == 4 and "onnxruntime does not run it" in done.err, done
    assert int(done.out.split()[-1]) * 1024 < onnx_limits.MAX_MEMORY + GIB


@pytest.mark.slow
def test_a_graph_stops_at_the_time_limit(copied, monkeypatch):
    monkeypatch.setattr(onnx_limits, "seconds", lambda rows: 1.0)
    shape = numpy_helper.from_array(np.array([1500, 1500], dtype=np.int64), "s")
    ones = node("ConstantOfShape", "s", output="k", value=helper.make_tensor("v", 11, [1], [1]))
    digest = reseal(copied, "model.onnx", model([ones, *chain("MatMul", 2_000, "k")], [shape]))
    predictor = open_artifact(copied, digest)
    for _ in range(2):  # the second has a time of its own
        start = time.monotonic()
        with pytest.raises(VerificationError, match=r"onnxruntime does not run it: .*terminate"):
            predictor.predict(ROW)
        assert time.monotonic() - start >= 1.0


@pytest.mark.slow
def test_loading_a_graph_stops_at_the_time_limit(copied, monkeypatch):
    monkeypatch.setattr(onnx_limits, "LOAD_SECONDS", 0.05)
    digest = reseal(copied, "model.onnx", model(chain("Neg", 50_000, inputs=1)))
    with pytest.raises(VerificationError, match=r"(?i)onnxruntime does not load it: .*cancel"):
        open_artifact(copied, digest)


@pytest.mark.slow
def test_the_longest_allowed_graph_loads(copied):
    digest = reseal(copied, "model.onnx", model(chain("Neg", onnx_limits.MAX_NODES - 2, inputs=1)))
    assert open_artifact(copied, digest)


def test_a_cyclic_tree_is_refused(copied):
    tree = node("TreeEnsembleRegressor", "f", domain="ai.onnx.ml", output="x", n_targets=1,
                nodes_treeids=[0, 0], nodes_nodeids=[0, 1], nodes_featureids=[0, 0],
                nodes_values=[0.5, 0.0], nodes_modes=["BRANCH_LEQ", "BRANCH_LEQ"],
                nodes_truenodeids=[1, 0], nodes_falsenodeids=[1, 0], target_treeids=[0],
                target_nodeids=[1], target_ids=[0], target_weights=[1.0])  # fmt: skip
    digest = reseal(copied, "model.onnx", model([node("Cast", "X", output="f", to=T.FLOAT), tree]))
    with pytest.raises(VerificationError):
        open_artifact(copied, digest).predict(ROW)


GRAPH = model([node("Neg", "X")])
EVIL = helper.make_graph([node("Evil", "X", domain="evil")], "g", [], []).SerializeToString()


@pytest.mark.parametrize(
    "graph",
    [
        GRAPH + b"\xba\x80\x80\x80\x10" + bytes([len(EVIL)]) + EVIL,  # a tag beyond 32 bits
        GRAPH + b"\x3a\xff\xff\xff\xff\xff\x01",  # a length beyond all files
        GRAPH + b"\x3b",  # a group
        GRAPH + b"\x02\x00",  # the field number 0
        GRAPH + b"\x38\x01",  # a graph that is a number
        GRAPH[:-3],
    ],
    ids=["long tag", "long length", "group", "field 0", "wrong type", "cut"],
)
def test_ambiguous_protobuf_is_refused(graph):
    onnx_limits.check(GRAPH, location=None)
    with pytest.raises(VerificationError, match="its protobuf"):
        onnx_limits.check(graph, location=None)


def test_a_second_graph_field_is_checked():
    """Protobuf merges the two, so what hides in the second would run."""
    second = b"\x3a" + len(EVIL).to_bytes(1, "little") + EVIL
    merged = onnx.ModelProto.FromString(GRAPH + second)
    assert "Evil" in [one.op_type for one in merged.graph.node]
    with pytest.raises(VerificationError, match="field 7 of a model twice"):
        onnx_limits.check(GRAPH + second, location=None)


@pytest.mark.slow
@given(st.lists(st.integers(-(2**63), 2**63 - 1)), st.lists(st.floats(width=32)),
       st.lists(st.text(max_size=20)))  # fmt: skip
def test_packed_lists_are_skipped_completely(ints, floats, texts):
    attributes = {"a": ints, "b": floats, "c": texts}
    full = {name: values for name, values in attributes.items() if values}
    onnx_limits.check(model([node("Identity", "X", **full)]), location=None)
    with pytest.raises(VerificationError, match="'Loop'"):
        onnx_limits.check(model([node("Identity", "X", **full), node("Loop", "X")]), location=None)


def test_messages_of_the_runtime_are_not_printed(copied, capfd):
    spoilt = model([node("Neg", "X", "X", "X")]).replace(b"label", b"\xff\xe5\xe5\xe5\xe5")
    digest = reseal(copied, "model.onnx", spoilt)
    with pytest.raises(VerificationError, match="onnxruntime does not load it"):
        open_artifact(copied, digest)
    assert capfd.readouterr() == ("", "")


def fields(message):
    """Return the number of each field, and where it begins, of a message without groups."""
    found, at = [], 0
    while at < len(message):
        start = at
        tag, at = varint(message, at)
        if tag & 7 == 2:
            size, at = varint(message, at)
            at += size
        else:
            at = varint(message, at)[1] if tag & 7 == 0 else at + (4 if tag & 7 == 5 else 8)
        found.append((tag >> 3, message[start:at]))
    return found


def varint(message, at):
    value = shift = 0
    while True:
        value |= (message[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if message[at - 1] < 0x80:
            return value, at


def delimited(number, content):
    size, length = len(content), b""
    while size > 0x7F:
        length, size = length + bytes([0x80 | size & 0x7F]), size >> 7
    tag = number << 3 | 2
    head = bytes([tag]) if tag < 0x80 else bytes([tag & 0x7F | 0x80, tag >> 7])
    return head + length + bytes([size]) + content


@pytest.fixture(scope="module")
def looping(tmp_path_factory):
    """A model in the runtime's own format, whose operator Loop `limits` would refuse."""
    inner = helper.make_graph(
        [node("Identity", "c", output="d"), node("Add", "v", "one", output="w")], "b",
        [helper.make_tensor_value_info("i", T.INT64, []),
         helper.make_tensor_value_info("c", T.BOOL, []),
         helper.make_tensor_value_info("v", T.DOUBLE, None)],
        [helper.make_tensor_value_info("d", T.BOOL, []),
         helper.make_tensor_value_info("w", T.DOUBLE, None)],
    )  # fmt: skip
    tensors = [numpy_helper.from_array(np.array(value), name)
               for name, value in (("n", 3), ("yes", True), ("one", 1.0))]  # fmt: skip
    place = tmp_path_factory.mktemp("ort") / "m.ort"
    options = runtime().SessionOptions()
    options.optimized_model_filepath = str(place)
    options.add_session_config_entry("session.save_model_format", "ORT")
    runtime().InferenceSession(model([node("Loop", "n", "yes", "X", body=inner)], tensors), options,
                               providers=["CPUExecutionProvider"])  # fmt: skip
    return place.read_bytes()


def unlooked(graph, monkeypatch):
    """Open a graph as if `limits` had seen nothing in it."""
    with monkeypatch.context() as patch:
        patch.setattr(onnx_limits, "check", lambda graph, location: Cost(1, 1, 0))
        return load(graph, "m")


def test_a_model_in_the_ort_format_is_refused(looping, monkeypatch):
    """Nothing in it was looked at: the look reads ONNX."""
    assert looping[4:8] == b"ORTM"
    assert runtime().InferenceSession(looping, providers=["CPUExecutionProvider"])
    with pytest.raises(VerificationError, match="the runtime's own format"):
        onnx_limits.check(looping, location=None)
    with pytest.raises(VerificationError, match="onnxruntime does not load it"):
        unlooked(looping, monkeypatch)


def test_a_polyglot_file_is_read_as_the_format_that_was_checked(looping, monkeypatch):
    """A flatbuffer begins with where its root lies, and all else in it is relative."""
    root = 0x04320908  # ir_version 9, and a doc_string of four bytes: ORTM
    gap = root - int.from_bytes(looping[:4], "little")
    hidden = bytes(gap - 6) + looping[8:]
    whole = b"\x08\x09\x32\x04ORTM" + delimited(99, hidden)
    assert len(whole) == len(looping) + gap
    other = model([node("Transpose", "X", perm=[1, 0])])
    whole += b"".join(one for number, one in fields(other) if number != 1)
    said = runtime().InferenceSession(whole, providers=["CPUExecutionProvider"])
    assert said.run(["label"], {"X": TWO})[0].tolist() == [2, 64]  # the loop ran
    with pytest.raises(VerificationError, match="the runtime's own format"):
        onnx_limits.check(whole, location=None)
    assert unlooked(whole, monkeypatch)(TWO).predicted.tolist() == [64, 2]


def with_field(number, content, of=GRAPH):
    return of + delimited(number, content)


def inside(change, graph=GRAPH):
    made = onnx.ModelProto.FromString(graph)
    change(made.graph)
    return made.SerializeToString()


def sparse_value(graph):
    values = numpy_helper.from_array(np.array([1.0]), "s")
    places = numpy_helper.from_array(np.array([[0, 1 << 40]]), "i")
    graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [1 << 20, 1 << 41]))


def sequence(graph):
    graph.value_info.append(helper.make_tensor_sequence_value_info("q", T.FLOAT, [1]))


def overload(graph):
    graph.node[0].overload = "f"


def metadata(of):
    def add(graph):
        entry = of(graph).metadata_props.add()
        entry.key, entry.value = "k", "v"

    return add


def refers(graph):
    graph.node[0].attribute.add(name="a", ref_attr_name="b", type=1)


def typed(graph):
    graph.node[0].attribute.append(helper.make_attribute("a", helper.make_tensor_type_proto(1, [])))


CONFIG = onnx.StringStringEntryProto(
    key="ort_config", value='{"session_options":{"intra_op_num_threads":64,"enable_profiling":1}}'
).SerializeToString()
BEYOND = {
    "settings for the runtime": with_field(14, CONFIG),
    "a training": with_field(20, b""),
    "devices": with_field(26, b""),
    "a field that nobody knows": with_field(99, b"x"),
    "a second version": GRAPH + b"\x08\x09",
    "a second text": GRAPH + delimited(6, b"a") + delimited(6, b"b"),
    "a long varint": GRAPH + b"\x32\x81\x00a",
    "another domain": model([node("Neg", "X")], opsets=(("", 20), ("ai.onnx.ml", 3),
                                                       ("ai.onnx.preview.training", 1))),
    "the runtime's own domain": model([node("Neg", "X")], opsets=(("", 20), ("ai.onnx.ml", 3),
                                                                 ("com.microsoft.nchwc", 1))),
    "a sparse tensor": inside(sparse_value),
    "a sequence": inside(sequence),
    "an overload": inside(overload),
    "metadata of the graph": inside(metadata(lambda graph: graph)),
    "metadata of a node": inside(metadata(lambda graph: graph.node[0])),
    "an attribute of a function": inside(refers),
    "an attribute that is a type": inside(typed),
    "a locale": model([node("StringNormalizer", "X", locale="../../tmp/x")]),
    "a tensor's segment": inside(lambda graph: graph.initializer.append(
        T(name="k", data_type=T.FLOAT, dims=[1], segment=T.Segment(begin=0, end=1)))),
}  # fmt: skip


@pytest.mark.parametrize("graph", BEYOND.values(), ids=BEYOND)
def test_an_unneeded_field_is_refused(graph):
    with pytest.raises(VerificationError, match="m: is not loaded"):
        load(graph, "m")


def test_session_options_in_a_model_are_ignored(monkeypatch, tmp_path):
    """The runtime takes them from the model where the environment says so."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORT_LOAD_CONFIG_FROM_MODEL", "1")
    with pytest.raises(VerificationError, match="settings for the runtime"):
        load(BEYOND["settings for the runtime"], "m")
    assert load(GRAPH, "m")(TWO).predicted.tolist() == [2, 64]
    assert list(tmp_path.iterdir()) == []


def integers(*values, name="k"):
    return numpy_helper.from_array(np.array(values, dtype=np.int64), name)


LEAST = integers(-(2**63), name="least")
WHOLE = node("Cast", "X", output="n", to=T.INT64)
DIVIDING = {
    "Div by -1": model([node("Div", "least", "k")], [LEAST, integers(-1)]),
    "Div by 0": model([node("Div", "least", "k")], [LEAST, integers(2, 0)]),
    "Mod by -1": model([node("Mod", "least", "k")], [LEAST, integers(-1)]),
    "Div by rows": model([WHOLE, node("Div", "least", "n")], [LEAST]),
    "Div by what is computed": model(
        [node("Neg", "k", output="m"), node("Div", "least", "m")], [LEAST, integers(1)]
    ),
    "Div by a name with two values": model(
        [node("Div", "least", "k")], [LEAST, integers(2), integers(-1)]
    ),
}


@pytest.mark.parametrize("graph", DIVIDING.values(), ids=DIVIDING)
def test_an_integer_division_that_may_crash_is_refused(graph):
    with pytest.raises(VerificationError, match=r"may divide an integer|twice"):
        load(graph, "m")


def test_division_by_constants_and_of_floats_is_allowed():
    halved = model([WHOLE, node("Div", "n", "k")], [integers(2)])
    assert load(halved, "m")(TWO).predicted.tolist() == [2, 64]
    assert load(model([node("Div", "X", "X")]), "m")(TWO).predicted.tolist() == [2, 64]


@pytest.mark.parametrize("operator", ["Tile", "Expand"])
def test_operators_that_repeat_text_are_refused(operator):
    text = numpy_helper.from_array(np.array(["a"], dtype=object), "t")
    graph = model([node(operator, "t", "k")], [text, integers(20_000)])
    with pytest.raises(VerificationError, match="of text"):
        load(graph, "m")
    number = numpy_helper.from_array(np.array([1.0]), "t")
    graph = model(
        [
            node(operator, "t", "k"),
        ],
        [number, integers(2)],
    )
    assert load(graph, "m")(np.zeros((1, 64))).predicted.tolist() == [2]
