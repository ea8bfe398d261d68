"""Requests that a server refuses, each with its status and an explanation."""

import gzip
import json
import os
import ssl
import subprocess
import zlib

import pytest

from tests.support.command import call
from tests.support.configs import write
from tests.support.server import attempt, read_all, serving, tensor, too_late, train_neighbors
from tests.support.waiting import HANG, until

INFER = "/v2/models/model/infer"
ROW = [float(i % 17) for i in range(64)]
ONE = {"inputs": [tensor([ROW])]}


@pytest.fixture(scope="module")
def server(digits, tmp_path_factory):
    words = ("--max-body", 1, "--max-rows", 50, "--deadline", HANG, "--queue", 2, "--access-log")
    with serving(digits.folder, *words, cwd=tmp_path_factory.mktemp("limits")) as running:
        yield running


@pytest.mark.slow
def test_a_body_that_is_too_large_gets_413(server):
    assert server.post(INFER, b" " * ((1 << 20) + 1)).status == 413
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    head = f"POST {INFER} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    found = server.raw(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 17)
    assert b" 413 " in found.splitlines()[0]
    assert server.post(INFER, ONE).status == 200


@pytest.mark.parametrize(("name", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_compressed_bodies_are_accepted_and_bombs_refused(server, name, pack):
    data = json.dumps(ONE).encode()
    assert server.post(INFER, pack(data), content_encoding=name).json["outputs"]
    assert server.post(INFER, pack(data), content_encoding=name.upper() + " ").json["outputs"]
    bomb = server.post(INFER, pack(b" " * (100 << 20)), content_encoding=name)
    assert bomb.status == 413
    for wrong in (data, pack(data)[:-9], pack(data) + b"x"):
        assert server.post(INFER, wrong, content_encoding=name).status == 400


@pytest.mark.parametrize("name", ["br", "zstd", "gzip, gzip", "x"])
def test_an_unknown_encoding_gets_415(server, name):
    assert server.post(INFER, ONE, content_encoding=name).status == 415


def test_too_many_rows_get_413(server):
    for path, body in (
        (INFER, {"inputs": [tensor([ROW] * 51)]}),
        ("/predict", {"rows": [ROW] * 51}),
        ("/predict", {"rows": [ROW] * 2000}),
        (INFER, b'{"inputs": [{"name": "X", "shape": [51, 64], "datatype": "FP64", "data": 1}]}'),
    ):
        found = server.post(path, body)
        assert found.status == 413 and "at most 50" in found.json["error"]


def test_headers_that_are_too_large_get_431_in_pieces_of_any_size(server):
    line = b"GET /v2 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    counted = server.counted('errors_total{model="",kind="headers"}')
    for size, status in ((10_000, b"200"), (16_200, b"200"), (16_500, b"431"), (19_000, b"431"),
                         (60_000, b"431"), (200_000, b"431")):  # fmt: skip
        whole = line + b"X: " + b"a" * size + b"\r\n\r\n"
        for step in (len(whole), 16_384, 8192, 4001):
            assert _in_pieces(server, whole, step).startswith(b"HTTP/1.1 " + status), (size, step)
    assert b" 431 " in server.raw(line + b"X: a\r\n" * 4000 + b"\r\n").splitlines()[0]
    assert b" 431 " in server.raw(b"GET /" + b"a" * 50_000).splitlines()[0]
    assert server.counted('errors_total{model="",kind="headers"}') > counted


def _in_pieces(server, whole, step) -> bytes:
    """Send a request in pieces and return the begin of the response."""
    with server.connect() as sock:
        for at in range(0, len(whole), step):
            try:
                sock.sendall(whole[at : at + step])
            except OSError:  # refused before all was sent
                break
            server.taken(sock)
        try:
            return sock.recv(2000)
        except ConnectionResetError:
            return b"HTTP/1.1 431 before all was read"


def test_a_request_may_arrive_in_pieces(server):
    body = json.dumps(ONE).encode() + b" " * 30_000
    head = f"POST {INFER} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    whole = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    at = whole.index(b"\r\n\r\n") + 3
    with server.connect() as sock:
        for piece in (whole[:1], whole[1:at], whole[at:]):
            sock.sendall(piece)
            server.taken(sock)
        assert sock.recv(2000).startswith(b"HTTP/1.1 200")


def test_head_requests_have_no_body(server):
    found = server.ask("HEAD", "/v2")
    assert (found.status, found.body) == (200, b"") and int(found.headers["content-length"]) > 10


def test_slow_bodies_take_no_place_in_the_queue(server):
    head = f"POST {INFER} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    slow = [server.connect() for _ in range(150)]
    for one in slow:
        one.sendall(head.encode() + b"Content-Length: 9\r\n\r\n{")
    for _ in range(20):
        assert server.post(INFER, ONE).status == 200
    assert server.counted("in_flight") > 100, "they are still waited for"
    for one in slow:
        one.close()


@pytest.mark.slow
def test_a_full_queue_gets_503_with_retry_after(tmp_path):
    artifact = train_neighbors(tmp_path)
    many = json.dumps({"inputs": [tensor([ROW] * 5000)]}).encode()
    head = f"POST {INFER} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    whole = f"{head}Content-Length: {len(many)}\r\n\r\n".encode() + many

    def refused():
        """Send six requests at once, and return how many found the queue full."""
        socks = [server.connect() for _ in range(6)]
        for sock in socks:
            sock.sendall(whole[:-1])
        for sock in socks:  # complete at the same moment, however slowly they were sent
            sock.sendall(whole[-1:])
        found = [read_all(sock) for sock in socks]
        assert server.get("/v2/health/ready").status == 200
        full = [one for one in found if b" 503 " in one.splitlines()[0]]
        assert all(b"retry-after: 1\r\n" in one for one in full)
        assert sum(b" 200 " in one.splitlines()[0] for one in found) == 6 - len(full) >= 2
        return len(full)

    with serving(artifact, "--queue", 2, "--deadline", HANG, cwd=tmp_path) as server:
        until(refused)  # a client that gets no CPU in between sends one after another
        assert server.post(INFER, ONE).status == 200


def test_unknown_hosts_and_origins_are_refused(server):
    port = server.port
    for host in ("localhost", f"localhost:{port}", f"127.0.0.1:{port}", "[::1]:80", "10.1.2.3"):
        assert server.get("/v2", host=host).status == 200, host
    for host in (
        "evil.example",
        f"evil.example:{port}",
        "localhost.evil.example",
        "127.1.evil",
    ):
        assert server.get("/v2", host=host).status == 421, host
    assert server.post(INFER, ONE, origin="http://evil.example").status == 403
    assert server.post(INFER, ONE, origin="null").status == 403
    assert server.post(INFER, ONE, origin=f"http://127.0.0.1:{port}").status == 200
    assert server.get("/v2", host=f" \t localhost:{port}\t ").status == 200
    for path, status in (
        ("/v2", b"400"),
        ("/v2/health/live", b"200"),
        ("/v2/health/ready", b"200"),
        ("/v2/models/model", b"400"),
        ("/v2/models/model/ready", b"200"),
    ):
        for line in (b"", b"Host:\r\n"):
            sent = f"GET {path} HTTP/1.1\r\nConnection: close\r\n".encode() + line + b"\r\n"
            assert server.raw(sent).startswith(b"HTTP/1.1 " + status), (path, line)
    assert server.get("/v2/health/live", host="evil.example").status == 421
    twice = b"GET /v2 HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\nConnection: close\r\n\r\n"
    assert b" 400 " in server.raw(twice).splitlines()[0]


def test_refusals_have_the_usual_headers(server):
    for found in (server.get("/nope"), server.post(INFER, b"{"), server.get("/v2", host="evil")):
        assert "date" in found.headers and found.headers["x-content-type-options"] == "nosniff"


@pytest.mark.slow
def test_the_scheme_of_a_token_is_case_insensitive(digits, tmp_path):
    (tmp_path / "token").write_text("correct-horse-battery\n", "utf-8")
    with serving(digits.folder, "--token-file", "token", cwd=tmp_path) as server:
        for scheme in ("Bearer", "bearer", "BEARER", "Bearer "):
            said = f"{scheme} correct-horse-battery"
            assert server.get("/v2", authorization=said).status == 200, scheme
        for wrong in ("Bearercorrect-horse-battery", "Basic correct-horse-battery", "Bearer"):
            assert server.get("/v2", authorization=wrong).status == 401, wrong


@pytest.mark.slow
def test_a_prediction_stops_at_the_deadline(tmp_path):
    config = {
        "data": {"dataset": "digits"},
        "model": {"estimator": "sklearn.svm.SVC", "params": {"gamma": 0.5}},
    }
    assert call("train", write(tmp_path, config), cwd=tmp_path).code == 0
    with serving("latest", "--deadline", 0.2, "--max-rows", 10**6, "--max-body", 128,
                 cwd=tmp_path) as server:  # fmt: skip
        assert "send fewer rows" in too_late(server, 20_000).json["error"]
        late = 'errors_total{model="model",kind="deadline"}'
        assert until(lambda: attempt(lambda: server.counted(late))) >= 1
        until(lambda: attempt(lambda: server.post("/predict", {"rows": [ROW]}).status == 200))


@pytest.mark.slow
def test_a_server_for_other_machines_needs_a_token(digits, tmp_path):
    (tmp_path / "token").write_text("correct-horse-battery\n", "utf-8")
    words = (digits.folder, "--host", "0.0.0.0")
    refused = call("serve", *words, cwd=tmp_path)
    assert refused.code == 2 and "--token-file" in refused.err
    words += ("--token-file", "token", "--allow-host", "models.example")
    with serving(*words, cwd=tmp_path) as server:
        assert server.get("/v2/health/live").json == {"live": True}
        assert server.get("/v2/health/ready").json == {"ready": True}
        for path in ("/v2", "/metrics", "/openapi.json", "/v2/models/model", "/nope"):
            found = server.get(path)
            assert found.status == 401 and found.headers["www-authenticate"] == "Bearer"
        for wrong in ("Bearer wrong", "correct-horse-battery", "Bearer ", "bearer x" * 100):
            assert server.post(INFER, ONE, authorization=wrong).status == 401
        right = {"authorization": "Bearer correct-horse-battery"}
        assert server.post(INFER, ONE, **right).status == 200
        assert server.get("/v2", host="models.example", **right).status == 200
        assert server.get("/v2", host="other.example", **right).status == 421
        ready = server.get("/v2/health/ready", **right)
        assert ready.json["models"] == {"model": digits.digest}


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no openssl by itself")
def test_a_server_answers_over_tls(digits, tmp_path):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    words = (digits.folder, "--tls-cert", "cert.pem", "--tls-key", "key.pem")
    with serving(*words, cwd=tmp_path) as server:
        context = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        with (
            server.connect() as sock,
            context.wrap_socket(sock, server_hostname="localhost") as secure,
        ):
            secure.sendall(b"GET /v2 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert secure.recv(1000).startswith(b"HTTP/1.1 200")
    for words in (("--tls-cert", "cert.pem"), ("--tls-cert", "no", "--tls-key", "key.pem")):
        assert call("serve", digits.folder, *words, cwd=tmp_path).code == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nope"], 2, "no such folder"),
        ([], 2, "Missing argument"),
        (["a=x", "a=y"], 2, "two models have the same name"),
        ([" =x"], 2, "invalid model name"),
        (["latest", "--token-file", "nope"], 2, "cannot be read"),
        (["latest", "--token-file", "short"], 2, "expected a token"),
        (["a=x", "b=y", "--digest", "sha256:" + "0" * 64], 2, "pins one artifact"),
        (["latest", "--digest", "sha256:" + "0" * 64], 4, "is another artifact"),
        (["latest", "--public-key", "other.pub"], 4, "is missing, but a signature"),
        (["latest", "--host", "256.1.1.1", "--token-file", "long"], 5, "cannot be bound"),
    ],
)
def test_an_invalid_serve_command_is_one_error(digits, keys, tmp_path, words, code, said):
    (tmp_path / "short").write_text("abc", "utf-8")
    (tmp_path / "long").write_text("abcdefghijklmnopqrst", "utf-8")
    (tmp_path / "other.pub").write_bytes((keys / "other.pub").read_bytes())
    done = call("serve", *words, "--store", digits.store, cwd=tmp_path)
    assert (done.code, said in done.err) == (code, True), done.err


def test_a_changed_artifact_is_not_served(copied):
    with (copied / "model.onnx").open("r+b") as file:
        file.seek(100)
        file.write(b"\xff")
    done = call("serve", copied, cwd=copied.parent)
    assert done.code == 4 and "was changed" in done.err


def test_a_port_in_use_exits_5(server, digits, tmp_path):
    done = call("serve", digits.folder, "--port", server.port, cwd=tmp_path)
    assert done.code == 5 and "cannot be bound" in done.err


@pytest.mark.slow
def test_the_access_log_has_one_line_of_json_per_request(digits, tmp_path):
    for words in (["--access-log"], []):
        with serving(digits.folder, *words, cwd=tmp_path) as server:
            server.post("/predict", {"rows": [ROW, ROW]})
            server.post("/v2/models/model/infer", {"inputs": [tensor([ROW])]})
            server.get("/v2?secret=1", host="evil.example")
            server.process.terminate()
            out, err = server.process.communicate(timeout=HANG)
        lines = [json.loads(line) for line in out.splitlines()]
        assert [(one["path"], one["status"], one["rows"]) for one in lines] == (
            [("/predict", 200, 2), ("/v2/models/model/infer", 200, 1), ("/v2", 421, 0)]
            if words
            else []
        )
        assert (err, server.process.returncode) == ("", 0)
