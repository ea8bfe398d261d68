"""scikit-learn's bundled data sets.

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
from artifact_pipeline.errors import DataError, Location


class Bundled(NamedTuple):
    """A bundled data set, as far as it is known without loading it."""

    files: tuple[str, ...]
    """In `sklearn/datasets/data`."""
    loader: str
    """A function of `sklearn.datasets`."""
    rows: int
    features: int
    target: Target = "class"
    image: Image | None = None


BUNDLED = {
    "breast_cancer": Bundled(
        files=("breast_cancer.csv",), loader="load_breast_cancer", rows=569, features=30
    ),
    "diabetes": Bundled(
        files=("diabetes_data_raw.csv.gz", "diabetes_target.csv.gz"),
        loader="load_diabetes",
        rows=442,
        features=10,
        target="number",
    ),
    "digits": Bundled(
        files=("digits.csv.gz",),
        loader="load_digits",
        rows=1797,
        features=64,
        image=Image(height=8, width=8, min=0.0, max=16.0),
    ),
    "iris": Bundled(files=("iris.csv",), loader="load_iris", rows=150, features=4),
    "wine": Bundled(files=("wine_data.csv",), loader="load_wine", rows=178, features=13),
}


def locate(data: BundledData) -> list[Path]:
    """Return the files that hold the rows, without importing scikit-learn.

    Raises:
        DataError: If they are not installed.
    """
    spec = PathFinder.find_spec("sklearn")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        paths = [Path(folder, "datasets", "data", name) for name in BUNDLED[data.dataset].files]
        if all(path.is_file() for path in paths):
            return paths
    raise DataError(
        "scikit-learn's data file is not installed",
        location=_location(data),
        remedy="pip install -r requirements.txt",
    )


def describe(data: BundledData) -> Description:
    """Return the description of the rows for a recipe."""
    digest = table_files.digest([canonical.digest(table_files.read(path)) for path in locate(data)])
    bundled = BUNDLED[data.dataset]
    schema = Schema(
        dtype="float64", features=bundled.features, rows=bundled.rows, target=bundled.target
    )
    return Description(digest=digest, schema=schema, dataset=data.dataset, examples=data.examples)


def load(data: BundledData) -> Rows:
    """Return the rows of a bundled data set.

    Raises:
        DataError: If they are not as many as expected, or a value is not finite.
    """
    import numpy as np
    from sklearn import datasets

    bundled = BUNDLED[data.dataset]
    locate(data)
    remedy = "reinstall scikit-learn"
    try:
        bunch = getattr(datasets, bundled.loader)()
    except (OSError, EOFError, ValueError) as error:
        problem = f"cannot be read: {error}"
        raise DataError(problem, location=_location(data), remedy=remedy) from error
    X = np.ascontiguousarray(bunch.data, dtype=np.float64)
    if X.shape != (bundled.rows, bundled.features) or not np.isfinite(X).all():
        raise DataError(
            f"found {X.shape[0]} rows of {X.shape[1]} numbers, expected {bundled.rows} rows of "
            f"{bundled.features} finite ones",
            location=_location(data),
            remedy=remedy,
        )
    return Rows(
        X=X,
        y=np.ascontiguousarray(bunch.target),
        feature_names=[str(name) for name in bunch.feature_names],
        label_names=[str(name) for name in bunch.get("target_names", ())],
        image=bundled.image,
        target=bundled.target,
        description=describe(data),
    )


def _location(data: BundledData) -> Location:
    return Location(f"data set {data.dataset}")
