"""`run`, killed at random points: what is in the store is whole, and nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from artifact_pipeline import open_trusted, runs
from artifact_pipeline.errors import PipelineError
from artifact_pipeline.store.store import Store
from tests.support.kill_points import command_killed_at

ROOT = Path(__file__).resolve().parents[2]
EARLIER = {
    "data": {"dataset": "wine"},
    "model": {"estimator": "sklearn.naive_bayes.GaussianNB", "params": {}},
}
KILLED = {**EARLIER, "data": {"dataset": "iris"}}


class Figures(msgspec.Struct):
    """What came of the kills."""

    kills: int = 0
    in_time: int = 0
    """Kills of a run that had not ended."""
    broken: int = 0
    """Artifacts that did not verify, and aliases that pointed at nothing whole."""
    lost: int = 0
    """Earlier artifacts and run records that were gone or unreadable."""
    failed: int = 0
    """Next runs that did not succeed."""
    left: int = 0
    """What was left in staging, of the store or of the user's state, after the next run."""
    examples: list[str] = []


def count(kills: int, seed: int, place: Path, at_once: int = 1) -> Figures:
    """Return what comes of killing `run` at `kills` random points, `at_once` runs at a time."""
    figures, random = Figures(), Random(seed)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "src"),
        "XDG_STATE_HOME": str(place / "state"),
    }
    for name, config in (("earlier", EARLIER), ("killed", KILLED)):
        (place / f"{name}.json").write_text(json.dumps(config))

    def start(*words: str, change: int = 0, seconds: float = 0.0) -> subprocess.Popen[bytes]:
        command = command_killed_at(change, "run", *words, seconds=seconds)
        return subprocess.Popen(
            command,
            cwd=place,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def whole(*words: str) -> int:
        """Run to the end, and return how many changes that makes."""
        process = start(*words)
        error = process.communicate()[1]
        if process.returncode:
            figures.failed += 1
            figures.examples.append(f"exit code {process.returncode}: {error.decode()[-200:]}")
            return 1
        return int(error.split()[-1])

    whole("earlier.json")
    whole("killed.json")
    changes = whole("killed.json", "--force")
    store = Store(place / "artifacts")
    known = _known(store)
    while figures.kills < kills:
        processes = [
            start(
                "killed.json", "--force",
                change=random.randint(1, changes), seconds=random.choice([0.0, 0.01, 0.1, 0.5]),
            )
            for _ in range(at_once)
        ]  # fmt: skip
        for process in processes:
            process.communicate()
            figures.in_time += process.returncode == -signal.SIGKILL
            figures.kills += 1
        _examine(figures, store, known)
        whole("killed.json", "--force")
        _examine(figures, store, known)
        known = _known(store)
        left = [path.name for path in store.folder.entries("staging")]
        left += [path.name for path in (place / "state").rglob("staging/*")]
        figures.left += len(left)
        figures.examples += left
    return figures


def _known(store: Store) -> tuple[list[str], dict[str, Any]]:
    return store.artifacts.digests(), {run.run: run.outcome for run in runs(store=store.root)}


def _examine(figures: Figures, store: Store, known: tuple[list[str], dict[str, Any]]) -> None:
    targets = [*store.artifacts.digests(), *store.aliases.all().values()]
    for digest in targets:
        try:
            open_trusted(digest, store=store.root)
        except PipelineError as error:
            figures.broken += 1
            figures.examples.append(str(error)[:200])
    artifacts, records = _known(store)
    gone = set(known[0]) - set(artifacts)
    spoilt = [run for run, outcome in known[1].items() if records.get(run) != outcome]
    unreadable = [run for run, outcome in records.items() if outcome == "unreadable"]
    figures.lost += len(gone) + len(spoilt) + len(unreadable)
    figures.examples += [*gone, *spoilt, *unreadable]
