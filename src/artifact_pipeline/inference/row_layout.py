"""The rows that a model takes: their columns, and the pieces of files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from msgspec import Struct

from artifact_pipeline.builder.artifact.manifest import ColumnSpec, FeatureLimits, Manifest
from artifact_pipeline.builder.config.values import Csv
from artifact_pipeline.inference import tables
from artifact_pipeline.inference.prediction_files import OutputFormat

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from artifact_pipeline.builder.formats.base import Batch


MAX_ROWS, MIN_ROWS = 1 << 16, 1 << 10
"""Maximum and minimum rows of a batch."""

_CELLS = 1 << 20


def batch_rows(features: int) -> int:
    """Return the number of rows that are predicted at once by a model of so many features.

    A power of two, so that a batch has about a million cells. The last bits of a probability can
    depend on it.

    >>> batch_rows(4), batch_rows(18), batch_rows(10_000)
    (65536, 32768, 1024)
    """
    rows = 1 << max(_CELLS // max(features, 1), 1).bit_length() - 1
    return min(max(rows, MIN_ROWS), MAX_ROWS)


class Layout(NamedTuple):
    """The layout of the rows for a model.

    Attributes:
        features: The names of the features.
        columns: The columns that the model takes; those of a matrix are numbers.
        is_matrix: Whether the model takes a matrix.
        csv: The dialect of a CSV.
        id: The name of the id column of the training rows.
        keep: The columns to carry over.
        rows: The number of rows in a batch.
    """

    features: list[str]
    columns: list[ColumnSpec]
    is_matrix: bool
    csv: Csv
    id: str | None
    keep: tuple[str, ...]
    rows: int

    @classmethod
    def of(cls, manifest: Manifest, keep: Sequence[str] = ()) -> Layout:
        """Return the layout of the rows for a sealed model."""
        interface, data = manifest.interface, manifest.recipe.data
        ids = data.schema.named("id")
        limits = interface.limits or [FeatureLimits()] * len(interface.features)
        return cls(
            features=interface.features,
            columns=interface.columns
            or [
                ColumnSpec(
                    name=name,
                    kind="number",
                    nullable=False,
                    unseen=False,
                    categories=None,
                    numbers=limit.numbers,
                    range=limit.range,
                )
                for name, limit in zip(interface.features, limits, strict=True)
            ],
            is_matrix=interface.columns is None,
            csv=data.table.csv if data.table and data.table.csv else Csv(),
            id=ids[0] if ids else None,
            keep=tuple(keep),
            rows=batch_rows(len(interface.features)),
        )

    def batch(self, columns: list[NDArray[Any]]) -> Batch:
        """Return columns as the model takes them."""
        if not self.is_matrix:
            return columns
        import numpy as np

        return np.column_stack(columns)


class CheckedRows(NamedTuple):
    """Rows that a model takes.

    Attributes:
        batch: Their features.
        ids: The values of the id column, if the file has it.
        kept: The columns that are carried over.
        extra: The columns that are not used.
        unseen: The number of rows with a text that is not in the training data, by column.
    """

    batch: Batch
    ids: list[str] | None
    kept: list[pa.Array]
    extra: list[str]
    unseen: dict[str, int]


class Piece(Protocol):
    """Consecutive rows of a file that are not yet read."""

    def __len__(self) -> int: ...

    def take(self, rows: NDArray[np.int64]) -> Piece:
        """Return some of the rows in their order, counted from 0."""

    def read(self) -> CheckedRows:
        """Return the rows. Their numbers in errors are those in the piece.

        Raises:
            DataError: For rows that the model does not take.
        """


class RowFile(Struct, frozen=True, kw_only=True):
    """An opened file of rows.

    Attributes:
        name: Its name in errors.
        columns: The names of its columns, empty if they are only known after its rows.
        has_id: Whether it has the id column.
        kept: The types of the columns that are carried over.
        pieces: Its rows; each piece except the last has the number of the layout.
        kept_as_json: Whether these contain JSON literals.
        output_format: The format of predictions by default, from that of the rows.
        rows: The number of its rows, if it is known.
    """

    name: str
    columns: list[str]
    has_id: bool
    kept: list[pa.DataType]
    pieces: Iterator[Piece]
    kept_as_json: bool = False
    output_format: OutputFormat = "csv"
    rows: int | None = None


def check_columns(names: list[str], name: str, *, layout: Layout) -> None:
    needed = [*(column.name for column in layout.columns), *layout.keep]
    if missing := [column for column in needed if column not in set(names)]:
        raise tables.missing_column(missing[0], names, file=name)


def checked_rows(
    table: tables.TableFile,
    name: str,
    *,
    layout: Layout,
    kept: list[pa.Array],
    file_columns: Sequence[str] | dict[str, None] = (),
) -> CheckedRows:
    rows = tables.rows_of(
        table, name, limits=layout.columns, id_column=layout.id, file_columns=file_columns
    )
    return CheckedRows(
        batch=layout.batch(rows.columns),
        ids=rows.ids,
        kept=kept,
        extra=[column for column in rows.extra if column not in layout.keep],
        unseen=rows.unseen,
    )


def joined(parts: Sequence[CheckedRows]) -> CheckedRows:
    """Return parts of a batch as one."""
    import numpy as np
    import pyarrow as pa

    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    batch: Batch
    if isinstance(first.batch, list):
        batch = [np.concatenate(columns) for columns in zip(*(p.batch for p in parts), strict=True)]
    else:
        batch = np.concatenate([part.batch for part in parts])
    unseen: dict[str, int] = {}
    for part in parts:
        unseen = {
            name: unseen.get(name, 0) + part.unseen.get(name, 0)
            for name in dict.fromkeys([*unseen, *part.unseen])
        }
    return CheckedRows(
        batch=batch,
        ids=None if first.ids is None else [value for part in parts for value in part.ids or ()],
        kept=[pa.concat_arrays(columns) for columns in zip(*(p.kept for p in parts), strict=True)],
        extra=list(dict.fromkeys(name for part in parts for name in part.extra)),
        unseen=unseen,
    )


def single_chunk(column: pa.ChunkedArray) -> pa.Array:
    """Return a column in one chunk."""
    combined = column.combine_chunks()
    return combined.chunk(0) if hasattr(combined, "chunks") else combined
