"""The files of an artifact, as a pure function: they contain no time, host or path."""

from __future__ import annotations

import msgspec

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder import recipe as recipes
from artifact_pipeline.builder.artifact import card
from artifact_pipeline.builder.artifact.evaluation import EvaluationReport
from artifact_pipeline.builder.artifact.manifest import (
    CARD,
    EVALUATION,
    MANIFEST,
    MANIFEST_VERSION,
    MAX_EVALUATION,
    MEDIA_TYPES,
    MODEL_FILES,
    MODEL_PICKLE,
    File,
    Interface,
    Manifest,
    Metrics,
    Parity,
    SplitSummary,
    encode,
)
from artifact_pipeline.builder.recipe import Recipe
from artifact_pipeline.errors import DataError, Location


def seal(
    recipe: Recipe,
    *,
    split: SplitSummary,
    metrics: Metrics,
    interface: Interface,
    parity: Parity,
    evaluation: EvaluationReport,
    model: bytes,
    pickle: bytes,
) -> dict[str, bytes]:
    """Return the files of an artifact by name, `manifest.json` last.

    Args:
        recipe: The recipe.
        split: The number of training and held-out rows.
        metrics: The metrics.
        interface: The inputs and outputs of the open form.
        parity: The proof of the open form.
        evaluation: The evaluation on the held-out rows.
        model: The file of the open form.
        pickle: The pickle of the estimator.

    Raises:
        DataError: If the evaluation is too large for a reader.
    """
    recipe_digest = recipes.digest(recipe)
    files = {
        CARD: card.write(
            recipe,
            split=split,
            metrics=metrics,
            interface=interface,
            parity=parity,
            evaluation=evaluation,
        ).encode(),
        EVALUATION: canonical.encode(msgspec.to_builtins(evaluation)),
        MODEL_FILES[parity.form]: model,
        MODEL_PICKLE: pickle,
    }
    if len(files[EVALUATION]) > MAX_EVALUATION:
        raise DataError(
            f"the evaluation has {len(files[EVALUATION])} bytes, and may have {MAX_EVALUATION}",
            location=Location(key="data.examples"),
            remedy="show fewer rows",
        )
    manifest = Manifest(
        manifest_version=MANIFEST_VERSION,
        recipe=recipe,
        recipe_digest=recipe_digest,
        split=split,
        metrics=metrics,
        interface=interface,
        parity=parity,
        files=[
            File(
                path=name,
                sha256=canonical.digest(data),
                bytes=len(data),
                media_type=MEDIA_TYPES[name],
            )
            for name, data in sorted(files.items())
        ],
    )
    return {**files, MANIFEST: encode(manifest)}
