"""The servers that are compared: ours, the bare one, and others in scratch environments."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
REQUESTS = 16
"""Number of different requests; their lengths vary, as with real clients."""


class Server(NamedTuple):
    """The command that starts a server, and the requests that it gets."""

    command: list[str]
    """`PORT` stands for the port."""
    path: str
    environment: dict[str, str]
    bodies: Callable[[int], list[bytes]]
    """Returns bodies of requests with a number of rows."""


class Running(NamedTuple):
    """A server that is ready."""

    url: str
    pid: int


def trained(place: Path) -> Path:
    """Return the digits artifact, trained into a scratch store."""
    arguments = ["-m", "artifact_pipeline", "run", str(ROOT / "config" / "config.json"), "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=place, env=environment, check=True, capture_output=True
    )
    return place / str(json.loads(done.stdout)["artifact"])


@contextlib.contextmanager
def started(server: Server) -> Iterator[Running]:
    """Start a server, wait until it responds, and end it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [word.replace("PORT", str(port)) for word in server.command]
    environment = {
        **os.environ,
        **{name: value.replace("PORT", str(port)) for name, value in server.environment.items()},
    }
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}{server.path}"
    try:
        _wait(url, server.bodies(1)[0], process)
        yield Running(url, process.pid)
    finally:
        process.terminate()
        process.wait(30)


def _wait(url: str, body: bytes, process: subprocess.Popen[bytes]) -> None:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    end = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                if response.status == 200:
                    return
        except (OSError, urllib.error.URLError):
            if time.monotonic() > end or process.poll() is not None:
                raise
            time.sleep(0.1)


def _rows(rows: int, number: int) -> list[list[float]]:
    generator = random.Random(number)
    return [[float(generator.randrange(17)) for _ in range(64)] for _ in range(rows)]


def _tensors(rows: int) -> list[bytes]:
    bodies = []
    for number in range(REQUESTS):
        data = [value for row in _rows(rows, number) for value in row]
        tensor = {"name": "X", "shape": [rows, 64], "datatype": "FP64", "data": data}
        bodies.append(json.dumps({"inputs": [tensor]}).encode())
    return bodies


def _lists(rows: int) -> list[bytes]:
    return [json.dumps({"inputs": _rows(rows, number)}).encode() for number in range(REQUESTS)]


def _ours(place: Path, artifact: Path) -> Server:
    command = [sys.executable, "-m", "artifact_pipeline", "serve", str(artifact), "--port", "PORT"]
    environment = {"PYTHONPATH": str(ROOT / "src")}
    return Server(command, "/v2/models/model/infer", environment, _tensors)


def _bare(place: Path, artifact: Path) -> Server:
    command = [sys.executable, "-m", "benchmarks.serving.bare", "PORT"]
    environment = {
        "PYTHONPATH": str(ROOT),
        "MODEL": str(artifact / "model.onnx"),
        "DIGEST": f"sha256:{artifact.name}",
    }
    return Server(command, "/v2/models/model/infer", environment, _tensors)


def _environment(place: Path, name: str, *packages: str) -> Path:
    """Return the Python of a scratch environment with these packages."""
    home = place / name
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, *packages], check=True, capture_output=True)
    return python


def _mlserver(place: Path, artifact: Path) -> Server:
    python = _environment(place, "mlserver", "mlserver", "mlserver-sklearn", "scikit-learn")
    model = place / "mlserver-model"
    model.mkdir()
    fit = (
        "import joblib; from sklearn.datasets import load_digits; "
        "from sklearn.linear_model import LogisticRegression; "
        "X, y = load_digits(return_X_y=True); "
        "joblib.dump(LogisticRegression(max_iter=1000).fit(X, y), 'model.joblib')"
    )
    subprocess.run([str(python), "-c", fit], cwd=model, check=True, capture_output=True)
    settings = {
        "name": "model",
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": "./model.joblib"},
    }
    (model / "model-settings.json").write_text(json.dumps(settings))
    environment = {
        "MLSERVER_HTTP_PORT": "PORT",
        "MLSERVER_GRPC_PORT": "0",
        "MLSERVER_METRICS_PORT": "0",
        "MLSERVER_PARALLEL_WORKERS": "0",
        "MLSERVER_DEBUG": "false",
    }
    command = [str(python.with_name("mlserver")), "start", str(model)]
    return Server(command, "/v2/models/model/infer", environment, _tensors)


def _mlflow(place: Path, artifact: Path) -> Server:
    python = _environment(place, "mlflow", "mlflow", "scikit-learn")
    fit = (
        "import mlflow.sklearn; from sklearn.datasets import load_digits; "
        "from sklearn.linear_model import LogisticRegression; "
        "X, y = load_digits(return_X_y=True); "
        "mlflow.sklearn.save_model(LogisticRegression(max_iter=1000).fit(X, y), 'mlflow-model')"
    )
    subprocess.run([str(python), "-c", fit], cwd=place, check=True, capture_output=True)
    command = [
        str(python.with_name("mlflow")),
        "models",
        "serve",
        "-m",
        str(place / "mlflow-model"),
    ]
    command += ["--env-manager", "local", "--port", "PORT", "--workers", "1"]
    environment = {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
    return Server(command, "/invocations", environment, _lists)


SERVERS: dict[str, Callable[[Path, Path], Server]] = {
    "ours": _ours,
    "bare": _bare,
    "MLServer": _mlserver,
    "MLflow": _mlflow,
}
