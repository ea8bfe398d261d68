"""What a training gave becomes the files of an artifact: pure, byte for byte.

The bytes follow from the arguments alone: no time, no host, no path goes in.
"""

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
from artifact_pipeline.errors import DataError


def seal(
    recipe: Recipe,
    split: SplitSummary,
    metrics: Metrics,
    interface: Interface,
    parity: Parity,
    evaluation: EvaluationReport,
    model: bytes,
    pickle: bytes,
) -> dict[str, bytes]:
    """Return the bytes of every file of the artifact, `manifest.json` last.

    Raises:
        DataError: for an evaluation that no reader would open.
    """
    recipe_digest = recipes.digest(recipe)
    files = {
        CARD: card.write(
            recipe, recipe_digest, split, metrics, interface, parity, evaluation.chosen()
        ).encode(),
        EVALUATION: canonical.encode(msgspec.to_builtins(evaluation)),
        MODEL_FILES[parity.form]: model,
        MODEL_PICKLE: pickle,
    }
    if len(files[EVALUATION]) > MAX_EVALUATION:
        raise DataError(
            f"the evaluation has {len(files[EVALUATION])} bytes, and may have {MAX_EVALUATION}; "
            "show fewer rows",
            where="data.examples",
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
            File(name, canonical.digest(data), len(data), MEDIA_TYPES[name])
            for name, data in sorted(files.items())
        ],
    )
    return {**files, MANIFEST: encode(manifest)}
