"""Can the artifact be made again? It is rebuilt from its recipe alone, and compared.

Three answers: `identical` (the same digest), `same-predictions` (other bytes that predict the
same), `differs` (other predictions on held-out rows).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from artifact_pipeline.builder import numeric_profile
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.builder.formats import base
from artifact_pipeline.builder.formats.origin import Origin
from artifact_pipeline.builder.recipe import Recipe
from artifact_pipeline.errors import ReproductionDiffers, StoreError
from artifact_pipeline.inference import held_out
from artifact_pipeline.inference.predictor import load_predictor
from artifact_pipeline.pipeline import run as pipeline
from artifact_pipeline.store import access, queries
from artifact_pipeline.store.access import Reference
from artifact_pipeline.store.journal import PastRun
from artifact_pipeline.store.queries import Difference
from artifact_pipeline.verification.verify import Verified

if TYPE_CHECKING:
    from artifact_pipeline.verification.signatures import Signer

IDENTICAL, SAME, DIFFERS = "identical", "same-predictions", "differs"

# Beside the packages that compute, what this package itself needs to run.
_OWN = ("click", "msgspec")


class Reproduction(Struct, frozen=True):
    """What came of making an artifact again."""

    result: str
    """`identical`, `same-predictions` or `differs`."""
    digest: Digest
    rebuilt_digest: Digest
    files: list[str]
    """The files whose bytes differ."""
    fields: list[Difference]
    """Where recipe and metrics differ: `a` of the artifact, `b` of what was made now."""
    suspects: list[str]
    """What differs here from when it was made: packages, settings, instruction sets."""
    rows: list[int]
    """The held-out rows, counted from 0, that are predicted otherwise."""
    labels: int
    """How many of them by another label, and not by other probabilities alone."""
    apart: float | None
    """The greatest difference of a probability, or of a number as a share of their spread."""
    install: str | None
    """The pip command that would match the packages, where they differ."""


def reproduce(
    artifact: Reference,
    digest: Digest | None = None,
    *,
    signed_by: Signer | None = None,
    store: Reference | None = None,
    with_packages: bool = False,
    data: Reference | None = None,
) -> Reproduction:
    """Return what comes of making an artifact again from its recipe alone, in a scratch store.

    `with_packages` does it in a scratch environment that holds the packages of the recipe. A
    table lies at `data`, or else where the run that made the artifact found it.

    Raises:
        VerificationError: as `open_trusted`; for a skops archive of unknown origin, if it
            differs from what was made and would have to be opened.
        ConfigError, DataError: if what the recipe names is not to be had here.
        StoreError: if the scratch store or environment cannot be made.
    """
    there = access.open_trusted(artifact, digest, signed_by=signed_by, store=store)
    if there.manifest.recipe.brought is not None:
        raise ReproductionDiffers(
            "was fitted elsewhere and brought here, so it cannot be made again", where=there.digest
        )
    source = held_out.source(there.manifest.recipe, there.digest, data, store)
    held_out.check(there.manifest.recipe, source)
    if with_packages:
        return _with_packages(there, source.get("path"))
    made_by = queries.record_of(there.digest, store=store)
    with tempfile.TemporaryDirectory() as scratch:
        run = pipeline.train(_config(there.manifest.recipe, source), store=scratch)
        here = access.check_integrity(run.digest, run.digest, store=scratch)
        [now] = queries.runs(store=scratch)
        same = here.digest == there.digest
        rows, labels, apart = ([], 0, None) if same else _compare(there, here, source.get("path"))
    if same:
        return Reproduction(IDENTICAL, there.digest, here.digest, [], [], [], [], 0, None, None)
    return Reproduction(
        result=DIFFERS if rows else SAME,
        digest=there.digest,
        rebuilt_digest=here.digest,
        files=sorted(one.path for one in there.manifest.files if one not in here.manifest.files),
        fields=queries.differences(there.manifest, here.manifest),
        suspects=_suspects(there.manifest.recipe, here.manifest.recipe, made_by, now),
        rows=rows,
        labels=labels,
        apart=apart,
        install=_install(there.manifest.recipe, here.manifest.recipe),
    )


def _config(recipe: Recipe, data: dict[str, Any]) -> dict[str, Any]:
    """Return the config that comes to this recipe, where the machine is the same."""
    made = msgspec.to_builtins(recipe)
    found = {"data": data, "split": made["split"], "model": made["model"]}
    return found | {key: made[key] for key in ("search", "evaluation") if key in made}


def _compare(
    there: Verified, here: Verified, data: str | None
) -> tuple[list[int], int, float | None]:
    """Return the held-out rows that two artifacts predict otherwise: `rows`, `labels`, `apart`."""
    import numpy as np

    batch, _ = held_out.rows_of(there.manifest, there.digest, data)
    a, b = (load_predictor(one).run(batch) for one in (there, here))
    bound = there.manifest.parity.bound + here.manifest.parity.bound
    other = base.differ(a, b, bound)
    if a.predicted.dtype.kind == "f":
        return np.flatnonzero(other).tolist(), 0, float(base.apart(a, b).max())
    labels, apart = int(other.sum()), None
    if a.probabilities is not None and b.probabilities is not None:
        distance = np.abs(a.probabilities - b.probabilities).max(axis=1)
        other |= distance > bound
        apart = float(distance.max())
    return np.flatnonzero(other).tolist(), labels, apart


def _suspects(there: Recipe, here: Recipe, then: PastRun | None, now: PastRun) -> list[str]:
    """Return what of the recipe, and then of what was observed, is another here."""
    before, after = (msgspec.to_builtins(one) for one in (there, here))
    before |= {"observed": _observed(then)} if then else {}
    after |= {"observed": _observed(now)} if then else {}
    found = []
    for part in ("data", "packages", "platform", "numerics", "code", "observed"):
        old, new = before.get(part), after.get(part)
        if not isinstance(old, dict) or not isinstance(new, dict):
            old, new = {"": old}, {"": new}
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) != new.get(name):
                said = " ".join(filter(None, (part, name)))
                found.append(f"{said}: {_said(old.get(name))} then, {_said(new.get(name))} now")
    return found


def _observed(record: PastRun) -> dict[str, Any]:
    host, seen = record.host, record.observed or {}
    kept = {name: host.get(name) for name in ("libc", "python", "machine")}
    return {**kept, "BLAS": seen.get("blas"), "CPU features": seen.get("features")}


def _said(value: Any) -> str:
    return "nothing" if value is None else str(value)


def _install(there: Recipe, here: Recipe) -> str | None:
    if there.packages == here.packages:
        return None
    return "python -m pip install " + " ".join(_pins(there))


def _pins(recipe: Recipe) -> list[str]:
    return [f"{name}=={version}" for name, version in sorted(recipe.packages.items())]


def _with_packages(there: Verified, data: str | None) -> Reproduction:
    """Make it again by this code in a scratch environment with the packages of the recipe."""
    import venv

    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        venv.create(place / "venv", with_pip=True)
        python = str(place / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python")
        _call([python, "-m", "pip", "install", "--quiet", *_pins(there.manifest.recipe), *_OWN])
        out = _call(
            [python, "-P", "-m", "artifact_pipeline", "reproduce", str(there.folder.absolute()),
             "--json", *(["--data", str(Path(data).absolute())] if data else []),
             *(["--digest", there.digest] if there.origin is not Origin.UNKNOWN else [])],
            accepted=(0, 1), cwd=place,
        )  # fmt: skip
    return msgspec.json.decode(out, type=Reproduction)


def _call(command: list[str], accepted: tuple[int, ...] = (0,), cwd: Path | None = None) -> bytes:
    env = {**os.environ, "PYTHONPATH": numeric_profile.import_path()}
    done = subprocess.run(command, env=env, cwd=cwd, stdout=subprocess.PIPE, check=False)
    if done.returncode not in accepted:
        what = " ".join(command[1:4])
        raise StoreError(
            f"`python {what}` ended with exit code {done.returncode}", where=sys.executable
        )
    return done.stdout
