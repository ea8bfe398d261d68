"""Predictions on a Dask cluster: each worker verifies the artifact, and predicts complete parts.

A task contains paths and no data. A part is written under another name until it is complete, so a
task that runs twice, because its worker was lost, writes the same bytes to the same file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

from msgspec import Struct

from artifact_pipeline.builder import dask_cluster
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.builder.dask_cluster import Cluster
from artifact_pipeline.errors import EnvironmentFailure
from artifact_pipeline.inference import part_output
from artifact_pipeline.inference.part_output import PartResult
from artifact_pipeline.inference.predict import open_artifact
from artifact_pipeline.inference.predictor import Predictor
from artifact_pipeline.inference.row_paths import RowPath
from artifact_pipeline.inference.tally import Options

PACKAGES = ("artifact-pipeline", "numpy", "onnxruntime", "pyarrow")
"""The packages that decide the bytes of predictions."""
_RETRIES = 5


class PartTask(Struct, frozen=True, kw_only=True):
    """A part to predict.

    Attributes:
        artifact: The folder of the artifact.
        digest: The digest that it must have.
        file: The rows.
        folder: The folder for the predictions.
        options: The options of the prediction.
        packages: The versions of `PACKAGES` that the worker must have.
    """

    artifact: str
    digest: Digest
    file: RowPath
    folder: str
    options: Options
    packages: dict[str, str]


def predict_parts(tasks: Sequence[PartTask], cluster: Cluster) -> Iterator[PartResult]:
    """Predict parts on a cluster, and yield the result of each, in the order of the tasks.

    Args:
        tasks: The parts.
        cluster: The cluster.

    Raises:
        NetworkError: If the scheduler cannot be reached.
        EnvironmentFailure: If there are no workers, one has other versions of the packages, or
            workers are lost repeatedly.
        PipelineError: As `infer_files`.
    """
    from distributed import CancelledError, KilledWorker

    with dask_cluster.connect(cluster, len(tasks)) as client:
        dask_cluster.check_workers(client, check_worker, requirements=package_versions())
        futures = [
            client.submit(predict_task, task, pure=False, retries=_RETRIES) for task in tasks
        ]
        try:
            for future in futures:
                yield future.result()
        except KilledWorker as error:
            remedy = "give them more memory, or continue with --resume"
            raise dask_cluster.workers_lost(remedy) from error
        except CancelledError as error:
            raise dask_cluster.connection_lost(client, "continue with --resume") from error
        finally:
            client.cancel(futures)


def predict_task(task: PartTask) -> PartResult:
    """Predict a part, on a worker."""
    from distributed import get_worker

    check_worker(task.packages, get_worker())
    predictor = _predictor(task.artifact, task.digest)
    return part_output.predict_part(predictor, task.file, folder=task.folder, options=task.options)


def check_worker(packages: dict[str, str], dask_worker: Any) -> None:
    """Check that this process, a worker, has the same packages as the client.

    Args:
        packages: The versions of `PACKAGES`.
        dask_worker: The worker; `Client.run` passes it to a parameter of this name.

    Raises:
        EnvironmentFailure: If it has other versions, with its address.
    """
    own = package_versions()
    for name, expected in packages.items():
        if own[name] != expected:
            raise EnvironmentFailure(
                f"has {name} {own[name]}, but this process has {expected}",
                location=dask_cluster.location_of(dask_worker),
                remedy=dask_cluster.SAME_VERSIONS,
            )


def package_versions() -> dict[str, str]:
    """Return the versions of `PACKAGES` in this process."""
    return {name: version(name) for name in PACKAGES}


@cache
def _predictor(artifact: str, digest: Digest) -> Predictor:
    """Return the model, which a worker verifies and opens once."""
    return open_artifact(artifact, digest)
