"""The numeric profile of this machine, detected once and remembered."""

from __future__ import annotations

import hashlib
import sys

from artifact_pipeline.builder import environment, numeric_profile
from artifact_pipeline.store.local_state import recall, remember


def profile() -> str:
    """Return the name of this machine's numeric profile; detecting it needs numpy."""
    name = (recall(_entry()) or b"").decode("ascii", "replace")
    if name in (*numeric_profile.PROFILES, numeric_profile.NATIVE):
        return name
    return remember_profile(numeric_profile.detect_profile())


def remember_profile(name: str) -> str:
    """Remember the name of this machine's numeric profile, and return it."""
    remember(_entry(), name.encode())
    return name


def _entry() -> str:
    """Return the entry for this interpreter, CPU and numeric libraries.

    Another interpreter may run in an emulator, and another numpy may bring another BLAS.
    """
    parts = [sys.executable, numeric_profile.machine(), numeric_profile.cpu_model()]
    versions = environment.versions(("numpy", "scipy", "scikit-learn"))
    parts += [f"{package} {version}" for package, version in versions.items()]
    # Not under profiles/: earlier versions kept the settings of a single process there.
    return "machine-profiles/" + hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
