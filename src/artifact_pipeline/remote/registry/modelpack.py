"""An artifact as a ModelPack of the CNCF: an OCI manifest whose layers are the files.

It is derived from the artifact's manifest, so an artifact has the same OCI manifest on every
registry.

Source: https://github.com/modelpack/model-spec, https://github.com/opencontainers/image-spec
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.artifact import describe
from artifact_pipeline.builder.artifact import manifest as manifests
from artifact_pipeline.builder.artifact.manifest import (
    CARD,
    EVALUATION,
    MANIFEST,
    File,
    Manifest,
    Sha256,
)
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.builder.config import model_name
from artifact_pipeline.errors import Location, VerificationError

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
MODEL_TYPE = "application/vnd.cncf.model.manifest.v1+json"
MAX_MANIFEST_SIZE = 4 << 20
"""Maximum bytes of an OCI manifest in registries."""

_CONFIG_TYPE = "application/vnd.cncf.model.config.v1+json"
_WEIGHT_TYPE = "application/vnd.cncf.model.weight.v1.raw"
_DOCUMENT_TYPE = "application/vnd.cncf.model.doc.v1.raw"
_WEIGHT_CONFIG_TYPE = "application/vnd.cncf.model.weight.config.v1.raw"
_EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
EMPTY = b"{}"
"""The empty configuration of a manifest."""
_DIGEST = "io.artifact-pipeline.digest"
_NAME = "io.artifact-pipeline.name"
_CONTENT = "io.artifact-pipeline.content"


class Descriptor(Struct, frozen=True, kw_only=True, rename={"media_type": "mediaType",
                 "artifact_type": "artifactType"}, omit_defaults=True):  # fmt: skip
    """A reference in a manifest to content."""

    media_type: str
    digest: Sha256
    size: int
    artifact_type: str | None = None
    annotations: dict[str, str] = {}


class _ModelManifest(Struct, frozen=True, kw_only=True, rename="camel"):
    media_type: str
    artifact_type: str
    layers: list[Descriptor]
    annotations: dict[str, str]


class _Index(Struct, frozen=True, kw_only=True, rename="camel"):
    media_type: str = INDEX_TYPE
    manifests: list[Descriptor] = []


class ModelPack(NamedTuple):
    """The OCI manifest of an artifact, and its configuration."""

    data: bytes
    digest: Digest
    config: bytes


class Named(NamedTuple):
    """The artifact in an OCI manifest."""

    digest: Digest
    name: str


def pack(sealed: bytes) -> ModelPack:
    """Return the OCI manifest of the artifact with this manifest.

    Raises:
        VerificationError: If it is not the manifest of an artifact.
    """
    manifest = manifests.decode(sealed, MANIFEST)
    digest = canonical.digest(sealed)
    own = File(path=MANIFEST, sha256=digest, bytes=len(sealed), media_type="application/json")
    layers = [_layer(file) for file in (own, *manifest.files)]
    name = describe.model_name_of(manifest.recipe)
    config = canonical.encode(
        {
            "descriptor": {"name": name, "title": describe.title(manifest.recipe)},
            "config": _format(manifest.parity.form),
            "modelfs": {"type": "layers", "diffIds": [layer["digest"] for layer in layers]},
        }
    )
    data = canonical.encode(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": MODEL_TYPE,
            "config": descriptor(config, _CONFIG_TYPE),
            "layers": layers,
            "annotations": _annotations(manifest, digest, name=name),
        }
    )
    return ModelPack(data, canonical.digest(data), config)


def unpack(data: bytes, *, location: Location) -> Named:
    """Return the artifact in an OCI manifest. Lists of manifests are not followed.

    Raises:
        VerificationError: If it has no artifact of this package.
    """
    remedy = "expected an artifact that artifact-pipeline pushed"
    try:
        manifest = msgspec.json.decode(data, type=_ModelManifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise VerificationError("contains no model", location=location, remedy=remedy) from error
    name, digest = manifest.annotations.get(_NAME, ""), manifest.annotations.get(_DIGEST)
    first = manifest.layers[0].digest if manifest.layers else None
    types = (manifest.media_type, manifest.artifact_type)
    if types != (MANIFEST_TYPE, MODEL_TYPE) or digest is None or not model_name.is_valid(name):
        raise VerificationError("contains no model", location=location, remedy=remedy)
    if digest != first:
        problem = f"claims to contain {digest[:80]}, but contains {first}"
        raise VerificationError(problem, location=location)
    return Named(digest, name)


def referrer(data: bytes, kind: str, *, subject: ModelPack) -> bytes:
    """Return the OCI manifest of a document that is attached to an artifact."""
    return canonical.encode(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": type_of(kind),
            "config": descriptor(EMPTY, _EMPTY_TYPE),
            "layers": [descriptor(data, type_of(kind))],
            "subject": descriptor(subject.data, MANIFEST_TYPE),
            "annotations": {_CONTENT: canonical.digest(data)},
        }
    )


def type_of(kind: str) -> str:
    """Return the media type of an attachment."""
    return f"application/vnd.artifact-pipeline.{kind}.v1"


def descriptor_of_referrer(data: bytes) -> Descriptor:
    """Return the descriptor of a referrer for the index of a subject."""
    value = msgspec.json.decode(data)
    return Descriptor(
        media_type=MANIFEST_TYPE,
        digest=canonical.digest(data),
        size=len(data),
        artifact_type=value["artifactType"],
        annotations=value["annotations"],
    )


def content_of(referrer: Descriptor) -> Digest | None:
    """Return the digest of the document that a referrer attaches, if it is listed."""
    return referrer.annotations.get(_CONTENT)


def read_index(data: bytes, *, location: Location) -> list[Descriptor]:
    """Return the referrers in an index.

    Raises:
        VerificationError: If it is not an index.
    """
    try:
        index = msgspec.json.decode(data, type=_Index)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise VerificationError(f"is not an index: {error}", location=location) from error
    if index.media_type != INDEX_TYPE:
        raise VerificationError("is not an index", location=location)
    return index.manifests


def write_index(referrers: list[Descriptor]) -> bytes:
    """Return an index of referrers."""
    return canonical.encode(
        {
            "schemaVersion": 2,
            "mediaType": INDEX_TYPE,
            "manifests": [msgspec.to_builtins(referrer) for referrer in referrers],
        }
    )


def descriptor(data: bytes, media_type: str) -> dict[str, Any]:
    """Return the descriptor of content as JSON."""
    return {"mediaType": media_type, "digest": canonical.digest(data), "size": len(data)}


def _format(form: str) -> dict[str, str]:
    """Return the format and the precision of a form such as `onnx-float64`."""
    return dict(zip(("format", "precision"), form.split("-"), strict=False))


def _layer(file: File) -> dict[str, Any]:
    types = {MANIFEST: _WEIGHT_CONFIG_TYPE, CARD: _DOCUMENT_TYPE, EVALUATION: _DOCUMENT_TYPE}
    return {
        "mediaType": types.get(file.path, _WEIGHT_TYPE),
        "digest": file.sha256,
        "size": file.bytes,
        "annotations": {
            "org.cncf.model.filepath": file.path,
            "org.opencontainers.image.title": file.path,
        },
    }


def _annotations(manifest: Manifest, digest: Digest, *, name: str) -> dict[str, str]:
    return {
        _DIGEST: digest,
        _NAME: name,
        "org.opencontainers.image.title": name,
        "org.opencontainers.image.description": describe.title(manifest.recipe),
    }
