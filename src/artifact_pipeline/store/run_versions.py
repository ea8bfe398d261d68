"""Versions of runs, and how each run compares with the champion of its model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.store.journal import PastRun
from artifact_pipeline.store.pointers import CHAMPION
from artifact_pipeline.store.run_rows import RunRow, row_of
from artifact_pipeline.store.store import Store


class StoredModel(Struct, frozen=True):
    """The versions of a model in a store, and the metrics of its champion."""

    numbers: Mapping[Digest, int]
    """The version of each artifact."""
    champion: Digest | None
    metrics: Mapping[str, float]
    """The metrics of the champion on the held-out rows."""


def iterate(store: Store) -> Iterator[RunRow]:
    """Yield the runs of a store, newest first. Raises as `rows_of`."""
    return rows_of(store.run_index.iterate(), store)


def rows_of(records: Iterable[PastRun], store: Store) -> Iterator[RunRow]:
    """Yield the rows of records, with versions and the comparison with the champion.

    Raises:
        StoreError: If the history of a model is damaged.
    """
    models: dict[str, StoredModel] = {}
    for record in records:
        row = row_of(record)
        if row.name is not None:
            if row.name not in models:
                models[row.name] = stored_model(store, row.name)
            row = _placed(row, models[row.name])
        yield row


def stored_model(store: Store, name: str) -> StoredModel:
    """Return a model of a store. Raises StoreError if its history is damaged."""
    numbers = store.models.history(name).numbers
    champion = store.alias(name, CHAMPION)
    manifest = None if champion is None else store.artifacts.manifest(champion)
    return StoredModel(numbers, champion, {} if manifest is None else manifest.metrics.test)


def _placed(row: RunRow, model: StoredModel) -> RunRow:
    """Return a row with its version, compared with the champion of its model."""
    before = model.metrics.get(row.metric or "")
    return replace(
        row,
        version=model.numbers.get(row.digest or ""),
        change=None if before is None or row.value is None else row.value - before,
        is_champion=row.digest is not None and row.digest == model.champion,
    )
