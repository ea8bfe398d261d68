"""The command line, killed at an exact point, so that a test need not hit it in time."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.command import environment

_CODE = """
import os, runpy, signal, sys

wanted, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
sys.argv[:4] = ["artifact-pipeline"]

def kill(event, arguments):
    global count
    if event != wanted:
        return
    path = arguments[1 if event == "os.rename" else 0]
    if isinstance(path, (str, os.PathLike)) and os.path.basename(path) == name:
        count -= 1
        if count == 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(kill)
runpy.run_module("artifact_pipeline", run_name="__main__", alter_sys=True)
"""


def kill_before(event: str, name: str, *words: Any, count: int = 1, cwd: Path) -> None:
    """Run `artifact-pipeline` and kill it just before it does something to a file.

    Args:
        event: The audit event: `os.rename`, `os.remove`, `os.rmdir`, `os.mkdir` or `open`.
        name: The last part of the file's path; for `os.rename`, that of the new one.
        words: The arguments of the command.
        count: Which of these events the command does not survive, from 1.
        cwd: The folder in which the command runs.
    """
    command = [sys.executable, "-c", _CODE, event, name, str(count), *map(str, words)]
    done = subprocess.run(command, cwd=cwd, env=environment(), capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
