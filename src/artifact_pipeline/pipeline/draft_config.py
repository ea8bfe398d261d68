"""Drafting a config for a table, with a reason for each choice.

    draft("customers.csv", "churn").config

Each choice is written out, so that the owner of the data can read it and change it.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from artifact_pipeline.builder.config.messages import nearest, show
from artifact_pipeline.builder.config.resolved import ColumnFormat
from artifact_pipeline.builder.config.schema import Csv, Kind
from artifact_pipeline.builder.data import table_columns, table_csv, table_files, table_reader
from artifact_pipeline.builder.data.leakage import is_id
from artifact_pipeline.builder.data.loader import iso_date
from artifact_pipeline.builder.data.table_columns import ColumnData
from artifact_pipeline.builder.data.table_reader import Raw
from artifact_pipeline.errors import CallError, DataError, Location

DELIMITERS = ",;\t|"
NULLS = ("NA", "N/A", "n/a", "#N/A", "NULL", "null", "None", "none", "?", "-", "--")
"""Words for a missing value."""
LABELS = 20
"""A target of integers with more distinct values than this is a number to predict."""
FOLDS = 5
_DECIMAL_COMMA = r"^-?(\d+,(\d{1,2}|\d{4,})|0,\d+)$"
"""Three digits after a comma may as well be thousands."""
_CONTROLS = re.compile(r"[\x80-\x9f]")
"""Control characters that latin-1 has where cp1252 has quotes, dashes and the euro sign."""
_ID_WORDS = ("id", "ids", "uid", "cid", "pid", "sid", "gid", "uuid", "guid", "key")
_ENTITIES = (
    *("account", "client", "company", "customer", "device", "employee", "group", "household"),
    *("item", "member", "order", "patient", "person", "product", "session", "store", "student"),
    *("subject", "transaction", "user", "visit"),
)
YES = ("yes", "true", "1", "positive")


class Draft(Struct, frozen=True):
    """A config and the reasons for it."""

    config: dict[str, Any]
    choices: list[str]
    """A sentence for each choice."""


class _Table(NamedTuple):
    """A table, the CSV options that read it, and the reasons for them."""

    raw: Raw
    csv: Csv
    choices: list[str]


class _Columns(NamedTuple):
    """The columns that can be read, the kinds and formats that the config must name, and why."""

    data: dict[str, ColumnData]
    kinds: dict[str, Kind]
    formats: dict[str, ColumnFormat]
    choices: list[str]


class _Target(NamedTuple):
    """The rows of each class, or None for a number to predict; the positive one of two classes."""

    class_counts: list[int] | None
    positive: Any
    choices: list[str]


class _Roles(NamedTuple):
    """The role of each column, and the split that follows from them."""

    features: dict[str, ColumnData]
    id: str | None
    drop: list[str]
    split: dict[str, Any]
    choices: list[str]


def draft(data: str | os.PathLike[str], target: str, *, base: str | os.PathLike[str] = "") -> Draft:
    """Draft a config for a table.

    Args:
        data: A CSV, Parquet or JSON lines file, or a folder of them.
        target: The column to predict.
        base: The folder of the config, which names the table relative to it.

    Raises:
        DataError: If the table cannot be read, has no such column, or has nothing to learn from.
    """
    paths = table_files.locate(os.fspath(data), "")
    raw, csv, choices = _read(paths)
    if target not in raw.table.column_names:
        raise DataError(
            f"has no column {show(target)}",
            location=raw.location(),
            remedy=nearest(target, raw.table.column_names),
        )
    table_files.check_keys(paths, os.fspath(data), base="", columns=raw.table.column_names)
    section: dict[str, Any] = {"path": Path(os.path.relpath(data, base or ".")).as_posix()}
    section["target"] = target
    rows = len(raw.table)
    raw = _with_target(raw, target)
    if missing := rows - len(raw.table):
        section["missing_target"] = "drop"
        choices.append(f"{missing} of {rows} rows have no {show(target)}, and are left out")
    columns = _columns(raw, target)
    outcome = _target(columns.data[target], target)
    if outcome.positive is not None:
        section["positive"] = outcome.positive
    features = {name: column for name, column in columns.data.items() if name != target}
    roles = _roles(raw, features, target=target, class_counts=outcome.class_counts)
    if roles.id is not None:
        section["id"] = roles.id
    if roles.drop:
        section["drop"] = roles.drop
    if columns.kinds:
        section["columns"] = columns.kinds
    if columns.formats:
        section["formats"] = msgspec.to_builtins(columns.formats)
    if csv != Csv():
        options, defaults = msgspec.to_builtins(csv), msgspec.to_builtins(Csv())
        section["csv"] = {key: value for key, value in options.items() if value != defaults[key]}
    model, model_choices = _model(roles.features, is_class=outcome.class_counts is not None)
    config = {"data": section, "split": roles.split, "model": model}
    choices += [*columns.choices, *outcome.choices, *roles.choices, *model_choices]
    if min(outcome.class_counts or [raw.table.num_rows]) >= 2 * FOLDS:
        config["evaluation"] = {"cv": FOLDS}
        choices.append(f"{FOLDS} folds of the training rows show how much the metrics vary")
    choices.append("no gates yet: run it once, then require what it reaches")
    return Draft(config, choices)


def write_config(draft: Draft, path: str | os.PathLike[str]) -> None:
    """Write a drafted config to a new file.

    Raises:
        CallError: If the file exists or cannot be written.
    """
    location = Location(str(path))
    try:
        with Path(path).open("xb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(draft.config), indent=2) + b"\n")
    except FileExistsError as error:
        raise CallError(
            "already exists", location=location, remedy="choose another name with --output"
        ) from error
    except OSError as error:
        raise CallError(f"cannot be written: {error.strerror}", location=location) from error


def _read(paths: list[Path]) -> _Table:
    """Read a table; of CSV files, with the options that suit them."""
    contents = [(path.name, table_files.read(path)) for path in paths]
    file_format = table_files.format_of(paths[0])
    if file_format != "csv":
        return _Table(table_reader.read(contents, file_format), Csv(), [])
    csv, choices = _csv(contents)
    raw = table_reader.read(contents, "csv", csv=csv)
    words: list[str] = []
    for word in NULLS:
        if any(_helps(raw, [*words, word], name=name) for name in raw.table.column_names):
            words.append(word)
    if not words:
        return _Table(raw, csv, choices)
    choices.append(f"{', '.join(map(show, words))} is a missing value in columns of numbers")
    csv = replace(csv, null_values=words)
    return _Table(table_reader.read(contents, "csv", csv=csv), csv, choices)


def _csv(contents: list[tuple[str, bytes]]) -> tuple[Csv, list[str]]:
    """Return the encoding, delimiter and decimal mark of CSV files, and the reasons for them."""
    name, data = contents[0]
    encoding, choices = _encoding([content for _, content in contents]), []
    if encoding in ("cp1252", "latin-1"):
        choices.append(
            f"the files are not UTF-8; check that {encoding} reads their letters correctly"
        )
    elif encoding != "utf-8":
        choices.append(f"the files are {encoding}, by their byte order mark")
    header = data.decode(encoding).lstrip("\ufeff").partition("\n")[0]
    delimiter = max(DELIMITERS, key=header.count)
    if delimiter == "," or name.lower().endswith(".tsv") or delimiter not in header:
        return Csv(encoding=encoding), choices
    choices.append(
        f"cells are separated by {show(delimiter)}, the most frequent delimiter in the header"
    )
    raw = table_reader.read(contents, "csv", csv=Csv(delimiter=delimiter, encoding=encoding))
    import pyarrow.compute as pc

    commas = [
        column
        for column in raw.table.column_names
        if pc.any(pc.match_substring_regex(raw.table.column(column), _DECIMAL_COMMA)).as_py()
    ]
    if not commas:
        return Csv(delimiter=delimiter, encoding=encoding), choices
    choices.append(f"numbers have a decimal comma, as in {show(commas[0])}")
    return Csv(delimiter=delimiter, decimal=",", encoding=encoding), choices


def _encoding(contents: list[bytes]) -> str:
    """Return the encoding of CSV files: by a byte order mark, UTF-8, or one of Western Europe."""
    if marked := table_csv.marked_encoding(contents[0]):
        return marked
    for encoding in ("utf-8", "latin-1", "cp1252"):
        try:
            texts = [content.decode(encoding) for content in contents]
        except UnicodeDecodeError:
            continue
        if encoding == "utf-8" or not any(map(_CONTROLS.search, texts)):
            return encoding
    return "latin-1"


def _helps(raw: Raw, words: list[str], *, name: str) -> bool:
    """Return whether a column is numbers except for these words, the last one among them."""
    import pyarrow.compute as pc

    values = raw.table.column(name)
    rest = values.filter(pc.invert(pc.is_in(values, _words(words))))
    if len(rest) == len(values) or not len(rest) - rest.null_count:
        return False
    if not pc.any(pc.equal(values, words[-1])).as_py():
        return False
    remaining = raw._replace(table=_single(name, rest))
    try:
        if table_columns.column(remaining, name).kind in ("number", "date"):
            return True
    except DataError:
        pass
    return table_columns.format_of(remaining, name) is not None


def _with_target(raw: Raw, target: str) -> Raw:
    """Return the rows that have a target; all rows if none has."""
    import numpy as np

    try:
        column = table_columns.column(raw, target)
    except DataError:
        column = table_columns.column(raw, target, kind="text")
    kept = np.flatnonzero(~column.without_value()).tolist()
    return raw.take(kept) if 0 < len(kept) < len(column.values) else raw


def _words(words: list[str]) -> Any:
    import pyarrow as pa

    return pa.array(words, type=pa.string())


def _single(name: str, values: Any) -> Any:
    import pyarrow as pa

    return pa.table({name: values})


def _columns(raw: Raw, target: str) -> _Columns:
    """Read each column as numbers, dates or booleans, in a format of its own, or else as text."""
    columns = _Columns(data={}, kinds={}, formats={}, choices=[])
    for name in raw.table.column_names:
        try:
            column = table_columns.column(raw, name)
            problem = column.note
        except DataError as error:
            problem = error.problem
            try:
                column = table_columns.column(raw, name, kind="text")
            except DataError:
                if name == target:
                    raise error from None
                continue
        if problem and (form := table_columns.format_of(raw, name)):
            column = table_columns.column(raw, name, column_format=form)
            columns.formats[name] = form
            written = json.dumps(msgspec.to_builtins(form), ensure_ascii=False)
            columns.choices.append(f"{show(name)} is a {column.kind} written as {written}")
        elif problem:
            columns.kinds[name] = "text"
            columns.choices.append(f"{show(name)} is text: {problem}")
        columns.data[name] = column
    return columns


def _target(column: ColumnData, name: str) -> _Target:
    import numpy as np

    values, counts = np.unique(column.values, return_counts=True)
    integers = column.kind == "number" and (values == np.floor(values)).all()
    few = (column.kind in ("boolean", "date") or integers) and len(values) <= LABELS
    if column.kind != "text" and not few:
        choice = f"{show(name)} is a number to predict: {len(values)} different values"
        return _Target(None, None, [choice])
    rows: list[int] = counts.tolist()
    labels: list[Any] = values.tolist()
    if len(labels) != 2:
        return _Target(rows, None, [f"{show(name)} has {len(labels)} classes"])
    if column.kind == "date":
        labels = [iso_date(days) for days in labels]
    elif column.kind != "text":
        labels = [bool(label) if column.kind == "boolean" else int(label) for label in labels]
    rarer = labels[int(np.argmin(counts))]
    positive = next((label for label in labels if str(label).lower() in YES), rarer)
    share = counts[labels.index(positive)] / counts.sum()
    choice = f"{show(positive)} is the positive class: {share:.0%} of the rows"
    return _Target(rows, positive, [choice])


def _roles(
    raw: Raw, columns: dict[str, ColumnData], *, target: str, class_counts: list[int] | None
) -> _Roles:
    split: dict[str, Any] = {"method": "random", "test_size": 0.2, "random_state": 42}
    drop = [name for name in raw.table.column_names if name not in columns and name != target]
    choices = [f"{show(name)} is dropped: it has no numbers, dates or text" for name in drop]
    features: dict[str, ColumnData] = {}
    id_column = None
    for name, column in columns.items():
        distinct = len(set(column.values[~column.missing].tolist()))
        is_group = _is_named_id(name) and _is_whole(column) and distinct > LABELS
        if name in raw.index_columns:
            drop.append(name)
            choices.append(f"{show(name)} is dropped: it is the index of a data frame")
        elif distinct <= 1:
            drop.append(name)
            choices.append(f"{show(name)} is dropped: it has the same value in every row")
        elif column.kind != "date" and is_id(column.values) and id_column is None:
            id_column = name
            choices.append(f"{show(name)} is the id: it has a different value in each row")
        elif column.kind != "date" and is_id(column.values):
            drop.append(name)
            choices.append(f"{show(name)} is dropped: it has a different value in each row")
        elif is_group and split["method"] == "random" and not column.missing.any():
            split |= {"method": "group", "column": name}
            choices.append(f"rows with the same {show(name)} stay on one side of the split")
        elif column.kind == "text" and 2 * distinct > len(column.values) and not _is_prose(column):
            drop.append(name)
            choices.append(f"{show(name)} is dropped: its texts hardly ever repeat")
        else:
            features[name] = column
    if not features:
        raise DataError(
            "no feature columns left: every column is the target, the id, the split column or "
            "dropped",
            location=raw.location(),
        )
    if split["method"] == "random" and class_counts is not None:
        split["stratify"] = min(class_counts) > 1
    if split.get("stratify"):
        choices.append("a random fifth of the rows is held out, with the same share of each class")
    elif "stratify" in split:
        choices.append(
            "a random fifth of the rows is held out; a class of one row cannot be on both sides"
        )
    elif split["method"] == "random":
        choices.append("a random fifth of the rows is held out")
    return _Roles(features=features, id=id_column, drop=drop, split=split, choices=choices)


def _is_named_id(name: str) -> bool:
    """Return whether a name is that of an id: customer_id, customerId or userid, but not paid."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)
    last = words[-1].lower() if words else ""
    return last in _ID_WORDS or (last.removesuffix("id") in _ENTITIES and last.endswith("id"))


def _is_whole(column: table_columns.ColumnData) -> bool:
    import numpy as np

    if column.kind == "text":
        return True
    values = column.values[~column.missing]
    return column.kind == "number" and bool((values == np.floor(values)).all())


def _model(features: dict[str, ColumnData], *, is_class: bool) -> tuple[dict[str, Any], list[str]]:
    name, params = "sklearn.linear_model.Ridge", {}
    if is_class:
        name, params = "sklearn.linear_model.LogisticRegression", {"max_iter": 1000}
    choices = [f"{name.rpartition('.')[2]} is fast, and a baseline for other models"]
    texts = [feature for feature, column in features.items() if column.kind == "text"]
    prose = [feature for feature in texts if _is_prose(features[feature])]
    if not prose:
        choices.append("numbers are imputed and scaled, text is one-hot: model.preprocess is auto")
        return {"preprocess": "auto", "estimator": name, "params": params}, choices
    branches: list[dict[str, Any]] = []
    if numbers := [feature for feature in features if feature not in texts]:
        steps = [{"estimator": "sklearn.impute.SimpleImputer", "params": {"strategy": "median"}},
                 {"estimator": "sklearn.preprocessing.StandardScaler"}]  # fmt: skip
        branches.append({"name": "numbers", "columns": numbers, "steps": steps})
    if categories := [feature for feature in texts if feature not in prose]:
        encoder = "sklearn.preprocessing.OneHotEncoder"
        branches.append({"name": "text", "columns": categories, "estimator": encoder,
                         "params": {"handle_unknown": "ignore"}})  # fmt: skip
    for number, feature in enumerate(prose, start=1):
        choices.append(f"{show(feature)} is prose: its words are counted (TfidfVectorizer)")
        counter = "sklearn.feature_extraction.text.TfidfVectorizer"
        branches.append({"name": f"prose-{number}", "column": feature, "estimator": counter})
    last = {"name": "model", "estimator": name, "params": params}
    return {"steps": [{"name": "prep", "branches": branches}, last]}, choices


def _is_prose(column: ColumnData) -> bool:
    texts = [text for text in column.values.tolist() if text]
    words = sum(len(text.split()) for text in texts)
    return len(set(texts)) > LABELS and words >= 3 * len(texts)
