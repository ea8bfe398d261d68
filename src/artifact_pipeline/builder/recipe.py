"""What decides a model's bytes, and nothing else; its digest is the cache key.

>>> from artifact_pipeline.builder.artifact.describe import title
>>> from artifact_pipeline.builder.config.resolved import BundledData
>>> from artifact_pipeline.builder.data import bundled
>>> bayes = ModelConfig(estimator="sklearn.naive_bayes.GaussianNB", params={})
>>> iris = ResolvedConfig(data=BundledData("iris"), model=bayes)
>>> recipe = make(bayes, iris, bundled.describe(iris.data), "native")
>>> title(recipe), recipe.data.dataset, recipe.numerics.profile
('GaussianNB', 'iris', 'native')
"""

import json
import platform
import re
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from artifact_pipeline.builder import canonical, numeric_profile
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.builder.config.resolved import (
    EvaluationConfig,
    ModelConfig,
    ResolvedConfig,
    Search,
)
from artifact_pipeline.builder.config.schema import Method
from artifact_pipeline.builder.data import dataset
from artifact_pipeline.builder.environment import OF_TABLES, PACKAGES, _libc, versions

_ROOT = Path(__file__).resolve().parent


class SplitRecipe(
    Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """How the rows are parted."""

    method: Literal[Method, "given"]
    """`given`: all rows are held out, since the model was fitted elsewhere."""
    random_state: int | None = None
    column: str | None = None
    test_size: float | None = None
    stratify: bool | None = None

    def settings(self) -> str:
        """Return the settings as a line says them."""
        known = {
            "test_size": self.test_size,
            "random_state": self.random_state,
            "stratify": self.stratify,
        }
        said = [f"{k} {json.dumps(v)}" for k, v in known.items() if v is not None]
        if self.method == "given":
            return "none: the rows were given to measure it"
        how = [] if self.method == "random" else [f"by the {self.method} in {self.column}"]
        return ", ".join(how + said)


class Numerics(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The numeric profile, and the CPU that it is bound to where it is `native`."""

    profile: str
    cpu: str | None = None


class Platform(Struct, frozen=True, forbid_unknown_fields=True):
    """The kind of machine, and Python's minor version."""

    libc: str
    machine: str
    python: str
    system: str


class ImportedFrom(Struct, frozen=True, forbid_unknown_fields=True):
    """How a model came here that was not trained here: what sealed it, and its pickle's digest."""

    by: str
    pickle: Digest


class Recipe(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """All that decides a model's bytes."""

    recipe_version: Literal[1]
    code: Digest
    """Of this package's own sources that compute."""
    data: dataset.Description
    model: ModelConfig
    numerics: Numerics
    packages: dict[str, str]
    platform: Platform
    split: SplitRecipe
    search: Search | None = None
    evaluation: EvaluationConfig | None = None
    brought: ImportedFrom | None = None


def make(
    model: ModelConfig, full: ResolvedConfig, rows: dataset.Description, profile: str
) -> Recipe:
    """Return the recipe of a config on this machine.

    `model` is the config's own in full form (see `assembly.resolve`), `rows` what its data are.
    """
    split, random = full.split, full.split.method == "random"
    how = SplitRecipe(
        method=split.method,
        random_state=split.random_state,
        column=split.column,
        test_size=None if split.method == "column" else split.test_size,
        stratify=dataset.is_stratified(split, rows.schema.target) if random else None,
    )
    return msgspec.structs.replace(
        _here(model, rows, profile, how), search=full.search, evaluation=full.evaluation
    )


def brought(
    model: ModelConfig,
    rows: dataset.Description,
    profile: str,
    how: ImportedFrom,
    *,
    boosters: Iterable[str] = (),
) -> Recipe:
    """Return the recipe of a model that was fitted elsewhere, and measured on rows here.

    `boosters` are the packages beside scikit-learn that its estimators are from.
    """
    found = msgspec.structs.replace(
        _here(model, rows, profile, SplitRecipe(method="given")), brought=how
    )
    packages = {**found.packages, **versions(boosters)}
    return msgspec.structs.replace(found, packages=packages)


def _here(model: ModelConfig, rows: dataset.Description, profile: str, how: SplitRecipe) -> Recipe:
    named = msgspec.json.encode(model).decode()
    packages = {*PACKAGES, *re.findall(r'"estimator":"(lightgbm|xgboost)\.', named)}
    if rows.dataset is None:
        packages.update(OF_TABLES)
    return Recipe(
        recipe_version=1,
        code=code_digest(),
        data=rows,
        model=model,
        numerics=Numerics(
            profile, numeric_profile.cpu_model() if profile == numeric_profile.NATIVE else None
        ),
        packages=versions(packages),
        platform=Platform(
            libc=_libc(),
            machine=numeric_profile.machine(),
            python=f"{sys.version_info[0]}.{sys.version_info[1]}",
            system=platform.system(),
        ),
        split=how,
    )


def digest(recipe: Recipe) -> Digest:
    """Return the digest of the recipe's canonical JSON."""
    return canonical.digest(canonical.encode(msgspec.to_builtins(recipe)))


def _under(chosen: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the parameters of one step; under "" the estimator that takes its place."""
    found = {
        key.removeprefix(f"{name}__"): value
        for key, value in chosen.items()
        if key.startswith(f"{name}__")
    }
    return found | ({"": chosen[name]} if name in chosen else {})


@cache
def code_digest() -> Digest:
    """Return the digest of the sources of `builder/`, whatever their line ends."""
    lines = []
    for path in sorted(_ROOT.rglob("*.py"), key=lambda p: p.relative_to(_ROOT).as_posix()):
        source = path.read_bytes().replace(b"\r\n", b"\n")
        lines.append(f"{canonical.digest(source)} {path.relative_to(_ROOT).as_posix()}\n")
    return canonical.digest("".join(lines).encode())
