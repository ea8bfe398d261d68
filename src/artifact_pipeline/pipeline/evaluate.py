"""Measuring a verified artifact again on its held-out rows."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from artifact_pipeline.builder.artifact.manifest import Metrics
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.builder.config import loader
from artifact_pipeline.builder.config.source import Source
from artifact_pipeline.builder.evaluation.metrics import evaluate as measure
from artifact_pipeline.inference.notebook import headlines
from artifact_pipeline.inference.predictor import load_predictor
from artifact_pipeline.pipeline.gates import Verdict, baseline_of, judge
from artifact_pipeline.pipeline.incumbents import incumbents
from artifact_pipeline.store.access import open_trusted
from artifact_pipeline.store.references import ArtifactLike, PathLike

if TYPE_CHECKING:
    from artifact_pipeline.verification.signatures import Signer


class Evaluated(Struct, frozen=True):
    """The metrics of an artifact's open form, measured again, and the gates' verdicts."""

    digest: Digest
    metrics: Metrics
    """As in the manifest, but `test` is measured again."""
    gates: list[Verdict]

    def __repr__(self) -> str:
        scores = headlines(self.metrics.test)
        passed = sum(gate.passed for gate in self.gates)
        gates = f", {passed} of {len(self.gates)} gates passed" if self.gates else ""
        return f"Evaluated({self.digest[7:19]}, {scores}{gates})"


def evaluate(
    artifact: ArtifactLike,
    source: Source | None = None,
    *,
    digest: Digest | None = None,
    signed_by: Signer | None = None,
    store: PathLike | None = None,
    data: PathLike | None = None,
) -> Evaluated:
    """Measure an artifact again on the held-out rows of its recipe. Raises as `infer`.

    Args:
        artifact: A folder, an alias, or the first eight or more hex digits of a digest.
        source: A config whose gates to judge: a path, or the dict that its JSON would give.
        digest: The digest that the artifact must have.
        signed_by: The signer whose signature is required.
        store: The store that aliases and digests are looked up in.
        data: Where the table is now; by default where the run that made the artifact found it.
    """
    from artifact_pipeline.builder.formats import onnx_format
    from artifact_pipeline.pipeline.held_out_outputs import predict_held_out

    gates = loader.load(source).gates if source is not None else {}
    onnx_format.preload()
    verified = open_trusted(artifact, digest, signed_by=signed_by, store=store)
    predictor = load_predictor(verified)
    outputs = predict_held_out(predictor, data=data, store=store)
    rows = outputs.predicted
    test = measure(
        rows.truth,
        rows.predicted,
        target=rows.target,
        probabilities=rows.probabilities,
        labels=rows.labels,
        positive=rows.positive,
    )
    metrics = replace(verified.manifest.metrics, test=test)
    verdicts = judge(
        metrics,
        gates,
        incumbents=incumbents(
            gates, verified.manifest, store=store, candidate=lambda: outputs, data=data
        ),
        baseline=baseline_of(gates, verified),
        config="config" if source is None or isinstance(source, dict) else os.fspath(source),
    )
    return Evaluated(predictor.digest, metrics, verdicts)
