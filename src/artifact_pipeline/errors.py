"""Every error that a user can meet, one class a kind, each with its exit code.

>>> error = ConfigError("found -1, expected a number above 0", where="config.json: C")
>>> str(error), error.kind, error.exit_code
('config.json: C: found -1, expected a number above 0', 'config', 2)
"""

from __future__ import annotations

from typing import Any, ClassVar


class PipelineError(Exception):
    """The parent of all of them. `str()` is one line: where, what is wrong, what would be right."""

    kind: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, where: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class CheckFailed(PipelineError):
    """The work ran and its answer is no. `run` is what would have been returned otherwise."""

    exit_code = 1

    def __init__(self, message: str, *, run: Any = None, where: str | None = None) -> None:
        super().__init__(message, where=where)
        self.run = run


class GateMissed(CheckFailed):
    """The model was trained and sealed, and does not reach a gate of the config."""

    kind = "gate"


class TestsFailed(CheckFailed):
    """The tests that were asked for before training did not pass."""

    __test__ = False
    kind = "tests"


class ReproductionDiffers(CheckFailed):
    """The same recipe was trained again and gave another model."""

    kind = "reproduction"


class StoreDamaged(CheckFailed):
    """A store was looked at, and something is wrong with it."""

    kind = "unsound"


class CallError(PipelineError, ValueError):
    """A command or a function was called with something that it does not take."""

    kind = "call"
    exit_code = 2


class ArtifactNotFound(CallError, FileNotFoundError):
    """No folder, digest, alias or file of that name."""

    kind = "not-found"


class ConfigError(PipelineError, ValueError):
    """The config is wrong, or the estimator refuses what the config asks of it."""

    kind = "config"
    exit_code = 2


class ConfigNotFound(ConfigError, FileNotFoundError):
    """There is no config file at that path."""


class DataError(PipelineError, ValueError):
    """Rows to learn from or to predict are wrong."""

    kind = "data"
    exit_code = 3


class VerificationError(PipelineError):
    """An artifact is not what its manifest, or the caller, says that it is."""

    kind = "verification"
    exit_code = 4


class UntrustedModel(VerificationError):
    """A pickle or skops archive of unknown origin, which could run code or read files if opened."""

    kind = "untrusted-model"


class StoreError(PipelineError, OSError):
    """The store, or the machine below it, could not do its part."""

    kind = "store"
    exit_code = 5


class TrainerDied(StoreError):
    """The trainer process ended before it answered (killed, or out of memory)."""

    kind = "trainer"
