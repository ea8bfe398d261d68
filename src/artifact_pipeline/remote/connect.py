"""Connecting to a remote by its address."""

from __future__ import annotations

from pathlib import Path

from artifact_pipeline.remote.address import RemoteAddress
from artifact_pipeline.remote.objects import ObjectRemote
from artifact_pipeline.remote.protocol import Remote


def connect(address: RemoteAddress, *, create: bool = False) -> Remote:
    """Return the remote at an address. No request is sent before its first use.

    Args:
        address: The address.
        create: Whether a missing folder is created, for writing.

    Raises:
        ArtifactNotFound: If it is a folder that does not exist, unless `create`.
        MissingDependency: If a package that the remote needs is not installed.
    """
    if address.scheme == "file":
        from artifact_pipeline.remote.folder import FolderObjects

        folder = FolderObjects(Path(address.path), str(address))
        if create:
            folder.sweep()
        else:
            folder.check_exists()
        return ObjectRemote(folder)
    if address.scheme == "oci":
        from artifact_pipeline.remote.registry.repository import RegistryRemote

        return RegistryRemote(address, write=create)
    from artifact_pipeline.remote.bucket import BucketObjects

    return ObjectRemote(BucketObjects(address))
