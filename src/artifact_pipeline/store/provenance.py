"""Provenance of a run: the git commit, the user, the machine and the versions, for records only."""

from __future__ import annotations

import getpass
import os
import platform
import sys
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from artifact_pipeline._version import __version__

if TYPE_CHECKING:
    import subprocess


class GitState(Struct, frozen=True):
    """The commit of a git repository, and whether tracked files differ from it."""

    commit: str
    dirty: bool


class GitStatus:
    """The state of a git repository, read in a background process.

    git starts when this is created, so that it runs while the pipeline works.

    Args:
        folder: A folder in the repository, or in none.
    """

    def __init__(self, folder: Path) -> None:
        import subprocess  # reading a store needs only `GitState`

        self._git: subprocess.Popen[bytes] | None = None
        try:
            # The options keep git from running or writing anything in another user's repository.
            self._git = subprocess.Popen(
                ["git", "-c", "core.fsmonitor=false", "status", "--porcelain=v2", "--branch",
                 "--untracked-files=no"],
                cwd=folder,
                env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )  # fmt: skip
        except OSError:  # git is not installed
            return

    def result(self) -> GitState | None:
        """Wait for git, and return the state; None without a repository, a commit or git."""
        return self._state

    @cached_property
    def _state(self) -> GitState | None:
        if self._git is None:
            return None
        out, _ = self._git.communicate()
        lines = out.decode(errors="replace").splitlines()
        commits = [line.split()[2] for line in lines if line.startswith("# branch.oid ")]
        if self._git.returncode or not commits or commits[0] == "(initial)":
            return None
        return GitState(commits[0], dirty=any(not line.startswith("#") for line in lines))


def host() -> dict[str, str]:
    """Return the machine, the operating system and the versions of Python and this package."""
    system = platform.uname()
    libc = ""
    if hasattr(os, "confstr"):
        try:
            libc = os.confstr("CS_GNU_LIBC_VERSION") or ""
        except (ValueError, OSError):  # another C library than glibc
            libc = ""
    return {
        "name": system.node,
        "system": f"{system.system} {system.release}",
        "machine": system.machine,
        "libc": libc,
        "python": ".".join(map(str, sys.version_info[:3])),
        "artifact_pipeline": __version__,
    }


def user() -> str:
    """Return the user and the machine; in GitHub Actions the user who triggered the workflow."""
    name = os.environ.get("GITHUB_ACTOR") if os.environ.get("GITHUB_ACTIONS") == "true" else None
    if not name:
        try:
            name = getpass.getuser()
        except (KeyError, OSError, ImportError):  # a user id without a name, as in a container
            name = "unknown"
    text = f"{name} on {host()['name']}"
    return os.fsencode(text).decode("utf-8", "backslashreplace")
