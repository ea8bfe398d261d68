"""Files in object stores: `s3://bucket/key`, `gs://bucket/key` and `az://container/key`.

Read and written through `pyarrow.fs`, which takes credentials, region and endpoint from where the
tools of each store do: for S3 from the environment (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, …),
from `~/.aws` or the machine's role; for Google Cloud from the application default credentials; for
Azure from `AZURE_STORAGE_ACCOUNT` and the default credential.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from artifact_pipeline.builder.config.messages import first_line
from artifact_pipeline.errors import (
    ArtifactNotFound,
    CallError,
    Location,
    MissingDependency,
    NetworkError,
)

_REMOTE = re.compile(r"(s3|gs|az)://([^/]+)/?(.*)", re.DOTALL)
_MAGIC = re.compile(r"[*?\[]")
_BLOCK = 8 << 20


class RemotePath(PurePosixPath):
    """The path of a file in an object store, with the methods of a `Path` that tables need."""

    def __str__(self) -> str:
        # A pure path keeps one of the slashes after the scheme.
        return super().__str__().replace(":/", "://", 1)

    def read_bytes(self) -> bytes:
        """Return the content of the file. Raises as `open_file`."""
        with open_file(str(self)) as file, _errors(str(self)):
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
    with _errors(url):
        store, path = _resolve(url)
        file = store.open_input_file(path)
    try:
        yield file
    finally:
        file.close()


def read(url: str) -> bytes | None:
    """Return the content of a file, None if there is none. Raises as `open_file`."""
    try:
        with open_file(url) as file, _errors(url):
            return file.read()
    except ArtifactNotFound:
        return None


def upload(source: Path, url: str) -> None:
    """Write a local file to an object store. The object exists when all of it has arrived.

    Raises:
        NetworkError: If the store cannot be reached, or refuses it.
    """
    with _errors(url), source.open("rb") as file:
        store, path = _resolve(url)
        with store.open_output_stream(path) as sink:
            while block := file.read(_BLOCK):
                sink.write(block)


def delete_folder(url: str) -> None:
    """Delete all files under an address. Raises as `upload`."""
    with _errors(url):
        for file in find(url):
            store, path = _resolve(file.url)
            store.delete_file(path)


def stat(url: str) -> RemoteFile | None:
    """Return a file, None if there is none; raises `NetworkError` as `open_file`."""
    import pyarrow.fs

    with _errors(url):
        store, path = _resolve(url)
        info = store.get_file_info(path)
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
    with _errors(url):
        store, path = _resolve(plain)
        selector = pyarrow.fs.FileSelector(path, recursive=True, allow_not_found=True)
        infos = [
            info for info in store.get_file_info(selector) if info.type == pyarrow.fs.FileType.File
        ]
    scheme = url.partition("://")[0]
    files = [RemoteFile(f"{scheme}://{info.path}", info.size, info.mtime_ns or 0) for info in infos]
    if match:
        depth = url.count("/")
        files = [
            file
            for file in files
            if file.url.count("/") == depth and fnmatch.fnmatchcase(file.url, url)
        ]
    return sorted(files)


def _resolve(url: str) -> tuple[Any, str]:
    """Return the object store of an address, and the path in it."""
    match = _REMOTE.fullmatch(url)
    if match is None:
        raise CallError("is not the address of a file", location=Location(url))
    scheme, bucket, key = match.groups()
    return _store(scheme, bucket), f"{bucket}/{key}".rstrip("/")


@cache
def _store(scheme: str, bucket: str) -> Any:
    import pyarrow.fs as fs

    try:
        if scheme == "gs":
            return fs.GcsFileSystem()
        if scheme == "az":
            account = os.environ.get("AZURE_STORAGE_ACCOUNT")
            if not account:
                raise CallError(
                    "the storage account is not known",
                    location=Location(f"az://{bucket}"),
                    remedy="set AZURE_STORAGE_ACCOUNT",
                )
            return fs.AzureFileSystem(account_name=account)
    except (ImportError, AttributeError) as error:
        problem = f"this build of pyarrow does not read {scheme}://"
        raise MissingDependency(problem, location=Location("pyarrow")) from error
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint is None:
        return fs.S3FileSystem(region=region or fs.resolve_s3_region(bucket))
    protocol, _, host = endpoint.rpartition("://")
    return fs.S3FileSystem(
        region=region, scheme=protocol or "https", endpoint_override=host.rstrip("/")
    )


@contextmanager
def _errors(url: str) -> Iterator[None]:
    """Translate the errors of an object store."""
    try:
        yield
    except (CallError, NetworkError, MissingDependency):
        raise
    except FileNotFoundError as error:
        raise ArtifactNotFound("no such file", location=Location(url)) from error
    except OSError as error:
        raise NetworkError(
            f"the object store refuses or cannot be reached: {first_line(error)[:200]}",
            location=Location(url),
            remedy="check the address, the credentials and the endpoint",
        ) from error
