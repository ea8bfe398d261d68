"""A server in its own process, and clients that can send it anything."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

from tests.support.command import call, environment
from tests.support.configs import write
from tests.support.waiting import HANG, until

T = TypeVar("T")


class Reply(NamedTuple):
    """A response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Server(NamedTuple):
    """A running server."""

    process: subprocess.Popen[str]
    port: int

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def connect(self) -> socket.socket:
        """Return a connection with a timeout."""
        return socket.create_connection(("127.0.0.1", self.port), HANG)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
        """Send a request with http.client; `_` in the name of a header becomes a dash."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=HANG)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with contextlib.closing(connection):
            connection.request(method, path, body, named)
            response = connection.getresponse()
            lower = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, lower, response.read())

    def get(self, path: str, **headers: str) -> Reply:
        return self.ask("GET", path, **headers)

    def post(self, path: str, value: Any, **headers: str) -> Reply:
        """Send a value as JSON, or bytes unchanged."""
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        return self.ask("POST", path, data, **{"content_type": "application/json", **headers})

    def raw(self, data: bytes) -> bytes:
        """Send bytes and return all that the server sends until it closes the connection."""
        with self.connect() as sock:
            sock.sendall(data)
            return read_all(sock)

    def taken(self, sock: socket.socket) -> None:
        """Wait until the server has read all that was sent over a connection.

        Only Linux shows this; elsewhere the server may read two pieces at once.
        """
        table = Path("/proc/net/tcp")
        if table.exists():
            ends = (self.port, sock.getsockname()[1])
            until(lambda: not _queued(table, *ends), "the server reads nothing")

    def counted(self, line: str) -> float:
        """Return the number after a text in /metrics."""
        text = self.get("/metrics").body.decode()
        [number] = re.findall(rf"^artifact_pipeline_{re.escape(line)} (\S+)$", text, re.M)
        return float(number)


@contextlib.contextmanager
def serving(*words: Any, cwd: Path) -> Iterator[Server]:
    """Run `artifact-pipeline serve` on a free port until the block ends."""
    command = [sys.executable, "-m", "artifact_pipeline", "serve", *map(str, words), "--port", "0"]
    process = subprocess.Popen(
        command, cwd=cwd, env=environment(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert " at http" in line, process.communicate()
        yield Server(process, int(line.rpartition(":")[2]))
    finally:
        process.terminate()
        try:
            process.communicate(timeout=HANG)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def read_all(sock: socket.socket) -> bytes:
    """Return all that comes over a connection until the other side closes it."""
    return b"".join(iter(lambda: sock.recv(65536), b""))


def read_reply(file: IO[bytes]) -> Reply:
    """Read one response from a connection that stays open."""
    status = int(file.readline().split()[1])
    lines = [line.decode().strip() for line in iter(file.readline, b"\r\n")]
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return Reply(status, headers, file.read(int(headers["content-length"])))


def attempt(action: Callable[[], T]) -> T | None:
    """Return the result of an action, or None if the server closed its connection.

    A server with a short deadline does so where a busy machine sends a request too slowly.
    """
    with contextlib.suppress(ConnectionError, http.client.HTTPException):
        return action()
    return None


def too_late(server: Server, count: int) -> Reply:
    """Return the refusal of rows that take longer than the deadline.

    They are sent compressed, so that they arrive before the deadline; where a busy machine is too
    slow for that, they are sent again. A fast one gets twice as many.
    """

    def refusal() -> Reply | None:
        nonlocal count
        rows = [b"[%d" % index + b",0.5" * 63 + b"]" for index in range(count)]
        body = gzip.compress(b'{"rows": [' + b",".join(rows) + b"]}", 1)
        reply = attempt(lambda: server.post("/predict", body, content_encoding="gzip"))
        if reply is None:
            return None
        assert reply.status in (200, 408, 504), reply
        count *= 2 if reply.status == 200 else 1
        return reply if reply.status == 504 else None

    return until(refusal)


def train_neighbors(folder: Path) -> Path:
    """Train a model that takes a quarter of a second for 2,000 rows of the digits."""
    model = {"estimator": "sklearn.neighbors.KNeighborsClassifier", "params": {}}
    config = write(folder, {"data": {"dataset": "digits"}, "model": model})
    return folder / str(call("train", config, "--json", cwd=folder).json["artifact"])


def train_table(folder: Path, *columns: tuple[str, Callable[[int], object]]) -> str:
    """Train on a table whose columns are functions of a row's number.

    The target is `bought`, which is true in two of three rows.
    """
    lines = [",".join([*(name for name, _ in columns), "bought"])]
    for index in range(300):
        cells = [str(value(index)) for _, value in columns]
        lines.append(",".join([*cells, str(index % 3 > 0)]))
    (folder / "t.csv").write_text("\n".join(lines), "utf-8")
    config = {
        "data": {"path": "t.csv", "target": "bought"},
        "model": {"preprocess": "auto", "estimator": "sklearn.linear_model.LogisticRegression"},
    }
    done = call("train", write(folder, config), "--json", cwd=folder)
    assert done.code == 0, done.err
    return str(done.json["artifact"])


def city(index: int) -> str:
    """Return a city that correlates with `bought`."""
    return "Rome" if index % 3 else "Ōsaka"


def tensor(values: Sequence[Sequence[float]], **more: Any) -> dict[str, Any]:
    """Return rows of numbers as the input `X` of the Open Inference Protocol."""
    flat = [value for row in values for value in row]
    shape = [len(values), len(values[0])]
    return {"name": "X", "shape": shape, "datatype": "FP64", "data": flat, **more}


def _queued(table: Path, server: int, client: int) -> bool:
    """Return whether the kernel has unread bytes from `client` for `server`."""
    ends = (f":{server:04X}", f":{client:04X}")
    for line in table.read_text().splitlines()[1:]:
        _, local, remote, _, queues, *_ = line.split()
        if (local[-5:], remote[-5:]) == ends:
            return queues.rpartition(":")[2].strip("0") != ""
    return False
