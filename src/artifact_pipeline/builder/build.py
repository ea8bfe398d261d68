"""The files of an artifact, from a recipe and a trainer that is ready to train it."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from artifact_pipeline.builder import numeric_profile
from artifact_pipeline.builder.artifact import manifest as manifests
from artifact_pipeline.builder.artifact.evaluation import EvaluationReport
from artifact_pipeline.builder.data.dataset import Image
from artifact_pipeline.builder.recipe import Recipe
from artifact_pipeline.builder.training.trainer import Trained, Trainer

_NATIVE = (
    "no numeric profile can be held on this machine (another BLAS, or an unknown CPU), so the "
    "bytes of this artifact are promised on this machine only."
)


class Built(NamedTuple):
    """An artifact's files, and what was seen while they were made."""

    files: dict[str, bytes]
    trained: Trained
    warnings: list[str]
    parity_measured: float
    """The greatest difference from the estimator on the held-out rows."""


def build(recipe: Recipe, trainer: Trainer, *, where: str, warning: str | None = None) -> Built:
    """Return the files of a new artifact: trained by the trainer, proven here, sealed.

    `where` names the model in errors. `warning` says why the recipe's numeric profile is only
    that of this machine, where that is known.

    Raises:
        ConfigError: if the estimator cannot be fitted, or has no open form that can be proven.
        TrainerDied: if the trainer ends.
    """
    trained = trainer.train()
    from artifact_pipeline.builder.artifact.seal import seal
    from artifact_pipeline.builder.formats import parity

    said, edges = trained.said, trained.edges
    form, model, proof = parity.prove(
        trainer.forms(), trained.rows, trained.outputs, where, edges, recipe=recipe
    )
    metrics, doubts = trainer.measure(proof.outputs)
    columns: list[manifests.ColumnSpec] | UnsetType = UNSET
    if "columns" in said:
        known = msgspec.convert(said["columns"], list[manifests.ColumnSpec])
        columns = parity.taken(known, proof, edges)
    warnings = [*said["warnings"], *doubts]
    if recipe.numerics.profile == numeric_profile.NATIVE:
        warnings.append(warning or _NATIVE)
    if not isinstance(proof.parity.reason, UnsetType):
        warnings.append(f"{proof.parity.reason}.")
    interface = parity.interface(
        form,
        trained.rows,
        said["features"],
        said["labels"],
        said["label_names"],
        trained.outputs,
        msgspec.convert(said["image"], Image | None),
        columns,
        UNSET if "columns" in said else parity.limits(proof, edges),
    )
    files = seal(
        recipe,
        msgspec.convert(said["split"], manifests.SplitSummary),
        metrics,
        interface,
        proof.parity,
        msgspec.convert(said["evaluation"], EvaluationReport),
        model,
        trained.pickle,
    )
    return Built(files, trained, warnings, proof.measured)
