"""The parent's end of a trainer process, which computes under a numeric profile.

    parent                     child (`builder.training.worker`)
      Start             ──►      loads, checks, splits
                        ◄──    PhaseProgress, while it reads a table
                        ◄──    Resolved
      Train             ──►      fits, measures, exports
                        ◄──    PhaseProgress, after each of several fits
                        ◄──    TrainingResult, with the arrays
                        ◄──    ExportedForm, with the file
      NextForm          ──►      exports the next form, while the last one was not proven
      Measure           ──►      measures the outputs of the proven form
                        ◄──    Measured

Any response may be a `Failure` instead. When the parent ends for any reason, the child ends too.
While the child trains, the parent loads onnxruntime.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from artifact_pipeline import errors
from artifact_pipeline.builder import numeric_profile
from artifact_pipeline.builder.config.resolved import ResolvedConfig
from artifact_pipeline.builder.dask_cluster import Cluster
from artifact_pipeline.builder.data import memory
from artifact_pipeline.builder.progress import ReportProgress, ignore
from artifact_pipeline.builder.training import protocol
from artifact_pipeline.builder.training.protocol import (
    REPORT_BUG,
    Content,
    ExportedForm,
    Failure,
    Measure,
    Measured,
    NextForm,
    Resolved,
    Start,
    Train,
)
from artifact_pipeline.errors import Location, PipelineError, TrainerDied

if TYPE_CHECKING:
    from artifact_pipeline.builder.formats.base import Batch, Outputs
    from artifact_pipeline.builder.formats.parity import Candidate, Edges
    from artifact_pipeline.builder.training.training_result import TrainingResult


class Trained(NamedTuple):
    """A trained model."""

    result: TrainingResult
    pickle: bytes
    rows: Batch
    """The held-out rows."""
    outputs: Outputs
    """The estimator's outputs for them."""
    edges: Edges
    """Edge cases for the proof, with the estimator's outputs."""


class Trainer:
    """A process that has checked a config and is ready to train it. Use it in a `with` statement.

    Attributes:
        resolved: The checked config and its rows.

    Args:
        config: The config.
        name: Its name in errors.
        profile: The numeric profile to compute under.
        base: The folder that paths in the config are relative to.
        report: Called when part of the table is read.

    Raises:
        ConfigError: If an estimator refuses the config.
        DataError: If the rows are wrong.
        TrainerDied: If the process ended.
    """

    def __init__(
        self,
        config: ResolvedConfig,
        name: str,
        *,
        profile: str,
        base: str,
        report: ReportProgress = ignore,
    ) -> None:
        self._report = report
        environment = {**os.environ, "PYTHONPATH": numeric_profile.import_path()}
        self._oom_kills = memory.oom_kills()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "artifact_pipeline.builder.training.worker"],
            env=numeric_profile.environment(profile, environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._send(Start(config=config, name=name, profile=profile, base=base))
        try:
            self.resolved, _ = self._receive(Resolved)
        except BaseException:  # raised again, after the process has ended
            self.close()
            raise

    def __enter__(self) -> Trainer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def train(
        self,
        report: ReportProgress = ignore,
        *,
        cluster: Cluster | None = None,
    ) -> Trained:
        """Fit and measure the model. Raises as `Trainer` itself.

        Args:
            report: Called after each of several fits.
            cluster: A Dask cluster for the fits of a search and of a cross-validation.

        Raises:
            NetworkError, EnvironmentFailure: If the cluster fails.
        """
        self._report = report
        self._send(Train(cluster))
        # This process would only wait, so loading these costs no time.
        from artifact_pipeline.builder.formats.onnx_format import runtime
        from artifact_pipeline.builder.formats.parity import Edges
        from artifact_pipeline.builder.training.training_result import TrainingResult

        runtime()
        result, blobs = self._receive(TrainingResult)
        edge_cases = result.edge_cases
        return Trained(
            result=result,
            pickle=blobs["pickle"],
            rows=protocol.batch(blobs, "held_out"),
            outputs=protocol.outputs(blobs, "held_out"),
            edges=Edges(
                rows=protocol.batch(blobs, "edges"),
                outputs=protocol.outputs(blobs, "edges"),
                kinds=edge_cases.kinds,
                flaws=edge_cases.flaws,
                columns=edge_cases.columns,
                refused=edge_cases.refused,
                counts=edge_cases.counts,
                lowercase=edge_cases.lowercase,
            ),
        )

    def forms(self) -> Iterator[Candidate]:
        """Yield the open forms of the trained model, best first. Each is exported on demand."""
        from artifact_pipeline.builder.formats.base import BY_NAME
        from artifact_pipeline.builder.formats.parity import Candidate

        while True:
            exported, blobs = self._receive(ExportedForm)
            if exported.form is None:
                return
            form = BY_NAME[exported.form]._replace(dtype=exported.dtype)
            yield Candidate(
                form=form,
                data=blobs.get("model"),
                reason=exported.reason,
                scored=blobs.get("scored"),
            )
            self._send(NextForm())

    def measure(self, sealed: Outputs) -> Measured:
        """Return the metrics of the model, from its proven form's outputs for held-out rows."""
        self._send(Measure(), protocol.pack_outputs("held_out", sealed))
        measured, _ = self._receive(Measured)
        return measured

    def close(self) -> None:
        """End the process, even while it works."""
        self._process.kill()
        self._process.communicate()

    def _send(self, request: Struct, blobs: Mapping[str, bytes] = MappingProxyType({})) -> None:
        assert self._process.stdin is not None
        # If the process has ended, reading its response raises the reason.
        with suppress(BrokenPipeError):
            protocol.write_message(self._process.stdin, request, blobs=blobs)

    def _receive(self, content: type[Content]) -> tuple[Content, dict[str, bytes]]:
        assert self._process.stdout is not None
        message = protocol.read_message(self._process.stdout)
        while message is not None and (progress := protocol.progress(message)) is not None:
            self._report(progress)
            message = protocol.read_message(self._process.stdout)
        if message is None:
            raise _died(self._process.wait(), killed=memory.oom_kills() > self._oom_kills)
        answer = protocol.decode(message, content)
        if isinstance(answer, Failure):
            kind: type[PipelineError] = getattr(errors, answer.error)
            error = kind(answer.problem, location=answer.location, remedy=answer.remedy)
            error.add_note(f"In the trainer process:\n{answer.traceback}")
            raise error
        return answer, message.blobs


def _died(code: int, *, killed: bool) -> TrainerDied:
    """Return the error for a trainer process that ended before its response.

    Args:
        code: Its exit code.
        killed: Whether the system has killed a process for lack of memory since it started.
    """
    location = Location("trainer process")
    if code >= 0:
        return TrainerDied(
            f"ended with exit code {code} and no result", location=location, remedy=REPORT_BUG
        )
    used = _peak_memory()
    had = "" if used is None else f"; it used {memory.in_words(used)} of memory"
    if killed and code == -signal.SIGKILL:
        free = memory.available()
        now = "" if free is None else f", and {memory.in_words(free)} is free without it"
        return TrainerDied(
            f"was killed because memory ran out{had}{now}",
            location=location,
            remedy="take a sample of the rows or a smaller model, free memory, or use a machine "
            "with more",
        )
    return TrainerDied(
        f"ended by signal {-code} without a result{had}",
        location=location,
        remedy="was it killed, or out of memory?",
    )


def _peak_memory() -> int | None:
    """Return the largest size of a child process that has ended, in bytes."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
