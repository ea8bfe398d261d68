"""One worker: granian's server around the application, in the process that calls it."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from artifact_pipeline.errors import CallError
from artifact_pipeline.serving.options import ServerOptions

if TYPE_CHECKING:
    from granian.server.embed import Server

HEAD_BUFFER = 20 << 10
"""Bytes from which on the server refuses a head that has no end yet; see `headers.MAX_HEAD`."""
MAX_CONNECTIONS = 4096
"""Connections of a worker; further ones wait until one closes."""
_OWN_FILES = 128
"""File descriptors that are left for anything but connections."""
_GRACE_SECONDS = 1.0
_SWITCH_SECONDS = 0.001
"""After which a thread that parses gives way to the event loop."""


class Address(NamedTuple):
    """The resolved address that all workers bind."""

    host: str
    port: int


def check_installed() -> None:
    """Check that the packages of the extra `serve` can be imported.

    Raises:
        CallError: otherwise.
    """
    try:
        import granian.server.embed  # noqa: F401
    except ImportError as error:
        said = "granian is not installed; pip install 'artifact-pipeline[serve]'"
        raise CallError(said, where="serve") from error


def run(options: ServerOptions, address: Address, started: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT; requests that were accepted by then are finished.

    `started` is called when signals are handled and the worker is about to listen.
    """
    from artifact_pipeline.builder.formats import onnx_format

    onnx_format.preload()
    connections = _raise_file_limit()
    onnx_format.runtime()  # to the end: two threads cannot import numpy at once
    from artifact_pipeline.serving.application import Application

    application = Application(options)
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.freeze()  # what is loaded by now stays, so the collector need not look at it again
    main = _serve(_server(application, options, address, connections), options, started)
    if sys.platform == "win32":
        asyncio.run(main)
        return
    import uvloop

    uvloop.run(main)


def _server(
    application: object, options: ServerOptions, address: Address, connections: int
) -> Server:
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
        backpressure=connections,
        http1_settings=HTTP1Settings(
            header_read_timeout=max(1, int(options.deadline * 1000)), max_buffer_size=HEAD_BUFFER
        ),
        log_enabled=False,
        ssl_cert=None if options.certificate is None else Path(options.certificate),
        ssl_key=None if options.key is None else Path(options.key),
        ssl_protocol_min=SSLProtocols.tls12,
    )


async def _serve(server: Server, options: ServerOptions, started: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    serving = asyncio.ensure_future(server.serve())

    def stop() -> None:
        server.stop()  # type: ignore[no-untyped-call]
        # A client that never reads its response could otherwise hold the server for ever.
        loop.call_later(2 * options.deadline + _GRACE_SECONDS, serving.cancel)

    if sys.platform == "win32":
        signal.signal(signal.SIGINT, lambda *_: stop())
    else:
        loop.add_signal_handler(signal.SIGTERM, stop)
        loop.add_signal_handler(signal.SIGINT, stop)
    started()
    try:
        await serving
    except asyncio.CancelledError:
        if not serving.cancelled():
            raise


def _raise_file_limit() -> int:
    """Raise the limit of open files as far as is useful, and return how many connections fit."""
    if os.name == "nt":
        return MAX_CONNECTIONS
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + _OWN_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    elif soft == resource.RLIM_INFINITY:
        soft = wanted
    return max(128, min(MAX_CONNECTIONS, soft - _OWN_FILES))
