"""The trainer process, under the numeric profile: the parent's end, and what the two ends say.

    parent                                 child (`builder.training.worker`)
      {config, profile}          ──►         loads, checks, splits
                                 ◄──       {model in full form, data, profile in force, observed}
      {train: true}              ──►         fits, measures, exports
                                 ◄──       {evaluation, edge cases, …} and the arrays
                                 ◄──       an open form of the model
      {more: true}               ──►       … the next one, while the last was not proven
      {measure: true}            ──►       what the proven form says of the held-out rows
                                 ◄──       {metrics}

When the parent ends, however it ends, the child ends too.

A message is a line of JSON that names its blobs and their sizes, then their bytes; arrays are
.npy, so nothing is unpickled. While the child trains, the parent loads onnxruntime.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from artifact_pipeline import errors
from artifact_pipeline.builder import numeric_profile
from artifact_pipeline.builder.artifact.manifest import Metrics
from artifact_pipeline.builder.config.resolved import ModelConfig, ResolvedConfig
from artifact_pipeline.builder.data.dataset import Description
from artifact_pipeline.builder.training import protocol
from artifact_pipeline.builder.training.protocol import (
    REPORT_BUG,
    Message,
    read_message,
    write_message,
)
from artifact_pipeline.errors import PipelineError, TrainerDied

if TYPE_CHECKING:
    from artifact_pipeline.builder.formats.base import Batch, Outputs
    from artifact_pipeline.builder.formats.parity import Candidate, Edges


class Resolved(NamedTuple):
    """What the trainer makes of a config."""

    model: ModelConfig
    """In full form; see `assembly.resolve`."""
    data: Description
    """What the rows are that it holds."""
    profile: str
    """The numeric profile that is in force, which may be less than the one asked for."""
    observed: dict[str, Any]
    """BLAS, CPU features and threads of the process."""


class Trained(NamedTuple):
    """What a training gave."""

    said: dict[str, Any]
    """See `measuring.measure`."""
    pickle: bytes
    rows: Batch
    outputs: Outputs
    """What the estimator says of the held-out rows."""
    edges: Edges
    """Rows that were made for the proof, and what the estimator says of them."""


class Trainer:
    """The parent's end: a process that has checked a config and is ready to train it.

    `base` is what paths in the config are relative to. `resolved` is what it made of the config.
    Close it, or use it in a `with`.

    Raises:
        ConfigError: if an estimator refuses the config.
        DataError: if the rows are wrong.
        TrainerDied: if the process ended.
    """

    def __init__(self, full: ResolvedConfig, where: str, profile: str, base: str) -> None:
        environment = {**os.environ, "PYTHONPATH": numeric_profile.import_path()}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "artifact_pipeline.builder.training.worker"],
            env=numeric_profile.environment(profile, environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._send(
            {
                "config": msgspec.to_builtins(full),
                "where": where,
                "profile": profile,
                "base": base,
            }
        )
        try:
            said, _ = self._receive()
            self.resolved = Resolved(
                msgspec.convert(said["model"], ModelConfig),
                msgspec.convert(said["data"], Description),
                said["profile"],
                said["observed"],
            )
        except BaseException:  # raised again, with no process left behind
            self.close()
            raise

    def __enter__(self) -> Trainer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def train(self) -> Trained:
        """Fit the model and measure it. Raises as `Trainer` itself."""
        self._send({"train": True})
        # Loaded here, it costs nothing: this process would only wait.
        from artifact_pipeline.builder.formats.onnx_format import runtime

        runtime()
        said, blobs = self._receive()
        return Trained(
            said,
            blobs["pickle"],
            protocol.batch(blobs, "held_out"),
            protocol.outputs(blobs, "held_out"),
            _edges(said["edge_cases"], blobs),
        )

    def forms(self) -> Iterator[Candidate]:
        """Yield the open forms of the trained model, best first, each exported when asked for."""
        from artifact_pipeline.builder.formats.base import BY_NAME
        from artifact_pipeline.builder.formats.parity import Candidate

        while True:
            said, blobs = self._receive()
            if said["form"] is None:
                return
            form = BY_NAME[said["form"]]._replace(dtype=said["dtype"])
            yield Candidate(form, blobs.get("model"), said["reason"], blobs.get("scored"))
            self._send({"more": True})

    def measure(self, sealed: Outputs) -> tuple[Metrics, list[str]]:
        """Return metrics of a model whose proven form gave `sealed` on the held-out rows, and
        warnings about them."""
        self._send({"measure": True}, protocol.output_blobs("held_out", sealed))
        said, _ = self._receive()
        return msgspec.convert(said["metrics"], Metrics), said["warnings"]

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.communicate()

    def _send(
        self, message: dict[str, Any], blobs: Mapping[str, bytes] = MappingProxyType({})
    ) -> None:
        assert self._process.stdin is not None
        # That it has ended shows, with a reason, when its answer is read.
        with suppress(BrokenPipeError):
            write_message(self._process.stdin, message, blobs)

    def _receive(self) -> Message:
        assert self._process.stdout is not None
        message = read_message(self._process.stdout)
        if message is None:
            code = self._process.wait()
            if code < 0:
                said = f"by signal {-code} before it answered; was it killed, or out of memory?"
            else:
                said = f"with exit code {code} before it answered; {REPORT_BUG}"
            raise TrainerDied(f"ended {said}", where="trainer process")
        if error := message[0].get("error"):
            kind: type[PipelineError] = getattr(errors, error["class"])
            raise kind(error["message"], where=error["where"])
        return message


def _edges(said: dict[str, Any], blobs: Mapping[str, bytes]) -> Edges:
    from artifact_pipeline.builder.evaluation.edge_cases import Column, Flaw
    from artifact_pipeline.builder.formats.parity import Edges

    return Edges(
        rows=protocol.batch(blobs, "edges"),
        outputs=protocol.outputs(blobs, "edges"),
        kinds=said["kinds"],
        flaws=[[Flaw(*flaw) for flaw in flaws] for flaws in said["flaws"]],
        columns=[Column(*column) for column in said["columns"]],
        refused=[Flaw(*flaw) for flaw in said["refused"]],
        made=said["made"],
        lowercase=said["lowercase"],
    )
