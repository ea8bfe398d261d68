"""One connection and what comes over it: in one piece, in many, and several requests at once."""

import gzip
import json
import re
import socket
import time

import pytest
from benchmarks.serving.soak import mib
from running import answer_from, neighbours, serving, tensor

ROW = [float(i % 17) for i in range(64)]
SLOW = "/v2/models/slow/infer"
INFER = "/v2/models/model/infer"


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    return neighbours(tmp_path_factory.mktemp("slow"))


@pytest.fixture(scope="module")
def server(digits, slow, tmp_path_factory):
    models = [f"model={digits.folder}", f"slow={slow}"]
    with serving(*models, cwd=tmp_path_factory.mktemp("serve")) as found:
        yield found


def request(name, *headers, version="1.1", rows=1, path=INFER) -> bytes:
    body = json.dumps({"id": name, "inputs": [tensor([ROW] * rows)]}).encode()
    head = [f"POST {path} HTTP/{version}", "Host: localhost", "Content-Type: application/json"]
    head += [f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body


def ids(answers: bytes) -> list[str]:
    return re.findall(r'"id":"(\w+)"', answers.decode())


def test_requests_sent_in_one_piece_are_answered_in_their_order(server):
    names = [f"n{number}" for number in range(20)]
    # Some may be answered where they are read, some have more rows than that, some are refused.
    sent = [request(name, rows=1 if i % 3 else 2000) for i, name in enumerate(names)]
    sent.insert(7, request("none", path="/v2/models/other/infer"))
    answers = server.raw(b"".join([*sent, request("last", "Connection: close")]))
    assert ids(answers) == [*names, "last"]
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200"] * 7 + [b"404"] + [b"200"] * 14


def test_a_request_in_two_pieces_is_answered_as_in_one(server):
    whole = request("cut", "Connection: close")
    for cut in [1, 20, whole.index(b"\r\n\r\n") + 2, whole.index(b"\r\n\r\n") + 4, len(whole) - 1]:
        with socket.create_connection(("127.0.0.1", server.port), 20) as sock:
            sock.sendall(whole[:cut])
            time.sleep(0.05)
            sock.sendall(whole[cut:])
            answer = b"".join(iter(lambda: sock.recv(65536), b""))
        assert ids(answer) == ["cut"], cut


@pytest.mark.parametrize("words", [{"version": "1.0"}, {}])
def test_a_connection_is_closed_where_the_client_asks_for_it(server, words):
    sent = request("end", *([] if words else ["Connection: close"]), **words)
    answer = server.raw(sent, timeout=3.0)  # before one that is idle is closed
    assert answer.startswith(b"HTTP/1.1 200") and ids(answer) == ["end"]


def test_an_idle_connection_is_closed_after_its_answer(server):
    answer = server.raw(request("idle"), timeout=20.0)
    assert answer.count(b"HTTP/1.1") == 1 and ids(answer) == ["idle"]


def test_a_request_that_waits_for_others_is_not_called_late(slow, tmp_path):
    long = request("long", rows=2000, path=SLOW)
    with serving(f"slow={slow}", "--deadline", "1", cwd=tmp_path) as server:
        cut = len(long) - 1000
        with socket.create_connection(("127.0.0.1", server.port), 20) as sock:
            sock.sendall(long * 8 + long[:cut])
            time.sleep(0.1)
            last = request("last", "Connection: close", path=SLOW)
            sock.sendall(long[cut:] + last)
            answers = b"".join(iter(lambda: sock.recv(1 << 20), b""))
    assert ids(answers) == ["long"] * 9 + ["last"]


KINDS = ("bad-request", "client-gone", "slow-request")
CHUNKED = (
    f"POST {INFER} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    "Transfer-Encoding: chunked\r\n\r\n"
).encode()


@pytest.mark.parametrize("before", [b"", b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n", b"infer"])
@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS, where none is spoken
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
        CHUNKED + b"no number\r\n",
        CHUNKED + b"2\r\n{}and more\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000,
    ],
)
def test_what_is_no_http_is_told_so_once_and_the_connection_closed(server, before, sent):
    line = 'errors_total{model="",kind="%s"}'
    counted = sum(server.counted(line % kind) for kind in ("bad-request", "headers"))
    with socket.create_connection(("127.0.0.1", server.port), 20) as sock:
        file = sock.makefile("rb")
        if before:
            sock.sendall(request("before") if before == b"infer" else before)
            answer_from(file)
        sock.sendall(sent)
        answer = file.read()
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) in ([b"400"], [b"431"])
    assert set(json.loads(answer.partition(b"\r\n\r\n")[2])) == {"error"}
    now = sum(server.counted(line % kind) for kind in ("bad-request", "headers"))
    assert now == counted + 1 and server.counted("in_flight") == 1  # which counts itself


def test_whoever_ends_within_a_body_is_counted_by_what_was_told(server):
    def counted():
        lines = [f'errors_total{{model="model",kind="{one}"}}' for one in KINDS]
        return [server.counted(line) for line in lines]

    before = counted()
    for sent, told in ((b"no number\r\n", b" 400 "), (b"", b"")):
        with socket.create_connection(("127.0.0.1", server.port), 20) as sock:
            sock.sendall(CHUNKED + b"2\r\n{}\r\n")
            time.sleep(0.1)
            sock.sendall(sent)
            assert not sent or told in sock.makefile("rb").readline()
        time.sleep(0.1)
    assert [now - then for now, then in zip(counted(), before, strict=True)] == [1, 1, 0]
    assert server.counted("in_flight") == 1  # which counts itself


@pytest.mark.parametrize("sent", [b"\0\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000])
def test_what_was_asked_before_it_is_answered(server, sent):
    kinds = [f'errors_total{{model="",kind="{kind}"}}' for kind in ("bad-request", "headers")]
    counted = sum(map(server.counted, kinds))
    head, _, body = request("slow", "Content-Encoding: gzip", rows=2000, path=SLOW).partition(
        b"\r\n\r\n"
    )
    body = gzip.compress(body)  # so small that what follows is read meanwhile
    head = re.sub(rb"Length: \d+", b"Length: %d" % len(body), head)
    with socket.create_connection(("127.0.0.1", server.port), 20) as sock:
        sock.sendall(head + b"\r\n\r\n" + body)
        time.sleep(0.05)
        sock.sendall(sent)
        answer = sock.makefile("rb").read()
    assert ids(answer) == ["slow"] and answer.count(b"HTTP/1.1 ") == 1
    assert sum(map(server.counted, kinds)) == counted + 1


OFFER = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")


@pytest.mark.parametrize("cut", [None, 30, "head", -1])
def test_an_offer_of_http2_is_declined_by_an_answer_as_if_there_were_none(server, cut):
    one = request("java", *OFFER)
    cut = one.index(b"\r\n\r\n") + 4 if cut == "head" else cut
    with socket.create_connection(("127.0.0.1", server.port), 20) as sock:
        file = sock.makefile("rb")
        for _ in range(2):  # every client from Java's standard library does so with each request
            sock.sendall(one[:cut])
            time.sleep(0.05)
            sock.sendall(one[cut:] if cut else b"")
            answer = answer_from(file)
            assert answer.status == 200 and ids(answer.body) == ["java"]


def test_an_offer_with_a_body_in_chunks(server):
    whole = request("chunks", *OFFER, "Connection: close, Upgrade")
    head, body = whole.split(b"\r\n\r\n")
    head = re.sub(rb"Content-Length: \d+", b"Transfer-Encoding: chunked", head)
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:99], body[99:], b""))
    assert ids(server.raw(head + b"\r\n\r\n" + chunks)) == ["chunks"]


@pytest.mark.parametrize("method", ["CONNECT", "GET"])
def test_a_tunnel_or_another_protocol_is_not_to_be_had(server, method):
    head = [f"{method} localhost:80 HTTP/1.1", "Host: localhost", *OFFER, "", ""]
    answer = server.raw("\r\n".join(head).encode() + b"\0" * 100, timeout=10.0)
    assert answer.startswith(b"HTTP/1.1 4") and b" 101 " not in answer
    assert server.get("/v2/health/live").status == 200


def test_offers_among_other_requests_in_one_piece(server):
    offers = [request(f"n{n}", *(OFFER if n % 2 else [])) for n in range(8)]
    ping = "\r\n".join(["GET /v2/health/live HTTP/1.1", "Host: localhost", *OFFER, "", ""]).encode()
    last = request("last", "Upgrade: websocket", "Connection: close, Upgrade")
    answers = server.raw(b"".join([*offers[:4], ping * 3, *offers[4:], last]), timeout=3.0)
    assert ids(answers) == [*(f"n{n}" for n in range(8)), "last"]
    assert answers.count(b"HTTP/1.1 200") == 12


@pytest.mark.slow
def test_a_connection_that_is_used_stays_open_whatever_way_its_requests_go(server):
    with socket.create_connection(("127.0.0.1", server.port), 20) as sock:
        file = sock.makefile("rb")
        # One that is idle for 5 s is closed; these pauses are longer only together.
        for name in ("at once", "at once", "by a task", "at once"):
            sock.sendall(request("used", *(["Expect: 100-continue"] if "task" in name else [])))
            if "task" in name:
                assert file.readline().split()[1] == b"100" and file.readline() == b"\r\n"
            assert ids(answer_from(file).body) == ["used"], name
            time.sleep(3.0)
        start = time.monotonic()
        assert file.read() == b"" and time.monotonic() - start < 5


@pytest.mark.parametrize("model", ["model", "slow"])
def test_whatever_way_it_went_a_request_is_counted_once(server, model):
    def count():
        codes = [
            server.counted(f'requests_total{{model="{model}",code="{n}"}}') for n in (200, 400)
        ]
        return [
            *codes,
            server.counted(f'rows_total{{model="{model}"}}'),
            server.counted("in_flight"),
        ]

    path, before = f"/v2/models/{model}/infer", count()
    # Whole when they are read, but two thousand rows take long.
    for rows in (1, 2000):
        assert server.post(path, {"inputs": [tensor([ROW] * rows)]}).status == 200
    assert server.post(path, {"inputs": []}).status == 400
    assert [now - then for now, then in zip(count(), before, strict=True)] == [2, 1, 2001, 0]


def test_a_client_that_sends_far_ahead_waits_and_fills_no_memory(server):
    one, before = request("far"), mib(server.process.pid)
    with socket.create_connection(("127.0.0.1", server.port), 20) as sock:
        sock.settimeout(2.0)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 100 << 20:
                sent += sock.send((one * 50)[sent % len(one) :])
        assert server.get("/v2/health/live").status == 200
        assert mib(server.process.pid) < before + 40
        sock.settimeout(60.0)
        answers = b""
        while answers.count(b'"id":"far"') < sent // len(one):  # who reads at last gets them all
            answers += sock.recv(1 << 20)
