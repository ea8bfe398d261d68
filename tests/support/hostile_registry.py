"""A malicious registry, which responds like a real one except where a test changes it."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from artifact_pipeline.builder.canonical import digest
from artifact_pipeline.remote.registry import modelpack

Answer = Callable[[BaseHTTPRequestHandler], None]


class HostileRegistry:
    """A repository `acme/churn` with one artifact.

    Attributes:
        answers: The responses to send instead of the right ones, by the end of the path.
        requests: The method, path and Authorization of each request.
    """

    def __init__(self, folder: Path) -> None:
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        self.digest = digest(files["manifest.json"])
        self.pack = modelpack.pack(files["manifest.json"])
        self.blobs = {digest(data): data for data in (*files.values(), self.pack.config)}
        self.model = digest(files["model.onnx"])
        self.manifests = dict.fromkeys(("latest", "1", self.pack.digest), self.pack.data)
        self.answers: dict[str, Answer] = {}
        self.requests: list[tuple[str, str, str | None]] = []
        self.port = 0

    @property
    def host(self) -> str:
        return f"localhost:{self.port}"

    @contextlib.contextmanager
    def serving(self) -> Iterator[HostileRegistry]:
        registry = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                registry.requests.append((self.command, self.path, self.headers["Authorization"]))
                # A client that detects the fault closes the connection.
                with contextlib.suppress(OSError):
                    registry.answer(self)

        for method in ("HEAD", "POST", "PUT", "PATCH"):
            setattr(Handler, f"do_{method}", Handler.do_GET)

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        for end, answer in list(self.answers.items()):
            if end in handler.path:
                answer(handler)
                return
        self.answer_truly(handler)

    def answer_truly(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer as a true registry does."""
        _, _, rest = handler.path.partition("/v2/acme/churn/")
        kind, _, name = rest.partition("/")
        data = {"blobs": self.blobs, "manifests": self.manifests}.get(kind, {}).get(name)
        if handler.path == "/v2/":
            data = b"{}"
        if rest.startswith("tags/list"):
            data = json.dumps({"tags": [*self.manifests]}).encode()
        send(handler, 404 if data is None else 200, data or b"")


def send(handler: BaseHTTPRequestHandler, status: int, data: bytes = b"", **headers: str) -> None:
    """Send a response; `_` in the name of a header becomes a dash."""
    handler.send_response(status)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    for name, value in {"Content-Length": str(len(data)), **names}.items():
        handler.send_header(name, value)
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(data)


def endless(handler: BaseHTTPRequestHandler) -> None:
    """Send a body without end."""
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    while True:
        handler.wfile.write(b"10000\r\n" + b"0" * 0x10000 + b"\r\n")


def cut(data: bytes) -> Answer:
    """Return a response that announces all of the data and sends half of it."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data[: len(data) // 2])
        handler.close_connection = True

    return answer
