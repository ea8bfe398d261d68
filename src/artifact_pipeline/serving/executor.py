"""Where requests are parsed and predicted: small ones on the event loop, others in two threads.

Large bodies have a thread of their own, so that a queue of them never delays smaller requests.
Requests are never computed together: the last bits of a prediction depend on its batch.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from artifact_pipeline.builder.formats.base import Batch, Outputs
from artifact_pipeline.errors import VerificationError
from artifact_pipeline.serving.http.errors import HTTPError, busy
from artifact_pipeline.serving.registry import ServedModel

T = TypeVar("T")

ON_LOOP = 64 << 10
"""Maximum bytes of a body that is parsed on the event loop; 100 rows of 64 numbers take half."""
LARGE_BODY = 1 << 20
"""Maximum bytes of a body that is parsed and predicted in the thread for small ones."""


class PredictionExecutor:
    """The threads of a worker, and a limit on the requests that wait for them."""

    def __init__(self, deadline: float, queue: int) -> None:
        self._deadline = deadline
        self._queue = queue
        self._waiting = 0
        self._small = ThreadPoolExecutor(1, thread_name_prefix="small")
        self._large = ThreadPoolExecutor(1, thread_name_prefix="large")

    async def run(self, job: Callable[[float], T], *, size: int) -> T:
        """Call a job in a thread and return its result.

        Args:
            job: Called with its deadline on the clock of `time.monotonic`, and not at all once
                that has passed.
            size: Bytes of the body that the job handles.

        Raises:
            HTTPError: 503 if the queue is full, 504 at the deadline, and what the job raises.
        """
        if self._waiting >= self._queue:
            raise busy(f"{self._queue} requests are queued; try again")
        end = time.monotonic() + self._deadline
        thread = self._small if size <= LARGE_BODY else self._large
        self._waiting += 1
        future = asyncio.get_running_loop().run_in_executor(thread, _run_before, job, end)
        future.add_done_callback(self._done)
        try:
            # A little longer than the job's deadline, so that the job itself reports it.
            return await asyncio.wait_for(asyncio.shield(future), self._deadline + 0.25)
        except TimeoutError as error:
            future.cancel()
            raise _late(self._deadline) from error

    def close(self) -> None:
        """Drop queued jobs, and do not wait for running ones."""
        self._small.shutdown(wait=False, cancel_futures=True)
        self._large.shutdown(wait=False, cancel_futures=True)

    def _done(self, future: asyncio.Future[T]) -> None:
        self._waiting -= 1
        # asyncio complains about the exception of a job that is retrieved nowhere.
        with contextlib.suppress(asyncio.CancelledError):
            future.exception()


def predict(model: ServedModel, batch: Batch, *, seconds: float) -> Outputs:
    """Return the predictions of a model.

    Args:
        model: The model.
        batch: Rows that were checked against its interface.
        seconds: The time after which the prediction is ended.

    Raises:
        HTTPError: 504 if they take longer than `seconds`, 500 if the model fails on the rows.
    """
    start = time.monotonic()
    try:
        return model.predictor.run(batch, seconds)
    except VerificationError as error:
        if time.monotonic() - start >= seconds:
            raise _late(seconds) from error
        raise HTTPError(500, f"the model fails on these rows: {error.message}") from error


def seconds_until(end: float) -> float:
    """Return the seconds until a deadline on the clock of `time.monotonic`.

    Raises:
        HTTPError: 504 if it has passed.
    """
    seconds = end - time.monotonic()
    if seconds <= 0:
        raise HTTPError(504, "the deadline passed before the prediction; send fewer rows at once")
    return seconds


def _late(seconds: float) -> HTTPError:
    return HTTPError(
        504, f"the prediction took longer than {seconds:.3g} s; send fewer rows at once"
    )


def _run_before(job: Callable[[float], T], end: float) -> T:
    seconds_until(end)
    return job(end)
