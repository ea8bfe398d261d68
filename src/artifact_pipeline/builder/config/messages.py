"""What is wrong with a value, in one line: what was found, and what would be right.

>>> nearest("solvr", ["C", "solver"])
"did you mean 'solver'?"
>>> show({"a": 1}), show(None), show("lbfgs")
('an object', 'null', "'lbfgs'")
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, get_args, get_type_hints

from msgspec import Struct, ValidationError

from artifact_pipeline.builder.escapes import write_out
from artifact_pipeline.errors import ConfigError

_WORDS = {
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "str": "a string",
    "object": "an object",
    "array": "a list",
    "null": "null",
}


def show(value: Any) -> str:
    """Return `value` as a message quotes it: short, on one line, plain ASCII."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    text = {"None": "null", "True": "true", "False": "false"}.get(repr(value), ascii(value))
    return text if len(text) <= 60 else text[:57] + "..."


def sentence(text: str) -> str:
    """Return the first paragraph of `text` on one line."""
    return " ".join(text.strip().split("\n\n")[0].split())


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, or else its kind."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def nearest(word: str, known: Sequence[str]) -> str:
    """Return the hint that names the known word next to `word`, or all of them if few."""
    import difflib

    close = difflib.get_close_matches(word[:100], known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    if len(known) > 20:
        return f"it is none of the {len(known)} known ones"
    return "expected one of: " + ", ".join(known)


def explain(error: ValidationError, raw: Any, form: type[Struct], where: str) -> ConfigError:
    """Return msgspec's `error` about `raw` in the words of a user: file, key, found, expected."""
    said, _, path = str(error).partition(" - at `")
    value, kind, keys = raw, form, []
    for key in _keys(path.rstrip("`"), raw, kind):
        keys.append(key)
        value = value[key]
        kind = _inner(kind, key)
    place = where + (": " + _join(keys) if keys else "")
    if match := re.search(r"unknown field `(.*)`", said, re.DOTALL):
        hint = nearest(match[1], kind.__struct_fields__)
        return ConfigError(f"unknown key {show(match[1])}; {hint}", where=place)
    if match := re.search(r"missing required field `(.*)`", said):
        return ConfigError(f"the key {match[1]!r} is missing", where=place)
    if "enum value" in said:
        hint = nearest(str(value), sorted(_choices(kind)))
        return ConfigError(f"found {show(value)}; {hint}", where=place)
    expected = said.partition(", got ")[0].removeprefix("Expected ").replace("`", "")
    for word, plain in _WORDS.items():
        expected = re.sub(rf"\b{word}\b", plain, expected)
    expected = expected.replace(" | ", " or ")
    return ConfigError(f"found {show(value)}, expected {expected}", where=place)


def line_of(text: str, path: str) -> int:
    r"""Return the line of a JSON text on which a path such as `model.steps[0].params` begins.

    Where the path itself is not there, as when a key is missing, it is the line of what holds it.

    >>> line_of('{"split":\n {"test_size": 2}}', "split.test_size")
    2
    """
    keys: list[str | int] = []
    in_object: list[bool] = []
    awaits_key = False
    best, line, at = (0, -1), 1, 0
    for match in re.finditer(r'"(?:[^"\\]|\\.)*"|[{}\[\],]|[^\s{}\[\],"]+', text):
        token = match[0]
        line += text.count("\n", at, match.start())
        at = match.start()
        if token in "}]" and in_object:
            in_object.pop()
            keys.pop()
        elif token == "," and in_object:
            awaits_key = in_object[-1]
            keys[-1] = "" if awaits_key else int(keys[-1]) + 1
            continue
        elif awaits_key and token[0] == '"':
            keys[-1], awaits_key = json.loads(token), False
        here = _join(keys)
        if path == here or path.startswith((f"{here}.", f"{here}[")):
            best = max(best, (len(here), -line))
        if token in "{[":
            awaits_key = token == "{"
            in_object.append(awaits_key)
            keys.append("" if awaits_key else 0)
    return -best[1]


def _keys(path: str, raw: Any, kind: Any) -> list[str | int]:
    """Split msgspec's path; where it writes `[...]` for a key, find the one that it meant."""
    import msgspec

    keys: list[str | int] = []
    for name, index in re.findall(r"\.(\w+)|\[(\d+|\.\.\.)\]", path):
        if name:
            key: str | int = name
        elif index != "...":
            key = int(index)
        else:
            for key in raw:
                try:
                    msgspec.convert(raw[key], _inner(kind, key))
                except ValidationError:
                    break
        keys.append(key)
        raw, kind = raw[key], _inner(kind, key)
    return keys


def _choices(kind: Any) -> list[str]:
    """Return the values of a Literal, alone or beside others in a union."""
    inside = get_args(kind)
    texts = [one for one in inside if isinstance(one, str)]
    return texts + [choice for one in inside for choice in _choices(one)]


def _inner(kind: Any, key: str | int) -> Any:
    """Return the type that stands under `key` in a value of type `kind`."""
    if isinstance(kind, type) and issubclass(kind, Struct):
        kind = get_type_hints(kind)[str(key)]
        for option in (kind, *get_args(kind)):
            inside = get_args(option)
            if inside and getattr(option, "__origin__", None) in (list, dict):
                return option
            if isinstance(option, type) and issubclass(option, Struct):
                return option
        return kind
    return get_args(kind)[-1]


def _join(keys: Sequence[str | int]) -> str:
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{write_out(key)}" for key in keys)
    return text.removeprefix(".")
