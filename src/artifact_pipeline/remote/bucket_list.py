"""The list of the objects of a bucket, which a separate process reads.

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
from artifact_pipeline.errors import ArtifactNotFound, Location, NetworkError
from artifact_pipeline.remote.address import RemoteAddress
from artifact_pipeline.remote.protocol import MAX_ENTRIES, ObjectEntry


class ListTask(Struct, frozen=True):
    """The bucket and the prefix to list."""

    address: RemoteAddress
    prefix: str
    seconds: float


class ListFailure(Struct, frozen=True, tag=True):
    """Why the bucket cannot be listed."""

    problem: str
    remedy: str | None
    is_missing: bool
    """Whether the bucket does not exist."""


class ListedEntries(Struct, frozen=True, tag=True):
    """The entries, without those after the first `MAX_ENTRIES`."""

    entries: list[ObjectEntry]
    is_complete: bool


ListResult: TypeAlias = ListedEntries | ListFailure


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
    task = ListTask(address=address, prefix=prefix, seconds=seconds)
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "artifact_pipeline.remote.bucket_lister"],
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
        answer: ListResult = msgspec.json.decode(done.stdout, type=ListResult)
    except (subprocess.TimeoutExpired, msgspec.DecodeError):  # DecodeError: it has ended early
        raise incomplete from None
    if isinstance(answer, ListFailure):
        kind = ArtifactNotFound if answer.is_missing else NetworkError
        raise kind(answer.problem, location=location, remedy=answer.remedy)
    if not answer.is_complete:
        problem = f"has more than {MAX_ENTRIES} entries below {prefix}"
        raise NetworkError(problem, location=location)
    return answer.entries
