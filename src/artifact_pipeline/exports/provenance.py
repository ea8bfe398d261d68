"""Provenance: an in-toto statement with a SLSA v1 predicate, written and checked.

The statement is derived from the artifact, except for its run details, which only a signature
protects.

Sources: https://github.com/in-toto/attestation (spec/v1), https://slsa.dev/spec/v1.0/provenance
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, to_builtins

from artifact_pipeline import disk
from artifact_pipeline._version import __version__
from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.artifact.manifest import MANIFEST, Manifest
from artifact_pipeline.builder.canonical import JSON, Digest
from artifact_pipeline.builder.recipe import Recipe
from artifact_pipeline.errors import ArtifactNotFound, Location, VerificationError
from artifact_pipeline.store.journal import PastRun
from artifact_pipeline.store.references import PathLike
from artifact_pipeline.verification import dsse
from artifact_pipeline.verification.signatures import Signer
from artifact_pipeline.verification.verify import Verified

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:artifact-pipeline:recipe:1"
"""The meaning of the build definition, which docs/hand-over.md describes."""
BUILDER = "urn:artifact-pipeline:trainer"
"""The program on the caller's machine; it claims nothing about the machine."""
MAX_STATEMENT = 64 << 20
"""Maximum bytes of a file with a statement."""
_COMMIT = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")


class Resource(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """An in-toto resource descriptor: something that is identified."""

    name: str
    uri: str | None = None
    digest: dict[str, str] | None = None
    content: str | None = None
    """In base64."""
    media_type: str | None = None
    annotations: dict[str, Any] | None = None


class BuildDefinition(Struct, frozen=True, kw_only=True, rename="camel"):
    """The inputs of a build."""

    build_type: str
    external_parameters: dict[str, Any]
    internal_parameters: dict[str, Any]
    resolved_dependencies: list[Resource]


class Builder(Struct, frozen=True, kw_only=True):
    """The program that built, with the versions of its parts."""

    id: str
    version: dict[str, str]


class RunMetadata(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """The times of a run."""

    invocation_id: str
    started_on: str | None = None
    finished_on: str | None = None


class RunDetails(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One run of a build."""

    builder: Builder
    metadata: RunMetadata | None = None
    byproducts: list[Resource] | None = None


class Provenance(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The SLSA predicate."""

    build_definition: Any
    run_details: RunDetails


class Statement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True,
                rename={"type": "_type", "predicate_type": "predicateType"}):  # fmt: skip
    """An in-toto statement about files."""

    type: str
    subject: list[Resource]
    predicate_type: str
    predicate: Provenance


def statement(verified: Verified, record: PastRun | None) -> bytes:
    """Return the provenance of an artifact as an in-toto statement.

    Args:
        verified: The artifact.
        record: The record of the run that trained it, if there is one.
    """
    document = _statement(verified, _run_details(record))
    return canonical.encode(to_builtins(document))


def check_provenance(
    verified: Verified, path: PathLike, *, signers: Sequence[Signer] = ()
) -> RunDetails:
    """Check that a provenance describes an artifact, and return its run details.

    Args:
        verified: The artifact.
        path: A file with a statement, or with a DSSE envelope around one.
        signers: The signers who must have signed it.

    Raises:
        ArtifactNotFound: If the file does not exist.
        StoreError: If it cannot be read.
        VerificationError: If it is malformed, is about another artifact, contradicts the
            artifact's recipe, data or packages, or lacks a required signature.
    """
    return check_statement(verified, read_document(path, signers=signers), name=str(path))


def read_document(path: PathLike, *, signers: Sequence[Signer]) -> JSON:
    """Return the JSON in a file, or in the DSSE envelope in the file.

    Raises:
        ArtifactNotFound, StoreError, VerificationError: As `check_provenance`.
    """
    location = Location(str(path))
    data = disk.read_file(
        Path(path).resolve(), limit=MAX_STATEMENT, remedy="name a file that `export` wrote"
    )
    if data is None:
        raise ArtifactNotFound("no such file", location=location)
    try:
        return canonical.decode(dsse.payload_of(data, str(path), signers=signers))
    except canonical.NotCanonical as error:
        problem = f"is not a statement: {ascii(str(error))[1:-1][:160]}"
        raise VerificationError(problem, location=location) from error


def check_statement(verified: Verified, value: JSON, *, name: str) -> RunDetails:
    """Check that a statement is the provenance of an artifact; see `check_provenance`.

    Args:
        verified: The artifact.
        value: The statement.
        name: The name of its file in errors.
    """
    try:
        parsed = msgspec.convert(value, Statement)
    except msgspec.ValidationError as error:
        problem = f"is not a provenance: {ascii(str(error))[1:-1][:160]}"
        raise VerificationError(problem, location=Location(name)) from error
    expected = to_builtins(_statement(verified, parsed.predicate.run_details))
    compare(value, expected, kind="provenance", name=name)
    return parsed.predicate.run_details


def compare(value: JSON, expected: JSON, *, kind: str, name: str) -> None:
    """Compare a document with the one derived from the artifact.

    Args:
        value: The document.
        expected: The derived document.
        kind: The kind of document, for errors.
        name: The name of its file in errors.

    Raises:
        VerificationError: If they differ.
    """
    if value != expected or canonical.encode(value) != canonical.encode(expected):
        raise VerificationError(
            f"is not the {kind} of this artifact: {_difference(value, expected)} differs",
            location=Location(name),
        )


def subjects(verified: Verified) -> list[Resource]:
    """Return the files of an artifact, the manifest first."""
    digests = {MANIFEST: verified.digest}
    digests |= {file.path: file.sha256 for file in verified.manifest.files}
    return [Resource(name=name, digest=digest_set(digest)) for name, digest in digests.items()]


def digest_set(digest: Digest) -> dict[str, str]:
    """Return a digest as in-toto writes it."""
    return {"sha256": digest.removeprefix("sha256:")}


def _statement(verified: Verified, run_details: RunDetails) -> Statement:
    return Statement(
        type=STATEMENT_TYPE,
        subject=subjects(verified),
        predicate_type=PREDICATE_TYPE,
        predicate=Provenance(
            build_definition=_build_definition(verified.manifest), run_details=run_details
        ),
    )


def _build_definition(manifest: Manifest) -> BuildDefinition:
    recipe = to_builtins(manifest.recipe)
    internal = {name: recipe.pop(name) for name in ("code", "numerics", "platform")}
    del recipe["packages"]
    return BuildDefinition(
        build_type=BUILD_TYPE,
        external_parameters=recipe,
        internal_parameters={**internal, "recipe_digest": manifest.recipe_digest},
        resolved_dependencies=_dependencies(manifest.recipe),
    )


def _dependencies(recipe: Recipe) -> list[Resource]:
    resources = [
        Resource(
            name=f"data: {recipe.data.title}",
            digest=digest_set(recipe.data.digest),
            annotations={"rows": recipe.data.schema.rows},
        ),
        Resource(name="code: artifact_pipeline.builder", digest=digest_set(recipe.code)),
    ]
    if recipe.brought is not None:
        resources.append(
            Resource(name="fitted estimator: pickle", digest=digest_set(recipe.brought.pickle))
        )
    return resources + [
        Resource(name=name, uri=package_url(name, version))
        for name, version in recipe.packages.items()
    ]


def package_url(name: str, version: str) -> str:
    """Return the purl of a package of PyPI.

    Source: https://github.com/package-url/purl-spec
    """
    from urllib.parse import quote

    return f"pkg:pypi/{quote(name, safe='')}@{quote(version, safe='')}"


def _run_details(record: PastRun | None) -> RunDetails:
    builder = Builder(id=BUILDER, version={"artifact-pipeline": __version__})
    if record is None or record.cached:
        return RunDetails(builder=builder)
    host = {name: value for name, value in record.host.items() if name != "name"}
    if (release := host.pop("artifact_pipeline", None)) is not None:
        builder = Builder(id=BUILDER, version={"artifact-pipeline": release})
    # Without the name of the machine and the paths of its files.
    content = {
        "outcome": record.outcome,
        "seconds": record.seconds,
        "gates": record.gates,
        "host": host,
        "parity_measured": record.parity_measured,
    }
    byproducts = [
        Resource(
            name="run record",
            content=base64.b64encode(canonical.encode(content)).decode(),
            media_type="application/json",
        )
    ]
    if record.git is not None and _COMMIT.fullmatch(record.git.commit):
        byproducts.append(
            Resource(
                name="source",
                digest={"gitCommit": record.git.commit},
                annotations={"dirty": record.git.dirty},
            )
        )
    return RunDetails(builder=builder, metadata=_metadata(record), byproducts=byproducts)


def _metadata(record: PastRun) -> RunMetadata:
    try:
        started = datetime.fromisoformat(record.started).astimezone(UTC)
        finished = started + timedelta(seconds=record.seconds)
    except (ValueError, OverflowError):  # a record that this package did not write
        return RunMetadata(invocation_id=record.run)
    return RunMetadata(
        invocation_id=record.run, started_on=_rfc3339(started), finished_on=_rfc3339(finished)
    )


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _difference(value: Any, expected: Any, *, path: str = "") -> str:
    """Return the path of the first difference between two JSON values."""
    if isinstance(value, dict) and isinstance(expected, dict):
        for key in sorted(value.keys() | expected.keys()):
            inner = f"{path}.{key}" if path else key
            if key not in value or key not in expected:
                return ascii(inner)[1:-1][:120]
            if value[key] != expected[key]:
                return _difference(value[key], expected[key], path=inner)
    if isinstance(value, list) and isinstance(expected, list) and len(value) == len(expected):
        for index, (item, expected_item) in enumerate(zip(value, expected, strict=True)):
            if item != expected_item:
                return _difference(item, expected_item, path=f"{path}[{index}]")
    return ascii(path)[1:-1][:120] or "its encoding"
