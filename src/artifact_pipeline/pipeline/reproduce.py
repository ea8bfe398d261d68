"""Training an artifact again from its recipe, and comparing the two.

The result is `identical` (the same digest), `same-predictions` (other bytes that predict the same)
or `differs` (other predictions on held-out rows).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec import Struct

from artifact_pipeline.builder import numeric_profile
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.builder.config.defaults import resolve_data
from artifact_pipeline.builder.config.resolved import TableData
from artifact_pipeline.builder.config.schema import DataSection
from artifact_pipeline.builder.formats import base
from artifact_pipeline.builder.formats.origin import Origin
from artifact_pipeline.builder.recipe import Recipe
from artifact_pipeline.errors import EnvironmentFailure, Location, ReproductionDiffers
from artifact_pipeline.inference import held_out
from artifact_pipeline.inference.predictor import load_predictor
from artifact_pipeline.pipeline import run as pipeline
from artifact_pipeline.store import access, queries
from artifact_pipeline.store.journal import PastRun
from artifact_pipeline.store.queries import Difference
from artifact_pipeline.store.references import ArtifactLike, PathLike
from artifact_pipeline.verification.verify import Verified

if TYPE_CHECKING:
    from artifact_pipeline.verification.signatures import Signer

IDENTICAL, SAME, DIFFERS = "identical", "same-predictions", "differs"

# Needed to run this package, in addition to the packages of a recipe.
_OWN_PACKAGES = ("click", "msgspec")


class Reproduction(Struct, frozen=True, kw_only=True):
    """The comparison of an artifact with one that was trained again from its recipe."""

    result: str
    """`identical`, `same-predictions` or `differs`."""
    digest: Digest
    rebuilt_digest: Digest
    files: list[str] = []
    """The files whose bytes differ."""
    fields: list[Difference] = []
    """The fields of recipe and metrics that differ: `a` in the artifact, `b` now."""
    suspects: list[str] = []
    """The packages, settings and instruction sets that differ."""
    rows: list[int] = []
    """The held-out rows, counted from 0, whose predictions differ."""
    labels: int = 0
    """How many of these rows have another label, and not only other probabilities."""
    apart: float | None = None
    """The greatest difference of a probability, or of a number as a share of their spread."""
    install: str | None = None
    """The pip command that installs the packages of the recipe, if they differ."""


class _Comparison(NamedTuple):
    """The held-out rows whose predictions differ, as in `Reproduction`."""

    rows: list[int]
    labels: int
    apart: float | None


def reproduce(
    artifact: ArtifactLike,
    digest: Digest | None = None,
    *,
    signed_by: Signer | None = None,
    store: PathLike | None = None,
    with_packages: bool = False,
    data: PathLike | None = None,
) -> Reproduction:
    """Train an artifact again from its recipe, in a scratch store, and compare the two.

    Args:
        artifact: A folder, an alias, or the first eight or more hex digits of a digest.
        digest: The digest that the artifact must have.
        signed_by: The signer whose signature is required.
        store: The store that aliases and digests are looked up in.
        with_packages: Train in a scratch environment with the packages of the recipe.
        data: Where the table is now; by default where the run that made the artifact found it.

    Raises:
        VerificationError: As `open_artifact`. A skops archive of unknown origin is opened, and
            therefore refused, only if the two differ.
        ReproductionDiffers: If the artifact was imported, so that it has no recipe to train.
        ConfigError, DataError: If the model or the data of the recipe is not available here.
        EnvironmentFailure: If the scratch store or environment cannot be made.
    """
    original = access.open_trusted(artifact, digest, signed_by=signed_by, store=store)
    recipe = original.manifest.recipe
    if recipe.brought is not None:
        raise ReproductionDiffers(
            "was fitted elsewhere and imported, so it cannot be trained again",
            location=Location(original.digest),
        )
    section = held_out.data_section(recipe, original.digest, data=data, store=store)
    source = resolve_data(section)
    held_out.check(recipe, source)
    path = source.path if isinstance(source, TableData) else None
    if with_packages:
        return _with_packages(original, path)
    past_run = queries.record_of(original.digest, store=store)
    with tempfile.TemporaryDirectory() as scratch:
        run = pipeline.train(_config(recipe, section), store=scratch)
        rebuilt = access.check_integrity(run.digest, run.digest, store=scratch)
        if rebuilt.digest == original.digest:
            return Reproduction(
                result=IDENTICAL, digest=original.digest, rebuilt_digest=rebuilt.digest
            )
        [this_run] = queries.runs(store=scratch)
        rows, labels, apart = _compare(original, rebuilt, data=path)
    return Reproduction(
        result=DIFFERS if rows else SAME,
        digest=original.digest,
        rebuilt_digest=rebuilt.digest,
        files=sorted(
            file.path for file in original.manifest.files if file not in rebuilt.manifest.files
        ),
        fields=queries.differences(original.manifest, rebuilt.manifest),
        suspects=_suspects(recipe, rebuilt.manifest.recipe, past_run=past_run, this_run=this_run),
        rows=rows,
        labels=labels,
        apart=apart,
        install=_install(recipe, rebuilt.manifest.recipe),
    )


def _config(recipe: Recipe, data: DataSection) -> dict[str, Any]:
    """Return a config that resolves to this recipe on the same kind of machine."""
    values = msgspec.to_builtins(recipe)
    section = msgspec.to_builtins(data)
    config = {"data": section, "split": values["split"], "model": values["model"]}
    return config | {
        key: values[key] for key in ("name", "description", "search", "evaluation") if key in values
    }


def _compare(original: Verified, rebuilt: Verified, *, data: str | None) -> _Comparison:
    import numpy as np

    batch = held_out.rows_of(original.manifest, original.digest, data=data).rows
    a, b = (load_predictor(artifact).run(batch) for artifact in (original, rebuilt))
    bound = original.manifest.parity.bound + rebuilt.manifest.parity.bound
    differs = base.differ(a, b, bound=bound)
    if a.predicted.dtype.kind == "f":
        return _Comparison(np.flatnonzero(differs).tolist(), 0, float(base.apart(a, b).max()))
    labels, apart = int(differs.sum()), None
    if a.probabilities is not None and b.probabilities is not None:
        distance = np.abs(a.probabilities - b.probabilities).max(axis=1)
        differs |= distance > bound
        apart = float(distance.max())
    return _Comparison(np.flatnonzero(differs).tolist(), labels, apart)


def _suspects(
    original: Recipe, rebuilt: Recipe, *, past_run: PastRun | None, this_run: PastRun
) -> list[str]:
    """Return the parts of the recipe, and then of the observed machine, that differ."""
    before, after = msgspec.to_builtins(original), msgspec.to_builtins(rebuilt)
    if past_run is not None:
        before["observed"], after["observed"] = _observed(past_run), _observed(this_run)
    suspects = []
    for part in ("data", "packages", "platform", "numerics", "code", "observed"):
        old, new = before.get(part), after.get(part)
        if not isinstance(old, dict) or not isinstance(new, dict):
            old, new = {"": old}, {"": new}
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) != new.get(name):
                label = f"{part} {name}".strip()
                suspects.append(f"{label}: {_text(old.get(name))} then, {_text(new.get(name))} now")
    return suspects


def _observed(record: PastRun) -> dict[str, Any]:
    """Return the machine in a run record, by the names of suspects."""
    machine = {name: record.host.get(name) for name in ("libc", "python", "machine")}
    observed = msgspec.to_builtins(record.observed) or {}
    return {**machine, "BLAS": observed.get("blas"), "CPU features": observed.get("features")}


def _text(value: Any) -> str:
    return "nothing" if value is None else str(value)


def _install(original: Recipe, rebuilt: Recipe) -> str | None:
    if original.packages == rebuilt.packages:
        return None
    return "python -m pip install " + " ".join(_pins(original))


def _pins(recipe: Recipe) -> list[str]:
    return [f"{name}=={version}" for name, version in sorted(recipe.packages.items())]


def _with_packages(original: Verified, data: str | None) -> Reproduction:
    """Reproduce with this code in a scratch environment that has the packages of the recipe."""
    import venv

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        venv.create(folder / "venv", with_pip=True)
        python = str(folder / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python")
        pins = _pins(original.manifest.recipe)
        _call([python, "-m", "pip", "install", "--quiet", *pins, *_OWN_PACKAGES])
        output = _call(
            [python, "-P", "-m", "artifact_pipeline", "reproduce", str(original.folder.absolute()),
             "--json", *(["--data", str(Path(data).absolute())] if data else []),
             *(["--digest", original.digest] if original.origin is not Origin.UNKNOWN else [])],
            accepted=(0, 1), cwd=folder,
        )  # fmt: skip
    return msgspec.json.decode(output, type=Reproduction)


def _call(
    command: list[str], *, accepted: tuple[int, ...] = (0,), cwd: Path | None = None
) -> bytes:
    env = {**os.environ, "PYTHONPATH": numeric_profile.import_path()}
    process = subprocess.run(command, env=env, cwd=cwd, stdout=subprocess.PIPE, check=False)
    if process.returncode not in accepted:
        words = " ".join(command[1:4])
        raise EnvironmentFailure(
            f"`python {words}` ended with exit code {process.returncode}",
            location=Location(sys.executable),
        )
    return process.stdout
