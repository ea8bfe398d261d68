"""The ASGI application of one worker: from a request to its response.

It is plain ASGI: the HTTP server is responsible for framing, connections and the limits of a
request's head. A framework would take longer than all checks do.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

import msgspec

from artifact_pipeline.serving.executor import (
    LARGE_BODY,
    ON_LOOP,
    PredictionExecutor,
    predict,
    seconds_until,
)
from artifact_pipeline.serving.http import errors, routing
from artifact_pipeline.serving.http.access import RequestGuard
from artifact_pipeline.serving.http.access_log import AccessLog
from artifact_pipeline.serving.http.body import (
    IDENTITY,
    Body,
    Disconnected,
    MemoryBudget,
    ReadDeadlines,
    Receive,
    decompress,
    encoding_of,
    unpacked_limit,
)
from artifact_pipeline.serving.http.errors import HTTPError
from artifact_pipeline.serving.http.headers import Headers, check_json, is_csv, json_length, select
from artifact_pipeline.serving.http.response import Response, headers_of
from artifact_pipeline.serving.metrics import MEDIA_TYPE, ServerMetrics
from artifact_pipeline.serving.options import ServerOptions, is_local
from artifact_pipeline.serving.page import page
from artifact_pipeline.serving.protocols import (
    csv_rows,
    explanation,
    open_inference,
    openapi,
    plain_rows,
)
from artifact_pipeline.serving.registry import ModelRegistry, ServedModel

ALIAS_POLL_SECONDS = 1.0
REMOTE_POLL_SECONDS = 5.0
LARGE_BODIES = 256 << 20
"""Bytes that the large bodies of a worker may occupy together, or eight of the largest."""

# The first CSV loads the reader of tables, and an explanation makes many rows of one.
_IN_THREAD = (csv_rows.read, explanation.read)
_FAILED = Response(status=500, content=errors.document("the server failed on this request"))
_ENDED_EARLY = errors.document("the body ended early, or its chunks are malformed")
Send = Callable[[dict[str, Any]], Awaitable[None]]
Call = open_inference.InferenceCall | plain_rows.RowsCall | explanation.ExplanationCall


class Read(Protocol):
    """Reads a body, decompressed, before a deadline on the clock of `time.monotonic`."""

    def __call__(
        self, body: bytes, model: ServedModel, *, max_rows: int, end: float | None
    ) -> Call: ...


class Application:
    """The application, with one worker's models, threads and metrics."""

    def __init__(self, options: ServerOptions) -> None:
        names = [spec.name for spec in options.models]
        self.metrics = ServerMetrics(options.shared, names, workers=options.workers)
        self._options = options
        self._registry = ModelRegistry(options.models, options.shared)
        self._guard = RequestGuard(options)
        self._executor = PredictionExecutor(options.deadline, options.queue)
        self._memory = MemoryBudget(max(LARGE_BODIES, 8 * options.max_body))
        self._deadlines = ReadDeadlines(options.deadline)
        self._log = AccessLog() if options.access_log else None

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._live(receive, send)
            return
        start = time.perf_counter()
        self.metrics.begin()
        body = Body(receive, self._memory, deadlines=self._deadlines)
        headers: Headers = {}
        response, counted = _FAILED, None
        try:
            target = len(scope["raw_path"]) + len(scope["query_string"])
            headers = select(scope["headers"], target=target)
            result = self._dispatch(scope, headers, body=body)
            response = result if isinstance(result, Response) else await result
        except Disconnected:
            response = Response(
                status=400, content=_ENDED_EARLY, model=self._model_name(scope["path"])
            )
            counted = errors.GONE
        except HTTPError as error:
            response = Response(
                status=error.status,
                content=errors.document(error.message),
                headers=error.headers,
                model=self._model_name(scope["path"]),
            )
            if error.status != 408:
                with suppress(Disconnected):
                    await body.discard(headers, limit=2 * self._options.max_body)
        except Exception:  # the log gets the traceback, the client a message
            logging.getLogger(__name__).exception("a request failed")
        finally:
            body.close()
            seconds = time.perf_counter() - start
            status = counted or response.status
            self.metrics.end(response.model, status, seconds=seconds, rows=response.rows)
            if self._log is not None:
                self._log.add(scope, response, seconds=seconds)
        sent = headers_of(response, scope["method"])
        await send({"type": "http.response.start", "status": response.status, "headers": sent})
        content = b"" if scope["method"] == "HEAD" else response.content
        await send({"type": "http.response.body", "body": content})

    def _dispatch(
        self, scope: dict[str, Any], headers: Headers, *, body: Body
    ) -> Response | Awaitable[Response]:
        """Return the response to a request, or an awaitable of it.

        Raises:
            HTTPError: For every reason to refuse it.
        """
        path, method = scope["path"], scope["method"]
        self._guard.check(path, headers)
        if path.startswith("/v2/models/"):
            name, version, action = routing.route(path)
            model = self._model(name, version)
            if action == "/infer":
                routing.allow(method, "POST")
                length = json_length(headers)
                read: Read = open_inference.read
                if length is not None:
                    read = partial(open_inference.read, json_length=length)
                return self._answer(read, model, headers=headers, body=body)
            routing.allow(method, "GET", "HEAD")
            ready = {"name": model.name, "ready": True}
            return _json(ready if action else open_inference.model_metadata(model), model)
        if match := routing.PREDICT.fullmatch(path):
            routing.allow(method, "POST")
            model = self._model(match[1])
            read = csv_rows.read if is_csv(headers) else plain_rows.read
            return self._answer(read, model, headers=headers, body=body)
        if match := routing.EXPLAIN.fullmatch(path):
            routing.allow(method, "POST")
            model = self._model(match[1])
            check_json(headers)
            return self._answer(explanation.read, model, headers=headers, body=body)
        if match := routing.ABOUT.fullmatch(path):
            routing.allow(method, "GET", "HEAD")
            topic, name = match.groups()
            if topic == "report":  # takes tens of milliseconds to write
                return self._in_thread(topic, name)
            return self._about(topic, name)
        return self._describe(path, method, headers=headers)

    async def _answer(
        self, read: Read, model: ServedModel, *, headers: Headers, body: Body
    ) -> Response:
        """Read a body, predict its rows and encode the response, on the loop or in a thread.

        Raises:
            HTTPError: For every reason to refuse the body.
            Disconnected: If it ends early.
        """
        options = self._options
        encoding = encoding_of(headers) if b"content-encoding" in headers else IDENTITY
        data = await body.read(headers, limit=options.max_body)
        job: Callable[[float], Response]
        if encoding == IDENTITY and len(data) <= ON_LOOP and read not in _IN_THREAD:
            call = read(data, model, max_rows=options.max_rows, end=None)
            if call.rows <= model.quick_rows:
                return call.respond(predict(model, call.batch, seconds=options.deadline))
            job, size = partial(_predict, call), len(data)
        else:
            size = len(data)
            if encoding != IDENTITY:
                size = unpacked_limit(size, options.max_body)
            job = partial(
                _read_and_predict,
                read=read,
                data=data,
                encoding=encoding,
                model=model,
                options=options,
            )
        return await self._executor.run(job, size=size)

    def _in_thread(self, topic: str, name: str | None) -> Awaitable[Response]:
        return self._executor.run(lambda end: self._about(topic, name), size=LARGE_BODY + 1)

    def _about(self, topic: str, name: str | None) -> Response:
        """Return the page, its data about a model, or the report of a model."""
        if topic == "try":
            content, headers = page.document()
            return Response(status=200, content=content, media_type=page.HTML, headers=headers)
        models = self._registry.models
        model = self._model(name or next(iter(models)))
        examples = self._options.show_examples or is_local(self._options.host)
        if topic == "page":
            return _json(page.model_data(model, [*models], options=self._options), model)
        content, headers = page.report(model, examples=examples)
        return Response(
            status=200, content=content, media_type=page.HTML, headers=headers, model=model.name
        )

    def _describe(self, path: str, method: str, *, headers: Headers) -> Response:
        """Return what the server publishes about itself."""
        documents: dict[str, Callable[[], Response]] = {
            "/": lambda: self._about("try", None),
            "/v2": lambda: _json(open_inference.metadata()),
            "/v2/health/live": lambda: _json({"live": True}),
            "/v2/health/ready": lambda: _json(self._ready(headers)),
            "/metrics": lambda: Response(
                status=200, content=self.metrics.text(self._digests()), media_type=MEDIA_TYPE
            ),
            "/openapi.json": lambda: _json(openapi.document([*self._registry.models])),
        }
        if path not in documents:
            raise routing.unknown(path)
        routing.allow(method, "GET", "HEAD")
        return documents[path]()

    def _model(self, name: str | None, version: str | None = None) -> ServedModel:
        models = self._registry.models
        if name is None:
            if len(models) > 1:
                raise HTTPError(404, f"several models are served; use /predict/{'|'.join(models)}")
            [name] = models
        model = models.get(name)
        if model is None:
            raise HTTPError(404, f"no model has that name; expected {', '.join(models)}")
        if version is not None and version.removeprefix("sha256:") != model.digest[7:]:
            raise HTTPError(404, f"that version is not served; {name} is {model.digest}")
        return model

    def _model_name(self, path: str) -> str:
        """Return the model that a path addresses, empty if none."""
        patterns = (routing.MODEL, routing.PREDICT, routing.EXPLAIN)
        match = next(filter(None, (pattern.fullmatch(path) for pattern in patterns)), None)
        name = match[1] if match else None
        if match and name is None and len(self._registry.models) == 1:
            [name] = self._registry.models
        return name if name in self._registry.models else ""

    def _digests(self) -> dict[str, str]:
        return {name: model.digest for name, model in self._registry.models.items()}

    def _ready(self, headers: Headers) -> dict[str, Any]:
        """Return that this worker is ready, and its models if the request has the token."""
        try:
            self._guard.authorize(headers)
        except HTTPError:
            return {"ready": True}
        rejected = {
            name: {"artifact": update.digest, "why": update.reason}
            for name, update in list(self._registry.rejected.items())
        }
        return {"ready": True, "models": self._digests(), "refused": rejected}

    async def _live(self, receive: Receive, send: Send) -> None:
        """Run the periodic tasks from the start of the server to its end."""
        await receive()
        registry = self._registry
        tasks = [
            asyncio.create_task(self._follow(registry.follow_aliases, ALIAS_POLL_SECONDS)),
            asyncio.create_task(self._deadlines.enforce()),
        ]
        if registry.has_remotes:
            # A remote that does not answer must not delay the aliases of stores.
            following = self._follow(registry.follow_remotes, REMOTE_POLL_SECONDS)
            tasks.append(asyncio.create_task(following))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for task in tasks:
            task.cancel()
        self._executor.close()
        if self._log is not None:
            await asyncio.to_thread(self._log.close)
        await send({"type": "lifespan.shutdown.complete"})

    async def _follow(self, update: Callable[[], None], seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            # Verification reads and hashes files.
            await asyncio.to_thread(update)
            unreachable = self._registry.unreachable
            for name in self._registry.models:
                self.metrics.set_rejected(name, name in self._registry.rejected)
                self.metrics.set_unreachable(name, name in unreachable)


def _read_and_predict(
    end: float,
    *,
    read: Read,
    data: bytes,
    encoding: bytes,
    model: ServedModel,
    options: ServerOptions,
) -> Response:
    """Read a body, predict its rows before a deadline, and encode the response."""
    if encoding != IDENTITY:
        data = decompress(data, encoding, limit=options.max_body)
    return _predict(read(data, model, max_rows=options.max_rows, end=end), end)


def _predict(call: Call, end: float) -> Response:
    """Predict the rows of a call before a deadline, and encode the response."""
    return call.respond(predict(call.model, call.batch, seconds=seconds_until(end)))


def _json(document: Any, model: ServedModel | None = None) -> Response:
    content = msgspec.json.encode(document)
    if model is None:
        return Response(status=200, content=content)
    return Response(status=200, content=content, headers=model.headers, model=model.name)
