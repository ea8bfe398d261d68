"""A real server against seeded sequences of requests, judged by an oracle.

`python -m tests.robustness.http_fuzzing [COUNT [SEED [INDEX]]]` sends about COUNT requests and
prints what came of them; with an INDEX only that connection, byte for byte.

Each 200 response to an inference must equal, to the bit, what the sealed artifact predicts for the
rows of that very request when it is opened in this process. What the RFCs call malformed must be
refused, and nothing behind it answered. What is well-formed gets the status that docs/serving.md
promises.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from artifact_pipeline import open_artifact, train
from tests.robustness.http_exchange import (
    NotHTTP,
    Received,
    Response,
    Server,
    exchange,
    parse,
    serving,
)
from tests.robustness.http_requests import MAX_BODY_MIB, MAX_ROWS, Case, Model, sequence
from tests.support.waiting import HANG

AT_ONCE = 6
"""Connections that are open together."""
GROWTH_MIB = 128
"""What a server's memory may grow by; caches fill, and allocators keep."""
_EXAMPLES = 60
_OF_HTTP = frozenset((400, 431, 501, 505))
"""With which a server refuses what it cannot read."""
_BY_BYTE = 3000
"""Connections of at most so many bytes are also sent byte by byte."""
_CITIES = ("Rome", "Ōsaka", "Łódź")


class Figures(msgspec.Struct):
    """What came of the requests. All but the first group must be 0."""

    tried: int = 0
    connections: int = 0
    predictions: int = 0
    """Responses that were compared with the artifact, bit by bit."""
    refused: int = 0

    wrong_answers: int = 0
    """200 with another content than the artifact's for that request."""
    guessed: int = 0
    """Malformed requests that were answered as if they were not."""
    wrong_statuses: int = 0
    displaced: int = 0
    """Responses in whose place stood the refusal of a later, malformed request."""
    lost: int = 0
    """Well-formed requests that got no response, though nothing said that the connection ends."""
    smuggled: int = 0
    """Responses behind a request whose framing is lost, or behind the end of the connection."""
    not_http: int = 0
    failed: int = 0
    """Responses with the status 500."""
    unmarked: int = 0
    """Responses without Date, or with content and without nosniff."""
    left_open: int = 0
    tracebacks: int = 0
    died: int = 0
    grown: int = 0
    """Servers whose memory grew by more than `GROWTH_MIB`."""

    growth_mib: int = 0
    examples: list[str] = []
    by_kind: dict[str, int] = {}
    """Faults by the kind of request, for whoever looks for their cause."""


MUST_BE_NONE = (
    "wrong_answers", "guessed", "wrong_statuses", "displaced", "lost",
    "smuggled", "not_http", "failed",
    "unmarked", "left_open", "tracebacks", "died", "grown",
)  # fmt: skip


def models(folder: Path) -> list[Model]:
    """Return two models to serve: one of a matrix, one of a table with text."""
    table = folder / "table.csv"
    lines = ["size,city,bought"]
    lines += [f"{i % 13 / 4},{_CITIES[i % 3]},{'yes' if i % 3 else 'no'}" for i in range(300)]
    table.write_text("\n".join(lines), "utf-8")
    config = {
        "data": {"path": "table.csv", "target": "bought"},
        "model": {"preprocess": "auto", "estimator": "sklearn.linear_model.LogisticRegression"},
    }
    (folder / "table.json").write_text(json.dumps(config), "utf-8")
    logistic = {
        "estimator": "sklearn.linear_model.LogisticRegression",
        "params": {"max_iter": 1000},
    }
    matrix = {"data": {"dataset": "digits"}, "model": logistic}
    (folder / "digits.json").write_text(json.dumps(matrix), "utf-8")
    found = []
    for name in ("digits", "table"):
        sealed = train(folder / f"{name}.json", store=folder / "store")
        predictor = open_artifact(sealed.artifact, sealed.digest)
        found.append(Model(name, predictor, Path(sealed.artifact).absolute()))
    return found


def count(
    folder: Path, served: Sequence[Model], *, requests: int, seed: int, only: int | None = None
) -> Figures:
    """Return what comes of at least `requests` requests, or of one connection of them.

    Args:
        folder: For the server's files.
        served: The models that are asked for; the first of a matrix.
        requests: How many are sent.
        seed: Draws them.
        only: The number of the one connection that is sent.
    """
    places = [f"{model.name}={model.folder}" for model in served]
    options = ("--max-body", MAX_BODY_MIB, "--max-rows", MAX_ROWS, "--deadline", HANG)
    figures = Figures()
    with serving(folder, places, *options) as server:
        for index in range(1_000_000, 1_000_020):  # it warms up: imports, caches, arenas
            _connection(Figures(), server, served, seed, index)
        before = server.memory()
        _all(figures, server, served, requests, seed, only)
        figures.died = int(not server.alive())
        figures.growth_mib = max(server.memory() - before, 0)
        figures.grown = int(figures.growth_mib > GROWTH_MIB)
        figures.tracebacks = server.tracebacks()
        if figures.tracebacks:  # the last of them
            _note(figures, "server", server.stderr.read_text("utf-8", "replace")[-600:])
    return figures


def _all(
    figures: Figures,
    server: Server,
    served: Sequence[Model],
    requests: int,
    seed: int,
    only: int | None,
) -> None:
    indexes: Iterator[int] = iter(range(10**9) if only is None else [only])
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                index = next(indexes, None)
                if index is None or figures.tried >= requests or not server.alive():
                    return
            _connection(figures, server, served, seed, index, lock)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for done in [pool.submit(work) for _ in range(AT_ONCE if only is None else 1)]:
            done.result()


def _connection(
    figures: Figures,
    server: Server,
    served: Sequence[Model],
    seed: int,
    index: int,
    lock: threading.Lock | None = None,
) -> None:
    random = Random(f"{seed}-{index}")
    cases = sequence(served, random)
    pieces, pause = _pieces(b"".join(case.data for case in cases), random)
    half = cases[-1].unfinished
    try:
        received = exchange(server.port, pieces, pause=pause, half_close=half)
    except OSError as error:
        received = Received(b"", f"failed: {error}")
    with lock or threading.Lock():
        figures.connections += 1
        figures.tried += len(cases)
        name = f"connection {index}, {len(pieces)} pieces"
        _judge(figures, name, cases, received)


def _pieces(data: bytes, random: Random) -> tuple[list[bytes], float]:
    """Return the pieces in which a connection's bytes are sent, and the seconds between them."""
    draw = random.random()
    if draw < 0.5:
        return [data], 0.0
    if draw < 0.58 and len(data) < _BY_BYTE:
        return [data[at : at + 1] for at in range(len(data))], 0.0
    # At random, but as often about a line's end, where a parser has most to remember.
    ends = [at + shift for at in _line_ends(data) for shift in (0, 1, 2)]
    cuts = sorted(
        {random.choice(ends) if ends and random.random() < 0.5 else random.randrange(len(data) + 1)
         for _ in range(random.choice((1, 1, 2, 5)))}
    )  # fmt: skip
    found = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    return [piece for piece in found if piece], random.choice((0.0, 0.002))


def _line_ends(data: bytes) -> list[int]:
    found: list[int] = []
    at = data.find(b"\r\n")
    while at >= 0 and len(found) < 200:
        found.append(at)
        at = data.find(b"\r\n", at + 1)
    return found


def _judge(figures: Figures, name: str, cases: Sequence[Case], received: Received) -> None:
    """Count what is wrong with the responses to the requests of one connection."""

    def fault(kind: str, case: Case | None, said: str) -> None:
        setattr(figures, kind, getattr(figures, kind) + 1)
        what = case.kind.rpartition(", ")[2] if case else "end"
        place = f"{kind}: {what}"
        figures.by_kind[place] = figures.by_kind.get(place, 0) + 1
        data = f" {case.data[:160]!r}" if case and figures.by_kind[place] == 1 else ""
        _note(figures, name, f"{place}: {said}{data}")

    try:
        responses, interim = parse(received.data, [case.method for case in cases])
    except NotHTTP as error:
        if received.end == "reset":  # what was on its way may be lost with the connection
            return
        fault("not_http", None, f"{error}; {[case.kind for case in cases]}")
        return
    if interim > sum(case.interim for case in cases):
        fault("not_http", None, "100 Continue that nobody expected")
    ended: Case | None = None
    for number, (case, response) in enumerate(zip(cases, responses, strict=False), 1):
        if ended is not None:
            if not (ended.leftover and response.status >= 400):
                fault("smuggled", case, f"{response.status} behind {ended.kind}")
            return
        later = cases[number:] if response.closes and number == len(responses) else []
        if response.status in _OF_HTTP - case.statuses and any(one.may_close for one in later):
            fault("displaced", case, f"{response.status}; {[one.kind for one in cases]}")
            return
        _judge_one(figures, fault, case, response)
        if case.ends or response.closes or _closes_by_version(case, response):
            ended = case
        refused = response.status >= 400 and case.may_close
        if refused and number == len(responses):
            ended = case  # what cannot be read is refused, and the connection may end
    answered = len(responses)
    if answered > len(cases):
        fault("smuggled", cases[-1], f"{answered} responses to {len(cases)} requests")
    elif answered < len(cases) and ended is None and not cases[answered].may_close:
        case = cases[answered]
        fault("lost", case, f"{answered} responses, then {received.end}; {[c.kind for c in cases]}")
    if received.end == "open":
        fault("left_open", cases[-1], f"{[case.kind for case in cases]}")
    elif received.end.startswith("failed"):
        fault("lost", cases[0], received.end)


def _judge_one(figures: Figures, fault: Any, case: Case, response: Response) -> None:
    if response.status == 500:
        fault("failed", case, response.body[:100])
        return
    if response.status not in case.statuses:
        kind = "guessed" if response.status < 400 else "wrong_statuses"
        fault(kind, case, f"{response.status} {response.body[:120]!r}, {sorted(case.statuses)[:8]}")
        return
    sniffed = response.headers.get("x-content-type-options") != "nosniff" and response.body
    if "date" not in response.headers or sniffed:
        fault("unmarked", case, f"{response.status} {response.headers}")
    if response.status >= 400:
        figures.refused += 1
        return
    if case.check is not None:
        figures.predictions += 1
        try:
            said = case.check(response)
        except Exception as error:  # noqa: BLE001  (a response of any shape)
            said = f"{type(error).__name__}: {error}"
        if said is not None:
            fault("wrong_answers", case, said)


def _closes_by_version(case: Case, response: Response) -> bool:
    """Return whether a client of HTTP/1.0 takes the connection for ended."""
    first = case.data.partition(b"\n")[0].strip()
    words = response.headers.get("connection", "").lower()
    return first.endswith(b"HTTP/1.0") and "keep-alive" not in words


def _note(figures: Figures, name: str, said: str) -> None:
    if len(figures.examples) < _EXAMPLES:
        figures.examples.append(f"{name}: {said}")


def main() -> None:
    """Count, and print the figures."""
    requests, seed, *only = [int(word) for word in sys.argv[1:]] + [1000, 20260101][
        len(sys.argv) - 1 :
    ]
    with tempfile.TemporaryDirectory() as scratch:
        served = models(Path(scratch))
        one = only[0] if only else None
        figures = count(Path(scratch), served, requests=requests, seed=seed, only=one)
    print(*figures.examples, sep="\n")
    for place, times in sorted(figures.by_kind.items(), key=lambda item: -item[1]):
        print(f"{times:>6}  {place}")
    for name in ("tried", "connections", "predictions", "refused", "growth_mib", *MUST_BE_NONE):
        print(f"{name:<16}{getattr(figures, name)}")
    sys.exit(any(getattr(figures, name) for name in MUST_BE_NONE))


if __name__ == "__main__":
    main()
