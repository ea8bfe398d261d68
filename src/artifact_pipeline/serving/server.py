"""The server: binds the port, and starts, restarts and ends the worker processes.

Every worker has its own listening socket on the same port (SO_REUSEPORT), and the kernel
distributes connections among them. The supervising process opens no model, so that no model can
end it.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import re
import signal
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

import msgspec
from msgspec.structs import replace

from artifact_pipeline.errors import CallError, EnvironmentFailure, Location, NetworkError
from artifact_pipeline.serving import metrics, worker
from artifact_pipeline.serving.options import ServerOptions, is_local
from artifact_pipeline.serving.worker import Address, StartFailure

RESTART_SECONDS = (0.1, 0.5, 2.0)
"""Delays before successive restarts of a worker that died soon after its start."""
_SOON_SECONDS = 5.0
_POLL_SECONDS = 0.01
_GRACE_SECONDS = 2.0

_LOG = logging.getLogger(__name__)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_TOKEN = re.compile(r"[!-~]{16,4096}")


def serve(options: ServerOptions, ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or Ctrl-C; requests that were accepted by then are finished.

    A script must call this under `if __name__ == "__main__":`, as every worker process imports the
    main module.

    Args:
        options: The options of the server.
        ready: Called with the URL once all models are verified and connections are accepted.

    Raises:
        CallError: If two models have the same name, the token or the certificate is unusable, or
            other machines could connect without a token.
        MissingDependency: If granian is not installed.
        NetworkError: If the port cannot be bound.
        VerificationError, ArtifactNotFound: If an artifact cannot be trusted.
        EnvironmentFailure: If a worker ends while it starts.
    """
    _check(options)
    with tempfile.TemporaryDirectory(prefix="artifact-pipeline-") as shared:
        options = replace(options, shared=shared)
        metrics.create(shared, len(options.models), workers=options.workers)
        with _reserve_port(options) as address:
            _supervise(options, address, ready=ready)


def _check(options: ServerOptions) -> None:
    worker.check_installed()
    names = [spec.name for spec in options.models]
    for name in names:
        if not _NAME.fullmatch(name):
            raise CallError(
                "invalid model name",
                location=Location(name[:80]),
                remedy="expected letters, digits, . _ and -",
            )
    if len(set(names)) < len(names):
        raise CallError(
            "two models have the same name", location=Location("serve"), remedy="use NAME=ARTIFACT"
        )
    if not is_local(options.host) and options.token is None:
        raise CallError(
            "other machines could connect without a token",
            location=Location(f"--host {options.host}"),
            remedy="add --token-file, or listen on this machine only, behind a proxy that "
            "authenticates",
        )
    if options.token is not None and not _TOKEN.fullmatch(options.token):
        raise CallError(
            "expected a token of 16 or more letters, digits and signs on one line",
            location=Location("--token-file"),
        )
    if (options.certificate is None) != (options.key is None):
        raise CallError("expected both --tls-cert and --tls-key", location=Location("serve"))
    if options.certificate is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
                # An encrypted key is refused; without a password OpenSSL would prompt for one.
                options.certificate,
                options.key,
                password="",
            )
        except OSError as error:
            raise CallError(
                f"not a certificate with its key: {error.strerror or error}",
                location=Location("--tls-cert"),
            ) from error


@contextlib.contextmanager
def _reserve_port(options: ServerOptions) -> Iterator[Address]:
    """Bind the port without listening until the block ends.

    Raises:
        NetworkError: If it cannot be bound.
    """
    with contextlib.ExitStack() as stack:
        try:
            candidates = socket.getaddrinfo(
                options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            family, _, _, _, place = min(candidates, key=lambda info: info[0] != socket.AF_INET)
            # SO_REUSEPORT would let two servers of one user share a port, so the port is first
            # bound without it.
            with socket.create_server(place[:2], family=family) as trial:
                host, port = trial.getsockname()[:2]
            if hasattr(socket, "SO_REUSEPORT"):
                reserved = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
                reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                reserved.bind((host, port))
        except (OSError, OverflowError, UnicodeError) as error:
            raise NetworkError(
                f"cannot be bound: {getattr(error, 'strerror', None) or error}",
                location=Location(f"{options.host}:{options.port}"),
            ) from error
        yield Address(host, port)


def _supervise(options: ServerOptions, address: Address, *, ready: Callable[[str], None]) -> None:
    """Start all workers and keep them running until a signal."""
    workers = _Workers(options, address)
    with _stop_signals() as signals:
        try:
            if workers.start(signals):
                with _announced(address, lambda: ready(_url(options, address))):
                    while workers.wait(signals):
                        workers.restart_due()
        finally:
            workers.stop()


@contextlib.contextmanager
def _stop_signals() -> Iterator[socket.socket]:
    """Yield a socket that can be read once SIGTERM or SIGINT has arrived.

    The interpreter writes to the socket when the signal arrives. A handler in Python runs later,
    and not while the main thread waits for its workers: a signal just before that would be lost.
    """
    signals, sender = socket.socketpair()
    with signals, sender:
        sender.setblocking(False)
        wakeup_before = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
        handlers_before = {
            number: signal.signal(number, lambda *_: None)
            for number in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            yield signals
        finally:
            for number, handler in handlers_before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(wakeup_before)


def _has_stop(signals: socket.socket) -> bool:
    """Return whether one of the signals that can be read ends the server."""
    return not {signal.SIGTERM, signal.SIGINT}.isdisjoint(signals.recv(4096))


def _url(options: ServerOptions, address: Address) -> str:
    host = f"[{options.host}]" if ":" in options.host else options.host
    return f"{'https' if options.certificate else 'http'}://{host}:{address.port}"


@contextlib.contextmanager
def _announced(address: Address, ready: Callable[[], None]) -> Iterator[None]:
    """Call `ready` from a thread once connections are accepted, unless the block ends before."""
    ended = threading.Event()

    def announce() -> None:
        while not ended.wait(_POLL_SECONDS):
            if _is_listening(address):
                ready()
                return

    threading.Thread(target=announce, daemon=True, name="announce").start()
    try:
        yield
    finally:
        ended.set()


def _is_listening(address: Address) -> bool:
    try:
        socket.create_connection(address, 1.0).close()
    except OSError:
        return False
    return True


class _Workers:
    """The worker processes of a server, each at a fixed index."""

    def __init__(self, options: ServerOptions, address: Address) -> None:
        self._options = options
        self._address = address
        self._context = multiprocessing.get_context("spawn")
        self._processes: list[SpawnProcess | None] = [None] * options.workers
        self._started = [0.0] * options.workers
        self._due = [0.0] * options.workers
        self._failures = [0] * options.workers
        """How often each worker in turn has died soon after its start."""

    def start(self, signals: socket.socket) -> bool:
        """Start all workers and wait until they listen; return False if a signal ends the wait.

        Raises:
            PipelineError: The error of the first worker that cannot start.
            EnvironmentFailure: If a worker ends without one.
        """
        pending: dict[Connection, SpawnProcess] = {}
        for index in range(len(self._processes)):
            reader, writer = self._context.Pipe(duplex=False)
            pending[reader] = self._start(index, writer)
            writer.close()
        while pending:
            readable = wait([*pending, signals])
            if signals in readable and _has_stop(signals):
                return False
            for reader in [reader for reader in pending if reader in readable]:
                process = pending.pop(reader)
                try:
                    failure = reader.recv_bytes()
                except EOFError as ended:
                    process.join()
                    raise EnvironmentFailure(
                        f"a worker ended while it started, with exit code {process.exitcode}",
                        location=Location("serve"),
                    ) from ended
                finally:
                    reader.close()
                if failure:
                    raise msgspec.json.decode(failure, type=StartFailure).exception()
        return True

    def wait(self, signals: socket.socket) -> bool:
        """Wait until a worker ends or a restart is due; return False if a signal ends the wait."""
        sentinels = [process.sentinel for process in self._processes if process is not None]
        due = [
            due for due, process in zip(self._due, self._processes, strict=True) if process is None
        ]
        timeout = max(0.0, min(due) - time.monotonic()) if due else None
        return signals not in wait([*sentinels, signals], timeout) or not _has_stop(signals)

    def restart_due(self) -> None:
        """Plan the restart of workers that ended, and start those whose time has come."""
        now = time.monotonic()
        for index, process in enumerate(self._processes):
            if process is None:
                if self._due[index] <= now:
                    self._start(index, None)
            elif not process.is_alive():
                process.join()
                soon = now - self._started[index] < _SOON_SECONDS
                self._failures[index] = self._failures[index] + 1 if soon else 0
                delay = RESTART_SECONDS[min(self._failures[index], len(RESTART_SECONDS) - 1)]
                self._processes[index], self._due[index] = None, now + delay
                _LOG.warning(
                    "a worker ended with exit code %s; restarting it in %g s",
                    process.exitcode,
                    delay,
                )

    def stop(self) -> None:
        """End all workers, and kill those that do not end in time."""
        processes = [process for process in self._processes if process is not None]
        for process in processes:
            process.terminate()
        end = time.monotonic() + 2 * self._options.deadline + _GRACE_SECONDS
        for process in processes:
            process.join(max(0.0, end - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()

    def _start(self, index: int, report: Connection | None) -> SpawnProcess:
        process = self._context.Process(
            target=worker.main,
            args=(self._options, self._address),
            kwargs={"report": report},
            daemon=False,
        )
        process.start()
        self._processes[index], self._started[index] = process, time.monotonic()
        return process
