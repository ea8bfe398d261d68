"""Request bodies: read within limits of size, time and memory, and decompressed within bounds."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from artifact_pipeline.serving.http.errors import HTTPError, busy
from artifact_pipeline.serving.http.headers import Headers

Receive = Callable[[], Awaitable[dict[str, Any]]]

SMALL_BODY = 64 << 10
"""Bytes that every connection may buffer; what is beyond counts against the worker's memory."""
MAX_RATIO = 100
"""How many times its compressed size a body may have, beyond `UNPACKED_FREELY`."""
UNPACKED_FREELY = 1 << 20
"""Bytes that any compressed body may have after decompression."""
_DISCARD_SECONDS = 2.0

_WINDOW_BITS = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}
"""The argument that tells zlib the container format."""


class Disconnected(Exception):
    """The body ended early: the client left, or sent chunks that the HTTP server cannot parse."""


class Memory:
    """The bytes that the large bodies of a worker may occupy together."""

    def __init__(self, limit: int) -> None:
        self._left = limit

    def take(self, size: int) -> None:
        """Take `size` bytes.

        Raises:
            HTTPError: 503 if they are not left.
        """
        if size > self._left:
            raise busy("too many large requests arrive at once; try again")
        self._left -= size

    def give_back(self, size: int) -> None:
        """Give back bytes that were taken."""
        self._left += size


class Body:
    """The body of one request; `close` gives its memory back."""

    def __init__(self, receive: Receive, headers: Headers, memory: Memory) -> None:
        self._receive = receive
        self._headers = headers
        self._memory = memory
        self._taken = 0
        self._complete = False

    async def read(self, limit: int, *, seconds: float) -> bytes:
        """Return the whole body, as it was sent.

        Raises:
            HTTPError: 413 if it has more than `limit` bytes, 415 if its encoding is unknown, 408
                if it takes longer than `seconds` to arrive, 503 if the memory is used up.
            Disconnected: if it ends early.
        """
        encoding_of(self._headers)  # an unknown encoding is refused before the body is read
        length = self._headers.get(b"content-length")
        if length is not None and int(length) > limit:
            raise _too_large(limit)
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        # asyncio.timeout does the same and costs four times as much.
        timer = loop.call_later(seconds, task.cancel)
        try:
            return await self._read(limit)
        except asyncio.CancelledError as error:
            if loop.time() < timer.when():
                raise
            task.uncancel()
            raise HTTPError(408, f"the request did not arrive within {seconds:g} s") from error
        finally:
            timer.cancel()

    async def discard(self, limit: int) -> None:
        """Read the rest of a body that was refused, up to `limit` bytes and for a short time.

        A client that is still sending would otherwise see a reset connection, not the response.
        """
        if self._complete or b"expect" in self._headers:
            return
        if int(self._headers.get(b"content-length", 0)) > limit:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_DISCARD_SECONDS):
                while limit > 0 and not self._complete:
                    limit -= len(await self._next() or b"")

    def close(self) -> None:
        """Give back the memory that the body took."""
        self._memory.give_back(self._taken)
        self._taken = 0

    async def _read(self, limit: int) -> bytes:
        first = await self._next()
        if self._complete:
            if len(first) > limit:
                raise _too_large(limit)
            self._count(len(first))
            return first
        data = bytearray(first)
        while not self._complete:
            data += await self._next()
            if len(data) > limit:
                raise _too_large(limit)
            self._count(len(data))
        return bytes(data)

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] != "http.request":
            self._complete = True
            raise Disconnected
        self._complete = not message.get("more_body", False)
        part: bytes = message.get("body", b"")
        return part

    def _count(self, size: int) -> None:
        more = size - SMALL_BODY - self._taken
        if more > 0:
            self._memory.take(more)
            self._taken += more


def encoding_of(headers: Headers) -> bytes:
    """Return the content encoding, `identity` where none is named.

    Raises:
        HTTPError: 415 for one that is unknown.
    """
    encoding = headers.get(b"content-encoding", b"").lower() or b"identity"
    if encoding != b"identity" and encoding not in _WINDOW_BITS:
        raise HTTPError(415, "unknown content-encoding; expected gzip, deflate or none")
    return encoding


def unpacked_limit(size: int, limit: int) -> int:
    """Return how many bytes a compressed body of `size` bytes may have after decompression."""
    return min(limit, max(UNPACKED_FREELY, MAX_RATIO * size))


def decompress(data: bytes, encoding: bytes, limit: int) -> bytes:
    """Return a decompressed body; no more of it is made than is allowed.

    Raises:
        HTTPError: 413 if it has more than `limit` bytes or unpacks more than `MAX_RATIO` times,
            400 if it is not one whole stream of its encoding.
    """
    allowed = unpacked_limit(len(data), limit)
    unpacker = zlib.decompressobj(_WINDOW_BITS[encoding])
    try:
        found = unpacker.decompress(data, allowed + 1)
    except zlib.error as error:
        raise HTTPError(400, f"the body is not valid {encoding.decode()}") from error
    if len(found) > limit:
        raise _too_large(limit)
    if len(found) > allowed:
        raise HTTPError(
            413, f"the body unpacks to more than {MAX_RATIO} times its size; send it uncompressed"
        )
    if not unpacker.eof or unpacker.unused_data:
        raise HTTPError(400, f"the body is not one whole {encoding.decode()} stream")
    return found


def _too_large(limit: int) -> HTTPError:
    return HTTPError(413, f"the body has more than {limit} bytes; send fewer rows at once")
