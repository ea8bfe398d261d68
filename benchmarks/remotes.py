"""`python -m benchmarks.remotes [MB]`: push and pull of a large artifact beside bare clients.

The bare client sends the same files from the disk and writes what it gets to the disk, flushed, and
hashes nothing. Both use the same server on this machine: moto's S3 and Debian's docker-registry.
Times are wall-clock, medians of `ROUNDS`. The two take turns at being first, and what each wrote is
removed before the next, because a machine that has to find new memory for files is slower.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import boto3
import httpx
import obstore
from obstore.store import S3Store
from tests.support.artifacts import variant
from tests.support.remotes import registry, s3

import artifact_pipeline as api
from artifact_pipeline.builder.canonical import digest
from artifact_pipeline.store.store import Store

ROUNDS = 4
CONFIG = {
    "data": {"dataset": "iris"},
    "model": {"estimator": "sklearn.naive_bayes.GaussianNB", "params": {}},
}
_PIECE = 8 << 20


def main(megabytes: int) -> None:
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="remotes-")))
        store = Store(place / "here")
        run = api.train(CONFIG, store=store.root)
        big = store.add(variant(Path(run.artifact), os.urandom(megabytes << 19).hex()))
        os.environ["DOCKER_CONFIG"] = str(place)
        os.environ.update(stack.enter_context(s3()))
        host = stack.enter_context(registry(place))
        print(f"an artifact of {megabytes} MiB, seconds; ours takes … of the speed of bare")
        for name in ("s3", "oci"):
            times: dict[str, list[float]] = {}
            for index in range(ROUNDS):
                base = f"s3://models/{index}" if name == "s3" else f"oci://{host}/bench/{index}"
                bare = _bare_s3 if name == "s3" else _bare_oci
                files = [big.folder / file.path for file in big.manifest.files]
                up, down = bare(f"{base}bare", files, place / "there")
                pairs: list[dict[str, Callable[[], object]]] = [
                    {
                        "push": partial(api.push, big.digest, base, store=store.root),
                        "bare push": up,
                    },
                    {"pull": partial(api.pull, base, store=place / "there"), "bare pull": down},
                ]
                for jobs in pairs:
                    for job, call in sorted(jobs.items(), reverse=bool(index % 2)):
                        times.setdefault(job, []).append(_seconds(call))
                        shutil.rmtree(place / "there", ignore_errors=True)
                _empty(place / "registry")
            medians = {job: statistics.median(values) for job, values in times.items()}
            for job in ("push", "pull"):
                ours, theirs = medians[job], medians[f"bare {job}"]
                print(f"{name:4} {job}  {ours:6.1f}  bare {theirs:6.1f}  {theirs / ours:5.2f}")


def _empty(registry: Path) -> None:
    """Remove what the servers hold."""
    shutil.rmtree(registry, ignore_errors=True)
    client = boto3.client("s3")
    for entry in client.list_objects_v2(Bucket="models").get("Contents", ()):
        client.delete_object(Bucket="models", Key=entry["Key"])


def _seconds(call: Callable[[], object]) -> float:
    os.sync()
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _write(path: Path, pieces: Iterable[bytes]) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())


def _bare_s3(base: str, files: list[Path], copy: Path) -> tuple[Callable[[], None], ...]:
    client = S3Store(
        "models",
        prefix=base.partition("models/")[2],
        endpoint=os.environ["AWS_ENDPOINT_URL"],
        client_options={"allow_http": True, "timeout": "300s"},
    )

    def up() -> None:
        for path in files:
            obstore.put(client, path.name, path, chunk_size=_PIECE, max_concurrency=4)

    def down() -> None:
        for path in files:
            result = obstore.get(client, path.name)
            _write(copy / path.name, result.stream(min_chunk_size=1 << 20))

    return up, down


def _bare_oci(base: str, files: list[Path], copy: Path) -> tuple[Callable[[], None], ...]:
    root = base.replace("oci://", "http://").replace("/bench", "/v2/bench")
    client = httpx.Client(timeout=300)

    def up() -> None:
        for path in files:
            location = client.post(f"{root}/blobs/uploads/").headers["location"]
            with path.open("rb") as file:
                size = str(path.stat().st_size)
                response = client.put(
                    f"{location}&digest={names[path.name]}",
                    content=iter(lambda: file.read(1 << 20), b""),
                    headers={"Content-Length": size, "Content-Type": "application/octet-stream"},
                )
                response.raise_for_status()

    def down() -> None:
        for path in files:
            with client.stream("GET", f"{root}/blobs/{names[path.name]}") as response:
                _write(copy / path.name, response.iter_raw(1 << 20))

    names = {path.name: digest(path.read_bytes()) for path in files}
    return up, down


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
