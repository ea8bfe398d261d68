"""The paths and methods that the server answers."""

from __future__ import annotations

import re
from functools import lru_cache

from artifact_pipeline.serving.http.errors import HTTPError

MODEL = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?(/ready|/infer)?")
ABOUT = re.compile(r"/(page|report|try)(?:/([^/]*))?")
EXPLAIN = re.compile(r"/explain(?:/([^/]+))?")
PREDICT = re.compile(r"/predict(?:/([^/]+))?")
PROBES = ("/v2/health/live", "/v2/health/ready")
"""The health of the server."""


def is_probe(path: str) -> bool:
    """Return whether a path answers without a Host header, because some health probes omit it."""
    return path in PROBES or (path.startswith("/v2/models/") and path.endswith("/ready"))


@lru_cache(256)
def route(path: str) -> tuple[str, str | None, str | None]:
    """Return the model, the version and the action in a path below `/v2/models/`.

    Raises:
        HTTPError: 404 for any other path.
    """
    match = MODEL.fullmatch(path)
    if match is None:
        raise unknown(path)
    return match[1], match[2], match[3]


def is_open(path: str) -> bool:
    """Return whether a path answers without a token; the page shows nothing until it has one."""
    return path in PROBES or path == "/" or path.startswith("/try/")


def allow(method: str, *methods: str) -> None:
    """Check that a request's method is one of `methods`.

    Raises:
        HTTPError: 405 otherwise.
    """
    if method not in methods:
        allowed = ", ".join(methods)
        raise HTTPError(405, f"expected the method {methods[0]}", (b"allow", allowed.encode()))


def unknown(path: str) -> HTTPError:
    """Return the error for a path that does not exist."""
    return HTTPError(404, f"nothing is at {path[:80]!a}; /openapi.json lists all paths")
