"""Config files in the short or the full form: read, checked and resolved.

>>> short = {"C": 1.0, "solver": "lbfgs", "max_iter": 50, "random_state": 7, "test_size": 0.2}
>>> config = load(short)
>>> config.data.dataset, config.model.estimator, config.split.random_state
('digits', 'sklearn.linear_model.LogisticRegression', 7)
"""

from __future__ import annotations

import json
import os
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.config.checks import check_config, check_gates
from artifact_pipeline.builder.config.defaults import resolve, resolve_gates
from artifact_pipeline.builder.config.messages import explain, show
from artifact_pipeline.builder.config.resolved import Gate, ResolvedConfig
from artifact_pipeline.builder.config.schema import (
    ConfigFile,
    DataSection,
    GateSection,
    ModelSection,
    ShortConfigFile,
    SplitSection,
)
from artifact_pipeline.builder.config.source import DEFAULT_PATH, Source, read
from artifact_pipeline.errors import ConfigError, Location

MAX_DEPTH = 64
"""Levels of lists and objects; checks and the construction of estimators recurse into them."""
COMMON_KEYS = ("name", "description", "gates")
"""The keys of both forms."""
SHORT_KEYS = tuple(key for key in ShortConfigFile.__struct_fields__ if key not in COMMON_KEYS)

Form = TypeVar("Form", bound=Struct)


class _Gates(Struct, frozen=True):
    gates: dict[str, GateSection]


def load(source: Source) -> ResolvedConfig:
    """Return the config at a path or in a dict.

    Raises:
        ConfigNotFound: If the file does not exist.
        ConfigError: If the config is wrong, with the file and the key.
    """
    if isinstance(source, dict):
        return parse(source, "config")
    return parse_bytes(read(source), os.fspath(source))


def parse_bytes(data: bytes, name: str) -> ResolvedConfig:
    """Return the config in a file's bytes.

    Args:
        data: The bytes.
        name: The name of the file in errors.

    Raises:
        ConfigError: If the config is wrong, with the key.
    """
    return parse(_decode(data, Location(name)), name)


def parse(value: Any, name: str) -> ResolvedConfig:
    """Return the config in a decoded file.

    Args:
        value: The decoded JSON.
        name: The name of the file in errors.

    Raises:
        ConfigError: If the config is wrong, with the key.
    """
    file = Location(name)
    if not isinstance(value, dict):
        is_table = isinstance(value, list) and value and isinstance(value[0], dict)
        raise ConfigError(
            f"found {show(value)}, expected an object: {{…}}",
            location=file,
            remedy=f"draft a config for this table: artifact-pipeline init {name} --target COLUMN"
            if is_table
            else None,
        )
    if _depth(value) > MAX_DEPTH:
        raise ConfigError(f"is nested deeper than {MAX_DEPTH} levels", location=file)
    try:
        canonical.encode(value)
    except (canonical.NotCanonical, TypeError) as error:
        raise ConfigError(
            f"contains a value that JSON cannot represent: {error}", location=file
        ) from error
    sections = _sections(value, file)
    config = resolve(sections)
    check_config(config, file)
    slices = config.evaluation.slices if config.evaluation else None
    check_gates(sections.gates, file, slices=list(slices or ()))
    return config


def load_config(path: str | os.PathLike[str] = DEFAULT_PATH) -> dict[str, Any]:
    """Return the values in a config file unchanged, after checking them."""
    values: dict[str, Any] = _decode(read(path), Location(os.fspath(path)))
    parse(values, os.fspath(path))
    return values


def is_short(data: bytes) -> bool:
    """Return whether the bytes of a valid config are in the short form."""
    value = canonical.decode(data)
    return isinstance(value, dict) and "model" not in value


def load_gates(text: str, name: str) -> dict[str, Gate]:
    """Return the gates in a JSON text, which replace those of a config.

    Args:
        text: The JSON.
        name: Its name in errors.

    Raises:
        ConfigError: If they are wrong, with the key.
    """
    file = Location(name)
    try:
        value = _decode(text.encode(), file)
    except ConfigError as error:
        remedy = error.remedy or 'expected gates such as {"test.accuracy": {"min": 0.9}}'
        raise ConfigError(error.problem, location=error.location, remedy=remedy) from error
    gates = _convert({"gates": value}, _Gates, file=file).gates
    check_gates(gates, file, slices=None)
    return resolve_gates(gates)


def _decode(data: bytes, file: Location) -> Any:
    if not data.strip():
        raise ConfigError("is empty, expected a JSON object: {…}", location=file)
    try:
        data.decode()
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8: byte {error.start} is 0x{data[error.start]:02x}"
        raise ConfigError(problem, location=file, remedy="save it as UTF-8") from error
    try:
        return canonical.decode(data)
    except canonical.NotCanonical as error:
        problem, location, remedy = f"is not a valid config: {error}", file, None
        if isinstance(syntax := error.__cause__, json.JSONDecodeError):
            problem = f"is not JSON: {syntax.msg}, column {syntax.colno}"
            location = file.at(line=syntax.lineno)
            before, after = syntax.doc[: syntax.pos].rstrip(), syntax.doc[syntax.pos :].lstrip()
            if before.endswith(",") and after[:1] in ("}", "]"):
                remedy = f"remove the comma before {after[0]}"
        raise ConfigError(problem, location=location, remedy=remedy) from error


def _depth(value: Any) -> int:
    """Return the depth of nested lists and objects, up to just over the allowed depth."""
    depth, level = 0, [value]
    while level and depth <= MAX_DEPTH:
        inside = (
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        )
        level = list({id(inner): inner for inner in inside}.values())
        depth += 1
    return depth


def _sections(value: dict[str, Any], file: Location) -> ConfigFile:
    """Return the full form of a config in either form."""
    if not value.keys() & set(ConfigFile.__struct_fields__) - set(COMMON_KEYS):
        return _full_form(_convert(value, ShortConfigFile, file=file))
    for key in SHORT_KEYS:
        if key in value:
            raise ConfigError(
                f"{key!r} belongs to the short form",
                location=file,
                remedy="in the full form it is under model.params or split",
            )
    return _convert(value, ConfigFile, file=file)


def _full_form(short: ShortConfigFile) -> ConfigFile:
    params = {
        "C": short.C,
        "solver": short.solver,
        "max_iter": short.max_iter,
        "random_state": short.random_state,
    }
    return ConfigFile(
        data=DataSection(dataset="digits"),
        split=SplitSection(
            test_size=short.test_size, random_state=short.random_state, stratify=True
        ),
        model=ModelSection(estimator="sklearn.linear_model.LogisticRegression", params=params),
        name=short.name,
        description=short.description,
        gates=short.gates,
    )


def _convert(value: dict[str, Any], form: type[Form], *, file: Location) -> Form:
    try:
        return msgspec.convert(value, form)
    except msgspec.ValidationError as error:
        raise explain(error, value, form=form, file=file) from error
