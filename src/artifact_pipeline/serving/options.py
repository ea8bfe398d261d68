"""The options of a server."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from artifact_pipeline.store.references import PathLike
    from artifact_pipeline.verification.signatures import Signer


class ModelSpec(Struct, frozen=True, kw_only=True):
    """A model to serve.

    Attributes:
        name: Its name in URLs.
        artifact: A folder, a digest or an alias, of the store or of a remote.
        digest: The digest that the artifact must have.
        signed_by: The signer that must have signed it.
        store: The store that digests and aliases refer to, and that a remote's are pulled into.
    """

    name: str
    artifact: str
    digest: str | None = None
    signed_by: Signer | None = None
    store: PathLike | None = None


class ServerOptions(Struct, frozen=True, kw_only=True):
    """The options of a server, the same for all of its workers.

    Attributes:
        models: The models to serve, with distinct names.
        host: The name or address to listen on.
        port: The port to listen on; 0 chooses a free one.
        workers: The number of worker processes.
        token: The token that clients must send as `Authorization: Bearer …`.
        names: Host names that clients may use besides localhost, addresses and `host`.
        certificate: A PEM file with the certificate chain for TLS.
        key: A PEM file with the key of the certificate.
        access_log: Whether to print a line of JSON for each request.
        show_examples: Whether other machines may see held-out rows.
        max_body: Maximum bytes of a request, after decompression.
        max_rows: Maximum rows of a request.
        deadline: Seconds for a request to arrive, and as many to be parsed and predicted.
        queue: Maximum complete requests that wait for a worker's threads or run in them.
        shared: The folder that the workers share while the server runs.
    """

    models: tuple[ModelSpec, ...]
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    token: str | None = None
    names: tuple[str, ...] = ()
    certificate: str | None = None
    key: str | None = None
    access_log: bool = False
    show_examples: bool = False
    max_body: int = 16 << 20
    max_rows: int = 10_000
    deadline: float = 30.0
    queue: int = 128
    shared: str = ""


def is_local(host: str) -> bool:
    """Return whether a server that listens on `host` can only be reached from this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
