"""The request headers that the application reads, each at most once and stripped.

Framing is the HTTP server's. Only what it lets through and this application does not want is
refused here: a transfer coding other than chunked, repeated headers, and headers whose size is
beyond the limit by less than what the server buffers.
"""

from __future__ import annotations

from artifact_pipeline.serving.http.errors import HTTPError
from artifact_pipeline.serving.http.response import JSON

Headers = dict[bytes, bytes]

MAX_HEAD = 16 << 10
"""Bytes of a request's target, header names and values."""

_READ = frozenset(
    (
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
)

_CLOSE = (b"connection", b"close")


def select(raw: list[tuple[bytes, bytes]], *, target: int) -> Headers:
    """Return the headers that the application reads, from all headers with lower-case names.

    `target` is the length of the request's target in bytes.

    Optional white space around a value is removed (RFC 9110, section 5.5).

    Raises:
        HTTPError: 400 if one is repeated, or if the transfer coding is not chunked; 431 if they
            are too large together.
    """
    found: Headers = {}
    size = target
    for name, value in raw:
        size += len(name) + len(value)
        if name in _READ:
            if name in found:
                raise HTTPError(400, f"the header {name.decode()} is repeated")
            found[name] = value.strip(b" \t")
    if size > MAX_HEAD:
        raise HTTPError(431, f"the headers have more than {MAX_HEAD} bytes", _CLOSE)
    coding = found.get(b"transfer-encoding")
    if coding is not None and coding.lower() != b"chunked":
        raise HTTPError(400, "the only transfer-encoding that is supported is chunked", _CLOSE)
    return found


def json_length(headers: Headers) -> bytes | None:
    """Return the length of the JSON in a body where binary tensors follow it, else None.

    Raises:
        HTTPError: as `check_json`, where no length is given.
    """
    length = headers.get(b"inference-header-content-length")
    if length is None:
        check_json(headers)
    return length


def check_json(headers: Headers) -> None:
    """Check that the body is declared as JSON, or not declared.

    Raises:
        HTTPError: 415 otherwise.
    """
    # A page of another site can send other types without a preflight request; tritonclient
    # declares no type.
    kind = headers.get(b"content-type", JSON)
    if kind != JSON and kind.partition(b";")[0].strip(b" \t").lower() != JSON:
        raise HTTPError(415, "expected the content-type application/json")
