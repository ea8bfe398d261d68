"""Objects in a bucket of S3, Google Cloud Storage or Azure, or of a compatible service.

obstore is the client: it signs, retries and uploads in parts, and finds the credentials of the
environment. Only AWS profiles, which it does not support, are read here.

Source: https://developmentseed.org/obstore/
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from artifact_pipeline.errors import (
    ArtifactNotFound,
    Location,
    MissingDependency,
    NetworkError,
    PipelineError,
)
from artifact_pipeline.log import scrub
from artifact_pipeline.remote import bucket_list
from artifact_pipeline.remote.address import RemoteAddress
from artifact_pipeline.remote.protocol import PIECE, ObjectEntry, Stored
from artifact_pipeline.remote.transfer import in_order

_PART = 8 << 20
"""Bytes of a part of an upload or a download."""
_SINGLE = 5 << 20
"""Maximum bytes of an object uploaded in one request, which can have a condition."""
_CONNECTIONS = 4
"""Parts of one object that are uploaded at once."""
_PARTS_AHEAD = 7
"""Parts of a download that are requested in advance."""
_SAMPLE = 16 << 20
"""Bytes of a download after which its rate is known."""
_FAST = 100e6
"""Bytes per second from which one connection is fast enough."""
_PIECE = 256 << 10
"""Bytes that are read at a time; they stay in the processor's cache until they are hashed."""
_ENDPOINTS = (
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT",
    "AZURE_ENDPOINT",
    "AZURE_STORAGE_ENDPOINT",
)
_WORDS = re.compile(
    "AWS_(DEFAULT_)?REGION|AWS_(ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN)"
    "|AWS_CONTAINER_(CREDENTIALS_RELATIVE_URI|CREDENTIALS_FULL_URI|AUTHORIZATION_TOKEN)"
    "|AZURE_(STORAGE_)?(ACCOUNT_NAME|(ACCOUNT|ACCESS|MASTER|SAS)_KEY|TOKEN|SAS_TOKEN)"
    "|AZURE_(STORAGE_)?(CLIENT_ID|CLIENT_SECRET|TENANT_ID|AUTHORITY_ID|AUTHORITY_HOST)"
    "|(AZURE_)?(MSI|IDENTITY)_ENDPOINT"
)
"""Variables whose values become a part of a header or an address."""
_URL = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+(?:/[!-~]*)?\Z")
_LIST_SECONDS = 120.0
"""Maximum seconds for a list of objects."""
_REMEDY = "check the address, the network and the credentials in the environment"


class _RangeIgnored(NetworkError):
    """A service responded to a request for a range with a status other than 206."""


class BucketObjects:
    """The objects below a prefix of a bucket."""

    def __init__(self, address: RemoteAddress) -> None:
        try:
            import obstore
            import obstore.exceptions
            import obstore.store
        except ImportError as error:
            raise MissingDependency(
                "obstore is not installed",
                location=Location(str(address)),
                remedy="pip install obstore, or pip install -r requirements-remote.txt",
            ) from error
        self.address = str(address)
        self._parsed = address
        self._client: Any = obstore
        self._errors: Any = obstore.exceptions
        with self._translated():
            self._store: Any = _open(address, obstore.store)

    def get(self, key: str, *, limit: int) -> Stored | None:
        """See `ObjectStore`."""
        with self._translated():
            try:
                result = self._client.get(self._store, key)
            except FileNotFoundError:
                return None
            data, tag = bytearray(), _tag(result.meta)
            for piece in result.stream(min_chunk_size=PIECE):
                data += bytes(piece)
                if len(data) > limit:
                    raise NetworkError(
                        f"{key} has more than {limit} bytes", location=Location(self.address)
                    )
        return Stored(bytes(data), tag)

    def size(self, key: str) -> int | None:
        """See `ObjectStore`."""
        with self._translated():
            try:
                return int(self._client.head(self._store, key)["size"])
            except FileNotFoundError:
                return None

    def read(self, key: str, *, start: int, end: int) -> Generator[bytes]:
        """See `ObjectStore`."""
        if start >= end:
            return
        try:
            for piece in self._range(key, start=start, end=end):
                start += len(piece)
                yield piece
        except _RangeIgnored:
            yield from self._stream(key, start=start, end=end, is_range=False)

    def _range(self, key: str, *, start: int, end: int) -> Generator[bytes]:
        """Yield a range of an object, in parallel parts if one connection is slow.

        One connection to a cloud service is slower than the network. A nearby service is slower in
        parts, because it may read the object again for each part.
        """
        position, began = start, time.monotonic()
        # Some services ignore a range that covers the complete object.
        with closing(self._stream(key, start=start, end=end, is_range=start > 0)) as pieces:
            for piece in pieces:
                if position == start:
                    began = time.monotonic()
                position += len(piece)
                yield piece
                rate = (position - start) / max(time.monotonic() - began, 1e-6)
                if rate < _FAST and position - start > _SAMPLE and end - position > _SAMPLE:
                    break
            else:
                return
        trial_end, began = min(position + (_PARTS_AHEAD + 1) * _PART, end), time.monotonic()
        for piece in self._parts(key, start=position, end=trial_end):
            position += len(piece)
            yield piece
        if position < trial_end:
            return
        is_faster = (_PARTS_AHEAD + 1) * _PART / (time.monotonic() - began) > rate
        if is_faster:
            yield from self._parts(key, start=position, end=end)
        elif position < end:
            yield from self._stream(key, start=position, end=end, is_range=True)

    def _parts(self, key: str, *, start: int, end: int) -> Generator[bytes]:
        """Yield a range of an object, in parts that are requested at the same time."""

        def part(first: int) -> tuple[int, list[bytes]]:
            last = min(first + _PART, end)
            pieces = list(self._stream(key, start=first, end=last, is_range=True))
            return last - first, pieces

        jobs = (partial(part, first) for first in range(start, end, _PART))
        for size, pieces in in_order(jobs, ahead=_PARTS_AHEAD):
            yield from pieces
            if sum(map(len, pieces)) < size:
                return

    def _stream(self, key: str, *, start: int, end: int, is_range: bool) -> Generator[bytes]:
        """Yield a range of an object from one request, for the range or the complete object."""
        with self._translated():
            options = {"range": (start, end)} if is_range else None
            try:
                result = self._client.get(self._store, key, options=options)
            except self._errors.GenericError as error:
                if "non-partial response" in str(error):
                    raise _RangeIgnored("ignores ranges", location=Location(self.address)) from None
                raise
            skipped = 0 if is_range else start
            for chunk in result.stream(min_chunk_size=_PIECE):
                piece = bytes(chunk)[skipped : skipped + end - start]
                skipped = max(0, skipped - len(chunk))
                if piece:
                    start += len(piece)
                    yield piece
                if start >= end:
                    break

    def create(self, key: str, data: bytes) -> bool:
        """See `ObjectStore`."""
        with self._translated():
            try:
                self._client.put(self._store, key, data, mode="create", use_multipart=False)
            except self._errors.AlreadyExistsError:
                return False
        return True

    def replace(self, key: str, data: bytes, *, tag: str) -> bool:
        """See `ObjectStore`."""
        with self._translated():
            mode = dict(zip(("e_tag", "version"), tag.split("\n"), strict=False))
            try:
                self._client.put(self._store, key, data, mode=mode, use_multipart=False)
            except (self._errors.PreconditionError, FileNotFoundError):
                return False
        return True

    def upload(self, key: str, pieces: Iterable[bytes], *, size: int) -> None:
        """See `ObjectStore`.

        An upload in parts has no condition; all writers of the object write the same bytes.
        """
        if size <= _SINGLE:
            self.create(key, b"".join(pieces))
            return
        with self._translated():
            self._client.put(
                self._store, key, iter(pieces), chunk_size=_PART, max_concurrency=_CONNECTIONS
            )

    def entries(self, prefix: str) -> list[ObjectEntry]:
        """See `ObjectStore`. Another process reads the list, as a hostile one may end a process."""
        return bucket_list.entries(self._parsed, prefix, seconds=_LIST_SECONDS)

    def listed(self, prefix: str) -> Iterator[ObjectEntry]:
        """Yield the objects below a prefix, as the service lists them."""
        with self._translated():
            # obstore requests the next page as long as the service announces one.
            for page in self._client.list(self._store, prefix):
                for entry in page:
                    modified = entry["last_modified"].timestamp()
                    yield ObjectEntry(str(entry["path"]), int(entry["size"]), modified)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Translate the client's errors, without the URLs and headers that they quote."""
        try:
            yield
        except PipelineError:
            raise
        except FileNotFoundError as error:
            raise ArtifactNotFound(
                "no such bucket or object", location=Location(self.address), remedy=_REMEDY
            ) from error
        except (self._errors.BaseError, OSError, ValueError) as error:
            denied = (self._errors.PermissionDeniedError, self._errors.UnauthenticatedError)
            problem = "access was denied" if isinstance(error, denied) else _reason(error)
            # The cause is not chained: it may quote the request.
            raise NetworkError(problem, location=Location(self.address), remedy=_REMEDY) from None
        except BaseException as error:
            # A Rust panic has no other base class.
            if type(error).__name__ != "PanicException":
                raise
            raise NetworkError(
                "cannot be used: the client failed on its settings or on what was returned",
                location=Location(self.address),
                remedy=_REMEDY,
            ) from None


def _tag(meta: Any) -> str:
    """Return the identifiers of an object's content: its ETag and, if it has one, its version.

    Google compares the version, which it calls generation; the other services compare the ETag.
    """
    return "\n".join(meta[name] for name in ("e_tag", "version") if meta[name])


def _reason(error: BaseException) -> str:
    """Return what went wrong in a few words."""
    text = " ".join(str(error).partition("Debug source")[0].split())
    text = re.sub(r"^Generic \w+ error: |Error performing \w+ \S+ in .*?(?= - |$)( - )?", "", text)
    text = re.sub(r"(?:https?://|\?)\S+", "…", scrub(text))
    for name, secret in os.environ.items():
        if len(secret) >= 8 and re.search("KEY|SECRET|TOKEN|PASSWORD|SAS|CREDENTIAL", name):
            text = text.replace(secret, "***")
    return f"cannot be used: {text[:200] or type(error).__name__}"


def _open(address: RemoteAddress, stores: Any) -> Any:
    """Return the client of a bucket, with the credentials of the environment."""
    _check_environment()
    retry = {"max_retries": 3, "retry_timeout": timedelta(seconds=60)}
    options: dict[str, Any] = {
        "connect_timeout": "10s",
        "timeout": "300s",
        "allow_http": _allows_http(),
    }
    prefix = address.path or None
    if address.scheme == "s3":
        return stores.S3Store(
            address.host,
            prefix=prefix,
            client_options=options,
            retry_config=retry,
            **_aws_profile(),
        )
    kind = stores.GCSStore if address.scheme == "gs" else stores.AzureStore
    return kind(address.host, prefix=prefix, client_options=options, retry_config=retry)


def _check_environment() -> None:
    """Check the settings that make obstore panic.

    Raises:
        NetworkError: If one is not valid. Its value is not part of the message.
    """
    for name, value in os.environ.items():
        if value and name in _ENDPOINTS and not _URL.match(value):
            remedy = "expected https://host or http://host"
            raise NetworkError("is not a URL", location=Location(name), remedy=remedy)
        if value and _WORDS.fullmatch(name):
            _check_word(value, Location(name))


def _check_word(value: str, location: Location) -> None:
    if not re.fullmatch("[!-~]*", value):
        problem = "contains a space or a character that is not of ASCII"
        raise NetworkError(problem, location=location, remedy="correct it")


def _allows_http() -> bool:
    """Return whether requests without TLS are allowed: to this machine, or if a variable is set.

    The clients of the three services have a variable of this name.
    """
    endpoints = [os.environ.get(name, "") for name in _ENDPOINTS]
    local = re.compile(r"http://(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?(/|$)")
    if any(os.environ.get(name, "").lower() in ("1", "true")
           for name in ("AWS_ALLOW_HTTP", "AZURE_ALLOW_HTTP", "GOOGLE_ALLOW_HTTP")):  # fmt: skip
        return True
    named = [endpoint for endpoint in endpoints if endpoint]
    return bool(named) and all(local.match(endpoint) for endpoint in named)


def _aws_profile() -> dict[str, str]:
    """Return the settings of the AWS profile in use that the environment does not have."""
    from configparser import ConfigParser, Error

    profile = os.environ.get("AWS_PROFILE", "default")
    home = Path(os.path.expanduser("~")) / ".aws"  # noqa: PTH111  (keeps ~ without a home)
    files = {
        os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or str(home / "credentials"): profile,
        os.environ.get("AWS_CONFIG_FILE") or str(home / "config"): (
            profile if profile == "default" else f"profile {profile}"
        ),
    }
    settings: dict[str, str] = {}
    for path, section in files.items():
        parser = ConfigParser(interpolation=None)
        try:
            parser.read(path, "utf-8")
        except (Error, UnicodeDecodeError, OSError) as error:
            # The cause is not chained: it may quote a line with a key.
            problem = f"is not a file of AWS profiles: {type(error).__name__}"
            raise NetworkError(problem, location=Location(path)) from None
        if parser.has_section(section):
            settings = {**dict(parser.items(section)), **settings}
    names = {
        "aws_access_key_id": "access_key_id",
        "aws_secret_access_key": "secret_access_key",
        "aws_session_token": "session_token",
        "region": "region",
        "endpoint_url": "endpoint",
    }
    found = {ours: settings[theirs] for theirs, ours in names.items() if theirs in settings}
    for name, value in found.items():
        _check_word(value, Location(f"profile {profile}", key=name))
    if (endpoint := found.get("endpoint")) and not _URL.match(endpoint):
        raise NetworkError("endpoint_url is not a URL", location=Location(f"profile {profile}"))
    if "AWS_ACCESS_KEY_ID" in os.environ:
        found = {name: found[name] for name in found.keys() & {"region", "endpoint"}}
    if {"AWS_REGION", "AWS_DEFAULT_REGION"} & os.environ.keys():
        found.pop("region", None)
    if endpoint := os.environ.get("AWS_ENDPOINT_URL_S3"):
        found["endpoint"] = endpoint
    elif {"AWS_ENDPOINT_URL", "AWS_ENDPOINT"} & os.environ.keys():
        found.pop("endpoint", None)
    return found
