"""`python -m benchmarks.serving [SECONDS [SERVER...]]`: requests per second and CPU per request.

wrk keeps 16 connections busy, every server has one worker, and the servers take turns. CPU time is
that of the server's processes; other load on the machine affects it less than the rate. Other
servers are installed into scratch environments; if that fails, they are left out with the reason.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from benchmarks.serving.lasting import growth, readiness
from benchmarks.serving.servers import SERVERS, Running, Server, started, trained
from benchmarks.serving.soak import workers_of

ROUNDS = 5


class Rate(NamedTuple):
    """The results of wrk."""

    requests: float
    """Requests per second."""
    p99: float
    """Milliseconds."""
    cpu: float
    """Microseconds of CPU per request, of all threads."""


_SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local requests, at = {}, 0
function init(args)
  for i, body in ipairs(bodies) do requests[i] = wrk.format(nil, nil, nil, body) end
end
function request()
  at = at % #requests + 1
  return requests[at]
end
"""


def script_of(bodies: list[bytes], place: Path) -> Path:
    """Write a script with which wrk sends these bodies in turn, and return its path."""
    script = place / "post.lua"
    # Lua reads the escapes in these texts as JSON does.
    texts = ",\n".join(json.dumps(body.decode()) for body in bodies)
    script.write_text(f"local bodies = {{{texts}}}\n{_SCRIPT}")
    return script


def cpu_of(pid: int) -> float:
    """Return the CPU seconds of a process and of its ended children."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def measure(server: Running, script: Path, seconds: float) -> Rate:
    """Return the rate of a server."""
    command = ["wrk", "--latency", "-t1", "-c16", f"-d{seconds:g}s", "-s", str(script), server.url]
    processes = [server.pid, *workers_of(server.pid)]
    before = sum(map(cpu_of, processes))
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    spent = sum(map(cpu_of, processes)) - before
    assert "Non-2xx" not in out and "Socket errors" not in out, out
    [rate] = re.findall(r"Requests/sec:\s+([\d.]+)", out)
    [(p99, unit)] = re.findall(r"99%\s+([\d.]+)(us|ms|s)\b", out)
    [count] = re.findall(r"(\d+) requests in", out)
    milliseconds = float(p99) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[unit]
    return Rate(float(rate), milliseconds, spent / int(count) * 1e6)


def main() -> None:
    """Measure the servers and print the results."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    wanted = sys.argv[2:]
    if shutil.which("wrk") is None:
        sys.exit("benchmarks.serving: needs wrk; on Debian and Ubuntu: apt install wrk")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        artifact = trained(place)
        servers: dict[str, Server] = {}
        for name, make in SERVERS.items():
            if wanted and name not in wanted:
                continue
            try:
                servers[name] = make(place, artifact)
            except subprocess.CalledProcessError as error:
                reason = (error.stderr or b"").decode().strip().splitlines()[-1:]
                print(f"{name} is left out: {' '.join(reason)[:150]}")
        for rows in (1, 100):
            rates: dict[str, list[Rate]] = {name: [] for name in servers}
            for _ in range(ROUNDS):
                for name, server in servers.items():
                    with started(server) as running:
                        script = script_of(server.bodies(rows), place)
                        rates[name].append(measure(running, script, seconds))
            print(table(rows, rates))
        if wanted:
            return
        print(readiness(artifact, ROUNDS))
        ours = servers["ours"]
        print(growth(ours, script_of(ours.bodies(1), place)))


def table(rows: int, rates: dict[str, list[Rate]]) -> str:
    """Return the medians, and the ratio of ours to each."""
    medians = {
        name: Rate(*(statistics.median(column) for column in zip(*results, strict=True)))
        for name, results in rates.items()
    }
    ours = medians["ours"]
    title = f"{rows} row{'s' if rows > 1 else ''}"
    lines = [f"{title}: requests per second, p99, CPU per request; ours is … times each"]
    lines += [
        f"  {name:<10}{rate.requests:>9.0f} /s{rate.p99:>9.2f} ms{rate.cpu:>9.0f} us"
        f"{ours.requests / rate.requests:>8.2f}{ours.p99 / rate.p99:>8.2f}"
        f"{ours.cpu / max(rate.cpu, 1e-9):>8.2f}"
        for name, rate in medians.items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
