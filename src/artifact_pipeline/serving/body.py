"""The body of a request: whole, decompressed, and never larger than allowed."""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable
from typing import Any

from artifact_pipeline.serving.refusals import Refused

Receive = Callable[[], Awaitable[Any]]

_WINDOWS = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}
"""What tells zlib which of its forms it gets."""


class Disconnected(Exception):
    """The client has gone, or was told why it gets no answer."""


async def read(receive: Receive, headers: dict[bytes, bytes], most: int) -> bytes:
    """Return the body of a request.

    Raises:
        Refused: if it has more than `most` bytes, as it is sent or after decompression, is
            encoded otherwise than by gzip or deflate, or is not what it is encoded as.
        Disconnected: if it never came.
    """
    _encoding(headers)  # before what cannot be read is waited for
    length = headers.get(b"content-length")
    if length is not None and int(length) > most:
        raise _too_large(most)
    message = await receive()
    if message["type"] != "http.request":
        raise Disconnected
    body: bytes = message["body"]
    if message["more_body"]:
        parts, size = [body], len(body)
        while message["more_body"]:
            message = await receive()
            if message["type"] != "http.request":
                raise Disconnected
            parts.append(message["body"])
            size += len(message["body"])
            if size > most:
                raise _too_large(most)
        body = b"".join(parts)
    return plain(body, headers, most)


def plain(body: bytes, headers: dict[bytes, bytes], most: int) -> bytes:
    """Return a body that is here as a whole, decompressed.

    Raises:
        Refused: as `read`.
    """
    encoding = _encoding(headers)
    if len(body) > most:
        raise _too_large(most)
    return body if encoding == b"identity" else _decompressed(body, encoding, most)


def _encoding(headers: dict[bytes, bytes]) -> bytes:
    encoding = headers.get(b"content-encoding", b"identity").strip().lower() or b"identity"
    if encoding != b"identity" and encoding not in _WINDOWS:
        raise Refused(415, "the content-encoding is unknown; expected gzip, deflate or none")
    return encoding


def _decompressed(body: bytes, encoding: bytes, most: int) -> bytes:
    unpacker = zlib.decompressobj(_WINDOWS[encoding])
    try:
        found = unpacker.decompress(body, most + 1)
    except zlib.error as error:
        raise Refused(400, f"the body is not {encoding.decode()}") from error
    if len(found) > most:
        raise _too_large(most)
    if not unpacker.eof or unpacker.unused_data:
        raise Refused(400, f"the body is not one whole {encoding.decode()} stream")
    return found


def _too_large(most: int) -> Refused:
    return Refused(413, f"the body has more than {most} bytes; send fewer rows at once")
