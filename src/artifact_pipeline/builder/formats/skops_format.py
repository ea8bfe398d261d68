"""The form for estimators without a proven graph: a skops archive.

An archive of objects can act as a program. Like a pickle, it is opened only if its origin is known.
Even then the reader (`skops_checks`), not the archive, decides which objects are created.

skops names parts by their addresses in memory and adds the time. `export` numbers them in order and
leaves the time out, so that equal models have equal bytes.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from artifact_pipeline.builder.artifact.manifest import Interface
from artifact_pipeline.builder.config.messages import first_line
from artifact_pipeline.builder.formats.base import BY_NAME, Batch, Form, Outputs, PredictFunction
from artifact_pipeline.builder.formats.origin import Origin, require_known
from artifact_pipeline.builder.model.estimators import (
    as_labels,
    parts_of,
    predict_with_proba,
    strip_process_state,
)
from artifact_pipeline.builder.recipe import Recipe
from artifact_pipeline.errors import Location, VerificationError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SCHEMA = "schema.json"
_FIRST = (1980, 1, 1, 0, 0, 0)
_PART = re.compile(r"[0-9]{1,9}\.npy")


def export(estimator: Any) -> Iterator[tuple[Form, bytes]]:
    """Yield the skops form of a fitted estimator, if skops supports it."""
    import skops.io

    from artifact_pipeline.builder.formats import skops_parts

    strip_process_state(estimator)
    try:
        archive = _numbered(skops.io.dumps(skops_parts.plain(estimator)))
    except Exception:  # noqa: BLE001  (skops may raise anything for an object that it does not support)
        return
    yield BY_NAME["skops"], archive


def load(
    verified: bytes,
    location: Location,
    *,
    origin: Origin,
    recipe: Recipe,
    interface: Interface | None = None,
) -> PredictFunction:
    """Open an archive whose bytes were verified.

    Args:
        verified: A skops archive.
        location: Its file in errors.
        origin: How its maker is known.
        recipe: Its recipe, which names the classes that it may contain.
        interface: The interface in its manifest; None before it is sealed.

    Raises:
        UntrustedModel: If its origin is unknown. The archive is not read then.
        VerificationError: If `export` would not write such an archive, `skops_checks` refuses its
            content, or it does not match the interface.
    """
    require_known(origin, location=location)
    import skops.io

    from artifact_pipeline.builder.formats import skops_checks, skops_parts

    try:
        schema = _check(verified)
        allowed = skops_checks.allowed_classes(recipe)
        skops_checks.check_schema(schema, allowed)
        estimator = skops.io.loads(verified, trusted=[*allowed, "numpy.dtype"])
        skops_checks.check_objects(estimator, allowed)
        skops_parts.restored(estimator)
        if interface is not None:
            _check_interface(estimator, interface)
    except Exception as error:  # a hostile archive may make it raise anything
        problem = f"skops does not load it: {first_line(error)[:200]}"
        raise VerificationError(problem, location=location) from error

    from threadpoolctl import ThreadpoolController

    threads = ThreadpoolController()

    def run(rows: Batch, *, seconds: float | None = None) -> Outputs:
        try:
            X = _framed(rows, estimator) if isinstance(rows, list) else rows
            # One thread as in training: the number of threads decides between neighbors at equal
            # distance, and the last bits of a sum.
            # Each prediction would repeat the warnings of the fit.
            with threads.limit(limits=1), warnings.catch_warnings(action="ignore"):
                predicted, probabilities = predict_with_proba(estimator, X)
            return Outputs(predicted.reshape(len(X)), probabilities)
        except Exception as error:  # as above
            problem = f"it does not predict: {first_line(error)[:200]}"
            raise VerificationError(problem, location=location) from error

    return run


def _framed(columns: list[NDArray[Any]], estimator: Any) -> Any:
    from artifact_pipeline.builder.data.frames import frame

    names = _names_of(estimator, len(columns))
    if names is None:
        names = [str(index) for index in range(len(columns))]
    return frame(dict(zip(names, columns, strict=True)))


def _names_of(estimator: Any, count: int) -> Any:
    """Return the names of the columns that an estimator was fitted to, or None without names."""
    for part in parts_of(estimator):  # the first step may have no names
        names = getattr(part, "feature_names_in_", ())
        if len(names) == count:
            return names
    return None


def _numbered(archive: bytes) -> bytes:
    """Rewrite an archive: parts named by their order, no times, no compression."""
    with zipfile.ZipFile(io.BytesIO(archive)) as source:
        schema = source.read(_SCHEMA).decode()
        numbers: dict[str, str] = {}

        def number(match: re.Match[str]) -> str:
            return match[1] + numbers.setdefault(match[2], str(len(numbers)))

        # Addresses are the values of `__id__` and `file`.
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
            entry.create_system = 3  # Windows would write another value
            file.writestr(entry, parts[name])
    return target.getvalue()


def _check_interface(estimator: Any, interface: Interface) -> None:
    """Refuse an estimator whose features or labels are not those of its manifest."""
    if getattr(estimator, "n_features_in_", None) not in (None, len(interface.features)):
        raise ValueError("its number of features does not match the manifest")
    names = _names_of(estimator, len(interface.features))
    known = names is not None and [str(name) for name in names]
    if interface.columns and known and known != interface.features:
        raise ValueError("its features do not match the manifest")
    if interface.labels and as_labels(estimator.classes_).tolist() != interface.labels:
        raise ValueError("its labels do not match the manifest")


def _check(archive: bytes) -> bytes:
    """Return the schema of an archive that `export` could have written.

    Its first part must be at its start: zip is read from the end, and readers ignore bytes before
    the parts.

    Raises:
        ValueError: If it contains other files, is compressed, or unpacks to more than its size.
    """
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        entries = file.infolist()
    names = [entry.filename for entry in entries]
    if len(set(names)) < len(names) or sum(entry.file_size for entry in entries) > len(archive):
        raise ValueError("it unpacks to more than its size")
    if min((entry.header_offset for entry in entries), default=1):
        raise ValueError("it does not start like an archive")
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            raise ValueError(f"{entry.filename!a} is compressed")
        if entry.filename != _SCHEMA and not _PART.fullmatch(entry.filename):
            raise ValueError(f"{entry.filename!a} does not belong in a model")
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        return file.read(_SCHEMA)
