"""The start-up time of our server, and its memory over a million requests."""

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
    """Return the time until the server responds, compared with the minimum."""
    runtime, own, ours = [], [], []
    for _ in range(rounds):
        runtime.append(_seconds_until_line("-c", _RUNTIME))
        own.append(_seconds_until_line("-c", _OWN))
        ours.append(
            _seconds_until_line("-m", "artifact_pipeline", "serve", str(artifact), "--port", "0")
        )
    parts = [statistics.median(seconds) for seconds in (ours, runtime, own)]
    return (
        f"ready after {parts[0]:.2f} s: {parts[0] / (parts[1] + parts[2]):.2f} of import "
        f"onnxruntime ({parts[1]:.2f} s) and the server's own start ({parts[2]:.2f} s)"
    )


def growth(server: Server, script: Path) -> str:
    """Return the memory of the workers before a million requests, and every 15 s during them."""
    with started(server) as running:
        memory, done = [workers_mib(running.pid)], 0
        while done < MILLION:
            words = ["wrk", "-t1", "-c16", "-d15s", "-s", str(script), running.url]
            out = subprocess.run(words, check=True, capture_output=True, text=True).stdout
            [count] = re.findall(r"(\d+) requests in", out)
            done += int(count)
            memory.append(workers_mib(running.pid))
    return f"memory over {done} requests: {', '.join(f'{mib:.1f}' for mib in memory)} MiB"


def _seconds_until_line(*words: str) -> float:
    """Return the seconds until a process prints a line or, for an address, until it responds."""
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
