"""The command line, killed at an exact point, so that tests do not depend on timing."""

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


_CODE_OF_CHANGES = """
import os, runpy, signal, sys, threading, time

left, seconds = int(sys.argv[1]), float(sys.argv[2])
sys.argv[:3] = ["artifact-pipeline"]
lock = threading.Lock()
changes = {"fcntl.flock", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir",
           "os.truncate", "os.utime", "socket.connect", "subprocess.Popen"}

def is_change(event, arguments):
    if event != "open":
        return event in changes
    path, _, flags = arguments
    writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    return writes and "__pycache__" not in str(path)

def kill():
    time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGKILL)

def count(event, arguments):
    global left
    if is_change(event, arguments):
        with lock:
            left -= 1
            is_last = left == 0
        if is_last:
            threading.Thread(target=kill, daemon=True).start()

is_counted = left == 0
sys.addaudithook(count)
try:
    runpy.run_module("artifact_pipeline", run_name="__main__", alter_sys=True)
finally:
    if is_counted:
        print(-left, file=sys.stderr)
    elif left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def command_killed_at(change: int, *words: Any, seconds: float = 0.0) -> list[str]:
    """Return a command that runs `artifact-pipeline` and kills it at a change.

    Changes are those of files and folders, locks, connections and started processes. A command
    that has fewer of them runs to its end.

    Args:
        change: The number of the change, from 1; 0 for a command that is not killed, and that
            prints how many changes it has made, at the end of standard error.
        words: The arguments of the command.
        seconds: Delay of the kill after the change, unless the command ends first.
    """
    return [sys.executable, "-c", _CODE_OF_CHANGES, str(change), str(seconds), *map(str, words)]


def changes_of(*words: Any, cwd: Path) -> int:
    """Run `artifact-pipeline` and return how many changes it makes."""
    command = command_killed_at(0, *words)
    done = subprocess.run(command, cwd=cwd, env=environment(), capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return int(done.stderr.split()[-1])


def kill_at(change: int, *words: Any, seconds: float = 0.0, cwd: Path) -> bool:
    """Run `artifact-pipeline`, killed at a change, and return whether it made as many."""
    command = command_killed_at(change, *words, seconds=seconds)
    done = subprocess.run(command, cwd=cwd, env=environment(), capture_output=True)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr.decode()
    return done.returncode == -signal.SIGKILL


def kill_before(event: str, name: str, *words: Any, count: int = 1, cwd: Path) -> None:
    """Run `artifact-pipeline` and kill it just before it does something to a file.

    Args:
        event: The audit event: `os.rename`, `os.remove`, `os.rmdir`, `os.mkdir` or `open`.
        name: The last part of the file's path; for `os.rename`, that of the new one.
        words: The arguments of the command.
        count: The number of the event at which the command is killed, from 1.
        cwd: The folder in which the command runs.
    """
    command = [sys.executable, "-c", _CODE, event, name, str(count), *map(str, words)]
    done = subprocess.run(command, cwd=cwd, env=environment(), capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
