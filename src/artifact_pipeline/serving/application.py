"""The ASGI application of one worker: from a request to its response.

It is plain ASGI: framing, limits of a request's head and connections are the HTTP server's. A
framework would cost more than all checks do.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from artifact_pipeline.builder.formats.base import Batch, Outputs
from artifact_pipeline.serving import pages
from artifact_pipeline.serving.executor import (
    LARGE_BODY,
    ON_LOOP,
    PredictionExecutor,
    left_until,
    predict,
)
from artifact_pipeline.serving.http import errors, routing
from artifact_pipeline.serving.http.access import RequestGuard
from artifact_pipeline.serving.http.access_log import AccessLog
from artifact_pipeline.serving.http.body import (
    Body,
    Disconnected,
    Memory,
    Receive,
    decompress,
    encoding_of,
    unpacked_limit,
)
from artifact_pipeline.serving.http.errors import HTTPError
from artifact_pipeline.serving.http.headers import Headers, check_json, json_length, select
from artifact_pipeline.serving.http.response import JSON, Response, headers_of
from artifact_pipeline.serving.metrics import MEDIA_TYPE, ServerMetrics
from artifact_pipeline.serving.options import ServerOptions, is_local
from artifact_pipeline.serving.protocols import open_inference, openapi, plain_rows
from artifact_pipeline.serving.registry import ModelRegistry, ServedModel

ALIAS_POLL_SECONDS = 1.0
LARGE_BODIES = 256 << 20
"""Bytes that the large bodies of a worker may occupy together, or eight of the largest."""

_FAILED = Response(500, errors.document("the server failed on this request"))
_ENDED_EARLY = errors.document("the body ended early, or its chunks are malformed")
Send = Callable[[dict[str, Any]], Awaitable[None]]


class _Task(NamedTuple):
    """Checked rows, and how their predictions are sent."""

    batch: Batch
    rows: int
    respond: Callable[[Outputs], Response]


class Application:
    """One worker's models, threads, and row of the metrics."""

    def __init__(self, options: ServerOptions) -> None:
        names = [spec.name for spec in options.models]
        self.metrics = ServerMetrics(options.shared, names, options.workers)
        self._options = options
        self._shelf = ModelRegistry(options.models, options.shared)
        self._guard = RequestGuard(options)
        self._executor = PredictionExecutor(options.deadline, options.queue)
        self._memory = Memory(max(LARGE_BODIES, 8 * options.max_body))
        self._log = AccessLog() if options.access_log else None

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["type"] != "http":
            return
        start = time.perf_counter()
        self.metrics.begin()
        response, counted = _FAILED, None
        body = Body(receive, {}, self._memory)
        try:
            target = len(scope["raw_path"]) + len(scope["query_string"])
            headers = select(scope["headers"], target=target)
            body = Body(receive, headers, self._memory)
            response = await self._respond(scope, headers, body)
        except Disconnected:
            response = Response(400, _ENDED_EARLY, model=self._model_in(scope["path"]))
            counted = errors.GONE
        except HTTPError as error:
            content = errors.document(error.message)
            model = self._model_in(scope["path"])
            response = Response(error.status, content, JSON, error.headers, model)
            if error.status != 408:
                with suppress(Disconnected):
                    await body.discard(2 * self._options.max_body)
        except Exception:  # the log gets the traceback, the client a message
            logging.getLogger(__name__).exception("a request failed")
        finally:
            body.close()
            seconds = time.perf_counter() - start
            self.metrics.end(response.model, counted or response.status, seconds, response.rows)
            if self._log is not None:
                self._log.add(scope, response, seconds)
        sent = headers_of(response, scope["method"])
        await send({"type": "http.response.start", "status": response.status, "headers": sent})
        content = b"" if scope["method"] == "HEAD" else response.content
        await send({"type": "http.response.body", "body": content})

    async def _respond(self, scope: dict[str, Any], headers: Headers, body: Body) -> Response:
        """Return the response to a request.

        Raises:
            HTTPError: for every reason to refuse it.
            Disconnected: if its body ends early.
        """
        path, method = scope["path"], scope["method"]
        if path not in routing.PROBES or headers.get(b"host"):
            self._guard.check(headers)
        if path not in routing.OPEN and not path.startswith("/try/"):
            self._guard.authorize(headers)
        if path.startswith("/v2/models/"):
            name, version, what = routing.route(path)
            model = self._model(name, version)
            if what == "/infer":
                routing.allow(method, "POST")
                return await self._infer(model, headers, body)
            routing.allow(method, "GET", "HEAD")
            ready = {"name": model.name, "ready": True}
            return _json(ready if what else open_inference.model_metadata(model), model)
        if match := routing.PREDICT.fullmatch(path):
            routing.allow(method, "POST")
            return await self._predict(self._model(match[1]), headers, body)
        if match := routing.ABOUT.fullmatch(path):
            routing.allow(method, "GET", "HEAD")
            if match[1] == "report":  # takes tens of milliseconds to write
                return await self._executor.run(
                    lambda end: self._about(match[1], match[2]), size=LARGE_BODY + 1
                )
            return self._about(match[1], match[2])
        return self._describe(path, method, headers)

    async def _infer(self, model: ServedModel, headers: Headers, body: Body) -> Response:
        length = json_length(headers)

        def read(data: bytes, end: float | None) -> _Task:
            call = open_inference.read(data, length, model, self._options.max_rows)
            return _Task(call.batch, call.rows, lambda outputs: _inferred(model, call, outputs))

        return await self._handle(model, headers, body, read)

    async def _predict(self, model: ServedModel, headers: Headers, body: Body) -> Response:
        check_json(headers)
        digest = ((b"artifact-digest", model.digest.encode()),)

        def read(data: bytes, end: float | None) -> _Task:
            batch, rows = plain_rows.read(data, model, self._options.max_rows, end=end)

            def respond(outputs: Outputs) -> Response:
                return Response(
                    200, plain_rows.encode(model, outputs), JSON, digest, model.name, rows
                )

            return _Task(batch, rows, respond)

        return await self._handle(model, headers, body, read)

    async def _handle(
        self,
        model: ServedModel,
        headers: Headers,
        body: Body,
        read: Callable[[bytes, float | None], _Task],
    ) -> Response:
        """Read a body, predict its rows and encode the response, on the loop or in a thread."""
        deadline, limit = self._options.deadline, self._options.max_body
        data = await body.read(limit, seconds=deadline)
        encoding = encoding_of(headers)
        if encoding == b"identity" and len(data) <= ON_LOOP:
            task = read(data, None)
            if task.rows <= model.quick:
                return task.respond(predict(model, task.batch, seconds=deadline))
            return await self._executor.run(
                lambda end: task.respond(predict(model, task.batch, seconds=left_until(end))),
                size=len(data),
            )

        def job(end: float) -> Response:
            whole = data if encoding == b"identity" else decompress(data, encoding, limit)
            task = read(whole, end)
            return task.respond(predict(model, task.batch, seconds=left_until(end)))

        packed = encoding != b"identity"
        size = unpacked_limit(len(data), limit) if packed else len(data)
        return await self._executor.run(job, size=size)

    def _about(self, what: str, name: str | None) -> Response:
        """Return the page, its data about a model, or the report of a model."""
        if what == "try":
            content, headers = pages.page()
            return Response(200, content, pages.HTML, headers)
        models = self._shelf.models
        model = self._model(name or next(iter(models)))
        examples = self._options.show_examples or is_local(self._options.host)
        if what == "page":
            return _json(pages.of_model(model, [*models], examples), model)
        content, headers = pages.report_of(model, examples)
        return Response(200, content, pages.HTML, headers, model.name)

    def _describe(self, path: str, method: str, headers: Headers) -> Response:
        """Return what the server publishes about itself."""
        pages: dict[str, Callable[[], Response]] = {
            "/": lambda: self._about("try", None),
            "/v2": lambda: _json(open_inference.metadata()),
            "/v2/health/live": lambda: _json({"live": True}),
            "/v2/health/ready": lambda: _json(self._ready(headers)),
            "/metrics": lambda: Response(200, self.metrics.text(self._digests()), MEDIA_TYPE),
            "/openapi.json": lambda: _json(openapi.document([*self._shelf.models])),
        }
        if path not in pages:
            raise routing.unknown(path)
        routing.allow(method, "GET", "HEAD")
        return pages[path]()

    def _model(self, name: str | None, version: str | None = None) -> ServedModel:
        models = self._shelf.models
        if name is None:
            if len(models) > 1:
                raise HTTPError(404, f"several models are served: use /predict/{'|'.join(models)}")
            [name] = models
        model = models.get(name)
        if model is None:
            raise HTTPError(404, f"no model has that name; expected {', '.join(models)}")
        if version is not None and version.removeprefix("sha256:") != model.digest[7:]:
            raise HTTPError(404, f"that version is not served; {name} is {model.digest}")
        return model

    def _model_in(self, path: str) -> str:
        found = routing.MODEL.fullmatch(path) or routing.PREDICT.fullmatch(path)
        name = found[1] if found else None
        if found and name is None and len(self._shelf.models) == 1:
            [name] = self._shelf.models
        return name if name in self._shelf.models else ""

    def _digests(self) -> dict[str, str]:
        return {name: model.digest for name, model in self._shelf.models.items()}

    def _ready(self, headers: Headers) -> dict[str, Any]:
        """Return that this worker is ready, and its models to those who have the token."""
        with suppress(HTTPError):
            self._guard.authorize(headers)
            refused = {
                name: {"artifact": update.digest, "why": update.why}
                for name, update in self._shelf.refused.items()
            }
            return {"ready": True, "models": self._digests(), "refused": refused}
        return {"ready": True}

    async def _live(self, receive: Receive, send: Send) -> None:
        """Follow the aliases from the start of the server to its end."""
        await receive()
        following = asyncio.create_task(self._follow_aliases())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        following.cancel()
        self._executor.close()
        if self._log is not None:
            await asyncio.to_thread(self._log.close)
        await send({"type": "lifespan.shutdown.complete"})

    async def _follow_aliases(self) -> None:
        while True:
            await asyncio.sleep(ALIAS_POLL_SECONDS)
            # Verification reads and hashes files.
            await asyncio.to_thread(self._shelf.look)
            for name in self._shelf.models:
                self.metrics.refused(name, name in self._shelf.refused)


def _inferred(model: ServedModel, call: open_inference.Call, outputs: Outputs) -> Response:
    content, json_length = open_inference.encode(model, call, outputs)
    digest = (b"artifact-digest", model.digest.encode())
    if json_length is None:
        return Response(200, content, JSON, (digest,), model.name, call.rows)
    headers = (digest, (b"inference-header-content-length", b"%d" % json_length))
    return Response(200, content, b"application/octet-stream", headers, model.name, call.rows)


def _json(said: Any, model: ServedModel | None = None) -> Response:
    content = msgspec.json.encode(said)
    if model is None:
        return Response(200, content)
    headers = ((b"artifact-digest", model.digest.encode()),)
    return Response(200, content, JSON, headers, model.name)
