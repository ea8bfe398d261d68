"""Rows of a table to predict, checked against the columns that a model takes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from msgspec.structs import replace

from artifact_pipeline.builder.config.messages import show
from artifact_pipeline.builder.config.resolved import ColumnFormat
from artifact_pipeline.builder.config.values import Csv, Kind
from artifact_pipeline.builder.data import table_columns, table_reader
from artifact_pipeline.builder.data.encoded_text import marked_encoding
from artifact_pipeline.builder.data.number_limits import EXACT, outside
from artifact_pipeline.builder.data.table_columns import ColumnData
from artifact_pipeline.builder.data.table_files import Format
from artifact_pipeline.builder.data.table_json import MixedTypes
from artifact_pipeline.builder.data.table_reader import Raw
from artifact_pipeline.builder.data.text_cells import floats
from artifact_pipeline.builder.data.wrong_rows import WrongRows
from artifact_pipeline.errors import DataError, Location

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

MISSING = "is missing, and the model takes no row without it"


class ColumnLimits(Protocol):
    """The values that a model takes in a column; see `manifest.ColumnSpec`."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> Kind: ...
    @property
    def nullable(self) -> bool: ...
    @property
    def unseen(self) -> bool: ...
    @property
    def categories(self) -> list[str] | None: ...
    @property
    def format(self) -> ColumnFormat | None: ...
    @property
    def numbers(self) -> list[float] | None: ...
    @property
    def range(self) -> tuple[float, float] | None: ...


class TableRows(NamedTuple):
    """Rows of a table to predict."""

    columns: list[NDArray[Any]]
    """The model's features in its order: each (n_rows,) float64, or objects for text."""
    id: str | None
    """The name of the id column, if there is one."""
    ids: list[str] | None
    """The ids."""
    extra: list[str]
    """The names of columns that the model does not use."""
    unseen: dict[str, int]
    """The number of rows with a text that was not in training, by column."""


def read(
    data: bytes,
    name: str,
    *,
    file_format: Format,
    csv: Csv,
    limits: Sequence[ColumnLimits],
    id_column: str | None,
) -> TableRows:
    """Return the rows of a table, whose columns may have any order.

    Args:
        data: The bytes of a file.
        name: Its name.
        file_format: Its format.
        csv: The dialect of a CSV.
        limits: The columns that the model takes.
        id_column: The name of the id column of the training rows.

    Raises:
        DataError: As `table_reader.read`, and for a column that is missing or has a value that
            the model does not take; with the file, row and column.
    """
    table = TableFile.read(data, name, file_format=file_format, csv=csv)
    return rows_of(table, name, limits=limits, id_column=id_column)


def rows_of(
    table: TableFile,
    name: str,
    *,
    limits: Sequence[ColumnLimits],
    id_column: str | None,
    file_columns: Collection[str] = (),
) -> TableRows:
    """Return rows of a table, checked against the columns that a model takes.

    Args:
        table: The table, or some rows of one.
        name: Its name.
        limits: The columns that the model takes.
        id_column: The name of the id column of the training rows.
        file_columns: Columns that the file has, even if none of these rows has a value.

    Raises:
        DataError: As `read`.
    """
    names = [limit.name for limit in limits]
    known = set(table.names)
    if missing := [column for column in names if column not in known | {*file_columns}]:
        raise missing_column(missing[0], table.names, file=name)
    read_columns = [
        table.column(limit.name, kind=limit.kind, form=limit.format)
        if limit.name in known
        else _without_values(limit.kind, table.rows)
        for limit in limits
    ]
    columns = [column.values for column in read_columns]
    ids = None
    if id_column is not None and id_column in known:
        ids = table.column(id_column, kind="text", form=None).values.tolist()
    elif id_column is not None and id_column in file_columns:
        ids = [""] * table.rows
    return TableRows(
        columns=columns,
        id=None if ids is None else id_column,
        ids=ids,
        extra=[column for column in table.names if column not in names and column != id_column],
        unseen=check(
            columns,
            limits,
            locate=table.locate,
            texts=[column.texts for column in read_columns],
        ),
    )


def missing_column(column: str, names: Sequence[str], *, file: str) -> DataError:
    """Return the error for a column that a file does not have.

    Args:
        column: The column.
        names: The columns of the file.
        file: Its name.
    """
    remedy = None
    if len(names) == 1 and (marks := {";", "\t", "|", ","} & {*names[0]}):
        remedy = f"the header is one cell; are its cells separated by {show(min(marks))}?"
    problem = f"the column {show(column)} is missing"
    return DataError(problem, location=Location(file), remedy=remedy)


class ColumnValues(NamedTuple):
    """A column of a table as a model takes it.

    Attributes:
        values: (n_rows,) float64, or objects for text.
        texts: The distinct texts in it, if it is known to repeat them.
    """

    values: NDArray[Any]
    texts: set[str] | None = None


def _without_values(kind: Kind, rows: int) -> ColumnValues:
    import numpy as np

    if kind == "text":
        return ColumnValues(np.full(rows, "", dtype=object))
    return ColumnValues(np.full(rows, np.nan))


def exact_numbers(column: pa.ChunkedArray) -> NDArray[np.float64] | None:
    """Return a column of numbers as float64, with NaN for null.

    None if one is infinite, or too large to be exact in a float64.
    """
    import numpy as np

    values = floats(column)
    # Ufuncs that ignore NaN, and make no temporary array.
    if np.fmax.reduce(values, initial=0) < EXACT and np.fmin.reduce(values, initial=0) > -EXACT:
        return values
    return None


@contextmanager
def encoding_errors(dialect: Csv) -> Iterator[None]:
    """Give errors about the encoding of a CSV a remedy: the config of a sealed model is fixed."""
    try:
        yield
    except DataError as error:
        if not isinstance(error.__cause__, UnicodeError):
            raise
        remedy = f"save it as {dialect.encoding}, like the training table"
        raise DataError(error.problem, location=error.location, remedy=remedy) from error.__cause__


class TableFile(NamedTuple):
    """A table, whose columns are each in one part, or in parts by the type of their values.

    Attributes:
        parts: The parts of each column.
        locate: The location of a row, counted from 0.
        numbers: Columns that were converted already.
    """

    parts: dict[str, list[Raw]]
    locate: Callable[[int], Location]
    numbers: Mapping[str, NDArray[np.float64]] = {}

    @classmethod
    def read(cls, data: bytes, name: str, *, file_format: Format, csv: Csv) -> TableFile:
        if file_format == "csv" and (marked := marked_encoding(data)):
            csv = replace(csv, encoding=marked)
        try:
            with encoding_errors(csv):
                raw = table_reader.read([(name, data)], file_format, csv=csv)
        except MixedTypes:
            # The meaning of a row must not depend on the other rows, so each is read by its type.
            parts = table_reader.read_by_type(data, name)
            return cls(parts, lambda row: Location(name, row=row + 1))
        return cls.of(raw)

    @classmethod
    def of(cls, raw: Raw, numbers: Mapping[str, NDArray[np.float64]] = {}) -> TableFile:
        """Return a table whose columns have one type each."""
        return cls({column: [raw] for column in raw.table.column_names}, raw.locate, numbers)

    @property
    def rows(self) -> int:
        """The number of rows."""
        return sum(part.rows for part in next(iter(self.parts.values()))[0].parts)

    @property
    def names(self) -> list[str]:
        return list(self.parts)

    def column(self, name: str, *, kind: Kind, form: ColumnFormat | None) -> ColumnValues:
        """Return the values of a column, each at its row."""
        import numpy as np

        if name in self.numbers:
            return ColumnValues(self.numbers[name])
        parts = self.parts[name]
        if (
            kind == "number"
            and form is None
            and (values := _typed_numbers(parts[0], name)) is not None
        ):
            return ColumnValues(values)
        columns = [
            table_columns.column_of_rows(part, name, kind=kind, column_format=form)
            for part in parts
        ]
        if parts[0].row_numbers is None:
            return ColumnValues(columns[0].values, _distinct(columns[0]))
        merged = np.concatenate([column.values for column in columns])
        rows = np.concatenate([part.row_numbers for part in parts if part.row_numbers])
        merged[rows] = merged.copy()
        return ColumnValues(merged)


def _typed_numbers(raw: Raw, name: str) -> NDArray[np.float64] | None:
    """Return a column that has a type of numbers, unless its numbers need checks."""
    import pyarrow.types as t

    column = raw.table.column(name)
    if raw.sources or not (t.is_floating(column.type) or t.is_integer(column.type)):
        return None
    return exact_numbers(column)


def _distinct(column: ColumnData) -> set[str] | None:
    """Return the texts in a column of text, None unless it is known to repeat them."""
    cells = column.cells
    if cells is None or cells.codes is None:
        return None
    texts = {*cells.texts.to_pylist()}
    return {*texts, ""} if cells.column.null_count else texts


def check(
    columns: Sequence[NDArray[Any]],
    limits: Sequence[ColumnLimits],
    *,
    locate: Callable[[int], Location],
    texts: Sequence[set[str] | None] | None = None,
) -> dict[str, int]:
    """Check that a model takes all rows, and count those with a text that was not in training.

    Args:
        columns: The model's features in its order: each (n_rows,) float64, or objects for text.
        limits: The columns that the model takes.
        locate: The location of a row, counted from 0.
        texts: The texts in each column, where they are known.

    Returns:
        The number of rows with an unseen text, by column.

    Raises:
        DataError: For a value that the model does not take.
    """
    unseen = {}
    known = texts or [None] * len(limits)
    for values, limit, distinct in zip(columns, limits, known, strict=True):
        if limit.kind != "text":
            _check_numbers(values, limit, locate=locate)
        elif count := _check_texts(values, limit, locate=locate, texts=distinct):
            unseen[limit.name] = count
    return unseen


def _check_texts(
    values: NDArray[Any],
    limit: ColumnLimits,
    *,
    locate: Callable[[int], Location],
    texts: set[str] | None,
) -> int:
    """Check a column of text, and count the values that were not in training."""
    import numpy as np

    takes_missing = limit.nullable or (limit.categories is not None and "" in limit.categories)
    if not takes_missing and (texts is None or "" in texts):
        empty = np.flatnonzero(values == "")
        if len(empty):
            raise _error(MISSING, limit, locate=locate, rows=empty)
    if limit.categories is None:
        return 0
    known = {*limit.categories, ""}
    if known.issuperset(values.tolist() if texts is None else texts):
        return 0
    unseen = np.array([value not in known for value in values], dtype=bool)
    if unseen.any() and not limit.unseen:
        rows = np.flatnonzero(unseen)
        examples = ", ".join(show(value) for value in limit.categories[:5])
        problem = f"is {show(values[rows[0]])}, but the model accepts only {examples}"
        raise _error(problem, limit, locate=locate, rows=rows)
    return int(unseen.sum())


def _check_numbers(
    values: NDArray[Any], limit: ColumnLimits, *, locate: Callable[[int], Location]
) -> None:
    import numpy as np

    if np.isinf(values).any():
        rows = np.flatnonzero(np.isinf(values))
        problem = f"is {values[rows[0]]}, expected a finite number"
        raise _error(problem, limit, locate=locate, rows=rows)
    missing = np.isnan(values)
    if not limit.nullable and missing.any():
        raise _error(MISSING, limit, locate=locate, rows=np.flatnonzero(missing))
    if limit.kind == "boolean":
        wrong = ~missing & (values != 0) & (values != 1)
        if wrong.any():
            rows = np.flatnonzero(wrong)
            problem = f"is {values[rows[0]]}, expected true or false"
            raise _error(problem, limit, locate=locate, rows=rows)
    if wrong_number := outside(values, limit):
        row, problem = wrong_number
        raise DataError(problem, location=locate(row).at(column=limit.name))


def _error(
    problem: str,
    limit: ColumnLimits,
    *,
    locate: Callable[[int], Location],
    rows: NDArray[np.int64],
) -> WrongRows:
    location = locate(int(rows[0])).at(column=limit.name)
    return WrongRows(problem, location=location, rows=rows)
