"""The held-out rows of an artifact, loaded and split again according to its recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.artifact.manifest import Manifest, RowCounts, SplitSummary
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.builder.config.defaults import resolve_data
from artifact_pipeline.builder.config.resolved import (
    BundledData,
    DataConfig,
    SplitConfig,
)
from artifact_pipeline.builder.config.schema import DataSection
from artifact_pipeline.builder.data import bundled, loader, split, table_files
from artifact_pipeline.builder.data.dataset import batch
from artifact_pipeline.builder.recipe import Recipe
from artifact_pipeline.errors import DataError, Location, NetworkError
from artifact_pipeline.store.journal import PastRun
from artifact_pipeline.store.references import PathLike
from artifact_pipeline.store.store import Store

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from artifact_pipeline.builder.formats.base import Batch


class HeldOutRows(NamedTuple):
    """The held-out rows of an artifact."""

    rows: Batch
    truth: NDArray[Any]
    """Their true labels or numbers, (n_rows,)."""
    indices: NDArray[np.int64]
    """The index of each in the data set, (n_rows,)."""


def rows_of(
    manifest: Manifest,
    digest: Digest,
    *,
    data: PathLike | None = None,
    store: PathLike | None = None,
) -> HeldOutRows:
    """Return the held-out rows of an artifact.

    Args:
        manifest: The manifest of the artifact.
        digest: Its digest.
        data: The path of its table; by default the one in the record of the run that made it.
        store: The store with the run records.

    Raises:
        DataError: If the data is missing, has another digest than in the recipe, or splits into
            other rows.
    """
    recipe = manifest.recipe
    section = data_section(recipe, digest, data=data, store=store)
    rows = loader.load(
        resolve_data(section),
        split_of(recipe),
        target=recipe.data.schema.target,
        expected=recipe.data,
    )
    parts = split.split(rows, split_of(recipe))
    counts = RowCounts(len(parts.y_train), len(parts.y_test))
    if SplitSummary(counts, parts.indices_digest()) != manifest.split:
        raise DataError(
            "does not split into the rows of the manifest",
            location=Location(f"data {recipe.data.title}"),
            remedy="install the versions that the recipe names",
        )
    return HeldOutRows(batch(parts.X_test), parts.y_test, parts.test_index)


def data_section(
    recipe: Recipe, digest: Digest, *, data: PathLike | None, store: PathLike | None
) -> DataSection:
    """Return the `data` section of a config for the rows of a recipe.

    Args:
        recipe: The recipe.
        digest: The digest of the artifact.
        data: The path of its table; by default the one in the record of the run that made it.
        store: The store with the run records.

    Raises:
        DataError: If the path of a table is neither given nor recorded, or this release does not
            know the data.
    """
    known = recipe.data
    if recipe.brought is not None:
        raise DataError(
            "was fitted elsewhere, and the rows that measured it were not kept",
            location=Location(digest),
            remedy="pass rows to predict",
        )
    section: dict[str, Any] = {} if known.examples is None else {"examples": known.examples}
    if known.dataset is not None:
        return _section({"dataset": known.dataset, **section})
    columns = known.schema.columns or []
    section |= {
        "path": str(data or _recorded_path(digest, store, title=known.title)),
        "target": known.schema.named("target")[0],
        "drop": known.schema.named("unused"),
        "columns": {column.name: column.kind for column in columns if column.kind is not None},
    }
    formats = {column.name: column.format for column in columns if column.format is not None}
    if formats:
        section["formats"] = msgspec.to_builtins(formats)
    if known.dropped is not None:
        section["missing_target"] = "drop"
    if ids := known.schema.named("id"):
        section["id"] = ids[0]
    if known.positive is not None:
        section["positive"] = known.positive
    if known.table is not None and known.table.csv is not None:
        section["csv"] = msgspec.to_builtins(known.table.csv)
    return _section(section)


def _recorded_path(digest: Digest, store: PathLike | None, *, title: str) -> str:
    """Return the path from which the run that made an artifact read its table, if it still exists.

    Otherwise return the path in that run's config, relative to the working folder, where another
    checkout has the table.
    """
    location = Location(f"data {title}")
    run = Store(store).run_index.record_with_data(digest)
    if run is None or run.data is None:
        raise DataError(
            "no run record has the path of the table",
            location=location,
            remedy="name it with --data",
        )
    path = run.data
    try:
        table_files.locate(path, "")
    except (DataError, NetworkError) as error:
        if (in_config := _path_in_config(run)) is not None:
            return in_config
        reason = "which cannot be read here"
        if "\\x" in path:  # as `record.printable` writes it
            reason += " (a run record cannot contain a path that is not UTF-8)"
        raise DataError(
            f"the run that made the artifact read {path}, {reason}",
            location=location,
            remedy="name the table with --data",
        ) from error
    return path


def _path_in_config(run: PastRun) -> str | None:
    """Return `data.path` of a run's config, relative to the working folder, if it exists."""
    try:
        config: Any = canonical.decode((run.config_text or "").encode())
        path = str(Path(run.config).parent / config["data"]["path"])
        table_files.locate(path, "")
    except (canonical.NotCanonical, KeyError, TypeError, DataError, NetworkError):
        return None
    return path


def split_of(recipe: Recipe) -> SplitConfig:
    """Return the split of a recipe as the section of a config."""
    return msgspec.convert(msgspec.to_builtins(recipe.split), SplitConfig)


def check(recipe: Recipe, data: DataConfig) -> None:
    """Check that files still contain the rows of a recipe.

    Raises:
        DataError: If they do not.
    """
    if isinstance(data, BundledData):
        digest = bundled.describe(data).digest
    else:
        paths = table_files.locate(data.path, "")
        digest = table_files.digest([canonical.digest(table_files.read(path)) for path in paths])
    loader.check_digest(digest, recipe.data)


def _section(values: dict[str, Any]) -> DataSection:
    try:
        return msgspec.convert(values, DataSection)
    except msgspec.ValidationError as error:
        problem = f"is not supported by this release: {error}"
        raise DataError(problem, location=Location("data")) from error
