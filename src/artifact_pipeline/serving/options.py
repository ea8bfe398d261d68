"""What a server is asked to be."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from artifact_pipeline.store.access import Reference
    from artifact_pipeline.verification.signatures import Signer


class ModelSpec(NamedTuple):
    """A model to serve: its name in URLs, and which artifact it is."""

    name: str
    artifact: str
    digest: str | None = None
    signed_by: Signer | None = None
    store: Reference | None = None


class ServerOptions(NamedTuple):
    """All that a server is told; every worker gets the same."""

    models: tuple[ModelSpec, ...]
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    token: str | None = None
    """What a client must send as `Authorization: Bearer …`."""
    names: tuple[str, ...] = ()
    """Host names that clients may use, beside localhost, addresses and `host`."""
    certificate: str | None = None
    key: str | None = None
    access_log: bool = False
    show_examples: bool = False
    """Whether held-out rows are shown to others than this machine."""
    max_body: int = 16 << 20
    """Bytes of a request, after decompression."""
    max_rows: int = 10_000
    deadline: float = 30.0
    """Seconds for a request to arrive, and as many to parse and predict it."""
    queue: int = 128
    """Complete requests that may wait for a worker's threads, or be in them."""
    shared: str = ""
    """The folder that the workers share while the server runs."""


def is_local(host: str) -> bool:
    """Return whether only this machine reaches a server that is bound to `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
