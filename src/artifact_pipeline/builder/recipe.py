"""The recipe: everything that decides a model's bytes, and nothing else.

Its digest is the key under which the artifact is stored.

>>> from artifact_pipeline.builder.artifact.describe import title
>>> from artifact_pipeline.builder.config.resolved import BundledData
>>> from artifact_pipeline.builder.data import bundled
>>> bayes = ModelConfig(estimator="sklearn.naive_bayes.GaussianNB", params={})
>>> iris = ResolvedConfig(data=BundledData("iris"), model=bayes)
>>> recipe = make(bayes, iris, rows=bundled.describe(iris.data), profile="native")
>>> title(recipe), recipe.data.dataset, recipe.numerics.profile
('GaussianNB', 'iris', 'native')
"""

import json
import os
import platform
import re
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from artifact_pipeline.builder import canonical, numeric_profile
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.builder.config.model_name import ModelDescription, ModelName
from artifact_pipeline.builder.config.resolved import (
    EvaluationConfig,
    ModelConfig,
    ResolvedConfig,
    Search,
)
from artifact_pipeline.builder.config.values import Method
from artifact_pipeline.builder.data import dataset
from artifact_pipeline.builder.environment import PACKAGES, TABLE_PACKAGES, libc, versions

_ROOT = Path(__file__).resolve().parent


class SplitRecipe(
    Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """The split into training and held-out rows."""

    method: Literal[Method, "given"]
    """`given`: all rows are held out, because the model was fitted elsewhere."""
    random_state: int | None = None
    column: str | None = None
    test_size: float | None = None
    stratify: bool | None = None

    def settings(self) -> str:
        """Return the settings on one line."""
        if self.method == "given":
            return "none, all rows are held out"
        by = [] if self.method == "random" else [f"by {self.method}, column {self.column}"]
        settings = {
            "test_size": self.test_size,
            "random_state": self.random_state,
            "stratify": self.stratify,
        }
        pairs = [f"{name} {json.dumps(value)}" for name, value in settings.items()
                 if value is not None]  # fmt: skip
        return ", ".join(by + pairs)


class Numerics(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The numeric profile, and the CPU model if the profile is `native`."""

    profile: str
    cpu: str | None = None


class Platform(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The system, architecture and C library, and Python's minor version."""

    libc: str
    machine: str
    python: str
    system: str


class ImportedFrom(Struct, frozen=True, forbid_unknown_fields=True):
    """The origin of a model that was fitted elsewhere."""

    by: str
    """The package and release that imported it."""
    pickle: Digest


class Recipe(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Everything that decides a model's bytes."""

    recipe_version: Literal[1]
    name: ModelName | None = None
    """The name of the model; None in recipes of earlier releases."""
    description: ModelDescription | None = None
    code: Digest
    """See `code_digest`."""
    data: dataset.Description
    model: ModelConfig
    numerics: Numerics
    packages: dict[str, str]
    """Versions by package."""
    platform: Platform
    split: SplitRecipe
    search: Search | None = None
    evaluation: EvaluationConfig | None = None
    brought: ImportedFrom | None = None
    """For a model that was fitted elsewhere."""


def make(
    model: ModelConfig, config: ResolvedConfig, *, rows: dataset.Description, profile: str
) -> Recipe:
    """Return the recipe of a config on this machine.

    Args:
        model: The config's model in full form; see `construction.resolve`.
        config: The config.
        rows: Its rows.
        profile: The numeric profile.

    Raises:
        MissingDependency: If a package that computes is not installed.
    """
    method, test_size = config.split.method, config.split.test_size
    stratify = dataset.is_stratified(config.split, rows.schema.target)
    split = SplitRecipe(
        method=method,
        random_state=config.split.random_state,
        column=config.split.column,
        test_size=None if method == "column" else test_size,
        stratify=stratify if method == "random" else None,
    )
    recipe = _on_this_machine(model, rows, profile=profile, split=split)
    return replace(
        recipe,
        name=config.name,
        description=config.description,
        search=config.search,
        evaluation=config.evaluation,
    )


def make_imported(
    model: ModelConfig,
    rows: dataset.Description,
    *,
    name: str,
    description: str | None,
    imported_from: ImportedFrom,
    boosters: Iterable[str] = (),
) -> Recipe:
    """Return the recipe of a model that was fitted elsewhere.

    Args:
        model: The names of its estimators.
        rows: The rows that it is measured on.
        name: The name of the model.
        description: Its description, if it has one.
        imported_from: Its origin.
        boosters: The packages besides scikit-learn that its estimators come from.

    Raises:
        MissingDependency: If a package that computes is not installed.
    """
    split = SplitRecipe(method="given")
    recipe = _on_this_machine(model, rows, profile=numeric_profile.NATIVE, split=split)
    packages = {**recipe.packages, **versions(boosters)}
    return replace(
        recipe, name=name, description=description, brought=imported_from, packages=packages
    )


def _on_this_machine(
    model: ModelConfig, rows: dataset.Description, *, profile: str, split: SplitRecipe
) -> Recipe:
    text = msgspec.json.encode(model).decode()
    packages = {*PACKAGES, *re.findall(r'"estimator":"(lightgbm|xgboost)\.', text)}
    if rows.dataset is None:
        packages.update(TABLE_PACKAGES)
    is_native = profile == numeric_profile.NATIVE
    return Recipe(
        recipe_version=1,
        code=code_digest(),
        data=rows,
        model=model,
        numerics=Numerics(profile, numeric_profile.cpu_model() if is_native else None),
        packages=versions(packages),
        platform=Platform(
            libc=libc(),
            machine=numeric_profile.machine(),
            python=f"{sys.version_info[0]}.{sys.version_info[1]}",
            system=platform.system(),
        ),
        split=split,
    )


def digest(recipe: Recipe) -> Digest:
    """Return the digest of the recipe's canonical JSON."""
    return canonical.digest(canonical.encode(msgspec.to_builtins(recipe)))


@cache
def code_digest() -> Digest:
    """Return the digest of all sources of `builder/`, independent of their line ends."""
    lines = []
    for name in sorted(_sources(_ROOT)):
        source = (_ROOT / name).read_bytes().replace(b"\r\n", b"\n")
        lines.append(f"{canonical.digest(source)} {name}\n")
    return canonical.digest("".join(lines).encode())


def _sources(folder: Path, prefix: str = "") -> Iterator[str]:
    """Yield the paths of Python files in a folder. Each run calls it, so it must be fast."""
    for entry in os.scandir(folder):
        if entry.is_dir():
            yield from _sources(Path(entry.path), f"{prefix}{entry.name}/")
        elif entry.name.endswith(".py"):
            yield prefix + entry.name
