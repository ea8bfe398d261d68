"""Connections: pieces, pipelines, timeouts, and bytes that are not HTTP."""

import json
import re
import socket
import time
from contextlib import ExitStack

import pytest
from benchmarks.serving.soak import workers_mib

from tests.support.server import attempt, read_all, read_reply, serving, tensor, train_neighbors
from tests.support.waiting import HANG, until

ROW = [float(i % 17) for i in range(64)]
SLOW = "/v2/models/slow/infer"
INFER = "/v2/models/model/infer"


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    return train_neighbors(tmp_path_factory.mktemp("slow"))


@pytest.fixture(scope="module")
def server(digits, slow, tmp_path_factory):
    models = [f"model={digits.folder}", f"slow={slow}"]
    with serving(*models, "--deadline", HANG, cwd=tmp_path_factory.mktemp("serve")) as running:
        yield running


@pytest.fixture(scope="module")
def impatient(digits, tmp_path_factory):
    """A server that gives a request three seconds to arrive."""
    with serving(digits.folder, "--deadline", 3, cwd=tmp_path_factory.mktemp("serve")) as running:
        yield running


def request(name, *headers, version="1.1", rows=1, path=INFER) -> bytes:
    body = json.dumps({"id": name, "inputs": [tensor([ROW] * rows)]}).encode()
    return post(body, *headers, version=version, path=path)


def post(body, *headers, version="1.1", path=INFER) -> bytes:
    head = [f"POST {path} HTTP/{version}", "Host: localhost", "Content-Type: application/json"]
    head += [f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body


def chunked(*lines, coding="chunked", path=INFER) -> bytes:
    """Return the head of a request whose body comes in chunks."""
    head = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
    return "\r\n".join([*head, f"Transfer-Encoding: {coding}", *lines, "", ""]).encode()


def ids(answers: bytes) -> list[str]:
    return re.findall(r'"id":"(\w+)"', answers.decode())


def statuses(answers: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"HTTP/1.[01] (\d+)", answers)]


def test_pipelined_requests_are_answered_in_order(server):
    names = [f"n{number}" for number in range(20)]
    sent = [request(name, rows=1 if i % 3 else 2000) for i, name in enumerate(names)]
    sent.insert(7, request("none", path="/v2/models/other/infer"))
    answers = server.raw(b"".join([*sent, request("last", "Connection: close")]))
    assert ids(answers) == [*names, "last"]
    assert statuses(answers) == [200] * 7 + [404] + [200] * 14


def test_a_request_in_two_pieces_is_answered(server):
    whole = request("cut", "Connection: close")
    for cut in [1, 20, whole.index(b"\r\n\r\n") + 2, whole.index(b"\r\n\r\n") + 4, len(whole) - 1]:
        with server.connect() as sock:
            sock.sendall(whole[:cut])
            server.taken(sock)
            sock.sendall(whole[cut:])
            assert ids(read_all(sock)) == ["cut"], cut


BROKEN = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",  # TLS, where none is spoken
    b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX : a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
    b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na",
    chunked(coding="gzip, chunked") + b"2\r\n{}\r\n0\r\n\r\n",
    chunked(coding="chunked, identity") + b"2\r\n{}\r\n0\r\n\r\n",
    chunked(coding="identity") + b"{}",
    chunked("Transfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\n\r\n",
    chunked() + b"no number\r\n",
    chunked() + b"2\r\n{}and more\r\n",
    b"GET /v2 HTTP/1.1\r\n\r\n",
    b"GET /v2 HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
    b"GET /v2 HTTP/1.1\r\nHost: localhost\r\nAuthorization: a\r\nAuthorization: b\r\n\r\n",
]


@pytest.mark.parametrize("sent", BROKEN, ids=range(len(BROKEN)))
def test_a_malformed_request_is_refused_after_earlier_ones_are_answered(server, sent):
    before = request("slow", rows=1500, path=SLOW) + request("quick")
    with server.connect() as sock:
        sock.sendall(before + sent)
        file = sock.makefile("rb")
        slow, quick, refused = (read_reply(file) for _ in range(3))
        sock.shutdown(socket.SHUT_WR)
        assert file.read() == b""
    assert (slow.status, quick.status) == (200, 200)
    assert ids(slow.body + quick.body) == ["slow", "quick"]
    assert refused.status in (400, 431)
    assert server.get("/v2/health/live").status == 200
    until(lambda: server.counted("in_flight") == 1)  # the scrape itself


def test_a_length_beside_chunks_is_refused(server):
    """What stands behind the chunks is not read as another request: the connection is closed."""
    inner = b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for length in (4, len(inner)):
        head = chunked(f"Content-Length: {length}")
        answers = server.raw(head + b"2\r\n{}\r\n0\r\n\r\n" + inner)
        assert statuses(answers) == [400]


def test_trailers_are_not_headers(server):
    body = json.dumps({"id": "chunks", "inputs": [tensor([ROW])]}).encode()
    chunks = b"%x\r\n%s\r\n0\r\n" % (len(body), body)
    for trailer in (b"Host: evil.example\r\n", b"Origin: http://evil.example\r\n", b"X: 1\r\n"):
        with server.connect() as sock:
            sock.sendall(chunked() + chunks + trailer + b"\r\n")
            assert read_reply(sock.makefile("rb")).json["id"] == "chunks"


@pytest.mark.slow
@pytest.mark.parametrize(
    "start",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n",
        chunked() + b"2\r\n{}\r\n0\r\n",
        chunked() + b"2;",
        chunked() + b"00000000000000000000000",
    ],
    ids=["headers", "trailers", "chunk extension", "chunk size"],
)
def test_an_endless_request_is_not_buffered(impatient, start):
    piece = b"0" * 65_536 if start[-1:] in b";0" else b"X: " + b"a" * 4000 + b"\r\n"
    before, sent = workers_mib(impatient.process.pid), 0
    with impatient.connect() as sock, pytest.raises(OSError, match=r"reset|Broken pipe"):
        sock.sendall(start)
        while sent < 128 << 20:
            sent += sock.send(piece)
        until(lambda: not sock.send(piece[:1]))  # only the deadline ends the others
    assert workers_mib(impatient.process.pid) < before + 20


def test_an_http_1_0_connection_is_kept_on_request(server):
    assert statuses(server.raw(request("end", version="1.0"))) == [200]
    with server.connect() as sock:
        file = sock.makefile("rb")
        for _ in range(3):
            sock.sendall(request("kept", "Connection: Keep-Alive", version="1.0"))
            reply = read_reply(file)
            assert (reply.json["id"], reply.headers["connection"]) == ("kept", "keep-alive")


def test_a_connection_is_closed_on_request(server):
    assert ids(server.raw(request("end", "Connection: close"))) == ["end"]


@pytest.mark.slow
def test_a_request_that_arrives_too_slowly_is_closed(impatient):
    """A head gets no answer, a body 408; an idle connection is closed like a head."""
    kinds: list[tuple[bytes, list[int]]] = [
        (b"", []),
        (b"GET /v2 HT", []),
        (request("first") + b"GET /v2 HT", [200]),
        (post(b"{}" * 50)[:-10], [408]),
        (chunked() + b"2\r\n{}\r\n", [408]),
    ]

    def closings():
        """Return the answers on a connection of each kind, or None if the machine is too busy."""
        start = time.monotonic()
        with ExitStack() as stack:
            socks = [stack.enter_context(impatient.connect()) for _ in kinds]
            for sock, (sent, _) in zip(socks, kinds, strict=True):
                sock.sendall(sent)
            sent_in_time = time.monotonic() - start < 1.0
            answers = []
            for sock in socks:
                answers.append(read_all(sock))
                assert time.monotonic() - start > 2.0, "closed before the deadline"
        answered_in_time = 200 in statuses(answers[2])
        return answers if sent_in_time and answered_in_time else None

    for answers, (_, expected) in zip(until(lambda: attempt(closings)), kinds, strict=True):
        assert statuses(answers) == expected
        assert bool(answers) == bool(expected)
    assert until(lambda: attempt(lambda: impatient.counted("in_flight"))) == 1


def test_expect_100_continue_is_answered(server):
    with server.connect() as sock:
        file = sock.makefile("rb")
        whole = request("wait", "Expect: 100-continue")
        end = whole.index(b"\r\n\r\n") + 4
        sock.sendall(whole[:end])
        assert file.readline().startswith(b"HTTP/1.1 100") and file.readline() == b"\r\n"
        sock.sendall(whole[end:])
        assert read_reply(file).json["id"] == "wait"
        # And is not asked for where the answer needs none of it.
        sock.sendall(request("no", "Expect: 100-continue", path="/nope")[:end])
        assert file.readline().startswith(b"HTTP/1.1 404")


OFFER = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")


@pytest.mark.parametrize("cut", [None, 30, "head", -1])
def test_an_http2_upgrade_is_ignored(server, cut):
    one = request("java", *OFFER)
    cut = one.index(b"\r\n\r\n") + 4 if cut == "head" else cut
    with server.connect() as sock:
        file = sock.makefile("rb")
        for _ in range(2):  # every client from Java's standard library does so with each request
            sock.sendall(one[:cut])
            server.taken(sock)
            sock.sendall(one[cut:] if cut else b"")
            answer = read_reply(file)
            assert answer.status == 200 and ids(answer.body) == ["java"]


@pytest.mark.parametrize("method", ["CONNECT", "GET"])
def test_tunnels_and_upgrades_are_refused(server, method):
    head = [f"{method} localhost:80 HTTP/1.1", "Host: localhost", *OFFER, "", ""]
    answer = server.raw("\r\n".join(head).encode() + b"\0" * 100)
    assert b" 101 " not in answer and 200 not in statuses(answer)
    assert server.get("/v2/health/live").status == 200


@pytest.mark.parametrize("model", ["model", "slow"])
def test_a_request_is_counted_once(server, model):
    def count():
        codes = [
            server.counted(f'requests_total{{model="{model}",code="{n}"}}') for n in (200, 400)
        ]
        return [
            *codes,
            server.counted(f'rows_total{{model="{model}"}}'),
            server.counted("in_flight"),
        ]

    until(lambda: server.counted("in_flight") == 1)  # the scrape itself
    path, before = f"/v2/models/{model}/infer", count()
    for rows in (1, 2000):
        assert server.post(path, {"inputs": [tensor([ROW] * rows)]}).status == 200
    assert server.post(path, {"inputs": []}).status == 400
    assert [now - then for now, then in zip(count(), before, strict=True)] == [2, 1, 2001, 0]


def test_a_client_that_disconnects_within_its_body_is_counted(server):
    line = 'errors_total{model="model",kind="client-gone"}'
    before = server.counted(line)
    with server.connect() as sock:
        sock.sendall(chunked() + b"2\r\n{}\r\n")
    until(lambda: server.counted(line) > before)
    assert server.counted(line) == before + 1 and server.counted("in_flight") == 1


@pytest.mark.slow
def test_a_client_that_sends_far_ahead_is_held_back(server):
    one, before = request("far"), workers_mib(server.process.pid)
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        sock.connect(("127.0.0.1", server.port))
        sock.settimeout(2.0)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 100 << 20:
                sent += sock.send((one * 50)[sent % len(one) :])
        assert server.get("/v2/health/live").status == 200
        assert workers_mib(server.process.pid) < before + 40
        sock.settimeout(HANG)
        answers = b""
        while answers.count(b'"id":"far"') < sent // len(one):  # all are answered at last
            part = sock.recv(1 << 20)
            assert part, answers[-200:]
            answers += part
