"""HTTP/1.1 as uvicorn speaks it, with an end to headers without end and to slow requests.

What is whole when it comes, as nearly every request is, costs nothing here. If it is an inference
of few rows, it is answered where it is read, without the task that ASGI needs.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from artifact_pipeline.serving import refusals
from artifact_pipeline.serving.answers import headers_of
from artifact_pipeline.serving.heads import without_offer

if TYPE_CHECKING:
    from artifact_pipeline.serving.application import Application
    from artifact_pipeline.serving.heads import Head

_INFER = re.compile(rb"/v2/models/[A-Za-z0-9._-]+(?:/versions/[A-Za-z0-9:]+)?/infer")
MAX_HEADERS = 16 << 10
"""Bytes of a request line and its headers."""


class _Flow(FlowControl):
    """Reads nothing more while requests that were read wait for their turn: a client that sends
    many without an end would fill the memory."""

    def __init__(self, transport: asyncio.Transport, waiting: Collection[Any]) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        if not self._waiting:
            super().resume_reading()


class LimitedProtocol(HttpToolsProtocol):
    """A connection."""

    deadline = 30.0
    """Seconds that a request may take to arrive."""

    def __init__(self, *words: Any, **named: Any) -> None:
        super().__init__(*words, **named)
        self._head = 0
        self._last = b""
        self._in_head = True
        self._whole = True
        self._refused = False
        self._declines = False
        self._asks: Head | None = None
        self._held = b""
        self._answered: Head | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._spoke = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = _Flow(transport, self.pipeline)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        if self._idle is not None:
            self._idle.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        fresh = self._whole
        if self._refused or (fresh and self._answer_again(data)):
            return
        if self._in_head:
            end = (self._last + data if self._last else data).find(b"\r\n\r\n")
            self._head += len(data) if end < 0 else end - len(self._last)
            self._last = data[-3:] if end < 0 else b""
            if self._head > MAX_HEADERS:
                self._refuse(431, f"the headers have more than {MAX_HEADERS} bytes")
                return
        self._whole, self._answered = False, None
        self._unset_keepalive_if_required()
        self._feed(data)
        if self._asks is not None:
            self._release()
        if self._whole:
            if fresh and self._answered is not None:
                self.app.heads.add(data, self._answered)
            self._disarm()
        elif self._timer is None and not self.transport.is_closing():
            self._arm()

    def _feed(self, data: bytes) -> None:
        pieces = [memoryview(data)]
        try:
            while pieces:
                piece = pieces.pop()
                try:
                    self.parser.feed_data(piece)
                except httptools.HttpParserUpgrade as stop:
                    if self._declines:
                        pieces += [piece[stop.args[0] :], self._begin_again()]
        except httptools.HttpParserError:
            self._refuse(400, "what came cannot be read as a request of HTTP/1.1")

    def _begin_again(self) -> memoryview:
        """Return the head that was read as a new parser may read it, which then reads the body."""
        self._in_head = True
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return memoryview(without_offer(method, self.url, version, self.headers))

    def on_message_begin(self) -> None:
        self._in_head, self._whole = True, False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head, self._head = False, 0
        self._declines = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
        if self._declines:
            return
        if (
            # One of each read: many at once would hold up all other connections.
            self._answered is None
            and self._is_free()
            and _INFER.fullmatch(self.url) is not None
            and not self.expect_100_continue
            and self.parser.should_keep_alive()
            and self.parser.get_method() == b"POST"
        ):
            self._asks = self.app.head(self.url.decode("ascii"), self.headers)
        if self._asks is None:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._asks is None:
            super().on_body(body)
        else:
            self._held += body

    def on_message_complete(self) -> None:
        if self._declines:
            return
        self._in_head, self._whole = True, True
        if self._asks is not None:
            if self._answer(self._asks, self._held):
                self._answered, self._asks, self._held = self._asks, None, b""
                return
            self._release()
        super().on_message_complete()

    def _is_free(self) -> bool:
        """Return whether nothing goes before the answer to what is asked next."""
        return (
            self._is_answered() and not self.flow.write_paused and not self.transport.is_closing()
        )

    def _is_answered(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _answer_again(self, data: bytes) -> bool:
        """Answer a whole request whose head came before: it need not be parsed again."""
        found = self.app.heads.find(data)
        if found is None or not self._is_free() or not self._answer(*found):
            return False
        self._disarm()
        self._unset_keepalive_if_required()
        return True

    def _answer(self, head: Head, body: bytes) -> bool:
        """Answer a whole request, if that takes no time."""
        found = self.app.at_once(head, body, self.client)
        if found is None:
            return False
        parts = [STATUS_LINE[found.status]]
        for name, value in (*self.server_state.default_headers, *headers_of(found, "POST")):
            parts += (name, b": ", value, b"\r\n")
        self.transport.write(b"".join((*parts, b"\r\n", found.content)))
        self.server_state.total_requests += 1
        self._spoke = self.loop.time()
        if self._idle is None:
            self._idle = self.loop.call_later(self.timeout_keep_alive, self._rest)
        return True

    def _rest(self) -> None:
        """Close an idle connection. A timer for each answer would be a twentieth of its cost."""
        self._idle = None
        left = self._spoke + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._idle = self.loop.call_later(left, self._rest)
        elif self._whole and self._is_answered() and self.timeout_keep_alive_task is None:
            self.transport.close()  # else what is under way, or was answered since, has a timer

    def _release(self) -> None:
        """Let a request that was held back go the way of all others."""
        body = self._held
        self._asks, self._held = None, b""
        super().on_headers_complete()
        if body:
            super().on_body(body)

    def _arm(self) -> None:
        self._timer = self.loop.call_later(self.deadline, self._late)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        if self.flow.read_paused and not self.flow.write_paused:  # it is here that it waits
            self._arm()
            return
        answered = self.cycle is not None and self.cycle.response_complete and not self._in_head
        if self._refused or answered or (self.cycle is None and not self._head):
            self.transport.close()  # it was answered, or nothing was asked
            return
        self._refuse(408, f"the request did not arrive within {self.deadline:g} s")

    def _refuse(self, status: int, message: str) -> None:
        """Answer in the place of the application and close."""
        if self.transport.is_closing():
            return
        app: Application = self.app
        self._asks, self._held = None, b""
        begun = not self._is_answered()
        if begun and not self._in_head:  # the application counts the request that ends
            self.cycle.scope["state"]["told"] = status
        else:
            app.metrics.begin()
            app.metrics.end("", status, 0.0, 0)
            if begun:  # what was asked before is answered, and nothing after it
                self._refused, self.cycle.keep_alive = True, False
                return
        said = refusals.document(message)
        head = (
            f"HTTP/1.1 {status} {refusals.KINDS[status]}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(said)}\r\nconnection: close\r\n\r\n"
        )
        if not (begun and self.cycle.response_started):
            self.transport.write(head.encode() + said)
        if status == 408 or not self.transport.can_write_eof():
            self.transport.close()
            return
        # A client that still sends would not read an answer before a reset: it is heard out.
        self._refused = True
        self.transport.write_eof()
        if self._timer is None:
            self._arm()
