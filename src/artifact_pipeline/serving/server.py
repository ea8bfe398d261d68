"""Binds the port, starts the workers, replaces those that die, and ends them.

A single worker runs in this process. Several run in processes of their own, each with a listening
socket on the same port (SO_REUSEPORT), between which the kernel distributes connections.
"""

from __future__ import annotations

import contextlib
import multiprocessing.connection
import os
import re
import signal
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.context import SpawnProcess
from typing import Any

from msgspec.structs import replace

from artifact_pipeline.errors import CallError, StoreError
from artifact_pipeline.serving import worker
from artifact_pipeline.serving.options import ServerOptions, is_local
from artifact_pipeline.serving.worker import Address

RESTART_SECONDS = (0.1, 0.5, 2.0)
"""Delays before a worker is started again that died soon after its start, one after another."""
_SOON = 5.0
_CONNECT_SECONDS = 60.0

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_LIKE_TOKEN = re.compile(r"[!-~]{16,4096}")


def serve(options: ServerOptions, ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or Ctrl-C; requests that were accepted by then are finished.

    `ready` is called with the URL once the models are verified and connections are accepted.

    Raises:
        CallError: if granian is not installed, two models have one name, or other machines would
            be served without a token.
        VerificationError, ArtifactNotFound: if an artifact is not to be trusted.
        StoreError: if the port cannot be bound.
    """
    _check(options)
    with tempfile.TemporaryDirectory(prefix="artifact-pipeline-") as shared:
        options = replace(options, shared=shared)
        with _reserved(options) as address:
            _run(options, address, ready)


def _check(options: ServerOptions) -> None:
    worker.check_installed()
    names = [one.name for one in options.models]
    for name in names:
        if not _NAME.fullmatch(name):
            raise CallError("is no name; expected letters, digits, . _ and -", where=name[:80])
    if len(set(names)) < len(names):
        raise CallError("two models have one name; say NAME=ARTIFACT", where="serve")
    if not is_local(options.host) and options.token is None:
        raise CallError(
            "others than this machine would reach it; give --token-file, or let a proxy on this "
            "machine ask who they are",
            where=f"--host {options.host}",
        )
    if options.token is not None and not _LIKE_TOKEN.fullmatch(options.token):
        said = "expected a token: 16 or more letters, digits and signs on one line"
        raise CallError(said, where="--token-file")
    if (options.certificate is None) != (options.key is None):
        raise CallError("expected both --tls-cert and --tls-key", where="serve")
    if options.certificate is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
                # An encrypted key is refused; without a password OpenSSL would ask for one.
                options.certificate,
                options.key,
                password="",
            )
        except OSError as error:
            said = f"is no certificate with its key: {error.strerror or error}"
            raise CallError(said, where="--tls-cert") from error


@contextlib.contextmanager
def _reserved(options: ServerOptions) -> Iterator[Address]:
    """Hold a port that was free, without listening, until the block ends.

    Raises:
        StoreError: if it cannot be bound.
    """
    with contextlib.ExitStack() as stack:
        try:
            found = socket.getaddrinfo(
                options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            family, _, _, _, place = min(found, key=lambda one: one[0] != socket.AF_INET)
            # SO_REUSEPORT would let two servers of one user share a port, so the port is bound
            # once without it.
            with socket.create_server(place[:2], family=family) as trial:
                host, port = trial.getsockname()[:2]
            if hasattr(socket, "SO_REUSEPORT"):
                held = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
                held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                held.bind((host, port))
        except (OSError, OverflowError, UnicodeError) as error:
            said = getattr(error, "strerror", None) or str(error)
            where = f"{options.host}:{options.port}"
            raise StoreError(f"cannot be bound: {said}", where=where) from error
        yield Address(host, port)


def _run(options: ServerOptions, address: Address, ready: Callable[[str], None]) -> None:
    from artifact_pipeline.builder.formats import onnx_format

    onnx_format.preload()
    onnx_format.runtime()
    from artifact_pipeline.serving import metrics

    metrics.create(options.shared, len(options.models), workers=options.workers)
    host = f"[{options.host}]" if ":" in options.host else options.host
    scheme = "http" if options.certificate is None else "https"
    url = f"{scheme}://{host}:{address.port}"
    if options.workers == 1:
        # Announced from a thread: the socket listens only once the event loop runs.
        worker.run(options, address, lambda: _announce(address, lambda: ready(url)))
        return
    from artifact_pipeline.serving.registry import ModelRegistry

    # Models are opened here once, so that an error is printed once and not by every worker.
    ModelRegistry(options.models, options.shared)
    _supervise(options, address, lambda: ready(url))


def _announce(address: Address, ready: Callable[[], None]) -> None:
    """Call `ready` once connections are accepted."""

    def wait() -> None:
        end = time.monotonic() + _CONNECT_SECONDS
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(address, 1.0):
                ready()
                return
            time.sleep(0.01)

    threading.Thread(target=wait, daemon=True, name="announce").start()


class _Workers:
    """The processes of a server, by number; the restart of one that died is planned."""

    def __init__(self, options: ServerOptions, address: Address) -> None:
        self._options = options
        self._address = address
        self._context = multiprocessing.get_context("spawn")
        self._failures = [0] * options.workers
        self._started = [0.0] * options.workers
        self.processes: list[SpawnProcess | None] = [None] * options.workers
        self.due = [0.0] * options.workers

    def start_due(self) -> None:
        """Start every worker that is not there and whose time has come."""
        now = time.monotonic()
        for number, process in enumerate(self.processes):
            if process is None and self.due[number] <= now:
                self._started[number] = now
                fresh = self._context.Process(
                    target=_work, args=(self._options, self._address), daemon=False
                )
                fresh.start()
                self.processes[number] = fresh

    def bury_dead(self) -> None:
        """Plan the restart of workers that ended."""
        now = time.monotonic()
        for number, process in enumerate(self.processes):
            if process is None or process.is_alive():
                continue
            process.join()
            soon = now - self._started[number] < _SOON
            self._failures[number] = self._failures[number] + 1 if soon else 0
            delay = RESTART_SECONDS[min(self._failures[number], len(RESTART_SECONDS) - 1)]
            self.processes[number], self.due[number] = None, now + delay

    def wait(self, wake: int) -> None:
        """Wait until a worker ends, a restart is due, or `wake` can be read."""
        alive = [process.sentinel for process in self.processes if process is not None]
        due = [
            time_ for time_, process in zip(self.due, self.processes, strict=True) if not process
        ]
        seconds = max(0.0, min(due) - time.monotonic()) if due else None
        multiprocessing.connection.wait([*alive, wake], seconds)

    def stop(self) -> None:
        """End all workers, and kill those that do not end in time."""
        alive = [process for process in self.processes if process is not None]
        for process in alive:
            process.terminate()
        end = time.monotonic() + 2 * self._options.deadline + 2.0
        for process in alive:
            process.join(max(0.0, end - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()


def _supervise(options: ServerOptions, address: Address, ready: Callable[[], None]) -> None:
    """Keep all workers running until a signal."""
    readable, writable = os.pipe()
    stopping = threading.Event()

    def stop(*_: Any) -> None:
        stopping.set()
        os.write(writable, b"!")

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    workers = _Workers(options, address)
    try:
        workers.start_due()
        _announce(address, ready)
        while not stopping.is_set():
            workers.wait(readable)
            if not stopping.is_set():
                workers.bury_dead()
                workers.start_due()
    finally:
        workers.stop()
        os.close(readable)
        os.close(writable)


def _work(options: ServerOptions, address: Address) -> None:
    """Run a worker process, which ends when the server that started it is gone."""
    # Ctrl-C goes to all processes of a terminal; the server ends its workers itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=follow, daemon=True, name="parent").start()
    worker.run(options, address, lambda: None)
