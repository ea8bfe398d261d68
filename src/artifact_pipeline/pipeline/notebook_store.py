"""A store in a notebook: the functions that take a store, as methods of one object."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from artifact_pipeline.errors import PipelineError
from artifact_pipeline.store import history, promotion, prune, queries
from artifact_pipeline.store import store as stores
from artifact_pipeline.store.events import Promotion, RemovedAlias, TagChange
from artifact_pipeline.store.history import AliasAt, HistoryEntry
from artifact_pipeline.store.queries import Listed, Shown

if TYPE_CHECKING:
    from typing import Unpack

    from artifact_pipeline.pipeline.compare import Comparison
    from artifact_pipeline.store.prune import PruneReport
    from artifact_pipeline.store.references import ArtifactLike, PathLike
    from artifact_pipeline.store.run_query import RunOptions
    from artifact_pipeline.store.run_rows import RunRow

_MAX_ROWS = 50
"""Artifacts that a notebook shows."""


class NotebookStore:
    """A store, for notebooks; it is exported as `artifact_pipeline.Store`.

    Args:
        path: Its folder; by default the environment variable `ARTIFACT_PIPELINE_STORE`, or else
            `artifacts` in the working folder.
    """

    def __init__(self, path: PathLike | None = None) -> None:
        self.path = os.fspath(stores.Store(path).root)

    def __repr__(self) -> str:
        store = stores.Store(self.path)
        try:
            models = len(store.models.names())
            artifacts, runs = len(store.artifacts.digests()), store.run_index.count()
        except PipelineError as error:
            return f"Store({self.path!r}, {error})"
        return f"Store({self.path!r}, models: {models}, artifacts: {artifacts}, runs: {runs})"

    def _repr_html_(self) -> str:
        from artifact_pipeline.inference.notebook import grid, headlines, section

        try:
            artifacts = self.artifacts()
        except PipelineError as error:
            return section(f"Store {self.path}", texts=[str(error)])
        rows = [
            [
                f"{artifact.name}:{artifact.version or '?'}",
                ", ".join(artifact.aliases),
                headlines(artifact.metrics.test) if artifact.metrics else "broken",
                ", ".join(f"{key}={value}" for key, value in artifact.tags.items()),
                artifact.digest[7:19],
            ]
            for artifact in artifacts[:_MAX_ROWS]
        ]
        more = len(artifacts) - _MAX_ROWS
        texts = [f"… and {more} more"] if more > 0 else []
        head = ["version", "aliases", "held-out rows", "tags", "digest"]
        return section(f"Store {self.path}", grid(head, rows), texts=texts)

    def runs(self, **query: Unpack[RunOptions]) -> Any:
        """Return the runs as a pandas DataFrame: a row for each, and a column for each field.

        The columns of metrics and parameters are called `test.accuracy` or `params.C`. Arguments
        and errors are those of `artifact_pipeline.run_rows`.
        """
        import pandas as pd

        from artifact_pipeline.store.run_query import run_rows

        rows = run_rows(store=self.path, **query)
        frame = pd.DataFrame([_flat(row) for row in rows])
        if rows:
            frame["version"] = frame["version"].astype("Int64")  # a run may have none
            frame["started"] = pd.to_datetime(
                frame["started"], errors="coerce", utc=True, format="ISO8601"
            )
        return frame

    def artifacts(self) -> list[Listed]:
        """Return the artifacts, each verified. Raises as `artifact_pipeline.artifacts`."""
        return queries.artifacts(store=self.path)

    def show(self, artifact: ArtifactLike) -> Shown:
        """Return the details of an artifact. Raises as `artifact_pipeline.show`."""
        return queries.show(artifact, store=self.path)

    def compare(self, a: ArtifactLike, b: ArtifactLike, *others: ArtifactLike) -> Comparison:
        """Compare artifacts. Arguments and errors are those of `artifact_pipeline.compare`."""
        from artifact_pipeline.pipeline.compare import compare

        return compare(a, b, *others, store=self.path)

    def promote(
        self, artifact: ArtifactLike, alias: str = "champion", *, message: str | None = None
    ) -> Promotion:
        """Move an alias of a model to an artifact. Raises as `artifact_pipeline.promote`."""
        return promotion.promote(artifact, alias, message=message, store=self.path)

    def rollback(
        self, alias: str, *, to: int | None = None, message: str | None = None
    ) -> Promotion:
        """Move an alias back. Arguments and errors are those of `artifact_pipeline.rollback`."""
        return promotion.rollback(alias, to=to, message=message, store=self.path)

    def remove_alias(self, alias: str, *, message: str | None = None) -> RemovedAlias:
        """Remove an alias. Raises as `artifact_pipeline.remove_alias`."""
        return promotion.remove_alias(alias, message=message, store=self.path)

    def tag(
        self,
        artifact: ArtifactLike,
        tags: Mapping[str, str] | None = None,
        *,
        remove: Iterable[str] = (),
        message: str | None = None,
    ) -> list[TagChange]:
        """Set and remove tags of an artifact. Raises as `artifact_pipeline.tag`."""
        return promotion.tag(artifact, tags, remove=remove, message=message, store=self.path)

    def history(self, reference: str) -> list[HistoryEntry]:
        """Return the history of a model or an alias. Raises as `artifact_pipeline.history`."""
        return history.history(reference, store=self.path)

    def alias_at(self, reference: str, at: str) -> list[AliasAt]:
        """Return what an alias named at a time. Raises as `artifact_pipeline.alias_at`."""
        return history.alias_at(reference, at, store=self.path)

    def prune(
        self, *, keep_last: int = 0, keep_days: float = prune.KEEP_DAYS, dry_run: bool = False
    ) -> PruneReport:
        """Remove artifacts that nothing refers to. Raises as `artifact_pipeline.prune`."""
        return prune.prune(
            keep_last=keep_last, keep_days=keep_days, dry_run=dry_run, store=self.path
        )


def _flat(row: RunRow) -> dict[str, Any]:
    """Return the fields of a row by name, those of its dicts as `params.C`."""
    flat: dict[str, Any] = {}
    for field, value in msgspec.structs.asdict(row).items():
        if isinstance(value, dict):
            flat |= {f"{field}.{key}": inner for key, inner in value.items()}
        else:
            flat[field] = value
    return flat


Store = NotebookStore
