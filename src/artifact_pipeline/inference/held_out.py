"""The held-out rows of an artifact, loaded and split again from what its recipe names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.artifact.manifest import Manifest, RowCounts, SplitSummary
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.builder.config.resolved import (
    BundledData,
    DataConfig,
    SplitConfig,
    resolve_data,
)
from artifact_pipeline.builder.config.schema import DataSection
from artifact_pipeline.builder.data import bundled, loader, split, table_files
from artifact_pipeline.builder.data.dataset import batch
from artifact_pipeline.builder.recipe import Recipe
from artifact_pipeline.errors import DataError
from artifact_pipeline.store.access import Reference
from artifact_pipeline.store.store import Store

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from artifact_pipeline.builder.formats.base import Batch


def rows_of(
    manifest: Manifest,
    digest: Digest,
    data: Reference | None = None,
    store: Reference | None = None,
) -> tuple[Batch, NDArray[Any]]:
    """Return the held-out rows of an artifact, and their true labels or numbers.

    Raises:
        DataError: if the data are not there, are not those that the recipe names by their
            digest, or split into other rows.
    """
    made = manifest.recipe
    found = _data(source(made, digest, data, store))
    rows = loader.load(found, split_of(made), made.data.schema.target, known=made.data)
    parts = split.split(rows, split_of(made))
    counts = RowCounts(len(parts.y_train), len(parts.y_test))
    if SplitSummary(counts, parts.indices_digest()) != manifest.split:
        raise DataError(
            "splits into other rows than the manifest says; install the versions that the "
            "recipe names",
            where=f"data {made.data.title}",
        )
    return batch(parts.X_test), parts.y_test


def source(
    recipe: Recipe, digest: Digest, data: Reference | None, store: Reference | None
) -> dict[str, Any]:
    """Return the `data` of a config that means the rows of a recipe, wherever they lie now.

    Raises:
        DataError: for a table whose place is neither given nor known from a run record.
    """
    known = recipe.data
    if recipe.brought is not None:
        raise DataError(
            "was fitted elsewhere, and the rows that measured it were not kept; name rows to "
            "predict",
            where=digest,
        )
    if known.dataset is not None:
        found: dict[str, Any] = {"dataset": known.dataset}
        return found if known.examples is None else {**found, "examples": known.examples}
    place = data or _recorded(digest, store, where=f"data {known.title}")
    schema = known.schema
    found = {
        "path": str(place),
        "target": schema.named("target")[0],
        "drop": schema.named("unused"),
        "columns": {one.name: one.kind for one in schema.columns or () if one.kind is not None},
        "examples": known.examples,
    }
    formats = {
        one.name: msgspec.to_builtins(one.format)
        for one in schema.columns or ()
        if one.format is not None
    }
    if formats:
        found["formats"] = formats
    if known.dropped is not None:
        found["missing_target"] = "drop"
    if ids := schema.named("id"):
        found["id"] = ids[0]
    if known.positive is not None:
        found["positive"] = known.positive
    if known.table is not None and known.table.csv is not None:
        found["csv"] = msgspec.to_builtins(known.table.csv)
    return found


def _recorded(digest: Digest, store: Reference | None, *, where: str) -> str:
    """Return where the run that made an artifact found its table, if the table is still there."""
    place = place_of(digest, store)
    if place is None:
        raise DataError(
            "no run record holds the path of the table; name it with --data", where=where
        )
    try:
        table_files.locate(place, "")
    except DataError as error:
        why = "which cannot be read here"
        if "\\x" in place:  # as `record.printable` writes it
            why += " (a run record does not hold bytes of a path that are not UTF-8)"
        raise DataError(
            f"the run that made the artifact read {place}, {why}; name the table with --data",
            where=where,
        ) from error
    return place


def place_of(digest: Digest, store: Reference | None) -> str | None:
    """Return where the newest run that has the artifact found its table."""
    for run in Store(store).journal.runs():
        if run.artifact == digest and run.data:
            return run.data
    return None


def split_of(recipe: Recipe) -> SplitConfig:
    """Return the split of a config that parts rows as the recipe does."""
    return msgspec.convert(msgspec.to_builtins(recipe.split), SplitConfig)


def _data(found: dict[str, Any]) -> DataConfig:
    try:
        return resolve_data(msgspec.convert(found, DataSection))
    except msgspec.ValidationError as error:
        raise DataError(f"this release does not know it: {error}", where="data") from error


def check(recipe: Recipe, found: dict[str, Any]) -> None:
    """Do nothing if `source` means the rows of the recipe, as they lie there now.

    Raises:
        DataError: otherwise.
    """
    data = _data(found)
    if isinstance(data, BundledData):
        digest = bundled.describe(data).digest
    else:
        paths = table_files.locate(data.path, "")
        digest = table_files.digest([canonical.digest(table_files.read(path)) for path in paths])
    loader.check(digest, recipe.data)
