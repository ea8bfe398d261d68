"""Rows parted into those to learn from and those held out; folds follow the same way.

>>> from artifact_pipeline.builder.data import loader
>>> from artifact_pipeline.builder.config.resolved import BundledData, SplitConfig
>>> rows = loader.load(BundledData("iris"))
>>> parts = split(rows, SplitConfig(test_size=0.2, random_state=42, stratify=True))
>>> parts.X_train.shape, parts.X_test.shape
((120, 4), (30, 4))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.builder.config.messages import show
from artifact_pipeline.builder.config.resolved import SplitConfig
from artifact_pipeline.builder.data.dataset import Rows, is_stratified, take
from artifact_pipeline.builder.data.loader import SIDES
from artifact_pipeline.errors import ConfigError, DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Fold: TypeAlias = "tuple[NDArray[np.int64], NDArray[np.int64]]"
"""Which training rows are learned from, and which are held out of them."""


class TrainTestSplit(NamedTuple):
    """Rows parted into those to learn from and those held out."""

    X_train: Any
    X_test: Any
    y_train: NDArray[Any]
    y_test: NDArray[Any]
    train_index: NDArray[np.int64]
    """Where in the data set each training row stands."""
    test_index: NDArray[np.int64]

    def indices_digest(self) -> Digest:
        """Return the digest of the indices as little-endian int64, training rows first."""
        import numpy as np

        indices = b"".join(
            np.ascontiguousarray(part, dtype="<i8").tobytes()
            for part in (self.train_index, self.test_index)
        )
        return canonical.digest(indices)


def split(rows: Rows, how: SplitConfig, where: str = "split") -> TrainTestSplit:
    """Return `rows` parted as a config says; `where` names the split in errors.

    Raises:
        ConfigError: if the split cannot be made, as where a class would have no held-out row.
        DataError: for a column that says neither train nor test, or misses a value.
    """
    if how.method == "random":
        train, test = _random(rows, how, where)
    else:
        if rows.by is None:
            raise ConfigError("these rows have no column to split by", where=f"{where}.method")
        train, test = _BY[how.method](rows.by, how, where)
    if not len(train) or not len(test):
        side = "to learn from" if len(test) else "held out"
        raise DataError(f"leaves no rows {side}", where=f"{where}.column")
    if rows.target == "number" and min(len(train), len(test)) < 2:
        side = "to learn from" if len(train) < 2 else "held out"
        raise DataError(f"leaves one row {side}, and R² needs two", where=where)
    if rows.target == "class" and len(labels := set(rows.y[train].tolist())) == 1:
        raise DataError(
            f"leaves one class to learn from, {show(labels.pop())}; there is nothing to learn",
            where=where,
        )
    return TrainTestSplit(
        take(rows.X, train), take(rows.X, test), rows.y[train], rows.y[test], train, test
    )


def folds(parts: TrainTestSplit, rows: Rows, how: SplitConfig, count: int) -> list[Fold]:
    """Return the folds of the training rows, as pairs of indices into them.

    They follow the split: stratified or not, by group, or each later than what it learned from.
    """
    from sklearn import model_selection as sk

    by = None if rows.by is None else rows.by[parts.train_index]
    cutter: Any
    if how.method == "group":
        cutter = sk.GroupKFold(count)
    elif how.method == "time":
        cutter = sk.TimeSeriesSplit(count)
    elif is_stratified(how, rows.target) or (how.method == "column" and rows.target == "class"):
        cutter = sk.StratifiedKFold(count, shuffle=True, random_state=how.random_state)
    else:
        cutter = sk.KFold(count, shuffle=True, random_state=how.random_state)
    groups = by if how.method == "group" else None
    return list(cutter.split(parts.X_train, parts.y_train, groups))


def _random(rows: Rows, how: SplitConfig, where: str) -> tuple[Any, Any]:
    import numpy as np
    from sklearn.model_selection import train_test_split

    stratified = is_stratified(how, rows.target)
    if stratified and rows.target == "number":
        raise ConfigError(
            "found true, and numbers have no classes to keep the share of",
            where=f"{where}.stratify",
        )
    if stratified and rows.description.table is not None:
        _check_classes(rows)
    try:
        train, test = train_test_split(
            np.arange(len(rows.y)),
            test_size=how.test_size,
            random_state=how.random_state,
            stratify=rows.y if stratified else None,
        )
    except ValueError as error:
        said = str(error).split(". ")[0]
        raise ConfigError(
            f"found {how.test_size} of {len(rows.y)} rows, which cannot be split: {said}",
            where=f"{where}.test_size",
        ) from error
    return train, test


def _check_classes(rows: Rows) -> None:
    import numpy as np

    labels, counts = np.unique(rows.y, return_counts=True)
    if counts.min() < 2:
        label = labels[counts.argmin()]
        row = int(np.flatnonzero(rows.y == label)[0])
        raise DataError(
            f"the class {show(label.item())} has one row, and a stratified split needs two; "
            "leave it out, or set split.stratify to false",
            where=rows.places(row),
        )


def _by_group(by: NDArray[Any], how: SplitConfig, where: str) -> tuple[Any, Any]:
    import numpy as np
    from sklearn.model_selection import GroupShuffleSplit

    cutter = GroupShuffleSplit(1, test_size=how.test_size, random_state=how.random_state)
    try:
        [(train, test)] = cutter.split(np.zeros(len(by)), groups=by)
    except ValueError as error:
        said = str(error).split(". ")[0]
        groups = len(np.unique(by))
        raise ConfigError(
            f"found {groups} groups, which cannot be split: {said}", where=f"{where}.column"
        ) from error
    return train, test


def _by_time(by: NDArray[Any], how: SplitConfig, where: str) -> tuple[Any, Any]:
    """The latest rows are held out; rows of one time stay on one side."""
    import numpy as np

    order = np.argsort(by, kind="stable")
    cut = by[order[max(0, round(len(by) * (1 - how.test_size)))]]
    return order[by[order] < cut], order[by[order] >= cut]


def _by_column(by: NDArray[Any], how: SplitConfig, where: str) -> tuple[Any, Any]:
    import numpy as np

    return np.flatnonzero(by == SIDES[0]), np.flatnonzero(by == SIDES[1])


_BY = {"group": _by_group, "time": _by_time, "column": _by_column}
