"""The JSON file that a user writes, checked: the short form, the full form, the JSON Schema.

>>> short = {"C": 1.0, "solver": "lbfgs", "max_iter": 50, "random_state": 7, "test_size": 0.2}
>>> full = load(short)
>>> full.data.dataset, full.model.estimator, full.split.random_state
('digits', 'sklearn.linear_model.LogisticRegression', 7)
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from artifact_pipeline import canonical
from artifact_pipeline.errors import ConfigError, ConfigNotFound
from artifact_pipeline.explain import explain, nearest, show

Source: TypeAlias = "str | os.PathLike[str] | dict[str, Any]"
"""A config as a path or as the dict that its file would hold."""

DEFAULT_PATH = "config/config.json"
MAX_BYTES = 1 << 20
Form = TypeVar("Form", bound=Struct)

Dataset: TypeAlias = Literal["breast_cancer", "diabetes", "digits", "iris", "wine"]
Seed: TypeAlias = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Fraction: TypeAlias = Annotated[float, Meta(gt=0, lt=1)]

_OF_CLASSES = ("accuracy", "f1_weighted", "f1_macro", "precision_weighted", "recall_weighted")
_OF_NUMBERS = ("r2", "mae", "rmse")
METRICS = tuple(f"{rows}.{n}" for rows in ("train", "test") for n in (*_OF_CLASSES, *_OF_NUMBERS))


class Data(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the rows come from."""

    dataset: Annotated[Dataset, Meta(description="One of scikit-learn's bundled data sets.")]


class Split(Struct, frozen=True, forbid_unknown_fields=True):
    """How the rows are parted into training and held-out rows."""

    test_size: Annotated[Fraction, Meta(description="The share of rows held out.")] = 0.2
    random_state: Annotated[
        Seed, Meta(description="Seeds the split, and each estimator that leaves its own unset.")
    ] = 42
    stratify: Annotated[
        bool | UnsetType,
        Meta(description="Whether each class keeps its share on both sides; so it is for classes."),
    ] = UNSET


class Step(Struct, frozen=True, forbid_unknown_fields=True):
    """One named step of a scikit-learn Pipeline."""

    name: Annotated[str, Meta(pattern="^[A-Za-z][A-Za-z0-9_-]*$", description="Unique; no `__`.")]
    estimator: Annotated[str, Meta(description="The public name of a scikit-learn class.")]
    params: Annotated[dict[str, Any], Meta(description="The arguments of its constructor.")] = {}


class Model(Struct, frozen=True, forbid_unknown_fields=True):
    """One estimator with its parameters, or a list of steps that ends in one."""

    estimator: Annotated[
        str | UnsetType,
        Meta(description="Such as sklearn.linear_model.LogisticRegression."),
    ] = UNSET
    params: Annotated[
        dict[str, Any] | UnsetType, Meta(description="The arguments of its constructor.")
    ] = UNSET
    steps: Annotated[
        Annotated[list[Step], Meta(min_length=1)] | UnsetType,
        Meta(description="The steps of a Pipeline, in place of both."),
    ] = UNSET

    def __post_init__(self) -> None:
        if (self.estimator is UNSET) == (self.steps is UNSET):
            raise ValueError("Expected either 'estimator' or 'steps'")
        if self.steps is not UNSET and self.params is not UNSET:
            raise ValueError("Expected 'params' in the steps, not beside them")

    def as_steps(self) -> list[Step]:
        """Return the steps, or the one estimator as the only step."""
        if isinstance(self.steps, list):
            return self.steps
        assert isinstance(self.estimator, str)
        return [Step("model", self.estimator, self.params or {})]


class Gate(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The bounds within which a metric must lie, both inclusive."""

    min: float | UnsetType = UNSET
    max: float | UnsetType = UNSET


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """What to train: the full form."""

    data: Data
    model: Model
    split: Split = Split()
    gates: Annotated[
        dict[str, Gate], Meta(description="Bounds on metrics, named like `test.accuracy`.")
    ] = {}


class Short(Struct, frozen=True, forbid_unknown_fields=True):
    """What to train: the short form, LogisticRegression on the digits."""

    C: Annotated[float, Meta(gt=0, description="Inverse strength of regularisation.")]
    solver: Annotated[str, Meta(description="The optimiser, such as lbfgs.")]
    max_iter: Annotated[int, Meta(ge=0, description="The most iterations that it may take.")]
    random_state: Annotated[Seed, Meta(description="Seeds the estimator and the split.")]
    test_size: Annotated[Fraction, Meta(description="The share of rows held out.")]
    gates: dict[str, Gate] = {}


class _Gates(Struct, frozen=True):
    gates: dict[str, Gate]


SHORT_KEYS = tuple(key for key in Short.__struct_fields__ if key != "gates")


def load(source: Source) -> Config:
    """Return the checked full form of the config at a path, or of a dict.

    Raises:
        ConfigNotFound: if there is no file at the path.
        ConfigError: for all else that is wrong with it, named by file and key.
    """
    if isinstance(source, dict):
        return parse(source, "config")
    return parse_bytes(read(source), os.fspath(source))


def parse_bytes(data: bytes, where: str) -> Config:
    """Return the checked full form of a config file's bytes; `where` names it in errors."""
    return parse(_decode(data, where), where)


def parse(raw: Any, where: str) -> Config:
    """Return the checked full form of what a config file holds; `where` names it in errors."""
    if not isinstance(raw, dict):
        raise ConfigError(f"found {show(raw)}, expected an object: {{…}}", where=where)
    try:
        canonical.encode(raw)
    except (canonical.NotCanonical, TypeError) as error:
        raise ConfigError(f"holds a value that JSON cannot say: {error}", where=where) from error
    if raw.keys() & set(Config.__struct_fields__) - {"gates"}:
        for key in SHORT_KEYS:
            if key in raw:
                hint = "in the full form it stands under model.params or split"
                raise ConfigError(f"{key!r} belongs to the short form; {hint}", where=where)
        config = _convert(raw, Config, where)
    else:
        config = _full(_convert(raw, Short, where))
    _check_model(config.model, where)
    _check_gates(config.gates, where)
    return config


def read(path: str | os.PathLike[str]) -> bytes:
    """Return the bytes of the config file at `path`.

    Raises:
        ConfigNotFound: if there is none.
        ConfigError: if it is no regular file, over a megabyte, or cannot be read.
    """
    where = os.fspath(path)
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            kind = "a folder" if Path(path).is_dir() else "not a regular file"
            raise ConfigError(f"is {kind}, expected a JSON file", where=where)
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise ConfigNotFound(
            f"no such file; name a config, as in {DEFAULT_PATH}", where=where
        ) from error
    except (OSError, ValueError) as error:  # a path with a NUL is a ValueError
        said = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot be read: {said}", where=where) from error
    if len(data) > MAX_BYTES:
        raise ConfigError(f"is over {MAX_BYTES} bytes, expected a config", where=where)
    return data


def load_config(path: str | os.PathLike[str] = DEFAULT_PATH) -> dict[str, Any]:
    """Return the values in the config file at `path` as they stand there, once checked."""
    raw: dict[str, Any] = _decode(read(path), os.fspath(path))
    parse(raw, os.fspath(path))
    return raw


def is_short(data: bytes) -> bool:
    """Return whether the bytes of a config that loads are of the short form."""
    raw = canonical.decode(data)
    return isinstance(raw, dict) and "model" not in raw


def load_gates(text: str, where: str) -> dict[str, Gate]:
    """Return the gates in a JSON text, which stand in the place of a config's.

    Raises:
        ConfigError: as `load`.
    """
    raw = {"gates": _decode(text.encode(), where)}
    gates = _convert(raw, _Gates, where).gates
    _check_gates(gates, where)
    return gates


def full_form(config: Config) -> dict[str, Any]:
    """Return `config` as the JSON value that, written to a file, gives it again."""
    return dict(msgspec.to_builtins(config))


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a config file, short form or full form."""
    forms, components = msgspec.json.schema_components(
        [Config, Short], ref_template="#/$defs/{name}"
    )
    components["Model"]["oneOf"] = [{"required": ["estimator"]}, {"required": ["steps"]}]
    components["Gate"]["minProperties"] = 1
    components["Model"]["dependentRequired"] = {"params": ["estimator"]}
    for name in ("Config", "Short"):
        components[name]["properties"]["gates"]["propertyNames"] = {"enum": list(METRICS)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A config of artifact-pipeline",
        "anyOf": list(forms),
        "$defs": components,
    }


def _decode(data: bytes, where: str) -> Any:
    if not data.strip():
        raise ConfigError("is empty, expected a JSON object: {…}", where=where)
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"is not UTF-8: byte {error.start} is 0x{data[error.start]:02x}; save it as UTF-8",
            where=where,
        ) from error
    try:
        return canonical.decode(data)
    except canonical.NotCanonical as error:
        raise ConfigError(f"is not a valid config: {error}", where=where) from error


def _full(short: Short) -> Config:
    params = {
        "C": short.C,
        "solver": short.solver,
        "max_iter": short.max_iter,
        "random_state": short.random_state,
    }
    return Config(
        data=Data(dataset="digits"),
        split=Split(test_size=short.test_size, random_state=short.random_state, stratify=True),
        model=Model(estimator="sklearn.linear_model.LogisticRegression", params=params),
        gates=short.gates,
    )


def _check_model(model: Model, where: str) -> None:
    names = [step.name for step in model.as_steps()]
    for index, name in enumerate(names):
        if name in names[:index] or "__" in name:
            why = "stands twice" if name in names[:index] else "holds '__'"
            raise ConfigError(
                f"{name!r} {why}, expected a unique name without '__'",
                where=f"{where}: model.steps[{index}].name",
            )


def _check_gates(gates: dict[str, Gate], where: str) -> None:
    for name, gate in gates.items():
        place = f"{where}: gates.{name}"
        if name not in METRICS:
            raise ConfigError(f"unknown metric; {nearest(name, METRICS)}", where=place)
        if gate.min is UNSET and gate.max is UNSET:
            raise ConfigError("found no bound, expected 'min', 'max' or both", where=place)


def _convert(raw: dict[str, Any], form: type[Form], where: str) -> Form:
    try:
        return msgspec.convert(raw, form)
    except msgspec.ValidationError as error:
        raise explain(error, raw, form, where) from error
