"""A config's data becomes rows: of a bundled set, or of a table whose columns have their parts.

>>> load(BundledData("iris")).X.shape
(150, 4)
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Collection
from functools import partial
from typing import TYPE_CHECKING, Any

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.config.messages import nearest, show
from artifact_pipeline.builder.config.resolved import (
    BundledData,
    DataConfig,
    SplitConfig,
    TableData,
)
from artifact_pipeline.builder.config.schema import Csv
from artifact_pipeline.builder.data import bundled, table_columns, table_files, table_reader
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
from artifact_pipeline.builder.data.table_reader import Raw
from artifact_pipeline.errors import ConfigError, DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDES = ("train", "test")
"""What a column that splits may say."""


def load(
    data: DataConfig,
    split: SplitConfig = SplitConfig(),  # noqa: B008  (frozen)
    target: Target | None = None,
    keep: Collection[str] = (),
    base: str | os.PathLike[str] = "",
    where: str = "config",
    known: Description | None = None,
) -> Rows:
    """Return the rows of a config.

    `target` says whether the column to predict holds classes, where it could be either. The
    columns in `keep` are kept apart, features or not. A path is relative to `base`, and `where`
    names the config in errors. `known` is what the rows must be, compared before they are parsed.

    Raises:
        DataError: if the rows are wrong, named by file, row and column, or are not the known ones.
        ConfigError: if the config says of them what is not so.
    """
    if isinstance(data, BundledData):
        if known is not None:
            check(bundled.describe(data).digest, known)
        return bundled.load(data)
    paths = table_files.locate(data.path, base)
    contents = [(path.name, table_files.read(path)) for path in paths]
    digest = table_files.digest([canonical.digest(content) for _, content in contents])
    if known is not None:
        check(digest, known)
    form = table_files.form(paths[0])
    if form != "csv" and data.csv is not None:
        raise ConfigError(f"found it, and the data is {form}", where=f"{where}: data.csv")
    raw = table_reader.read(contents, form, data.csv or Csv())
    table_files.check_keys(paths, data.path, base, raw.table.column_names)
    return _rows(raw, digest, data, split, target, keep, where)


def check(digest: str, known: Description) -> None:
    """Do nothing if rows of that digest are the known ones.

    Raises:
        DataError: otherwise.
    """
    if digest != known.digest:
        remedy = "install the versions that the recipe names"
        if known.dataset is None:
            remedy = "name the files that it was made from with --data"
        raise DataError(
            f"has the digest {digest}, the recipe was made with {known.digest}; {remedy}",
            where=f"data {known.title}",
        )


def _rows(
    raw: Raw,
    digest: str,
    data: TableData,
    split: SplitConfig,
    target: Target | None,
    keep: Collection[str],
    where: str,
) -> Rows:
    roles = _roles(raw, data, split)
    [aim] = [name for name, role in roles.items() if role == "target"]
    rows = raw.table.num_rows
    dropped: int | None = None
    if data.missing_target == "drop":
        raw = _without_missing(raw, aim, data)
        dropped = rows - raw.table.num_rows
    found = {
        name: table_columns.column(raw, name, data.columns.get(name), data.formats.get(name))
        for name, role in roles.items()
        if role not in ("unused", "id") or name in keep or name in data.columns
    }
    notes = _notes(raw, data, roles, found)
    if dropped:
        notes.append(
            f"{dropped} of {rows} rows have no {show(aim)} and are left out, as "
            "data.missing_target says"
        )
    for name in keep:
        _check_known(raw, name, "evaluation.slices")
    features = [name for name, role in roles.items() if role == "feature"]
    if not features:
        raise DataError("has no features: every column has another part", where=raw.where())
    y, kind = _target(raw, aim, found[aim], target)
    if len(set(y.tolist())) < 2:
        raise DataError(
            f"holds one value, {show(y[0].item())}, in all rows; there is nothing to learn",
            where=f"{raw.where()}, column {show(aim)}",
        )
    labels = _labels(y, data, where) if kind == "class" else []
    texts = any(found[name].kind == "text" for name in features)
    columns = [
        ColumnRole(
            name=name,
            role=role,
            kind=found[name].kind if name in found else None,
            format=data.formats.get(name),
        )
        for name, role in roles.items()
    ]
    description = Description(
        digest=digest,
        schema=Schema(
            dtype="mixed" if texts else "float64",
            features=len(features),
            rows=len(y),
            target=kind,
            columns=columns,
        ),
        table=Table(raw.form, raw.how if raw.form == "csv" else None),  # type: ignore[arg-type]
        positive=data.positive,
        dropped=dropped,
        examples=data.examples,
    )
    return Rows(
        X=frame({name: found[name].values for name in features}),
        y=y,
        feature_names=features,
        label_names=[str(label) for label in labels],
        image=None,
        target=kind,
        description=description,
        by=_by(raw, split, found),
        kept={name: found[name].values for name in keep},
        places=partial(raw.cell, column=aim),
        notes=tuple(notes),
    )


def _without_missing(raw: Raw, target: str, data: TableData) -> Raw:
    """Return a table without the rows that have no target."""
    import numpy as np

    column = table_columns.column(raw, target, data.columns.get(target), data.formats.get(target))
    kept = np.flatnonzero(~_absent(column))
    if not len(kept):
        raise DataError("is missing in all rows", where=f"{raw.where()}, column {show(target)}")
    return raw if len(kept) == len(column.values) else raw.take(kept.tolist())


def _absent(column: table_columns.ColumnData) -> NDArray[Any]:
    """Return where a column has no value: null, or NaN among numbers."""
    nothing: NDArray[Any] = column.missing | (column.values != column.values)
    return nothing


def _notes(
    raw: Raw, data: TableData, roles: dict[str, Role], found: dict[str, table_columns.ColumnData]
) -> list[str]:
    """Return what to say of columns that are not what their owner may expect."""
    left_out = [
        name for name in raw.index_columns if roles[name] == "unused" and name not in data.drop
    ]
    notes = [
        f"the column {show(name)} is the index of a data frame and is left out; to learn from it, "
        "name it in data.columns"
        for name in left_out
    ]
    return notes + [one.note for name, one in found.items() if one.note and roles[name] != "unused"]


def _roles(raw: Raw, data: TableData, split: SplitConfig) -> dict[str, Role]:
    named: list[tuple[str, Any, Role]] = [
        ("data.target", data.target, "target"),
        ("data.id", data.id, "id"),
        ("split.column", split.column, "split"),
        *(("data.drop", name, "unused") for name in data.drop),
    ]
    roles: dict[str, Role] = dict.fromkeys(raw.table.column_names, "feature")
    roles |= {
        name: "unused" for name in raw.index_columns if name not in {*data.columns, *data.formats}
    }
    for key, name, role in named:
        if isinstance(name, str):
            _check_known(raw, name, key)
            roles[name] = role
    for name in data.columns:
        _check_known(raw, name, "data.columns")
    for name in data.formats:
        _check_known(raw, name, "data.formats")
    return roles


def _check_known(raw: Raw, name: str, key: str) -> None:
    if name not in raw.table.column_names:
        hint = nearest(name, raw.table.column_names)
        raise DataError(f"has no column {show(name)}, which {key} names; {hint}", where=raw.where())


def _target(
    raw: Raw, name: str, found: table_columns.ColumnData, target: Target | None
) -> tuple[NDArray[Any], Target]:
    """Return the true labels, or numbers, and which of both they are."""
    import numpy as np

    if (absent := _absent(found)).any():
        row, count = int(np.flatnonzero(absent)[0]), int(absent.sum())
        others = f" (so are {count - 1} more)" if count > 1 else ""
        raise DataError(
            f"is missing{others}: every row needs a target; to leave such rows out, say "
            'data.missing_target: "drop"',
            where=raw.cell(row, name),
        )
    if found.kind == "text":
        return found.values.astype(str), "class"
    if found.kind == "boolean":
        return found.values.astype(bool), "class"
    if found.kind == "date" and target == "class":
        try:
            return np.array([_day(days) for days in found.values.tolist()]), "class"
        except OverflowError as error:
            row = int(np.abs(found.values).argmax())
            raise DataError("is outside the years 1 to 9999", where=raw.cell(row, name)) from error
    whole = found.values == np.floor(found.values)
    if target == "class" and not whole.all():
        row = int(np.flatnonzero(~whole)[0])
        raise DataError(
            f"found {found.values[row]}, and a classifier learns labels: text, true and false, or "
            "integers; a regressor predicts numbers",
            where=raw.cell(row, name),
        )
    if target == "class":
        return found.values.astype(np.int64), "class"
    return found.values, "number"


def _day(days: float) -> str:
    """Return a date in ISO 8601, with its time where it has one."""
    moment = table_columns.EPOCH + datetime.timedelta(
        microseconds=round(days * table_columns.MICROSECONDS)
    )
    return moment.date().isoformat() if days == int(days) else moment.isoformat()


def _labels(y: NDArray[Any], data: TableData, where: str) -> list[Any]:
    import numpy as np

    labels: list[Any] = np.unique(y).tolist()
    if data.positive is None:
        return labels
    if len(labels) != 2:
        raise ConfigError(
            f"there are {len(labels)} classes, and one of two can be positive",
            where=f"{where}: data.positive",
        )
    if not any(data.positive == label and type(data.positive) is type(label) for label in labels):
        known = ", ".join(show(label) for label in labels)
        raise ConfigError(
            f"found {show(data.positive)}, expected one of: {known}",
            where=f"{where}: data.positive",
        )
    return labels


def _by(
    raw: Raw, split: SplitConfig, found: dict[str, table_columns.ColumnData]
) -> NDArray[Any] | None:
    """Return the column that splits, once it says in each row what it should."""
    import numpy as np

    if split.column is None:
        return None
    column = found[split.column]
    wrong = column.missing | (column.values != column.values)
    expected = f"each row needs its {split.method}"
    if split.method == "column":
        wrong = ~np.isin(column.values.astype(str), SIDES)
        expected = f"expected {SIDES[0]} or {SIDES[1]}"
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        value = "a missing value" if column.missing[row] else show(column.values[row])
        raise DataError(f"found {value}, {expected}", where=raw.cell(row, split.column))
    if split.method == "time" and column.kind == "text":
        raise DataError(
            f"holds text, such as {show(column.values[0])}; expected dates or numbers",
            where=f"{raw.where()}, column {show(split.column)}",
        )
    return column.values
