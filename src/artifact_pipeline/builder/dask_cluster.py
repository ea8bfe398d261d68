"""Connections to Dask clusters, which are named by their scheduler or started on this machine.

Dask is an extra, so it is imported when it is used.
"""

from __future__ import annotations

import importlib.util
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

from msgspec import Struct

from artifact_pipeline.builder import dask_worker
from artifact_pipeline.builder.config.messages import first_line
from artifact_pipeline.errors import (
    CallError,
    EnvironmentFailure,
    Location,
    MissingDependency,
    NetworkError,
)

T = TypeVar("T")

SAME_VERSIONS = "install the same versions on all workers"
ALLOWED_FAILURES = 5
"""How often a task may lose its worker on a local cluster."""
_CONNECT_SECONDS = 15
WORKER_SECONDS = 120
"""How long to wait for a worker, which may be starting on a busy machine."""


class Cluster(Struct, frozen=True):
    """A Dask cluster.

    Attributes:
        scheduler: The address of its scheduler; None for a new cluster on this machine.
    """

    scheduler: str | None = None


def cluster_of(engine: str, scheduler: str | None) -> Cluster | None:
    """Return the cluster that the options `--engine` and `--scheduler` name, or None.

    Raises:
        CallError: If there is a scheduler and the engine is not Dask.
        MissingDependency: If Dask is not installed.
    """
    if engine not in ("local", "dask"):
        raise CallError(f"found {engine!r}, expected local or dask", location=Location("--engine"))
    if engine != "dask":
        if scheduler is not None:
            raise CallError("needs --engine dask", location=Location("--scheduler"))
        return None
    if importlib.util.find_spec("distributed") is None:
        raise MissingDependency(
            "the package distributed is not installed",
            location=Location("--engine dask"),
            remedy="pip install 'artifact-pipeline[dask]'",
        )
    return Cluster(scheduler)


@contextmanager
def connect(cluster: Cluster, tasks: int, *, profile: str | None = None) -> Iterator[Any]:
    """Connect to a cluster, or start one on this machine, for the `with` block.

    Args:
        cluster: The cluster.
        tasks: The number of tasks; a cluster on this machine has no more processes than that.
        profile: The numeric profile of the processes of a cluster on this machine.

    Raises:
        NetworkError: If the scheduler cannot be reached.
        EnvironmentFailure: If it has no workers.
    """
    import logging

    import dask
    from dask.system import CPU_COUNT
    from distributed import Client, LocalCluster

    with ExitStack() as stack:
        # Lost workers and connections become errors here, or their tasks run again. A cluster that
        # Ctrl-C ends logs until its process ends, so this is not undone.
        for handler in logging.getLogger("distributed").handlers:
            handler.setLevel(logging.CRITICAL + 1)
        if cluster.scheduler is not None:
            _check_scheduler(cluster.scheduler)
            client = Client(cluster.scheduler, timeout=_CONNECT_SECONDS)  # type: ignore[no-untyped-call]
            stack.enter_context(client)
            _wait_for_worker(client, cluster.scheduler)
            yield client
            return
        if profile is not None:
            os.environ[dask_worker.PROFILE_ENV_VAR] = profile
        failures = {"distributed.scheduler.allowed-failures": ALLOWED_FAILURES}
        stack.enter_context(dask.config.set(failures))
        with _interrupts_deferred():
            local = stack.enter_context(
                LocalCluster(  # type: ignore[no-untyped-call]
                    n_workers=min(CPU_COUNT, tasks),
                    threads_per_worker=1,
                    processes=True,
                    dashboard_address=None,
                    memory_limit=None,
                    preload_nanny=[] if profile is None else [dask_worker.__name__],
                    silence_logs=logging.CRITICAL + 1,
                )
            )
        yield stack.enter_context(Client(local))  # type: ignore[no-untyped-call]


@contextmanager
def _interrupts_deferred() -> Iterator[None]:
    """Deliver Ctrl-C after the `with` block, and never to processes that are started in it.

    Ctrl-C reaches the complete process group, and a starting worker would print a traceback.
    Threads and processes that are started in the block inherit the blocked SIGINT.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # starting it unblocks SIGINT
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _check_scheduler(address: str) -> None:
    """Check that a scheduler responds, because Dask's client waits forever for other servers.

    Raises:
        NetworkError: If it does not.
    """
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    from distributed.comm.core import connect as open_connection
    from distributed.security import Security

    async def reach() -> None:
        async with asyncio.timeout(_CONNECT_SECONDS + 5):
            options = Security().get_connection_args("client")  # type: ignore[no-untyped-call]
            connection = await open_connection(  # type: ignore[no-untyped-call]
                address, timeout=_CONNECT_SECONDS, **options
            )
            try:
                await connection.write({"op": "identity", "reply": True})
                kind = (await connection.read())["type"]
            finally:
                await connection.close()
        if kind != "Scheduler":
            raise ValueError(f"a {kind.lower()} is there")

    try:
        with ThreadPoolExecutor(1) as pool:  # this thread may have a notebook's event loop
            pool.submit(asyncio.run, reach()).result()
    except Exception as error:  # another kind of server may make Dask raise anything
        is_known = isinstance(error, OSError | ValueError) and str(error)
        reason = first_line(error) if is_known else "another kind of server is there"
        raise NetworkError(
            f"the Dask scheduler cannot be reached: {reason}",
            location=Location(address),
            remedy="check --scheduler, such as tcp://10.0.0.1:8786",
        ) from error


def _wait_for_worker(client: Any, scheduler: str) -> None:
    try:
        client.wait_for_workers(1, timeout=WORKER_SECONDS)
    except TimeoutError as error:
        raise no_workers(scheduler) from error


def check_workers(client: Any, check: Callable[[T, Any], None], *, requirements: T) -> None:
    """Let each worker check itself before it gets work.

    Args:
        client: A connected client.
        check: Called on each worker with the requirements and the worker, as the argument
            `dask_worker`. It raises EnvironmentFailure.
        requirements: The requirements for a worker.

    Raises:
        EnvironmentFailure: For the first worker that is refused or cannot import this package.
    """
    results = client.run(check, requirements, on_error="return")
    for address, result in results.items():
        if isinstance(result, EnvironmentFailure):
            raise result
        if isinstance(result, BaseException):
            raise EnvironmentFailure(
                f"cannot import this package: {first_line(result)}",
                location=Location(f"the Dask worker {address}"),
                remedy=SAME_VERSIONS,
            )


def location_of(worker: Any) -> Location:
    """Return the location of a worker in errors: its name, if it has one, and its address."""
    has_name = isinstance(worker.name, str) and worker.name != worker.address
    place = f"{worker.name} ({worker.address})" if has_name else worker.address
    return Location(f"the Dask worker {place}")


def connection_lost(client: Any, remedy: str) -> NetworkError:
    """Return the error for a scheduler that ended, or dropped its tasks."""
    return NetworkError(
        "the connection to the Dask scheduler was lost",
        location=Location(client.scheduler.address),
        remedy=remedy,
    )


def no_workers(scheduler: str) -> EnvironmentFailure:
    """Return the error for a scheduler that has no worker for two minutes."""
    return EnvironmentFailure(
        "the Dask scheduler has no workers",
        location=Location(scheduler),
        remedy=f"start some: dask worker {scheduler}; an adaptive cluster needs at least one",
    )


def workers_lost(remedy: str) -> EnvironmentFailure:
    """Return the error for a task whose workers ended every time."""
    return EnvironmentFailure(
        "its workers ended again and again, because they were killed or out of memory",
        location=Location("the Dask cluster"),
        remedy=remedy,
    )
