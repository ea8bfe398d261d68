"""Match files as @actions/glob does: a pattern a line, `*`, `?`, `[…]`, `**`, `~`, `!` and `#`."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

_TOKEN = re.compile(r"(\\.|\[(?:\\.|[^\]\\])+\]|[*?])", re.DOTALL)


class Pattern(NamedTuple):
    """One line of the patterns, made absolute."""

    negate: bool
    only_folders: bool
    segments: tuple[str, ...]
    implicit: bool = False

    @property
    def search_path(self) -> str:
        """The folders before the first wildcard."""
        literal = []
        for segment in self.segments:
            text = _literal(segment)
            if text is None:
                break
            literal.append(text)
        return "/" + "/".join(literal)

    def matches(self, path: str) -> bool:
        if self.segments[-1:] == ("**",) and not self.implicit:
            path += "/"  # `folder/**` matches the folder too
        return re.fullmatch(self._expression(), path, re.DOTALL) is not None

    def _expression(self) -> str:
        expression = ""
        for number, segment in enumerate(self.segments):
            if segment != "**":
                expression += "/" + _expression(segment)
            elif number == len(self.segments) - 1:
                expression += "/.*" if not self.implicit else "/.+"
            else:
                expression += "(?:/[^/]+)*"
        return expression or "/"


class Found(NamedTuple):
    """What patterns match."""

    paths: list[str]
    """Files, and folders, in the order of a walk."""
    search_paths: list[str]
    """Where the walk began, without folders below another."""


def find(patterns: str, *, descendants: bool = True, hidden: bool = True) -> Found:
    """Return what the patterns match; a folder stands for all below it, with `descendants`.

    Raises:
        ValueError: If a pattern has a segment `.` or `..`.
    """
    lines = [line.strip() for line in patterns.split("\n")]
    parsed = [_parse(line) for line in lines if line and not line.startswith("#")]
    search_paths = _search_paths(parsed)
    if descendants:
        parsed = [each for pattern in parsed for each in _with_descendants(pattern)]
    paths: list[str] = []
    for start in search_paths:
        if os.path.lexists(start):
            _walk(start, parsed, hidden=hidden, parents=(), paths=paths)
    return Found(paths, search_paths)


def _parse(line: str) -> Pattern:
    negate = False
    while line.startswith("!"):
        negate, line = not negate, line[1:].strip()
    names = line.split("/")
    if ".." in names or "." in names[1:]:
        raise ValueError(f"Invalid pattern '{line}'. Relative pathing '.' and '..' is not allowed.")
    if names[0] == "~":
        names = [_escape(str(Path.home())), *names[1:]]
    elif names[0]:
        names = [_escape(str(Path.cwd())), *(names[1:] if names[0] == "." else names)]
    segments = tuple(name for name in "/".join(names).split("/") if name)
    return Pattern(negate, line.endswith("/") and bool(segments), segments)


def _with_descendants(pattern: Pattern) -> list[Pattern]:
    if pattern.segments[-1:] == ("**",) and not pattern.only_folders:
        return [pattern]
    below = (*pattern.segments, "**")
    return [pattern, Pattern(pattern.negate, False, below, implicit=True)]


def _search_paths(patterns: list[Pattern]) -> list[str]:
    starts = list(dict.fromkeys(each.search_path for each in patterns if not each.negate))
    return [
        start
        for start in starts
        if not any(str(parent) in starts for parent in Path(start).parents)
    ]


def _walk(
    path: str,
    patterns: list[Pattern],
    *,
    hidden: bool,
    parents: tuple[str, ...],
    paths: list[str],
) -> None:
    real = os.path.realpath(path)
    if not Path(path).exists() or real in parents:  # a broken link, or a cycle
        return
    if not hidden and Path(path).name.startswith("."):
        return
    is_folder = Path(path).is_dir()
    matched = False
    for pattern in patterns:
        if pattern.matches(path) and (is_folder or not pattern.only_folders):
            matched = not pattern.negate
    if matched:
        paths.append(path)
    if is_folder:
        for name in sorted(os.listdir(path)):  # noqa: PTH208
            _walk(
                f"{path.rstrip('/')}/{name}",
                patterns,
                hidden=hidden,
                parents=(*parents, real),
                paths=paths,
            )


def _literal(segment: str) -> str | None:
    """Return the name that a segment stands for; nothing if it has a wildcard."""
    name = ""
    for token in _TOKEN.split(segment):
        if token in ("*", "?"):
            return None
        if token.startswith("\\") and len(token) == 2:
            name += token[1]
        elif _TOKEN.fullmatch(token):
            characters = re.sub(r"\\(.)", r"\1", token[1:-1])
            if len(characters) > 1:
                return None
            name += characters
        else:
            name += token
    return name


def _expression(segment: str) -> str:
    if segment == "*":
        return "[^/]+"
    return "".join(_token_expression(token) for token in _TOKEN.split(segment))


def _token_expression(token: str) -> str:
    if token == "*":
        return "[^/]*"
    if token == "?":
        return "[^/]"
    if token.startswith("\\") and len(token) == 2:
        return re.escape(token[1])
    if _TOKEN.fullmatch(token):
        characters = token[1:-1]
        negated = characters[0] in "!^" and len(characters) > 1
        return f"[{'^' * negated}{characters[negated:].replace('[', chr(92) + '[')}]"
    return re.escape(token)


def _escape(path: str) -> str:
    """Return a path as a pattern that matches only it."""
    return re.sub(r"([*?\[])", r"[\1]", path.replace("\\", "\\\\"))
