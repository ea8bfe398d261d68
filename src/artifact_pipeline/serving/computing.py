"""Where a prediction is computed: a quick one at once, a longer one in the worker's one thread.

Requests are never computed together: the last bits of an answer would depend on who else asks.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from concurrent.futures import ThreadPoolExecutor

from artifact_pipeline.artifact.formats.form import Batch, Outputs
from artifact_pipeline.errors import VerificationError
from artifact_pipeline.serving.models import Model
from artifact_pipeline.serving.refusals import Refused


class Computer:
    """Has the thread of a worker."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="predict")

    async def run(self, model: Model, batch: Batch, rows: int) -> Outputs:
        """Return what a model says of rows that were checked.

        Raises:
            Refused: if it is not done within the deadline, or the model fails on the rows.
        """
        if rows <= model.quick:
            return self.now(model, batch)
        end = time.monotonic() + self._deadline
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._threads, _predict_until, model, batch, end)
        try:
            # A little more than the model is given, so that it is the model that is ended.
            return await asyncio.wait_for(asyncio.shield(future), self._deadline + 0.25)
        except TimeoutError as error:
            future.add_done_callback(_forget)
            future.cancel()
            raise _late(self._deadline) from error

    def now(self, model: Model, batch: Batch) -> Outputs:
        """Return what a model says of few rows, whoever else waits.

        Raises:
            Refused: as `run`.
        """
        return _predict(model, batch, self._deadline)

    def close(self) -> None:
        """Wait for nothing that is still computed."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _predict_until(model: Model, batch: Batch, end: float) -> Outputs:
    left = end - time.monotonic()
    if left <= 0:
        raise Refused(504, "the prediction waited too long for others; ask again")
    return _predict(model, batch, left)


def _predict(model: Model, batch: Batch, seconds: float) -> Outputs:
    start = time.monotonic()
    try:
        return model.predictor.run(batch, seconds)
    except VerificationError as error:
        if time.monotonic() - start >= seconds:
            raise _late(seconds) from error
        raise Refused(500, f"the model fails on these rows: {error.message}") from error


def _late(seconds: float) -> Refused:
    return Refused(504, f"the prediction took longer than {seconds:.3g} s; send fewer rows at once")


def _forget(future: asyncio.Future[Outputs]) -> None:
    """Look at what came of a prediction that nobody waits for, so that nobody complains."""
    with contextlib.suppress(asyncio.CancelledError):
        future.exception()
