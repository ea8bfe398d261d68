"""A client of the OCI distribution protocol that does not trust its server.

Credentials go to the registry and to its token service, if that is on the same host or in the same
domain, and never along a redirect to another origin. Bodies are read up to a limit, and no
compression is accepted.

Source: https://github.com/opencontainers/distribution-spec
"""

from __future__ import annotations

import ipaddress
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, TypeAlias
from urllib.parse import SplitResult, urljoin, urlsplit

import msgspec

from artifact_pipeline._version import __version__
from artifact_pipeline.builder.background import submit
from artifact_pipeline.errors import (
    Location,
    MissingDependency,
    NetworkError,
    PipelineError,
    VerificationError,
)
from artifact_pipeline.log import scrub
from artifact_pipeline.remote.address import RemoteAddress
from artifact_pipeline.remote.registry import credentials
from artifact_pipeline.remote.registry.credentials import DOCKER_HUB, IDENTITY_TOKEN, Credentials

Content: TypeAlias = Callable[[], Iterator[bytes]]

_REDIRECTS = 5
_RETRY_SECONDS = (0.5, 2.0)
"""Delays before a failed request is sent again."""
_MAX_WAIT = 60.0
"""Maximum seconds of Retry-After; with a longer delay, the request fails."""
_TIMEOUT = {"connect": 10.0, "read": 30.0, "write": 30.0, "pool": 30.0}
_WRITE_TIMEOUT = {**_TIMEOUT, "read": 300.0}
"""A registry hashes a large file and flushes it to the disk before it responds."""
_BEGIN_SECONDS = 90.0
_WRITE_BEGIN_SECONDS = 900.0
"""Maximum seconds until a response begins, even if parts of its head arrive earlier."""
_SLOW_SECONDS = 60.0
_SLOW_BYTES = 1 << 10
"""Minimum bytes per second of a body after `_SLOW_SECONDS`."""
_MAX_TOKEN = 1 << 20
_CHALLENGE = re.compile(r'([a-z]+)="([^"\\]*)"')


class RegistryClient:
    """A client of one repository.

    Args:
        address: The repository.
        actions: The permissions to request: `pull` or `pull,push`.
    """

    def __init__(self, address: RemoteAddress, actions: str) -> None:
        try:
            import httpx
        except ImportError as error:
            raise MissingDependency(
                "httpx is not installed",
                location=Location(str(address)),
                remedy="pip install httpx, or pip install -r requirements-remote.txt",
            ) from error
        self.address = str(address)
        self.location = Location(self.address)
        self._httpx: Any = httpx
        self._host = "registry-1.docker.io" if address.host == DOCKER_HUB else address.host
        self._name = address.host
        self._scope = f"repository:{address.path}:{actions}"
        self._path = f"/v2/{address.path}/"
        self._authorization: str | None = None
        self._lock = threading.Lock()
        try:
            self._client: Any = httpx.Client(
                follow_redirects=False,
                timeout=httpx.Timeout(**_TIMEOUT),
                headers={
                    "User-Agent": f"artifact-pipeline/{__version__}",
                    "Accept-Encoding": "identity",
                },
            )
        except (OSError, ValueError) as error:  # a file of certificates, or a proxy
            # The cause is not chained: it may quote the password of a proxy.
            problem = f"the client cannot be set up: {scrub(str(error))}"
            raise NetworkError(problem, location=self.location) from None
        self._base = ""

    def url(self, path: str) -> str:
        """Return the URL of a path in the repository."""
        if not self._base:
            with self._lock:
                self._base = self._base or self._origin()
        return self._base + self._path + path

    def same_origin(self, url: str, *, base: str) -> str:
        """Return the complete form of a URL from the registry.

        Raises:
            NetworkError: If it is not a URL of the registry.
        """
        target = urljoin(base, url)
        if _origin_of(target) != _origin_of(base) or "@" in urlsplit(target).netloc:
            raise NetworkError("refers to another host for an upload", location=self.location)
        return target

    @contextmanager
    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: Content | bytes | None = None,
    ) -> Iterator[Any]:
        """Send a request, authorized on demand; yield the response with an open body.

        Redirects of GET and HEAD are followed.

        Args:
            method: The method.
            url: The URL.
            headers: More headers.
            content: The body, or a function that returns it in pieces.

        Raises:
            NetworkError: If there is no response.
        """
        with self._translated():
            response = self._send(method, url, headers=headers or {}, content=content)
            try:
                yield response
            finally:
                response.close()

    def read(self, response: Any, *, limit: int) -> bytes:
        """Return the body of a response of at most `limit` bytes."""
        data = bytearray()
        for piece in self.pieces(response, limit=limit):
            data += piece
        return bytes(data)

    def pieces(self, response: Any, *, limit: int) -> Iterator[bytes]:
        """Yield the body of a response.

        Raises:
            VerificationError: If it has more than `limit` bytes.
            NetworkError: If it is compressed, ends early or arrives too slowly.
        """
        if response.headers.get("content-encoding", "identity") != "identity":
            raise NetworkError("sent a compressed body", location=self.location)
        size, start = 0, time.monotonic()
        for piece in response.iter_raw():
            size += len(piece)
            if size > limit:
                problem = f"sent more than the {limit} bytes that were expected"
                raise VerificationError(problem, location=self.location)
            seconds = time.monotonic() - start
            if seconds > _SLOW_SECONDS and size < seconds * _SLOW_BYTES:
                raise NetworkError("sends too slowly", location=self.location)
            yield piece

    def failure(self, response: Any, doing: str) -> NetworkError:
        """Return the error for an unsuccessful response."""
        status = int(response.status_code)
        if status in (401, 403):
            return NetworkError(
                f"access was denied ({status}) {doing}",
                location=self.location,
                remedy=f"docker login {self._name}, or check the permissions of the token",
            )
        wait = _retry_after(response)
        remedy = f"try again in {wait:.0f} seconds" if wait else None
        problem = f"the registry returned {status} {doing}"
        return NetworkError(problem, location=self.location, remedy=remedy)

    def _send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        content: Content | bytes | None,
    ) -> Any:
        send = partial(self._follow, method, url, headers=headers, content=content)
        response = self._retry(send, is_read=method in ("GET", "HEAD"))
        if response.status_code == 401:
            response.close()
            self._authorize(response.headers.get("www-authenticate", ""), url)
            response = self._retry(send, is_read=method in ("GET", "HEAD"))
        return response

    def _retry(self, send: Callable[[], Any], *, is_read: bool) -> Any:
        """Return the response to a request, which is sent again if the server is busy."""
        for delay in _RETRY_SECONDS:
            try:
                response = send()
            except self._httpx.TransportError:
                if not is_read:
                    raise
                wait = delay
            else:
                wait = max(delay, _retry_after(response))
                if response.status_code not in (429, 502, 503, 504) or wait > _MAX_WAIT:
                    return response
                response.close()
            time.sleep(wait)
        return send()

    def _open(self, request: Any, *, seconds: float | None) -> Any:
        """Return the response of a request with an open body.

        Args:
            request: The request.
            seconds: Time until the response must begin. The client's own limit applies to each part
                that arrives.
        """
        send = partial(self._client.send, request, stream=True, auth=None)
        if seconds is None:
            return send()
        answer = submit(send)
        try:
            return answer.result(seconds)
        except TimeoutError:
            raise NetworkError("sends too slowly", location=self.location) from None

    def _follow(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        content: Content | bytes | None,
    ) -> Any:
        origin, is_read = _origin_of(url), method in ("GET", "HEAD")
        for _ in range(_REDIRECTS):
            sent = dict(headers)
            if self._authorization is not None and _origin_of(url) == origin:
                sent["Authorization"] = self._authorization
            body = content() if callable(content) else content
            request = self._client.build_request(
                method,
                url,
                headers=sent,
                content=body,
                timeout=self._httpx.Timeout(**(_TIMEOUT if is_read else _WRITE_TIMEOUT)),
            )
            # How long the upload of a file takes is not known.
            seconds = _BEGIN_SECONDS if is_read else _WRITE_BEGIN_SECONDS
            response = self._open(request, seconds=None if callable(content) else seconds)
            if not is_read or response.status_code not in (301, 302, 303, 307, 308):
                return response
            response.close()
            url = urljoin(url, response.headers.get("location", ""))
            parts = urlsplit(url)
            if "@" in parts.netloc or parts.scheme not in ("http", "https"):
                raise NetworkError(
                    "redirects to an address that is not valid", location=self.location
                )
            if not self._may_be_requested(parts):
                raise NetworkError("redirects to an address without TLS", location=self.location)
        raise NetworkError("redirects too many times", location=self.location)

    def _authorize(self, challenge: str, url: str) -> None:
        """Set the header that a challenge requires.

        Raises:
            NetworkError: If there are no credentials, or they are refused.
        """
        if _origin_of(url) != _origin_of(self._base):
            raise NetworkError("access was denied by another host", location=self.location)
        scheme, _, rest = challenge.partition(" ")
        parameters = dict(_CHALLENGE.findall(rest))
        known = credentials.find(self._name)
        if scheme.lower() == "basic":
            if known is None:
                raise NetworkError(
                    "needs credentials",
                    location=self.location,
                    remedy=f"docker login {self._name}",
                )
            self._authorization = known.basic()
        elif scheme.lower() == "bearer" and "realm" in parameters:
            self._authorization = f"Bearer {self._token(parameters, known)}"
        else:
            raise NetworkError("requires an unknown kind of authentication", location=self.location)

    def _token(self, parameters: Mapping[str, str], known: Credentials | None) -> str:
        realm = parameters["realm"]
        parts = urlsplit(realm)
        if not self._may_be_requested(parts) or "@" in parts.netloc:
            raise NetworkError("names no safe token service", location=self.location)
        if known is not None and not _is_related(parts.hostname or "", self._registry_host):
            known = None  # not for another host
        query = {"scope": self._scope}
        if service := parameters.get("service"):
            query["service"] = service
        if known is not None and known.user == IDENTITY_TOKEN:
            form = {"grant_type": "refresh_token", "refresh_token": known.password, **query}
            request = self._client.build_request("POST", realm, data=form)
        else:
            headers = {} if known is None else {"Authorization": known.basic()}
            request = self._client.build_request("GET", realm, params=query, headers=headers)
        response = self._retry(partial(self._open, request, seconds=_BEGIN_SECONDS), is_read=True)
        try:
            if response.status_code != 200:
                raise self.failure(response, "for a token")
            data = self.read(response, limit=_MAX_TOKEN)
        finally:
            response.close()
        try:
            answer = msgspec.json.decode(data, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise NetworkError("returned no token", location=self.location) from error
        token = str(answer.get("token") or answer.get("access_token") or "")
        if not re.fullmatch(r"[!-~]{1,65536}", token):
            raise NetworkError("returned no token", location=self.location)
        return token

    def _origin(self) -> str:
        """Return the scheme and host of the registry; on this machine TLS is tried first."""
        if not is_loopback(self._registry_host):
            return f"https://{self._host}"
        try:
            with self._client.stream("GET", f"https://{self._host}/v2/"):
                pass
        except self._httpx.TransportError as error:
            if "CERTIFICATE_VERIFY_FAILED" not in str(error):
                return f"http://{self._host}"
        return f"https://{self._host}"

    @property
    def _registry_host(self) -> str:
        return urlsplit(f"https://{self._host}").hostname or ""

    def _may_be_requested(self, parts: SplitResult) -> bool:
        """Return whether a URL from the registry may be requested.

        Without TLS, it must lead to this machine, and only a registry on this machine may send it.
        """
        host = parts.hostname or ""
        if parts.scheme == "http":
            return is_loopback(host) and is_loopback(self._registry_host)
        return parts.scheme == "https" and bool(host)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except PipelineError:
            raise
        except (self._httpx.HTTPError, self._httpx.InvalidURL, OSError, ValueError) as error:
            text = " ".join(scrub(str(error)).split())[:200]
            raise NetworkError(
                f"cannot be reached: {text or type(error).__name__}",
                location=self.location,
                remedy="check the address and the network",
            ) from None


def is_loopback(host: str) -> bool:
    """Return whether a host name is that of this machine."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(host: str) -> bool:
    """Return whether a host is an address of IP in place of a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_related(host: str, registry: str) -> bool:
    """Return whether a token service may get the credentials of a registry.

    It is on the same host, or the two share a domain below a public one, as auth.docker.io and
    registry-1.docker.io do. Domains such as co.uk are recognized by their short second part.
    """
    if host == registry:
        return True
    if _is_address(host) or _is_address(registry):
        return False
    ours, theirs = registry.split(".")[::-1], host.split(".")[::-1]
    count = 3 if len(ours) > 2 and len(ours[1]) <= 3 else 2
    return len(ours) >= count and len(theirs) >= count and ours[:count] == theirs[:count]


def _retry_after(response: Any) -> float:
    """Return the seconds in Retry-After, 0 without it."""
    value = response.headers.get("retry-after", "")
    if re.fullmatch("[0-9]{1,9}", value):
        return float(value)
    try:
        moment = parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError, TypeError):
        return 0.0
    return max(0.0, moment - time.time())


def _origin_of(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or ""), parts.port
