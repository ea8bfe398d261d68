"""The outputs of artifacts for held-out rows, to compare them row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from artifact_pipeline.builder.artifact.manifest import Manifest
from artifact_pipeline.errors import DataError, Location

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from artifact_pipeline.builder.evaluation.weighted_metrics import PredictedRows
    from artifact_pipeline.builder.formats.base import Batch
    from artifact_pipeline.inference.held_out import HeldOutRows
    from artifact_pipeline.inference.predictor import Predictor
    from artifact_pipeline.store.references import PathLike


class HeldOutOutputs(NamedTuple):
    """The held-out rows of an artifact, and its outputs for them."""

    predictor: Predictor
    rows: Batch
    indices: NDArray[np.int64]
    """The index of each row in the data set, (n_rows,)."""
    predicted: PredictedRows


def other_rows(manifest: Manifest, other: Manifest) -> str | None:
    """Return how the rows that measured another artifact differ, or None if they are the same.

    The reason is a clause without its subject, the other artifact.
    """
    if other.recipe.data.digest != manifest.recipe.data.digest:
        return "was trained on other data"
    if other.split.indices_digest != manifest.split.indices_digest:
        return "was measured on other held-out rows"
    return None


def why_unpaired(manifest: Manifest, other: Manifest) -> str | None:
    """Return why the predictions of two artifacts cannot be compared row by row, or None.

    The reason is a clause without its subject, the other artifact.
    """
    labels, others = manifest.interface.labels, other.interface.labels
    if set(map(repr, labels)) != set(map(repr, others)):
        return "predicts other labels"
    if reason := other_rows(manifest, other):
        return reason
    schema, other_schema = manifest.recipe.data.schema, other.recipe.data.schema
    if schema.named("target") != other_schema.named("target"):
        return "predicts another column"
    return None


def predict_held_out(
    predictor: Predictor,
    *,
    like: HeldOutOutputs | None = None,
    data: PathLike | None = None,
    store: PathLike | None = None,
) -> HeldOutOutputs:
    """Load the held-out rows of an artifact and predict them.

    Args:
        predictor: The artifact.
        like: The outputs of another artifact for the same rows, which are not loaded again if
            both artifacts take the same columns.
        data: The path of the table; by default the one in the run record of the artifact.
        store: The store with the run records.

    Raises:
        DataError: If the data is missing or changed, or read in another way than that of `like`.
        VerificationError: If the model fails.
    """
    import numpy as np

    from artifact_pipeline.inference import held_out

    manifest = predictor.manifest
    recipe = manifest.recipe
    if like is not None and like.predictor.manifest.recipe.data == recipe.data:
        held = held_out.HeldOutRows(like.rows, like.predicted.truth, like.indices)
    else:
        held = held_out.rows_of(manifest, predictor.digest, data=data, store=store)
        if like is not None and not np.array_equal(held.truth, like.predicted.truth):
            raise DataError(
                "the artifacts read the target in different ways",
                location=Location(f"data {recipe.data.title}"),
            )
    return HeldOutOutputs(
        predictor=predictor,
        rows=held.rows,
        indices=held.indices,
        predicted=_predict(predictor, held),
    )


def _predict(predictor: Predictor, held: HeldOutRows) -> PredictedRows:
    from artifact_pipeline.builder.evaluation.weighted_metrics import PredictedRows

    recipe = predictor.manifest.recipe
    outputs = predictor.run(held.rows)
    predicted: NDArray[Any] = outputs.predicted
    return PredictedRows(
        truth=held.truth,
        predicted=predicted,
        probabilities=outputs.probabilities,
        labels=predictor.interface.labels,
        positive=recipe.data.positive,
        target=recipe.data.schema.target,
    )
