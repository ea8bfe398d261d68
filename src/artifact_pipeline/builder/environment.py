"""Versions of the packages that decide a model's bytes."""

import os
import platform
import re
import sys
from collections.abc import Iterable
from functools import cache

from artifact_pipeline.errors import StoreError

PACKAGES = (
    "joblib",
    "numpy",
    "onnx",
    "onnxruntime",
    "protobuf",
    "scikit-learn",
    "scipy",
    "skl2onnx",
    "skops",
    "threadpoolctl",
)
"""The packages that compute: another version of one may give another model."""
OF_TABLES = ("pandas", "pyarrow")
"""Those that compute where the rows are a table."""


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the installed version of each package, read from the names of dist-info folders.

    importlib.metadata would say the same, and takes longer to import than this takes to run.

    Raises:
        StoreError: for a package that is not installed.
    """
    installed = _installed()
    wanted = sorted(packages)
    if missing := [name for name in wanted if name not in installed]:
        raise StoreError(
            f"{missing[0]} is not installed; pip install -r requirements.txt",
            where=sys.executable,
        )
    return {name: installed[name] for name in wanted}


@cache
def _installed() -> dict[str, str]:
    found: dict[str, str] = {}
    for folder in sys.path:
        try:
            names = [entry.name for entry in os.scandir(folder or ".")]
        except OSError:  # sys.path may name what is not there, or a zip file
            continue
        for name in names:
            if match := re.fullmatch(r"(.+)-([^-]+)\.dist-info", name):
                found.setdefault(re.sub(r"[-_.]+", "-", match[1]).lower(), match[2])
    return found


def _libc() -> str:
    """Return the kind of C library: its exp and log decide bits."""
    system = platform.system()
    if system != "Linux":
        return {"Darwin": "libSystem", "Windows": "ucrt"}.get(system, "unknown")
    try:
        named = os.confstr("CS_GNU_LIBC_VERSION")
    except (ValueError, OSError):
        named = None
    return "glibc" if named else "musl"
