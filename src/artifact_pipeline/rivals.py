"""What the gates of a comparison compare with: what an alias names, if it was measured alike."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import UNSET

from artifact_pipeline.artifact.manifest import Manifest
from artifact_pipeline.artifact.open import verify
from artifact_pipeline.errors import VerificationError
from artifact_pipeline.evaluation import Rival
from artifact_pipeline.policy import Reference
from artifact_pipeline.settings import Gate
from artifact_pipeline.store import Store


def of(gates: Mapping[str, Gate], manifest: Manifest, store: Reference | None) -> dict[str, Rival]:
    """Return what each alias in the gates names, and whether it was measured on the same rows."""
    names = {gate.not_worse_than for gate in gates.values() if isinstance(gate.not_worse_than, str)}
    return {name: _rival(name, manifest, Store(store)) for name in names}


def _rival(alias: str, manifest: Manifest, store: Store) -> Rival:
    digest = store.alias(alias)
    if digest is None:
        return Rival(None, {}, None)
    try:
        other = verify(store.folder(digest), digest).manifest
    except VerificationError as error:
        return Rival(digest, {}, f"it does not verify ({error})")
    return Rival(digest, msgspec.to_builtins(other.metrics), _why_not(manifest, other))


def _why_not(manifest: Manifest, other: Manifest) -> str | None:
    if other.recipe.data.digest != manifest.recipe.data.digest:
        return "it was made from other rows"
    if other.split.indices_digest != manifest.split.indices_digest:
        return "it was measured on other held-out rows"
    if _slices(other) != _slices(manifest):
        return "its slices are others"
    return None


def _slices(manifest: Manifest) -> object:
    evaluation = manifest.recipe.evaluation
    return UNSET if evaluation is UNSET else evaluation.slices
