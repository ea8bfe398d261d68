"""The headers of a request: those that anything here looks at, and what they ask for."""

from __future__ import annotations

from typing import NamedTuple

from artifact_pipeline.serving.answers import JSON
from artifact_pipeline.serving.refusals import Refused

Raw = list[tuple[bytes, bytes]]
"""Headers as they came, their names in lower case."""
Headers = dict[bytes, bytes]

WANTED = frozenset(
    (
        b"host",
        b"origin",
        b"authorization",
        b"content-type",
        b"content-length",
        b"content-encoding",
        b"inference-header-content-length",
    )
)
"""The headers that anything here looks at."""
_ONCE = frozenset((b"host", b"authorization", b"inference-header-content-length"))
_OFFER = (b"upgrade", b"http2-settings")
_MOST, _LONGEST = 1024, 1024


class Head(NamedTuple):
    """What a request for an inference says before its body, and that it may say it."""

    path: str
    name: str
    version: str | None
    headers: Headers
    json_length: bytes | None


def wanted(raw: Raw) -> Headers:
    """Return the headers that are looked at.

    Raises:
        Refused: if one that tells who asks, or how to read, stands twice.
    """
    found: Headers = {}
    for name, value in raw:
        if name in WANTED:
            if name in found and name in _ONCE:
                raise Refused(400, f"the header {name.decode()} stands twice")
            found[name] = value
    return found


def json_length(headers: Headers) -> bytes | None:
    """Return what says where the JSON of a body ends, if tensors follow it.

    Raises:
        Refused: as `check_json`, where none do.
    """
    length = headers.get(b"inference-header-content-length")
    if length is None:
        check_json(headers)
    return length


def check_json(headers: Headers) -> None:
    """Do nothing if a body is said to be JSON.

    Raises:
        Refused: otherwise.
    """
    # A page of another site can send other types without asking; tritonclient says none.
    kind = headers.get(b"content-type", JSON)
    if kind != JSON and kind.partition(b";")[0].strip().lower() != JSON:
        raise Refused(415, "expected the content-type application/json")


def without_offer(method: bytes, url: bytes, version: bytes, raw: Raw) -> bytes:
    """Return a head without its offer to speak another protocol.

    Every client from Java's standard library offers HTTP/2, and sends its body in HTTP/1.1 behind
    that; the parser would take it for the other protocol's. Whoever does not take an offer
    answers as if there were none (RFC 9110, 7.8).
    """
    lines = [b"%s %s HTTP/%s" % (method, url, version)]
    for name, value in raw:
        if name == b"connection":
            words = [word.strip() for word in value.split(b",")]
            value = b", ".join(word for word in words if word.lower() not in _OFFER)
        if name not in _OFFER:
            lines.append(b"%s: %s" % (name, value))
    return b"\r\n".join([*lines, b"", b""])


class Heads:
    """Remembers what heads asked for: one that comes again, byte for byte, is not read again.

    Only what was answered is remembered, so nothing of a head that is found here is left to check.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[Head, int]] = {}

    def find(self, request: bytes) -> tuple[Head, bytes] | None:
        """Return the head and the body of a request that is here as a whole, if it is known."""
        end = request.find(b"\r\n\r\n") + 4
        found = self._known.get(request[:end])
        if found is None or len(request) - end != found[1]:
            return None
        return found[0], request[end:]

    def add(self, request: bytes, head: Head) -> None:
        """Remember the head of a request, if these bytes are that request and no more."""
        end = request.find(b"\r\n\r\n") + 4
        length = int(head.headers.get(b"content-length", -1))
        if len(request) - end != length or end > _LONGEST:
            return
        if len(self._known) == _MOST:  # a client chooses what it sends, and so texts without end
            self._known.clear()
        self._known[request[:end]] = (head, length)
