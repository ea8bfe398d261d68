"""Export of an artifact in the format of another tool."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias, get_args

from msgspec import Struct

from artifact_pipeline.builder.artifact.describe import model_name_of
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.disk import write_atomically
from artifact_pipeline.errors import CallError, Location, quoted
from artifact_pipeline.exports import files
from artifact_pipeline.store.access import open_trusted
from artifact_pipeline.store.queries import record_of
from artifact_pipeline.store.references import ArtifactLike, PathLike
from artifact_pipeline.store.store import Store

ExportFormat: TypeAlias = Literal["folder", "slsa", "cyclonedx"]
OUTPUTS: dict[ExportFormat, str] = {
    "folder": "model.zip",
    "slsa": "provenance.json",
    "cyclonedx": "bom.json",
}
"""What each format writes by default."""


SIGNED = ("slsa", "cyclonedx")
"""The formats that a key can sign."""


class Exported(Struct, frozen=True, kw_only=True):
    """An export that was written."""

    digest: Digest
    to: ExportFormat
    path: str


def export(
    artifact: ArtifactLike,
    to: ExportFormat,
    *,
    output: PathLike | None = None,
    key: PathLike | None = None,
    store: PathLike | None = None,
) -> Exported:
    """Write an artifact in the format of another tool.

    Args:
        artifact: As for `check_integrity`.
        to: `folder`: a zip file with the ONNX model, its interface, and a script that predicts
            with onnxruntime and numpy only. `slsa`: its provenance, an in-toto statement with a
            SLSA v1 predicate. `cyclonedx`: its bill of materials in CycloneDX 1.6.
        output: The file or folder to write; by default as `OUTPUTS` says.
        key: An unencrypted private key in PEM, on the curve P-256, P-384 or P-521, to sign a
            provenance or a bill of materials with: then a DSSE envelope is written.
        store: The store that aliases and digests are looked up in.

    Raises:
        ArtifactNotFound, VerificationError: As `open_trusted`.
        CallError: If the format is unknown or cannot hold this artifact, or the output is the
            artifact, inside the store, or a folder with files, or the key cannot be used.
        MissingDependency: If the package that signs is not installed.
        StoreError: If the output cannot be written.
    """
    if to not in get_args(ExportFormat):
        known = ", ".join(get_args(ExportFormat))
        raise CallError(
            f"found {quoted(str(to))}, expected one of {known}", location=Location("to")
        )
    if key is not None and to not in SIGNED:
        raise CallError(
            f"{to} cannot be signed", location=Location("key"), remedy="sign the artifact"
        )
    verified = open_trusted(artifact, store=store)
    path = Path(output) if output is not None else Path(OUTPUTS[to])
    inputs = [verified.folder] if key is None else [verified.folder, key]
    files.check_output(path, Store(store).root, inputs=inputs)
    if to == "folder":
        from artifact_pipeline.exports import onnx_bundle

        name = files.short_name(model_name_of(verified.manifest.recipe), verified.digest)
        data = files.zipped(onnx_bundle.files(verified), name)
    elif to == "slsa":
        from artifact_pipeline.exports import provenance

        data = provenance.statement(verified, record_of(verified.digest, store=store))
        data = _signed(data, key)
    else:
        from artifact_pipeline.exports import cyclonedx

        data = (
            cyclonedx.bom(verified) if key is None else _signed(cyclonedx.statement(verified), key)
        )
    write_atomically(path, data)
    return Exported(digest=verified.digest, to=to, path=str(path))


def _signed(statement: bytes, key: PathLike | None) -> bytes:
    """Return a statement in an envelope that a key has signed, or as it is without a key."""
    if key is None:
        return statement + b"\n"
    from artifact_pipeline.verification import dsse

    return dsse.sign(statement, key)
