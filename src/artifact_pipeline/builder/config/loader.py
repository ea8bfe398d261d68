"""Config files: read, checked and resolved, in the short or the full form, and their JSON Schema.

>>> short = {"C": 1.0, "solver": "lbfgs", "max_iter": 50, "random_state": 7, "test_size": 0.2}
>>> config = load(short)
>>> config.data.dataset, config.model.estimator, config.split.random_state
('digits', 'sklearn.linear_model.LogisticRegression', 7)
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.config.messages import explain, nearest, show
from artifact_pipeline.builder.config.resolved import (
    BundledData,
    Gate,
    ModelConfig,
    ResolvedConfig,
    TableData,
    resolve,
    resolve_gates,
)
from artifact_pipeline.builder.config.schema import (
    TABLE_KEYS,
    ConfigFile,
    DataSection,
    GateSection,
    ModelSection,
    ShortConfigFile,
    SplitSection,
    is_given,
)
from artifact_pipeline.builder.escapes import write_out
from artifact_pipeline.builder.metric_table import METRICS
from artifact_pipeline.errors import ConfigError, ConfigNotFound

Source: TypeAlias = "str | os.PathLike[str] | dict[str, Any]"
"""A config as a path or as the dict that its file would hold."""

DEFAULT_PATH = "config/config.json"
MAX_BYTES = 1 << 20
MAX_DEPTH = 64
"""Levels of lists and objects; what checks and builds estimators follows them by recursion."""
Form = TypeVar("Form", bound=Struct)

METRIC_NAMES = tuple(f"{rows}.{metric.name}" for rows in ("train", "test") for metric in METRICS)
_SLICED = re.compile(r"(test\.[a-z0-9_]+)\[(.+)\]")


class _Gates(Struct, frozen=True):
    gates: dict[str, GateSection]


_EITHER = {
    "DataSection": ("dataset", "path"),
    "ModelSection": ("estimator", "steps"),
    "StepSection": ("estimator", "branches"),
    "BranchSection": ("estimator", "steps"),
}
"""Pairs of keys of which a section has exactly one."""
SHORT_KEYS = tuple(key for key in ShortConfigFile.__struct_fields__ if key != "gates")


def load(source: Source) -> ResolvedConfig:
    """Return the checked full form of the config at a path, or of a dict.

    Raises:
        ConfigNotFound: if there is no file at the path.
        ConfigError: for all else that is wrong with it, named by file and key.
    """
    if isinstance(source, dict):
        return parse(source, "config")
    return parse_bytes(read(source), os.fspath(source))


def parse_bytes(data: bytes, where: str) -> ResolvedConfig:
    """Return the checked full form of a config file's bytes; `where` names it in errors."""
    return parse(_decode(data, where), where)


def parse(raw: Any, where: str) -> ResolvedConfig:
    """Return the checked full form of what a config file holds; `where` names it in errors."""
    if not isinstance(raw, dict):
        raise ConfigError(f"found {show(raw)}, expected an object: {{…}}", where=where)
    if _depth(raw) > MAX_DEPTH:
        raise ConfigError(f"is nested deeper than {MAX_DEPTH} levels", where=where)
    try:
        canonical.encode(raw)
    except (canonical.NotCanonical, TypeError) as error:
        raise ConfigError(f"holds a value that JSON cannot say: {error}", where=where) from error
    if raw.keys() & set(ConfigFile.__struct_fields__) - {"gates"}:
        for key in SHORT_KEYS:
            if key in raw:
                hint = "in the full form it stands under model.params or split"
                raise ConfigError(f"{key!r} belongs to the short form; {hint}", where=where)
        sections = _convert(raw, ConfigFile, where)
    else:
        sections = _full(_convert(raw, ShortConfigFile, where))
    config = resolve(sections)
    _check_model(config.model, where)
    _check_data(config, where)
    slices = config.evaluation.slices if config.evaluation else None
    _check_gates(sections.gates, where, list(slices or ()))
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
    _check_gates(gates, where, None)
    return resolve_gates(gates)


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a config file, short form or full form."""
    forms, components = msgspec.json.schema_components(
        [ConfigFile, ShortConfigFile], ref_template="#/$defs/{name}"
    )
    for name, (one, other) in _EITHER.items():
        components[name]["oneOf"] = [{"required": [one]}, {"required": [other]}]
    components["BranchSection"]["allOf"] = [
        {"oneOf": [{"required": ["columns"]}, {"required": ["column"]}]}
    ]
    for name in ("ModelSection", "StepSection", "BranchSection"):
        components[name]["dependentRequired"] = {"params": ["estimator"]}
    components["ModelSection"]["dependentRequired"]["preprocess"] = ["estimator"]
    components["StepSection"]["dependentRequired"]["remainder"] = ["branches"]
    components["DataSection"]["dependentRequired"] = {
        "path": ["target"],
        **{key: ["path"] for key in TABLE_KEYS},
    }
    bounds = [{"required": [key]} for key in ("min", "max", "not_worse_than")]
    components["GateSection"]["anyOf"] = bounds
    components["GateSection"]["dependentRequired"] = {"tolerance": ["not_worse_than"]}
    known = {"anyOf": [{"enum": list(METRIC_NAMES)}, {"pattern": f"^{_SLICED.pattern}$"}]}
    for name in ("ConfigFile", "ShortConfigFile"):
        components[name]["properties"]["gates"]["propertyNames"] = known
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


def _depth(value: Any) -> int:
    """Return how deep lists and objects are nested, up to just over the allowed depth."""
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


def _full(short: ShortConfigFile) -> ConfigFile:
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
        gates=short.gates,
    )


def _check_model(model: ModelConfig, where: str) -> None:
    _check_names([step.name for step in model.as_steps()], f"{where}: model.steps")
    for index, step in enumerate(model.as_steps()):
        if step.branches is not None:
            place = f"{where}: model.steps[{index}].branches"
            _check_names([branch.name for branch in step.branches], place)


def _check_names(names: list[str], place: str) -> None:
    for index, name in enumerate(names):
        if name in names[:index] or "__" in name:
            why = "stands twice" if name in names[:index] else "holds '__'"
            raise ConfigError(
                f"{name!r} {why}, expected a unique name without '__'",
                where=f"{place}[{index}].name",
            )


def _check_data(config: ResolvedConfig, where: str) -> None:
    """Refuse column names for rows without columns, and two roles for one column."""
    data, split = config.data, config.split
    if isinstance(data, BundledData):
        if split.column is not None:
            raise ConfigError(
                "a bundled data set has no such column; expected the method random",
                where=f"{where}: split.column",
            )
        return
    if data.csv is not None:
        try:
            "".encode(data.csv.encoding)
        except LookupError as error:
            raise ConfigError(
                f"found {show(data.csv.encoding)}, expected an encoding, such as latin-1",
                where=f"{where}: data.csv.encoding",
            ) from error
    _check_formats(data, where)
    special = {"target": data.target, "id": data.id, "split.column": split.column}
    names = [name for name in special.values() if name is not None]
    for key, name in special.items():
        if name is not None and names.count(name) > 1 and key != "target":
            place = key if "." in key else f"data.{key}"
            raise ConfigError(f"{show(name)} has another part already", where=f"{where}: {place}")
    for index, name in enumerate(data.drop):
        if name in names:
            place = f"{where}: data.drop[{index}]"
            raise ConfigError(f"{show(name)} is needed: it is no feature anyway", where=place)


def _check_formats(data: TableData, where: str) -> None:
    for column, form in data.formats.items():
        place = f"{where}: data.formats.{write_out(column)}"
        if form.date is not None and not _names_a_day(form.date):
            raise ConfigError(
                f"found {show(form.date)}, expected a format of Python's strptime with a year, "
                "such as %d/%m/%Y",
                where=f"{place}.date",
            )
        decimal = form.decimal or (data.csv.decimal if data.csv else ".")
        if form.thousands == decimal:
            raise ConfigError(
                f"found {show(decimal)}, which is the decimal mark too; name another as 'decimal'",
                where=f"{place}.thousands",
            )
        if data.columns.get(column, form.kind) != form.kind:
            raise ConfigError(
                f"is that of a {form.kind}, and data.columns makes the column a "
                f"{data.columns[column]}",
                where=place,
            )


def _names_a_day(form: str) -> bool:
    """Return whether a date in a format of `strptime` says at least which year it is in."""
    import datetime
    import re

    day = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    try:
        found = datetime.datetime.strptime(day.strftime(form), form)
    except (ValueError, re.error):  # of a directive that strptime does not know, or one twice
        return False
    return found.replace(tzinfo=datetime.UTC) == day


def _check_gates(gates: dict[str, GateSection], where: str, slices: list[str] | None) -> None:
    for name, gate in gates.items():
        place = f"{where}: gates.{write_out(name)}"
        sliced = _SLICED.fullmatch(name)
        if sliced and slices is not None and sliced[2] not in slices:
            hint = nearest(sliced[2], slices) if slices else "evaluation.slices names none"
            raise ConfigError(f"unknown slice {show(sliced[2])}; {hint}", where=place)
        metric = sliced[1] if sliced else name
        if metric not in METRIC_NAMES:
            raise ConfigError(f"unknown metric; {nearest(metric, METRIC_NAMES)}", where=place)
        if not any(is_given(gate, bound) for bound in ("min", "max", "not_worse_than")):
            raise ConfigError(
                "found no bound, expected 'min', 'max' or 'not_worse_than'", where=place
            )
        if is_given(gate, "tolerance") and not is_given(gate, "not_worse_than"):
            raise ConfigError("found 'tolerance' without 'not_worse_than'", where=place)


def _convert(raw: dict[str, Any], form: type[Form], where: str) -> Form:
    try:
        return msgspec.convert(raw, form)
    except msgspec.ValidationError as error:
        raise explain(error, raw, form, where) from error
