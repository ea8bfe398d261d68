"""The files of an artifact, built from a recipe by a trainer process."""

from __future__ import annotations

from typing import NamedTuple

from artifact_pipeline.builder import numeric_profile
from artifact_pipeline.builder.dask_cluster import Cluster
from artifact_pipeline.builder.progress import PhaseProgress, ReportProgress, ignore
from artifact_pipeline.builder.recipe import Recipe
from artifact_pipeline.builder.training.trainer import Trained, Trainer
from artifact_pipeline.errors import Location

_NATIVE = (
    "this machine supports no numeric profile (another BLAS, or an unknown CPU), so the bytes of "
    "this artifact are promised on this machine only."
)


class Built(NamedTuple):
    """The files of an artifact, and the findings of its training."""

    files: dict[str, bytes]
    trained: Trained
    warnings: list[str]
    parity_measured: float
    """The largest difference from the estimator on the held-out rows."""


def build(
    recipe: Recipe,
    trainer: Trainer,
    *,
    location: Location,
    warning: str | None = None,
    report: ReportProgress = ignore,
    cluster: Cluster | None = None,
) -> Built:
    """Train a model, prove an open form of it and seal both as the files of an artifact.

    Args:
        recipe: The recipe.
        trainer: A trainer process that has checked the recipe's config.
        location: The model's location in the config.
        warning: Why the recipe's numeric profile is `native`, if that is known.
        report: Called when a phase begins and after each of several fits.
        cluster: A Dask cluster for the fits of a search and of a cross-validation.

    Raises:
        ConfigError: If the estimator cannot be fitted, or no open form of it can be proven.
        NetworkError, EnvironmentFailure: If the cluster fails.
        TrainerDied: If the trainer process ends.
    """
    trained = trainer.train(report, cluster=cluster)
    from artifact_pipeline.builder.artifact.seal import seal
    from artifact_pipeline.builder.formats import interface as interfaces
    from artifact_pipeline.builder.formats import parity

    report(PhaseProgress(phase="prove"))
    result, edges = trained.result, trained.edges
    form, model, proof = parity.prove(
        trainer.forms(),
        trained.rows,
        expected=trained.outputs,
        edges=edges,
        location=location,
        recipe=recipe,
    )
    measured = trainer.measure(proof.outputs)
    warnings = [*result.warnings, *measured.warnings]
    if recipe.numerics.profile == numeric_profile.NATIVE:
        warnings.append(warning or _NATIVE)
    if proof.parity.reason is not None:
        warnings.append(f"{proof.parity.reason}.")
    is_table = result.columns is not None
    interface = interfaces.make(
        form,
        trained.rows,
        features=result.features,
        labels=result.labels,
        label_names=result.label_names,
        outputs=trained.outputs,
        image=result.image,
        columns=None
        if result.columns is None
        else interfaces.accepted_columns(result.columns, proof, edges=edges),
        limits=None if is_table else interfaces.accepted_limits(proof, edges),
        training=result.training,
    )
    files = seal(
        recipe,
        split=result.split,
        metrics=measured.metrics,
        interface=interface,
        parity=proof.parity,
        evaluation=result.evaluation,
        model=model,
        pickle=trained.pickle,
    )
    return Built(files=files, trained=trained, warnings=warnings, parity_measured=proof.measured)
