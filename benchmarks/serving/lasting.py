"""How soon our server answers, and what memory it has after a million requests."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from benchmarks.serving.servers import Server, started
from benchmarks.serving.soak import workers_mib

MILLION = 1_000_000
_RUNTIME = """
import os
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime
print("imported", flush=True)
"""
_OWN = """
import asyncio, uvloop
from granian.constants import Interfaces
from granian.server.embed import Server
async def app(scope, receive, send):
    pass
async def main():
    server = Server(app, port=0, interface=Interfaces.ASGINL, websockets=False, log_enabled=False)
    server.on_startup(lambda: print("started", flush=True))
    await server.serve()
uvloop.run(main())
"""


def readiness(artifact: Path, rounds: int) -> str:
    """Return how long it takes until the server answers, beside what it cannot do without."""
    runtime, own, ours = [], [], []
    for _ in range(rounds):
        runtime.append(_until_said("-c", _RUNTIME))
        own.append(_until_said("-c", _OWN))
        ours.append(_until_said("-m", "artifact_pipeline", "serve", str(artifact), "--port", "0"))
    parts = [statistics.median(one) for one in (ours, runtime, own)]
    return (
        f"ready after {parts[0]:.2f} s: {parts[0] / (parts[1] + parts[2]):.2f} of import "
        f"onnxruntime ({parts[1]:.2f} s) and the server's own start ({parts[2]:.2f} s)"
    )


def growth(server: Server, script: Path) -> str:
    """Return the memory of our server before, and every 15 s of, a million requests."""
    with started(server) as running:
        said, done = [workers_mib(running.pid)], 0
        while done < MILLION:
            words = ["wrk", "-t1", "-c16", "-d15s", "-s", str(script), running.url]
            out = subprocess.run(words, check=True, capture_output=True, text=True).stdout
            [count] = re.findall(r"(\d+) requests in", out)
            done += int(count)
            said.append(workers_mib(running.pid))
    return f"memory over {done} requests: {', '.join(f'{one:.1f}' for one in said)} MiB"


def _until_said(*words: str) -> float:
    """Return the seconds until a process says a line; if it is an address, until that answers."""
    start = time.perf_counter()
    with subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        _, _, address = process.stdout.readline().strip().partition(" at ")
        if address:
            with urllib.request.urlopen(f"{address}/v2/health/ready") as answer:
                assert answer.status == 200
        took = time.perf_counter() - start
        process.terminate()
    return took
