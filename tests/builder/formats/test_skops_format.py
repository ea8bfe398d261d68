"""The skops form, for estimators without a graph; the reader decides which types it trusts."""

import ast
import functools
import io
import json
import operator
import os
import zipfile
import zoneinfo
from pathlib import Path

import numpy as np
import pytest
import skops.io
from scipy import sparse
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_iris
from sklearn.ensemble import (
    BaggingClassifier,
    HistGradientBoostingClassifier,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
)
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.feature_selection import RFE
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process.kernels import RBF
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier, RadiusNeighborsClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from artifact_pipeline import open_artifact, open_trusted
from artifact_pipeline.builder.formats import skops_format as form
from artifact_pipeline.errors import VerificationError
from tests.support.artifacts import reseal
from tests.support.command import call, script
from tests.support.configs import ROOT, write
from tests.support.skops import exported, load

CONFIG = {
    "data": {"dataset": "iris"},
    "model": {"estimator": "sklearn.semi_supervised.LabelPropagation"},
}
X, y = load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def spread(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spread")
    done = call("run", write(folder, CONFIG), "--json", cwd=folder)
    assert done.code == 0, done.err
    return folder, done.json


@pytest.fixture(scope="module")
def model():
    return HistGradientBoostingClassifier(max_iter=2, max_leaf_nodes=4).fit(X, y)


@pytest.fixture(scope="module")
def archive(model):
    return exported(model)


def parts(archive):
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        return {name: file.read(name) for name in file.namelist()}


def packed(files, compression=zipfile.ZIP_STORED):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as file:
        for name, data in files:
            file.writestr(name, data)
    return target.getvalue()


@pytest.mark.slow
def test_an_estimator_without_a_graph_is_sealed_as_skops(spread):
    folder, run = spread
    manifest = open_trusted(folder / run["artifact"], run["digest"]).manifest
    assert manifest.parity.form == "skops" and manifest.parity.labels_equal
    assert [file.path for file in manifest.files if file.path.startswith("model")] == [
        "model.skops", "model_train.pkl"
    ]  # fmt: skip
    predicted = call("infer", "latest", "-", "--json", cwd=folder, stdin=b"5,3,1,0.2\n7,3,6,2.1\n")
    assert predicted.code == 0, predicted.err
    assert predicted.json["labels"] == [0, 2]


def test_neighbors_are_found_without_the_sealed_tree():
    fitted = RadiusNeighborsClassifier().fit(X, y)
    assert fitted._fit_method == "kd_tree"
    said = load(exported(fitted))(X)
    np.testing.assert_array_equal(said.predicted, fitted.predict(X))
    np.testing.assert_array_equal(said.probabilities, fitted.predict_proba(X))
    assert fitted._tree is not None


@pytest.mark.slow
def test_an_archive_is_reproducible_to_the_byte(spread):
    folder, run = spread
    done = call("reproduce", run["artifact"], "--strict", cwd=folder, env={"PYTHONHASHSEED": "5"})
    assert done.code == 0, done.out + done.err
    assert call("report", "latest", cwd=folder).code == 0


def test_an_opened_model_predicts_the_same(model, archive):
    outputs = load(archive)(X)
    assert (outputs.predicted == model.predict(X)).all()
    assert (outputs.probabilities == model.predict_proba(X)).all()


def test_the_list_of_trusted_types_is_the_readers():
    """What skops would load for whoever asks the archive which types to trust."""

    class Evil(LogisticRegression):
        def __reduce__(self):
            return (os.mkdir, ("fired",))

    for thing in (os.mkdir, Evil(), {"f": os.system}, [io.BytesIO], __import__):
        try:
            data = skops.io.dumps(thing)
        except Exception:  # noqa: BLE001  (then no archive can hold it)
            continue
        with pytest.raises(VerificationError, match="m: skops does not load it"):
            load(form._numbered(data))


def swapped(archive, old, new):
    files = parts(archive)
    schema = files["schema.json"].replace(old, new)
    assert schema != files["schema.json"]
    return packed({**files, "schema.json": schema}.items())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"TreePredictor"', b'"Popen"'),
        (b'"sklearn.ensemble._hist_gradient_boosting.predictor"', b'"os"'),
        (b'"__loader__": "ObjectNode"', b'"__loader__": "OperatorFuncNode"'),
        (b'"__loader__": "DictNode"', b'"__loader__": "MethodNode"'),
        (b'"__loader__": "JsonNode"', b'"__loader__": "FunctionNode"'),
        (b'"__loader__": "NdArrayNode"', b'"__loader__": "PartialNode"'),
        (b'"file": "', b'"file": "../'),
        (b'"protocol": ', b'"protocol": 9'),
    ],
)
def test_an_unknown_name_in_the_schema_is_refused(archive, old, new):
    with pytest.raises(VerificationError):
        load(swapped(archive, old, new))(X)


def test_zip_bombs_and_unknown_parts_are_refused(archive):
    files = parts(archive)
    bomb = packed([("schema.json", b"[" * (1 << 26))], zipfile.ZIP_DEFLATED)
    assert len(bomb) < 1 << 20
    for data, why in (
        (bomb, "unpacks to more"),
        (packed(files.items(), zipfile.ZIP_DEFLATED), "unpacks to more|compressed"),
        (packed([*files.items(), ("../x.npy", b"")]), "does not belong in a model"),
        (packed([*files.items(), ("1.npz", b"")]), "does not belong in a model"),
        (packed([*files.items(), ("1.bin", b"")]), "does not belong in a model"),
        (packed([("schema.json", b"[" * 1_000_000)]), ""),
        (packed([("schema.json", b"{}")]), ""),
        (packed([("1.npy", b"")]), ""),
        (archive[: len(archive) // 2], ""),
        (b"", ""),
    ):
        with pytest.raises(VerificationError, match=why or None):
            load(data)


@pytest.mark.parametrize(
    ("field", "value"),
    [("left", 0), ("left", 4_000_000), ("right", 1 << 31), ("feature_idx", 77),
     ("is_categorical", 1), ("feature_idx", -1)],
)  # fmt: skip
def test_a_tree_with_invalid_children_is_refused(field, value):
    model = HistGradientBoostingClassifier(max_iter=2).fit(X, y)
    nodes = model._predictors[0][0].nodes
    nodes[field][0] = np.array(value).astype(nodes[field].dtype)
    nodes["bitset_idx"][0] = 9
    with pytest.raises(VerificationError, match="a tree leads out of its nodes"):
        load(exported(model))


PATHS = ("src", ".", "tests/support/audit")
FUZZ = """
import io, sys, zipfile
from random import Random
from tests.robustness import nasty
from tests.support.skops import load
from artifact_pipeline.errors import VerificationError
import json, numpy as np
data = open(sys.argv[1], "rb").read()
with zipfile.ZipFile(io.BytesIO(data)) as file:
    files = {name: file.read(name) for name in file.namelist()}
random, taken = Random(3), 0
for _ in range(400):
    changed = nasty.mutated(json.loads(files["schema.json"]), random)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as file:
        for name, part in {**files, "schema.json": nasty.text(changed)}.items():
            file.writestr(name, part)
    try:
        load(target.getvalue())(np.zeros((2, 4)))
        taken += 1
    except VerificationError as error:
        assert "\\n" not in str(error)
print(taken)
"""


@pytest.mark.slow
def test_changed_schemas_are_refused_or_harmless(archive, tmp_path):
    """In a process of its own: what crashed it would be seen."""
    (tmp_path / "a").write_bytes(archive)
    env = {"PYTHONPATH": os.pathsep.join(str(ROOT / one) for one in PATHS)}
    done = script("-W", "ignore", "-c", FUZZ, tmp_path / "a", cwd=tmp_path, env=env)
    assert done.code == 0, done.err[-2000:]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.slow
def test_the_declared_form_must_be_the_form_of_the_file(spread, tmp_path, digits):
    import shutil

    folder, run = spread
    copy = shutil.copytree(folder / run["artifact"], tmp_path / "artifact")
    manifest = json.loads((copy / "manifest.json").read_bytes())
    manifest["parity"]["form"] = "onnx-float64"
    (copy / "manifest.json").write_bytes(
        json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    )
    with pytest.raises(VerificationError, match=r"does not list model\.onnx"):
        open_trusted(copy)
    graph = (digits.folder / "model.onnx").read_bytes()
    copy = shutil.copytree(folder / run["artifact"], tmp_path / "two")
    digest = reseal(copy, "model.skops", graph)
    with pytest.raises(VerificationError, match="skops does not load it"):
        open_artifact(copy, digest)


def with_attributes(estimator, **attributes):
    vars(estimator).update(attributes)
    return estimator


ARRAY = np.array([1.5])
FITTED = LogisticRegression().fit(X[:100], y[:100])
NAMES = np.array(["a", "b"])


def behind_text(model):
    """Return a Pipeline that hands `str(X)` to the model: whoever sends rows names a path."""
    return Pipeline([("text", FunctionTransformer(func=str)), ("model", model)])


def stacking(cls, **more):
    model = cls([("a", FITTED)], final_estimator=FITTED)
    return with_attributes(model, estimators_=[ARRAY], stack_method_=["tofile"],
                           final_estimator_=FITTED, **more)  # fmt: skip


ATTACKS = {
    "a stack of arrays": lambda: stacking(StackingClassifier, classes_=NAMES),
    "a stack of arrays that regresses": lambda: stacking(StackingRegressor),
    "a stack that dumps an estimator": lambda: with_attributes(
        stacking(StackingRegressor), estimators_=[FITTED], stack_method_=["set_params"]),
    "text as a path": lambda: behind_text(FITTED),
    "text on the way back": lambda: FunctionTransformer(inverse_func=str),
    "a chain of arrays": lambda: with_attributes(
        ClassifierChain(FITTED), estimators_=[ARRAY], chain_method_="tofile", order_=[0]),
    "a chain of estimators": lambda: with_attributes(
        ClassifierChain(FITTED), estimators_=[FITTED], chain_method_="fit", order_=[0]),
    "rows that name files": lambda: CountVectorizer(input="filename", vocabulary={"a": 0}),
    "rows that are files": lambda: HashingVectorizer(input="file"),
    "a tokenizer": lambda: TfidfVectorizer(tokenizer=list, vocabulary={"a": 0}),
    "an analyzer": lambda: CountVectorizer(analyzer=list, vocabulary={"a": 0}),
    "an array as a step": lambda: with_attributes(make_pipeline(FITTED), steps=[("a", ARRAY)]),
    "a cache": lambda: Pipeline([("a", FITTED)], memory="cache"),
    "arrays united": lambda: with_attributes(FeatureUnion([]), transformer_list=[("a", ARRAY)]),
    "an array as a branch": lambda: with_attributes(
        ColumnTransformer([]), transformers_=[("a", ARRAY, [0])]),
    "votes of arrays": lambda: with_attributes(VotingClassifier([]), estimators_=[ARRAY]),
    "bags of arrays": lambda: with_attributes(BaggingClassifier(), estimators_=[ARRAY]),
    "bags of arrays in an array": lambda: with_attributes(
        BaggingClassifier(), estimators_=np.array([ARRAY, None], dtype=object)),
    "many arrays": lambda: with_attributes(MultiOutputClassifier(FITTED), estimators_=[ARRAY]),
    "one array against the rest": lambda: with_attributes(
        OneVsRestClassifier(FITTED), estimators_=[ARRAY]),
    "calibrated arrays": lambda: with_attributes(
        CalibratedClassifierCV(), calibrated_classifiers_=[ARRAY]),
    "a frozen array": lambda: FrozenEstimator(ARRAY),
    "a threshold of an array": lambda: with_attributes(
        FixedThresholdClassifier(FITTED, response_method="tofile"), estimator_=FITTED),
    "a getter of importances": lambda: with_attributes(
        RFE(FITTED, importance_getter="__class__.__init__"), estimator_=FITTED),
    "a target's way back": lambda: with_attributes(
        TransformedTargetRegressor(func=str), transformer_=FITTED),
    "an array in a target's place": lambda: with_attributes(
        TransformedTargetRegressor(), transformer_=ARRAY),
    "an attribute as a method": lambda: with_attributes(LogisticRegression(), predict=RBF()),
    "a kernel in another's place": lambda: with_attributes(LogisticRegression(), coef_=RBF()),
    "a class as a metric": lambda: KNeighborsClassifier(metric=np.float64),
    "a class of Python": lambda: with_attributes(LogisticRegression(), C=str),
    "a function of numpy": lambda: FunctionTransformer(func=np.save),
    "a function of ours": lambda: FunctionTransformer(func=np.log),
    "a method": lambda: FunctionTransformer(func=FITTED.predict),
    "a partial": lambda: FunctionTransformer(func=functools.partial(str)),
    "an operator": lambda: FunctionTransformer(func=operator.methodcaller("tofile", "x")),
    "a time zone": lambda: with_attributes(LogisticRegression(), C=zoneinfo.ZoneInfo("UTC")),
    "sparse rows": lambda: with_attributes(LogisticRegression(), coef_=sparse.csr_matrix([[1.0]])),
    "no estimator": lambda: {"a": FITTED},
    "an array alone": lambda: ARRAY,
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_attributes_that_call_or_open_something_are_refused(attack):
    """Under the widest recipe: that of a model fitted elsewhere, which names no classes."""
    with pytest.raises(VerificationError, match="m: skops does not load it"):
        load(form._numbered(skops.io.dumps(attack())))


def test_the_attacks_work_without_the_checks(tmp_path, monkeypatch):
    """What skops itself holds to be safe writes, and reads, any file."""
    monkeypatch.chdir(tmp_path)
    stack = skops.io.loads(skops.io.dumps(behind_text(stacking(StackingRegressor))))
    with pytest.raises(AttributeError):  # after it has written
        stack.predict("written")
    assert (tmp_path / "written").read_bytes() == ARRAY.tobytes()
    reader = skops.io.loads(skops.io.dumps(ATTACKS["rows that name files"]()))
    (tmp_path / "secret").write_text("it is a a a secret".replace("a", "aa"))
    assert reader.set_params(vocabulary=["aa"]).transform(["secret"]).toarray().tolist() == [[3]]


def test_references_to_earlier_nodes_are_resolved():
    """skops takes the earlier object of that `__id__`, whatever the node says itself."""
    files = parts(form._numbered(skops.io.dumps(FunctionTransformer())))
    schema = json.loads(files["schema.json"])
    content = schema["content"]
    content["content"]["func"]["__id__"] = content["key_types"]["content"][0]["__id__"]
    data = packed({**files, "schema.json": json.dumps(schema)}.items())
    assert skops.io.loads(data).func is str
    with pytest.raises(VerificationError, match=r"FunctionTransformer\.func is a class"):
        load(data)


SYSTEM = {"__class__": "system", "__module__": "os", "__loader__": "FunctionNode"}
TEXT = {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": '"x"'}
TYPE = {"__class__": "str", "__module__": "builtins", "__loader__": "TypeNode"}


@pytest.mark.parametrize(
    ("path", "node"),
    [
        (("key_types", "content", 0), {**TYPE, "__class__": "eval"}),
        (("key_types", "content", 0), {**TYPE, "__loader__": "FunctionNode"}),
        (("key_types", "content", 0), {**TYPE, "__id__": 9, "content": SYSTEM}),
        (("key_types",), TEXT),
        (("content", "key_types"), SYSTEM),
        (("content", "__loader__"), TEXT),
        (("content", "C"), {**TEXT, "content": '{"a": [1]}'}),
        (("content", "C"), {**TEXT, "content": SYSTEM}),
        (("content", "C"), {"__class__": "slice", "__module__": "builtins",
                            "__loader__": "SliceNode", "content": {"start": SYSTEM}}),
        (("content", "C"), {"__class__": "slice", "__module__": "builtins",
                            "__loader__": "SliceNode", "content": {"start": [1]}}),
        (("content", "C"), {**TYPE, "__module__": "numpy", "__class__": "memmap"}),
        (("content", "coef_", "__class__"), "memmap"),
        (("content", "coef_", "file"), "schema.json"),
    ],
)  # fmt: skip
def test_a_misplaced_or_extended_node_is_refused(path, node):
    files = parts(exported(FITTED))
    schema = json.loads(files["schema.json"])
    place = schema["content"]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = node
    with pytest.raises(VerificationError, match="m: skops does not load it"):
        load(packed({**files, "schema.json": json.dumps(schema)}.items()))


def test_only_classes_of_the_recipe_are_created():
    assert load(exported(FITTED), "sklearn.linear_model.LogisticRegression")
    made_by_it = OneVsRestClassifier(FITTED).fit(X, y)
    assert load(exported(made_by_it), "sklearn.multiclass.OneVsRestClassifier")
    with pytest.raises(VerificationError, match="no estimator of its recipe contains"):
        load(exported(FunctionTransformer()), "sklearn.svm.SVC")  # a part that others make
        load(exported(KNeighborsClassifier()), "sklearn.svm.SVC")


def test_another_protocol_version_is_refused(archive):
    for protocol in (b"0", b"1", b"3", b"null", b'"2"', b"2.5"):
        with pytest.raises(VerificationError, match="expected the protocol 2"):
            load(swapped(archive, b'"protocol": 2', b'"protocol": ' + protocol))


UNUSED = {"tests", "externals", "_build_utils", "datasets", "estimator_checks", "_testing",
          "inspection", "metrics", "_plotting"}  # fmt: skip
# Where scikit-learn calls or reads by a name that is not in its source: reviewed one by one, and
# `skops_checks.ATTRIBUTES` bounds each name that comes from an attribute.
REVIEWED = {
    "callback._callback_context._call_hooks": "while it is fitted",
    "ensemble._stacking._method_name": "while it is fitted",
    "ensemble._stacking._transform": "stack_method_",
    "ensemble._stacking.fit": "while it is fitted",
    "feature_selection._base._get_feature_importances": "importance_getter",
    "model_selection._classification_threshold.predict": "response_method",
    "multioutput._get_predictions": "chain_method_",
    "multioutput.fit": "while it is fitted",
    "utils._response._get_response_values": "what those above hand it",
    "utils._response._get_response_values_binary": "what those above hand it",
    "utils._sparse._align_api_if_sparse": "names of its own",
    "utils.validation.check_symmetric": "names of its own",
}
RESPONSE = ("_check_response_method", "_get_response_values", "_get_response_values_binary")


def called(one):
    return one.func.id if isinstance(one, ast.Call) and isinstance(one.func, ast.Name) else None


def constant(argument):
    if isinstance(argument, (ast.List, ast.Tuple)):
        return all(map(constant, argument.elts))
    return isinstance(argument, ast.Constant)


def by_name(tree):
    """Yield the functions that call a method by a name that is not in the source."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        for one in ast.walk(function):
            if isinstance(one, ast.Call) and called(one.func) == "getattr":
                names = one.func.args[1:2]
            elif called(one) in ("attrgetter", "methodcaller"):
                names = one.args
            elif called(one) in RESPONSE:
                names = [
                    one.args[-1],
                    *(k.value for k in one.keywords if k.arg == "response_method"),
                ]
                names = names[-1:]
            else:
                continue
            if not all(map(constant, names)):
                yield function.name


@pytest.mark.slow
def test_every_attribute_that_names_a_method_is_known():
    import sklearn

    root, found = Path(sklearn.__file__).parent, set()
    for path in root.rglob("*.py"):
        place = path.relative_to(root).with_suffix("").parts
        if UNUSED.isdisjoint(place):
            names = by_name(ast.parse(path.read_text("utf-8")))
            found |= {".".join([*place, name]) for name in names}
    assert found == set(REVIEWED)
