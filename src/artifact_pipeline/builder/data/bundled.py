"""scikit-learn's bundled data sets: found, described and loaded.

>>> describe(BundledData("iris")).schema
Schema(dtype='float64', features=4, rows=150, target='class', columns=None)
>>> load(BundledData("iris")).X.shape
(150, 4)
"""

from __future__ import annotations

from importlib.machinery import PathFinder
from pathlib import Path
from typing import NamedTuple

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.config.resolved import BundledData
from artifact_pipeline.builder.data import table_files
from artifact_pipeline.builder.data.dataset import Description, Image, Rows, Schema, Target
from artifact_pipeline.errors import DataError


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


def locate(data: BundledData) -> list[Path]:
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


def describe(data: BundledData) -> Description:
    """Return what a recipe says of the rows: their name, digest and schema, never their place."""
    digest = table_files.digest([canonical.digest(table_files.read(path)) for path in locate(data)])
    known = BUNDLED[data.dataset]
    schema = Schema(dtype="float64", features=known.features, rows=known.rows, target=known.target)
    return Description(digest=digest, schema=schema, dataset=data.dataset, examples=data.examples)


def load(data: BundledData) -> Rows:
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
        describe(data),
    )
