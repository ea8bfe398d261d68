"""Access control: the Host and the Origin that a request names, and its token."""

from __future__ import annotations

import hmac
import ipaddress

from artifact_pipeline.serving.http import routing
from artifact_pipeline.serving.http.errors import HTTPError
from artifact_pipeline.serving.http.headers import Headers
from artifact_pipeline.serving.options import ServerOptions

_KNOWN_HOSTS = 64
"""Host headers whose check is remembered; without a bound, a client could fill the memory."""


class RequestGuard:
    """Checks requests against the names and the token of a server."""

    def __init__(self, options: ServerOptions) -> None:
        names = (name.lower() for name in options.names)
        self._names = {"localhost", options.host.lower(), *names}
        self._known: set[bytes] = set()
        self._token = None if options.token is None else options.token.encode()

    def check(self, path: str, headers: Headers) -> None:
        """Check that a request may be answered.

        It must be meant for this server, have its token, and not be sent by a page of another site.
        Such a page can make a name resolve to this machine, so names must be listed; an address
        always means the machine that it belongs to.

        Raises:
            HTTPError: 400 without a Host, 421 for another server's Host, 403 for another site's
                Origin, 401 without the token.
        """
        host = headers.get(b"host")
        if host or not routing.is_probe(path):
            if host not in self._known:
                self._check_host(host)
            if b"origin" in headers and headers[b"origin"].partition(b"://")[2] != host:
                raise HTTPError(403, "requests from pages of other sites are refused")
        if self._token is not None and not routing.is_open(path):
            self.authorize(headers)

    def authorize(self, headers: Headers) -> None:
        """Check the token of a request, if the server has one.

        Raises:
            HTTPError: 401 if it is missing or wrong.
        """
        if self._token is None:
            return
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer" or not hmac.compare_digest(token.strip(b" "), self._token):
            raise HTTPError(
                401,
                "expected the header Authorization: Bearer TOKEN with this server's token",
                (b"www-authenticate", b"Bearer"),
            )

    def _check_host(self, host: bytes | None) -> None:
        if not host:  # the HTTP server adds an empty one if there is none
            raise HTTPError(400, "the request has no Host header")
        text = host.decode("latin-1").lower()
        name = text.rpartition(":")[0] if text.rpartition(":")[2].isdecimal() else text
        name = name.removeprefix("[").removesuffix("]")
        if name not in self._names and not _is_address(name):
            raise HTTPError(421, "this Host is not served; add it with --allow-host")
        if len(self._known) < _KNOWN_HOSTS:
            self._known.add(host)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
