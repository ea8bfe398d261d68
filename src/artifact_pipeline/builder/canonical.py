"""Canonical JSON: equal values of equal types encode to equal bytes, so they can be hashed.

>>> encode({"b": 1, "a": [True, None, 1.0]})
b'{"a":[true,null,1.0],"b":1}'
>>> digest(encode({}))
'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a'
>>> decode(b'{"a":1,"a":2}')
Traceback (most recent call last):
    ...
artifact_pipeline.builder.canonical.NotCanonical: the key 'a' occurs twice
"""

from __future__ import annotations

import codecs
import hashlib
import json
import re
from typing import Any, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"
Digest: TypeAlias = str
"""`sha256:` and 64 lower-case hex digits."""

Form = TypeVar("Form", bound=Struct)

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class NotCanonical(ValueError):
    """Raised for a value or a text that is not canonical JSON."""


def encode(value: Any) -> bytes:
    """Encode `value` as canonical UTF-8 JSON: sorted keys, no spaces, shortest digits.

    Unlike RFC 8785, a float keeps its decimal point, because `max_features=1` and
    `max_features=1.0` are different models to scikit-learn.

    Args:
        value: Any JSON value; dictionary keys must be strings.

    Raises:
        NotCanonical: If `value` contains NaN, an infinity or a lone surrogate, or is nested too
            deep.
    """
    try:
        text = json.dumps(
            value, allow_nan=False, ensure_ascii=False, separators=(",", ":"), sort_keys=True
        )
        return text.encode()
    except (ValueError, RecursionError) as error:
        raise NotCanonical(str(error)) from error


def decode(data: bytes) -> JSON:
    """Decode UTF-8 JSON that has exactly one meaning; it need not be in canonical form.

    Raises:
        NotCanonical: If `data` is not UTF-8 or not JSON, or contains a key twice in one object,
            NaN, an infinity, a number that overflows or a lone surrogate, or is nested too deep.
    """
    if data.startswith(codecs.BOM_UTF8):
        raise NotCanonical("it begins with a byte order mark (BOM), which JSON does not allow")
    try:
        value: JSON = DECODER.decode(data.decode())
    except NotCanonical:
        raise
    except RecursionError as error:
        raise NotCanonical("the JSON is nested too deep") from error
    except ValueError as error:  # from json, from UTF-8, and for integers of over 4,300 digits
        raise NotCanonical(str(error)) from error
    if b"\\u" in data:
        try:
            encode(value)
        except NotCanonical as error:
            raise NotCanonical("an escape encodes half a character, a lone surrogate") from error
    return value


def convert(value: JSON, form: type[Form]) -> Form:
    """Convert decoded JSON to a struct.

    Raises:
        msgspec.ValidationError: If a field is missing, unknown or of another type, or if it has
            its default value: the struct would encode to other bytes, without that field.
    """
    struct = msgspec.convert(value, form)
    if decode(encode(msgspec.to_builtins(struct))) != value:
        raise msgspec.ValidationError("an optional field with its default value must be absent")
    return struct


def digest(data: bytes) -> Digest:
    """Return the SHA-256 digest of `data`."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _unique(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    unique = dict(pairs)
    if len(unique) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise NotCanonical(f"the key {key!r} occurs twice")
            seen.add(key)
    return unique


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
"""Decodes by the rules of `decode`; raises ValueError (such as NotCanonical) or RecursionError."""
