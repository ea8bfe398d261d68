"""An unreliable network: a proxy on this machine that breaks connections to a server."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

from tests.support.waiting import HANG


class UnreliableNetwork:
    """A proxy of a server that breaks connections in the middle of a transfer.

    Attributes:
        sent: Bytes that clients sent.
        received: Bytes that clients received.
        cuts: The number of connections still to break.
        after: The bytes of one direction after which a connection is broken.
        pause: Seconds that a connection waits after each 64 KiB.
        held_after: The bytes that clients receive before all wait until `together` connections
            were open at the same time.
        together: A number of connections.
        most: The maximum number of connections open at the same time.
    """

    def __init__(
        self,
        server: int,
        *,
        cuts: int = 0,
        after: int = 0,
        pause: float = 0,
        held_after: int = 0,
        together: int = 0,
    ) -> None:
        self.sent = self.received = self.most = self._open = 0
        self.cuts, self.after, self.pause, self._server = cuts, after, pause, server
        self.held_after, self.together = held_after, together
        self._lock = threading.Condition()

    @contextlib.contextmanager
    def serving(self) -> Iterator[int]:
        """Yield the port of the proxy."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            threading.Thread(target=self._accept, args=[listener], daemon=True).start()
            yield int(listener.getsockname()[1])
            listener.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = listener.accept()[0]
                server = socket.create_connection(("127.0.0.1", self._server))
                for source, target, name in (
                    (client, server, "sent"),
                    (server, client, "received"),
                ):
                    words = [source, target, name]
                    threading.Thread(target=self._copy, args=words, daemon=True).start()

    def _flows(self) -> bool:
        return self.received <= self.held_after or self.most >= self.together

    def _copy(self, source: socket.socket, target: socket.socket, name: str) -> None:
        size = 0
        with self._lock:
            self._open += name == "received"
            self.most = max(self.most, self._open)
            self._lock.notify_all()
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
                size += len(data)
                with self._lock:
                    setattr(self, name, getattr(self, name) + len(data))
                    self._lock.wait_for(self._flows, HANG)
                    cut = size > self.after and self.cuts > 0
                    self.cuts -= cut
                if cut:
                    break
                time.sleep(self.pause)
        with self._lock:
            self._open -= name == "received"
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
