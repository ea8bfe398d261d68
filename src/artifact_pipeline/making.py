"""A plan becomes the files of an artifact: trained by the trainer, proven here, sealed."""

from __future__ import annotations

from contextlib import nullcontext

import msgspec
from msgspec import UNSET, UnsetType

from artifact_pipeline import numerics
from artifact_pipeline.artifact import manifest as manifests
from artifact_pipeline.data import Image
from artifact_pipeline.errors import DataError
from artifact_pipeline.observation import Evaluation
from artifact_pipeline.plan import Plan, revise
from artifact_pipeline.record import Record
from artifact_pipeline.trainer import Trained, Trainer

_NATIVE = (
    "no numeric profile can be held on this machine (another BLAS, or an unknown CPU), so the "
    "bytes of this artifact are promised on this machine only."
)


def make(made: Plan, record: Record) -> tuple[dict[str, bytes], Trained]:
    """Return the files of a new artifact, and what the training gave.

    What was seen on the way (warnings, the measured parity, the numeric environment) goes into
    the record; so does the recipe, which is another where the trainer turns out to compute under
    another numeric profile.

    Raises:
        ConfigError: if the estimator cannot be fitted, or has no open form that can be proven.
        StoreError: if the trainer dies.
    """
    with nullcontext(made.trainer) if made.trainer else _start(made, record) as trainer:
        if trainer.resolved.profile != made.recipe.numerics.profile:
            made = revise(made, trainer)
            record.recipe, record.recipe_digest = made.recipe, made.recipe_digest
        return _make(made, trainer, record)


def _start(made: Plan, record: Record) -> Trainer:
    """Return a trainer for a config that needed none to be checked."""
    trainer = Trainer(made.config, record.config, made.recipe.numerics.profile, made.base)
    resolved = trainer.resolved
    if resolved.data != made.recipe.data:
        trainer.close()
        raise DataError("changed while it was read; run it again", where=made.recipe.data.title)
    record.observed = resolved.observed
    return trainer


def _make(made: Plan, trainer: Trainer, record: Record) -> tuple[dict[str, bytes], Trained]:
    """Return the files of a new artifact, and the held-out rows with the estimator's outputs."""
    trained = trainer.train()
    from artifact_pipeline.artifact.formats import parity
    from artifact_pipeline.artifact.seal import seal

    said, edges = trained.said, trained.edges
    where = f"{record.config}: model"
    form, model, proof = parity.prove(
        trainer.forms(), trained.rows, trained.outputs, where, edges, recipe=made.recipe
    )
    metrics, doubts = trainer.measure(proof.outputs)
    columns: list[manifests.Column] | UnsetType = UNSET
    if "columns" in said:
        known = msgspec.convert(said["columns"], list[manifests.Column])
        columns = parity.taken(known, proof, edges)
    record.warnings = [*said["warnings"], *doubts]
    if made.recipe.numerics.profile == numerics.NATIVE:
        record.warnings = [*record.warnings, made.warning or _NATIVE]
    if not isinstance(proof.parity.reason, UnsetType):
        record.warnings = [*record.warnings, f"{proof.parity.reason}."]
    record.parity_measured = proof.measured
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
        made.recipe,
        msgspec.convert(said["split"], manifests.SplitSummary),
        metrics,
        interface,
        proof.parity,
        msgspec.convert(said["evaluation"], Evaluation),
        model,
        trained.pickle,
    )
    return files, trained
