"""Why a request gets no prediction: one class for all, a status and a kind for each."""

from __future__ import annotations

import msgspec

GONE = 499
"""What no client sees: it did not wait for its answer."""
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
"""What errors are counted as."""


class Refused(Exception):
    """A request that gets an error: an HTTP status, and a sentence for a person."""

    def __init__(self, status: int, message: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers


def document(message: str) -> bytes:
    """Return the protocol's error form of a message."""
    return msgspec.json.encode({"error": message})
