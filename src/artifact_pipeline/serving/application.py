"""A request in, an answer out: the ASGI application of one worker.

It is raw ASGI, and one function reads as the whole of it (`_answer`): who asks, what for, the
body, the prediction, the answer. A framework between would cost more than the checks do.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import msgspec

from artifact_pipeline.artifact.formats.form import Outputs
from artifact_pipeline.serving import (
    body,
    guard,
    heads,
    openapi,
    pages,
    paths,
    plain,
    protocol,
    refusals,
)
from artifact_pipeline.serving.answers import JSON, Answer, Client, headers_of, log
from artifact_pipeline.serving.computing import Computer
from artifact_pipeline.serving.heads import Head, Heads
from artifact_pipeline.serving.metrics import MEDIA_TYPE, Metrics
from artifact_pipeline.serving.models import Model, Shelf
from artifact_pipeline.serving.options import ServerOptions, is_local
from artifact_pipeline.serving.refusals import Refused

LOOK = 1.0
"""Seconds between two looks at the aliases."""

_FAILED = Answer(500, refusals.document("the server failed on this request"))
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Application:
    """One worker's models, its thread, and its row of the metrics."""

    def __init__(self, options: ServerOptions) -> None:
        names = [one.name for one in options.models]
        self.metrics = Metrics(options.shared, names, options.workers)
        self.heads = Heads()
        self._options = options
        self._shelf = Shelf(options.models, options.shared)
        self._guard = guard.Guard(options)
        self._computer = Computer(options.deadline)
        self._looking: asyncio.Task[None] | None = None

    async def __call__(self, scope: dict[str, Any], receive: body.Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        start = time.perf_counter()
        self.metrics.begin()
        found = _FAILED
        try:
            found = await self._answer(scope, receive)
        except body.Disconnected:
            told = scope["state"].get("told", refusals.GONE)
            found = Answer(told, b"", model=self._model_in(scope["path"]))
            return
        except Refused as error:
            found = self._refused(scope["path"], error)
        except Exception:  # a traceback is for the log, and a sentence for the client
            logging.getLogger(__name__).exception("a request failed")
        finally:
            self._end(scope["client"], scope["method"], scope["path"], found, start)
        headers = headers_of(found, scope["method"])
        await send({"type": "http.response.start", "status": found.status, "headers": headers})
        content = b"" if scope["method"] == "HEAD" else found.content
        await send({"type": "http.response.body", "body": content})

    def head(self, path: str, raw: heads.Raw) -> Head | None:
        """Return what a POST asks for that may be answered at once; None of any that is refused."""
        try:
            headers = heads.wanted(raw)
            self._guard.check(headers)
            self._guard.authorize(headers)
            name, version, _ = paths.route(path)
            return Head(path, name, version, headers, heads.json_length(headers))
        except Refused:
            return None

    def at_once(self, head: Head, data: bytes, client: Client | None) -> Answer | None:
        """Return the answer to an inference that is here as a whole; None if it takes longer.

        What waits for nothing needs no task, and that spares a sixth of what one row costs.
        """
        start = time.perf_counter()
        self.metrics.begin()
        found: Answer | None = _FAILED
        try:
            found = self._at_once(head, data)
        except Refused as error:
            found = self._refused(head.path, error)
        except Exception:
            logging.getLogger(__name__).exception("a request failed")
        if found is None:
            self.metrics.leave()
        else:
            self._end(client, "POST", head.path, found, start)
        return found

    def _at_once(self, head: Head, data: bytes) -> Answer | None:
        model = self._model(head.name, head.version)
        self._admit()
        data = body.plain(data, head.headers, self._options.max_body)
        call = protocol.read(data, head.json_length, model, self._options.max_rows)
        if call.rows > model.quick:
            return None
        return _inferred(model, call, self._computer.now(model, call.batch))

    def _refused(self, path: str, error: Refused) -> Answer:
        content = refusals.document(error.message)
        return Answer(error.status, content, JSON, error.headers, self._model_in(path))

    def _end(
        self, client: Client | None, method: str, path: str, found: Answer, start: float
    ) -> None:
        seconds = time.perf_counter() - start
        self.metrics.end(found.model, found.status, seconds, found.rows)
        if self._options.access_log:
            log(client, method, path, found, seconds)

    async def _answer(self, scope: dict[str, Any], receive: body.Receive) -> Answer:
        """Return the answer to a request.

        Raises:
            Refused: for any reason why there is none.
            Disconnected: if nobody waits for it.
        """
        path = scope["path"]
        headers = heads.wanted(scope["headers"])
        self._guard.check(headers)
        if path not in paths.OPEN and not path.startswith("/try/"):
            self._guard.authorize(headers)
        if path.startswith("/v2/models/"):
            name, version, what = paths.route(path)
            model = self._model(name, version)
            if what == "/infer":
                paths.allow(scope["method"], "POST")
                return await self._infer(model, headers, receive)
            paths.allow(scope["method"], "GET", "HEAD")
            ready = {"name": model.name, "ready": True}
            said = ready if what else protocol.model_metadata(model)
            return _json(said, model)
        if predict := paths.PREDICT.fullmatch(path):
            paths.allow(scope["method"], "POST")
            return await self._predict(self._model(predict[1]), headers, receive)
        if about := paths.ABOUT.fullmatch(path):
            paths.allow(scope["method"], "GET", "HEAD")
            return self._about(about[1], about[2])
        return self._said(path, scope, headers)

    def _about(self, what: str, name: str | None) -> Answer:
        """Return what a person is shown of a model."""
        if what == "try":
            content, headers = pages.page()
            return Answer(200, content, pages.HTML, headers)
        models = self._shelf.models
        model = self._model(name or next(iter(models)))
        examples = self._options.show_examples or is_local(self._options.host)
        if what == "page":
            return _json(pages.of_model(model, [*models], examples), model)
        content, headers = pages.report_of(model, examples)
        return Answer(200, content, pages.HTML, headers, model.name)

    def _said(self, path: str, scope: dict[str, Any], headers: dict[bytes, bytes]) -> Answer:
        """Return what the server says of itself."""
        pages: dict[str, Callable[[], Answer]] = {
            "/": lambda: self._about("try", None),
            "/v2": lambda: _json(protocol.metadata()),
            "/v2/health/live": lambda: _json({"live": True}),
            "/v2/health/ready": lambda: _json(self._ready(headers)),
            "/metrics": lambda: Answer(200, self.metrics.text(self._digests()), MEDIA_TYPE),
            "/openapi.json": lambda: _json(openapi.document([*self._shelf.models])),
        }
        if path not in pages:
            raise paths.unknown(path)
        paths.allow(scope["method"], "GET", "HEAD")
        return pages[path]()

    async def _infer(
        self, model: Model, headers: dict[bytes, bytes], receive: body.Receive
    ) -> Answer:
        length = heads.json_length(headers)
        self._admit()
        data = await body.read(receive, headers, self._options.max_body)
        call = protocol.read(data, length, model, self._options.max_rows)
        return _inferred(model, call, await self._computer.run(model, call.batch, call.rows))

    async def _predict(
        self, model: Model, headers: dict[bytes, bytes], receive: body.Receive
    ) -> Answer:
        heads.check_json(headers)
        self._admit()
        data = await body.read(receive, headers, self._options.max_body)
        batch, rows = plain.read(data, model, self._options.max_rows)
        outputs = await self._computer.run(model, batch, rows)
        content = plain.answer(model, outputs)
        extra = ((b"artifact-digest", model.digest.encode()),)
        return Answer(200, content, JSON, extra, model.name, rows)

    def _admit(self) -> None:
        if self.metrics.in_flight() > self._options.queue:
            raise Refused(
                503,
                f"{self._options.queue} requests are in hand; ask again",
                (b"retry-after", b"1"),
            )

    def _model(self, name: str | None, version: str | None = None) -> Model:
        models = self._shelf.models
        if name is None:
            if len(models) > 1:
                raise Refused(404, f"which model? There is /predict/{'|'.join(models)}")
            [name] = models
        model = models.get(name)
        if model is None:
            raise Refused(404, f"no model has that name; there is {', '.join(models)}")
        if version is not None and version.removeprefix("sha256:") != model.digest[7:]:
            raise Refused(404, f"that version is not served; {name} is {model.digest}")
        return model

    def _model_in(self, path: str) -> str:
        found = paths.MODEL.fullmatch(path) or paths.PREDICT.fullmatch(path)
        name = found[1] if found else None
        if found and name is None and len(self._shelf.models) == 1:
            [name] = self._shelf.models
        return name if name in self._shelf.models else ""

    def _digests(self) -> dict[str, str]:
        return {name: model.digest for name, model in self._shelf.models.items()}

    def _ready(self, headers: dict[bytes, bytes]) -> dict[str, Any]:
        """Return that this worker is ready, and to whom may know it, with what."""
        with suppress(Refused):
            self._guard.authorize(headers)
            refused = {
                name: {"artifact": one.digest, "why": one.why}
                for name, one in self._shelf.refused.items()
            }
            return {"ready": True, "models": self._digests(), "refused": refused}
        return {"ready": True}

    async def _live(self, receive: body.Receive, send: Send) -> None:
        """Follow the aliases from when the server starts until it ends."""
        await receive()
        self._looking = asyncio.create_task(self._look())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._looking.cancel()
        self._computer.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK)
            # Verifying reads and hashes files: meanwhile others are answered.
            await loop.run_in_executor(None, self._shelf.look)
            for name in self._shelf.models:
                self.metrics.refused(name, name in self._shelf.refused)


def _inferred(model: Model, call: protocol.Call, outputs: Outputs) -> Answer:
    content, json_length = protocol.answer(model, call, outputs)
    digest = (b"artifact-digest", model.digest.encode())
    if json_length is None:
        return Answer(200, content, JSON, (digest,), model.name, call.rows)
    headers = (digest, (b"inference-header-content-length", b"%d" % json_length))
    return Answer(200, content, b"application/octet-stream", headers, model.name, call.rows)


def _json(said: Any, model: Model | None = None) -> Answer:
    content = msgspec.json.encode(said)
    if model is None:
        return Answer(200, content)
    headers = ((b"artifact-digest", model.digest.encode()),)
    return Answer(200, content, JSON, headers, model.name)
