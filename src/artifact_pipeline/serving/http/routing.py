"""What there is under which path, and by which method."""

from __future__ import annotations

import re
from functools import lru_cache

from artifact_pipeline.serving.http.errors import HTTPError

MODEL = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?(/ready|/infer)?")
ABOUT = re.compile(r"/(page|report|try)(?:/([^/]*))?")
PREDICT = re.compile(r"/predict(?:/([^/]+))?")
PROBES = ("/v2/health/live", "/v2/health/ready")
"""What answers without a Host header, which some health probes omit."""
OPEN = (*PROBES, "/")
"""What answers without a token; the page shows nothing until it has one."""


@lru_cache(256)
def route(path: str) -> tuple[str, str | None, str | None]:
    """Return the model, its version, and what of it a path is.

    Raises:
        HTTPError: if it is no model's path.
    """
    found = MODEL.fullmatch(path)
    if found is None:
        raise unknown(path)
    return found[1], found[2], found[3]


def allow(method: str, *methods: str) -> None:
    """Do nothing if a method is one of those that are expected.

    Raises:
        HTTPError: otherwise.
    """
    if method not in methods:
        allowed = ", ".join(methods)
        raise HTTPError(405, f"expected the method {methods[0]}", (b"allow", allowed.encode()))


def unknown(path: str) -> HTTPError:
    """Return what to say of a path at which nothing is."""
    return HTTPError(404, f"nothing is at {path[:80]!a}; /openapi.json says what there is")
