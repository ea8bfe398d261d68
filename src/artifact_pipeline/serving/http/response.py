"""A response and its headers."""

from __future__ import annotations

from msgspec import Struct

JSON = b"application/json"
CSV = b"text/csv"
Header = tuple[bytes, bytes]

_SERVER = (b"server", b"artifact-pipeline")
_NO_SNIFF = (b"x-content-type-options", b"nosniff")
_NO_STORE = (b"cache-control", b"no-store")


class Response(Struct, frozen=True, kw_only=True):
    """A complete response, and what the metrics and the access log record about it."""

    status: int
    content: bytes
    media_type: bytes = JSON
    headers: tuple[Header, ...] = ()
    model: str = ""
    """The model that the request addressed, empty if none."""
    rows: int = 0
    """Rows that were predicted."""


def headers_of(response: Response, method: str) -> list[Header]:
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
