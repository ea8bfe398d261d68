"""Models and configs that would do more than predict: does anything open a file, or run?

`python -m tests.robustness.gadgets SHARE SEED` prints the figures as JSON. It is a process of its
own, because the audit hook that watches it stays until the end.

Four searches. What the attributes of every public estimator can do (`estimators.attributes_that`)
is found without the product. skops archives that use it, and others at random, are sealed, pinned
by their digest and opened, so that the check of what an archive holds is on its own; without a pin
every one must be refused. Every parameter of every estimator is given paths and names of files in
a config. Graphs are marked as files of onnxruntime's own format.
"""

from __future__ import annotations

import copy
import functools
import inspect
import io
import json
import operator
import os
import shutil
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import msgspec
import numpy as np
import threadpoolctl
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import StackingClassifier
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, LabelEncoder, StandardScaler
from sklearn.semi_supervised import LabelPropagation
from sklearn.utils import all_estimators

from artifact_pipeline import open_artifact, seal, train_model
from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.model.estimators import parts_of
from artifact_pipeline.errors import PipelineError
from tests.robustness import estimators
from tests.robustness.estimators import X, Y

ROOT = Path(__file__).resolve().parents[2]
_SCHEMA = "schema.json"
_MODULE = "zz_canary_module"
_EXAMPLES = 40
_RUNS = ("os.", "subprocess.", "socket.", "shutil.", "ctypes.", "pickle.", "tempfile.", "pty.")
# What Python and its libraries do by themselves, and what changes nothing.
_HARMLESS = ("os.listdir", "os.scandir", "os.walk", "ctypes.dlsym", "ctypes.get_errno")


class Searched(msgspec.Struct):
    """What came of the archives, or of the configs. All but `tried` and `taken` must be 0."""

    tried: int = 0
    taken: int = 0
    """Archives that predicted and configs that were fitted: their change did no harm."""
    files: int = 0
    """Files that were opened, other than those of Python, the packages and the artifact."""
    ran: int = 0
    """Processes, sockets, changes of the file system and names looked up by a pickle."""
    unpinned: int = 0
    """Archives that were opened without a digest, a signature or a record of their origin."""
    opened: int = 0
    """Graphs that are files of onnxruntime's own format as well, and were opened."""
    tracebacks: int = 0
    examples: list[str] = []


class Figures(msgspec.Struct):
    """What came of the searches."""

    estimators: int
    powers: list[str]
    """What attributes can do: `Class.attribute names a method`."""
    archives: Searched
    configs: Searched
    graphs: Searched


MUST_BE_NONE = ("files", "ran", "unpinned", "tracebacks")


class Base(NamedTuple):
    """An artifact whose archive is replaced, and the rows that are predicted."""

    folder: Path
    rows: Any


class Watch:
    """An audit hook that notes what is opened and run while `active`."""

    def __init__(self, places: tuple[str, ...]) -> None:
        self.active = False
        self.opened: list[str] = []
        self.ran: list[str] = []
        self._places = places
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.active:
            return
        if event == "open" and isinstance(arguments[0], (str, bytes)):
            place = os.path.abspath(os.fsdecode(arguments[0]))  # noqa: PTH100
            writes = any(letter in str(arguments[1]) for letter in "wax+")
            if writes or not place.startswith(self._places):
                self.opened.append(place)
        elif event.startswith(_RUNS) and event not in _HARMLESS:
            self.ran.append(f"{event}{str(arguments)[:80]}")

    def taken(self) -> tuple[list[str], list[str]]:
        """Return what was opened and run since the last call."""
        found = (self.opened, self.ran)
        self.opened, self.ran = [], []
        return found


def count(share: float, seed: int, folder: Path) -> Figures:
    """Return what comes of the searches; `folder` is for artifacts and canaries."""
    random = Random(seed)
    os.environ["XDG_STATE_HOME"] = str(folder / "state")
    (folder / f"{_MODULE}.py").write_text("", "utf-8")
    (folder / "words").write_text("ab c0", "utf-8")
    (folder / "folder").mkdir()
    sys.path.append(str(folder))
    fitted = list(estimators.all_fitted(share, random))
    bases = {"numbers": _base(folder, "numbers", LabelPropagation().fit(X, Y), X)}
    text = estimators.texts()
    bases["text"] = _base(folder, "text", text, estimators.FRAME)
    # An unpinned artifact is looked up in the policy and among what this checkout wrote.
    looked_up = (str(folder / "artifacts"), str(folder / "state"))
    python = (sys.prefix, sys.base_prefix, str(ROOT), "/proc", "/sys", "/dev/null")
    watch = Watch((*python, *looked_up, *(str(base.folder) for base in bases.values())))
    fitted.append(("text", text))
    for base in bases.values():
        _open(base, None)
    # Threads that wait for each other cost more than they compute of so few rows.
    with warnings.catch_warnings(), threadpoolctl.threadpool_limits(1):
        warnings.simplefilter("ignore")
        powers = _powers(watch, fitted)
        archives = _archives(watch, folder, bases, fitted, powers, share, random)
        configs = _configs(watch, folder, share, random)
        graphs = _graphs(folder)
    named = {f"{one.estimator.partition(': ')[2]}.{one.attribute} {one.power}" for one in powers}
    return Figures(len(fitted), sorted(named), archives, configs, graphs)


# What attributes can do


def _powers(watch: Watch, fitted: list[tuple[str, Any]]) -> list[estimators.Found]:
    def opened() -> list[str]:
        return watch.taken()[0]

    watch.active = True
    found = [
        one for name, model in fitted for one in estimators.attributes_that(name, model, opened)
    ]
    watch.active = False
    watch.taken()
    return found


# Archives


def _archives(
    watch: Watch,
    folder: Path,
    bases: dict[str, Base],
    fitted: list[tuple[str, Any]],
    powers: list[estimators.Found],
    share: float,
    random: Random,
) -> Searched:
    figures = Searched()
    values = _values(folder)
    models = dict(fitted)
    trials: list[tuple[str, Callable[[], bytes | None]]] = []
    for one in powers:
        name, _, part = one.estimator.partition(": ")
        for value in values:
            made = functools.partial(_changed, models[name], part, one.attribute, value)
            trials.append((f"{one.estimator}.{one.attribute} = {str(value)[:60]}", made))
    random.shuffle(trials)
    del trials[max(int(2000 * share), 20) :]
    trials[:0] = [(name, functools.partial(_dumped, model)) for name, model in _planned(folder)]
    for number in range(max(int(4000 * share), 20)):
        name, model = random.choice(fitted)
        made = functools.partial(_random, model, values, Random(random.random()))
        trials.append((f"{name} at random ({number})", made))
    sealed = {(base.folder / "model.skops").read_bytes() for base in bases.values()}
    for name, make in trials:
        try:
            data = make()
        except Exception:  # noqa: BLE001  (skops has no word for it)
            continue
        if data is None or data in sealed:  # a change that changed nothing was made here
            continue
        figures.tried += 1
        base = bases["text" if name.startswith("text") else "numbers"]
        digest = _reseal(base.folder, data)
        for pinned in (digest, None):
            _try_archive(figures, watch, base, pinned, name)
    return figures


def _try_archive(
    figures: Searched, watch: Watch, base: Base, digest: str | None, name: str
) -> None:
    before = set(base.folder.parent.iterdir())
    watch.taken()
    watch.active = True
    try:
        _open(base, digest)
        if digest is None:
            figures.unpinned += 1
            _note(figures, f"opened without a pin: {name}")
        else:
            figures.taken += 1
    except PipelineError:
        pass
    except Exception as error:  # noqa: BLE001  (what is looked for)
        figures.tracebacks += 1
        _note(figures, f"{type(error).__name__}: {str(error)[:100]}: {name}")
    finally:
        watch.active = False
    _judge(figures, watch, name)
    for path in set(base.folder.parent.iterdir()) - before:
        figures.files += 1
        _note(figures, f"made {path.name}: {name}")
        path.unlink()


def _judge(figures: Searched, watch: Watch, name: str) -> None:
    opened, ran = watch.taken()
    figures.files += len(opened)
    figures.ran += len(ran)
    for place in (*opened[:2], *ran[:2]):
        _note(figures, f"{place[:120]}: {name}")


def _open(base: Base, digest: str | None) -> None:
    predictor = open_artifact(base.folder, digest)
    predictor.predict(base.rows)


def _base(folder: Path, name: str, model: Any, rows: Any) -> Base:
    """Return an artifact in the skops form, whose archive others replace."""
    sealed = seal(model, rows, Y, store=folder / "store")
    copied = Path(shutil.copytree(sealed.artifact, folder / name))
    if not (copied / "model.skops").is_file():
        raise RuntimeError(f"the model of {name} was sealed in another form")
    first = rows[:3]
    if name == "text":  # whoever asks names the files
        first = first.assign(text=str(folder / "words"))
    return Base(copied, first)


def _planned(folder: Path) -> Iterator[tuple[str, Any]]:
    """Yield models that ran code, or read files, before archives were looked into."""
    path = str(folder / "planned")
    dummy = DummyClassifier().fit(X, Y)
    for reader in (CountVectorizer(input="filename"), HashingVectorizer(input="filename")):
        text = copy.deepcopy(estimators.texts())
        reader.fit([str(folder / "words")])
        text[0].transformers_[0] = ("t", reader, "text")
        yield "text: a vectorizer of files", text
    functions: tuple[Any, ...] = (str, np.save, np.fromfile, np.load, open, eval, os.system)
    for function in functions:
        text = copy.deepcopy(estimators.texts())
        text[0].transformers_[0] = ("t", FunctionTransformer(function), "text")
        yield f"text: a transformer by {function.__name__}", text
    for value in (np.array([1.0]), np.array(["a"], dtype=object)):
        for method in ("tofile", "dump"):
            stack = StackingClassifier([("a", StandardScaler())], StandardScaler())
            stack.estimators_, stack.stack_method_ = [value], [method]
            stack.passthrough, stack.named_estimators_ = False, {}
            stack.final_estimator_, stack.classes_ = dummy, np.array([0, 1, 2])
            stack._label_encoder = LabelEncoder().fit(Y)
            yield f"stacking by {method}", make_pipeline(FunctionTransformer(str), stack)
            yield f"stacking by {method}", make_pipeline(FunctionTransformer(str), stack, dummy)
    for function in functions:
        yield "a function", make_pipeline(FunctionTransformer(function), dummy)
        partial = functools.partial(function, path)
        yield "a partial function", make_pipeline(FunctionTransformer(partial), dummy)
    caller = operator.methodcaller("tofile", path)
    yield "a caller of methods", make_pipeline(FunctionTransformer(caller), dummy)
    yield "memory", Pipeline([("s", StandardScaler().fit(X)), ("m", dummy)], memory=path)


def _values(folder: Path) -> list[Any]:
    """Return what attributes are given: names of methods and files, and objects that do more."""
    path = str(folder / "words")
    array = np.array([1.0, 2.0])
    return [
        *("tofile", "dump", "fit", "set_params", "filename", "file", path, str(folder / "folder")),
        *(array, np.array([path], dtype=object), [array], [["tofile"]], ["tofile"], [path]),
        *(FunctionTransformer(str), FunctionTransformer(np.save), [FunctionTransformer(str)]),
        *(CountVectorizer(input="filename"), HashingVectorizer(input="filename")),
        *(Pipeline([("s", StandardScaler())], memory=path), str, np.save, os.system),
        functools.partial(np.save, path),
        operator.methodcaller("tofile", path),
        array.tofile,
    ]


def _dumped(model: Any) -> bytes:
    import skops.io

    found: bytes = skops.io.dumps(model)
    return _stored(_parts(found))


def _changed(model: Any, part: str, attribute: str, value: Any) -> bytes | None:
    """Return the archive of a model one of whose attributes is another."""
    changed = copy.deepcopy(model)
    for one in parts_of(changed):
        if type(one).__name__ == part and hasattr(one, attribute):
            setattr(one, attribute, value)
            return _dumped(changed)
    return None


def _random(model: Any, values: list[Any], random: Random) -> bytes | None:
    """Return the archive of a model with changes at random, in its objects or in its schema."""
    changed = copy.deepcopy(model)
    for _ in range(random.choice((0, 1, 1, 2, 3))):
        part = random.choice(list(parts_of(changed)))
        names = [*vars(part), *vars(part), *_SHADOWED]
        setattr(part, random.choice(names), random.choice(values))
    data = _dumped(changed)
    if random.random() < 0.4:
        return data
    parts = _parts(data)
    schema = json.loads(parts[_SCHEMA])
    for _ in range(random.choice((1, 1, 2, 4))):
        _edit(schema, random)
    return _stored({**parts, _SCHEMA: json.dumps(schema).encode()})


_SHADOWED = (
    *("predict", "transform", "predict_proba", "classes_", "fit", "n_features_in_", "func"),
    *("memory", "input", "analyzer", "kernel", "metric", "steps", "__dict__", "__class__"),
)
"""Names that an attribute may take, beside those that an estimator has."""
_TYPES = (
    *(("builtins", "str"), ("builtins", "eval"), ("builtins", "open"), ("os", "system")),
    *(("numpy", "load"), ("numpy", "fromfile"), ("numpy", "memmap"), ("numpy", "ndarray")),
    *((_MODULE, "Canary"), ("sklearn.datasets", "load_files"), ("joblib", "Memory")),
    *(("sklearn.feature_extraction.text", "CountVectorizer"), ("pathlib", "Path")),
    *(("sklearn.datasets._base", "load_csv_data"), ("subprocess", "Popen"), ("shutil", "rmtree")),
)
_LOADERS = (
    *("ObjectNode", "FunctionNode", "MethodNode", "TypeNode", "PartialNode", "OperatorFuncNode"),
    *("ReduceNode", "JsonNode", "NdArrayNode", "ListNode", "DictNode", "TupleNode", "CachedNode"),
    *("DTypeNode", "BytesNode"),
)


def _edit(schema: Any, random: Random) -> None:
    """Change a node of a schema: its kind, its class, its identity, or what is in it."""
    nodes = list(_nodes(schema))
    node, other = random.choice(nodes), random.choice(nodes)
    kind = random.randrange(6)
    if kind == 0:
        node["__loader__"] = random.choice(_LOADERS)
    elif kind == 1:
        node["__module__"], node["__class__"] = random.choice(_TYPES)
    elif kind == 2:
        node["__loader__"] = random.choice(_LOADERS)
        node["__module__"], node["__class__"] = random.choice(_TYPES)
    elif kind == 3 and "__id__" in other:
        node["__id__"] = other["__id__"]
    elif kind == 4:
        node.update(copy.deepcopy(other))
    else:
        node["content"] = copy.deepcopy(other.get("content"))


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if "__loader__" in value:
            yield value
        for inner in value.values():
            yield from _nodes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _nodes(inner)


def _parts(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        return {name: file.read(name) for name in file.namelist()}


def _stored(parts: dict[str, bytes]) -> bytes:
    """Return an archive as the product writes it: uncompressed, its parts named by numbers."""
    from artifact_pipeline.builder.formats import skops_format

    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as file:
        for name, data in parts.items():
            file.writestr(name, data)
    try:
        return skops_format._numbered(target.getvalue())
    except KeyError:  # the schema names other parts by now
        return target.getvalue()


def _reseal(artifact: Path, data: bytes, model: str = "model.skops") -> str:
    """Put a model under a manifest that vouches for it, and return the artifact's digest."""
    (artifact / model).write_bytes(data)
    manifest = json.loads((artifact / "manifest.json").read_bytes())
    for file in manifest["files"]:
        if file["path"] == model:
            file.update(sha256=canonical.digest(data), bytes=len(data))
    sealed = canonical.encode(manifest)
    (artifact / "manifest.json").write_bytes(sealed)
    return canonical.digest(sealed)


# Graphs


def _graphs(folder: Path) -> Searched:
    """Mark a graph as a file of onnxruntime's own format, of which other bytes would be read."""
    sealed = seal(LogisticRegression().fit(X, Y), X, Y, store=folder / "store")
    base = Base(Path(shutil.copytree(sealed.artifact, folder / "graph")), X[:3])
    whole = (base.folder / "model.onnx").read_bytes()
    _open(base, sealed.digest)
    marked = {
        "producer_name": b"\x12\x06xxORTM" + whole,
        "ir_version and doc_string": b"\x08\x09\x32\x04ORTM" + whole,
        "domain": b"\x22\x06xxORTM" + whole,
        "an unknown field": b"\x7a\x06xxORTM" + whole,
        "a field of two bytes": b"\xba\x06\x05xORTM" + whole,
        "no protobuf": whole[:4] + b"ORTM" + whole[8:],
        "a flatbuffer": b"\x18\0\0\0ORTM" + bytes(64),
    }
    figures = Searched()
    for name, data in marked.items():
        figures.tried += 1
        digest = _reseal(base.folder, data, "model.onnx")
        try:
            _open(base, digest)
            figures.opened += 1
            _note(figures, f"opened though it is an ORT file: {name}")
        except PipelineError:
            pass
        except Exception as error:  # noqa: BLE001  (what is looked for)
            figures.tracebacks += 1
            _note(figures, f"{type(error).__name__}: {str(error)[:100]}: {name}")
    return figures


# Configs


def _configs(watch: Watch, folder: Path, share: float, random: Random) -> Searched:
    """Give every parameter of every estimator what could be a file, in a config."""
    figures = Searched()
    file, place = str(folder / "words"), str(folder / "folder")
    values: tuple[Any, ...] = (
        *(file, place, "filename", "file", "content", [file], {"log_file": file}),
        {"estimator": "sklearn.preprocessing.FunctionTransformer", "params": {"func": file}},
        {"estimator": "sklearn.gaussian_process.kernels.RBF", "params": {}},
    )
    trials = [
        (name, cls, parameter, value)
        for name, cls in all_estimators()
        for parameter, known in inspect.signature(cls).parameters.items()
        for value in (*values, *([known.default] if _is_plain(known.default) else []))
    ]
    if share < 1:
        trials = random.sample(trials, max(int(len(trials) * share), 20))
    for name, cls, parameter, value in trials:
        config = _config(cls, parameter, value)
        figures.tried += 1
        watch.taken()
        watch.active = True
        try:
            train_model(np.abs(X), Y, config)
            figures.taken += 1
        except PipelineError:
            pass
        except Exception as error:  # noqa: BLE001  (what is looked for)
            figures.tracebacks += 1
            said = f"{type(error).__name__}: {str(error)[:100]}"
            _note(figures, f"{said}: {name}({parameter}={value!r})")
        finally:
            watch.active = False
        _judge(figures, watch, f"{name}({parameter}={value!r})")
    return figures


def _is_plain(value: Any) -> bool:
    """Return whether a default can be written into a config, which must then be fitted."""
    return value is None or type(value) in (bool, int, float, str)


def _config(cls: type[Any], parameter: str, value: Any) -> dict[str, Any]:
    public = [part for part in cls.__module__.split(".") if not part.startswith("_")]
    named = {"estimator": ".".join([*public, cls.__name__]), "params": {parameter: value}}
    if hasattr(cls, "predict"):
        model: dict[str, Any] = named
    else:
        tree = {"name": "m", "estimator": "sklearn.tree.DecisionTreeClassifier", "params": {}}
        model = {"steps": [{"name": "t", **named}, tree]}
    return {"data": {"dataset": "iris"}, "model": model}


def _note(figures: Searched, said: str) -> None:
    if len(figures.examples) < _EXAMPLES:
        figures.examples.append(said)


def main() -> None:
    """Search, and print the figures."""
    # Estimators print, some by compiled code, and the figures are to be read by a program.
    out = os.dup(1)
    os.dup2(2, 1)
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        figures = count(float(sys.argv[1]), int(sys.argv[2]), Path(scratch))
        os.chdir(ROOT)
    with os.fdopen(out, "wb") as file:
        file.write(msgspec.json.encode(figures) + b"\n")


if __name__ == "__main__":
    main()
