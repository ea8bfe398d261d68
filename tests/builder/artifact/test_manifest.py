"""The interface in a manifest: consistent in itself, with the recipe, and with the graph."""

import json

import numpy as np
import pytest
from onnx import TensorProto as T
from onnx import helper

from artifact_pipeline import open_artifact, open_trusted
from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.artifact import manifest as manifests
from artifact_pipeline.errors import VerificationError
from tests.support.artifacts import reseal
from tests.support.command import call
from tests.support.configs import ROOT

FIXTURE = ROOT / "tests" / "fixtures" / "version-1-onnx"
PLAIN = json.loads((FIXTURE / "manifest.json").read_bytes())


def sealed(manifest):
    """Return a manifest's bytes, its recipe vouched for by its digest."""
    recipe = manifest["recipe"]
    return canonical.encode(
        {**manifest, "recipe_digest": canonical.digest(canonical.encode(recipe))}
    )


def changed(*path, to, of=PLAIN):
    """Return a deep copy of a manifest with another value at `path`."""
    found = json.loads(json.dumps(of))
    place = found
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    return found


def table():
    """Return the manifest of a table with a column of text."""
    found = changed("interface", "columns", to=[
        {"name": name, "kind": "text" if index == 3 else "number", "nullable": False,
         "unseen": False, "categories": ["a", "b"] if index == 3 else None}
        for index, name in enumerate(PLAIN["interface"]["features"])
    ])  # fmt: skip
    found["interface"]["inputs"] = [
        {"name": f"c{index}", "dtype": "string" if index == 3 else "float64", "shape": [None, 1]}
        for index in range(4)
    ]
    return found


def numbers():
    """Return the manifest of a regressor."""
    found = changed("interface", "labels", to=[])
    found["recipe"]["data"]["schema"]["target"] = "number"
    found["metrics"] = {"test": {"r2": 1.0, "mae": 0.0, "rmse": 0.0}}
    found["interface"] |= {"label_names": [], "outputs": [
        {"name": "prediction", "dtype": "float64", "shape": [None, 1]}]}  # fmt: skip
    return found


def port(**change):
    return [{"name": "X", "dtype": "float64", "shape": [None, 4], **change}]


def outputs(label=(), probabilities=()):
    return [
        {"name": "label", "dtype": "int64", "shape": [None], **dict(label)},
        {"name": "probabilities", "dtype": "float64", "shape": [None, 3], **dict(probabilities)},
    ]


def column(index, **change):
    return changed("interface", "columns", index, to={
        **table()["interface"]["columns"][index], **change}, of=table())  # fmt: skip


IMAGE = {"height": 2, "width": 2, "min": 0.0, "max": 16.0}
WRONG = {
    **{
        f"inputs {ports}": changed("interface", "inputs", to=ports)
        for ports in ([], port(dtype=""), port(dtype="string"), port(dtype="int64"),
                      port(dtype="float16"), port(dtype="Float64"), port(name=""), port(name="Y"),
                      port(shape=[None]), port(shape=[]), port(shape=[None, None]),
                      port(shape=[1, 4]), port(shape=[None, 5]), port(shape=[None, -4]),
                      port(shape=[4, None]), port(shape=[None, 4, 1]), port() * 2)
    },
    **{
        f"outputs {ports}": changed("interface", "outputs", to=ports)
        for ports in ([], outputs()[1:], outputs()[::-1], outputs() * 2, outputs()[:1] * 2,
                      outputs({"dtype": ""}), outputs({"dtype": "float64"}),
                      outputs({"dtype": "string"}), outputs({"shape": [None, 1]}),
                      outputs({"shape": []}), outputs({"shape": [3]}), outputs({"name": "l"}),
                      outputs((), {"shape": [None, 2]}), outputs((), {"shape": [None, None]}),
                      outputs((), {"shape": [None]}), outputs((), {"dtype": "int64"}),
                      outputs((), {"name": "scores"}), numbers()["interface"]["outputs"])
    },
    **{
        f"labels {labels}": changed("interface", "labels", to=labels)
        for labels in ([0, 1], [0, 1, 2, 3], [0, 1, 1], [0, 1, "2"], [False, True, 2],
                       ["a", "b", "c"], [0, 1, 1 << 80], [0, 1, -(1 << 63) - 1], [])
    },
    **{
        f"label names {names}": changed("interface", "label_names", to=names)
        for names in ([], ["a", "b"], ["a", "b", "b"], ["a", "b", "c", "d"])
    },
    **{
        f"features {features}": changed("interface", "features", to=features)
        for features in ([], ["a"], ["a", "b", "c", "c"], ["a", "b", "c", "d", "e"])
    },
    "features that the recipe has not": changed("recipe", "data", "schema", "features", to=5),
    **{
        f"image {image}": changed("interface", "image", to=IMAGE | image)
        for image in ({"height": 3}, {"height": -2, "width": -2}, {"height": 0}, {"max": 0.0},
                      {"min": 17.0}, {"width": 4, "height": 4})
    },
    "an image that is a table": changed("interface", "image", to=IMAGE, of=table()),
    "columns in another order": changed(
        "interface", "columns", to=table()["interface"]["columns"][::-1], of=table()),
    "a column less": changed(
        "interface", "columns", to=table()["interface"]["columns"][:3], of=table()),
    "no columns": changed("interface", "columns", to=[], of=table()),
    "text as a number": column(0, kind="text"),
    "a number as text": column(3, kind="number", categories=None),
    "categories of numbers": column(0, categories=["a"]),
    "a category twice": column(3, categories=["a", "a"]),
    "more categories than there may be": column(
        3, categories=[str(n) for n in range(101)], unseen=True),
    "columns into a matrix": changed("interface", "inputs", to=port(), of=table()),
    "an input that is missing": changed(
        "interface", "inputs", to=table()["interface"]["inputs"][:3], of=table()),
    "a matrix into columns": changed("interface", "inputs", to=table()["interface"]["inputs"]),
    "training values of too few features": changed("interface", "training", to=[{}] * 3),
    **{
        f"training values {values}": changed(
            "interface", "training", to=[values, {}, {}, {}], of=table())
        for values in ({"typical": "a"}, {"range": [2.0, 1.0]})
    },
    **{
        f"training values of text {values}": changed(
            "interface", "training", to=[{}, {}, {}, values], of=table())
        for values in ({"typical": 1.0}, {"range": [1.0, 2.0]})
    },
    "probabilities of numbers": changed(
        "interface", "outputs", to=[*numbers()["interface"]["outputs"], *outputs()[1:]],
        of=numbers()),
    "names of numbers": changed("interface", "label_names", to=["a"], of=numbers()),
    "numbers of text": changed("interface", "outputs", 0, "dtype", to="string", of=numbers()),
}  # fmt: skip


def test_the_manifests_to_be_broken_are_valid():
    for manifest in (PLAIN, table(), numbers(), changed("interface", "image", to=IMAGE)):
        assert manifests.decode(sealed(manifest), "m").interface.features


@pytest.mark.parametrize("manifest", WRONG.values(), ids=WRONG)
def test_a_contradictory_interface_is_refused(manifest):
    with pytest.raises(VerificationError, match=r"m: .*(interface|labels)") as refused:
        manifests.decode(sealed(manifest), "m")
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 400


@pytest.mark.parametrize(
    "manifest",
    [
        changed("interface", "columns", to=None),
        changed("interface", "limits", to=None),
        changed("metrics", "cv", to=None),
        changed("parity", "reason", to=None),
        column(0, range=None),
        column(3, lowercase=False),
    ],
)
def test_an_optional_field_is_absent_instead_of_null_or_false(manifest):
    with pytest.raises(VerificationError, match="with its default value must be absent"):
        manifests.decode(sealed(manifest), "m")


def test_verify_refuses_a_contradictory_interface_in_one_line(copied):
    manifest = json.loads((copied / "manifest.json").read_bytes())
    (copied / "manifest.json").write_bytes(
        sealed(changed("interface", "inputs", 0, "dtype", to="", of=manifest))
    )
    done = call("verify", copied, cwd=copied.parent)
    assert done.code == 4 and done.err.count("\n") == 1, done


def fewer(manifest, count):
    """Let a manifest speak of fewer features than its graph takes, and agree with itself."""
    interface = manifest["interface"]
    manifest["recipe"]["data"]["schema"]["features"] = count
    interface |= {"features": interface["features"][:count], "image": None}
    interface["training"] = interface["training"][:count]
    interface["inputs"][0]["shape"][1] = count


def fewer_labels(manifest):
    interface = manifest["interface"]
    interface["labels"], interface["label_names"] = interface["labels"][:9], list("abcdefghi")
    interface["outputs"][1]["shape"][1] = 9


def other_labels(manifest):
    interface = manifest["interface"]
    interface["labels"] = [str(label) for label in interface["labels"]]
    interface["outputs"][0]["dtype"] = "string"


def no_probabilities(manifest):
    del manifest["interface"]["outputs"][1]


@pytest.mark.parametrize(
    ("change", "what"),
    [(lambda manifest: fewer(manifest, 63), "inputs"), (fewer_labels, "outputs"),
     (other_labels, "outputs"), (no_probabilities, "outputs")],
)  # fmt: skip
def test_opening_refuses_an_interface_that_does_not_match_the_graph(copied, change, what):
    manifest = json.loads((copied / "manifest.json").read_bytes())
    change(manifest)
    (copied / "manifest.json").write_bytes(sealed(manifest))
    assert open_trusted(copied)
    with pytest.raises(VerificationError, match=f"the {what} of the graph are not those"):
        open_artifact(copied)


def graph(*nodes):
    """Return a graph that leaves open how wide its outputs are."""
    made = helper.make_graph(
        list(nodes), "g", [helper.make_tensor_value_info("X", T.DOUBLE, [None, 64])],
        [helper.make_tensor_value_info("label", T.INT64, None),
         helper.make_tensor_value_info("probabilities", T.DOUBLE, None)],
    )  # fmt: skip
    opset = [helper.make_opsetid("", 20)]
    return helper.make_model(made, opset_imports=opset, ir_version=9).SerializeToString()


def test_outputs_of_the_wrong_width_are_refused(copied):
    """A graph may leave its widths open, so they are looked at in each answer."""
    nodes = [
        helper.make_node("ArgMax", ["X"], ["label"], axis=1, keepdims=0),
        helper.make_node("Cast", ["X"], ["floats"], to=T.FLOAT),
        helper.make_node("NonZero", ["floats"], ["places"]),
        helper.make_node("Cast", ["places"], ["probabilities"], to=T.DOUBLE),
    ]
    digest = reseal(copied, "model.onnx", graph(*nodes))
    with pytest.raises(
        VerificationError, match="probabilities has more values than its manifest states"
    ):
        open_artifact(copied, digest).predict(np.ones((2, 64)))
