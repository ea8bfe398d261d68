"""Models and configs that would do more than predict: does anything open a file, or run?

`python -m benchmarks.trust.gadgets SHARE SEED` prints the figures as JSON. It is a process of its
own, because the audit hook that watches it stays until the end.

Three searches. What the attributes of every public estimator can do (`estimators.attributes_that`)
is found without the product. skops archives that use it, and others at random, are sealed, pinned
by their digest and opened, so that the check of what an archive holds is on its own; without a pin
every one must be refused. Every parameter of every estimator is given paths and names of files in
a config.
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
from typing import Any

import msgspec
import numpy as np
from sklearn.ensemble import StackingClassifier
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.semi_supervised import LabelPropagation
from sklearn.utils import all_estimators

from artifact_pipeline import canonical, open_artifact, seal, train_model
from artifact_pipeline.errors import PipelineError
from artifact_pipeline.estimators import parts_of
from benchmarks.trust import estimators
from benchmarks.trust.estimators import X, Y

ROOT = Path(__file__).resolve().parents[2]
_SCHEMA = "schema.json"
_MODULE = "zz_canary_module"
_EXAMPLES = 40
_RUNS = ("os.", "subprocess.", "socket.", "shutil.", "ctypes.", "pickle.", "tempfile.", "pty.")
# What Python and its libraries do by themselves, and what changes nothing.
_HARMLESS = ("os.listdir", "os.scandir", "os.walk", "ctypes.dlsym", "ctypes.get_errno")


class Figures(msgspec.Struct):
    """What came of the gadgets. Those of the second group must be 0."""

    estimators: int = 0
    powers: list[str] = []
    """What attributes can do: `Class.attribute names a method`."""
    archives: int = 0
    opened: int = 0
    """Archives that were opened and predicted: their change did no harm."""
    refused: int = 0
    configs: int = 0
    fitted: int = 0

    files: int = 0
    """Files that were opened, other than those of Python, the packages and the artifact."""
    ran: int = 0
    """Processes, sockets, changes of the file system and names looked up by a pickle."""
    unpinned: int = 0
    """Archives that were opened without a digest, a signature or a record of their origin."""
    tracebacks: int = 0

    examples: list[str] = []


MUST_BE_NONE = ("files", "ran", "unpinned", "tracebacks")


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
    """Return what comes of the three searches; `folder` is for artifacts and canaries."""
    figures, random = Figures(), Random(seed)
    (folder / f"{_MODULE}.py").write_text("", "utf-8")
    (folder / "text").write_text("a b", "utf-8")
    (folder / "folder").mkdir()
    sys.path.append(str(folder))
    fitted = list(estimators.all_fitted())
    if share < 1:
        fitted = random.sample(fitted, max(int(len(fitted) * share), 5))
    fitted += [("text", estimators.texts())]
    figures.estimators = len(fitted)
    base = Path(seal(LabelPropagation().fit(X, Y), X, Y, store=folder / "store").artifact)
    artifact = Path(shutil.copytree(base, folder / "artifact"))
    # `seal` noted what it wrote, which makes the origin of those bytes known; of others it is not.
    python = (sys.prefix, sys.base_prefix, str(ROOT), "/proc", "/sys", "/dev/null", "/etc/local")
    watch = Watch((*python, str(artifact)))
    _open(artifact, None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        powers = _powers(figures, watch, fitted)
        _archives(figures, watch, folder, artifact, fitted, powers, share, random)
        _configs(figures, watch, folder, share, random)
    return figures


# What attributes can do


def _powers(
    figures: Figures, watch: Watch, fitted: list[tuple[str, Any]]
) -> list[estimators.Found]:
    def opened() -> list[str]:
        return watch.taken()[0]

    watch.active = True
    found = [
        one for name, model in fitted for one in estimators.attributes_that(name, model, opened)
    ]
    watch.active = False
    watch.taken()
    named = {f"{one.estimator.partition(': ')[2]}.{one.attribute} {one.power}" for one in found}
    figures.powers = sorted(named)
    return found


# Archives


def _archives(
    figures: Figures,
    watch: Watch,
    folder: Path,
    artifact: Path,
    fitted: list[tuple[str, Any]],
    powers: list[estimators.Found],
    share: float,
    random: Random,
) -> None:
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
    for number, model in enumerate(_planned(folder)):
        trials.insert(number, (f"planned {number}", functools.partial(_dumped, model)))
    for number in range(max(int(4000 * share), 20)):
        name, model = random.choice(fitted)
        made = functools.partial(_random, model, values, Random(random.random()))
        trials.append((f"{name} at random ({number})", made))
    for name, make in trials:
        try:
            data = make()
        except Exception:  # noqa: BLE001  (skops has no word for it)
            continue
        if data is None:
            continue
        figures.archives += 1
        digest = _reseal(artifact, data)
        for pinned in (digest, None):
            _try_archive(figures, watch, artifact, pinned, name)


def _try_archive(
    figures: Figures, watch: Watch, artifact: Path, digest: str | None, name: str
) -> None:
    before = set(artifact.parent.iterdir())
    watch.taken()
    watch.active = True
    try:
        _open(artifact, digest)
        if digest is None:
            figures.unpinned += 1
            _note(figures, f"opened without a pin: {name}")
        else:
            figures.opened += 1
    except PipelineError:
        figures.refused += digest is not None
    except Exception as error:  # noqa: BLE001  (what is looked for)
        figures.tracebacks += 1
        _note(figures, f"{type(error).__name__}: {str(error)[:100]}: {name}")
    finally:
        watch.active = False
    _judge(figures, watch, name)
    for path in set(artifact.parent.iterdir()) - before:
        figures.files += 1
        _note(figures, f"made {path.name}: {name}")
        path.unlink()


def _judge(figures: Figures, watch: Watch, name: str) -> None:
    opened, ran = watch.taken()
    figures.files += len(opened)
    figures.ran += len(ran)
    for place in (*opened[:2], *ran[:2]):
        _note(figures, f"{place[:120]}: {name}")


def _open(artifact: Path, digest: str | None) -> None:
    predictor = open_artifact(artifact, digest)
    predictor.predict(X[:3])


def _planned(folder: Path) -> Iterator[Any]:
    """Yield models that ran code, or read files, before archives were looked into."""
    path = str(folder / "planned")
    for value in (np.array([1.0]), np.array(["a"], dtype=object), np.arange(3)):
        for method in ("tofile", "dump"):
            stack = StackingClassifier([("a", StandardScaler())], StandardScaler())
            stack.estimators_, stack.stack_method_ = [value], [method]
            stack.passthrough, stack.named_estimators_ = False, {}
            stack.final_estimator_ = StandardScaler()
            stack.classes_ = np.array([0, 1, 2])
            yield make_pipeline(FunctionTransformer(str), stack)
            yield make_pipeline(FunctionTransformer(np.array2string), stack)
            yield stack
    for reader in (CountVectorizer, HashingVectorizer):
        yield make_pipeline(FunctionTransformer(str), reader(input="filename"))
        yield reader(input="filename")
        yield reader(input="file")
        yield reader(tokenizer=np.save)
    for function in (np.save, np.fromfile, np.load, os.system, open, eval, str, np.savetxt):
        yield FunctionTransformer(function)
        yield FunctionTransformer(functools.partial(function, path))
    yield FunctionTransformer(operator.methodcaller("tofile", path))
    yield Pipeline([("s", StandardScaler())], memory=path)


def _values(folder: Path) -> list[Any]:
    """Return what attributes are given: names of methods and files, and objects that do more."""
    path = str(folder / "text")
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
    from artifact_pipeline.artifact.formats import skops

    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as file:
        for name, data in parts.items():
            file.writestr(name, data)
    try:
        return skops._numbered(target.getvalue())
    except KeyError:  # the schema names other parts by now
        return target.getvalue()


def _reseal(artifact: Path, data: bytes) -> str:
    """Put an archive under a manifest that vouches for it, and return the artifact's digest."""
    (artifact / "model.skops").write_bytes(data)
    manifest = json.loads((artifact / "manifest.json").read_bytes())
    for file in manifest["files"]:
        if file["path"] == "model.skops":
            file.update(sha256=canonical.digest(data), bytes=len(data))
    sealed = canonical.encode(manifest)
    (artifact / "manifest.json").write_bytes(sealed)
    return canonical.digest(sealed)


# Configs


def _configs(figures: Figures, watch: Watch, folder: Path, share: float, random: Random) -> None:
    """Give every parameter of every estimator what could be a file, in a config."""
    file, place = str(folder / "text"), str(folder / "folder")
    values: tuple[Any, ...] = (
        *(file, place, "filename", "file", "content", [file], {"log_file": file}),
        {"estimator": "sklearn.preprocessing.FunctionTransformer", "params": {"func": file}},
        {"estimator": "sklearn.gaussian_process.kernels.RBF", "params": {}},
    )
    trials = [
        (name, cls, parameter, value)
        for name, cls in all_estimators()
        for parameter in inspect.signature(cls).parameters
        for value in values
    ]
    if share < 1:
        trials = random.sample(trials, max(int(len(trials) * share), 20))
    for name, cls, parameter, value in trials:
        config = _config(cls, parameter, value)
        figures.configs += 1
        watch.taken()
        watch.active = True
        try:
            train_model(np.abs(X), Y, config)
            figures.fitted += 1
        except PipelineError:
            pass
        except Exception as error:  # noqa: BLE001  (what is looked for)
            figures.tracebacks += 1
            said = f"{type(error).__name__}: {str(error)[:100]}"
            _note(figures, f"{said}: {name}({parameter}={value!r})")
        finally:
            watch.active = False
        _judge(figures, watch, f"{name}({parameter}={value!r})")


def _config(cls: type[Any], parameter: str, value: Any) -> dict[str, Any]:
    public = [part for part in cls.__module__.split(".") if not part.startswith("_")]
    named = {"estimator": ".".join([*public, cls.__name__]), "params": {parameter: value}}
    if hasattr(cls, "predict"):
        model: dict[str, Any] = named
    else:
        tree = {"name": "m", "estimator": "sklearn.tree.DecisionTreeClassifier", "params": {}}
        model = {"steps": [{"name": "t", **named}, tree]}
    return {"data": {"dataset": "iris"}, "model": model}


def _note(figures: Figures, said: str) -> None:
    if len(figures.examples) < _EXAMPLES:
        figures.examples.append(said)


def main() -> None:
    """Search, and print the figures."""
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        figures = count(float(sys.argv[1]), int(sys.argv[2]), Path(scratch))
        os.chdir(ROOT)
    print(msgspec.json.encode(figures).decode())


if __name__ == "__main__":
    main()
