"""`python -m benchmarks.serving.soak [SECONDS]`: full load, with failures.

Some requests are malformed, the alias moves every few seconds, and workers are killed. Each
response must equal, to the bit, the prediction of the artifact that it names for the single row.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from artifact_pipeline import open_artifact

ROOT = Path(__file__).resolve().parents[2]
CLIENTS, WORKERS, ROWS = 8, 2, 50
SWAP, KILL = 3.0, 8.0
"""Seconds between two moves of the alias, and between two killed workers."""
PATIENCE = 300.0
"""Seconds after which a request or the server hangs; the busiest machine needs far fewer."""
BAD: list[tuple[bytes, dict[str, str], int]] = [
    (b"", {}, 400),
    (b"{", {}, 400),
    (b'{"inputs": [], "inputs": []}', {}, 400),
    (b'{"inputs": [{"name": "X", "shape": [1, 2], "datatype": "FP64", "data": [1, 2]}]}', {}, 400),
    (b"\x1f\x8b nothing", {"Content-Encoding": "gzip"}, 400),
    (b"{}", {"Content-Encoding": "br"}, 415),
    (b"{}", {"Content-Type": "text/plain"}, 415),
    (b"{}", {"Host": "evil.example"}, 421),
    (b"{}", {"Inference-Header-Content-Length": "99"}, 400),
]


class Soak:
    """The counts of all clients together."""

    def __init__(self) -> None:
        self.answers = 0
        self.refusals = 0
        self.broken = 0
        """Connections that ended with a killed worker."""
        self.wrong: list[str] = []
        """Responses with other predictions, or with another error, than expected."""
        self.lost: list[str] = []
        """Requests without a response that were not interrupted by a kill."""
        self.digests: set[str] = set()
        self.kills = 0
        self.mib: list[float] = []
        """Memory of the largest worker, every second."""
        self.is_killing = False
        self.killed_at = 0.0
        """When the last killed worker had ended."""
        self.ends = threading.Event()


def soak(seconds: float, place: Path, is_enough: Callable[[Soak], bool] = lambda _: True) -> Soak:
    """Run the test in a folder, and return the counts.

    Args:
        seconds: How long it lasts at least.
        place: The folder.
        is_enough: Whether it may end, which a busy machine reaches later.
    """
    digests = [_train(place, change) for change in ({}, {"C": 0.01})]
    alias = place / "artifacts" / "aliases" / "champion"
    _move(alias, digests[0])
    rows = np.random.default_rng(1).integers(0, 17, (ROWS, 64)).astype(float)
    expected = {digest: _predicted(place, digest, rows) for digest in digests}
    counts = Soak()
    with _served(place) as (process, port):
        threads = [
            threading.Thread(target=_send_requests, args=(counts, port, rows, expected, seed))
            for seed in range(CLIENTS)
        ]
        threads.append(
            threading.Thread(target=_disturb, args=(counts, process.pid, port, alias, digests))
        )
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        end = time.monotonic() + PATIENCE
        while not is_enough(counts) and time.monotonic() < end:
            time.sleep(0.5)
        counts.ends.set()
        for thread in threads:
            thread.join()
    return counts


def _train(place: Path, change: dict[str, float]) -> str:
    config = json.loads((ROOT / "config" / "config.json").read_bytes()) | change
    (place / "config.json").write_text(json.dumps(config))
    words = [sys.executable, "-m", "artifact_pipeline", "train", "config.json", "--json"]
    done = subprocess.run(words, cwd=place, env=_environment(), check=True, capture_output=True)
    return str(json.loads(done.stdout)["digest"])


def _predicted(place: Path, digest: str, rows: Any) -> list[list[Any]]:
    model = open_artifact(place / "artifacts" / digest.removeprefix("sha256:"))
    return [
        [model.predict(row[None]).tolist(), model.predict_proba(row[None]).ravel().tolist()]
        for row in rows
    ]


def _move(alias: Path, digest: str) -> None:
    new = alias.with_name("champion.new")
    new.write_text(f"{digest}\n")
    new.replace(alias)


class _UnsplitConnection(http.client.HTTPConnection):
    """Sends the head and the body of a request together, as most clients other than Python's do."""

    _held = b""

    def send(self, data: Any) -> None:
        self._held += data

    def getresponse(self) -> http.client.HTTPResponse:
        held, self._held = self._held, b""
        super().send(held)
        return super().getresponse()


def _send_requests(counts: Soak, port: int, rows: Any, expected: dict[str, Any], seed: int) -> None:
    generator = random.Random(seed)
    path = "/v2/models/model/infer"
    kind = _UnsplitConnection if seed % 2 else http.client.HTTPConnection
    connection = kind("127.0.0.1", port, timeout=PATIENCE)
    alive_at = 0.0  # when the server last accepted the connection or read a request from it
    while not counts.ends.is_set():
        index = generator.randrange(ROWS)
        tensor = {"name": "X", "shape": [1, 64], "datatype": "FP64", "data": rows[index].tolist()}
        body, status = json.dumps({"inputs": [tensor]}).encode(), 200
        headers: dict[str, str] = {}
        if generator.random() < 0.1:
            body, headers, status = generator.choice(BAD)
        sent_at = time.monotonic()
        if connection.sock is None:
            alive_at = sent_at
        try:
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            content = response.read()
            alive_at = sent_at
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            if counts.is_killing or alive_at <= counts.killed_at:
                counts.broken += 1
            else:
                counts.lost.append(repr(error))
            continue
        if response.status != status:
            counts.wrong.append(f"{response.status} instead of {status}: {content[:200]!r}")
        elif status == 200:
            digest = response.headers["artifact-digest"]
            predicted = [output["data"] for output in json.loads(content)["outputs"]]
            counts.digests.add(digest)
            counts.answers += 1
            if predicted != expected[digest][index]:
                counts.wrong.append(f"row {index} by {digest}: {predicted}")
        else:
            counts.refusals += 1
    connection.close()


def _disturb(counts: Soak, server: int, port: int, alias: Path, digests: list[str]) -> None:
    """Move the alias, kill workers, and record their memory."""
    start = time.monotonic()
    swaps = 0
    while not counts.ends.wait(1.0):
        now = time.monotonic() - start
        workers = workers_of(server)
        counts.mib.append(max((mib(pid) for pid in workers), default=0.0))
        if now > SWAP * (swaps + 1):
            swaps += 1
            _move(alias, digests[swaps % 2])
        if now > KILL * (counts.kills + 1) and (
            sum(_listens(pid, port) for pid in workers) == WORKERS
        ):
            worker = random.Random(counts.kills + 1).choice(workers)
            counts.is_killing = True
            os.kill(worker, signal.SIGKILL)
            # The server has waited for it, so that its sockets are closed.
            while Path(f"/proc/{worker}").exists():
                time.sleep(0.01)
            counts.killed_at = time.monotonic()
            counts.is_killing = False
            counts.kills += 1


def _listens(pid: int, port: int) -> bool:
    """Return whether a process listens on a port of IPv4. Linux only."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = {
        f"socket:[{fields[9]}]"
        for fields in lines
        if fields[3] == "0A" and fields[1].endswith(f":{port:04X}")
    }
    with contextlib.suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if str(descriptor.readlink()) in listening:
                    return True
    return False


def workers_of(server: int) -> list[int]:
    """Return the worker processes of a server."""
    pids = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == server and b"spawn_main" in (folder / "cmdline").read_bytes():
                pids.append(int(folder.name))
    return pids


def mib(pid: int) -> float:
    """Return the memory of a process, 0 if it has just ended."""
    with contextlib.suppress(OSError, IndexError):
        [line] = [x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmRSS" in x]
        return int(line.split()[1]) / 1024
    return 0.0


def workers_mib(server: int) -> float:
    """Return the memory of all workers of a server."""
    return sum(mib(pid) for pid in workers_of(server))


@contextlib.contextmanager
def _served(place: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    words = [sys.executable, "-m", "artifact_pipeline", "serve", "champion", "--port", "0"]
    process = subprocess.Popen(
        [*words, "--workers", str(WORKERS)],
        cwd=place, env=_environment(), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield process, int(process.stdout.readline().rpartition(":")[2])
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "src")}


def main() -> None:
    """Run the test and print the counts."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 600.0
    with tempfile.TemporaryDirectory() as folder:
        counts = soak(seconds, Path(folder))
    print(
        f"{seconds:.0f} s: {counts.answers} answers, {len(counts.wrong)} wrong, "
        f"{counts.refusals} refusals, {len(counts.lost)} lost, {counts.kills} workers killed "
        f"({counts.broken} connections with them), {len(counts.digests)} artifacts"
    )
    third = len(counts.mib) // 3 or 1
    print(
        f"memory of a worker: {max(counts.mib[:third]):.0f} MiB, {max(counts.mib[-third:]):.0f} MiB"
    )
    for problem in [*counts.wrong, *counts.lost][:10]:
        print(problem)


if __name__ == "__main__":
    main()
