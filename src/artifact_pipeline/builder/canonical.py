"""The one form in which JSON is hashed: equal values of equal types give equal bytes.

>>> encode({"b": 1, "a": [True, None, 1.0]})
b'{"a":[true,null,1.0],"b":1}'
>>> digest(encode({}))
'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a'
>>> decode(b'{"a":1,"a":2}')
Traceback (most recent call last):
    ...
artifact_pipeline.builder.canonical.NotCanonical: the key 'a' stands twice
"""

from __future__ import annotations

import codecs
import hashlib
import json
import re
from typing import Any, TypeAlias

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"
Digest: TypeAlias = str
"""`sha256:` and 64 lower-case hex digits."""

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class NotCanonical(ValueError):
    """A value or a text that has no canonical form, or is not in it."""


def encode(value: Any) -> bytes:
    """Return the canonical UTF-8 bytes of `value`: keys sorted, no spaces, shortest digits.

    A float keeps its point, unlike in RFC 8785: to scikit-learn `max_features=1` and
    `max_features=1.0` are different models.

    Raises:
        NotCanonical: for NaN, an infinity or a lone surrogate, which JSON or UTF-8 cannot say.
    """
    try:
        text = json.dumps(
            value, allow_nan=False, ensure_ascii=False, separators=(",", ":"), sort_keys=True
        )
        return text.encode()
    except (ValueError, RecursionError) as error:
        raise NotCanonical(str(error)) from error


def decode(data: bytes) -> JSON:
    """Return the value that `data` says, where it says one without doubt.

    Raises:
        NotCanonical: for what is not UTF-8 or not JSON, a key that stands twice, NaN, an
            infinity, a number that overflows, half a character (a lone surrogate), and nesting
            deeper than Python can follow.
    """
    if data.startswith(codecs.BOM_UTF8):
        raise NotCanonical("it begins with a byte order mark (BOM), which JSON does not have")
    try:
        value: JSON = DECODER.decode(data.decode())
    except NotCanonical:
        raise
    except RecursionError as error:
        raise NotCanonical("the JSON is nested too deep") from error
    except ValueError as error:  # what json and UTF-8 raise, and integers of over 4,300 digits
        raise NotCanonical(str(error)) from error
    if b"\\u" in data:
        try:
            encode(value)
        except NotCanonical as error:
            raise NotCanonical("an escape says half a character, a lone surrogate") from error
    return value


def digest(data: bytes) -> Digest:
    """Return the digest of `data`."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _unique(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise NotCanonical(f"the key {key!r} stands twice")
            seen.add(key)
    return found


def _refuse_constant(text: str) -> JSON:
    raise NotCanonical(f"{text} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise NotCanonical(f"{text} is too large for a number")
    return number


DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite
)
"""Reads JSON by the rules of `decode`; raises ValueError (such as NotCanonical), RecursionError."""
