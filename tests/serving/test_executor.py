"""Fairness: heavy, broken and slow requests delay no others."""

import contextlib
import gzip
import json
import os
import select
import socket
import subprocess
import sys

import pytest

from tests.support.configs import ROOT
from tests.support.server import attempt, read_reply, serving, tensor, too_late, train_table
from tests.support.waiting import HANG, until

INFER = "/v2/models/model/infer"
ROW = [float(i % 17) for i in range(64)]
ONE = {"inputs": [tensor([ROW])]}


@pytest.fixture(scope="module")
def server(digits, tmp_path_factory):
    words = ("--max-rows", 200_000, "--deadline", HANG)
    with serving(digits.folder, *words, cwd=tmp_path_factory.mktemp("fair")) as running:
        yield running


def head(path, length, *lines) -> bytes:
    found = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {length}", *lines]
    return "\r\n".join([*found, "", ""]).encode()


def heavy_bodies() -> dict[str, tuple[str, bytes]]:
    """Return bodies that keep a parser busy, each with its path."""
    row = json.dumps(ROW)
    size = 15 << 20
    return {
        "rows": ("/predict", b'{"rows": [' + ", ".join([row] * 10_000).encode() + b"]}"),
        "tensors": (INFER, json.dumps({"inputs": [tensor([ROW] * 20_000)]}).encode()),
        "records": ("/predict", b'{"rows": [' + b'{"a": 1},' * (size // 9) + b"{}]}"),
        "empty lists": ("/predict", b'{"rows": [' + b"[]," * (size // 3) + b"[]]}"),
        "one row": ("/predict", b'{"rows": [[' + b"[]," * (size // 3) + b"[]]]}"),
        "inputs": (INFER, b'{"inputs": [' + b"[]," * (size // 3) + b"[]]}"),
        "data": (
            INFER,
            b'{"inputs": [{"name": "X", "shape": [1, 64], "datatype": "FP64", "data": ['
            + b"[]," * (size // 3) + b"[]]}]}",
        ),
        "parameters": (INFER, b'{"inputs": [], "parameters": [' + b"[]," * (size // 3) + b"1]}"),
    }  # fmt: skip


HEAVY = heavy_bodies()


@pytest.mark.slow
@pytest.mark.parametrize("name", HEAVY)
def test_a_small_request_overtakes_heavy_ones_that_are_parsed(server, name):
    """A client that gets no CPU in between cannot tell who was first: it looks again."""
    until(lambda: overtaken(server, *HEAVY[name]))


def overtaken(server, path, body) -> bool:
    """Return whether a small request is answered while heavy ones that came before it wait."""
    small = json.dumps(ONE).encode()
    with contextlib.ExitStack() as stack:
        heavy = [stack.enter_context(server.connect()) for _ in range(4)]
        light = stack.enter_context(server.connect())
        for sock in heavy:
            sock.sendall(head(path, len(body)) + body[:-1])
        for sock in heavy:
            sock.sendall(body[-1:])
        light.sendall(head(INFER, len(small)) + small)
        assert read_reply(light.makefile("rb")).status == 200
        waiting = len(heavy) - len(select.select(heavy, [], [], 0)[0])
        for sock in heavy:
            assert read_reply(sock.makefile("rb")).status in (200, 400, 413)
    return waiting > 0


def test_small_requests_overtake_queued_large_ones(server):
    """A hundred large bodies, packed so that they cost nothing to send."""
    garbage = gzip.compress(b'{"rows": [' + b"[1]," * (3 << 20), 1)
    sent = head("/predict", len(garbage), "Content-Encoding: gzip") + garbage
    socks = [server.connect() for _ in range(100)]
    for sock in socks:
        sock.sendall(sent)
    rows = {"rows": [ROW] * 500}  # too many bytes for the event loop
    for _ in range(5):
        assert server.post("/predict", rows).status == 200
        assert server.get("/v2/health/live").status == 200
    found = {read_reply(sock.makefile("rb")).status for sock in socks}
    assert found <= {400, 413, 503}
    for sock in socks:
        sock.close()


@pytest.mark.slow
def test_the_deadline_covers_parsing(digits, tmp_path):
    limits = ("--deadline", 0.2, "--max-rows", 10**6, "--max-body", 128)
    with serving(digits.folder, *limits, cwd=tmp_path) as server:
        assert "send fewer rows" in too_late(server, 45_000).json["error"]
        until(lambda: attempt(lambda: server.post(INFER, ONE).status == 200))


@pytest.mark.slow
def test_the_ratio_of_compressed_bodies_is_limited(tmp_path):
    artifact = train_table(tmp_path, ("city", lambda index: f"c{index % 3}"))
    with serving(artifact, cwd=tmp_path) as server:
        packed = gzip.compress(json.dumps({"rows": [{"city": "c" * (3 << 20)}]}).encode())
        found = server.ask("POST", "/predict", packed, content_encoding="gzip")
        assert found.status == 413 and "times its size" in found.json["error"]
        enough = gzip.compress(json.dumps({"rows": [{"city": "c1"}] * 5000}).encode())
        found = server.ask("POST", "/predict", enough, content_encoding="gzip")
        assert (found.status, len(found.json["labels"])) == (200, 5000)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs pipes of POSIX")
@pytest.mark.parametrize("reader", ["ended", "idle"])
def test_an_unread_access_log_loses_lines_but_no_response(digits, tmp_path, reader):
    command = [sys.executable, "-m", "artifact_pipeline", "serve", str(digits.folder)]
    process = subprocess.Popen(
        [*command, "--port", "0", "--access-log"], cwd=tmp_path, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    port = int(process.stdout.readline().rpartition(b":")[2])
    if reader == "ended":
        process.stdout.close()
    body = json.dumps(ONE).encode()
    with socket.create_connection(("127.0.0.1", port), HANG) as sock:
        file = sock.makefile("rb")
        for _ in range(1500):  # more than a pipe holds
            sock.sendall(head(INFER, len(body)) + body)
            assert read_reply(file).status == 200
    process.terminate()
    assert process.wait(HANG) == 0
    assert process.stderr.read() == b""
    process.stderr.close()
    if reader == "idle":
        lines = process.stdout.read().splitlines()
        process.stdout.close()
        assert len(lines) > 100 and json.loads(lines[0])["status"] == 200
