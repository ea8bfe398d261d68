"""The figures of `benchmarks.scoring`, in `scoring.json` beside it."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from benchmarks.tables import Usage

PATH = Path(__file__).with_name("scoring.json")


class FileFigures(Struct, frozen=True, kw_only=True):
    """Predictions for a file.

    Attributes:
        rows: The number of rows.
        format: The format of rows and predictions.
        rounds: The number of rounds of which these are the medians.
        command: The usage of `infer --output`.
        loop: The usage of the bare loop.
    """

    rows: int
    format: str
    rounds: int
    command: Usage
    loop: Usage


class WorkerRound(Struct, frozen=True, kw_only=True):
    """Predictions for a folder of parts on Dask workers.

    Attributes:
        workers: The number of workers, with one thread each.
        wall: The time of the command, in seconds.
        cpu: The processor time of the workers, in seconds.
        busiest: The largest processor time of a worker.
        load: The load of the machine in the last minute, when the round began.
    """

    workers: int
    wall: float
    cpu: float
    busiest: float
    load: float


class DaskFigures(Struct, frozen=True, kw_only=True):
    """Predictions for a folder of parts on one worker and on two, in turns."""

    rows: int
    parts: int
    rounds: list[WorkerRound]


class Figures(Struct, frozen=True, kw_only=True):
    """All figures, by the number of rows."""

    files: list[FileFigures] = []
    dask: list[DaskFigures] = []

    @classmethod
    def read(cls) -> Figures:
        """Return the stored figures; none if there is no file."""
        if not PATH.exists():
            return cls()
        return msgspec.json.decode(PATH.read_bytes(), type=cls)

    def write(self) -> None:
        """Store the figures."""
        PATH.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")

    def with_files(self, files: list[FileFigures]) -> Figures:
        """Return the figures, with those of the same rows and format replaced."""
        known = {(file.format, file.rows): file for file in [*self.files, *files]}
        return replace(self, files=[known[key] for key in sorted(known)])

    def with_dask(self, dask: DaskFigures) -> Figures:
        """Return the figures, with those of the same rows replaced."""
        known = {each.rows: each for each in [*self.dask, dask]}
        return replace(self, dask=[known[rows] for rows in sorted(known)])
