"""Estimators in MLflow models: in a folder, or on a server.

Only two files are read, MLmodel and the one with the estimator, and neither is unpickled here.

Source: https://mlflow.org/docs/latest/ml/model/
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
from msgspec import Struct

from artifact_pipeline import disk
from artifact_pipeline.builder.config import model_name
from artifact_pipeline.errors import (
    CallError,
    Location,
    MissingDependency,
    PipelineError,
    VerificationError,
    quoted,
)
from artifact_pipeline.exports import mlflow_client
from artifact_pipeline.exports.formats import TRACKING_URI_ENV_VAR

PREFIX = "mlflow:"
"""The first characters of the address of a model on a server."""
_DESCRIPTION = "MLmodel"
_MAX_DESCRIPTION = 1 << 20
_ADDRESS = re.compile(r"models:/([^/@]+)(?:/[^/@]+|@[^/@]+)|models:/m-\w+|runs:/\w+/[^?#]+")
_FORMS = "mlflow:models:/NAME/VERSION, mlflow:models:/NAME@ALIAS or mlflow:runs:/ID/PATH"
_SERVER_REMEDY = "check the name of the model, the address, the credentials and the server"


class SavedEstimator(Struct, frozen=True, kw_only=True):
    """A file with an estimator, and what is known about it."""

    path: Path
    columns: list[str] | None = None
    """The columns that the estimator was fitted to, if the model's signature names them."""
    name: str | None = None
    """The name of the model in the server's registry."""


class _Flavor(Struct, frozen=True):
    pickled_model: str


class _Flavors(Struct, frozen=True):
    sklearn: _Flavor


class _Signature(Struct, frozen=True):
    inputs: str = "[]"


class _Description(Struct, frozen=True):
    """The part of the file MLmodel that is read."""

    flavors: _Flavors
    signature: _Signature = _Signature()


@contextmanager
def find(source: str, *, tracking_uri: str | None) -> Iterator[SavedEstimator]:
    """Find the file with an estimator; one from a server is kept as long as the block runs.

    Args:
        source: The file, the folder of an MLflow model, or `PREFIX` and MLflow's address of one.
        tracking_uri: The MLflow server; by default that of the variable `MLFLOW_TRACKING_URI`.

    Raises:
        CallError: If the address is malformed, or no server is named.
        VerificationError: If the model is malformed, or has no estimator of scikit-learn.
        MissingDependency: If a package that reads the model is not installed.
        NetworkError: If the server cannot be reached, refuses, or has no such model.
    """
    import tempfile

    if source.startswith(PREFIX):
        with tempfile.TemporaryDirectory() as scratch, _located_at(source, scratch):
            yield _download(source.removeprefix(PREFIX), Path(scratch), tracking_uri=tracking_uri)
        return
    if tracking_uri is not None:
        raise CallError("is for the address of a model on a server",
                        location=Location("--tracking-uri"),
                        remedy=f"name one, such as {_FORMS}")  # fmt: skip
    if source.startswith(("models:/", "runs:/")) and not Path(source).exists():
        raise CallError("is an address on a server, expected a file or a folder",
                        location=Location(source), remedy=f"write {PREFIX}{source}")  # fmt: skip
    if not Path(source).is_dir():
        yield SavedEstimator(path=Path(source))
        return
    folder = Path(source)
    description = _read(folder / _DESCRIPTION)
    path = folder.joinpath(*PurePosixPath(description.flavors.sklearn.pickled_model).parts)
    with disk.translate_os_errors(path):
        if not path.resolve().is_relative_to(folder.resolve()):
            raise VerificationError("is a link to a file outside of the model",
                                    location=Location(str(path)))  # fmt: skip
    yield SavedEstimator(path=path, columns=_columns(description, folder / _DESCRIPTION))


@contextmanager
def _located_at(source: str, folder: str) -> Iterator[None]:
    """Locate errors about files in a temporary folder at the address that they are from."""
    try:
        yield
    except PipelineError as error:
        file = None if error.location is None else error.location.file
        if file is not None and file.startswith(folder):
            error.location = Location(f"{source}/{Path(file).name}")
        raise


def _download(address: str, folder: Path, *, tracking_uri: str | None) -> SavedEstimator:
    """Download the two files of a model that are read."""
    match = _ADDRESS.fullmatch(address)
    if match is None or ".." in address.split("/"):
        raise CallError(f"found {quoted(PREFIX + address)}, expected {_FORMS}")
    server = tracking_uri or os.environ.get(TRACKING_URI_ENV_VAR)
    if not server:
        raise CallError("no MLflow server is named", location=Location(PREFIX + address),
                        remedy=f"name one with --tracking-uri or ${TRACKING_URI_ENV_VAR}",
                        )  # fmt: skip
    library = mlflow_client.library()
    _yaml()

    def fetch(name: str) -> Path:
        return Path(
            library.artifacts.download_artifacts(
                artifact_uri=f"{address}/{name}", dst_path=str(folder), tracking_uri=server
            )
        )

    with mlflow_client.server_errors(server, remedy=_SERVER_REMEDY):
        listed = library.artifacts.list_artifacts(artifact_uri=address, tracking_uri=server)
        sizes = {PurePosixPath(file.path).name: file.file_size for file in listed}
        if _DESCRIPTION not in sizes:
            raise _no_description(PREFIX + address)
        if (sizes[_DESCRIPTION] or 0) > _MAX_DESCRIPTION:
            raise VerificationError(f"its MLmodel has more than {_MAX_DESCRIPTION} bytes",
                                    location=Location(PREFIX + address))  # fmt: skip
        described = fetch(_DESCRIPTION)
        description = _read(described)
        path = fetch(description.flavors.sklearn.pickled_model)
    name = match[1]
    return SavedEstimator(
        path=path,
        columns=_columns(description, described),
        name=name if name is not None and model_name.is_valid(name) else None,
    )


def _read(path: Path) -> _Description:
    """Return the description of an MLflow model.

    Raises:
        CallError: If there is none.
        VerificationError: If it is malformed, or of a model without an estimator.
    """
    yaml = _yaml()
    location = Location(str(path))
    data = disk.read_file(path, limit=_MAX_DESCRIPTION, remedy="name the folder of an MLflow model")
    if data is None:
        raise _no_description(str(path.parent))
    try:
        # Without tags, anchors that merge, or types: all scalars are text.
        value = yaml.load(data, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise VerificationError("is not YAML", location=location) from error
    try:
        description = msgspec.convert(value, _Description)
    except (msgspec.ValidationError, RecursionError) as error:
        flavors = value.get("flavors") if isinstance(value, dict) else None
        if isinstance(flavors, dict) and "sklearn" not in flavors:
            names = ", ".join(quoted(str(name)) for name in list(flavors)[:5]) or "none"
            raise VerificationError(
                f"has no flavor sklearn, found {names}",
                location=location,
                remedy="save the estimator with mlflow.sklearn",
            ) from error
        problem = f"does not describe a model of sklearn: {ascii(str(error))[1:-1][:160]}"
        raise VerificationError(problem, location=location) from error
    name = description.flavors.sklearn.pickled_model
    path_in_model = PurePosixPath(name)
    if (
        not re.fullmatch(r"[^\x00-\x1f\x7f\\:?#%]+", name)
        or path_in_model.is_absolute()
        or not path_in_model.parts
        or ".." in path_in_model.parts
    ):
        problem = f"pickled_model is {quoted(name)}, expected a path inside of the model"
        raise VerificationError(problem, location=location)
    return description


def _columns(description: _Description, path: Path) -> list[str] | None:
    """Return the names of the columns in a signature, None if it has none."""
    try:
        inputs: Any = json.loads(description.signature.inputs)
        return [str(column["name"]) for column in inputs] or None
    except KeyError:  # a tensor
        return None
    except (ValueError, TypeError, RecursionError) as error:
        raise VerificationError(
            "its signature is malformed", location=Location(str(path))
        ) from error


def _no_description(name: str) -> CallError:
    return CallError(
        f"has no file {_DESCRIPTION}",
        location=Location(name),
        remedy="name an MLflow model, or a file of pickle, joblib or skops",
    )


def _yaml() -> Any:
    try:
        import yaml
    except ImportError as error:
        raise MissingDependency(
            str(error), location=Location(_DESCRIPTION), remedy="pip install pyyaml"
        ) from error
    return yaml
