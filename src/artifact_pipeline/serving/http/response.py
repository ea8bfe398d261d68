"""A response and its headers."""

from __future__ import annotations

from typing import NamedTuple

JSON = b"application/json"
_SERVER = (b"server", b"artifact-pipeline")
_NO_SNIFF = (b"x-content-type-options", b"nosniff")
_NO_STORE = (b"cache-control", b"no-store")


class Response(NamedTuple):
    """A complete response."""

    status: int
    content: bytes
    media_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()
    model: str = ""
    rows: int = 0


def headers_of(response: Response, method: str) -> list[tuple[bytes, bytes]]:
    """Return all headers of a response, except for those that the HTTP server adds."""
    headers = [
        (b"content-type", response.media_type),
        (b"content-length", b"%d" % len(response.content)),
        _NO_SNIFF,
        _SERVER,
        *response.headers,
    ]
    if method != "POST":  # caches never store responses to POST
        headers.append(_NO_STORE)
    return headers
