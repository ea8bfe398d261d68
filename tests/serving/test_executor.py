"""Heavy, broken and slow requests delay nobody else, and neither does a log that nobody reads."""

import gzip
import json
import os
import socket
import subprocess
import sys
import threading

import pytest

from tests.support.configs import ROOT
from tests.support.server import answer_from, post_large, serving, shop, tensor

INFER = "/v2/models/model/infer"
ROW = [float(i % 17) for i in range(64)]
ONE = {"inputs": [tensor([ROW])]}


@pytest.fixture(scope="module")
def server(digits, tmp_path_factory):
    words = ("--max-rows", 200_000, "--deadline", 60)
    with serving(digits.folder, *words, cwd=tmp_path_factory.mktemp("fair")) as found:
        yield found


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


@pytest.mark.parametrize("name", HEAVY)
def test_who_asks_while_a_heavy_body_is_parsed_is_answered_first(server, name):
    """Not by the clock: of two requests, the light one that came later is answered earlier."""
    path, body = HEAVY[name]
    with (
        socket.create_connection(("127.0.0.1", server.port), 60) as heavy,
        socket.create_connection(("127.0.0.1", server.port), 60) as light,
    ):
        # Several in one go, so that there is work left when the light one arrives.
        others = [socket.create_connection(("127.0.0.1", server.port), 60) for _ in range(3)]
        for sock in (*others, heavy):
            sock.sendall(head(path, len(body)) + body)
        order: list[str] = []

        def hear(sock, said):
            status = answer_from(sock.makefile("rb")).status
            order.append(said)
            assert status in (200, 400, 413)

        threads = [threading.Thread(target=hear, args=(heavy, "heavy"))]
        threads[0].start()
        one = json.dumps(ONE).encode()
        light.sendall(head(INFER, len(one)) + one)
        threads.append(threading.Thread(target=hear, args=(light, "light")))
        threads[1].start()
        for thread in threads:
            thread.join(60)
        for sock in others:
            sock.close()
    assert order == ["light", "heavy"]


def test_small_requests_pass_large_ones_that_wait(server):
    """A hundred large bodies, packed so that they cost nothing to send."""
    garbage = gzip.compress(b'{"rows": [' + b"[1]," * (3 << 20), 1)
    sent = head("/predict", len(garbage), "Content-Encoding: gzip") + garbage
    socks = [socket.create_connection(("127.0.0.1", server.port), 60) for _ in range(100)]
    for sock in socks:
        sock.sendall(sent)
    rows = {"rows": [ROW] * 500}  # too many bytes for the event loop
    for _ in range(5):
        assert server.post("/predict", rows).status == 200
        assert server.get("/v2/health/live").status == 200
    found = {answer_from(sock.makefile("rb")).status for sock in socks}
    assert found <= {400, 413, 503}
    for sock in socks:
        sock.close()


def test_the_deadline_covers_parsing(digits, tmp_path):
    with serving(digits.folder, "--deadline", 0.2, "--max-rows", 10**6, cwd=tmp_path) as server:
        body = b'{"rows": [' + b",".join([json.dumps(ROW).encode()] * 45_000) + b"]}"
        found = post_large(server, body)
        assert found.status == 504 and "send fewer rows" in found.json["error"]
        assert server.post(INFER, ONE).status == 200


def test_texts_that_unpack_are_bounded_by_what_came(tmp_path):
    artifact = shop(tmp_path, ("city", lambda index: f"c{index % 3}"))
    with serving(artifact, cwd=tmp_path) as server:
        packed = gzip.compress(json.dumps({"rows": [{"city": "c" * (3 << 20)}]}).encode())
        found = server.ask("POST", "/predict", packed, content_encoding="gzip")
        assert found.status == 413 and "times its size" in found.json["error"]
        enough = gzip.compress(json.dumps({"rows": [{"city": "c1"}] * 5000}).encode())
        found = server.ask("POST", "/predict", enough, content_encoding="gzip")
        assert (found.status, len(found.json["labels"])) == (200, 5000)


@pytest.mark.skipif(os.name == "nt", reason="needs pipes of POSIX")
@pytest.mark.parametrize("reader", ["ended", "idle"])
def test_an_access_log_that_nobody_reads_costs_lines_and_no_answers(digits, tmp_path, reader):
    command = [sys.executable, "-m", "artifact_pipeline", "serve", str(digits.folder)]
    process = subprocess.Popen(
        [*command, "--port", "0", "--access-log"], cwd=tmp_path, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    port = int(process.stdout.readline().rpartition(b":")[2])
    if reader == "ended":
        process.stdout.close()
    body = json.dumps(ONE).encode()
    with socket.create_connection(("127.0.0.1", port), 20) as sock:
        file = sock.makefile("rb")
        for _ in range(1500):  # more than a pipe holds
            sock.sendall(head(INFER, len(body)) + body)
            assert answer_from(file).status == 200
    process.terminate()
    assert process.wait(30) == 0
    assert process.stderr.read() == b""
    process.stderr.close()
    if reader == "idle":
        lines = process.stdout.read().splitlines()
        process.stdout.close()
        assert len(lines) > 100 and json.loads(lines[0])["status"] == 200
