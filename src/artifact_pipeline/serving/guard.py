"""Who may ask: the name that a client calls this server by, the page it comes from, its token."""

from __future__ import annotations

import hmac
import ipaddress

from artifact_pipeline.serving.options import ServerOptions
from artifact_pipeline.serving.refusals import Refused


class Guard:
    """Knows the names and the token of a server, and which host names were good before."""

    def __init__(self, options: ServerOptions) -> None:
        self._names = {"localhost", options.host.lower(), *(n.lower() for n in options.names)}
        self._known: set[bytes] = set()
        token = options.token
        self._bearer = None if token is None else b"Bearer " + token.encode()

    def check(self, headers: dict[bytes, bytes]) -> None:
        """Do nothing if the request is for this server, and from no other site's page.

        A page of another site can let a browser call a name that it makes mean this machine, so
        names are listed; an address cannot be made to mean another.

        Raises:
            Refused: otherwise.
        """
        host = headers.get(b"host", b"")
        if host not in self._known:
            self._check_host(host)
        origin = headers.get(b"origin")
        if origin is not None and origin.partition(b"://")[2] != host:
            raise Refused(403, "requests from pages of other sites are not answered")

    def authorize(self, headers: dict[bytes, bytes]) -> None:
        """Do nothing if no token is asked for, or the request has it.

        Raises:
            Refused: otherwise.
        """
        if self._bearer is None:
            return
        given = headers.get(b"authorization", b"")
        if not hmac.compare_digest(given, self._bearer):
            raise Refused(
                401,
                "this server asks for its token: Authorization: Bearer …",
                (b"www-authenticate", b"Bearer"),
            )

    def _check_host(self, host: bytes) -> None:
        text = host.decode("latin-1").lower()
        name = text.rpartition(":")[0] if text.rpartition(":")[2].isdecimal() else text
        name = name.removeprefix("[").removesuffix("]")
        if name not in self._names and not _is_address(name):
            raise Refused(421, "this server does not answer to that Host; --allow-host lets it")
        if len(self._known) < 64:  # a client chooses ports, and so texts without end
            self._known.add(host)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
