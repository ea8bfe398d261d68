"""Credentials of registries: where Docker, Podman and GitHub Actions keep them.

Source: https://docs.docker.com/reference/cli/docker/login/#credential-stores
"""

from __future__ import annotations

import base64
import os
import re
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from artifact_pipeline import disk
from artifact_pipeline.errors import Location, NetworkError

DOCKER_HUB = "docker.io"
_HUB_KEY = "https://index.docker.io/v1/"
IDENTITY_TOKEN = "<token>"
"""The user name that stands for an identity token in place of a password."""
_HELPER = re.compile("[A-Za-z0-9][A-Za-z0-9_.-]{0,60}")
_HELPER_SECONDS = 60
_MAX_CONFIG = 8 << 20
"""Bytes of a file of credentials."""


class _HelperAnswer(Struct, frozen=True, rename={"user": "Username", "secret": "Secret"}):
    """What a credential helper prints."""

    user: str = ""
    secret: str = ""


class Credentials:
    """A user name and a password or token, which `repr` does not show."""

    def __init__(self, user: str, password: str) -> None:
        self.user = user
        self.password = password

    def __repr__(self) -> str:
        return "Credentials(…)"

    def basic(self) -> str:
        """Return the header of HTTP's Basic scheme."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


def find(host: str) -> Credentials | None:
    """Return the credentials of a registry, or None if there are none.

    Raises:
        NetworkError: If a file of credentials is malformed, or a helper is not installed.
    """
    for path in _files():
        data: bytes | None = None
        with suppress(OSError):  # it belongs to another user, or is a pipe
            data = disk.read_file(path.resolve(), limit=_MAX_CONFIG, remedy="check this file")
        if data is None:
            continue
        try:
            config = msgspec.json.decode(data, type=dict[str, Any])
            credentials = _in_config(config, host)
        except (
            msgspec.DecodeError,
            ValueError,
            AttributeError,
            TypeError,
            RecursionError,
        ) as error:
            problem = "is not a file of Docker's credentials"
            raise NetworkError(problem, location=Location(str(path))) from error
        if credentials is not None:
            return credentials
    token = os.environ.get("GITHUB_TOKEN")
    if token and host == "ghcr.io":
        return Credentials(os.environ.get("GITHUB_ACTOR") or "token", token)
    return None


def _files() -> list[Path]:
    home = Path(os.path.expanduser("~"))  # noqa: PTH111  (keeps ~ without a home)
    docker = os.environ.get("DOCKER_CONFIG")
    files = [Path(docker) if docker else home / ".docker"]
    files = [files[0] / "config.json"]
    if podman := os.environ.get("REGISTRY_AUTH_FILE"):
        files.append(Path(podman))
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        files.append(Path(runtime) / "containers" / "auth.json")
    return files


def _in_config(config: dict[str, Any], host: str) -> Credentials | None:
    key = _HUB_KEY if host == DOCKER_HUB else host
    # Docker takes null for an empty object.
    helper = (config.get("credHelpers") or {}).get(key) or config.get("credsStore")
    if helper and (credentials := _from_helper(str(helper), key)):
        return credentials
    for name, entry in (config.get("auths") or {}).items():
        if entry is None:
            continue
        if name == key or re.sub(r"^https?://|/.*$", "", name) == host:
            if token := entry.get("identitytoken"):
                return Credentials(IDENTITY_TOKEN, token)
            user, _, password = base64.b64decode(entry.get("auth", "")).decode().partition(":")
            user, password = entry.get("username") or user, entry.get("password") or password
            if user and password:
                return Credentials(user, password)
    return None


def _from_helper(name: str, key: str) -> Credentials | None:
    """Return the credentials from the program docker-credential-NAME, or None without any."""
    if not _HELPER.fullmatch(name):
        raise ValueError("invalid name of a helper")
    command = f"docker-credential-{name}"
    try:
        done = subprocess.run(
            [command, "get"],
            input=key.encode(),
            capture_output=True,
            timeout=_HELPER_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NetworkError(
            "does not run, and Docker's configuration names it", location=Location(command)
        ) from error
    if done.returncode:  # it has none for this registry
        return None
    try:
        answer = msgspec.json.decode(done.stdout, type=_HelperAnswer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NetworkError("returns no credentials", location=Location(command)) from error
    return Credentials(answer.user, answer.secret) if answer.secret else None
