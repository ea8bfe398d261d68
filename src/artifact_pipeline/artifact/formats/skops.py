"""The form for estimators that no graph was proven equal to: skops, opened by a list of ours.

An archive names the types that it is made of, and the reader decides which of them it makes. What
skops itself holds to be safe (scikit-learn's public estimators, numpy's arrays) and the few below
are made, never what the archive would have allowed. Some of them are compiled code that trusts its
arrays, so those are looked at, too.

skops names its parts by addresses in memory and stamps them with the time; `export` numbers them
in their order and leaves the time out, so that equal models have equal bytes.
"""

from __future__ import annotations

import copy
import io
import re
import zipfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from artifact_pipeline.artifact.formats.form import BY_NAME, Batch, Form, Outputs, Run
from artifact_pipeline.errors import VerificationError
from artifact_pipeline.estimators import forget_addresses, outputs, parts_of
from artifact_pipeline.explain import first_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

KERNELS = "sklearn.gaussian_process.kernels"
TRUSTED = (
    "numpy.dtype",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.multiclass._ConstantPredictor",
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    *(
        f"{KERNELS}.{name}"
        for name in (
            *("CompoundKernel", "ConstantKernel", "DotProduct", "ExpSineSquared", "Exponentiation"),
            *("Matern", "Product", "RBF", "RationalQuadratic", "Sum", "WhiteKernel"),
        )
    ),
)
"""What is made beside what skops holds to be safe."""

_SCHEMA = "schema.json"
_FIRST = (1980, 1, 1, 0, 0, 0)
_PART = re.compile(r"[0-9]{1,9}\.npy")


def export(estimator: Any) -> Iterator[tuple[Form, bytes]]:
    """Yield the skops form of a fitted estimator, if skops can say it."""
    import skops.io

    forget_addresses(estimator)
    try:
        archive = skops.io.dumps(_without_trees(estimator))
    except Exception:  # noqa: BLE001  (what skops raises of an object that it cannot say)
        return
    yield BY_NAME["skops"], _numbered(archive)


def load(verified: bytes, where: str) -> Run:
    """Return what runs the estimator in an archive whose bytes were verified.

    Raises:
        VerificationError: if it is no archive as `export` writes it, holds a type that is not
            allowed, or arrays that compiled code would run out of.
    """
    import skops.io

    try:
        _check(verified)
        estimator = skops.io.loads(verified, trusted=list(TRUSTED))
        _check_trees(estimator)
    except Exception as error:  # a hostile archive may make it raise anything
        said = f"skops does not load it: {first_line(error)[:200]}"
        raise VerificationError(said, where=where) from error

    def run(rows: Batch, seconds: float | None = None) -> Outputs:
        try:
            X = _framed(rows, estimator) if isinstance(rows, list) else rows
            predicted, probabilities = outputs(estimator, X)
            return Outputs(predicted.reshape(len(X)), probabilities)
        except Exception as error:  # as above
            said = f"it does not predict: {first_line(error)[:200]}"
            raise VerificationError(said, where=where) from error

    return run


def _without_trees(estimator: Any) -> Any:
    """Return an estimator of neighbours that looks at all rows, as it would without its tree.

    A KDTree or BallTree is compiled code that trusts its arrays, so no reader makes one.
    """
    if not any(getattr(part, "_tree", None) is not None for part in parts_of(estimator)):
        return estimator
    found = copy.deepcopy(estimator)
    for part in parts_of(found):
        if getattr(part, "_tree", None) is not None:
            part._tree, part._fit_method = None, "brute"
            if getattr(part, "effective_metric_", None) == "euclidean":
                # Under that name products of matrices stand for distances: on the edge of a
                # radius they round to the other side.
                part.effective_metric_, part.effective_metric_params_ = "minkowski", {"p": 2}
    return found


def _framed(columns: list[NDArray[Any]], estimator: Any) -> Any:
    from artifact_pipeline.loading import frame

    return frame(dict(zip(_names_of(estimator, len(columns)), columns, strict=True)))


def _names_of(estimator: Any, count: int) -> Any:
    """Return the names that an estimator knows its columns by; without any they are numbered."""
    for part in parts_of(estimator):  # the first step may know none, and the second its own
        names = getattr(part, "feature_names_in_", ())
        if len(names) == count:
            return names
    return range(count)


def _numbered(archive: bytes) -> bytes:
    """Return an archive whose parts are named by their order, without times or compression."""
    with zipfile.ZipFile(io.BytesIO(archive)) as source:
        schema = source.read(_SCHEMA).decode()
        numbers: dict[str, str] = {}

        def number(found: re.Match[str]) -> str:
            return found[1] + numbers.setdefault(found[2], str(len(numbers)))

        # A name is an address, so it stands where an `__id__` or a `file` does.
        schema = re.sub(r'("(?:__id__|file)": "?)([0-9]+)', number, schema)
        parts = {_SCHEMA: schema.encode()}
        for name in source.namelist():
            if name != _SCHEMA:
                address, dot, kind = name.partition(".")
                parts[numbers[address] + dot + kind] = source.read(name)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as file:
        for name in sorted(parts):
            entry = zipfile.ZipInfo(name, _FIRST)
            entry.create_system = 3  # Windows would write another
            file.writestr(entry, parts[name])
    return target.getvalue()


def _check(archive: bytes) -> None:
    """Refuse an archive that unpacks to more than it is, or names other parts than ours."""
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        entries = file.infolist()
    names = [entry.filename for entry in entries]
    if len(set(names)) < len(names) or sum(entry.file_size for entry in entries) > len(archive):
        raise ValueError("it unpacks to more than it is")
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            raise ValueError(f"{entry.filename!a} is compressed")
        if entry.filename != _SCHEMA and not _PART.fullmatch(entry.filename):
            raise ValueError(f"{entry.filename!a} is no part of a model")


def _check_trees(estimator: Any) -> None:
    """Refuse trees that lead out of themselves: compiled code follows them without looking."""
    for part in parts_of(estimator):
        for trees in getattr(part, "_predictors", None) or ():
            for tree in trees:
                _check_tree(tree, part.n_features_in_)


def _check_tree(tree: Any, n_features: int) -> None:
    import numpy as np

    nodes, places = tree.nodes, np.arange(len(tree.nodes))
    inner = nodes[nodes["is_leaf"] == 0]
    here = places[nodes["is_leaf"] == 0]
    bits = len(tree.raw_left_cat_bitsets)
    inside = (
        len(nodes) > 0
        and (inner["left"] > here).all()
        and (inner["right"] > here).all()
        and (inner["left"] < len(nodes)).all()
        and (inner["right"] < len(nodes)).all()
        and (inner["feature_idx"] >= 0).all()
        and (inner["feature_idx"] < n_features).all()
        and (inner["bitset_idx"][inner["is_categorical"] != 0] < bits).all()
        and tree.raw_left_cat_bitsets.shape[1:] == (8,)
    )
    if not inside:
        raise ValueError("a tree leads out of itself")
