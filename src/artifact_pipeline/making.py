"""The files of an artifact, from a recipe and a trainer that is ready to train it."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from artifact_pipeline import numerics
from artifact_pipeline.artifact import manifest as manifests
from artifact_pipeline.data import Image
from artifact_pipeline.observation import Evaluation
from artifact_pipeline.recipe import Recipe
from artifact_pipeline.trainer import Trained, Trainer

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
    from artifact_pipeline.artifact.formats import parity
    from artifact_pipeline.artifact.seal import seal

    said, edges = trained.said, trained.edges
    form, model, proof = parity.prove(
        trainer.forms(), trained.rows, trained.outputs, where, edges, recipe=recipe
    )
    metrics, doubts = trainer.measure(proof.outputs)
    columns: list[manifests.Column] | UnsetType = UNSET
    if "columns" in said:
        known = msgspec.convert(said["columns"], list[manifests.Column])
        columns = parity.taken(known, proof, edges)
    warnings = [*said["warnings"], *doubts]
    if recipe.numerics.profile == numerics.NATIVE:
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
        msgspec.convert(said["evaluation"], Evaluation),
        model,
        trained.pickle,
    )
    return Built(files, trained, warnings, proof.measured)
