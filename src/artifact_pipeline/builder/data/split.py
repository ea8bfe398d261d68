"""The split into training and held-out rows, and folds of the training rows.

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
from artifact_pipeline.errors import ConfigError, DataError, Location

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Fold: TypeAlias = "tuple[NDArray[np.int64], NDArray[np.int64]]"
"""The indices of the training rows to fit on, and of those to measure on."""
_Sides: TypeAlias = "tuple[NDArray[np.int64], NDArray[np.int64]]"
"""The indices of the training rows and of the held-out rows."""


class TrainTestSplit(NamedTuple):
    """Training rows and held-out rows."""

    X_train: Any
    X_test: Any
    y_train: NDArray[Any]
    y_test: NDArray[Any]
    train_index: NDArray[np.int64]
    """The index of each training row in the data set."""
    test_index: NDArray[np.int64]
    """The index of each held-out row in the data set."""

    def indices_digest(self) -> Digest:
        """Return the digest of the indices as little-endian int64, training rows first."""
        import numpy as np

        indices = b"".join(
            np.ascontiguousarray(part, dtype="<i8").tobytes()
            for part in (self.train_index, self.test_index)
        )
        return canonical.digest(indices)


def split(
    rows: Rows,
    config: SplitConfig,
    *,
    location: Location = Location(key="split"),  # noqa: B008  (frozen)
) -> TrainTestSplit:
    """Split rows as a config says.

    Args:
        rows: The rows.
        config: The split.
        location: The location of the split in errors.

    Raises:
        ConfigError: If the split is impossible, as without a held-out row for each class.
        DataError: If a side has too few rows or classes.
    """
    if config.method == "random":
        train, test = _split_randomly(rows, config, location=location)
    elif (values := rows.split_values) is None:
        problem = "these rows have no column to split by"
        raise ConfigError(problem, location=location.inside("method"))
    elif config.method == "group":
        train, test = _split_by_group(values, config, location=location)
    elif config.method == "time":
        train, test = _split_by_time(values, config)
    else:
        train, test = _split_by_column(values)
    _check_sides(rows, train, test=test, location=location)
    return TrainTestSplit(
        X_train=take(rows.X, train),
        X_test=take(rows.X, test),
        y_train=rows.y[train],
        y_test=rows.y[test],
        train_index=train,
        test_index=test,
    )


def folds(parts: TrainTestSplit, rows: Rows, *, config: SplitConfig, count: int) -> list[Fold]:
    """Return folds of the training rows, made as the split is.

    They are stratified or not, keep groups together, or are each later than the rows to fit on.

    Args:
        parts: The split.
        rows: The rows that were split.
        config: How they were split.
        count: The number of folds.

    Raises:
        ValueError: If scikit-learn cannot make as many folds.
    """
    from sklearn import model_selection as sk

    folder: Any
    groups = None
    if config.method == "group":
        folder = sk.GroupKFold(count)
        groups = None if rows.split_values is None else rows.split_values[parts.train_index]
    elif config.method == "time":
        folder = sk.TimeSeriesSplit(count)
    elif is_stratified(config, rows.target) or (
        config.method == "column" and rows.target == "class"
    ):
        folder = sk.StratifiedKFold(count, shuffle=True, random_state=config.random_state)
    else:
        folder = sk.KFold(count, shuffle=True, random_state=config.random_state)
    return list(folder.split(parts.X_train, parts.y_train, groups))


def _check_sides(
    rows: Rows, train: NDArray[np.int64], *, test: NDArray[np.int64], location: Location
) -> None:
    if not len(train) or not len(test):
        side = "to learn from" if len(test) else "held out"
        raise DataError(f"leaves no rows {side}", location=location.inside("column"))
    if rows.target == "number" and min(len(train), len(test)) < 2:
        side = "to learn from" if len(train) < 2 else "held out"
        raise DataError(f"leaves one row {side}, and R² needs two", location=location)
    if rows.target == "class" and len(labels := set(rows.y[train].tolist())) == 1:
        raise DataError(
            f"leaves one class to learn from, {show(labels.pop())}; there is nothing to learn",
            location=location,
        )


def _split_randomly(rows: Rows, config: SplitConfig, *, location: Location) -> _Sides:
    import numpy as np
    from sklearn.model_selection import train_test_split

    stratified = is_stratified(config, rows.target)
    if stratified and rows.target == "number":
        raise ConfigError(
            "found true, and numbers have no classes to keep the share of",
            location=location.inside("stratify"),
        )
    if stratified and rows.description.table is not None:
        _check_classes(rows)
    try:
        train, test = train_test_split(
            np.arange(len(rows.y)),
            test_size=config.test_size,
            random_state=config.random_state,
            stratify=rows.y if stratified else None,
        )
    except ValueError as error:
        reason = str(error).split(". ")[0]
        raise ConfigError(
            f"found {config.test_size} of {len(rows.y)} rows, which cannot be split: {reason}",
            location=location.inside("test_size"),
        ) from error
    return train, test


def _check_classes(rows: Rows) -> None:
    import numpy as np

    labels, counts = np.unique(rows.y, return_counts=True)
    if counts.min() < 2:
        label = labels[counts.argmin()]
        row = int(np.flatnonzero(rows.y == label)[0])
        raise DataError(
            f"the class {show(label.item())} has one row, and a stratified split needs two",
            location=rows.locate(row),
            remedy="leave it out, or set split.stratify to false",
        )


def _split_by_group(groups: NDArray[Any], config: SplitConfig, *, location: Location) -> _Sides:
    import numpy as np
    from sklearn.model_selection import GroupShuffleSplit

    splitter = GroupShuffleSplit(1, test_size=config.test_size, random_state=config.random_state)
    try:
        [(train, test)] = splitter.split(np.zeros(len(groups)), groups=groups)
    except ValueError as error:
        reason = str(error).split(". ")[0]
        raise ConfigError(
            f"found {len(np.unique(groups))} groups, which cannot be split: {reason}",
            location=location.inside("column"),
        ) from error
    return train, test


def _split_by_time(times: NDArray[Any], config: SplitConfig) -> _Sides:
    """Hold out the latest rows; rows of the same time stay on one side."""
    import numpy as np

    order = np.argsort(times, kind="stable")
    cut = times[order[max(0, round(len(times) * (1 - config.test_size)))]]
    return order[times[order] < cut], order[times[order] >= cut]


def _split_by_column(sides: NDArray[Any]) -> _Sides:
    import numpy as np

    return np.flatnonzero(sides == SIDES[0]), np.flatnonzero(sides == SIDES[1])
