"""The rows that a config's `data` names: a bundled data set, or a table whose columns have roles.

>>> load(BundledData("iris")).X.shape
(150, 4)
"""

from __future__ import annotations

import datetime
import functools
import os
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, NamedTuple

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.config.messages import nearest, show
from artifact_pipeline.builder.config.resolved import (
    BundledData,
    DataConfig,
    SplitConfig,
    TableData,
)
from artifact_pipeline.builder.config.values import Csv
from artifact_pipeline.builder.data import bundled, memory, table_columns, table_files, table_reader
from artifact_pipeline.builder.data.dataset import (
    ColumnRole,
    Description,
    Role,
    Rows,
    Schema,
    Table,
    Target,
)
from artifact_pipeline.builder.data.frames import frame
from artifact_pipeline.builder.data.table_columns import ColumnData
from artifact_pipeline.builder.data.table_reader import Raw
from artifact_pipeline.builder.progress import PhaseProgress, ReportProgress, ignore
from artifact_pipeline.errors import ConfigError, DataError, Location

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDES = ("train", "test")
"""The values of a column that assigns rows to the sides of a split."""
_FIRST = 1000
"""Among so many rows a second label is expected."""


class _TableColumns(NamedTuple):
    """The columns of a table: their roles, and the data of those that were read."""

    raw: Raw
    roles: dict[str, Role]
    data: dict[str, ColumnData]
    target: str


def load(
    data: DataConfig,
    split: SplitConfig = SplitConfig(),  # noqa: B008  (frozen)
    *,
    target: Target | None = None,
    extra_columns: Collection[str] = (),
    base: str | os.PathLike[str] = "",
    config: str = "config",
    expected: Description | None = None,
    report: ReportProgress = ignore,
) -> Rows:
    """Return the rows of a config.

    Args:
        data: Where the rows are.
        split: Their split; a column that it names is not a feature.
        target: Whether to predict classes or numbers, where the target column allows both.
        extra_columns: Columns to return besides the features.
        base: The folder that the path of a table is relative to.
        config: The name of the config in errors.
        expected: What the rows must be; their digest is compared before they are parsed.
        report: Called when part of a table is read.

    Raises:
        DataError: If the rows are wrong, with the file, row and column, or not as expected.
        ConfigError: If the config does not fit the rows.
    """
    if isinstance(data, BundledData):
        if expected is not None:
            check_digest(bundled.describe(data).digest, expected)
        return bundled.load(data)
    paths = table_files.locate(data.path, base)
    memory.check_fits(paths, Location(data.path))
    files: list[tuple[str, bytes | table_files.TablePath]] = [(path.name, path) for path in paths]
    if expected is not None:
        contents = [table_files.read(path) for path in paths]
        check_digest(table_files.digest([*map(canonical.digest, contents)]), expected)
        files = [(path.name, content) for path, content in zip(paths, contents, strict=True)]
        del contents
    location = Location(config, key="data")
    file_format = table_files.format_of(paths[0])
    if file_format != "csv" and data.csv is not None:
        problem = f"found it, and the data is {file_format}"
        raise ConfigError(problem, location=location.inside("csv"))
    declared = {name for name, kind in data.columns.items() if kind != "number"}
    raw = table_reader.read(
        files,
        file_format,
        csv=data.csv or Csv(),
        text_columns={*declared, *data.formats},
        report=report,
    )
    files.clear()  # a large table is not held twice
    digests = [part.digest for part in raw.parts]
    digest = table_files.digest(digests) if expected is None else expected.digest
    table_files.check_keys(paths, data.path, base=base, columns=raw.table.column_names)
    rows = raw.table.num_rows
    if data.missing_target == "drop":
        raw = _drop_missing_targets(raw, data)
    columns = _read_columns(raw, data, split=split, extra_columns=extra_columns, report=report)
    y, target = _target(columns, target)
    labels: list[Any] = []
    if target == "class":
        labels = _labels(columns.data[data.target], y, positive=data.positive, location=location)
    dropped = rows - len(y) if data.missing_target == "drop" else None
    features = [name for name, role in columns.roles.items() if role == "feature"]
    return Rows(
        X=frame({name: columns.data[name].values for name in features}),
        y=y,
        feature_names=features,
        label_names=[str(label) for label in labels],
        image=None,
        target=target,
        description=_describe(columns, data, digest=digest, target=target, dropped=dropped),
        split_values=_split_values(columns, split),
        extra_columns={name: columns.data[name].values for name in extra_columns},
        locate=functools.partial(raw.without_cells().cell, column=data.target),
        notes=tuple(_notes(columns, data, rows=rows, dropped=dropped)),
    )


def check_digest(digest: str, expected: Description) -> None:
    """Check that rows have the digest of a recipe's rows.

    Raises:
        DataError: If they do not.
    """
    if digest != expected.digest:
        remedy = "install the versions that the recipe names"
        if expected.dataset is None:
            remedy = "name the files that it was made from with --data"
        raise DataError(
            f"has the digest {digest[7:19]}, and the recipe has {expected.digest[7:19]}",
            location=Location(f"data {expected.title}"),
            remedy=remedy,
        )


def _drop_missing_targets(raw: Raw, data: TableData) -> Raw:
    """Return a table without the rows that have no target."""
    import numpy as np

    kind, column_format = data.columns.get(data.target), data.formats.get(data.target)
    _check_known(raw, data.target, key="data.target")
    column = table_columns.column(raw, data.target, kind=kind, column_format=column_format)
    kept = np.flatnonzero(~column.without_value())
    if not len(kept):
        location = raw.location().at(column=data.target)
        raise DataError("is missing in all rows", location=location)
    return raw if len(kept) == len(column.values) else raw.take(kept.tolist())


def _read_columns(
    raw: Raw,
    data: TableData,
    *,
    split: SplitConfig,
    extra_columns: Collection[str],
    report: ReportProgress,
) -> _TableColumns:
    roles = _roles(raw, data, split=split)
    names = [
        name
        for name, role in roles.items()
        if role not in ("unused", "id") or name in extra_columns or name in data.columns
    ]
    unit = f"columns of {raw.table.num_rows:,} rows"
    columns: dict[str, ColumnData] = {}
    for name in names:
        report(PhaseProgress(phase="convert", done=len(columns), total=len(names), unit=unit))
        columns[name] = table_columns.column(
            raw, name, kind=data.columns.get(name), column_format=data.formats.get(name)
        )
    for name in extra_columns:
        _check_known(raw, name, key="evaluation.slices")
    if "feature" not in roles.values():
        raise DataError(
            "no feature columns left: every column is the target, the id, the split column or "
            "dropped",
            location=raw.location(),
        )
    return _TableColumns(raw=raw, roles=roles, data=columns, target=data.target)


def _roles(raw: Raw, data: TableData, *, split: SplitConfig) -> dict[str, Role]:
    roles: dict[str, Role] = dict.fromkeys(raw.table.column_names, "feature")
    declared_types = {*data.columns, *data.formats}
    roles |= {name: "unused" for name in raw.index_columns if name not in declared_types}
    special: list[tuple[str, str | None, Role]] = [
        ("data.target", data.target, "target"),
        ("data.id", data.id, "id"),
        ("split.column", split.column, "split"),
        *(("data.drop", name, "unused") for name in data.drop),
    ]
    for key, name, role in special:
        if name is not None:
            _check_known(raw, name, key=key)
            roles[name] = role
    for name in data.columns:
        _check_known(raw, name, key="data.columns")
    for name in data.formats:
        _check_known(raw, name, key="data.formats")
    return roles


def _check_known(raw: Raw, name: str, *, key: str) -> None:
    if name not in raw.table.column_names:
        raise DataError(
            f"has no column {show(name)}, which {key} names",
            location=raw.location(),
            remedy=nearest(name, raw.table.column_names),
        )


def _notes(columns: _TableColumns, data: TableData, *, rows: int, dropped: int | None) -> list[str]:
    """Return warnings about columns and rows that were not read as their owner may expect."""
    roles = columns.roles
    notes = [
        f"the column {show(name)} is the index of a data frame and is left out; to use it as a "
        "feature, name it in data.columns"
        for name in columns.raw.index_columns
        if roles[name] == "unused" and name not in data.drop
    ]
    notes += [
        column.note
        for name, column in columns.data.items()
        if column.note and roles[name] != "unused"
    ]
    if dropped:
        notes.append(
            f"{dropped} of {rows} rows have no {show(data.target)} and are left out, as "
            "set in data.missing_target"
        )
    return notes


def _describe(
    columns: _TableColumns, data: TableData, *, digest: str, target: Target, dropped: int | None
) -> Description:
    raw = columns.raw
    features = [name for name, role in columns.roles.items() if role == "feature"]
    has_text = any(columns.data[name].kind == "text" for name in features)
    return Description(
        digest=digest,
        schema=Schema(
            dtype="mixed" if has_text else "float64",
            features=len(features),
            rows=raw.table.num_rows,
            target=target,
            columns=[
                ColumnRole(
                    name=name,
                    role=role,
                    kind=columns.data[name].kind if name in columns.data else None,
                    format=data.formats.get(name),
                )
                for name, role in columns.roles.items()
            ],
        ),
        table=Table(raw.format, raw.csv if raw.format == "csv" else None),
        positive=data.positive,
        dropped=dropped,
        examples=data.examples,
    )


def _target(columns: _TableColumns, target: Target | None) -> tuple[NDArray[Any], Target]:
    """Return the true labels or numbers, (n_rows,), and which of both they are."""
    import numpy as np

    raw, name, column = columns.raw, columns.target, columns.data[columns.target]
    y, kind = _target_values(raw, name, column=column, target=target)
    if len(np.unique(y[:_FIRST])) < 2 and len(np.unique(y)) < 2:
        raise DataError(
            f"has one value, {show(y[0].item())}, in all rows; there is nothing to learn",
            location=raw.location().at(column=name),
        )
    return y, kind


def _target_values(
    raw: Raw, name: str, *, column: ColumnData, target: Target | None
) -> tuple[NDArray[Any], Target]:
    import numpy as np

    if (missing := column.without_value()).any():
        row, count = int(np.flatnonzero(missing)[0]), int(missing.sum())
        others = f" (so are {count - 1} more)" if count > 1 else ""
        raise DataError(
            f"is missing{others}: every row needs a target",
            location=raw.cell(row, name),
            remedy='to leave such rows out, set data.missing_target: "drop"',
        )
    if column.kind == "text":
        return column.labels(), "class"
    if column.kind == "boolean":
        return column.values.astype(bool), "class"
    if target != "class":
        return column.values, "number"
    if column.kind == "date":
        try:
            return np.array([iso_date(days) for days in column.values.tolist()]), "class"
        except OverflowError as error:
            row = int(np.abs(column.values).argmax())
            problem = "is outside the years 1 to 9999"
            raise DataError(problem, location=raw.cell(row, name)) from error
    is_integer = column.values == np.floor(column.values)
    if not is_integer.all():
        row = int(np.flatnonzero(~is_integer)[0])
        raise DataError(
            f"found {column.values[row]}, and a classifier learns labels: text, true and false, or "
            "integers",
            location=raw.cell(row, name),
            remedy="a regressor predicts numbers",
        )
    return column.values.astype(np.int64), "class"


def iso_date(days: float) -> str:
    """Return a date in ISO 8601, with its time unless that is midnight."""
    moment = table_columns.EPOCH + datetime.timedelta(
        microseconds=round(days * table_columns.MICROSECONDS)
    )
    return moment.date().isoformat() if days == int(days) else moment.isoformat()


def _labels(column: ColumnData, y: NDArray[Any], *, positive: Any, location: Location) -> list[Any]:
    """Return the distinct labels, sorted, and check that the positive one is among two."""
    import numpy as np

    cells = column.cells
    distinct = y if cells is None else np.array(cells.texts.to_pylist())
    labels: list[Any] = np.unique(distinct).tolist()
    if positive is None:
        return labels
    location = location.inside("positive")
    if len(labels) != 2:
        problem = f"there are {len(labels)} classes, and one of two can be positive"
        raise ConfigError(problem, location=location)
    if not any(positive == label and type(positive) is type(label) for label in labels):
        known = ", ".join(show(label) for label in labels)
        problem = f"found {show(positive)}, expected one of: {known}"
        raise ConfigError(problem, location=location)
    return labels


def _split_values(columns: _TableColumns, split: SplitConfig) -> NDArray[Any] | None:
    """Return the values of the split column, once each row has a valid one."""
    import numpy as np

    if split.column is None:
        return None
    column = columns.data[split.column]
    wrong = column.without_value()
    expected = f"each row needs its {split.method}"
    if split.method == "column":
        wrong = ~np.isin(column.values.astype(str), SIDES)
        expected = f"expected {SIDES[0]} or {SIDES[1]}"
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        value = "a missing value" if column.without_value()[row] else show(column.values[row])
        location = columns.raw.cell(row, split.column)
        raise DataError(f"found {value}, {expected}", location=location)
    if split.method == "time" and column.kind == "text":
        raise DataError(
            f"has text, such as {show(column.values[0])}; expected dates or numbers",
            location=columns.raw.location().at(column=split.column),
        )
    return column.values
