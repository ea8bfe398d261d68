"""What rows are, wherever they come from, and what a recipe says of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from msgspec import Struct

from artifact_pipeline.builder.config.resolved import ColumnFormat, SplitConfig
from artifact_pipeline.builder.config.schema import Csv, Kind, Value

if TYPE_CHECKING:
    from numpy.typing import NDArray

Target: TypeAlias = Literal["class", "number"]
Role: TypeAlias = Literal["feature", "target", "id", "split", "unused"]
"""What a column of a table is for."""


class Image(Struct, frozen=True, forbid_unknown_fields=True):
    """The image that a row is, in row-major order: size in pixels, smallest and largest value."""

    height: int
    width: int
    min: float
    max: float

    @property
    def pixels(self) -> int:
        """How many features an image is."""
        return self.height * self.width


class ColumnRole(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """One column of a table."""

    name: str
    role: Role
    kind: Kind | None = None
    """The type of its values; None for a column that was not read."""
    format: ColumnFormat | None = None
    """The format of its numbers or dates, where the config has one."""


class Schema(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """What a row is: its features, their dtype, and the kind of target."""

    dtype: str
    """`float64`, or `mixed` with text among them."""
    features: int
    rows: int
    target: Target
    columns: list[ColumnRole] | None = None
    """The columns of a table, in its order."""

    def named(self, role: Role) -> list[str]:
        """Return the columns of a table that are for this."""
        return [column.name for column in self.columns or () if column.role == role]


class Table(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a table was read."""

    form: Literal["csv", "parquet", "jsonl"]
    csv: Csv | None = None


class Description(
    Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """The rows by the digest of their files, and their schema; a bundled set by its name, too."""

    digest: str
    schema: Schema
    dataset: str | None = None
    table: Table | None = None
    positive: Value | None = None
    dropped: int | None = None
    """The number of rows left out for a missing target, where the config allows that."""
    examples: int | None = None
    """The number of held-out rows in the report; None in recipes of earlier releases."""

    @property
    def title(self) -> str:
        """What a person calls the rows: the name of the set, or of what is predicted."""
        if self.dataset is not None:
            return self.dataset
        return ", ".join(self.schema.named("target")) or "rows that were brought"


class Rows(NamedTuple):
    """All rows of a data set."""

    X: Any
    """(n_rows, n_features) float64; of a table a DataFrame."""
    y: NDArray[Any]
    """(n_rows,) class labels, or float64 numbers."""
    feature_names: list[str]
    label_names: list[str]
    """What a person calls each class, in the order of the sorted labels; none for numbers."""
    image: Image | None
    target: Target
    description: Description
    by: NDArray[Any] | None = None
    """(n_rows,) of a table the column that splits."""
    kept: dict[str, NDArray[Any]] = {}  # noqa: RUF012  (never written to)
    """Columns that are asked for by name, features or not."""
    places: Callable[[int], str] = str
    """Where a row stands, as a message says it."""
    notes: tuple[str, ...] = ()
    """What to say of how the rows were read, a sentence each."""

    def labels(self) -> list[Any]:
        """Return the distinct labels, sorted; none where numbers are predicted."""
        import numpy as np

        labels: list[Any] = [] if self.target == "number" else np.unique(self.y).tolist()
        return labels

    def columns(self) -> dict[str, Kind] | None:
        """Return the features of a table and what they hold; None of a matrix."""
        columns = self.description.schema.columns
        if columns is None:
            return None
        return {
            column.name: column.kind
            for column in columns
            if column.role == "feature" and column.kind is not None
        }

    def formats(self) -> dict[str, ColumnFormat]:
        """Return how columns of a table are written, where the config says so."""
        columns = self.description.schema.columns or ()
        return {column.name: column.format for column in columns if column.format is not None}


def is_stratified(split: SplitConfig, of: Target) -> bool:
    """Return whether each class keeps its share: as the config says, or else for classes."""
    if split.stratify is None:
        return of == "class" and split.method == "random"
    return split.stratify


def batch(X: Any) -> Any:
    """Return X as a model takes it: an array as it is, of a DataFrame the list of its columns."""
    return [X[name].to_numpy() for name in X.columns] if hasattr(X, "columns") else X


def take(X: Any, index: Any) -> Any:
    """Return some rows of X, an array or a DataFrame."""
    return X.iloc[index] if hasattr(X, "iloc") else X[index]
