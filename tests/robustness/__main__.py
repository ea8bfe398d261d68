"""`python -m tests.robustness [SHARE]`: the figures of docs/security.md; a share of 0.01 is a look.

In full it takes about an hour, and needs qemu-user for the other CPUs.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from artifact_pipeline import train
from tests.robustness import (
    cpus,
    fuzzing,
    gadgets,
    http_attacks,
    http_fuzzing,
    kills,
    mutants,
    store_names,
)

SEED = 20260101


def main() -> None:
    """Count everything, a line each, and end with 1 if something was not as it must be."""
    share = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    bad = False
    for what, tried, must_be_none in figures(share):
        wrong = {name: n for name, n in must_be_none.items() if n}
        bad = bad or bool(wrong)
        named = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in must_be_none.items())
        print(f"{what:<28}{tried:>7}   {named}".rstrip(), flush=True)
    sys.exit(1 if bad else 0)


def figures(share: float) -> Iterator[tuple[str, int, dict[str, int]]]:
    """Yield what was tried, how often, and what must have happened never."""

    def times(full: int) -> int:
        return max(int(full * share), 2)

    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        artifact = Path(train(cpus.CONFIG, store=place / "store").artifact)
        found = attack(artifact, times(12_000), SEED)
        never = ("accepted", "tracebacks", "outside", "unpickled")
        yield "artifacts changed", found.tried, _pick(found, never)
        yield "  memory at the most, MiB", found.peak_mib, {}
        names = store_names.attack(place / "store", times(len(store_names.cases())), SEED)
        yield "names in a store", names.tried, _pick(names, store_names.NEVER)
        fuzzed = fuzzing.configs(times(10_000), SEED, place)
        yield "configs changed", fuzzed.tried, _pick(fuzzed, ("tracebacks", "wrong_codes"))
        fuzzed = fuzzing.row_files(times(10_000), SEED, place, artifact)
        yield "row files changed", fuzzed.tried, _pick(fuzzed, ("tracebacks", "wrong_codes"))
        for at_once in (1, 2):
            folder = place / f"kills-{at_once}"
            folder.mkdir()
            died = kills.count(times(200), SEED, folder, at_once)
            name = "kills of a run" if at_once == 1 else "kills of two runs at once"
            yield name, died.kills, _pick(died, ("broken", "lost", "failed", "left"))
        yield from _gadgets(share)
        yield from _http(place, times(20_000), share)
        if cpus.available():
            yield from _cpus(place, share)


def attack(artifact: Path, tries: int, seed: int) -> mutants.Figures:
    """Return what comes of the mutants of an artifact, tried in a process that is watched."""
    command = [sys.executable, "-m", "tests.robustness.mutants", str(artifact.absolute())]
    done = subprocess.run(
        [*command, str(tries), str(seed)], cwd=cpus.ROOT, check=True, stdout=subprocess.PIPE
    )
    return msgspec.convert(json.loads(done.stdout), mutants.Figures)


def gadgetry(share: float, seed: int) -> gadgets.Figures:
    """Return what comes of the search for gadgets, in a process that is watched."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.robustness.gadgets"]
    done = subprocess.run(
        [*command, str(share), str(seed)], cwd=cpus.ROOT, check=True, capture_output=True
    )
    return msgspec.json.decode(done.stdout, type=gadgets.Figures)


def _gadgets(share: float) -> Iterator[tuple[str, int, dict[str, int]]]:
    found = gadgetry(share, SEED)
    yield (
        "skops archives with gadgets",
        found.archives.tried,
        _pick(found.archives, gadgets.MUST_BE_NONE),
    )
    yield (
        "graphs that are ORT files",
        found.graphs.tried,
        _pick(found.graphs, ("opened", "tracebacks")),
    )
    yield (
        "configs with gadgets",
        found.configs.tried,
        _pick(found.configs, ("files", "ran", "tracebacks")),
    )


def _http(place: Path, requests: int, share: float) -> Iterator[tuple[str, int, dict[str, int]]]:
    folder = place / "http"
    folder.mkdir()
    served = http_fuzzing.models(folder)
    found = http_fuzzing.count(folder, served, requests=requests, seed=SEED)
    yield "HTTP requests", found.tried, _pick(found, http_fuzzing.MUST_BE_NONE)
    yield "  predictions compared", found.predictions, {}
    for attacked in http_attacks.attacks(folder, served[0], share):
        yield attacked.name, attacked.tried, attacked.must_be_none


def _pick(found: Any, names: tuple[str, ...]) -> dict[str, int]:
    return {name: getattr(found, name) for name in names}


def _cpus(place: Path, share: float) -> Iterator[tuple[str, int, dict[str, int]]]:
    for profile, names in cpus.CPUS.items():
        native = cpus.native(profile, place)
        chosen = names[: max(1, round(len(names) * share))]
        differ = sum(cpus.emulated(cpu, place).digest != native.digest for cpu in chosen)
        yield f"CPUs emulated, {profile}", len(chosen), {"disagree": differ}


if __name__ == "__main__":
    main()
