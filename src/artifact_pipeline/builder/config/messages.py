"""Parts of error messages, and the error for a config that msgspec rejects.

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

from artifact_pipeline.builder.config import model_name
from artifact_pipeline.builder.escapes import write_out
from artifact_pipeline.errors import ConfigError, Location

_WORDS = {
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "str": "a string",
    "object": "an object",
    "array": "a list",
    "null": "null",
}
"""Plain words for msgspec's names of types."""


def show(value: Any) -> str:
    """Return a value as a message quotes it: plain ASCII on one line, at most 60 characters."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    text = {"None": "null", "True": "true", "False": "false"}.get(repr(value), ascii(value))
    return text if len(text) <= 60 else text[:57] + "..."


def sentence(text: str) -> str:
    """Return the first paragraph of a text on one line."""
    return " ".join(text.strip().split("\n\n")[0].split())


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type if it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def nearest(word: str, known: Sequence[str]) -> str:
    """Return a hint with the known word closest to `word`, or with all if there are few."""
    import difflib

    close = difflib.get_close_matches(word[:100], known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    if len(known) > 20:
        return f"it is none of the {len(known)} known ones"
    return "expected one of: " + ", ".join(known)


def explain(
    error: ValidationError, document: Any, *, form: type[Struct], file: Location
) -> ConfigError:
    """Translate msgspec's error into one with a location, the value and the expected type.

    msgspec offers its errors as text only.

    Args:
        error: msgspec's error.
        document: The value that it rejected.
        form: The type that it expected.
        file: The location of the document.
    """
    message, _, path = str(error).partition(" - at `")
    value, kind, location = document, form, file
    for key in _keys(path.rstrip("`"), document, kind=kind):
        location = location.inside(key if isinstance(key, int) else write_out(key))
        value = value[key]
        kind = _inner(kind, key)
    if match := re.search(r"unknown field `(.*)`", message, re.DOTALL):
        sections = _sections_with(match[1], form=form)
        return ConfigError(
            f"unknown key {show(match[1])}",
            location=location,
            remedy=f"it belongs in {sections}"
            if sections
            else nearest(match[1], kind.__struct_fields__),
        )
    if match := re.search(r"missing required field `(.*)`", message):
        return ConfigError(f"the key {match[1]!r} is missing", location=location)
    if "enum value" in message:
        return ConfigError(
            f"found {show(value)}",
            location=location,
            remedy=nearest(str(value), sorted(_choices(kind))),
        )
    if model_name.PATTERN in message:
        problem = f"found {show(value)}, expected {model_name.EXPECTED}"
        return ConfigError(problem, location=location)
    expected = message.partition(", got ")[0].removeprefix("Expected ").replace("`", "")
    for word, plain in _WORDS.items():
        expected = re.sub(rf"\b{word}\b", plain, expected)
    expected = expected.replace(" | ", " or ")
    return ConfigError(f"found {show(value)}, expected {expected}", location=location)


def line_of(text: str, path: str) -> int:
    r"""Return the line of a JSON text on which a path such as `model.steps[0].params` begins.

    For a path that does not exist, such as a missing key, return the line of its nearest parent.

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


def _keys(path: str, value: Any, *, kind: Any) -> list[str | int]:
    """Return the keys in msgspec's path, with the first wrong key in place of `[...]`."""
    import msgspec

    keys: list[str | int] = []
    for name, index in re.findall(r"\.(\w+)|\[(\d+|\.\.\.)\]", path):
        if name:
            key: str | int = name
        elif index != "...":
            key = int(index)
        else:
            for key in value:
                try:
                    msgspec.convert(value[key], _inner(kind, key))
                except ValidationError:
                    break
        keys.append(key)
        value, kind = value[key], _inner(kind, key)
    return keys


def _choices(kind: Any) -> list[str]:
    """Return the values of a Literal, by itself or in a union."""
    arguments = get_args(kind)
    texts = [argument for argument in arguments if isinstance(argument, str)]
    return texts + [choice for argument in arguments for choice in _choices(argument)]


def _sections_with(key: str, *, form: type[Struct]) -> str:
    """Return the names of the sections of `form` that have the key, joined by "or"."""
    sections = (name for name in form.__struct_fields__
                if key in getattr(_inner(form, name), "__struct_fields__", ()))  # fmt: skip
    return " or ".join(map(repr, sections))


def _inner(kind: Any, key: str | int) -> Any:
    """Return the type of the value under `key` in a value of type `kind`."""
    if isinstance(kind, type) and issubclass(kind, Struct):
        kind = get_type_hints(kind)[str(key)]
        for option in (kind, *get_args(kind)):
            arguments = get_args(option)
            if arguments and getattr(option, "__origin__", None) in (list, dict):
                return option
            if isinstance(option, type) and issubclass(option, Struct):
                return option
        return kind
    return get_args(kind)[-1]


def _join(keys: Sequence[str | int]) -> str:
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{write_out(key)}" for key in keys)
    return text.removeprefix(".")
