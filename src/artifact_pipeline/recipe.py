"""What decides a model's bytes, and nothing else; its digest is the cache key.

>>> from artifact_pipeline import bundled
>>> bayes = settings.Model(estimator="sklearn.naive_bayes.GaussianNB", params={})
>>> iris = settings.Data(dataset="iris")
>>> recipe = make(bayes, settings.Config(iris, bayes), bundled.describe(iris), "native")
>>> title(recipe), recipe.data.dataset, recipe.numerics.profile
('GaussianNB', 'iris', 'native')
"""

import json
import os
import platform
import re
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from artifact_pipeline import canonical, data, numerics, settings
from artifact_pipeline.canonical import Digest
from artifact_pipeline.errors import StoreError

PACKAGES = (
    "joblib",
    "numpy",
    "onnx",
    "onnxruntime",
    "protobuf",
    "scikit-learn",
    "scipy",
    "skl2onnx",
    "skops",
    "threadpoolctl",
)
"""The packages that compute: another version of one may give another model."""
OF_TABLES = ("pandas", "pyarrow")
"""Those that compute where the rows are a table."""

_ROOT = Path(__file__).resolve().parent
_DOES_NOT_COMPUTE = (
    "__init__.py",
    "__main__.py",
    "catalog.py",
    "checkout.py",
    "cli",
    "disk.py",
    "doctor.py",
    "drafting.py",
    "held_out.py",
    "errors.py",
    "explain.py",
    "inference.py",
    "local_state.py",
    "pipeline.py",
    "plan.py",
    "policy.py",
    "promotion.py",
    "provenance.py",
    "record.py",
    "report",
    "reproduction.py",
    "rivals.py",
    "rows.py",
    "serving",
    "store.py",
)


class Split(Struct, frozen=True, forbid_unknown_fields=True):
    """How the rows are parted."""

    method: Literal[settings.Method, "given"]
    """`given`: all rows are held out, since the model was fitted elsewhere."""
    random_state: int | UnsetType = UNSET
    column: str | UnsetType = UNSET
    test_size: float | UnsetType = UNSET
    stratify: bool | UnsetType = UNSET

    def settings(self) -> str:
        """Return the settings as a line says them."""
        known = {
            "test_size": self.test_size,
            "random_state": self.random_state,
            "stratify": self.stratify,
        }
        said = [f"{k} {json.dumps(v)}" for k, v in known.items() if v is not UNSET]
        if self.method == "given":
            return "none: the rows were given to measure it"
        how = [] if self.method == "random" else [f"by the {self.method} in {self.column}"]
        return ", ".join(how + said)


class Numerics(Struct, frozen=True, forbid_unknown_fields=True):
    """The numeric profile, and the CPU that it is bound to where it is `native`."""

    profile: str
    cpu: str | UnsetType = UNSET


class Platform(Struct, frozen=True, forbid_unknown_fields=True):
    """The kind of machine, and Python's minor version."""

    libc: str
    machine: str
    python: str
    system: str


class Brought(Struct, frozen=True, forbid_unknown_fields=True):
    """How a model came here that was not trained here: what sealed it, and its pickle's digest."""

    by: str
    pickle: Digest


class Recipe(Struct, frozen=True, forbid_unknown_fields=True):
    """All that decides a model's bytes."""

    recipe_version: Literal[1]
    code: Digest
    """Of this package's own sources that compute."""
    data: data.Description
    model: settings.Model
    numerics: Numerics
    packages: dict[str, str]
    platform: Platform
    split: Split
    search: settings.Search | UnsetType = UNSET
    evaluation: settings.Evaluation | UnsetType = UNSET
    brought: Brought | UnsetType = UNSET


def make(
    model: settings.Model, full: settings.Config, rows: data.Description, profile: str
) -> Recipe:
    """Return the recipe of a config on this machine.

    `model` is the config's own in full form (see `assembly.resolve`), `rows` what its data are.
    """
    split, random = full.split, full.split.method == "random"
    how = Split(
        method=split.method,
        random_state=split.random_state,
        column=split.column,
        test_size=UNSET if split.method == "column" else split.share(),
        stratify=data.is_stratified(split, rows.schema.target) if random else UNSET,
    )
    return msgspec.structs.replace(
        _here(model, rows, profile, how), search=full.search, evaluation=full.evaluation
    )


def brought(
    model: settings.Model,
    rows: data.Description,
    profile: str,
    how: Brought,
    *,
    boosters: Iterable[str] = (),
) -> Recipe:
    """Return the recipe of a model that was fitted elsewhere, and measured on rows here.

    `boosters` are the packages beside scikit-learn that its estimators are from.
    """
    found = msgspec.structs.replace(_here(model, rows, profile, Split("given")), brought=how)
    packages = {**found.packages, **versions(boosters)}
    return msgspec.structs.replace(found, packages=packages)


def _here(model: settings.Model, rows: data.Description, profile: str, how: Split) -> Recipe:
    named = msgspec.json.encode(model).decode()
    packages = {*PACKAGES, *re.findall(r'"estimator":"(lightgbm|xgboost)\.', named)}
    if rows.dataset is UNSET:
        packages.update(OF_TABLES)
    return Recipe(
        recipe_version=1,
        code=code_digest(),
        data=rows,
        model=model,
        numerics=Numerics(profile, numerics.cpu_model() if profile == numerics.NATIVE else UNSET),
        packages=versions(packages),
        platform=Platform(
            libc=_libc(),
            machine=numerics.machine(),
            python=f"{sys.version_info[0]}.{sys.version_info[1]}",
            system=platform.system(),
        ),
        split=how,
    )


def digest(recipe: Recipe) -> Digest:
    """Return the digest of the recipe's canonical JSON."""
    return canonical.digest(canonical.encode(msgspec.to_builtins(recipe)))


def title(recipe: Recipe) -> str:
    """Return what a person calls a recipe's model: the names of its classes."""
    return " → ".join(
        step.estimator.rpartition(".")[2]
        if isinstance(step.estimator, str)
        else "ColumnTransformer"
        for step in recipe.model.as_steps()
    )


def estimators(recipe: Recipe, chosen: Mapping[str, Any] | None = None) -> list[str]:
    """Return the steps of a recipe's model, one line each, branches as lines of their own.

    `chosen` are the parameters that a search chose, by the names that the search has for them:
    the lines are those of the estimator that was sealed, and one more says so.
    """
    lines = []
    named = recipe.model.steps is not UNSET
    for step in recipe.model.as_steps():
        own = _under(chosen or {}, step.name) if named else dict(chosen or {})
        for branch in step.branches or ():
            inner_own = _under(own, branch.name)
            several = branch.steps is not UNSET
            inner = " → ".join(
                _call(one, _under(inner_own, str(one.name)) if several else inner_own)
                for one in branch.as_steps()
            )
            lines.append(f"{branch.name} [{', '.join(branch.names())}]: {inner}")
        if isinstance(step.estimator, str):
            lines.append(_call(step, own))
    if chosen is not None and isinstance(recipe.search, settings.Search):
        said = ", ".join(f"{name}={json.dumps(value)}" for name, value in chosen.items())
        lines.append(f"chosen by a {recipe.search.method} search: {said}")
    return lines


def _under(chosen: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the parameters of one step; under "" the estimator that takes its place."""
    found = {
        key.removeprefix(f"{name}__"): value
        for key, value in chosen.items()
        if key.startswith(f"{name}__")
    }
    return found | ({"": chosen[name]} if name in chosen else {})


def _call(step: settings.Step | settings.Inner, chosen: Mapping[str, Any]) -> str:
    estimator, params = step.estimator, dict(step.params or {})
    own = dict(chosen)
    if (other := own.pop("", None)) is not None:
        if not isinstance(other, dict) or "estimator" not in other:
            return str(other)
        estimator, params = other["estimator"], dict(other.get("params", {}))
    said = ", ".join(f"{k}={json.dumps(v)}" for k, v in sorted({**params, **own}.items()))
    return f"{estimator}({said})"


@cache
def code_digest() -> Digest:
    """Return the digest of this package's own sources that compute, whatever their line ends."""
    lines = []
    for path in sorted(_ROOT.rglob("*.py"), key=lambda p: p.relative_to(_ROOT).as_posix()):
        name = path.relative_to(_ROOT).as_posix()
        if name.split("/")[0] not in _DOES_NOT_COMPUTE:
            source = path.read_bytes().replace(b"\r\n", b"\n")
            lines.append(f"{canonical.digest(source)} {name}\n")
    return canonical.digest("".join(lines).encode())


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the installed version of each package, read from the names of dist-info folders.

    importlib.metadata would say the same, and takes longer to import than this takes to run.

    Raises:
        StoreError: for a package that is not installed.
    """
    installed = _installed()
    wanted = sorted(packages)
    if missing := [name for name in wanted if name not in installed]:
        raise StoreError(
            f"{missing[0]} is not installed; pip install -r requirements.txt",
            where=sys.executable,
        )
    return {name: installed[name] for name in wanted}


@cache
def _installed() -> dict[str, str]:
    found: dict[str, str] = {}
    for folder in sys.path:
        try:
            names = [entry.name for entry in os.scandir(folder or ".")]
        except OSError:  # sys.path may name what is not there, or a zip file
            continue
        for name in names:
            if match := re.fullmatch(r"(.+)-([^-]+)\.dist-info", name):
                found.setdefault(re.sub(r"[-_.]+", "-", match[1]).lower(), match[2])
    return found


def _libc() -> str:
    """Return the kind of C library: its exp and log decide bits."""
    system = platform.system()
    if system != "Linux":
        return {"Darwin": "libSystem", "Windows": "ucrt"}.get(system, "unknown")
    try:
        named = os.confstr("CS_GNU_LIBC_VERSION")
    except (ValueError, OSError):
        named = None
    return "glibc" if named else "musl"
