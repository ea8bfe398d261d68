"""The access log: a line of JSON per request, written by a thread that never delays a response.

A reader that stops fills the queue, and a reader that ended breaks the pipe. Either costs only
lines of the log.
"""

from __future__ import annotations

import json
import os
import queue
import select
import threading
import time
from contextlib import suppress
from typing import Any

from artifact_pipeline.serving.http.response import Response

QUEUED_LINES = 10_000
"""Maximum lines that wait for a slow reader; further ones are dropped."""
_FLUSH_SECONDS = 1.0
_JOIN_SECONDS = 0.02


class AccessLog:
    """A log on a file descriptor, by default standard output."""

    def __init__(self, descriptor: int = 1) -> None:
        self._descriptor = descriptor
        self._lines: queue.Queue[bytes | None] = queue.Queue(QUEUED_LINES)
        self._thread = threading.Thread(target=self._write, daemon=True, name="access-log")
        self._thread.start()

    def add(self, scope: dict[str, Any], response: Response, *, seconds: float) -> None:
        """Add the line of a request, without its query and rows.

        Args:
            scope: The request, as ASGI describes it.
            response: The response to it.
            seconds: How long it took.
        """
        client = scope.get("client")
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "client": client[0] if client else None,
            "method": scope["method"][:20],
            "path": scope["path"][:200],
            "status": response.status,
            "model": response.model or None,
            "rows": response.rows,
            "bytes": len(response.content),
            "seconds": round(seconds, 6),
        }
        with suppress(queue.Full):
            self._lines.put_nowait(json.dumps(line).encode() + b"\n")

    def close(self) -> None:
        """Write the queued lines, unless the reader takes nothing for a second."""
        is_last = False
        while self._thread.is_alive() and self._has_room():
            if not is_last:
                with suppress(queue.Full):
                    self._lines.put_nowait(None)
                    is_last = True
            self._thread.join(_JOIN_SECONDS)

    def _has_room(self) -> bool:
        """Return whether a line can be written within a second."""
        if not hasattr(select, "poll"):  # Windows
            self._thread.join(_FLUSH_SECONDS)
            return self._lines.empty()
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        return bool(poll.poll(_FLUSH_SECONDS * 1000))

    def _write(self) -> None:
        # os.write instead of sys.stdout: a thread that is stuck in a buffered writer holds its
        # lock, and the interpreter would abort at shutdown.
        while (line := self._lines.get()) is not None:
            with suppress(OSError):
                while line:
                    line = line[os.write(self._descriptor, line) :]
