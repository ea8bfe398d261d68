"""Background threads, which do not keep the process alive while a server is silent."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

T = TypeVar("T")


def submit(job: Callable[[], T]) -> Future[T]:
    """Run a job in its own thread; the result raises the job's exception."""
    from concurrent.futures import Future

    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(job())
        except BaseException as error:  # noqa: BLE001  (the caller raises it)
            future.set_exception(error)

    start(run)
    return future


def start(work: Callable[[], None]) -> None:
    """Start a thread, for work that raises nothing."""
    threading.Thread(target=work, daemon=True).start()
