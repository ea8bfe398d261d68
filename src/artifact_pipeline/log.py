"""Loggers that cost nothing until a program imports `logging`, which takes 2 ms.

    log = Log(__name__)
    with log.timed("verify %s", path):
        ...

`--verbose` and the environment variable `ARTIFACT_PIPELINE_VERBOSE` print the messages. Other
programs receive them from the logger `artifact_pipeline`.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

VERBOSE_ENV_VAR = "ARTIFACT_PIPELINE_VERBOSE"


def is_verbose() -> bool:
    """Return whether the environment turns on steps, timings and tracebacks."""
    return os.environ.get(VERBOSE_ENV_VAR, "") not in ("", "0")


def scrub(text: str) -> str:
    """Return a text without the user names and passwords of its URLs.

    >>> scrub("https://user:secret@example.org/x")
    'https://***@example.org/x'
    >>> scrub("https://token@example.org/x, s3://bucket@champion")
    'https://***@example.org/x, s3://bucket@champion'
    """
    return re.sub(
        r"(?<=://)[^/\s@]*:[^/\s]*@|(?<=https://)[^/\s]+@|(?<=http://)[^/\s]+@", "***@", text
    )


class Log(NamedTuple):
    """The logger of a module."""

    name: str

    def debug(self, message: str, *values: object) -> None:
        """Log a message with %-style values, if `logging` has been imported."""
        if (logging := sys.modules.get("logging")) is not None:
            logging.getLogger(self.name).debug(message, *values)

    def warning(self, message: str, *values: object) -> None:
        """Log a warning with %-style values; without a handler, Python prints it on stderr."""
        import logging

        logging.getLogger(self.name).warning(message, *values)

    @contextmanager
    def timed(self, message: str, *values: object) -> Iterator[None]:
        """Log a step with the time that it took, whether it succeeds or not."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.debug(f"{message}: %.1f ms", *values, (time.perf_counter() - start) * 1000)
