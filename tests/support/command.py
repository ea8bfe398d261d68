"""The command line, run in its own process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.configs import ROOT


class Done(NamedTuple):
    """The result of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def call(*words: Any, cwd: Path, env: dict[str, str] | None = None, stdin: bytes = b"") -> Done:
    """Run `artifact-pipeline` with these words as a user would, and return the result."""
    return script("-m", "artifact_pipeline", *words, cwd=cwd, env=env, stdin=stdin)


def script(*words: Any, cwd: Path, env: dict[str, str] | None = None, stdin: bytes = b"") -> Done:
    """Run Python with these words, the checkout's package on its path.

    A hook (tests/support/audit) ends the process if it unpickles a file that it should not.
    """
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(
        command, cwd=cwd, env=environment(**(env or {})), input=stdin, capture_output=True
    )
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


def environment(*folders: Path, **variables: str) -> dict[str, str]:
    """Return the environment of a process that has the checkout's package on its path.

    Args:
        folders: More folders of the path, searched first.
        variables: Added to those of this process.
    """
    path = [*folders, ROOT / "src", ROOT / "tests" / "support" / "audit"]
    joined = os.pathsep.join(map(str, path))
    return {**os.environ, "PYTHONPATH": joined, "PYTHONUTF8": "1", **variables}


def trainer_of(parent: int) -> int | None:
    """Return the trainer process of `parent`, if there is one. Linux only: it reads /proc."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
                ppid = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if ppid == parent and b"training.worker" in line:
                return int(entry.name)
    return None
