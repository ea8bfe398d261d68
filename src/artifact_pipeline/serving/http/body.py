"""Request bodies: read within limits of size, time and memory, and decompressed within bounds."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from artifact_pipeline.serving.http.errors import HTTPError, busy
from artifact_pipeline.serving.http.headers import Headers

Receive = Callable[[], Awaitable[dict[str, Any]]]

IDENTITY = b"identity"
SMALL_BODY = 64 << 10
"""Bytes that every connection may buffer; further ones count against the worker's memory."""
MAX_RATIO = 100
"""Maximum ratio of a body's size to its compressed size, beyond `UNPACKED_FREELY`."""
UNPACKED_FREELY = 1 << 20
"""Bytes that any compressed body may have after decompression."""
_DISCARD_SECONDS = 2.0
_TICK_SECONDS = 0.05

_WINDOW_BITS = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}
"""zlib's argument for each container format."""


class Disconnected(Exception):
    """The body ended early: the client left, or sent chunks that the HTTP server cannot parse."""


class MemoryBudget:
    """The bytes that the large bodies of a worker may occupy together."""

    def __init__(self, limit: int) -> None:
        self._left = limit

    def take(self, size: int) -> None:
        """Take `size` bytes.

        Raises:
            HTTPError: 503 if fewer are left.
        """
        if size > self._left:
            raise busy("too many large requests arrive at once; try again")
        self._left -= size

    def give_back(self, size: int) -> None:
        """Give back `size` bytes that were taken."""
        self._left += size


class ReadDeadlines:
    """Cancels the tasks of a worker that wait too long for the body of their request.

    One loop checks all of them, up to `_TICK_SECONDS` late. A timer per request would take a fifth
    of the application's time.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.ends: dict[asyncio.Task[Any], float] = {}
        """The end of each task that reads, on the clock of `time.monotonic`."""

    async def enforce(self) -> None:
        """Check the deadlines until this is cancelled."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            now = time.monotonic()
            for task, end in self.ends.items():
                if now >= end:
                    task.cancel()


class Body:
    """The body of one request; `close` gives its memory back."""

    __slots__ = ("_complete", "_deadlines", "_memory", "_receive", "_taken")

    def __init__(self, receive: Receive, memory: MemoryBudget, *, deadlines: ReadDeadlines) -> None:
        self._receive = receive
        self._memory = memory
        self._deadlines = deadlines
        self._taken = 0
        self._complete = False

    async def read(self, headers: Headers, *, limit: int) -> bytes:
        """Return the complete body as it was sent, still compressed.

        Raises:
            HTTPError: 413 for more than `limit` bytes, 408 if the body does not arrive before the
                deadline, 503 if the memory is used up.
            Disconnected: If the body ends early.
        """
        length = headers.get(b"content-length")
        if length is not None and int(length) > limit:
            raise _too_large(limit)
        task = asyncio.current_task()
        assert task is not None
        deadlines = self._deadlines
        end = deadlines.ends[task] = time.monotonic() + deadlines.seconds
        try:
            data = self._part_of(await self._receive())
            self._count(len(data), limit)
            if self._complete:
                return data
            parts = bytearray(data)
            while not self._complete:
                parts += self._part_of(await self._receive())
                self._count(len(parts), limit)
            return bytes(parts)
        except asyncio.CancelledError as error:
            if time.monotonic() < end:
                raise
            task.uncancel()
            raise HTTPError(
                408, f"the request did not arrive within {deadlines.seconds:g} s"
            ) from error
        finally:
            del deadlines.ends[task]

    async def discard(self, headers: Headers, *, limit: int) -> None:
        """Read the rest of a refused body, up to `limit` bytes and for a short time.

        A client that is still sending would otherwise see a reset connection, not the response.
        """
        if self._complete or b"expect" in headers:
            return
        if int(headers.get(b"content-length", 0)) > limit:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_DISCARD_SECONDS):
                while limit > 0 and not self._complete:
                    limit -= len(self._part_of(await self._receive()))

    def close(self) -> None:
        """Give back the memory that the body took."""
        if self._taken:
            self._memory.give_back(self._taken)
            self._taken = 0

    def _part_of(self, message: dict[str, Any]) -> bytes:
        if message["type"] != "http.request":
            self._complete = True
            raise Disconnected
        self._complete = not message.get("more_body", False)
        part: bytes = message.get("body", b"")
        return part

    def _count(self, size: int, limit: int) -> None:
        """Check the size that a body has by now, and take memory for it."""
        if size > limit:
            raise _too_large(limit)
        more = size - SMALL_BODY - self._taken
        if more > 0:
            self._memory.take(more)
            self._taken += more


def encoding_of(headers: Headers) -> bytes:
    """Return the content encoding, `identity` if there is none.

    Raises:
        HTTPError: 415 if it is unknown.
    """
    encoding = headers.get(b"content-encoding")
    if not encoding:
        return IDENTITY
    encoding = encoding.lower()
    if encoding != IDENTITY and encoding not in _WINDOW_BITS:
        raise HTTPError(415, "unknown content-encoding; expected gzip, deflate or none")
    return encoding


def unpacked_limit(size: int, limit: int) -> int:
    """Return how many bytes a compressed body of `size` bytes may have after decompression."""
    return min(limit, max(UNPACKED_FREELY, MAX_RATIO * size))


def decompress(data: bytes, encoding: bytes, *, limit: int) -> bytes:
    """Return a decompressed body, never decompressing more than the body may have.

    Args:
        data: The compressed bytes.
        encoding: The value of Content-Encoding.
        limit: The greatest number of decompressed bytes.

    Raises:
        HTTPError: 413 for more than `limit` bytes or `MAX_RATIO` times the compressed size, 400
            if the data is not exactly one stream of its encoding.
    """
    allowed = unpacked_limit(len(data), limit)
    decompressor = zlib.decompressobj(_WINDOW_BITS[encoding])
    try:
        unpacked = decompressor.decompress(data, allowed + 1)
    except zlib.error as error:
        raise HTTPError(400, f"the body is not valid {encoding.decode()}") from error
    if len(unpacked) > limit:
        raise _too_large(limit)
    if len(unpacked) > allowed:
        raise HTTPError(
            413, f"the body unpacks to more than {MAX_RATIO} times its size; send it uncompressed"
        )
    if not decompressor.eof or decompressor.unused_data:
        raise HTTPError(400, f"the body is not exactly one {encoding.decode()} stream")
    return unpacked


def _too_large(limit: int) -> HTTPError:
    return HTTPError(413, f"the body has more than {limit} bytes; send fewer rows at once")
