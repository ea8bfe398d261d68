"""A drafted config for a table, with a summary of its columns and a reason for each choice.

    draft("customers.csv", "churn").config

Each choice is written out, so that the owner of the data can read it and change it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import Struct

from artifact_pipeline.builder.config import model_name
from artifact_pipeline.builder.config.messages import nearest, show
from artifact_pipeline.builder.config.values import Csv
from artifact_pipeline.builder.data import table_files
from artifact_pipeline.builder.data.loader import iso_date
from artifact_pipeline.builder.data.remote_files import is_remote
from artifact_pipeline.builder.data.table_columns import ColumnData
from artifact_pipeline.builder.data.table_reader import Raw
from artifact_pipeline.builder.metric_table import headline_metrics
from artifact_pipeline.disk import write_atomically
from artifact_pipeline.errors import CallError, DataError, Location
from artifact_pipeline.pipeline import draft_columns, draft_model, draft_roles, draft_table
from artifact_pipeline.pipeline.draft_columns import Columns, ColumnSummary
from artifact_pipeline.pipeline.draft_roles import Overrides, Roles

MAX_CLASSES = 20
"""A target of integers with more distinct values than this is a number to predict."""
SEVERAL_CLASSES = 5
"""With more integers than this, they are classes only if each is frequent."""
ROWS_PER_CLASS = 5
MIN_ROWS = 10
FEW_HELD_OUT = 20
"""With fewer held-out rows, one row decides much of a metric."""
FOLDS = 5
MIN_GROUPS_FOR_FOLDS = 10
YES = ("yes", "true", "1", "positive")
STDOUT = "-"


class Draft(Struct, frozen=True, kw_only=True):
    """A drafted config, the columns of its table, and the reason for each choice."""

    config: dict[str, Any]
    rows: int
    columns: list[ColumnSummary]
    choices: list[str]
    """A sentence for each choice."""
    ambiguous_dates: list[str]
    """Columns of dates such as 03/04/2026, which may have the day or the month first."""

    def __repr__(self) -> str:
        return f"Draft({self.config['name']}, {self.rows} rows, {len(self.columns)} columns)"

    def to_json(self) -> bytes:
        """Return the config as the bytes of a file."""
        return msgspec.json.format(msgspec.json.encode(self.config), indent=2) + b"\n"


class _Outcome(NamedTuple):
    """The rows of each class, or None for a number to predict; the positive one of two classes."""

    class_counts: list[int] | None
    positive: Any
    choices: list[str]


def draft(
    data: str | os.PathLike[str],
    target: str,
    *,
    base: str | os.PathLike[str] = "",
    model: str | None = None,
    id: str | None = None,  # noqa: A002  (the key of the config)
    group: str | None = None,
    time: str | None = None,
    day_first: bool | None = None,
) -> Draft:
    """Draft a config for a table.

    Args:
        data: A CSV, Parquet or JSON lines file, or a folder of them.
        target: The column to predict.
        base: The folder of the config, which names the table relative to it.
        model: The estimator, such as `RandomForestClassifier`; by default a linear model. A
            classifier predicts integers as classes, a regressor as numbers.
        id: The column that identifies a row.
        group: The column whose values stay on one side of the split.
        time: The column by which the latest rows are held out.
        day_first: Whether 03/04/2026 is in April; by default such dates are not read.

    Raises:
        CallError: If an argument names a column or an estimator that does not fit.
        DataError: If the table cannot be read, has no such column, or has nothing to learn from.
    """
    overrides = Overrides(id=id, group=group, time=time, day_first=day_first)
    estimator = None if model is None else draft_model.find_estimator(model)
    paths = table_files.locate(os.fspath(data), "")
    table = draft_table.read(paths, target)
    raw, choices = table.raw, list(table.choices)
    if target not in raw.table.column_names:
        raise DataError(
            f"has no column {show(target)}",
            location=raw.location(),
            remedy=nearest(target, raw.table.column_names),
        )
    table_files.check_keys(paths, os.fspath(data), base="", columns=raw.table.column_names)
    section: dict[str, Any] = {"path": _relative(data, base), "target": target}
    rows = len(raw.table)
    raw = draft_table.without_missing_targets(raw, target)
    if missing := rows - len(raw.table):
        section["missing_target"] = "drop"
        choices.append(f"{missing} of {rows} rows have no {show(target)}, and are left out")
    columns = draft_columns.read(raw, target, day_first=day_first)
    task = None if estimator is None else draft_model.task_of(estimator)
    outcome = _outcome(columns.data[target], target, task=task, raw=raw)
    if outcome.positive is not None:
        section["positive"] = outcome.positive
    roles = draft_roles.assign(
        raw, columns, target=target, class_counts=outcome.class_counts, overrides=overrides
    )
    _check_rows(raw, columns.data[target], target=target, class_counts=outcome.class_counts)
    section |= _data_options(columns, roles, csv=table.csv)
    features = _as_text(roles)
    is_class = outcome.class_counts is not None
    if estimator is None:
        # The folder of the config, which the path is relative to, may not exist yet.
        table_section = {**section, "path": os.path.abspath(data)}  # noqa: PTH100  (resolves "..")
        drafted = draft_model.draft_and_try(features, table_section, roles=roles, is_class=is_class)
    else:
        drafted = draft_model.draft_for(features, estimator, is_class=is_class)
    name = model_name.from_path(os.path.abspath(data))  # noqa: PTH100  (resolves "..")
    if name is None:
        name = "model"
        choices.append(f"the model is called {name}, because the table's path gives no name")
    config = {"name": name, "data": section, "split": roles.split, "model": drafted.section}
    choices += [*columns.choices, *outcome.choices, *roles.choices, *drafted.choices]
    if _has_folds(roles, columns, class_counts=outcome.class_counts, rows=raw.table.num_rows):
        config["evaluation"] = {"cv": FOLDS}
        choices.append(f"{FOLDS} folds of the training rows show how much the metrics vary")
    choices += _few_rows(raw.table.num_rows, is_class=is_class)
    metric = headline_metrics("class" if is_class else "number")[0].name
    choices.append(
        f'no gates yet: {{"test.{metric}": {{"better_than": "baseline"}}}} rejects a useless '
        "model; run once, then set gates from the result"
    )
    return Draft(
        config=config,
        rows=rows,
        columns=[
            draft_columns.summarize(
                name,
                features.get(name, columns.data.get(name)),
                use=_use(name, features, roles=roles, target=target),
            )
            for name in raw.table.column_names
        ],
        choices=choices,
        ambiguous_dates=columns.ambiguous_dates,
    )


def write_config(draft: Draft, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write a drafted config to a file, or to standard output if the path is `-`.

    Args:
        draft: The draft.
        path: The file to write, or `-`.
        overwrite: Replace the file if it exists.

    Raises:
        CallError: If the file exists and is not to be overwritten, or cannot be written.
        StoreError: If it cannot be overwritten; it is left as it was.
    """
    if os.fspath(path) == STDOUT:
        sys.stdout.write(draft.to_json().decode())
        return
    location = Location(str(path))
    data = draft.to_json()
    if overwrite:
        write_atomically(Path(path), data)
        return
    try:
        with Path(path).open("xb") as file:
            try:
                file.write(data)
                file.flush()
            except OSError:
                Path(path).unlink(missing_ok=True)
                raise
    except FileExistsError as error:
        raise CallError(
            "already exists",
            location=location,
            remedy="choose another name with --output, or replace it with --overwrite",
        ) from error
    except OSError as error:
        raise CallError(f"cannot be written: {error.strerror}", location=location) from error


def _relative(data: str | os.PathLike[str], base: str | os.PathLike[str]) -> str:
    if is_remote(str(data)):
        return str(data)
    try:
        return Path(os.path.relpath(data, base or ".")).as_posix()
    except ValueError:  # another drive on Windows
        return Path(data).absolute().as_posix()


def _outcome(
    column: ColumnData, name: str, *, task: Literal["class", "number"] | None, raw: Raw
) -> _Outcome:
    """Return whether the target is classes or a number.

    Raises:
        CallError: If the model that the caller chose predicts neither.
        DataError: If there is nothing to predict.
    """
    import numpy as np

    values, counts = np.unique(column.values, return_counts=True)
    integers = column.kind == "number" and bool((values == np.floor(values)).all())
    if task == "number" and column.kind in ("text", "boolean"):
        problem = f"a regressor predicts numbers, and {show(name)} is {column.kind}"
        raise CallError(problem, location=Location("--model"), remedy="choose a classifier")
    if task == "class" and column.kind == "number" and not integers:
        problem = f"a classifier predicts classes, and {show(name)} has numbers with fractions"
        raise CallError(problem, location=Location("--model"), remedy="choose a regressor")
    is_class = column.kind in ("text", "boolean") or (
        (integers or column.kind == "date") and _are_classes(counts)
    )
    if task is not None:
        is_class = task == "class"
    location = raw.location().at(column=name)
    if not is_class:
        kind = "a date to predict, as days" if column.kind == "date" else "a number to predict"
        choice = f"{show(name)} is {kind}: {len(values)} different values"
        if integers and len(values) <= MAX_CLASSES and task is None:
            choice += "; if they are classes, choose a classifier with --model"
        return _Outcome(None, None, [choice])
    singles = values[counts == 1].tolist()
    if 2 * len(singles) > len(column.values) and len(values) > 2:
        raise DataError(
            f"has {len(values)} different values in {len(column.values)} rows, too many to be "
            "classes",
            location=location,
            remedy="choose another --target",
        )
    choices = []
    if singles:
        listed = ", ".join(show(single) for single in singles[:3])
        more = f" and {len(singles) - 3} more" if len(singles) > 3 else ""
        verb = "class has" if len(singles) == 1 else "classes have"
        choices.append(
            f"{len(singles)} {verb} one row, which cannot be learned and tested: {listed}{more}"
        )
    labels: list[Any] = values.tolist()
    if len(labels) != 2:
        return _Outcome(
            counts.tolist(), None, [f"{show(name)} has {len(labels)} classes", *choices]
        )
    if column.kind == "date":
        labels = [iso_date(days) for days in labels]
    elif column.kind != "text":
        labels = [bool(label) if column.kind == "boolean" else int(label) for label in labels]
    rarer = labels[int(np.argmin(counts))]
    positive = next((label for label in labels if str(label).lower() in YES), rarer)
    share = counts[labels.index(positive)] / counts.sum()
    choice = f"{show(positive)} is the positive class: {share:.0%} of the rows"
    return _Outcome(counts.tolist(), positive, [choice, *choices])


def _are_classes(counts: Any) -> bool:
    """Return whether distinct integers are classes: they are few, and repeat.

    Counts of things repeat as well; the largest of them are rare.
    """
    distinct, rows = len(counts), int(counts.sum())
    if distinct <= 2:
        return True
    if distinct > MAX_CLASSES or rows < ROWS_PER_CLASS * distinct:
        return False
    even_share = rows / distinct
    return distinct <= SEVERAL_CLASSES or bool(counts.min() >= max(2, even_share / 10))


def _check_rows(
    raw: Raw, column: ColumnData, *, target: str, class_counts: list[int] | None
) -> None:
    rows = raw.table.num_rows
    location = raw.location()
    if len(set(column.values.tolist())) < 2:
        raise DataError(
            f"has the same {show(target)} in every row; there is nothing to learn",
            location=location,
        )
    if rows < MIN_ROWS:
        problem = f"has {rows} rows with a target, expected {MIN_ROWS} or more"
        raise DataError(problem, location=location)


def _few_rows(rows: int, *, is_class: bool) -> list[str]:
    """Return a warning if the held-out rows are too few to judge by, else nothing."""
    held_out = -(-rows // 5)
    if held_out >= FEW_HELD_OUT:
        return []
    effect = f"one row changes the accuracy by {1 / held_out:.2f}" if is_class else "one row counts"
    return [f"{rows} rows are few: {held_out} are held out, and {effect}"]


def _data_options(columns: Columns, roles: Roles, *, csv: Csv) -> dict[str, Any]:
    """Return the keys of `data` besides the path and the target."""
    options: dict[str, Any] = {}
    if roles.id is not None:
        options["id"] = roles.id
    if roles.drop:
        options["drop"] = roles.drop
    kinds = columns.kinds | dict.fromkeys(roles.categories, "text")
    if kinds:
        options["columns"] = kinds
    if columns.formats:
        options["formats"] = {
            name: {key: value for key, value in form.items() if value is not None}
            for name, form in msgspec.to_builtins(columns.formats).items()
        }
    if csv != Csv():
        values, defaults = msgspec.to_builtins(csv), msgspec.to_builtins(Csv())
        options["csv"] = {key: value for key, value in values.items() if value != defaults[key]}
    return options


def _as_text(roles: Roles) -> dict[str, ColumnData]:
    """Return the features, with integers that are categories as text."""
    import numpy as np

    features = dict(roles.features)
    for name in roles.categories:
        column = features[name]
        texts = np.empty(len(column.values), dtype=object)
        texts[:] = [
            "" if missing else str(int(value))
            for value, missing in zip(
                column.values.tolist(), (column.values != column.values).tolist(), strict=True
            )
        ]
        features[name] = column._replace(kind="text", values=texts)
    return features


def _has_folds(
    roles: Roles, columns: Columns, *, class_counts: list[int] | None, rows: int
) -> bool:
    if roles.split["method"] == "group":
        groups = set(columns.data[roles.split["column"]].values.tolist())
        if len(groups) < MIN_GROUPS_FOR_FOLDS:
            return False
    return min(class_counts or [rows]) >= 2 * FOLDS


def _use(name: str, features: dict[str, ColumnData], *, roles: Roles, target: str) -> str:
    if name == target:
        return "target"
    if name == roles.split.get("column"):
        return "group" if roles.split["method"] == "group" else "time"
    if name in features:
        return draft_columns.use_of(features[name])
    return "id" if name == roles.id else "dropped"
