"""The headers of a request; those that the application reads occur at most once.

Framing is the HTTP server's task. This module only refuses what the server lets through and the
application does not accept: a transfer coding other than chunked, a repeated header, and headers
that are too large but fit the server's buffer.
"""

from __future__ import annotations

from collections import Counter

from artifact_pipeline.serving.http.errors import HTTPError
from artifact_pipeline.serving.http.response import CSV, JSON, Header

Headers = dict[bytes, bytes]

MAX_HEAD = 16 << 10
"""Bytes of a request's target, header names and header values."""

_READ = (
    b"host",
    b"origin",
    b"authorization",
    b"content-type",
    b"content-length",
    b"content-encoding",
    b"transfer-encoding",
    b"expect",
    b"inference-header-content-length",
)
"""The headers that the application reads."""

_CLOSE = (b"connection", b"close")


def select(raw: list[Header], *, target: int) -> Headers:
    """Return the headers by name; none that the application reads is repeated.

    Args:
        raw: All headers of the request, with lower-case names, and without the optional white space
            around values (RFC 9110, section 5.5).
        target: Length of the request's target in bytes.

    Raises:
        HTTPError: 400 for a repeated header or a transfer coding other than chunked, 431 if the
            headers are too large together.
    """
    headers = dict(raw)
    if len(headers) < len(raw):
        _check_repeated(raw)
    size = target
    for name, value in raw:
        size += len(name) + len(value)
    if size > MAX_HEAD:
        raise HTTPError(431, f"the headers have more than {MAX_HEAD} bytes", _CLOSE)
    coding = headers.get(b"transfer-encoding")
    if coding is not None and coding.lower() != b"chunked":
        raise HTTPError(400, "the only supported transfer-encoding is chunked", _CLOSE)
    return headers


def _check_repeated(raw: list[Header]) -> None:
    counts = Counter(name for name, _ in raw)
    for name in _READ:
        if counts[name] > 1:
            raise HTTPError(400, f"the header {name.decode()} is repeated")


def json_length(headers: Headers) -> bytes | None:
    """Return the length of the JSON if binary tensors follow it in the body, else None.

    Raises:
        HTTPError: 415 if there is no such length and the body is not declared as JSON.
    """
    length = headers.get(b"inference-header-content-length")
    if length is None:
        check_json(headers)
    return length


def check_json(headers: Headers) -> None:
    """Check that the media type of the body is JSON or not given.

    Raises:
        HTTPError: 415 otherwise.
    """
    # A page of another site can send other types without a preflight request. tritonclient sends
    # no type.
    if headers.get(b"content-type", JSON) != JSON and _media_type(headers) != JSON:
        raise HTTPError(415, "expected the content-type application/json")


def is_csv(headers: Headers) -> bool:
    """Return whether the media type of the body is CSV, and not JSON or not given.

    Raises:
        HTTPError: 415 if it is neither.
    """
    if headers.get(b"content-type", JSON) == JSON:
        return False
    # As in `check_json`, no type that a page of another site can send without a preflight request.
    media_type = _media_type(headers)
    if media_type not in (JSON, CSV):
        raise HTTPError(415, "expected the content-type application/json or text/csv")
    return media_type == CSV


def _media_type(headers: Headers) -> bytes:
    return headers[b"content-type"].partition(b";")[0].strip(b" \t").lower()
