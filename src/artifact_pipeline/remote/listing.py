"""The artifacts of a remote with their versions and aliases."""

from __future__ import annotations

from msgspec import Struct

from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.remote.address import parse_remote
from artifact_pipeline.remote.connect import connect


class RemoteArtifact(Struct, frozen=True, kw_only=True):
    """An artifact of a remote that has a version or an alias."""

    digest: Digest
    name: str
    version: int | None
    aliases: list[str]


def list_remote(remote: str) -> list[RemoteArtifact]:
    """Return the artifacts of a remote, by version. Nothing is downloaded or verified.

    Args:
        remote: The address of the remote.

    Raises:
        ArtifactNotFound: If it is a folder that does not exist.
        CallError: If it is not the address of a remote.
        NetworkError: If the remote cannot be reached or refuses.
        VerificationError: If an alias or a version is malformed.
        MissingDependency: If a package that the remote needs is not installed.
    """
    labels: dict[tuple[str, Digest], list[str]] = {}
    for label, pointer in connect(parse_remote(remote)).pointers().items():
        labels.setdefault((pointer.name, pointer.digest), []).append(label)
    artifacts = [
        RemoteArtifact(
            digest=digest,
            name=name,
            version=min((int(label) for label in own if label.isdecimal()), default=None),
            aliases=sorted(label for label in own if not label.isdecimal()),
        )
        for (name, digest), own in labels.items()
    ]
    return sorted(artifacts, key=lambda artifact: (artifact.name, artifact.version or 0))
