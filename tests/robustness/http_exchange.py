"""A server process to attack, connections to it, and a strict parser of what comes back.

The parser is not used by the product and is stricter than any client: whatever it rejects counts
as a fault of the server.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from tests.support.waiting import HANG

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "correct-horse-battery-staple"
_STATUS = re.compile(rb"(HTTP/1\.[01]) ([1-5][0-9][0-9]) [\x20-\x7e]*")
_FIELD = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):"
    rb"[ \t]*([\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?)?[ \t]*"
)
_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}")
_LISTENS = re.compile(r" at https?://[^\s:]+:([0-9]+)")
_ONCE = frozenset(
    ("content-length", "transfer-encoding", "content-type", "date", "artifact-digest")
)


class NotHTTP(Exception):
    """What came from the server is not a sequence of responses."""


class Response(NamedTuple):
    """A final response."""

    status: int
    version: str
    headers: dict[str, str]
    body: bytes

    @property
    def closes(self) -> bool:
        """Whether it announces that the connection ends."""
        words = [word.strip().lower() for word in self.headers.get("connection", "").split(",")]
        return "close" in words or (self.version == "HTTP/1.0" and "keep-alive" not in words)


class Received(NamedTuple):
    """What came over one connection, and how it ended: `closed`, `reset` or `open`."""

    data: bytes
    end: str


class Server(NamedTuple):
    """A running server and what it writes."""

    process: subprocess.Popen[bytes]
    port: int
    stderr: Path

    def alive(self) -> bool:
        """Return whether the server runs and none of its workers has died."""
        deaths = self.stderr.read_text("utf-8", "replace").count("a worker ended")
        return self.process.poll() is None and not deaths

    def tracebacks(self) -> int:
        """Return how many tracebacks the server wrote."""
        return self.stderr.read_text("utf-8", "replace").count("Traceback (most recent call last)")

    def memory(self) -> int:
        """Return the resident memory of the server and its children, in MiB."""
        return sum(_memory(pid, "VmRSS") for pid in _family(self.process.pid)) >> 10

    def peak(self) -> int:
        """Return the most that they ever had, in MiB."""
        return sum(_memory(pid, "VmHWM") for pid in _family(self.process.pid)) >> 10


@contextlib.contextmanager
def serving(
    folder: Path, models: Sequence[str], *options: Any, token: bool = True, stdout: Any = None
) -> Iterator[Server]:
    """Serve `models` (`NAME=ARTIFACT`) on a free port of this machine until the block ends.

    Args:
        folder: Where the server's files go.
        models: What is served.
        *options: More words of the command line.
        token: Whether clients must send `TOKEN`.
        stdout: The server's standard output, in place of a file; its first line must be read by
            then, so it is given as a pair of the end to write to and a file to read from.
    """
    (folder / "token").write_text(TOKEN + "\n", "utf-8")
    stderr = folder / f"stderr-{time.monotonic_ns()}"
    command = [sys.executable, "-m", "artifact_pipeline", "serve", *models, "--port", "0"]
    command += ["--token-file", str(folder / "token")] if token else []
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONUTF8": "1"}
    with stderr.open("wb") as errors, tempfile.NamedTemporaryFile(dir=folder) as plain:
        process = subprocess.Popen(
            [*command, *map(str, options)],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=plain if stdout is None else stdout[0],
            stderr=errors,
        )
        try:
            port = _port(process, Path(plain.name) if stdout is None else stdout[1], stderr)
            yield Server(process, port, stderr)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(HANG)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def exchange(
    port: int,
    pieces: Sequence[bytes],
    *,
    pause: float = 0.0,
    half_close: bool = False,
    timeout: float = HANG,
) -> Received:
    """Send pieces over a connection of their own and return all that comes until it ends.

    Args:
        port: Of the server, on this machine.
        pieces: What is sent, each by a call of its own.
        pause: Seconds between two pieces, for the server to read the first of them.
        half_close: Whether the end of what is sent is said.
        timeout: Seconds to wait for anything before giving up.
    """
    found = bytearray()
    with socket.create_connection(("127.0.0.1", port), timeout) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        try:
            for piece in pieces:
                if not _send(sock, piece, found, timeout):
                    break
                if pause:
                    select.select([sock], [], [], pause)
            else:
                if half_close:
                    sock.shutdown(socket.SHUT_WR)
            while True:
                if not select.select([sock], [], [], timeout)[0]:
                    return Received(bytes(found), "open")
                part = sock.recv(1 << 16)
                if not part:
                    return Received(bytes(found), "closed")
                found += part
        except (ConnectionResetError, BrokenPipeError, OSError):
            return Received(bytes(found), "reset")


def parse(data: bytes, methods: Sequence[str]) -> tuple[list[Response], int]:
    """Return the final responses in `data`, and how many interim ones came before them.

    Args:
        data: All that came over one connection, which has ended.
        methods: Of the requests, in their order: HEAD has no body.

    Raises:
        NotHTTP: If it is anything but whole responses as RFC 9112 has them.
    """
    found: list[Response] = []
    interim = at = 0
    while at < len(data):
        method = methods[len(found)] if len(found) < len(methods) else "GET"
        response, at = _response(data, at, method)
        if response.status < 200:
            interim += 1
        else:
            found.append(response)
    return found, interim


def _response(data: bytes, at: int, method: str) -> tuple[Response, int]:
    end = data.find(b"\r\n\r\n", at)
    if end < 0:
        raise NotHTTP(f"no response: {data[at : at + 80]!r}")
    first, *lines = data[at:end].split(b"\r\n")
    matched = _STATUS.fullmatch(first)
    if matched is None:
        raise NotHTTP(f"no status line: {first[:80]!r}")
    version, status = matched[1].decode(), int(matched[2])
    headers: dict[str, str] = {}
    for line in lines:
        field = _FIELD.fullmatch(line)
        if field is None:
            raise NotHTTP(f"no header: {line[:80]!r}")
        name, value = field[1].decode().lower(), (field[2] or b"").decode()
        if name in headers and name in _ONCE:
            raise NotHTTP(f"{name} twice")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    body, at = _body(data, end + 4, status, method, headers)
    return Response(status, version, headers, body), at


def _body(
    data: bytes, at: int, status: int, method: str, headers: dict[str, str]
) -> tuple[bytes, int]:
    length, coding = headers.get("content-length"), headers.get("transfer-encoding")
    if length is not None and coding is not None:
        raise NotHTTP("both Content-Length and Transfer-Encoding")
    if length is not None and not re.fullmatch("[0-9]{1,15}", length):
        raise NotHTTP(f"no length: {length}")
    if status < 200 or status in (204, 304) or method == "HEAD":
        return b"", at
    if coding is not None:
        if coding.lower() != "chunked":
            raise NotHTTP(f"the coding {coding}")
        return _chunked(data, at)
    if length is not None:
        end = at + int(length)
        if end > len(data):
            raise NotHTTP(f"a body of {len(data) - at} bytes, its length is {length}")
        return data[at:end], end
    if "close" not in headers.get("connection", ""):
        raise NotHTTP("a body of no length")
    return data[at:], len(data)


def _chunked(data: bytes, at: int) -> tuple[bytes, int]:
    found = b""
    while True:
        end = data.find(b"\r\n", at)
        if end < 0 or not _SIZE.fullmatch(data[at:end]):
            raise NotHTTP(f"no chunk: {data[at : at + 40]!r}")
        size, at = int(data[at:end], 16), end + 2
        if data[at + size : at + size + 2] != b"\r\n":
            raise NotHTTP("a chunk that does not end")
        found += data[at : at + size]
        at += size + 2
        if not size:
            return found, at


def _send(sock: socket.socket, piece: bytes, found: bytearray, timeout: float) -> bool:
    """Send a piece while reading what comes; return whether the server still takes it."""
    view = memoryview(piece)
    while view:
        readable, writable, _ = select.select([sock], [sock], [], timeout)
        if not readable and not writable:
            return False
        if readable:
            part = sock.recv(1 << 16)
            if not part:
                return False
            found += part
        elif writable:
            try:
                view = view[sock.send(view[: 1 << 16]) :]
            except (BrokenPipeError, ConnectionResetError):
                return False  # what it answered before can still be read
    return True


def _port(process: subprocess.Popen[bytes], out: Path | IO[bytes], stderr: Path) -> int:
    """Return the port that a server says it listens on."""
    if not isinstance(out, Path):
        said = out.readline().decode()
        if matched := _LISTENS.search(said):
            return int(matched[1])
    else:
        until = time.monotonic() + HANG
        while process.poll() is None and time.monotonic() < until:
            if matched := _LISTENS.search(out.read_text("utf-8")):
                return int(matched[1])
            time.sleep(0.02)
    raise RuntimeError(f"the server did not start: {stderr.read_text('utf-8', 'replace')[-500:]}")


def _family(pid: int) -> list[int]:
    found = [pid]
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += _family(int(child))
    return found


def _memory(pid: int, name: str) -> int:
    with contextlib.suppress(OSError):
        matched = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        return int(matched[1]) if matched else 0
    return 0
