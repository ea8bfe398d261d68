"""Numeric profiles: settings that make all machines of an architecture compute the same bits.

The last bits of a model depend on the order of summation, which follows from the number of threads
and from the widest instruction set that BLAS and numpy find. A profile pins both, before numpy
loads, to a level that every current machine of the architecture supports.

>>> environment("x86-64-v3", {"OMP_NUM_THREADS": "8", "PYTHONHASHSEED": "3", "HOME": "/h"})["HOME"]
'/h'
>>> environment("x86-64-v3", {"OMP_NUM_THREADS": "8"})["OMP_NUM_THREADS"]
'1'
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct

from artifact_pipeline.errors import Location, MissingDependency

NATIVE = "native"
"""The profile of an unknown BLAS or CPU: bytes are promised only on the same machine."""


class Profile(NamedTuple):
    """An instruction set level, and the settings that limit OpenBLAS and numpy to it."""

    machine: str
    needs: tuple[str, ...]
    """CPU features that numpy must detect."""
    kernel: str
    """The value of OPENBLAS_CORETYPE, which threadpoolctl reports as `architecture`."""
    disabled: tuple[str, ...]
    """CPU features that numpy must not use (NPY_DISABLE_CPU_FEATURES)."""
    libm: str
    """GLIBC_TUNABLES, because the last bits of glibc's exp and log depend on FMA."""


class BlasLibrary(Struct, frozen=True, kw_only=True):
    """A BLAS that a process has loaded, as threadpoolctl reports it."""

    internal_api: str
    """The implementation, such as `openblas`."""
    version: str | None = None
    architecture: str | None = None
    """The instruction set that it computes with, if it chooses among several."""
    num_threads: int


class Inspection(Struct, frozen=True, kw_only=True):
    """The properties that decide the bits that a process computes."""

    machine: str
    """As `machine()`."""
    features: list[str]
    """The CPU features that numpy uses, sorted."""
    blas: list[BlasLibrary]
    openmp_threads: list[int]
    """The number of threads of each OpenMP library."""


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
"""The profiles, best first; a machine has the first one whose needs it meets."""

THREADS_ENV_VAR = "ARTIFACT_PIPELINE_THREADS"
"""The variable with the user's `OMP_NUM_THREADS`, which limits the threads of a fit."""
_ONE_THREAD = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    # Threads of a fit must not spin while other processes use the cores; see `model.threads`.
    "OMP_WAIT_POLICY": "PASSIVE",
}
# Variables that users set for other programs, and that would decide bits here.
_DROPPED = (
    *("OPENBLAS_", "GOTO_", "OMP_", "GOMP_", "KMP_", "MKL_", "NPY_", "SKLEARN_", "PYTHON"),
    "GLIBC_TUNABLES",
)
_KEPT = ("PYTHONPATH", "PYTHONHOME")


_PACKAGES = Path(__file__).resolve().parents[2]
"""The folder that this package is imported from."""


def machine() -> str:
    """Return the architecture under the same name on every system: `x86_64`, `arm64`."""
    name = platform.machine().lower()
    return {"amd64": "x86_64", "aarch64": "arm64"}.get(name, name)


def environment(profile: str, outer: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a process that computes under a profile.

    Args:
        profile: The profile.
        outer: The environment of this process.
    """
    kept = {k: v for k, v in outer.items() if k in _KEPT or not k.startswith(_DROPPED)}
    pinned = {**_ONE_THREAD, "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    pinned[THREADS_ENV_VAR] = outer.get("OMP_NUM_THREADS", "")
    if profile in PROFILES:
        pinned["OPENBLAS_CORETYPE"] = PROFILES[profile].kernel
        pinned["NPY_DISABLE_CPU_FEATURES"] = " ".join(PROFILES[profile].disabled)
        if PROFILES[profile].libm:
            pinned["GLIBC_TUNABLES"] = PROFILES[profile].libm
    return {**kept, **pinned}


def detect_profile() -> str:
    """Return the best profile that this machine supports, by the CPU features that numpy detects.

    A child process without a profile detects them, because a BLAS kernel that the CPU does not
    support would crash. /proc/cpuinfo would be wrong under emulation.

    Raises:
        MissingDependency: If numpy does not load in the child process.
    """
    return select_profile(_inspect_child(NATIVE))


def holds(profile: str) -> bool:
    """Return whether this machine supports a profile, independently of this process's environment.

    Raises:
        MissingDependency: If numpy does not load in the child process.
    """
    return in_force(profile, _inspect_child(profile))


def _inspect_child(profile: str) -> Inspection:
    """Return `inspect_process()` of a child process under a profile.

    The child ignores Python's environment variables and `sitecustomize`, so that a setting of
    this process is not mistaken for a property of the machine.
    """
    import subprocess

    paths = [path for path in (str(_PACKAGES), *sys.path) if Path(path).is_absolute()]
    code = (
        f"import sys; sys.path[:0] = {paths!r}; "
        "from artifact_pipeline.builder.numeric_profile import inspect_process; "
        "import msgspec, scipy.linalg; print(msgspec.json.encode(inspect_process()).decode())"
    )
    try:
        process = subprocess.run(
            [sys.executable, "-I", "-S", "-c", code],
            env=environment(profile, os.environ),
            capture_output=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        output = getattr(error, "stderr", b"") or str(error).encode()
        reason = " ".join(output.decode(errors="replace").strip().splitlines()[-1:])
        raise MissingDependency(
            f"numpy does not load: {reason}",
            location=Location(sys.executable),
            remedy="pip install -r requirements.txt",
        ) from error
    return msgspec.json.decode(process.stdout, type=Inspection)


def select_profile(inspection: Inspection) -> str:
    """Return the best profile for a machine, by `inspect_process()` without a profile."""
    if {library.internal_api for library in inspection.blas} != {"openblas"}:
        return NATIVE
    detected = set(inspection.features)
    for name, profile in PROFILES.items():
        needs = set(profile.needs)
        if profile.machine == inspection.machine and needs <= detected:
            return name
    return NATIVE


def inspect_process() -> Inspection:
    """Inspect this process, and load numpy for that if it is not loaded."""
    import numpy  # noqa: F401  (loads the BLAS that threadpoolctl inspects)
    import threadpoolctl
    from numpy._core._multiarray_umath import __cpu_features__ as features

    pools = threadpoolctl.threadpool_info()
    return Inspection(
        machine=machine(),
        features=sorted(name for name, present in features.items() if present),
        blas=[
            BlasLibrary(**{key: pool.get(key) for key in BlasLibrary.__struct_fields__})
            for pool in pools
            if pool["user_api"] == "blas"
        ],
        openmp_threads=[pool["num_threads"] for pool in pools if pool["user_api"] == "openmp"],
    )


def in_force(profile: str, inspection: Inspection) -> bool:
    """Return whether a process computes under a profile, by its `inspect_process()`."""
    if profile not in PROFILES:
        return False
    wanted = PROFILES[profile]
    pools, features = inspection.blas, set(inspection.features)
    return (
        inspection.machine == wanted.machine
        and set(wanted.needs) <= features
        and not set(wanted.disabled) & features
        and bool(pools)
        and all(pool.architecture == wanted.kernel for pool in pools)
        and all(pool.num_threads == 1 for pool in pools)
        and all(threads == 1 for threads in inspection.openmp_threads)
    )


def deviation(profile: str, inspection: Inspection) -> str:
    """Return how a process deviates from a profile, by its `inspect_process()`."""
    wanted, pools = PROFILES[profile], inspection.blas
    if not pools:
        return "the BLAS of numpy and scipy cannot be inspected"
    for pool in pools:
        if pool.num_threads != 1:
            return f"BLAS has {pool.num_threads} threads instead of 1"
        if pool.architecture != wanted.kernel:
            return f"BLAS computes for {pool.architecture} instead of {wanted.kernel}"
    for threads in inspection.openmp_threads:
        if threads != 1:
            return f"OpenMP has {threads} threads instead of 1"
    return "numpy uses other CPU instructions"


def import_path() -> str:
    """Return the PYTHONPATH with which a child process imports this package."""
    return os.pathsep.join(filter(None, [str(_PACKAGES), os.environ.get("PYTHONPATH", "")]))


def cpu_model() -> str:
    """Return the CPU's name from the system, or the architecture if there is none."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
            head = file.read(4096)
    except OSError:
        return platform.processor() or machine()
    names = [line.partition(":")[2].strip() for line in head.splitlines() if "model name" in line]
    return names[0] if names else machine()
