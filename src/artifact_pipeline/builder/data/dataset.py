"""The rows of a data set and their description in a recipe."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from msgspec import Struct

from artifact_pipeline.builder.config.resolved import ColumnFormat, SplitConfig
from artifact_pipeline.builder.config.values import Csv, Kind, Value
from artifact_pipeline.builder.data.table_files import Format
from artifact_pipeline.errors import Location

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Target: TypeAlias = Literal["class", "number"]
Role: TypeAlias = Literal["feature", "target", "id", "split", "unused"]
"""The use of a column of a table."""

# Recipes hold the structs below. There a field with its default is left out.


class Image(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The image that the features of a row are, in row-major order."""

    height: int
    """In pixels."""
    width: int
    """In pixels."""
    min: float
    max: float

    @property
    def pixels(self) -> int:
        """The number of features."""
        return self.height * self.width


class ColumnRole(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A column of a table and its use."""

    name: str
    role: Role
    kind: Kind | None = None
    """The type of its values; None for a column that was not read."""
    format: ColumnFormat | None = None
    """The format of its numbers or dates, where the config has one."""


class Schema(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """The shape of the rows."""

    dtype: str
    """`float64`, or `mixed` if some features are text."""
    features: int
    rows: int
    target: Target
    columns: list[ColumnRole] | None = None
    """The columns of a table, in its order."""

    def named(self, role: Role) -> list[str]:
        """Return the names of the columns with a role."""
        return [column.name for column in self.columns or () if column.role == role]


class Table(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The format of a table's files."""

    form: Format
    csv: Csv | None = None


class Description(
    Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """What a recipe holds about the rows: the digest of their files, their shape, never a path."""

    digest: str
    schema: Schema
    dataset: str | None = None
    """The name of a bundled data set."""
    table: Table | None = None
    positive: Value | None = None
    dropped: int | None = None
    """The number of rows left out for a missing target, where the config allows that."""
    examples: int | None = None
    """The number of held-out rows in the report; None in recipes of earlier releases."""

    @property
    def title(self) -> str:
        """The name of a bundled data set, or of the target."""
        if self.dataset is not None:
            return self.dataset
        return ", ".join(self.schema.named("target")) or "imported rows"


class Rows(NamedTuple):
    """All rows of a data set."""

    X: Any
    """(n_rows, n_features) float64; a DataFrame for a table."""
    y: NDArray[Any]
    """(n_rows,) class labels, or float64 numbers."""
    feature_names: list[str]
    label_names: list[str]
    """A name for each class, in the order of the sorted labels; none for numbers."""
    image: Image | None
    target: Target
    description: Description
    split_values: NDArray[Any] | None = None
    """(n_rows,) values of the column that a table is split by."""
    extra_columns: dict[str, NDArray[Any]] = {}  # noqa: RUF012  (never written to)
    """Columns that the caller of `load` asked for, features or not: each (n_rows,)."""
    locate: Callable[[int], Location] = lambda row: Location(row=row + 1)
    """The location of a row, counted from 0, with the target of a table."""
    notes: tuple[str, ...] = ()
    """Warnings about how the rows were read, a sentence each."""

    def labels(self) -> list[Any]:
        """Return the distinct labels, sorted; none if numbers are predicted."""
        import numpy as np

        labels: list[Any] = [] if self.target == "number" else np.unique(self.y).tolist()
        return labels

    def columns(self) -> dict[str, Kind] | None:
        """Return the features of a table and the types of their values; None for a matrix."""
        columns = self.description.schema.columns
        if columns is None:
            return None
        return {
            column.name: column.kind
            for column in columns
            if column.role == "feature" and column.kind is not None
        }

    def formats(self) -> dict[str, ColumnFormat]:
        """Return the formats of a table's columns that have one."""
        columns = self.description.schema.columns or ()
        return {column.name: column.format for column in columns if column.format is not None}


def is_stratified(split: SplitConfig, target: Target) -> bool:
    """Return whether a split keeps the share of each class."""
    if split.stratify is None:
        return target == "class" and split.method == "random"
    return split.stratify


def batch(X: Any) -> Any:
    """Return X as a model takes it: an array as it is, a DataFrame as the list of its columns."""
    return [X[name].to_numpy() for name in X.columns] if hasattr(X, "columns") else X


def take(X: Any, index: Any) -> Any:
    """Return some rows of X, an array or a DataFrame."""
    return X.iloc[index] if hasattr(X, "iloc") else X[index]


def sample_index(count: int, most: int) -> NDArray[np.int64]:
    """Return the indices of a seeded sample of rows, ascending; of all if there are not more.

    >>> sample_index(3, 5).tolist()
    [0, 1, 2]
    """
    import numpy as np

    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, most, replace=False))
