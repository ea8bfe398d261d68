"""Files in object stores: `s3://bucket/key`, `gs://bucket/key` and `az://container/key`.

Read and written through `pyarrow.fs`. Credentials and endpoints come from the variables of each
store's own tools: for S3 `AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, …, `~/.aws` or the machine's
role; for Google Cloud the application default credentials, or an emulator at
`STORAGE_EMULATOR_HOST`; for Azure `AZURE_STORAGE_ACCOUNT_NAME` with a key, a SAS or the default
credential, and `AZURE_STORAGE_ENDPOINT`.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cache
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from artifact_pipeline.builder.background import submit
from artifact_pipeline.errors import (
    ArtifactNotFound,
    CallError,
    Location,
    MissingDependency,
    NetworkError,
    PipelineError,
)

_REMOTE = re.compile(r"(s3|gs|az)://([^/]+)/?(.*)", re.DOTALL)
_MAGIC = re.compile(r"[*?\[]")
_BLOCK = 8 << 20
_ANSWER_SECONDS = 60.0
"""Seconds after which a store that does not answer is given up."""
_RETRY_SECONDS = 10
"""Seconds in which a request to Google Cloud Storage is repeated."""
_REASON = re.compile(
    r"(?:AWS|Azure) Error:? (?:\[\] )?(.+)|Status\((.+?) error_info=| failed: \w+: (.+)"
)
"""The part of a message of pyarrow that a store or its library wrote."""
_NO_BUCKET = re.compile(r"ContainerNotFound|NO_SUCH_BUCKET|NoSuchBucket")
_FORBIDDEN = re.compile(r"\b40[13]\b|ACCESS_DENIED|PERMISSION_DENIED|UNAUTHENTICATED")

T = TypeVar("T")


class RemotePath(PurePosixPath):
    """The path of a file in an object store, with the methods of a `Path` that tables need."""

    def __str__(self) -> str:
        # A pure path keeps one of the slashes after the scheme.
        return super().__str__().replace(":/", "://", 1)

    def read_bytes(self) -> bytes:
        """Return the content of the file. Raises as `open_file`."""
        with open_file(str(self)) as file:
            return file.read()


class RemoteFile(NamedTuple):
    """A file in an object store.

    Attributes:
        url: Its address.
        size: Its size in bytes.
        changed: When it was written, in nanoseconds since 1970.
    """

    url: str
    size: int
    changed: int


def is_remote(path: str) -> bool:
    """Return whether a path names a file or a folder in an object store."""
    return _REMOTE.fullmatch(path) is not None


def is_pattern(url: str) -> bool:
    """Return whether a path in an object store stands for the files that match it."""
    return _MAGIC.search(url) is not None


@contextmanager
def open_file(url: str) -> Iterator[IO[bytes]]:
    """Open a file to read.

    Raises:
        ArtifactNotFound: If there is none.
        NetworkError: If the store cannot be reached, or refuses it.
    """
    file = _answer(url, lambda store, path: store.open_input_file(path))
    try:
        with _errors(url):
            yield file
    finally:
        with suppress(OSError):  # a store that is gone fails here again
            file.close()


def read(url: str) -> bytes | None:
    """Return the content of a file, None if there is none. Raises as `open_file`."""
    try:
        with open_file(url) as file:
            return file.read()
    except ArtifactNotFound:
        return None


def check_bucket(url: str) -> None:
    """Check that the bucket of a file to be written exists, as far as one may see that.

    Raises:
        NetworkError: If it does not exist, or the store cannot be reached.
    """
    import pyarrow.fs

    try:
        info = _answer(url, lambda store, path: store.get_file_info(path.partition("/")[0]))
    except NetworkError as error:
        if _FORBIDDEN.search(error.problem):  # one may write and not look
            return
        raise
    if info.type == pyarrow.fs.FileType.NotFound:
        raise _no_bucket(url)


def _no_bucket(url: str) -> NetworkError:
    return NetworkError(
        "the bucket or container does not exist", location=Location(url), remedy="create it"
    )


def upload(source: Path, url: str) -> None:
    """Write a local file to an object store. The object exists when all of it has arrived.

    Raises:
        NetworkError: If the store cannot be reached, or refuses it.
    """
    try:
        opened = _answer(url, lambda store, path: store.open_output_stream(path))
        with _errors(url), source.open("rb") as file, opened as sink:
            while block := file.read(_BLOCK):
                sink.write(block)
    except ArtifactNotFound as error:
        raise _no_bucket(url) from error


def delete_folder(url: str) -> None:
    """Delete all files under an address. Raises as `upload`."""
    for file in find(url):
        _answer(file.url, lambda store, path: store.delete_file(path))


def stat(url: str) -> RemoteFile | None:
    """Return a file, None if there is none; raises `NetworkError` as `open_file`."""
    import pyarrow.fs

    info = _answer(url, lambda store, path: store.get_file_info(path))
    if info.type != pyarrow.fs.FileType.File:
        return None
    return RemoteFile(url, info.size, info.mtime_ns or 0)


def find(url: str) -> list[RemoteFile]:
    """Return the files under an address, or those that match a pattern, in the order of names.

    Args:
        url: A folder, or a pattern whose `*` stands for any text in a name.

    Raises:
        NetworkError: If the store cannot be reached, or refuses it.
    """
    import pyarrow.fs

    plain = url
    if match := _MAGIC.search(url):
        plain = url[: match.start()].rpartition("/")[0]
    infos = _answer(
        plain,
        lambda store, path: store.get_file_info(
            pyarrow.fs.FileSelector(path, recursive=True, allow_not_found=True)
        ),
    )
    scheme = url.partition("://")[0]
    files = [
        RemoteFile(f"{scheme}://{info.path}", info.size, info.mtime_ns or 0)
        for info in infos
        if info.type == pyarrow.fs.FileType.File
    ]
    if match:
        depth = url.count("/")
        files = [
            file
            for file in files
            if file.url.count("/") == depth and fnmatch.fnmatchcase(file.url, url)
        ]
    return sorted(files)


def _answer(url: str, request: Callable[[Any, str], T]) -> T:
    """Return what an object store answers.

    The libraries of the stores wait for minutes or forever, and Ctrl-C does not reach them, so they
    run in a thread of their own.

    Args:
        url: The address of a file or a folder.
        request: Called with its store, and the path in it.

    Raises:
        ArtifactNotFound: If there is no such file.
        NetworkError: If the store cannot be reached, or refuses it.
    """

    def answer() -> T:
        with _errors(url):
            return request(*_resolve(url))

    try:
        return submit(answer).result(_ANSWER_SECONDS)
    except TimeoutError:
        raise NetworkError(
            f"the object store did not respond within {_ANSWER_SECONDS:.0f} seconds",
            location=Location(url),
            remedy="check the address and the endpoint",
        ) from None


def _resolve(url: str) -> tuple[Any, str]:
    """Return the object store of an address, and the path in it."""
    match = _REMOTE.fullmatch(url)
    if match is None:
        raise CallError("is not the address of a file", location=Location(url))
    scheme, bucket, key = match.groups()
    return _store(scheme, bucket), f"{bucket}/{key}".rstrip("/")


@cache
def _store(scheme: str, bucket: str) -> Any:
    try:
        if scheme == "gs":
            return _google()
        if scheme == "az":
            return _azure(bucket)
    except (ImportError, AttributeError) as error:
        problem = f"this build of pyarrow does not read {scheme}://"
        raise MissingDependency(problem, location=Location("pyarrow")) from error
    return _s3(bucket)


def _s3(bucket: str) -> Any:
    import pyarrow.fs as fs

    region = _variable("AWS_REGION", "AWS_DEFAULT_REGION")
    endpoint = _variable("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    if endpoint is None:
        return fs.S3FileSystem(region=region or fs.resolve_s3_region(bucket))
    protocol, host, _ = _endpoint(endpoint, default="https")
    return fs.S3FileSystem(region=region, scheme=protocol, endpoint_override=host)


def _google() -> Any:
    import pyarrow.fs as fs

    limit = timedelta(seconds=_RETRY_SECONDS)
    emulator = _variable("STORAGE_EMULATOR_HOST")
    if emulator is None:
        return fs.GcsFileSystem(retry_time_limit=limit)
    protocol, host, _ = _endpoint(emulator, default="http")
    return fs.GcsFileSystem(
        anonymous=True, scheme=protocol, endpoint_override=host, retry_time_limit=limit
    )


def _azure(container: str) -> Any:
    import pyarrow.fs as fs

    account = _variable("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT")
    if account is None:
        raise CallError(
            "the storage account is not known",
            location=Location(f"az://{container}"),
            remedy="set AZURE_STORAGE_ACCOUNT_NAME",
        )
    options = {"account_key": _variable("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_KEY")}
    if sas := _variable("AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY"):
        options["sas_token"] = "?" + sas.removeprefix("?")  # pyarrow appends it to addresses
    if endpoint := _variable("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"):
        protocol, host, path = _endpoint(endpoint, default="https")
        if path != account:  # the account is in the host, where pyarrow expects `.host`
            host = host.removeprefix(account)
        options |= {
            "blob_storage_scheme": protocol,
            "blob_storage_authority": host,
            "dfs_storage_scheme": protocol,
            "dfs_storage_authority": host.replace(".blob.", ".dfs.", 1),
        }
    given = {name: value for name, value in options.items() if value is not None}
    return fs.AzureFileSystem(account_name=account, **given)


def _variable(*names: str) -> str | None:
    """Return the first of these environment variables that is set and not empty."""
    return next((value for name in names if (value := os.environ.get(name))), None)


def _endpoint(url: str, *, default: str) -> tuple[str, str, str]:
    """Return the protocol, the host with its port, and the path of an endpoint."""
    parts = urlsplit(url if "://" in url else f"{default}://{url}")
    return parts.scheme, parts.netloc, parts.path.strip("/")


def is_of_store(error: Exception) -> bool:
    """Return whether an error is of a store, and not of the bytes of a file in it."""
    return _REASON.search(str(error)) is not None


@contextmanager
def _errors(url: str) -> Iterator[None]:
    """Translate the errors of an object store."""
    import pyarrow as pa

    try:
        yield
    except PipelineError:
        raise
    except FileNotFoundError as error:
        raise ArtifactNotFound("no such file", location=Location(url)) from error
    except (OSError, pa.ArrowException) as error:
        message = " ".join(str(error).split())
        match = _REASON.search(message)
        if _NO_BUCKET.search(message):
            raise _no_bucket(url) from error
        reason = next(filter(None, match.groups())) if match else message
        raise NetworkError(
            f"the object store refuses or cannot be reached: {reason[:200]}",
            location=Location(url),
            remedy="check the address, the credentials and the endpoint",
        ) from error
