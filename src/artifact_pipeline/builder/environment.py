"""The software that decides a model's bytes: package versions and the C library."""

import os
import platform
import re
import sys
from collections.abc import Iterable
from functools import cache

from artifact_pipeline.errors import Location, MissingDependency

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
"""The packages that compute: another version can give another model."""
TABLE_PACKAGES = ("pandas", "pyarrow")
"""Packages that also compute if the rows are a table."""


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the installed version of each package.

    They are read from the names of dist-info folders: importing importlib.metadata takes longer.

    Raises:
        MissingDependency: If a package is not installed.
    """
    installed = _installed()
    wanted = sorted(packages)
    if missing := [name for name in wanted if name not in installed]:
        raise MissingDependency(
            f"{missing[0]} is not installed",
            location=Location(sys.executable),
            remedy="pip install -r requirements.txt",
        )
    return {name: installed[name] for name in wanted}


@cache
def _installed() -> dict[str, str]:
    installed_versions: dict[str, str] = {}
    for folder in sys.path:
        try:
            names = [entry.name for entry in os.scandir(folder or ".")]
        except OSError:  # an entry of sys.path may be missing, or a zip file
            continue
        for name in names:
            if name.endswith(".dist-info"):
                project, _, version = name.removesuffix(".dist-info").rpartition("-")
                installed_versions.setdefault(re.sub(r"[-_.]+", "-", project).lower(), version)
    return installed_versions


def libc() -> str:
    """Return the kind of C library, whose exp and log decide the last bits."""
    system = platform.system()
    if system != "Linux":
        return {"Darwin": "libSystem", "Windows": "ucrt"}.get(system, "unknown")
    try:
        version = os.confstr("CS_GNU_LIBC_VERSION")
    except (ValueError, OSError):
        version = None
    return "glibc" if version else "musl"
