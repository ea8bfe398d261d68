"""Connections to Dask clusters, which are named by their scheduler or started on this machine.

Dask is an extra, so it is imported when it is used.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

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

ALLOWED_FAILURES = 5
"""How often a task may lose its worker, on a cluster that is started here."""
_CONNECT_SECONDS = 20
_WORKER_SECONDS = 30


class Cluster(Struct, frozen=True):
    """A Dask cluster.

    Attributes:
        scheduler: The address of its scheduler; None for one that is started on this machine.
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
    from distributed.utils import silence_logging_cmgr

    with ExitStack() as stack:
        # Lost workers and connections become errors here, or their tasks run again.
        stack.enter_context(silence_logging_cmgr(logging.CRITICAL + 1))
        if cluster.scheduler is not None:
            try:
                client = Client(cluster.scheduler, timeout=_CONNECT_SECONDS)  # type: ignore[no-untyped-call]
            except (OSError, TimeoutError, ValueError) as error:
                raise NetworkError(
                    f"the Dask scheduler cannot be reached: {first_line(error)}",
                    location=Location(cluster.scheduler),
                    remedy="check --scheduler, such as tcp://10.0.0.1:8786",
                ) from error
            stack.enter_context(client)
            _wait_for_worker(client, cluster.scheduler)
            yield client
            return
        if profile is not None:
            os.environ[dask_worker.PROFILE_ENV_VAR] = profile
        failures = {"distributed.scheduler.allowed-failures": ALLOWED_FAILURES}
        stack.enter_context(dask.config.set(failures))
        local = stack.enter_context(
            LocalCluster(  # type: ignore[no-untyped-call]
                n_workers=min(CPU_COUNT, tasks),
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
                memory_limit=None,
                preload_nanny=[] if profile is None else [dask_worker.__name__],
                silence_logs=logging.CRITICAL,
            )
        )
        yield stack.enter_context(Client(local))  # type: ignore[no-untyped-call]


def _wait_for_worker(client: Any, scheduler: str) -> None:
    try:
        client.wait_for_workers(1, timeout=_WORKER_SECONDS)
    except TimeoutError as error:
        raise no_workers(scheduler) from error


def no_workers(scheduler: str) -> EnvironmentFailure:
    """Return the error for a scheduler that has no worker for half a minute."""
    return EnvironmentFailure(
        "the Dask scheduler has no workers",
        location=Location(scheduler),
        remedy=f"start some: dask worker {scheduler}; an adaptive cluster needs at least one",
    )


def workers_lost(remedy: str) -> EnvironmentFailure:
    """Return the error for a task whose worker ended each time that it ran."""
    return EnvironmentFailure(
        "its workers ended again and again, because they were killed or out of memory",
        location=Location("the Dask cluster"),
        remedy=remedy,
    )
