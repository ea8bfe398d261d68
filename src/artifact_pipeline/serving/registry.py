"""The models of a worker by name, and the updates of those whose alias moves.

A request gets a `ServedModel` once and keeps it: it is answered by one artifact throughout.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from artifact_pipeline.builder.artifact.manifest import EVALUATION, Interface, Port
from artifact_pipeline.builder.formats.base import Batch
from artifact_pipeline.disk import file_lock, write_atomically
from artifact_pipeline.errors import (
    ArtifactNotFound,
    EnvironmentFailure,
    Location,
    PipelineError,
    VerificationError,
)
from artifact_pipeline.inference import training_bounds
from artifact_pipeline.inference.predictor import Predictor, load_predictor
from artifact_pipeline.inference.training_bounds import TrainingBounds
from artifact_pipeline.remote import address as addresses
from artifact_pipeline.serving.http.response import Header
from artifact_pipeline.serving.options import ModelSpec
from artifact_pipeline.serving.protocols.open_inference_tensors import DATATYPES
from artifact_pipeline.store.access import open_trusted
from artifact_pipeline.store.references import parse
from artifact_pipeline.store.store import Store
from artifact_pipeline.verification.verify import Verified

if TYPE_CHECKING:
    from artifact_pipeline.remote.protocol import Remote

RETRY_REJECTED_SECONDS = 10.0
"""Seconds after which a rejected artifact is tried again: its copy may have been incomplete."""
_PULL_WAIT = 3600.0
"""Seconds that a worker waits for another one that pulls the same artifact."""
_ON_LOOP_SECONDS = 0.002
"""Maximum seconds that a prediction may hold the event loop."""


class InputSpec(NamedTuple):
    """An input in the terms of the Open Inference Protocol.

    Attributes:
        sizes: Its sizes after the number of rows.
    """

    name: str
    datatype: str
    sizes: tuple[int | None, ...]


class OutputSpec(NamedTuple):
    """An output in the terms of the Open Inference Protocol.

    Attributes:
        sizes: Its sizes after the number of rows.
        place: Its index in `Outputs`.
    """

    name: str
    datatype: str
    sizes: tuple[int | None, ...]
    place: int


class ServedModel(Struct, frozen=True, kw_only=True):
    """A verified and opened artifact that is served under a name.

    Attributes:
        input_specs: Its inputs in the protocol's terms.
        output_specs: Its outputs, in the order of the interface.
        headers: The headers of its responses.
        bounds: The training values that rows are compared with, if they are known.
        quick_rows: Maximum rows that are predicted on the event loop, 0 for a slow model.
        verified: The artifact with only the file of its evaluation, for the page and the report.
    """

    name: str
    digest: str
    predictor: Predictor
    interface: Interface
    input_specs: tuple[InputSpec, ...]
    output_specs: tuple[OutputSpec, ...]
    headers: tuple[Header, ...]
    bounds: TrainingBounds | None
    quick_rows: int
    verified: Verified


class RejectedUpdate(Struct, frozen=True, kw_only=True):
    """An artifact that an alias names and that is not served."""

    digest: str | None
    reason: str
    time: float
    """When it was rejected, on the clock of `time.monotonic`."""
    unreachable: bool = False
    """Whether the remote of the alias could not be reached."""


def load(spec: ModelSpec, folder: Path | None = None) -> ServedModel:
    """Return a model, verified, opened and tried.

    Args:
        spec: The model.
        folder: Where its artifact was pulled to, if it comes from a remote.

    Raises:
        VerificationError, CallError, StoreError: As `open_trusted` and `load_predictor`.
    """
    artifact = spec.artifact if folder is None else folder
    verified = open_trusted(artifact, spec.digest, signed_by=spec.signed_by, store=spec.store)
    predictor = load_predictor(verified)
    interface = predictor.interface
    return ServedModel(
        name=spec.name,
        digest=verified.digest,
        predictor=predictor,
        interface=interface,
        input_specs=tuple(
            InputSpec(port.name, DATATYPES[port.dtype], tuple(port.shape[1:]))
            for port in interface.inputs
        ),
        output_specs=tuple(_output_spec(port, interface) for port in interface.outputs),
        headers=((b"artifact-digest", verified.digest.encode()),),
        bounds=training_bounds.prepare(interface),
        quick_rows=_quick_rows(predictor),
        verified=verified._replace(files={EVALUATION: verified.files[EVALUATION]}),
    )


def _output_spec(port: Port, interface: Interface) -> OutputSpec:
    sizes = tuple(port.shape[1:])
    if port.name == "probabilities":
        datatype = DATATYPES[port.dtype]
        return OutputSpec(name=port.name, datatype=datatype, sizes=sizes, place=1)
    # In the interface booleans are integers, as in the graph; the predictor returns booleans.
    is_bool = any(isinstance(label, bool) for label in interface.labels)
    datatype = "BOOL" if is_bool else DATATYPES[port.dtype]
    return OutputSpec(name=port.name, datatype=datatype, sizes=sizes, place=0)


def trial_batch(interface: Interface, rows: int) -> Batch:
    """Return rows of zeros and known texts, which most models take."""
    columns = interface.columns
    if columns is None:
        return np.zeros((rows, len(interface.features)))
    return [
        np.full(rows, (column.categories or [""])[0], dtype=object)
        if column.kind == "text"
        else np.zeros(rows)
        for column in columns
    ]


def _quick_rows(predictor: Predictor) -> int:
    """Return how many rows are predicted within `_ON_LOOP_SECONDS`, as measured on a few."""
    timings = []
    for rows in (1, 1, 1, 32, 32):
        start = time.perf_counter()
        try:
            predictor.run(trial_batch(predictor.interface, rows))
        except VerificationError:  # some models do not take zeros
            return 0
        timings.append((time.perf_counter() - start, rows))
    one_row = min(seconds for seconds, rows in timings if rows == 1)
    many_rows = min(seconds for seconds, rows in timings if rows > 1)
    per_row = max(many_rows / 32, 1e-7)
    return 0 if one_row > _ON_LOOP_SECONDS else max(1, int(_ON_LOOP_SECONDS / per_row))


class ModelRegistry:
    """The models of a worker.

    The workers of a server note in `shared` which artifact each model had last, so that a worker
    that restarts can serve it even if the alias has moved to one that is rejected.
    """

    def __init__(self, specs: tuple[ModelSpec, ...], shared: str) -> None:
        self.models: dict[str, ServedModel] = {}
        self.rejected: dict[str, RejectedUpdate] = {}
        self._specs = specs
        self._shared = Path(shared)
        self._remote_specs = tuple(spec for spec in specs if addresses.is_remote(spec.artifact))
        self._local_specs = tuple(spec for spec in specs if spec not in self._remote_specs)
        self._remotes: dict[str, Remote] = {}
        self._by_alias = {
            spec.name
            for spec in self._local_specs
            if (reference := parse(spec.artifact)).alias and Store(spec.store).digest_of(reference)
        }
        for spec in specs:
            self._start(spec)

    @property
    def has_remotes(self) -> bool:
        """Whether a model comes from a remote."""
        return bool(self._remote_specs)

    @property
    def unreachable(self) -> set[str]:
        """The models whose remotes could not be reached at the last poll."""
        return {name for name, update in list(self.rejected.items()) if update.unreachable}

    def follow_aliases(self) -> None:
        """Load the artifact of each alias of a store that moved; keep the old one if it fails."""
        self._follow(self._local_specs)

    def follow_remotes(self) -> None:
        """Pull and load the artifact of each alias of a remote that moved.

        If the remote cannot be reached, or the artifact is rejected, the old one is kept.
        """
        self._follow(self._remote_specs)

    def _follow(self, specs: Iterable[ModelSpec]) -> None:
        for spec in specs:
            digest = None
            try:
                digest = self._current_digest(spec)
                rejected = self.rejected.get(spec.name)
                if digest == self.models[spec.name].digest:
                    self.rejected.pop(spec.name, None)
                elif (
                    rejected is None
                    or rejected.digest != digest
                    or time.monotonic() - rejected.time > RETRY_REJECTED_SECONDS
                ):
                    self._serve(self._load(spec))
            except Exception as error:  # noqa: BLE001  (else no alias would be followed any more)
                self._reject(spec, digest, error=error)

    def _current_digest(self, spec: ModelSpec) -> str:
        """Return the digest that an alias names now, or else the one that is served."""
        if spec in self._remote_specs:
            from artifact_pipeline.remote.pull import current_digest

            return current_digest(self._remote(spec), addresses.parse(spec.artifact))
        if spec.name not in self._by_alias:
            return self.models[spec.name].digest
        digest = Store(spec.store).digest_of(parse(spec.artifact))
        if digest is None:
            raise ArtifactNotFound("the alias was removed", location=Location(spec.artifact))
        return digest

    def _load(self, spec: ModelSpec) -> ServedModel:
        """Return a model, and pull its artifact first if it comes from a remote."""
        if spec not in self._remote_specs:
            return load(spec)
        from artifact_pipeline.remote.pull import pull_to_serve

        reference = addresses.parse(spec.artifact)
        lock, problem = self._shared / f"{spec.name}.lock", "another worker is pulling it"
        with file_lock(lock, problem, wait=_PULL_WAIT):
            folder = pull_to_serve(
                self._remote(spec), reference, signed_by=spec.signed_by, store=spec.store
            )
        # Only a digest that the caller named vouches for the artifact, not one from the remote.
        return load(replace(spec, digest=spec.digest or reference.digest), folder)

    def _remote(self, spec: ModelSpec) -> Remote:
        """Return the connection to a model's remote, which lasts as long as the worker."""
        if spec.name not in self._remotes:
            from artifact_pipeline.remote.connect import connect

            self._remotes[spec.name] = connect(addresses.parse(spec.artifact).address)
        return self._remotes[spec.name]

    def _serve(self, model: ServedModel) -> None:
        self.models[model.name] = model
        self.rejected.pop(model.name, None)
        write_atomically(self._shared / f"{model.name}.digest", model.digest.encode())

    def _reject(self, spec: ModelSpec, digest: str | None, *, error: Exception) -> None:
        self.rejected[spec.name] = RejectedUpdate(
            digest=digest,
            reason=str(error) if isinstance(error, PipelineError) else repr(error)[:200],
            time=time.monotonic(),
            unreachable=spec in self._remote_specs and isinstance(error, EnvironmentFailure),
        )

    def _start(self, spec: ModelSpec) -> None:
        try:
            self._serve(self._load(spec))
        except PipelineError as error:
            last = self._shared / f"{spec.name}.digest"
            if not last.exists():
                raise
            self.models[spec.name] = load(replace(spec, artifact=last.read_text("ascii")))
            self._reject(spec, None, error=error)
