"""Every error that a user can meet, one class for each kind, with its exit code.

    PipelineError
        CheckFailed            1  the work ran and a check failed
            GateMissed, TestsFailed, ReproductionDiffers, StoreDamaged
        CallError              2  wrong arguments
            ArtifactNotFound
        ConfigError            2  wrong config
            ConfigNotFound
        DataError              3  wrong rows
        VerificationError      4  the artifact is not what it claims to be
            UntrustedModel
        EnvironmentFailure     5  the store, the machine or the network failed
            StoreError, NetworkError, TrainerDied, MissingDependency

>>> location = Location("config.json", key="model.params.C")
>>> error = ConfigError("found -1", location=location, remedy="expected a number above 0")
>>> str(error), error.kind, error.exit_code
('config.json: model.params.C: found -1; expected a number above 0', 'config', 2)
"""

from __future__ import annotations

from typing import Any, ClassVar

from msgspec import Struct
from msgspec.structs import replace


class Location(Struct, frozen=True):
    """The place of a problem: a file or another input, and the place within it.

    >>> str(Location("rows.csv", row=3, column="age"))
    "rows.csv, row 3, column 'age'"
    >>> str(Location("config.json").inside("model").inside("steps").inside(0))
    'config.json: model.steps[0]'

    Attributes:
        file: A path, or the name of an input without one, such as `X` or `standard input`.
        key: The path of a key in a JSON document.
        line: A line of a text file, counted from 1.
        row: A row of data, counted from 1; a header is not one.
        column: The name of a column.
    """

    file: str | None = None
    key: str | None = None
    line: int | None = None
    row: int | None = None
    column: str | None = None

    def __str__(self) -> str:
        parts = [] if self.file is None else [self.file or "''"]
        if self.line is not None:
            parts.append(f"line {self.line}")
        if self.row is not None:
            parts.append(f"row {self.row}")
        if self.column is not None:
            parts.append(f"column {quoted(self.column)}")
        place = ", ".join(parts)
        return ": ".join(part for part in (place, self.key) if part)

    def inside(self, key: str | int) -> Location:
        """Return the location of a key or an index inside of this one."""
        if isinstance(key, int):
            return replace(self, key=f"{self.key or ''}[{key}]")
        return replace(self, key=f"{self.key}.{key}" if self.key else key)

    def at(
        self, *, line: int | None = None, row: int | None = None, column: str | None = None
    ) -> Location:
        """Return the location of a line, a row or a column in the same input."""
        return replace(
            self,
            line=self.line if line is None else line,
            row=self.row if row is None else row,
            column=self.column if column is None else column,
        )


def quoted(text: str) -> str:
    """Return `text` as a message quotes it: plain ASCII on one line, at most 60 characters."""
    quote = ascii(text)
    return quote if len(quote) <= 60 else quote[:57] + "..."


class PipelineError(Exception):
    """Parent of all errors. `str()` is one line: the location, the problem and the remedy.

    Attributes:
        problem: What is wrong.
        location: Where it is wrong.
        remedy: What would be right, or what to do.
    """

    kind: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        problem: str,
        *,
        location: Location | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.location = location
        self.remedy = remedy

    @property
    def message(self) -> str:
        """The problem and the remedy, without the location."""
        return f"{self.problem}; {self.remedy}" if self.remedy else self.problem

    def to_dict(self) -> dict[str, str | None]:
        """Return the error as `--json` and run records show it."""
        return {
            "kind": self.kind,
            "message": self.message,
            "where": None if self.location is None else str(self.location),
            "remedy": self.remedy,
        }

    def __str__(self) -> str:
        place = "" if self.location is None else str(self.location)
        return f"{place}: {self.message}" if place else self.message


class CheckFailed(PipelineError):
    """The work ran and a check failed.

    Attributes:
        run: The value that the call would have returned if the check had passed.
    """

    exit_code = 1

    def __init__(
        self,
        problem: str,
        *,
        location: Location | None = None,
        remedy: str | None = None,
        run: Any = None,
    ) -> None:
        super().__init__(problem, location=location, remedy=remedy)
        self.run = run


class GateMissed(CheckFailed):
    """The model was trained and sealed, but misses a gate of the config."""

    kind = "gate"


class TestsFailed(CheckFailed):
    """The tests that run before training failed."""

    __test__ = False
    kind = "tests"


class ReproductionDiffers(CheckFailed):
    """The same recipe, trained again, gave a different artifact."""

    kind = "reproduction"


class StoreDamaged(CheckFailed):
    """A health check found damage in a store."""

    kind = "unsound"


class CallError(PipelineError, ValueError):
    """A command or a function was called with wrong arguments."""

    kind = "call"
    exit_code = 2


class ArtifactNotFound(CallError, FileNotFoundError):
    """No folder, digest, alias or file has this name."""

    kind = "not-found"


class ConfigError(PipelineError, ValueError):
    """The config is wrong, or the estimator rejects its parameters."""

    kind = "config"
    exit_code = 2


class ConfigNotFound(ConfigError, FileNotFoundError):
    """The config file does not exist."""


class DataError(PipelineError, ValueError):
    """Rows to train on or to predict are wrong."""

    kind = "data"
    exit_code = 3


class VerificationError(PipelineError):
    """An artifact is not what its manifest claims or the caller requires."""

    kind = "verification"
    exit_code = 4


class UntrustedModel(VerificationError):
    """A pickle or skops archive of unknown origin, which could run code or read files if opened."""

    kind = "untrusted-model"


class EnvironmentFailure(PipelineError):
    """The machine, the network or a required package failed."""

    kind = "environment"
    exit_code = 5


class StoreError(EnvironmentFailure, OSError):
    """A file or folder could not be read, written or locked."""

    kind = "store"


class NetworkError(EnvironmentFailure):
    """An address cannot be used, or a service could not be reached."""

    kind = "network"


class MissingDependency(EnvironmentFailure):
    """A package or program that this task needs is not installed."""

    kind = "dependency"


class TrainerDied(EnvironmentFailure):
    """The trainer process ended early, because it was killed or out of memory."""

    kind = "trainer"
