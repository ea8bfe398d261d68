"""A head that came before, byte for byte, is not read again: what it means never changes by it."""

import json
import shutil
import socket
import time

import pytest
from conftest import SHORT, call, write
from running import answer_from, neighbours, serving, tensor

INFER = "/v2/models/model/infer"
SLOW = "/v2/models/slow/infer"
ROW = [float(i % 17) for i in range(64)]


@pytest.fixture(scope="module")
def server(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("serve")
    models = [f"model={digits.folder}", f"slow={neighbours(folder)}"]
    with serving(*models, cwd=folder) as found:
        yield found


def inference(name, row=ROW, path=INFER, *headers) -> bytes:
    """Return a request; those with names of one length and rows of one have the same head."""
    body = json.dumps({"id": name, "inputs": [tensor([row])]}).encode()
    return post(body, path, *headers)


def post(body, path=INFER, *headers) -> bytes:
    head = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", *headers]
    return "\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode() + body


class Connection:
    """A connection that is kept."""

    def __init__(self, server):
        self.sock = socket.create_connection(("127.0.0.1", server.port), 20)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def ask(self, *pieces, answers=1):
        """Send pieces, each on its own, and return the answers: their status, and what they say."""
        for piece in pieces:
            self.sock.sendall(piece)
            time.sleep(0.05 if len(pieces) > 1 else 0)
        with self.sock.makefile("rb") as file:
            replies = [answer_from(file) for _ in range(answers)]
        found = [(one.status, one.json) for one in replies]
        return found[0] if answers == 1 else found


@pytest.fixture
def connection(server):
    """A connection over which a request came whose head may be known by now."""
    with Connection(server) as found:
        assert found.ask(inference("n0"))[0] == 200
        yield found


def test_each_body_gets_its_own_answer(connection):
    said = []
    for name, row in (("n1", ROW), ("n2", ROW[::-1]), ("n3", ROW)):
        status, answer = connection.ask(inference(name, row))
        assert (status, answer["id"]) == (200, name)
        said.append(answer["outputs"])
    assert said[0] == said[2] != said[1]


def test_a_body_that_is_no_request_is_refused_and_the_next_is_not(connection):
    good = inference("n1")
    bad = good.replace(b'"FP64"', b'"FP46"')
    assert [connection.ask(one)[0] for one in (bad, good, bad, good)] == [400, 200, 400, 200]


def test_what_looks_like_a_request_within_a_body_is_none(connection):
    whole = post(inference("n1"))
    end = whole.index(b"\r\n\r\n") + 4
    # The second piece is, to the byte, a request that was answered before.
    status, said = connection.ask(whole[:end], whole[end:])
    assert status == 400 and "no inference request" in said["error"]
    assert connection.ask(inference("n2"))[1]["id"] == "n2"


def test_nor_within_a_chunk(connection):
    one = inference("n1")
    head = f"POST {INFER} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    pieces = [f"{head}{len(one):x}\r\n".encode(), one, b"\r\n0\r\n\r\n"]
    assert connection.ask(*pieces)[0] == 400
    assert connection.ask(inference("n2"))[1]["id"] == "n2"


@pytest.mark.parametrize("cut", [10, -1, -200])
def test_in_pieces(connection, cut):
    one = inference("n1")
    assert connection.ask(one[:cut], one[cut:])[1]["id"] == "n1"


def test_several_in_one_piece_and_a_piece_that_ends_within_one(connection):
    ones = [inference(f"n{number}") for number in range(1, 8)]
    said = connection.ask(b"".join(ones[:5]) + ones[5][:150], ones[5][150:] + ones[6], answers=7)
    assert [answer["id"] for _, answer in said] == [f"n{number}" for number in range(1, 8)]


def test_nor_within_a_header(connection):
    status, _ = connection.ask(b"GET /v2/models/other HTTP/1.1\r\nReferer: ", inference("n1"))
    assert status == 404
    assert connection.ask(inference("n2"))[1]["id"] == "n2"


def test_nothing_is_a_head_but_from_its_first_line_on(server, connection):
    one = inference("n1")
    assert connection.ask(b"\r\n\r\n" + one)[1]["id"] == "n1"
    body = one[one.index(b"{") :]
    assert server.raw(b"\r\n\r\n" + body).startswith(b"HTTP/1.1 400")


def test_after_an_answer_that_is_still_computed(server, connection):
    many = json.dumps({"id": "many", "inputs": [tensor([ROW] * 2000)]}).encode()
    said = connection.ask(post(many, SLOW) + inference("n1"), inference("n2"), answers=3)
    assert [answer["id"] for _, answer in said] == ["many", "n1", "n2"]
    said = connection.ask(post(many, SLOW), inference("n2"), answers=2)
    assert [answer["id"] for _, answer in said] == ["many", "n2"]


def test_heads_without_end_are_not_kept_and_each_is_answered(server):
    with Connection(server) as connection:
        for number in range(2500):
            status, said = connection.ask(inference("n1", ROW, INFER, f"User-Agent: {number}"))
            assert (status, said["id"]) == (200, "n1")
        assert connection.ask(inference("n2"))[1]["id"] == "n2"


def test_a_head_without_the_token_is_another_head(digits, tmp_path):
    (tmp_path / "token").write_text("correct-horse-battery\n", "utf-8")
    with serving(digits.folder, "--token-file", "token", cwd=tmp_path) as server:
        right = "Authorization: Bearer correct-horse-battery"
        for wrong in ("Authorization: Bearer correct-horse-batterx", "X-Nothing: 1"):
            with Connection(server) as connection:
                for _ in range(3):
                    assert connection.ask(inference("n1", ROW, INFER, right))[0] == 200
                    assert connection.ask(inference("n1", ROW, INFER, wrong))[0] == 401


def test_a_version_that_was_served_is_unknown_once_another_is(tmp_path):
    digests = []
    for change in ({}, {"C": 0.01}):
        config = write(tmp_path, {**SHORT, **change})
        digests.append(call("train", config, "--json", cwd=tmp_path).json["digest"])
    alias = tmp_path / "artifacts" / "aliases" / "champion"
    shutil.copy(alias.with_name("latest"), alias)
    alias.write_text(f"{digests[0]}\n", "utf-8")
    first = inference("n1", ROW, f"/v2/models/model/versions/{digests[0]}/infer")
    with serving("champion", cwd=tmp_path) as server, Connection(server) as connection:
        for _ in range(3):
            assert connection.ask(first)[1]["model_version"] == digests[0]
        alias.write_text(f"{digests[1]}\n", "utf-8")
        end = time.monotonic() + 10
        while connection.ask(first)[0] == 200:
            assert time.monotonic() < end
            time.sleep(0.05)
        status, said = connection.ask(first)
        assert status == 404 and digests[1] in said["error"]
        assert connection.ask(inference("n1"))[1]["model_version"] == digests[1]
