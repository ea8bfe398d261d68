"""Addresses of remotes, and references to the artifacts in them.

>>> reference = parse("oci://ghcr.io/acme/churn@champion")
>>> str(reference.address), reference.label
('oci://ghcr.io/acme/churn', 'champion')
>>> parse("s3://models/churn:3").label, parse("file:///srv/models").label
('3', None)
"""

from __future__ import annotations

import re
from pathlib import Path

from msgspec import Struct

from artifact_pipeline.builder.canonical import DIGEST, Digest
from artifact_pipeline.errors import CallError, Location
from artifact_pipeline.store.pointers import ALIAS

SCHEMES = ("file", "s3", "gs", "az", "oci")
EXPECTED = "expected file:///absolute/path/of/a/folder, s3://bucket/prefix, gs://, az:// or oci://host/repository"

_EXPECTED_LABEL = "expected one of @ALIAS, :VERSION and @sha256:DIGEST after the address"

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]{0,20})://", re.IGNORECASE)
_VERSION = re.compile("[1-9][0-9]{0,8}")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,221}")
_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=+-]{0,199}")
_NAME = r"[A-Za-z0-9][A-Za-z0-9-]{0,62}"
_HOST = re.compile(rf"(?:{_NAME}(?:\.{_NAME}){{0,40}}|\[[0-9A-Fa-f:.]+\])(?::[1-9][0-9]{{0,4}})?")
_REPOSITORY = re.compile("[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*")
_REMEDY_SECRET = (
    "leave them out, and use the environment, a profile or docker login; see docs/remotes.md"
)


class RemoteAddress(Struct, frozen=True):
    """The address of a remote, without credentials.

    Attributes:
        scheme: One of `SCHEMES`.
        host: The bucket, the container, or the host of a registry with its port; empty for a
            folder.
        path: The folder, the prefix of the objects, or the repository.
    """

    scheme: str
    host: str
    path: str

    def __str__(self) -> str:
        if self.scheme == "file":
            return Path(self.path).as_uri()
        return f"{self.scheme}://{self.host}" + (f"/{self.path}" if self.path else "")


class RemoteReference(Struct, frozen=True):
    """An artifact of a remote.

    Attributes:
        address: The remote.
        label: An alias, a version or a digest; None if the reference names only the remote.
    """

    address: RemoteAddress
    label: str | None

    @property
    def digest(self) -> Digest | None:
        """The digest, if the reference names one."""
        return self.label if self.label and DIGEST.fullmatch(self.label) else None

    def __str__(self) -> str:
        if self.label is None:
            return str(self.address)
        sign = ":" if _VERSION.fullmatch(self.label) else "@"
        return f"{self.address}{sign}{self.label}"


def is_remote(text: str) -> bool:
    """Return whether a reference begins like the address of a remote."""
    match = _SCHEME.match(text)
    return match is not None and match[1].lower() in SCHEMES


def is_label(text: str) -> bool:
    """Return whether a text is an alias or a version."""
    return bool(ALIAS.fullmatch(text) or _VERSION.fullmatch(text))


def parse(text: str) -> RemoteReference:
    """Return the artifact that `REMOTE`, `REMOTE@ALIAS`, `REMOTE:VERSION` or `REMOTE@DIGEST` names.

    The alias of a registry can also follow a colon, as a tag does.

    Raises:
        CallError: If it is not the address of a remote. The message does not quote the
            text, which may contain a password.
    """
    match = _SCHEME.match(text)
    scheme = match[1].lower() if match else ""
    if scheme not in SCHEMES:
        raise CallError(
            "found no address of a remote", location=Location("remote"), remedy=EXPECTED
        )
    location = Location(f"{scheme}://…")
    rest = text[len(scheme) + 3 :]
    if any(sign in rest for sign in "?#\\") or not rest.isprintable():
        raise CallError(
            "the address of a remote has no '?', '#' and '\\'",
            location=location,
            remedy=_REMEDY_SECRET,
        )
    place, label = _split_label(rest, scheme)
    if scheme == "file":
        return RemoteReference(RemoteAddress(scheme, "", _folder(place, location)), label)
    host, _, path = place.partition("/")
    if "@" in host:
        raise CallError("contains credentials", location=location, remedy=_REMEDY_SECRET)
    path = path.strip("/")
    if "@" in path or ":" in path:
        raise CallError("found no valid label", location=location, remedy=_EXPECTED_LABEL)
    is_registry = scheme == "oci"
    part = _REPOSITORY if is_registry else _PREFIX
    parts = path.split("/") if path else []
    if not (_is_host(host) if is_registry else _BUCKET.fullmatch(host)):
        kind = "host of a registry" if is_registry else "name of a bucket"
        raise CallError(f"found no valid {kind}", location=location, remedy=EXPECTED)
    if not all(part.fullmatch(name) for name in parts) or (is_registry and not parts):
        kind = "repository, in lower case" if is_registry else "prefix"
        raise CallError(f"found no valid {kind}", location=location, remedy=EXPECTED)
    return RemoteReference(RemoteAddress(scheme, host.lower(), path), label)


def parse_remote(text: str) -> RemoteAddress:
    """Return the address of a remote, without a reference in it.

    Raises:
        CallError: As `parse`, or if the address names an artifact.
    """
    reference = parse(text)
    if reference.label is not None:
        raise CallError(
            f"names an artifact, {reference.label}",
            location=Location(str(reference)),
            remedy=f"expected only the remote, {reference.address}",
        )
    return reference.address


def _is_host(host: str) -> bool:
    """Return whether a text is a host with or without a port."""
    from urllib.parse import urlsplit

    if not _HOST.fullmatch(host):
        return False
    try:
        urlsplit(f"//{host}").port  # noqa: B018  (it raises for a port that is too high)
    except ValueError:  # also for brackets without an address of IPv6
        return False
    return True


def _split_label(rest: str, scheme: str) -> tuple[str, str | None]:
    """Return an address without its label, and the label."""
    head, at, label = rest.rpartition("@")
    if at and label.startswith("sha256:") and not DIGEST.fullmatch(label):
        problem = "found a digest that is not complete"
        remedy = "expected sha256: and 64 hex digits"
        raise CallError(problem, location=Location(f"{scheme}://…"), remedy=remedy)
    if at and (DIGEST.fullmatch(label) or ALIAS.fullmatch(label)):
        return head, label
    head, colon, label = rest.rpartition(":")
    if colon and "/" in head and "/" not in label:
        if _VERSION.fullmatch(label):
            return head, label
        if scheme == "oci" and ALIAS.fullmatch(label):
            return head, label
    return rest, None


def _folder(place: str, location: Location) -> str:
    from urllib.parse import unquote
    from urllib.request import url2pathname

    if not place.startswith("/"):
        raise CallError(
            "the path of a folder is absolute", location=location, remedy="use file:///folder"
        )
    try:
        unquote(place, errors="strict")
        path = url2pathname(place)
    except (OSError, UnicodeDecodeError) as error:  # OSError: it names no path on Windows
        raise CallError("names no folder", location=location, remedy=EXPECTED) from error
    if "\0" in path or ".." in Path(path).parts or len(Path(path).parts) < 2:
        raise CallError("names no folder", location=location, remedy=EXPECTED)
    return str(Path(path))
