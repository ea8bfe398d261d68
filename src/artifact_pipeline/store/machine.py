"""The numeric profile of this machine, remembered."""

from __future__ import annotations

import hashlib
import sys

from artifact_pipeline.builder import environment, numeric_profile
from artifact_pipeline.store.local_state import recall, remember


def profile() -> str:
    """Return the numeric profile that this machine holds; numpy is asked the first time."""
    found = (recall(_profile_name()) or b"").decode("ascii", "replace")
    known = found in (*numeric_profile.PROFILES, numeric_profile.NATIVE)
    return found if known else remember_profile(numeric_profile.detect_profile())


def remember_profile(name: str) -> str:
    """Remember and return the profile that this machine was seen to hold."""
    remember(_profile_name(), name.encode())
    return name


def _profile_name() -> str:
    # Another interpreter may be an emulator, another numpy may bring another BLAS.
    asked = [sys.executable, numeric_profile.machine(), numeric_profile.cpu_model()]
    asked += [
        f"{k} {v}" for k, v in environment.versions(("numpy", "scipy", "scikit-learn")).items()
    ]
    # Not under profiles/: what earlier versions kept there can be one process's settings.
    return "machine-profiles/" + hashlib.sha256("\0".join(asked).encode()).hexdigest()[:32]
