"""The memory of this process."""

from __future__ import annotations

import resource
import sys
from pathlib import Path


def peak_mib() -> int:
    """Return the peak memory of this process so far, in MiB.

    On Linux, this is the kernel's figure for the running program: `getrusage` includes the process
    that started it.
    """
    status = Path("/proc/self/status")
    if status.exists():
        [line] = [x for x in status.read_text("utf-8").splitlines() if x.startswith("VmHWM:")]
        return int(line.split()[1]) >> 10
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most >> 20 if sys.platform == "darwin" else most >> 10
