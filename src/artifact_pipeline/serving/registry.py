"""Which artifacts answer, each under its name, and how an alias that moved is followed.

A request takes a `ServedModel` once and keeps it: it sees one artifact or the other, never half of
each.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from msgspec import UnsetType

from artifact_pipeline.builder.artifact.manifest import EVALUATION, Interface
from artifact_pipeline.builder.formats.base import Batch
from artifact_pipeline.disk import write_atomically
from artifact_pipeline.errors import ArtifactNotFound, PipelineError, VerificationError
from artifact_pipeline.inference.predictor import Predictor, load_predictor
from artifact_pipeline.serving.options import ModelSpec
from artifact_pipeline.store.access import open_trusted
from artifact_pipeline.store.pointers import ALIAS
from artifact_pipeline.store.store import Store
from artifact_pipeline.verification.verify import Verified

AGAIN = 10.0
"""Seconds after which an artifact that was refused is looked at again: it may have been copied."""
_AT_ONCE = 0.002
"""Seconds that a prediction may hold up whoever else asks; a longer one has a thread."""


class ServedModel(NamedTuple):
    """An artifact that answers under a name."""

    name: str
    digest: str
    predictor: Predictor
    interface: Interface
    quick: int
    """Rows that are predicted in no time."""
    verified: Verified
    """What the page and the report show: the evaluation alone, of its files."""


class RejectedUpdate(NamedTuple):
    """An artifact that an alias names, and that is not served."""

    digest: str | None
    why: str
    when: float


def load(asked: ModelSpec) -> ServedModel:
    """Return the model that is asked for, verified, opened and tried.

    Raises:
        VerificationError, CallError, StoreError: as `open_trusted` and `load_predictor`.
    """
    found = open_trusted(asked.artifact, asked.digest, signed_by=asked.signed_by, store=asked.store)
    predictor = load_predictor(found)
    shown = found._replace(files={EVALUATION: found.files[EVALUATION]})
    quick = _quick(predictor)
    return ServedModel(asked.name, found.digest, predictor, predictor.interface, quick, shown)


def batch_of(interface: Interface, rows: int) -> Batch:
    """Return rows that the model takes: zeros, and texts that it knows."""
    columns = interface.columns
    if isinstance(columns, UnsetType):
        return np.zeros((rows, len(interface.features)))
    return [
        np.full(rows, (one.categories or [""])[0], dtype=object)
        if one.kind == "text"
        else np.zeros(rows)
        for one in columns
    ]


def _quick(predictor: Predictor) -> int:
    """Return how many rows are predicted within `_AT_ONCE`, by what a few of them took here."""
    took = []
    for rows in (1, 1, 1, 32, 32):
        start = time.perf_counter()
        try:
            predictor.run(batch_of(predictor.interface, rows))
        except VerificationError:  # there are models that take no zeros
            return 0
        took.append((time.perf_counter() - start, rows))
    alone = min(seconds for seconds, rows in took if rows == 1)
    many = min(seconds for seconds, rows in took if rows > 1)
    each = max(many / 32, 1e-7)
    return 0 if alone > _AT_ONCE else max(1, int(_AT_ONCE / each))


class ModelRegistry:
    """The models of one worker. `shared` is the folder in which the workers of a server note what
    was good, so that one that comes back has it though the alias has moved to what is not."""

    def __init__(self, asked: tuple[ModelSpec, ...], shared: str) -> None:
        self.models: dict[str, ServedModel] = {}
        self.refused: dict[str, RejectedUpdate] = {}
        self._asked = asked
        self._shared = Path(shared)
        self._by_alias = {
            one.name
            for one in asked
            if ALIAS.fullmatch(one.artifact) and Store(one.store).aliases.get(one.artifact)
        }
        for one in asked:
            self._begin(one)

    def look(self) -> None:
        """Follow each alias that moved, once its new artifact has verified; else keep the old."""
        for one in self._asked:
            try:
                now = self._named(one)
            except PipelineError as error:
                self.refused[one.name] = RejectedUpdate(None, str(error), time.monotonic())
                continue
            refusal = self.refused.get(one.name)
            if now == self.models[one.name].digest:
                self.refused.pop(one.name, None)
            elif (
                refusal is None or refusal.digest != now or time.monotonic() - refusal.when > AGAIN
            ):
                self._swap(one, now)

    def _named(self, asked: ModelSpec) -> str | None:
        """Return the digest that an alias names now, or else the one that is served."""
        if asked.name not in self._by_alias:
            return self.models[asked.name].digest
        digest = Store(asked.store).aliases.get(asked.artifact)
        if digest is None:
            raise ArtifactNotFound("the alias is gone", where=asked.artifact)
        return digest

    def _swap(self, asked: ModelSpec, digest: str | None) -> None:
        try:
            self._put(load(asked))
        except PipelineError as error:
            self.refused[asked.name] = RejectedUpdate(digest, str(error), time.monotonic())

    def _put(self, model: ServedModel) -> None:
        self.models[model.name] = model
        self.refused.pop(model.name, None)
        write_atomically(self._shared / f"{model.name}.digest", model.digest.encode())

    def _begin(self, asked: ModelSpec) -> None:
        try:
            self._put(load(asked))
        except PipelineError as error:
            noted = self._shared / f"{asked.name}.digest"
            if not noted.exists():
                raise
            before = noted.read_text("ascii")
            self.models[asked.name] = load(asked._replace(artifact=before))
            self.refused[asked.name] = RejectedUpdate(None, str(error), time.monotonic())
