"""A machine-learning bill of materials in CycloneDX 1.6.

It is derived from the artifact: it has no time, and its serial number comes from the digest.

Source: https://cyclonedx.org/docs/1.6/json/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.artifact import describe
from artifact_pipeline.builder.canonical import JSON
from artifact_pipeline.exports.provenance import (
    STATEMENT_TYPE,
    check_statement,
    compare,
    digest_set,
    package_url,
    read_document,
    subjects,
)
from artifact_pipeline.store.references import PathLike
from artifact_pipeline.verification.signatures import Signer
from artifact_pipeline.verification.verify import Verified

PREDICATE_TYPE = "https://cyclonedx.org/bom"
_DATA = "data"
_MODEL = "model"


def bom(verified: Verified) -> bytes:
    """Return the bill of materials of an artifact as JSON."""
    return canonical.encode(_bom(verified)) + b"\n"


def statement(verified: Verified) -> bytes:
    """Return an in-toto statement with the bill of materials, to be signed."""
    return canonical.encode(_statement(verified))


def check_bom(verified: Verified, path: PathLike, *, signers: Sequence[Signer] = ()) -> None:
    """Check that a bill of materials describes an artifact, from which all of it is derived.

    Args:
        verified: The artifact.
        path: A file with the bill, or with a DSSE envelope around a statement with it.
        signers: The signers who must have signed it.

    Raises:
        ArtifactNotFound: If the file does not exist.
        StoreError: If it cannot be read.
        VerificationError: If it differs from the artifact's, or lacks a required signature.
    """
    _check(verified, read_document(path, signers=signers), name=str(path))


def check_document(
    verified: Verified, path: PathLike, *, signers: Sequence[Signer]
) -> Literal["provenance", "bill of materials"]:
    """Check a provenance or a bill of materials, whichever the file is, and return its kind.

    Args and Raises: As `check_bom`.
    """
    value = read_document(path, signers=signers)
    if isinstance(value, dict) and (
        value.get("bomFormat") == "CycloneDX" or value.get("predicateType") == PREDICATE_TYPE
    ):
        _check(verified, value, name=str(path))
        return "bill of materials"
    check_statement(verified, value, name=str(path))
    return "provenance"


def _check(verified: Verified, value: JSON, *, name: str) -> None:
    is_bare = isinstance(value, dict) and "bomFormat" in value
    expected: JSON = _bom(verified) if is_bare else _statement(verified)
    compare(value, expected, kind="bill of materials", name=name)


def _statement(verified: Verified) -> dict[str, JSON]:
    from msgspec import to_builtins

    return {
        "_type": STATEMENT_TYPE,
        "subject": to_builtins(subjects(verified)),
        "predicateType": PREDICATE_TYPE,
        "predicate": _bom(verified),
    }


def _bom(verified: Verified) -> dict[str, JSON]:
    import uuid

    recipe = verified.manifest.recipe
    packages = {name: package_url(name, version) for name, version in recipe.packages.items()}
    libraries: list[JSON] = [
        {
            "type": "library",
            "bom-ref": packages[name],
            "name": name,
            "version": version,
            "purl": packages[name],
        }
        for name, version in recipe.packages.items()
    ]
    rows: dict[str, JSON] = {
        "type": "data",
        "bom-ref": _DATA,
        "name": recipe.data.title,
        "hashes": _hashes(recipe.data.digest),
        "data": [{"type": "dataset", "name": recipe.data.title}],
    }
    requires: list[JSON] = [_DATA, *packages.values()]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, verified.digest)}",
        "metadata": {"component": _model(verified)},
        "components": [rows, *libraries],
        "dependencies": [{"ref": _MODEL, "dependsOn": requires}],
    }


def _model(verified: Verified) -> dict[str, JSON]:
    manifest = verified.manifest
    recipe, interface = manifest.recipe, manifest.interface
    component: dict[str, JSON] = {
        "type": "machine-learning-model",
        "bom-ref": _MODEL,
        "name": describe.model_name_of(recipe),
        "version": verified.digest[7:19],
        "hashes": _hashes(verified.digest),
        "modelCard": {
            "modelParameters": {
                "approach": {"type": "supervised"},
                "task": "classification" if interface.labels else "regression",
                "architectureFamily": "scikit-learn",
                "modelArchitecture": describe.title(recipe),
                "datasets": [{"ref": _DATA}],
                "inputs": [{"format": f"{port.name}: {port.dtype}"} for port in interface.inputs],
                "outputs": [{"format": f"{port.name}: {port.dtype}"} for port in interface.outputs],
            },
            "quantitativeAnalysis": {"performanceMetrics": _metrics(verified)},
        },
        "components": [
            {"type": "file", "name": file.path, "mime-type": file.media_type,
             "hashes": _hashes(file.sha256)}
            for file in manifest.files
        ],
        "properties": [
            {"name": "artifact-pipeline:digest", "value": verified.digest},
            {"name": "artifact-pipeline:recipe", "value": manifest.recipe_digest},
            {"name": "artifact-pipeline:form", "value": manifest.parity.form},
        ],
    }  # fmt: skip
    if recipe.description is not None:
        component["description"] = recipe.description
    return component


def _metrics(verified: Verified) -> list[JSON]:
    metrics = verified.manifest.metrics
    measured = {"held-out rows": metrics.test, "training rows": metrics.train or {}}
    measured |= {f"slice {name}": own.metrics for name, own in (metrics.slices or {}).items()}
    return [
        {"type": name, "value": repr(value), "slice": rows}
        for rows, own in measured.items()
        for name, value in own.items()
    ]


def _hashes(digest: str) -> list[JSON]:
    return [{"alg": "SHA-256", "content": digest_set(digest)["sha256"]}]
