"""Transfers: several files at once, each hashed as it is read or written."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from queue import Empty, Queue
from typing import TYPE_CHECKING, BinaryIO, TypeAlias, TypeVar

from artifact_pipeline import disk
from artifact_pipeline.builder.artifact.manifest import File
from artifact_pipeline.builder.background import start, submit
from artifact_pipeline.errors import EnvironmentFailure, Location, NetworkError, VerificationError
from artifact_pipeline.remote.protocol import PIECE, Pieces, Remote
from artifact_pipeline.verification.verify import Verified

if TYPE_CHECKING:
    from concurrent.futures import Future

TRANSFERS = 4
"""Files of an artifact that are transferred at once."""
_ATTEMPTS = 4
"""Interruptions in quick succession after which a download fails."""
_AHEAD = 8
"""Pieces of a file that are read before they are needed."""
_FLUSHED = 64 << 20
"""Bytes of a download that are flushed to the disk at a time."""
_GRACE = 1.0
"""Seconds to wait for other transfers after one has failed; a silent server may exceed it."""

Progress: TypeAlias = Callable[[int], None]
"""Called with the bytes transferred since the last call, from several threads."""
T = TypeVar("T")


class Interrupted(EnvironmentFailure):
    """A transfer that ended because another one failed or the process is ending."""


def in_threads(jobs: Sequence[Callable[[], T]], stopping: threading.Event) -> list[T]:
    """Return the results of jobs that run in threads, in their order.

    Args:
        jobs: The jobs. They end soon once `stopping` is set.
        stopping: Set when a job fails, or an exception such as Ctrl-C interrupts this call, which
            then waits for the others for a moment.

    Raises:
        Exception: The exception of the first job that failed.
    """
    from concurrent.futures import FIRST_EXCEPTION, Future, wait

    futures: list[Future[T]] = [Future() for _ in jobs]
    waiting = deque(zip(futures, jobs, strict=True))

    def work() -> None:
        with suppress(IndexError):  # none is left
            while True:
                future, job = waiting.popleft()
                if future.set_running_or_notify_cancel():
                    try:
                        future.set_result(job())
                    except BaseException as error:  # noqa: BLE001  (the caller raises it)
                        future.set_exception(error)

    for _ in range(min(TRANSFERS, len(jobs))):
        start(work)
    try:
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        failures = [failure for future in done if (failure := future.exception())]
        if failures:
            raise failures[0]
        return [future.result() for future in futures]
    finally:
        stopping.set()
        for future in futures:
            future.cancel()
        # Otherwise a job could write into a folder that the caller is removing.
        wait(futures, timeout=_GRACE)


def read_ahead(pieces: Generator[bytes]) -> Iterator[bytes]:
    """Yield pieces that a thread reads in advance, so that reading and writing overlap."""
    queue: Queue[bytes | BaseException | None] = Queue(_AHEAD)
    stopped = threading.Event()

    def read() -> None:
        end = None
        try:
            with closing(pieces):
                for piece in pieces:
                    queue.put(piece)
                    if stopped.is_set():
                        break
        except BaseException as error:  # noqa: BLE001  (the caller raises it)
            end = error
        queue.put(end)

    start(read)
    try:
        while (piece := queue.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            yield piece
    finally:
        stopped.set()
        with suppress(Empty):  # the thread may be waiting for space in the queue
            while True:
                queue.get_nowait()


def in_order(jobs: Iterable[Callable[[], T]], *, ahead: int) -> Iterator[T]:
    """Yield the results of jobs in their order, while threads run the `ahead` jobs that follow."""
    running: deque[Future[T]] = deque()
    for job in jobs:
        running.append(submit(job))
        if len(running) > ahead:
            yield running.popleft().result()
    while running:
        yield running.popleft().result()


def pieces_of(
    artifact: Verified, file: File, *, progress: Progress, stopping: threading.Event
) -> Pieces:
    """Return the reader of a file of an artifact.

    If the file has changed, it fails before the last piece, so that nothing is uploaded.
    """

    def pieces() -> Generator[bytes]:
        digest, left = hashlib.sha256(), file.bytes
        path = artifact.folder / file.path
        with disk.open_regular(path) as opened:
            while left and (piece := opened.read(min(PIECE, left))):
                _check_running(stopping)
                digest.update(piece)
                left -= len(piece)
                if not left and f"sha256:{digest.hexdigest()}" != file.sha256:
                    break
                yield piece
                progress(len(piece))
        if f"sha256:{digest.hexdigest()}" != file.sha256:
            problem = "was changed while it was pushed"
            raise VerificationError(problem, location=Location(str(path)))

    return lambda: read_ahead(pieces())


def download(
    remote: Remote, file: File, *, folder: Path, progress: Progress, stopping: threading.Event
) -> None:
    """Download a file into a folder, and compare it with its digest.

    Bytes in the folder from an earlier attempt are not transferred again.

    Raises:
        NetworkError: If the remote cannot be reached or disconnects.
        VerificationError: If it returns wrong bytes.
    """
    path = folder / file.path
    _check_running(stopping)
    with disk.translate_os_errors(path):
        if path.exists() and _fetch(remote, file, path=path, progress=progress, stopping=stopping):
            return
        path.unlink(missing_ok=True)  # the earlier attempt received wrong bytes
        if not _fetch(remote, file, path=path, progress=progress, stopping=stopping):
            raise VerificationError(
                f"returned other bytes for {file.path}, expected {file.sha256}",
                location=Location(remote.address),
            )


def _fetch(
    remote: Remote, file: File, *, path: Path, progress: Progress, stopping: threading.Event
) -> bool:
    """Download the rest of a file, and return whether its digest matches then."""
    digest, size = hashlib.sha256(), 0
    with path.open("a+b") as target:
        target.seek(0)
        while piece := target.read(PIECE):
            digest.update(piece)
            size += len(piece)
        progress(min(size, file.bytes))
        failures = 0
        while size < file.bytes:
            before = size
            try:
                for piece in read_ahead(_write(remote.download(file, start=size), target)):
                    _check_running(stopping)
                    digest.update(piece)
                    size += len(piece)
                    progress(len(piece))
            except NetworkError:
                if failures == _ATTEMPTS or size == before:
                    raise
            # A service may end each request for a large file after some time.
            failures = 0 if size - before > _FLUSHED else failures + 1
            if size < file.bytes and (size == before or failures > _ATTEMPTS):
                problem = f"disconnected after {size} of {file.bytes} bytes of {file.path}"
                raise NetworkError(problem, location=Location(remote.address), remedy="try again")
        target.flush()
        os.fsync(target.fileno())
    return size == file.bytes and f"sha256:{digest.hexdigest()}" == file.sha256


def _write(pieces: Generator[bytes], target: BinaryIO) -> Generator[bytes]:
    """Write pieces to a file, and yield them.

    A thread flushes the file to the disk meanwhile, so that little is left to flush at the end.
    """
    written, flush = 0, None
    with closing(pieces):
        for piece in pieces:
            target.write(piece)
            yield piece
            written += len(piece)
            if written > _FLUSHED:
                if flush is not None:
                    flush.result()
                flush, written = submit(partial(os.fsync, target.fileno())), 0
    if flush is not None:
        flush.result()


def _check_running(stopping: threading.Event) -> None:
    if stopping.is_set():
        raise Interrupted("the transfer was interrupted")
