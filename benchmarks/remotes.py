"""`python -m benchmarks.remotes [MB]`: push and pull of a large artifact beside other clients.

The bare clients send the same files from the disk, and write and flush downloads to the disk, but
hash nothing: obstore with one request for each file, and httpx. `boto3` is the transfer of `aws s3
cp` with its defaults: ten requests at once for parts of 8 MB, and nothing is flushed. All use the
same servers on this machine: the S3 of rclone, and Debian's docker-registry. moto's S3 is not
used, because it reads the complete object for each part.

Wall-clock times and processor times of the client are medians of `ROUNDS`. The clients take
turns, each is first equally often, and the files of one are removed before the next, because a
machine that has to find new memory for files is slower.
"""

from __future__ import annotations

import logging
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
from typing import NamedTuple, TypeAlias

import boto3
import httpx
import obstore
from obstore.store import S3Store
from tests.support.artifacts import variant
from tests.support.remotes import rclone, registry

import artifact_pipeline as api
from artifact_pipeline.builder.canonical import digest
from artifact_pipeline.store.store import Store

ROUNDS = 6
JOBS = ("push", "pull")
CONFIG = {
    "data": {"dataset": "iris"},
    "model": {"estimator": "sklearn.naive_bayes.GaussianNB", "params": {}},
}
_PIECE = 8 << 20

Calls: TypeAlias = tuple[Callable[[], object], Callable[[], object]]
Client: TypeAlias = Callable[[str, list[Path], Path], Calls]
"""Returns the push of files to a remote, and their pull into a folder."""


class Seconds(NamedTuple):
    """Wall-clock time, and time of the processors in this process."""

    wall: float
    processor: float


def main(megabytes: int) -> None:
    logging.getLogger("artifact_pipeline").setLevel(logging.ERROR)  # rclone ignores conditions
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="remotes-")))
        store = Store(place / "here")
        run = api.train(CONFIG, store=store.root)
        big = store.add(variant(Path(run.artifact), os.urandom(megabytes << 19).hex()))
        files = [big.folder / file.path for file in big.manifest.files]
        os.environ["DOCKER_CONFIG"] = str(place)
        os.environ["AWS_RESPONSE_CHECKSUM_VALIDATION"] = "when_required"  # rclone sends none
        os.environ.update(stack.enter_context(rclone(place / "s3")))
        host = stack.enter_context(registry(place))
        print(
            f"an artifact of {megabytes} MiB: seconds, of these of a processor, ours is … as fast"
        )

        def ours(base: str, files: list[Path], copy: Path) -> Calls:
            del files
            push = partial(api.push, big.digest, base, store=store.root)
            return push, partial(api.pull, base, store=copy)

        clients: dict[str, dict[str, Client]] = {
            "s3": {"ours": ours, "obstore": _bare_s3, "boto3": _boto3},
            "oci": {"ours": ours, "httpx": _bare_oci},
        }
        for scheme, named in clients.items():
            root = "s3://models" if scheme == "s3" else f"oci://{host}/bench"
            times: dict[tuple[str, str], list[Seconds]] = {}
            for index in range(ROUNDS):
                first = index % len(named)
                names = [*named][first:] + [*named][:first]
                calls = {
                    name: named[name](f"{root}/{index}{name}", files, place / "there")
                    for name in names
                }
                for job, word in enumerate(JOBS):
                    for name in names:
                        times.setdefault((word, name), []).append(_seconds(calls[name][job]))
                        shutil.rmtree(place / "there", ignore_errors=True)
                _empty(place)
            for (job_name, name), values in sorted(times.items(), reverse=True):
                wall, processor = _median(values)
                ratio = wall / _median(times[job_name, "ours"]).wall
                print(f"{scheme:4} {job_name} {name:8} {wall:6.1f} {processor:6.1f} {ratio:6.2f}")


def _empty(place: Path) -> None:
    """Remove the data of the servers."""
    shutil.rmtree(place / "registry", ignore_errors=True)
    for path in (place / "s3" / "models").iterdir():
        shutil.rmtree(path)


def _seconds(call: Callable[[], object]) -> Seconds:
    os.sync()
    start, before = time.perf_counter(), time.process_time()
    call()
    return Seconds(time.perf_counter() - start, time.process_time() - before)


def _median(times: list[Seconds]) -> Seconds:
    return Seconds(*map(statistics.median, zip(*times, strict=True)))


def _write(path: Path, pieces: Iterable[bytes]) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())


def _bare_s3(base: str, files: list[Path], copy: Path) -> Calls:
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


def _boto3(base: str, files: list[Path], copy: Path) -> Calls:
    client, prefix = boto3.client("s3"), base.partition("models/")[2]

    def up() -> None:
        for path in files:
            client.upload_file(str(path), "models", f"{prefix}/{path.name}")

    def down() -> None:
        copy.mkdir(exist_ok=True)
        for path in files:
            client.download_file("models", f"{prefix}/{path.name}", str(copy / path.name))

    return up, down


def _bare_oci(base: str, files: list[Path], copy: Path) -> Calls:
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
