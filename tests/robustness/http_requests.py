"""Seeded HTTP requests, valid and broken, each with what may be answered.

Sources: RFC 9110 and RFC 9112 for what is malformed and what a server must accept, docs/serving.md
for the status of well-formed requests.
"""

from __future__ import annotations

import copy
import gzip
import json
import math
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from artifact_pipeline.inference.predictor import Predictor
from tests.robustness import nasty
from tests.robustness.http_exchange import TOKEN, Response

MAX_BODY_MIB, MAX_ROWS = 1, 50
"""With which the server is started."""
OK = frozenset((200,))
MALFORMED = frozenset((400, 404, 405, 408, 411, 413, 414, 415, 417, 421, 426, 431, 501, 505))
"""What a request that is not HTTP/1.1 may get, if it gets anything."""

Check: TypeAlias = Callable[[Response], "str | None"]
"""Judges a 200 response: returns what is wrong with it, or None."""
Headers: TypeAlias = list[tuple[bytes, bytes]]


class Model(NamedTuple):
    """A served model and what the sealed artifact says of any rows."""

    name: str
    predictor: Predictor
    folder: Path
    """Of the artifact."""

    @property
    def texts(self) -> list[bool]:
        """Whether each column is text; empty for a model of a matrix."""
        columns = self.predictor.interface.columns
        return [] if columns is None else [one.kind == "text" for one in columns]


_PROBES = (b"/v2/health/live", b"/v2/health/ready")


class Case(NamedTuple):
    """A request, and what may be answered."""

    kind: str
    data: bytes
    statuses: frozenset[int] = OK
    check: Check | None = None
    method: str = "POST"
    may_close: bool = False
    """Whether closing the connection without an answer is as good."""
    ends: bool = False
    """Whether nothing behind it may be answered: its framing is lost, or the connection closes."""
    leftover: bool = False
    """Whether what is left of it is read as a request of its own, and refused."""
    unfinished: bool = False
    """Whether the request has no end, so that it is the last of its connection."""
    interim: bool = False
    """Whether `100 Continue` may be sent."""


class Message(NamedTuple):
    """A well-formed request that is yet to be framed."""

    kind: str
    method: bytes
    target: bytes
    headers: Headers
    body: bytes
    check: Check | None = None

    def with_header(self, name: bytes, value: bytes) -> Message:
        """Return it with one more header."""
        return self._replace(headers=[*self.headers, (name, value)])

    def without(self, *names: bytes) -> Message:
        """Return it without the headers of these names."""
        kept = [one for one in self.headers if one[0].lower() not in names]
        return self._replace(headers=kept)


def sequence(models: Sequence[Model], random: Random) -> list[Case]:
    """Return the requests of one connection; the last one ends it."""
    cases: list[Case] = []
    if random.random() < 0.03:
        return [_unfinished(_message(models, random), random)]
    for _ in range(random.choice((1, 2, 3, 4, 6, 9))):
        draw = random.random()
        message = _message(models, random)
        if draw < 0.45:
            cases.append(_valid(message, random))
        elif draw < 0.65:
            cases.append(_refused(message, models, random))
        elif draw < 0.75:
            cases.append(_bad_content(models, random))
        elif draw < 0.87:
            cases.append(_odd(message, random))
        else:
            cases.append(_malformed(message, random))
    cases.append(_last(_message(models, random)))
    return cases


# What is asked


def _message(models: Sequence[Model], random: Random) -> Message:
    model = random.choice(models)
    kind = random.choice((inference, inference, _infer_binary, _predict, _get))
    return kind(model, random)


def _base(random: Random) -> Headers:
    host = random.choice((b"localhost", b"127.0.0.1", b"[::1]:80", b"LOCALHOST:8080"))
    found = [(b"Host", host), (b"Authorization", b"Bearer " + TOKEN.encode())]
    if random.random() < 0.4:
        found.append((b"User-Agent", b"fuzz/1"))
    if random.random() < 0.2:
        found.append((b"Accept", b"*/*"))
    if random.random() < 0.1:
        found.append((b"X-Long", b"a" * random.choice((100, 1000, 8000))))
    random.shuffle(found)
    return found


def _matrix(model: Model, random: Random) -> Any:
    count = random.choice((1, 1, 1, 2, 3, 20))
    if not model.texts:
        width = len(model.predictor.interface.features)
        return [[random.randrange(65) / 4 for _ in range(width)] for _ in range(count)]
    words = ("Rome", "Ōsaka", "", "Łódź", "x" * 50, "\N{GRINNING FACE}")
    return [
        [random.choice(words) if text else random.randrange(-400, 400) / 8 for text in model.texts]
        for _ in range(count)
    ]


def _outputs(model: Model, rows: Any) -> dict[str, Any]:
    """Return what the artifact says of rows, by the names of its outputs."""
    if model.texts:
        columns = model.predictor.interface.columns
        assert columns is not None
        X: Any = pd.DataFrame(rows, columns=[one.name for one in columns])
    else:
        X = np.array(rows, dtype=np.float64)
    found = model.predictor.outputs(X)
    names = [port.name for port in model.predictor.interface.outputs]
    said: dict[str, Any] = {name: found.predicted for name in names if name != "probabilities"}
    if "probabilities" in names:
        said["probabilities"] = found.probabilities
    return said


def inference(model: Model, random: Random) -> Message:
    """Return a valid inference in JSON, with its check."""
    rows, name = _matrix(model, random), f"n{random.getrandbits(48):x}"
    document, asked = _document(model, rows, name, random), _asked(model, random)
    if asked is not None:
        document["outputs"] = [{"name": one} for one in asked]
    body = json.dumps(document, ensure_ascii=random.random() < 0.5).encode()
    headers = [*_base(random), (b"Content-Type", b"application/json")]
    check = _inference_check(model, rows, name, asked, binary=False)
    return Message("infer JSON", b"POST", _infer_path(model, random), headers, body, check)


def _infer_binary(model: Model, random: Random) -> Message:
    rows, name = _matrix(model, random), f"n{random.getrandbits(48):x}"
    tails, inputs = [], []
    for port, values in _inputs(model, rows):
        if port["datatype"] == "BYTES":
            parts = [one.encode() for one in values]
            tail = b"".join(struct.pack("<I", len(one)) + one for one in parts)
        else:
            tail = np.array(values, dtype=_CODES[port["datatype"]]).tobytes()
        tails.append(tail)
        inputs.append({**port, "parameters": {"binary_data_size": len(tail)}})
    binary, asked = random.random() < 0.5, _asked(model, random)
    document: dict[str, Any] = {"id": name, "inputs": inputs}
    document["parameters"] = {"binary_data_output": binary}
    if asked is not None:
        document["outputs"] = [{"name": one} for one in asked]
    text = json.dumps(document).encode()
    headers = [*_base(random), (b"Inference-Header-Content-Length", b"%d" % len(text))]
    if random.random() < 0.7:
        headers.append((b"Content-Type", b"application/octet-stream"))
    check = _inference_check(model, rows, name, asked, binary)
    path = _infer_path(model, random)
    return Message("infer binary", b"POST", path, headers, text + b"".join(tails), check)


_CODES = {"FP64": "<f8", "FP32": "<f4", "INT64": "<i8", "BOOL": "|b1"}
_DATATYPES = {
    "float64": "FP64",
    "float32": "FP32",
    "int64": "INT64",
    "bool": "BOOL",
    "string": "BYTES",
}


def _inputs(model: Model, rows: Any) -> list[tuple[dict[str, Any], list[Any]]]:
    ports = model.predictor.interface.inputs
    if not model.texts:
        flat = [value for row in rows for value in row]
        shape = [len(rows), len(rows[0])]
        return [({"name": "X", "shape": shape, "datatype": _DATATYPES[ports[0].dtype]}, flat)]
    return [
        (
            {"name": port.name, "shape": [len(rows), 1], "datatype": _DATATYPES[port.dtype]},
            [row[index] for row in rows],
        )
        for index, port in enumerate(ports)
    ]


def _document(model: Model, rows: Any, name: str, random: Random) -> dict[str, Any]:
    inputs = [{**port, "data": values} for port, values in _inputs(model, rows)]
    if not model.texts and random.random() < 0.3:
        inputs[0]["data"] = rows
    return {"id": name, "inputs": inputs}


def _asked(model: Model, random: Random) -> list[str] | None:
    names = [port.name for port in model.predictor.interface.outputs]
    if random.random() < 0.7:
        return None
    return random.sample(names, random.randrange(1, len(names) + 1))


def _infer_path(model: Model, random: Random) -> bytes:
    version = f"/versions/{model.predictor.digest}" if random.random() < 0.2 else ""
    return f"/v2/models/{model.name}{version}/infer".encode()


def _predict(model: Model, random: Random) -> Message:
    rows = _matrix(model, random)
    columns = model.predictor.interface.columns
    names = model.predictor.interface.features
    if columns is not None:
        names = [one.name for one in columns]
    given: Any = rows
    if random.random() < 0.5:
        given = [dict(zip(names, row, strict=True)) for row in rows]
    headers = [*_base(random), (b"Content-Type", b"application/json; charset=utf-8")]
    path = f"/predict/{model.name}".encode()
    body = json.dumps({"rows": given}).encode()
    return Message("predict", b"POST", path, headers, body, _predict_check(model, rows))


def _get(model: Model, random: Random) -> Message:
    kind, path, expected = random.choice(
        (
            ("live", "/v2/health/live", {"live": True}),
            ("ready", "/v2/health/ready", None),
            ("server", "/v2", None),
            ("metadata", f"/v2/models/{model.name}", None),
            ("model ready", f"/v2/models/{model.name}/ready", {"name": model.name, "ready": True}),
            ("query", "/v2/health/live?x=/v2/models/a/infer", {"live": True}),
        )
    )

    def check(response: Response) -> str | None:
        said = json.loads(response.body)
        if expected is not None and said != expected:
            return f"said {said}"
        if kind == "metadata" and said["versions"] != [model.predictor.digest]:
            return "the metadata of another model"
        return None

    return Message(f"GET {kind}", b"GET", path.encode(), _base(random), b"", check)


# What must be answered


def _inference_check(
    model: Model, rows: Any, name: str, asked: list[str] | None, binary: bool
) -> Check:
    def check(response: Response) -> str | None:
        if response.headers.get("artifact-digest") != model.predictor.digest:
            return "names another artifact"
        length = response.headers.get("inference-header-content-length")
        if (length is not None) != binary:
            return "is not in the form that was asked for"
        text = response.body if length is None else response.body[: int(length)]
        tail = b"" if length is None else response.body[int(length) :]
        said = json.loads(text)
        if said.get("id") != name:
            return f"answers {said.get('id')!r} and not {name!r}"
        if said["model_name"] != model.name or said["model_version"] != model.predictor.digest:
            return "names another model"
        expected = _outputs(model, rows)
        order = [port.name for port in model.predictor.interface.outputs]
        if sorted(one["name"] for one in said["outputs"]) != sorted(asked or order):
            return "has other outputs than were asked for"
        for one in said["outputs"]:
            values = expected[one["name"]]
            if one["shape"][0] != len(rows) or math.prod(one["shape"]) != values.size:
                return f"{one['name']} has the shape {one['shape']}"
            if binary:
                size = one["parameters"]["binary_data_size"]
                part, tail = tail[:size], tail[size:]
                found = _decoded(part, one["datatype"])
            else:
                found = one["data"]
            if found != values.ravel().tolist():
                return f"{one['name']} is not what the artifact predicts"
        return "has more bytes than outputs" if tail else None

    return check


def _decoded(data: bytes, datatype: str) -> list[Any]:
    if datatype != "BYTES":
        return list(np.frombuffer(data, _CODES[datatype]).tolist())
    found, at = [], 0
    while at < len(data):
        [size] = struct.unpack_from("<I", data, at)
        found.append(data[at + 4 : at + 4 + size].decode())
        at += 4 + size
    return found


def _predict_check(model: Model, rows: Any) -> Check:
    def check(response: Response) -> str | None:
        said = json.loads(response.body)
        if said["digest"] != model.predictor.digest:
            return "names another artifact"
        expected = _outputs(model, rows)
        probabilities = expected.pop("probabilities", None)
        [values] = expected.values()
        if said.get("labels", said.get("predictions")) != values.tolist():
            return "the labels are not what the artifact predicts"
        if probabilities is not None and said["probabilities"] != probabilities.tolist():
            return "the probabilities are not what the artifact predicts"
        return None

    return check


# How it is framed


def framed(
    message: Message,
    *,
    lines: Sequence[bytes] = (),
    first: bytes | None = None,
    eol: bytes = b"\r\n",
) -> bytes:
    """Return a request whose length is said by Content-Length.

    Args:
        message: What is asked.
        lines: More header lines, as they are.
        first: The request line, in place of the right one.
        eol: How lines end.
    """
    parts = [first if first is not None else message.method + b" " + message.target + b" HTTP/1.1"]
    parts += [name + b": " + value for name, value in message.headers]
    if message.body or message.method == b"POST":
        parts.append(b"Content-Length: %d" % len(message.body))
    parts += lines
    return eol.join([*parts, b"", b""]) + message.body


def chunked(
    message: Message,
    random: Random,
    *,
    extension: Callable[[], bytes] = bytes,
    trailers: bytes = b"",
    coding: bytes = b"Transfer-Encoding: chunked",
    lines: Sequence[bytes] = (),
    last: bytes = b"0",
    version: bytes = b"HTTP/1.1",
) -> bytes:
    """Return a request whose body comes in chunks.

    Args:
        message: What is asked.
        random: Draws the sizes.
        extension: Makes what follows each size.
        trailers: Lines that follow the last chunk, each with its end.
        coding: The header line that says so.
        lines: More header lines, as they are.
        last: The size of the last chunk.
        version: Of the protocol.
    """
    parts = [b"%s %s %s" % (message.method, message.target, version)]
    parts += [name + b": " + value for name, value in message.headers]
    parts += [coding, *lines, b"", b""]
    found, at = [b"\r\n".join(parts)], 0
    while at < len(message.body):
        size = random.choice((1, 7, 16, 255, 4096, len(message.body)))
        piece = message.body[at : at + size]
        text = random.choice((b"%x", b"%X", b"%05x")) % len(piece)
        found += [text, extension(), b"\r\n", piece, b"\r\n"]
        at += len(piece)
    return b"".join([*found, last, extension(), b"\r\n", trailers, b"\r\n"])


def _case(message: Message, data: bytes, kind: str = "", **more: Any) -> Case:
    more.setdefault("check", message.check)
    name = f"{message.kind}, {kind}" if kind else message.kind
    return Case(name, data, method=message.method.decode(), **more)


def _last(message: Message) -> Case:
    return _case(message.with_header(b"Connection", b"close"), b"", ends=True)._replace(
        data=framed(message.with_header(b"Connection", b"close"))
    )


def _valid(message: Message, random: Random) -> Case:
    kind = random.randrange(9)
    if kind == 0 and message.body:
        return _case(message, chunked(message, random), "chunked")
    if kind == 1 and message.body:
        values = (b";a", b";a=b", b' ; a = "c;d\\" e"', b";" + b"x" * 200)
        data = chunked(message, random, extension=lambda: random.choice(values))
        # A parser may be stricter than the grammar about space before the semicolon.
        return _case(message, data, "chunk extensions", statuses=OK | {400}, ends=False)
    if kind == 2 and message.body:
        names = (
            b"X-A: b",
            b"Host: evil.example",
            b"Authorization: Bearer wrong-wrong-wrong",
            b"Content-Length: 3",
            b"Transfer-Encoding: gzip",
            b"Origin: http://evil.example",
            b"Content-Type: text/plain",
            b"Inference-Header-Content-Length: 1",
        )
        lines = b"".join(one + b"\r\n" for one in random.sample(names, random.randrange(1, 4)))
        return _case(message, chunked(message, random, trailers=lines), "trailers")
    if kind == 3 and message.body and "binary" not in message.kind:
        name, pack = random.choice(
            ((b"gzip", gzip.compress), (b"deflate", zlib.compress), (b"GZIP", gzip.compress))
        )
        packed = message._replace(body=pack(message.body)).with_header(b"Content-Encoding", name)
        data = framed(packed) if random.random() < 0.5 else chunked(packed, random)
        return _case(packed, data, "packed")
    if kind == 4:
        spaced = [
            (
                b"".join(
                    bytes([b ^ 32])
                    if bytes([b]).isalpha() and random.random() < 0.5
                    else bytes([b])
                    for b in name
                ),
                random.choice((b"", b" ", b"\t "))
                + value
                + random.choice((b"", b" ", b"\t", b" \t ")),
            )
            for name, value in message.headers
        ]
        return _case(message, framed(message._replace(headers=spaced)), "cases and spaces")
    if kind == 5:
        offer = (
            b"Connection: Upgrade, HTTP2-Settings",
            b"Upgrade: h2c",
            b"HTTP2-Settings: AAMAAABkAAQAAP__",
        )
        return _case(message, framed(message, lines=offer), "offers HTTP/2")
    if kind == 6 and message.body:
        data = framed(message, lines=[b"Expect: 100-continue"])
        return _case(message, data, "expects 100", interim=True)
    if kind == 8 and message.method == b"GET":
        head = message._replace(
            method=b"HEAD", check=lambda response: "a body" if response.body else None
        )
        return _case(head, framed(head), "HEAD")
    if kind == 7:
        headers = list(message.headers)
        for index, (name, value) in enumerate(headers):
            if name == b"Authorization":
                headers[index] = (
                    name,
                    value.replace(b"Bearer", random.choice((b"bearer", b"BEARER"))),
                )
        return _case(message, framed(message._replace(headers=headers)), "bearer in any case")
    return _case(message, framed(message))


def _refused(message: Message, models: Sequence[Model], random: Random) -> Case:
    """Return a well-formed request that docs/serving.md refuses."""
    post, public = message.method == b"POST", b"/v2/health" in message.target
    draws: list[tuple[str, Message, set[int]]] = [
        (
            "wrong Host",
            message.without(b"host").with_header(
                b"Host",
                random.choice(
                    (b"evil.example", b"localhost.evil.example", b"127.0.0.1.evil.example:80")
                ),
            ),
            {421},
        ),
        (
            "wrong Origin",
            message.with_header(
                b"Origin", random.choice((b"http://evil.example", b"null", b"http://localhost:1"))
            ),
            {403},
        ),
        (
            "no such path",
            message._replace(
                target=random.choice(
                    (
                        b"/nope",
                        b"/v2/models/nope/infer",
                        b"/v2/models//infer",
                        b"/predict/nope",
                        b"/v2/models/" + models[0].name.encode() + b"/versions/sha256:00/infer",
                        b"/%2e%2e/etc/passwd",
                        b"//v2",
                        b"/v2/",
                        b"/V2",
                    )
                )
            ),
            {404, 405},
        ),
        (
            "method",
            message._replace(
                method=random.choice((b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"BREW"))
            ),
            {405, 404, 501},
        ),
    ]
    if not public:
        wrong = random.choice(
            (
                b"Bearer wrong-wrong-wrong-wrong",
                b"Basic YTpi",
                b"Bearer ",
                TOKEN.encode(),
                b"Bearer " + TOKEN.encode() + b"x",
                b"Bearer  x",
            )
        )
        without = message.without(b"authorization")
        draws += [("no token", without, {401})]
        draws += [("wrong token", without.with_header(b"Authorization", wrong), {401})]
    if post:
        plain = message.without(b"content-type", b"inference-header-content-length")
        draws += [
            ("content type", plain.with_header(b"Content-Type", b"text/plain"), {415}),
            (
                "coding",
                message.with_header(
                    b"Content-Encoding", random.choice((b"br", b"zstd", b"gzip, gzip"))
                ),
                {415},
            ),
            ("damaged gzip", message.with_header(b"Content-Encoding", b"gzip"), {400}),
            (
                "gzip bomb",
                plain._replace(body=gzip.compress(b" " * (20 << 20)))
                .with_header(b"Content-Encoding", b"gzip")
                .with_header(b"Content-Type", b"application/json"),
                {413},
            ),
            ("asked by GET", message._replace(method=b"GET"), {405}),
        ]
    kind, changed, statuses = random.choice(draws)
    return _case(changed, framed(changed), kind, statuses=frozenset(statuses), check=None)


def _bad_content(models: Sequence[Model], random: Random) -> Case:
    """Return a request whose framing is right and whose JSON is absurd."""
    model = models[0]
    rows, name = _matrix(model, random), f"n{random.getrandbits(48):x}"
    infer = random.random() < 0.6
    document = _document(model, rows, name, random) if infer else {"rows": copy.deepcopy(rows)}
    good = json.dumps(document).encode()
    kind = random.randrange(5)
    statuses = {400, 413}
    if kind == 0:
        body = random.choice(
            (
                b"",
                b"{}",
                b"[]",
                b"null",
                b"\xef\xbb\xbf" + good,
                good + b"x",
                good + good,
                good[:-1],
            )
        )
    elif kind == 1:
        body = good.replace(b".", random.choice((b".e", b"..", b".NaN", b"\xff", b"\x00")), 1)
    elif kind == 2:
        body = random.choice(
            (
                b"[" * 100_000,
                b'{"a":' * 50_000,
                b'{"rows": [[' + b"9" * 400_000 + b"]]}",
                b'{"rows": ' + b"[" * 5000 + b"]" * 5000 + b"}",
                b'{"inputs": [{"name": "X", "shape": [1, 64], "datatype": "FP64", "data": '
                + b"[" * 3000
                + b"]" * 3000
                + b"}]}",
            )
        )
    elif kind == 3:
        # Too many rows: at once, by a shape that says so, and without any content.
        many: dict[str, Any] = {"rows": rows * (MAX_ROWS + 1)}
        if infer:
            many = _document(model, rows * 60, name, random)
        body, statuses = json.dumps(many).encode(), {413}
    else:
        body, statuses = nasty.text(nasty.mutated(document, random)), {200, 400, 413}
    path = f"/v2/models/{model.name}/infer" if infer else f"/predict/{model.name}"
    headers = [*_base(random), (b"Content-Type", b"application/json")]
    message = Message("absurd JSON", b"POST", path.encode(), headers, body)
    check = _reread(model, body, infer) if 200 in statuses else None
    return _case(message, framed(message), statuses=frozenset(statuses), check=check)


def _reread(model: Model, body: bytes, infer: bool) -> Check:
    """Return the check of an answer to changed JSON, which may still be a request."""

    def check(response: Response) -> str | None:
        rows, name = _rows_of(body, infer, len(model.predictor.interface.features))
        if rows is None:
            return f"was answered: {body[:200]!r}"
        if infer:
            asked = _outputs_of(body)
            judge = _inference_check(model, rows, name, asked, binary=False)
        else:
            judge = _predict_check(model, rows)
        return judge(response)

    return check


def _outputs_of(body: bytes) -> list[str] | None:
    asked = json.loads(body).get("outputs")
    return [one["name"] for one in asked] if asked else None


def _rows_of(body: bytes, infer: bool, width: int) -> tuple[Any, Any]:
    """Read a request as strictly as JSON and the protocol allow: its rows and its id, or None."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in items}) < len(items):
            raise ValueError("a key twice")
        return dict(items)

    def constant(text: str) -> None:
        raise ValueError(text)

    try:
        said = json.loads(body.decode(), object_pairs_hook=pairs, parse_constant=constant)
        if not infer:
            rows, name = said["rows"], None
            rows = [[*one.values()] if isinstance(one, dict) else one for one in rows]
        else:
            [given], name = said["inputs"], said.get("id")
            if given["name"] != "X" or given["datatype"] != "FP64" or "parameters" in given:
                return None, None
            flat = given["data"]
            if isinstance(flat[0], list):
                flat = [value for row in flat for value in row]
            if given["shape"] != [len(flat) // width, width] or not flat:
                return None, None
            rows = [flat[at : at + width] for at in range(0, len(flat), width)]
        whole = rows and all(len(row) == width and all(map(_finite, row)) for row in rows)
        return (rows if whole else None), name
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return None, None


def _finite(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(float(value))


# What is not HTTP/1.1


def _odd(message: Message, random: Random) -> Case:
    """Return what the RFCs let a server read in one way or refuse, and never read in another."""
    either = OK | MALFORMED
    line = random.choice
    draws: list[Callable[[], Case]] = [
        lambda: _case(
            message, framed(message, eol=b"\n"), "bare LF", statuses=either, may_close=True
        ),
        lambda: _case(
            message,
            framed(message, lines=[b"X-Fold: a\r\n b: c"]),
            "obs-fold",
            statuses=either,
            may_close=True,
        ),
        lambda: _case(
            message,
            framed(
                message,
                lines=[
                    line(
                        (
                            b"X: a\rHost: evil.example",
                            b"X: a\0b",
                            b"X: \x80\xff",
                            b"X: \x7f\x01",
                            b"X:",
                        )
                    )
                ],
            ),
            "odd value",
            statuses=either,
            may_close=True,
        ),
        lambda: _case(
            message,
            b"\r\n" * random.choice((1, 2, 3)) + framed(message),
            "empty lines first",
            statuses=either,
            may_close=True,
        ),
        lambda: _case(
            message,
            framed(
                message,
                first=message.method
                + line((b"  ", b"\t", b" \x0b"))
                + message.target
                + b" HTTP/1.1",
            ),
            "spaces in the first line",
            statuses=either,
            may_close=True,
        ),
        lambda: _case(
            message,
            framed(message, lines=[b"Expect: " + line((b"200-ok", b"100-continue, x"))]),
            "another Expect",
            statuses=OK | {417, 400},
            interim=True,
        ),
        lambda: _case(
            message,
            framed(
                message, first=message.method + b" http://localhost" + message.target + b" HTTP/1.1"
            ),
            "absolute form",
        ),
        lambda: _case(
            message,
            framed(message, first=message.method + b" " + message.target + b" HTTP/1.0"),
            "HTTP/1.0",
        ),
        lambda: _case(
            message,
            framed(
                message,
                first=message.method + b" " + message.target + b" HTTP/1.0",
                lines=[b"Connection: keep-alive"],
            ),
            "HTTP/1.0 kept",
        ),
        lambda: _case(
            message,
            framed(message, first=message.method + b" " + message.target + b" HTTP/1.2"),
            "HTTP/1.2",
            statuses=either,
            may_close=True,
        ),
        lambda: _case(
            message,
            framed(
                message,
                lines=[
                    b"Connection: Upgrade",
                    b"Upgrade: websocket",
                    b"Sec-WebSocket-Version: 13",
                    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                ],
            ),
            "offers a websocket",
            statuses=OK | {400, 426},
        ),
        lambda: _case(
            message,
            framed(message.with_header(b"Authorization", b"Bearer " + TOKEN.encode())),
            "Authorization twice",
            statuses=OK | {400, 401},
        ),
        lambda: _case(
            message,
            framed(message, lines=[b"X-A: " + b"b" * 12_000]),
            "a long head",
            statuses=OK | {431},
            may_close=True,
        ),
    ]
    if message.body:
        length = b"Content-Length: %d" % len(message.body)
        draws += [
            lambda: _case(
                message,
                framed(message, lines=[length]),
                "one length twice",
                statuses=either,
                may_close=True,
            ),
            lambda: _case(
                message,
                chunked(message, random, lines=[length]),
                "a length and chunks",
                statuses=either,
                may_close=True,
                ends=True,
            ),
            lambda: _case(
                message,
                chunked(
                    message, random, coding=b"Transfer-Encoding: " + line((b"Chunked", b"CHUNKED"))
                ),
                "Chunked",
            ),
            lambda: _case(
                message,
                chunked(
                    message,
                    random,
                    coding=b"Transfer-Encoding:"
                    + line((b"\r\n chunked", b" chunked\r\n ", b" ,chunked", b" chunked,")),
                ),
                "a coding to be trimmed",
                statuses=either,
                may_close=True,
            ),
            lambda: _case(
                message,
                chunked(message, random, version=b"HTTP/1.0"),
                "chunks in HTTP/1.0",
                statuses=either,
                may_close=True,
                ends=True,
            ),
            lambda: _case(
                message,
                chunked(message, random, last=b"0" * random.choice((2, 9, 15))),
                "a last chunk of many zeros",
                statuses=either,
                may_close=True,
            ),
            lambda: _case(
                message,
                chunked(message, random, trailers=b"X: a\r\n" * 20_000),
                "long trailers",
                statuses=either,
                may_close=True,
            ),
            lambda: _case(
                message,
                chunked(message, random, extension=lambda: b";a=" + b"b" * 20_000),
                "long extensions",
                statuses=either,
                may_close=True,
            ),
        ]
    return random.choice(draws)()


def _malformed(message: Message, random: Random) -> Case:
    """Return what the RFCs call malformed: it is refused, and nothing behind it is read."""
    line, target, method = random.choice, message.target, message.method
    post = message.with_header(b"X-Pad", b"1")
    if not post.body:
        post = post._replace(method=b"POST", body=b"{}")
    size = len(post.body)
    unframed = post._replace(body=b"")

    def length(value: bytes) -> bytes:
        head = chunked(unframed, random, coding=b"Content-Length: " + value)
        return head.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" + post.body

    targets = (
        *(
            b" v2",
            b" " + target + b"\x00",
            b" " + target + b"\x01",
            b" " + target + b" a",
            b" *",
            b" localhost:80",
            b" " + target + b"\x80",
        ),
    )
    firsts = (
        *(
            method + b" " + target,
            method + b" " + target + b" HTTP/2.0",
            method + b" " + target + b" HTTP/1.1x",
            method + b" " + target + b" http/1.1",
            method + b" " + target + b" HTTP/01.1",
        ),
        *(
            method + b" " + target + b" HTTP/1.",
            method + b" " + target + b" HTTP/11",
            b" " + method + b" " + target + b" HTTP/1.1",
            b"G(T " + target + b" HTTP/1.1",
        ),
        *(
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"\xff\xfe" + method,
            b"PRI * HTTP/2.0",
            b"{",
            b"HTTP/1.1 200 OK",
        ),
    )
    lines = (
        *(
            b"X Y: a",
            b"X@[]: a",
            b": a",
            b"X\x00: a",
            "é: a".encode(),
            b"no colon here",
            b"X : a",
            b"Host : localhost",
            b"\x0bX: a",
        ),
        *(b"Host: localhost", b"Host: evil.example", b"Host: "),
    )
    lengths = (
        *(
            b"+%d" % size,
            b"-1",
            b"-0",
            b"%d %d" % (size, size),
            b"0x%x" % size,
            b"%d, %d" % (size, size + 1),
            b"%d.0" % size,
            b"%d_0" % size,
            b"",
            b"a",
            b"9" * 30,
            b"1e1",
        ),
        *(
            "٣".encode(),
            b"%d;" % size,
            b"\x0b%d" % size,
            b"%d\x00" % size,
            b"%d\r\nContent-Length: %d" % (size, size + 1),
            b"0\r\nContent-Length: %d" % size,
        ),
    )
    # The last coding is chunked: it is refused, though its end is known (RFC 9112, 6.3).
    coded = (
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: chunked, chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    )
    codings = (
        b"Transfer-Encoding: chunked, gzip",
        b"Transfer-Encoding: identity",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding: \x0bchunked",
        b"Transfer-Encoding: chunked;q=1",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        b"Transfer-Encoding: gzip",
        b"Transfer-Encoding: chunked x",
        b"Transfer-Encoding: \x00chunked",
        b"Transfer-Encoding: chunke\xc4\x91",
        b'Transfer-Encoding: "chunked"',
        b"Transfer-Encoding : chunked",
    )
    in_chunks = chunked(post, random)
    head, _, content = in_chunks.partition(b"\r\n\r\n")
    first, _, rest = content.partition(b"\r\n")
    chunks = (
        *(
            b"0x" + content,
            b"-" + content,
            b"+" + content,
            b" " + content,
            b"G" + content,
            b"\r\n" + content,
            b";a\r\n" + content,
            b"F" * 17 + content,
        ),
        *(
            first + b"\n" + rest,
            b"%x\r\n%s" % (int(first, 16) + 1, rest),
            content[: content.rfind(b"\r\n0")] + b"x\r\n0\r\n\r\n",
            first + b"\r\n" + rest.replace(b"\r\n", b"", 1),
            first + b"\x00\r\n" + rest,
            first + b"_0\r\n" + rest,
            first + b" 5\r\n" + rest,
        ),
    )
    trailers = (b"no colon\r\n", b": a\r\n", b"X Y: a\r\n", b"X\x00: a\r\n")
    smuggled = b"0\r\n\r\nGET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    draws: list[Callable[[], tuple[str, bytes]]] = [
        lambda: ("request line", framed(message, first=line(firsts))),
        lambda: ("a target", framed(message, first=method + line(targets) + b" HTTP/1.1")),
        lambda: ("a header line", framed(message, lines=[line(lines)])),
        lambda: ("a length with a space", framed(unframed, lines=[b"Content-Length : 1"])),
        lambda: ("no Host", framed(message.without(b"host"))),
        lambda: ("a length", length(line(lengths))),
        lambda: ("a length", length(line(lengths))),
        lambda: ("several codings", chunked(post, random, coding=line(coded))),
        lambda: ("a coding", chunked(post, random, coding=line(codings))),
        lambda: ("a coding", chunked(post, random, coding=line(codings))),
        lambda: (
            "a coding and a length",
            chunked(
                post, random, coding=line(codings + coded), lines=[b"Content-Length: %d" % size]
            ),
        ),
        lambda: ("a chunk", head + b"\r\n\r\n" + line(chunks)),
        lambda: ("a chunk", head + b"\r\n\r\n" + line(chunks)),
        lambda: ("a trailer", chunked(post, random, trailers=line(trailers))),
        lambda: (
            "a request within the body",
            framed(
                unframed._replace(body=smuggled),
                lines=[b"Transfer-Encoding: chunked", b"Content-Length: %d" % len(smuggled)],
            ),
        ),
        lambda: (
            "headers without end",
            framed(message, lines=[line((b"X: " + b"a" * 40_000, b"X: a\r\n" * 6000 + b"Y: b"))]),
        ),
        lambda: (
            "a long request line",
            framed(message, first=method + b" /" + b"a" * 40_000 + b" HTTP/1.1"),
        ),
        lambda: (
            "a short length",
            framed(post, first=None).replace(
                b"Content-Length: %d" % size, b"Content-Length: %d" % (size - 1)
            ),
        ),
    ]
    kind, data = random.choice(draws)()
    # After these the server knows where the next request begins.
    ends = kind not in (
        *("a target", "a header line", "no Host", "several codings"),
        *("headers without end", "a long request line"),
    )
    statuses = MALFORMED
    if kind in ("headers without end", "a long request line"):
        statuses = frozenset((431, 414, 400))
    if kind == "a short length":
        statuses = frozenset((400, 405))
    if kind == "no Host" and message.target.partition(b"?")[0] in _PROBES:
        statuses |= OK  # of health probes, some name none
    found = _case(message, data, f"malformed: {kind}", statuses=statuses, may_close=True, ends=ends)
    return found._replace(check=None, leftover=kind == "a short length")


def _unfinished(message: Message, random: Random) -> Case:
    """Return a request that the client breaks off."""
    post = message._replace(method=b"POST") if not message.body else message
    data = framed(post) if random.random() < 0.5 else chunked(post, random)
    data = data[: random.randrange(1, max(len(data) - 1, 2))]
    return _case(
        message,
        data,
        "unfinished",
        statuses=MALFORMED | {401, 404, 405},
        may_close=True,
        ends=True,
        unfinished=True,
        check=None,
    )
