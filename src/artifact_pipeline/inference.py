"""What an artifact says of rows, and how good it is on the held-out rows of its recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from artifact_pipeline import config, data, rows
from artifact_pipeline.artifact.manifest import Manifest
from artifact_pipeline.artifact.open import Predictor, open_verified
from artifact_pipeline.canonical import Digest
from artifact_pipeline.config import Source
from artifact_pipeline.errors import DataError
from artifact_pipeline.evaluation import Verdict, judge
from artifact_pipeline.evaluation import evaluate as measure
from artifact_pipeline.policy import Reference, trusted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from artifact_pipeline.artifact.signing import Signer


class Evaluated(Struct, frozen=True):
    """What an artifact's open form reaches on the held-out rows, measured now."""

    digest: Digest
    metrics: dict[str, dict[str, float]]
    gates: list[Verdict]


class Prediction(Struct, frozen=True):
    """What an artifact says of rows; truth is there for held-out rows only."""

    digest: Digest
    labels: list[Any] | None
    predictions: list[float] | None
    """The numbers of a regressor, in the place of labels."""
    probabilities: list[list[float]] | None
    truth: list[Any] | None
    accuracy: float | None
    """The share of right labels."""
    mae: float | None
    """The mean absolute error of numbers."""


def open_artifact(
    artifact: Reference,
    digest: Digest | None = None,
    *,
    signed_by: Signer | None = None,
    store: Reference | None = None,
) -> Predictor:
    """Return the predictor of an artifact that is to be trusted; nothing is unpickled.

    Raises as `policy.trusted`.
    """
    from artifact_pipeline.artifact.formats import onnx

    onnx.preload()
    return open_verified(trusted(artifact, digest, signed_by=signed_by, store=store))


def infer(
    artifact: Reference,
    given: bytes | None = None,
    where: str = "rows",
    *,
    digest: Digest | None = None,
    signed_by: Signer | None = None,
    store: Reference | None = None,
) -> Prediction:
    """Return what an artifact says of rows in CSV, JSON or .npy bytes, or of the held-out rows.

    `where` names the rows in errors, and by its ending their format.

    Raises:
        DataError: if the rows are wrong, or the held-out rows are not those of the recipe.
        VerificationError: as `policy.trusted`.
    """
    predictor = open_artifact(artifact, digest, signed_by=signed_by, store=store)
    truth: NDArray[Any] | None = None
    if given is None:
        X, truth = held_out(predictor.manifest)
    else:
        X = rows.parse(given, predictor.interface.features, where)
    outputs = predictor.outputs(X)
    said, of_labels = outputs.predicted, bool(predictor.interface.labels)
    right = None if truth is None or not of_labels else float((said == truth).mean())
    wrong = None if truth is None or of_labels else float(abs(said - truth).mean())
    return Prediction(
        digest=predictor.digest,
        labels=said.tolist() if of_labels else None,
        predictions=None if of_labels else said.tolist(),
        probabilities=None if outputs.probabilities is None else outputs.probabilities.tolist(),
        truth=None if truth is None else truth.tolist(),
        accuracy=right,
        mae=wrong,
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
        "test": measure(truth, predictor.predict(X), predictor.manifest.recipe.data.schema.target),
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
