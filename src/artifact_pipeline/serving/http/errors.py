"""HTTP errors: one exception with a status, and the kinds that the metrics count."""

from __future__ import annotations

import msgspec

GONE = 499
"""Counted if the client left before its response; no client ever sees it."""
KINDS = {
    400: "bad-request",
    401: "unauthorized",
    403: "forbidden",
    404: "not-found",
    405: "method",
    408: "slow-request",
    413: "too-large",
    415: "media-type",
    421: "host",
    431: "headers",
    GONE: "client-gone",
    500: "failed",
    503: "busy",
    504: "deadline",
}
"""The kind of each error status in the metrics."""


class HTTPError(Exception):
    """An error response: its status, a message for a person, and additional headers."""

    def __init__(self, status: int, message: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers


def busy(message: str) -> HTTPError:
    """Return the error after which a client can retry in a second."""
    return HTTPError(503, message, (b"retry-after", b"1"))


def document(message: str) -> bytes:
    """Return a message as an error object of the Open Inference Protocol."""
    return msgspec.json.encode({"error": message})
