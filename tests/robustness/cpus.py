"""Other CPUs, emulated by qemu's user mode: do they make the bytes that this machine makes?"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from artifact_pipeline.builder import numeric_profile

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "config" / "config.json"
EMULATOR = "qemu-x86_64"

CPUS = {
    "x86-64-v3": ("Haswell", "Skylake-Client", "EPYC-Rome"),
    "x86-64-v2": ("SandyBridge", "Nehalem"),
}
"""By the profile that they hold."""


class Made(NamedTuple):
    """What one CPU made of `config/config.json`."""

    cpu: str
    profile: str
    digest: str
    features: list[str]
    """What numpy saw of it, from inside."""


class EmulatorCrashed(Exception):
    """The emulator itself crashed (signal 11), twice."""


def available() -> bool:
    """Return whether this machine can emulate the others."""
    return numeric_profile.machine() == "x86_64" and shutil.which(EMULATOR) is not None


def native(profile: str, place: Path) -> Made:
    """Return what this machine's own CPU makes when it is held at `profile`."""
    held = f"from artifact_pipeline.store import machine; machine.remember_profile({profile!r})"
    python = Path(sys.executable)
    call(python, place, "-c", held)
    return _made("native", python, place)


def emulated(cpu: str, place: Path) -> Made:
    """Return what `cpu` makes."""
    return _made(cpu, interpreter(cpu, place), place)


def interpreter(cpu: str, place: Path) -> Path:
    """Return a Python that runs, with all its children, on `cpu`.

    It is an environment of its own beside the real one, whose `python` is the emulator: a child
    is started by `sys.executable`, which is this very wrapper. An emulation keeps to one core,
    because the emulator may crash when two threads of a program run at the same time.
    """
    home = place / cpu
    python = home / "bin" / "python"
    python.parent.mkdir(parents=True)
    shutil.copy(Path(sys.prefix) / "pyvenv.cfg", home)
    (home / "lib").symlink_to(Path(sys.prefix) / "lib")
    words = f'{EMULATOR} -cpu {cpu} -0 "$0" {sys.executable} "$@"'
    python.write_text(f"#!/bin/sh\nexec taskset --cpu-list {_core(cpu)} {words}\n")
    python.chmod(0o755)
    return python


def _core(cpu: str) -> int:
    """Return a core for the emulation of `cpu`, such that two CPUs in turn get two cores."""
    cores = sorted(os.sched_getaffinity(0))
    return cores[[name for names in CPUS.values() for name in names].index(cpu) % len(cores)]


def call(python: Path, place: Path, *words: str, accepted: tuple[int, ...] = (0,)) -> str:
    """Return what a Python prints, with a memory of its own in `place`.

    Raises:
        EmulatorCrashed: if the emulator crashes.
        AssertionError: if it ends with another exit code than those accepted.
    """
    outer = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "XDG_STATE_HOME")}
    environment = {
        **outer,
        "PYTHONPATH": str(ROOT / "src"),
        "XDG_STATE_HOME": str(place / f"{python.parents[1].name}-state"),
    }
    for _ in range(2):
        done = subprocess.run(
            [python, *words], cwd=place, env=environment, check=False, capture_output=True
        )
        if b"qemu: uncaught target signal 11" not in done.stderr:
            break
    else:
        raise EmulatorCrashed(done.stderr.decode())
    assert done.returncode in accepted, done.stderr.decode()
    return done.stdout.decode()


def _made(cpu: str, python: Path, place: Path) -> Made:
    store = str(place / f"{cpu}-store")
    words = ("-m", "artifact_pipeline", "run", str(CONFIG), "--store", store, "--json")
    run = json.loads(call(python, place, *words))
    record = json.loads(Path(run["record"]).read_bytes())
    profile = record["recipe"]["numerics"]["profile"]
    return Made(cpu, profile, run["digest"], record["observed"]["features"])
