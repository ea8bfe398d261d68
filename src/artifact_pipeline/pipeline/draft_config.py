"""A config for a table that was looked at, with a reason for each choice.

    draft("customers.csv", "churn").config

What was chosen is written out, so that its owner can read it and decide otherwise.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from artifact_pipeline.builder.config.messages import nearest, show
from artifact_pipeline.builder.config.resolved import ColumnFormat
from artifact_pipeline.builder.config.schema import Csv, Kind
from artifact_pipeline.builder.data import table_columns, table_files, table_reader
from artifact_pipeline.builder.data.leakage import is_id
from artifact_pipeline.builder.data.table_reader import Raw
from artifact_pipeline.errors import CallError, DataError

DELIMITERS = ",;\t|"
NULLS = ("NA", "N/A", "n/a", "#N/A", "NULL", "null", "None", "none", "?", "-", "--")
"""What people write for a missing value."""
LABELS = 20
"""Integers of more distinct values are numbers to predict."""
FOLDS = 5
_DECIMAL_COMMA = r"^-?(\d+,(\d{1,2}|\d{4,})|0,\d+)$"
"""Three digits behind a comma may as well be thousands."""
_ID_WORDS = ("id", "ids", "uid", "cid", "pid", "sid", "gid", "uuid", "guid", "key")
_ENTITIES = (
    *("account", "client", "company", "customer", "device", "employee", "group", "household"),
    *("item", "member", "order", "patient", "person", "product", "session", "store", "student"),
    *("subject", "transaction", "user", "visit"),
)
YES = ("yes", "true", "1", "positive")


class Draft(Struct, frozen=True):
    """A config, and why it is what it is, a sentence for each choice."""

    config: dict[str, Any]
    choices: list[str]


def draft(data: str | os.PathLike[str], target: str, base: str | os.PathLike[str] = "") -> Draft:
    """Return a config for the table at `data`, which it will name relative to `base`.

    Raises:
        DataError: if the table cannot be read, or has no such column or nothing to learn.
    """
    paths = table_files.locate(os.fspath(data), "")
    contents = [(path.name, table_files.read(path)) for path in paths]
    form = table_files.form(paths[0])
    said: list[str] = []
    how = _csv(contents, said.append) if form == "csv" else Csv()
    raw, how = _nulls(contents, form, how, said.append)
    if target not in raw.table.column_names:
        hint = nearest(target, raw.table.column_names)
        raise DataError(f"has no column {show(target)}; {hint}", where=raw.where())
    table_files.check_keys(paths, os.fspath(data), "", raw.table.column_names)
    section: dict[str, Any] = {"path": Path(os.path.relpath(data, base or ".")).as_posix()}
    section["target"] = target
    raw = _with_target(raw, target, section, said.append)
    told, written, found = _kinds(raw, target, said.append)
    aim = found.pop(target)
    classes = _classes(aim, target, section, said.append)
    split = _parts(raw, found, section, classes, said.append)
    if told:
        section["columns"] = told
    if written:
        section["formats"] = {name: msgspec.to_builtins(form) for name, form in written.items()}
    if how != Csv():
        written, plain = msgspec.to_builtins(how), msgspec.to_builtins(Csv())
        section["csv"] = {key: value for key, value in written.items() if value != plain[key]}
    config = {"data": section, "split": split, "model": _model(found, classes, said.append)}
    if min(classes or [raw.table.num_rows]) >= 2 * FOLDS:
        config["evaluation"] = {"cv": FOLDS}
        said.append(f"{FOLDS} folds of the training rows show how far the figures spread")
    said.append("no gates yet: run it once, and ask for what it reaches")
    return Draft(config, said)


def write_config(found: Draft, path: str | os.PathLike[str]) -> None:
    """Write a drafted config to a new file.

    Raises:
        CallError: if there is one already, or it cannot be written.
    """
    try:
        with Path(path).open("xb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(found.config), indent=2) + b"\n")
    except FileExistsError as error:
        raise CallError("is there already; name another with --output", where=str(path)) from error
    except OSError as error:
        raise CallError(f"cannot be written: {error.strerror}", where=str(path)) from error


def _csv(contents: list[tuple[str, bytes]], say: Callable[[str], None]) -> Csv:
    name, data = contents[0]
    encoding = "utf-8"
    try:
        for _, content in contents:
            content.decode(encoding)
    except UnicodeDecodeError:
        encoding = "latin-1"
        say("the files are not UTF-8; latin-1 reads any bytes, so look whether letters are right")
    head = data.decode(encoding).lstrip("\ufeff").partition("\n")[0]
    delimiter = max(DELIMITERS, key=head.count)
    if delimiter == "," or name.lower().endswith(".tsv") or delimiter not in head:
        return Csv(encoding=encoding)
    say(f"cells are parted by {show(delimiter)}: the header has the most of it")
    raw = table_reader.read(contents, "csv", Csv(delimiter=delimiter, encoding=encoding))
    import pyarrow.compute as pc

    commas = [
        column
        for column in raw.table.column_names
        if pc.any(pc.match_substring_regex(raw.table.column(column), _DECIMAL_COMMA)).as_py()
    ]
    if not commas:
        return Csv(delimiter=delimiter, encoding=encoding)
    say(f"numbers have a decimal comma, as in {show(commas[0])}")
    return Csv(delimiter=delimiter, decimal=",", encoding=encoding)


def _nulls(
    contents: list[tuple[str, bytes]], form: str, how: Csv, say: Callable[[str], None]
) -> tuple[Raw, Csv]:
    """Return the table, read again where columns of numbers say in words that one is missing."""
    raw = table_reader.read(contents, form, how)
    if form != "csv":
        return raw, how
    words: list[str] = []
    for word in NULLS:
        if any(_helps(raw, [*words, word], name) for name in raw.table.column_names):
            words.append(word)
    if not words:
        return raw, how
    say(f"among numbers {', '.join(map(show, words))} means that one is missing")
    how = msgspec.structs.replace(how, null_values=words)
    return table_reader.read(contents, form, how), how


def _helps(raw: Raw, words: list[str], name: str) -> bool:
    """Return whether a column is numbers but for a word."""
    import pyarrow.compute as pc

    values = raw.table.column(name)
    rest = values.filter(pc.invert(pc.is_in(values, _words(words))))
    if len(rest) == len(values) or not len(rest) - rest.null_count:
        return False
    if not pc.any(pc.equal(values, words[-1])).as_py():
        return False
    alone = raw._replace(table=_single(name, rest))
    try:
        if table_columns.column(alone, name).kind in ("number", "date"):
            return True
    except DataError:
        pass
    return table_columns.format_of(alone, name) is not None


def _with_target(raw: Raw, target: str, section: dict[str, Any], say: Callable[[str], None]) -> Raw:
    """Return the rows that have a target."""
    import numpy as np

    try:
        column = table_columns.column(raw, target)
    except DataError:
        column = table_columns.column(raw, target, "text")
    kept = np.flatnonzero(~column.missing & (column.values == column.values)).tolist()
    missing = len(column.values) - len(kept)
    if not missing or not kept:
        return raw
    section["missing_target"] = "drop"
    say(f"{missing} of {len(column.values)} rows have no {show(target)}, and are left out")
    return raw.take(kept)


def _words(words: list[str]) -> Any:
    import pyarrow as pa

    return pa.array(words, type=pa.string())


def _single(name: str, values: Any) -> Any:
    import pyarrow as pa

    return pa.table({name: values})


def _kinds(
    raw: Raw, target: str, say: Callable[[str], None]
) -> tuple[dict[str, Kind], dict[str, ColumnFormat], dict[str, table_columns.ColumnData]]:
    """Return kinds and formats to write into the config, and the columns read by them."""
    told: dict[str, Kind] = {}
    written: dict[str, ColumnFormat] = {}
    found = {}
    for name in raw.table.column_names:
        try:
            found[name] = table_columns.column(raw, name)
            why = found[name].note
        except DataError as error:
            why = error.message.partition(";")[0]
            try:
                found[name] = table_columns.column(raw, name, "text")
            except DataError:
                if name == target:
                    raise error from None
                continue
        if not why:
            continue
        if form := table_columns.format_of(raw, name):
            written[name] = form
            found[name] = table_columns.column(raw, name, None, form)
            kind, how = found[name].kind, json.dumps(msgspec.to_builtins(form), ensure_ascii=False)
            say(f"{show(name)} is a {kind} written as {how}")
        else:
            told[name] = "text"
            say(f"{show(name)} is text: {why}")
    return told, written, found


def _classes(
    aim: table_columns.ColumnData, target: str, section: dict[str, Any], say: Callable[[str], None]
) -> list[int] | None:
    """Return how many rows each class has, or None where a number is to be predicted."""
    import numpy as np

    values, counts = np.unique(aim.values, return_counts=True)
    whole = aim.kind == "boolean" or (aim.kind == "number" and (values == np.floor(values)).all())
    if aim.kind != "text" and not (whole and len(values) <= LABELS):
        say(f"{show(target)} is a number to predict: {len(values)} different values")
        return None
    rows: list[int] = counts.tolist()
    labels = [show(one) for one in values.tolist()]
    if len(labels) != 2:
        say(f"{show(target)} has {len(labels)} classes")
        return rows
    known: list[Any] = values.tolist()
    if aim.kind != "text":
        known = [bool(one) if aim.kind == "boolean" else int(one) for one in known]
    rare = known[int(np.argmin(counts))]
    positive = next((one for one in known if str(one).lower() in YES), rare)
    section["positive"] = positive
    share = counts[known.index(positive)] / counts.sum()
    say(f"of two classes {show(positive)} is the positive one, {share:.0%} of the rows")
    return rows


def _parts(
    raw: Raw,
    found: dict[str, table_columns.ColumnData],
    section: dict[str, Any],
    classes: list[int] | None,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Give each column its part; what is left in `found` are the features."""
    split: dict[str, Any] = {"method": "random", "test_size": 0.2, "random_state": 42}
    unread = [
        name for name in raw.table.column_names if name not in found and name != section["target"]
    ]
    drop = list(unread)
    for name in unread:
        say(f"{show(name)} is dropped: it is no number, date or text")
    for name in raw.index_columns:
        if found.pop(name, None):
            drop.append(name)
            say(f"{show(name)} is dropped: it is the index of a data frame")
    for name, column in list(found.items()):
        distinct = len(set(column.values[~column.missing].tolist()))
        named = _is_named_id(name) and _is_whole(column)
        if distinct <= 1:
            drop.append(name)
            say(f"{show(name)} is dropped: it says the same in every row")
        elif is_id(column.values) and "id" not in section:
            section["id"] = name
            say(f"{show(name)} names the rows: another value in each")
        elif is_id(column.values):
            drop.append(name)
            say(f"{show(name)} is dropped: another value in each row, and nothing to learn of it")
        elif (
            named and distinct > LABELS and split["method"] == "random" and not column.missing.any()
        ):
            split |= {"method": "group", "column": name}
            say(f"rows of one {show(name)} stay on one side of the split: they belong together")
        elif column.kind == "text" and 2 * distinct > len(column.values) and not _is_prose(column):
            drop.append(name)
            say(f"{show(name)} is dropped: its texts hardly repeat, so nothing is learned of one")
        else:
            continue
        del found[name]
    if drop:
        section["drop"] = drop
    if not found:
        raise DataError("has no features: every column has another part", where=raw.where())
    if split["method"] == "random" and classes is not None:
        split["stratify"] = min(classes) > 1
        say("a fifth of the rows is held out, by chance, each class with its share")
    elif split["method"] == "random":
        say("a fifth of the rows is held out, by chance")
    return split


def _is_named_id(name: str) -> bool:
    """Return whether a name says id, such as customer_id, customerId or userid, but not paid."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)
    last = words[-1].lower() if words else ""
    return last in _ID_WORDS or (last.removesuffix("id") in _ENTITIES and last.endswith("id"))


def _is_whole(column: table_columns.ColumnData) -> bool:
    import numpy as np

    if column.kind == "text":
        return True
    values = column.values[~column.missing]
    return column.kind == "number" and bool((values == np.floor(values)).all())


def _model(
    found: dict[str, table_columns.ColumnData],
    classes: list[int] | None,
    say: Callable[[str], None],
) -> dict[str, Any]:
    name, params = "sklearn.linear_model.Ridge", {}
    if classes is not None:
        name, params = "sklearn.linear_model.LogisticRegression", {"max_iter": 1000}
    say(f"{name.rpartition('.')[2]} comes first: it is fast, and a measure for others")
    texts = [one for one, column in found.items() if column.kind == "text"]
    free = [one for one in texts if _is_prose(found[one])]
    if not free:
        say("numbers are imputed and scaled, text is one-hot: model.preprocess is auto")
        return {"preprocess": "auto", "estimator": name, "params": params}
    branches: list[dict[str, Any]] = []
    if numbers := [one for one in found if one not in texts]:
        steps = [{"estimator": "sklearn.impute.SimpleImputer", "params": {"strategy": "median"}},
                 {"estimator": "sklearn.preprocessing.StandardScaler"}]  # fmt: skip
        branches.append({"name": "numbers", "columns": numbers, "steps": steps})
    if short := [one for one in texts if one not in free]:
        encoder = "sklearn.preprocessing.OneHotEncoder"
        branches.append({"name": "text", "columns": short, "estimator": encoder,
                         "params": {"handle_unknown": "ignore"}})  # fmt: skip
    for index, one in enumerate(free):
        say(f"{show(one)} is prose: its words are counted (TfidfVectorizer)")
        counter = "sklearn.feature_extraction.text.TfidfVectorizer"
        branches.append({"name": f"prose-{index + 1}", "column": one, "estimator": counter})
    last = {"name": "model", "estimator": name, "params": params}
    return {"steps": [{"name": "prep", "branches": branches}, last]}


def _is_prose(column: table_columns.ColumnData) -> bool:
    values = [one for one in column.values.tolist() if one]
    words = sum(len(one.split()) for one in values)
    return len(set(values)) > LABELS and words >= 3 * len(values)
