"""Deadlines, watched by one thread, because a thread takes longer than most predictions."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_TICK = 0.1
"""Maximum seconds by which a deadline is late."""


class Watch:
    """Calls a function at each deadline. Its thread starts with the first deadline."""

    def __init__(self) -> None:
        self._ends: dict[int, tuple[float, float, Callable[[], None]]] = {}
        self._numbers = itertools.count()
        self._looks = False
        self._lock = threading.Lock()
        if hasattr(os, "register_at_fork"):  # threads do not survive a fork
            os.register_at_fork(after_in_child=self._forked)

    def begin(self, seconds: float, end: Callable[[], None], *, of_work: bool = False) -> int:
        """Call `end` after so many seconds, and return the number of this deadline.

        Args:
            seconds: The seconds.
            end: The function to call.
            of_work: Whether to also wait until this process has used so many seconds of processor
                time, so that a busy machine ends no more predictions than an idle one.
        """
        number = next(self._numbers)
        used = time.process_time() + seconds if of_work else 0.0
        self._ends[number] = (time.monotonic() + seconds, used, end)
        if not self._looks:
            with self._lock:
                if not self._looks:
                    threading.Thread(target=self._look, name="ends", daemon=True).start()
                    self._looks = True
        return number

    def done(self, number: int) -> bool:
        """Cancel a deadline, and return whether it will never be called."""
        return self._ends.pop(number, None) is not None

    def _forked(self) -> None:
        self._ends.clear()
        self._looks, self._lock = False, threading.Lock()

    def _look(self) -> None:
        while True:
            time.sleep(_TICK)
            now = time.monotonic()
            for number, (when, used, end) in list(self._ends.items()):
                if now >= when and time.process_time() >= used and self.done(number):
                    end()


watch = Watch()


@contextmanager
def at_most(seconds: float, end: Callable[[], None]) -> Iterator[None]:
    """Call `end` if the block takes longer than `seconds`, of processor time as well."""
    number = watch.begin(seconds, end, of_work=True)
    try:
        yield
    finally:
        watch.done(number)
