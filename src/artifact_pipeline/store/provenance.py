"""What was observed of a run, and decides nothing: host, versions, the git commit."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from artifact_pipeline._version import __version__


class GitStatus:
    """A question to git that is asked at once and answered when it is needed.

    git runs beside the work, since a run with nothing changed takes no longer than git does.
    """

    def __init__(self, folder: Path) -> None:
        self._git: subprocess.Popen[bytes] | None = None
        try:
            # Of somebody else's repository nothing is run and nothing is written.
            self._git = subprocess.Popen(
                ["git", "-c", "core.fsmonitor=false", "status", "--porcelain=v2", "--branch",
                 "--untracked-files=no"],
                cwd=folder,
                env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )  # fmt: skip
        except OSError:  # no git on this machine
            return

    def answer(self) -> dict[str, Any] | None:
        """Return commit and whether tracked files differ from it; None outside a repository."""
        if self._git is None:
            return None
        out, _ = self._git.communicate()
        lines = out.decode(errors="replace").splitlines()
        commits = [line.split()[2] for line in lines if line.startswith("# branch.oid ")]
        if self._git.returncode or not commits or commits[0] == "(initial)":
            return None
        return {"commit": commits[0], "dirty": any(not line.startswith("#") for line in lines)}


def host() -> dict[str, str]:
    """Return the machine, system, Python and release of this package that a run is on."""
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
