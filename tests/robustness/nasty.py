"""Values and edits that a hostile or a careless writer would send, drawn by a seeded generator."""

from __future__ import annotations

import copy
import json
from random import Random
from typing import Any

TEXTS = (
    "",
    " ",
    "a" * 10_000,
    "\x00",
    "\x1b[2J\x1b]0;x\x07",
    "\u202e\u2066",
    "é",
    "e\u0301",
    "ＭＯＤＥＬ.onnx",
    "../../etc/passwd",
    "/etc/passwd",
    "C:\\x",
    "con",
    "</script><script>alert(1)</script>",
    "[x](javascript:alert(1))",
    "| a | b |",
    "::error::x",
    "##[command]x",
    "${{ secrets.X }}",
    "{{7*7}}",
    "%s%n",
    "nan",
    "sha256:" + "0" * 64,
    "sklearn.linear_model.LogisticRegression",
    "os.system",
    "__class__",
    "\ud800",
)
NUMBERS = (
    *(0, 1, -1, 2, 0.5, -0.0, 1e308, -1e308, 5e-324, 1e-9),
    *(2**31, 2**53 + 1, 2**63, 2**64, -(2**63) - 1, 10**400, 1.5),
)
OTHERS: tuple[Any, ...] = (None, True, False, [], {}, [[]], [None], {"": None}, [0] * 1000)


def value(random: Random) -> Any:
    """Return a value that fits nowhere."""
    return copy.deepcopy(random.choice(random.choice((TEXTS, NUMBERS, OTHERS))))


def mutated(document: Any, random: Random) -> Any:
    """Return `document`, of JSON's kinds, with one to three changes somewhere in it."""
    changed = copy.deepcopy(document)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        places = list(_places(changed))
        if not places:
            return value(random)
        parent, key = random.choice(places)
        kind = random.randrange(6)
        if kind == 0:
            del parent[key]
        elif kind == 1 and isinstance(parent, list):
            parent.insert(random.randrange(len(parent) + 1), copy.deepcopy(parent[key]))
        elif kind == 1:
            parent[random.choice(TEXTS)] = parent.pop(key)
        elif kind == 2 and isinstance(parent[key], (int, float)):
            parent[key] = parent[key] * random.choice((-1, 0, 2, 1000))
        elif kind == 3:
            parent[key] = [parent[key]]
        else:
            parent[key] = value(random)
    return changed


def edited(data: bytes, random: Random, tokens: tuple[bytes, ...] = ()) -> bytes:
    """Return `data` with some bytes flipped, cut, doubled, moved or put in."""
    kind = random.randrange(7 if tokens else 6)
    at, end = sorted(random.randrange(len(data) + 1) for _ in range(2))
    if kind == 0 and data:
        at = random.randrange(len(data))
        return data[:at] + bytes([data[at] ^ (1 << random.randrange(8))]) + data[at + 1 :]
    if kind == 1:
        return data[:at] + data[end:]
    if kind == 2:
        return data[:end] + data[at:]
    if kind == 3:
        return data[:at] + random.randbytes(random.choice((1, 1, 4, 64))) + data[at:]
    if kind == 4:
        return data[end:] + data[:at]
    if kind == 5:
        return data[:at]
    return data[:at] + random.choice(tokens) + data[end if random.random() < 0.5 else at :]


def text(document: Any) -> bytes:
    """Return JSON's text of a document, surrogates, huge numbers and all."""
    return json.dumps(document).encode()


def _places(document: Any) -> Any:
    """Yield the container and the key of everything in a document."""
    items: Any = ()
    if isinstance(document, dict):
        items = list(document.items())
    elif isinstance(document, list):
        items = list(enumerate(document))
    for key, inner in items:
        yield document, key
        yield from _places(inner)
