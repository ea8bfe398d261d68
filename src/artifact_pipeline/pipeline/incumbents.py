"""Incumbents: the artifacts in use that gates compare a new one with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from msgspec import Struct

from artifact_pipeline.builder.artifact import describe
from artifact_pipeline.builder.artifact.manifest import Manifest, Metrics
from artifact_pipeline.builder.config.resolved import Gate
from artifact_pipeline.errors import DataError, UntrustedModel, VerificationError
from artifact_pipeline.pipeline.held_out_outputs import other_rows, why_unpaired
from artifact_pipeline.store.references import PathLike, parse
from artifact_pipeline.store.store import Store

if TYPE_CHECKING:
    from artifact_pipeline.builder.evaluation.weighted_metrics import PredictedRows
    from artifact_pipeline.pipeline.held_out_outputs import HeldOutOutputs

Candidate: TypeAlias = "Callable[[], HeldOutOutputs]"
"""Predicts the held-out rows with the artifact that gates judge."""


class PairedRows(NamedTuple):
    """The held-out rows as two artifacts predict them."""

    incumbent: PredictedRows
    candidate: PredictedRows


class Incumbent(Struct, frozen=True, kw_only=True):
    """The artifact that an alias names, for gates to compare with."""

    digest: str | None
    """None if the alias names nothing yet."""
    metrics: Metrics | None
    """None if they are not known."""
    problem: str | None
    """Why it cannot be compared with; None if it can."""
    paired: PairedRows | str | None = None
    """The rows for a paired test, or why there are none; None if no gate has a paired test."""


def incumbents(
    gates: Mapping[str, Gate],
    manifest: Manifest,
    *,
    store: PathLike | None,
    candidate: Candidate,
    data: PathLike | None = None,
) -> dict[str, Incumbent]:
    """Return the artifact that each alias in gates names.

    Args:
        gates: By the name of the metric.
        manifest: The manifest of the artifact to compare with them.
        store: The store that they are looked up in.
        candidate: Called if a gate has a paired test.
        data: The path of the table for a paired test; by default the recorded one.
    """
    aliases = {gate.not_worse_than for gate in gates.values() if gate.not_worse_than is not None}
    tested = {gate.not_worse_than for gate in gates.values() if gate.confidence is not None}
    return {
        alias: _incumbent(
            alias,
            manifest,
            store=Store(store),
            candidate=candidate if alias in tested else None,
            data=data,
        )
        for alias in aliases
    }


def _incumbent(
    alias: str,
    manifest: Manifest,
    *,
    store: Store,
    candidate: Candidate | None,
    data: PathLike | None,
) -> Incumbent:
    reference = parse(alias)
    if reference.alias is not None and reference.name is None:
        digest = store.alias(describe.model_name_of(manifest.recipe), reference.alias)
    else:
        digest = store.digest_of(reference)
    if digest is None:
        return Incumbent(digest=None, metrics=None, problem=None)
    try:
        other = store.artifacts.open(digest).manifest
    except VerificationError as error:
        return Incumbent(digest=digest, metrics=None, problem=f"it does not verify ({error})")
    problem = _why_not(manifest, other)
    paired = None
    if candidate is not None and problem is None:
        reason = why_unpaired(manifest, other)
        paired = f"it {reason}" if reason else _pair(digest, store, candidate=candidate, data=data)
    return Incumbent(digest=digest, metrics=other.metrics, problem=problem, paired=paired)


def _pair(
    digest: str, store: Store, *, candidate: Candidate, data: PathLike | None
) -> PairedRows | str:
    """Predict the held-out rows with both artifacts, or return why that is impossible."""
    from artifact_pipeline.inference.predictor import load_predictor
    from artifact_pipeline.pipeline.held_out_outputs import predict_held_out
    from artifact_pipeline.store.access import open_trusted

    try:
        outputs = candidate()
        # By its folder: an alias does not make a digest trusted.
        incumbent = load_predictor(open_trusted(store.artifacts.path(digest), store=store.root))
        predicted = predict_held_out(incumbent, like=outputs, data=data, store=store.root).predicted
    except (DataError, UntrustedModel, VerificationError) as error:
        return str(error)
    return PairedRows(predicted, outputs.predicted)


def _why_not(manifest: Manifest, other: Manifest) -> str | None:
    if reason := other_rows(manifest, other):
        return f"it {reason}"
    if _slices(other) != _slices(manifest):
        return "it has other slices"
    return None


def _slices(manifest: Manifest) -> object:
    evaluation = manifest.recipe.evaluation
    return None if evaluation is None else evaluation.slices
