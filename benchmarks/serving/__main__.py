"""`python -m benchmarks.serving [SECONDS]`: requests a second, all servers in one run, in turns.

wrk asks with 16 connections, one worker answers. The peers are installed into scratch environments,
here and now, and are left out with the reason where that cannot be done.
"""

from __future__ import annotations

import json
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

ROUNDS = 5


class Rate(NamedTuple):
    """What wrk saw."""

    requests: float
    """A second."""
    p99: float
    """Milliseconds."""


NEW = "new heads"
"""Ours again, asked with a header that is never twice the same, as a proxy's request id."""
_ASK = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["X-Request-Id"] = "NUMBER"
local starts, ends, at, number = {}, {}, 0, 1000000
function init(args)
  for i, body in ipairs(bodies) do
    local whole = wrk.format(nil, nil, nil, body)
    local first, last = whole:find("NUMBER")
    starts[i], ends[i] = whole:sub(1, first - 1), whole:sub(last + 1)
  end
end
function request()
  at, number = at % #starts + 1, number + step
  return starts[at] .. number .. ends[at]
end
"""


def script_of(bodies: list[bytes], place: Path, step: int = 0) -> Path:
    """Return what tells wrk the requests, which it sends in turns; `step` is between their ids."""
    script = place / "post.lua"
    # Lua reads the escapes that these texts have as JSON does.
    said = ",\n".join(json.dumps(body.decode()) for body in bodies)
    script.write_text(f"local step, bodies = {step}, {{{said}}}\n{_ASK}")
    return script


def measure(server: Running, script: Path, seconds: float) -> Rate:
    """Return what a server reaches."""
    words = ["wrk", "--latency", "-t1", "-c16", f"-d{seconds:g}s", "-s", str(script), server.url]
    out = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    assert "Non-2xx" not in out and "Socket errors" not in out, out
    [rate] = re.findall(r"Requests/sec:\s+([\d.]+)", out)
    [(p99, unit)] = re.findall(r"99%\s+([\d.]+)(us|ms|s)\b", out)
    return Rate(float(rate), float(p99) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[unit])


def main() -> None:
    """Measure and print."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    if shutil.which("wrk") is None:
        sys.exit("benchmarks.serving: needs wrk; on Debian and Ubuntu: apt install wrk")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        artifact = trained(place)
        made: dict[str, Server] = {}
        for name, make in SERVERS.items():
            try:
                made[name] = make(place, artifact)
            except subprocess.CalledProcessError as error:
                said = (error.stderr or b"").decode().strip().splitlines()[-1:]
                print(f"{name} is left out: {' '.join(said)[:150]}")
        made[NEW] = made["ours"]
        for rows in (1, 100):
            found: dict[str, list[Rate]] = {name: [] for name in made}
            for _ in range(ROUNDS):
                for name, server in made.items():
                    with started(server) as running:
                        script = script_of(server.bodies(rows), place, int(name == NEW))
                        found[name].append(measure(running, script, seconds))
            print(table(rows, found))
        print(readiness(artifact, ROUNDS))
        ours = made["ours"]
        print(growth(ours, script_of(ours.bodies(1), place)))


def table(rows: int, found: dict[str, list[Rate]]) -> str:
    """Return the medians, and what ours is of each."""
    medians = {
        name: Rate(*(statistics.median(column) for column in zip(*rates, strict=True)))
        for name, rates in found.items()
    }
    ours = medians["ours"]
    lines = [f"{rows} row{'s' if rows > 1 else ''}: requests a second, p99, ours is … times it"]
    lines += [
        f"  {name:<10}{one.requests:>9.0f} /s{one.p99:>9.2f} ms"
        f"{ours.requests / one.requests:>8.2f}{ours.p99 / one.p99:>8.2f}"
        for name, one in medians.items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
