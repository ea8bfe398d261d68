"""A worker process: granian's server around the application."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import signal
import sys
import threading
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec import Struct

from artifact_pipeline import errors
from artifact_pipeline.errors import (
    EnvironmentFailure,
    Location,
    MissingDependency,
    PipelineError,
)
from artifact_pipeline.serving.options import ServerOptions

if TYPE_CHECKING:
    from granian.server.embed import Server

    from artifact_pipeline.serving.application import Application

HEAD_BUFFER = 20 << 10
"""Maximum bytes of an incomplete head that the HTTP server buffers; see `headers.MAX_HEAD`."""
MAX_CONNECTIONS = 4096
"""Maximum connections of a worker; further ones wait until one closes."""
_RESERVED_FILES = 128
"""File descriptors that are left for other purposes than connections."""
_GRACE_SECONDS = 1.0
_SWITCH_SECONDS = 0.001
"""Seconds after which a thread that parses gives way to the event loop."""


class Address(NamedTuple):
    """The resolved address that all workers bind."""

    host: str
    port: int


class StartFailure(Struct, frozen=True, kw_only=True):
    """The error that keeps a worker from starting, as JSON.

    Exceptions are not pickled: a worker has opened models, and what it sends must not be unpickled.
    """

    error: str
    problem: str
    location: Location | None
    remedy: str | None

    @classmethod
    def of(cls, error: PipelineError) -> StartFailure:
        """Return the description of an error."""
        return cls(
            error=type(error).__name__,
            problem=error.problem,
            location=error.location,
            remedy=error.remedy,
        )

    def exception(self) -> PipelineError:
        """Return the error that is described."""
        error = getattr(errors, self.error, None)
        if not (isinstance(error, type) and issubclass(error, PipelineError)):
            error = EnvironmentFailure
        return error(self.problem, location=self.location, remedy=self.remedy)


def check_installed() -> None:
    """Check that granian can be imported.

    Raises:
        MissingDependency: Otherwise.
    """
    try:
        import granian.server.embed  # noqa: F401
    except ImportError as error:
        raise MissingDependency(
            "granian is not installed",
            location=Location("serve"),
            remedy="pip install granian",
        ) from error


def main(options: ServerOptions, address: Address, *, report: Connection | None) -> None:
    """Serve until SIGTERM or until the supervising process is gone.

    Args:
        options: The options of the server.
        address: The address to listen on.
        report: Receives an empty message when this worker is about to listen, or a `StartFailure`.
            Without one, the failure is printed.
    """
    # Ctrl-C reaches all processes of a terminal, but the supervisor ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    supervisor = multiprocessing.parent_process()
    assert supervisor is not None

    def end_with_supervisor() -> None:
        supervisor.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end_with_supervisor, daemon=True, name="supervisor").start()
    try:
        application = _application(options)
    except PipelineError as error:
        if report is None:
            print(f"artifact-pipeline: a worker cannot start: {error}", file=sys.stderr)
        else:
            report.send_bytes(msgspec.json.encode(StartFailure.of(error)))
        sys.exit(error.exit_code)
    serving = _serve(application, options, address=address, report=report)
    if sys.platform == "win32":
        asyncio.run(serving)
        return
    import uvloop

    uvloop.run(serving)


def _application(options: ServerOptions) -> Application:
    from artifact_pipeline.builder.formats import onnx_format

    onnx_format.runtime()  # first: two threads cannot import numpy at the same time
    from artifact_pipeline.serving.application import Application

    application = Application(options)
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.freeze()  # the garbage collector then skips all that is loaded now
    return application


async def _serve(
    application: Application,
    options: ServerOptions,
    *,
    address: Address,
    report: Connection | None,
) -> None:
    loop = asyncio.get_running_loop()
    server = _server(application, options, address=address)
    serving = asyncio.ensure_future(server.serve())

    def stop() -> None:
        server.stop()  # type: ignore[no-untyped-call]
        # A client that never reads its response would otherwise keep the worker from ending.
        loop.call_later(2 * options.deadline + _GRACE_SECONDS, serving.cancel)

    if sys.platform != "win32":
        loop.add_signal_handler(signal.SIGTERM, stop)
    if report is not None:
        with suppress(OSError):  # the supervisor may be gone
            report.send_bytes(b"")
        report.close()
    try:
        await serving
    except asyncio.CancelledError:
        if not serving.cancelled():
            raise


def _server(application: Application, options: ServerOptions, *, address: Address) -> Server:
    from granian.constants import HTTPModes, Interfaces, SSLProtocols
    from granian.http import HTTP1Settings
    from granian.server.embed import Server

    return Server(
        application,
        address.host,
        address.port,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        websockets=False,
        backlog=1024,
        backpressure=_raise_file_limit(),
        http1_settings=HTTP1Settings(
            header_read_timeout=max(1, int(options.deadline * 1000)), max_buffer_size=HEAD_BUFFER
        ),
        log_enabled=False,
        ssl_cert=None if options.certificate is None else Path(options.certificate),
        ssl_key=None if options.key is None else Path(options.key),
        ssl_protocol_min=SSLProtocols.tls12,
    )


def _raise_file_limit() -> int:
    """Raise the limit of open files as far as is useful, and return how many connections fit."""
    if os.name == "nt":
        return MAX_CONNECTIONS
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + _RESERVED_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    elif soft == resource.RLIM_INFINITY:
        soft = wanted
    return max(128, min(MAX_CONNECTIONS, soft - _RESERVED_FILES))
