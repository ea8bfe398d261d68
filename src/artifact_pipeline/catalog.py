"""Questions about what is in a store: is it whole, what does it predict, how good is it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from artifact_pipeline import config, data, recipe, rows
from artifact_pipeline.artifact.manifest import Manifest, Metrics
from artifact_pipeline.artifact.open import Predictor, Verified, check_pin, open_verified
from artifact_pipeline.artifact.open import verify as verify_folder
from artifact_pipeline.canonical import Digest
from artifact_pipeline.config import Source
from artifact_pipeline.errors import DataError, VerificationError
from artifact_pipeline.evaluation import Verdict, judge
from artifact_pipeline.evaluation import evaluate as measure
from artifact_pipeline.store import Store, write_atomically

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Reference = str | os.PathLike[str]
"""An artifact by its folder, its alias, or eight or more digits of its digest."""


class Evaluated(Struct, frozen=True):
    """What an artifact's open form reaches on the held-out rows, measured now."""

    digest: Digest
    metrics: dict[str, dict[str, float]]
    gates: list[Verdict]


class Prediction(Struct, frozen=True):
    """What an artifact says of rows; truth is there for held-out rows only."""

    digest: Digest
    labels: list[Any]
    probabilities: list[list[float]] | None
    truth: list[Any] | None
    accuracy: float | None


class Shown(Struct, frozen=True):
    """All that is known of an artifact."""

    digest: Digest
    folder: str
    manifest: Manifest
    aliases: list[str]
    record: dict[str, Any] | None
    """The record of the run that made it, where the store has one."""


class Difference(Struct, frozen=True):
    """Where two artifacts differ: `recipe.split.test_size` and the two values (None: absent)."""

    field: str
    a: Any
    b: Any


class Listed(Struct, frozen=True):
    """One artifact of a store; a broken one has a reason and no metrics."""

    digest: Digest
    aliases: list[str]
    dataset: str | None
    estimator: str | None
    metrics: Metrics | None
    broken: str | None


def verified(
    artifact: Reference,
    digest: Digest | None = None,
    *,
    store: Reference | None = None,
) -> Verified:
    """Return the artifact that a reference names, if every rule of the format holds for it.

    Raises:
        ArtifactNotFound, CallError: if the reference or the digest names nothing.
        VerificationError: if the artifact is not what its manifest, or `digest`, says.
    """
    check_pin(digest)
    place = Store(store).find(artifact)
    if digest and place.digest and digest != place.digest:
        raise VerificationError(
            f"this is not the artifact asked for: its digest is {place.digest}, expected {digest}",
            where=str(place.folder),
        )
    return verify_folder(place.folder, digest or place.digest)


def verify(
    artifact: Reference, digest: Digest | None = None, *, store: Reference | None = None
) -> Manifest:
    """Return the manifest of an artifact that verifies. Raises as `verified`."""
    return verified(artifact, digest, store=store).manifest


def open_artifact(
    artifact: Reference, digest: Digest | None = None, *, store: Reference | None = None
) -> Predictor:
    """Return the predictor of an artifact that verifies; nothing is unpickled.

    Raises as `verified`.
    """
    from artifact_pipeline.artifact.formats import onnx

    onnx.preload()
    return open_verified(verified(artifact, digest, store=store))


def infer(
    artifact: Reference,
    given: bytes | None = None,
    where: str = "rows",
    *,
    digest: Digest | None = None,
    store: Reference | None = None,
) -> Prediction:
    """Return what an artifact says of rows in CSV, JSON or .npy bytes, or of the held-out rows.

    `where` names the rows in errors, and by its ending their format.

    Raises:
        DataError: if the rows are wrong, or the held-out rows are not those of the recipe.
        VerificationError: as `verified`.
    """
    predictor = open_artifact(artifact, digest, store=store)
    truth: NDArray[Any] | None = None
    if given is None:
        X, truth = held_out(predictor.manifest)
    else:
        X = rows.parse(given, predictor.interface.features, where)
    outputs = predictor.outputs(X)
    accuracy = None if truth is None else float((outputs.labels == truth).mean())
    return Prediction(
        digest=predictor.digest,
        labels=outputs.labels.tolist(),
        probabilities=None if outputs.probabilities is None else outputs.probabilities.tolist(),
        truth=None if truth is None else truth.tolist(),
        accuracy=accuracy,
    )


def evaluate(
    artifact: Reference, source: Source | None = None, *, store: Reference | None = None
) -> Evaluated:
    """Return what an artifact reaches on the held-out rows of its recipe, measured anew.

    The gates of a config are judged on it, where one is given. Raises as `infer`.
    """
    gates = config.load(source).gates if source is not None else {}
    predictor = open_artifact(artifact, store=store)
    X, truth = held_out(predictor.manifest)
    metrics = {
        "train": predictor.manifest.metrics.train,
        "test": measure(truth, predictor.predict(X)),
    }
    return Evaluated(predictor.digest, metrics, judge(metrics, gates))


def held_out(manifest: Manifest) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Return the held-out rows of a recipe, loaded and split again: X and the true labels.

    Raises:
        DataError: if the data set is not the one that the recipe names by its digest.
    """
    made = manifest.recipe
    try:
        source = msgspec.convert({"dataset": made.data.dataset}, config.Data)
    except msgspec.ValidationError as error:
        raise DataError("this release does not know it", where=made.data.dataset) from error
    found = data.describe(source).digest
    if found != made.data.digest:
        raise DataError(
            f"has the digest {found}, the recipe was made with {made.data.digest}; "
            "install the versions that the recipe names",
            where=f"data set {source.dataset}",
        )
    split = config.Split(made.split.test_size, made.split.random_state, made.split.stratify)
    parts = data.split(data.load(source), split)
    if parts.summary() != msgspec.to_builtins(manifest.split):
        raise DataError(
            "splits into other rows than the manifest says; install the versions that the "
            "recipe names",
            where=f"data set {source.dataset}",
        )
    return parts.X_test, parts.y_test


def show(artifact: Reference, *, store: Reference | None = None) -> Shown:
    """Return all that is known of an artifact, once it is verified. Raises as `verified`."""
    place = Store(store)
    found = verified(artifact, store=store)
    return Shown(
        digest=found.digest,
        folder=str(found.folder),
        manifest=found.manifest,
        aliases=[name for name, digest in place.aliases().items() if digest == found.digest],
        record=record_of(found.digest, store=store),
    )


def record_of(digest: Digest, *, store: Reference | None = None) -> dict[str, Any] | None:
    """Return the newest record of a run that made the artifact, or else of one that found it."""
    records = [run for run in Store(store).runs() if run.get("artifact") == digest]
    trained = [run for run in records if not run.get("cached")] or records
    return trained[0] if trained else None


def write_report(artifact: Reference, path: Reference, *, store: Reference | None = None) -> Digest:
    """Write the report of an artifact to `path`, one HTML file, and return the artifact's digest.

    Raises as `verified`, and StoreError if it cannot be written.
    """
    from artifact_pipeline.report import page

    found = verified(artifact, store=store)
    write_atomically(Path(path), page.write(found).encode())
    return found.digest


def diff(a: Reference, b: Reference, *, store: Reference | None = None) -> list[Difference]:
    """Return where recipe and metrics of two artifacts differ. Raises as `verified`."""
    return differences(*(verified(one, store=store).manifest for one in (a, b)))


def differences(a: Manifest, b: Manifest) -> list[Difference]:
    """Return where recipe and metrics of two manifests differ."""
    left, right = _fields(a), _fields(b)
    return [
        Difference(field, left.get(field), right.get(field))
        for field in sorted(left.keys() | right.keys())
        if (field in left, left.get(field)) != (field in right, right.get(field))
    ]


def runs(*, store: Reference | None = None) -> list[dict[str, Any]]:
    """Return the records of all runs, the newest first."""
    return Store(store).runs()


def artifacts(*, store: Reference | None = None) -> list[Listed]:
    """Return all artifacts of a store, each verified."""
    place = Store(store)
    names = place.aliases()
    found = []
    for digest in place.artifacts():
        aliases = [name for name, target in names.items() if target == digest]
        try:
            manifest = verify_folder(place.folder(digest), digest).manifest
        except VerificationError as error:
            found.append(Listed(digest, aliases, None, None, None, str(error)))
        else:
            made = manifest.recipe
            name = recipe.title(made)
            found.append(Listed(digest, aliases, made.data.dataset, name, manifest.metrics, None))
    return found


def _fields(manifest: Manifest) -> dict[str, Any]:
    whole = msgspec.to_builtins(manifest)
    return dict(_flatten({key: whole[key] for key in ("recipe", "metrics")}, ""))


def _flatten(value: Any, path: str) -> list[tuple[str, Any]]:
    """Return the leaves of nested objects and lists by their paths."""
    if isinstance(value, dict) and value:
        items = [(f"{path}.{key}" if path else key, inner) for key, inner in value.items()]
    elif isinstance(value, list) and value:
        items = [(f"{path}[{index}]", inner) for index, inner in enumerate(value)]
    else:
        return [(path, value)]
    return [leaf for name, inner in items for leaf in _flatten(inner, name)]
