"""What a client gets, and the line of the access log about it."""

from __future__ import annotations

import json
import sys
import time
from typing import NamedTuple

Client = tuple[str, int]
"""Address and port."""
JSON = b"application/json"
_NO_SNIFF = (b"x-content-type-options", b"nosniff")
_NO_STORE = (b"cache-control", b"no-store")


class Answer(NamedTuple):
    """What a client gets."""

    status: int
    content: bytes
    media_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()
    model: str = ""
    rows: int = 0


def headers_of(answer: Answer, method: str) -> list[tuple[bytes, bytes]]:
    """Return the headers that an answer has."""
    headers = [
        (b"content-type", answer.media_type),
        (b"content-length", b"%d" % len(answer.content)),
        _NO_SNIFF,
        *answer.headers,
    ]
    if method != "POST":  # whose answers nobody keeps
        headers.append(_NO_STORE)
    return headers


def log(client: Client | None, method: str, path: str, found: Answer, seconds: float) -> None:
    """Print a line of JSON about a request; of its query and its rows nothing."""
    line = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "client": client[0] if client else None,
        "method": method,
        "path": path[:200],
        "status": found.status,
        "model": found.model or None,
        "rows": found.rows,
        "bytes": len(found.content),
        "seconds": round(seconds, 6),
    }
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
