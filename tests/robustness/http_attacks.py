"""Attacks on a server's memory, patience and output; each is counted, and ends by a condition.

`python -m tests.robustness.http_attacks [SHARE]` prints a line for each. The attacked server is
started by the command line with its usual limits and a short deadline.
"""

from __future__ import annotations

import gzip
import os
import select
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import IO, NamedTuple

from tests.robustness.http_exchange import NotHTTP, Server, exchange, parse, serving
from tests.robustness.http_fuzzing import models
from tests.robustness.http_requests import Model, framed, inference
from tests.support.waiting import HANG

DEADLINE = 5
"""Seconds that the attacked server lets a request arrive in."""
PATIENCE = HANG
"""Seconds after which something that should end counts as endless; a busy machine needs few."""
SWALLOWED = 32 << 20
"""Bytes beyond what the kernel's buffers hold; a server that takes so many takes any number."""
POURED = 192 << 20
"""Bytes of a request without end; what keeps them grows by more than `GROWTH_MIB`."""
GROWTH_MIB = 128
BOMBED_MIB = 1024
"""What a hundred bodies of 16 MiB at once may take together."""


class Attacked(NamedTuple):
    """An attack: how often it was tried, and what must not have happened."""

    name: str
    tried: int
    must_be_none: dict[str, int]


def attacks(folder: Path, model: Model, share: float = 1.0) -> Iterator[Attacked]:
    """Yield what comes of each attack.

    Args:
        folder: For the server's files.
        model: Is served, and must be of a matrix.
        share: Of the full counts.
    """
    places = [f"{model.name}={model.folder}"]

    def times(full: int) -> int:
        return max(int(full * share), 1)

    each: tuple[tuple[str, int, int, Callable[[Server, Model, int], dict[str, int]]], ...] = (
        ("streams without end", max(times(40), 12), GROWTH_MIB, _endless),
        ("heads that trickle", max(times(300), 140), GROWTH_MIB, _trickling_heads),
        ("bodies that trickle", max(times(300), 140), GROWTH_MIB, _trickling_bodies),
        ("bodies that unpack", times(100), BOMBED_MIB, _bombs),
        ("readers that never read", times(8), GROWTH_MIB, _unread),
        ("clients that go", times(400), GROWTH_MIB, _aborted),
    )
    for name, tries, most, attack in each:
        with serving(folder, places, "--deadline", DEADLINE) as server:
            _probe(server, model)
            before = server.peak()
            found = attack(server, model, tries)
            growth = server.peak() - before
            found["unserved"] = int(not _probe(server, model))
            found["grown"] = int(growth > most)
            found["tracebacks"] = server.tracebacks()
            found["died"] = int(not server.alive())
        yield Attacked(name, tries, found)
    for name, closes in (("access log, reader gone", True), ("access log, not read", False)):
        tries = times(3000)
        yield Attacked(name, tries, _logged(folder, places, model, tries, closes))


def _probe(server: Server, model: Model, seed: int = 0) -> bool:
    """Return whether a valid inference gets its 200 and the artifact's prediction.

    It may take three attempts: the deadline of the server passes also while it gets no CPU.
    """
    return any(_is_predicted(server, model, seed) for _ in range(3))


def _is_predicted(server: Server, model: Model, seed: int) -> bool:
    message = inference(model, Random(f"probe-{seed}"))
    data = framed(message.with_header(b"Connection", b"close"))
    try:
        [response], _ = parse(exchange(server.port, [data], timeout=PATIENCE).data, ["POST"])
    except (NotHTTP, OSError, ValueError):
        return False
    assert message.check is not None
    return response.status == 200 and message.check(response) is None


def _open(server: Server, data: bytes) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(data)
    return sock


def _head(model: Model, *lines: bytes, token: bool = True) -> bytes:
    message = inference(model, Random(1))._replace(body=b"")
    kept = message if token else message.without(b"authorization")
    first = b"POST " + kept.target + b" HTTP/1.1"
    found = [first, *(name + b": " + value for name, value in kept.headers), *lines]
    return b"\r\n".join(found) + b"\r\n"


def _endless(server: Server, model: Model, tries: int) -> dict[str, int]:
    """Send parts of a request that never end: trailers, extensions, header lines, names."""
    body = inference(model, Random(1)).body
    coded = b"Transfer-Encoding: chunked"
    chunk = b"%x\r\n%s\r\n" % (len(body), body)
    line = b"X: " + b"a" * 1000 + b"\r\n"
    streams = (
        (_head(model, coded) + b"\r\n" + chunk + b"0\r\n", line),
        (_head(model, coded, token=False) + b"\r\n" + chunk + b"0\r\n", line),
        (_head(model, coded) + b"\r\n" + chunk + b"0\r\nX: ", b"a" * 1000),
        (_head(model, coded) + b"\r\n1;", b"a" * 1000),
        (_head(model, coded) + b"\r\n", b"1;" + b"a" * 1000 + b"\r\n \r\n"),
        (_head(model, coded) + b"\r\n", b"1\r\n \r\n" * 100),
        (_head(model, coded) + b"\r\n", b"0" * 1000),
        (_head(model), line),
        (_head(model) + b"X: ", b"a" * 1000),
        (b"", b"A" * 1000),
        (b"GET /", b"a" * 1000),
        (b"", b"\r\n" * 500),
    )
    left_open = 0
    for number in range(tries):
        start, more = streams[number % len(streams)]
        left_open += not _pour(server, start, more * 64)
    return {"left_open": left_open}


def _pour(server: Server, start: bytes, more: bytes) -> bool:
    """Send `more` again and again until the server closes, and return whether it does."""
    taken, until = 0, time.monotonic() + PATIENCE
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as sock:
        sock.setblocking(False)
        rest = start + more
        try:
            while time.monotonic() < until:
                readable, writable, _ = select.select([sock], [sock], [], 1.0)
                if readable and not sock.recv(1 << 16):
                    return True
                if writable:
                    sent = sock.send(rest if taken < POURED else rest[:1])
                    taken += sent
                    rest = rest[sent:] or more
                if taken >= POURED:  # from here on it only has to end
                    select.select([sock], [], [], 0.05)
        except OSError:
            return True
    return False


def _trickling_heads(server: Server, model: Model, tries: int) -> dict[str, int]:
    return _trickle(server, model, [_head(model) + b"X: "] * tries)


def _trickling_bodies(server: Server, model: Model, tries: int) -> dict[str, int]:
    by_length = _head(model, b"Content-Length: 100000") + b"\r\n{"
    in_chunks = _head(model, b"Transfer-Encoding: chunked") + b"\r\nfffff\r\n{"
    return _trickle(server, model, [by_length, in_chunks] * (tries // 2))


def _trickle(server: Server, model: Model, starts: Sequence[bytes]) -> dict[str, int]:
    """Open many requests that come a byte at a time; others are served, and these are ended."""
    socks = [_open(server, start) for start in starts]
    starved = sum(not _probe(server, model, seed) for seed in range(5))
    until = time.monotonic() + PATIENCE
    answered = 0
    while socks and time.monotonic() < until:
        for sock in select.select(socks, [], [], 0.2)[0]:
            try:
                said = sock.recv(1 << 16)
            except OSError:
                said = b""
            answered += said.startswith(b"HTTP/1.1 200")
            if not said:
                sock.close()
                socks.remove(sock)
        for sock in list(socks):
            try:
                sock.send(b" ")
            except OSError:
                sock.close()
                socks.remove(sock)
    for sock in socks:
        sock.close()
    return {"starved": starved, "left_open": len(socks), "answered": answered}


def _bombs(server: Server, model: Model, tries: int) -> dict[str, int]:
    """Send bodies of some 16 KB that unpack a thousandfold, all at once, and ask beside them."""
    size = (16 << 20) - 100
    width = len(model.predictor.interface.features)
    row = b"[" + b",".join([b"0"] * width) + b"]"
    texts = (
        b'{"rows": [' + b",".join([b"[]"] * (size // 3)) + b"]}",
        b'{"rows": [' + b",".join([row] * (size // (len(row) + 1))) + b"]}",
        b'{"rows": [' + b",".join([b'{"a":0}'] * (size // 8)) + b"]}",
        b'{"rows": [[' + b",".join([b"0"] * (size // 2)) + b"]]}",
        b" " * size,
        b" " * (8 * size),
        b'"' + b"a" * size + b'"',
        b'{"rows": [["' + b"\\u0000" * (size // 6) + b'"]]}',
    )
    predict = b"/predict/" + model.name.encode()
    message = inference(model, Random(1)).with_header(b"Content-Encoding", b"gzip")
    message = message.with_header(b"Connection", b"close")
    infer = b'{"inputs":[{"name":"X","datatype":"FP64","shape":[1,%d],"data":[' % width
    texts_of_infer = (
        infer + b",".join([b"0"] * (size // 2 - 100)) + b"]}]}",
        infer + b",".join([b"[]"] * (size // 3 - 100)) + b"]}]}",
    )
    packed = [framed(message._replace(target=predict, body=gzip.compress(t))) for t in texts]
    packed += [framed(message._replace(body=gzip.compress(text))) for text in texts_of_infer]
    socks = [_open(server, packed[number % len(packed)]) for number in range(tries)]
    starved = sum(not _probe(server, model, seed) for seed in range(5))
    answered, ended = _hear(socks)
    return {"starved": starved, "answered": answered, "left_open": len(socks) - ended}


def _hear(socks: Sequence[socket.socket]) -> tuple[int, int]:
    """Return how many connections got a 200, and how many ended."""
    answered = ended = 0
    until = time.monotonic() + 5 * PATIENCE
    for sock in socks:
        with sock:
            sock.settimeout(max(until - time.monotonic(), 0.1))
            try:
                said = sock.recv(1 << 16)
                answered += said.startswith(b"HTTP/1.1 200")
                while said:
                    said = sock.recv(1 << 16)
            except TimeoutError:
                continue
            except OSError:
                pass
            ended += 1
    return answered, ended


def _unread(server: Server, model: Model, tries: int) -> dict[str, int]:
    """Ask without end and read no answer: the server stops to read, and serves others."""
    ask = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n"
    ask += next(line for line in _head(model).split(b"\r\n") if line.startswith(b"Auth"))
    infers = framed(inference(model, Random(2)))
    socks, swallowed = [], 0
    for number in range(tries):
        more = ((ask + b"\r\n\r\n") if number % 2 else infers) * 200
        sock = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
        sock.setblocking(False)
        socks.append(sock)
        taken, rest = 0, more
        try:
            # Ended by a second in which nothing more is taken.
            while taken < SWALLOWED and select.select([], [sock], [], 1.0)[1]:
                sent = sock.send(rest)
                taken += sent
                rest = rest[sent:] or more
        except OSError:
            pass
        swallowed += taken >= SWALLOWED
    starved = sum(not _probe(server, model, seed) for seed in range(5))
    for sock in socks:
        sock.close()
    return {"swallowed": swallowed, "starved": starved}


def _aborted(server: Server, model: Model, tries: int) -> dict[str, int]:
    """Reset connections at every place of a request; none is counted as under way afterwards."""
    random = Random(3)
    for _ in range(tries):
        data = framed(inference(model, random)) * random.choice((1, 1, 3))
        sock = _open(server, data[: random.randrange(len(data) + 1)])
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
    message = inference(model, random).with_header(b"Connection", b"close")
    ask = framed(message._replace(method=b"GET", target=b"/metrics", body=b""))
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        said = exchange(server.port, [ask]).data
        # The question itself is one.
        if b"\nartifact_pipeline_in_flight 1\n" in said or b"_in_flight 1.0\n" in said:
            return {"stuck": 0}
        time.sleep(0.1)
    return {"stuck": 1}


def _logged(
    folder: Path, places: Sequence[str], model: Model, tries: int, closes: bool
) -> dict[str, int]:
    """Serve with an access log whose reader ended, or does not read: every request is answered."""
    reading, writing = os.pipe()
    out: IO[bytes] = os.fdopen(reading, "rb", buffering=0)
    unanswered = 0
    options = ("--access-log", "--deadline", PATIENCE)
    with out, serving(folder, places, *options, stdout=(writing, out)) as server:
        os.close(writing)
        if closes:
            out.close()
        random, at_once = Random(4), 50
        for _ in range(max(tries // at_once, 1)):
            messages = [inference(model, random) for _ in range(at_once)]
            messages[-1] = messages[-1].with_header(b"Connection", b"close")
            received = exchange(server.port, [b"".join(map(framed, messages))])
            try:
                responses, _ = parse(received.data, ["POST"] * at_once)
            except NotHTTP:
                responses = []
            checked = zip(messages, responses, strict=False)
            right = [m.check is not None and m.check(r) is None for m, r in checked]
            unanswered += at_once - sum(right)
            if not right and not _probe(server, model):
                break  # and nothing will be
        found = {"unanswered": unanswered, "tracebacks": server.tracebacks()}
        found["died"] = int(not server.alive())
    return found


def main() -> None:
    """Attack, print a line for each attack, and end with 1 if anything was as it must not be."""
    share = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    bad = False
    with tempfile.TemporaryDirectory() as scratch:
        for attacked in attacks(Path(scratch), models(Path(scratch))[0], share):
            wrong = ", ".join(f"{n} {name}" for name, n in attacked.must_be_none.items())
            print(f"{attacked.name:<28}{attacked.tried:>7}   {wrong}", flush=True)
            bad = bad or any(attacked.must_be_none.values())
    sys.exit(bad)


if __name__ == "__main__":
    main()
