"""Export of an artifact in the format of another tool."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from msgspec import Struct

from artifact_pipeline.builder.artifact.describe import model_name_of
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.disk import write_atomically
from artifact_pipeline.errors import CallError, Location, quoted
from artifact_pipeline.exports import files
from artifact_pipeline.exports.formats import OUTPUTS, TRACKING_URI_ENV_VAR, ExportFormat
from artifact_pipeline.store.access import open_trusted
from artifact_pipeline.store.queries import record_of
from artifact_pipeline.store.references import ArtifactLike, PathLike
from artifact_pipeline.store.store import Store
from artifact_pipeline.verification.verify import Verified

_TAKEN_BY: dict[str, tuple[ExportFormat, ...]] = {
    "key": ("slsa", "cyclonedx"),
    "license": ("huggingface",),
    "repo": ("huggingface",),
    "private": ("huggingface",),
    "tracking-uri": ("mlflow",),
    "registered-model": ("mlflow",),
}
"""The formats that accept each option."""


_REGISTERED_NAME = re.compile(r"(?!\s*\.{0,2}\s*$)[^/:\x00-\x1f\x7f]{1,255}")
"""The names that MLflow accepts, checked before a run starts. Line ends are excluded."""


class Exported(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An export that was written."""

    digest: Digest
    to: ExportFormat
    path: str
    """The file or folder, the URI of the model on an MLflow server, or the address of the commit
    on Hugging Face's Hub."""
    changed: bool = True
    """False if the repository on the Hub had the files already."""


def export(
    artifact: ArtifactLike,
    to: ExportFormat,
    *,
    output: PathLike | None = None,
    key: PathLike | None = None,
    license_id: str | None = None,
    tracking_uri: str | None = None,
    registered_model: str | None = None,
    repo: str | None = None,
    private: bool = False,
    store: PathLike | None = None,
) -> Exported:
    """Write an artifact in the format of another tool.

    Args:
        artifact: As for `check_integrity`.
        to: `folder`: a zip file with the ONNX model, its interface, and a script that predicts
            with onnxruntime and numpy only. `slsa`: its provenance, an in-toto statement with a
            SLSA v1 predicate. `cyclonedx`: its bill of materials in CycloneDX 1.6.
            `huggingface`: a folder for the Hub, with a model card. `mlflow`: an MLflow model, as
            a folder or on a tracking server.
        output: The file or folder to write; by default that of the format in `OUTPUTS`.
        key: An unencrypted private key in PEM, on the curve P-256, P-384 or P-521, to sign a
            provenance or a bill of materials with: then a DSSE envelope is written.
        license_id: The Hub's identifier of the licence, such as `mit`; by default `unknown`.
        tracking_uri: The MLflow server to log the model to; by default that of the variable
            `MLFLOW_TRACKING_URI`. Without one, or with `output`, a folder is written.
        registered_model: The name in the server's registry under which to add a version.
        repo: The repository on the Hub, `OWNER/NAME`, to upload the files to instead of writing a
            folder; it is created if it does not exist.
        private: Whether that repository must be private.
        store: The store that aliases and digests are looked up in.

    Raises:
        ArtifactNotFound, VerificationError: As `open_trusted`.
        CallError: If the format is unknown, cannot represent this artifact or does not accept
            an argument, if the key or the licence cannot be used, or if the output is the artifact,
            inside the store, or a folder with files.
        StoreError: If the output cannot be written.
        MissingDependency: If the package that signs, or the client of the server or the Hub, is
            not installed.
        NetworkError: If the server or the Hub cannot be reached or refuses.
    """
    if to not in get_args(ExportFormat):
        known = ", ".join(get_args(ExportFormat))
        problem = f"found {quoted(str(to))}, expected one of {known}"
        raise CallError(problem, location=Location("to"))
    _check_taken(
        to,
        {
            "key": key,
            "license": license_id,
            "tracking-uri": tracking_uri,
            "registered-model": registered_model,
            "repo": repo,
            "private": private or None,
        },
    )
    _check_repository(repo, private=private, output=output)
    server = _server(to, tracking_uri, output=output, registered_model=registered_model)
    verified = open_trusted(artifact, store=store)
    if server is not None:
        from artifact_pipeline.exports import mlflow_model

        uri = mlflow_model.send(verified, server, registered_model=registered_model)
        return Exported(digest=verified.digest, to=to, path=uri)
    if repo is not None:
        from artifact_pipeline.exports import hub, huggingface

        uploaded = hub.upload(
            verified, huggingface.files(verified, license_id), repository=repo, private=private
        )
        return Exported(digest=verified.digest, to=to, path=uploaded.url, changed=uploaded.changed)
    path = Path(output) if output is not None else Path(OUTPUTS[to])
    inputs = [verified.folder] if key is None else [verified.folder, key]
    files.check_output(path, Store(store).root, inputs=inputs)
    content = _content(verified, to, key=key, license_id=license_id, store=store)
    if isinstance(content, bytes):
        write_atomically(path, content)
    else:
        files.write_folder(path, content)
    return Exported(digest=verified.digest, to=to, path=str(path))


def _check_taken(to: ExportFormat, arguments: Mapping[str, object]) -> None:
    """Check that a format takes the arguments that are given."""
    for name, value in arguments.items():
        if value is not None and to not in _TAKEN_BY[name]:
            raise CallError(
                f"is for {' and '.join(_TAKEN_BY[name])}, not for {to}",
                location=Location(f"--{name}"),
            )


def _check_repository(repo: str | None, *, private: bool, output: PathLike | None) -> None:
    """Check the options of an upload to the Hub."""
    if repo is None:
        if private:
            raise CallError("needs a repository", location=Location("--private"),
                            remedy="name one with --repo OWNER/NAME")  # fmt: skip
        return
    if output is not None:
        problem = "expected either a repository or a folder, found --output too"
        raise CallError(problem, location=Location("--repo"))
    from artifact_pipeline.exports import hub

    hub.check_repository(repo)


def _server(
    to: ExportFormat,
    tracking_uri: str | None,
    *,
    output: PathLike | None,
    registered_model: str | None,
) -> str | None:
    """Return the MLflow server to log to, None to write a file or folder."""
    if to != "mlflow":
        return None
    if output is not None and tracking_uri is not None:
        problem = "expected either a server or a folder, found --output too"
        raise CallError(problem, location=Location("--tracking-uri"))
    server = tracking_uri or os.environ.get(TRACKING_URI_ENV_VAR) or None
    if output is not None:
        server = None
    if registered_model is not None and not _REGISTERED_NAME.fullmatch(registered_model):
        raise CallError(
            f"found {quoted(registered_model)}, expected a name without / and :",
            location=Location("--registered-model"),
        )
    if registered_model is not None and server is None:
        raise CallError(
            "needs a server",
            location=Location("--registered-model"),
            remedy=f"name one with --tracking-uri or ${TRACKING_URI_ENV_VAR}, without --output",
        )
    return server


def _content(
    verified: Verified,
    to: ExportFormat,
    *,
    key: PathLike | None,
    license_id: str | None,
    store: PathLike | None,
) -> bytes | dict[str, bytes]:
    """Return the file to write, or the files of a folder."""
    if to == "folder":
        from artifact_pipeline.exports import onnx_bundle

        name = files.short_name(model_name_of(verified.manifest.recipe), verified.digest)
        return files.zipped(onnx_bundle.files(verified), name)
    if to == "slsa":
        from artifact_pipeline.exports import provenance

        record = record_of(verified.digest, store=store)
        return _signed(provenance.statement(verified, record), key)
    if to == "cyclonedx":
        from artifact_pipeline.exports import cyclonedx

        return (
            cyclonedx.bom(verified) if key is None else _signed(cyclonedx.statement(verified), key)
        )
    if to == "huggingface":
        from artifact_pipeline.exports import huggingface

        return huggingface.files(verified, license_id)
    from artifact_pipeline.exports import mlflow_model

    return mlflow_model.files(verified)


def _signed(statement: bytes, key: PathLike | None) -> bytes:
    """Return a statement in an envelope that a key has signed, or as it is without a key."""
    if key is None:
        return statement + b"\n"
    from artifact_pipeline.verification import dsse

    return dsse.sign(statement, key)
