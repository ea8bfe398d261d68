"""Binds, starts the workers, and ends them: uvicorn on one socket that all workers share."""

from __future__ import annotations

import logging
import multiprocessing
import os
import re
import signal
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from artifact_pipeline.errors import CallError, StoreError
from artifact_pipeline.serving.options import ServerOptions, is_local

if TYPE_CHECKING:
    import uvicorn

    from artifact_pipeline.serving.application import Application

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_LIKE_TOKEN = re.compile(r"[!-~]{16,4096}")


def serve(options: ServerOptions, ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or Ctrl-C; then what was accepted is finished.

    `ready` is told the address once the models are verified and the port is bound.

    Raises:
        CallError: if uvicorn is not installed, two models have one name, or others than this
            machine would be served without a token.
        VerificationError, ArtifactNotFound: if an artifact is not to be trusted.
        StoreError: if the port cannot be bound.
    """
    _check(options)
    with tempfile.TemporaryDirectory(prefix="artifact-pipeline-") as shared:
        options = options._replace(shared=shared)
        with _bound(options) as bound:
            _run(options, bound, ready)


def application(options: ServerOptions) -> Application:
    """Return the application of a worker; it ends when the server that started it has gone."""
    from artifact_pipeline.serving.application import Application

    parent = multiprocessing.parent_process()
    if parent is not None:

        def follow() -> None:
            parent.join()
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=follow, daemon=True, name="parent").start()
    return Application(options)


def _check(options: ServerOptions) -> None:
    try:
        import httptools  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        said = "uvicorn is not installed; pip install 'artifact-pipeline[serve]'"
        raise CallError(said, where="serve") from error
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
                options.certificate, options.key
            )
        except OSError as error:
            said = f"is no certificate with its key: {error.strerror or error}"
            raise CallError(said, where="--tls-cert") from error


def _bound(options: ServerOptions) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        return socket.create_server((options.host, options.port), family=family, backlog=1024)
    except (OSError, OverflowError) as error:
        said = getattr(error, "strerror", None) or str(error)
        where = f"{options.host}:{options.port}"
        raise StoreError(f"cannot be bound: {said}", where=where) from error


def _run(options: ServerOptions, bound: socket.socket, ready: Callable[[str], None]) -> None:
    from artifact_pipeline.artifact.formats import onnx

    onnx.preload()
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    onnx.runtime()  # to the end: numpy does not bear to be imported by two threads at once
    from artifact_pipeline.serving import metrics
    from artifact_pipeline.serving.models import Shelf

    metrics.create(options.shared, len(options.models), options.workers)
    if options.workers == 1:
        config = _config(options, application(options))
    else:
        # Looked at here, so that what is wrong is said once and not by each worker.
        Shelf(options.models, options.shared)
        config = _config(options, partial(application, options))
    host = f"[{options.host}]" if ":" in options.host else options.host
    scheme = "http" if options.certificate is None else "https"
    address = f"{scheme}://{host}:{bound.getsockname()[1]}"
    # Whoever reads the address may send a signal at once: it is listened to before.
    if options.workers > 1:
        workers = Multiprocess(config, sockets=[bound])
        ready(address)
        workers.run()
        return
    server = uvicorn.Server(config)
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, server.handle_exit)
    ready(address)
    server.run(sockets=[bound])


def _config(options: ServerOptions, app: object) -> uvicorn.Config:
    import uvicorn

    from artifact_pipeline.serving.http import LimitedProtocol

    LimitedProtocol.deadline = options.deadline
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        factory=isinstance(app, partial),
        workers=options.workers,
        http=LimitedProtocol,
        ws="none",
        lifespan="on",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=int(2 * options.deadline) + 1,
        ssl_certfile=options.certificate,
        ssl_keyfile=options.key,
    )
