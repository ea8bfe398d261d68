"""A real server in a process of its own, and what clients send it."""

import contextlib
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from typing import Any, NamedTuple

from tests.support.command import call
from tests.support.configs import ROOT, write


class Reply(NamedTuple):
    """What a client got."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Server(NamedTuple):
    """A server that runs."""

    process: subprocess.Popen
    port: int

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def ask(self, method, path, body=None, **headers) -> Reply:
        """Send a request as http.client does; `_` in the name of a header is a dash."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with contextlib.closing(connection):
            connection.request(method, path, body, named)
            found = connection.getresponse()
            lower = {name.lower(): value for name, value in found.getheaders()}
            return Reply(found.status, lower, found.read())

    def get(self, path, **headers) -> Reply:
        return self.ask("GET", path, **headers)

    def post(self, path, value, **headers) -> Reply:
        """Send JSON, or bytes that should be."""
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        return self.ask("POST", path, data, **{"content_type": "application/json", **headers})

    def raw(self, data: bytes, timeout=60.0) -> bytes:
        """Send bytes and return all that comes until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout) as sock:
            sock.sendall(data)
            found = b""
            while part := sock.recv(65536):
                found += part
            return found

    def counted(self, line: str) -> float:
        """Return a number of /metrics by the text before it."""
        text = self.get("/metrics").body.decode()
        [found] = re.findall(rf"^artifact_pipeline_{re.escape(line)} (\S+)$", text, re.M)
        return float(found)


@contextlib.contextmanager
def serving(*words, cwd):
    """Serve as a user would, on a free port, until the block ends."""
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests" / "support" / "audit")])
    command = [sys.executable, "-m", "artifact_pipeline", "serve", *map(str, words), "--port", "0"]
    process = subprocess.Popen(
        command, cwd=cwd, env={**os.environ, "PYTHONPATH": path, "PYTHONUTF8": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        line = process.stdout.readline()
        assert " at http" in line, process.communicate()
        yield Server(process, int(line.rpartition(":")[2]))
    finally:
        process.terminate()
        try:
            process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def answer_from(file) -> Reply:
    """Read one answer from a connection that is kept."""
    status = int(file.readline().split()[1])
    lines = [line.decode().strip() for line in iter(file.readline, b"\r\n")]
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return Reply(status, headers, file.read(int(headers["content-length"])))


def neighbours(folder):
    """Train what takes a quarter of a second for 2,000 rows of the digits; return its place."""
    model = {"estimator": "sklearn.neighbors.KNeighborsClassifier", "params": {}}
    config = write(folder, {"data": {"dataset": "digits"}, "model": model})
    return folder / call("train", config, "--json", cwd=folder).json["artifact"]


def shop(folder, *columns):
    """Train on a table whose columns are functions of a row's number; return the artifact's place.

    It learns whether `bought`, which two of three rows did.
    """
    lines = [",".join([*(name for name, _ in columns), "bought"])]
    for index in range(300):
        lines.append(",".join([*(value(index) for _, value in columns), str(index % 3 > 0)]))
    (folder / "t.csv").write_text("\n".join(lines), "utf-8")
    config = {
        "data": {"path": "t.csv", "target": "bought"},
        "model": {"preprocess": "auto", "estimator": "sklearn.linear_model.LogisticRegression"},
    }
    done = call("train", write(folder, config), "--json", cwd=folder)
    assert done.code == 0, done.err
    return done.json["artifact"]


def city(index):
    """Return the city that goes with `bought`."""
    return "Rome" if index % 3 else "Ōsaka"


def tensor(values, **more):
    """Return an input X of the protocol, of rows of numbers."""
    flat = [one for row in values for one in row]
    shape = [len(values), len(values[0])]
    return {"name": "X", "shape": shape, "datatype": "FP64", "data": flat, **more}


def post_large(server, body):
    """Return the response to a large body; send it again where a busy machine was too slow."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            found = server.post("/predict", body)
        except OSError:  # closed before all of it was sent
            continue
        if found.status != 408:
            return found
    raise AssertionError("the body never arrived within the deadline")
