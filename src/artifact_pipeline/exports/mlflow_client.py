"""MLflow's client: its import, its settings and its errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from artifact_pipeline.builder.config.messages import first_line
from artifact_pipeline.errors import Location, MissingDependency, NetworkError, PipelineError

_USER = re.compile(r"//[^/\s]*@")
"""The user and the password in a URI."""
_SETTINGS = {
    # MLflow would try for minutes to reach a server that does not exist.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
"""Defaults for variables that the client reads."""


def library() -> Any:
    """Import MLflow.

    Raises:
        MissingDependency: If it is not installed.
    """
    import os

    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import mlflow
    except ImportError as error:
        raise MissingDependency(
            str(error), location=Location("mlflow"), remedy="pip install mlflow"
        ) from error
    return mlflow


@contextmanager
def server_errors(tracking_uri: str, *, remedy: str) -> Iterator[None]:
    """Translate the errors of MLflow's client and of the connection."""
    try:
        yield
    except PipelineError:
        raise
    except Exception as error:  # noqa: BLE001  (the client raises those of several libraries)
        # Without its cause, which quotes the URI with its password.
        raise NetworkError(
            ascii(_USER.sub("//", first_line(error)))[1:-1][:200],
            location=Location(without_secrets(tracking_uri)),
            remedy=remedy,
        ) from None


def without_secrets(uri: str) -> str:
    """Return a URI without the user, the password and the query.

    >>> without_secrets("https://user:secret@example.org:5000/a?token=b")
    'https://example.org:5000/a'
    """
    try:
        parts = urlsplit(uri)
    except ValueError:
        return "the MLflow server"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
