"""`python -m artifact_pipeline.remote.bucket_list`: list the objects of a bucket.

obstore reads each page of a list completely, allocates as much memory as the service announces, and
aborts the process if that fails. So a list is read in a separate process with limits of memory and
time.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TypeAlias

import msgspec
from msgspec import Struct

from artifact_pipeline.builder import numeric_profile
from artifact_pipeline.errors import ArtifactNotFound, Location, NetworkError, PipelineError
from artifact_pipeline.remote.address import RemoteAddress
from artifact_pipeline.remote.protocol import MAX_ENTRIES, ObjectEntry

_MEMORY = 2 << 30
"""Bytes of address space of the process; its libraries take half of one gigabyte."""
_MAX_KEY = 2000
"""Maximum characters of a key; services refuse longer ones, and this package writes none."""


class _Task(Struct, frozen=True):
    """The bucket and the prefix to list."""

    address: RemoteAddress
    prefix: str
    seconds: float


class _Failure(Struct, frozen=True, tag=True):
    """Why the bucket cannot be listed."""

    problem: str
    remedy: str | None
    is_missing: bool
    """Whether the bucket does not exist."""


class _Listed(Struct, frozen=True, tag=True):
    """The entries, without those after the first `MAX_ENTRIES`."""

    entries: list[ObjectEntry]
    is_complete: bool


_Answer: TypeAlias = _Listed | _Failure


def entries(address: RemoteAddress, prefix: str, *, seconds: float) -> list[ObjectEntry]:
    """Return the objects below a prefix of a bucket.

    Args:
        address: The bucket.
        prefix: The first characters of their keys.
        seconds: Maximum time.

    Raises:
        ArtifactNotFound: If there is no such bucket.
        NetworkError: If the service cannot be reached or refuses, or its list is malformed, does
            not end or has more than `MAX_ENTRIES` entries.
    """
    location = Location(str(address))
    incomplete = NetworkError(f"does not list all entries below {prefix}", location=location)
    task = _Task(address=address, prefix=prefix, seconds=seconds)
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "artifact_pipeline.remote.bucket_list"],
            input=msgspec.json.encode(task),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={
                **os.environ,
                "PYTHONPATH": numeric_profile.import_path(),
                "MALLOC_ARENA_MAX": "2",  # one for each thread would use up the address space
            },
            timeout=seconds,
            check=False,
        )
        answer: _Answer = msgspec.json.decode(done.stdout, type=_Answer)
    except (subprocess.TimeoutExpired, msgspec.DecodeError):  # DecodeError: it has ended early
        raise incomplete from None
    if isinstance(answer, _Failure):
        kind = ArtifactNotFound if answer.is_missing else NetworkError
        raise kind(answer.problem, location=location, remedy=answer.remedy)
    if not answer.is_complete:
        problem = f"has more than {MAX_ENTRIES} entries below {prefix}"
        raise NetworkError(problem, location=location)
    return answer.entries


def main() -> None:
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=_Task)
    _limit_resources(task.seconds)
    sys.stdout.buffer.write(msgspec.json.encode(_list(task)))


def _list(task: _Task) -> _Answer:
    from artifact_pipeline.remote.bucket import BucketObjects

    found: list[ObjectEntry] = []
    try:
        for count, entry in enumerate(BucketObjects(task.address).listed(task.prefix)):
            if count == MAX_ENTRIES:
                return _Listed(found, is_complete=False)
            # A hostile service may list other keys.
            if entry.key.startswith(task.prefix) and len(entry.key) <= _MAX_KEY:
                found.append(entry)
    except PipelineError as error:
        return _Failure(error.problem, error.remedy, isinstance(error, ArtifactNotFound))
    return _Listed(found, is_complete=True)


def _limit_resources(seconds: float) -> None:
    if sys.platform != "win32":
        import resource
        import signal

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        # Limits the time even if the waiting process was killed.
        signal.setitimer(signal.ITIMER_REAL, seconds)


if __name__ == "__main__":
    main()
