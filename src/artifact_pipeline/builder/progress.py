"""Progress of the phases of long work."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from msgspec import Struct

_MB = 10**6


class PhaseProgress(Struct, frozen=True, tag=True, kw_only=True):
    """The progress of a phase.

    Attributes:
        phase: Its name, such as `fit`.
        done: The number of completed units.
        total: The number of all units; 0 if it is unknown.
        unit: The name of the units, if the phase does not imply it.
        resumed: The number of units that earlier, interrupted work completed.
    """

    phase: str
    done: int = 0
    total: int = 0
    unit: str = ""
    resumed: int = 0

    @classmethod
    def of_bytes(
        cls, phase: str, done: int, *, total: int, note: str = "", resumed: int = 0
    ) -> PhaseProgress:
        """Return the progress of a phase that counts bytes, in MB.

        >>> PhaseProgress.of_bytes("parse", 2_500_000, total=9_000_001).text()
        'parse 2 of 10 MB'
        """
        return cls(
            phase=phase,
            done=done // _MB,
            total=-(-total // _MB),
            unit=f"MB{note}",
            resumed=resumed // _MB,
        )

    def text(self) -> str:
        """Return the progress in words.

        >>> PhaseProgress(phase="fit", done=3, total=20).text()
        'fit 3 of 20'
        >>> PhaseProgress(phase="parse", done=100, total=2000, unit="MB").text()
        'parse 100 of 2,000 MB'
        >>> PhaseProgress(phase="predict", done=70_000, total=0, unit="rows").text()
        'predict 70,000 rows'
        >>> PhaseProgress(phase="measure").text()
        'measure'
        """
        if not (self.total or self.done):
            return self.phase
        total = f" of {self.total:,}" if self.total else ""
        return f"{self.phase} {self.done:,}{total} {self.unit}".rstrip()


ReportProgress: TypeAlias = Callable[[PhaseProgress], None]


def ignore(_: PhaseProgress) -> None:
    """Ignore progress that is not shown."""


class Estimator:
    """Estimates how long the rest of a phase takes, from the time of the completed part.

    Args:
        now: The time in seconds at which the first phase begins.
    """

    def __init__(self, now: float) -> None:
        self._begin = self._last = now
        self._phase = ""

    def text(self, progress: PhaseProgress, now: float) -> str:
        """Return the progress in words, with an estimate once part of the phase is done.

        >>> estimator = Estimator(0.0)
        >>> estimator.text(PhaseProgress(phase="fit", done=1, total=4), 2.0)
        'fit 1 of 4, about 6 s left'
        >>> estimator.text(PhaseProgress(phase="cross-validate", done=0, total=5), 8.0)
        'cross-validate 0 of 5'
        >>> estimator.text(PhaseProgress(phase="predict", done=90, total=120, resumed=80), 18.0)
        'predict 90 of 120, about 30 s left'
        >>> estimator.text(PhaseProgress(phase="score", done=80, total=120, resumed=80), 20.0)
        'score 80 of 120'
        >>> estimator.text(PhaseProgress(phase="score", done=90, total=120, resumed=80), 21.0)
        'score 90 of 120, about 3 s left'
        """
        if progress.phase != self._phase:
            # The first report of a phase may follow the first of its parts.
            has_part = progress.done > progress.resumed
            self._phase, self._begin = progress.phase, self._last if has_part else now
        self._last = now
        done = progress.done - progress.resumed
        if done <= 0 or not progress.total:
            return progress.text()
        left = (now - self._begin) / done * max(progress.total - progress.done, 0)
        return f"{progress.text()}, about {left:.0f} s left"
