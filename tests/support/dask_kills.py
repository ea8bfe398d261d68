"""A preload for Dask workers, which kills all of them after given numbers of tasks.

The folder in the variable `KILLS_ENV_VAR` has a file `counts` with these numbers.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import Any

from distributed import WorkerPlugin

KILLS_ENV_VAR = "DASK_KILLS"


async def dask_setup(worker: Any) -> None:
    """Count the tasks of a worker that starts."""
    folder = Path(os.environ[KILLS_ENV_VAR])
    (folder / f"{os.getpid()}.pid").touch()
    await worker.plugin_add(_Kills(folder))


class _Kills(WorkerPlugin):  # type: ignore[misc]
    """Counts the tasks that all workers have done."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._counts = {int(word) for word in (folder / "counts").read_text().split()}

    def transition(self, key: Any, start: str, finish: str, **_: Any) -> None:
        if finish != "memory" or not str(key).startswith("_run_task"):
            return
        with (self._folder / "done").open("ab", buffering=0) as file:
            file.write(b".")
            done = file.tell()
        if done in self._counts:
            (self._folder / f"killed at {done}").touch()
            for path in self._folder.glob("*.pid"):
                path.unlink()
                if int(path.stem) != os.getpid():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(path.stem), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
