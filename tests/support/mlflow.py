"""MLflow's real client and server, in a separate environment.

`.ci/run` installs MLflow there and names its Python in MLFLOW_PYTHON.
"""

from __future__ import annotations

import os
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.command import Done, environment
from tests.support.remotes import free_port
from tests.support.waiting import until

MLFLOW = os.environ.get("MLFLOW_PYTHON")
with_mlflow = pytest.mark.skipif(MLFLOW is None, reason="MLFLOW_PYTHON names no Python")


class Server(NamedTuple):
    """A tracking server with a registry."""

    address: str
    artifacts: Path
    """The folder with the files of its models."""


def call_with_mlflow(*words: Any, cwd: Path, **variables: str) -> Done:
    """Run MLflow's Python; the hook of the tests ends it if it unpickles a forbidden file."""
    assert MLFLOW is not None
    done = subprocess.run([MLFLOW, *map(str, words)], cwd=cwd, env=environment(**variables),
                          capture_output=True, text=True)  # fmt: skip
    return Done(done.returncode, done.stdout, done.stderr)


def mlflow(*words: Any, cwd: Path, **variables: str) -> str:
    """Run MLflow's Python and return what it prints."""
    done = call_with_mlflow(*words, cwd=cwd, **variables)
    assert done.code == 0, done.err
    return done.out


@contextmanager
def running_server(folder: Path) -> Iterator[Server]:
    """Serve an empty registry, whose files are in a folder, until the block ends."""
    assert MLFLOW is not None
    port = free_port()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [MLFLOW, "-m", "mlflow", "server", "--port", str(port), "--workers", "1",
             "--backend-store-uri", f"sqlite:///{folder}/mlflow.db",
             "--artifacts-destination", str(folder / "artifacts")],
            cwd=folder, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    address = f"http://127.0.0.1:{port}"

    def healthy() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        try:
            with urllib.request.urlopen(f"{address}/health") as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    try:
        until(healthy)
        yield Server(address, folder / "artifacts")
    finally:
        os.killpg(process.pid, 15)
        process.wait()
