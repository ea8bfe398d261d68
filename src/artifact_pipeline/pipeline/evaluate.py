"""A verified artifact measured again on its held-out rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.builder.config import loader
from artifact_pipeline.builder.config.loader import Source
from artifact_pipeline.builder.evaluation.metrics import evaluate as measure
from artifact_pipeline.inference.predict import open_artifact
from artifact_pipeline.pipeline.gates import Verdict, judge
from artifact_pipeline.store.access import Reference

if TYPE_CHECKING:
    from artifact_pipeline.verification.signatures import Signer


class Evaluated(Struct, frozen=True):
    """What an artifact's open form reaches on the held-out rows, measured now."""

    digest: Digest
    metrics: dict[str, Any]
    gates: list[Verdict]


def evaluate(
    artifact: Reference,
    source: Source | None = None,
    *,
    digest: Digest | None = None,
    signed_by: Signer | None = None,
    store: Reference | None = None,
    data: Reference | None = None,
) -> Evaluated:
    """Return what an artifact reaches on the held-out rows of its recipe, measured anew.

    The gates of a config are judged on it, where one is given. Raises as `infer`.
    """
    from artifact_pipeline.inference import held_out
    from artifact_pipeline.pipeline import gates as rivals

    gates = loader.load(source).gates if source is not None else {}
    predictor = open_artifact(artifact, digest, signed_by=signed_by, store=store)
    made, labels = predictor.manifest, predictor.interface.labels
    batch, truth = held_out.rows_of(made, predictor.digest, data, store)
    found = predictor.run(batch)
    target, positive = made.recipe.data.schema.target, made.recipe.data.positive
    test = measure(truth, found.predicted, target, found.probabilities, labels, positive)
    metrics = {**msgspec.to_builtins(made.metrics), "test": test}
    against = rivals.baselines(gates, made, store)
    return Evaluated(predictor.digest, metrics, judge(metrics, gates, against))
