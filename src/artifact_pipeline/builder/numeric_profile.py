"""The numeric profile: what is pinned before numpy loads, and whether it is in force.

Summation order decides a model's last bits, and it follows from the number of threads and from
the widest instruction set that BLAS and numpy find. A profile holds both at a level that every
current machine of an architecture has, so that they all give the same bits.

>>> environment("x86-64-v3", {"OMP_NUM_THREADS": "8", "PYTHONHASHSEED": "3", "HOME": "/h"})["HOME"]
'/h'
>>> environment("x86-64-v3", {"OMP_NUM_THREADS": "8"})["OMP_NUM_THREADS"]
'1'
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from artifact_pipeline.errors import StoreError

NATIVE = "native"
"""Whatever this machine does: promises its bytes on this machine only."""


class Profile(NamedTuple):
    """An instruction-set level, and the settings that hold OpenBLAS and numpy at it."""

    machine: str
    needs: tuple[str, ...]
    """What numpy must see in the CPU."""
    kernel: str
    """The value of OPENBLAS_CORETYPE; threadpoolctl gives it back as `architecture`."""
    disabled: tuple[str, ...]
    """What numpy must leave unused (NPY_DISABLE_CPU_FEATURES)."""
    libm: str
    """GLIBC_TUNABLES: glibc's exp and log give other last bits with FMA than without."""


PROFILES = {
    "x86-64-v3": Profile(
        machine="x86_64",
        needs=("AVX2", "FMA3"),
        kernel="Haswell",
        disabled=("X86_V4", "AVX512_ICL", "AVX512_SPR"),
        libm="",
    ),
    "x86-64-v2": Profile(
        machine="x86_64",
        needs=("SSE42",),
        kernel="Nehalem",
        disabled=("X86_V3", "X86_V4", "AVX512_ICL", "AVX512_SPR"),
        libm="glibc.cpu.hwcaps=-AVX2,-FMA,-FMA4",
    ),
    "arm64": Profile(
        machine="arm64",
        needs=("ASIMD",),
        kernel="ARMV8",
        disabled=("ASIMDHP", "ASIMDDP", "ASIMDFHM", "SVE"),
        libm="",
    ),
}
"""From the best to the least; a machine holds the first whose needs it meets."""

_ONE_THREAD = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
}
# What a user has set for other programs would decide bits here.
_DROPPED = (
    *("OPENBLAS_", "GOTO_", "OMP_", "GOMP_", "KMP_", "MKL_", "NPY_", "SKLEARN_", "PYTHON"),
    "GLIBC_TUNABLES",
)
_KEPT = ("PYTHONPATH", "PYTHONHOME")


_PACKAGES = Path(__file__).resolve().parents[2]
"""The folder that this very package is imported from."""


def machine() -> str:
    """Return the architecture, by one name on every system: `x86_64`, `arm64`."""
    name = platform.machine().lower()
    return {"amd64": "x86_64", "aarch64": "arm64"}.get(name, name)


def environment(profile: str, outer: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a process that computes under `profile`."""
    kept = {k: v for k, v in outer.items() if k in _KEPT or not k.startswith(_DROPPED)}
    pinned = {**_ONE_THREAD, "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    if profile in PROFILES:
        pinned["OPENBLAS_CORETYPE"] = PROFILES[profile].kernel
        pinned["NPY_DISABLE_CPU_FEATURES"] = " ".join(PROFILES[profile].disabled)
        if PROFILES[profile].libm:
            pinned["GLIBC_TUNABLES"] = PROFILES[profile].libm
    return {**kept, **pinned}


def detect_profile() -> str:
    """Return the best profile that this machine can hold, by numpy's own view of its CPU.

    A child process looks: the system's file is wrong under emulation, and a BLAS kernel that
    the CPU lacks is a crash, so no profile is in force while it does.

    Raises:
        StoreError: if the child cannot run.
    """
    return select_profile(_seen_by_child(NATIVE))


def holds(profile: str) -> bool:
    """Return whether this machine holds a profile, whatever this process was told to do.

    Raises:
        StoreError: if the child that looks cannot run.
    """
    return in_force(profile, _seen_by_child(profile))


def _seen_by_child(profile: str) -> dict[str, Any]:
    """Return what `inspect_process` finds in a child process under a profile and nothing else.

    It reads no environment of Python's and no `sitecustomize`: a setting that one process happens
    to have would be taken for the machine's.
    """
    import subprocess

    paths = [path for path in (str(_PACKAGES), *sys.path) if Path(path).is_absolute()]
    code = (
        f"import json, sys; sys.path[:0] = {paths!r}; "
        "from artifact_pipeline.builder.numeric_profile import inspect_process; "
        "import scipy.linalg; print(json.dumps(inspect_process()))"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", code],
            env=environment(profile, os.environ),
            capture_output=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", b"") or str(error).encode()
        last = said.decode(errors="replace").strip().splitlines()[-1:]
        raise StoreError(
            f"numpy does not load: {' '.join(last)}; pip install -r requirements.txt",
            where=sys.executable,
        ) from error
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def select_profile(found: dict[str, Any]) -> str:
    """Return the profile for what `seen` saw on a machine."""
    if {library["internal_api"] for library in found["blas"]} != {"openblas"}:
        return NATIVE
    for name, profile in PROFILES.items():
        if profile.machine == found["machine"] and set(profile.needs) <= set(found["features"]):
            return name
    return NATIVE


def inspect_process() -> dict[str, Any]:
    """Return what decides bits in this very process: CPU features in use, BLAS, threads."""
    import numpy  # noqa: F401  (loads the BLAS that threadpoolctl looks for)
    import threadpoolctl
    from numpy._core._multiarray_umath import __cpu_features__ as features

    pools = threadpoolctl.threadpool_info()
    keys = ("internal_api", "version", "architecture", "num_threads")
    return {
        "machine": machine(),
        "features": sorted(name for name, present in features.items() if present),
        "blas": [{k: pool.get(k) for k in keys} for pool in pools if pool["user_api"] == "blas"],
        "openmp_threads": [pool["num_threads"] for pool in pools if pool["user_api"] == "openmp"],
    }


def in_force(profile: str, found: dict[str, Any]) -> bool:
    """Return whether what `seen` saw is what `profile` asks for."""
    if profile not in PROFILES:
        return False
    wanted = PROFILES[profile]
    pools = found["blas"]
    return (
        found["machine"] == wanted.machine
        and set(wanted.needs) <= set(found["features"])
        and not set(wanted.disabled) & set(found["features"])
        and bool(pools)
        and all(pool["architecture"] == wanted.kernel for pool in pools)
        and all(pool["num_threads"] == 1 for pool in pools)
        and all(threads == 1 for threads in found["openmp_threads"])
    )


def amiss(profile: str, found: dict[str, Any]) -> str:
    """Return, in a sentence, where what `seen` saw is not what `profile` asks for."""
    wanted, pools = PROFILES[profile], found["blas"]
    if not pools:
        return "numpy and scipy have no BLAS that can be looked at"
    for pool in pools:
        if pool["num_threads"] != 1:
            return f"BLAS has {pool['num_threads']} threads in place of 1"
        if pool["architecture"] != wanted.kernel:
            return f"BLAS computes for {pool['architecture']} in place of {wanted.kernel}"
    for threads in found["openmp_threads"]:
        if threads != 1:
            return f"OpenMP has {threads} threads in place of 1"
    return "numpy uses other instructions of the CPU"


def import_path() -> str:
    """Return the PYTHONPATH under which a child imports this very package."""
    return os.pathsep.join(filter(None, [str(_PACKAGES), os.environ.get("PYTHONPATH", "")]))


def cpu_model() -> str:
    """Return the CPU's name as the system gives it, or the architecture where it gives none."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
            head = file.read(4096)
    except OSError:
        return platform.processor() or machine()
    names = [line.partition(":")[2].strip() for line in head.splitlines() if "model name" in line]
    return names[0] if names else machine()
