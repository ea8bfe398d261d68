"""Where rows come from, what their digest is, and how they are split.

>>> from artifact_pipeline.config import Data, Split, parse
>>> describe(Data(dataset="iris")).schema
Schema(dtype='float64', features=4, rows=150, target='class')
>>> rows = load(Data(dataset="iris"))
>>> parts = split(rows, Split(test_size=0.2, random_state=42, stratify=True))
>>> parts.X_train.shape, parts.X_test.shape
((120, 4), (30, 4))
"""

from __future__ import annotations

from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from msgspec import Struct, UnsetType

from artifact_pipeline import canonical
from artifact_pipeline.config import Data, Split, parse
from artifact_pipeline.errors import ConfigError, DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


Target: TypeAlias = Literal["class", "number"]


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


class Bundled(NamedTuple):
    """What is known of one of scikit-learn's bundled sets without loading it."""

    files: tuple[str, ...]
    """In `sklearn/datasets/data`."""
    loader: str
    rows: int
    features: int
    target: Target = "class"
    image: Image | None = None


BUNDLED = {
    "breast_cancer": Bundled(("breast_cancer.csv",), "load_breast_cancer", 569, 30),
    "diabetes": Bundled(
        ("diabetes_data_raw.csv.gz", "diabetes_target.csv.gz"), "load_diabetes", 442, 10, "number"
    ),
    "digits": Bundled(("digits.csv.gz",), "load_digits", 1797, 64, image=Image(8, 8, 0.0, 16.0)),
    "iris": Bundled(("iris.csv",), "load_iris", 150, 4),
    "wine": Bundled(("wine_data.csv",), "load_wine", 178, 13),
}


class Rows(NamedTuple):
    """All rows of a data set."""

    X: NDArray[np.float64]
    """(n_rows, n_features) float64."""
    y: NDArray[Any]
    """(n_rows,) class labels, or float64 numbers."""
    feature_names: list[str]
    label_names: list[str]
    """What a person calls each class, in the order of the sorted labels; none for numbers."""
    image: Image | None
    target: Target


class Parts(NamedTuple):
    """Rows parted into those to learn from and those held out."""

    X_train: NDArray[np.float64]
    X_test: NDArray[np.float64]
    y_train: NDArray[Any]
    y_test: NDArray[Any]
    train_index: NDArray[np.int64]
    """Where in the data set each training row stands."""
    test_index: NDArray[np.int64]

    def summary(self) -> dict[str, Any]:
        """Return the rows on either side and the digest of their indices, for the manifest."""
        import numpy as np

        indices = b"".join(
            np.ascontiguousarray(part, dtype="<i8").tobytes()
            for part in (self.train_index, self.test_index)
        )
        rows = {"train": len(self.train_index), "test": len(self.test_index)}
        return {"rows": rows, "indices_digest": canonical.digest(indices)}


def locate(data: Data) -> list[Path]:
    """Return the files that hold the rows, found without importing scikit-learn.

    Raises:
        DataError: if they are not installed.
    """
    spec = PathFinder.find_spec("sklearn")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        paths = [Path(folder, "datasets", "data", name) for name in BUNDLED[data.dataset].files]
        if all(path.is_file() for path in paths):
            return paths
    raise DataError(
        "scikit-learn's data file is not installed; pip install -r requirements.txt",
        where=f"data set {data.dataset}",
    )


def target(data: Data) -> Target:
    """Return what is to be learned: a class or a number."""
    return BUNDLED[data.dataset].target


def is_stratified(split: Split, of: Target) -> bool:
    """Return whether each class keeps its share: as the config says, or else for classes."""
    return of == "class" if isinstance(split.stratify, UnsetType) else split.stratify


class Schema(Struct, frozen=True, forbid_unknown_fields=True):
    """What a row is: its features, their dtype, and the kind of target."""

    dtype: str
    features: int
    rows: int
    target: Target


class Description(Struct, frozen=True, forbid_unknown_fields=True):
    """A data set by name, digest of its bytes, and schema."""

    dataset: str
    digest: str
    schema: Schema


def describe(data: Data) -> Description:
    """Return what a recipe says of the rows: their name, digest and schema, never their place."""
    digests = []
    for path in locate(data):
        try:
            digests.append(canonical.digest(path.read_bytes()))
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}", where=str(path)) from error
    [digest] = digests if len(digests) == 1 else [canonical.digest(canonical.encode(digests))]
    known = BUNDLED[data.dataset]
    schema = Schema("float64", known.features, known.rows, known.target)
    return Description(data.dataset, digest, schema)


def load(data: Data) -> Rows:
    """Return the rows of a bundled set.

    Raises:
        DataError: if they are not what the schema says, or hold a value that is not finite.
    """
    import numpy as np
    from sklearn import datasets

    known = BUNDLED[data.dataset]
    where = f"data set {data.dataset}"
    locate(data)
    try:
        bunch = getattr(datasets, known.loader)()
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"cannot be read: {error}; reinstall scikit-learn", where=where) from error
    X = np.ascontiguousarray(bunch.data, dtype=np.float64)
    if X.shape != (known.rows, known.features) or not np.isfinite(X).all():
        raise DataError(
            f"found {X.shape[0]} rows of {X.shape[1]} numbers, expected {known.rows} rows of "
            f"{known.features} finite ones; reinstall scikit-learn",
            where=where,
        )
    return Rows(
        X,
        np.ascontiguousarray(bunch.target),
        [str(name) for name in bunch.feature_names],
        [str(name) for name in bunch.get("target_names", ())],
        known.image,
        known.target,
    )


def load_data(config: dict[str, Any]) -> tuple[Any, Any, Any, Any]:
    """Return X_train, X_test, y_train, y_test of a config's values.

    X are (n_rows, n_features) float64, y are (n_rows,) int64, or float64 numbers.

    Raises:
        ConfigError, DataError: as `load` and `split`, and for a config that is wrong.
    """
    full = parse(config, "config")
    parts = split(load(full.data), full.split)
    return parts.X_train, parts.X_test, parts.y_train, parts.y_test


def split(rows: Rows, how: Split, where: str = "split") -> Parts:
    """Return `rows` parted by scikit-learn's `train_test_split`; `where` names the split in errors.

    Raises:
        ConfigError: if the split cannot be made, as where a class would have no held-out row.
    """
    import numpy as np
    from sklearn.model_selection import train_test_split

    stratified = is_stratified(how, rows.target)
    if stratified and rows.target == "number":
        raise ConfigError(
            "found true, and numbers have no classes to keep the share of",
            where=f"{where}.stratify",
        )
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
    return Parts(rows.X[train], rows.X[test], rows.y[train], rows.y[test], train, test)
