"""`python -m artifact_pipeline.remote.bucket_lister`: list the objects of a bucket, with limits.

It reads a `ListTask` from standard input and writes a `ListResult` to standard output, as JSON.
"""

from __future__ import annotations

import sys

import msgspec

from artifact_pipeline.errors import ArtifactNotFound, PipelineError
from artifact_pipeline.remote.bucket import BucketObjects
from artifact_pipeline.remote.bucket_list import ListedEntries, ListFailure, ListResult, ListTask
from artifact_pipeline.remote.protocol import MAX_ENTRIES, ObjectEntry

_MEMORY = 2 << 30
"""Bytes of address space of the process; its libraries take half of one gigabyte."""
_MAX_KEY = 2000
"""Maximum characters of a key; services refuse longer ones, and this package writes none."""


def main() -> None:
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=ListTask)
    _limit_resources(task.seconds)
    sys.stdout.buffer.write(msgspec.json.encode(_list(task)))


def _list(task: ListTask) -> ListResult:
    found: list[ObjectEntry] = []
    try:
        for count, entry in enumerate(BucketObjects(task.address).listed(task.prefix)):
            if count == MAX_ENTRIES:
                return ListedEntries(found, is_complete=False)
            # A hostile service may list other keys.
            if entry.key.startswith(task.prefix) and len(entry.key) <= _MAX_KEY:
                found.append(entry)
    except PipelineError as error:
        return ListFailure(error.problem, error.remedy, isinstance(error, ArtifactNotFound))
    return ListedEntries(found, is_complete=True)


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
